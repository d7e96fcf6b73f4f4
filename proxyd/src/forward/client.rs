//! A client's connection, from its handshake to its close, and HTTP/1.1 on it.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use rustix::net::sockopt;
use tokio::net::TcpStream;

use super::answer::Answer;
use super::downstream::{Downstream, Framing, Head};
use super::exchange::{self, Outcome, Progress};
use super::fault::Fault;
use super::origin::Origin;
use super::plan::{Forward, Plan, plan};
use super::wire::{Stream, Wire};
use super::{tunnel, upload};
use crate::http1::{Body, Parsed, Refusal, Request, chunked, header_room, request};
use crate::http2;
use crate::listen::{self, Scheme};
use crate::record::{self, Record};
use crate::worker::clock::now_ms;
use crate::worker::{Connected, Worker};

/// How long a client may go on sending what nobody reads, so that it gets to read the answer.
pub const LINGER_MS: u64 = 2_000;

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    KeepAlive,
    Close,
    /// The client is still sending: closing at once would reset the connection before it has read the answer.
    Linger,
    /// A response was cut off, and the client has to see that.
    Abort,
}

/// An HTTP/1.1 connection, with what is to be known of the request it is at.
pub struct Client {
    pub origin: Origin,
    pub wire: Wire,
    is_http11: Cell<bool>,
    /// Whether the connection can go on after this request.
    stays: Cell<bool>,
    /// Bytes that come belong to a body that is being sent on.
    is_uploading: Cell<bool>,
    /// The response's body is sent in chunks.
    is_chunked: Cell<bool>,
}

impl Client {
    fn new(origin: Origin, stream: Stream) -> Self {
        Self {
            wire: Wire::new(origin.worker.clone(), stream),
            origin,
            is_http11: Cell::new(false),
            stays: Cell::new(false),
            is_uploading: Cell::new(false),
            is_chunked: Cell::new(false),
        }
    }

    fn take_up(&self, request: &Request) {
        self.is_http11.set(request.is_http11);
        self.stays.set(request.keep_alive);
        self.is_uploading.set(request.body != Body::None);
    }

    async fn send(&self, pieces: [&[u8]; 3]) -> Result<(), Fault> {
        let writing = self.wire.write_all(pieces);
        let worker = &self.origin.worker;
        let send_ms = worker.timeouts().send_ms;
        match worker.timers.within(send_ms, writing).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Fault::ClientGone),
        }
    }

    /// Answers instead of forwarding.
    async fn answer(&self, answer: &Answer, record: Option<&Record>) -> After {
        let has_body = self.is_uploading.get();
        if has_body {
            self.close_after();
        }
        match answer.send(self, record).await {
            Ok(()) => self.after(!has_body),
            Err(_) => After::Abort,
        }
    }

    /// What follows a whole response; `taken` when the request was taken whole.
    fn after(&self, taken: bool) -> After {
        match (self.stays.get(), taken) {
            (_, false) => After::Linger,
            (true, true) => After::KeepAlive,
            (false, true) => After::Close,
        }
    }

    async fn linger(&self) {
        let rest = async {
            if self.wire.shutdown().await.is_err() {
                return;
            }
            loop {
                self.wire.consume(usize::MAX);
                if !matches!(self.wire.fill().await, Ok(1..)) {
                    return;
                }
            }
        };
        // Whether it closed or the time is over: it has had its chance.
        let _ = self.origin.worker.timers.within(LINGER_MS, rest).await;
    }
}

impl Downstream for Client {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn upload(
        &self,
        upstream: &Wire,
        forward: &Forward,
        progress: &Progress,
    ) -> Result<(), Fault> {
        upload::send(self, upstream, forward, progress).await?;
        self.is_uploading.set(false);
        Ok(())
    }

