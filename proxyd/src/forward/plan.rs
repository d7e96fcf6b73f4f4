//! What to do with a request, decided from its head and the table: pure, in the order of the specification.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::address;
use super::answer::Answer;
use super::downstream::split_lines;
use super::origin::Origin;
use super::upstream_head::{RequestId, write_head};
use crate::compress::Accepted;
use crate::http1::{Body, Request};
use crate::record::{About, Handler, Outcome, Record};
use crate::table::{App, EndpointState, Route, Table};
use crate::worker::clients::Active;

/// A request on its way to an instance of an app.
pub struct Forward {
    pub app: Arc<App>,
    /// Where it goes instead of an instance.
    pub service: Option<Arc<EndpointState>>,
    /// The head as it is sent to the instance; kept until a response begins, for another attempt.
    pub head: Vec<u8>,
    /// Where in `head` the request's id is.
    pub id: Range<usize>,
    pub body: Body,
    pub to_head: bool,
    pub is_idempotent: bool,
    pub expects_continue: bool,
    pub upgrades: bool,
    pub record: Record,
    /// The route's pattern, when the app's public files are looked through before the app is asked.
    pub public: Option<Arc<str>>,
    /// Held for the client's limit.
    pub active: Active,
}

impl Forward {
    pub fn request_id(&self) -> &[u8] {
        &self.head[self.id.clone()]
    }

    /// The codings that the client would have a body in.
    pub fn accepted(&self) -> Accepted {
        Accepted::of(self.accepted_values())
    }

    pub fn accepted_values(&self) -> impl Iterator<Item = &[u8]> {
        split_lines(&self.head).filter_map(|(name, value)| {
            let is_wanted = name.eq_ignore_ascii_case(b"accept-encoding");
            is_wanted.then_some(value)
        })
    }
}

pub enum Plan {
    /// With a record when the request was matched to an app.
    Answer(Answer, Option<Box<Record>>),
    Forward(Box<Forward>),
}

/// Decides; `head` is an empty vector to write into.
pub fn plan(table: &Table, origin: &Origin, request: &Request, head: Vec<u8>) -> Plan {
    let begun = Instant::now();
    let host = request.host.as_deref().unwrap_or("");
    let found = table.router.find(host, request.path());
    let asked = Asked {
        table,
        origin,
        request,
        is_https: origin.is_https || address::came_by_https(origin.peer, &table.policy, request),
        id: RequestId::of(request),
    };
    let Some(route) = found else {
        return asked.without_route();
    };
    let record = asked.begin_record(route, begun, Instant::now());
    asked.of_route(route, record, head)
}

/// A request, and what is known of it whatever becomes of it.
struct Asked<'r> {
    table: &'r Table,
    origin: &'r Origin,
    request: &'r Request<'r>,
    is_https: bool,
    id: RequestId<'r>,
}

