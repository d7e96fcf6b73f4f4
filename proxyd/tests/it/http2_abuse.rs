//! What clients of HTTP/2 must not do, and what they must not get by it.

use h2::Reason;

use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, RESET, Raw, SETTINGS, block,
    frame,
};
use crate::support::proxy::Proxy;
use crate::support::upstream::{Then, Upstream};

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", "a.test");
const PATH: (&str, &str) = (":path", "/");
const GET: [(&str, &str); 4] = [METHOD, SCHEME, AUTHORITY, PATH];

const PING: u8 = 6;

/// Each resets its stream, the connection goes on, and nothing of it reaches an instance.
#[test]
fn malformed_requests_are_reset_and_never_forwarded() {
    let upstream = Upstream::named("one");
    let proxy = Proxy::before(&upstream);
    let mut client = Raw::connect(&proxy);
    let with = |field| [&GET[..], &[field]].concat();
    let mut stream = 1;
    for (case, fields) in [
        ("no method", vec![SCHEME, AUTHORITY, PATH]),
        ("no scheme", vec![METHOD, AUTHORITY, PATH]),
        ("no path", vec![METHOD, SCHEME, AUTHORITY]),
        ("two methods", vec![METHOD, METHOD, SCHEME, AUTHORITY, PATH]),
        ("two paths", vec![METHOD, SCHEME, AUTHORITY, PATH, PATH]),
        (
            "an empty path",
            vec![METHOD, SCHEME, AUTHORITY, (":path", "")],
        ),
        (
            "a path that is none",
            vec![METHOD, SCHEME, AUTHORITY, (":path", "*")],
        ),
        (
            "a space in the path",
            vec![METHOD, SCHEME, AUTHORITY, (":path", "/ HTTP/1.1")],
        ),
        (
            "a line in the path",
            vec![METHOD, SCHEME, AUTHORITY, (":path", "/\r\nx: y")],
        ),
        (
            "a pseudo field late",
            vec![METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH],
        ),
        ("a pseudo field of responses", with((":status", "200"))),
        ("another host", with(("host", "b.test"))),
        (
            "users",
            vec![METHOD, SCHEME, (":authority", "u@a.test"), PATH],
        ),
        ("connection", with(("connection", "x"))),
        ("keep-alive", with(("keep-alive", "5"))),
        ("proxy-connection", with(("proxy-connection", "close"))),
        ("transfer-encoding", with(("transfer-encoding", "chunked"))),
        ("upgrade", with(("upgrade", "websocket"))),
        ("te", with(("te", "gzip"))),
        ("a space before a value", with(("x", " y"))),
        ("a length that is none", with(("content-length", "x"))),
        (
            "two lengths",
            [with(("content-length", "0")), vec![("content-length", "0")]].concat(),
        ),
        ("a length without a body", with(("content-length", "5"))),
    ] {
        client.headers(stream, &fields, END_STREAM);
        let answer = client.next(&[HEADERS, RESET, GO_AWAY]);
        assert_eq!(
            (answer.kind, answer.stream),
            (RESET, stream),
            "{case}: {answer:?}"
        );
        assert_eq!(answer.reason(), Reason::PROTOCOL_ERROR, "{case}");
        stream += 2;
    }
    client.headers(stream, &GET, END_STREAM);
    let answer = client.next(&[HEADERS, RESET, GO_AWAY]);
    assert_eq!((answer.kind, answer.stream), (HEADERS, stream));
    assert_eq!(upstream.requests(), 1);
}

