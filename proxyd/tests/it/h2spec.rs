//! The cases of h2spec, against the real proxy over TLS with a real instance behind it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::proxy::{APP, Place, active, route};
use crate::support::upstream::Upstream;

/// Cases that are known to fail, as `section: title`, each with the reason.
const KNOWN: &[(&str, &str)] = &[];

/// Of h2spec 2.2.1, with the strict ones.
const CASES: usize = 146;

fn go() -> PathBuf {
    let usual = Path::new("/usr/local/go/bin/go");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("go"))
        .chain([usual.to_owned()])
        .find(|go| go.exists())
        .expect("h2spec is built with Go: install it")
}

fn build(folder: &Path) -> PathBuf {
    let program = folder.join("h2spec");
    let status = Command::new(go())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/h2spec"))
        .args(["build", "-mod=readonly", "-o"])
        .arg(&program)
        .arg("github.com/summerwind/h2spec/cmd/h2spec")
        .status()
        .unwrap();
    assert!(status.success(), "h2spec could not be built");
    program
}

/// The value of an attribute of an XML tag.
fn attribute<'t>(tag: &'t str, name: &str) -> &'t str {
    let start = tag.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    tag[start..].split('"').next().unwrap()
}

/// How many cases there were, and those that failed.
fn results(report: &str) -> (usize, BTreeSet<String>) {
    let cases: Vec<&str> = report.split("<testcase").skip(1).collect();
    let failed = cases.iter().filter(|case| {
        let case = case.split("</testcase>").next().unwrap_or(case);
        ["<failure", "<error", "<skipped"]
            .iter()
            .any(|bad| case.contains(bad))
    });
    let failed = failed.map(|case| {
        let title = attribute(case, "classname");
        format!("{}: {title}", attribute(case, "package"))
    });
    (cases.len(), failed.collect())
}

#[test]
fn every_case_of_h2spec_is_passed() {
    let upstream = Upstream::named("a body of some length");
    let place = Place::new();
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.routes.push(route("127.0.0.1", APP));
    let folder = tempfile::tempdir().unwrap();
    let program = build(folder.path());
    let proxy = place.serve(&table);
    let report = folder.path().join("report.xml");
    let output = Command::new(program)
        .args([
            "--tls",
            "--insecure",
            "--strict",
            "--timeout",
            "5",
            "--port",
        ])
        .arg(proxy.https.port().to_string())
        .arg("--junit-report")
        .arg(&report)
        .output()
        .unwrap();
    let (count, failed) = results(&std::fs::read_to_string(report).unwrap());
    let known = KNOWN.iter().map(|(case, _)| (*case).to_owned());
    assert_eq!(
        (count, failed),
        (CASES, known.collect()),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
