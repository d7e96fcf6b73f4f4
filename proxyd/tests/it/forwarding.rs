use std::io::Read;

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
