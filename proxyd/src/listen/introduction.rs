//! Who is at the other end of a connection: its peer, or whom a trusted proxy in between introduces.

use std::io;
use std::net::IpAddr;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::proxy_header::{self, Malformed, Start};
use crate::worker::Worker;

/// The address that a connection is to be taken as coming from; none when it has to be closed.
///
/// A trusted peer that sends no header is taken for itself: load balancers check our health without one.
pub async fn introduced(worker: &Worker, stream: &TcpStream, peer: IpAddr) -> Option<IpAddr> {
    let may_introduce = worker.with_table(|table| {
        let policy = &table.policy;
        policy.proxy_protocol && policy.trusts(peer)
    });
    if !may_introduce {
        return Some(peer);
    }
    let received = worker
        .timers
        .within(worker.timeouts().handshake_ms, receive(worker, stream))
        .await;
    match received {
        Ok(Ok(source)) => Some(source.unwrap_or(peer)),
        Ok(Err(error)) => {
            log::debug!("PROXY header from {peer}: {error}");
            None
        }
        Err(_) => None,
    }
}

async fn receive(worker: &Worker, stream: &TcpStream) -> io::Result<Option<IpAddr>> {
    let mut seen = 0;
    loop {
        // Lent for one look: who sends nothing costs nothing.
        let ready = stream.ready(Interest::READABLE).await?;
        let mut buffer = worker.buffers.take();
        let looked = stream.try_io(Interest::READABLE, || {
            // Only looked at: what follows the header belongs to TLS or to HTTP, and so does all of it when there is none.
            let (size, _) = rustix::net::recv(stream, buffer.room(), RecvFlags::PEEK)?;
            if size == seen && !ready.is_read_closed() {
                // The same bytes as before: from here on only new ones are worth a look.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok((size, proxy_header::parse(&buffer.room()[..size])))
        });
        worker.buffers.give(buffer);
        let (size, start) = match looked {
            Ok(looked) => looked,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        match start {
            Ok(Start::Absent) => return Ok(None),
            Ok(Start::Header { size, source }) => {
                skip(worker, stream, size).await?;
                return Ok(source);
            }
            Ok(Start::Partial) if size == seen => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Start::Partial) => seen = size,
            Err(Malformed(reason)) => return Err(io::Error::other(reason)),
        }
    }
}

/// Takes the bytes that were looked at.
async fn skip(worker: &Worker, stream: &TcpStream, size: usize) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        stream.readable().await?;
        let mut buffer = worker.buffers.take();
        let taken = stream.try_read(&mut buffer.room()[..left]);
        worker.buffers.give(buffer);
        match taken {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => left -= count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
