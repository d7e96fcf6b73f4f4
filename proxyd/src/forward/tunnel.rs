//! A connection that stopped being HTTP: bytes both ways until both sides have ended.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::client::Client;
use super::wire::Wire;
use crate::worker::Worker;

/// Once one side has ended, how long the other may go on.
const HALF_CLOSED_MS: u64 = 60_000;

/// Passes bytes until both sides have ended, or one has and the other does not follow.
pub async fn run(client: &Client, upstream: &Wire) {
    let worker = &client.origin.worker;
    let mut up = pin!(copy(worker, &client.wire, upstream));
    let mut down = pin!(copy(worker, upstream, &client.wire));
    let (mut up_ended, mut down_ended) = (false, false);
    let mut step = |context: &mut std::task::Context, until_both: bool| {
        up_ended = up_ended || up.as_mut().poll(context).is_ready();
        down_ended = down_ended || down.as_mut().poll(context).is_ready();
        let ended = if until_both {
            up_ended && down_ended
        } else {
            up_ended || down_ended
        };
        if ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    };
    poll_fn(|context| step(context, false)).await;
    // Whether the other side followed or not, both are closed after this.
    let _ = worker
        .timers
        .within(HALF_CLOSED_MS, poll_fn(|context| step(context, true)))
        .await;
}

async fn copy(worker: &Worker, from: &Wire, to: &Wire) {
    loop {
        if from.is_empty() && !matches!(from.fill().await, Ok(1..)) {
            // The other side may still have something to say.
            let shutdown = to.shutdown();
            let _ = worker
                .timers
                .within(worker.timeouts().send_ms, shutdown)
                .await;
            return;
        }
        let Some(buffer) = from.take() else { continue };
        let written = worker
            .timers
            .within(worker.timeouts().send_ms, to.write(buffer.bytes()))
            .await;
        let mut buffer = buffer;
        buffer.consume(usize::MAX);
        from.put_back(buffer);
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}
