//! The connection to tako-server, made again whenever it is lost.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::Channel;
use super::messages::Up;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The connection to tako-server, or when to try the next.
pub struct Link {
    pub channel: Option<Channel>,
    pub retry_at: Option<Instant>,
    pause: Duration,
}

impl Link {
    pub fn new(is_wanted: bool) -> Self {
        Self {
            channel: None,
            retry_at: is_wanted.then(Instant::now),
            pause: FIRST_RETRY,
        }
    }

    pub async fn ready(&self) -> io::Result<()> {
        match &self.channel {
            Some(channel) => channel.ready().await,
            None => std::future::pending().await,
        }
    }

    /// Connects and says hello; false when that has to be tried again.
    pub async fn connect(&mut self, path: &Path, hello: &Up, fds: &[BorrowedFd<'_>]) -> bool {
        self.retry_at = None;
        let connected = async {
            let mut channel = Channel::connect(path).await?;
            channel.send_first(hello, fds).await?;
            Ok(channel)
        };
        match connected.await {
            Ok(channel) => self.channel = Some(channel),
            Err(error) => self.lost(&error),
        }
        self.channel.is_some()
    }

    pub fn welcomed(&mut self) {
        self.pause = FIRST_RETRY;
    }

    pub fn lost(&mut self, error: &io::Error) {
        if self.channel.take().is_some() {
            log::info!("the connection to tako-server is lost: {error}");
        }
        self.retry_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LAST_RETRY);
    }

    /// Says hello once more, because that says something else by now.
    pub fn again(&mut self) {
        self.flush();
        if self.channel.take().is_some() {
            self.retry_at = Some(Instant::now());
        }
    }

    pub fn say(&mut self, message: &Up) {
        if let Some(channel) = &mut self.channel
            && let Err(error) = channel.send(message)
        {
            self.lost(&error);
        }
    }

    pub fn reject(&mut self, generation: u64, error: String) {
        log::error!("table {generation} is not used: {error}");
        self.say(&Up::Reject { generation, error });
    }

    pub fn flush(&mut self) {
        if let Some(channel) = &mut self.channel
            && let Err(error) = channel.flush()
        {
            self.lost(&error);
        }
    }
}
