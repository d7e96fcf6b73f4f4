//! A connection of HTTP/2: accepts its streams, and ends when it is idle, when the worker ends, or when it is abused.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::limits::{self, TAKEN_BACK};
use super::link::Link;
use super::stream;
use crate::forward::client::LINGER_MS;
use crate::forward::origin::Origin;
use crate::worker::clock::now_ms;

/// How long a client that has nothing open may take to hear that it is to go.
const GOING_MS: u64 = 5_000;

/// What the streams of a connection have in common.
pub struct Session {
    pub origin: Origin,
    open: Cell<u32>,
    /// When the last stream was closed.
    idle_since_ms: Cell<u64>,
    /// How many requests were taken back, less those that were answered.
    taken_back: Cell<u32>,
}

impl Session {
    pub fn opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    pub fn closed(&self, was_answered: bool) {
        self.open.set(self.open.get() - 1);
        self.idle_since_ms.set(now_ms());
        let taken_back = self.taken_back.get();
        self.taken_back.set(if was_answered {
            taken_back.saturating_sub(1)
        } else {
            taken_back + 1
        });
    }
}

type Accepted = (http::Request<RecvStream>, SendResponse<Bytes>);

struct Serving {
    session: Rc<Session>,
    link: Link,
    connection: Connection<Link, Bytes>,
    /// The client was told that no more streams are accepted.
    is_going: bool,
    is_abused: bool,
}

/// Serves a connection until it is closed.
pub async fn serve(origin: Origin, stream: Box<TlsStream<TcpStream>>) {
    let link = Link::new(origin.worker.clone(), stream);
    let Some(connection) = greet(&origin, &link).await else {
        return;
    };
    let session = Rc::new(Session {
        origin,
        open: Cell::new(0),
        idle_since_ms: Cell::new(now_ms()),
        taken_back: Cell::new(0),
    });
    let mut serving = Serving {
        session,
        link,
        connection,
        is_going: false,
        is_abused: false,
    };
    serving.run().await;
    let Serving {
        session,
        link,
        connection,
        ..
    } = serving;
    // The streams that are left hear of it by this.
    drop(connection);
    let discarding = poll_fn(|context| link.poll_discard(context));
    // Whether it closed or the time is over: it has had its chance to read why.
    let _ = session
        .origin
        .worker
        .timers
        .within(LINGER_MS, discarding)
        .await;
}

/// Exchanges prefaces.
async fn greet(origin: &Origin, link: &Link) -> Option<Connection<Link, Bytes>> {
    // Boxed: its state is not needed once the connection stands.
    let mut handshake = Box::pin(limits::builder().handshake(link.clone()));
    let shaking = poll_fn(|context| {
        let shaken = handshake.as_mut().poll(context);
        // An error of the socket shows when it is read.
        let _ = link.poll_send(context);
        shaken
    });
    let worker = &origin.worker;
    match worker
        .timers
        .within(worker.timeouts().handshake_ms, shaking)
        .await
    {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            log::debug!("{}: {error}", origin.peer);
            None
        }
        Err(_) => None,
    }
}

impl Serving {
    async fn run(&mut self) {
        let session = self.session.clone();
        let timers = &session.origin.worker.timers;
        loop {
            if session.origin.worker.is_finishing() {
                self.go();
            }
            let due_ms = self.due_ms();
            if now_ms() >= due_ms {
                if self.is_going || self.link.blocked_since_ms().is_some() {
                    return;
                }
                self.go();
                continue;
            }
            match timers
                .session(due_ms, poll_fn(|context| self.poll(context)))
                .await
            {
                Ok(Some((request, response))) => {
                    let (parts, body) = request.into_parts();
                    stream::begin(&session, &parts, body, response);
                }
                Ok(None) => return,
                // Time to look at what is due, or the worker is finishing.
                Err(_) => {}
            }
        }
    }

    fn go(&mut self) {
        if !self.is_going {
            self.is_going = true;
            self.session.idle_since_ms.set(now_ms());
            self.connection.graceful_shutdown();
        }
    }

    /// When something has to happen, or to be looked at again.
    fn due_ms(&self) -> u64 {
        let timeouts = self.session.origin.worker.timeouts();
        if let Some(since_ms) = self.link.blocked_since_ms() {
            return since_ms + timeouts.send_ms;
        }
        if self.session.open.get() > 0 {
            return now_ms() + timeouts.send_ms;
        }
        let idle_ms = if self.is_going {
            GOING_MS
        } else {
            timeouts.idle_ms
        };
        self.session.idle_since_ms.get() + idle_ms
    }

    /// Does what can be done; none is the end.
    fn poll(&mut self, context: &mut Context) -> Poll<Option<Accepted>> {
        if !self.is_abused && self.session.taken_back.get() > TAKEN_BACK {
            self.is_abused = true;
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        let accepted = self.connection.poll_accept(context);
        match accepted {
            Poll::Ready(Some(Ok(accepted))) => return Poll::Ready(Some(accepted)),
            Poll::Ready(Some(Err(error))) => {
                log::debug!("{}: {error}", self.session.origin.peer);
                return Poll::Ready(None);
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        let was_blocked = self.link.blocked_since_ms().is_some();
        let sent = self.link.poll_send(context);
        if was_blocked || self.link.blocked_since_ms().is_some() {
            // The last response's task has ended, and its end is still on its way to a client that takes it slowly.
            self.session.idle_since_ms.set(now_ms());
        }
        match sent {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}
