//! Heads of answers, as field blocks: from the text that HTTP/1.1 has for them. The text was written here, so it is well-formed; what
//! is not is left out.

use super::{Lines, field, stays_behind};
use crate::hpack::Encoder;

/// What the head of an answer says of what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How many bytes of text it took.
    pub(crate) length: usize,
    pub(crate) content_length: Option<u64>,
}

/// Writes a field block for the head at the front of `text`; `None`: there is none. To whoever asked for a tunnel, a change of
/// protocols is a success (RFC 8441 §5).
pub(crate) fn write_head(
    text: &[u8],
    opens_tunnel: bool,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) -> Option<Answer> {
    let mut lines = Lines::of(text);
    let digits: [u8; 3] = *lines.next()?.get(9..)?.first_chunk()?;
    let switches = opens_tunnel && digits == *b"101";
    let digits = if switches { *b"200" } else { digits };
    let status =
        digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit.saturating_sub(b'0').min(9)));
    encoder.begin(out);
    encoder.status(digits, out);
    let mut content_length = None;
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            return Some(Answer { status, length: lines.taken, content_length });
        }
        let Some((name, value)) = field(line) else { continue };
        match name.len() {
            7 | 10 | 16 | 17 if stays_behind(name) => continue,
            20 if opens_tunnel && name.eq_ignore_ascii_case(b"sec-websocket-accept") => continue,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                content_length = std::str::from_utf8(value).ok().and_then(|length| length.parse().ok());
            }
            _ => {}
        }
        encoder.field(name, value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::Decoder;
    use std::ops::ControlFlow;

    fn written(text: &str, opens_tunnel: bool) -> (Option<Answer>, Vec<String>) {
        let mut block = Vec::new();
        let answer = write_head(text.as_bytes(), opens_tunnel, &mut Encoder::new(), &mut block);
        (answer, read(&block))
    }

    fn read(block: &[u8]) -> Vec<String> {
        let mut fields = Vec::new();
        let decoded = Decoder::new(4096).decode(block, |name, value| {
            fields.push(String::from_utf8([name, b"=", value].concat()).unwrap());
            ControlFlow::Continue(())
        });
        decoded.unwrap();
        fields
    }

    #[test]
    fn a_head_becomes_fields_and_what_is_behind_it_stays() {
        let text = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\nKeep-Alive: x\r\nX-Empty:\r\n\r\nhello";
        let (answer, fields) = written(text, false);
        assert_eq!(answer, Some(Answer { status: 404, length: text.len() - 5, content_length: Some(5) }));
        assert_eq!(fields, [":status=404", "content-length=5", "x-empty="]);
    }

    #[test]
    fn a_change_of_protocols_is_a_success_for_a_tunnel() {
        let text = "HTTP/1.1 101 \r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        let (answer, fields) = written(text, true);
        assert_eq!(answer.map(|answer| answer.status), Some(200));
        assert_eq!(fields, [":status=200", "sec-websocket-protocol=chat"]);
    }

    #[test]
    fn half_a_head_is_none() {
        for text in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: 1\r\n"] {
            assert_eq!(written(text, false).0, None, "{text:?}");
        }
    }
}
