use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tako_proxyd::control::messages::{Down, Table, Up};

use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::server::{Server, Session};
use crate::support::upstream::{Then, Upstream};

/// An instance whose requests last until the test lets them go, and that counts how many there are at once.
struct Slow {
    upstream: Upstream,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    may_end: Arc<AtomicUsize>,
}

impl Slow {
    fn start() -> Self {
        let (now, most, may_end) =
            <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (counted, seen, gate) = (now.clone(), most.clone(), may_end.clone());
        let upstream = Upstream::start(move |_, connection| {
            let at_once = counted.fetch_add(1, Ordering::SeqCst) + 1;
            seen.fetch_max(at_once, Ordering::SeqCst);
            eventually("it may end", || {
                let take = |left: usize| left.checked_sub(1);
                gate.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                    .is_ok()
            });
            counted.fetch_sub(1, Ordering::SeqCst);
            connection.ok("done");
            Then::Stay
        });
        Self {
            upstream,
            now,
            most,
            may_end,
        }
    }

    fn let_go(&self, count: usize) {
        self.may_end.fetch_add(count, Ordering::SeqCst);
    }

    fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    fn until(&self, count: usize) {
        eventually("so many are at the instance", || self.now() == count);
    }
}

fn before(slow: &Slow, change: impl FnOnce(&mut Table)) -> (Proxy, Session) {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let mut table = place.table(1, vec![active("one", slow.upstream.addr)]);
    table.apps[0].max_connections = 2;
    change(&mut table);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    (proxy, session)
}

fn table(proxy: &Proxy, slow: &Slow, generation: u64, most: u32) -> Table {
    let endpoints = vec![active("one", slow.upstream.addr)];
    let mut table = proxy.place.table(generation, endpoints);
    table.apps[0].max_connections = most;
    table
}

fn get(proxy: &Proxy) -> JoinHandle<Reply> {
    let mut client = proxy.client();
    std::thread::spawn(move || client.get(HOST, "/"))
}

#[test]
fn an_app_gets_only_so_many_requests_at_once_and_the_rest_later() {
    let slow = Slow::start();
    let (proxy, mut session) = before(&slow, |_| {});
    let waiting: Vec<_> = (0..12).map(|_| get(&proxy)).collect();
    slow.until(2);
    slow.let_go(12);
    for request in waiting {
        assert_eq!(request.join().unwrap().text(), "done");
    }
    assert_eq!(slow.most.load(Ordering::SeqCst), 2);
    // Nobody was woken for it: there is an instance. What is said each second has been said by now.
    session.until(|message| match message {
        Up::Wake { .. } => panic!("{message:?}"),
        Up::Stats { instances, .. } => (instances[0].requests == 12).then_some(()),
        _ => None,
    });
}

#[test]
fn a_full_queue_is_503_at_once_and_waiting_has_its_end() {
    let slow = Slow::start();
    let (proxy, _session) = before(&slow, |table| {
        table.apps[0].max_connections = 1;
        table.apps[0].max_waiters = 1;
        table.apps[0].wait_timeout_ms = 100;
    });
    let first = get(&proxy);
    slow.until(1);
    let mut statuses: Vec<u16> = (0..3)
        .map(|_| get(&proxy))
        .map(|one| one.join().unwrap().status)
        .collect();
    statuses.dedup();
    assert_eq!(statuses, [503]);
    slow.let_go(1);
    assert_eq!(first.join().unwrap().status, 200);
    slow.let_go(1);
    assert_eq!(get(&proxy).join().unwrap().status, 200);
}

#[test]
fn who_gives_up_leaves_the_queue() {
    let slow = Slow::start();
    let (proxy, mut session) = before(&slow, |table| {
        table.apps[0].max_connections = 1;
        table.apps[0].max_waiters = 1;
    });
    let mut in_progress = || {
        session.send(&Down::Measure {});
        session.until(|message| match message {
            Up::Metrics { apps, .. } => Some(apps[0].active),
            _ => None,
        })
    };
    let first = get(&proxy);
    slow.until(1);
    let mut gone = proxy.client();
    gone.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("it waits", || in_progress() == 2);
    gone.close();
    eventually("it is gone", || in_progress() == 1);
    slow.let_go(1);
    assert_eq!(first.join().unwrap().status, 200);
    slow.let_go(1);
    assert_eq!(get(&proxy).join().unwrap().status, 200);
    assert_eq!(slow.upstream.requests(), 2);
}

#[test]
fn a_new_table_changes_the_limit_under_those_who_hold_and_those_who_wait() {
    let slow = Slow::start();
    let (proxy, mut session) = before(&slow, |_| {});
    let requests: Vec<_> = (0..8).map(|_| get(&proxy)).collect();
    slow.until(2);
    session.push(table(&proxy, &slow, 2, 4));
    slow.until(4);
    session.push(table(&proxy, &slow, 3, 1));
    slow.let_go(3);
    slow.until(1);
    session.push(table(&proxy, &slow, 4, 0));
    slow.until(5);
    slow.let_go(5);
    for request in requests {
        assert_eq!(request.join().unwrap().status, 200);
    }
    session.push(table(&proxy, &slow, 5, 2));
    let requests: Vec<_> = (0..4).map(|_| get(&proxy)).collect();
    slow.until(2);
    slow.most.store(0, Ordering::SeqCst);
    slow.let_go(4);
    for request in requests {
        assert_eq!(request.join().unwrap().status, 200);
    }
    assert_eq!(slow.most.load(Ordering::SeqCst).max(2), 2);
}

#[test]
fn a_websocket_holds_its_share_until_it_ends() {
    let upstream = Upstream::websocket();
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.apps[0].max_connections = 1;
    table.apps[0].max_waiters = 0;
    let proxy = place.serve(&table);
    let upgrade =
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switch = |client: &mut Client| {
        client.send(upgrade);
        client.reply().status
    };
    let mut first = proxy.client();
    assert_eq!(switch(&mut first), 101);
    let mut second = proxy.client();
    assert_eq!(switch(&mut second), 503);
    first.send("still there");
    assert_eq!(first.read_exact(11), b"still there");
    first.close();
    eventually("there is room again", || switch(&mut second) == 101);
}
