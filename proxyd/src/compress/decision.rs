//! Whether a response is to be compressed, decided from both heads. Pure.

use super::accept::{Accepted, Algorithm};
use crate::http1::Response;
use crate::http1::fields::{has_token, tokens};
use crate::http1::response::Delimiter;

/// Smaller bodies gain nothing.
pub const MIN_LENGTH: u64 = 1024;

/// Why a response is passed on as it is; by the names of access records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    AlreadyEncoded,
    HeadRequest,
    IneligibleStatus,
    MissingAcceptEncoding,
    NoTransform,
    ServerSentEvents,
    StreamingOrUnknownLength,
    TooSmall,
    UnsupportedEncoding,
    Upgrade,
    UnsupportedContentType,
}

impl Skip {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AlreadyEncoded => "already_encoded",
            Self::HeadRequest => "head_request",
            Self::IneligibleStatus => "ineligible_status",
            Self::MissingAcceptEncoding => "missing_accept_encoding",
            Self::NoTransform => "no_transform",
            Self::ServerSentEvents => "server_sent_events",
            Self::StreamingOrUnknownLength => "streaming_or_unknown_length",
            Self::TooSmall => "too_small",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::Upgrade => "upgrade",
            Self::UnsupportedContentType => "unsupported_content_type",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub coding: Result<Algorithm, Skip>,
    /// Another client could get another body for the same request, which caches must know.
    pub varies: bool,
}

impl Decision {
    const fn skip(reason: Skip) -> Self {
        Self {
            coding: Err(reason),
            varies: false,
        }
    }
}

/// What the headers say that matters here.
#[derive(Default)]
struct Seen<'h> {
    content_type: &'h [u8],
    length: u64,
    is_encoded: bool,
    no_transform: bool,
}

/// Decides about a final response; `accepted` is asked only when it matters.
pub fn decide(accepted: impl FnOnce() -> Accepted, to_head: bool, response: &Response) -> Decision {
    if response.status == 101 {
        return Decision::skip(Skip::Upgrade);
    }
    // Without a body to speak of, or with a part of one, which would no longer be that part.
    if !(200..300).contains(&response.status) || matches!(response.status, 204..=206) {
        return Decision::skip(Skip::IneligibleStatus);
    }
    // Before anything is searched for: most responses end here.
    if matches!(response.body, Delimiter::Length(..MIN_LENGTH)) {
        return Decision::skip(Skip::TooSmall);
    }
    let seen = look(response);
    if is_type(seen.content_type, b"text/event-stream") {
        return Decision::skip(Skip::ServerSentEvents);
    }
    if matches!(response.body, Delimiter::Chunked | Delimiter::UntilClose) {
        return Decision::skip(Skip::StreamingOrUnknownLength);
    }
    let fault = if seen.length < MIN_LENGTH {
        Some(Skip::TooSmall)
    } else if seen.is_encoded {
        Some(Skip::AlreadyEncoded)
    } else if seen.no_transform {
        Some(Skip::NoTransform)
    } else if !is_compressible(seen.content_type) {
        Some(Skip::UnsupportedContentType)
    } else {
        None
    };
    let coding = match (to_head, fault) {
        (true, _) => Err(Skip::HeadRequest),
        (_, Some(reason)) => Err(reason),
        _ => match accepted() {
            Accepted::Unsaid => Err(Skip::MissingAcceptEncoding),
            Accepted::Neither => Err(Skip::UnsupportedEncoding),
            Accepted::Best(algorithm) => Ok(algorithm),
        },
    };
    Decision {
        coding,
        varies: fault.is_none(),
    }
}

fn look<'h>(response: &Response<'h>) -> Seen<'h> {
    let mut seen = Seen::default();
    for header in response.headers {
        let name = header.name;
        match name.len() {
            12 if name.eq_ignore_ascii_case("content-type") => seen.content_type = header.value,
            13 if name.eq_ignore_ascii_case("cache-control") => {
                seen.no_transform |= has_token(header.value, "no-transform");
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                seen.length = crate::http1::fields::length(header.value).unwrap_or(0);
            }
            16 if name.eq_ignore_ascii_case("content-encoding") => {
                seen.is_encoded |=
                    tokens(header.value).any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
            }
            _ => {}
        }
    }
    seen
}

fn essence(content_type: &[u8]) -> &[u8] {
    let mut parts = content_type.split(|byte| *byte == b';');
    parts.next().unwrap_or_default().trim_ascii()
}

fn is_type(content_type: &[u8], wanted: &[u8]) -> bool {
    essence(content_type).eq_ignore_ascii_case(wanted)
}

/// Text, and what is text under another name; images, video, audio, archives and fonts are compressed already.
fn is_compressible(content_type: &[u8]) -> bool {
    const TYPES: [&str; 9] = [
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/ecmascript",
        "application/xml",
        "application/wasm",
        "image/svg+xml",
        "application/manifest+json",
        "application/xhtml+xml",
    ];
    let essence = essence(content_type).to_ascii_lowercase();
    let Ok(essence) = std::str::from_utf8(&essence) else {
        return false;
    };
    let is_structured = essence.starts_with("application/")
        && (essence.ends_with("+json") || essence.ends_with("+xml"));
    essence.starts_with("text/") || is_structured || TYPES.contains(&essence)
}

