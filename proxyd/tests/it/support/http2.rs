//! Clients of HTTP/2: a real one, and one that sends whatever frames it is told to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::LIMIT;
use super::client::Client;
use super::proxy::{HOST, Proxy};

/// Runs a test's future.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(async { tokio::time::timeout(LIMIT, future).await })
        .expect("it takes too long")
}

/// Waits until the condition holds; [`run`] ends it when it never does.
pub async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A connection, driven in the background; what it ended with comes from the handle.
pub async fn connect(proxy: &Proxy) -> (SendRequest<Bytes>, Ended) {
    connect_with(proxy, &h2::client::Builder::new()).await
}

pub type Ended = tokio::task::JoinHandle<Result<(), h2::Error>>;

pub async fn connect_with(
    proxy: &Proxy,
    builder: &h2::client::Builder,
) -> (SendRequest<Bytes>, Ended) {
    let mut roots = RootCertStore::empty();
    roots.add(proxy.place.trusted[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(proxy.https).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let (client, connection) = builder.handshake(tls.await.unwrap()).await.unwrap();
    (client, tokio::spawn(connection))
}

pub fn get(path: &str) -> Request<()> {
    request("GET", path)
}

pub fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("https://{HOST}{path}");
    let request = Request::builder().method(method).uri(uri);
    request.body(()).unwrap()
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Reads a response to its end.
pub async fn reply(response: h2::client::ResponseFuture) -> Result<Reply, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let bytes = read(&mut body).await?;
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: bytes,
        trailers: body.trailers().await?,
    })
}

pub async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Sends a request that has no body, and reads the response to its end.
pub async fn exchange(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
) -> Result<Reply, h2::Error> {
    let (response, _) = ready(client).await?.send_request(request, true)?;
    reply(response).await
}

pub async fn ready(client: &mut SendRequest<Bytes>) -> Result<SendRequest<Bytes>, h2::Error> {
    client.clone().ready().await
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GO_AWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Why, of a `RST_STREAM` or a `GOAWAY`.
    pub fn reason(&self) -> Reason {
        let at = if self.kind == GO_AWAY { 4 } else { 0 };
        let code = self.payload[at..at + 4].try_into().unwrap();
        Reason::from(u32::from_be_bytes(code))
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Fields as HPACK writes them without its table.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer ones are coded otherwise");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A client that says what it is told to.
pub struct Raw {
    client: Client,
}

impl Raw {
    pub fn connect(proxy: &Proxy) -> Self {
        let mut client = Client::http2(proxy.https, HOST, &proxy.place.trusted);
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(frame(SETTINGS, 0, 0, &[]));
        Self { client }
    }

    /// Sends; a proxy that has closed already does not mind.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.client.try_send(bytes);
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.client.try_send(bytes).is_ok()
    }

    pub fn set_write_limit(&self, limit: Duration) {
        self.client.set_write_limit(limit);
    }

    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) {
        let block = block(fields);
        self.send(frame(HEADERS, END_HEADERS | flags, stream, &block));
    }

    pub fn read(&mut self) -> std::io::Result<Frame> {
        let head = self.client.try_read_exact(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        Ok(Frame {
            kind: head[3],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: self.client.try_read_exact(length as usize)?,
        })
    }

    /// The next frame of one of these kinds.
    pub fn next(&mut self, kinds: &[u8]) -> Frame {
        loop {
            let frame = self.read().unwrap();
            if kinds.contains(&frame.kind) {
                return frame;
            }
        }
    }
}
