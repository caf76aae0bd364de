//! Heads of HTTP/2, written out like those of HTTP/1 and back: there is one parser and one writer of heads, and no other
//! decides about framing. Knows no streams.

use super::unsent::{Holder, hold};
use super::websocket;
use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use tidegate_http::chunked::may_trail;

/// Room for the fields of nearly every head.
const FIELDS_USUAL: usize = 24;

/// Of longer heads each value has memory of its own. The h2 crate keeps values in its table for as long as the connection stands, and a
/// part of one piece keeps all of it: heads of 3 KiB with a request's number in each made a connection 40 KiB larger.
const SHARED_BYTES_MAX: usize = 512;

/// Why the head of a request cannot even be written out (RFC 9113 §8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What a stream's request is, besides its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) is_head: bool,
    /// A tunnel, by an extended CONNECT (RFC 8441).
    pub(super) tunnel: bool,
    /// Nothing says how long the body is: it ends when it ends.
    pub(super) is_unmeasured: bool,
}

/// Writes the head of a request to `out` as HTTP/1.1 has it. `random`: for the key of a WebSocket, which HTTP/2 does
/// without.
pub(super) fn write_out(
    parts: &Parts,
    has_body: bool,
    random: u64,
    out: &mut Vec<u8>,
) -> Result<Wanted, Malformed> {
    let protocol = parts.extensions.get::<Protocol>();
    let tunnel = protocol.is_some();
    let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    let method = if tunnel { "GET" } else { parts.method.as_str() };
    if parts.uri.scheme_str() == Some("") {
        return Err(Malformed); // the library takes nothing for a scheme
    }
    let authority = parts.uri.authority().map(Authority::as_str);
    let target = match parts.uri.path_and_query().map(PathAndQuery::as_str) {
        _ if parts.method == Method::CONNECT && !tunnel => authority.unwrap_or_default(),
        Some("/") if parts.method == Method::OPTIONS && parts.uri.path() == "*" => "*",
        Some(target) => target,
        None => "/",
    };
    put(&[method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    // RFC 9113 §8.3.1: a Host field says the same as :authority, or nothing.
    match (authority.map(str::as_bytes), host) {
        _ if hosts.next().is_some() => return Err(Malformed),
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => return Err(Malformed),
        (Some(host), _) | (None, Some(host)) => put(&[b"Host: ", host, b"\r\n"]),
        (None, None) => {}
    }
    let mut is_measured = false;
    let mut cookies = 0;
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str(), value.as_bytes());
        if is_connection_specific(name) || is_padded(value) || (name == "te" && value != b"trailers") {
            return Err(Malformed);
        }
        match name {
            "host" => continue,
            "cookie" => {
                cookies += 1;
                continue;
            }
            "content-length" => is_measured = true,
            _ => {}
        }
        put(&[name.as_bytes(), b": ", value, b"\r\n"]);
    }
    if cookies > 0 {
        // RFC 9113 §8.2.3: crumbs become one field again.
        put(&[b"cookie: "]);
        for (index, crumb) in parts.headers.get_all(http::header::COOKIE).iter().enumerate() {
            put(&[if index > 0 { b"; " } else { b"" }, crumb.as_bytes()]);
        }
        put(&[b"\r\n"]);
    }
    if let Some(protocol) = protocol {
        put(&[b"Connection: upgrade\r\nUpgrade: ", protocol.as_str().as_bytes(), b"\r\n"]);
        if protocol.as_str() == "websocket" {
            put(&[b"Sec-WebSocket-Key: ", &websocket::key(random), b"\r\n"]);
        }
    }
    let is_unmeasured = has_body && !is_measured && !tunnel;
    if is_unmeasured {
        put(&[b"Transfer-Encoding: chunked\r\n"]);
    }
    put(&[b"\r\n"]);
    Ok(Wanted { is_head: parts.method == Method::HEAD, tunnel, is_unmeasured: is_unmeasured || tunnel })
}

/// RFC 9113 §8.2.2.
fn is_connection_specific(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade")
}

/// RFC 9113 §8.2.1.
fn is_padded(value: &[u8]) -> bool {
    let is_white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_white(value.first()) || is_white(value.last())
}

/// The head of an answer, read from how HTTP/1.1 has it: written here, so it is well-formed.
pub(super) struct Answer {
    pub(super) head: Response<()>,
    /// How many bytes it took.
    pub(super) length: usize,
    /// What it says of its body.
    pub(super) content_length: Option<u64>,
}

pub(super) fn answer(bytes: &[u8], opens_tunnel: bool) -> Option<Answer> {
    let length = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = Bytes::copy_from_slice(bytes.get(..length - 2)?);
    let mut lines = Lines(&text);
    let status = lines.next()?.get(9..12)?;
    let mut head = Response::new(());
    head.headers_mut().reserve(FIELDS_USUAL);
    let status = StatusCode::from_bytes(status).ok()?;
    *head.status_mut() =
        if opens_tunnel && status == StatusCode::SWITCHING_PROTOCOLS { StatusCode::OK } else { status };
    let mut content_length = None;
    for line in lines {
        let Some((name, value)) = field(&text, line) else { continue };
        if is_connection_specific(name.as_str()) || (opens_tunnel && name == "sec-websocket-accept") {
            continue;
        }
        if name == http::header::CONTENT_LENGTH {
            content_length = value.to_str().ok().and_then(|length| length.parse().ok());
        }
        head.headers_mut().append(name, value);
    }
    Some(Answer { head, length, content_length })
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

/// Trailers from lines; `holder` lives until they have left.
pub(super) fn trailers(lines: &[u8], holder: Holder<'_>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let text = Bytes::copy_from_slice(lines);
    for (name, value) in Lines(&text).filter_map(|line| field(&text, line)) {
        trailers.append(name, value);
    }
    hold(&mut trailers, holder);
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
        let (name, value) = field(&text, line)?;
        match name.as_str() {
            "host" => authority = Some(Authority::try_from(value.as_bytes()).ok()?),
            "transfer-encoding" => has_body = true,
            "content-length" => {
                has_body = value != "0";
                headers.append(name, value);
            }
            "upgrade" => protocol = Some(value),
            "sec-websocket-key" => key = Some(value),
            name if is_connection_specific(name) => {}
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
        if !is_connection_specific(name.as_str()) {
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
        if !is_connection_specific(name) && !matches!(name, "content-length" | "sec-websocket-accept") {
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
        let answer = answer(head.as_bytes(), false).unwrap();
        let [first, last] = ["first", "last"].map(|name| answer.head.headers()[name].as_bytes());
        assert_eq!((first, last), (&b"1"[..], &b"2"[..]));
        let apart = head.find(" 2\r").unwrap() - head.find(" 1\r").unwrap();
        first.as_ptr().wrapping_add(apart) == last.as_ptr()
    }

    #[test]
    fn a_value_that_is_kept_keeps_little_besides() {
        let with = |more: &str| format!("HTTP/1.1 200 OK\r\nfirst: 1\r\nmore: {more}\r\nlast: 2\r\n\r\n");
        assert!(is_one_piece(&with("short")));
        assert!(!is_one_piece(&with(&"long".repeat(SHARED_BYTES_MAX / 4))));
    }
}
