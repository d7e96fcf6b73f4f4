//! An app's `public/`, held open: names are looked up below the folder, wherever its path leads by then.
//!
//! The kernel resolves names with `RESOLVE_BENEATH`, so that neither a symbolic link nor a rename while it looks can lead
//! out of the folder; nothing here compares paths. Links within the folder are followed when they are relative.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use rustix::fs::{self, Dir, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::Patience;
use crate::worker::clock::now_ms;

/// How often it is looked whether the path leads to another folder, or to one with other names.
const LOOK_MS: u64 = 1_000;
/// With more names at its top than this, every path may be a file's.
const MAX_NAMES: usize = 4096;

/// Where an app's public files are to be found.
pub struct Folder {
    path: PathBuf,
    opened: ArcSwapOption<Opened>,
    /// When to look again; 0 before the first time.
    due_ms: AtomicU64,
}

/// What is known of a folder without looking.
pub enum Known {
    /// Nobody has looked yet.
    Nothing,
    /// As it was when somebody looked last; none when there was none. `is_due` tells one of many that it is time to
    /// let [`Folder::look`] look again, where that may take long.
    Was {
        opened: Option<Arc<Opened>>,
        is_due: bool,
    },
}

/// A folder that was found there.
pub struct Opened {
    /// Never the same for two folders, nor for two states of one's top.
    pub id: u64,
    dir: OwnedFd,
    seen: Seen,
    /// What is at its top; none when that is too much to keep.
    names: Option<HashSet<Box<[u8]>>>,
}

#[derive(PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    changed: (i64, u64),
}

impl Seen {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the fields' types differ between architectures"
    )]
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

impl Folder {
    #[must_use]
    pub fn new(path: &str) -> Arc<Self> {
        Arc::new(Self {
            path: path.into(),
            opened: ArcSwapOption::empty(),
            due_ms: AtomicU64::new(0),
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn known(&self) -> Known {
        let due_ms = self.due_ms.load(Ordering::Acquire);
        if due_ms == 0 {
            return Known::Nothing;
        }
        let now_ms = now_ms();
        let is_due = now_ms >= due_ms && {
            let order = Ordering::Relaxed;
            let next_ms = now_ms + LOOK_MS;
            let swapped = self.due_ms.compare_exchange(due_ms, next_ms, order, order);
            swapped.is_ok()
        };
        let opened = self.opened.load_full();
        Known::Was { opened, is_due }
    }

    /// Looks what is there; may wait for the disk.
    pub fn look(&self) -> Option<Arc<Opened>> {
        let before = self.opened.load_full();
        let now = self.open(before.as_ref()).unwrap_or_else(|error| {
            // Apps without a public folder are usual.
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("{} is not served: {error}", self.path.display());
            }
            None
        });
        self.opened.store(now.clone());
        self.due_ms.store(now_ms() + LOOK_MS, Ordering::Release);
        now
    }

    fn open(&self, before: Option<&Arc<Opened>>) -> io::Result<Option<Arc<Opened>>> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(&self.path, flags, Mode::empty())?;
        let seen = Seen::of(&fs::fstat(&dir)?);
        if let Some(before) = before.filter(|before| before.seen == seen) {
            return Ok(Some(before.clone()));
        }
        let mut names = HashSet::new();
        for entry in Dir::read_from(&dir)? {
            names.insert(entry?.file_name().to_bytes().into());
            if names.len() > MAX_NAMES {
                break;
            }
        }
        Ok(Some(Arc::new(Opened {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            dir,
            seen,
            names: (names.len() <= MAX_NAMES).then_some(names),
        })))
    }
}

impl Opened {
    /// Whether it is worth looking for a path: spares requests that are the app's the system call.
    #[must_use]
    pub fn may_have(&self, path: &[u8]) -> bool {
        let first = path.split(|byte| *byte == b'/').next().unwrap_or(path);
        let first = if first.is_empty() {
            super::INDEX
        } else {
            first
        };
        self.names
            .as_ref()
            .is_none_or(|names| names.contains(first))
    }

    /// Opens a file or a folder below this one.
    ///
    /// A pipe that nobody writes to does not hold the opening up, nor does a terminal become ours.
    pub fn find(&self, path: &[u8], patience: Patience) -> Result<(OwnedFd, Stat), Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if patience == Patience::None {
            resolve |= ResolveFlags::CACHED;
        }
        let file = fs::openat2(&self.dir, path, flags, Mode::empty(), resolve)?;
        let stat = fs::fstat(&file)?;
        Ok((file, stat))
    }
}
