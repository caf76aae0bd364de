//! Heads for endpoints of HTTP/2, from how HTTP/1.1 has them, and heads of their answers, written out in the same way: there is one
//! parser and one writer of heads, and no other decides about framing. Knows no streams.

use super::websocket;
use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Request, Uri};
use tidegate_http::chunked::may_trail;
use tidegate_http2::is_connection_specific;

/// Room for the fields of nearly every head.
const FIELDS_USUAL: usize = 24;

/// Of longer heads each value has memory of its own. The h2 crate keeps values in its table for as long as the connection stands, and a
/// part of one piece keeps all of it: heads of 3 KiB with a request's number in each made a connection 40 KiB larger.
const SHARED_BYTES_MAX: usize = 512;

/// RFC 7541 §7.1.3: what gives access is kept out of all tables, so that nobody who can make requests can find it out piece by piece.
fn is_secret(name: &str) -> bool {
    matches!(name, "authorization" | "cookie" | "proxy-authorization")
}

/// RFC 9113 §8.2.1.
fn is_padded(value: &[u8]) -> bool {
    let is_white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_white(value.first()) || is_white(value.last())
}

/// Lines ended by CR LF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at_checked(end + 1)?;
        self.0 = rest;
        line.strip_suffix(b"\r\n")
    }
}

/// `line` is one of `text`; its value stays there, if that is short.
fn field(text: &Bytes, line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = HeaderName::from_bytes(name).ok()?;
    let value = value.get(1..)?.trim_ascii();
    let value =
        if text.len() <= SHARED_BYTES_MAX { text.slice_ref(value) } else { Bytes::copy_from_slice(value) };
    Some((name, HeaderValue::from_maybe_shared(value).ok()?))
}

/// Trailers as lines, without those that may not be there (RFC 9110 §6.5.1).
pub(super) fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in trailers {
        if may_trail(name.as_str().as_bytes()) && !is_padded(value.as_bytes()) {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(piece);
            }
        }
    }
}

/// Trailers from lines.
pub(super) fn trailers(lines: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let text = Bytes::copy_from_slice(lines);
    for (name, value) in Lines(&text).filter_map(|line| field(&text, line)) {
        trailers.append(name, value);
    }
    trailers
}

/// The head of a request for an endpoint, read from how HTTP/1.1 has it: written here, so it is well-formed.
pub(super) struct RequestHead {
    pub(super) head: Request<()>,
    /// How many bytes it took.
    pub(super) length: usize,
    pub(super) has_body: bool,
    pub(super) tunnel: Option<Tunnel>,
}

/// What an upgrade of HTTP/1.1 asks for, which HTTP/2 knows as an extended CONNECT (RFC 8441).
#[derive(Debug)]
pub(super) struct Tunnel {
    protocol: Protocol,
    /// What proves to a WebSocket client that its key was read, which HTTP/2 does without: a line, or nothing.
    accept: String,
}

impl Tunnel {
    fn new(protocol: &[u8], key: Option<&HeaderValue>) -> Option<Self> {
        let protocol = std::str::from_utf8(protocol).ok()?.to_ascii_lowercase();
        let accept =
            key.map(|key| format!("Sec-WebSocket-Accept: {}\r\n", websocket::accept(key.as_bytes())));
        Some(Self { protocol: protocol.as_str().into(), accept: accept.unwrap_or_default() })
    }
}

