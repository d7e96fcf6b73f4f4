//! What tako-server is told of the endpoints: drained ones, counts, apps that are waited for. Made from state, so that
//! everything is said again after a reconnect.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::messages::{InstanceStats, TlsFailures, Up};
use crate::table::{EndpointState, Table};
use crate::worker::clock::now_ms;

/// Unchanged counts are repeated so often.
const REPEAT_MS: u64 = 10_000;
const CONNECT_FAILED_MS: u64 = 1_000;

/// Connections, and in-flight and requests of each endpoint.
type Counts = (u64, HashMap<u64, (u64, u64)>);

/// What was said on this connection already.
#[derive(Default)]
pub struct Reports {
    drained: HashSet<u64>,
    counts: Option<Counts>,
    counted_ms: u64,
    connect_failed_ms: HashMap<(Arc<str>, Arc<str>), u64>,
}

impl Reports {
    /// Draining endpoints with nothing in flight, each once.
    pub fn drained(&mut self, table: &Table) -> Vec<Up> {
        let draining: Vec<&Arc<EndpointState>> = table
            .apps
            .values()
            .flat_map(|app| app.draining.iter())
            .collect();
        // One that becomes active again may drain again.
        let ids: HashSet<u64> = draining.iter().map(|endpoint| endpoint.id).collect();
        self.drained.retain(|id| ids.contains(id));
        let empty = draining
            .into_iter()
            .filter(|endpoint| endpoint.in_flight() == 0 && self.drained.insert(endpoint.id));
        empty
            .map(|endpoint| Up::Drained {
                app: endpoint.app.to_string(),
                instance: endpoint.instance.to_string(),
            })
            .collect()
    }

    /// Apps that requests wait for.
    pub fn wakes(table: &Table) -> Vec<Up> {
        let apps = table.apps.values();
        apps.filter(|app| app.state.waiting() > 0)
            .map(|app| Up::Wake {
                app: app.name.to_string(),
                waiting: app.state.waiting(),
            })
            .collect()
    }

    /// The counts, when they changed or were not said for long.
    pub fn stats(&mut self, table: &Table, connections: u64) -> Option<Up> {
        let now_ms = now_ms();
        let endpoints: Vec<&Arc<EndpointState>> = table
            .apps
            .values()
            .flat_map(|app| app.active.iter().chain(app.draining.iter()))
            .collect();
        let counts = endpoints
            .iter()
            .map(|endpoint| (endpoint.id, (endpoint.in_flight(), endpoint.requests())))
            .collect();
        let counts = Some((connections, counts));
        if counts == self.counts && now_ms < self.counted_ms + REPEAT_MS {
            return None;
        }
        self.counts = counts;
        self.counted_ms = now_ms;
        let mut instances: Vec<InstanceStats> = endpoints
            .into_iter()
            .map(|endpoint| InstanceStats {
                app: endpoint.app.to_string(),
                instance: endpoint.instance.to_string(),
                in_flight: endpoint.in_flight(),
                requests: endpoint.requests(),
                idle_ms: now_ms.saturating_sub(endpoint.finished_ms()),
            })
            .collect();
        instances.sort_by(|one, two| (&one.app, &one.instance).cmp(&(&two.app, &two.instance)));
        Some(Up::Stats {
            connections,
            instances,
        })
    }

    /// Whether this refusal is to be told: at most one a second for each instance.
    pub fn tells_connect_failed(&mut self, app: &Arc<str>, instance: &Arc<str>) -> bool {
        let now_ms = now_ms();
        self.connect_failed_ms
            .retain(|_, said_ms| *said_ms + CONNECT_FAILED_MS > now_ms);
        let key = (app.clone(), instance.clone());
        let said_ms = *self.connect_failed_ms.entry(key).or_insert(now_ms);
        said_ms == now_ms
    }
}

/// What was counted since the proxy began.
pub fn metrics(table: &Table, tls_failures: TlsFailures) -> Up {
    let apps = table.apps.values();
    let mut apps: Vec<_> = apps
        .map(|app| app.state.counters.snapshot(&app.name))
        .collect();
    apps.sort_by(|one, two| one.app.cmp(&two.app));
    Up::Metrics { apps, tls_failures }
}
