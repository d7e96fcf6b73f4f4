//! A record as text: `LEVEL message key=value …`, each value readable back whatever it is, always one line.

use std::io::Write;
use std::time::Duration;

/// Writes a value; quoted only where it could be misread.
///
/// In quotes are empty values, a lone `-` (which says that there is no value), and all with anything but printable ASCII or
/// with one of `"`, `\`, `=`. Nothing else may be in the way: a path is the client's choice, and must not be able to
/// look like another field.
pub fn push_value(out: &mut Vec<u8>, value: &str) {
    if value.bytes().all(is_plain) && !matches!(value, "" | "-") {
        return out.extend_from_slice(value.as_bytes());
    }
    out.push(b'"');
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // The last two end a line for some readers.
            _ if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') => {
                // Writing into a vector does not fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=')
}

pub fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes milliseconds with three decimals, or `-`.
pub fn push_ms(out: &mut Vec<u8>, duration: Option<Duration>) {
    let Some(duration) = duration else {
        return out.push(b'-');
    };
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    push_number(out, micros / 1000);
    out.push(b'.');
    push_padded(out, micros % 1000, 3);
}

/// Writes a number or `-`.
pub fn push_some(out: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => push_number(out, number),
        None => out.push(b'-'),
    }
}

/// Writes the last `digits` digits.
pub fn push_padded(out: &mut Vec<u8>, number: u64, digits: u32) {
    for digit in (0..digits).rev() {
        out.push(b'0' + u8::try_from(number / 10u64.pow(digit) % 10).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// The fields of a line, in order; a missing value is none.
    pub fn parse_fields(mut text: &str) -> Vec<(String, Option<String>)> {
        let mut fields = Vec::new();
        while !text.is_empty() {
            let (name, rest) = text.split_once('=').unwrap();
            let (value, rest) = parse_value(rest);
            fields.push((name.to_owned(), value));
            text = rest.strip_prefix(' ').unwrap_or(rest);
        }
        fields
    }

    fn parse_value(text: &str) -> (Option<String>, &str) {
        let Some(quoted) = text.strip_prefix('"') else {
            let end = text.find(' ').unwrap_or(text.len());
            let plain = Some(&text[..end]).filter(|plain| *plain != "-");
            return (plain.map(str::to_owned), &text[end..]);
        };
        let mut value = String::new();
        let mut rest = quoted.chars();
        loop {
            match rest.next().unwrap() {
                '"' => return (Some(value), rest.as_str()),
                '\\' => value.push(match rest.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let (code, after) = rest.as_str()[1..].split_once('}').unwrap();
                        rest = after.chars();
                        char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap()
                    }
                    same => same,
                }),
                character => value.push(character),
            }
        }
    }

    fn written(value: &str) -> String {
        let mut out = Vec::new();
        push_value(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_the_golden_file_says() {
        #[derive(Deserialize)]
        struct Case {
            value: String,
            written: String,
        }
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/log_values.json"
        );
        let Ok(text) = std::fs::read_to_string(path) else {
            // Only where the crate is tested outside the repository.
            let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests");
            assert!(!std::path::Path::new(repository).exists(), "no {path}");
            return;
        };
        let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
        for case in cases {
            assert_eq!(written(&case.value), case.written, "{:?}", case.value);
        }
    }

    #[test]
    fn durations_are_milliseconds_with_three_decimals() {
        for (micros, text) in [
            (0, "0.000"),
            (7, "0.007"),
            (1_042, "1.042"),
            (65_432_100, "65432.100"),
        ] {
            let mut out = Vec::new();
            push_ms(&mut out, Some(Duration::from_micros(micros)));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_values_are_it_is_one_line_and_reads_back(
            values in prop::collection::vec(prop_oneof![any::<String>(), "[ \"=\\\\\r\n-]{0,4}"], 0..6)
        ) {
            let mut out = Vec::new();
            for (number, value) in values.iter().enumerate() {
                let space = if number > 0 { " " } else { "" };
                write!(out, "{space}f{number}=").unwrap();
                push_value(&mut out, value);
            }
            let text = String::from_utf8(out).unwrap();
            let breaks = ['\n', '\r', '\0', '\u{85}', '\u{2028}'];
            prop_assert!(!text.contains(breaks));
            let read: Vec<_> = parse_fields(&text).into_iter().map(|(_, value)| value.unwrap()).collect();
            prop_assert_eq!(read, values);
        }
    }
}
