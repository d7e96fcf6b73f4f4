//! Reading files without holding a worker up.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::{self, Errno, ReadWriteFlags};

use super::Patience;

/// Files up to this size are read whole when they are found, and shared by all who are being sent them.
pub const SMALL: u64 = 128 * 1024;
/// What is read of larger ones at a time: two TLS records, and what a slow client makes us keep.
pub const PIECE: usize = 32 * 1024;

/// Reads once; less than there is room may come.
fn some(file: impl AsFd, room: &mut [u8], at: u64, patience: Patience) -> Result<usize, Errno> {
    let mut room = [IoSliceMut::new(room)];
    if patience == Patience::Endless {
        return io::retry_on_intr(|| io::preadv2(&file, &mut room, at, ReadWriteFlags::empty()));
    }
    match io::retry_on_intr(|| io::preadv2(&file, &mut room, at, ReadWriteFlags::NOWAIT)) {
        // There are file systems that cannot tell whether they would wait.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(Errno::AGAIN),
        read => read,
    }
}

/// Reads a file of a known size; that there is less of it is an error.
pub fn whole(file: &OwnedFd, size: u64, patience: Patience) -> Result<Box<[u8]>, Errno> {
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| Errno::FBIG)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match some(file, &mut bytes[filled..], filled as u64, patience)? {
            0 => return Err(Errno::NOENT),
            count => filled += count,
        }
    }
    Ok(bytes.into_boxed_slice())
}

/// Reads a piece of at most `left` bytes into the vector; 0 is the end of the file.
pub async fn piece(
    file: &Arc<OwnedFd>,
    piece: &mut Vec<u8>,
    at: u64,
    left: u64,
) -> Result<usize, Errno> {
    let room = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
    piece.resize(PIECE, 0);
    match some(file, &mut piece[..room], at, Patience::None) {
        Err(Errno::AGAIN) => {}
        read => return read,
    }
    let mut lent = std::mem::take(piece);
    let file = file.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let read = some(&file, &mut lent[..room], at, Patience::Endless);
        (lent, read)
    });
    // Fails only when the runtime ends.
    let (lent, read) = reading.await.map_err(|_| Errno::CANCELED)?;
    *piece = lent;
    read
}
