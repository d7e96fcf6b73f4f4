//! How many requests are at an app's instances at once, over all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// A number that is changed while requests hold and await their share of it.
pub struct Limit {
    /// 0 is none.
    most: AtomicU32,
    /// First come, first served, whichever worker they wait on.
    free: Semaphore,
    /// Permits that are held and must not come back, because the limit was lowered.
    owed: AtomicUsize,
    waiting: AtomicU64,
}

/// No limit, in permits: more than there can be requests, less than a semaphore's maximum.
const UNLIMITED: usize = 1 << 40;

fn permits(most: u32) -> usize {
    match most {
        0 => UNLIMITED,
        most => most as usize,
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            most: AtomicU32::new(0),
            free: Semaphore::new(UNLIMITED),
            owed: AtomicUsize::new(0),
            waiting: AtomicU64::new(0),
        }
    }
}

impl Limit {
    /// Changes it; called by one thread only. What is held stays held, and counts.
    pub fn set(&self, most: u32) {
        let (before, now) = (
            permits(self.most.swap(most, Ordering::Relaxed)),
            permits(most),
        );
        if now < before {
            let taken = self.free.forget_permits(before - now);
            self.owed.fetch_add(before - now - taken, Ordering::Relaxed);
        } else {
            let more = (before..now).len();
            let paid = self.pay(more);
            self.free.add_permits(more - paid);
        }
    }

    /// Pays back up to so many of the owed ones; gives how many.
    fn pay(&self, count: usize) -> usize {
        let paid = |owed: usize| owed.checked_sub(owed.min(count));
        let before = self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
        before.map_or(0, |owed| owed.min(count))
    }

    /// A permit, when there is one at once and nobody waits for it.
    pub fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let permit = self.free.try_acquire().ok()?;
        permit.forget();
        Some(Permit(self.clone()))
    }

    /// Waits for a permit.
    pub async fn take(self: &Arc<Self>) -> Option<Permit> {
        let permit = self.free.acquire().await.ok()?;
        permit.forget();
        Some(Permit(self.clone()))
    }

    /// Takes a place in the queue; none when so many wait already, `others` for something else included.
    pub fn queue(self: &Arc<Self>, others: u64, most: u64) -> Option<Queued> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let queued = Queued(self.clone());
        (before + others < most).then_some(queued)
    }
}

/// One request's share, until dropped.
pub struct Permit(Arc<Limit>);

impl Drop for Permit {
    fn drop(&mut self) {
        if self.0.pay(1) == 0 {
            self.0.free.add_permits(1);
        }
    }
}

/// A place in the queue for a permit, until dropped.
pub struct Queued(Arc<Limit>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(most: u32) -> Arc<Limit> {
        let limit = Arc::new(Limit::default());
        limit.set(most);
        limit
    }

    #[test]
    fn there_are_as_many_permits_as_the_limit_says() {
        let limit = limit(2);
        let one = limit.try_take();
        let two = limit.try_take();
        assert!(one.is_some() && two.is_some() && limit.try_take().is_none());
        drop(one);
        assert!(limit.try_take().is_some());
    }

    #[test]
    fn the_queue_has_its_length() {
        let limit = limit(1);
        let one = limit.queue(0, 2);
        assert!(one.is_some() && limit.queue(1, 2).is_none());
        let two = limit.queue(0, 2);
        assert!(two.is_some() && limit.queue(0, 2).is_none());
        drop(one);
        assert!(limit.queue(0, 2).is_some());
    }

    proptest! {
        /// Whatever is held while the limit changes: so many more can be had as it leaves over, never more.
        #[test]
        fn no_permit_is_lost_or_made_by_changes(
            steps in proptest::collection::vec((0..3u8, 0..6u32), 1..40),
        ) {
            let limit = limit(3);
            let (mut most, mut held) = (3, Vec::new());
            for (what, number) in steps {
                match what {
                    0 => {
                        limit.set(number);
                        most = number;
                    }
                    1 => {
                        let had = held.len();
                        let permit = limit.try_take();
                        prop_assert_eq!(permit.is_some(), had < permits(most));
                        held.extend(permit);
                    }
                    _ => {
                        held.pop();
                    }
                }
            }
            limit.set(7);
            let more: Vec<_> = std::iter::from_fn(|| limit.try_take()).collect();
            prop_assert_eq!(more.len(), 7usize.saturating_sub(held.len()));
        }
    }
}
