//! The file an app's records go to, from where tako-server moves them into the app's log.
//!
//! It is opened by its name for every batch: that costs microseconds some times a second, and nothing has to be known of
//! who removes, renames or replaces it. Between two batches it holds whole lines only.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};

use super::stamp::Stamp;

/// More on disk means that nobody takes the lines away. Holes do not count.
const MAX_ON_DISK: u64 = 64 * 1024 * 1024;

/// Where one app's records go; the same for as long as tables name the same file.
pub struct AccessLog {
    /// Unique in this process.
    pub id: u64,
    app: Arc<str>,
    path: PathBuf,
    /// Lines handed to the writer and not written yet.
    pub waiting: AtomicU64,
    /// Lines lost, and not told of yet.
    dropped: AtomicU64,
    is_failing: AtomicBool,
}

impl AccessLog {
    #[must_use]
    pub fn new(app: Arc<str>, path: &str) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            app,
            path: path.into(),
            waiting: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines that will not be written.
    pub fn dropped(&self, lines: u64, why: impl std::fmt::Display) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        // Once, until a batch is written again: it would be said for each batch otherwise.
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let path = self.path.display();
            log::error!("{}: access records are dropped: {path}: {why}", self.app);
        }
    }

    /// Appends a batch of whole lines; what cannot be written is dropped.
    pub fn append(&self, lines: &[u8], count: u64) {
        match self.try_append(lines) {
            Ok(()) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    log::info!("{}: access records are written again", self.app);
                }
            }
            Err((written, error)) => self.dropped(count.saturating_sub(written), error),
        }
    }

    /// The error comes with how many of the lines were written.
    fn try_append(&self, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let (file, size) = self.open().map_err(|error| (0, error))?;
        let told = self.dropped.load(Ordering::Relaxed);
        let before = preface(&file, size, told).map_err(|error| (0, error))?;
        // Nearly always there is nothing to say before.
        let all = if before.is_empty() {
            lines.into()
        } else {
            std::borrow::Cow::Owned([&before, lines].concat())
        };
        let (written, failed) = write(&file, &all);
        let kept = if failed.is_some() {
            keep_whole_lines(&file, size, &all[..written])
        } else {
            written
        };
        if kept >= before.len() {
            self.dropped.fetch_sub(told, Ordering::Relaxed);
        }
        match failed {
            None => Ok(()),
            Some(error) => Err((count_lines(&all[before.len().min(kept)..kept]), error)),
        }
    }

    /// Opens the file, and makes it when it is not there; gives its length, too.
    fn open(&self) -> io::Result<(File, u64)> {
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, Mode::RUSR | Mode::WUSR)?;
        let stat = rustix::fs::fstat(&file)?;
        // Blocks of 512 bytes, whatever the file system's are.
        if u64::try_from(stat.st_blocks).unwrap_or(0) * 512 > MAX_ON_DISK {
            return Err(io::Error::other("64 MiB of records were not taken away"));
        }
        Ok((file.into(), u64::try_from(stat.st_size).unwrap_or(0)))
    }
}

/// What has to come before the next line: the end of a line that a killed proxy left behind, and how many are missing.
fn preface(file: &File, size: u64, dropped: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    if last != [b'\n'] {
        text.push(b'\n');
    }
    if dropped > 0 {
        Stamp::default().push(&mut text, SystemTime::now());
        // Writing into a vector does not fail.
        let _ = writeln!(
            text,
            " [server] [proxy] WARN Access records were dropped lines={dropped}"
        );
    }
    Ok(text)
}

/// Writes as much as there is room for; gives how much that was.
fn write(mut file: &File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// Takes the start of a line away that the end of could not be written; gives how much is left.
fn keep_whole_lines(file: &File, size: u64, written: &[u8]) -> usize {
    let whole = written
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    // Only when nobody, such as a proxy that replaces this one, has appended behind it.
    let is_ours = |length| length == size + written.len() as u64;
    if whole < written.len() && file.metadata().is_ok_and(|now| is_ours(now.len())) {
        // Where it fails, whoever appends next ends the line.
        let _ = file.set_len(size + whole as u64);
    }
    whole
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').skip(1).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn log_in(folder: &tempfile::TempDir) -> Arc<AccessLog> {
        let path = folder.path().join("proxy.access");
        AccessLog::new("a/production".into(), path.to_str().unwrap())
    }

    fn content(log: &AccessLog) -> String {
        std::fs::read_to_string(log.path()).unwrap()
    }

    #[test]
    fn a_file_that_was_removed_is_made_again_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(&folder);
        log.append(b"one\n", 1);
        std::fs::rename(log.path(), folder.path().join("taken")).unwrap();
        log.append(b"two\nthree\n", 2);
        assert_eq!(content(&log), "two\nthree\n");
        let mode = std::fs::metadata(log.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn dropped_lines_are_told_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(&folder);
        let gone = folder.path().with_extension("gone");
        std::fs::rename(folder.path(), &gone).unwrap();
        log.append(b"one\ntwo\n", 2);
        log.dropped(3, "the writer is late");
        std::fs::rename(&gone, folder.path()).unwrap();
        log.append(b"three\n", 1);
        log.append(b"four\n", 1);
        let content = content(&log);
        let (notice, rest) = content.split_once('\n').unwrap();
        assert_eq!(
            &notice[24..],
            " [server] [proxy] WARN Access records were dropped lines=5"
        );
        assert_eq!(rest, "three\nfour\n");
    }

    #[test]
    fn a_line_cut_by_a_kill_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(&folder);
        std::fs::write(log.path(), "whole\ncu").unwrap();
        log.append(b"next\n", 1);
        assert_eq!(content(&log), "whole\ncu\nnext\n");
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(&folder);
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, log.path()).unwrap();
        log.append(b"one\n", 1);
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_file_nobody_takes_lines_from_stops_growing_and_holes_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(&folder);
        let file = File::create(log.path()).unwrap();
        // All of it a hole but the last byte.
        file.write_all_at(b"\n", 10 * MAX_ON_DISK).unwrap();
        log.append(b"one\n", 1);
        assert_eq!(file.metadata().unwrap().len(), 10 * MAX_ON_DISK + 5);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, MAX_ON_DISK).unwrap();
        log.append(b"two\n", 1);
        assert_eq!(file.metadata().unwrap().len(), 10 * MAX_ON_DISK + 5);
        assert_eq!(log.dropped.load(Ordering::Relaxed), 1);
    }
}
