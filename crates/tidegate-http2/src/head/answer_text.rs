//! Heads of answers, as HTTP/1.1 has them: written out from the fields of a block, in the order in which these come.

use super::request_block::AskedTunnel;
use super::{FIELD_OVERHEAD, Unfit, number, put_line};
use crate::field::{is_connection_specific, is_name, is_value, trimmed};
use std::ops::ControlFlow;

/// What a WebSocket client is told that has sent this key (RFC 6455 §4.2.2).
pub type AcceptKey = fn(&[u8]) -> String;

/// What became of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// 1xx: another one comes.
    Interim,
    /// `left`: so much is to follow, if that is known.
    Final { left: Option<u64>, opens_tunnel: bool },
    /// RFC 9113 §8.1.1.
    Malformed,
    /// More than is read.
    TooLarge,
}

/// Where the fields of one head go, one by one: behind what is in `out`.
pub(crate) struct HeadText<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// What heads may have at most, fields counted as RFC 9113 §6.5.2 does.
    left: usize,
    status: Option<[u8; 3]>,
    tunnel: Option<&'a AskedTunnel>,
    /// Pseudo-fields are over.
    has_begun: bool,
    fault: Option<Unfit>,
    is_measured: bool,
    length: Option<u64>,
}

impl<'a> HeadText<'a> {
    /// `tunnel`: what was asked for.
    pub(crate) fn new(out: &'a mut Vec<u8>, bytes_max: usize, tunnel: Option<&'a AskedTunnel>) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            left: bytes_max,
            status: None,
            tunnel,
            has_begun: false,
            fault: None,
            is_measured: false,
            length: None,
        }
    }

    /// `Break`: nothing more of this head is of any use.
    #[inline]
    pub(crate) fn take(&mut self, name: &[u8], value: &[u8]) -> ControlFlow<()> {
        let size = name.len() + value.len() + FIELD_OVERHEAD;
        let Some(left) = self.left.checked_sub(size) else { return self.fail(Unfit::TooLarge) };
        self.left = left;
        let is_fit = match name.first() {
            Some(&b':') => name == b":status" && self.put_status(value),
            _ if !self.has_begun && !self.begin() => false,
            _ => self.put(name, value),
        };
        if is_fit { ControlFlow::Continue(()) } else { self.fail(Unfit::Malformed) }
    }

    fn fail(&mut self, fault: Unfit) -> ControlFlow<()> {
        self.fault = Some(fault);
        ControlFlow::Break(())
    }

    /// RFC 9113 §8.3.2: one, before all fields. §8.6: "101 (Switching Protocols)" has no meaning in HTTP/2.
    fn put_status(&mut self, value: &[u8]) -> bool {
        let is_status = matches!(value, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']) && value != b"101";
        let before = self.status.replace(*value.first_chunk().unwrap_or(b"000"));
        is_status && before.is_none() && !self.has_begun
    }

    /// The line of the answer. `false`: it has no status. Any success opens a tunnel that was asked for (RFC 8441 §5).
    fn begin(&mut self) -> bool {
        self.has_begun = true;
        let Some(status) = self.status else { return false };
        let opened = self.tunnel.filter(|_| status.first() == Some(&b'2'));
        if let Some(tunnel) = opened {
            self.out.extend_from_slice(b"HTTP/1.1 101 \r\n");
            put_line(self.out, b"Connection", b"upgrade");
            put_line(self.out, b"Upgrade", &tunnel.protocol);
        } else {
            for piece in [&b"HTTP/1.1 "[..], &status, b" \r\n"] {
                self.out.extend_from_slice(piece);
            }
        }
        true
    }

    fn opens_tunnel(&self) -> bool {
        self.tunnel.is_some() && self.status.is_some_and(|status| status.first() == Some(&b'2'))
    }

    /// White space around a value is against RFC 9113 §8.2.1, but means nothing, and goes no further.
    fn put(&mut self, name: &[u8], value: &[u8]) -> bool {
        let value = trimmed(value);
        if !is_name(name) || !is_value(value) || is_connection_specific(name) {
            return false;
        }
        match name {
            // What they would be about is not there.
            b"content-length" | b"sec-websocket-accept" if self.opens_tunnel() => return true,
            b"content-length" => {
                self.is_measured = true;
                self.length = number(value);
            }
            _ => {}
        }
        put_line(self.out, name, value);
        true
    }

    /// All fields have come. `has_more`: the stream goes on. `to_head`: the request was one that has answers without bodies.
    pub(crate) fn end(mut self, has_more: bool, to_head: bool, accept: AcceptKey) -> Head {
        let head = self.judge(has_more, to_head, accept);
        if matches!(head, Head::Malformed | Head::TooLarge) {
            self.out.truncate(self.start);
        }
        head
    }

    fn judge(&mut self, has_more: bool, to_head: bool, accept: AcceptKey) -> Head {
        if self.fault == Some(Unfit::TooLarge) {
            return Head::TooLarge;
        }
        if self.fault.is_some() || (!self.has_begun && !self.begin()) {
            return Head::Malformed;
        }
        let opens_tunnel = self.opens_tunnel();
        let is_interim = self.status.is_some_and(|status| status.first() == Some(&b'1'));
        if let Some(key) = self.tunnel.filter(|_| opens_tunnel).and_then(|tunnel| tunnel.key.as_ref()) {
            put_line(self.out, b"Sec-WebSocket-Accept", accept(key).as_bytes());
        }
        let has_no_body = to_head || self.status.is_some_and(|status| matches!(&status, b"204" | b"304"));
        let left = match self.length.filter(|_| !opens_tunnel) {
            _ if has_no_body => Some(0),
            length => length,
        };
        // RFC 9113 §8.1: an interim head ends nothing; §8.1.1: and who ends has said all.
        if !has_more && (is_interim || left.is_some_and(|left| left > 0)) {
            return Head::Malformed;
        }
        if !has_more && !has_no_body && !self.is_measured && !opens_tunnel {
            put_line(self.out, b"Content-Length", b"0");
        }
        self.out.extend_from_slice(b"\r\n");
        if is_interim { Head::Interim } else { Head::Final { left, opens_tunnel } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 1000;

    fn write(
        fields: &[(&str, &str)],
        has_more: bool,
        to_head: bool,
        tunnel: Option<&AskedTunnel>,
    ) -> (Head, String) {
        let mut out = b"before|".to_vec();
        let mut text = HeadText::new(&mut out, BYTES_MAX, tunnel);
        let _ = fields.iter().try_for_each(|(name, value)| text.take(name.as_bytes(), value.as_bytes()));
        let head = text.end(has_more, to_head, |key| format!("<{}>", key.escape_ascii()));
        (head, String::from_utf8(out).unwrap().strip_prefix("before|").unwrap().to_owned())
    }

    #[test]
    fn heads_are_written_out() {
        let whole = |left| Head::Final { left, opens_tunnel: false };
        let ok = |more: &[(&'static str, &'static str)]| [&[(":status", "200")], more].concat();
        let cases = [
            (ok(&[("a", "1"), ("a", "2")]), true, false, whole(None), "200 \r\na: 1\r\na: 2\r\n\r\n"),
            (ok(&[]), false, false, whole(None), "200 \r\nContent-Length: 0\r\n\r\n"),
            (ok(&[]), false, true, whole(Some(0)), "200 \r\n\r\n"),
            (
                ok(&[("content-length", "7")]),
                true,
                false,
                whole(Some(7)),
                "200 \r\ncontent-length: 7\r\n\r\n",
            ),
            (
                ok(&[("content-length", "7")]),
                false,
                true,
                whole(Some(0)),
                "200 \r\ncontent-length: 7\r\n\r\n",
            ),
            (ok(&[("a", "\t1 ")]), true, false, whole(None), "200 \r\na: 1\r\n\r\n"),
            (vec![(":status", "304")], false, false, whole(Some(0)), "304 \r\n\r\n"),
            (vec![(":status", "103"), ("link", "x")], true, false, Head::Interim, "103 \r\nlink: x\r\n\r\n"),
        ];
        for (fields, has_more, to_head, head, text) in cases {
            let text = format!("HTTP/1.1 {text}");
            assert_eq!(write(&fields, has_more, to_head, None), (head, text), "{fields:?}");
        }
    }

    #[test]
    fn a_success_opens_a_tunnel_and_nothing_else_does() {
        let tunnel = AskedTunnel { protocol: (*b"websocket").into(), key: Some((*b"k").into()) };
        let fields = [("content-length", "5"), ("sec-websocket-accept", "x"), ("a", "1")];
        let answer =
            |status| write(&[&[(":status", status)], &fields[..]].concat(), true, false, Some(&tunnel));
        let text = "HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: websocket\r\na: 1\r\n\
                    Sec-WebSocket-Accept: <k>\r\n\r\n";
        assert_eq!(answer("200"), (Head::Final { left: None, opens_tunnel: true }, text.to_owned()));
        assert_eq!(answer("403").0, Head::Final { left: Some(5), opens_tunnel: false });
    }

    #[test]
    fn what_is_malformed_is_no_head_and_leaves_nothing_behind() {
        let long = "y".repeat(BYTES_MAX);
        let cases: [&[(&str, &str)]; 13] = [
            &[],
            &[("a", "1")],
            &[(":status", "20")],
            &[(":status", "0200")],
            &[(":status", "099")],
            &[(":status", "101")],
            &[(":status", "2 0")],
            &[(":status", "200"), (":status", "200")],
            &[(":path", "/"), (":status", "200")],
            &[(":status", "200"), ("a", "1"), (":status", "200")],
            &[(":status", "200"), ("Upper", "1")],
            &[(":status", "200"), ("a", "1\r\nb: 2")],
            &[(":status", "200"), ("connection", "close")],
        ];
        for fields in cases {
            assert_eq!(write(fields, true, false, None), (Head::Malformed, String::new()), "{fields:?}");
        }
        let too_long = write(&[(":status", "200"), ("a", &long)], true, false, None);
        assert_eq!(too_long, (Head::TooLarge, String::new()));
        let over = |fields: &[(&str, &str)]| write(fields, false, false, None).0;
        assert_eq!(over(&[(":status", "100")]), Head::Malformed, "an interim head ends nothing");
        assert_eq!(over(&[(":status", "200"), ("content-length", "1")]), Head::Malformed);
    }
}
