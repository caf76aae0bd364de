//! Heads of requests, as HTTP/1.1 has them: written out from the fields of a block, in the order in which these come.

use super::{FIELD_OVERHEAD, Unfit, number, put_line};
use crate::field::{is_connection_specific, is_name, is_scheme, is_value, is_word};
use std::ops::{ControlFlow, Range};

/// What a stream's request is, besides its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub is_head: bool,
    pub tunnel: Option<Tunnel>,
    /// Nothing says how long the body is: it ends when it ends.
    pub is_unmeasured: bool,
}

/// What an extended CONNECT asks for (RFC 8441).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// The text lacks its key: HTTP/2 does without.
    WebSocket,
    Other,
}

/// What became of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// `length`: what it says of its body, which only the reader of the text judges.
    Whole { wanted: Wanted, length: Option<u64> },
    /// RFC 9113 §8.1.1.
    Malformed,
    /// More than is read; what is known of it by then.
    TooLarge { wanted: Wanted },
}

/// Pseudo-fields (RFC 9113 §8.3.1, RFC 8441 §4), in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct PseudoFields {
    bytes: Vec<u8>,
    method: Option<Range<usize>>,
    scheme: Option<Range<usize>>,
    path: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    protocol: Option<Range<usize>>,
}

impl PseudoFields {
    fn clear(&mut self) {
        self.bytes.clear();
        for slot in
            [&mut self.method, &mut self.scheme, &mut self.path, &mut self.authority, &mut self.protocol]
        {
            *slot = None;
        }
    }

    /// `false`: there is no such one, or it has come before.
    fn put(&mut self, name: &[u8], value: &[u8]) -> bool {
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":protocol" => &mut self.protocol,
            _ => return false,
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        slot.replace(start..self.bytes.len()).is_none()
    }

    fn of(&self, slot: Option<&Range<usize>>) -> Option<&[u8]> {
        slot.and_then(|range| self.bytes.get(range.clone()))
    }
}

/// Where the fields of one head go, one by one.
pub(crate) struct HeadText<'a> {
    out: &'a mut Vec<u8>,
    pseudo: &'a mut PseudoFields,
    /// What heads may have at most, fields counted as RFC 9113 §6.5.2 does.
    left: usize,
    /// Pseudo-fields are over.
    has_begun: bool,
    fault: Option<Unfit>,
    wanted: Wanted,
    length: Option<u64>,
    is_measured: bool,
    has_host: bool,
    cookies: Vec<u8>,
}

