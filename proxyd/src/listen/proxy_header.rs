//! The header of the PROXY protocol, versions 1 and 2, as bytes: pure. (proxy-protocol.txt of `HAProxy`, sections 2.1 and 2.2.)
//!
//! It stands before everything else on a connection, TLS included, so it is read before anybody has proved anything. Whether
//! the peer may send one at all is decided by the caller.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a header may have at most, as in nginx; 536 would do for the addresses, the rest is for extensions.
pub const MAX_SIZE: usize = 4096;

/// The longest line of version 1: two full IPv6 addresses, two ports, carriage return and newline.
const V1_LINE: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// More bytes are needed to tell.
    Partial,
    /// Something else, by a peer that speaks for itself.
    Absent,
    /// A header of so many bytes. It names no source when the proxy speaks for itself, or for something that has no address.
    Header { size: usize, source: Option<IpAddr> },
}

/// It begins like a header and is none: nothing that follows can be told apart from the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Looks at the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Result<Start, Malformed> {
    if bytes.starts_with(V1_START) {
        parse_v1(bytes)
    } else if bytes.starts_with(V2_START) {
        parse_v2(bytes)
    } else if V1_START.starts_with(bytes) || V2_START.starts_with(bytes) {
        Ok(Start::Partial)
    } else {
        Ok(Start::Absent)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Start, Malformed> {
    let first = &bytes[..bytes.len().min(V1_LINE)];
    let Some(end) = first.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < V1_LINE {
            Ok(Start::Partial)
        } else {
            Err(Malformed("a line that does not end"))
        };
    };
    let line = first[V1_START.len()..end]
        .strip_suffix(b"\r")
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(Malformed("a line that is not text"))?;
    Ok(Start::Header {
        size: end + 1,
        source: v1_source(line)?,
    })
}

fn v1_source(line: &str) -> Result<Option<IpAddr>, Malformed> {
    let mut words = line.split(' ');
    let family = words.next();
    if family == Some("UNKNOWN") {
        // What follows is to be ignored, whatever it is.
        return Ok(None);
    }
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            Some("TCP4") => Some(word.parse::<Ipv4Addr>().ok()?.into()),
            Some("TCP6") => Some(word.parse::<Ipv6Addr>().ok()?.into()),
            _ => None,
        }
    };
    let (Some(source), Some(_)) = (address(), address()) else {
        return Err(Malformed("addresses that are none of the family's"));
    };
    let (from, to, rest) = (words.next(), words.next(), words.next());
    if !from.is_some_and(is_port) || !to.is_some_and(is_port) || rest.is_some() {
        return Err(Malformed("ports that are none"));
    }
    Ok(Some(source.to_canonical()))
}

fn is_port(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit()) && word.parse::<u16>().is_ok()
}

fn parse_v2(bytes: &[u8]) -> Result<Start, Malformed> {
    let Some(&[command, family, high, low]) = bytes.get(V2_START.len()..V2_FIXED) else {
        return Ok(Start::Partial);
    };
    let size = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if size > MAX_SIZE {
        return Err(Malformed("longer than any header has to be"));
    }
    let Some(addresses) = bytes.get(V2_FIXED..size) else {
        return Ok(Start::Partial);
    };
    let source = match command {
        // LOCAL: the proxy's own connection, a health check. The rest counts for nothing.
        0x20 => None,
        0x21 => v2_source(family, addresses)?,
        _ => return Err(Malformed("an unknown version or command")),
    };
    Ok(Start::Header { size, source })
}

