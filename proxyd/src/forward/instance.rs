//! Finding an instance for a request, and a connection to it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpStream, UnixStream};

use super::admission;
use super::downstream::Downstream;
use super::fault::{Fault, NoInstance};
use super::origin::Origin;
use super::plan::Forward;
use super::waiting;
use super::wire::{Stream, Wire};
use crate::table::{Address, App, EndpointState, InFlight, Permit};
use crate::worker::clock::now_ms;
use crate::worker::{Event, Worker};

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
    /// Its share of what the app takes at once.
    permit: Option<Rc<Permit>>,
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
            permit: None,
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

    pub fn went_well(&self) {
        self.endpoint.mark_well();
    }

    /// There was no response. An idle connection that was closed meanwhile is nobody's failure.
    pub fn failed(&self, fault: Fault) {
        let is_its_own = match fault {
            Fault::UpstreamSilent => !self.is_reused,
            Fault::UpstreamBroken(_) | Fault::UpstreamSlow => true,
            _ => false,
        };
        if is_its_own {
            self.endpoint.mark_failed(now_ms());
        }
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

/// What is known of a request's search for an instance, over all of its attempts.
pub struct Search {
    pub may_reuse: bool,
    due_ms: u64,
    /// Kept from one attempt to the next: who tries again does not queue again.
    permit: Option<Rc<Permit>>,
}

impl Search {
    #[must_use]
    pub fn new(wait_ms: u64) -> Self {
        Self {
            may_reuse: true,
            due_ms: now_ms() + wait_ms,
            permit: None,
        }
    }
}

/// Gets a connection to an instance; waits while the app has none or takes no more requests, until the search is due.
pub async fn hold<'w, D: Downstream>(
    client: &'w D,
    forward: &Forward,
    search: &mut Search,
) -> Result<Held<'w>, Fault> {
    let worker = &*client.origin().worker;
    let max_idle_ms = match (search.may_reuse, forward.is_idempotent) {
        (true, true) => Some(u64::MAX),
        (true, false) => Some(FRESH_MS),
        (false, _) => None,
    };
    if let Some(endpoint) = &forward.service {
        return hold_service(client.origin(), endpoint, max_idle_ms).await;
    }
    let mut app = forward.app.clone();
    let mut place = waiting::Place::default();
    loop {
        // Before one is chosen, so that those who wait take turns when they go on. While there is none to choose, a permit
        // would be for nothing.
        if app.max_connections > 0 && search.permit.is_none() && !app.active.is_empty() {
            place = waiting::Place::default();
            let permit = admission::admit(client, &app, search.due_ms).await?;
            search.permit = permit.map(Rc::new);
            app = current(worker, &app)?;
        }
        let Some(endpoint) = app.choose(worker.lane, now_ms()) else {
            let since = Instant::now();
            let waited = waiting::wait(client, &app, &mut place, search.due_ms).await;
            forward.record.waited(since);
            waited?;
            app = current(worker, &app)?;
            continue;
        };
        let mut held = Held::begin(worker, endpoint);
        held.permit.clone_from(&search.permit);
        let connected = tokio::select! {
            biased;
            connected = take_or_connect(client.origin(), endpoint, max_idle_ms, &mut held) => connected,
            () = client.gone() => return Err(Fault::ClientGone),
        };
        match connected {
            Ok(wire) => {
                forward.record.at_instance(&endpoint.instance);
                return Ok(held.with(wire));
            }
            Err(error) => report_refused(worker, endpoint, error),
        }
        drop(held);
        // Instances that let a connect hang take longer each than they are passed over: there would be always one to try.
        if now_ms() >= search.due_ms {
            return Err(waiting::timed_out(&app));
        }
        // The table may have changed while connecting.
        app = current(worker, &app)?;
    }
}

/// The app as it is in the current table.
fn current(worker: &Worker, app: &App) -> Result<Arc<App>, Fault> {
    let app = worker.app(&app.name);
    app.ok_or(Fault::NoInstance(NoInstance::Unavailable))
}

/// A connection from the pool, used at most so long ago, or a new one.
async fn take_or_connect(
    origin: &Origin,
    endpoint: &EndpointState,
    max_idle_ms: Option<u64>,
    held: &mut Held<'_>,
) -> Result<Wire, String> {
    let pool = &origin.worker.upstreams;
    let idle = max_idle_ms.and_then(|max_idle_ms| pool.take(endpoint, max_idle_ms));
    held.is_reused = idle.is_some();
    match idle {
        Some(wire) => Ok(wire),
        None => connect(origin, endpoint).await,
    }
}

/// Gets a connection to tako-server's services. Nothing is waited for: who serves them is either there or not.
async fn hold_service<'w>(
    origin: &'w Origin,
    endpoint: &Arc<EndpointState>,
    max_idle_ms: Option<u64>,
) -> Result<Held<'w>, Fault> {
    let mut held = Held::begin(&origin.worker, endpoint);
    match take_or_connect(origin, endpoint, max_idle_ms, &mut held).await {
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
    let connect_ms = origin.worker.timeouts().connect_ms;
    match origin.worker.timers.within(connect_ms, connecting).await {
        Ok(Ok(stream)) => Ok(Wire::new(origin.worker.clone(), stream)),
        Ok(Err(error)) => Err(std::io::Error::to_string(&error)),
        Err(_) => Err(format!("no connection within {connect_ms} ms")),
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
