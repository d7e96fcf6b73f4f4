//! The record of one request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::line::{push_ms, push_some, push_value};
use super::outcome::{Handler, Outcome};
use super::sink::Sink;
use crate::compress::{self, Algorithm, Skip};
use crate::table::App;

/// What is known of a request when its route is found.
pub struct About<'r> {
    pub id: &'r str,
    pub host: &'r str,
    pub method: &'r str,
    /// Without the query: what is secret in a URL is in its query.
    pub path: &'r str,
    /// The route's pattern, as it was declared.
    pub route: &'r str,
    pub is_https: bool,
    pub begun: Instant,
    pub routed: Instant,
}

/// Written when it is dropped; what nobody has said by then is `-`, and the outcome is that the proxy ended first.
pub struct Record {
    sink: Rc<Sink>,
    pub app: Arc<App>,
    /// From the message to the instance, when lines are wanted at all.
    line: RefCell<Vec<u8>>,
    /// Where in it the instance begins.
    at_instance: usize,
    is_https: bool,
    begun: Instant,
    routed: Instant,
    handler: Cell<Handler>,
    outcome: Cell<Outcome>,
    status: Cell<Option<u16>>,
    cache: Cell<&'static str>,
    cold_start_wait: Cell<Option<Duration>>,
    upstream: Cell<Option<Duration>>,
    compressed: Cell<Option<compress::Outcome>>,
    /// Counted as in progress at the app; and as ended although it goes on, which an upgraded connection does.
    is_active: Cell<bool>,
    is_observed: Cell<bool>,
}

impl Record {
    /// Begins the record of a request that is answered by us, unless it is said to be [`Self::proxied`].
    #[must_use]
    pub fn begin(sink: &Rc<Sink>, app: &Arc<App>, about: &About) -> Self {
        let mut line = Vec::new();
        if app.access_log.is_some() {
            line = sink.begin();
            push_begin(&mut line, &app.name, about);
        }
        Self {
            sink: sink.clone(),
            app: app.clone(),
            at_instance: line.len(),
            line: RefCell::new(line),
            is_https: about.is_https,
            begun: about.begun,
            routed: about.routed,
            handler: Cell::new(Handler::Tako),
            outcome: Cell::new(Outcome::Aborted),
            status: Cell::new(None),
            cache: Cell::new("-"),
            cold_start_wait: Cell::new(None),
            upstream: Cell::new(None),
            compressed: Cell::new(None),
            is_active: Cell::new(false),
            is_observed: Cell::new(false),
        }
    }

    pub fn handled_by(&self, handler: Handler) {
        self.handler.set(handler);
    }

    /// It goes to an instance of the app: only such requests are measured.
    pub fn proxied(&self) {
        self.handler.set(Handler::Proxy);
        self.is_active.set(true);
        self.app.state.counters.begin(self.sink.lane);
    }

    /// Said again when another instance is tried.
    pub fn at_instance(&self, instance: &str) {
        let mut line = self.line.borrow_mut();
        if self.at_instance > 0 {
            line.truncate(self.at_instance);
            push_value(&mut line, instance);
        }
    }

    /// It waited for an instance since then.
    pub fn waited(&self, since: Instant) {
        let before = self.cold_start_wait.get().unwrap_or_default();
        self.cold_start_wait.set(Some(before + since.elapsed()));
    }

    /// The instance's response began.
    pub fn responded(&self) {
        let waited = self.cold_start_wait.get().unwrap_or_default();
        let upstream = self.routed.elapsed().saturating_sub(waited);
        self.upstream.set(Some(upstream));
    }

    /// A response with this status is being sent.
    pub fn answered(&self, status: u16) {
        self.status.set(Some(status));
    }

    /// The last word counts.
    pub fn ended(&self, outcome: Outcome) {
        self.outcome.set(outcome);
    }

    /// `hit` or `miss`, where there is a cache.
    pub fn cached(&self, cache: &'static str) {
        self.cache.set(cache);
    }

    /// What became of the instance's body; the last word counts.
    pub fn compressed(&self, compressed: compress::Outcome) {
        self.compressed.set(Some(compressed));
    }

