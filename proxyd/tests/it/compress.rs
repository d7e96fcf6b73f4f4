//! Bodies are compressed for who asks for it, and arrive as the instance sent them.

use std::io::Read;

use crate::support::client::{Client, Reply};
use crate::support::proxy::{HOST, Proxy};
use crate::support::upstream::{Then, Upstream};

/// An instance that sends so many bytes of text as the path says, and dies half-way where it says so.
fn texts() -> Upstream {
    Upstream::start(|request, connection| {
        let word = request.path().trim_start_matches('/').to_owned();
        let (length, is_cut) = match word.strip_prefix("cut/") {
            Some(length) => (length, true),
            None => (&*word, false),
        };
        let body = text(length.parse().unwrap());
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             ETag: \"1\"\r\nVary: Cookie\r\nContent-MD5: x\r\n\r\n",
            body.len()
        ));
        let sent = if is_cut { body.len() / 2 } else { body.len() };
        connection.send(&body[..sent]);
        if is_cut { Then::Close } else { Then::Stay }
    })
}

fn text(length: usize) -> Vec<u8> {
    let words = (0..).flat_map(|number: usize| format!("<p>{number}</p>\n").into_bytes());
    words.take(length).collect()
}

fn get(client: &mut Client, path: &str, accepted: &str) -> Reply {
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: {accepted}\r\n\r\n"
    ));
    client.reply()
}

fn decoded(reply: &Reply) -> Vec<u8> {
    let mut plain = Vec::new();
    match reply.header("content-encoding") {
        Some("br") => brotli::Decompressor::new(&*reply.body, 4096).read_to_end(&mut plain),
        Some("gzip") => flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut plain),
        other => panic!("{other:?}"),
    }
    .unwrap();
    plain
}

#[test]
fn bodies_of_every_size_arrive_as_they_were_sent() {
    let upstream = texts();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for (accepted, coding) in [("gzip, br", "br"), ("gzip", "gzip")] {
        for length in [1024, 8 * 1024, 64 * 1024, 64 * 1024 + 1, 3_000_000] {
            let reply = get(&mut client, &format!("/{length}"), accepted);
            assert_eq!(reply.header("content-encoding"), Some(coding), "{length}");
            assert!(decoded(&reply) == text(length), "{coding} {length}");
            assert!(reply.body.len() < length / 2);
            for spoilt in ["etag", "content-md5"] {
                assert_eq!(reply.header(spoilt), None);
            }
        }
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_body_that_another_client_would_get_compressed_says_so() {
    let upstream = texts();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for (path, accepted, varies) in [
        ("/2000", "gzip", true),
        ("/2000", "identity", true),
        ("/1000", "gzip", false),
    ] {
        let reply = get(&mut client, path, accepted);
        let head = reply.head.to_ascii_lowercase();
        assert!(head.contains("vary: cookie"), "{head}");
        assert_eq!(
            head.contains("vary: accept-encoding"),
            varies,
            "{path} {head}"
        );
    }
    let plain = client.get(HOST, "/2000");
    assert_eq!(plain.header("etag"), Some("\"1\""));
    assert!(plain.body == text(2000));
}

#[test]
fn a_body_that_the_instance_cuts_off_never_looks_whole() {
    let upstream = texts();
    let proxy = Proxy::before(&upstream);
    for length in [2000, 50_000, 3_000_000] {
        let mut client = proxy.client();
        client.send(format!(
            "GET /cut/{length} HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n"
        ));
        assert!(client.try_reply().is_err(), "{length}");
    }
}
