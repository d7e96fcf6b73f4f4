//! Who the client is, and whether it came by HTTPS: by the connection, or by the word of a proxy that is trusted.

use std::net::IpAddr;

use crate::control::messages::SourceIp;
use crate::http1::Request;
use crate::table::Policy;

/// The client's address, or none when the app's policy refuses the request.
pub fn client_ip(
    peer: IpAddr,
    mode: SourceIp,
    policy: &Policy,
    request: &Request,
) -> Option<IpAddr> {
    let headers = &policy.client_ip_headers;
    match mode {
        SourceIp::Direct => Some(peer),
        SourceIp::Auto => {
            let by_cloudflare = from_cloudflare(peer, policy, request);
            let by_proxy = || {
                let is_listed = !headers.is_empty() && policy.trusted.contains(peer);
                is_listed.then(|| first_valid(headers, policy, request))?
            };
            by_cloudflare.or_else(by_proxy).or(Some(peer))
        }
        SourceIp::CloudflareProxy => from_cloudflare(peer, policy, request),
        SourceIp::TrustedProxy if !policy.trusts(peer) => None,
        SourceIp::TrustedProxy if headers.is_empty() => {
            first_valid(&["x-forwarded-for", "forwarded"], policy, request)
        }
        SourceIp::TrustedProxy => first_valid(headers, policy, request),
    }
}

fn from_cloudflare(peer: IpAddr, policy: &Policy, request: &Request) -> Option<IpAddr> {
    let is_cloudflare = policy.cloudflare.contains(peer);
    is_cloudflare.then(|| only(request, "cf-connecting-ip").and_then(address))?
}

fn first_valid(names: &[impl AsRef<str>], policy: &Policy, request: &Request) -> Option<IpAddr> {
    names.iter().find_map(|name| match name.as_ref() {
        "forwarded" => nearest_stranger(request, "forwarded", policy, |element| {
            parameter(element, "for").and_then(address)
        }),
        "x-forwarded-for" => nearest_stranger(request, "x-forwarded-for", policy, address),
        name => only(request, name).and_then(address),
    })
}

/// Of the addresses that a chain of proxies has added to a list, the last one that is not itself such a proxy; when all are,
/// the first.
///
/// The specification asks for a header "that contains a valid client IP" and limits requests by it. The first address of
/// a list is what the client wants it to be: nginx (`$proxy_add_x_forwarded_for`) appends to what it was sent, and `HAProxy`
/// adds a header line after the client's own. Only what a trusted proxy has added is its word, so the list is read from its
/// end, over all of the header's lines, for as long as the one that added an entry is trusted.
fn nearest_stranger(
    request: &Request,
    name: &str,
    policy: &Policy,
    read: impl Fn(&str) -> Option<IpAddr>,
) -> Option<IpAddr> {
    let mut farthest = None;
    for value in values(request, name).rev() {
        for element in elements(std::str::from_utf8(value).ok()?) {
            // What cannot be read hides the client; who came before is hearsay.
            let ip = read(element)?;
            if !policy.trusts(ip) {
                return Some(ip);
            }
            farthest = Some(ip);
        }
    }
    farthest
}

/// The elements of a list from the last to the first. A comma within quotes separates nothing.
fn elements(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value.rsplit(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

fn values<'r>(request: &'r Request, name: &str) -> impl DoubleEndedIterator<Item = &'r [u8]> {
    let headers = request.headers.iter();
    let named = headers.filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value)
}

fn first<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    std::str::from_utf8(values(request, name).next()?).ok()
}

/// The value of a header that has no list: with several there is no telling which one is the proxy's.
fn only<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let mut values = values(request, name);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    std::str::from_utf8(value).ok()
}

