//! Sending a request to an instance: the head, whoever sent it, and the body of an HTTP/1.1 client.

use super::client::Client;
use super::exchange::Progress;
use super::fault::Fault;
use super::origin::Origin;
use super::plan::Forward;
use super::wire::Wire;
use crate::http1::Body;
use crate::http1::chunked::{self, Decoder, Step};
use crate::http1::request::MAX_BODY;

/// Sends a request's head.
pub async fn send_head(origin: &Origin, upstream: &Wire, forward: &Forward) -> Result<(), Fault> {
    let writing = upstream.write_some(&forward.head);
    let timers = &origin.worker.timers;
    match timers
        .within(origin.worker.timeouts().upstream_send_ms, writing)
        .await
    {
        Ok(Ok(count @ 1..)) if count == forward.head.len() => Ok(()),
        Ok(Ok(count @ 1..)) => write(origin, upstream, [&forward.head[count..], &[], &[]]).await,
        Ok(_) => Err(Fault::Unsent),
        Err(_) => Err(Fault::UpstreamSlow),
    }
}

/// Sends the body as it comes.
pub async fn send(
    client: &Client,
    upstream: &Wire,
    forward: &Forward,
    progress: &Progress,
) -> Result<(), Fault> {
    if forward.expects_continue && client.wire.is_empty() && !progress.answered.get() {
        let go_on = client.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        let worker = &client.origin.worker;
        let written = worker.timers.within(worker.timeouts().send_ms, go_on).await;
        written
            .map_err(|_| Fault::ClientGone)?
            .map_err(|_| Fault::ClientGone)?;
    }
    match forward.body {
        Body::None => Ok(()),
        Body::Length(length) => send_length(client, upstream, length).await,
        Body::Chunked => send_chunked(client, upstream).await,
    }
}

async fn send_length(client: &Client, upstream: &Wire, length: u64) -> Result<(), Fault> {
    let mut left = length;
    while left > 0 {
        receive(client).await?;
        let Some(mut buffer) = client.wire.take() else {
            continue;
        };
        let here = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.bytes().len());
        let written = write(
            &client.origin,
            upstream,
            [&buffer.bytes()[..here], &[], &[]],
        )
        .await;
        buffer.consume(here);
        client.wire.put_back(buffer);
        written?;
        left -= here as u64;
    }
    Ok(())
}

async fn send_chunked(client: &Client, upstream: &Wire) -> Result<(), Fault> {
    let mut decoder = Decoder::default();
    let mut total = 0u64;
    let mut out = Vec::new();
    loop {
        receive(client).await?;
        let Some(mut buffer) = client.wire.take() else {
            continue;
        };
        let ended = loop {
            if buffer.is_empty() {
                break Ok(false);
            }
            match decoder.step(buffer.bytes()) {
                Ok(Step::Skip(size)) => buffer.consume(size),
                Ok(Step::Data(skipped, size)) => {
                    total += size as u64;
                    let data = &buffer.bytes()[skipped..skipped + size];
                    chunked::write_chunk(&mut out, data);
                    buffer.consume(skipped + size);
                }
                Ok(Step::End(size)) => {
                    buffer.consume(size);
                    chunked::write_end(&mut out, decoder.trailers());
                    break Ok(true);
                }
                Err(malformed) => break Err(Fault::from(malformed)),
            }
        };
        client.wire.put_back(buffer);
        let ended = ended?;
        if total > MAX_BODY {
            return Err(Fault::BodyTooLarge);
        }
        write(&client.origin, upstream, [&out, &[], &[]]).await?;
        out.clear();
        if ended {
            return Ok(());
        }
    }
}

/// Makes sure that there are bytes of the client's to look at.
async fn receive(client: &Client) -> Result<(), Fault> {
    if !client.wire.is_empty() {
        return Ok(());
    }
    let timers = &client.origin.worker.timers;
    match timers
        .within(client.origin.worker.timeouts().body_ms, client.wire.fill())
        .await
    {
        Ok(Ok(1..)) => Ok(()),
        Ok(_) => Err(Fault::ClientGone),
        Err(_) => Err(Fault::ClientSlow),
    }
}

/// Writes to an instance.
pub async fn write(origin: &Origin, upstream: &Wire, pieces: [&[u8]; 3]) -> Result<(), Fault> {
    let writing = upstream.write_all(pieces);
    let timers = &origin.worker.timers;
    match timers
        .within(origin.worker.timeouts().upstream_send_ms, writing)
        .await
    {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Fault::UpstreamSilent),
        Err(_) => Err(Fault::UpstreamSlow),
    }
}
