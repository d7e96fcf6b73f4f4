//! Ending without losing a request: stop accepting, answer what comes on open connections with `Connection: close`, and
//! wait for the last to be closed or the time to be over, if there is such a time. A proxy that was replaced by another
//! build has none: it stays as long as a WebSocket of its does.

use std::time::Duration;

use tokio::time::Instant;

use super::{Control, DRAIN};

/// Clients that are about to send their next request get to: it is answered, and told to be the connection's last.
/// Closing at once would cross with it. Without a deadline an idle connection is not closed at all before its ordinary
/// time is over, because a close at any other moment may cross with a request.
const IDLE_GRACE: Duration = Duration::from_secs(2);
/// Longer than a restart of tako-server that makes its folders anew.
const ABANDONED_SECONDS: u32 = 10;
/// How often to look whether the last connection is closed; ever less often, because it may take days.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_millis(500);

pub struct Shutdown {
    began: Instant,
    deadline: Option<Instant>,
    close_idle_at: Option<Instant>,
    look_at: Instant,
}

impl Shutdown {
    /// When to look at it again.
    pub fn next(&self) -> Instant {
        self.look_at
    }

    fn begun(now: Instant) -> Self {
        Self {
            began: now,
            deadline: None,
            close_idle_at: None,
            look_at: now,
        }
    }

    /// A time that was said stays, unless a nearer one is said.
    fn end_within(&mut self, drain: Duration, now: Instant) {
        let nearer = |one: Option<Instant>, other| Some(one.map_or(other, |one| one.min(other)));
        self.deadline = nearer(self.deadline, now + drain);
        self.close_idle_at = nearer(self.close_idle_at, now + IDLE_GRACE.min(drain / 2));
        self.look_at = now;
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
        if self.shutdown.is_none() {
            self.workers.finish();
            // Sockets of ours must not take connections that nobody accepts; those of tako-server stay open there.
            self.listeners.clear();
            self.held_listeners = None;
        }
        let shutdown = self.shutdown.get_or_insert_with(|| Shutdown::begun(now));
        if let Some(drain) = drain {
            shutdown.end_within(drain, now);
        }
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
        if shutdown.close_idle_at.is_some_and(|at| now >= at) {
            self.workers.close_idle();
        }
        self.workers.have_ended() || shutdown.deadline.is_some_and(|deadline| now >= deadline)
    }
}
