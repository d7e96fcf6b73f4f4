//! The real binary, between real TLS clients and small real servers.

mod cold_start;
mod control;
mod forwarding;
mod limits;
mod never_stops;
mod support;
mod tls;
mod upgrades;
