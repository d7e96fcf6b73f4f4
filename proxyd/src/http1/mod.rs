//! HTTP/1.1 as bytes: parsing, framing, and writing of heads. Pure; nothing here waits or reads a socket.
//!
//! What a request may look like is stricter here than in many servers, because two parsers that disagree about where
//! a request ends are how requests are smuggled. Heads are always written anew, so that only this parser is believed.

pub mod chunked;
pub mod fields;
pub mod request;
pub mod response;

pub use request::{Body, Refusal, Request};
pub use response::Response;

/// Headers a head may have; more is 431.
pub const MAX_HEADERS: usize = 100;

/// Room for the parser to put headers into.
pub type HeaderRoom<'b> = [std::mem::MaybeUninit<httparse::Header<'b>>; MAX_HEADERS];

#[must_use]
pub fn header_room<'b>() -> HeaderRoom<'b> {
    [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS]
}

/// What came of looking at the bytes so far.
#[derive(Debug)]
pub enum Parsed<T> {
    /// More bytes are needed.
    Partial,
    /// A head and its length in bytes.
    Complete(T, usize),
}