/// Whether a response field does not hold for the body once it is compressed.
#[must_use]
pub fn is_spoilt(name: &str) -> bool {
    const SPOILT: [&str; 4] = ["content-length", "etag", "content-md5", "accept-ranges"];
    SPOILT
        .iter()
        .any(|spoilt| name.eq_ignore_ascii_case(spoilt))
}

/// Whether the response says already that it depends on Accept-Encoding.
#[must_use]
pub fn has_vary(headers: &[httparse::Header]) -> bool {
    headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("vary")
            && (has_token(header.value, "accept-encoding") || has_token(header.value, "*"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, header_room, response};

    const BR: Accepted = Accepted::Best(Algorithm::Brotli);

    fn decided(accepted: Accepted, to_head: bool, head: &str) -> (&'static str, bool) {
        let text = format!("HTTP/1.1 {head}\r\n\r\n");
        let mut room = header_room();
        let Ok(Parsed::Complete(response, _)) =
            response::parse(text.as_bytes(), to_head, &mut room)
        else {
            panic!("{head}");
        };
        let decision = decide(|| accepted, to_head, &response);
        let word = decision.coding.map_or_else(Skip::name, Algorithm::name);
        (word, decision.varies)
    }

    #[test]
    fn what_is_text_long_enough_and_asked_for_is_compressed() {
        for content_type in [
            "text/html",
            "TEXT/Plain; charset=utf-8",
            "text/css",
            "application/json",
            "application/javascript",
            "application/vnd.api+json",
            "application/rss+xml",
            "application/wasm",
            "image/svg+xml",
        ] {
            let head = format!("200 OK\r\nContent-Length: 1024\r\nContent-Type: {content_type}");
            assert_eq!(decided(BR, false, &head), ("br", true), "{content_type}");
        }
        let created = "201 Created\r\nContent-Length: 5000\r\nContent-Type: text/html";
        let gzip = Accepted::Best(Algorithm::Gzip);
        assert_eq!(decided(gzip, false, created), ("gzip", true));
    }

    #[test]
    fn everything_else_is_passed_on_for_a_reason() {
        let html = "Content-Type: text/html\r\nContent-Length: 2000";
        for (head, reason, varies) in [
            ("101 Switching Protocols".to_owned(), "upgrade", false),
            (
                format!("404 Not Found\r\n{html}"),
                "ineligible_status",
                false,
            ),
            (format!("206 Partial\r\n{html}"), "ineligible_status", false),
            ("204 No Content".to_owned(), "ineligible_status", false),
            (
                "200 OK\r\nContent-Type: text/html\r\nContent-Length: 1023".to_owned(),
                "too_small",
                false,
            ),
            (
                "200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked".to_owned(),
                "streaming_or_unknown_length",
                false,
            ),
            (
                "200 OK\r\nContent-Type: text/html".to_owned(),
                "streaming_or_unknown_length",
                false,
            ),
            (
                "200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
                    .to_owned(),
                "server_sent_events",
                false,
            ),
            (
                format!("200 OK\r\nContent-Encoding: gzip\r\n{html}"),
                "already_encoded",
                false,
            ),
            (
                format!("200 OK\r\nContent-Encoding: identity\r\n{html}"),
                "br",
                true,
            ),
            (
                format!("200 OK\r\nCache-Control: public, No-Transform\r\n{html}"),
                "no_transform",
                false,
            ),
            (
                "200 OK\r\nContent-Type: image/png\r\nContent-Length: 5000".to_owned(),
                "unsupported_content_type",
                false,
            ),
            (
                "200 OK\r\nContent-Type: font/woff2\r\nContent-Length: 5000".to_owned(),
                "unsupported_content_type",
                false,
            ),
            (
                "200 OK\r\nContent-Length: 5000".to_owned(),
                "unsupported_content_type",
                false,
            ),
        ] {
            assert_eq!(decided(BR, false, &head), (reason, varies), "{head}");
        }
        let head = format!("200 OK\r\n{html}");
        assert_eq!(
            decided(Accepted::Unsaid, false, &head),
            ("missing_accept_encoding", true)
        );
        assert_eq!(
            decided(Accepted::Neither, false, &head),
            ("unsupported_encoding", true)
        );
        assert_eq!(decided(BR, true, &head), ("head_request", true));
        let small = "200 OK\r\nContent-Type: text/html\r\nContent-Length: 3";
        assert_eq!(decided(BR, true, small), ("head_request", false));
    }

    #[test]
    fn a_vary_that_covers_it_is_enough() {
        let vary = |value: &'static [u8]| {
            has_vary(&[httparse::Header {
                name: "Vary",
                value,
            }])
        };
        assert!(vary(b"Cookie, accept-encoding") && vary(b"*"));
        assert!(!vary(b"Cookie"));
    }
}
