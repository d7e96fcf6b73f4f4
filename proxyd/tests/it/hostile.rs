//! Peers that break the protocol, or break off: what others are served meanwhile must not change.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::upstream::{Then, Upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Says what the path names, and stays as if that had been proper.
fn liar() -> Upstream {
    Upstream::start(|request, connection| {
        connection.send(match request.path() {
            "/longer-than-it-said" => {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
            }
            "/a-body-of-none" => {
                "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
            }
            "/more-after-the-last-chunk" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nwrong"
            }
            "/framed-twice" => {
                "HTTP/1.1 200 OK\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        });
        Then::Stay
    })
}

#[test]
fn what_an_instance_sends_beyond_its_response_is_nobodys_response() {
    let upstream = liar();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for path in [
        "/longer-than-it-said",
        "/a-body-of-none",
        "/more-after-the-last-chunk",
        "/framed-twice",
    ] {
        for _ in 0..5 {
            let status = client.get(HOST, path).status;
            assert!(status == 200 || status == 204, "{path}: {status}");
            assert_eq!(client.get(HOST, "/").text(), "fine", "after {path}");
        }
    }
}

#[test]
fn an_instance_that_dies_or_babbles_within_a_head_is_a_bad_gateway_and_the_client_stays() {
    let upstream = Upstream::start(|request, connection| {
        let huge = "x".repeat(20_000);
        match request.path() {
            "/dies" => connection.send("HTTP/1.1 200 OK\r\nContent-Le"),
            "/dies-at-once" => {}
            "/large" => connection.send(format!("HTTP/1.1 200 OK\r\nX: {huge}\r\n\r\n")),
            "/many" => {
                let many = "X: y\r\n".repeat(200);
                connection.send(format!("HTTP/1.1 200 OK\r\n{many}\r\n"));
            }
            "/lengths" => connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "/switches" => connection
                .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
            "/endless" => {
                // Until the proxy has had enough of it.
                let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
                while connection.stream.get_mut().write_all(hint).is_ok() {}
            }
            _ => {
                connection.ok("fine");
                return Then::Stay;
            }
        }
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for path in [
        "/dies",
        "/dies-at-once",
        "/large",
        "/many",
        "/lengths",
        "/switches",
        "/endless",
    ] {
        let mut reply = client.get(HOST, path);
        while reply.status < 200 {
            reply = client.reply();
        }
        assert_eq!(reply.status, 502, "{path}");
        assert_eq!(client.get(HOST, "/").text(), "fine", "after {path}");
    }
}

#[test]
fn a_client_that_vanishes_within_a_body_leaves_no_request_behind() {
    let cut = std::sync::Arc::new(AtomicUsize::new(0));
    let seen = cut.clone();
    let upstream = Upstream::start_by_head(move |head, connection| {
        if head.starts_with("GET") {
            connection.ok("fine");
            return Ok(Then::Stay);
        }
        // A body that was cut off must not look like one that has ended.
        let mut body = Vec::new();
        let _ = connection.stream.read_to_end(&mut body);
        assert!(!body.ends_with(b"0\r\n\r\n"));
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(Then::Close)
    });
    let proxy = Proxy::before(&upstream);
    for request in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nff\r\npart",
    ] {
        let before = upstream.requests();
        let mut client = proxy.client();
        client.send(request);
        eventually("the instance has it", || upstream.requests() > before);
        client.close();
    }
    eventually("the instance was told of each", || {
        cut.load(Ordering::SeqCst) == 3
    });
    assert_eq!(proxy.client().get(HOST, "/").text(), "fine");
}

#[test]
fn clients_that_break_off_anywhere_cost_the_others_nothing() {
    let upstream = Upstream::named("fine");
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.max_requests_per_ip = 3;
    let proxy = place.serve(&table);
    let whole = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody";
    for end in 0..whole.len() {
        let mut client = proxy.client();
        client.send(&whole[..end]);
        client.close();
        // Garbage instead of a handshake, and half of one.
        let mut tcp = std::net::TcpStream::connect(proxy.https).unwrap();
        tcp.write_all(&whole.as_bytes()[..end]).unwrap();
    }
    // Nothing of theirs is counted for the address any more.
    let mut client = proxy.client();
    eventually("three at once are served", || {
        let mut others = [proxy.client(), proxy.client()];
        for other in &mut others {
            other.send(GET);
        }
        client.get(HOST, "/").status == 200
            && others.iter_mut().all(|other| other.reply().status == 200)
    });
}

#[test]
fn many_slow_heads_keep_nobody_from_being_served() {
    let upstream = Upstream::named("fine");
    let proxy = Proxy::before(&upstream);
    let mut slow: Vec<Client> = (0..200).map(|_| proxy.client()).collect();
    let mut client = proxy.client();
    for byte in GET.as_bytes() {
        for one in &mut slow {
            one.send([*byte]);
        }
        assert_eq!(client.get(HOST, "/").text(), "fine");
    }
    for one in &mut slow {
        assert_eq!(one.reply().text(), "fine");
    }
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody_but_its_instances_connection() {
    let upstream = Upstream::start(|request, connection| {
        if request.path() == "/large" {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = [b"10000\r\n".to_vec(), vec![7; 0x10000], b"\r\n".to_vec()].concat();
            // Far more than all buffers on the way take: it goes on only if somebody reads, or hoards.
            for _ in 0..4000 {
                if connection.stream.get_mut().write_all(&chunk).is_err() {
                    break;
                }
            }
            return Then::Close;
        }
        connection.ok("fine");
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    let mut greedy: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
    for one in &mut greedy {
        one.send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    eventually("all are asked for", || upstream.requests() == 20);
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.get(HOST, "/").text(), "fine");
    }
    let kilobytes = proxy.process.resident_kilobytes();
    assert!(kilobytes < 100_000, "{kilobytes} kB are held");
}
