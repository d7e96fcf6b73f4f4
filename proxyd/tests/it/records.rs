use tako_proxyd::control::messages::{Down, SourceIp, StartFailure, Table, Up};

use crate::support::eventually;
use crate::support::proxy::{APP, HOST, Place, active, app, route};
use crate::support::records::{assert_fields, lines, moody, parse, recorded, records, with_record};
use crate::support::server::Server;
use crate::support::upstream::{Then, Upstream};

#[test]
fn a_request_that_was_answered_has_all_fields_in_their_order() {
    let (mut proxy, path) = with_record(&moody(), |table| {
        table.routes = vec![route("a.test/api/*", APP)];
    });
    let mut client = proxy.client();
    client.send("POST /api/x?token=secret HTTP/1.1\r\nHost: A.test:443\r\nX-Request-ID: id-1\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.reply().status, 200);
    let records = records(&mut proxy, &path);
    assert_eq!(records.len(), 1);
    assert_fields(
        &records[0],
        &[
            ("app", APP),
            ("source", "proxy"),
            ("request_id", "id-1"),
            ("host", "a.test"),
            ("method", "POST"),
            ("path", "/api/x"),
            ("route", "a.test/api/*"),
            ("instance", "one"),
            ("status", "200"),
            ("https", "true"),
            ("handler", "proxy"),
            ("handler_result", "ok"),
            ("cache", "-"),
            ("cold_start_wait_ms", "-"),
            ("compression_algorithm", "none"),
            ("compression_compressed_bytes", "-"),
        ],
    );
    let ms = |name: &str| records[0][name].parse::<f64>().unwrap();
    assert!(ms("route_lookup_ms") <= ms("total_ms"));
    assert!(ms("upstream_response_ms") <= ms("total_ms"));
}

#[test]
fn every_way_a_proxied_request_can_end_has_one_record() {
    let (mut proxy, path) = with_record(&moody(), |_| {});
    for (request, status) in [
        ("/ok", 200),
        ("/missing", 404),
        ("/nonsense", 502),
        ("/silent", 502),
    ] {
        assert_eq!(
            proxy.client().get(HOST, request).status,
            status,
            "{request}"
        );
    }
    assert!(proxy.client().try_get(HOST, "/cut").is_err());
    let mut client = proxy.client();
    client.send("GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.head().unwrap().split(' ').nth(1), Some("200"));
    client.close();
    let mut client = proxy.client();
    client.send("GET /waiting HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.close();
    eventually("all are recorded", || lines(&path).len() == 7);
    let seen: Vec<[String; 4]> = records(&mut proxy, &path)
        .into_iter()
        .map(|record| {
            ["path", "status", "handler_result", "handler"].map(|name| record[name].clone())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ["/cut", "200", "upstream_error", "proxy"],
            ["/endless", "200", "client_gone", "proxy"],
            ["/missing", "404", "ok", "proxy"],
            ["/nonsense", "502", "upstream_error", "proxy"],
            ["/ok", "200", "ok", "proxy"],
            ["/silent", "502", "upstream_error", "proxy"],
            ["/waiting", "-", "client_gone", "proxy"],
        ]
    );
}

#[test]
fn answers_of_ours_are_recorded_with_who_gave_them_and_why() {
    let (mut proxy, path) = with_record(&moody(), |_| {});
    assert_eq!(proxy.plain().get(HOST, "/plain").status, 307);
    let acme = "/.well-known/acme-challenge/unknown";
    assert_eq!(proxy.plain().get(HOST, acme).status, 404);
    let reply = proxy.client().get(HOST, "/_tako/unknown");
    assert_eq!(reply.status, 404);
    // Belongs to no app, so there is no log to be in.
    assert_eq!(proxy.client().get("nobody.test", "/nobody").status, 404);
    let records = records(&mut proxy, &path);
    let seen: Vec<[&str; 6]> = records
        .iter()
        .map(|record| {
            [
                "path",
                "status",
                "https",
                "handler",
                "handler_result",
                "instance",
            ]
            .map(|name| record[name].as_str())
        })
        .collect();
    assert_eq!(
        seen,
        [
            [acme, "404", "false", "acme", "not_found", "-"],
            ["/_tako/unknown", "404", "true", "tako", "not_found", "-"],
            ["/plain", "307", "false", "redirect", "ok", "-"],
        ]
    );
    assert_eq!(
        reply.header("x-request-id"),
        Some(records[1]["request_id"].as_str())
    );
    assert_eq!(records[1]["compression_skip_reason"], "not_proxied");
}

#[test]
fn clients_that_are_refused_are_recorded() {
    let (mut proxy, path) = with_record(&moody(), |table| table.policies.max_requests_per_ip = 0);
    assert_eq!(proxy.client().get(HOST, "/").status, 429);
    let record = &records(&mut proxy, &path)[0];
    assert_fields(
        record,
        &[
            ("status", "429"),
            ("handler", "tako"),
            ("handler_result", "rate_limited"),
        ],
    );

    let (mut proxy, path) = with_record(&moody(), |table| {
        table.apps[0].source_ip = SourceIp::CloudflareProxy;
    });
    assert_eq!(proxy.client().get(HOST, "/").status, 403);
    let record = &records(&mut proxy, &path)[0];
    assert_fields(
        record,
        &[
            ("status", "403"),
            ("handler", "tako"),
            ("handler_result", "forbidden"),
        ],
    );
}

#[test]
fn cold_starts_are_recorded_with_how_long_they_were_waited_for() {
    let place = Place::new();
    let server = Server::bind(&place.control());
    let mut table = place.table(1, vec![]);
    let path = recorded(&place, &mut table);
    table.apps[0].wait_timeout_ms = 100;
    let mut hurried = app("b/production", vec![]);
    hurried.max_waiters = 0;
    hurried.access_log = table.apps[0].access_log.clone();
    table.apps.push(hurried);
    let mut patient = app("c/production", vec![]);
    patient.access_log = table.apps[0].access_log.clone();
    table.apps.push(patient);
    table.routes.push(route("a.test/b", "b/production"));
    table.routes.push(route("a.test/c", "c/production"));
    let mut proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    assert_eq!(proxy.client().get(HOST, "/a").status, 504);
    assert_eq!(proxy.client().get(HOST, "/b").status, 503);
    let mut client = proxy.client();
    client.send("GET /c HTTP/1.1\r\nHost: a.test\r\n\r\n");
    session.until(|message| match message {
        Up::Wake { app, .. } => (app == "c/production").then_some(()),
        _ => None,
    });
    session.send(&Down::StartFailed {
        app: "c/production".to_owned(),
        reason: StartFailure::StartupFailed,
    });
    assert_eq!(client.reply().status, 502);
    let records = records(&mut proxy, &path);
    let seen: Vec<[&str; 2]> = records
        .iter()
        .map(|record| ["status", "handler_result"].map(|name| record[name].as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ["504", "cold_start_timeout"],
            ["503", "queue_full"],
            ["502", "cold_start_failed"]
        ]
    );
    assert!(records[0]["cold_start_wait_ms"].parse::<f64>().unwrap() >= 100.0);
    assert_eq!(records[0]["upstream_response_ms"], "-");
}

#[test]
fn an_upgraded_connection_is_recorded_when_it_ends() {
    let upstream = Upstream::start_by_head(|_, connection| {
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        std::io::copy(&mut connection.stream, &mut std::io::sink())?;
        Ok(Then::Close)
    });
    let (mut proxy, path) = with_record(&upstream, |_| {});
    let mut client = proxy.client();
    client.send(
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.reply().status, 101);
    let mut other = proxy.client();
    assert_eq!(other.get(HOST, "/_tako/after").status, 404);
    eventually("the later one is recorded", || lines(&path).len() == 1);
    client.close();
    eventually("both are recorded", || lines(&path).len() == 2);
    let records = records(&mut proxy, &path);
    assert_fields(
        &records[1],
        &[("path", "/ws"), ("status", "101"), ("handler_result", "ok")],
    );
}

#[test]
fn each_of_many_pipelined_requests_has_its_record() {
    let (mut proxy, path) = with_record(&moody(), |_| {});
    let mut client = proxy.client();
    let request = |number| format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let requests: Vec<String> = (100..400).map(request).collect();
    client.send(requests.concat());
    for _ in 100..400 {
        assert_eq!(client.reply().status, 200);
    }
    let paths: Vec<String> = records(&mut proxy, &path)
        .into_iter()
        .map(|record| record["path"].clone())
        .collect();
    let expected: Vec<String> = (100..400).map(|number| format!("/{number}")).collect();
    assert_eq!(paths, expected);
}

#[test]
fn what_is_still_going_on_when_the_time_is_over_is_recorded_too() {
    let upstream = moody();
    let (mut proxy, path) = with_record(&upstream, |_| {});
    let mut client = proxy.client();
    client.send("GET /waiting HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("it is at the instance", || upstream.requests() == 1);
    // The second says that it has to be now.
    proxy.process.terminate();
    let mut records = Vec::new();
    eventually("the proxy has ended", || {
        if proxy.process.has_exited().is_none() {
            proxy.process.terminate();
            return false;
        }
        records = lines(&path);
        true
    });
    assert_eq!(records.len(), 1);
    assert_fields(
        &parse(&records[0]),
        &[("status", "-"), ("handler_result", "aborted")],
    );
}

#[test]
fn an_app_that_leaves_the_table_while_a_request_is_going_on_is_recorded_and_harms_nothing() {
    let upstream = moody();
    let place = Place::new();
    let server = Server::bind(&place.control());
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    let path = recorded(&place, &mut table);
    let mut proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let mut client = proxy.client();
    client.send("GET /waiting HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("it is at the instance", || upstream.requests() == 1);
    session.push(Table {
        generation: 2,
        default_certificate: table.default_certificate.clone(),
        ..Table::default()
    });
    client.close();
    eventually("it is recorded", || lines(&path).len() == 1);
    assert_eq!(proxy.client().get(HOST, "/").status, 404);
    assert_eq!(records(&mut proxy, &path).len(), 1);
}

#[test]
fn a_public_file_is_recorded_as_such_and_from_where_it_came() {
    let upstream = moody();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "file").unwrap();
    let (mut proxy, path) = with_record(&upstream, |table| {
        table.apps[0].public_dir = Some(folder.path().to_str().unwrap().to_owned());
    });
    let mut client = proxy.client();
    let reply = client.get(HOST, "/a.txt?1");
    let etag = reply.header("etag").unwrap();
    client.send(format!(
        "GET /a.txt HTTP/1.1\r\nHost: {HOST}\r\nIf-None-Match: {etag}\r\n\r\n"
    ));
    assert_eq!(client.reply().status, 304);
    assert_eq!(client.get(HOST, "/x/..%2fb.txt").status, 400);
    let records = records(&mut proxy, &path);
    let mut seen: Vec<[&str; 5]> = records
        .iter()
        .map(|record| {
            [
                "path",
                "status",
                "handler",
                "handler_result",
                "compression_skip_reason",
            ]
            .map(|name| record[name].as_str())
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            ["/a.txt", "200", "static", "ok", "not_proxied"],
            ["/a.txt", "304", "static", "not_modified", "not_proxied"],
            [
                "/x/..%2fb.txt",
                "400",
                "static",
                "bad_request",
                "not_proxied"
            ],
        ]
    );
    let found = records.iter().find(|record| record["status"] == "200");
    assert_eq!(found.unwrap()["cache"], "miss");
}
