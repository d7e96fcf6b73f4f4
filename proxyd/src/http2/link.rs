//! The socket under an HTTP/2 connection. `h2` writes frame by frame and flushes after each; here a flush does nothing,
//! and what was gathered is written once, when the connection has nothing more to say in this turn.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::worker::Worker;
use crate::worker::buffers::Buffer;
use crate::worker::clock::now_ms;

/// Held by `h2` and by the connection's task.
#[derive(Clone)]
pub struct Link(Rc<Inner>);

struct Inner {
    worker: Rc<Worker>,
    stream: RefCell<Box<TlsStream<TcpStream>>>,
    /// None while nothing waits to be written.
    out: RefCell<Option<Buffer>>,
    blocked_since_ms: Cell<Option<u64>>,
}

impl Link {
    pub fn new(worker: Rc<Worker>, stream: Box<TlsStream<TcpStream>>) -> Self {
        Self(Rc::new(Inner {
            worker,
            stream: RefCell::new(stream),
            out: RefCell::new(None),
            blocked_since_ms: Cell::new(None),
        }))
    }

    /// Since when the client takes nothing of what waits for it.
    pub fn blocked_since_ms(&self) -> Option<u64> {
        self.0.blocked_since_ms.get()
    }

    /// Writes what was gathered.
    pub fn poll_send(&self, context: &mut Context) -> Poll<io::Result<()>> {
        let mut out = self.0.out.borrow_mut();
        let Some(buffer) = out.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let mut stream = self.0.stream.borrow_mut();
        let mut stream = Pin::new(&mut **stream);
        while !buffer.is_empty() {
            match stream.as_mut().poll_write(context, buffer.bytes()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    buffer.consume(count);
                    self.0.blocked_since_ms.set(None);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.blocked(),
            }
        }
        // Records that were encrypted but not taken by the socket.
        if stream.as_mut().poll_flush(context)?.is_pending() {
            return self.blocked();
        }
        self.0.blocked_since_ms.set(None);
        if let Some(buffer) = out.take() {
            self.0.worker.buffers.give(buffer);
        }
        Poll::Ready(Ok(()))
    }

    fn blocked(&self) -> Poll<io::Result<()>> {
        let since = &self.0.blocked_since_ms;
        since.set(since.get().or_else(|| Some(now_ms())));
        Poll::Pending
    }

    /// Receives and forgets until the client closes: closing with bytes unread would take back what was sent last.
    pub fn poll_discard(&self, context: &mut Context) -> Poll<()> {
        let mut room = self.0.worker.buffers.take();
        let ended = loop {
            let mut bytes = ReadBuf::new(room.room());
            let mut stream = self.0.stream.borrow_mut();
            match Pin::new(&mut **stream).poll_read(context, &mut bytes) {
                Poll::Ready(Ok(())) if !bytes.filled().is_empty() => {}
                Poll::Ready(_) => break Poll::Ready(()),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.0.worker.buffers.give(room);
        ended
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context,
        buffer: &mut ReadBuf,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.stream.borrow_mut()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context,
        slices: &[IoSlice],
    ) -> Poll<io::Result<usize>> {
        if self.0.out.borrow().as_ref().is_some_and(Buffer::is_full) {
            ready!(self.poll_send(context))?;
        }
        let mut out = self.0.out.borrow_mut();
        let buffer = out.get_or_insert_with(|| self.0.worker.buffers.take());
        let mut written = 0;
        for slice in slices {
            let room = buffer.room();
            let count = slice.len().min(room.len());
            room[..count].copy_from_slice(&slice[..count]);
            buffer.filled(count);
            written += count;
            if count < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut **self.0.stream.borrow_mut()).poll_shutdown(context)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(buffer) = self.out.get_mut().take() {
            self.worker.buffers.give(buffer);
        }
    }
}
