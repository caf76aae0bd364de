//! HTTP/2 (RFC 9113): frames by the h2 crate, and what makes a stream of it look like any other to those who serve.
//!
//! A request's head is written out and parsed by the same strict parser as HTTP/1; bodies pass as plain bytes, with an end
//! of their own and trailers.

mod downstream; // one client connection
mod head; // heads, there and back
mod io; // a stream of ours, as the library wants one
mod stream; // one stream, read and written like a connection

pub(crate) use downstream::{PREFACE, serve};
pub(crate) use stream::Http2Stream;
