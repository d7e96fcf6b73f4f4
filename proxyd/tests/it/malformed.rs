//! The golden table of malformed requests: what ours answers, whether the connection goes on, and what an instance saw.
//! `e2e/test_malformed.py` holds other proxies to the same file.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::client::header;
use crate::support::proxy::{APP, Place, active, route};
use crate::support::upstream::{Then, Upstream};

const GOLDEN: &str = include_str!("../../../tests/golden/malformed.json");
/// Sent after each case: it shows whether the connection could be used after it, and ends it.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

#[test]
fn malformed_requests_are_answered_as_the_golden_table_says() {
    let reached = Arc::new(Mutex::new(Vec::new()));
    let seen = reached.clone();
    let upstream = Upstream::start(move |request, connection| {
        let mut words = request.head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let target = match target.len() {
            60.. => format!("{}... of {}", &target[..20], target.len()),
            _ => target.to_owned(),
        };
        let host = header(&request.head, "host").unwrap_or("-");
        let body = String::from_utf8_lossy(&request.body);
        let line = format!("{method} {target} {host} {body}");
        seen.lock().unwrap().push(line.trim_end().to_owned());
        connection.ok("");
        Then::Stay
    });
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.routes.push(route("b.test", APP));
    let proxy = place.serve(&table);
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        reached.lock().unwrap().clear();
        let bytes = spell(&case["send"]);
        let mut client = proxy.client();
        // What is refused may be closed before all of it is sent.
        let _ = client.try_send([&bytes, LAST.as_bytes()].concat());
        let (said, _) = client.rest();
        let reached = reached.lock().unwrap().clone();
        let closed = !reached.iter().any(|line| line.starts_with("GET /last "));
        let outcome = serde_json::json!({
            "answers": statuses(&said, bytes.starts_with(b"HEAD")),
            "closed": closed,
            "reached": reached,
        });
        if outcome != case["ours"] {
            wrong.push(format!("{}: {outcome}, not {}", case["name"], case["ours"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A character is a byte; a list has text, and text that is repeated.
fn spell(parts: &Value) -> Vec<u8> {
    match parts {
        Value::String(text) => text
            .chars()
            .map(|byte| u8::try_from(byte).unwrap())
            .collect(),
        Value::Array(parts) => match &parts[..] {
            [text, Value::Number(times)] => {
                let times = usize::try_from(times.as_u64().unwrap()).unwrap();
                spell(text).repeat(times)
            }
            parts => parts.iter().flat_map(spell).collect(),
        },
        other => panic!("{other}"),
    }
}

fn statuses(mut said: &[u8], to_head: bool) -> Vec<u16> {
    let mut found = Vec::new();
    while !said.is_empty() {
        let end = said
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&said[..end]).replace("\r\n", "\n");
        said = &said[end + 4..];
        found.push(head.split(' ').nth(1).unwrap().parse().unwrap());
        let has_none = found.last() < Some(&200) || (to_head && found.len() == 1);
        if !has_none {
            let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
            said = &said[length..];
        }
    }
    found
}
