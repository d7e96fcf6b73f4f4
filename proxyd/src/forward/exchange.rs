//! One request and its response, with the attempts it takes.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::answer::Answer;
use super::downstream::Downstream;
use super::fault::Fault;
use super::file;
use super::instance::{self, Held, Search};
use super::plan::Forward;
use super::relay::{self, Relayed};
use super::upload;
use crate::http1::Body;
use crate::record::{self, Record};
use crate::worker::clients::Active;

/// Where an exchange is, as seen by both of its directions.
#[derive(Default)]
pub struct Progress {
    /// Nothing more will be sent to the instance.
    pub sent: Cell<bool>,
    /// Something of a final response was sent to the client.
    pub answered: Cell<bool>,
}

/// What became of a request.
pub enum Outcome<'w> {
    /// A whole response was sent; the request was taken whole, or its body is still to come.
    Answered { taken: bool },
    /// The instance agreed to another protocol, and the client was told.
    /// Its record and its place in the client's limit are held as long as the tunnel is.
    Switched(Held<'w>, Box<(Record, Active)>),
    /// A response was cut off, or nobody was there to be answered.
    Aborted,
}

/// What became of an attempt.
enum Attempted<'w> {
    Answered { taken: bool },
    Switched(Held<'w>),
}

/// Connections found dead in a row before a request that can be repeated is given up.
const ATTEMPTS: u32 = 3;

/// Answers a request with a public file, or forwards it and its response.
pub async fn run<D: Downstream>(client: &D, forward: Forward) -> Outcome<'_> {
    if let Some(candidate) = file::candidate(&forward) {
        // Boxed: requests of the app do not carry its state.
        if let Some(outcome) = Box::pin(file::serve(client, &forward, candidate)).await {
            client.origin().worker.buffers.give_scratch(forward.head);
            return outcome;
        }
    }
    if forward.service.is_none() {
        forward.record.proxied();
    }
    let progress = Progress::default();
    let attempted = attempt_all(client, &forward, &progress).await;
    let outcome = match attempted {
        Ok(Attempted::Answered { taken }) => {
            forward.record.ended(record::Outcome::Ok);
            Outcome::Answered { taken }
        }
        Ok(Attempted::Switched(held)) => {
            Outcome::Switched(held, Box::new((forward.record, forward.active)))
        }
        Err(fault) => fail(client, &forward, &progress, fault).await,
    };
    client.origin().worker.buffers.give_scratch(forward.head);
    outcome
}

async fn attempt_all<'w, D: Downstream>(
    client: &'w D,
    forward: &Forward,
    progress: &Progress,
) -> Result<Attempted<'w>, Fault> {
    let mut search = Search::new(forward.app.wait_timeout_ms);
    for attempt in 1.. {
        let held = instance::hold(client, forward, &mut search).await?;
        let is_reused = held.is_reused;
        match attempt_once(client, forward, progress, held).await {
            // Nothing was sent, not even what could not be taken back.
            Err(Fault::Unsent) if is_reused && attempt < ATTEMPTS => search.may_reuse = false,
            // Nothing came back, so the request may be sent again if that does no harm: on a new connection, because
            // the others of the same age are likely as dead.
            Err(Fault::UpstreamSilent)
                if is_reused
                    && attempt < ATTEMPTS
                    && forward.is_idempotent
                    && forward.body == Body::None =>
            {
                search.may_reuse = false;
            }
            outcome => return outcome,
        }
    }
    Err(Fault::UpstreamSilent)
}

async fn attempt_once<'w, D: Downstream>(
    client: &'w D,
    forward: &Forward,
    progress: &Progress,
    held: Held<'w>,
) -> Result<Attempted<'w>, Fault> {
    let relayed = match exchange(client, forward, progress, &held).await {
        Ok(relayed) => relayed,
        Err(fault) => {
            if !progress.answered.get() {
                held.failed(fault);
            }
            return Err(fault);
        }
    };
    held.went_well();
    match relayed {
        Relayed::Switched => Ok(Attempted::Switched(held)),
        Relayed::Whole {
            upstream_stays,
            keep_seconds,
        } => {
            let taken = progress.sent.get();
            if upstream_stays && taken {
                held.give_back(keep_seconds);
            }
            Ok(Attempted::Answered { taken })
        }
    }
}

/// Sends the request and passes on the response.
async fn exchange<D: Downstream>(
    client: &D,
    forward: &Forward,
    progress: &Progress,
    held: &Held<'_>,
) -> Result<Relayed, Fault> {
    if forward.body != Body::None {
        return both_ways(client, forward, progress, held).await;
    }
    let upstream = held.wire()?;
    upload::send_head(client.origin(), upstream, forward).await?;
    progress.sent.set(true);
    relay::relay(client, upstream, forward, progress).await
}

/// Sends the body while the response may already be coming.
async fn both_ways<D: Downstream>(
    client: &D,
    forward: &Forward,
    progress: &Progress,
    held: &Held<'_>,
) -> Result<Relayed, Fault> {
    let upstream = held.wire()?;
    let mut sending = pin!(async {
        upload::send_head(client.origin(), upstream, forward).await?;
        client.upload(upstream, forward, progress).await
    });
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

async fn fail<'w>(
    client: &impl Downstream,
    forward: &Forward,
    progress: &Progress,
    fault: Fault,
) -> Outcome<'w> {
    log::debug!("{}: {fault:?}", forward.app.name);
    forward.record.ended(fault.outcome());
    let Some(status) = fault.status().filter(|_| !progress.answered.get()) else {
        return Outcome::Aborted;
    };
    // A request without a body is over, whatever became of it.
    let taken = forward.body == Body::None;
    if !taken {
        client.close_after();
    }
    let answer = Answer {
        request_id: Some(forward.request_id().to_vec()),
        to_head: forward.to_head,
        ..Answer::of(status)
    };
    match answer.send(client, Some(&forward.record)).await {
        Ok(()) => Outcome::Answered { taken },
        Err(_) => Outcome::Aborted,
    }
}
