//! The thread that writes records to disk, so that no worker ever waits for one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use super::spool::AccessLog;

/// Lines of one app that wait for the disk; more are dropped.
const MAX_LINES: u64 = 8192;
/// Bytes that wait for the disk, of all apps.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Empty buffers kept for the workers, and how large they may be.
const SPARE: usize = 16;
const SPARE_SIZE: usize = 128 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Lines of one app, written at once.
pub struct Batch {
    pub log: Arc<AccessLog>,
    pub lines: Vec<u8>,
    pub count: u64,
}

#[derive(Default)]
struct State {
    batches: Vec<Batch>,
    /// Of all that was handed over and is not written yet.
    bytes: usize,
    spare: Vec<Vec<u8>>,
    is_closed: bool,
}

/// What the workers hand over to the writer.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    writer: OnceLock<Thread>,
}

/// The queue, while somebody hands over.
pub struct Opened<'q>(MutexGuard<'q, State>);

impl Queue {
    /// None when somebody else is at it: a worker does not wait, it comes again.
    pub fn try_open(&self) -> Option<Opened<'_>> {
        match self.state.try_lock() {
            Ok(state) => Some(Opened(state)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Opened(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub fn open(&self) -> Opened<'_> {
        Opened(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

impl Opened<'_> {
    /// Hands a batch over, or drops it when too much waits; gives an empty buffer for the next.
    pub fn push(&mut self, mut batch: Batch) -> Vec<u8> {
        let state = &mut *self.0;
        let waiting = &batch.log.waiting;
        // Only added to under this lock.
        let lines = waiting.load(Ordering::Relaxed) + batch.count;
        if lines > MAX_LINES || state.bytes + batch.lines.len() > MAX_BYTES {
            batch.log.dropped(batch.count, "the disk is too slow");
            batch.lines.clear();
            return batch.lines;
        }
        waiting.fetch_add(batch.count, Ordering::Relaxed);
        state.bytes += batch.lines.len();
        state.batches.push(batch);
        state.spare.pop().unwrap_or_default()
    }

    fn take_back(&mut self, mut lines: Vec<u8>) {
        let state = &mut *self.0;
        state.bytes -= lines.len();
        if state.spare.len() < SPARE && lines.capacity() <= SPARE_SIZE {
            lines.clear();
            state.spare.push(lines);
        }
    }
}

pub struct Writer {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Writer {
    pub fn start() -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let taken_from = queue.clone();
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || run(&taken_from))?;
        queue.writer.get_or_init(|| thread.thread().clone());
        Ok(Self { queue, thread })
    }

    #[must_use]
    pub fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }

    /// Writes what was handed over, and ends. A disk that hangs does not keep the proxy from ending.
    pub fn finish(self, limit: Duration) {
        self.queue.open().0.is_closed = true;
        self.thread.thread().unpark();
        let due = Instant::now() + limit;
        while !self.thread.is_finished() {
            if Instant::now() >= due {
                log::error!("access records are lost: the disk is too slow");
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn run(queue: &Queue) {
    let mut batches = Vec::new();
    loop {
        let is_closed = {
            let mut opened = queue.open();
            std::mem::swap(&mut opened.0.batches, &mut batches);
            opened.0.is_closed
        };
        if batches.is_empty() {
            if is_closed {
                return;
            }
            // What is handed over in between makes this return at once.
            std::thread::park();
        }
        for batch in batches.drain(..) {
            batch.log.append(&batch.lines, batch.count);
            let waiting = &batch.log.waiting;
            waiting.fetch_sub(batch.count, Ordering::Relaxed);
            queue.open().take_back(batch.lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Sink;

    fn log_in(folder: &tempfile::TempDir) -> Arc<AccessLog> {
        let path = folder.path().join("proxy.access");
        AccessLog::new("a/production".into(), path.to_str().unwrap())
    }

    fn batch(log: &Arc<AccessLog>, count: u64) -> Batch {
        Batch {
            log: log.clone(),
            lines: "x\n".repeat(usize::try_from(count).unwrap()).into_bytes(),
            count,
        }
    }

    #[test]
    fn so_many_lines_wait_for_a_slow_disk_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (log, other) = (log_in(&folder), log_in(&folder));
        let queue = Queue::default();
        for _ in 0..10 {
            queue.open().push(batch(&log, 1000));
        }
        queue.open().push(batch(&other, 1000));
        let state = queue.open().0;
        assert_eq!(log.waiting.load(Ordering::Relaxed), 8000);
        assert_eq!(state.batches.len(), 9);
        assert_eq!(state.bytes, 2 * 9000);
    }

    #[test]
    fn every_line_of_every_worker_is_written_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(&folder);
        let writer = Writer::start().unwrap();
        let workers: Vec<JoinHandle<()>> = (0..3)
            .map(|lane| {
                let (queue, log) = (writer.queue(), log.clone());
                std::thread::spawn(move || {
                    let sink = Sink::new(lane, queue);
                    for number in 0..2000 {
                        let line = format!(" {lane}-{number}-{}\n", "x".repeat(number % 300));
                        let write = |out: &mut Vec<u8>| out.extend_from_slice(line.as_bytes());
                        sink.add(&log, Instant::now(), write);
                    }
                    sink.finish();
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        writer.finish(Duration::from_secs(20));
        let text = std::fs::read_to_string(log.path()).unwrap();
        let mut seen: Vec<&str> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        seen.sort_unstable();
        let expected = (0..3).flat_map(|lane| {
            (0..2000).map(move |number| format!("{lane}-{number}-{}", "x".repeat(number % 300)))
        });
        let mut expected: Vec<String> = expected.collect();
        expected.sort_unstable();
        assert_eq!(seen, expected);
        assert_eq!(log.waiting.load(Ordering::Relaxed), 0);
    }
}
