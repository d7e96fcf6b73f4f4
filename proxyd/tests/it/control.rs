use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;

use tako_proxyd::control::messages::{Down, Up};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{APP, HOST, Place, Proxy, active, app, draining};
use crate::support::server::Server;
use crate::support::upstream::{Then, Upstream};

#[test]
fn sockets_are_handed_over_and_back_again() {
    let upstream = Upstream::named("one");
    let place = Place::new();
    let server = Server::bind(&place.control());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut process = place.start();
    let (mut session, hello) = server.accept();
    let Up::Hello {
        pid,
        generation,
        listeners,
        ..
    } = hello
    else {
        unreachable!()
    };
    assert_eq!((pid, generation), (process.child.id(), 0));
    assert!(listeners.is_empty() && session.fds.is_empty());
    session.welcome(&[("https/0".to_owned(), &socket)]);
    session.push(place.table(5, vec![active("one", upstream.addr)]));
    let addr = socket.local_addr().unwrap();
    let mut client = Client::tls(addr, HOST, &place.trusted);
    assert_eq!(client.get(HOST, "/").text(), "one");

    // tako-server dies and comes back: it is told what is served by, and gets the sockets.
    drop(session);
    drop(server);
    assert_eq!(client.get(HOST, "/").text(), "one");
    let server = Server::bind(&place.control());
    let (mut session, hello) = server.accept();
    let Up::Hello {
        generation,
        listeners,
        ..
    } = hello
    else {
        unreachable!()
    };
    assert_eq!((generation, listeners), (5, vec!["https/0".to_owned()]));
    let returned = TcpListener::from(session.fds.pop_front().unwrap());
    assert_eq!(returned.local_addr().unwrap(), addr);
    session.welcome(&[]);
    session.push(place.table(6, vec![active("one", upstream.addr)]));
    assert_eq!(client.get(HOST, "/").text(), "one");
    assert!(process.has_exited().is_none());
}

#[test]
fn connections_wait_for_the_table_that_follows_the_sockets() {
    let (stale, current) = (Upstream::named("stale"), Upstream::named("current"));
    let place = Place::new();
    let server = Server::bind(&place.control());
    place.save(&place.table(1, vec![active("stale", stale.addr)]));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let _process = place.start();
    let (mut session, _) = server.accept();
    session.welcome(&[("https/0".to_owned(), &socket)]);
    let trusted = place.trusted.clone();
    let visitor = std::thread::spawn(move || Client::tls(addr, HOST, &trusted).get(HOST, "/").body);
    session.push(place.table(2, vec![active("current", current.addr)]));
    assert_eq!(visitor.join().unwrap(), b"current");
}

