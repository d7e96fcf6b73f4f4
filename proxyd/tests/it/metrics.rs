use std::sync::atomic::{AtomicBool, Ordering};

use tako_proxyd::control::messages::{AppMetrics, Down, TlsFailures, Up};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::records::moody;
use crate::support::server::{Server, Session};
use crate::support::upstream::Upstream;

fn metrics(message: &Up) -> Option<(AppMetrics, TlsFailures)> {
    match message {
        Up::Metrics { apps, tls_failures } => Some((apps[0].clone(), *tls_failures)),
        _ => None,
    }
}

fn measure(session: &mut Session) -> AppMetrics {
    session.send(&Down::Measure {});
    session.until(metrics).0
}

fn measured(upstream: &Upstream) -> (Proxy, Session) {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    let public = place.dir.path().join("public");
    std::fs::create_dir(&public).unwrap();
    std::fs::write(public.join("file.txt"), "from a file").unwrap();
    table.apps[0].public_dir = Some(public.to_str().unwrap().to_owned());
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    (proxy, session)
}

/// A client may have its answer before it is counted.
fn measure_until(session: &mut Session, expected: [u64; 4]) -> AppMetrics {
    let mut metrics = measure(session);
    eventually("the answers are counted", || {
        metrics = measure(session);
        statuses(&metrics) == expected
    });
    metrics
}

fn statuses(metrics: &AppMetrics) -> Vec<u64> {
    metrics.statuses.values().copied().collect()
}

#[test]
fn the_metrics_are_what_was_done() {
    let upstream = moody();
    let (proxy, mut session) = measured(&upstream);
    assert_eq!(statuses(&measure(&mut session)), [0, 0, 0, 0]);
    let mut client = proxy.client();
    for (path, count) in [("/ok", 5), ("/missing", 3), ("/nonsense", 2)] {
        for _ in 0..count {
            client.get(HOST, path);
        }
    }
    // Not proxied.
    assert_eq!(client.get(HOST, "/file.txt").text(), "from a file");
    assert_eq!(client.get(HOST, "/../file.txt").status, 400);
    client.get(HOST, "/_tako/unknown");
    proxy.plain().get(HOST, "/");
    let metrics = measure_until(&mut session, [5, 0, 3, 2]);
    assert_eq!(metrics.duration.counts.iter().sum::<u64>(), 10);
    // What was no response has no time.
    assert_eq!(metrics.upstream.counts.iter().sum::<u64>(), 8);
    assert!(metrics.upstream.sum_us <= metrics.duration.sum_us);
    eventually("none goes on", || measure(&mut session).active == 0);
}

#[test]
fn a_request_is_active_until_it_ends_and_in_no_class_when_nobody_got_an_answer() {
    let upstream = moody();
    let (proxy, mut session) = measured(&upstream);
    let mut client = proxy.client();
    client.send("GET /waiting HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("it is at the instance", || upstream.requests() == 1);
    assert_eq!(measure(&mut session).active, 1);
    client.close();
    eventually("it is over", || measure(&mut session).active == 0);
    assert_eq!(statuses(&measure(&mut session)), [0, 0, 0, 0]);
}

#[test]
fn an_upgrade_is_measured_when_it_is_agreed_to_and_active_until_it_ends() {
    let is_ended = std::sync::Arc::new(AtomicBool::new(false));
    let ended = is_ended.clone();
    let upstream = Upstream::start_by_head(move |_, connection| {
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
        std::io::copy(&mut connection.stream, &mut std::io::sink())?;
        ended.store(true, Ordering::SeqCst);
        Ok(crate::support::upstream::Then::Close)
    });
    let (proxy, mut session) = measured(&upstream);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.reply().status, 101);
    let metrics = measure_until(&mut session, [1, 0, 0, 0]);
    assert_eq!(metrics.active, 1);
    client.close();
    eventually("the tunnel has ended", || is_ended.load(Ordering::SeqCst));
    eventually("it is over", || measure(&mut session).active == 0);
    assert_eq!(statuses(&measure(&mut session)), [1, 0, 0, 0]);
}

#[test]
fn counts_live_through_a_change_of_table_and_are_told_at_the_end() {
    let upstream = moody();
    let (mut proxy, mut session) = measured(&upstream);
    proxy.client().get(HOST, "/");
    session.push(proxy.place.table(2, vec![active("two", upstream.addr)]));
    proxy.client().get(HOST, "/");
    session.send(&Down::Shutdown {
        drain_ms: Some(1000),
    });
    let (last, _) = session.until(metrics);
    assert_eq!(statuses(&last), [2, 0, 0, 0]);
    assert!(proxy.process.exit().success());
}

#[test]
fn a_proxy_that_somebody_else_ends_tells_its_counts_in_the_conversation_it_has_by_then() {
    let upstream = moody();
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(1, vec![active("one", upstream.addr)]);
    let mut proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    proxy.client().get(HOST, "/");
    proxy.process.terminate();
    let (mut session, _) = server.accept();
    let (last, _) = session.until(metrics);
    assert_eq!(statuses(&last), [1, 0, 0, 0]);
    assert!(proxy.process.exit().success());
}

#[test]
fn handshakes_without_a_certificate_of_their_own_are_counted() {
    let upstream = moody();
    let (proxy, mut session) = measured(&upstream);
    let trusted = &proxy.place.trusted;
    drop(Client::tls(proxy.https, "b.test", trusted));
    drop(Client::tls(proxy.https, "b.test", trusted));
    // An address is never sent as a name.
    let to_address = Client::try_tls(proxy.https, "127.0.0.1", trusted, rustls::DEFAULT_VERSIONS);
    drop(to_address);
    let expected = TlsFailures {
        no_sni: 1,
        cert_missing: 2,
    };
    session.send(&Down::Measure {});
    assert_eq!(session.until(metrics).1, expected);
}
