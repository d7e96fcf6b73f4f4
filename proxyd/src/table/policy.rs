//! What holds for every request: limits, and whose word about the client is believed.

use std::net::IpAddr;

use super::ranges::Ranges;
use crate::control::messages::{Policies, Timeouts};

pub struct Policy {
    pub https_port: u16,
    pub max_requests_per_ip: u32,
    pub trusted: Ranges,
    pub cloudflare: Ranges,
    /// Lower case.
    pub client_ip_headers: Vec<String>,
    pub proxy_protocol: bool,
    pub timeouts: Timeouts,
}

impl Default for Policy {
    fn default() -> Self {
        let defaults = Policies::default();
        Self {
            https_port: defaults.https_port,
            max_requests_per_ip: defaults.max_requests_per_ip,
            trusted: Ranges::default(),
            cloudflare: Ranges::default(),
            client_ip_headers: Vec::new(),
            proxy_protocol: false,
            timeouts: defaults.timeouts,
        }
    }
}

impl Policy {
    pub fn compile(wanted: &Policies) -> Result<Self, String> {
        let Timeouts {
            handshake_ms,
            head_ms,
            body_ms,
            idle_ms,
            send_ms,
            connect_ms,
            upstream_send_ms,
            upstream_read_ms,
        } = wanted.timeouts;
        let client_side = [handshake_ms, head_ms, body_ms, idle_ms, send_ms];
        let upstream_side = [connect_ms, upstream_send_ms, upstream_read_ms];
        if client_side.contains(&0) || upstream_side.contains(&0) {
            return Err("a time-out of 0 ms would let nothing happen".to_owned());
        }
        let headers = wanted.client_ip_headers.iter();
        Ok(Self {
            https_port: wanted.https_port,
            max_requests_per_ip: wanted.max_requests_per_ip,
            trusted: Ranges::parse(&wanted.trusted_cidrs)?,
            cloudflare: Ranges::parse(&wanted.cloudflare_cidrs)?,
            client_ip_headers: headers.map(|name| name.to_ascii_lowercase()).collect(),
            proxy_protocol: wanted.proxy_protocol,
            timeouts: wanted.timeouts,
        })
    }

    /// Whether this peer is a proxy of the operator's: one that is listed, or on this host.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.trusted.contains(peer)
    }

    /// Whether what this peer says about how the client came is believed.
    #[must_use]
    pub fn believes_scheme(&self, peer: IpAddr) -> bool {
        self.trusts(peer) || self.cloudflare.contains(peer)
    }
}
