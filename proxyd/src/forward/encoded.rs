//! Passing a response on compressed.
//!
//! A piece is compressed while the next one is still to come, on another thread unless it is small, so that the
//! connections of this one do not wait; the memory of a response is a piece and what the coder keeps.

use super::downstream::{Downstream, Framing, Head};
use super::fault::Fault;
use super::relay::Pipe;
use crate::compress::{Algorithm, Decision, Encoder, Outcome};

/// Compressing so much takes less time than handing it to another thread is worth.
const AT_ONCE: usize = 8 * 1024;
/// Compressed in one go, so that the client is told the length.
const PIECE: usize = 64 * 1024;

/// Passes a body of `length` bytes on in the coding; the head says so already, but not how long it is.
pub async fn pass<D: Downstream>(
    pipe: &Pipe<'_, D>,
    mut head: Head,
    algorithm: Algorithm,
    length: u64,
) -> Result<(), Fault> {
    let mut left = length;
    let mut encoder = Encoder::new(algorithm, length);
    let mut piece = gather(pipe, &mut left).await?;
    let mut compressed = 0;
    if left == 0 {
        let coded = encode(Work::Last(encoder, piece)).await?.1;
        compressed = coded.len() as u64;
        head.push_number("content-length", compressed);
        pipe.client
            .begin(head, Framing::Length, &coded, true)
            .await?;
    } else {
        let mut head = Some(head);
        loop {
            let is_last = left == 0;
            let work = if is_last {
                Work::Last(encoder, piece)
            } else {
                Work::More(encoder, piece)
            };
            let (rest, coded) = encode(work).await?;
            compressed += coded.len() as u64;
            pipe.send(&mut head, Framing::Unknown, &coded, is_last)
                .await?;
            let Some(rest) = rest else { break };
            encoder = rest;
            piece = gather(pipe, &mut left).await?;
        }
    }
    pipe.forward.record.compressed(Outcome {
        decision: Decision {
            coding: Ok(algorithm),
            varies: true,
        },
        sizes: Some((length, compressed)),
    });
    Ok(())
}

/// Receives the next piece of the body.
async fn gather<D: Downstream>(pipe: &Pipe<'_, D>, left: &mut u64) -> Result<Vec<u8>, Fault> {
    let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE);
    let mut piece = Vec::with_capacity(wanted);
    loop {
        if let Some(mut buffer) = pipe.upstream.take() {
            let here = buffer.bytes().len().min(wanted - piece.len());
            piece.extend_from_slice(&buffer.bytes()[..here]);
            buffer.consume(here);
            pipe.upstream.put_back(buffer);
        }
        if piece.len() == wanted {
            *left -= wanted as u64;
            return Ok(piece);
        }
        if !pipe.receive().await? {
            return Err(Fault::UpstreamBroken("closed within a body"));
        }
    }
}

enum Work {
    More(Encoder, Vec<u8>),
    Last(Encoder, Vec<u8>),
}

impl Work {
    fn size(&self) -> usize {
        let (Self::More(_, piece) | Self::Last(_, piece)) = self;
        piece.len()
    }

    fn run(self) -> std::io::Result<(Option<Encoder>, Vec<u8>)> {
        match self {
            Self::More(mut encoder, piece) => {
                let coded = encoder.push(&piece)?;
                Ok((Some(encoder), coded))
            }
            Self::Last(mut encoder, piece) => {
                let mut coded = encoder.push(&piece)?;
                coded.extend_from_slice(&encoder.finish()?);
                Ok((None, coded))
            }
        }
    }
}

async fn encode(work: Work) -> Result<(Option<Encoder>, Vec<u8>), Fault> {
    let done = if work.size() <= AT_ONCE {
        work.run().ok()
    } else {
        // A task that is given up is finished all the same, and its result dropped.
        let done = tokio::task::spawn_blocking(move || work.run()).await;
        done.ok().and_then(Result::ok)
    };
    // Writing into a vector does not fail.
    done.ok_or(Fault::UpstreamBroken("cannot be compressed"))
}
