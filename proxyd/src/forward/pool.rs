//! Idle connections to instances, one pool per worker.
//!
//! Not limited in number: there are never more than were in use at once, and closing them early costs half the speed.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::wire::Wire;
use crate::table::{EndpointState, Table};
use crate::worker::clock::now_ms;

/// Instances that do not say how long they keep idle connections keep them for 5 s or more; a closed one is noticed, and
/// one that closes this moment is what retries are for.
const KEEP_MS: u64 = 55_000;
/// Closed this much before the instance would.
const MARGIN_MS: u64 = 1_000;

struct Idle {
    wire: Wire,
    since_ms: u64,
    until_ms: u64,
}

#[derive(Default)]
pub struct Pool {
    by_endpoint: RefCell<HashMap<u64, Vec<Idle>>>,
}

impl Pool {
    /// The connection used last, when it was used within `max_idle_ms` and is still open.
    pub fn take(&self, endpoint: &EndpointState, max_idle_ms: u64) -> Option<Wire> {
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        let idle = by_endpoint.get_mut(&endpoint.id)?;
        let now_ms = now_ms();
        while let Some(last) = idle.pop() {
            if last.until_ms > now_ms && last.wire.is_quiet() {
                // One that is too old is dropped for the new one that takes its place; the others are older still.
                let is_recent = now_ms - last.since_ms <= max_idle_ms;
                return is_recent.then_some(last.wire);
            }
        }
        None
    }

    pub fn put(&self, endpoint: &EndpointState, wire: Wire, keep_seconds: Option<u64>) {
        // An instance that is to stop must not wait for connections nobody will use.
        if endpoint.is_draining() || !wire.is_empty() {
            return;
        }
        let since_ms = now_ms();
        let keep_ms = keep_seconds.map_or(KEEP_MS, |seconds| {
            (seconds * 1000).saturating_sub(MARGIN_MS).min(KEEP_MS)
        });
        let idle = Idle {
            wire,
            since_ms,
            until_ms: since_ms + keep_ms,
        };
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        by_endpoint.entry(endpoint.id).or_default().push(idle);
    }

    /// Closes what is too old or closed by the instance.
    pub fn sweep(&self) {
        let now_ms = now_ms();
        self.by_endpoint.borrow_mut().retain(|_, idle| {
            idle.retain(|one| one.until_ms > now_ms && one.wire.is_quiet());
            !idle.is_empty()
        });
    }

    /// Closes connections to endpoints that are not chosen by this table.
    pub fn keep_only(&self, table: &Table) {
        let services = table.services.iter().map(|services| &services.endpoint);
        let active = table.apps.values().flat_map(|app| app.active.iter());
        let ids: HashSet<u64> = active.chain(services).map(|endpoint| endpoint.id).collect();
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        by_endpoint.retain(|id, _| ids.contains(id));
    }
}
