//! Every wait for somebody else has an end. How long they are is not measured here: the one in question is short, the others
//! are longer than the test may take.

use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use tako_proxyd::control::messages::{Endpoint, Timeouts};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::upstream::{Then, Upstream};

const SHORT: u64 = 50;
/// Longer than a test waits for anything.
const LONG: u64 = 600_000;

const ALL_LONG: Timeouts = Timeouts {
    handshake_ms: LONG,
    head_ms: LONG,
    body_ms: LONG,
    idle_ms: LONG,
    send_ms: LONG,
    connect_ms: LONG,
    upstream_send_ms: LONG,
    upstream_read_ms: LONG,
};

fn before(endpoints: Vec<Endpoint>, timeouts: Timeouts) -> Proxy {
    let place = Place::new();
    let mut table = place.table(1, endpoints);
    table.policies.timeouts = timeouts;
    place.serve(&table)
}

fn before_one(upstream: &Upstream, timeouts: Timeouts) -> Proxy {
    before(vec![active("one", upstream.addr)], timeouts)
}

#[test]
fn a_head_that_does_not_end_is_408() {
    let upstream = Upstream::named("one");
    let proxy = before_one(
        &upstream,
        Timeouts {
            head_ms: SHORT,
            ..ALL_LONG
        },
    );
    for part in ["G", "GET / HTTP/1.1\r\nHost: a.test\r\n", "\r\nGET "] {
        let mut client = proxy.client();
        client.send(part);
        let reply = client.reply();
        assert_eq!((reply.status, reply.text()), (408, "Request Timeout"));
        assert!(client.is_closed());
    }
    let mut second = proxy.client();
    assert_eq!(second.get(HOST, "/").status, 200);
    second.send("GET / HTTP/1.1\r\n");
    assert_eq!(second.reply().status, 408);
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let upstream = Upstream::start_by_head(|_, connection| {
        std::io::copy(&mut connection.stream, &mut std::io::sink())?;
        Ok(Then::Close)
    });
    let proxy = before_one(
        &upstream,
        Timeouts {
            body_ms: SHORT,
            ..ALL_LONG
        },
    );
    for body in [
        "Content-Length: 10\r\n\r\nabc",
        "Content-Length: 10\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
    ] {
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{body}"));
        assert_eq!(client.reply().status, 408, "{body:?}");
        assert!(client.is_closed(), "{body:?}");
    }
}

#[test]
fn a_connection_without_requests_is_closed_without_a_word() {
    let upstream = Upstream::named("one");
    let proxy = before_one(
        &upstream,
        Timeouts {
            idle_ms: SHORT,
            ..ALL_LONG
        },
    );
    assert!(proxy.client().is_closed());
    assert!(proxy.plain().is_closed());
    let mut client = proxy.client();
    assert_eq!(client.get(HOST, "/").text(), "one");
    assert!(client.is_closed());
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() {
    let upstream = Upstream::named("one");
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.proxy_protocol = true;
    table.policies.timeouts = Timeouts {
        handshake_ms: SHORT,
        ..ALL_LONG
    };
    let proxy = place.serve(&table);
    for (addr, bytes) in [
        (proxy.https, &b""[..]),
        (proxy.https, b"\x16\x03\x01\x02\x00\x01"),
        (proxy.https, b"PROXY TCP4 1.2.3.4 "),
        (proxy.https, b"PROXY UNKNOWN\r\n\x16\x03\x01"),
        (proxy.http, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"),
    ] {
        let mut client = Client::plain(addr);
        client.send(bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
}

#[test]
fn an_instance_that_does_not_answer_is_504() {
    let upstream = Upstream::start(|request, connection| {
        if request.path() == "/silent" {
            // Until the proxy has given up.
            let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
            return Then::Close;
        }
        connection.ok("one");
        Then::Stay
    });
    let proxy = before_one(
        &upstream,
        Timeouts {
            upstream_read_ms: SHORT,
            ..ALL_LONG
        },
    );
    let mut client = proxy.client();
    let reply = client.get(HOST, "/silent");
    assert_eq!((reply.status, reply.text()), (504, "Gateway Timeout"));
    assert_eq!(reply.header("cache-control"), Some("private, no-store"));
    assert_eq!(
        client.get(HOST, "/").text(),
        "one",
        "on the same connection"
    );
    client.send("POST /silent HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.reply().status, 504);
}

#[test]
fn an_instance_that_stops_within_a_body_ends_the_connection() {
    let upstream = Upstream::start(|_, connection| {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        Then::Close
    });
    let proxy = before_one(
        &upstream,
        Timeouts {
            upstream_read_ms: SHORT,
            ..ALL_LONG
        },
    );
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200 "));
    let (rest, _) = client.rest();
    assert_eq!(rest, b"abc");
}

#[test]
fn an_instance_that_does_not_take_a_body_is_504() {
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::start_by_head(move |_, _| {
        // Nothing more is read until the test ends.
        let _ = gate.lock().unwrap().recv();
        Ok(Then::Close)
    });
    let proxy = before_one(
        &upstream,
        Timeouts {
            upstream_send_ms: SHORT,
            ..ALL_LONG
        },
    );
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n");
    let piece = vec![b'x'; 1 << 16];
    // More than fits into all the buffers on the way, less than the proxy reads off after its answer.
    for _ in 0..256 {
        if client.try_send(&piece).is_err() {
            break;
        }
    }
    assert_eq!(client.reply().status, 504);
    drop(go_on);
}

#[test]
fn a_client_that_does_not_read_is_left() {
    let ended = Arc::new(AtomicUsize::new(0));
    let seen = ended.clone();
    let upstream = Upstream::start_by_head(move |_, connection| {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while connection.try_send(&piece).is_ok() {}
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(Then::Close)
    });
    let proxy = before_one(
        &upstream,
        Timeouts {
            send_ms: SHORT,
            ..ALL_LONG
        },
    );
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the instance is let go", || {
        ended.load(Ordering::SeqCst) == 1
    });
    let (rest, _) = client.rest();
    assert!(rest.len() < 1_000_000_000);
}

#[test]
fn an_instance_that_takes_no_connection_is_passed_over() {
    let (_full, addr) = full();
    let well = Upstream::named("well");
    let proxy = before(
        vec![active("full", addr), active("well", well.addr)],
        Timeouts {
            connect_ms: SHORT,
            ..ALL_LONG
        },
    );
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get(HOST, "/").text(), "well");
    }
}

/// A socket whose queue of connections is full.
fn full() -> (Vec<OwnedFd>, SocketAddr) {
    let listening = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&listening, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&listening, 0).unwrap();
    let addr: SocketAddr = getsockname(&listening).unwrap().try_into().unwrap();
    let mut held = vec![listening];
    let wait = std::time::Duration::from_millis(200);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, wait) {
        held.push(stream.into());
    }
    (held, addr)
}

#[test]
fn an_instance_that_is_silent_again_and_again_is_passed_over() {
    let silent = Upstream::start(|_, connection| {
        let mut rest = Vec::new();
        let _ = connection.stream.read_to_end(&mut rest);
        Then::Close
    });
    let well = Upstream::named("well");
    let proxy = before(
        vec![active("silent", silent.addr), active("well", well.addr)],
        Timeouts {
            upstream_read_ms: SHORT,
            ..ALL_LONG
        },
    );
    let mut client = proxy.client();
    while silent.requests() < 3 {
        client.get(HOST, "/");
    }
    for _ in 0..10 {
        assert_eq!(client.get(HOST, "/").text(), "well");
    }
}
