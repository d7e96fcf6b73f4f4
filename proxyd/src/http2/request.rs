//! A request's head, from HTTP/2's form to the one that is planned by.
//!
//! `h2` has refused already: uppercase names, pseudo fields that are unknown, repeated, missing or late, fields about the
//! connection, `TE` other than `trailers`, lengths that differ from each other or from the data.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, header};

use super::limits;
use crate::http1::fields::{self, Field};
use crate::http1::request::MAX_BODY;
use crate::http1::{Body, MAX_HEADERS, Refusal, Request};
use crate::table::normal_host;

/// Why a request is not looked at further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It breaks the protocol's rules for messages (RFC 9113, 8.1.1): its stream is reset.
    Malformed(&'static str),
    Refused(Refusal),
}

const fn malformed<T>(reason: &'static str) -> Result<T, Unfit> {
    Err(Unfit::Malformed(reason))
}

const fn refuse<T>(status: u16, reason: &'static str) -> Result<T, Unfit> {
    Err(Unfit::Refused(Refusal::new(status, reason)))
}

/// Looks at a request as HTTP/1.1 would have brought it; `ended` says that it has no body.
pub fn look<T>(parts: &Parts, ended: bool, look: impl FnOnce(&Request) -> T) -> Result<T, Unfit> {
    let cookies = join_cookies(&parts.headers);
    let mut room = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let (authority, host) = locate(parts)?;
    let target = target(parts)?;
    let seen = inspect(
        &parts.headers,
        cookies.as_deref(),
        limits::HEAD - authority.len().min(limits::HEAD),
        target.len(),
        &mut room,
    )?;
    let body = match (ended, seen.length) {
        (_, Some(length)) if length > MAX_BODY => return refuse(413, "body too large"),
        (true, _) | (false, Some(0)) => Body::None,
        (false, Some(length)) => Body::Length(length),
        (false, None) => Body::Chunked,
    };
    Ok(look(&Request {
        method: parts.method.as_str(),
        target: Cow::Borrowed(target),
        host: Some(host),
        authority,
        is_http11: true,
        headers: &room[..seen.count],
        body,
        keep_alive: true,
        expects_continue: seen.expects_continue,
        upgrade: None,
        names_hop_fields: false,
    }))
}

/// Several cookie fields are one in HTTP/1.1 (RFC 9113, 8.2.3).
fn join_cookies(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (first, second) = (crumbs.next()?, crumbs.next()?);
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    Some(joined)
}

/// The host as the client wrote it, and normalised.
fn locate(parts: &Parts) -> Result<(&str, Cow<'_, str>), Unfit> {
    if parts.method == http::Method::CONNECT {
        return refuse(405, "CONNECT");
    }
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return refuse(400, "scheme is neither http nor https");
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return malformed("two Host fields"),
        (Some(host), None) => Some(host.as_bytes()),
        (None, None) => None,
    };
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), Some(host))
            if !authority.as_str().as_bytes().eq_ignore_ascii_case(host) =>
        {
            return malformed("Host is not :authority");
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => std::str::from_utf8(host).unwrap_or(""),
        (None, None) => "",
    };
    if authority.contains('@') {
        return malformed("user information in :authority");
    }
    match normal_host(authority) {
        Some(host) => Ok((authority, host)),
        None => refuse(400, "no host, or not one"),
    }
}

fn target(parts: &Parts) -> Result<&str, Unfit> {
    let path = parts.uri.path_and_query();
    let path = path.map_or("", http::uri::PathAndQuery::as_str);
    if path.starts_with('/') || (path == "*" && parts.method == http::Method::OPTIONS) {
        Ok(path)
    } else {
        malformed(":path is no path")
    }
}

#[derive(Default)]
struct Seen {
    count: usize,
    length: Option<u64>,
    expects_continue: bool,
}

