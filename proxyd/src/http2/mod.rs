//! HTTP/2 for clients: framing and flow control by the `h2` crate, everything else as for HTTP/1.1.
//!
//! * [`connection`]: a connection, from its preface to its close: accepting streams, idle time, `GOAWAY`.
//! * [`link`]: the socket under it; what is sent is gathered and written once a turn.
//! * [`stream`]: one request and its response: a task for each.
//! * [`request`], [`response`]: heads, translated. Pure.
//! * [`limits`]: what a client may have and do, and why so much.

mod connection;
mod limits;
mod link;
mod request;
mod response;
mod stream;

pub use connection::serve;
