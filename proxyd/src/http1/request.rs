//! Reading a request's head, and everything about it that can be refused before it is routed.

use std::borrow::Cow;

use super::fields::{self, Field};
use super::{HeaderRoom, Parsed};
use crate::table::normal_host;

/// Larger bodies are 413.
pub const MAX_BODY: u64 = 128 * 1024 * 1024;

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
}

/// A request that is answered without being routed; the connection is closed after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// For our log; the client gets the status' own phrase.
    pub reason: &'static str,
}

impl Refusal {
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

const fn refuse<T>(status: u16, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(status, reason))
}

#[derive(Debug)]
pub struct Request<'b> {
    pub method: &'b str,
    /// Path and query as they go to the instance; `*` for a server-wide OPTIONS.
    pub target: Cow<'b, str>,
    /// Normalised; none for HTTP/1.0 without Host.
    pub host: Option<Cow<'b, str>>,
    /// The host as the client wrote it, with its port.
    pub authority: &'b str,
    pub is_http11: bool,
    pub headers: &'b [httparse::Header<'b>],
    pub body: Body,
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// The protocol asked for, when the request can be upgraded at all.
    pub upgrade: Option<&'b [u8]>,
    /// Whether a Connection header names fields other than the usual ones, which must then be removed.
    pub names_hop_fields: bool,
}

impl Request<'_> {
    /// The path the request is routed by.
    #[must_use]
    pub fn path(&self) -> &str {
        let end = self.target.find('?').unwrap_or(self.target.len());
        &self.target[..end]
    }

    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// May be sent again when nothing was heard of the first attempt (RFC 9110, 9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
        )
    }
}

/// What the headers say about framing and connection.
#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade: Option<&'b [u8]>,
    wants_upgrade: bool,
    expects_continue: bool,
    names_hop_fields: bool,
}

/// Reads the head at the start of `bytes`.
pub fn parse<'b>(
    bytes: &'b [u8],
    room: &'b mut HeaderRoom<'b>,
) -> Result<Parsed<Request<'b>>, Refusal> {
    let mut raw = httparse::Request::new(&mut []);
    let size = match raw.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(Parsed::Partial),
        Err(httparse::Error::TooManyHeaders) => return refuse(431, "too many headers"),
        Err(httparse::Error::Version) if names_version(bytes) => {
            return refuse(505, "HTTP version");
        }
        Err(_) => return refuse(400, "malformed head"),
    };
    if has_bare_newline(&bytes[..size]) {
        return refuse(400, "a line ends without carriage return");
    }
    let (Some(method), Some(target), Some(version)) = (raw.method, raw.path, raw.version) else {
        return refuse(400, "malformed head");
    };
    let headers: &'b [httparse::Header<'b>] = raw.headers;
    let is_http11 = version == 1;
    let seen = inspect(headers, is_http11)?;
    let (authority, host, target) = locate(method, target, seen.host, is_http11)?;
    let body = match (seen.chunked, seen.length) {
        (true, Some(_)) => return refuse(400, "both Content-Length and Transfer-Encoding"),
        (true, None) => Body::Chunked,
        (false, Some(length)) if length > MAX_BODY => return refuse(413, "body too large"),
        (false, Some(0) | None) => Body::None,
        (false, Some(length)) => Body::Length(length),
    };
    let may_upgrade = seen.wants_upgrade && is_http11 && body == Body::None;
    let request = Request {
        method,
        target,
        host,
        authority,
        is_http11,
        headers,
        body,
        keep_alive: !seen.close && (is_http11 || seen.keep_alive),
        expects_continue: seen.expects_continue && is_http11,
        upgrade: seen.upgrade.filter(|_| may_upgrade),
        names_hop_fields: seen.names_hop_fields,
    };
    Ok(Parsed::Complete(request, size))
}

/// Whether what stands where the version should is one, of whatever number; anything else is malformed.
fn names_version(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start();
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let mut words = line[..end.unwrap_or(line.len())].split(|byte| *byte == b' ');
    let number = words.nth(2).and_then(|word| word.strip_prefix(b"HTTP/"));
    number.is_some_and(|number| {
        let digits = number.iter().step_by(2).all(u8::is_ascii_digit);
        // The rest of it may not have arrived.
        (1..=3).contains(&number.len()) && digits && number.get(1).is_none_or(|dot| *dot == b'.')
    })
}