/// Puts the fields into `room`; `left` is how many bytes they may have with the target.
fn inspect<'r>(
    headers: &'r HeaderMap,
    cookies: Option<&'r [u8]>,
    left: usize,
    target: usize,
    room: &mut [httparse::Header<'r>; MAX_HEADERS],
) -> Result<Seen, Unfit> {
    const TOO_LARGE: Unfit = Unfit::Refused(Refusal::new(431, "head too large"));
    let mut seen = Seen::default();
    let mut left = left.checked_sub(target).ok_or(TOO_LARGE)?;
    let mut cookies_seen = false;
    for (name, value) in headers {
        let mut bytes = value.as_bytes();
        if bytes != bytes.trim_ascii() {
            return malformed("a value begins or ends with a space");
        }
        match fields::classify(name.as_str()) {
            Field::Host => continue,
            Field::ContentLength if seen.length.is_some() => {
                return malformed("two Content-Length fields");
            }
            Field::ContentLength => match fields::length(bytes) {
                Some(length) => seen.length = Some(length),
                None => return malformed("Content-Length is not a number"),
            },
            Field::Expect if bytes.eq_ignore_ascii_case(b"100-continue") => {
                seen.expects_continue = true;
            }
            Field::Expect => return refuse(417, "unknown expectation"),
            Field::Other if name == header::COOKIE && cookies_seen => continue,
            Field::Other if name == header::COOKIE => {
                cookies_seen = true;
                bytes = cookies.unwrap_or(bytes);
            }
            _ => {}
        }
        // With the colon, space and line end of HTTP/1.1.
        let size = name.as_str().len() + bytes.len() + 4;
        left = left.checked_sub(size).ok_or(TOO_LARGE)?;
        let place = room.get_mut(seen.count);
        *place.ok_or(Unfit::Refused(Refusal::new(431, "too many headers")))? = httparse::Header {
            name: name.as_str(),
            value: bytes,
        };
        seen.count += 1;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        request.body(()).unwrap().into_parts().0
    }

    fn outcome(parts: &Parts) -> Result<(), u16> {
        match look(parts, true, |_| ()) {
            Ok(()) => Ok(()),
            Err(Unfit::Malformed(_)) => Err(0),
            Err(Unfit::Refused(refusal)) => Err(refusal.status),
        }
    }

    #[test]
    fn a_request_becomes_what_http1_would_have_brought() {
        let parts = parts(
            "POST",
            "https://A.test:8443/x?y",
            &[
                ("cookie", "a=1"),
                ("host", "a.test:8443"),
                ("x", "1"),
                ("cookie", "b=2"),
                ("expect", "100-Continue"),
                ("content-length", "5"),
                ("x", "2"),
                ("cookie", "c=3"),
            ],
        );
        look(&parts, false, |request| {
            assert_eq!(request.method, "POST");
            assert_eq!((&*request.target, request.path()), ("/x?y", "/x"));
            assert_eq!(request.host.as_deref(), Some("a.test"));
            assert_eq!(request.authority, "A.test:8443");
            assert_eq!(request.body, Body::Length(5));
            assert!(request.expects_continue);
            let mut fields: Vec<_> = request
                .headers
                .iter()
                .map(|header| (header.name, std::str::from_utf8(header.value).unwrap()))
                .collect();
            fields.sort_unstable();
            assert_eq!(
                fields,
                [
                    ("content-length", "5"),
                    ("cookie", "a=1; b=2; c=3"),
                    ("expect", "100-Continue"),
                    ("x", "1"),
                    ("x", "2"),
                ]
            );
        })
        .unwrap();
    }

    #[test]
    fn the_body_is_known_by_length_or_by_its_end() {
        for (ended, headers, body) in [
            (true, &[][..], Body::None),
            (true, &[("content-length", "0")], Body::None),
            (false, &[("content-length", "0")], Body::None),
            (false, &[("content-length", "7")], Body::Length(7)),
            (false, &[], Body::Chunked),
        ] {
            let parts = parts("POST", "https://a.test/", headers);
            let seen = look(&parts, ended, |request| request.body);
            assert_eq!(seen, Ok(body), "{ended} {headers:?}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_reset_and_what_we_do_not_want_is_answered() {
        let long = "x".repeat(17_000);
        let reset = 0;
        for (method, uri, headers, wanted) in [
            (
                "GET",
                "https://a.test/",
                &[("host", "b.test")][..],
                Err(reset),
            ),
            ("GET", "https://a.test/", &[("host", "A.Test")], Ok(())),
            ("GET", "/", &[("host", "a.test")], Ok(())),
            (
                "GET",
                "/",
                &[("host", "a.test"), ("host", "a.test")],
                Err(reset),
            ),
            ("GET", "/", &[], Err(400)),
            ("GET", "/", &[("host", "a b")], Err(400)),
            ("GET", "ftp://a.test/", &[], Err(400)),
            ("GET", "https://u@a.test/", &[], Err(reset)),
            ("CONNECT", "a.test:443", &[], Err(405)),
            ("OPTIONS", "*", &[("host", "a.test")], Ok(())),
            ("GET", "*", &[("host", "a.test")], Err(reset)),
            ("GET", "https://a.test/", &[("x", " y")], Err(reset)),
            ("GET", "https://a.test/", &[("x", "y\t")], Err(reset)),
            (
                "GET",
                "https://a.test/",
                &[("content-length", "+5")],
                Err(reset),
            ),
            (
                "GET",
                "https://a.test/",
                &[("content-length", "5"), ("content-length", "5")],
                Err(reset),
            ),
            (
                "PUT",
                "https://a.test/",
                &[("content-length", "134217729")],
                Err(413),
            ),
            ("GET", "https://a.test/", &[("expect", "wonders")], Err(417)),
            ("GET", "https://a.test/", &[("x", &long)], Err(431)),
            ("GET", &format!("https://a.test/{long}"), &[], Err(431)),
        ] {
            let seen = outcome(&parts(method, uri, headers));
            assert_eq!(
                seen,
                wanted,
                "{method} {:.40} {:.60}",
                uri,
                format!("{headers:?}")
            );
        }
    }

    #[test]
    fn cookies_count_as_one_field_and_others_have_their_limit() {
        let crumbs = [("cookie", "a=1"); 300];
        assert_eq!(outcome(&parts("GET", "https://a.test/", &crumbs)), Ok(()));
        let many = [("x", "1"); MAX_HEADERS + 1];
        assert_eq!(outcome(&parts("GET", "https://a.test/", &many)), Err(431));
        assert_eq!(
            outcome(&parts("GET", "https://a.test/", &many[1..])),
            Ok(())
        );
    }

    proptest! {
        /// What is planned by can be written as HTTP/1.1 and is then read as the same.
        #[test]
        fn a_head_means_the_same_in_both_protocols(
            path in "/[!-~]{0,20}",
            host in "[a-zA-Z0-9.:@\\[\\]-]{1,12}",
            fields in proptest::collection::vec(("[a-z-]{1,14}", "[ -~\u{e9}]{0,12}"), 0..6),
        ) {
            let mut request = http::Request::builder().method("GET").uri(&path).header("host", &host);
            for (name, value) in &fields {
                request = request.header(name, value.as_bytes());
            }
            let Ok(request) = request.body(()) else { return Ok(()) };
            let parts = request.into_parts().0;
            let _ = look(&parts, true, |request| {
                let mut text = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", request.target, request.authority).into_bytes();
                for header in request.headers {
                    crate::forward::downstream::push_field(&mut text, header.name, header.value);
                }
                text.extend_from_slice(b"\r\n");
                let mut room = crate::http1::header_room();
                let Ok(crate::http1::Parsed::Complete(again, size)) = crate::http1::request::parse(&text, &mut room) else {
                    // These mean something to a connection of HTTP/1.1; `h2` does not let them through.
                    let hop = request.headers.iter().any(|header| {
                        matches!(fields::classify(header.name), Field::TransferEncoding | Field::Connection | Field::Upgrade)
                    });
                    assert!(hop, "{}", String::from_utf8_lossy(&text));
                    return;
                };
                assert_eq!(size, text.len());
                assert_eq!(again.target, request.target);
                assert_eq!(again.host, request.host);
                assert_eq!(again.headers.len(), request.headers.len() + 1);
            });
        }
    }
}
