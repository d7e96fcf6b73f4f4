//! The last of a proxy: requests that are still going on end, and tako-server is told what was counted.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Control;
use super::link::Link;
use super::messages::Up;
use super::reports::metrics;

/// A worker ends as soon as it comes to look; a tako-server that reads nothing does not keep the proxy.
const WORKERS_WAIT: Duration = Duration::from_secs(2);
const LINK_WAIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Control {
    pub fn metrics(&self) -> Up {
        metrics(&self.table, self.certificates.failures())
    }

    pub async fn farewell(&mut self, link: &mut Link) {
        self.workers.end();
        let due = Instant::now() + WORKERS_WAIT;
        while !self.workers.have_ended() && Instant::now() < due {
            sleep(LOOK_EVERY).await;
        }
        if link.channel.is_none() {
            // On its way to be made again, maybe; a tako-server that is away is not waited for.
            let _ = timeout(LINK_WAIT, self.connect(link)).await;
        }
        link.say(&self.metrics());
        if let Some(channel) = &mut link.channel {
            // Whether it was sent or not: there is nobody to say it to again.
            let _ = timeout(LINK_WAIT, channel.flush_all()).await;
        }
    }
}
