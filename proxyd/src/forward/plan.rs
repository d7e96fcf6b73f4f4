//! What to do with a request, decided from its head and the table: pure, in the order of the specification.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::address;
use super::answer::Answer;
use super::downstream::{push_field, split_lines};
use super::origin::Origin;
use crate::compress::Accepted;
use crate::http1::fields::{self, Field};
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
    pub _active: Active,
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
pub fn plan(table: &Table, origin: &Origin, request: &Request, mut head: Vec<u8>) -> Plan {
    let begun = Instant::now();
    let path = request.path();
    let host = request.host.as_deref().unwrap_or("");
    let found = table.router.find(host, path);
    let routed = Instant::now();
    let is_https = origin.is_https || address::came_by_https(origin.peer, &table.policy, request);
    let id = RequestId::of(request);
    let record = found.map(|route| {
        let about = About {
            id: id.as_str(),
            host,
            method: request.method,
            path,
            route: &route.pattern,
            is_https,
            begun,
            routed,
        };
        Record::begin(&origin.worker.records, &route.app, &about)
    });
    let answer = |status| Answer {
        to_head: request.is_head(),
        request_id: found.map(|_| id.as_str().into()),
        ..Answer::of(status)
    };
    let mut admitted = None;
    if let Some(Route { app, .. }) = found {
        let mode = app.source_ip;
        let Some(ip) = address::client_ip(origin.peer, mode, &table.policy, request) else {
            return instead(answer(403), record, Handler::Tako, Outcome::Forbidden);
        };
        let counter = origin.counter(ip);
        let Some(active) = Active::begin(&counter, table.policy.max_requests_per_ip) else {
            return instead(answer(429), record, Handler::Tako, Outcome::RateLimited);
        };
        admitted = Some((app, ip, active));
    }
    if let Some(token) = path.strip_prefix("/.well-known/acme-challenge/") {
        let (found, outcome) = match table.challenges.get(token) {
            Some(known) => (
                Answer {
                    body: Some(known.to_string().into()),
                    ..answer(200)
                },
                Outcome::Ok,
            ),
            None => (
                Answer {
                    body: Some("Token not found".into()),
                    ..answer(404)
                },
                Outcome::NotFound,
            ),
        };
        return instead(found, record, Handler::Acme, outcome);
    }
    if request.host.is_none() {
        // Without a host there is nothing to redirect to, and nothing to match.
        return Plan::Answer(answer(404), None);
    }
    if !is_https {
        let answer = Answer {
            body: Some("Redirecting to HTTPS".into()),
            location: Some(https_location(request, table.policy.https_port)),
            ..answer(307)
        };
        return instead(answer, record, Handler::Redirect, Outcome::Ok);
    }
    let (Some((app, ip, active)), Some(record)) = (admitted, record) else {
        return Plan::Answer(answer(404), None);
    };
    let mut service = None;
    if is_reserved(path) {
        let services = table.services.as_ref();
        let Some(services) = services.filter(|services| services.serves(path)) else {
            return instead(answer(404), Some(record), Handler::Tako, Outcome::NotFound);
        };
        service = Some(services.endpoint.clone());
        record.handled_by(service_handler(path));
    }
    let told_app = service.is_some().then_some(&*app.name);
    let id = write_head(request, id.as_str(), ip, told_app, &mut head);
    Plan::Forward(Box::new(Forward {
        app: app.clone(),
        service,
        head,
        id,
        body: request.body,
        to_head: request.is_head(),
        is_idempotent: request.is_idempotent(),
        expects_continue: request.expects_continue,
        upgrades: request.upgrade.is_some(),
        record,
        public: found
            .filter(|route| route.app.public.is_some() && may_be_file(request))
            .map(|route| route.pattern.clone()),
        _active: active,
    }))
}

