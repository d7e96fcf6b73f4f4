//! A connection, to a client or to an instance, with what was received and not yet consumed.
//!
//! Both directions are used from one task, each through `&self`: every borrow ends before the poll that made it returns.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::worker::Worker;
use crate::worker::buffers::Buffer;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// To tako-server, on this host.
    Unix(UnixStream),
}

pub struct Wire {
    worker: Rc<Worker>,
    stream: RefCell<Stream>,
    /// None while there are no bytes: a connection that waits holds no buffer.
    input: RefCell<Option<Buffer>>,
}

impl Wire {
    pub fn new(worker: Rc<Worker>, stream: Stream) -> Self {
        Self {
            worker,
            stream: RefCell::new(stream),
            input: RefCell::new(None),
        }
    }

    /// Looks at what was received.
    pub fn look<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        match &*self.input.borrow() {
            Some(buffer) => look(buffer.bytes()),
            None => look(&[]),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.input.borrow().is_none()
    }

    pub fn is_full(&self) -> bool {
        self.input.borrow().as_ref().is_some_and(Buffer::is_full)
    }

    pub fn consume(&self, count: usize) {
        if let Some(mut buffer) = self.take() {
            buffer.consume(count);
            self.put_back(buffer);
        }
    }

    /// Takes the received bytes out, so that they can be written elsewhere; to be followed by [`Self::put_back`].
    pub fn take(&self) -> Option<Buffer> {
        self.input.borrow_mut().take()
    }

    pub fn put_back(&self, buffer: Buffer) {
        if buffer.is_empty() {
            self.worker.buffers.give(buffer);
        } else {
            *self.input.borrow_mut() = Some(buffer);
        }
    }

    /// Receives more bytes; 0 is the end. There must be room.
    pub async fn fill(&self) -> io::Result<usize> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    fn poll_fill(&self, context: &mut Context) -> Poll<io::Result<usize>> {
        let mut input = self.input.borrow_mut();
        let mut buffer = input.take().unwrap_or_else(|| self.worker.buffers.take());
        let mut room = ReadBuf::new(buffer.room());
        let polled = match &mut *self.stream.borrow_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, &mut room),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, &mut room),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, &mut room),
        };
        let count = room.filled().len();
        buffer.filled(count);
        if buffer.is_empty() {
            self.worker.buffers.give(buffer);
        } else {
            *input = Some(buffer);
        }
        polled.map_ok(|()| count)
    }

    /// Resolves when the peer is gone; receives what it sends meanwhile as far as there is room.
    pub async fn gone(&self) {
        loop {
            if self.is_full() {
                return std::future::pending().await;
            }
            if !matches!(self.fill().await, Ok(1..)) {
                return;
            }
        }
    }

    /// Whether an idle connection is still open and silent.
    pub fn is_quiet(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.is_empty() && self.poll_fill(&mut context).is_pending()
    }

    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all([bytes, &[], &[]]).await
    }

    /// Writes the pieces, in one call if the peer takes them, and flushes; a slow peer holds the writer up, which is the
    /// back-pressure.
    pub async fn write_all(&self, mut pieces: [&[u8]; 3]) -> io::Result<()> {
        poll_fn(|context| {
            let mut stream = self.stream.borrow_mut();
            while pieces.iter().any(|piece| !piece.is_empty()) {
                let mut written = ready!(stream.poll_write_pieces(context, pieces))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                for piece in &mut pieces {
                    let here = written.min(piece.len());
                    *piece = &piece[here..];
                    written -= here;
                }
            }
            stream.poll_flush(context)
        })
        .await
    }

    /// Writes what is taken at once, and gives how much it is. Nothing was sent when it fails.
    pub async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| {
            let mut stream = self.stream.borrow_mut();
            stream.poll_write_pieces(context, [bytes, &[], &[]])
        })
        .await
    }

    /// Tells the peer that nothing more will be sent.
    pub async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|context| match &mut *self.stream.borrow_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        })
        .await
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(buffer) = self.input.get_mut().take() {
            self.worker.buffers.give(buffer);
        }
    }
}

impl Stream {
    fn poll_write_pieces(
        &mut self,
        context: &mut Context,
        pieces: [&[u8]; 3],
    ) -> Poll<io::Result<usize>> {
        if let [only, [], []] | [[], only, []] | [[], [], only] = pieces {
            return match self {
                Self::Plain(stream) => Pin::new(stream).poll_write(context, only),
                Self::Tls(stream) => Pin::new(stream).poll_write(context, only),
                Self::Unix(stream) => Pin::new(stream).poll_write(context, only),
            };
        }
        let slices = pieces.map(IoSlice::new);
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, &slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, &slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, &slices),
        }
    }

    fn poll_flush(&mut self, context: &mut Context) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }
}
