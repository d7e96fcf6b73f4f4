use std::sync::mpsc;

use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::http2::{connect, exchange, get, ready, reply, request, run, until};
use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::upstream::{Then, Upstream};

#[test]
fn http2_is_preferred_and_never_forced() {
    let upstream = Upstream::named("one");
    let proxy = Proxy::before(&upstream);
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some(&b"h2"[..])),
        (&["h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let trusted = &proxy.place.trusted;
            let client = Client::try_protocols(proxy.https, HOST, trusted, &[version], offered);
            let mut client = client.unwrap();
            assert_eq!(client.protocol(), chosen, "{offered:?}");
            if chosen != Some(b"h2") {
                assert_eq!(client.get(HOST, "/").text(), "one");
            }
        }
    }
}

#[test]
fn an_instance_sees_what_an_http1_client_would_have_sent() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let seen = run(async {
        let (mut client, _) = connect(&proxy).await;
        let mut request = get("/x?y=1");
        for (name, value) in [
            ("cookie", "a=1"),
            ("user-agent", "test"),
            ("cookie", "b=2"),
            ("te", "trailers"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-request-id", "mine"),
        ] {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        exchange(&mut client, request).await.unwrap()
    });
    assert_eq!(seen.status, 200);
    assert_eq!(seen.headers["x-request-id"], "mine");
    assert!(seen.headers.contains_key("date"));
    assert_eq!(
        seen.text(),
        "GET /x?y=1 HTTP/1.1\nhost: a.test\ncookie: a=1; b=2\nuser-agent: test\nte: trailers\n\
         x-forwarded-for: 127.0.0.1\nx-forwarded-proto: https\nx-request-id: mine\n\n"
    );
}

#[test]
fn many_streams_of_one_connection_are_served_side_by_side() {
    let (sender, receiver) = mpsc::channel();
    let receiver = std::sync::Mutex::new(receiver);
    let upstream = Upstream::start(move |request, connection| {
        if request.path() == "/wait" {
            receiver.lock().unwrap().recv().unwrap();
        }
        connection.ok(request.path());
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        let slow = ready(&mut client)
            .await
            .unwrap()
            .send_request(get("/wait"), true);
        let mut quick = Vec::new();
        for number in 0..100 {
            let request = get(&format!("/{number}"));
            let sent = ready(&mut client)
                .await
                .unwrap()
                .send_request(request, true);
            quick.push(sent.unwrap().0);
        }
        for (number, response) in quick.into_iter().enumerate() {
            assert_eq!(reply(response).await.unwrap().text(), format!("/{number}"));
        }
        sender.send(()).unwrap();
        assert_eq!(reply(slow.unwrap().0).await.unwrap().text(), "/wait");
    });
}

#[test]
fn what_is_not_forwarded_is_answered_as_in_http1() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        let reply = exchange(&mut client, get("/_tako/nothing")).await.unwrap();
        assert_eq!((reply.status, reply.text()), (404, "Not Found"));
        assert_eq!(reply.headers["content-length"], "9");
        let mut unknown = get("/");
        *unknown.uri_mut() = "https://b.test/".parse().unwrap();
        assert_eq!(exchange(&mut client, unknown).await.unwrap().status, 404);
        let head = exchange(&mut client, request("HEAD", "/_tako/x"))
            .await
            .unwrap();
        assert_eq!((head.status, head.body.len()), (404, 0));
        let mut large = get("/");
        let value = "x".repeat(17_000).parse().unwrap();
        large.headers_mut().append("x", value);
        assert_eq!(exchange(&mut client, large).await.unwrap().status, 431);
        let mut larger = get("/");
        for _ in 0..4 {
            let value = "x".repeat(12_000).parse().unwrap();
            larger.headers_mut().append("x", value);
        }
        assert_eq!(exchange(&mut client, larger).await.unwrap().status, 431);
        let mut tunnel = request("CONNECT", "");
        *tunnel.uri_mut() = "a.test:443".parse().unwrap();
        assert_eq!(exchange(&mut client, tunnel).await.unwrap().status, 405);
        // None of it has hurt the connection.
        assert_eq!(exchange(&mut client, get("/")).await.unwrap().status, 200);
    });
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let upstream = Upstream::start(|request, connection| {
        let status = request.path().trim_start_matches('/');
        connection.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n"));
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        for (method, path, length) in [
            ("HEAD", "/200", Some("5")),
            ("GET", "/304", Some("5")),
            ("GET", "/204", None),
        ] {
            let sent = ready(&mut client)
                .await
                .unwrap()
                .send_request(request(method, path), true);
            let response = sent.unwrap().0.await.unwrap();
            assert!(response.body().is_end_stream(), "{method} {path}");
            let seen = response.headers().get("content-length");
            assert_eq!(seen.map(|value| value.to_str().unwrap()), length);
        }
    });
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_address_has_so_many_requests_at_a_time_whatever_their_connection() {
    let upstream = Upstream::start(|_, connection| {
        // Until the client goes away.
        let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        Then::Close
    });
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.max_requests_per_ip = 2;
    let proxy = place.serve(&table);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(
                ready(&mut client)
                    .await
                    .unwrap()
                    .send_request(get("/"), true),
            );
        }
        let reply = exchange(&mut client, get("/")).await.unwrap();
        assert_eq!((reply.status, reply.text()), (429, "Too Many Requests"));
        assert_eq!(reply.headers["retry-after"], "1");
    });
}

#[test]
fn a_proxy_that_ends_says_so_and_finishes_what_it_has_begun() {
    let (sender, receiver) = mpsc::channel();
    let receiver = std::sync::Mutex::new(receiver);
    let upstream = Upstream::start(move |_, connection| {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        receiver.lock().unwrap().recv().unwrap();
        connection.send("3\r\ntwo\r\n0\r\n\r\n");
        Then::Stay
    });
    let mut proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, ended) = connect(&proxy).await;
        let (_idle, idle_ended) = connect(&proxy).await;
        let (response, _) = ready(&mut client)
            .await
            .unwrap()
            .send_request(get("/"), true)
            .unwrap();
        let (_, mut body) = response.await.unwrap().into_parts();
        assert_eq!(body.data().await.unwrap().unwrap(), "one");
        proxy.process.signal(Signal::TERM);
        // One that has nothing open is told and closed at once.
        idle_ended.await.unwrap().unwrap();
        sender.send(()).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "two");
        assert!(body.data().await.is_none());
        ended.await.unwrap().unwrap();
    });
    assert!(proxy.process.exit().success());
}

#[test]
fn a_client_that_goes_ends_its_requests() {
    let (sender, receiver) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let upstream = Upstream::start_by_head(move |head, connection| {
        // Returns when the proxy closes.
        let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        sender
            .lock()
            .unwrap()
            .send(head.split(' ').nth(1).unwrap().to_owned())
            .unwrap();
        Ok(Then::Close)
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, ended) = connect(&proxy).await;
        let mut ready = ready(&mut client).await.unwrap();
        let (_reset, mut stream) = ready.send_request(get("/reset"), false).unwrap();
        let (_kept, _stream) = ready.send_request(get("/kept"), true).unwrap();
        until(|| upstream.requests() == 2).await;
        stream.send_reset(h2::Reason::CANCEL);
        // On its own: the other goes on.
        until(|| receiver.try_recv().is_ok_and(|path| path == "/reset")).await;
        ended.abort();
        assert!(ended.await.unwrap_err().is_cancelled());
        drop((client, ready));
    });
    let path = receiver.recv_timeout(crate::support::LIMIT).unwrap();
    assert_eq!(path, "/kept");
}
