//! What of an app's public files is served, and how.

use crate::support::files::{ask, ask_head, large, public, serve, table, write};
use crate::support::http2;
use crate::support::proxy::{APP, HOST, Place, route};
use crate::support::upstream::Upstream;

#[test]
fn a_public_file_is_served_without_the_app() {
    let (proxy, _, upstream) = serve(&[("assets/main.js", b"console.log(1)")]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let reply = client.get(HOST, "/assets/main.js?v=1");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.text(), "console.log(1)");
        for (name, value) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("content-length", "14"),
            ("etag", "\"14-1000000000\""),
            ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT"),
            ("cache-control", "public, max-age=3600"),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{name}");
        }
        assert!(reply.header("x-request-id").is_some() && reply.header("date").is_some());
        assert!(reply.header("vary").is_none());
    }
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn what_is_not_there_or_not_a_get_is_the_apps() {
    let (proxy, public, _) = serve(&[("a.txt", b"file"), ("sub/b.txt", b"b")]);
    assert!(
        rustix::fs::mknodat(
            rustix::fs::CWD,
            public.join("pipe.txt"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0
        )
        .is_ok()
    );
    let mut client = proxy.client();
    for path in [
        "/",
        "/b.txt",
        "/a.txt/",
        "/a.txt/x",
        "/sub",
        "/sub/",
        "/sub/c.txt",
        "/pipe.txt",
        "/pipe.txt",
    ] {
        assert_eq!(client.get(HOST, path).text(), "app", "{path}");
    }
    assert_eq!(ask(&mut client, "DELETE", "/a.txt", "").text(), "app");
    let posted = ask(&mut client, "POST", "/a.txt", "Content-Length: 0\r\n");
    assert_eq!(posted.text(), "app");
    assert_eq!(client.get(HOST, "/a.txt").text(), "file");
    assert_eq!(client.get(HOST, "/sub/b.txt").text(), "b");
}

#[test]
fn a_folder_is_served_by_its_index() {
    let (proxy, _, _) = serve(&[
        ("index.html", b"root"),
        ("docs/index.html", b"docs"),
        ("docs/v1.2/index.html", b"v1.2"),
    ]);
    let mut client = proxy.client();
    for (path, wanted) in [
        ("/", "root"),
        ("/?x", "root"),
        ("/index.html", "root"),
        ("/docs", "docs"),
        ("/docs/", "docs"),
        ("/docs/v1.2", "v1.2"),
        ("/other/", "app"),
    ] {
        let reply = client.get(HOST, path);
        assert_eq!(reply.text(), wanted, "{path}");
        let html = reply.header("content-type") == Some("text/html; charset=utf-8");
        assert_eq!(html, wanted != "app", "{path}");
    }
}

#[test]
fn a_head_request_gets_what_a_get_would_without_the_body() {
    let (proxy, _, _) = serve(&[("a.txt", b"file"), ("large.bin", &large())]);
    let mut client = proxy.client();
    let head = ask_head(&mut client, "/large.bin");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-length: 300000\n"), "{head}");
    assert_eq!(client.get(HOST, "/a.txt").text(), "file");
}

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let (proxy, _, _) = serve(&[("a.txt", b"file")]);
    let mut client = proxy.client();
    for fields in [
        "If-None-Match: \"4-1000000000\"\r\n",
        "If-None-Match: W/\"4-1000000000\"\r\n",
        "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n",
    ] {
        let reply = ask(&mut client, "GET", "/a.txt", fields);
        assert_eq!(reply.status, 304, "{fields}");
        assert_eq!(reply.header("etag"), Some("\"4-1000000000\""));
        assert!(reply.header("content-length").is_none());
    }
    for fields in [
        "If-Match: \"x\"\r\n",
        "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT\r\n",
    ] {
        let reply = ask(&mut client, "GET", "/a.txt", fields);
        assert_eq!((reply.status, reply.text()), (412, "Precondition Failed"));
    }
    assert_eq!(client.get(HOST, "/a.txt").text(), "file");
}

#[test]
fn a_part_of_a_file_can_be_had() {
    let large = large();
    let (proxy, _, _) = serve(&[("a.txt", b"0123456789"), ("large.bin", &large)]);
    let mut client = proxy.client();
    for (path, range, wanted) in [
        ("/a.txt", "0-3", &b"0123"[..]),
        ("/a.txt", "8-", b"89"),
        ("/a.txt", "-1", b"9"),
        ("/large.bin", "1-150000", &large[1..=150_000]),
        ("/large.bin", "-5", &large[299_995..]),
    ] {
        let fields = format!("Range: bytes={range}\r\n");
        let reply = ask(&mut client, "GET", path, &fields);
        assert_eq!(reply.status, 206, "{path} {range}");
        assert!(reply.body == wanted, "{path} {range}");
        assert!(reply.header("content-range").is_some());
    }
    let reply = ask(&mut client, "GET", "/a.txt", "Range: bytes=2-3\r\n");
    assert_eq!(reply.header("content-range"), Some("bytes 2-3/10"));
    let reply = ask(&mut client, "GET", "/a.txt", "Range: bytes=10-\r\n");
    assert_eq!(reply.status, 416);
    assert_eq!(reply.header("content-range"), Some("bytes */10"));
    let several = ask(&mut client, "GET", "/a.txt", "Range: bytes=0-1,4-5\r\n");
    assert_eq!((several.status, several.text()), (200, "0123456789"));
    let other = "Range: bytes=0-1\r\nIf-Range: \"other\"\r\n";
    assert_eq!(ask(&mut client, "GET", "/a.txt", other).status, 200);
}

