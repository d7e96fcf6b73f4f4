use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tako_proxyd::control::messages::Endpoint;

use crate::support::proxy::{HOST, Place, Proxy, active};
use crate::support::upstream::{Then, Upstream};

fn before(endpoints: Vec<Endpoint>) -> Proxy {
    let place = Place::new();
    let table = place.table(1, endpoints);
    place.serve(&table)
}

#[test]
fn an_instance_that_dies_of_requests_is_passed_over_while_another_answers() {
    let dying = Upstream::start(|_, _| Then::Close);
    let well = Upstream::named("well");
    let proxy = before(vec![active("dying", dying.addr), active("well", well.addr)]);
    let mut client = proxy.client();
    let mut statuses = Vec::new();
    while dying.requests() < 3 {
        statuses.push(client.get(HOST, "/").status);
    }
    let failed = statuses.iter().filter(|status| **status == 502).count();
    assert_eq!(failed, 3, "each is told as it is: {statuses:?}");
    for _ in 0..20 {
        assert_eq!(client.get(HOST, "/").text(), "well");
    }
    assert_eq!(dying.requests(), 3);
}

#[test]
fn the_last_instance_is_never_passed_over() {
    let is_well = Arc::new(AtomicBool::new(false));
    let seen = is_well.clone();
    let upstream = Upstream::start(move |_, connection| {
        if !seen.load(Ordering::SeqCst) {
            return Then::Close;
        }
        connection.ok("well again");
        Then::Stay
    });
    let proxy = before(vec![active("one", upstream.addr)]);
    let mut client = proxy.client();
    for _ in 0..6 {
        assert_eq!(client.get(HOST, "/").status, 502);
    }
    assert_eq!(upstream.requests(), 6);
    is_well.store(true, Ordering::SeqCst);
    assert_eq!(client.get(HOST, "/").text(), "well again");
}

#[test]
fn an_error_that_an_instance_answers_is_an_answer() {
    let one = Upstream::start(|_, connection| {
        connection.send("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
        Then::Stay
    });
    let two = Upstream::named("two");
    let proxy = before(vec![active("one", one.addr), active("two", two.addr)]);
    let mut client = proxy.client();
    for _ in 0..20 {
        client.get(HOST, "/");
    }
    assert_eq!(one.requests(), 10);
}

#[test]
fn a_request_that_was_sent_is_never_sent_to_another_instance() {
    let dying = Upstream::start(|_, _| Then::Close);
    let other = Upstream::named("other");
    let proxy = before(vec![
        active("dying", dying.addr),
        active("other", other.addr),
    ]);
    let mut client = proxy.client();
    let mut sent = 0;
    while dying.requests() < 2 {
        client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab");
        sent += 1;
        if client.reply().status == 502 {
            // With the body's end unknown the connection is not used again.
            client = proxy.client();
        }
    }
    assert_eq!(dying.requests() + other.requests(), sent);
}
