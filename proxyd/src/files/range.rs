//! Which part of a file a Range field asks for (RFC 9110, 14). Pure.

use crate::http1::fields;

/// Of a file of a known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// There is no part asked for, or not in a way that is understood.
    Whole,
    /// `start..end` bytes, within the size and not empty.
    Part { start: u64, end: u64 },
    /// Nothing of what is asked for is there.
    Unsatisfiable,
}

/// Reads the field's value. Several ranges in one request are answered with the whole file, which a server may do:
/// hardly a client asks for them, and as parts of one body they are a way to make a server send a lot for a little.
#[must_use]
pub fn read(value: &[u8], size: u64) -> Wanted {
    let Some((unit, range)) = split_once(value, b'=') else {
        return Wanted::Whole;
    };
    let Some((first, last)) = split_once(range.trim_ascii(), b'-') else {
        return Wanted::Whole;
    };
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return Wanted::Whole;
    }
    match (position(first), position(last)) {
        (Some(start), _) if last.is_empty() => part(start, size, size),
        (Some(start), Some(last)) if start <= last => {
            part(start, last.saturating_add(1).min(size), size)
        }
        (None, Some(0)) if first.is_empty() => Wanted::Unsatisfiable,
        // A whole file is the part that is asked for, but an empty one has no part to name.
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Whole,
        (None, Some(count)) if first.is_empty() => part(size.saturating_sub(count), size, size),
        _ => Wanted::Whole,
    }
}

fn part(start: u64, end: u64, size: u64) -> Wanted {
    if start < size {
        Wanted::Part { start, end }
    } else {
        Wanted::Unsatisfiable
    }
}

/// A number of any length; one that is too large is beyond the end of every file.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(fields::length(digits).unwrap_or(u64::MAX))
}

fn split_once(value: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = value.iter().position(|byte| *byte == at)?;
    Some((&value[..position], &value[position + 1..]))
}

#[cfg(test)]
mod tests {
    use super::Wanted::{Part, Unsatisfiable, Whole};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_is_read_as_the_rfc_has_it() {
        for (value, wanted) in [
            ("bytes=0-0", Part { start: 0, end: 1 }),
            ("bytes=2-4", Part { start: 2, end: 5 }),
            ("bytes=2-", Part { start: 2, end: 10 }),
            ("bytes=2-99", Part { start: 2, end: 10 }),
            (
                "bytes=2-99999999999999999999999",
                Part { start: 2, end: 10 },
            ),
            ("bytes=-3", Part { start: 7, end: 10 }),
            ("bytes=-99", Part { start: 0, end: 10 }),
            ("Bytes = 1-2", Part { start: 1, end: 3 }),
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-11", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=4-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=-", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=a-b", Whole),
            ("bytes", Whole),
            ("lines=1-2", Whole),
            ("", Whole),
        ] {
            assert_eq!(read(value.as_bytes(), 10), wanted, "{value}");
        }
        assert_eq!(read(b"bytes=-5", 0), Whole);
        assert_eq!(read(b"bytes=0-", 0), Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_is_within_the_file(value in "(bytes=)?[0-9]{0,20}-?[0-9]{0,20}", size in any::<u64>()) {
            if let Part { start, end } = read(value.as_bytes(), size) {
                prop_assert!(start < end && end <= size);
            }
        }

        #[test]
        fn no_bytes_break_it(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&value, 100);
        }
    }
}
