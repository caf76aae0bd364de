//! A client of HTTP/2 that sends any frames, however wrong, and reads back what comes.
//!
//! Frames and field blocks are written by hand (RFC 9113 §4, RFC 7541 §6), so that no library refuses to say what a test
//! wants said. Never repairs anything; answers the settings and pings of the other side, because a test that forgets that
//! would test something else.

use std::net::SocketAddr;

use crate::client::{Client, Delivery};
use crate::wire::{Gone, Wire};

/// RFC 9113 §3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 §6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 §6).
pub mod flag {
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// Error codes (RFC 9113 §7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// Names of settings (RFC 9113 §6.5.2).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// One frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    fn is_ack(&self) -> bool {
        self.flags & flag::ACK != 0
    }

    fn number(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().expect("four")))
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A final answer whose body came to its end.
    Answer { status: u16, body: Vec<u8> },
    /// The connection ended, without a word or with one that says nothing of an error.
    Closed(Gone),
    /// `GOAWAY` with this code.
    GoneAway(u32),
    /// `RST_STREAM` with this code.
    Reset(u32),
}

impl Fate {
    pub fn status(&self) -> Option<u16> {
        if let Self::Answer { status, .. } = self { Some(*status) } else { None }
    }
}

/// Nine bytes of header, then the payload (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    framed_as(u32::try_from(payload.len()).expect("a payload of a test"), kind, flags, stream, payload)
}

/// The same with a length that may not be the payload's.
pub fn framed_as(length: u32, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&header, payload].concat()
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let value = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, flag::NONE, 0, values.iter().flat_map(value).collect::<Vec<u8>>())
}

pub fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, flag::NONE, stream, bytes.to_be_bytes())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, flag::NONE, stream, code.to_be_bytes())
}

pub fn ping(word: u64) -> Vec<u8> {
    frame(kind::PING, flag::NONE, 0, word.to_be_bytes())
}

pub fn go_away(last_stream: u32, code: u32) -> Vec<u8> {
    frame(kind::GOAWAY, flag::NONE, 0, [last_stream.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(kind::PRIORITY, flag::NONE, stream, [&on.to_be_bytes()[..], &[16]].concat())
}

/// A whole field block in one frame, and more to come.
pub fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, block)
}

/// A whole request without a body.
pub fn request(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, block)
}

pub fn data(stream: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(kind::DATA, flag::NONE, stream, bytes)
}

pub fn last_data(stream: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(kind::DATA, flag::END_STREAM, stream, bytes)
}

/// Fields as literals that are not kept, without Huffman codes (RFC 7541 §6.2.2).
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(0, name.as_ref(), value.as_ref())).collect()
}

/// One literal field that the other side keeps in its table from here on (RFC 7541 §6.2.1).
pub fn kept(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    literal(0x40, name.as_ref(), value.as_ref())
}

fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![first], string(name), string(value)].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    [integer(text.len()), text.to_vec()].concat()
}

/// With a prefix of seven bits (RFC 7541 §5.1).
fn integer(value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![value as u8];
    }
    let (mut bytes, mut rest) = (vec![127], value - 127);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// The fields of a plain request, and more after them.
pub fn fields<'a>(method: &'a str, path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")];
    [&pseudo, more].concat()
}

/// A GET of this path, whole.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    request(stream, &block(&fields("GET", path, &[])))
}

/// The head of a POST whose body is to come.
pub fn post(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    headers(stream, &block(&fields("POST", path, more)))
}

/// One connection.
#[derive(Debug)]
pub struct RawHttp2 {
    client: Client,
    /// Frames that came while another stream was waited for.
    kept: Vec<Frame>,
}

impl RawHttp2 {
    /// With a preface and plain settings.
    pub fn connect(to: SocketAddr) -> Self {
        Self::connect_with(to, &[])
    }

    /// With these settings as well. The other side may keep no fields: then its answers can be read without a table.
    pub fn connect_with(to: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut raw = Self::over(Client::connect(to));
        raw.send([PREFACE, &settings(&Self::settings(values))].concat());
        raw
    }

    /// What [`RawHttp2::connect_with`] says first.
    pub fn settings(more: &[(u16, u32)]) -> Vec<(u16, u32)> {
        [&[(setting::HEADER_TABLE_SIZE, 0)], more].concat()
    }

