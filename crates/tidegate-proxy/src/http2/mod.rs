//! HTTP/2 (RFC 9113): what makes a stream of it look like any other to those who serve, and to those who ask endpoints. Frames are read
//! and written by our own codec (`tidegate-http2`).
//!
//! Heads are written out and parsed by the same strict parsers as those of HTTP/1; bodies pass as plain bytes, with an end of their own
//! and trailers.

mod breach; // what an endpoint says that is no HTTP/2
mod downstream; // one client connection
mod driver; // its bytes, in and out, and its end
mod farewells; // after how many requests an endpoint ends its connections
mod guard; // what a client is waited for besides requests
mod hearing; // until when a client is heard out whose streams are answered early
mod inquiry; // whether an endpoint is asked if it is there
mod link; // frames, and the socket that they go through
mod misconduct; // what a client does wrong, in words
mod request; // one stream to an endpoint, written and read like a connection
mod serving; // streams of a client, one after the other
mod sharing; // when a connection leaves its slot to other workers
mod stream; // one stream of a client, read and written like a connection
mod upstream; // connections to an endpoint, shared by many requests
mod vigil; // what a client's connection waits for, and until when
mod websocket; // a key, and the proof that it was read
mod window; // which connections may send much before it is taken

/// How often a connection with requests is asked whether it still stands, and how long it may take to say so.
const PING_INTERVAL: std::time::Duration = std::time::Duration::from_secs(20);

pub use breach::Breach;
pub use misconduct::Misconduct;
pub use tidegate_http2::{NARROW_BYTES, UNSENT_BYTES_MAX, WIDE_BYTES};
pub use upstream::ENDPOINT_REQUEST_BYTES;

pub(crate) use downstream::{refusal, serve};
pub(crate) use request::Http2Request;
pub(crate) use stream::Http2Stream;
pub(crate) use tidegate_http2::PREFACE;
pub(crate) use upstream::Http2Pool;
