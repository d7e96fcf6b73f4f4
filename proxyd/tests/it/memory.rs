//! What requests leave behind: nothing. Counted in requests, not in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;
use tako_proxyd::control::messages::Table;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Process, active, app, route};
use crate::support::server::Server;
use crate::support::upstream::Upstream;

const CLIENTS: usize = 4;
const KEPT_ALIVE: usize = 40;
/// Of the memory after a tenth of the requests, in which pools and queues have grown to what they need; pages come in
/// whole, and the allocator keeps some.
const GROWTH: f64 = 1.05;
const PAGES_KIB: f64 = 512.0;

/// `make soak` asks for a million.
fn requests() -> usize {
    std::env::var("TAKO_SOAK_REQUESTS").map_or(20_000, |text| text.parse().unwrap())
}

fn rss_kib(process: &Process) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse().unwrap()
}

struct Visitor {
    addr: SocketAddr,
    trusted: Vec<CertificateDer<'static>>,
    count: Arc<AtomicUsize>,
}

impl Visitor {
    fn connect(&self) -> Client {
        Client::tls(self.addr, HOST, &self.trusted)
    }

    fn counted(&self, status: u16, expected: &[u16]) {
        assert!(expected.contains(&status), "{status} is not {expected:?}");
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Everything a visitor may do once; `turn` makes it somebody else each time.
    fn visit(&self, turn: usize) {
        let [_, _, high, low] = u32::try_from(turn % 65_536).unwrap().to_be_bytes();
        let mut client = self.connect();
        for _ in 0..KEPT_ALIVE {
            client.send(format!(
                "GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 198.18.{high}.{low}\r\n\r\n"
            ));
            self.counted(client.reply().status, &[200]);
        }
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nbody"
        ));
        self.counted(client.reply().status, &[200]);
        self.counted(client.get(HOST, "/gone").status, &[502, 503, 504]);
        let unknown = format!("host{turn}.test");
        self.counted(client.get(&unknown, "/").status, &[404, 421]);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        self.counted(client.reply().status, &[400]);
        let mut client = self.connect();
        client.send(format!(
            "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        ));
        self.counted(client.reply().status, &[101]);
        client.send("said");
        assert_eq!(client.read_exact(4), b"said");
        // One that goes away in the middle.
        self.connect().send("GET / HTTP/1.1\r\nHo");
    }
}

/// A table as a busy host has it: the same for visitors, and each generation another.
fn table(place: &Place, generation: u64, instance: SocketAddr, echo: SocketAddr) -> Table {
    let gone = "127.0.0.1:9".parse().unwrap();
    let mut table = place.table(generation, vec![active("one", instance)]);
    table
        .apps
        .push(app("ws/production", vec![active("ws", echo)]));
    let changing = format!("gone{generation}");
    let mut unreachable = app("gone/production", vec![active(&changing, gone)]);
    unreachable.wait_timeout_ms = 20;
    table.apps.push(unreachable);
    table.routes.push(route("a.test/ws", "ws/production"));
    table.routes.push(route("a.test/gone", "gone/production"));
    table
        .routes
        .push(route(&format!("{changing}.test"), "gone/production"));
    table
}

#[test]
fn memory_does_not_grow_with_the_number_of_requests() {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let (instance, echo) = (Upstream::echo(), Upstream::websocket());
    let first = table(&place, 1, instance.addr, echo.addr);
    let proxy = place.serve(&first);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let count = Arc::new(AtomicUsize::new(0));
    let total = requests();
    let mut generation = 1;
    let mut serve_until = |wanted: usize| {
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let visitor = Visitor {
                    addr: proxy.https,
                    trusted: proxy.place.trusted.clone(),
                    count: count.clone(),
                };
                scope.spawn(move || {
                    let mut turn = client;
                    while visitor.count.load(Ordering::SeqCst) < wanted {
                        visitor.visit(turn);
                        turn += CLIENTS;
                    }
                });
            }
            while count.load(Ordering::SeqCst) < wanted {
                generation += 1;
                session.push(table(&proxy.place, generation, instance.addr, echo.addr));
                let next = wanted.min(count.load(Ordering::SeqCst) + total / 200);
                eventually("requests are served", || {
                    count.load(Ordering::SeqCst) >= next
                });
            }
        });
        rss_kib(&proxy.process)
    };
    let before = serve_until(total / 10);
    let after = serve_until(total);
    println!(
        "{} requests: {before} KiB, {total}: {after} KiB",
        total / 10
    );
    assert!(
        after <= before * GROWTH + PAGES_KIB,
        "{before} KiB grew to {after}"
    );
}
