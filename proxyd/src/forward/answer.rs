//! Responses that the proxy gives itself.

/// A response without the instance's part in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    /// The body; the status' phrase when there is none.
    pub body: Option<&'static str>,
    pub location: Option<String>,
    pub request_id: Option<Vec<u8>>,
    /// Whether the connection can go on: the request had no body that is still to come.
    pub keep_alive: bool,
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

    pub fn write(&self, out: &mut Vec<u8>) {
        let phrase = phrase(self.status);
        let body = self.body.unwrap_or(phrase);
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(self.status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(phrase.as_bytes());
        out.extend_from_slice(b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
        if let Some(cache) = self.cache_control() {
            out.extend_from_slice(b"\r\ncache-control: ");
            out.extend_from_slice(cache.as_bytes());
        }
        if let Some(location) = &self.location {
            out.extend_from_slice(b"\r\nlocation: ");
            out.extend_from_slice(location.as_bytes());
        }
        if self.status == 429 {
            out.extend_from_slice(b"\r\nretry-after: 1");
        }
        if let Some(id) = &self.request_id {
            out.extend_from_slice(b"\r\nx-request-id: ");
            out.extend_from_slice(id);
        }
        if !self.keep_alive {
            out.extend_from_slice(b"\r\nconnection: close");
        }
        out.extend_from_slice(b"\r\n\r\n");
        if !self.to_head {
            out.extend_from_slice(body.as_bytes());
        }
    }

    fn cache_control(&self) -> Option<&'static str> {
        match self.status {
            500.. => Some("private, no-store"),
            307 => Some("no-store"),
            _ => None,
        }
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        307 => "Temporary Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
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
        let mut out = Vec::new();
        answer.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn errors_of_ours_are_generic_and_never_stored() {
        let text = written(&Answer::of(502));
        assert!(text.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{text}");
        assert!(text.contains("cache-control: private, no-store\r\n"));
        assert!(text.contains("connection: close\r\n"));
        assert!(text.ends_with("\r\n\r\nBad Gateway"));
        assert!(!written(&Answer::of(404)).contains("cache-control"));
    }

    #[test]
    fn a_head_request_gets_the_head_alone() {
        let text = written(&Answer {
            to_head: true,
            keep_alive: true,
            ..Answer::of(404)
        });
        assert!(text.contains("content-length: 9\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n") && !text.contains("connection"));
    }

    #[test]
    fn a_client_over_its_limit_is_told_when_to_come_back() {
        assert!(written(&Answer::of(429)).contains("retry-after: 1\r\n"));
    }
}
