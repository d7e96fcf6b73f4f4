use std::io::Read;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tako_proxyd::control::messages::{Challenge, Services, Table};

use crate::support::client::Reply;
use crate::support::eventually;
use crate::support::proxy::{APP, HOST, Place, Proxy, active};
use crate::support::upstream::{Then, Upstream, read_body};

fn before(upstream: &Upstream, change: impl FnOnce(&Place, &mut Table)) -> Proxy {
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.services = Some(Services {
        socket: socket(&place),
        paths: vec!["/_tako/image".to_owned(), "/_tako/channels/*".to_owned()],
    });
    change(&place, &mut table);
    place.serve(&table)
}

fn socket(place: &Place) -> String {
    let path = place.dir.path().join("services.sock");
    path.to_str().unwrap().to_owned()
}

fn bind(proxy: &Proxy) -> UnixListener {
    UnixListener::bind(socket(&proxy.place)).unwrap()
}

fn plain(proxy: &Proxy, request: &str) -> Reply {
    let mut client = proxy.plain();
    client.send(request);
    client.reply()
}

#[test]
fn tako_servers_paths_go_to_its_socket_and_the_others_do_not() {
    let upstream = Upstream::named("the app");
    let proxy = before(&upstream, |_, _| {});
    let services = Upstream::on_unix(bind(&proxy), |head, connection| {
        connection.ok(&head);
        Ok(Then::Stay)
    });
    let mut client = proxy.client();
    for (path, expected) in [
        ("/_tako/image?src=/a.png&w=320", Some(200)),
        ("/_tako/channels/chat?roomId=1", Some(200)),
        ("/_tako/channels", None),
        ("/_tako/status", None),
        ("/_tako", None),
    ] {
        let reply = client.get(HOST, path);
        assert_eq!(reply.status, expected.unwrap_or(404), "{path}");
        if expected.is_some() {
            let first = format!("GET {path} HTTP/1.1\n");
            assert!(reply.text().starts_with(&first), "{}", reply.text());
        }
    }
    let stored = client.get(HOST, "/_tako/storages/uploads/a");
    assert_eq!(stored.text(), "the app");
    assert_eq!(services.requests(), 2);
    assert_eq!(services.connections(), 1, "kept alive");
}

#[test]
fn a_service_is_told_whose_request_it_is_and_by_whom() {
    let upstream = Upstream::echo();
    let proxy = before(&upstream, |_, _| {});
    let _services = Upstream::on_unix(bind(&proxy), |head, connection| {
        connection.ok(&head);
        Ok(Then::Stay)
    });
    let mut client = proxy.client();
    let told = "X-Tako-App: other/production\r\nX_Tako_App: other\r\nX-Tako-Admin: 1\r\n";
    for path in ["/_tako/image", "/"] {
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a.test\r\n{told}X-Request-ID: given\r\n\r\n"
        ));
        let reply = client.reply();
        let seen = reply.text().to_lowercase();
        let is_service = path == "/_tako/image";
        let by_us = format!("x-tako-app: {APP}\n");
        assert_eq!(seen.contains(&by_us), is_service, "{seen}");
        assert_eq!(
            seen.matches("tako").count(),
            usize::from(is_service) * 2,
            "{seen}"
        );
        assert!(seen.contains("x-forwarded-for: 127.0.0.1\n"), "{seen}");
        assert!(seen.contains("x-forwarded-proto: https\n"), "{seen}");
        assert!(seen.contains("x-request-id: given\n"), "{seen}");
        assert_eq!(reply.header("x-request-id"), Some("given"));
    }
}

