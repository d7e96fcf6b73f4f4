use tako_proxyd::control::messages::Up;

use crate::support::proxy::Proxy;
use crate::support::upstream::Upstream;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";

/// Switches, greets, and echoes until the end.
fn echo() -> Upstream {
    Upstream::start_by_head(|head, connection| {
        assert!(head.contains("upgrade: websocket\n"), "{head}");
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello",
        );
        connection.echo()
    })
}

#[test]
fn an_upgraded_connection_is_a_tunnel() {
    let proxy = Proxy::before(&echo());
    let mut client = proxy.client();
    // The first frame may come with the request.
    client.send(format!("{UPGRADE}early"));
    let reply = client.reply();
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    assert_eq!(client.read_exact(10), b"helloearly");
    for _ in 0..100 {
        client.send([0, 255, 7]);
        assert_eq!(client.read_exact(3), [0, 255, 7]);
    }
    let large = vec![7; 300_000];
    client.send(&large[..100_000]);
    assert!(client.read_exact(100_000) == large[..100_000]);
}

#[test]
fn an_upgrade_counts_as_in_flight_until_it_ends() {
    let upstream = echo();
    let (proxy, mut session) = Proxy::led(&upstream);
    let mut client = proxy.client();
    client.send(UPGRADE);
    assert_eq!(client.reply().status, 101);
    let mut until_in_flight = |wanted| {
        session.until(|message| match message {
            Up::Stats { instances, .. } => (instances[0].in_flight == wanted).then_some(()),
            _ => None,
        });
    };
    until_in_flight(1);
    client.close();
    until_in_flight(0);
}

#[test]
fn an_upgrade_to_http2_is_forwarded_as_a_plain_request() {
    let upstream = Upstream::echo();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
    );
    let reply = client.reply();
    let seen = reply.text().to_lowercase();
    assert!(
        !seen.contains("upgrade") && !seen.contains("http2"),
        "{seen}"
    );
}

#[test]
fn an_instance_may_decline_the_upgrade() {
    let upstream = Upstream::named("plain");
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(UPGRADE);
        assert_eq!(client.reply().text(), "plain");
    }
}
