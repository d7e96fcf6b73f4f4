//! The conversation with tako-server: the only part that changes what the workers do.
//!
//! tako-server may come and go; the workers do not notice. Whatever it sends, the worst that happens is a logged line and
//! a `reject`.

mod channel;
mod farewell;
mod link;
pub mod messages;
mod reports;
mod shutdown;
mod workers;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use std::os::fd::AsFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::listen::Listener;
use crate::table::{Disk, Table};
use crate::tls::Certificates;
use crate::worker::{Event, Shared};
use link::Link;
use messages::{Down, Up};
use reports::Reports;
use shutdown::Shutdown;
pub use workers::{Workers, address};

/// A proxy that is given sockets begins with the table that follows: the one on disk may name instances that are gone, whose
/// ports others have. Connections wait in the sockets' queues meanwhile, but not for ever.
const TABLE_FOLLOWS: Duration = Duration::from_secs(1);
/// Changes of the table in quick succession are written to disk once.
const SAVE_AFTER: Duration = Duration::from_millis(50);
/// On SIGTERM, when nobody says how long.
const DRAIN: Duration = Duration::from_secs(30);

pub struct Control {
    pub path: Option<PathBuf>,
    pub disk: Disk,
    pub workers: Workers,
    pub shared: Arc<Shared>,
    pub certificates: Arc<Certificates>,
    pub listeners: Vec<Listener>,
    /// Given to us, and not accepted on yet.
    pub held_listeners: Option<(Vec<Listener>, Instant)>,
    /// As it was received, and as the workers use it.
    pub wanted: messages::Table,
    pub table: Arc<Table>,
    pub reports: Reports,
    pub shutdown: Option<Shutdown>,
    /// For how long there has been neither a tako-server nor a state folder.
    gone_seconds: u32,
}

/// What the main loop waits for.
enum Next {
    Event(Option<Event>),
    Second,
    Channel(io::Result<()>),
    Connect,
    Save,
    Listen,
    Terminate,
    Finishing,
}

impl Control {
    #[must_use]
    pub fn new(
        path: Option<PathBuf>,
        disk: Disk,
        workers: Workers,
        shared: Arc<Shared>,
        certificates: Arc<Certificates>,
        wanted: messages::Table,
        table: Arc<Table>,
    ) -> Self {
        Self {
            path,
            disk,
            workers,
            shared,
            certificates,
            listeners: Vec::new(),
            held_listeners: None,
            wanted,
            table,
            reports: Reports::default(),
            shutdown: None,
            gone_seconds: 0,
        }
    }

    /// Runs until the proxy is to exit; `own` are sockets opened by the proxy itself.
    pub async fn run(
        mut self,
        own: Vec<Listener>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) -> io::Result<()> {
        let mut link = Link::new(self.path.is_some());
        let mut clock = Clock::new()?;
        // After the clock, which catches SIGTERM: from the first connection on, the proxy ends gracefully.
        if !own.is_empty() {
            self.listen(own);
        }
        loop {
            let next = tokio::select! {
                event = events.recv() => Next::Event(event),
                _ = clock.seconds.tick() => Next::Second,
                ready = link.ready() => Next::Channel(ready),
                () = sleep_until(link.retry_at) => Next::Connect,
                () = sleep_until(clock.save_at) => Next::Save,
                () = sleep_until(self.held_listeners.as_ref().map(|(_, at)| *at)) => Next::Listen,
                _ = clock.terminate.recv() => Next::Terminate,
                () = sleep_until(self.shutdown.as_ref().map(Shutdown::next)) => Next::Finishing,
            };
            match next {
                Next::Event(event) => self.on_event(event, &mut link),
                Next::Second => self.on_second(&mut link),
                Next::Channel(Ok(())) => self.on_channel(&mut link, &mut clock).await,
                Next::Channel(Err(error)) => link.lost(&error),
                Next::Connect => self.connect(&mut link).await,
                Next::Save => self.save(&mut clock),
                Next::Listen => self.listen_to_held(),
                Next::Terminate if self.shutdown.is_some() => break,
                Next::Terminate => {
                    self.begin_shutdown(Some(DRAIN));
                    // Told by somebody else than tako-server, which has to put another in our place.
                    link.again();
                }
                Next::Finishing => {
                    if self.continue_shutdown() {
                        self.save(&mut clock);
                        break;
                    }
                }
            }
            link.flush();
        }
        self.farewell(&mut link).await;
        Ok(())
    }

