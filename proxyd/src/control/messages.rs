//! Messages between tako-server and the proxy, one JSON object a line; the contract is `tako/model/control.py`.
//!
//! Unknown fields are ignored and absent ones have the contract's defaults, so that either side may be newer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub const PROTOCOL: u32 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointPhase {
    #[default]
    Active,
    Draining,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub instance: String,
    pub addr: String,
    #[serde(default)]
    pub state: EndpointPhase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceIp {
    #[default]
    Auto,
    Direct,
    CloudflareProxy,
    TrustedProxy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableApp {
    pub app: String,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    #[serde(default = "defaults::max_waiters")]
    pub max_waiters: u32,
    #[serde(default = "defaults::wait_timeout_ms")]
    pub wait_timeout_ms: u64,
    #[serde(default)]
    pub source_ip: SourceIp,
    #[serde(default)]
    pub public_dir: Option<String>,
    /// Requests at the app's instances at once, over all workers; 0 is no limit.
    #[serde(default)]
    pub max_connections: u32,
    #[serde(default)]
    pub access_log: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRoute {
    pub host: String,
    #[serde(default)]
    pub path: Option<String>,
    pub app: String,
    pub pattern: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCertificate {
    pub names: Vec<String>,
    pub chain_path: String,
    pub key_path: String,
    pub fingerprint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    pub token: String,
    pub key_authorization: String,
}

/// Paths below `/_tako/` that tako-server serves itself, on a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    pub socket: String,
    /// `/_tako/image` is that path alone, `/_tako/channels/*` all below it.
    pub paths: Vec<String>,
}

/// How long the proxy waits for others, in milliseconds; each is late by up to a quarter of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// For the PROXY header, for the TLS handshake, and for HTTP/2's preface.
    pub handshake_ms: u64,
    /// From the first byte of a request's head to its last; then 408.
    pub head_ms: u64,
    /// Between two pieces of a request's body; then 408.
    pub body_ms: u64,
    /// Between two requests.
    pub idle_ms: u64,
    /// A client that takes nothing for so long is gone.
    pub send_ms: u64,
    /// For an instance to take a connection.
    pub connect_ms: u64,
    /// An instance that takes nothing for so long is broken; 504.
    pub upstream_send_ms: u64,
    /// An instance that has the whole request and says nothing for so long is too slow; 504.
    pub upstream_read_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // Thousands that connect at once, after a failure elsewhere say, wait for each other's: with 10 s, the last of
            // 9,800 on two cores were closed.
            handshake_ms: 30_000,
            head_ms: 30_000,
            body_ms: 30_000,
            idle_ms: 75_000,
            send_ms: 60_000,
            connect_ms: 5_000,
            upstream_send_ms: 30_000,
            upstream_read_ms: 60_000,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    #[serde(default = "defaults::https_port")]
    pub https_port: u16,
    #[serde(default = "defaults::max_requests_per_ip")]
    pub max_requests_per_ip: u32,
    #[serde(default)]
    pub trusted_cidrs: Vec<String>,
    #[serde(default)]
    pub client_ip_headers: Vec<String>,
    #[serde(default)]
    pub proxy_protocol: bool,
    #[serde(default)]
    pub cloudflare_cidrs: Vec<String>,
    #[serde(default)]
    pub services: Option<Services>,
    #[serde(default)]
    pub timeouts: Timeouts,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            https_port: defaults::https_port(),
            max_requests_per_ip: defaults::max_requests_per_ip(),
            trusted_cidrs: Vec::new(),
            client_ip_headers: Vec::new(),
            proxy_protocol: false,
            cloudflare_cidrs: Vec::new(),
            services: None,
            timeouts: Timeouts::default(),
        }
    }
}

/// The whole of what the proxy forwards by; also what is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    pub generation: u64,
    #[serde(default)]
    pub policies: Policies,
    #[serde(default)]
    pub apps: Vec<TableApp>,
    #[serde(default)]
    pub routes: Vec<TableRoute>,
    #[serde(default)]
    pub certificates: Vec<TableCertificate>,
    #[serde(default)]
    pub default_certificate: Option<TableCertificate>,
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartFailure {
    #[default]
    StartupFailed,
    StartupTimeout,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<Level> for log::LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
        }
    }
}

