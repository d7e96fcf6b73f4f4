//! Responses that the proxy gives itself.

use std::borrow::Cow;

use super::downstream::{Downstream, Framing, Head};
use super::fault::Fault;
use crate::record::Record;

/// A response without the instance's part in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    /// The body; the status' phrase when there is none.
    pub body: Option<Cow<'static, str>>,
    pub location: Option<String>,
    pub request_id: Option<Vec<u8>>,
    pub to_head: bool,
}

impl Answer {
    #[must_use]
    pub fn of(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Sends it, and says so in the record of the request, if there is one.
    pub async fn send(
        &self,
        client: &impl Downstream,
        record: Option<&Record>,
    ) -> Result<(), Fault> {
        if let Some(record) = record {
            record.answered(self.status);
        }
        let sent = self.begin(client).await;
        if let (Some(record), Err(fault)) = (record, &sent) {
            record.ended(fault.outcome());
        }
        sent
    }

    async fn begin(&self, client: &impl Downstream) -> Result<(), Fault> {
        let worker = &client.origin().worker;
        let mut head = self.head(worker.buffers.scratch());
        head.push_date(worker);
        if self.to_head {
            return client.begin(head, Framing::None, &[], true).await;
        }
        let body = self.body().as_bytes();
        client.begin(head, Framing::Length, body, true).await
    }

    fn body(&self) -> &str {
        self.body.as_deref().unwrap_or(phrase(self.status))
    }

    fn head(&self, scratch: Vec<u8>) -> Head {
        let mut head = Head::new(scratch, self.status, phrase(self.status));
        head.push("content-type", b"text/plain; charset=utf-8");
        head.push_number("content-length", self.body().len() as u64);
        if let Some(cache) = self.cache_control() {
            head.push("cache-control", cache.as_bytes());
        }
        if let Some(location) = &self.location {
            head.push("location", location.as_bytes());
        }
        if self.status == 429 {
            head.push("retry-after", b"1");
        }
        if let Some(id) = &self.request_id {
            head.push("x-request-id", id);
        }
        head
    }

    fn cache_control(&self) -> Option<&'static str> {
        match self.status {
            500.. => Some("private, no-store"),
            307 => Some("no-store"),
            _ => None,
        }
    }
}

pub fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(answer: &Answer) -> String {
        String::from_utf8(answer.head(Vec::new()).into_bytes()).unwrap()
    }

    #[test]
    fn errors_of_ours_are_generic_and_never_stored() {
        let text = written(&Answer::of(502));
        assert!(text.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{text}");
        assert!(text.contains("cache-control: private, no-store\r\n"));
        assert!(text.contains("content-length: 11\r\n"));
        assert_eq!(Answer::of(502).body(), "Bad Gateway");
        assert!(!written(&Answer::of(404)).contains("cache-control"));
    }

    #[test]
    fn a_client_over_its_limit_is_told_when_to_come_back() {
        assert!(written(&Answer::of(429)).contains("retry-after: 1\r\n"));
    }
}