#[test]
fn bodies_and_streams_pass_both_ways() {
    let upstream = Upstream::named("the app");
    let proxy = before(&upstream, |_, _| {});
    let closed = Arc::new(AtomicUsize::new(0));
    let seen = closed.clone();
    let _services = Upstream::on_unix(bind(&proxy), move |head, connection| {
        if head.starts_with("POST") {
            let (body, _) = read_body(&head, connection).unwrap();
            connection.ok(&body.len().to_string());
            return Ok(Then::Stay);
        }
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 7\ndata: {}\n\n");
        // Until the client goes away.
        let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(Then::Close)
    });
    let mut client = proxy.client();
    let body = vec![b'x'; 3_000_000];
    let length = body.len();
    client.send(format!(
        "POST /_tako/image HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n"
    ));
    client.send(&body);
    assert_eq!(client.reply().text(), "3000000");
    client.send("GET /_tako/channels/chat HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let head = client.head().unwrap();
    assert!(head.contains("text/event-stream"), "{head}");
    assert_eq!(
        client.read_exact(22),
        b"10\r\nid: 7\ndata: {}\n\n\r\n"[..22]
    );
    client.close();
    eventually("the service sees that nobody listens", || {
        closed.load(Ordering::SeqCst) == 1
    });
}

#[test]
fn a_channel_may_be_a_websocket() {
    let upstream = Upstream::named("the app");
    let proxy = before(&upstream, |_, table| table.apps[0].max_connections = 1);
    let _services = Upstream::on_unix(bind(&proxy), |head, connection| {
        assert!(head.contains("upgrade: websocket\n"), "{head}");
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let mut piece = [0; 100];
        while let Ok(count @ 1..) = connection.stream.read(&mut piece) {
            connection.send(&piece[..count]);
        }
        Ok(Then::Close)
    });
    let mut client = proxy.client();
    client.send(
        "GET /_tako/channels/chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.reply().status, 101);
    client.send("frame");
    assert_eq!(client.read_exact(5), b"frame");
    // It is not at an instance.
    assert_eq!(proxy.client().get(HOST, "/").text(), "the app");
}

#[test]
fn without_tako_server_its_paths_are_unavailable_and_the_app_is_not() {
    let upstream = Upstream::named("the app");
    let proxy = before(&upstream, |_, _| {});
    let mut client = proxy.client();
    let reply = client.get(HOST, "/_tako/image");
    assert_eq!((reply.status, reply.text()), (503, "Service Unavailable"));
    assert_eq!(reply.header("cache-control"), Some("private, no-store"));
    assert_eq!(client.get(HOST, "/").text(), "the app");
    let services = Upstream::on_unix(bind(&proxy), |_, connection| {
        connection.ok("here");
        Ok(Then::Stay)
    });
    assert_eq!(client.get(HOST, "/_tako/image").text(), "here");
    assert_eq!(services.requests(), 1);
}

#[test]
fn challenges_are_answered_everywhere_and_never_redirected() {
    let upstream = Upstream::named("the app");
    let proxy = before(&upstream, |_, table| {
        table.challenges = vec![Challenge {
            token: "tok_en-1".to_owned(),
            key_authorization: "tok_en-1.thumbprint".to_owned(),
        }];
    });
    for host in ["a.test", "nobody.test"] {
        for (token, status, body) in [
            ("tok_en-1", 200, "tok_en-1.thumbprint"),
            ("tok_en-1?x", 200, "tok_en-1.thumbprint"),
            ("tok_en-2", 404, "Token not found"),
            ("", 404, "Token not found"),
        ] {
            let path = format!("/.well-known/acme-challenge/{token}");
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            for reply in [plain(&proxy, &request), proxy.client().get(host, &path)] {
                assert_eq!(
                    (reply.status, reply.text()),
                    (status, body),
                    "{host} {path}"
                );
                assert!(
                    reply
                        .header("content-type")
                        .unwrap()
                        .starts_with("text/plain")
                );
            }
        }
    }
    let mut client = proxy.plain();
    for _ in 0..2 {
        client.send("HEAD /.well-known/acme-challenge/tok_en-1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\n"), "{head}");
        assert!(head.contains("content-length: 19\n"), "{head}");
    }
    assert_eq!(upstream.requests(), 0);
}
