use std::io::Read;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active, app, route};
use crate::support::upstream::{Connection, Then, Upstream, read_body};

#[test]
fn many_requests_use_one_connection_on_each_side() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for number in 0..50 {
        let reply = client.get(HOST, &format!("/{number}?q"));
        assert_eq!(reply.status, 200);
        assert!(
            reply
                .text()
                .starts_with(&format!("GET /{number}?q HTTP/1.1\n"))
        );
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.requests(), 50);
}

#[test]
fn the_instance_learns_who_asked_and_the_client_learns_the_requests_id() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: A.test\r\nX-Request-ID: mine\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    );
    let reply = client.reply();
    assert_eq!(reply.header("x-request-id"), Some("mine"));
    let seen = reply.text();
    for line in [
        "host: A.test",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: https",
        "x-request-id: mine",
    ] {
        assert!(seen.contains(&format!("{line}\n")), "{line} in {seen}");
    }
    assert!(!seen.contains("6.6.6.6"));
    let made = client.get(HOST, "/");
    assert_eq!(made.header("x-request-id").map(str::len), Some(16));
}

#[test]
fn every_response_says_when_it_was_made() {
    let upstream = Upstream::start(|request, connection| {
        match request.path() {
            "/dated" => connection
                .send("HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"),
            _ => connection.ok("x"),
        }
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    let dated = client.get(HOST, "/dated");
    assert_eq!(dated.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    for (host, path) in [(HOST, "/undated"), ("unknown.test", "/")] {
        let reply = client.get(host, path);
        let date = reply.header("date").unwrap();
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    let one = "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let two = "POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    let three = "GET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.send(format!("{one}{two}{three}"));
    for path in ["/1", "/2", "/3"] {
        assert!(
            client.reply().text().contains(&format!(" {path} ")),
            "{path}"
        );
    }
}

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

#[test]
fn an_instance_that_does_not_speak_http_is_a_bad_gateway() {
    let upstream = Upstream::start(|request, connection| {
        match request.path() {
            "/silent" => {}
            "/garbage" => connection.send("SSH-2.0-OpenSSH\r\n"),
            "/switch" => connection.send("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            _ => connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        }
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for path in ["/silent", "/garbage", "/switch", "/lengths"] {
        let reply = client.get(HOST, path);
        assert_eq!((reply.status, reply.text()), (502, "Bad Gateway"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("private, no-store"));
        assert!(reply.header("x-request-id").is_some());
    }
}

#[test]
fn a_connection_that_died_while_idle_costs_no_request() {
    // Says nothing of closing, and closes after each response.
    let upstream = Upstream::start(|_, connection| {
        connection.ok("one");
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.get(HOST, "/").status, 200);
    }
}

#[test]
fn a_request_with_a_body_is_never_sent_twice() {
    let upstream = Upstream::start_by_head(|head, connection| {
        if head.starts_with("POST") {
            read_body(&head, connection)?;
            return Ok(Then::Close);
        }
        connection.ok("one");
        Ok(Then::Stay)
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.get(HOST, "/").status, 200);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.reply().status, 502);
    assert_eq!(upstream.requests(), 2);
}

#[test]
fn an_instance_that_refuses_is_passed_over() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let upstream = Upstream::named("one");
    let place = Place::new();
    let table = place.table(1, vec![active("gone", gone), active("one", upstream.addr)]);
    let proxy = place.serve(&table);
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.get(HOST, "/").text(), "one");
    }
}

#[test]
fn requests_take_turns_between_instances() {
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    let place = Place::new();
    let table = place.table(1, vec![active("one", one.addr), active("two", two.addr)]);
    let proxy = place.serve(&table);
    let mut client = proxy.client();
    for _ in 0..20 {
        client.get(HOST, "/");
    }
    assert_eq!((one.requests(), two.requests()), (10, 10));
}

#[test]
fn the_most_specific_route_gets_the_request() {
    let (all, api) = (Upstream::named("all"), Upstream::named("api"));
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", all.addr)]);
    table
        .apps
        .push(app("api/production", vec![active("two", api.addr)]));
    table.routes.push(route("a.test/api/*", "api/production"));
    table.routes.push(route("*.wild.test", "api/production"));
    let proxy = place.serve(&table);
    let mut client = proxy.client();
    for (host, path, wanted) in [
        ("a.test", "/", "all"),
        ("A.TEST:8443", "/apix", "all"),
        ("a.test", "/api", "api"),
        ("a.test", "/api/?q=/", "api"),
        ("x.wild.test", "/", "api"),
        ("wild.test", "/", "Not Found"),
        ("b.test", "/api/", "Not Found"),
    ] {
        assert_eq!(client.get(host, path).text(), wanted, "{host}{path}");
    }
}

#[test]
fn plain_http_is_sent_to_https() {
    let upstream = Upstream::echo();
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.https_port = 8443;
    let proxy = place.serve(&table);
    let mut client = proxy.plain();
    for (host, path, location) in [
        ("a.test", "/x?y=z", "https://a.test:8443/x?y=z"),
        ("A.test:8080", "/", "https://a.test:8443/"),
        ("nowhere.test", "/", "https://nowhere.test:8443/"),
    ] {
        let reply = client.get(host, path);
        assert_eq!((reply.status, reply.text()), (307, "Redirecting to HTTPS"));
        assert_eq!(reply.header("location"), Some(location));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let challenge = client.get(HOST, "/.well-known/acme-challenge/unknown");
    assert_eq!(
        (challenge.status, challenge.text()),
        (404, "Token not found")
    );
    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(
        client.reply().status,
        200,
        "a proxy on this host is believed"
    );
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn our_own_paths_do_not_reach_the_app() {
    let upstream = Upstream::named("app");
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for path in ["/_tako/image?src=/x", "/_tako/channels/a", "/_tako/x"] {
        assert_eq!(client.get(HOST, path).status, 404, "{path}");
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(client.get(HOST, "/_tako/storages/a/b").text(), "app");
}

#[test]
fn a_client_that_goes_away_frees_the_instance() {
    let (told, gone) = std::sync::mpsc::channel();
    let upstream = Upstream::start_by_head(move |_, connection: &mut Connection| {
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        // Ends when the proxy closes.
        let ended = connection.stream.read(&mut [0]);
        told.send(matches!(ended, Ok(0) | Err(_))).unwrap();
        Ok(Then::Close)
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send("GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head().unwrap();
    client.close();
    eventually("the instance sees the end", || gone.try_recv() == Ok(true));
}
