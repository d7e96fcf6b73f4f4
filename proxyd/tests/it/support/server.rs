//! tako-server's end of the control socket.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tako_proxyd::control::messages::{Down, Table, Up};

use super::LIMIT;

pub struct Server {
    socket: UnixListener,
}

impl Server {
    pub fn bind(path: &Path) -> Self {
        // A socket file of a server that is gone.
        let _ = std::fs::remove_file(path);
        Self {
            socket: UnixListener::bind(path).unwrap(),
        }
    }

    /// Waits for a proxy; gives what it said first.
    pub fn accept(&self) -> (Session, Up) {
        let (stream, _) = self.socket.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut session = Session {
            stream,
            received: Vec::new(),
            fds: VecDeque::new(),
        };
        let hello = session.next();
        assert!(matches!(hello, Up::Hello { .. }), "{hello:?}");
        (session, hello)
    }
}

pub struct Session {
    stream: UnixStream,
    received: Vec<u8>,
    pub fds: VecDeque<OwnedFd>,
}

impl Session {
    pub fn next(&mut self) -> Up {
        loop {
            if let Some(at) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=at).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            self.receive();
        }
    }

    fn receive(&mut self) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.stream, &mut parts, &mut beside, RecvFlags::empty()).unwrap();
        assert!(received.bytes > 0, "the proxy closed the control socket");
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        self.received.extend_from_slice(&bytes[..received.bytes]);
    }

    /// Waits for a message that fits, passing over others.
    pub fn until<T>(&mut self, mut fits: impl FnMut(&Up) -> Option<T>) -> T {
        let due = std::time::Instant::now() + LIMIT;
        loop {
            let message = self.next();
            if let Some(found) = fits(&message) {
                return found;
            }
            assert!(std::time::Instant::now() < due, "last was {message:?}");
        }
    }

    pub fn send(&mut self, message: &Down) {
        self.send_line(&serde_json::to_string(message).unwrap());
    }

    pub fn send_line(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).unwrap();
        self.stream.write_all(b"\n").unwrap();
    }

    /// Gives the proxy sockets to accept on; none: it has its own.
    pub fn welcome(&mut self, listeners: &[(String, &TcpListener)]) {
        let message = Down::Welcome {
            protocol: 0,
            listeners: listeners.iter().map(|(name, _)| name.clone()).collect(),
        };
        let mut line = serde_json::to_vec(&message).unwrap();
        line.push(b'\n');
        let fds: Vec<BorrowedFd> = listeners.iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(beside.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        let parts = [IoSlice::new(&line)];
        let sent = sendmsg(&self.stream, &parts, &mut beside, SendFlags::empty()).unwrap();
        assert_eq!(sent, line.len());
    }

    /// Gives the proxy a table and waits until it is used.
    pub fn push(&mut self, table: Table) {
        let wanted = table.generation;
        self.send(&Down::Table(Box::new(table)));
        self.until(|message| match message {
            Up::Ack { generation } if *generation == wanted => Some(()),
            Up::Reject { error, .. } => panic!("{error}"),
            _ => None,
        });
    }

    pub fn until_wake(&mut self) -> u64 {
        self.until(|message| match message {
            Up::Wake { waiting, .. } => Some(*waiting),
            _ => None,
        })
    }

    pub fn until_drained(&mut self) -> String {
        self.until(|message| match message {
            Up::Drained { instance, .. } => Some(instance.clone()),
            _ => None,
        })
    }
}