/// These end the connection: it cannot be known what its fields mean.
#[test]
fn fields_that_cannot_be_read_end_the_connection() {
    let upstream = Upstream::named("one");
    let proxy = Proxy::before(&upstream);
    for (case, field) in [
        ("an uppercase name", ("X", "y")),
        ("a space in a name", ("x ", "y")),
        ("a colon in a name", ("x:", "y")),
        ("a null in a value", ("x", "a\0b")),
        ("a line in a value", ("x", "a\r\nb: c")),
        ("a line in a name", ("x\r\nb", "c")),
        ("an unknown pseudo field", (":x", "y")),
        (
            "a line in the method",
            (":method", "GET / HTTP/1.1\r\nx: y"),
        ),
    ] {
        let mut client = Raw::connect(&proxy);
        client.headers(1, &[&GET[..], &[field]].concat(), END_STREAM);
        let answer = client.next(&[HEADERS, RESET, GO_AWAY]);
        assert!(answer.kind != HEADERS, "{case}: {answer:?}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn a_body_of_another_length_than_told_never_reaches_an_instance_as_whole() {
    let upstream = Upstream::named("one");
    let proxy = Proxy::before(&upstream);
    for data in [&b"abc"[..], b"abcdefg"] {
        let mut client = Raw::connect(&proxy);
        let post = [
            (":method", "POST"),
            SCHEME,
            AUTHORITY,
            PATH,
            ("content-length", "5"),
        ];
        client.headers(1, &post, 0);
        client.send(frame(DATA, END_STREAM, 1, data));
        let answer = client.next(&[HEADERS, RESET, GO_AWAY]);
        assert_eq!(
            (answer.kind, answer.reason()),
            (RESET, Reason::PROTOCOL_ERROR)
        );
    }
}

/// What ended the connection; the proxy may close before everything is sent.
fn ended_by(client: &mut Raw) -> Reason {
    client.next(&[GO_AWAY]).reason()
}

/// CVE-2023-44487.
#[test]
fn a_flood_of_requests_taken_back_ends_the_connection() {
    let upstream = Upstream::start(|_, connection| {
        // Until the proxy gives it up.
        let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    let mut client = Raw::connect(&proxy);
    let cancel = u32::from(Reason::CANCEL).to_be_bytes();
    for number in 0..2000 {
        client.headers(2 * number + 1, &GET, END_STREAM);
        client.send(frame(RESET, 0, 2 * number + 1, &cancel));
    }
    assert_eq!(ended_by(&mut client), Reason::ENHANCE_YOUR_CALM);
}

#[test]
fn floods_of_frames_that_carry_nothing_end_the_connection() {
    let upstream = Upstream::start_by_head(|_, connection| {
        std::io::copy(&mut connection.stream, &mut std::io::sink())?;
        Ok(Then::Close)
    });
    let proxy = Proxy::before(&upstream);
    let post = [(":method", "POST"), SCHEME, AUTHORITY, PATH];

    let mut client = Raw::connect(&proxy);
    client.headers(1, &post, 0);
    client.send(frame(DATA, 0, 1, &[]).repeat(20_000));
    assert_eq!(
        ended_by(&mut client),
        Reason::ENHANCE_YOUR_CALM,
        "empty DATA"
    );

    let mut client = Raw::connect(&proxy);
    client.send(frame(HEADERS, 0, 1, &block(&GET)));
    client.send(frame(CONTINUATION, 0, 1, &[]).repeat(20_000));
    assert_eq!(
        ended_by(&mut client),
        Reason::ENHANCE_YOUR_CALM,
        "CONTINUATION"
    );

    let mut client = Raw::connect(&proxy);
    client.send(frame(HEADERS, 0, 1, &block(&GET)));
    let fields = block(&[("x", &"y".repeat(120))]).repeat(100);
    client.send(frame(CONTINUATION, 0, 1, &fields).repeat(100));
    assert!(
        matches!(
            ended_by(&mut client),
            Reason::ENHANCE_YOUR_CALM | Reason::COMPRESSION_ERROR
        ),
        "a head without end"
    );
}

/// A client that asks and does not read is held up; it does not make the proxy gather answers.
#[test]
fn answers_nobody_reads_are_not_gathered() {
    let upstream = Upstream::named("one");
    let proxy = Proxy::before(&upstream);
    let mut client = Raw::connect(&proxy);
    let before = resident_kib(&proxy);
    let questions = [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])].concat();
    // 64 MB, or less when the proxy stops reading and the time to write is over.
    client.set_write_limit(std::time::Duration::from_secs(1));
    for _ in 0..2500 {
        if !client.try_send(questions.repeat(1000)) {
            break;
        }
    }
    assert!(resident_kib(&proxy) < before + 8 * 1024);
    let mut other = Raw::connect(&proxy);
    other.headers(1, &GET, END_STREAM);
    assert_eq!(other.next(&[HEADERS, GO_AWAY]).kind, HEADERS);
}

fn resident_kib(proxy: &Proxy) -> u64 {
    let path = format!("/proc/{}/status", proxy.process.child.id());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn more_streams_than_allowed_are_refused_and_can_be_tried_again() {
    let upstream = Upstream::start(|_, connection| {
        let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
        Then::Close
    });
    let proxy = Proxy::before(&upstream);
    let mut client = Raw::connect(&proxy);
    for number in 0..=128 {
        client.headers(2 * number + 1, &GET, END_STREAM);
    }
    let answer = client.next(&[HEADERS, RESET, GO_AWAY]);
    assert_eq!((answer.kind, answer.stream), (RESET, 257));
    assert_eq!(answer.reason(), Reason::REFUSED_STREAM);
    let fields = [&GET[..], &[("x", "y")]].concat();
    client.send(frame(RESET, 0, 1, &u32::from(Reason::CANCEL).to_be_bytes()));
    client.send(frame(HEADERS, END_STREAM, 259, &block(&fields)[..20]));
    client.send(frame(CONTINUATION, END_HEADERS, 259, &block(&fields)[20..]));
    client.send(frame(PING, 0, 0, &[1; 8]));
    assert_eq!(client.next(&[HEADERS, RESET, GO_AWAY, PING]).kind, PING);
}
