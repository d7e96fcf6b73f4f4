//! Who the client is, and whether it came by HTTPS: by the connection, or by the word of a proxy that is trusted.

use std::net::IpAddr;

use crate::control::messages::SourceIp;
use crate::http1::Request;
use crate::http1::fields::{Field, classify};
use crate::table::Policy;

/// The client's address, or none when the app's policy refuses the request.
pub fn client_ip(
    peer: IpAddr,
    mode: SourceIp,
    policy: &Policy,
    request: &Request,
) -> Option<IpAddr> {
    match mode {
        SourceIp::Direct => Some(peer),
        SourceIp::Auto if policy.client_ip_headers.is_empty() || !policy.lists(peer) => Some(peer),
        SourceIp::Auto => Some(first_valid(&policy.client_ip_headers, request).unwrap_or(peer)),
        SourceIp::TrustedProxy if !policy.trusts(peer) => None,
        SourceIp::TrustedProxy if policy.client_ip_headers.is_empty() => {
            first_valid(&["x-forwarded-for", "forwarded"], request)
        }
        SourceIp::TrustedProxy => first_valid(&policy.client_ip_headers, request),
        // The table does not carry Cloudflare's ranges, so nobody is known to be Cloudflare.
        SourceIp::CloudflareProxy => None,
    }
}

fn first_valid(names: &[impl AsRef<str>], request: &Request) -> Option<IpAddr> {
    names.iter().find_map(|name| {
        let name = name.as_ref();
        let value = header(request, name)?;
        if name == "forwarded" {
            forwarded(value, "for").and_then(address)
        } else {
            // The left-most is the client; a trusted proxy has checked what is before itself.
            address(value.split(',').next()?)
        }
    })
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let mut headers = request.headers.iter();
    let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}

/// The value of a parameter in the first element of a Forwarded header.
fn forwarded<'v>(value: &'v str, parameter: &str) -> Option<&'v str> {
    let first = value.split(',').next()?;
    first.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let same = name.trim().eq_ignore_ascii_case(parameter);
        same.then(|| value.trim().trim_matches('"'))
    })
}

/// An address as proxies write it: with or without port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text.rsplit_once(':')?.0,
    };
    host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Whether a request on the plain listener came to a trusted proxy by HTTPS.
pub fn came_by_https(peer: IpAddr, policy: &Policy, request: &Request) -> bool {
    let told = |field| {
        let mut headers = request.headers.iter();
        headers.any(|header| classify(header.name) == field)
    };
    if !policy.trusts(peer) {
        return false;
    }
    let proto = header(request, "x-forwarded-proto")
        .and_then(|value| value.split(',').next())
        .or_else(|| forwarded(header(request, "forwarded")?, "proto"));
    match proto {
        Some(proto) => proto.trim().eq_ignore_ascii_case("https"),
        // Local proxies in front of private names often say who but not how.
        None => told(Field::XForwardedFor) && request.host.as_deref().is_some_and(is_private),
    }
}

/// Names that no public certificate can be had for.
fn is_private(host: &str) -> bool {
    const SUFFIXES: [&str; 6] = [
        ".localhost",
        ".local",
        ".test",
        ".invalid",
        ".example",
        ".home.arpa",
    ];
    !host.contains('.') || SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::messages::Policies;
    use crate::http1::{Parsed, header_room, request};

    fn with<T>(headers: &str, look: impl FnOnce(&Request) -> T) -> T {
        let text = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n");
        let mut room = header_room();
        match request::parse(text.as_bytes(), &mut room) {
            Ok(Parsed::Complete(request, _)) => look(&request),
            other => panic!("{other:?}"),
        }
    }

    fn policy(headers: &[&str]) -> Policy {
        Policy::compile(&Policies {
            trusted_cidrs: vec!["10.0.0.0/8".to_owned()],
            client_ip_headers: headers.iter().map(|&name| name.to_owned()).collect(),
            ..Policies::default()
        })
        .unwrap()
    }

    #[test]
    fn a_header_is_believed_only_from_a_trusted_peer() {
        let forwarded = "X-Forwarded-For: 1.2.3.4, 10.0.0.1\r\n";
        for (mode, peer, headers, expected) in [
            (SourceIp::Auto, "10.0.0.9", forwarded, Some("1.2.3.4")),
            (SourceIp::Auto, "9.9.9.9", forwarded, Some("9.9.9.9")),
            (SourceIp::Auto, "10.0.0.9", "", Some("10.0.0.9")),
            (SourceIp::Direct, "10.0.0.9", forwarded, Some("10.0.0.9")),
            (
                SourceIp::TrustedProxy,
                "10.0.0.9",
                forwarded,
                Some("1.2.3.4"),
            ),
            (
                SourceIp::TrustedProxy,
                "127.0.0.1",
                forwarded,
                Some("1.2.3.4"),
            ),
            (SourceIp::TrustedProxy, "9.9.9.9", forwarded, None),
            (
                SourceIp::TrustedProxy,
                "10.0.0.9",
                "X-Forwarded-For: nobody\r\n",
                None,
            ),
            (SourceIp::CloudflareProxy, "10.0.0.9", forwarded, None),
        ] {
            let policy = policy(&["X-Forwarded-For"]);
            let ip = with(headers, |request| {
                client_ip(peer.parse().unwrap(), mode, &policy, request)
            });
            assert_eq!(
                ip.map(|ip| ip.to_string()).as_deref(),
                expected,
                "{mode:?} {peer}"
            );
        }
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, expected) in [
            ("1.2.3.4", Some("1.2.3.4")),
            (" 1.2.3.4:80 ", Some("1.2.3.4")),
            ("[fd00::1]:80", Some("fd00::1")),
            ("fd00::1", Some("fd00::1")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("unknown", None),
            ("", None),
        ] {
            let seen = address(text).map(|ip| ip.to_string());
            assert_eq!(seen.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn https_is_believed_only_from_a_trusted_peer() {
        for (peer, headers, expected) in [
            ("127.0.0.1", "X-Forwarded-Proto: https\r\n", true),
            ("127.0.0.1", "Forwarded: for=1.2.3.4;proto=https\r\n", true),
            ("127.0.0.1", "X-Forwarded-For: 1.2.3.4\r\n", true),
            ("127.0.0.1", "X-Forwarded-Proto: http\r\n", false),
            ("127.0.0.1", "", false),
            ("9.9.9.9", "X-Forwarded-Proto: https\r\n", false),
        ] {
            let policy = policy(&[]);
            let seen = with(headers, |request| {
                came_by_https(peer.parse().unwrap(), &policy, request)
            });
            assert_eq!(seen, expected, "{peer} {headers:?}");
        }
    }
}
