//! The nine bytes that each frame begins with (RFC 9113 §4.1). Knows nothing of what follows them.

pub(crate) const HEADER_BYTES: usize = 9;

/// The longest payload that everybody takes (RFC 9113 §4.2). We neither announce more nor send more.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16_384;

/// Types of frames (RFC 9113 §6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 §6).
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Of the payload.
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHeader {
    /// `None`: not all of it is there.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, stream @ ..] = bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, *high, *middle, *low]) as usize,
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes(*stream) & 0x7fff_ffff, // the reserved bit is ignored
        })
    }

    #[inline]
    pub(crate) fn bytes(self) -> [u8; HEADER_BYTES] {
        let [_, high, middle, low] = (self.length as u32).to_be_bytes();
        let [a, b, c, d] = self.stream.to_be_bytes();
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }

    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// RFC 9113 §4.2, §6: longer than we take, or of a kind that has one size.
    pub(crate) fn has_wrong_size(self) -> bool {
        let length = self.length;
        match self.kind {
            _ if length > PAYLOAD_BYTES_MAX => true,
            kind::RST_STREAM | kind::WINDOW_UPDATE => length != 4,
            kind::PING => length != 8,
            kind::SETTINGS if self.has(flag::ACK) => length != 0,
            kind::SETTINGS => !length.is_multiple_of(6),
            kind::GOAWAY => length < 8,
            _ => false,
        }
    }

    /// RFC 9113 §6: frames about the connection have no stream, all others that we know have one. §5.1.1: those of clients are odd;
    /// even ones are idle for ever, and nothing but PRIORITY may be said of those (§5.1).
    pub(crate) fn has_wrong_stream(self) -> bool {
        let is_even = self.stream.is_multiple_of(2);
        match self.kind {
            kind::SETTINGS | kind::PING | kind::GOAWAY => self.stream != 0,
            kind::DATA | kind::HEADERS | kind::RST_STREAM | kind::CONTINUATION => is_even,
            kind::PRIORITY => self.stream == 0,
            kind::WINDOW_UPDATE => is_even && self.stream != 0,
            _ => false,
        }
    }

    /// What is left of the payload without its padding (RFC 9113 §6.1, §6.2); `None`: there is more padding than payload.
    pub(crate) fn unpadded(self, payload: &[u8]) -> Option<&[u8]> {
        if !self.has(flag::PADDED) {
            return Some(payload);
        }
        let (padding, rest) = payload.split_first()?;
        rest.get(..rest.len().checked_sub(usize::from(*padding))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = FrameHeader { length: 0x01_02_03, kind: 4, flags: 5, stream: 0x0607_0809 };
        let bytes = header.bytes();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(FrameHeader::read(&bytes), Some(header));
        assert_eq!(FrameHeader::read(&bytes[..8]), None);
        assert_eq!(FrameHeader::read(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]).map(|header| header.stream), Some(1));
    }

    #[test]
    fn padding_is_taken_away_and_never_more_than_there_is() {
        let header = FrameHeader { length: 0, kind: 0, flags: flag::PADDED, stream: 1 };
        let cases: [(&[u8], Option<&[u8]>); 5] = [
            (&[2, b'a', 0, 0], Some(b"a")),
            (&[0, b'a'], Some(b"a")),
            (&[1, 0], Some(b"")),
            (&[2, 0], None),
            (&[], None),
        ];
        for (payload, expected) in cases {
            assert_eq!(header.unpadded(payload), expected, "{payload:?}");
        }
    }
}
