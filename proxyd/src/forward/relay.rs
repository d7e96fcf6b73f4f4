//! Passing a response on to the client.

use super::client::{Client, WRITE_MS};
use super::exchange::Progress;
use super::fault::Fault;
use super::plan::{Forward, is_named_hop_field, push_header};
use super::wire::Wire;
use crate::http1::chunked::{self, Decoder, Step};
use crate::http1::fields::{Field, classify};
use crate::http1::response::{self, Delimiter};
use crate::http1::{Body, Parsed, Response, header_room};

/// An instance that says nothing for so long, once it has the whole request, is too slow.
const READ_MS: u64 = 60_000;

/// What came of a response.
pub enum Relayed {
    Whole {
        client_stays: bool,
        upstream_stays: bool,
        keep_seconds: Option<u64>,
    },
    /// 101: from here on it is a tunnel.
    Switched,
}

/// What is left to know of a response once its head is written.
struct Begun {
    status: u16,
    body: Delimiter,
    /// How the client is to find the end of the body.
    recoded: bool,
    client_stays: bool,
    upstream_stays: bool,
    keep_seconds: Option<u64>,
}

/// Passes on interim responses and the final one.
pub async fn relay(
    client: &Client,
    upstream: &Wire,
    forward: &Forward,
    progress: &Progress,
) -> Result<Relayed, Fault> {
    let mut head = client.worker.buffers.scratch();
    let begun = loop {
        head.clear();
        let begun = receive_head(client, upstream, forward, progress, &mut head).await?;
        match begun.status {
            101 => break begun,
            // Only who asked for a protocol change or speaks 1.1 understands interim responses; 100 is answered by us.
            100..=199 => {
                if begun.status != 100 && forward.is_http11 {
                    write(client, &head, &[]).await?;
                }
            }
            _ => break begun,
        }
    };
    progress.answered.set(true);
    if begun.status == 101 {
        write(client, &head, &[]).await?;
        return Ok(Relayed::Switched);
    }
    let body = Pipe {
        client,
        upstream,
        forward,
        progress,
    };
    match begun.body {
        Delimiter::None => write(client, &head, &[]).await?,
        Delimiter::Length(length) => body.pass_length(&head, length).await?,
        Delimiter::Chunked => body.pass_chunked(&mut head, begun.recoded).await?,
        Delimiter::UntilClose => body.pass_until_close(&mut head, begun.recoded).await?,
    }
    client.worker.buffers.give_scratch(head);
    Ok(Relayed::Whole {
        client_stays: begun.client_stays,
        upstream_stays: begun.upstream_stays,
        keep_seconds: begun.keep_seconds,
    })
}

/// Receives a response's head and writes the client's into `head`.
async fn receive_head(
    client: &Client,
    upstream: &Wire,
    forward: &Forward,
    progress: &Progress,
    head: &mut Vec<u8>,
) -> Result<Begun, Fault> {
    let pipe = Pipe {
        client,
        upstream,
        forward,
        progress,
    };
    loop {
        let (begun, size) = upstream.look(|bytes| {
            let mut room = header_room();
            match response::parse(bytes, forward.to_head, &mut room)? {
                Parsed::Partial => Ok::<_, Fault>((None, 0)),
                Parsed::Complete(response, size) => {
                    let begun = begin(client, forward, &response, head)?;
                    Ok((Some(begun), size))
                }
            }
        })?;
        if let Some(begun) = begun {
            upstream.consume(size);
            return Ok(begun);
        }
        if upstream.is_full() {
            return Err(Fault::UpstreamBroken("response head too large"));
        }
        if !pipe.receive().await? {
            return Err(if upstream.is_empty() {
                Fault::UpstreamSilent
            } else {
                Fault::UpstreamBroken("closed within a response head")
            });
        }
    }
}

fn begin(
    client: &Client,
    forward: &Forward,
    response: &Response,
    head: &mut Vec<u8>,
) -> Result<Begun, Fault> {
    if response.status == 101 && !forward.upgrades {
        return Err(Fault::UpstreamBroken("101 without being asked"));
    }
    let unknown_end = matches!(response.body, Delimiter::Chunked | Delimiter::UntilClose);
    let recoded = unknown_end && forward.is_http11;
    let client_stays =
        forward.keep_alive && !client.worker.is_finishing() && (forward.is_http11 || !unknown_end);
    let begun = Begun {
        status: response.status,
        body: response.body,
        recoded,
        client_stays,
        upstream_stays: response.keep_alive,
        keep_seconds: response.keep_alive_seconds,
    };
    write_head(forward, response, &begun, head);
    Ok(begun)
}

