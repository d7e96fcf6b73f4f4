//! Waiting for one's turn at an app that takes only so many requests at once.

use std::sync::Arc;
use std::time::Duration;

use super::downstream::Downstream;
use super::fault::{Fault, NoInstance};
use crate::table::{App, Permit};
use crate::worker::clock::now_ms;

/// Waits until there are fewer requests at the app's instances than it allows; none when it has no limit.
///
/// In the queue's length those count that wait for an instance to start, but nobody is woken: there are instances, and
/// what is waited for is another request's end. Who waits too long is answered 503 and not 504: nothing was sent anywhere
/// that could have been too slow.
pub async fn admit<D: Downstream>(
    client: &D,
    app: &Arc<App>,
    due_ms: u64,
) -> Result<Option<Permit>, Fault> {
    if app.max_connections == 0 {
        return Ok(None);
    }
    let limit = &app.state.limit;
    if let Some(permit) = limit.try_take() {
        return Ok(Some(permit));
    }
    let Some(_queued) = limit.queue(app.state.waiting(), app.max_waiters) else {
        return Err(Fault::NoInstance(NoInstance::QueueFull));
    };
    let left = Duration::from_millis(due_ms.saturating_sub(now_ms()));
    tokio::select! {
        permit = limit.take() => Ok(permit),
        () = client.gone() => Err(Fault::ClientGone),
        () = tokio::time::sleep(left) => Err(Fault::NoInstance(NoInstance::Busy)),
    }
}
