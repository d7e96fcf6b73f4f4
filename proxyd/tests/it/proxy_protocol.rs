use tako_proxyd::control::messages::Table;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::server::Server;
use crate::support::upstream::{Then, Upstream};

const LINE: &[u8] = b"PROXY TCP4 1.2.3.4 10.0.0.1 56324 443\r\n";

/// A version 2 header with 3,000 bytes of extensions: more than a packet carries.
fn binary() -> Vec<u8> {
    let addresses = [1, 2, 3, 4, 10, 0, 0, 1, 0xdc, 4, 1, 0xbb];
    let length = u16::to_be_bytes(12 + 3000);
    [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
        &length[..],
        &addresses,
        &[0xee; 3000],
    ]
    .concat()
}

fn behind(change: impl FnOnce(&mut Table)) -> (Proxy, Upstream) {
    let upstream = Upstream::echo();
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.proxy_protocol = true;
    change(&mut table);
    (place.serve(&table), upstream)
}

/// Whom the instance is told of.
fn seen_by_instance(proxy: &Proxy, before: &[u8]) -> std::io::Result<String> {
    let mut client = Client::tls_after(proxy.https, before, HOST, &proxy.place.trusted)?;
    let reply = client.try_get(HOST, "/")?;
    let seen = reply.text().lines();
    let mut found = seen.filter_map(|line| line.strip_prefix("x-forwarded-for: "));
    Ok(found.next().unwrap().to_owned())
}

#[test]
fn the_address_a_trusted_proxy_names_is_the_clients() {
    let (proxy, _upstream) = behind(|_| {});
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    for (case, header, expected) in [
        ("a line", LINE, "1.2.3.4"),
        ("binary", &binary(), "1.2.3.4"),
        ("no address", b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        ("the proxy itself", local, "127.0.0.1"),
        ("no header", b"", "127.0.0.1"),
    ] {
        assert_eq!(
            seen_by_instance(&proxy, header).unwrap(),
            expected,
            "{case}"
        );
    }
}

#[test]
fn the_plain_listener_reads_the_header_too() {
    let (proxy, _upstream) = behind(|_| {});
    let mut client = proxy.plain();
    client.send([LINE, b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat());
    let reply = client.reply();
    assert_eq!(reply.status, 307);
    // It stands before the connection, not before each request.
    assert_eq!(client.get(HOST, "/").status, 307);
    client.send([LINE, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat());
    assert_eq!(client.reply().status, 400);
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let (proxy, upstream) = behind(|table| {
        table.policies.client_ip_headers = vec!["x-forwarded-for".to_owned()];
    });
    for header in [LINE, &binary()] {
        let mut client = proxy.plain();
        for byte in header {
            client.send([*byte]);
        }
        // The named address is nobody's proxy: its word counts for nothing.
        for byte in b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n\r\n" {
            client.send([*byte]);
        }
        assert_eq!(client.reply().status, 307);
    }
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn a_request_that_begins_like_a_header_is_one() {
    let (proxy, _upstream) = behind(|_| {});
    let mut client = proxy.plain();
    for part in [
        "P",
        "OST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
    ] {
        client.send(part);
    }
    assert_eq!(client.reply().status, 307);
}

#[test]
fn a_malformed_header_ends_the_connection() {
    let (proxy, upstream) = behind(|_| {});
    for header in [
        &b"PROXY TCP4 1.2.3.4\r\n"[..],
        b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        let mut client = proxy.plain();
        client.send(header);
        // What follows may find the connection closed already.
        let _ = client.try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert!(client.is_closed(), "{header:?}");
        assert!(seen_by_instance(&proxy, header).is_err(), "{header:?}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn the_header_of_a_peer_that_may_not_send_one_is_not_read() {
    let (proxy, upstream) = behind(|table| table.policies.proxy_protocol = false);
    let mut client = proxy.plain();
    client.send([LINE, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat());
    assert_eq!(client.reply().status, 400);
    assert!(seen_by_instance(&proxy, LINE).is_err());
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn a_new_table_decides_about_the_next_connection() {
    let upstream = Upstream::echo();
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(1, vec![active("one", upstream.addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    assert!(seen_by_instance(&proxy, LINE).is_err());
    let mut changed = table;
    changed.generation = 2;
    changed.policies.proxy_protocol = true;
    session.push(changed);
    // Whichever worker takes it.
    for _ in 0..4 {
        assert_eq!(seen_by_instance(&proxy, LINE).unwrap(), "1.2.3.4");
    }
}

#[test]
fn the_limit_of_an_address_is_that_of_the_named_one() {
    let upstream = Upstream::start(|request, connection| {
        if request.path() == "/slow" {
            let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        }
        connection.ok("one");
        Then::Stay
    });
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.proxy_protocol = true;
    table.policies.max_requests_per_ip = 1;
    let proxy = place.serve(&table);
    let client = |before: &[u8]| {
        let trusted = &proxy.place.trusted;
        Client::tls_after(proxy.https, before, HOST, trusted).unwrap()
    };
    let mut slow = client(LINE);
    slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("it is in progress", || upstream.requests() == 1);
    assert_eq!(client(LINE).get(HOST, "/").status, 429);
    assert_eq!(client(b"").get(HOST, "/").status, 200);
}
