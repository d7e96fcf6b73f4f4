//! A worker's records on their way to the writer: collected by app, handed over when there is enough or at a tick.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::spool::AccessLog;
use super::stamp::Stamp;
use super::writer::{Batch, Opened, Queue};

/// So many bytes are handed over at once: some hundred records.
const FULL: usize = 60 * 1024;
/// Kept from the writer's return for the next batches.
const SPARE: usize = 4;
/// Records begun and not ended, whose memory is kept.
const BEGUN: usize = 256;
const BEGUN_SIZE: usize = 256;
const BEGUN_KEPT: usize = 2048;

pub struct Sink {
    pub lane: usize,
    queue: Arc<Queue>,
    batches: RefCell<HashMap<u64, Batch>>,
    spare: RefCell<Vec<Vec<u8>>>,
    begun: RefCell<Vec<Vec<u8>>>,
    stamp: RefCell<Stamp>,
    /// The time of day by the clock that everything else is measured by, set anew at each tick: reading another clock for
    /// each record would cost a tenth of it.
    anchor: Cell<(Instant, SystemTime)>,
}

impl Sink {
    #[must_use]
    pub fn new(lane: usize, queue: Arc<Queue>) -> Self {
        Self {
            lane,
            queue,
            batches: RefCell::default(),
            spare: RefCell::default(),
            begun: RefCell::default(),
            stamp: RefCell::default(),
            anchor: Cell::new((Instant::now(), SystemTime::now())),
        }
    }

    /// An empty vector to begin a record in.
    pub fn begin(&self) -> Vec<u8> {
        let begun = self.begun.borrow_mut().pop();
        begun.unwrap_or_else(|| Vec::with_capacity(BEGUN_SIZE))
    }

    pub fn give_back(&self, mut line: Vec<u8>) {
        let mut begun = self.begun.borrow_mut();
        if begun.len() < BEGUN && line.capacity() <= BEGUN_KEPT {
            line.clear();
            begun.push(line);
        }
    }

    /// Adds a line: the time `at`, and what `write` writes.
    pub fn add(&self, log: &Arc<AccessLog>, at: Instant, write: impl FnOnce(&mut Vec<u8>)) {
        let mut batches = self.batches.borrow_mut();
        let batch = batches.entry(log.id).or_insert_with(|| Batch {
            log: log.clone(),
            lines: self.spare.borrow_mut().pop().unwrap_or_default(),
            count: 0,
        });
        let (then, time) = self.anchor.get();
        let time = time + at.saturating_duration_since(then);
        self.stamp.borrow_mut().push(&mut batch.lines, time);
        write(&mut batch.lines);
        batch.count += 1;
        if batch.lines.len() >= FULL
            && let Some(mut queue) = self.queue.try_open()
            && let Some(batch) = batches.remove(&log.id)
        {
            self.keep(queue.push(batch));
            drop(queue);
            self.queue.wake_writer();
        }
    }

    fn keep(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE && buffer.capacity() > 0 {
            spare.push(buffer);
        }
    }

    /// Hands over what there is; called at each tick.
    pub fn flush(&self) {
        self.anchor.set((Instant::now(), SystemTime::now()));
        if !self.batches.borrow().is_empty()
            && let Some(queue) = self.queue.try_open()
        {
            self.hand_over(queue);
        }
    }

    /// As [`Self::flush`], and waits for its turn; called when the worker has ended.
    pub fn finish(&self) {
        self.hand_over(self.queue.open());
    }

    fn hand_over(&self, mut queue: Opened) {
        for (_, batch) in self.batches.borrow_mut().drain() {
            self.keep(queue.push(batch));
        }
        drop(queue);
        self.queue.wake_writer();
    }
}
