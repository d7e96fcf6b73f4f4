//! Passing a response on to the client.

use super::downstream::{Downstream, Framing, Head};
use super::encoded;
use super::exchange::Progress;
use super::fault::Fault;
use super::plan::Forward;
use super::upstream_head::is_named_hop_field;
use super::wire::Wire;
use crate::compress::{self, Decision, decide};
use crate::http1::chunked::{Decoder, Step};
use crate::http1::fields::{Field, classify};
use crate::http1::response::{self, Delimiter};
use crate::http1::{Parsed, Response, header_room};
use crate::worker::buffers::Buffer;

/// A response has a few interim ones before it at most; each starts the wait for the next anew.
const MAX_INTERIM: usize = 100;

/// What came of a response.
pub enum Relayed {
    Whole {
        upstream_stays: bool,
        keep_seconds: Option<u64>,
    },
    /// 101: from here on it is a tunnel.
    Switched,
}

/// A response whose head was received.
struct Begun {
    head: Head,
    body: Delimiter,
    compression: Decision,
    upstream_stays: bool,
    keep_seconds: Option<u64>,
}

/// A response on its way.
pub struct Pipe<'e, D> {
    pub client: &'e D,
    pub upstream: &'e Wire,
    pub forward: &'e Forward,
    progress: &'e Progress,
}

/// Passes on interim responses and the final one.
pub async fn relay<D: Downstream>(
    client: &D,
    upstream: &Wire,
    forward: &Forward,
    progress: &Progress,
) -> Result<Relayed, Fault> {
    let pipe = Pipe {
        client,
        upstream,
        forward,
        progress,
    };
    for _ in 0..MAX_INTERIM {
        let begun = pipe.receive_head().await?;
        match begun.head.status {
            101 if !forward.upgrades => {
                return Err(Fault::UpstreamBroken("101 without being asked"));
            }
            101 => {
                progress.answered.set(true);
                pipe.record(&begun);
                client.interim(&begun.head).await?;
                forward.record.observe();
                return Ok(Relayed::Switched);
            }
            // Answered by us, as soon as the client may send.
            100 => {}
            102..=199 => client.interim(&begun.head).await?,
            _ => return pipe.pass(begun).await,
        }
    }
    Err(Fault::UpstreamBroken("interim responses without end"))
}

