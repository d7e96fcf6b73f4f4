use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use tako_proxyd::control::messages::{Down, Up};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active, draining};
use crate::support::server::Server;
use crate::support::upstream::{Then, Upstream};

/// Clients that send one request after the other until stopped, reconnecting when told that a response was the last.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(addr: SocketAddr, trusted: &[CertificateDer<'static>], clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let one = |_| {
            let (stop, served, trusted) = (stop.clone(), served.clone(), trusted.to_vec());
            std::thread::spawn(move || run(addr, &trusted, &stop, &served))
        };
        let clients = (0..clients).map(one).collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    fn until_more(&self, count: usize) {
        let wanted = self.served.load(Ordering::SeqCst) + count;
        eventually("requests are served", || {
            self.served.load(Ordering::SeqCst) >= wanted
        });
    }

    /// Stops; gives what went wrong.
    fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    }
}

fn run(
    addr: SocketAddr,
    trusted: &[CertificateDer<'static>],
    stop: &AtomicBool,
    served: &AtomicUsize,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let mut client = match Client::try_tls(addr, HOST, trusted, rustls::DEFAULT_VERSIONS) {
            Ok(client) => client,
            Err(error) => {
                failures.push(format!("connect: {error}"));
                continue;
            }
        };
        while !stop.load(Ordering::SeqCst) {
            match client.try_get(HOST, "/") {
                Ok(reply) if reply.status == 200 => {
                    served.fetch_add(1, Ordering::SeqCst);
                    if reply.header("connection") == Some("close") {
                        break;
                    }
                }
                Ok(reply) => failures.push(format!("status {}", reply.status)),
                Err(error) => {
                    failures.push(format!("request: {error}"));
                    break;
                }
            }
        }
    }
    failures
}