/// What follows the addresses are extensions, which say nothing that is asked here.
fn v2_source(family: u8, addresses: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    let too_short = Malformed("too short for its addresses");
    if family & 0x0f > 2 {
        return Err(Malformed("an unknown transport"));
    }
    match family >> 4 {
        1 => match addresses.first_chunk::<12>() {
            Some(&[a, b, c, d, ..]) => Ok(Some(Ipv4Addr::new(a, b, c, d).into())),
            None => Err(too_short),
        },
        2 if addresses.len() < 36 => Err(too_short),
        2 => match addresses.first_chunk::<16>() {
            Some(source) => Ok(Some(IpAddr::from(*source).to_canonical())),
            None => Err(too_short),
        },
        3 if addresses.len() < 216 => Err(too_short),
        // Unspecified, or a client on a Unix socket, which has no address.
        0 | 3 => Ok(None),
        _ => Err(Malformed("an unknown family")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The source in words, `-` when the header names none.
    fn outcome(bytes: &[u8]) -> Result<String, String> {
        match parse(bytes) {
            Ok(Start::Partial) => Ok("partial".to_owned()),
            Ok(Start::Absent) => Ok("absent".to_owned()),
            Ok(Start::Header { source, .. }) => {
                Ok(source.map_or("-".to_owned(), |source| source.to_string()))
            }
            Err(Malformed(reason)) => Err(reason.to_owned()),
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [1, 2, 3, 4, 10, 0, 0, 1, 0x1f, 0x90, 1, 0xbb];

    fn v6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [source.octets().as_slice(), &[0; 20]].concat()
    }

    #[test]
    fn version_1_names_the_source() {
        for (line, source) in [
            ("PROXY TCP4 1.2.3.4 10.0.0.1 56324 443\r\n", "1.2.3.4"),
            ("PROXY TCP6 2001:db8::1 fd00::1 1 65535\r\n", "2001:db8::1"),
            ("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", "1.2.3.4"),
            ("PROXY UNKNOWN\r\n", "-"),
            ("PROXY UNKNOWN ffff::1 what ever\r\n", "-"),
        ] {
            assert_eq!(outcome(line.as_bytes()), Ok(source.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_line_of_another_form_is_malformed() {
        let long = "x".repeat(92);
        for line in [
            "PROXY TCP4 1.2.3.4 10.0.0.1 56324\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 56324 443 1\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 +1 443\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 1 65536\r\n",
            "PROXY TCP4 1.2.3.4  10.0.0.1 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3 10.0.0.1 1 2\r\n",
            "PROXY tcp4 1.2.3.4 10.0.0.1 1 2\r\n",
            "PROXY UDP4 1.2.3.4 10.0.0.1 1 2\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 1 2\n",
            "PROXY / HTTP/1.1\r\n",
            "PROXY \r\n",
            &format!("PROXY UNKNOWN {long}\r\n"),
        ] {
            assert!(outcome(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn version_2_names_the_source() {
        let extended = [&V4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (case, header, source) in [
            ("TCP over IPv4", v2(0x21, 0x11, &V4), "1.2.3.4"),
            ("UDP over IPv4", v2(0x21, 0x12, &V4), "1.2.3.4"),
            ("with extensions", v2(0x21, 0x11, &extended), "1.2.3.4"),
            ("IPv6", v2(0x21, 0x21, &v6("2001:db8::1")), "2001:db8::1"),
            ("mapped", v2(0x21, 0x21, &v6("::ffff:1.2.3.4")), "1.2.3.4"),
            ("a Unix socket", v2(0x21, 0x31, &[0; 216]), "-"),
            ("unspecified", v2(0x21, 0x00, &[]), "-"),
            ("local", v2(0x20, 0x00, &[]), "-"),
            ("local with addresses", v2(0x20, 0x11, &V4), "-"),
            ("local of no known family", v2(0x20, 0xff, &[9]), "-"),
        ] {
            assert_eq!(outcome(&header), Ok(source.to_owned()), "{case}");
        }
    }

    #[test]
    fn a_binary_header_of_another_form_is_malformed() {
        for (case, header) in [
            ("version 1", v2(0x11, 0x11, &V4)),
            ("version 3", v2(0x31, 0x11, &V4)),
            ("an unknown command", v2(0x22, 0x11, &V4)),
            ("an unknown family", v2(0x21, 0x41, &V4)),
            ("an unknown transport", v2(0x21, 0x13, &V4)),
            ("too short for IPv4", v2(0x21, 0x11, &V4[..11])),
            ("too short for IPv6", v2(0x21, 0x21, &[0; 35])),
            ("too short for a Unix socket", v2(0x21, 0x31, &[0; 215])),
            ("too long", v2(0x21, 0x11, &[0; MAX_SIZE - V2_FIXED + 1])),
        ] {
            assert!(outcome(&header).is_err(), "{case}");
        }
        // Not waited for: it will not be read.
        assert!(outcome(&v2(0x21, 0x11, &[0; 5000])[..V2_FIXED]).is_err());
        let longest = v2(
            0x21,
            0x11,
            &[&V4[..], &[0; MAX_SIZE - V2_FIXED - 12]].concat(),
        );
        assert_eq!(outcome(&longest), Ok("1.2.3.4".to_owned()));
    }

    #[test]
    fn other_beginnings_are_no_header() {
        for (bytes, expected) in [
            (&b""[..], "partial"),
            (b"P", "partial"),
            (b"PROXY", "partial"),
            (b"\r", "partial"),
            (b"\r\n\r\n", "partial"),
            (b"\r\n\r\n\0\r\nQUIT\n", "partial"),
            (b"POST / HTTP/1.1\r\n", "absent"),
            (b"proxy TCP4", "absent"),
            (b"PROXYA", "absent"),
            (b"\r\nGET / HTTP/1.1\r\n", "absent"),
            (b"\x16\x03\x01", "absent"),
            (b"PRI * HTTP/2.0\r\n", "absent"),
        ] {
            assert_eq!(outcome(bytes), Ok(expected.to_owned()), "{bytes:?}");
        }
    }

    fn header() -> impl Strategy<Value = (Vec<u8>, IpAddr)> {
        let line = any::<(u32, u32, u16, u16)>().prop_map(|(source, to, from, port)| {
            let (source, to) = (Ipv4Addr::from(source), Ipv4Addr::from(to));
            let line = format!("PROXY TCP4 {source} {to} {from} {port}\r\n");
            (line.into_bytes(), IpAddr::from(source))
        });
        let extensions = proptest::collection::vec(any::<u8>(), 0..100);
        let binary = (any::<[u8; 16]>(), extensions).prop_map(|(source, extensions)| {
            let rest = [&source[..], &[0; 20], &extensions].concat();
            (v2(0x21, 0x21, &rest), IpAddr::from(source).to_canonical())
        });
        prop_oneof![line, binary]
    }

    proptest! {
        #[test]
        fn a_header_is_found_whatever_follows_and_is_awaited_whole(
            (header, source) in header(),
            after in proptest::collection::vec(any::<u8>(), 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let found = Ok(Start::Header { size: header.len(), source: Some(source) });
            let all = [&header[..], &after].concat();
            prop_assert_eq!(parse(&all), found);
            prop_assert_eq!(parse(&header[..cut.index(header.len())]), Ok(Start::Partial));
        }

        #[test]
        fn no_bytes_break_it(
            start in 0..3usize,
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [[&b""[..], V1_START, V2_START][start], &rest].concat();
            if let Ok(Start::Header { size, .. }) = parse(&bytes) {
                prop_assert!(size <= bytes.len());
            }
        }
    }
}
