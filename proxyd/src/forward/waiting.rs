//! Waiting for an app to have an instance: the cold-start queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::downstream::Downstream;
use super::fault::{Fault, NoInstance};
use super::origin::Origin;
use crate::control::messages::StartFailure;
use crate::table::App;
use crate::worker::Event;
use crate::worker::clock::now_ms;
use crate::worker::waiters::Verdict;

/// When instances are there but refuse connections, they are tried again so often.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// A request's place in its app's queue, over all workers; kept from the first wait to the last, so that trying again is
/// not a new cold start.
#[derive(Default)]
pub struct Place(Option<Arc<App>>);

impl Place {
    /// Takes the place; the fault says that the queue is full.
    fn take(&mut self, origin: &Origin, app: &Arc<App>) -> Result<(), Fault> {
        if self.0.is_some() {
            return Ok(());
        }
        let before = app.state.waiting.fetch_add(1, Ordering::Relaxed);
        self.0 = Some(app.clone());
        if before >= app.max_waiters {
            return Err(Fault::NoInstance(NoInstance::QueueFull));
        }
        if before == 0 {
            origin.worker.report(Event::Wake(app.name.clone()));
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(app) = &self.0 {
            app.state.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Waits until there is something to try; the fault says what to answer when it is not worth while.
pub async fn wait<D: Downstream>(
    client: &D,
    app: &Arc<App>,
    place: &mut Place,
    due_ms: u64,
) -> Result<(), Fault> {
    let worker = &client.origin().worker;
    let now_ms = now_ms();
    if now_ms >= due_ms {
        return Err(timed_out(app));
    }
    place.take(client.origin(), app)?;
    let verdict = worker.waiters.join(&app.name);
    let left = Duration::from_millis(due_ms - now_ms);
    let pause = if app.active.is_empty() {
        left
    } else {
        left.min(TRY_AGAIN)
    };
    tokio::select! {
        verdict = verdict => match verdict {
            Ok(Verdict::Failed(reason)) => Err(Fault::NoInstance(reason.into())),
            Ok(Verdict::LookAgain) | Err(_) => Ok(()),
        },
        () = client.gone() => Err(Fault::ClientGone),
        // Looks once more when the time is over, and then comes back here to be told.
        () = tokio::time::sleep(pause) => Ok(()),
    }
}

pub fn timed_out(app: &App) -> Fault {
    // Instances that are there but cannot be reached are a bad gateway; none at all is a start that took too long.
    Fault::NoInstance(if app.active.is_empty() {
        NoInstance::StartTimeout
    } else {
        NoInstance::Unreachable
    })
}

impl From<StartFailure> for NoInstance {
    fn from(reason: StartFailure) -> Self {
        match reason {
            StartFailure::StartupFailed => Self::StartFailed,
            StartFailure::StartupTimeout => Self::StartTimeout,
            StartFailure::Unavailable => Self::Unavailable,
        }
    }
}