    pub async fn connect(&mut self, link: &mut Link) {
        let Some(path) = &self.path else { return };
        let names = self.listeners.iter().map(|listener| listener.name.clone());
        let hello = Up::Hello {
            protocol: messages::PROTOCOL,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.table.generation,
            listeners: names.collect(),
            finishing: self.shutdown.is_some(),
        };
        let sockets = self.listeners.iter();
        let fds: Vec<_> = sockets.map(|listener| listener.socket.as_fd()).collect();
        if link.connect(path, &hello, &fds).await {
            self.reports = Reports::default();
        }
    }

    async fn on_channel(&mut self, link: &mut Link, clock: &mut Clock) {
        while let Some(channel) = &mut link.channel {
            match channel.next_line() {
                Ok(Some(line)) => self.on_line(&line, link, clock).await,
                Ok(None) => return,
                Err(error) => link.lost(&error),
            }
        }
    }

    async fn on_line(&mut self, line: &[u8], link: &mut Link, clock: &mut Clock) {
        match serde_json::from_slice(line) {
            Ok(Down::Welcome {
                protocol,
                listeners,
            }) => self.on_welcome(protocol, &listeners, link),
            Ok(Down::Table(wanted)) => self.on_table(*wanted, link, clock).await,
            Ok(Down::Delta {
                base,
                generation,
                apps,
            }) => match self.patched(base, generation, apps) {
                Ok(wanted) => self.on_table(wanted, link, clock).await,
                Err(error) => link.reject(generation, error),
            },
            Ok(Down::StartFailed { app, reason }) => {
                self.workers.start_failed(&app.into(), reason);
            }
            Ok(Down::Measure {}) => link.say(&self.metrics()),
            Ok(Down::LogLevel { level }) => log::set_max_level(level.into()),
            Ok(Down::Shutdown { drain_ms }) => {
                self.begin_shutdown(drain_ms.map(Duration::from_millis));
            }
            Err(error) => on_unreadable(line, &error, link),
        }
    }

    fn on_welcome(&mut self, protocol: u32, names: &[String], link: &mut Link) {
        if protocol != messages::PROTOCOL {
            log::error!("tako-server speaks protocol {protocol}");
        }
        link.welcomed();
        if names.is_empty() {
            return;
        }
        let received = link.channel.as_mut();
        let Some(fds) = received.and_then(|channel| channel.take_descriptors(names.len())) else {
            log::error!("welcome names {} listeners it does not bring", names.len());
            return;
        };
        if self.shutdown.is_some() {
            return;
        }
        let listeners = names
            .iter()
            .zip(fds)
            .map(|(name, fd)| Listener::new(name, fd));
        match listeners.collect::<Result<Vec<_>, _>>() {
            Ok(listeners) => {
                self.held_listeners = Some((listeners, Instant::now() + TABLE_FOLLOWS));
            }
            Err(error) => log::error!("welcome: {error}"),
        }
    }

    /// Accepts on these from now on.
    fn listen(&mut self, listeners: Vec<Listener>) {
        for listener in &listeners {
            log::info!("listening {} {}", listener.name, address(&listener.socket));
        }
        if let Err(error) = self.workers.listen(&listeners) {
            log::error!("cannot share the listeners out: {error}");
        }
        self.listeners = listeners;
    }

    fn listen_to_held(&mut self) {
        if let Some((listeners, _)) = self.held_listeners.take() {
            self.listen(listeners);
        }
    }