pub(super) fn request(bytes: &[u8], scheme: &'static str) -> Option<RequestHead> {
    let length = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = Bytes::copy_from_slice(bytes.get(..length - 2)?);
    let mut lines = Lines(&text);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let target = PathAndQuery::try_from(words.next()?).ok()?;
    let mut authority = None;
    let mut headers = HeaderMap::with_capacity(FIELDS_USUAL);
    let mut has_body = false;
    let (mut protocol, mut key) = (None, None);
    for line in lines {
        let (name, mut value) = field(&text, line)?;
        value.set_sensitive(is_secret(name.as_str()));
        match name.as_str() {
            "host" => authority = Some(Authority::try_from(value.as_bytes()).ok()?),
            "transfer-encoding" => has_body = true,
            "content-length" => {
                has_body = true; // though it were empty, there may be trailers behind it
                headers.append(name, value);
            }
            "upgrade" => protocol = Some(value),
            "sec-websocket-key" => key = Some(value),
            name if is_connection_specific(name.as_bytes()) => {}
            _ => {
                headers.append(name, value);
            }
        }
    }
    let mut uri = Uri::builder().scheme(scheme).path_and_query(target);
    if let Some(authority) = authority {
        uri = uri.authority(authority);
    }
    let mut head = Request::new(());
    *head.method_mut() = method;
    *head.uri_mut() = uri.build().ok()?;
    *head.version_mut() = http::Version::HTTP_2;
    let tunnel = protocol.and_then(|protocol| Tunnel::new(protocol.as_bytes(), key.as_ref()));
    match &tunnel {
        Some(tunnel) => {
            *head.method_mut() = Method::CONNECT;
            head.extensions_mut().insert(tunnel.protocol.clone());
        }
        None => headers.extend(key.map(|key| (HeaderName::from_static("sec-websocket-key"), key))),
    }
    *head.headers_mut() = headers;
    Some(RequestHead { head, length, has_body, tunnel })
}

/// Writes the head of an endpoint's answer to `out` as HTTP/1.1 has it. `is_over`: nothing follows it.
pub(super) fn write_answer(parts: &http::response::Parts, is_over: bool, out: &mut Vec<u8>) {
    let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    put(&[b"HTTP/1.1 ", parts.status.as_str().as_bytes(), b" \r\n"]);
    for (name, value) in &parts.headers {
        if !is_connection_specific(name.as_str().as_bytes()) {
            put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    let may_have_body = !parts.status.is_informational() && !matches!(parts.status.as_u16(), 204 | 304);
    if is_over && may_have_body && !parts.headers.contains_key(http::header::CONTENT_LENGTH) {
        put(&[b"Content-Length: 0\r\n"]);
    }
    put(&[b"\r\n"]);
}

/// The same for one that opens a tunnel, which in HTTP/1.1 is a change of protocols. What it says of a body is about none.
pub(super) fn write_switch(parts: &http::response::Parts, tunnel: &Tunnel, out: &mut Vec<u8>) {
    let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    put(&[
        b"HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: ",
        tunnel.protocol.as_str().as_bytes(),
        b"\r\n",
    ]);
    for (name, value) in &parts.headers {
        let name = name.as_str();
        if !is_connection_specific(name.as_bytes())
            && !matches!(name, "content-length" | "sec-websocket-accept")
        {
            put(&[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    put(&[tunnel.accept.as_bytes(), b"\r\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether its last value lies where its first one does.
    fn is_one_piece(head: &str) -> bool {
        let request = request(head.as_bytes(), "http").unwrap();
        let [first, last] = ["first", "last"].map(|name| request.head.headers()[name].as_bytes());
        assert_eq!((first, last), (&b"1"[..], &b"2"[..]));
        let apart = head.find(" 2\r").unwrap() - head.find(" 1\r").unwrap();
        first.as_ptr().wrapping_add(apart) == last.as_ptr()
    }

    #[test]
    fn what_gives_access_is_kept_out_of_tables() {
        let text = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAccept: b\r\nCookie: c\r\n\r\n";
        let head = request(text, "http").unwrap().head;
        let secret = |name: &str| head.headers()[name].is_sensitive();
        assert_eq!(["authorization", "accept", "cookie"].map(secret), [true, false, true]);
    }

    #[test]
    fn a_value_that_is_kept_keeps_little_besides() {
        let with =
            |more: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nfirst: 1\r\nmore: {more}\r\nlast: 2\r\n\r\n");
        assert!(is_one_piece(&with("short")));
        assert!(!is_one_piece(&with(&"long".repeat(SHARED_BYTES_MAX / 4))));
    }
}
