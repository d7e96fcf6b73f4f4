//! JSON lines over the control socket, and file descriptors beside them.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::messages::Up;

/// A table of 10,000 routes has 2 MB; what is longer than this is not a message.
const MAX_LINE: usize = 64 * 1024 * 1024;
/// When tako-server reads nothing, what would be said to it is worth nothing after so much.
const MAX_UNSENT: usize = 8 * 1024 * 1024;
const READ_SIZE: usize = 16 * 1024;
/// The kernel's limit for one message (`SCM_MAX_FD`).
const MAX_FDS: usize = 253;

pub struct Channel {
    stream: UnixStream,
    received: Vec<u8>,
    /// How much of `received` is known to have no line end.
    searched: usize,
    descriptors: VecDeque<OwnedFd>,
    unsent: Vec<u8>,
}

impl Channel {
    pub async fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(path).await?,
            received: Vec::new(),
            searched: 0,
            descriptors: VecDeque::new(),
            unsent: Vec::new(),
        })
    }

    /// Sends the first message, with descriptors beside it.
    pub async fn send_first(&mut self, message: &Up, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let line = line(message)?;
        let stream = &self.stream;
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
                let mut beside = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
                    return Err(io::Error::other("too many descriptors"));
                }
                let text = [IoSlice::new(&line)];
                Ok(sendmsg(stream, &text, &mut beside, SendFlags::NOSIGNAL)?)
            })
            .await?;
        self.unsent.extend_from_slice(&line[sent..]);
        Ok(())
    }

    /// Queues a message; [`Self::flush`] sends it.
    pub fn send(&mut self, message: &Up) -> io::Result<()> {
        if self.unsent.len() > MAX_UNSENT {
            return Err(io::Error::other("tako-server does not read"));
        }
        self.unsent.extend_from_slice(&line(message)?);
        Ok(())
    }

    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what is queued, as far as it goes without waiting.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what is queued, however long it takes.
    pub async fn flush_all(&mut self) -> io::Result<()> {
        loop {
            self.flush()?;
            if !self.has_unsent() {
                return Ok(());
            }
            self.stream.writable().await?;
        }
    }

    /// Waits until something can be read, or sent when something is unsent.
    pub async fn ready(&self) -> io::Result<()> {
        let interest = if self.has_unsent() {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.stream.ready(interest).await.map(drop)
    }

    /// The next line that is there, or none; an error also at the end.
    pub fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let unsearched = &self.received[self.searched..];
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=self.searched + at).collect();
                self.searched = 0;
                line.pop();
                return Ok(Some(line));
            }
            self.searched = self.received.len();
            if self.received.len() > MAX_LINE {
                return Err(io::Error::other("a line is too long"));
            }
            match self.receive() {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; READ_SIZE];
        let stream = &self.stream;
        let received = stream.try_io(Interest::READABLE, || {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            Ok(recvmsg(stream.as_fd(), &mut parts, &mut beside, flags)?)
        })?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.received.extend_from_slice(&bytes[..received.bytes]);
        Ok(received.bytes)
    }

    /// Takes `count` received descriptors, in the order they were attached.
    pub fn take_descriptors(&mut self, count: usize) -> Option<Vec<OwnedFd>> {
        (self.descriptors.len() >= count).then(|| self.descriptors.drain(..count).collect())
    }
}

fn line(message: &Up) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
