//! What a response is sent to: an HTTP/1.1 connection, or a stream of an HTTP/2 one.

use super::exchange::Progress;
use super::fault::Fault;
use super::origin::Origin;
use super::plan::Forward;
use super::wire::Wire;
use crate::worker::Worker;

/// How the client is to find the end of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the head says of its length.
    None,
    /// The head has a Content-Length.
    Length,
    /// Told when it comes: by the last chunk, the last frame, or the end of the connection.
    Unknown,
}

/// The client's side of one exchange. Every method that sends waits while the client does not take what was sent, and
/// gives up with [`Fault::ClientGone`].
pub trait Downstream {
    fn origin(&self) -> &Origin;

    /// Sends the request's body to the instance as it comes, framed as `forward.body` says; the head was sent.
    async fn upload(
        &self,
        upstream: &Wire,
        forward: &Forward,
        progress: &Progress,
    ) -> Result<(), Fault>;

    /// Resolves when nobody is there for the response any more.
    async fn gone(&self);

    /// Not all of the request's body was taken, so that nothing can follow on a connection that has one request at a time.
    fn close_after(&self);

    /// Sends an interim response, if the client understands one.
    async fn interim(&self, head: &Head) -> Result<(), Fault>;

    /// Sends the head and the first piece of the body; `last` when that is all of it.
    async fn begin(
        &self,
        head: Head,
        framing: Framing,
        first: &[u8],
        last: bool,
    ) -> Result<(), Fault>;

    /// Sends another piece of the body.
    async fn data(&self, piece: &[u8], last: bool) -> Result<(), Fault>;

    /// Ends a body of unknown length; `trailers` are lines, each with its CRLF.
    async fn end(&self, trailers: &[u8]) -> Result<(), Fault>;
}

/// A response's head, written as HTTP/1.1 writes it, but for the fields about the connection and the empty line.
pub struct Head {
    pub status: u16,
    bytes: Vec<u8>,
    /// Where the fields begin.
    fields: usize,
}

impl Head {
    /// Begins a head in an empty vector.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>, status: u16, reason: &str) -> Self {
        bytes.extend_from_slice(b"HTTP/1.1 ");
        bytes.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(reason.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        let fields = bytes.len();
        Self {
            status,
            bytes,
            fields,
        }
    }

    pub fn push(&mut self, name: &str, value: &[u8]) {
        push_field(&mut self.bytes, name, value);
    }

    /// Says when the response was made (RFC 9110, 6.6.1).
    pub fn push_date(&mut self, worker: &Worker) {
        worker.with_date(|date| self.push("date", date.as_bytes()));
    }

    pub fn push_number(&mut self, name: &str, value: u64) {
        self.push(name, itoa::Buffer::new().format(value).as_bytes());
    }

    /// The fields' lines, for a protocol that writes them its own way.
    pub fn field_lines(&self) -> &[u8] {
        &self.bytes[self.fields..]
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The vector it was begun in.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Name and value of each of the lines, which are well-formed because we wrote or checked them.
pub fn split_lines(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

pub fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_gives_back_the_fields_it_was_given() {
        let mut head = Head::new(Vec::new(), 200, "OK");
        head.push("Server", b"x: y");
        head.push_number("content-length", 0);
        head.push("Empty", b"");
        let fields: Vec<_> = split_lines(head.field_lines()).collect();
        let expected: Vec<(&[u8], &[u8])> = vec![
            (b"Server", b"x: y"),
            (b"content-length", b"0"),
            (b"Empty", b""),
        ];
        assert_eq!(fields, expected);
        assert!(
            head.bytes()
                .starts_with(b"HTTP/1.1 200 OK\r\nServer: x: y\r\n")
        );
    }
}
