//! Listening sockets: opened here for benchmarks and tests, handed over by tako-server otherwise; accepting on them; and
//! who it is that connects.

mod introduction;
pub mod proxy_header;

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::forward;
use crate::worker::{Connected, Worker};
pub use introduction::introduced;

const BACKLOG: i32 = 4096;
/// When the process has no file descriptor left, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const LAST_LOOK: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// A listening socket and its name on the control socket, `http/0` or `https/3`.
#[derive(Debug)]
pub struct Listener {
    pub name: String,
    pub scheme: Scheme,
    pub socket: TcpListener,
}

impl Listener {
    pub fn new(name: &str, socket: OwnedFd) -> Result<Self, String> {
        let scheme = match name.split_once('/') {
            Some(("http", _)) => Scheme::Http,
            Some(("https", _)) => Scheme::Https,
            _ => return Err(format!("listener {name:?} is neither http/N nor https/N")),
        };
        let socket = TcpListener::from(socket);
        socket
            .set_nonblocking(true)
            .map_err(|error| format!("listener {name:?}: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            scheme,
            socket,
        })
    }

    pub fn duplicate(&self) -> std::io::Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            scheme: self.scheme,
            socket: self.socket.try_clone()?,
        })
    }
}

/// Opens `count` sockets on one address, one for each worker.
pub fn open(scheme: &str, addr: SocketAddr, count: usize) -> Result<Vec<Listener>, String> {
    let mut opened: Vec<Listener> = Vec::with_capacity(count);
    for number in 0..count {
        // Port 0 is chosen by the first socket; the others join it.
        let addr = match opened.first() {
            Some(first) => first.socket.local_addr().map_err(|e| e.to_string())?,
            None => addr,
        };
        let socket = bind(addr).map_err(|error| format!("{scheme} on {addr}: {error}"))?;
        opened.push(Listener::new(&format!("{scheme}/{number}"), socket)?);
    }
    Ok(opened)
}

fn bind(addr: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Shares sockets out: every socket is accepted on by somebody, and every worker accepts on something.
pub fn share_out(listeners: &[Listener], workers: usize) -> std::io::Result<Vec<Vec<Listener>>> {
    let mut shares: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    for scheme in [Scheme::Http, Scheme::Https] {
        let of_scheme: Vec<&Listener> = listeners
            .iter()
            .filter(|listener| listener.scheme == scheme)
            .collect();
        if of_scheme.is_empty() {
            continue;
        }
        for turn in 0..workers.max(of_scheme.len()) {
            let listener = of_scheme[turn % of_scheme.len()];
            shares[turn % workers].push(listener.duplicate()?);
        }
    }
    Ok(shares)
}

/// The accept loops of a worker.
#[derive(Default)]
pub struct Accepting {
    loops: Vec<(Arc<Notify>, JoinHandle<()>)>,
}

impl Accepting {
    /// Stops them after what is in the queues: closing a socket resets the connections nobody accepted.
    pub async fn stop(&mut self) {
        for (stop, _) in &self.loops {
            stop.notify_one();
        }
        for (_, ended) in self.loops.drain(..) {
            // A loop that ended otherwise accepts nothing either.
            let _ = ended.await;
        }
    }
}

pub fn accept_on(worker: &Rc<Worker>, listeners: Vec<Listener>) -> Accepting {
    let mut accepting = Accepting::default();
    for listener in listeners {
        let name = listener.name;
        match tokio::net::TcpListener::from_std(listener.socket) {
            Ok(socket) => {
                let stop = Arc::new(Notify::new());
                let worker = worker.clone();
                let accepting_loop = accept(worker, socket, listener.scheme, stop.clone());
                let ended = tokio::task::spawn_local(accepting_loop);
                accepting.loops.push((stop, ended));
            }
            Err(error) => log::error!("cannot accept on {name}: {error}"),
        }
    }
    accepting
}

async fn accept(
    worker: Rc<Worker>,
    socket: tokio::net::TcpListener,
    scheme: Scheme,
    stop: Arc<Notify>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.notified() => break,
        };
        match accepted {
            Ok((stream, peer)) => begin(&worker, stream, peer, scheme),
            Err(error) => {
                log::warn!("accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    loop {
        // The queue is only looked at when the runtime comes to it.
        tokio::time::sleep(LAST_LOOK).await;
        let Some((stream, peer)) = accept_at_once(&socket).await else {
            return;
        };
        begin(&worker, stream, peer, scheme);
        while let Some((stream, peer)) = accept_at_once(&socket).await {
            begin(&worker, stream, peer, scheme);
        }
    }
}

async fn accept_at_once(socket: &tokio::net::TcpListener) -> Option<(TcpStream, SocketAddr)> {
    poll_fn(|context| match socket.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn begin(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, scheme: Scheme) {
    // Counted before its task runs, or a worker that is finishing would not see it.
    let connected = Connected::new(worker.clone());
    let serving = forward::serve(connected, worker.clone(), stream, peer, scheme);
    tokio::task::spawn_local(serving);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(shares: &[Vec<Listener>]) -> Vec<Vec<&str>> {
        let of = |share: &Vec<Listener>| share.iter().map(|one| one.name.clone()).collect();
        let owned: Vec<Vec<String>> = shares.iter().map(of).collect();
        owned
            .into_iter()
            .map(|share| share.into_iter().map(|name| &*name.leak()).collect())
            .collect()
    }

    #[test]
    fn every_socket_is_accepted_on_and_every_worker_has_one() {
        let addr = "127.0.0.1:0".parse().unwrap();
        let sockets = open("https", addr, 2).unwrap();
        let port = sockets[0].socket.local_addr().unwrap();
        assert_eq!(sockets[1].socket.local_addr().unwrap(), port);
        assert_eq!(
            names(&share_out(&sockets, 3).unwrap()),
            [["https/0"], ["https/1"], ["https/0"]]
        );
        assert_eq!(
            names(&share_out(&sockets, 1).unwrap()),
            [["https/0", "https/1"]]
        );
    }

    #[test]
    fn a_socket_of_unknown_use_is_refused() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Listener::new("ftp/0", socket.into()).is_err());
    }
}
