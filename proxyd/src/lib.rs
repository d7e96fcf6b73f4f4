//! Tako's data plane: terminates TLS, routes by a table it is given, forwards to instances.
//!
//! The parts, from the outside in:
//!
//! * [`control`]: the conversation with tako-server; the only part that changes what the workers do.
//! * [`worker`]: one thread, one runtime, one upstream pool. Nothing on the request path is shared but counters.
//! * [`listen`]: listening sockets, opened here or handed over, and the accept loops.
//! * [`tls`]: which certificate answers which name.
//! * [`forward`]: the life of a connection and of each request on it.
//! * [`files`]: an app's public files: which path names which, and what a request gets of it.
//! * [`http1`]: HTTP/1.1 as bytes: pure, no I/O.
//! * [`http2`]: HTTP/2 for clients.
//! * [`record`]: what is told of requests: lines for the apps' logs, and counts.
//! * [`table`]: what to forward where: pure apart from the counters that live through a change of table.

pub mod args;
pub mod compress;
pub mod control;
pub mod files;
pub mod forward;
pub mod http1;
pub mod http2;
pub mod listen;
pub mod logging;
pub mod record;
pub mod table;
pub mod tls;
pub mod worker;
