//! Bodies arrive as they were sent, however each side frames them.

use std::io::Read;

use crate::support::client::Client;
use crate::support::proxy::{HOST, Proxy};
use crate::support::upstream::{Then, Upstream};

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let upstream = Upstream::start(|request, connection| {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        let echo = format!(
            "{}|{}",
            String::from_utf8_lossy(&request.body),
            request.trailers.trim_end()
        );
        connection.send(format!(
            "{:x};ext=1\r\n{echo}\r\n0\r\nX-Sum: 9\r\n\r\n",
            echo.len()
        ));
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-In\r\n\r\n3;a\r\nabc\r\n");
        client.send("2\r\nde\r\n0\r\nX-In: 5\r\n\r\n");
        let head = client.head().unwrap();
        assert!(head.contains("transfer-encoding: chunked\n"), "{head}");
        let coded = client.read_exact("d\r\nabcde|X-In: 5\r\n0\r\nX-Sum: 9\r\n\r\n".len());
        assert_eq!(
            String::from_utf8(coded).unwrap(),
            "d\r\nabcde|X-In: 5\r\n0\r\nX-Sum: 9\r\n\r\n"
        );
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_response_without_length_is_chunked_for_new_clients_and_plain_for_old_ones() {
    let upstream = Upstream::start(|request, connection| {
        if request.path() == "/chunked" {
            connection.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            );
        } else {
            connection.send("HTTP/1.1 200 OK\r\n\r\nbody");
        }
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for path in ["/", "/chunked", "/"] {
        let reply = client.get(HOST, path);
        assert_eq!(reply.text(), "body");
        assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    }
    for path in ["/", "/chunked"] {
        let mut old = proxy.client();
        old.send(format!("GET {path} HTTP/1.0\r\nHost: a.test\r\n\r\n"));
        let reply = old.reply();
        assert_eq!(reply.text(), "body");
        assert_eq!(reply.header("transfer-encoding"), None);
    }
}

#[test]
fn an_old_client_that_asks_for_it_is_kept() {
    let upstream = Upstream::named("one");
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        let reply = client.reply();
        assert_eq!(reply.header("connection"), Some("keep-alive"));
        assert_eq!(reply.text(), "one");
    }
}

#[test]
fn responses_without_body_leave_the_connection_in_step() {
    let upstream = Upstream::start(|request, connection| {
        connection.send(match request.path() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        });
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.get(HOST, "/204").status, 204);
    assert_eq!(client.get(HOST, "/304").header("content-length"), Some("5"));
    client.send("HEAD /head HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.head().unwrap().contains("Content-Length: 5"));
    assert_eq!(client.get(HOST, "/empty").body, b"");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send(
        "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.reply().status, 100);
    client.send("body");
    let reply = client.reply();
    assert!(reply.text().ends_with("\nbody"));
    assert!(!reply.text().to_lowercase().contains("expect"));
    client.send(
        "PUT /no HTTP/1.1\r\nHost: b.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(
        client.reply().status,
        404,
        "no route: the body is not asked for"
    );
}

#[test]
fn interim_responses_pass() {
    let upstream = Upstream::start(|_, connection| {
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        connection.ok("done");
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    let hints = client.get(HOST, "/");
    assert_eq!(
        (hints.status, hints.header("link")),
        (103, Some("</a.css>"))
    );
    assert_eq!(client.reply().text(), "done");
}

#[test]
fn large_bodies_arrive_whole_both_ways_at_once() {
    const SIZE: usize = 8 * 1024 * 1024;
    let upstream = Upstream::start_by_head(|head, connection| {
        // Echoed while it is still coming.
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        let mut left = SIZE;
        let mut piece = [0; 7000];
        while left > 0 {
            let count = connection.stream.read(&mut piece)?;
            assert!(count > 0, "cut off: {head}");
            connection.send(&piece[..count]);
            left -= count;
        }
        Ok(Then::Stay)
    });
    let proxy = Proxy::before(&upstream);
    let body: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let mut client = Client::plain(proxy.http);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    // Sent in pieces that the echo has room for: both ends of this test are blocking.
    let mut echoed = Vec::new();
    let head = {
        client.send(&body[..10_000]);
        client.head().unwrap()
    };
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for piece in body[10_000..].chunks(100_000) {
        client.send(piece);
        echoed.extend(client.read_exact(piece.len()));
    }
    echoed.extend(client.read_exact(10_000));
    assert!(echoed == body);
}

#[test]
fn an_answer_that_comes_before_the_body_is_passed_on() {
    let upstream = Upstream::start_by_head(|_, connection| {
        connection.send(
            "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!",
        );
        Ok(Then::Close)
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nsome");
    let reply = client.reply();
    assert_eq!((reply.status, reply.text()), (413, "no!"));
}

#[test]
fn a_body_that_is_cut_off_is_seen_to_be() {
    let upstream = Upstream::start(|request, connection| {
        if request.path() == "/chunked" {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\npart");
        } else {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
        }
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    for path in ["/", "/chunked"] {
        assert!(proxy.client().try_get(HOST, path).is_err(), "{path}");
    }
}
