use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tako_proxyd::control::messages::{Down, StartFailure, Table, Up};

use crate::support::client::Reply;
use crate::support::eventually;
use crate::support::proxy::{APP, HOST, Place, Proxy, active};
use crate::support::server::{Server, Session};
use crate::support::upstream::Upstream;

/// A proxy whose app has no instance, and the session that could give it one.
fn asleep(change: impl FnOnce(&mut Table)) -> (Proxy, Session) {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let mut table = place.table(1, vec![]);
    change(&mut table);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    (proxy, session)
}

fn get(proxy: &Proxy) -> JoinHandle<Reply> {
    let mut client = proxy.client();
    std::thread::spawn(move || client.get(HOST, "/"))
}

#[test]
fn a_request_wakes_its_app_and_waits_for_it() {
    let (proxy, mut session) = asleep(|_| {});
    let waiting: Vec<_> = (0..20).map(|_| get(&proxy)).collect();
    assert!(session.until_wake() >= 1);
    // Repeated while they wait, with their number.
    session.until(|message| match message {
        Up::Wake { app, waiting: 20 } => (app == APP).then_some(()),
        _ => None,
    });
    let upstream = Upstream::named("awake");
    session.push(proxy.place.table(2, vec![active("one", upstream.addr)]));
    let pushed = Instant::now();
    for request in waiting {
        assert_eq!(request.join().unwrap().text(), "awake");
    }
    assert!(
        pushed.elapsed() < Duration::from_secs(5),
        "they were let go by the table, not by their time"
    );
}

#[test]
fn a_start_that_fails_is_told_by_its_kind() {
    let (proxy, mut session) = asleep(|_| {});
    for (reason, status, body) in [
        (StartFailure::StartupFailed, 502, "Bad Gateway"),
        (StartFailure::StartupTimeout, 504, "Gateway Timeout"),
        (StartFailure::Unavailable, 503, "Service Unavailable"),
    ] {
        let request = get(&proxy);
        session.until_wake();
        let app = APP.to_owned();
        session.send(&Down::StartFailed { app, reason });
        let reply = request.join().unwrap();
        assert_eq!((reply.status, reply.text()), (status, body));
        assert_eq!(reply.header("cache-control"), Some("private, no-store"));
    }
}

#[test]
fn waiting_ends_with_504_when_its_time_is_over() {
    let (proxy, _session) = asleep(|table| table.apps[0].wait_timeout_ms = 50);
    assert_eq!(get(&proxy).join().unwrap().status, 504);
}

#[test]
fn a_full_queue_is_503_at_once() {
    let (proxy, mut session) = asleep(|table| table.apps[0].max_waiters = 2);
    let waiting: Vec<_> = (0..2).map(|_| get(&proxy)).collect();
    eventually("two wait", || session.until_wake() == 2);
    assert_eq!(get(&proxy).join().unwrap().status, 503);
    let upstream = Upstream::named("awake");
    session.push(proxy.place.table(2, vec![active("one", upstream.addr)]));
    for request in waiting {
        assert_eq!(request.join().unwrap().status, 200);
    }
}

#[test]
fn who_gives_up_waiting_does_not_count() {
    let (proxy, mut session) = asleep(|_| {});
    let mut gone = proxy.client();
    gone.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    session.until_wake();
    gone.close();
    let request = get(&proxy);
    eventually("one waits", || session.until_wake() == 1);
    let upstream = Upstream::named("awake");
    session.push(proxy.place.table(2, vec![active("one", upstream.addr)]));
    assert_eq!(request.join().unwrap().status, 200);
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn a_body_waits_with_its_request() {
    let (proxy, mut session) = asleep(|_| {});
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\nabc");
    session.until_wake();
    client.send("def");
    let upstream = Upstream::echo();
    session.push(proxy.place.table(2, vec![active("one", upstream.addr)]));
    assert!(client.reply().text().ends_with("\nabcdef"));
}

#[test]
fn when_the_only_instance_has_died_requests_wait_for_its_replacement() {
    let (proxy, mut session) = asleep(|_| {});
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    session.push(proxy.place.table(2, vec![active("dead", dead)]));
    let request = get(&proxy);
    let instance = session.until(|message| match message {
        Up::ConnectFailed { instance, .. } => Some(instance.clone()),
        _ => None,
    });
    assert_eq!(instance, "dead");
    session.until_wake();
    // Trying again is not another cold start: it is said once, and again each second.
    session.until_wake();
    let said = Instant::now();
    session.until_wake();
    assert!(said.elapsed() > Duration::from_millis(500));
    session.push(proxy.place.table(3, vec![]));
    let upstream = Upstream::named("replaced");
    session.push(proxy.place.table(4, vec![active("new", upstream.addr)]));
    assert_eq!(request.join().unwrap().text(), "replaced");
}
