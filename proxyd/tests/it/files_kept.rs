//! What of an app's public files is not served, and what happens when they change or cannot be sent.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::eventually;
use crate::support::files::{large, public, serve, table, write};
use crate::support::proxy::{HOST, Place};
use crate::support::server::Server;
use crate::support::upstream::Upstream;

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
fn a_file_that_has_to_be_read_from_disk_is_served_as_well() {
    let large = large();
    let (proxy, public, _) = serve(&[("large.bin", &large), ("sub/small.bin", &large[..9_000])]);
    for name in ["large.bin", "sub/small.bin"] {
        let file = fs::File::open(public.join(name)).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    let mut client = proxy.client();
    assert!(client.get(HOST, "/large.bin").body == large);
    assert!(client.get(HOST, "/sub/small.bin").body == large[..9_000]);
}
