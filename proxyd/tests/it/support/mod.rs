//! What the tests put around the proxy: clients, instances, and tako-server's end of the control socket.

pub mod client;
pub mod files;
pub mod http2;
pub mod proxy;
pub mod records;
pub mod server;
pub mod upstream;

use std::time::{Duration, Instant};

/// Longer than anything takes; reached only when something is broken.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let due = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < due, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
