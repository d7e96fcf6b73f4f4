//! Ending without losing a request: stop accepting, answer what comes on open connections with `Connection: close`,
//! close the idle ones, and wait for the rest until the time is over.

use std::time::Duration;

use tokio::time::Instant;

use super::{Control, DRAIN};

/// Clients that are about to send their next request get to: it is answered, and told to be the connection's last.
/// Closing at once would cross with it.
const IDLE_GRACE: Duration = Duration::from_secs(2);
/// Longer than a restart of tako-server that makes its folders anew.
const ABANDONED_SECONDS: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Shutdown {
    deadline: Instant,
    close_idle_at: Option<Instant>,
    look_at: Instant,
}

impl Shutdown {
    /// When to look at it again.
    pub fn next(&self) -> Instant {
        self.look_at
    }
}

impl Control {
    pub fn begin_shutdown(&mut self, drain: Duration) {
        let now = Instant::now();
        log::info!("shutting down within {} ms", drain.as_millis());
        self.workers.finish();
        // Sockets of ours must not take connections that nobody accepts; those of tako-server stay open there.
        self.listeners.clear();
        self.shutdown = Some(Shutdown {
            deadline: now + drain,
            close_idle_at: Some(now + IDLE_GRACE.min(drain / 2)),
            look_at: now,
        });
    }

    /// Ends the proxy when its folder was removed and nobody is there: nobody will know of it again, and it would hold its
    /// ports for ever.
    pub fn end_when_abandoned(&mut self) {
        let is_abandoned = self.path.is_some() && self.shutdown.is_none() && self.disk.is_gone();
        self.gone_seconds = if is_abandoned {
            self.gone_seconds + 1
        } else {
            0
        };
        if self.gone_seconds >= ABANDONED_SECONDS {
            log::error!("the state folder is gone and there is no tako-server");
            self.begin_shutdown(DRAIN);
        }
    }

    /// Goes on with it; true when the proxy can exit.
    pub fn continue_shutdown(&mut self) -> bool {
        let Some(shutdown) = &mut self.shutdown else {
            return false;
        };
        let now = Instant::now();
        shutdown.look_at = now + LOOK_EVERY;
        if shutdown.close_idle_at.is_some_and(|at| now >= at) {
            self.workers.close_idle();
        }
        self.workers.have_ended() || now >= shutdown.deadline
    }
}
