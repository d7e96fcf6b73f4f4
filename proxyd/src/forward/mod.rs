//! The life of a connection and of each request on it.
//!
//! A connection waits for a request ([`client`]), decides what to do with it ([`plan`]), answers it with a public [`file`], or finds an instance ([`instance`],
//! [`waiting`]), exchanges request and response with it ([`exchange`], [`upload`], [`relay`], [`encoded`]) or becomes a [`tunnel`].
//! What is sent back goes through [`downstream`], which is the same for every protocol that clients speak.

mod address;
mod admission;
pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod downstream;
mod encoded;
pub(crate) mod exchange;
pub(crate) mod fault;
mod file;
mod instance;
pub(crate) mod origin;
pub(crate) mod plan;
pub mod pool;
mod relay;
mod tunnel;
pub(crate) mod upload;
mod upstream_head;
mod waiting;
pub(crate) mod wire;

pub use client::serve;
/// For the fuzz targets, which hold what is sent to an instance to another parser.
pub use upstream_head::write_head;