impl Asked<'_> {
    fn begin_record(&self, route: &Route, begun: Instant, routed: Instant) -> Record {
        let about = About {
            id: self.id.as_str(),
            host: self.request.host.as_deref().unwrap_or(""),
            method: self.request.method,
            path: self.request.path(),
            route: &route.pattern,
            is_https: self.is_https,
            begun,
            routed,
        };
        Record::begin(&self.origin.worker.records, &route.app, &about)
    }

    fn without_route(&self) -> Plan {
        let answer = match self.challenge() {
            Some((answer, _)) => answer,
            // Without a host there is nothing to redirect to.
            None if !self.is_https && self.request.host.is_some() => self.redirect(),
            None => self.answer(404),
        };
        Plan::Answer(answer, None)
    }

    fn of_route(&self, route: &Route, record: Record, mut head: Vec<u8>) -> Plan {
        let Self {
            table,
            origin,
            request,
            ..
        } = self;
        let answer = |status| Answer {
            request_id: Some(self.id.as_str().into()),
            ..self.answer(status)
        };
        let with_id = |answer| Answer {
            request_id: Some(self.id.as_str().into()),
            ..answer
        };
        let mode = route.app.source_ip;
        let Some(ip) = address::client_ip(origin.peer, mode, &table.policy, request) else {
            return instead(answer(403), record, Handler::Tako, Outcome::Forbidden);
        };
        let counter = origin.counter(ip);
        let Some(active) = Active::begin(&counter, table.policy.max_requests_per_ip) else {
            return instead(answer(429), record, Handler::Tako, Outcome::RateLimited);
        };
        if let Some((found, outcome)) = self.challenge() {
            return instead(with_id(found), record, Handler::Acme, outcome);
        }
        if !self.is_https {
            return instead(
                with_id(self.redirect()),
                record,
                Handler::Redirect,
                Outcome::Ok,
            );
        }
        let path = request.path();
        let mut service = None;
        if is_reserved(path) {
            let services = table.services.as_ref();
            let Some(services) = services.filter(|services| services.serves(path)) else {
                return instead(answer(404), record, Handler::Tako, Outcome::NotFound);
            };
            service = Some(services.endpoint.clone());
            record.handled_by(service_handler(path));
        }
        let told_app = service.is_some().then_some(&*route.app.name);
        let id = write_head(request, self.id.as_str(), ip, told_app, &mut head);
        let has_files = route.app.public.is_some() && may_be_file(request);
        Plan::Forward(Box::new(Forward {
            app: route.app.clone(),
            service,
            head,
            id,
            body: request.body,
            to_head: request.is_head(),
            is_idempotent: request.is_idempotent(),
            expects_continue: request.expects_continue,
            upgrades: request.upgrade.is_some(),
            record,
            public: has_files.then(|| route.pattern.clone()),
            active,
        }))
    }

    /// The answer to a certificate authority, to whichever host it turns and however it comes.
    fn challenge(&self) -> Option<(Answer, Outcome)> {
        let path = self.request.path();
        let token = path.strip_prefix("/.well-known/acme-challenge/")?;
        let (status, body, outcome) = match self.table.challenges.get(token) {
            Some(known) => (200, known.to_string().into(), Outcome::Ok),
            None => (404, "Token not found".into(), Outcome::NotFound),
        };
        let answer = Answer {
            body: Some(body),
            ..self.answer(status)
        };
        Some((answer, outcome))
    }

    fn redirect(&self) -> Answer {
        let port = self.table.policy.https_port;
        Answer {
            body: Some("Redirecting to HTTPS".into()),
            location: Some(https_location(self.request, port)),
            ..self.answer(307)
        }
    }

    fn answer(&self, status: u16) -> Answer {
        Answer {
            to_head: self.request.is_head(),
            ..Answer::of(status)
        }
    }
}

/// An answer of ours; the outcome is what is recorded if the client gets it.
fn instead(answer: Answer, record: Record, handler: Handler, outcome: Outcome) -> Plan {
    record.handled_by(handler);
    record.ended(outcome);
    Plan::Answer(answer, Some(Box::new(record)))
}

/// Objects of local storage are the app's, as everything below `/_tako` that gets so far.
fn may_be_file(request: &Request) -> bool {
    matches!(request.method, "GET" | "HEAD")
        && request.body == Body::None
        && request.upgrade.is_none()
        && !request.path().starts_with("/_tako/")
}

/// Paths that never reach an app. Objects of local storage are served by the app's own SDK.
fn is_reserved(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/_tako") else {
        return false;
    };
    (rest.is_empty() || rest.starts_with('/')) && !rest.starts_with("/storages/")
}

fn service_handler(path: &str) -> Handler {
    if path == "/_tako/image" {
        Handler::Image
    } else if path.starts_with("/_tako/channels/") {
        Handler::Channel
    } else {
        Handler::Tako
    }
}

fn https_location(request: &Request, port: u16) -> String {
    let host = request.host.as_deref().unwrap_or("");
    let target = if request.target == "*" {
        "/"
    } else {
        &*request.target
    };
    if port == 443 {
        format!("https://{host}{target}")
    } else {
        format!("https://{host}:{port}{target}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_paths_are_reserved_and_storage_is_the_apps() {
        for (path, reserved) in [
            ("/_tako", true),
            ("/_tako/image", true),
            ("/_tako/status", true),
            ("/_tako/storages/a/b", false),
            ("/_takoyaki", false),
            ("/x/_tako/image", false),
        ] {
            assert_eq!(is_reserved(path), reserved, "{path}");
        }
    }
}
