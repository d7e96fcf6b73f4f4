use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::upstream::{Then, Upstream};

/// Each is refused, the connection is closed, and nothing of it reaches an instance.
#[test]
fn nothing_ambiguous_reaches_an_instance() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for (case, head) in [
        (
            "CL.TE",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE.CL",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
        ),
        (
            "TE.TE",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE of another spelling",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n",
        ),
        (
            "TE in 1.0",
            "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "CL.CL",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "CL with a plus",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +0\r\n\r\n",
        ),
        (
            "a space before the colon",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a folded TE",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        ),
        ("bare newlines", "GET / HTTP/1.1\nHost: a.test\n\n"),
        (
            "a bare return",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\rGET /x\r\n\r\n",
        ),
        (
            "a null",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n",
        ),
        (
            "two hosts",
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
        ),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ] {
        let mut client = proxy.client();
        client.send(format!("{head}{smuggled}"));
        assert_eq!(client.reply().status, 400, "{case}");
        assert!(client.is_closed(), "{case}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn a_malformed_chunk_ends_the_request_with_400() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    for chunk in [
        "0x3\r\nabc\r\n",
        "3\nabc\r\n",
        "3\r\nabcd\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
    ] {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
        ));
        assert_eq!(client.reply().status, 400, "{chunk:?}");
        assert!(client.is_closed());
    }
}

#[test]
fn heads_and_bodies_have_their_limits() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let long = "x".repeat(17_000);
    let many = "X: y\r\n".repeat(101);
    for (status, request) in [
        (
            431,
            format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {long}\r\n\r\n"),
        ),
        (431, format!("GET /{long} HTTP/1.1\r\nHost: a.test\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: a.test\r\n{many}\r\n")),
        (
            413,
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 134217729\r\n\r\n".to_owned(),
        ),
    ] {
        let mut client = proxy.client();
        client.send(request);
        assert_eq!(client.reply().status, status);
    }
    assert_eq!(upstream.requests(), 0);
    let mut client = proxy.client();
    let cookie = "c".repeat(12_000);
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {cookie}\r\n\r\n"
    ));
    assert!(client.reply().text().contains(&cookie));
}

#[test]
fn a_chunked_body_over_the_limit_is_413() {
    let upstream = Upstream::start_by_head(|_, connection| {
        std::io::copy(&mut connection.stream, &mut std::io::sink())?;
        Ok(Then::Close)
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [
        b"100000\r\n".to_vec(),
        vec![b'x'; 0x10_0000],
        b"\r\n".to_vec(),
    ]
    .concat();
    for _ in 0..128 {
        client.send(&chunk);
    }
    client.send("1\r\nx\r\n");
    assert_eq!(client.reply().status, 413);
}

#[test]
fn an_address_has_so_many_requests_at_a_time() {
    let upstream = Upstream::start(|request, connection| {
        if request.path() == "/slow" {
            // Until the client goes away.
            let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
            return Then::Close;
        }
        connection.ok("one");
        Then::Stay
    });
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.policies.max_requests_per_ip = 2;
    let proxy = place.serve(&table);
    let (mut one, mut two, mut three) = (proxy.client(), proxy.client(), proxy.client());
    one.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    two.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("both are in progress", || upstream.requests() == 2);
    let reply = three.get(HOST, "/");
    assert_eq!((reply.status, reply.text()), (429, "Too Many Requests"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    one.close();
    eventually("there is room again", || three.get(HOST, "/").status == 200);
}
