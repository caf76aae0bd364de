//! Encrypted connections, from clients and to endpoints: handshakes, records, and which certificate a client is shown.
//!
//! Keys and certificates come ready from the control plane; nothing here reads a file.

mod accept; // from a client's first byte to an encrypted connection
mod agreed; // what was agreed on with a client
pub mod certificates; // the certificates of a listener, found by the name that a client asks for
pub mod challenges; // what authorities are shown
mod client_cert; // what endpoints are told of a client's own
pub mod client_hello; // the name a client asks for, from its first bytes
mod originate; // from a connection to an endpoint to an encrypted one
mod originator; // what an endpoint is spoken TLS with
mod sealed; // encrypted bytes on their way out
mod session; // one connection's keys: bytes in, bytes out
mod stream; // a session on a socket
mod subject; // whom a client's certificate is for
mod terminator; // what a listener needs to take TLS connections
mod turns; // whose handshake begins next

pub use accept::Handshake;
pub(crate) use accept::accept;
pub(crate) use agreed::Agreed;
pub use originate::OriginateError;
pub(crate) use originate::{is_refusal, originate};
pub use originator::Originator;
pub(crate) use stream::{Scratch, TlsStream};
pub use terminator::Terminator;
pub(crate) use turns::Turns;
