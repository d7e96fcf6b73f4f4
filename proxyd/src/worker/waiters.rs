//! Requests of this worker that wait for their app to have an instance.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::control::messages::StartFailure;
use crate::table::Table;

/// What a waiting request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The app's entry changed: look again.
    LookAgain,
    Failed(StartFailure),
}

#[derive(Default)]
pub struct Waiters {
    by_app: RefCell<HashMap<Arc<str>, Vec<oneshot::Sender<Verdict>>>>,
}

impl Waiters {
    pub fn join(&self, app: &Arc<str>) -> oneshot::Receiver<Verdict> {
        let (sender, receiver) = oneshot::channel();
        let mut by_app = self.by_app.borrow_mut();
        by_app.entry(app.clone()).or_default().push(sender);
        receiver
    }

    /// Lets those go whose app has an active endpoint, or is gone.
    pub fn look_again(&self, table: &Table) {
        let mut by_app = self.by_app.borrow_mut();
        by_app.retain(|app, waiting| {
            let must_wait = table.apps.get(app).is_some_and(|app| app.active.is_empty());
            if !must_wait {
                release(waiting, Verdict::LookAgain);
            }
            must_wait
        });
    }

    pub fn fail(&self, app: &str, reason: StartFailure) {
        if let Some(mut waiting) = self.by_app.borrow_mut().remove(app) {
            release(&mut waiting, Verdict::Failed(reason));
        }
    }

    /// Forgets those that gave up.
    pub fn sweep(&self) {
        self.by_app.borrow_mut().retain(|_, waiting| {
            waiting.retain(|sender| !sender.is_closed());
            !waiting.is_empty()
        });
    }
}

fn release(waiting: &mut Vec<oneshot::Sender<Verdict>>, verdict: Verdict) {
    for sender in waiting.drain(..) {
        // One that gave up in the meantime does not listen.
        let _ = sender.send(verdict);
    }
}
