//! HTTP/2 (RFC 9113) as both sides speak it: bytes of the other side in, requests or answers and bytes for it out. Knows no sockets, no
//! clock and no runtime; who waits is woken by a `std::task::Waker`.
//!
//! Heads come out as HTTP/1.1 has them and go in the same way, so that there is one parser and one writer of heads, and no
//! other decides about framing.

pub mod hpack;

mod arrived; // bytes of a body, until they are read
mod asking; // what is so where it is for us to ask
mod budget; // frames that move nothing, and how many may come
mod connection; // one connection
mod ending; // how streams and connections end
mod fault; // what ends a connection, or a stream
mod field; // what may be in names and values
mod frame; // the nine bytes that frames begin with
mod head; // heads and trailers, between text and field blocks
mod hearing; // what still comes of requests that are answered
mod outgoing; // bytes for the other side, until they leave
mod reading; // what streams hear from the other side
mod receiving; // frames of the other side, and what they mean
mod sending; // what streams say to the other side
mod settings; // what both sides allow
mod stream; // one stream, and all of a connection
mod window; // how much may be sent

pub use asking::Asks;
pub use budget::Budget;
pub use connection::{Begun, Closed, Connection, Limits, Progress};
pub use fault::{Code, Fault};
pub use field::is_connection_specific;
pub use head::answer_text::AcceptKey;
pub use head::request_text::{Tunnel, Wanted};
pub use outgoing::UNSENT_BYTES_MAX;
pub use stream::{Ending, Slot};
pub use window::{NARROW_BYTES, WIDE_BYTES};

/// What a client's connection begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
