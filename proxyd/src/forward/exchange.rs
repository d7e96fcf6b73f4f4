//! One request and its response, with the attempts it takes.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::answer::Answer;
use super::client::{After, Client};
use super::fault::Fault;
use super::instance::{self, Held};
use super::plan::Forward;
use super::relay::{self, Relayed};
use super::{tunnel, upload};
use crate::http1::Body;
use crate::worker::clock::now_ms;

/// Where an exchange is, as seen by both of its directions.
#[derive(Default)]
pub struct Progress {
    /// Nothing more will be sent to the instance.
    pub sent: Cell<bool>,
    /// Something of a final response was sent to the client.
    pub answered: Cell<bool>,
}

/// Connections found dead in a row before a request that can be repeated is given up.
const ATTEMPTS: u32 = 3;

/// Forwards a request and its response.
pub async fn run(client: &Client, forward: Forward) -> After {
    let progress = Progress::default();
    let after = match attempt_all(client, &forward, &progress).await {
        Ok(after) => after,
        Err(fault) => fail(client, &forward, &progress, fault).await,
    };
    client.worker.buffers.give_scratch(forward.head);
    after
}

async fn attempt_all(
    client: &Client,
    forward: &Forward,
    progress: &Progress,
) -> Result<After, Fault> {
    let due_ms = now_ms() + forward.app.wait_timeout_ms;
    let mut may_reuse = true;
    for attempt in 1.. {
        let held = instance::hold(client, forward, may_reuse, due_ms).await?;
        let is_reused = held.is_reused;
        match attempt_once(client, forward, progress, held).await {
            // Nothing came back, so the request may be sent again if that does no harm: on a new connection, because
            // the others of the same age are likely as dead.
            Err(Fault::UpstreamSilent)
                if is_reused
                    && attempt < ATTEMPTS
                    && forward.is_idempotent
                    && forward.body == Body::None =>
            {
                may_reuse = false;
            }
            outcome => return outcome,
        }
    }
    Err(Fault::UpstreamSilent)
}

async fn attempt_once(
    client: &Client,
    forward: &Forward,
    progress: &Progress,
    held: Held<'_>,
) -> Result<After, Fault> {
    let upstream = held.wire()?;
    let relayed = if forward.body == Body::None {
        upload::send_head(client, upstream, forward).await?;
        progress.sent.set(true);
        relay::relay(client, upstream, forward, progress).await?
    } else {
        both_ways(client, forward, progress, &held).await?
    };
    match relayed {
        Relayed::Switched => {
            tunnel::run(client, upstream).await;
            Ok(After::Abort)
        }
        Relayed::Whole {
            client_stays,
            upstream_stays,
            keep_seconds,
        } => {
            let sent = progress.sent.get();
            if upstream_stays && sent {
                held.give_back(keep_seconds);
            }
            Ok(match (client_stays, sent) {
                (_, false) => After::Linger,
                (true, true) => After::KeepAlive,
                (false, true) => After::Close,
            })
        }
    }
}

/// Sends the body while the response may already be coming.
async fn both_ways(
    client: &Client,
    forward: &Forward,
    progress: &Progress,
    held: &Held<'_>,
) -> Result<Relayed, Fault> {
    let upstream = held.wire()?;
    let mut sending = pin!(upload::send(client, upstream, forward, progress));
    let mut relaying = pin!(relay::relay(client, upstream, forward, progress));
    let mut is_sending = true;
    poll_fn(|context| {
        if is_sending && let Poll::Ready(sent) = sending.as_mut().poll(context) {
            is_sending = false;
            match sent {
                Ok(()) => progress.sent.set(true),
                // The instance does not want the rest: what it has to say is still read.
                Err(Fault::UpstreamSilent) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
        relaying.as_mut().poll(context)
    })
    .await
}

async fn fail(client: &Client, forward: &Forward, progress: &Progress, fault: Fault) -> After {
    log::debug!("{}: {fault:?}", forward.app.name);
    let Some(status) = fault.status().filter(|_| !progress.answered.get()) else {
        return After::Abort;
    };
    // A request without a body is over, whatever became of it.
    let keep_alive = forward.keep_alive && forward.is_http11 && forward.body == Body::None;
    let answer = Answer {
        request_id: Some(forward.request_id().to_vec()),
        keep_alive: keep_alive && !client.worker.is_finishing(),
        to_head: forward.to_head,
        ..Answer::of(status)
    };
    client.answer(&answer).await
}