    /// Measures it as it is; what follows is not a request and a response any more.
    pub fn observe(&self) {
        self.observe_at(Instant::now());
    }

    fn observe_at(&self, at: Instant) {
        if let Some(status) = self.status.get()
            && self.is_active.get()
            && !self.is_observed.replace(true)
        {
            let counters = &self.app.state.counters;
            let duration = at - self.begun;
            counters.observe(self.sink.lane, status, duration, self.upstream.get());
        }
    }

    fn push_end(&self, out: &mut Vec<u8>, at: Instant) {
        out.extend_from_slice(b" status=");
        push_some(out, self.status.get().map(u64::from));
        let https: &[u8] = if self.is_https {
            b" https=true handler="
        } else {
            b" https=false handler="
        };
        out.extend_from_slice(https);
        out.extend_from_slice(self.handler.get().word().as_bytes());
        out.extend_from_slice(b" handler_result=");
        out.extend_from_slice(self.outcome.get().word().as_bytes());
        out.extend_from_slice(b" cache=");
        out.extend_from_slice(self.cache.get().as_bytes());
        out.extend_from_slice(b" total_ms=");
        push_ms(out, Some(at - self.begun));
        out.extend_from_slice(b" route_lookup_ms=");
        push_ms(out, Some(self.routed - self.begun));
        out.extend_from_slice(b" cold_start_wait_ms=");
        push_ms(out, self.cold_start_wait.get());
        out.extend_from_slice(b" upstream_response_ms=");
        push_ms(out, self.upstream.get());
        push_compressed(out, self.compressed.get());
        out.push(b'\n');
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let at = Instant::now();
        self.observe_at(at);
        if self.is_active.get() {
            self.app.state.counters.end(self.sink.lane);
        }
        let Some(log) = &self.app.access_log else {
            return;
        };
        let mut line = self.line.take();
        if line.len() == self.at_instance {
            line.push(b'-');
        }
        self.sink.add(log, at, |out| {
            out.extend_from_slice(&line);
            self.push_end(out, at);
        });
        self.sink.give_back(line);
    }
}

fn push_begin(out: &mut Vec<u8>, app: &str, about: &About) {
    out.extend_from_slice(b" [server] [proxy] INFO Request completed app=");
    // A deployment id is made of what needs no quotes.
    out.extend_from_slice(app.as_bytes());
    out.extend_from_slice(b" source=proxy request_id=");
    push_value(out, about.id);
    out.extend_from_slice(b" host=");
    push_value(out, about.host);
    out.extend_from_slice(b" method=");
    push_value(out, about.method);
    out.extend_from_slice(b" path=");
    push_value(out, about.path);
    out.extend_from_slice(b" route=");
    push_value(out, about.route);
    out.extend_from_slice(b" instance=");
}

fn push_compressed(out: &mut Vec<u8>, compressed: Option<compress::Outcome>) {
    let coding = compressed.map(|compressed| compressed.decision.coding);
    let (algorithm, skip_reason) = match coding {
        Some(Ok(algorithm)) => (Algorithm::name(algorithm), "none"),
        Some(Err(skip)) => ("none", Skip::name(skip)),
        None => ("none", "not_proxied"),
    };
    out.extend_from_slice(b" compression_algorithm=");
    out.extend_from_slice(algorithm.as_bytes());
    out.extend_from_slice(b" compression_skip_reason=");
    out.extend_from_slice(skip_reason.as_bytes());
    out.extend_from_slice(b" compression_vary_required=");
    let varies = compressed.is_some_and(|compressed| compressed.decision.varies);
    out.extend_from_slice(if varies { b"true" } else { b"false" });
    let sizes = compressed.and_then(|compressed| compressed.sizes);
    out.extend_from_slice(b" compression_uncompressed_bytes=");
    push_some(out, sizes.map(|(uncompressed, _)| uncompressed));
    out.extend_from_slice(b" compression_compressed_bytes=");
    push_some(out, sizes.map(|(_, compressed)| compressed));
}