    async fn gone(&self) {
        // While a body is being sent on, whoever reads it notices.
        poll_fn(|_| {
            if self.is_uploading.get() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        self.wire.gone().await;
    }

    fn close_after(&self) {
        self.stays.set(false);
    }

    async fn interim(&self, head: &Head) -> Result<(), Fault> {
        if !self.is_http11.get() {
            return Ok(());
        }
        self.send([head.bytes(), b"\r\n", &[]]).await
    }

    async fn begin(
        &self,
        head: Head,
        framing: Framing,
        first: &[u8],
        last: bool,
    ) -> Result<(), Fault> {
        let is_http11 = self.is_http11.get();
        let is_chunked = framing == Framing::Unknown && is_http11;
        let has_end = is_chunked || framing != Framing::Unknown;
        let stays = self.stays.get() && has_end && !self.origin.worker.is_finishing();
        self.stays.set(stays);
        self.is_chunked.set(is_chunked);
        let mut bytes = head.into_bytes();
        if is_chunked {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if !stays {
            bytes.extend_from_slice(b"connection: close\r\n");
        } else if !is_http11 {
            bytes.extend_from_slice(b"connection: keep-alive\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        let sent = if is_chunked {
            if !first.is_empty() {
                chunked::write_size(&mut bytes, first.len());
            }
            self.send([&bytes, first, chunk_end(first, last)]).await
        } else {
            self.send([&bytes, first, &[]]).await
        };
        self.origin.worker.buffers.give_scratch(bytes);
        sent
    }

    async fn data(&self, piece: &[u8], last: bool) -> Result<(), Fault> {
        if !self.is_chunked.get() {
            return self.send([piece, &[], &[]]).await;
        }
        let buffers = &self.origin.worker.buffers;
        let mut size = buffers.scratch();
        if !piece.is_empty() {
            chunked::write_size(&mut size, piece.len());
        }
        let sent = self.send([&size, piece, chunk_end(piece, last)]).await;
        buffers.give_scratch(size);
        sent
    }

    async fn end(&self, trailers: &[u8]) -> Result<(), Fault> {
        if !self.is_chunked.get() {
            return Ok(());
        }
        self.send([b"0\r\n", trailers, b"\r\n"]).await
    }
}

/// What follows a piece in the chunked coding.
fn chunk_end(piece: &[u8], last: bool) -> &'static [u8] {
    match (piece.is_empty(), last) {
        (true, false) => b"",
        (false, false) => b"\r\n",
        (true, true) => b"0\r\n\r\n",
        (false, true) => b"\r\n0\r\n\r\n",
    }
}

/// Serves a connection until it is closed.
pub async fn serve(
    _connected: Connected,
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    scheme: Scheme,
) {
    prepare(&stream);
    let peer = peer.ip().to_canonical();
    let Some(peer) = listen::introduced(&worker, &stream, peer).await else {
        return;
    };
    let stream = match scheme {
        Scheme::Http => Stream::Plain(stream),
        Scheme::Https => {
            // Boxed: its state is large, and is not needed once the connection stands.
            let handshake = Box::pin(worker.tls.accept(stream));
            let stream = match worker
                .timers
                .within(worker.timeouts().handshake_ms, handshake)
                .await
            {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) => {
                    log::debug!("handshake with {peer}: {error}");
                    return;
                }
                Err(_) => return,
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let origin = Origin::new(worker, peer, true);
                // Boxed: connections of HTTP/1.1 do not carry its state.
                return Box::pin(http2::serve(origin, stream)).await;
            }
            Stream::Tls(stream)
        }
    };
    let origin = Origin::new(worker, peer, scheme == Scheme::Https);
    let client = Client::new(origin, stream);
    serve_requests(&client).await;
}

fn prepare(stream: &TcpStream) {
    // Neither is worth a connection when the kernel refuses it.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
}

async fn serve_requests(client: &Client) {
    let timers = &client.origin.worker.timers;
    loop {
        if client.wire.is_empty() {
            let idle_ms = client.origin.worker.timeouts().idle_ms;
            let first_bytes = timers.idle(idle_ms, client.wire.fill());
            if !matches!(first_bytes.await, Ok(Ok(1..))) {
                // A proper end; nobody minds when it does not arrive.
                let _ = timers.within(LINGER_MS, client.wire.shutdown()).await;
                return;
            }
        }
        // Boxed: an idle connection does not carry the state of a request.
        match Box::pin(serve_request(client)).await {
            After::KeepAlive => {}
            After::Close => {
                let _ = timers.within(LINGER_MS, client.wire.shutdown()).await;
                return;
            }
            After::Linger => return client.linger().await,
            After::Abort => return,
        }
    }
}

async fn serve_request(client: &Client) -> After {
    let timers = &client.origin.worker.timers;
    let due_ms = now_ms() + client.origin.worker.timeouts().head_ms;
    loop {
        match next_plan(client) {
            Ok(Some(Plan::Forward(forward))) => return run(client, *forward).await,
            Ok(Some(Plan::Answer(answer, record))) => {
                return client.answer(&answer, record.as_deref()).await;
            }
            Err(refusal) => return refuse(client, refusal).await,
            Ok(None) if client.wire.is_full() => {
                return refuse(client, Refusal::new(431, "head too large")).await;
            }
            Ok(None) => {}
        }
        match timers.until(due_ms, client.wire.fill()).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return After::Abort,
            Err(_) => return refuse(client, Refusal::new(408, "head too slow")).await,
        }
    }
}

async fn run(client: &Client, forward: Forward) -> After {
    match exchange::run(client, forward).await {
        Outcome::Answered { taken } => client.after(taken),
        Outcome::Switched(held, record_and_place) => {
            if let Ok(upstream) = held.wire() {
                tunnel::run(client, upstream).await;
                record_and_place.0.ended(record::Outcome::Ok);
            }
            After::Abort
        }
        Outcome::Aborted => After::Abort,
    }
}

/// Reads a request's head off the received bytes and decides what to do with it.
fn next_plan(client: &Client) -> Result<Option<Plan>, Refusal> {
    let worker = &client.origin.worker;
    let (plan, size) = client.wire.look(|bytes| {
        let mut room = header_room();
        match request::parse(bytes, &mut room)? {
            Parsed::Partial => Ok((None, 0)),
            Parsed::Complete(request, size) => {
                client.take_up(&request);
                let scratch = worker.buffers.scratch();
                let plan =
                    worker.with_table(|table| plan(table, &client.origin, &request, scratch));
                Ok((Some(plan), size))
            }
        }
    })?;
    client.wire.consume(size);
    Ok(plan)
}

/// Answers what cannot be understood; nothing after it can be, either.
async fn refuse(client: &Client, refusal: Refusal) -> After {
    log::debug!("{} refused: {}", client.origin.peer, refusal.reason);
    client.is_http11.set(true);
    client.is_uploading.set(true);
    client.answer(&Answer::of(refusal.status), None).await
}
