//! What is served for a path: a file, with the encoded ones beside it, ready to be sent.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::conditions::{State, http_date};
use super::folder::Opened;
use super::read::{self, SMALL};
use super::types::content_type;
use super::{INDEX, Patience};
use crate::compress::Algorithm;

/// All that can be served for one path.
pub struct Resource {
    plain: File,
    brotli: Option<File>,
    gzip: Option<File>,
}

/// One file, as it was when it was found.
pub struct File {
    pub size: u64,
    modified: u64,
    etag: String,
    /// The head's fields that are always the same, as lines.
    fields: Fields,
    pub content: Content,
}

pub enum Content {
    /// A small one is kept, so that serving it again costs no system call.
    Bytes(Box<[u8]>),
    Open(Arc<OwnedFd>),
}

struct Fields {
    content_type: &'static str,
    last_modified: String,
    encoding: Option<Algorithm>,
    varies: bool,
}

impl Resource {
    /// Finds what is served for a path. Without patience, [`Errno::AGAIN`] says that the disk has to be waited for.
    pub fn find(folder: &Opened, path: &[u8], patience: Patience) -> Result<Self, Errno> {
        let mut path = path.to_vec();
        let (mut file, mut stat) = if path.is_empty() {
            path.extend_from_slice(INDEX);
            folder.find(&path, patience)?
        } else {
            folder.find(&path, patience)?
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            if !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend_from_slice(INDEX);
            (file, stat) = folder.find(&path, patience)?;
        }
        let content_type = content_type(&path);
        let mut plain = File::new(file, &stat, content_type, patience)?;
        let beside = |algorithm: Algorithm| {
            let name = [&path, suffix(algorithm)].concat();
            match folder.find(&name, patience) {
                Ok((file, stat)) => match File::new(file, &stat, content_type, patience) {
                    Ok(file) => Ok(Some(file.encoded(algorithm))),
                    Err(Errno::AGAIN) => Err(Errno::AGAIN),
                    Err(_) => Ok(None),
                },
                Err(error @ (Errno::AGAIN | Errno::INVAL)) if patience == Patience::None => {
                    Err(error)
                }
                // What cannot be opened is as if it was not there.
                Err(_) => Ok(None),
            }
        };
        let (brotli, gzip) = (beside(Algorithm::Brotli)?, beside(Algorithm::Gzip)?);
        plain.fields.varies = brotli.is_some() || gzip.is_some();
        Ok(Self {
            plain,
            brotli,
            gzip,
        })
    }

    /// The file for a client that accepts these codings, the best one first.
    pub fn choose(&self, accepted: [Option<Algorithm>; 2]) -> &File {
        let mut encoded = accepted.into_iter().flatten();
        let best = encoded.find_map(|algorithm| match algorithm {
            Algorithm::Brotli => self.brotli.as_ref(),
            Algorithm::Gzip => self.gzip.as_ref(),
        });
        best.unwrap_or(&self.plain)
    }

    /// Whether a client may get one of several files.
    pub fn varies(&self) -> bool {
        self.plain.fields.varies
    }

    /// Bytes that are kept in memory.
    pub fn memory(&self) -> usize {
        let files = [Some(&self.plain), self.brotli.as_ref(), self.gzip.as_ref()];
        let kept = files.into_iter().flatten().map(|file| match &file.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Open(_) => 0,
        });
        kept.sum()
    }
}

fn suffix(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Brotli => b".br",
        Algorithm::Gzip => b".gz",
    }
}

impl File {
    fn new(
        file: OwnedFd,
        stat: &Stat,
        content_type: &'static str,
        patience: Patience,
    ) -> Result<Self, Errno> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::NOENT);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // Files from before 1970 are as old as dates can say.
        let modified = u64::try_from(stat.st_mtime).unwrap_or(0);
        let content = if size <= SMALL {
            Content::Bytes(read::whole(&file, size, patience)?)
        } else {
            Content::Open(Arc::new(file))
        };
        Ok(Self {
            size,
            modified,
            etag: format!("\"{size}-{modified}\""),
            fields: Fields {
                content_type,
                last_modified: http_date(modified),
                encoding: None,
                varies: false,
            },
            content,
        })
    }

    fn encoded(mut self, algorithm: Algorithm) -> Self {
        // Not to be taken for the file itself, should size and time agree.
        self.etag = format!("\"{}-{}-{}\"", self.size, self.modified, algorithm.name());
        self.fields.encoding = Some(algorithm);
        self.fields.varies = true;
        self
    }

    #[must_use]
    pub fn state(&self) -> State<'_> {
        State {
            etag: &self.etag,
            modified: self.modified,
            size: self.size,
        }
    }

    /// Fields that a response has also when it has no body (RFC 9110, 15.4.5).
    pub fn metadata(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let vary = self.fields.varies.then_some(("vary", "Accept-Encoding"));
        [
            ("etag", &*self.etag),
            ("last-modified", &*self.fields.last_modified),
            ("cache-control", "public, max-age=3600"),
        ]
        .into_iter()
        .chain(vary)
    }

    /// Fields about the body.
    pub fn description(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let encoding = self.fields.encoding.map(Algorithm::name);
        [
            ("content-type", self.fields.content_type),
            ("accept-ranges", "bytes"),
        ]
        .into_iter()
        .chain(encoding.map(|name| ("content-encoding", name)))
    }
}
