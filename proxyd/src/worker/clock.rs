//! Milliseconds since the process started, for everything that is measured or timed out.

use std::sync::OnceLock;
use std::time::Instant;

/// Monotonic, and never 0, so that 0 can stand for "never".
#[must_use]
pub fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX - 1) + 1
}