/// tako-server to tako-proxyd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    Welcome {
        #[serde(default)]
        protocol: u32,
        #[serde(default)]
        listeners: Vec<String>,
    },
    Table(Box<Table>),
    Delta {
        base: u64,
        generation: u64,
        apps: Vec<TableApp>,
    },
    StartFailed {
        app: String,
        #[serde(default)]
        reason: StartFailure,
    },
    LogLevel {
        level: Level,
    },
    Measure {},
    Shutdown {
        /// None: until the last connection is closed.
        #[serde(default)]
        drain_ms: Option<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStats {
    pub app: String,
    pub instance: String,
    pub in_flight: u64,
    pub requests: u64,
    pub idle_ms: u64,
}

/// Upper bounds of a histogram's buckets, but for the last, which has none.
pub const LATENCY_BOUNDS_US: [u64; 12] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Observations by bucket (not cumulative), one more than [`LATENCY_BOUNDS_US`], and their sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    pub counts: Vec<u64>,
    pub sum_us: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppMetrics {
    pub app: String,
    /// By class, `2xx` to `5xx`.
    pub statuses: BTreeMap<String, u64>,
    pub duration: Histogram,
    pub upstream: Histogram,
    pub active: u64,
}

/// Handshakes for which there was no certificate but the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsFailures {
    pub no_sni: u64,
    pub cert_missing: u64,
}

/// tako-proxyd to tako-server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Up {
    Hello {
        #[serde(default)]
        protocol: u32,
        pid: u32,
        version: String,
        generation: u64,
        #[serde(default)]
        listeners: Vec<String>,
        /// It accepts nothing any more, and ends with its last connection.
        #[serde(default)]
        finishing: bool,
    },
    Ack {
        generation: u64,
    },
    Reject {
        generation: u64,
        error: String,
    },
    Wake {
        app: String,
        waiting: u64,
    },
    Drained {
        app: String,
        instance: String,
    },
    ConnectFailed {
        app: String,
        instance: String,
        error: String,
    },
    Stats {
        connections: u64,
        #[serde(default)]
        instances: Vec<InstanceStats>,
    },
    Metrics {
        #[serde(default)]
        apps: Vec<AppMetrics>,
        tls_failures: TlsFailures,
    },
}

mod defaults {
    pub fn max_waiters() -> u32 {
        1000
    }
    pub fn wait_timeout_ms() -> u64 {
        30_000
    }
    pub fn https_port() -> u16 {
        443
    }
    pub fn max_requests_per_ip() -> u32 {
        2048
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn absent_fields_have_the_contracts_defaults() {
        let Down::Table(table) = serde_json::from_str(
            r#"{"type":"table","generation":3,"apps":[{"app":"a/production"}],"colour":"red"}"#,
        )
        .unwrap() else {
            panic!("not a table");
        };
        assert_eq!(table.apps[0].max_waiters, 1000);
        assert_eq!(table.policies.max_requests_per_ip, 2048);
    }

    fn in_repository() -> bool {
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests")).exists()
    }

    #[test]
    fn every_golden_file_is_read_and_written_the_same() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/control");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            // Only where the crate is tested outside the repository, without the Python side.
            assert!(!in_repository(), "no {}", folder.display());
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let golden: Value = serde_json::from_str(&text).unwrap();
            let down = serde_json::from_value::<Down>(golden.clone()).map(serde_json::to_value);
            let written = match down {
                Ok(written) => written.unwrap(),
                Err(not_down) => match serde_json::from_value::<Up>(golden.clone()) {
                    Ok(up) => serde_json::to_value(up).unwrap(),
                    Err(not_up) => panic!("{}: {not_down}; {not_up}", path.display()),
                },
            };
            assert_eq!(written, golden, "{}", path.display());
        }
    }
}
