//! HTTP/2 (RFC 9113) as a server speaks it: bytes of a client in, requests and bytes for it out. Knows no sockets, no clock and no
//! runtime; who waits is woken by a `std::task::Waker`.
//!
//! Heads come out as HTTP/1.1 has them and go in the same way, so that there is one parser and one writer of heads, and no
//! other decides about framing.

pub mod hpack;

mod answer; // heads of answers, and trailers: from text to field blocks
mod arrived; // bytes of a body, until they are read
mod budget; // frames that move nothing, and how many may come
mod connection; // one client's connection
mod ending; // how streams and connections end
mod fault; // what ends a connection, or a stream
mod field; // what may be in names and values
mod frame; // the nine bytes that frames begin with
mod outgoing; // bytes for the client, until they leave
mod reading; // what streams hear from the client
mod receiving; // frames of the client, and what they mean
mod request; // heads of requests, and trailers: from field blocks to text
mod sending; // what streams say to the client
mod settings; // what both sides allow
mod stream; // one stream, and all of a connection
mod window; // how much may be sent

pub use budget::Budget;
pub use connection::{Begun, Closed, Connection, Limits, Progress};
pub use fault::{Code, Fault};
pub use field::is_connection_specific;
pub use outgoing::UNSENT_BYTES_MAX;
pub use request::{Tunnel, Wanted};
pub use stream::Slot;
pub use window::{NARROW_BYTES, WIDE_BYTES};

/// What a client's connection begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
