//! Counters of apps and endpoints. Each worker writes its own lane, on its own cache line; readers add the lanes up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::limit::Limit;
use crate::record::Counters;

/// How long an endpoint that refused a connection is passed over: longer than it takes to see an exit and send
/// a table, short enough that a wrong suspicion costs nothing.
const REFUSED_MS: u64 = 500;

/// So many requests in a row without a response make an endpoint suspect: one may be the request's own fault.
const FAILURES: u32 = 3;
/// For how long a suspect is passed over while there are others, as in nginx; the first request after that is its test.
const SUSPECT_MS: u64 = 10_000;

/// 128: x86 fetches cache lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Lane {
    in_flight: AtomicU64,
    requests: AtomicU64,
    finished_ms: AtomicU64,
}

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One instance at one address, for as long as any table or request knows it.
pub struct EndpointState {
    /// Unique in this process; the key of the upstream pools.
    pub id: u64,
    pub app: Arc<str>,
    pub instance: Arc<str>,
    pub addr: Address,
    lanes: Box<[Lane]>,
    draining: AtomicBool,
    refused_until_ms: AtomicU64,
    /// In a row, of any worker; written only when something failed.
    failures: AtomicU32,
    suspect_until_ms: AtomicU64,
}

impl EndpointState {
    pub fn new(app: Arc<str>, instance: &str, addr: Address, lanes: usize) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let born_ms = crate::worker::clock::now_ms();
        let lanes: Box<[Lane]> = (0..lanes.max(1)).map(|_| Lane::default()).collect();
        // An instance that never had a request is idle since it came into the table.
        lanes[0].finished_ms.store(born_ms, Ordering::Relaxed);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            app,
            instance: instance.into(),
            addr,
            lanes,
            draining: AtomicBool::new(false),
            refused_until_ms: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            suspect_until_ms: AtomicU64::new(0),
        })
    }

    pub fn in_flight(&self) -> u64 {
        self.sum(|lane| &lane.in_flight)
    }

    pub fn requests(&self) -> u64 {
        self.sum(|lane| &lane.requests)
    }

    /// When its last request finished, by [`crate::worker::clock`].
    pub fn finished_ms(&self) -> u64 {
        let times = self
            .lanes
            .iter()
            .map(|lane| lane.finished_ms.load(Ordering::Acquire));
        times.max().unwrap_or(0)
    }

    fn sum(&self, field: impl Fn(&Lane) -> &AtomicU64) -> u64 {
        let values = self
            .lanes
            .iter()
            .map(|lane| field(lane).load(Ordering::Acquire));
        // A lane is added to before it is taken from, so no lane is ever below zero.
        values.sum()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    pub fn is_usable(&self, now_ms: u64) -> bool {
        self.refused_until_ms.load(Ordering::Relaxed) <= now_ms
    }

    /// Whether it answered what it was sent lately, or may by now.
    pub fn is_trusted(&self, now_ms: u64) -> bool {
        self.suspect_until_ms.load(Ordering::Relaxed) <= now_ms
    }

    /// It took a request and gave no response, not even a wrong one.
    pub fn mark_failed(&self, now_ms: u64) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            let until_ms = now_ms + SUSPECT_MS;
            self.suspect_until_ms.store(until_ms, Ordering::Relaxed);
        }
    }

    pub fn mark_well(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.suspect_until_ms.store(0, Ordering::Relaxed);
        }
    }

    pub fn mark_refused(&self, now_ms: u64) {
        self.refused_until_ms
            .store(now_ms + REFUSED_MS, Ordering::Relaxed);
    }
}

/// A request on its way to an endpoint; counted until dropped.
pub struct InFlight {
    endpoint: Arc<EndpointState>,
    lane: usize,
}

impl InFlight {
    pub fn begin(endpoint: &Arc<EndpointState>, lane: usize) -> Self {
        let counters = &endpoint.lanes[lane];
        counters.in_flight.fetch_add(1, Ordering::AcqRel);
        Self {
            endpoint: endpoint.clone(),
            lane,
        }
    }
}

impl InFlight {
    /// Counts it as a request that the endpoint has got: there is a connection for it.
    pub fn count(&self) {
        let requests = &self.endpoint.lanes[self.lane].requests;
        requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let counters = &self.endpoint.lanes[self.lane];
        let now_ms = crate::worker::clock::now_ms();
        counters.finished_ms.store(now_ms, Ordering::Release);
        counters.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What of an app outlives a table: whose turn it is, how many wait, what was counted.
pub struct AppState {
    turns: Box<[Turn]>,
    pub waiting: AtomicU64,
    pub limit: Arc<Limit>,
    pub counters: Counters,
}

#[derive(Default)]
#[repr(align(128))]
struct Turn(AtomicUsize);

impl AppState {
    pub fn new(lanes: usize) -> Self {
        // Each worker begins elsewhere, so that few requests do not all go to the first endpoint.
        let turns = (0..lanes.max(1)).map(|lane| Turn(AtomicUsize::new(lane)));
        Self {
            turns: turns.collect(),
            waiting: AtomicU64::new(0),
            limit: Arc::default(),
            counters: Counters::new(lanes),
        }
    }

    pub fn turn(&self, lane: usize) -> usize {
        self.turns[lane].0.fetch_add(1, Ordering::Relaxed)
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}
