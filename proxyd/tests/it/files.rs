use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tako_proxyd::control::messages::Table;

use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::http2;
use crate::support::proxy::{APP, HOST, Place, Proxy, active, route};
use crate::support::server::Server;
use crate::support::upstream::Upstream;

/// 2001-09-09T01:46:40Z
const TIME: u64 = 1_000_000_000;

fn write(public: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = public.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(TIME);
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
}

fn table(place: &Place, upstream: &Upstream, public: &Path) -> Table {
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.apps[0].public_dir = Some(public.to_str().unwrap().to_owned());
    table
}

fn public(place: &Place) -> PathBuf {
    let public = place.dir.path().join("public");
    fs::create_dir(&public).unwrap();
    public
}

/// In front of an app that answers `app` to everything, with these public files.
fn serve(files: &[(&str, &[u8])]) -> (Proxy, PathBuf, Upstream) {
    let upstream = Upstream::named("app");
    let place = Place::new();
    let public = public(&place);
    for (name, bytes) in files {
        write(&public, name, bytes);
    }
    let table = table(&place, &upstream, &public);
    (place.serve(&table), public, upstream)
}

fn ask(client: &mut Client, method: &str, path: &str, fields: &str) -> Reply {
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n"
    ));
    client.reply()
}

/// Asks for the head alone; the connection is as usable afterwards.
fn ask_head(client: &mut Client, path: &str) -> String {
    client.send(format!("HEAD {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    client.head().unwrap()
}

fn large() -> Vec<u8> {
    (0..300_000u32).map(|at| (at % 251) as u8).collect()
}

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
fn a_path_that_climbs_is_refused() {
    let (proxy, public, upstream) = serve(&[("a.txt", b"file")]);
    fs::write(public.parent().unwrap().join("secret.txt"), "secret").unwrap();
    let mut client = proxy.client();
    for path in [
        "/../secret.txt",
        "/x/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%252e%252e%252fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/a.txt%00.js",
    ] {
        let reply = client.get(HOST, path);
        assert_eq!((reply.status, reply.text()), (400, "Bad Request"), "{path}");
        assert!(reply.header("x-request-id").is_some());
    }
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn nothing_outside_the_folder_and_nothing_hidden_is_served() {
    let (proxy, public, _) = serve(&[
        ("inside/a.txt", b"file"),
        (".env", b"secret"),
        (".git/config", b"secret"),
        (".well-known/security.txt", b"contact"),
    ]);
    let outside = public.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.txt"), "secret").unwrap();
    symlink(&outside, public.join("folder")).unwrap();
    symlink("../outside/secret.txt", public.join("file.txt")).unwrap();
    symlink("inside/a.txt", public.join("link.txt")).unwrap();
    symlink("loop.txt", public.join("loop.txt")).unwrap();
    let mut client = proxy.client();
    for (path, wanted) in [
        ("/folder/secret.txt", "app"),
        ("/file.txt", "app"),
        ("/loop.txt", "app"),
        ("/.env", "app"),
        ("/%2eenv", "app"),
        ("/.git/config", "app"),
        ("/link.txt", "file"),
        ("/.well-known/security.txt", "contact"),
    ] {
        assert_eq!(client.get(HOST, path).text(), wanted, "{path}");
    }
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
fn another_release_brings_other_files_and_a_changed_folder_is_seen() {
    let upstream = Upstream::named("app");
    let place = Place::new();
    let server = Server::bind(&place.control());
    let public = public(&place);
    write(&public, "a.txt", "first");
    let mut table = table(&place, &upstream, &public);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let mut client = proxy.client();
    assert_eq!(client.get(HOST, "/a.txt").text(), "first");
    let second = proxy.place.dir.path().join("second");
    write(&second, "a.txt", "second");
    table.generation = 2;
    table.apps[0].public_dir = Some(second.to_str().unwrap().to_owned());
    session.push(table);
    assert_eq!(client.get(HOST, "/a.txt").text(), "second");
    write(&second, "b.txt", "new");
    eventually("a new file is seen", || {
        client.get(HOST, "/b.txt").text() == "new"
    });
    fs::remove_dir_all(&second).unwrap();
    eventually("the app answers when the folder is gone", || {
        client.get(HOST, "/a.txt").text() == "app"
    });
}

#[test]
fn a_client_that_stops_reading_harms_nobody() {
    let large = vec![7; 32 * 1024 * 1024];
    let (proxy, _, _) = serve(&[("large.bin", &large), ("a.txt", b"file")]);
    let mut slow = proxy.client();
    slow.send(format!("GET /large.bin HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert!(slow.head().unwrap().contains(" 200 "));
    let mut other = proxy.client();
    assert_eq!(other.get(HOST, "/a.txt").text(), "file");
    slow.close();
    assert!(other.get(HOST, "/large.bin").body == large);
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_sent_is_cut_off() {
    let large = vec![7; 32 * 1024 * 1024];
    let (proxy, public, _) = serve(&[("large.bin", &large)]);
    let mut client = proxy.client();
    client.send(format!("GET /large.bin HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    client.head().unwrap();
    let file = fs::File::options()
        .write(true)
        .open(public.join("large.bin"))
        .unwrap();
    file.set_len(0).unwrap();
    let (rest, _) = client.rest();
    assert!(rest.len() < large.len());
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
