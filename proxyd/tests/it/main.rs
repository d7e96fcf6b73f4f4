//! The real binary, between real TLS clients and small real servers.

// clippy's exception for tests covers test functions only, not what they are made of.
#![allow(clippy::unwrap_used)]

mod admission;
mod cold_start;
mod compress;
mod control;
mod failing;
mod files;
mod files_kept;
mod forwarding;
mod framing;
mod h2spec;
mod hostile;
mod http2;
mod http2_abuse;
mod http2_bodies;
mod limits;
mod malformed;
mod memory;
mod metrics;
mod never_stops;
mod proxy_protocol;
mod records;
mod services;
mod source_ip;
mod spool;
mod support;
mod timeouts;
mod tls;
mod upgrades;
