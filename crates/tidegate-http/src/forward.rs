//! Heads as they leave the proxy: hop-by-hop fields removed, the proxy's own fields added, framing canonical.
//! The only writer of heads, so that nothing but canonical framing can be expressed. Knows no sockets, no configuration.

use crate::BodyLength;
use crate::request::RequestHead;
use crate::response::ResponseHead;

/// What the proxy says about the client and itself to the endpoint.
#[derive(Clone, Copy, Debug)]
pub struct RequestEdits<'a> {
    /// Canonical path and query to send (origin-form), or `*`.
    pub path: &'a [u8],
    pub query: &'a [u8],
    /// Sent as the one Host field.
    pub authority: &'a [u8],
    /// The text of the address that the connection came from (no brackets, no port), or `unknown` for a Unix socket.
    pub client: &'a [u8],
    /// `http` or `https`: how the client reached us.
    pub scheme: &'a [u8],
    /// The client is one of the trusted proxies: its X-Forwarded-*, Forwarded are kept and extended; otherwise they and
    /// their aliases (underscores for hyphens) are dropped and written anew.
    pub trusted: bool,
    /// Value of X-Request-Id to send; empty: none is added.
    pub request_id: &'a [u8],
    /// Pass the Upgrade field on, with `Connection: upgrade`.
    pub upgrade: bool,
}

/// Appends the head for the endpoint, always HTTP/1.1, with the framing of `head.body`.
pub fn write_request(_head: &RequestHead, _buffer: &[u8], _edits: &RequestEdits<'_>, _out: &mut Vec<u8>) {}

/// How the response body is framed towards the client.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEdits<'a> {
    /// How the body is framed downstream (chunked becomes until-close for an HTTP/1.0 client, until-close becomes chunked
    /// for an HTTP/1.1 client). `None` keeps a Content-Length that a HEAD or 304 answer carried.
    pub body: BodyLength,
    /// Whether the connection to the client goes on after this response.
    pub keep_alive: bool,
    /// The client speaks HTTP/1.0: `Connection: keep-alive` must be said aloud.
    pub client_is_http10: bool,
    /// Pass the Upgrade field on, with `Connection: upgrade` (a 101).
    pub upgrade: bool,
    /// Further complete lines to add (each with its CRLF).
    pub extra: &'a [u8],
}

/// Appends the head for the client, always HTTP/1.1 in the status line.
pub fn write_response(_head: &ResponseHead, _buffer: &[u8], _edits: &ResponseEdits<'_>, _out: &mut Vec<u8>) {}