/// An answer of ours; the outcome is what is recorded if the client gets it.
fn instead(answer: Answer, record: Option<Record>, handler: Handler, outcome: Outcome) -> Plan {
    if let Some(record) = &record {
        record.handled_by(handler);
        record.ended(outcome);
    }
    Plan::Answer(answer, record.map(Box::new))
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

/// What a request is called in logs, here and in the app.
enum RequestId<'r> {
    Given(&'r str),
    New([u8; 16]),
}

impl<'r> RequestId<'r> {
    /// The client's own, when it is safe, or a new one.
    fn of(request: &Request<'r>) -> Self {
        let mut headers = request.headers.iter();
        let given = headers.find(|header| fields::classify(header.name) == Field::XRequestId);
        let given = given.filter(|header| fields::is_request_id(header.value));
        match given.map(|header| std::str::from_utf8(header.value)) {
            Some(Ok(given)) => Self::Given(given),
            _ => Self::New(new_id()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Given(id) => id,
            // Made of ASCII.
            Self::New(id) => std::str::from_utf8(id).unwrap_or_default(),
        }
    }
}

/// 16 characters of the URL alphabet of nanoid.
fn new_id() -> [u8; 16] {
    const ALPHABET: &[u8; 64] = b"useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict";
    let mut bits = fastrand::u128(..);
    std::array::from_fn(|_| {
        let character = ALPHABET[(bits & 63) as usize];
        bits >>= 6;
        character
    })
}

/// Writes the head for the instance; gives where in it the request's id is. tako-server is told whose request it is, an
/// app knows.
fn write_head(
    request: &Request,
    id: &str,
    ip: std::net::IpAddr,
    told_app: Option<&str>,
    head: &mut Vec<u8>,
) -> Range<usize> {
    use std::io::Write;

    head.extend_from_slice(request.method.as_bytes());
    head.push(b' ');
    head.extend_from_slice(request.target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    head.extend_from_slice(request.authority.as_bytes());
    head.extend_from_slice(b"\r\n");
    for header in request.headers {
        copy_header(request, header, head);
    }
    // Writing into a vector does not fail.
    let _ = write!(head, "x-forwarded-for: {ip}\r\n");
    // A request that is forwarded came by HTTPS; one that did not was redirected.
    head.extend_from_slice(b"x-forwarded-proto: https\r\n");
    if let Some(app) = told_app {
        push_field(head, "x-tako-app", app.as_bytes());
    }
    match request.body {
        Body::None => {
            // An instance may be told apart an empty body from none, as the client did.
            if matches!(request.method, "POST" | "PUT" | "PATCH") {
                head.extend_from_slice(b"content-length: 0\r\n");
            }
        }
        Body::Length(length) => {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        Body::Chunked => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if let Some(protocol) = request.upgrade {
        head.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
        head.extend_from_slice(protocol);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"x-request-id: ");
    let start = head.len();
    head.extend_from_slice(id.as_bytes());
    let end = head.len();
    head.extend_from_slice(b"\r\n\r\n");
    start..end
}

fn copy_header(request: &Request, header: &httparse::Header, head: &mut Vec<u8>) {
    match fields::classify(header.name) {
        Field::Other | Field::Date => {
            if request.names_hop_fields && is_named_hop_field(request.headers, header.name) {
                return;
            }
            push_field(head, header.name, header.value);
        }
        Field::Te if fields::has_token(header.value, "trailers") => {
            push_field(head, "te", b"trailers");
        }
        // Everything else is about the connection, or is written anew.
        _ => {}
    }
}

/// Whether a Connection header names this field as belonging to the connection only.
pub fn is_named_hop_field(headers: &[httparse::Header], name: &str) -> bool {
    let mut connections = headers
        .iter()
        .filter(|header| fields::classify(header.name) == Field::Connection);
    connections.any(|header| fields::has_token(header.value, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, header_room, request};

    fn head_of(text: &str) -> (String, String) {
        let mut room = header_room();
        let Ok(Parsed::Complete(request, _)) = request::parse(text.as_bytes(), &mut room) else {
            panic!("refused");
        };
        let mut head = Vec::new();
        let id = write_head(
            &request,
            RequestId::of(&request).as_str(),
            "9.9.9.9".parse().unwrap(),
            None,
            &mut head,
        );
        let head = String::from_utf8(head).unwrap();
        let id = head[id].to_owned();
        (head, id)
    }

    #[test]
    fn what_concerns_the_connection_or_is_not_to_be_believed_is_not_forwarded() {
        let (head, id) = head_of(
            "GET /x?y HTTP/1.1\r\nHost: A.test:8443\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\n\
             X-Hop: 1\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 1.1.1.1\r\n\
             X-Tako-Internal-Token: secret\r\nX-Tako-App: other\r\nX_Tako_App: other\r\nProxy-Connection: close\r\nTE: trailers, gzip\r\nCookie: a=b\r\n\
             X-Request-ID: given-id\r\n\r\n",
        );
        assert_eq!(id, "given-id");
        assert_eq!(
            head,
            "GET /x?y HTTP/1.1\r\nhost: A.test:8443\r\nte: trailers\r\nCookie: a=b\r\nx-forwarded-for: 9.9.9.9\r\n\
             x-forwarded-proto: https\r\nx-request-id: given-id\r\n\r\n"
        );
    }

    #[test]
    fn an_unsafe_request_id_is_replaced() {
        for given in ["", "a b", "\u{e9}", &"x".repeat(129)] {
            let text = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: {given}\r\n\r\n");
            let (head, id) = head_of(&text);
            assert_eq!(id.len(), 16, "{given:?}");
            assert_eq!(head.matches("x-request-id").count(), 1);
        }
    }

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
