//! The header fields that the proxy decides by, removes, or replaces.

/// A field by its meaning for the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Host,
    Date,
    ContentLength,
    TransferEncoding,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Upgrade,
    Expect,
    Http2Settings,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XRequestId,
    InternalToken,
    /// Begins with `x-tako-`: said between parts of ours only.
    Tako,
    /// Differs from one of the above by `_` for `-`. Servers that put headers into environment variables cannot tell the
    /// two apart, so it would be believed as the real one.
    Lookalike,
    Other,
}

use Field::{
    Connection, ContentLength, Date, Expect, Forwarded, Host, Http2Settings, InternalToken,
    KeepAlive, Lookalike, Other, ProxyConnection, Tako, Te, TransferEncoding, Upgrade,
    XForwardedFor, XForwardedProto, XRequestId,
};

#[must_use]
pub fn classify(name: &str) -> Field {
    // Ordered by length: one comparison for most names.
    let (known, field): (&[u8], Field) = match name.len() {
        2 => (b"te", Te),
        4 if name.as_bytes()[0] | 0x20 == b'h' => (b"host", Host),
        4 => (b"date", Date),
        6 => (b"expect", Expect),
        7 => (b"upgrade", Upgrade),
        9 => (b"forwarded", Forwarded),
        10 if name.as_bytes()[0] | 0x20 == b'k' => (b"keep-alive", KeepAlive),
        10 => (b"connection", Connection),
        12 => (b"x-request-id", XRequestId),
        14 if name.as_bytes()[0] | 0x20 == b'h' => (b"http2-settings", Http2Settings),
        14 => (b"content-length", ContentLength),
        15 => (b"x-forwarded-for", XForwardedFor),
        16 => (b"proxy-connection", ProxyConnection),
        17 if name.as_bytes()[0] | 0x20 == b'x' => (b"x-forwarded-proto", XForwardedProto),
        17 => (b"transfer-encoding", TransferEncoding),
        21 => (b"x-tako-internal-token", InternalToken),
        _ => return other(name),
    };
    let mut lookalike = false;
    for (byte, wanted) in name.bytes().zip(known) {
        if byte == b'_' && *wanted == b'-' {
            lookalike = true;
        } else if byte.to_ascii_lowercase() != *wanted {
            return other(name);
        }
    }
    if lookalike { Lookalike } else { field }
}

fn other(name: &str) -> Field {
    // The second byte tells it from most names.
    let bytes = name.as_bytes();
    if bytes.len() < 7 || !matches!(bytes[1], b'-' | b'_') {
        return Other;
    }
    let is_ours = bytes.iter().zip(b"x-tako-").all(|(byte, wanted)| {
        byte.to_ascii_lowercase() == *wanted || (*byte == b'_' && *wanted == b'-')
    });
    if is_ours { Tako } else { Other }
}

/// The comma-separated tokens of a value, trimmed.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[must_use]
pub fn has_token(value: &[u8], token: &str) -> bool {
    tokens(value).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
}

/// A Content-Length: digits only, no sign, no list.
#[must_use]
pub fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether an incoming request id may be kept: up to 128 printable characters without spaces.
#[must_use]
pub fn is_request_id(value: &[u8]) -> bool {
    (1..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_whatever_their_case() {
        for (name, field) in [
            ("Host", Host),
            ("CONTENT-LENGTH", ContentLength),
            ("transfer-Encoding", TransferEncoding),
            ("Keep-Alive", KeepAlive),
            ("Connection", Connection),
            ("X-Forwarded-Proto", XForwardedProto),
            ("X-Tako-Internal-Token", InternalToken),
            ("X_Tako_Internal-Token", Lookalike),
            ("content_length", Lookalike),
            ("x_forwarded_for", Lookalike),
            ("x-forwarded-fox", Other),
            ("X-Tako-App", Tako),
            ("x_tako_app", Tako),
            ("x-tako-", Tako),
            ("x-tako-internal-tokeN2", Tako),
            ("x-takoyaki", Other),
            ("x-tak", Other),
            ("cookie", Other),
            ("x", Other),
        ] {
            assert_eq!(classify(name), field, "{name}");
        }
    }

    #[test]
    fn a_length_is_digits_only() {
        assert_eq!(length(b"0"), Some(0));
        assert_eq!(length(b"0128"), Some(128));
        for wrong in [
            "",
            "+1",
            "-1",
            "1,1",
            "0x1",
            " 1",
            "1 ",
            "9999999999999999999",
        ] {
            assert_eq!(length(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
