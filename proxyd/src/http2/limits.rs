//! What a client of HTTP/2 may have and do. A connection here is worth many of HTTP/1.1, so everything is bounded twice:
//! for each stream and for the connection.

use std::time::Duration;

use h2::server::Builder;

use crate::worker::buffers::BUFFER_SIZE;

/// What nginx and RFC 9113 (at least 100) have taught clients to expect. With the limits below, the worst that one
/// connection can hold of ours is `STREAMS * SEND_BUFFER` of responses and `CONNECTION_WINDOW` of requests.
const STREAMS: u32 = 128;
/// Uploads run at a window for each round trip: 5 MB/s at 50 ms, where the default of 64 KiB would give 1.3.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What a client can make us hold, when the instances do not take it.
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Of a response, ready to be sent: one piece as it comes from an instance, and one on its way.
const SEND_BUFFER: usize = 2 * BUFFER_SIZE;
/// A head's fields without their overhead, as in HTTP/1.1.
pub const HEAD: usize = BUFFER_SIZE;
/// As HTTP/2 counts, with 32 more for each field: room for [`HEAD`] in 500 fields. Cookies come in crumbs, so there may be many more fields than in HTTP/1.1;
/// [`super::request`] holds the joined ones to the limits of HTTP/1.1.
const HEADER_LIST: u32 = 32 * 1024;
/// Streams that we have reset are remembered for frames that cross with the reset.
const RESET_REMEMBERED: usize = 32;
const RESET_REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// Requests that the client itself took back before we had seen them; they cost nearly nothing.
const RESET_UNSEEN: usize = 32;
/// Streams reset for what the client did wrong, over the life of a connection.
const ERRORS: usize = 256;
/// Requests that a client takes back before their response has begun, above those it let finish: each has made work for
/// an instance, and may have cost a connection to it (CVE-2023-44487). A browser that leaves a page takes back
/// `STREAMS` at once at most.
pub const TAKEN_BACK: u32 = 2 * STREAMS;

/// Floods of `SETTINGS` and `PING` are held up by the answers they must wait for; those of empty `DATA` and of
/// `CONTINUATION` are bounded by `h2`.
pub fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST)
        .max_concurrent_reset_streams(RESET_REMEMBERED)
        .reset_stream_duration(RESET_REMEMBERED_FOR)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(Some(ERRORS));
    builder
}