impl<'a> HeadText<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, pseudo: &'a mut PseudoFields, bytes_max: usize) -> Self {
        out.clear();
        pseudo.clear();
        Self {
            out,
            pseudo,
            left: bytes_max,
            has_begun: false,
            fault: None,
            wanted: Wanted::default(),
            length: None,
            is_measured: false,
            has_host: false,
            cookies: Vec::new(),
        }
    }

    /// `Break`: nothing more of this head is of any use.
    #[inline]
    pub(crate) fn take(&mut self, name: &[u8], value: &[u8]) -> ControlFlow<()> {
        let size = name.len() + value.len() + FIELD_OVERHEAD;
        let Some(left) = self.left.checked_sub(size) else { return self.fail(Unfit::TooLarge) };
        self.left = left;
        if name.first() == Some(&b':') {
            if self.has_begun || !self.pseudo.put(name, value) {
                return self.fail(Unfit::Malformed);
            }
            return ControlFlow::Continue(());
        }
        if !self.has_begun && !self.begin() {
            return self.fail(Unfit::Malformed);
        }
        if self.put(name, value) { ControlFlow::Continue(()) } else { self.fail(Unfit::Malformed) }
    }

    fn fail(&mut self, fault: Unfit) -> ControlFlow<()> {
        self.fault = Some(fault);
        ControlFlow::Break(())
    }

    /// The line of the request, and its host. `false`: that is not possible.
    fn begin(&mut self) -> bool {
        self.has_begun = true;
        let pseudo = &*self.pseudo;
        let Some(method) = pseudo.of(pseudo.method.as_ref()).filter(|method| is_word(method)) else {
            return false;
        };
        let [scheme, path, authority, protocol] =
            [&pseudo.scheme, &pseudo.path, &pseudo.authority, &pseudo.protocol]
                .map(|slot| pseudo.of(slot.as_ref()));
        let is_connect = method == b"CONNECT";
        // RFC 9113 §8.5: a plain CONNECT has neither scheme nor path; and RFC 8441 §4: nothing else has a protocol.
        let target = match (is_connect, protocol) {
            (true, None) if scheme.is_none() && path.is_none() => authority,
            (true, None) | (false, Some(_)) => None,
            (true, Some(_)) | (false, None) => path.filter(|_| scheme.is_some_and(is_scheme)),
        };
        let Some(target) = target.filter(|target| is_word(target)) else { return false };
        let is_path = target.starts_with(b"/") || (method == b"OPTIONS" && target == b"*");
        if !is_path && (!is_connect || protocol.is_some()) {
            return false;
        }
        if !authority.is_none_or(is_word) || !protocol.is_none_or(is_name_of_protocol) {
            return false;
        }
        self.wanted.is_head = method == b"HEAD";
        let is_websocket = protocol.is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"));
        self.wanted.tunnel = protocol.map(|_| if is_websocket { Tunnel::WebSocket } else { Tunnel::Other });
        let method = if protocol.is_some() { b"GET" } else { method };
        for piece in [method, b" ", target, b" HTTP/1.1\r\n"] {
            self.out.extend_from_slice(piece);
        }
        if let Some(authority) = authority {
            put_line(self.out, b"Host", authority);
        }
        if let Some(protocol) = protocol {
            put_line(self.out, b"Connection", b"upgrade");
            put_line(self.out, b"Upgrade", protocol);
        }
        true
    }

    fn put(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_name(name) || !is_value(value) {
            return false;
        }
        match name {
            b"host" => return self.put_host(value),
            // RFC 9113 §8.2.3: crumbs become one field again.
            b"cookie" => {
                let between: &[u8] = if self.cookies.is_empty() { b"" } else { b"; " };
                self.cookies.extend_from_slice(between);
                self.cookies.extend_from_slice(value);
                return true;
            }
            b"content-length" => {
                self.is_measured = true;
                self.length = number(value);
            }
            b"te" if value != b"trailers" => return false,
            // RFC 8441 §5: not used; whoever carries it on by HTTP/1.1 makes one.
            b"sec-websocket-key" if self.wanted.tunnel == Some(Tunnel::WebSocket) => return true,
            _ if is_connection_specific(name) => return false,
            _ => {}
        }
        put_line(self.out, name, value);
        true
    }

    /// RFC 9113 §8.3.1: a Host field says the same as :authority, or nothing.
    fn put_host(&mut self, value: &[u8]) -> bool {
        if std::mem::replace(&mut self.has_host, true) {
            return false;
        }
        let authority = self.pseudo.of(self.pseudo.authority.as_ref());
        if authority.is_none() {
            put_line(self.out, b"Host", value);
        }
        authority.is_none_or(|authority| authority.eq_ignore_ascii_case(value))
    }

    /// All fields have come. The text lacks the empty line that ends it. `has_body`: the stream goes on.
    pub(crate) fn end(mut self, has_body: bool) -> Head {
        if self.fault.is_none() && !self.has_begun && !self.begin() {
            return Head::Malformed;
        }
        match self.fault {
            Some(Unfit::Malformed) => return Head::Malformed,
            Some(Unfit::TooLarge) => {
                let _ = self.has_begun || self.begin(); // whatever else may be wrong with it
                return Head::TooLarge { wanted: self.wanted };
            }
            None => {}
        }
        // RFC 9113 §8.1.1: it says that there is a body. RFC 9110 §9.3.6: what opens a tunnel has none.
        let may_have_body = has_body && self.wanted.tunnel.is_none();
        if !may_have_body && self.length.is_some_and(|length| length > 0) {
            return Head::Malformed;
        }
        if !self.cookies.is_empty() {
            put_line(self.out, b"cookie", &self.cookies);
        }
        let is_tunnel = self.wanted.tunnel.is_some();
        let is_unmeasured = has_body && !self.is_measured && !is_tunnel;
        if is_unmeasured {
            put_line(self.out, b"Transfer-Encoding", b"chunked");
        }
        self.wanted.is_unmeasured = is_unmeasured || is_tunnel;
        let length = self.length.filter(|_| !is_tunnel);
        Head::Whole { wanted: self.wanted, length }
    }
}

