//! Heads as they leave the proxy: hop-by-hop fields removed, the proxy's own fields added, framing canonical.
//! The only writer of heads, so that nothing but canonical framing can be expressed. Knows no sockets, no configuration.

use crate::client::Told;
use crate::{BodyLength, FieldKind, FieldSet};

mod identity;
mod kept;
mod request;
mod reread;
mod response;

pub use request::write_request;
pub use response::write_response;

/// What the proxy says about the client and itself to the endpoint.
#[derive(Clone, Copy, Debug)]
pub struct RequestEdits<'a> {
    /// Canonical path and query to send (origin-form), or `*`. Like `authority`, best the very bytes that were received, if
    /// they are: a head of which nothing is rewritten is copied in one run.
    pub path: &'a [u8],
    pub query: &'a [u8],
    /// Sent as the one Host field.
    pub authority: &'a [u8],
    /// The text of the address that the connection came from (no brackets, no port), or `unknown` for a Unix socket.
    pub client: &'a [u8],
    /// The same as Forwarded has it (RFC 7239 §6): an IPv6 address in brackets and quotes.
    pub client_node: &'a [u8],
    /// `http` or `https`: how the client reached us.
    pub scheme: &'a [u8],
    /// What the client, one of the trusted proxies, says of its own client: that is passed on in X-Forwarded-* and in
    /// Forwarded alike, and extended. `None`: it is nobody to be believed; what it sent of them, and their aliases
    /// (underscores for hyphens), is dropped, and they are written anew.
    pub told: Option<Told<'a>>,
    /// Complete lines that say which certificate the client has shown (RFC 9440), or nothing. What it says of that itself never
    /// passes.
    pub client_cert: &'a [u8],
    /// Value of X-Request-Id to send, instead of any received; empty: none is added.
    pub request_id: &'a [u8],
    /// The name of a cookie that is none of the endpoint's business; empty: all pass.
    pub hidden_cookie: &'a [u8],
    /// Pass the Upgrade field on, with `Connection: upgrade`.
    pub upgrade: bool,
}

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
    /// Kinds of fields that are none of the client's business, besides those that never pass.
    pub hidden: FieldSet,
}

/// Never copied as received: they concern one connection only (RFC 9110 §7.6.1), or are written anew from decisions.
const REWRITTEN: FieldSet = FieldSet::of(&[
    FieldKind::Alias,
    FieldKind::Connection,
    FieldKind::ContentLength,
    FieldKind::KeepAlive,
    FieldKind::ProxyConnection,
    FieldKind::Te,
    FieldKind::TransferEncoding,
    FieldKind::Upgrade,
    FieldKind::Via,
]);

/// Canonical framing; `None` has none.
fn put_framing(body: BodyLength, out: &mut Vec<u8>) {
    match body {
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyLength::Length(length) => put_content_length(length, out),
        BodyLength::None | BodyLength::UntilClose => {}
    }
}

fn put_content_length(length: u64, out: &mut Vec<u8>) {
    const DIGITS_MAX: usize = 20; // of u64::MAX
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    let mut rest = length;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        start -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}
