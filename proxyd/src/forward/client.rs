//! A client's connection, from its handshake to its close.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use rustix::net::sockopt;
use tokio::net::TcpStream;

use super::answer::Answer;
use super::exchange;
use super::plan::{Plan, plan};
use super::wire::{Stream, Wire};
use crate::http1::{Parsed, Refusal, header_room, request};
use crate::listen::Scheme;
use crate::worker::clients;
use crate::worker::clock::now_ms;
use crate::worker::{Connected, Worker};

const HANDSHAKE_MS: u64 = 10_000;
/// From the first byte of a head to its last.
const HEAD_MS: u64 = 30_000;
const IDLE_MS: u64 = 75_000;
/// A client that takes nothing for so long is gone.
pub const WRITE_MS: u64 = 60_000;
/// How long a client may go on sending what nobody reads, so that it gets to read the answer.
const LINGER_MS: u64 = 2_000;

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    KeepAlive,
    Close,
    /// The client is still sending: closing at once would reset the connection before it has read the answer.
    Linger,
    /// A response was cut off, and the client has to see that.
    Abort,
}

pub struct Client {
    pub worker: Rc<Worker>,
    pub wire: Wire,
    pub peer: IpAddr,
    pub is_https: bool,
    counter: RefCell<Arc<clients::Client>>,
}

impl Client {
    fn new(worker: Rc<Worker>, stream: Stream, peer: IpAddr, is_https: bool) -> Self {
        let counter = RefCell::new(worker.shared.clients.find(peer));
        Self {
            wire: Wire::new(worker.clone(), stream),
            worker,
            peer,
            is_https,
            counter,
        }
    }

    /// The counter of the address a request comes from: the same as of the last request, nearly always.
    pub fn counter(&self, ip: IpAddr) -> Arc<clients::Client> {
        let mut counter = self.counter.borrow_mut();
        if counter.ip != ip {
            *counter = self.worker.shared.clients.find(ip);
        }
        counter.clone()
    }

    pub async fn answer(&self, answer: &Answer) -> After {
        let mut out = self.worker.buffers.scratch();
        answer.write(&mut out);
        let written = self.worker.timers.within(WRITE_MS, self.wire.write(&out));
        let written = written.await;
        self.worker.buffers.give_scratch(out);
        match written {
            Ok(Ok(())) if answer.keep_alive => After::KeepAlive,
            Ok(Ok(())) => After::Linger,
            _ => After::Abort,
        }
    }

    async fn linger(&self) {
        if self.wire.shutdown().await.is_err() {
            return;
        }
        let rest = async {
            loop {
                self.wire.consume(usize::MAX);
                if !matches!(self.wire.fill().await, Ok(1..)) {
                    return;
                }
            }
        };
        // Whether it closed or the time is over: it has had its chance.
        let _ = self.worker.timers.within(LINGER_MS, rest).await;
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
    let stream = match scheme {
        Scheme::Http => Stream::Plain(stream),
        Scheme::Https => {
            // Boxed: its state is large, and is not needed once the connection stands.
            let handshake = Box::pin(worker.tls.accept(stream));
            match worker.timers.within(HANDSHAKE_MS, handshake).await {
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                Ok(Err(error)) => {
                    log::debug!("handshake with {peer}: {error}");
                    return;
                }
                Err(_) => return,
            }
        }
    };
    let peer = peer.ip().to_canonical();
    let client = Client::new(worker, stream, peer, scheme == Scheme::Https);
    serve_requests(&client).await;
}

fn prepare(stream: &TcpStream) {
    // Neither is worth a connection when the kernel refuses it.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
}

async fn serve_requests(client: &Client) {
    loop {
        if client.wire.is_empty() {
            let first_bytes = client.worker.timers.idle(IDLE_MS, client.wire.fill());
            if !matches!(first_bytes.await, Ok(Ok(1..))) {
                // A proper end; nobody minds when it does not arrive.
                let _ = client
                    .worker
                    .timers
                    .within(LINGER_MS, client.wire.shutdown())
                    .await;
                return;
            }
        }
        // Boxed: an idle connection does not carry the state of a request.
        match Box::pin(serve_request(client)).await {
            After::KeepAlive => {}
            After::Close => {
                let shutdown = client.wire.shutdown();
                let _ = client.worker.timers.within(LINGER_MS, shutdown).await;
                return;
            }
            After::Linger => return client.linger().await,
            After::Abort => return,
        }
    }
}

async fn serve_request(client: &Client) -> After {
    let due_ms = now_ms() + HEAD_MS;
    loop {
        match next_plan(client) {
            Ok(Some(Plan::Forward(forward))) => return exchange::run(client, *forward).await,
            Ok(Some(Plan::Answer(mut answer))) => {
                answer.keep_alive &= !client.worker.is_finishing();
                return client.answer(&answer).await;
            }
            Err(refusal) => return refuse(client, refusal).await,
            Ok(None) if client.wire.is_full() => {
                let reason = "head too large";
                return refuse(
                    client,
                    Refusal {
                        status: 431,
                        reason,
                    },
                )
                .await;
            }
            Ok(None) => {}
        }
        match client.worker.timers.until(due_ms, client.wire.fill()).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return After::Abort,
            Err(_) => {
                let reason = "head too slow";
                return refuse(
                    client,
                    Refusal {
                        status: 408,
                        reason,
                    },
                )
                .await;
            }
        }
    }
}

/// Reads a request's head off the received bytes and decides what to do with it.
fn next_plan(client: &Client) -> Result<Option<Plan>, Refusal> {
    let worker = &client.worker;
    let (plan, size) = client.wire.look(|bytes| {
        let mut room = header_room();
        match request::parse(bytes, &mut room)? {
            Parsed::Partial => Ok((None, 0)),
            Parsed::Complete(request, size) => {
                let scratch = worker.buffers.scratch();
                let plan = worker.with_table(|table| plan(table, client, &request, scratch));
                Ok((Some(plan), size))
            }
        }
    })?;
    client.wire.consume(size);
    Ok(plan)
}

async fn refuse(client: &Client, refusal: Refusal) -> After {
    log::debug!("{} refused: {}", client.peer, refusal.reason);
    client.answer(&Answer::of(refusal.status)).await
}
