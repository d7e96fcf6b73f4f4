//! Reading what the proxy records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tako_proxyd::control::messages::Table;

use super::proxy::{Place, Proxy, active};
use super::upstream::{Then, Upstream};

/// The fields of a record by name; none of the tests' values needs quotes.
pub type Fields = BTreeMap<String, String>;

const NAMES: [&str; 22] = [
    "app",
    "source",
    "request_id",
    "host",
    "method",
    "path",
    "route",
    "instance",
    "status",
    "https",
    "handler",
    "handler_result",
    "cache",
    "total_ms",
    "route_lookup_ms",
    "cold_start_wait_ms",
    "upstream_response_ms",
    "compression_algorithm",
    "compression_skip_reason",
    "compression_vary_required",
    "compression_uncompressed_bytes",
    "compression_compressed_bytes",
];

pub fn recorded(place: &Place, table: &mut Table) -> PathBuf {
    let path = place.dir.path().join("proxy.access");
    for app in &mut table.apps {
        app.access_log = Some(path.to_str().unwrap().to_owned());
    }
    path
}

pub fn parse(line: &str) -> Fields {
    let (at, text) = line.split_at(24);
    assert!(at.starts_with("20") && at.ends_with('Z'), "{line}");
    let text = text.strip_prefix(" [server] [proxy] INFO Request completed ");
    let fields = text.unwrap_or_else(|| panic!("{line}")).split(' ');
    let fields: Vec<(&str, &str)> = fields.map(|field| field.split_once('=').unwrap()).collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, NAMES);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    fields.into_iter().map(owned).collect()
}

pub fn lines(path: &Path) -> Vec<String> {
    // There is none before the first record.
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "a part of a line: {text}"
    );
    text.lines().map(str::to_owned).collect()
}

/// Ends the proxy, which writes what there is, and gives the records by path.
pub fn records(proxy: &mut Proxy, path: &Path) -> Vec<Fields> {
    proxy.process.terminate();
    assert!(proxy.process.exit().success());
    let mut records: Vec<Fields> = lines(path).iter().map(|line| parse(line)).collect();
    records.sort_by(|one, two| one["path"].cmp(&two["path"]));
    records
}

pub fn with_record(upstream: &Upstream, change: impl FnOnce(&mut Table)) -> (Proxy, PathBuf) {
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    let path = recorded(&place, &mut table);
    change(&mut table);
    (place.serve(&table), path)
}

pub fn assert_fields(record: &Fields, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(record[*name], *value, "{name} in {record:?}");
    }
}

/// An app with a path for each way to answer or not to.
pub fn moody() -> Upstream {
    Upstream::start(|request, connection| match request.path() {
        "/missing" => {
            connection.send("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
            Then::Stay
        }
        "/silent" => Then::Close,
        "/cut" => {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
            Then::Close
        }
        "/nonsense" => {
            connection.send("220 smtp ready\r\n");
            Then::Close
        }
        "/endless" => {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun");
            let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
            Then::Close
        }
        "/waiting" => {
            let _ = std::io::copy(&mut connection.stream, &mut std::io::sink());
            Then::Close
        }
        _ => {
            connection.ok("one");
            Then::Stay
        }
    })
}