/// RFC 9110 §7.8, in either case, because it goes on as the value of a field. A tunnel to another HTTP would bypass every rule of this one.
fn is_name_of_protocol(protocol: &[u8]) -> bool {
    let protocol = protocol.to_ascii_lowercase();
    is_name(&protocol) && !protocol.windows(3).any(|word| word == b"h2c")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 1000;

    fn write(fields: &[(&str, &str)], has_body: bool) -> (Head, String) {
        let (mut out, mut pseudo) = (b"from before".to_vec(), PseudoFields::default());
        let mut text = HeadText::new(&mut out, &mut pseudo, BYTES_MAX);
        let _ = fields.iter().try_for_each(|(name, value)| text.take(name.as_bytes(), value.as_bytes()));
        let head = text.end(has_body);
        (head, String::from_utf8(out).unwrap())
    }

    fn get<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let start = [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "x:1")];
        [&start[..], more].concat()
    }

    #[test]
    fn heads_are_written_out() {
        let (whole, wanted) = (|wanted, length| Head::Whole { wanted, length }, Wanted::default());
        let cases = [
            (get(&[("a", "1")]), false, whole(wanted, None), "GET /a?b HTTP/1.1\r\nHost: x:1\r\na: 1\r\n"),
            (
                get(&[("cookie", "a=1"), ("b", "2"), ("host", "X:1"), ("cookie", "c=3")]),
                false,
                whole(wanted, None),
                "GET /a?b HTTP/1.1\r\nHost: x:1\r\nb: 2\r\ncookie: a=1; c=3\r\n",
            ),
            (
                get(&[("content-length", "7")]),
                true,
                whole(wanted, Some(7)),
                "GET /a?b HTTP/1.1\r\nHost: x:1\r\ncontent-length: 7\r\n",
            ),
            (
                get(&[("te", "trailers")]),
                true,
                whole(Wanted { is_unmeasured: true, ..wanted }, None),
                "GET /a?b HTTP/1.1\r\nHost: x:1\r\nte: trailers\r\nTransfer-Encoding: chunked\r\n",
            ),
            (
                vec![(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), ("host", "y")],
                false,
                whole(wanted, None),
                "OPTIONS * HTTP/1.1\r\nHost: y\r\n",
            ),
            (
                vec![(":method", "CONNECT"), (":authority", "y:443")],
                true,
                whole(Wanted { is_unmeasured: true, ..wanted }, None),
                "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\nTransfer-Encoding: chunked\r\n",
            ),
            (
                vec![
                    (":method", "CONNECT"),
                    (":protocol", "websocket"),
                    (":scheme", "https"),
                    (":path", "/chat"),
                    (":authority", "y"),
                    ("sec-websocket-key", "of a client that says it all the same"),
                ],
                true,
                whole(Wanted { tunnel: Some(Tunnel::WebSocket), is_unmeasured: true, is_head: false }, None),
                "GET /chat HTTP/1.1\r\nHost: y\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
            ),
        ];
        for (fields, has_body, head, text) in cases {
            assert_eq!(write(&fields, has_body), (head, text.to_owned()), "{fields:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_head() {
        let without = |name: &str| -> Vec<(&str, &str)> {
            get(&[]).into_iter().filter(|field| field.0 != name).collect()
        };
        let with_path = |path| [without(":path"), vec![(":path", path)]].concat();
        let cases = [
            get(&[("Upper", "1")]),
            get(&[("a", "1\r\nb: 2")]),
            get(&[("host", "other")]),
            get(&[("host", "x:1"), ("host", "x:1")]),
            get(&[("connection", "close")]),
            get(&[("te", "gzip")]),
            get(&[("content-length", "1")]),
            get(&[("a", "1"), (":method", "GET")]),
            get(&[(":path", "/again")]),
            get(&[(":protocol", "websocket")]),
            get(&[(":status", "200")]),
            without(":method"),
            without(":scheme"),
            without(":path"),
            with_path(""),
            with_path("a"),
            with_path("*"),
            with_path("/ HTTP/1.1\r\n\r\n"),
            with_path("/\u{e9}"),
            vec![(":method", "CONNECT"), (":scheme", "https"), (":path", "/"), (":authority", "y")],
            Vec::new(),
        ];
        for fields in cases {
            assert_eq!(write(&fields, false).0, Head::Malformed, "{fields:?}");
        }
        let tunnel = |protocol, more: &[(&'static str, &'static str)]| {
            let head = [
                (":method", "CONNECT"),
                (":protocol", protocol),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "y"),
            ];
            [&head, more].concat()
        };
        for fields in
            [tunnel("h2c", &[]), tunnel("H2C", &[]), tunnel("websocket", &[("content-length", "5")])]
        {
            assert_eq!(write(&fields, true).0, Head::Malformed, "{fields:?}");
        }
        let empty = tunnel("websocket", &[("content-length", "0")]);
        assert!(matches!(write(&empty, true).0, Head::Whole { .. }));
    }

    #[test]
    fn more_than_is_read_is_told_apart() {
        let long = "y".repeat(BYTES_MAX);
        let (too_large, wanted) = (|wanted| Head::TooLarge { wanted }, Wanted::default());
        assert_eq!(write(&get(&[("a", &long)]), false).0, too_large(wanted));
        assert_eq!(write(&get(&[("a", "b"); 30]), false).0, too_large(wanted));
        let more = [("a", long.as_str()), ("B", "")];
        assert_eq!(write(&get(&more), false).0, too_large(wanted), "nothing is looked at then");
        let mut head = get(&[("a", &long)]);
        head[0].1 = "HEAD";
        let of_head = Wanted { is_head: true, ..wanted };
        assert_eq!(write(&head, false).0, too_large(of_head), "its answer has no body");
    }
}
