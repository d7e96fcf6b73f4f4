//! Bodies over HTTP/2: both ways, as they come, at the pace of who takes them.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::HeaderMap;

use crate::support::http2::{
    connect, connect_with, exchange, get, read, ready, reply, request, run, until,
};
use crate::support::proxy::Proxy;
use crate::support::upstream::{Then, Upstream};

async fn begin(
    client: &mut SendRequest<Bytes>,
    request: http::Request<()>,
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let mut client = ready(client).await.unwrap();
    client.send_request(request, false).unwrap()
}

#[test]
fn bodies_and_trailers_pass_both_ways() {
    let upstream = Upstream::start(|request, connection| {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        let echo = format!(
            "{}|{}",
            String::from_utf8_lossy(&request.body),
            request.trailers.trim_end()
        );
        let length = echo.len();
        connection.send(format!(
            "{length:x}\r\n{echo}\r\n0\r\nX-Sum: 9\r\nX-Sum: 8\r\n\r\n"
        ));
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        for _ in 0..2 {
            let (response, mut body) = begin(&mut client, request("POST", "/")).await;
            body.send_data(Bytes::from("abc"), false).unwrap();
            body.send_data(Bytes::new(), false).unwrap();
            body.send_data(Bytes::from("de"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-in", "5".parse().unwrap());
            body.send_trailers(trailers).unwrap();
            let reply = reply(response).await.unwrap();
            assert_eq!(reply.text(), "abcde|x-in: 5");
            assert!(!reply.headers.contains_key("transfer-encoding"));
            let sums: Vec<_> = reply
                .trailers
                .as_ref()
                .unwrap()
                .get_all("x-sum")
                .iter()
                .collect();
            assert_eq!(sums, ["9", "8"]);
        }
    });
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn large_bodies_arrive_whole_whatever_their_framing() {
    let upstream = Upstream::start(|request, connection| {
        if request.head.contains("content-length: ") {
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            ));
            connection.send(&request.body);
            return Then::Stay;
        }
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        connection.send(&request.body);
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    let sent: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(3_000_001)
        .collect();
    for length in [None, Some(sent.len())] {
        let received = run(async {
            let (mut client, _) = connect(&proxy).await;
            let mut request = request("PUT", "/");
            if let Some(length) = length {
                request
                    .headers_mut()
                    .insert("content-length", length.into());
            }
            let (response, mut body) = begin(&mut client, request).await;
            body.send_data(Bytes::from(sent.clone()), true).unwrap();
            reply(response).await.unwrap().body
        });
        assert!(received == sent, "{length:?}: {} bytes", received.len());
    }
}

#[test]
fn a_client_that_does_not_read_holds_the_instance_up_and_nothing_else() {
    const PIECE: usize = 64 * 1024;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let upstream = Upstream::start(move |request, connection| {
        if request.path() == "/small" {
            connection.ok("small");
            return Then::Stay;
        }
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            500 * PIECE
        ));
        let piece = vec![7; PIECE];
        for _ in 0..500 {
            if connection.stream.get_mut().write_all(&piece).is_err() {
                return Then::Close;
            }
            counter.fetch_add(PIECE, Ordering::SeqCst);
        }
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1 << 20);
        let (mut client, _) = connect_with(&proxy, &builder).await;
        let sent = ready(&mut client)
            .await
            .unwrap()
            .send_request(get("/large"), true);
        let response = sent.unwrap().0;
        let (_, mut body) = response.await.unwrap().into_parts();
        let first = body.data().await.unwrap().unwrap();
        // Other streams go on; what is held for this one is bounded by the sockets' buffers and ours.
        let mut before = usize::MAX;
        while before != written.load(Ordering::SeqCst) {
            before = written.load(Ordering::SeqCst);
            for _ in 0..50 {
                let small = exchange(&mut client, get("/small")).await.unwrap();
                assert_eq!(small.text(), "small");
            }
        }
        assert!(
            before < 250 * PIECE,
            "{before} bytes were taken for a client that reads none"
        );
        body.flow_control().release_capacity(first.len()).unwrap();
        let rest = read(&mut body).await.unwrap();
        assert_eq!(first.len() + rest.len(), 500 * PIECE);
    });
}

