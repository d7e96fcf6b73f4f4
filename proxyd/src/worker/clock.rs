//! Milliseconds since the machine started, for everything that is timed out.

use rustix::time::{ClockId, clock_gettime};

/// Monotonic, and never 0, so that 0 can stand for "never".
///
/// By the kernel's coarse clock, some milliseconds late at most: a request asks eleven times, and the fine clock would
/// cost it as much as parsing its head.
#[must_use]
pub fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds * 1000 + nanoseconds / 1_000_000 + 1
}