    /// Over a connection on which nothing was said yet.
    pub fn over(client: Client) -> Self {
        Self { client, kept: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.client.send(bytes)
    }

    pub fn deliver(&mut self, bytes: &[u8], delivery: Delivery) -> bool {
        self.client.deliver(bytes, delivery)
    }

    pub fn wire(&mut self) -> &mut Wire {
        self.client.wire()
    }

    pub fn reset(self) {
        self.client.reset();
    }

    /// The next frame, whatever it is.
    pub fn frame(&mut self) -> Result<Frame, Gone> {
        let header = self.wire().exactly(9)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        let payload = self.wire().exactly(length as usize)?;
        Ok(Frame { kind: header[3], flags: header[4], stream, payload })
    }

    /// The next frame that is no housekeeping; settings and pings are answered.
    fn telling(&mut self) -> Result<Frame, Gone> {
        loop {
            let frame = self.frame()?;
            match frame.kind {
                kind::SETTINGS if !frame.is_ack() => {
                    self.send(self::frame(kind::SETTINGS, flag::ACK, 0, []));
                }
                kind::PING if !frame.is_ack() => {
                    self.send(self::frame(kind::PING, flag::ACK, 0, &frame.payload));
                }
                kind::SETTINGS | kind::PING | kind::WINDOW_UPDATE => {}
                _ => return Ok(frame),
            }
        }
    }

    /// Waits until this stream has ended, or the connection.
    pub fn fate(&mut self, stream: u32) -> Fate {
        let (mut status, mut body) = (0, Vec::new());
        let mut came = std::mem::take(&mut self.kept).into_iter();
        loop {
            if let Some(frame) = came.next() {
                if let Some(fate) = self.judge(stream, &mut status, &mut body, frame) {
                    self.kept.extend(came);
                    return fate;
                }
                continue;
            }
            let frame = match self.telling() {
                Ok(frame) => frame,
                Err(gone) => return Fate::Closed(gone),
            };
            if let Some(fate) = self.judge(stream, &mut status, &mut body, frame) {
                return fate;
            }
        }
    }

    fn judge(&mut self, stream: u32, status: &mut u16, body: &mut Vec<u8>, frame: Frame) -> Option<Fate> {
        if frame.kind == kind::GOAWAY {
            // A goodbye lets the streams that have begun end.
            let error = frame.number(4);
            return (error != code::NO_ERROR).then_some(Fate::GoneAway(error));
        }
        if frame.stream != stream {
            self.kept.push(frame);
            return None;
        }
        match frame.kind {
            kind::RST_STREAM => return Some(Fate::Reset(frame.number(0))),
            kind::HEADERS if *status < 200 => *status = self::status(&frame.payload),
            kind::DATA => body.extend_from_slice(&frame.payload),
            _ => {}
        }
        let ends = matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & flag::END_STREAM != 0;
        ends.then(|| Fate::Answer { status: *status, body: std::mem::take(body) })
    }

    /// Waits until the connection has ended, and says with which word.
    pub fn end(&mut self) -> Fate {
        let mut error = None;
        loop {
            match self.telling() {
                Ok(frame) if frame.kind == kind::GOAWAY => error = Some(frame.number(4)),
                Ok(_) => {}
                Err(Gone::Silent) => return Fate::Closed(Gone::Silent),
                Err(gone) => return error.map_or(Fate::Closed(gone), Fate::GoneAway),
            }
        }
    }

    /// Waits for the settings of the other side, after which its limits hold.
    ///
    /// # Panics
    /// When it says something else first.
    pub fn wait_for_settings(&mut self) {
        let first = self.frame().expect("settings");
        assert_eq!((first.kind, first.is_ack()), (kind::SETTINGS, false));
        self.send(frame(kind::SETTINGS, flag::ACK, 0, []));
    }

    /// Waits until a frame of this kind has come for this stream.
    pub fn wait_for(&mut self, kind: u8, stream: u32) -> Result<Frame, Gone> {
        loop {
            let frame = self.telling()?;
            if frame.kind == kind && frame.stream == stream {
                return Ok(frame);
            }
        }
    }
}

/// From a field block of somebody who keeps no fields: `:status` comes first (RFC 9113 §8.3), maybe behind a note on the
/// size of the table (RFC 7541 §6.3).
pub fn status(block: &[u8]) -> u16 {
    let at = block.iter().position(|byte| byte & 0xe0 != 0x20).expect("a field");
    match block[at] {
        indexed if indexed & 0x80 != 0 => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(indexed & 0x7f) - 8]
        }
        _ => digits(&block[at + 1..]),
    }
}

/// Three digits, as they are or in Huffman codes of five and six bits (RFC 7541 Appendix B).
fn digits(string: &[u8]) -> u16 {
    let (length, is_coded) = (usize::from(string[0] & 0x7f), string[0] & 0x80 != 0);
    let bytes = &string[1..=length];
    if !is_coded {
        return std::str::from_utf8(bytes).expect("digits").parse().expect("a status");
    }
    let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let (mut left, mut number) = (8 * length, 0);
    for _ in 0..3 {
        let five = bits >> (left - 5) & 0x1f;
        let digit = if five < 3 {
            left -= 5;
            five
        } else {
            left -= 6;
            (bits >> left & 0x3f) - 0x19 + 3
        };
        number = number * 10 + digit;
    }
    number as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_however_it_is_written() {
        let cases: [(&[u8], u16); 6] = [
            (&[0x88], 200),
            (&[0x20, 0x8d], 404),
            (&[0x48, 3, b'4', b'3', b'1'], 431),
            (&[0x48, 0x82, 0x64, 0x02], 302),       // RFC 7541 §C.6.1
            (&[0x48, 0x83, 0x64, 0x0e, 0xff], 307), // RFC 7541 §C.6.2
            (&[0x08, 3, b'5', b'0', b'3'], 503),
        ];
        for (block, expected) in cases {
            assert_eq!(status(block), expected, "{block:x?}");
        }
    }

    #[test]
    fn lengths_of_any_size_are_written_as_the_rfc_has_them() {
        assert_eq!(integer(10), [10]);
        assert_eq!(integer(127), [127, 0]);
        assert_eq!(integer(1337), [127, 0xba, 9]); // §C.1.2 has a prefix of five bits: 1337 - 127 = 1210
    }
}
