//! The proxy under test: its folder, its certificates, its process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use tako_proxyd::control::messages::{
    Endpoint, EndpointPhase, Policies, SourceIp, Table, TableApp, TableCertificate, TableRoute,
};

use super::client::Client;
use super::eventually;
use super::server::{Server, Session};
use super::upstream::Upstream;

pub const APP: &str = "a/production";
pub const HOST: &str = "a.test";

pub fn active(instance: &str, addr: SocketAddr) -> Endpoint {
    Endpoint {
        instance: instance.to_owned(),
        addr: addr.to_string(),
        state: EndpointPhase::Active,
    }
}

pub fn draining(instance: &str, addr: SocketAddr) -> Endpoint {
    Endpoint {
        state: EndpointPhase::Draining,
        ..active(instance, addr)
    }
}

pub fn app(name: &str, endpoints: Vec<Endpoint>) -> TableApp {
    TableApp {
        app: name.to_owned(),
        endpoints,
        max_waiters: 1000,
        wait_timeout_ms: 20_000,
        source_ip: SourceIp::Auto,
        public_dir: None,
        max_connections: 0,
        access_log: None,
    }
}

pub fn route(pattern: &str, app: &str) -> TableRoute {
    let (host, path) = match pattern.find('/') {
        Some(slash) => (&pattern[..slash], Some(pattern[slash..].to_owned())),
        None => (pattern, None),
    };
    TableRoute {
        host: host.to_owned(),
        path,
        app: app.to_owned(),
        pattern: pattern.to_owned(),
    }
}

/// A folder with certificates, and room for a table and a control socket.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub default: TableCertificate,
    pub trusted: Vec<CertificateDer<'static>>,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (default, trusted) = certificate(dir.path(), "default", &[HOST, "b.test"]);
        Self {
            dir,
            default,
            trusted: vec![trusted],
        }
    }

    pub fn control(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// One app, on one host, with these endpoints.
    pub fn table(&self, generation: u64, endpoints: Vec<Endpoint>) -> Table {
        Table {
            generation,
            policies: Policies::default(),
            apps: vec![app(APP, endpoints)],
            routes: vec![route(HOST, APP)],
            certificates: Vec::new(),
            default_certificate: Some(self.default.clone()),
            challenges: Vec::new(),
        }
    }

    pub fn save(&self, table: &Table) {
        let text = serde_json::to_vec(table).unwrap();
        std::fs::write(self.dir.path().join("table.json"), text).unwrap();
    }

    /// Starts the proxy on ports of its own.
    pub fn serve(self, table: &Table) -> Proxy {
        self.save(table);
        let binds = ["--bind-http", "127.0.0.1:0", "--bind-https", "127.0.0.1:0"];
        let mut process = Process::start(&self, &binds);
        let mut lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
        let mut addr = || {
            let line = lines.next().unwrap().unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        Proxy {
            http: addr(),
            https: addr(),
            place: self,
            process,
        }
    }

    /// Starts the proxy without ports: it will be given them.
    pub fn start(&self) -> Process {
        Process::start(self, &[])
    }
}

/// Makes a self-signed certificate.
pub fn certificate(
    dir: &std::path::Path,
    file: &str,
    names: &[&str],
) -> (TableCertificate, CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
    let (chain, key) = (
        dir.join(format!("{file}.crt")),
        dir.join(format!("{file}.key")),
    );
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let wanted = TableCertificate {
        names,
        chain_path: chain.to_str().unwrap().to_owned(),
        key_path: key.to_str().unwrap().to_owned(),
        fingerprint: format!("{:x}", fastrand::u64(..)),
    };
    (wanted, made.cert.der().clone())
}

pub struct Process {
    pub child: Child,
}

impl Process {
    fn start(place: &Place, more: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_tako-proxyd"))
            .args(["--threads", "2", "--log-level", "error", "--state-dir"])
            .arg(place.dir.path())
            .arg("--control")
            .arg(place.control())
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The memory it has in use, as the kernel counts it.
    pub fn resident_kilobytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn has_exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the proxy exits", || {
            status = self.has_exited();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running proxy with ports of its own.
pub struct Proxy {
    pub process: Process,
    pub place: Place,
    pub http: SocketAddr,
    pub https: SocketAddr,
}

impl Proxy {
    /// In front of one instance.
    pub fn before(upstream: &Upstream) -> Self {
        let place = Place::new();
        let table = place.table(1, vec![active("one", upstream.addr)]);
        place.serve(&table)
    }

    /// As [`Self::before`], with a tako-server to talk to.
    pub fn led(upstream: &Upstream) -> (Self, Session) {
        let place = Place::new();
        let server = Server::bind(&place.control());
        let table = place.table(1, vec![active("one", upstream.addr)]);
        let proxy = place.serve(&table);
        let (mut session, _) = server.accept();
        session.welcome(&[]);
        (proxy, session)
    }

    pub fn client(&self) -> Client {
        Client::tls(self.https, HOST, &self.place.trusted)
    }

    pub fn plain(&self) -> Client {
        Client::plain(self.http)
    }
}