/// Framed as it must be, with codings before that we do not undo (RFC 9112, 6.1). Chunked anywhere but last, and only
/// there, would leave the end of the body to guesses.
fn is_coded_and_chunked(value: &[u8]) -> bool {
    let codings: Vec<&[u8]> = value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .collect();
    let is_coding = |coding: &&[u8]| {
        !coding.is_empty()
            && coding
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let chunked = |coding: &&&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    codings.iter().all(is_coding)
        && codings.iter().filter(chunked).count() == 1
        && codings
            .last()
            .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
}

fn has_bare_newline(head: &[u8]) -> bool {
    // The first byte may be a newline of an empty line before the request, which is as bare.
    head.first() == Some(&b'\n')
        || head
            .windows(2)
            .any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

fn inspect<'b>(headers: &'b [httparse::Header<'b>], is_http11: bool) -> Result<Seen<'b>, Refusal> {
    let mut seen = Seen::default();
    for header in headers {
        match fields::classify(header.name) {
            Field::Host if seen.host.is_some() => return refuse(400, "two Host headers"),
            Field::Host => seen.host = Some(header.value),
            Field::ContentLength if seen.length.is_some() => {
                return refuse(400, "two Content-Length headers");
            }
            Field::ContentLength => match fields::length(header.value) {
                Some(length) => seen.length = Some(length),
                None => return refuse(400, "Content-Length is not a number"),
            },
            Field::TransferEncoding if seen.chunked || !is_http11 => {
                return refuse(400, "Transfer-Encoding twice or in HTTP/1.0");
            }
            Field::TransferEncoding if header.value.eq_ignore_ascii_case(b"chunked") => {
                seen.chunked = true;
            }
            Field::TransferEncoding if is_coded_and_chunked(header.value) => {
                return refuse(501, "a transfer coding besides chunked");
            }
            Field::TransferEncoding => return refuse(400, "Transfer-Encoding is not chunked"),
            Field::Connection => inspect_connection(header.value, &mut seen),
            // An upgrade to HTTP/2 would hide everything after it from the routing.
            Field::Upgrade if !fields::has_token(header.value, "h2c") => {
                seen.upgrade = Some(header.value);
            }
            Field::Expect if header.value.eq_ignore_ascii_case(b"100-continue") => {
                seen.expects_continue = true;
            }
            Field::Expect => return refuse(417, "unknown expectation"),
            _ => {}
        }
    }
    Ok(seen)
}

fn inspect_connection(value: &[u8], seen: &mut Seen) {
    for token in fields::tokens(value) {
        if token.eq_ignore_ascii_case(b"close") {
            seen.close = true;
        } else if token.eq_ignore_ascii_case(b"keep-alive") {
            seen.keep_alive = true;
        } else if token.eq_ignore_ascii_case(b"upgrade") {
            seen.wants_upgrade = true;
        } else {
            seen.names_hop_fields = true;
        }
    }
}

type Location<'b> = (&'b str, Option<Cow<'b, str>>, Cow<'b, str>);

/// Where the request is meant to go: authority, normalised host, and the target in origin form.
fn locate<'b>(
    method: &str,
    target: &'b str,
    host: Option<&'b [u8]>,
    is_http11: bool,
) -> Result<Location<'b>, Refusal> {
    if method == "CONNECT" {
        return refuse(405, "CONNECT");
    }
    let header = match host {
        Some(value) => std::str::from_utf8(value).map_err(|_| Refusal {
            status: 400,
            reason: "Host is not text",
        })?,
        None if is_http11 => return refuse(400, "no Host header"),
        None => "",
    };
    let (authority, target) = if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        (header, Cow::Borrowed(target))
    } else {
        absolute_form(target)?
    };
    if target.contains('#') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse(
            400,
            "a fragment, or what is to be percent-encoded, in the target",
        );
    }
    let host = normal_host(authority);
    if host.is_none() && (is_http11 || !authority.is_empty()) {
        return refuse(400, "Host is not a host");
    }
    Ok((authority, host, target))
}

/// `http://host/path`: its authority replaces the Host header (RFC 9112, 3.2.2).
fn absolute_form(target: &str) -> Result<(&str, Cow<'_, str>), Refusal> {
    let rest = target.split_once("://").and_then(|(scheme, rest)| {
        let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        known.then_some(rest)
    });
    let Some(rest) = rest else {
        return refuse(400, "malformed target");
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("/{path}"))
    };
    Ok((authority, path))
}

#[cfg(test)]
mod tests {
    use super::super::header_room;
    use super::*;
    use proptest::prelude::*;

    fn outcome(text: &str) -> Result<Option<(Body, bool)>, u16> {
        match parse(text.as_bytes(), &mut header_room()) {
            Ok(Parsed::Partial) => Ok(None),
            Ok(Parsed::Complete(request, _)) => Ok(Some((request.body, request.keep_alive))),
            Err(refusal) => Err(refusal.status),
        }
    }

