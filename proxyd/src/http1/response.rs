//! Reading an instance's response head, and knowing where its body ends.

use super::fields::{self, Field};
use super::{HeaderRoom, Parsed};

/// How a response's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// There is no body.
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// An instance that does not speak HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable(pub &'static str);

#[derive(Debug)]
pub struct Response<'b> {
    pub status: u16,
    pub reason: &'b str,
    pub headers: &'b [httparse::Header<'b>],
    pub body: Delimiter,
    /// Whether the instance keeps the connection open.
    pub keep_alive: bool,
    /// For how long an idle connection stays usable, when the instance says so.
    pub keep_alive_seconds: Option<u64>,
    pub names_hop_fields: bool,
    pub has_date: bool,
}

#[derive(Default)]
struct Seen {
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    keep_alive_seconds: Option<u64>,
    names_hop_fields: bool,
    date: bool,
}

/// Reads the head at the start of `bytes`; `to_head` says that the request was a HEAD.
pub fn parse<'b>(
    bytes: &'b [u8],
    to_head: bool,
    room: &'b mut HeaderRoom<'b>,
) -> Result<Parsed<Response<'b>>, Unusable> {
    let mut raw = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut raw, bytes, room)
        .map_err(|_| Unusable("malformed response head"))?;
    let httparse::Status::Complete(size) = parsed else {
        return Ok(Parsed::Partial);
    };
    let (Some(status), Some(version)) = (raw.code, raw.version) else {
        return Err(Unusable("malformed response head"));
    };
    if status < 100 {
        return Err(Unusable("a status below 100"));
    }
    let headers: &'b [httparse::Header<'b>] = raw.headers;
    let seen = inspect(headers)?;
    let is_http11 = version == 1;
    let body = match status {
        _ if to_head => Delimiter::None,
        100..=199 | 204 | 304 => Delimiter::None,
        _ if seen.chunked => Delimiter::Chunked,
        // A coding that is not chunked ends with the connection.
        _ if seen.coded => Delimiter::UntilClose,
        _ => seen.length.map_or(Delimiter::UntilClose, Delimiter::Length),
    };
    let framed_twice = seen.coded && seen.length.is_some();
    let response = Response {
        status,
        reason: raw.reason.unwrap_or(""),
        headers,
        body,
        keep_alive: !seen.close
            && (is_http11 || seen.keep_alive)
            && !framed_twice
            && body != Delimiter::UntilClose,
        keep_alive_seconds: seen.keep_alive_seconds,
        names_hop_fields: seen.names_hop_fields,
        has_date: seen.date,
    };
    Ok(Parsed::Complete(response, size))
}

fn inspect(headers: &[httparse::Header]) -> Result<Seen, Unusable> {
    let mut seen = Seen::default();
    for header in headers {
        match fields::classify(header.name) {
            Field::ContentLength => {
                let length = fields::length(header.value);
                if length.is_none() || (seen.length.is_some() && seen.length != length) {
                    return Err(Unusable("unusable Content-Length"));
                }
                seen.length = length;
            }
            Field::TransferEncoding => {
                seen.coded = true;
                seen.chunked = fields::tokens(header.value)
                    .last()
                    .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
            }
            Field::Connection => {
                for token in fields::tokens(header.value) {
                    if token.eq_ignore_ascii_case(b"close") {
                        seen.close = true;
                    } else if token.eq_ignore_ascii_case(b"keep-alive") {
                        seen.keep_alive = true;
                    } else if !token.eq_ignore_ascii_case(b"upgrade") {
                        seen.names_hop_fields = true;
                    }
                }
            }
            Field::KeepAlive => {
                seen.keep_alive_seconds = fields::tokens(header.value)
                    .find_map(|token| fields::length(token.strip_prefix(b"timeout=")?));
            }
            Field::Date => seen.date = true,
            _ => {}
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::super::header_room;
    use super::*;
    use proptest::prelude::*;

    fn body(text: &str, to_head: bool) -> Result<(Delimiter, bool), Unusable> {
        match parse(text.as_bytes(), to_head, &mut header_room())? {
            Parsed::Complete(response, _) => Ok((response.body, response.keep_alive)),
            Parsed::Partial => panic!("partial"),
        }
    }

    #[test]
    fn the_end_of_a_body_is_known_by_status_and_headers() {
        for (head, to_head, wanted) in [
            (
                "200 OK\r\nContent-Length: 3",
                false,
                (Delimiter::Length(3), true),
            ),
            ("200 OK\r\nContent-Length: 3", true, (Delimiter::None, true)),
            (
                "204 No Content\r\nContent-Length: 3",
                false,
                (Delimiter::None, true),
            ),
            (
                "304 Not Modified\r\nContent-Length: 3",
                false,
                (Delimiter::None, true),
            ),
            (
                "200 OK\r\nTransfer-Encoding: chunked",
                false,
                (Delimiter::Chunked, true),
            ),
            ("200 OK\r\nServer: x", false, (Delimiter::UntilClose, false)),
            (
                "200 OK\r\nTransfer-Encoding: gzip",
                false,
                (Delimiter::UntilClose, false),
            ),
            (
                "200 OK\r\nConnection: close\r\nContent-Length: 0",
                false,
                (Delimiter::Length(0), false),
            ),
            (
                "200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
                false,
                (Delimiter::Chunked, false),
            ),
        ] {
            let text = format!("HTTP/1.1 {head}\r\n\r\n");
            assert_eq!(body(&text, to_head), Ok(wanted), "{head}");
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_unusable() {
        for head in [
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: x",
        ] {
            assert!(body(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"), false).is_err());
        }
    }

    #[test]
    fn a_status_is_at_least_100() {
        assert!(body("HTTP/1.1 020 Odd\r\n\r\n", false).is_err());
        assert!(body("HTTP/1.1 000 \r\nContent-Length: 0\r\n\r\n", false).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
            text.extend_from_slice(&bytes);
            let _ = parse(&text, false, &mut header_room());
        }
    }
}