impl<D: Downstream> Pipe<'_, D> {
    async fn receive_head(&self) -> Result<Begun, Fault> {
        loop {
            let (begun, size) = self.upstream.look(|bytes| {
                let mut room = header_room();
                match response::parse(bytes, self.forward.to_head, &mut room)? {
                    Parsed::Partial => Ok::<_, Fault>((None, 0)),
                    Parsed::Complete(response, size) => Ok((Some(self.begin(&response)), size)),
                }
            })?;
            if let Some(begun) = begun {
                self.upstream.consume(size);
                return Ok(begun);
            }
            if self.upstream.is_full() {
                return Err(Fault::UpstreamBroken("response head too large"));
            }
            if !self.receive().await? {
                return Err(if self.upstream.is_empty() {
                    Fault::UpstreamSilent
                } else {
                    Fault::UpstreamBroken("closed within a response head")
                });
            }
        }
    }

    fn begin(&self, response: &Response) -> Begun {
        let worker = &self.client.origin().worker;
        let compression = decide(|| self.forward.accepted(), self.forward.to_head, response);
        let scratch = worker.buffers.scratch();
        let mut head = write_head(self.forward, response, compression, scratch);
        if response.status >= 200 && !response.has_date {
            head.push_date(worker);
        }
        Begun {
            head,
            body: response.body,
            compression,
            upstream_stays: response.keep_alive,
            keep_seconds: response.keep_alive_seconds,
        }
    }

    fn record(&self, begun: &Begun) {
        let record = &self.forward.record;
        record.responded();
        record.answered(begun.head.status);
        record.compressed(compress::Outcome {
            decision: begun.compression,
            sizes: None,
        });
    }

    async fn pass(&self, begun: Begun) -> Result<Relayed, Fault> {
        self.progress.answered.set(true);
        self.record(&begun);
        let Begun { head, body, .. } = begun;
        match body {
            Delimiter::Length(length) if let Ok(algorithm) = begun.compression.coding => {
                encoded::pass(self, head, algorithm, length).await?;
            }
            Delimiter::None => self.client.begin(head, Framing::None, &[], true).await?,
            Delimiter::Length(length) => self.pass_length(head, length).await?,
            Delimiter::Chunked => self.pass_chunked(head).await?,
            Delimiter::UntilClose => self.pass_until_close(head).await?,
        }
        Ok(Relayed::Whole {
            upstream_stays: begun.upstream_stays,
            keep_seconds: begun.keep_seconds,
        })
    }

    async fn pass_length(&self, head: Head, length: u64) -> Result<(), Fault> {
        let mut head = Some(head);
        let mut left = length;
        loop {
            let mut buffer = self.upstream.take();
            let received = buffer.as_ref().map_or(&[][..], Buffer::bytes);
            let here = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(received.len());
            left -= here as u64;
            let sent = self
                .send(&mut head, Framing::Length, &received[..here], left == 0)
                .await;
            if let Some(mut buffer) = buffer.take() {
                buffer.consume(here);
                self.upstream.put_back(buffer);
            }
            sent?;
            if left == 0 {
                return Ok(());
            }
            if !self.receive().await? {
                return Err(Fault::UpstreamBroken("closed within a body"));
            }
        }
    }

    async fn pass_chunked(&self, head: Head) -> Result<(), Fault> {
        let mut head = Some(head);
        let mut decoder = Decoder::default();
        let mut data = self.client.origin().worker.buffers.scratch();
        loop {
            let mut ended = false;
            if let Some(mut buffer) = self.upstream.take() {
                let decoded = decode(&mut decoder, &mut buffer, &mut data);
                self.upstream.put_back(buffer);
                ended = decoded?;
            }
            let last = ended && decoder.trailers().is_empty();
            self.send(&mut head, Framing::Unknown, &data, last).await?;
            data.clear();
            if ended {
                if !last {
                    self.client.end(decoder.trailers()).await?;
                }
                self.client.origin().worker.buffers.give_scratch(data);
                return Ok(());
            }
            if !self.receive().await? {
                return Err(Fault::UpstreamBroken("closed within a chunked body"));
            }
        }
    }

    async fn pass_until_close(&self, head: Head) -> Result<(), Fault> {
        let mut head = Some(head);
        loop {
            let buffer = self.upstream.take();
            let received = buffer.as_ref().map_or(&[][..], Buffer::bytes);
            let sent = self
                .send(&mut head, Framing::Unknown, received, false)
                .await;
            if let Some(buffer) = buffer {
                self.client.origin().worker.buffers.give(buffer);
            }
            sent?;
            if !self.receive().await? {
                return self.client.end(&[]).await;
            }
        }
    }

    /// Sends a piece of the body, with the head if it was not sent yet.
    pub async fn send(
        &self,
        head: &mut Option<Head>,
        framing: Framing,
        piece: &[u8],
        last: bool,
    ) -> Result<(), Fault> {
        match head.take() {
            Some(head) => self.client.begin(head, framing, piece, last).await,
            None => self.client.data(piece, last).await,
        }
    }

    /// Receives more from the instance; false at its end.
    pub async fn receive(&self) -> Result<bool, Fault> {
        let worker = &self.client.origin().worker;
        loop {
            let read_ms = worker.timeouts().upstream_read_ms;
            match worker.timers.within(read_ms, self.fill()).await {
                Ok(filled) => return filled,
                // While the request is still being sent, it is the client that takes its time.
                Err(_) if !self.progress.sent.get() => {}
                Err(_) => return Err(Fault::UpstreamSlow),
            }
        }
    }

    async fn fill(&self) -> Result<bool, Fault> {
        // A client that went away must not keep an instance busy, least of all one that has nothing to send for long.
        tokio::select! {
            biased;
            filled = self.upstream.fill() => Ok(matches!(filled, Ok(1..))),
            () = self.client.gone() => Err(Fault::ClientGone),
        }
    }
}

fn write_head(
    forward: &Forward,
    response: &Response,
    compression: Decision,
    scratch: Vec<u8>,
) -> Head {
    let mut head = Head::new(scratch, response.status, response.reason);
    let is_interim = response.status < 200;
    let has_length = matches!(response.body, Delimiter::Length(_) | Delimiter::None)
        && !is_interim
        && response.status != 204;
    for header in response.headers {
        let passes = match classify(header.name) {
            Field::Connection
            | Field::KeepAlive
            | Field::ProxyConnection
            | Field::TransferEncoding
            | Field::XRequestId
            | Field::InternalToken => false,
            Field::Upgrade => response.status == 101,
            Field::ContentLength => has_length,
            _ => !(response.names_hop_fields && is_named_hop_field(response.headers, header.name)),
        };
        let is_spoilt = compression.coding.is_ok() && compress::is_spoilt(header.name);
        if passes && !is_spoilt {
            head.push(header.name, header.value);
        }
    }
    if let Ok(algorithm) = compression.coding {
        head.push("content-encoding", algorithm.name().as_bytes());
    }
    if compression.varies && !compress::has_vary(response.headers) {
        head.push("vary", b"Accept-Encoding");
    }
    if response.status == 101 {
        head.push("connection", b"upgrade");
    }
    if !is_interim {
        head.push("x-request-id", forward.request_id());
    }
    head
}

/// Moves the data that is in the buffer into `out`; true at the end of the body.
fn decode(decoder: &mut Decoder, buffer: &mut Buffer, out: &mut Vec<u8>) -> Result<bool, Fault> {
    while !buffer.is_empty() {
        let step = decoder.step(buffer.bytes());
        match step.map_err(|_| Fault::UpstreamBroken("malformed chunked body"))? {
            Step::Skip(size) => buffer.consume(size),
            Step::Data(skipped, size) => {
                out.extend_from_slice(&buffer.bytes()[skipped..skipped + size]);
                buffer.consume(skipped + size);
            }
            Step::End(size) => {
                buffer.consume(size);
                return Ok(true);
            }
        }
    }
    Ok(false)
}