    #[test]
    fn requests_that_two_parsers_could_read_differently_are_refused() {
        for (case, head) in [
            (
                "both lengths",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            ),
            (
                "two lengths that differ",
                "Content-Length: 5\r\nContent-Length: 6\r\n",
            ),
            (
                "two lengths that agree",
                "Content-Length: 5\r\nContent-Length: 5\r\n",
            ),
            ("a list of lengths", "Content-Length: 5, 5\r\n"),
            ("a signed length", "Content-Length: +5\r\n"),
            ("a hexadecimal length", "Content-Length: 0x5\r\n"),
            ("an empty length", "Content-Length:\r\n"),
            ("a huge length", "Content-Length: 99999999999999999999\r\n"),
            ("chunked not last", "Transfer-Encoding: chunked, gzip\r\n"),
            ("another coding", "Transfer-Encoding: gzip\r\n"),
            ("an empty coding", "Transfer-Encoding: , chunked\r\n"),
            (
                "chunked twice in a list",
                "Transfer-Encoding: chunked, chunked\r\n",
            ),
            (
                "chunked twice",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            ),
            (
                "chunked with a vertical tab",
                "Transfer-Encoding: \x0bchunked\r\n",
            ),
            ("identity", "Transfer-Encoding: identity\r\n"),
            ("space before the colon", "Content-Length : 5\r\n"),
            ("an obsolete fold", "X: a\r\n b\r\n"),
            ("a fold at the start", " X: a\r\n"),
            ("bare carriage return in a value", "X: a\rY: b\r\n"),
            ("bare newline", "X: a\nY: b\r\n"),
            ("a null byte", "X: a\0b\r\n"),
            ("a name that is no token", "X(): a\r\n"),
            ("no colon", "Garbage\r\n"),
            ("two hosts", "Host: b.test\r\n"),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{head}\r\n");
            assert_eq!(outcome(&text), Err(400), "{case}");
        }
    }

    #[test]
    fn request_lines_are_held_to_the_grammar() {
        for (line, status) in [
            ("GET  / HTTP/1.1", 400),
            ("GET /a b HTTP/1.1", 400),
            ("GET / HTTP/1.2", 505),
            ("GET / HTTP/2.0", 505),
            ("GET / http/1.1", 400),
            ("GET /  HTTP/1.1", 400),
            ("GET / HTTP/01.1", 400),
            ("GET / ICY/1.0", 400),
            ("GET a.test HTTP/1.1", 400),
            ("GET ftp://a.test/ HTTP/1.1", 400),
            ("GET http:///x HTTP/1.1", 400),
            ("GET http://u@a.test/ HTTP/1.1", 400),
            ("GET /#part HTTP/1.1", 400),
            ("GET /caf\u{e9} HTTP/1.1", 400),
            ("GET /\x7f HTTP/1.1", 400),
            ("CONNECT a.test:443 HTTP/1.1", 405),
            ("G\x01T / HTTP/1.1", 400),
        ] {
            let text = format!("{line}\r\nHost: a.test\r\n\r\n");
            assert_eq!(outcome(&text), Err(status), "{line}");
        }
        let coded = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";
        assert_eq!(outcome(coded), Err(501));
        assert_eq!(outcome("GET / HTTP/1.1\r\n\r\n"), Err(400), "no host");
        assert_eq!(outcome("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), Err(400));
        assert_eq!(outcome("GET / HTTP/1.1\r\nHost: a.te"), Ok(None));
        assert_eq!(
            outcome("GET / HTTP/1.0\r\n\r\n"),
            Ok(Some((Body::None, false)))
        );
        assert_eq!(
            outcome("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Err(400)
        );
        let large = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 134217729\r\n\r\n";
        assert_eq!(outcome(large), Err(413));
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let text = b"GET http://B.Test:80?q HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let mut room = header_room();
        let Ok(Parsed::Complete(request, _)) = parse(text, &mut room) else {
            panic!("refused");
        };
        assert_eq!(request.host.as_deref(), Some("b.test"));
        assert_eq!(request.target, "/?q");
        assert_eq!(request.path(), "/");
    }

    #[test]
    fn an_upgrade_to_http2_is_not_an_upgrade() {
        for (value, upgraded) in [("websocket", true), ("h2c", false), ("foo, h2c", false)] {
            let text = format!(
                "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: {value}\r\n\r\n"
            );
            let mut room = header_room();
            let Ok(Parsed::Complete(request, _)) = parse(text.as_bytes(), &mut room) else {
                panic!("refused");
            };
            assert_eq!(request.upgrade.is_some(), upgraded, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &mut header_room());
            let mut text = b"GET / HTTP/1.1\r\nHost: a.test\r\n".to_vec();
            text.extend_from_slice(&bytes);
            let _ = parse(&text, &mut header_room());
        }

        #[test]
        fn a_head_is_the_same_however_it_is_cut(cut in 0usize..70) {
            let text = b"POST /x?y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 12\r\nX: y\r\n\r\n";
            let cut = cut.min(text.len() - 1);
            let mut room = header_room();
            prop_assert!(matches!(parse(&text[..cut], &mut room), Ok(Parsed::Partial)));
        }
    }
}
