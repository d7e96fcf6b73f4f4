//! An instance: a server that reads requests properly and answers what the test says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::header;

pub struct Request {
    /// Without the empty line, lines ended by `\n`.
    pub head: String,
    /// As decoded from whatever framing it had.
    pub body: Vec<u8>,
    pub trailers: String,
}

impl Request {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }
}

/// What a connection is, over TCP or a Unix socket.
pub trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

pub struct Connection {
    pub stream: BufReader<Box<dyn Stream>>,
}

impl Connection {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The proxy may be gone already in tests where it is killed.
        let _ = self.try_send(bytes);
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Sends back what comes until the end.
    pub fn echo(&mut self) -> io::Result<Then> {
        let mut piece = [0; 1000];
        loop {
            let count = self.stream.read(&mut piece)?;
            if count == 0 {
                return Ok(Then::Close);
            }
            self.send(&piece[..count]);
        }
    }

    pub fn ok(&mut self, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }
}

/// Whether the connection goes on after a response.
pub enum Then {
    Stay,
    Close,
}

pub struct Upstream {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<AtomicUsize>,
}

impl Upstream {
    pub fn start(
        answer: impl Fn(&Request, &mut Connection) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::start_by_head(move |head, connection| {
            let (body, trailers) = read_body(&head, connection)?;
            let request = Request {
                head,
                body,
                trailers,
            };
            Ok(answer(&request, connection))
        })
    }

    /// As [`Self::start`], for tests that do something else with the body.
    pub fn start_by_head(
        answer: impl Fn(String, &mut Connection) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            addr: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (upstream.connections.clone(), upstream.requests.clone());
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                serve(Box::new(stream), answer.clone(), requests.clone());
            }
        });
        upstream
    }

    /// As [`Self::start_by_head`], on a Unix socket; it has no address.
    pub fn on_unix(
        listener: UnixListener,
        answer: impl Fn(String, &mut Connection) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let upstream = Self {
            addr: SocketAddr::from(([0, 0, 0, 0], 0)),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (upstream.connections.clone(), upstream.requests.clone());
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                serve(Box::new(stream.unwrap()), answer.clone(), requests.clone());
            }
        });
        upstream
    }

    /// Switches every connection to a WebSocket and sends back what it is sent.
    pub fn websocket() -> Self {
        Self::start_by_head(|_, connection| {
            connection.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            );
            connection.echo()
        })
    }

    /// Answers every request with its name.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |_, connection| {
            connection.ok(name);
            Then::Stay
        })
    }

    /// Answers every request with what arrived of it.
    pub fn echo() -> Self {
        Self::start(|request, connection| {
            let body = String::from_utf8_lossy(&request.body);
            connection.ok(&format!("{}\n{body}{}", request.head, request.trailers));
            Then::Stay
        })
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(
    stream: Box<dyn Stream>,
    answer: Arc<impl Fn(String, &mut Connection) -> io::Result<Then> + Send + Sync + 'static>,
    requests: Arc<AtomicUsize>,
) {
    std::thread::spawn(move || {
        let mut connection = Connection {
            stream: BufReader::new(stream),
        };
        while let Ok(head) = read_head(&mut connection) {
            requests.fetch_add(1, Ordering::SeqCst);
            if !matches!(answer(head, &mut connection), Ok(Then::Stay)) {
                return;
            }
        }
    });
}

fn read_head(connection: &mut Connection) -> io::Result<String> {
    let mut head = String::new();
    loop {
        // Values may be other bytes than text.
        let mut line = Vec::new();
        if connection.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b"\r\n" {
            return Ok(head.replace("\r\n", "\n"));
        }
        head.push_str(&String::from_utf8_lossy(&line));
    }
}

pub fn read_body(head: &str, connection: &mut Connection) -> io::Result<(Vec<u8>, String)> {
    if let Some(length) = header(head, "content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        connection.stream.read_exact(&mut body)?;
        return Ok((body, String::new()));
    }
    if header(head, "transfer-encoding").is_none() {
        return Ok((Vec::new(), String::new()));
    }
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        connection.stream.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        if size == 0 {
            return Ok((body, read_head(connection)?));
        }
        let start = body.len();
        body.resize(start + size + 2, 0);
        connection.stream.read_exact(&mut body[start..])?;
        body.truncate(start + size);
    }
}
