//! The head of a request as an instance gets it: written anew, so that nothing of the client's framing passes.

use std::net::IpAddr;
use std::ops::Range;

use super::downstream::push_field;
use crate::http1::fields::{self, Field};
use crate::http1::{Body, Request};

/// What a request is called in logs, here and in the app.
pub enum RequestId<'r> {
    Given(&'r str),
    New([u8; 16]),
}

impl<'r> RequestId<'r> {
    /// The client's own, when it is safe, or a new one.
    pub fn of(request: &Request<'r>) -> Self {
        let mut headers = request.headers.iter();
        let given = headers.find(|header| fields::classify(header.name) == Field::XRequestId);
        let given = given.filter(|header| fields::is_request_id(header.value));
        match given.map(|header| std::str::from_utf8(header.value)) {
            Some(Ok(given)) => Self::Given(given),
            _ => Self::New(new_id()),
        }
    }

    pub fn as_str(&self) -> &str {
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
pub fn write_head(
    request: &Request,
    id: &str,
    ip: IpAddr,
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
}