#[test]
fn a_hundred_changes_of_the_table_cost_no_request() {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let upstreams = [
        Upstream::named("one"),
        Upstream::named("two"),
        Upstream::named("three"),
    ];
    let table = place.table(1, vec![active("0", upstreams[0].addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let load = Load::start(proxy.https, &proxy.place.trusted, 6);
    for (turn, generation) in (2..102).enumerate() {
        let (new, old) = ((turn + 1) % 3, turn % 3);
        let endpoints = vec![
            active(&new.to_string(), upstreams[new].addr),
            draining(&old.to_string(), upstreams[old].addr),
        ];
        session.push(proxy.place.table(generation, endpoints));
        load.until_more(5);
    }
    assert_eq!(load.failures(), Vec::<String>::new());
}

#[test]
fn a_new_proxy_takes_over_without_losing_a_request() {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let upstream = Upstream::named("one");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let sockets = [("https/0".to_owned(), &socket)];
    let begin = || {
        let process = place.start();
        let (mut session, _) = server.accept();
        session.welcome(&sockets);
        (process, session)
    };
    let (mut process, mut session) = begin();
    session.push(place.table(1, vec![active("one", upstream.addr)]));
    let load = Load::start(addr, &place.trusted, 6);
    for generation in 2..5 {
        load.until_more(50);
        let (new_process, mut new_session) = begin();
        new_session.push(place.table(generation, vec![active("one", upstream.addr)]));
        session.send(&Down::Shutdown {
            drain_ms: Some(10_000),
        });
        assert!(process.exit().success());
        (process, session) = (new_process, new_session);
    }
    assert_eq!(load.failures(), Vec::<String>::new());
}

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_replaced_proxy_stays_for_its_websocket_and_tells_the_next_server_so() {
    let upstream = Upstream::websocket();
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = |generation| place.table(generation, vec![active("one", upstream.addr)]);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let sockets = [("https/0".to_owned(), &socket)];
    let mut process = place.start();
    let (mut session, _) = server.accept();
    session.welcome(&sockets);
    session.push(table(1));
    let mut client = Client::tls(addr, HOST, &place.trusted);
    client.send(UPGRADE);
    assert_eq!(client.reply().status, 101);
    session.send(&Down::Shutdown { drain_ms: None });
    session.push(table(2));
    drop(session);
    let (mut session, hello) = server.accept();
    let Up::Hello {
        finishing,
        generation,
        listeners,
        ..
    } = hello
    else {
        panic!("{hello:?}");
    };
    assert_eq!((finishing, generation, listeners.len()), (true, 2, 0));
    // Whoever gives it sockets all the same: it does not take a connection from its successor.
    session.welcome(&sockets);
    session.push(place.table(3, vec![draining("one", upstream.addr)]));
    session.until(|message| match message {
        Up::Stats { instances, .. } => (instances[0].in_flight == 1).then_some(()),
        Up::Drained { .. } => panic!("the WebSocket is still there"),
        _ => None,
    });
    client.send("still there");
    assert_eq!(client.read_exact(11), b"still there");
    client.close();
    assert!(process.exit().success());
}

#[test]
fn a_proxy_that_finishes_without_a_deadline_can_be_given_one() {
    let upstream = Upstream::websocket();
    let (mut proxy, mut session) = Proxy::led(&upstream);
    let mut client = proxy.client();
    client.send(UPGRADE);
    assert_eq!(client.reply().status, 101);
    session.send(&Down::Shutdown { drain_ms: None });
    session.send(&Down::Shutdown {
        drain_ms: Some(100),
    });
    // One that was said stays.
    session.send(&Down::Shutdown { drain_ms: None });
    assert!(proxy.process.exit().success());
    assert!(client.is_closed());
}

#[test]
fn on_sigterm_what_is_in_flight_is_finished_first() {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |_, connection| {
        released.lock().unwrap().recv().unwrap();
        connection.ok("late");
        Then::Stay
    });
    let mut proxy = Proxy::before(&upstream);
    let mut idle = proxy.client();
    let mut busy = proxy.client();
    busy.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the request is there", || upstream.requests() == 1);
    proxy.process.terminate();
    assert!(idle.is_closed());
    assert!(proxy.process.has_exited().is_none());
    release.send(()).unwrap();
    let reply = busy.reply();
    assert_eq!(
        (reply.text(), reply.header("connection")),
        ("late", Some("close"))
    );
    assert!(proxy.process.exit().success());
}

#[test]
fn a_client_that_comes_back_while_the_proxy_ends_is_answered_and_told_to_go() {
    let upstream = Upstream::named("one");
    let mut proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.get(HOST, "/").text(), "one");
    proxy.process.terminate();
    eventually("a response is the connection's last", || {
        let reply = client.get(HOST, "/");
        assert_eq!(reply.text(), "one");
        reply.header("connection") == Some("close")
    });
    assert!(client.is_closed());
    assert!(proxy.process.exit().success());
}

#[test]
fn connections_nobody_accepted_yet_are_served_before_the_proxy_ends() {
    let mut proxy = Proxy::before(&Upstream::named("one"));
    assert_eq!(proxy.plain().get(HOST, "/").status, 307);
    proxy.process.signal(Signal::STOP);
    let mut clients: Vec<Client> = (0..20).map(|_| proxy.plain()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    proxy.process.terminate();
    proxy.process.signal(Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.reply().status, 307);
    }
    assert!(proxy.process.exit().success());
}

#[test]
fn a_proxy_whose_folder_is_gone_and_that_nobody_asks_for_ends() {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let mut process = place.start();
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    drop((session, server));
    drop(place);
    assert!(process.exit().success());
}

#[test]
fn what_does_not_finish_is_cut_off_when_the_time_is_over() {
    let upstream = Upstream::start(|_, connection| {
        // Answers nothing until the proxy is gone.
        let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        Then::Close
    });
    let (mut proxy, mut session) = Proxy::led(&upstream);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the request is there", || upstream.requests() == 1);
    session.send(&Down::Shutdown {
        drain_ms: Some(100),
    });
    assert!(proxy.process.exit().success());
}
