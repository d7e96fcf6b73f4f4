//! An app's public files: which path names which file, and what a request gets of it.
//!
//! # Which requests
//!
//! Every GET and HEAD of a matched route that is not Tako's own is looked for here first and goes on to the app when
//! there is no such file: "other request paths are served as static assets when a matching file exists in `public/`,
//! then proxied to the app". That is the wider reading; by the narrower one only paths with an extension would be looked
//! for, but then a folder's `index.html` could hardly ever be served. It costs the app's requests nothing: the names at
//! the top of the folder are kept in memory ([`folder`]).
//!
//! # Speed
//!
//! A worker does the work itself as long as that needs no waiting: names are resolved with `RESOLVE_CACHED`, files read
//! with `RWF_NOWAIT`. When the kernel says that the disk is needed, the same is done on a thread that may wait. What was
//! found is kept for a second ([`cache`]), small files with their bytes: serving those again is one hash look-up and one
//! write. Larger ones are read in pieces that fill two TLS records, as the client takes them.

pub mod cache;
pub mod conditions;
pub mod folder;
pub mod path;
mod range;
pub mod read;
pub mod resource;
mod types;

pub use cache::Cache;
pub use folder::Folder;

/// What stands for a folder.
const INDEX: &[u8] = b"index.html";

/// Whether something may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    None,
    Endless,
}