#[test]
fn a_delta_replaces_apps_and_needs_its_base() {
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(3, vec![active("one", one.addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let delta = |base, generation| Down::Delta {
        base,
        generation,
        apps: vec![app(APP, vec![active("two", two.addr)])],
    };
    session.send(&delta(2, 4));
    session.until(|message| matches!(message, Up::Reject { generation: 4, .. }).then_some(()));
    let mut client = proxy.client();
    assert_eq!(client.get(HOST, "/").text(), "one");
    session.send(&delta(3, 5));
    session.until(|message| matches!(message, Up::Ack { generation: 5 }).then_some(()));
    assert_eq!(client.get(HOST, "/").text(), "two");
}

#[test]
fn nothing_tako_server_says_stops_the_proxy() {
    let upstream = Upstream::named("one");
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(3, vec![active("one", upstream.addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    for line in [
        "",
        "garbage",
        "[]",
        "{}",
        r#"{"type":"dance"}"#,
        r#"{"type":"shutdown","drain_ms":-1}"#,
        "\u{0}",
    ] {
        session.send_line(line);
    }
    let old = place_table_line(2, "127.0.0.1:1");
    let bad_address = place_table_line(4, "nowhere");
    let bad_shape = r#"{"type":"table","generation":4,"apps":7}"#.to_owned();
    for (line, rejected) in [(old, 2), (bad_address, 4), (bad_shape, 4)] {
        session.send_line(&line);
        session.until(|message| match message {
            Up::Reject { generation, error } if *generation == rejected => {
                (!error.is_empty()).then_some(())
            }
            Up::Ack { .. } => panic!("{line} was used"),
            _ => None,
        });
    }
    assert_eq!(proxy.client().get(HOST, "/").text(), "one");
}

fn place_table_line(generation: u64, addr: &str) -> String {
    format!(
        r#"{{"type":"table","generation":{generation},"apps":[{{"app":"x/production","endpoints":[{{"instance":"i","addr":"{addr}"}}]}}]}}"#
    )
}

#[test]
fn a_draining_instance_is_told_to_be_drained_when_its_last_request_ended() {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let old = Upstream::start(move |_, connection| {
        released.lock().unwrap().recv().unwrap();
        connection.ok("old");
        Then::Stay
    });
    let new = Upstream::named("new");
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(1, vec![active("old", old.addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let mut slow = proxy.client();
    slow.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the request is there", || old.requests() == 1);
    let moved = vec![
        draining("old", old.addr),
        draining("idle", new.addr),
        active("new", new.addr),
    ];
    session.push(proxy.place.table(2, moved));
    assert_eq!(session.until_drained(), "idle", "it had nothing in flight");
    assert_eq!(proxy.client().get(HOST, "/").text(), "new");
    session.until(|message| match message {
        Up::Drained { instance, .. } => panic!("{instance} still has a request"),
        Up::Stats { instances, .. } => instances
            .iter()
            .any(|one| one.instance == "old" && one.in_flight == 1)
            .then_some(()),
        _ => None,
    });
    release.send(()).unwrap();
    assert_eq!(slow.reply().text(), "old");
    assert_eq!(session.until_drained(), "old");

    // Said again to a tako-server that may not have heard it.
    drop(session);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let mut drained = [session.until_drained(), session.until_drained()];
    drained.sort();
    assert_eq!(drained, ["idle", "old"]);
}

#[test]
fn idle_connections_to_an_instance_are_closed_when_it_drains() {
    let (told, closed) = mpsc::channel();
    let upstream = Upstream::start_by_head(move |_, connection| {
        connection.ok("one");
        if connection.stream.read(&mut [0])? == 0 {
            told.send(()).unwrap();
        }
        Ok(Then::Close)
    });
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(1, vec![active("one", upstream.addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    assert_eq!(proxy.client().get(HOST, "/").status, 200);
    session.push(proxy.place.table(2, vec![draining("one", upstream.addr)]));
    eventually("the connection is closed", || closed.try_recv().is_ok());
}

#[test]
fn a_connection_that_was_in_use_when_its_instance_drained_is_not_kept() {
    let (told, closed) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start_by_head(move |_, connection| {
        released.lock().unwrap().recv().unwrap();
        connection.ok("last");
        if connection.stream.read(&mut [0])? == 0 {
            told.send(()).unwrap();
        }
        Ok(Then::Close)
    });
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(1, vec![active("one", upstream.addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the request is there", || upstream.requests() == 1);
    session.push(proxy.place.table(2, vec![draining("one", upstream.addr)]));
    release.send(()).unwrap();
    assert_eq!(client.reply().text(), "last");
    let answered = std::time::Instant::now();
    eventually("the connection is closed", || closed.try_recv().is_ok());
    assert!(answered.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn the_table_on_disk_is_enough_to_serve() {
    let upstream = Upstream::named("one");
    let place = Place::new();
    let server = Server::bind(&place.control());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = place.start();
    let (mut session, _) = server.accept();
    session.welcome(&[("https/0".to_owned(), &socket)]);
    session.push(place.table(5, vec![active("one", upstream.addr)]));
    let file = place.dir.path().join("table.json");
    eventually("the table is kept", || file.exists());
    drop(first);
    let _second = place.start();
    let (mut session, hello) = server.accept();
    assert!(
        matches!(hello, Up::Hello { generation: 5, .. }),
        "{hello:?}"
    );
    session.welcome(&[("https/0".to_owned(), &socket)]);
    let addr = socket.local_addr().unwrap();
    assert_eq!(
        Client::tls(addr, HOST, &place.trusted)
            .get(HOST, "/")
            .text(),
        "one"
    );
}

#[test]
fn counts_are_told_of_each_instance() {
    let upstream = Upstream::named("one");
    let (proxy, mut session) = Proxy::led(&upstream);
    let mut client = proxy.client();
    for _ in 0..7 {
        client.get(HOST, "/");
    }
    session.until(|message| match message {
        Up::Stats {
            connections,
            instances,
        } => {
            let one = &instances[0];
            let settled = one.requests == 7 && one.in_flight == 0 && *connections == 1;
            settled.then(|| assert!(one.idle_ms < 20_000))
        }
        _ => None,
    });
}
