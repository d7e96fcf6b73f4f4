//! Whether a request's conditions hold, and what it then gets, in the order of RFC 9110, 13.2.2. Pure.

use std::time::{Duration, SystemTime};

use super::range::{self, Wanted};
use crate::http1::fields::tokens;

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    Part {
        start: u64,
        end: u64,
    },
    /// The client has it already.
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy)]
pub struct State<'f> {
    /// With its quotes.
    pub etag: &'f str,
    /// In seconds since 1970.
    pub modified: u64,
    pub size: u64,
}

/// The conditions of a request.
#[derive(Default)]
struct Given<'h> {
    matches: Option<bool>,
    none_matches: Option<bool>,
    unmodified_since: Option<u64>,
    modified_since: Option<u64>,
    range: Option<&'h [u8]>,
    if_range: Option<&'h [u8]>,
}

/// Judges the fields of a GET or HEAD request. Only a GET can ask for a part.
pub fn judge<'h>(
    fields: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    is_get: bool,
    file: State,
) -> Verdict {
    let mut given = Given::default();
    let mut ranges = 0;
    for (name, value) in fields {
        // Most names differ in length already.
        match name.len() {
            5 if name.eq_ignore_ascii_case(b"range") => {
                given.range = Some(value);
                ranges += 1;
            }
            8 if name.eq_ignore_ascii_case(b"if-match") => {
                let seen = given.matches.unwrap_or(false);
                given.matches = Some(seen || names(value, file.etag, false));
            }
            8 if name.eq_ignore_ascii_case(b"if-range") => given.if_range = Some(value),
            13 if name.eq_ignore_ascii_case(b"if-none-match") => {
                let seen = given.none_matches.unwrap_or(false);
                given.none_matches = Some(seen || names(value, file.etag, true));
            }
            17 if name.eq_ignore_ascii_case(b"if-modified-since") => {
                given.modified_since = date(value);
            }
            19 if name.eq_ignore_ascii_case(b"if-unmodified-since") => {
                given.unmodified_since = date(value);
            }
            _ => {}
        }
    }
    if ranges > 1 {
        given.range = None;
    }
    given.judge(is_get, file)
}

impl Given<'_> {
    fn judge(&self, is_get: bool, file: State) -> Verdict {
        let holds = match (self.matches, self.unmodified_since) {
            (Some(matches), _) => matches,
            (None, Some(since)) => file.modified <= since,
            (None, None) => true,
        };
        if !holds {
            return Verdict::PreconditionFailed;
        }
        let is_known = match (self.none_matches, self.modified_since) {
            (Some(known), _) => known,
            (None, Some(since)) => file.modified <= since,
            (None, None) => false,
        };
        if is_known {
            return Verdict::NotModified;
        }
        let Some(range) = self.range.filter(|_| is_get && self.is_same(file)) else {
            return Verdict::Whole;
        };
        match range::read(range, file.size) {
            Wanted::Whole => Verdict::Whole,
            Wanted::Part { start, end } => Verdict::Part { start, end },
            Wanted::Unsatisfiable => Verdict::Unsatisfiable,
        }
    }

    /// Whether the client's other parts are of the same file.
    fn is_same(&self, file: State) -> bool {
        let Some(value) = self.if_range else {
            return true;
        };
        value == file.etag.as_bytes() || date(value) == Some(file.modified)
    }
}

/// Whether a list of entity tags names this one, by the weak or the strong comparison.
fn names(list: &[u8], etag: &str, weakly: bool) -> bool {
    tokens(list).any(|given| {
        let given = match given.strip_prefix(b"W/") {
            Some(tag) if weakly => tag,
            _ => given,
        };
        given == b"*" || given == etag.as_bytes()
    })
}

/// Seconds since 1970; none for what is not a date, which is as if it was not given.
fn date(value: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.ok().map(|since| since.as_secs())
}

/// A time as fields have it.
#[must_use]
pub fn http_date(seconds: u64) -> String {
    // The year 9999, up to which there is a way to write it.
    let seconds = seconds.min(253_402_300_799);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{NotModified, Part, PreconditionFailed, Unsatisfiable, Whole};

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn verdict(fields: &[(&str, &str)], is_get: bool) -> Verdict {
        let file = State {
            etag: "\"10-784111777\"",
            modified: 784_111_777,
            size: 10,
        };
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        judge(fields, is_get, file)
    }

    #[test]
    fn conditions_are_judged_in_the_order_of_the_rfc() {
        let etag = "\"10-784111777\"";
        let weak = &format!("W/{etag}");
        let listed = &format!("\"x\", {weak}");
        for (fields, wanted) in [
            (vec![], Whole),
            (vec![("If-None-Match", etag)], NotModified),
            (vec![("if-none-match", weak)], NotModified),
            (vec![("If-None-Match", listed)], NotModified),
            (vec![("If-None-Match", "*")], NotModified),
            (vec![("If-None-Match", "\"x\"")], Whole),
            (
                vec![("If-None-Match", "\"x\""), ("If-None-Match", etag)],
                NotModified,
            ),
            // The tag is asked first, and its answer stands.
            (
                vec![("If-None-Match", "\"x\""), ("If-Modified-Since", AFTER)],
                Whole,
            ),
            (vec![("If-Modified-Since", AFTER)], NotModified),
            (vec![("If-Modified-Since", EXACT)], NotModified),
            (vec![("If-Modified-Since", BEFORE)], Whole),
            (vec![("If-Modified-Since", "yesterday")], Whole),
            (vec![("If-Match", etag)], Whole),
            (vec![("If-Match", "*")], Whole),
            (vec![("If-Match", weak)], PreconditionFailed),
            (vec![("If-Match", "\"x\"")], PreconditionFailed),
            (
                vec![("If-Match", etag), ("If-Unmodified-Since", BEFORE)],
                Whole,
            ),
            (vec![("If-Unmodified-Since", BEFORE)], PreconditionFailed),
            (vec![("If-Unmodified-Since", EXACT)], Whole),
            (
                vec![("If-Match", etag), ("If-None-Match", etag)],
                NotModified,
            ),
            (vec![("Range", "bytes=1-2")], Part { start: 1, end: 3 }),
            (vec![("Range", "bytes=1-2"), ("Range", "bytes=1-2")], Whole),
            (vec![("Range", "bytes=20-")], Unsatisfiable),
            (
                vec![("Range", "bytes=1-2"), ("If-Range", etag)],
                Part { start: 1, end: 3 },
            ),
            (
                vec![("Range", "bytes=1-2"), ("If-Range", EXACT)],
                Part { start: 1, end: 3 },
            ),
            (vec![("Range", "bytes=1-2"), ("If-Range", weak)], Whole),
            (vec![("Range", "bytes=1-2"), ("If-Range", AFTER)], Whole),
            (vec![("Range", "bytes=20-"), ("If-Range", "\"x\"")], Whole),
            (
                vec![("Range", "bytes=1-2"), ("If-None-Match", etag)],
                NotModified,
            ),
        ] {
            assert_eq!(verdict(&fields, true), wanted, "{fields:?}");
        }
        assert_eq!(verdict(&[("Range", "bytes=1-2")], false), Whole);
    }

    #[test]
    fn every_time_can_be_written() {
        assert_eq!(http_date(784_111_777), EXACT);
        assert!(http_date(u64::MAX).ends_with("9999 23:59:59 GMT"));
    }
}
