//! Encrypted connections: handshakes, records, and which certificate a client is shown.
//!
//! Keys and certificates come ready from the control plane; nothing here reads a file.

mod accept; // from a client's first byte to an encrypted connection
pub mod certificates; // the certificates of a listener, found by the name that a client asks for
mod client_cert; // what endpoints are told of a client's own
pub mod client_hello; // the name a client asks for, from its first bytes
mod session; // one connection's keys: bytes in, bytes out
mod stream; // a session on a socket
mod terminator; // what a listener needs to take TLS connections

pub(crate) use accept::{Handshake, accept};
pub(crate) use stream::{Scratch, TlsStream};
pub use terminator::Terminator;
