//! Heads of requests, as field blocks: from the text that HTTP/1.1 has for them. The text was written here, so it is well-formed; what
//! is not is left out.

use super::{Lines, field, number, stays_behind};
use crate::hpack::Encoder;

/// What the head of a request says of what follows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How many bytes of text it took.
    pub(crate) length: usize,
    pub(crate) is_head: bool,
    pub(crate) has_body: bool,
    pub(crate) content_length: Option<u64>,
    pub(crate) tunnel: Option<AskedTunnel>,
}

/// What an upgrade of HTTP/1.1 asks for, which HTTP/2 knows as an extended CONNECT (RFC 8441).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AskedTunnel {
    /// In lower case.
    pub(crate) protocol: Box<[u8]>,
    /// Of a WebSocket, whose client wants to see that it was read; HTTP/2 does without.
    pub(crate) key: Option<Box<[u8]>>,
}

/// Writes a field block for the head at the front of `text`; `None`: there is none.
pub(crate) fn write_head(
    text: &[u8],
    scheme: &[u8],
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) -> Option<Asked> {
    let mut lines = Lines::of(text);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let (mut asked, authority) = look_ahead(&mut lines)?;
    asked.is_head = method == b"HEAD";
    encoder.begin(out);
    encoder.field(b":method", if asked.tunnel.is_some() { b"CONNECT" } else { method }, out);
    encoder.field(b":scheme", scheme, out);
    if let Some(authority) = authority {
        encoder.field(b":authority", authority, out);
    }
    encoder.field(b":path", target, out);
    if let Some(tunnel) = &asked.tunnel {
        encoder.field(b":protocol", &tunnel.protocol, out);
    }
    let lines = Lines::of(text.get(..asked.length)?).skip(1);
    for (name, value) in lines.filter_map(field) {
        let stays = match name.len() {
            4 => name.eq_ignore_ascii_case(b"host"),
            // RFC 8441 §5: of a tunnel it is not used.
            17 if asked.tunnel.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key") => true,
            _ => stays_behind(name),
        };
        if !stays {
            encoder.field(name, value, out);
        }
    }
    Some(asked)
}

/// What the fields say that has to be known before the first of them is written.
fn look_ahead<'a>(lines: &mut Lines<'a>) -> Option<(Asked, Option<&'a [u8]>)> {
    let (mut asked, mut authority) = (Asked::default(), None);
    let (mut protocol, mut key) = (None, None);
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = field(line) else { continue };
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => authority = Some(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => protocol = Some(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                asked.content_length = number(value);
                asked.has_body = true; // though it were empty, there may be trailers behind it
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => asked.has_body = true,
            17 if name.eq_ignore_ascii_case(b"sec-websocket-key") => key = Some(value),
            _ => {}
        }
    }
    asked.length = lines.taken;
    asked.tunnel = protocol
        .map(|name| AskedTunnel { protocol: name.to_ascii_lowercase().into(), key: key.map(Into::into) });
    Some((asked, authority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::Decoder;
    use std::ops::ControlFlow;

    fn written(text: &str) -> (Option<Asked>, Vec<String>) {
        let mut block = Vec::new();
        let asked = write_head(text.as_bytes(), b"https", &mut Encoder::new(), &mut block);
        let mut fields = Vec::new();
        let decoded = Decoder::new(4096).decode(&block, |name, value| {
            fields.push(String::from_utf8([name, b"=", value].concat()).unwrap());
            ControlFlow::Continue(())
        });
        decoded.unwrap();
        (asked, fields)
    }

    #[test]
    fn pseudo_fields_come_first_and_what_is_about_the_connection_stays_behind() {
        let text = "POST /a?b=c HTTP/1.1\r\nX-One: 1\r\nHost: app:1\r\nConnection: close, te\r\nTE: trailers\r\n\
                    Content-Length: 5\r\nKeep-Alive: x\r\n\r\nhello";
        let (asked, fields) = written(text);
        let length = text.len() - 5;
        let expected = Asked { length, has_body: true, content_length: Some(5), ..Asked::default() };
        assert_eq!(asked, Some(expected));
        let pseudo = [":method=POST", ":scheme=https", ":authority=app:1", ":path=/a?b=c"];
        assert_eq!(fields, [&pseudo[..], &["x-one=1", "te=trailers", "content-length=5"]].concat());
    }

    #[test]
    fn bodies_are_announced_by_either_field() {
        let has_body = |field: &str| {
            let (asked, _) = written(&format!("HEAD / HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
            asked.map(|asked| (asked.is_head, asked.has_body))
        };
        assert_eq!(has_body(""), Some((true, false)));
        assert_eq!(has_body("Transfer-Encoding: chunked\r\n"), Some((true, true)));
        assert_eq!(has_body("Content-Length: 0\r\n"), Some((true, true)));
    }

    #[test]
    fn an_upgrade_is_an_extended_connect() {
        let (asked, fields) = written(
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        let tunnel = AskedTunnel { protocol: (*b"websocket").into(), key: Some((*b"k").into()) };
        assert_eq!(asked.and_then(|asked| asked.tunnel), Some(tunnel));
        let pseudo =
            [":method=CONNECT", ":scheme=https", ":authority=a", ":path=/chat", ":protocol=websocket"];
        assert_eq!(fields, [&pseudo[..], &["sec-websocket-version=13"]].concat());
    }

    #[test]
    fn half_a_head_is_none() {
        for text in ["", "GET / HT", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "GET\r\n\r\n"] {
            assert_eq!(written(text).0, None, "{text:?}");
        }
    }
}