/// The value of a parameter of an element of Forwarded.
fn parameter<'v>(element: &'v str, name: &str) -> Option<&'v str> {
    element.split(';').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        let same = found.trim().eq_ignore_ascii_case(name);
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
    if !policy.believes_scheme(peer) {
        return false;
    }
    // The first of a list is how the client came to the outermost proxy, which is what a redirect is about: behind two of
    // them, the way between the two is plain often enough. A client that makes it up keeps itself from a redirect.
    let first_element = |name| first(request, name)?.split(',').next();
    let proto = first_element("x-forwarded-proto")
        .or_else(|| parameter(first_element("forwarded")?, "proto"));
    match proto {
        Some(proto) => proto.trim().eq_ignore_ascii_case("https"),
        // Local proxies in front of private names often say who but not how.
        None => {
            values(request, "x-forwarded-for").next().is_some()
                && request.host.as_deref().is_some_and(is_private)
        }
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
            cloudflare_cidrs: vec!["173.245.48.0/20".to_owned(), "2400:cb00::/32".to_owned()],
            client_ip_headers: headers.iter().map(|&name| name.to_owned()).collect(),
            ..Policies::default()
        })
        .unwrap()
    }

    fn client(mode: SourceIp, peer: &str, listed: &[&str], headers: &str) -> Option<String> {
        let policy = policy(listed);
        let ip = with(headers, |request| {
            client_ip(peer.parse().unwrap(), mode, &policy, request)
        });
        ip.map(|ip| ip.to_string())
    }

    const XFF: &str = "X-Forwarded-For: 1.2.3.4, 10.0.0.1\r\n";
    const CF: &str = "CF-Connecting-IP: 5.6.7.8\r\n";

    #[test]
    fn a_header_is_believed_only_from_a_trusted_peer() {
        use SourceIp::{Auto, Direct, TrustedProxy};
        let listed: &[&str] = &["X-Forwarded-For"];
        for (mode, peer, headers, expected) in [
            (Auto, "10.0.0.9", XFF, Some("1.2.3.4")),
            (Auto, "9.9.9.9", XFF, Some("9.9.9.9")),
            (Auto, "127.0.0.1", XFF, Some("127.0.0.1")),
            (Auto, "10.0.0.9", "", Some("10.0.0.9")),
            (Direct, "10.0.0.9", XFF, Some("10.0.0.9")),
            (TrustedProxy, "10.0.0.9", XFF, Some("1.2.3.4")),
            (TrustedProxy, "127.0.0.1", XFF, Some("1.2.3.4")),
            (TrustedProxy, "9.9.9.9", XFF, None),
            (TrustedProxy, "10.0.0.9", "", None),
            (
                TrustedProxy,
                "10.0.0.9",
                "X-Forwarded-For: nobody\r\n",
                None,
            ),
        ] {
            let ip = client(mode, peer, listed, headers);
            assert_eq!(ip.as_deref(), expected, "{mode:?} {peer} {headers}");
        }
    }

    #[test]
    fn cloudflares_word_is_believed_only_from_cloudflare() {
        use SourceIp::{Auto, CloudflareProxy, Direct, TrustedProxy};
        let twice = format!("{CF}{CF}");
        for (mode, peer, headers, expected) in [
            (Auto, "173.245.48.1", CF, Some("5.6.7.8")),
            (Auto, "2400:cb00::1", CF, Some("5.6.7.8")),
            (Auto, "173.245.64.1", CF, Some("173.245.64.1")),
            (Auto, "10.0.0.9", CF, Some("10.0.0.9")),
            (Auto, "173.245.48.1", "", Some("173.245.48.1")),
            (Auto, "173.245.48.1", XFF, Some("173.245.48.1")),
            (
                Auto,
                "173.245.48.1",
                "CF-Connecting-IP: x\r\n",
                Some("173.245.48.1"),
            ),
            (Direct, "173.245.48.1", CF, Some("173.245.48.1")),
            (CloudflareProxy, "173.245.48.1", CF, Some("5.6.7.8")),
            (CloudflareProxy, "173.245.48.1", "", None),
            (CloudflareProxy, "173.245.48.1", XFF, None),
            (
                CloudflareProxy,
                "173.245.48.1",
                "CF-Connecting-IP: 5.6.7.8, 1.1.1.1\r\n",
                None,
            ),
            (CloudflareProxy, "173.245.48.1", &twice, None),
            (CloudflareProxy, "9.9.9.9", CF, None),
            (CloudflareProxy, "10.0.0.9", CF, None),
            (CloudflareProxy, "127.0.0.1", CF, None),
            (TrustedProxy, "173.245.48.1", CF, None),
        ] {
            let ip = client(mode, peer, &["x-forwarded-for"], headers);
            assert_eq!(ip.as_deref(), expected, "{mode:?} {peer} {headers}");
        }
        let listed: &[&str] = &["CF-Connecting-IP"];
        let behind_another = client(Auto, "10.0.0.9", listed, CF);
        assert_eq!(behind_another.as_deref(), Some("5.6.7.8"));
    }

    #[test]
    fn the_first_listed_header_that_names_a_client_is_used() {
        let both = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n";
        let one_useless = "Forwarded: for=unknown\r\nX-Forwarded-For: 1.2.3.4\r\n";
        for (listed, headers, expected) in [
            (&["forwarded", "x-forwarded-for"][..], both, "6.6.6.6"),
            (&["x-forwarded-for", "forwarded"], both, "1.2.3.4"),
            (&["forwarded", "x-forwarded-for"], one_useless, "1.2.3.4"),
            (&["cf-connecting-ip", "forwarded"], both, "6.6.6.6"),
            (&[], both, "1.2.3.4"),
        ] {
            let ip = client(SourceIp::TrustedProxy, "10.0.0.9", listed, headers);
            assert_eq!(ip.as_deref(), Some(expected), "{listed:?} {headers}");
        }
    }

    #[test]
    fn of_a_list_only_what_trusted_proxies_added_is_believed() {
        for (headers, expected) in [
            ("X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", Some("1.2.3.4")),
            (
                "X-Forwarded-For: 6.6.6.6,1.2.3.4, 10.0.0.1,10.0.0.2\r\n",
                Some("1.2.3.4"),
            ),
            (
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n",
                Some("1.2.3.4"),
            ),
            (
                "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.0.0.1\r\n",
                Some("1.2.3.4"),
            ),
            ("X-Forwarded-For: 10.0.0.3, 10.0.0.1\r\n", Some("10.0.0.3")),
            ("X-Forwarded-For: garbage, 1.2.3.4\r\n", Some("1.2.3.4")),
            ("X-Forwarded-For: 1.2.3.4, garbage\r\n", None),
            ("X-Forwarded-For: 1.2.3.4, garbage, 10.0.0.1\r\n", None),
            ("X-Forwarded-For: \r\n", None),
            (
                "Forwarded: for=6.6.6.6, for=1.2.3.4;proto=https, for=10.0.0.1\r\n",
                Some("1.2.3.4"),
            ),
            (
                "Forwarded: for=\"[2001:db8::1]:4711\";by=\"a,b\"\r\n",
                Some("2001:db8::1"),
            ),
            ("Forwarded: for=1.2.3.4, proto=https\r\n", None),
            ("Forwarded: for=_hidden\r\n", None),
        ] {
            let ip = client(SourceIp::TrustedProxy, "10.0.0.9", &[], headers);
            assert_eq!(ip.as_deref(), expected, "{headers}");
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
            ("10.0.0.9", "X-Forwarded-Proto: https, http\r\n", true),
            ("173.245.48.1", "X-Forwarded-Proto: https\r\n", true),
            ("173.245.48.1", "X-Forwarded-Proto: http\r\n", false),
            ("9.9.9.9", "X-Forwarded-Proto: https\r\n", false),
            ("9.9.9.9", "Forwarded: proto=https\r\n", false),
            ("9.9.9.9", "X-Forwarded-For: 1.2.3.4\r\n", false),
        ] {
            let policy = policy(&[]);
            let seen = with(headers, |request| {
                came_by_https(peer.parse().unwrap(), &policy, request)
            });
            assert_eq!(seen, expected, "{peer} {headers:?}");
        }
    }
}