    fn patched(
        &self,
        base: u64,
        generation: u64,
        apps: Vec<messages::TableApp>,
    ) -> Result<messages::Table, String> {
        if base != self.wanted.generation {
            return Err(format!(
                "the delta is to generation {base}, in use is {}",
                self.wanted.generation
            ));
        }
        let mut wanted = self.wanted.clone();
        wanted.generation = generation;
        for app in apps {
            match wanted.apps.iter_mut().find(|known| known.app == app.app) {
                Some(known) => *known = app,
                None => wanted.apps.push(app),
            }
        }
        Ok(wanted)
    }

    async fn on_table(&mut self, wanted: messages::Table, link: &mut Link, clock: &mut Clock) {
        let generation = wanted.generation;
        if generation < self.table.generation {
            let error = format!("generation {} is in use", self.table.generation);
            return link.reject(generation, error);
        }
        match Table::compile(&wanted, &self.table, self.workers.count()) {
            Ok(table) => {
                self.certificates.install(&wanted);
                self.table = Arc::new(table);
                self.wanted = wanted;
                self.workers.use_table(&self.table).await;
                self.listen_to_held();
                link.say(&Up::Ack { generation });
                self.say_drained(link);
                // The file is its successor's once a proxy is finishing.
                if self.shutdown.is_none() {
                    clock.save_soon();
                }
            }
            Err(error) => link.reject(generation, error),
        }
    }

    fn on_event(&mut self, event: Option<Event>, link: &mut Link) {
        match event {
            Some(Event::Wake(app)) => {
                let waiting = self.table.apps.get(&app);
                let waiting = waiting.map_or(1, |app| app.state.waiting().max(1));
                let app = app.to_string();
                link.say(&Up::Wake { app, waiting });
            }
            Some(Event::ConnectFailed {
                app,
                instance,
                error,
            }) => {
                log::warn!("{app}: instance {instance} cannot be reached: {error}");
                if self.reports.tells_connect_failed(&app, &instance) {
                    link.say(&Up::ConnectFailed {
                        app: app.to_string(),
                        instance: instance.to_string(),
                        error,
                    });
                }
            }
            Some(Event::MaybeDrained) => self.say_drained(link),
            // This holds a sender itself, so the events do not end.
            None => {}
        }
    }

    fn on_second(&mut self, link: &mut Link) {
        if link.channel.is_none() {
            return self.end_when_abandoned();
        }
        self.gone_seconds = 0;
        self.say_drained(link);
        for wake in Reports::wakes(&self.table) {
            link.say(&wake);
        }
        let connections = self.shared.connections.load(Ordering::Relaxed);
        if let Some(stats) = self.reports.stats(&self.table, connections) {
            link.say(&stats);
        }
    }

    fn say_drained(&mut self, link: &mut Link) {
        if link.channel.is_some() {
            for drained in self.reports.drained(&self.table) {
                link.say(&drained);
            }
        }
    }

    fn save(&mut self, clock: &mut Clock) {
        if clock.save_at.take().is_some()
            && let Err(error) = self.disk.save(&self.wanted)
        {
            log::error!("the table cannot be kept on disk: {error}");
        }
    }
}

/// A message that is not understood is answered when it was meant to be a table.
fn on_unreadable(line: &[u8], error: &serde_json::Error, link: &mut Link) {
    log::warn!("a message of tako-server's is not understood: {error}");
    let Ok(message) = serde_json::from_slice::<serde_json::Value>(line) else {
        return;
    };
    let kind = message.get("type").and_then(serde_json::Value::as_str);
    let generation = message
        .get("generation")
        .and_then(serde_json::Value::as_u64);
    if let (Some("table" | "delta"), Some(generation)) = (kind, generation) {
        link.reject(generation, error.to_string());
    }
}

struct Clock {
    seconds: Interval,
    save_at: Option<Instant>,
    terminate: Signal,
}

impl Clock {
    fn new() -> io::Result<Self> {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            seconds,
            save_at: None,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    fn save_soon(&mut self) {
        self.save_at.get_or_insert(Instant::now() + SAVE_AFTER);
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