#[test]
fn large_files_are_served_whole_and_one_after_the_other() {
    let large = large();
    let (proxy, _, _) = serve(&[("large.bin", &large), ("empty.txt", b"")]);
    let mut client = proxy.client();
    let request = format!("GET /large.bin HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    client.send(request.repeat(3));
    for _ in 0..3 {
        let reply = client.reply();
        assert_eq!(reply.status, 200);
        assert!(reply.body == large);
    }
    let empty = client.get(HOST, "/empty.txt");
    assert_eq!((empty.status, empty.text()), (200, ""));
    let mut plain = proxy.plain();
    assert_eq!(plain.get(HOST, "/large.bin").status, 307);
}

#[test]
fn an_encoded_file_beside_another_is_served_to_who_accepts_it() {
    let (proxy, _, _) = serve(&[
        ("a.js", b"plain"),
        ("a.js.br", b"brotli"),
        ("a.js.gz", b"gzipped"),
        ("b.js", b"plain"),
        ("b.js.gz", b"gzipped"),
    ]);
    let mut client = proxy.client();
    for (path, accepted, wanted, encoding) in [
        ("/a.js", "gzip, deflate, br", "brotli", Some("br")),
        ("/a.js", "br;q=0.5, gzip;q=0.8", "gzipped", Some("gzip")),
        ("/a.js", "*", "brotli", Some("br")),
        ("/a.js", "br;q=0, gzip;q=0", "plain", None),
        ("/a.js", "identity", "plain", None),
        ("/b.js", "gzip, br", "gzipped", Some("gzip")),
        ("/b.js", "br", "plain", None),
    ] {
        let fields = format!("Accept-Encoding: {accepted}\r\n");
        let reply = ask(&mut client, "GET", path, &fields);
        assert_eq!(reply.text(), wanted, "{path} {accepted}");
        assert_eq!(reply.header("content-encoding"), encoding, "{accepted}");
        assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        let js = Some("text/javascript; charset=utf-8");
        assert_eq!(reply.header("content-type"), js);
        let etag = reply.header("etag").unwrap();
        assert_eq!(etag.ends_with("-1000000000\""), encoding.is_none());
    }
    let itself = client.get(HOST, "/b.js.gz");
    assert_eq!(itself.header("content-type"), Some("application/gzip"));
    assert_eq!(itself.header("content-encoding"), None);
}

#[test]
fn below_a_paths_route_files_are_found_with_and_without_the_prefix() {
    let upstream = Upstream::named("app");
    let place = Place::new();
    let public = public(&place);
    write(&public, "assets/main.js", "stripped");
    write(&public, "assets/both.js", "stripped");
    write(&public, "app/assets/both.js", "as it is");
    write(&public, "index.html", "index");
    let mut table = table(&place, &upstream, &public);
    table.routes = vec![route("a.test/app/*", APP)];
    let proxy = place.serve(&table);
    let mut client = proxy.client();
    for (path, wanted) in [
        ("/app/assets/main.js", "stripped"),
        ("/app/assets/both.js", "as it is"),
        ("/app/assets/none.js", "app"),
        ("/app/", "index"),
        ("/app", "index"),
        ("/assets/main.js", "Not Found"),
    ] {
        assert_eq!(client.get(HOST, path).text(), wanted, "{path}");
    }
}

#[test]
fn http2_gets_the_same_files() {
    let large = large();
    let (proxy, _, upstream) = serve(&[("a.txt", b"file"), ("large.bin", &large)]);
    http2::run(async {
        let (mut client, _) = http2::connect(&proxy).await;
        let small = http2::exchange(&mut client, http2::get("/a.txt"))
            .await
            .unwrap();
        assert_eq!(small.text(), "file");
        assert_eq!(small.headers["etag"], "\"4-1000000000\"");
        let whole = http2::exchange(&mut client, http2::get("/large.bin"))
            .await
            .unwrap();
        assert!(whole.body == large);
        let climbing = http2::exchange(&mut client, http2::get("/..%2fa.txt"))
            .await
            .unwrap();
        assert_eq!(climbing.status, 400);
    });
    assert_eq!(upstream.requests(), 0);
}
