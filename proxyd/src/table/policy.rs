//! What holds for every request: limits, and whose word about the client is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::control::messages::Policies;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cidr {
    V4(u32, u32),
    V6(u128, u128),
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or a single address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(ip) => {
                let bits = bits.unwrap_or(32);
                let mask = if bits == 0 {
                    0
                } else {
                    u32::MAX.checked_shl(32u32.checked_sub(bits)?)?
                };
                Some(Self::V4(ip.to_bits() & mask, mask))
            }
            IpAddr::V6(ip) => {
                let bits = bits.unwrap_or(128);
                let mask = if bits == 0 {
                    0
                } else {
                    u128::MAX.checked_shl(128u32.checked_sub(bits)?)?
                };
                Some(Self::V6(ip.to_bits() & mask, mask))
            }
        }
    }

    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Self::V4(network, mask), IpAddr::V4(ip)) => Ipv4Addr::to_bits(ip) & mask == *network,
            (Self::V6(network, mask), IpAddr::V6(ip)) => Ipv6Addr::to_bits(ip) & mask == *network,
            _ => false,
        }
    }
}

pub struct Policy {
    pub https_port: u16,
    pub max_requests_per_ip: u32,
    pub trusted: Vec<Cidr>,
    /// Lower case.
    pub client_ip_headers: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        let defaults = Policies::default();
        Self {
            https_port: defaults.https_port,
            max_requests_per_ip: defaults.max_requests_per_ip,
            trusted: Vec::new(),
            client_ip_headers: Vec::new(),
        }
    }
}

impl Policy {
    pub fn compile(wanted: &Policies) -> Result<Self, String> {
        let trusted = wanted.trusted_cidrs.iter().map(|text| {
            Cidr::parse(text).ok_or_else(|| format!("{text:?} is not a range of addresses"))
        });
        let headers = wanted.client_ip_headers.iter();
        Ok(Self {
            https_port: wanted.https_port,
            max_requests_per_ip: wanted.max_requests_per_ip,
            trusted: trusted.collect::<Result<_, _>>()?,
            client_ip_headers: headers.map(|name| name.to_ascii_lowercase()).collect(),
        })
    }

    /// Whether what this peer says about the client is believed in strict proxy mode and for redirects.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.lists(peer)
    }

    #[must_use]
    pub fn lists(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_its_addresses_only() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
        ] {
            let range = Cidr::parse(range).unwrap();
            assert!(range.contains(inside.parse().unwrap()));
            assert!(!range.contains(outside.parse().unwrap()));
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "ten", "10.0.0.0/x"] {
            assert_eq!(Cidr::parse(wrong), None, "{wrong}");
        }
    }
}
