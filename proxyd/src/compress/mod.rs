//! Compressing responses for clients that ask for it: which, how, and doing it.
//!
//! What an instance, or a file beside another, has encoded already is not touched.

mod accept;
mod decision;
mod encoder;

pub use accept::{Accepted, Algorithm, ranked};
pub use decision::{Decision, Skip, decide, has_vary, is_spoilt};
pub use encoder::Encoder;

/// What became of a response's body, for its access record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub decision: Decision,
    /// Bytes before and after, when it was compressed.
    pub sizes: Option<(u64, u64)>,
}
