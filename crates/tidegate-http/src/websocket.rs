//! Whether one side of a WebSocket has said its last (RFC 6455 §5.2, §5.5.1): the headers of its frames are read, as far as it
//! takes to find the next one. Knows no payloads, and judges nothing.

const CLOSE: u8 = 8;

/// Masks are four bytes before the payload.
const MASK_BYTES: u64 = 4;

/// What one side sends, from its first byte on.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    header: [u8; 10],
    /// So much of it has come.
    come: usize,
    /// So much of the frame is left.
    left: u64,
    is_close: bool,
}

impl Frames {
    /// The next bytes.
    pub fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.has_closed() {
            if self.left > 0 {
                let passed = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.left -= passed as u64;
                bytes = bytes.get(passed..).unwrap_or_default();
            } else if let Some((first, rest)) = bytes.split_first() {
                self.take(*first);
                bytes = rest;
            }
        }
    }

    /// A whole frame has come that closes.
    pub fn has_closed(&self) -> bool {
        self.is_close && self.left == 0
    }

    /// One byte of a header.
    fn take(&mut self, byte: u8) {
        if let Some(place) = self.header.get_mut(self.come) {
            *place = byte;
            self.come += 1;
        }
        let [first, second, length @ ..] = &self.header;
        let (short, extended) = match second & 0x7f {
            126 => (0, 2),
            127 => (0, 8),
            short => (u64::from(short), 0),
        };
        if self.come < 2 + extended {
            return;
        }
        let length = length.iter().take(extended).fold(short, |length, byte| length << 8 | u64::from(*byte));
        self.is_close = first & 0x0f == CLOSE;
        self.left = length.saturating_add(if second & 0x80 != 0 { MASK_BYTES } else { 0 });
        self.come = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, mask: &[u8], payload: &[u8]) -> Vec<u8> {
        let bit = if mask.is_empty() { 0 } else { 0x80 };
        let length = payload.len();
        let header = match length {
            0..126 => vec![first, bit | length as u8],
            126..0x1_0000 => [&[first, bit | 0x7e][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[first, bit | 0x7f][..], &(length as u64).to_be_bytes()].concat(),
        };
        [&header, mask, payload].concat()
    }

    #[test]
    fn a_frame_that_closes_is_found_behind_others_however_they_come() {
        let close = [0x88, 2, 3, 0xe8];
        let others = [
            vec![],
            frame(0x81, &[], b"\x88\x00"),
            frame(0x82, &[1, 2, 3, 4], &[0x88; 300]),
            [frame(0x01, &[], &vec![0x88; 70_000]), frame(0x89, &[], b""), frame(0x80, &[], b"end")].concat(),
        ];
        for before in others {
            for close in [&close[..], &frame(0x88, &[9; 4], &close[2..]), &frame(0x88, &[], b"")] {
                let all = [&before, close].concat();
                for piece in [1, 7, all.len()] {
                    let (mut frames, last) = (Frames::default(), all.len() - 1);
                    all[..last].chunks(piece).for_each(|bytes| frames.see(bytes));
                    assert!(!frames.has_closed(), "all but the last byte");
                    frames.see(&all[last..]);
                    assert!(frames.has_closed());
                    frames.see(b"\x81\x05whatever follows");
                    assert!(frames.has_closed());
                }
            }
        }
    }

    #[test]
    fn what_is_no_frame_ends_nothing() {
        let mut frames = Frames::default();
        frames.see(&[0xff; 1000]);
        assert!(!frames.has_closed(), "it says that it goes on for long");
    }
}
