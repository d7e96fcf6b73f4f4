//! Finding an instance for a request, and a connection to it.

use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpStream, UnixStream};

use super::downstream::Downstream;
use super::fault::{Fault, NoInstance};
use super::origin::Origin;
use super::plan::Forward;
use super::waiting;
use super::wire::{Stream, Wire};
use crate::table::{Address, EndpointState, InFlight};
use crate::worker::clock::now_ms;
use crate::worker::{Event, Worker};

const CONNECT_MS: u64 = 5_000;
/// A request that cannot be sent twice takes only a connection that was used a moment ago: servers close idle ones after
/// 5 s or more, and a close that crosses the request loses it.
const FRESH_MS: u64 = 1_000;

/// A connection to an instance, counted as a request in flight until dropped.
pub struct Held<'w> {
    worker: &'w Worker,
    in_flight: Option<InFlight>,
    endpoint: Arc<EndpointState>,
    /// None once it was given back to the pool.
    wire: Option<Wire>,
    /// Used before: the instance may have closed it without our knowing yet.
    pub is_reused: bool,
}

impl<'w> Held<'w> {
    fn begin(worker: &'w Worker, endpoint: &Arc<EndpointState>) -> Self {
        Self {
            worker,
            in_flight: Some(InFlight::begin(endpoint, worker.lane)),
            endpoint: endpoint.clone(),
            wire: None,
            is_reused: false,
        }
    }

    fn with(mut self, wire: Wire) -> Self {
        if let Some(in_flight) = &self.in_flight {
            in_flight.count();
        }
        self.wire = Some(wire);
        self
    }

    /// The connection; there is one as long as somebody holds this.
    pub fn wire(&self) -> Result<&Wire, Fault> {
        self.wire.as_ref().ok_or(Fault::UpstreamSilent)
    }

    /// Ends the request and keeps the connection for another.
    pub fn give_back(mut self, keep_seconds: Option<u64>) {
        if let Some(wire) = self.wire.take() {
            self.worker
                .upstreams
                .put(&self.endpoint, wire, keep_seconds);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Counted down first: the report makes the control part look at the count.
        self.in_flight = None;
        self.worker.report_finished(&self.endpoint);
    }
}

/// Gets a connection to an instance; waits while the app has none, until `due_ms`.
pub async fn hold<'w, D: Downstream>(
    client: &'w D,
    forward: &Forward,
    may_reuse: bool,
    due_ms: u64,
) -> Result<Held<'w>, Fault> {
    let worker = &*client.origin().worker;
    let mut app = forward.app.clone();
    let mut place = waiting::Place::default();
    let max_idle_ms = if forward.is_idempotent {
        u64::MAX
    } else {
        FRESH_MS
    };
    if let Some(endpoint) = &forward.service {
        let max_idle_ms = may_reuse.then_some(max_idle_ms);
        return hold_service(client.origin(), endpoint, max_idle_ms).await;
    }
    loop {
        let Some(endpoint) = app.choose(worker.lane, now_ms()) else {
            let since = Instant::now();
            let waited = waiting::wait(client, &app, &mut place, due_ms).await;
            forward.record.waited(since);
            waited?;
            app = worker
                .app(&app.name)
                .ok_or(Fault::NoInstance(NoInstance::Unavailable))?;
            continue;
        };
        let mut held = Held::begin(worker, endpoint);
        if may_reuse && let Some(wire) = worker.upstreams.take(endpoint, max_idle_ms) {
            held.is_reused = true;
            forward.record.at_instance(&endpoint.instance);
            return Ok(held.with(wire));
        }
        match connect(client.origin(), endpoint).await {
            Ok(wire) => {
                forward.record.at_instance(&endpoint.instance);
                return Ok(held.with(wire));
            }
            Err(error) => report_refused(worker, endpoint, error),
        }
        drop(held);
        // The table may have changed while connecting.
        app = worker
            .app(&app.name)
            .ok_or(Fault::NoInstance(NoInstance::Unavailable))?;
    }
}

/// Gets a connection to tako-server's services. Nothing is waited for: who serves them is either there or not.
async fn hold_service<'w>(
    origin: &'w Origin,
    endpoint: &Arc<EndpointState>,
    max_idle_ms: Option<u64>,
) -> Result<Held<'w>, Fault> {
    let worker = &*origin.worker;
    let mut held = Held::begin(worker, endpoint);
    let idle = max_idle_ms.and_then(|max_idle_ms| worker.upstreams.take(endpoint, max_idle_ms));
    if let Some(wire) = idle {
        held.is_reused = true;
        return Ok(held.with(wire));
    }
    match connect(origin, endpoint).await {
        Ok(wire) => Ok(held.with(wire)),
        Err(error) => {
            log::warn!("tako-server's services cannot be reached: {error}");
            Err(Fault::NoInstance(NoInstance::Unavailable))
        }
    }
}

async fn connect(origin: &Origin, endpoint: &EndpointState) -> Result<Wire, String> {
    let connecting = async {
        match &endpoint.addr {
            Address::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                let _ = stream.set_nodelay(true);
                Ok(Stream::Plain(stream))
            }
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        }
    };
    match origin.worker.timers.within(CONNECT_MS, connecting).await {
        Ok(Ok(stream)) => Ok(Wire::new(origin.worker.clone(), stream)),
        Ok(Err(error)) => Err(std::io::Error::to_string(&error)),
        Err(_) => Err(format!("no connection within {CONNECT_MS} ms")),
    }
}

fn report_refused(worker: &Worker, endpoint: &EndpointState, error: String) {
    endpoint.mark_refused(now_ms());
    worker.report(Event::ConnectFailed {
        app: endpoint.app.clone(),
        instance: endpoint.instance.clone(),
        error,
    });
}