#[test]
fn an_instance_that_does_not_read_holds_the_client_up() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let receiver = std::sync::Mutex::new(receiver);
    let upstream = Upstream::start_by_head(move |_, connection| {
        receiver.lock().unwrap().recv().unwrap();
        let mut body = vec![0; 64 << 20];
        connection.stream.read_exact(&mut body)?;
        connection.ok("read");
        Ok(Then::Stay)
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        let mut request = request("PUT", "/");
        request
            .headers_mut()
            .insert("content-length", (64 << 20).into());
        let (response, mut body) = begin(&mut client, request).await;
        until(|| upstream.requests() == 1).await;
        let (mut sent, mut sender) = (0, Some(sender));
        while sent < 64 << 20 {
            body.reserve_capacity((64 << 20) - sent);
            // A second without room: the windows and the sockets are full.
            let room = std::future::poll_fn(|context| body.poll_capacity(context));
            let room = tokio::time::timeout(std::time::Duration::from_secs(1), room).await;
            match (room, sender.take()) {
                (Ok(room), kept) => {
                    let room = room.unwrap().unwrap();
                    sent += room;
                    body.send_data(Bytes::from(vec![0; room]), sent == 64 << 20)
                        .unwrap();
                    sender = kept;
                }
                (Err(_), Some(sender)) => {
                    assert!(
                        sent < 32 << 20,
                        "{sent} bytes were taken for an instance that reads none"
                    );
                    sender.send(()).unwrap();
                }
                (Err(_), None) => {}
            }
        }
        assert!(sender.is_none(), "the client was never held up");
        assert_eq!(reply(response).await.unwrap().text(), "read");
    });
}

#[test]
fn a_client_may_wait_to_be_told_to_go_on_and_hears_early_hints() {
    let upstream = Upstream::start(|request, connection| {
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        connection.ok(std::str::from_utf8(&request.body).unwrap());
        Then::Stay
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        let mut request = request("POST", "/");
        request
            .headers_mut()
            .insert("expect", "100-continue".parse().unwrap());
        let (mut response, mut body) = begin(&mut client, request).await;
        let interim = std::future::poll_fn(|context| response.poll_informational(context));
        assert_eq!(interim.await.unwrap().unwrap().status(), 100);
        body.send_data(Bytes::from("body"), true).unwrap();
        let interim = std::future::poll_fn(|context| response.poll_informational(context));
        let hints = interim.await.unwrap().unwrap();
        assert_eq!(
            (hints.status().as_u16(), &hints.headers()["link"]),
            (103, &"</a.css>".parse().unwrap())
        );
        assert_eq!(reply(response).await.unwrap().text(), "body");
    });
}

#[test]
fn a_request_that_is_answered_early_is_not_asked_for_the_rest() {
    let upstream = Upstream::start_by_head(|_, connection| {
        connection.ok("enough");
        Ok(Then::Stay)
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        let (response, mut body) = begin(&mut client, request("POST", "/")).await;
        body.send_data(Bytes::from("some"), false).unwrap();
        assert_eq!(reply(response).await.unwrap().text(), "enough");
        let reset = std::future::poll_fn(|context| body.poll_reset(context));
        assert_eq!(reset.await.unwrap(), Reason::NO_ERROR);
    });
}

#[test]
fn a_response_that_is_cut_off_never_looks_whole() {
    let upstream = Upstream::start(|request, connection| {
        let framing = match request.path() {
            "/length" => "Content-Length: 100\r\n\r\nsome",
            "/chunked" => "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
            _ => "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nno size\r\n",
        };
        connection.send(format!("HTTP/1.1 200 OK\r\n{framing}"));
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        for path in ["/length", "/chunked", "/malformed"] {
            let error = exchange(&mut client, get(path)).await.unwrap_err();
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
        }
    });
}

#[test]
fn an_instance_that_ends_without_an_answer_is_a_bad_gateway() {
    let upstream = Upstream::start(|_, _| Then::Close);
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        for method in ["GET", "POST"] {
            let reply = exchange(&mut client, request(method, "/")).await.unwrap();
            assert_eq!((reply.status, reply.text()), (502, "Bad Gateway"));
            assert_eq!(reply.headers["cache-control"], "private, no-store");
        }
    });
}

#[test]
fn bodies_have_their_limit() {
    let upstream = Upstream::start_by_head(|_, connection| {
        std::io::copy(&mut connection.stream, &mut std::io::sink())?;
        Ok(Then::Close)
    });
    let proxy = Proxy::before(&upstream);
    run(async {
        let (mut client, _) = connect(&proxy).await;
        let mut told = request("POST", "/");
        told.headers_mut()
            .insert("content-length", 134_217_729.into());
        let (response, _body) = begin(&mut client, told).await;
        assert_eq!(reply(response).await.unwrap().status, 413);
        assert_eq!(upstream.requests(), 0);
        let (response, mut body) = begin(&mut client, request("POST", "/")).await;
        body.send_data(Bytes::from(vec![0; 134_217_729]), true)
            .unwrap();
        assert_eq!(reply(response).await.unwrap().status, 413);
    });
}
