//! Ending without losing a request: stop accepting, answer what comes on open connections with `Connection: close`,
//! close the idle ones, and wait for the rest until the time is over, if there is such a time. A proxy that was replaced
//! by another build has none: it stays as long as a WebSocket of its does.

use std::time::Duration;

use tokio::time::Instant;

use super::{Control, DRAIN};

/// Clients that are about to send their next request get to: it is answered, and told to be the connection's last.
/// Closing at once would cross with it.
const IDLE_GRACE: Duration = Duration::from_secs(2);
/// Longer than a restart of tako-server that makes its folders anew.
const ABANDONED_SECONDS: u32 = 10;
/// How often to look whether the last connection is closed; ever less often, because it may take days.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_millis(500);

pub struct Shutdown {
    began: Instant,
    deadline: Option<Instant>,
    close_idle_at: Instant,
    look_at: Instant,
}

impl Shutdown {
    /// When to look at it again.
    pub fn next(&self) -> Instant {
        self.look_at
    }

    /// A time that was said stays, unless a nearer one is said.
    fn end_by(&mut self, deadline: Option<Instant>) {
        self.deadline = match (self.deadline, deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.look_at = Instant::now();
    }
}

impl Control {
    /// Begins it, or says how long a shutdown that goes on may still take.
    pub fn begin_shutdown(&mut self, drain: Option<Duration>) {
        let now = Instant::now();
        match drain {
            Some(drain) => log::info!("shutting down within {} ms", drain.as_millis()),
            None => log::info!("shutting down with the last connection"),
        }
        let deadline = drain.map(|drain| now + drain);
        if let Some(shutdown) = &mut self.shutdown {
            return shutdown.end_by(deadline);
        }
        self.workers.finish();
        // Sockets of ours must not take connections that nobody accepts; those of tako-server stay open there.
        self.listeners.clear();
        self.held_listeners = None;
        let grace = drain.map_or(IDLE_GRACE, |drain| IDLE_GRACE.min(drain / 2));
        self.shutdown = Some(Shutdown {
            began: now,
            deadline,
            close_idle_at: now + grace,
            look_at: now,
        });
    }

    /// Ends the proxy when its folder was removed and nobody is there: nobody will know of it again, and it would hold its
    /// ports for ever.
    pub fn end_when_abandoned(&mut self) {
        let is_abandoned = self.path.is_some() && self.disk.is_gone();
        self.gone_seconds = if is_abandoned {
            self.gone_seconds + 1
        } else {
            0
        };
        if self.gone_seconds == ABANDONED_SECONDS {
            log::error!("the state folder is gone and there is no tako-server");
            self.begin_shutdown(Some(DRAIN));
        }
    }

    /// Goes on with it; true when the proxy can exit.
    pub fn continue_shutdown(&mut self) -> bool {
        let Some(shutdown) = &mut self.shutdown else {
            return false;
        };
        let now = Instant::now();
        let pause = ((now - shutdown.began) / 10).clamp(LOOK_FIRST, LOOK_LAST);
        shutdown.look_at = now + pause;
        if now >= shutdown.close_idle_at {
            self.workers.close_idle();
        }
        self.workers.have_ended() || shutdown.deadline.is_some_and(|deadline| now >= deadline)
    }
}
