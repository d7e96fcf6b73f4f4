//! A client that shows the bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::LIMIT;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

pub struct Client {
    stream: BufReader<Stream>,
}

fn tcp(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Client {
    pub fn plain(addr: SocketAddr) -> Self {
        let stream = BufReader::new(Stream::Plain(tcp(addr).unwrap()));
        Self { stream }
    }

    pub fn tls(addr: SocketAddr, name: &str, trusted: &[CertificateDer<'static>]) -> Self {
        Self::try_tls(addr, name, trusted, rustls::DEFAULT_VERSIONS).unwrap()
    }

    pub fn try_tls(
        addr: SocketAddr,
        name: &str,
        trusted: &[CertificateDer<'static>],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> io::Result<Self> {
        Self::try_protocols(addr, name, trusted, versions, &[])
    }

    pub fn http2(addr: SocketAddr, name: &str, trusted: &[CertificateDer<'static>]) -> Self {
        let versions = rustls::DEFAULT_VERSIONS;
        Self::try_protocols(addr, name, trusted, versions, &["h2"]).unwrap()
    }

    /// Offers protocols by ALPN.
    pub fn try_protocols(
        addr: SocketAddr,
        name: &str,
        trusted: &[CertificateDer<'static>],
        versions: &[&'static rustls::SupportedProtocolVersion],
        protocols: &[&str],
    ) -> io::Result<Self> {
        Self::tls_over(tcp(addr)?, name, trusted, versions, protocols)
    }

    /// As [`Self::tls`], with bytes in front that are not encrypted.
    pub fn tls_after(
        addr: SocketAddr,
        before: &[u8],
        name: &str,
        trusted: &[CertificateDer<'static>],
    ) -> io::Result<Self> {
        let mut stream = tcp(addr)?;
        stream.write_all(before)?;
        Self::tls_over(stream, name, trusted, rustls::DEFAULT_VERSIONS, &[])
    }

    fn tls_over(
        mut stream: TcpStream,
        name: &str,
        trusted: &[CertificateDer<'static>],
        versions: &[&'static rustls::SupportedProtocolVersion],
        protocols: &[&str],
    ) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots.add(certificate.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session =
            ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let stream = Stream::Tls(Box::new(StreamOwned::new(session, stream)));
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())?;
        self.stream.get_mut().flush()
    }

    pub fn get(&mut self, host: &str, path: &str) -> Reply {
        self.try_get(host, path).unwrap()
    }

    pub fn try_get(&mut self, host: &str, path: &str) -> io::Result<Reply> {
        self.try_send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        self.try_reply()
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().unwrap()
    }

    /// Reads a response with its body; the body of none is expected for 1xx, 204 and 304.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let head = self.head()?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(head.clone()))?;
        let mut body = Vec::new();
        if (100..200).contains(&status) || status == 204 || status == 304 {
            // No body.
        } else if header(&head, "transfer-encoding") == Some("chunked") {
            body = self.chunks()?;
        } else if let Some(length) = header(&head, "content-length") {
            body = vec![0; length.parse().map_err(io::Error::other)?];
            self.stream.read_exact(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(Reply { status, head, body })
    }

    /// Reads up to and without the empty line.
    pub fn head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line == "\r\n" {
                return Ok(head.replace("\r\n", "\n"));
            }
            head.push_str(&line);
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16)
                .map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            if size == 0 {
                self.head()?;
                return Ok(body);
            }
            let start = body.len();
            body.resize(start + size + 2, 0);
            self.stream.read_exact(&mut body[start..])?;
            body.truncate(start + size);
        }
    }

    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        self.try_read_exact(count).unwrap()
    }

    pub fn try_read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A proxy that takes nothing for so long fails what is sent.
    pub fn set_write_limit(&self, limit: Duration) {
        let stream = match self.stream.get_ref() {
            Stream::Tls(stream) => &stream.sock,
            Stream::Plain(stream) => stream,
        };
        stream.set_write_timeout(Some(limit)).unwrap();
    }

    /// What the proxy chose of what was offered by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self.stream.get_ref() {
            Stream::Tls(stream) => stream.conn.alpn_protocol(),
            Stream::Plain(_) => panic!("not TLS"),
        }
    }

    /// Everything up to the end, whether it is a proper one or not.
    pub fn rest(&mut self) -> (Vec<u8>, io::Result<usize>) {
        let mut rest = Vec::new();
        let ended = self.stream.read_to_end(&mut rest);
        (rest, ended)
    }

    /// Whether the proxy closed without another byte.
    pub fn is_closed(&mut self) -> bool {
        let (rest, _) = self.rest();
        rest.is_empty()
    }

    /// The certificate the proxy showed.
    pub fn certificate(&self) -> CertificateDer<'static> {
        match self.stream.get_ref() {
            Stream::Tls(stream) => stream.conn.peer_certificates().unwrap()[0].clone(),
            Stream::Plain(_) => panic!("not TLS"),
        }
    }

    pub fn close(self) {
        let stream = match self.stream.into_inner() {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.sock,
        };
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
