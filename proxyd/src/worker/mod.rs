//! One worker: a thread, its runtime, its upstream pool, its part of every table.
//!
//! A worker is single-threaded and takes a new table between two of its tasks' steps. When it has answered an order to
//! use a table, no request of its can still choose by the table before: that is what makes `ack` and `drained` true.

pub mod buffers;
pub mod clients;
pub mod clock;
pub mod timers;
pub mod waiters;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::control::messages::{StartFailure, Timeouts};
use crate::files;
use crate::forward::pool::Pool;
use crate::listen::{self, Listener};
use crate::record::{Queue, Sink};
use crate::table::{App, EndpointState, Table};
use buffers::Buffers;
use clients::Clients;
use timers::{TICK_MS, Timers};
use waiters::Waiters;

/// Threads of each worker for what takes long.
const BLOCKING_THREADS: usize = 4;

/// What the control part tells a worker.
pub enum Order {
    Use(Arc<Table>, oneshot::Sender<()>),
    StartFailed(Arc<str>, StartFailure),
    /// Accept on these instead of what was accepted on before.
    Listen(Vec<Listener>),
    /// Stop accepting and end when the last connection is closed.
    Finish,
    /// Close connections that are between two requests.
    CloseIdle,
}

/// What a worker tells the control part.
#[derive(Debug, Clone)]
pub enum Event {
    Wake(Arc<str>),
    ConnectFailed {
        app: Arc<str>,
        instance: Arc<str>,
        error: String,
    },
    /// A request to a draining endpoint finished.
    MaybeDrained,
}

/// What all workers have in common: counters, and where to what they have to tell goes.
pub struct Shared {
    pub clients: Clients,
    pub connections: AtomicU64,
    pub events: mpsc::UnboundedSender<Event>,
    pub records: Arc<Queue>,
}

pub struct Worker {
    pub lane: usize,
    pub shared: Arc<Shared>,
    pub tls: TlsAcceptor,
    pub timers: Timers,
    pub buffers: Buffers,
    pub upstreams: Pool,
    pub waiters: Waiters,
    pub records: Rc<Sink>,
    pub files: files::Cache,
    table: RefCell<Arc<Table>>,
    /// For the Date field; as late as a tick.
    date: RefCell<String>,
    is_finishing: Cell<bool>,
    connections: Cell<usize>,
    /// The last connection was closed.
    emptied: Notify,
}

impl Worker {
    pub fn with_table<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.table.borrow())
    }

    /// The app's entry as it is in the current table.
    pub fn app(&self, name: &str) -> Option<Arc<App>> {
        self.table.borrow().apps.get(name).cloned()
    }

    /// How long to wait for others, by the current table.
    pub fn timeouts(&self) -> Timeouts {
        self.table.borrow().policy.timeouts
    }

    /// Looks at the time as a Date field has it.
    pub fn with_date<T>(&self, look: impl FnOnce(&str) -> T) -> T {
        look(&self.date.borrow())
    }

    /// Whether connections are to be closed after the response they are at.
    pub fn is_finishing(&self) -> bool {
        self.is_finishing.get()
    }

    pub fn report(&self, event: Event) {
        // The control part ends last; when it is gone, nobody needs to know.
        let _ = self.shared.events.send(event);
    }

    pub fn report_finished(&self, endpoint: &EndpointState) {
        if endpoint.is_draining() {
            self.report(Event::MaybeDrained);
        }
    }

    fn install(&self, table: Arc<Table>) {
        self.upstreams.keep_only(&table);
        self.waiters.look_again(&table);
        *self.table.borrow_mut() = table;
    }
}

/// Counts a connection until it is dropped.
pub struct Connected(Rc<Worker>);

impl Connected {
    #[must_use]
    pub fn new(worker: Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        Self(worker)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let worker = &self.0;
        worker.connections.set(worker.connections.get() - 1);
        worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if worker.connections.get() == 0 {
            worker.emptied.notify_one();
        }
    }
}

/// Runs a worker on this thread until it is told to finish and has.
pub fn run(
    lane: usize,
    shared: Arc<Shared>,
    table: Arc<Table>,
    tls: TlsAcceptor,
    orders: mpsc::UnboundedReceiver<Order>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Looking for new readiness less often than the default costs latency under load and gains nothing.
        .event_interval(61)
        // For compressing and for reading files; more than there are cores would only take turns.
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    let records = Rc::new(Sink::new(lane, shared.records.clone()));
    let worker = Rc::new(Worker {
        lane,
        shared,
        tls,
        timers: Timers::default(),
        buffers: Buffers::default(),
        upstreams: Pool::default(),
        waiters: Waiters::default(),
        records: records.clone(),
        files: files::Cache::default(),
        table: RefCell::new(table),
        date: RefCell::new(http_date()),
        is_finishing: Cell::new(false),
        connections: Cell::new(0),
        emptied: Notify::new(),
    });
    let tasks = tokio::task::LocalSet::new();
    tasks.spawn_local(tick(worker.clone()));
    tasks.block_on(&runtime, follow(worker, orders));
    // Requests that were still going on end here, and their records are written.
    drop(tasks);
    records.finish();
    Ok(())
}

async fn follow(worker: Rc<Worker>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut accepting = listen::Accepting::default();
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            () = worker.emptied.notified() => {
                if worker.is_finishing() && worker.connections.get() == 0 {
                    return;
                }
                continue;
            }
        };
        match order {
            Some(Order::Use(table, done)) => {
                worker.install(table);
                // Nobody waits when the control part was interrupted; the table is used all the same.
                let _ = done.send(());
            }
            Some(Order::StartFailed(app, reason)) => worker.waiters.fail(&app, reason),
            Some(Order::Listen(listeners)) => {
                let mut before =
                    std::mem::replace(&mut accepting, listen::accept_on(&worker, listeners));
                before.stop().await;
            }
            Some(Order::Finish) => {
                worker.is_finishing.set(true);
                worker.timers.expire_sessions();
                accepting.stop().await;
                worker.emptied.notify_one();
            }
            Some(Order::CloseIdle) => worker.timers.expire_idle(),
            None => return,
        }
    }
}

fn http_date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

async fn tick(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0u64.. {
        ticks.tick().await;
        worker.timers.tick();
        worker.records.flush();
        *worker.date.borrow_mut() = http_date();
        if round % 4 == 0 {
            worker.upstreams.sweep();
            worker.waiters.sweep();
        }
        if round % 20 == 0 {
            worker.files.age();
        }
        if round % 40 == 0 && worker.lane == 0 {
            worker.shared.clients.sweep();
        }
    }
}
