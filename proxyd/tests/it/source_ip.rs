use tako_proxyd::control::messages::SourceIp;

use crate::support::client::Reply;
use crate::support::proxy::{Place, Proxy, active};
use crate::support::upstream::Upstream;

/// A proxy to which the tests' own address is Cloudflare's, a listed proxy's, or neither.
fn proxy(upstream: &Upstream, mode: SourceIp, is_cloudflare: bool, is_listed: bool) -> Proxy {
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    let own = vec!["127.0.0.0/8".to_owned()];
    table.apps[0].source_ip = mode;
    if is_cloudflare {
        table.policies.cloudflare_cidrs.clone_from(&own);
    }
    if is_listed {
        table.policies.trusted_cidrs = own;
        table.policies.client_ip_headers = vec!["forwarded".to_owned()];
    }
    place.serve(&table)
}

fn get(proxy: &Proxy, headers: &str) -> Reply {
    let mut client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n"));
    client.reply()
}

fn client_seen(reply: &Reply) -> Option<&str> {
    let mut lines = reply.text().lines();
    lines.find_map(|line| line.strip_prefix("x-forwarded-for: "))
}

const WORDS: &str =
    "CF-Connecting-IP: 5.6.7.8\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n";

#[test]
fn each_mode_has_its_own_idea_of_who_the_client_is() {
    use SourceIp::{Auto, CloudflareProxy, Direct, TrustedProxy};
    let upstream = Upstream::echo();
    for (mode, is_cloudflare, is_listed, expected) in [
        (Auto, false, false, Some("127.0.0.1")),
        (Auto, true, false, Some("5.6.7.8")),
        (Auto, true, true, Some("5.6.7.8")),
        (Auto, false, true, Some("6.6.6.6")),
        (Direct, true, true, Some("127.0.0.1")),
        (CloudflareProxy, true, false, Some("5.6.7.8")),
        (CloudflareProxy, false, true, None),
        (TrustedProxy, false, false, Some("1.2.3.4")),
        (TrustedProxy, false, true, Some("6.6.6.6")),
    ] {
        let proxy = proxy(&upstream, mode, is_cloudflare, is_listed);
        let reply = get(&proxy, WORDS);
        let case = format!("{mode:?}, Cloudflare: {is_cloudflare}, listed: {is_listed}");
        match expected {
            Some(_) => assert_eq!(client_seen(&reply), expected, "{case}"),
            None => assert_eq!((reply.status, reply.text()), (403, "Forbidden"), "{case}"),
        }
    }
}

#[test]
fn strict_modes_refuse_who_does_not_say() {
    let upstream = Upstream::echo();
    for mode in [SourceIp::CloudflareProxy, SourceIp::TrustedProxy] {
        let proxy = proxy(&upstream, mode, true, true);
        assert_eq!(get(&proxy, "").status, 403, "{mode:?}");
        let useless = "CF-Connecting-IP: -\r\nForwarded: for=_x\r\n";
        assert_eq!(get(&proxy, useless).status, 403, "{mode:?}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn an_instance_gets_one_address_and_no_one_elses_word() {
    let upstream = Upstream::echo();
    let proxy = proxy(&upstream, SourceIp::Auto, false, false);
    let reply = get(&proxy, WORDS);
    let seen = reply.text().to_lowercase();
    assert_eq!(seen.matches("x-forwarded-for").count(), 1, "{seen}");
    assert!(!seen.contains("\nforwarded:"), "{seen}");
}

#[test]
fn a_request_that_came_to_cloudflare_by_https_is_not_redirected() {
    let upstream = Upstream::echo();
    let proxy = proxy(&upstream, SourceIp::CloudflareProxy, true, false);
    let mut client = proxy.plain();
    for (scheme, status) in [("https", 200), ("http", 307)] {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nCF-Connecting-IP: 5.6.7.8\r\nX-Forwarded-Proto: {scheme}\r\n\r\n"
        ));
        assert_eq!(client.reply().status, status, "{scheme}");
    }
}
