//! Time-outs of a worker's connections, cheap enough to have one on every wait.
//!
//! A wait that is over at once costs nothing; one that is not takes an entry in a slab. A tick some times a second looks
//! through the slab, so time-outs are late by up to a tick, which none of them minds.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::clock::now_ms;

pub const TICK_MS: u64 = 250;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Something of a request.
    Busy,
    /// A connection between two requests, which may be closed when the worker stops.
    Idle,
    /// A connection of many requests, which tells its client when the worker stops.
    Session,
}

struct Entry {
    due_ms: u64,
    kind: Kind,
    fired: bool,
    waker: Waker,
}

#[derive(Default)]
pub struct Timers {
    entries: RefCell<Slab<Entry>>,
}

impl Timers {
    /// Waits for the future, at most so long.
    pub async fn within<F: Future>(&self, limit_ms: u64, future: F) -> Result<F::Output, Elapsed> {
        self.run(now_ms() + limit_ms, Kind::Busy, future).await
    }

    pub async fn until<F: Future>(&self, due_ms: u64, future: F) -> Result<F::Output, Elapsed> {
        self.run(due_ms, Kind::Busy, future).await
    }

    /// As [`Self::within`], and ended early by [`Self::expire_idle`].
    pub async fn idle<F: Future>(&self, limit_ms: u64, future: F) -> Result<F::Output, Elapsed> {
        self.run(now_ms() + limit_ms, Kind::Idle, future).await
    }

    /// As [`Self::until`], and ended early by [`Self::expire_sessions`].
    pub async fn session<F: Future>(&self, due_ms: u64, future: F) -> Result<F::Output, Elapsed> {
        self.run(due_ms, Kind::Session, future).await
    }

    async fn run<F: Future>(
        &self,
        due_ms: u64,
        kind: Kind,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut ticket = Ticket {
            timers: self,
            key: None,
        };
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            ticket.poll(due_ms, kind, context)
        })
        .await
    }

    /// Ends the waits that are due.
    pub fn tick(&self) {
        let now_ms = now_ms();
        self.fire(|entry| entry.due_ms <= now_ms);
    }

    /// Ends the waits of connections that are between two requests.
    pub fn expire_idle(&self) {
        self.fire(|entry| entry.kind == Kind::Idle);
    }

    /// Ends the waits of connections of many requests.
    pub fn expire_sessions(&self) {
        self.fire(|entry| entry.kind == Kind::Session);
    }

    fn fire(&self, is_due: impl Fn(&Entry) -> bool) {
        let mut entries = self.entries.borrow_mut();
        let due = entries.iter_mut().filter(|(_, entry)| is_due(entry));
        for (_, entry) in due {
            entry.fired = true;
            // Waking only queues the task; it does not run before this returns.
            entry.waker.wake_by_ref();
        }
    }
}

struct Ticket<'t> {
    timers: &'t Timers,
    key: Option<usize>,
}

impl Ticket<'_> {
    fn poll<T>(
        &mut self,
        due_ms: u64,
        kind: Kind,
        context: &mut Context,
    ) -> Poll<Result<T, Elapsed>> {
        let mut entries = self.timers.entries.borrow_mut();
        let Some(key) = self.key else {
            self.key = Some(entries.insert(Entry {
                due_ms,
                kind,
                fired: false,
                waker: context.waker().clone(),
            }));
            return Poll::Pending;
        };
        let entry = &mut entries[key];
        if entry.fired {
            return Poll::Ready(Err(Elapsed));
        }
        if !entry.waker.will_wake(context.waker()) {
            entry.waker.clone_from(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.timers.entries.borrow_mut().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn local<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future)
    }

    #[test]
    fn a_wait_ends_when_it_is_due_and_leaves_nothing_behind() {
        local(async {
            let timers = Rc::new(Timers::default());
            let waiting = timers.clone();
            let wait = tokio::task::spawn_local(async move {
                waiting.within(0, std::future::pending::<()>()).await
            });
            while !wait.is_finished() {
                tokio::task::yield_now().await;
                timers.tick();
            }
            assert_eq!(wait.await.unwrap(), Err(Elapsed));
            assert!(timers.entries.borrow().is_empty());
            assert_eq!(timers.within(0, async { 7 }).await, Ok(7));
        });
    }

    #[test]
    fn only_idle_waits_are_ended_early() {
        local(async {
            let timers = Rc::new(Timers::default());
            let (one, two) = (timers.clone(), timers.clone());
            let idle = tokio::task::spawn_local(async move {
                one.idle(60_000, std::future::pending::<()>()).await
            });
            let busy = tokio::task::spawn_local(async move {
                two.within(60_000, std::future::pending::<()>()).await
            });
            while timers.entries.borrow().len() < 2 {
                tokio::task::yield_now().await;
            }
            timers.expire_idle();
            assert_eq!(idle.await.unwrap(), Err(Elapsed));
            assert!(!busy.is_finished());
        });
    }
}
