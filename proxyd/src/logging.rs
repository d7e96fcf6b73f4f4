//! The proxy's own log: one line to standard error, which tako-server keeps as `proxyd.log`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("tako_proxyd")
    }

    fn log(&self, record: &log::Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // A log that cannot be written must not stop the proxy.
        let _ = writeln!(
            std::io::stderr().lock(),
            "{}.{:03} {:5} {}",
            since_epoch.as_secs(),
            since_epoch.subsec_millis(),
            record.level(),
            record.args()
        );
    }

    fn flush(&self) {}
}

/// Installs the log; later calls only change how much is written.
pub fn start(level: log::LevelFilter) {
    // An error says that it is installed already, which is what is wanted.
    let _ = log::set_logger(&Lines);
    log::set_max_level(level);
}
