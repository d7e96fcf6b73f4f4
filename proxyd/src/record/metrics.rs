//! What is counted of an app's proxied requests. Each worker writes its own lane, on its own cache lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::control::messages::{AppMetrics, Histogram, LATENCY_BOUNDS_US};

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// A number that only one thread writes: adding to it needs no locked instruction.
#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Latency {
    counts: [Count; LATENCY_BOUNDS_US.len() + 1],
    sum_us: Count,
}

impl Latency {
    fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // Nearly always the first: no search is faster than looking.
        let bucket = LATENCY_BOUNDS_US.iter().position(|bound| micros <= *bound);
        self.counts[bucket.unwrap_or(LATENCY_BOUNDS_US.len())].add(1);
        self.sum_us.add(micros);
    }
}

/// 128: x86 fetches cache lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Lane {
    begun: Count,
    ended: Count,
    classes: [Count; CLASSES.len()],
    duration: Latency,
    upstream: Latency,
}

/// The counters of one app; lives through changes of the table.
pub struct Counters(Box<[Lane]>);

impl Counters {
    #[must_use]
    pub fn new(lanes: usize) -> Self {
        Self((0..lanes.max(1)).map(|_| Lane::default()).collect())
    }

    /// A request is on its way to an instance, or waits for one.
    pub fn begin(&self, lane: usize) {
        self.0[lane].begun.add(1);
    }

    /// A request that was begun is over.
    pub fn end(&self, lane: usize) {
        self.0[lane].ended.add(1);
    }

    /// A response was sent. A change of protocol counts as a success: there is no class for it.
    pub fn observe(
        &self,
        lane: usize,
        status: u16,
        duration: Duration,
        upstream: Option<Duration>,
    ) {
        let lane = &self.0[lane];
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        lane.classes[class].add(1);
        lane.duration.observe(duration);
        if let Some(upstream) = upstream {
            lane.upstream.observe(upstream);
        }
    }

    #[must_use]
    pub fn snapshot(&self, app: &str) -> AppMetrics {
        let sum = |of: &dyn Fn(&Lane) -> u64| self.0.iter().map(of).sum::<u64>();
        let statuses = CLASSES.iter().enumerate().map(|(class, name)| {
            let count = sum(&|lane| lane.classes[class].get());
            ((*name).to_owned(), count)
        });
        let histogram = |of: fn(&Lane) -> &Latency| Histogram {
            counts: (0..=LATENCY_BOUNDS_US.len())
                .map(|bucket| sum(&|lane| of(lane).counts[bucket].get()))
                .collect(),
            sum_us: sum(&|lane| of(lane).sum_us.get()),
        };
        // Ended is read first: what ends in between is still counted as active, and not as less than none.
        let ended = sum(&|lane| lane.ended.get());
        AppMetrics {
            app: app.to_owned(),
            statuses: statuses.collect::<BTreeMap<_, _>>(),
            duration: histogram(|lane| &lane.duration),
            upstream: histogram(|lane| &lane.upstream),
            active: sum(&|lane| lane.begun.get()).saturating_sub(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lanes_are_added_up_by_class() {
        let counters = Counters::new(2);
        for (lane, status) in [(0, 101), (1, 200), (0, 304), (1, 404), (1, 404), (0, 504)] {
            counters.begin(lane);
            counters.observe(lane, status, Duration::from_millis(3), None);
            counters.end(lane);
        }
        counters.begin(1);
        let metrics = counters.snapshot("a/production");
        let statuses: Vec<u64> = metrics.statuses.into_values().collect();
        assert_eq!(statuses, [2, 1, 2, 1]);
        assert_eq!(metrics.duration.counts[1], 6);
        assert_eq!(metrics.duration.sum_us, 18_000);
        assert_eq!(metrics.upstream.sum_us, 0);
        assert_eq!(metrics.active, 1);
    }

    proptest! {
        #[test]
        fn an_observation_is_in_the_first_bucket_that_is_not_below_it(micros in 0u64..20_000_000) {
            let counters = Counters::new(1);
            let duration = Duration::from_micros(micros);
            counters.observe(0, 200, duration, Some(duration));
            let metrics = counters.snapshot("a/production");
            prop_assert_eq!(&metrics.upstream, &metrics.duration);
            prop_assert_eq!(metrics.duration.sum_us, micros);
            let bounds = LATENCY_BOUNDS_US.iter().copied().chain([u64::MAX]);
            let mut below = 0;
            for (bound, count) in bounds.zip(metrics.duration.counts) {
                prop_assert_eq!(count == 1, below < micros.max(1) && micros <= bound, "{}", bound);
                below = bound;
            }
        }
    }
}
