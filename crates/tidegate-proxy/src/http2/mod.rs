//! HTTP/2 (RFC 9113): frames by the h2 crate, and what makes a stream of it look like any other to those who serve.
//!
//! A request's head is written out and parsed by the same strict parser as HTTP/1; bodies pass as plain bytes, with an end
//! of their own and trailers.

mod body; // pieces of bodies, out and in, and their end
mod breach; // what an endpoint says that is no HTTP/2
mod downstream; // one client connection
mod frames; // where each frame begins and ends
mod guard; // what a client may do besides asking
mod head; // heads, there and back
mod io; // a stream of ours, as the library wants one
mod misconduct; // what a client does wrong, in words
mod request; // one stream to an endpoint, written and read like a connection
mod settled; // whether an endpoint has said what it allows
mod stream; // one stream of a client, read and written like a connection
mod unsent; // what waits until the other side takes it, and what that keeps
mod upstream; // connections to an endpoint, shared by many requests
mod vigil; // what a client's connection waits for, and until when
mod websocket; // a key, and the proof that it was read
mod window; // how much of bodies a client may send before they are taken

/// How often a connection with requests is asked whether it still stands, and how long it may take to say so.
const PING_INTERVAL: std::time::Duration = std::time::Duration::from_secs(20);

pub use body::SEND_BYTES_MAX;
pub use breach::Breach;
pub use misconduct::Misconduct;
pub use window::{NARROW_BYTES, WIDE_BYTES};

pub(crate) use downstream::{PREFACE, serve};
pub(crate) use request::Http2Request;
pub(crate) use stream::Http2Stream;
pub(crate) use upstream::Http2Pool;