fn write_head(forward: &Forward, response: &Response, begun: &Begun, head: &mut Vec<u8>) {
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(itoa::Buffer::new().format(response.status).as_bytes());
    head.push(b' ');
    head.extend_from_slice(response.reason.as_bytes());
    head.extend_from_slice(b"\r\n");
    let is_interim = response.status < 200;
    for header in response.headers {
        let passes = match classify(header.name) {
            Field::Connection
            | Field::KeepAlive
            | Field::ProxyConnection
            | Field::TransferEncoding
            | Field::XRequestId
            | Field::InternalToken => false,
            Field::Upgrade => response.status == 101,
            Field::ContentLength => !begun.recoded && !is_interim && response.status != 204,
            _ => !(response.names_hop_fields && is_named_hop_field(response.headers, header.name)),
        };
        if passes {
            push_header(head, header.name, header.value);
        }
    }
    if !is_interim {
        push_header(head, "x-request-id", forward.request_id());
    }
    if response.status == 101 {
        head.extend_from_slice(b"connection: upgrade\r\n");
    } else if begun.recoded {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !is_interim && !begun.client_stays {
        head.extend_from_slice(b"connection: close\r\n");
    } else if !is_interim && !forward.is_http11 {
        head.extend_from_slice(b"connection: keep-alive\r\n");
    }
    head.extend_from_slice(b"\r\n");
}

/// A response's body on its way.
struct Pipe<'e> {
    client: &'e Client,
    upstream: &'e Wire,
    forward: &'e Forward,
    progress: &'e Progress,
}

impl Pipe<'_> {
    /// Receives more from the instance; false at its end.
    async fn receive(&self) -> Result<bool, Fault> {
        loop {
            match self.client.worker.timers.within(READ_MS, self.fill()).await {
                Ok(filled) => return filled,
                // While the request is still being sent, it is the client that takes its time.
                Err(_) if !self.progress.sent.get() => {}
                Err(_) => return Err(Fault::UpstreamSlow),
            }
        }
    }

    async fn fill(&self) -> Result<bool, Fault> {
        if self.forward.body != Body::None {
            return Ok(matches!(self.upstream.fill().await, Ok(1..)));
        }
        // A client that went away must not keep an instance busy, least of all one that has nothing to send for long.
        tokio::select! {
            biased;
            filled = self.upstream.fill() => Ok(matches!(filled, Ok(1..))),
            () = self.client.wire.gone() => Err(Fault::ClientGone),
        }
    }

    async fn pass_length(&self, head: &[u8], length: u64) -> Result<(), Fault> {
        let mut head = head;
        let mut left = length;
        loop {
            if let Some(mut buffer) = self.upstream.take() {
                let here = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.bytes().len());
                let written = write(self.client, head, &buffer.bytes()[..here]).await;
                buffer.consume(here);
                self.upstream.put_back(buffer);
                written?;
                left -= here as u64;
            } else if !head.is_empty() {
                write(self.client, head, &[]).await?;
            }
            head = &[];
            if left == 0 {
                return Ok(());
            }
            if !self.receive().await? {
                return Err(Fault::UpstreamBroken("closed within a body"));
            }
        }
    }

    async fn pass_chunked(&self, out: &mut Vec<u8>, recoded: bool) -> Result<(), Fault> {
        let mut decoder = Decoder::default();
        loop {
            let mut ended = false;
            if let Some(mut buffer) = self.upstream.take() {
                let decoded = decode(&mut decoder, &mut buffer, out, recoded);
                self.upstream.put_back(buffer);
                ended = decoded?;
            }
            write(self.client, out, &[]).await?;
            out.clear();
            if ended {
                return Ok(());
            }
            if !self.receive().await? {
                return Err(Fault::UpstreamBroken("closed within a chunked body"));
            }
        }
    }

    async fn pass_until_close(&self, out: &mut Vec<u8>, recoded: bool) -> Result<(), Fault> {
        loop {
            if let Some(buffer) = self.upstream.take() {
                if recoded {
                    chunked::write_chunk(out, buffer.bytes());
                } else {
                    out.extend_from_slice(buffer.bytes());
                }
                self.client.worker.buffers.give(buffer);
            }
            write(self.client, out, &[]).await?;
            out.clear();
            if !self.receive().await? {
                break;
            }
        }
        if recoded {
            chunked::write_end(out, b"");
            write(self.client, out, &[]).await?;
        }
        Ok(())
    }
}

/// Moves what is in the buffer into `out`, coded anew or plain; true at the end of the body.
fn decode(
    decoder: &mut Decoder,
    buffer: &mut crate::worker::buffers::Buffer,
    out: &mut Vec<u8>,
    recoded: bool,
) -> Result<bool, Fault> {
    while !buffer.is_empty() {
        let step = decoder.step(buffer.bytes());
        match step.map_err(|_| Fault::UpstreamBroken("malformed chunked body"))? {
            Step::Skip(size) => buffer.consume(size),
            Step::Data(skipped, size) => {
                let data = &buffer.bytes()[skipped..skipped + size];
                if recoded {
                    chunked::write_chunk(out, data);
                } else {
                    out.extend_from_slice(data);
                }
                buffer.consume(skipped + size);
            }
            Step::End(size) => {
                buffer.consume(size);
                if recoded {
                    chunked::write_end(out, decoder.trailers());
                }
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn write(client: &Client, head: &[u8], body: &[u8]) -> Result<(), Fault> {
    let writing = client.wire.write_both(head, body);
    match client.worker.timers.within(WRITE_MS, writing).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Fault::ClientGone),
    }
}
