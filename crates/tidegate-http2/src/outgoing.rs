//! Bytes for the other side, until they leave. Knows how frames are put there, nothing of what they say.

use crate::fault::Code;
use crate::frame::{FrameHeader, HEADER_BYTES, PAYLOAD_BYTES_MAX, flag, kind};

/// So much of answers waits in a connection; what does not fit waits where it comes from.
pub const UNSENT_BYTES_MAX: usize = 32 * 1024;

/// A piece is not cut to less than this for want of room.
const PIECE_BYTES_MIN: usize = 4 * 1024;

/// While more than this waits, nothing more is read: what we say about what we read would only grow.
const READS_BELOW: usize = UNSENT_BYTES_MAX + 16 * 1024;

/// Memory that a connection keeps when all has left.
const KEPT_BYTES_MAX: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// Have left.
    sent: usize,
    /// So many have left that are not in `bytes` any more.
    left_before: u64,
    /// Where the last frame begins.
    last_frame: usize,
}

impl Outgoing {
    #[inline]
    pub(crate) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// For a piece of a body, or a head; none where it is too little to be worth a frame.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        let room = UNSENT_BYTES_MAX.saturating_sub(self.unsent().len());
        if room < PIECE_BYTES_MIN { 0 } else { room }
    }

    pub(crate) fn may_read(&self) -> bool {
        self.unsent().len() < READS_BELOW
    }

    pub(crate) fn handle_sent(&mut self, length: usize) {
        self.sent = self.sent.saturating_add(length).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.left_before += self.sent as u64;
            (self.sent, self.last_frame) = (0, 0);
        } else if self.sent >= UNSENT_BYTES_MAX && self.last_frame >= self.sent {
            self.bytes.drain(..self.sent);
            self.left_before += self.sent as u64;
            self.last_frame -= self.sent;
            self.sent = 0;
        }
    }

    /// So many bytes have left.
    pub(crate) fn left(&self) -> u64 {
        self.left_before + self.sent as u64
    }

    /// The same, when all has left that is there.
    pub(crate) fn position(&self) -> u64 {
        self.left_before + self.bytes.len() as u64
    }

    /// Gives memory back that is not needed at the time.
    pub(crate) fn trim(&mut self) {
        if self.is_empty() && self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What a connection begins with, before all frames.
    pub(crate) fn put_preface(&mut self, preface: &[u8]) {
        self.bytes.extend_from_slice(preface);
    }

    pub(crate) fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes.reserve(HEADER_BYTES + payload.len());
        self.last_frame = self.bytes.len();
        self.bytes.extend_from_slice(&FrameHeader { length: payload.len(), kind, flags, stream }.bytes());
        self.bytes.extend_from_slice(payload);
    }

    pub(crate) fn put_reset(&mut self, stream: u32, code: Code) {
        self.put(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    pub(crate) fn put_goodbye(&mut self, last_stream: u32, code: Code) {
        let [last_stream, code] = [last_stream, code.0].map(u32::to_be_bytes);
        self.put(kind::GOAWAY, 0, 0, [last_stream, code].as_flattened());
    }

    pub(crate) fn put_window(&mut self, stream: u32, more: u32) {
        self.put(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    /// Says that a stream ends with the head or the piece of a body that was put last, if it is one of its own and has not begun to
    /// leave.
    pub(crate) fn end_last(&mut self, stream: u32) -> bool {
        if self.last_frame < self.sent {
            return false;
        }
        let Some(frame) = self.bytes.get_mut(self.last_frame..) else { return false };
        let Some(header) = FrameHeader::read(frame) else { return false };
        let is_its = matches!(header.kind, kind::DATA | kind::HEADERS) && header.stream == stream;
        if let Some(flags) = frame.get_mut(4).filter(|_| is_its) {
            *flags |= flag::END_STREAM;
        }
        is_its
    }

    /// A field block, in as many frames as it takes; `None`: `write` could not.
    pub(crate) fn put_block<T>(
        &mut self,
        stream: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Option<T>,
        ends: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let start = self.bytes.len();
        self.last_frame = start;
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        let Some(written) = write(&mut self.bytes) else {
            self.bytes.truncate(start);
            return None;
        };
        let end_stream = if ends(&written) { flag::END_STREAM } else { 0 };
        let length = self.bytes.len() - start - HEADER_BYTES;
        let fits = length <= PAYLOAD_BYTES_MAX;
        let flags = if fits { flag::END_HEADERS | end_stream } else { end_stream };
        let first = FrameHeader { length: length.min(PAYLOAD_BYTES_MAX), kind: kind::HEADERS, flags, stream };
        if let Some(header) = self.bytes.get_mut(start..start + HEADER_BYTES) {
            header.copy_from_slice(&first.bytes());
        }
        if !fits {
            let rest = self.bytes.split_off(start + HEADER_BYTES + PAYLOAD_BYTES_MAX);
            let mut pieces = rest.chunks(PAYLOAD_BYTES_MAX).peekable();
            while let Some(piece) = pieces.next() {
                let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
                self.put(kind::CONTINUATION, flags, stream, piece);
            }
        }
        Some(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_blocks_take_several_frames() {
        for length in [0, 1, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1, 3 * PAYLOAD_BYTES_MAX] {
            let mut out = Outgoing::default();
            out.put(kind::PING, 0, 0, b"12345678");
            let before = out.unsent().len();
            let block: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let written = out.put_block(
                3,
                |out| {
                    out.extend_from_slice(&block);
                    Some(())
                },
                |()| true,
            );
            assert_eq!(written, Some(()));
            let (mut rest, mut joined, mut kinds) = (&out.unsent()[before..], Vec::new(), Vec::new());
            while let Some(header) = FrameHeader::read(rest) {
                assert_eq!(header.stream, 3);
                joined.extend_from_slice(&rest[HEADER_BYTES..HEADER_BYTES + header.length]);
                rest = &rest[HEADER_BYTES + header.length..];
                kinds.push((
                    header.kind,
                    header.flags & flag::END_HEADERS != 0,
                    header.flags & flag::END_STREAM != 0,
                ));
            }
            assert_eq!(joined, block);
            let frames = length.div_ceil(PAYLOAD_BYTES_MAX).max(1);
            let expected: Vec<_> = (1..=frames)
                .map(|frame| {
                    (if frame == 1 { kind::HEADERS } else { kind::CONTINUATION }, frame == frames, frame == 1)
                })
                .collect();
            assert_eq!(kinds, expected, "{length}");
        }
    }

    #[test]
    fn a_stream_ends_with_its_last_piece_unless_that_has_begun_to_leave() {
        let mut out = Outgoing::default();
        out.put(kind::DATA, 0, 1, b"one");
        assert!(!out.end_last(3), "of another stream");
        assert!(out.end_last(1));
        assert_eq!(FrameHeader::read(out.unsent()).map(|header| header.flags), Some(flag::END_STREAM));
        out.put(kind::PING, 0, 0, &[0; 8]);
        assert!(!out.end_last(1), "not the last");
        out.put(kind::DATA, 0, 3, b"three");
        out.handle_sent(12 + 17 + 1);
        assert!(!out.end_last(3), "its header is half away");
        out.handle_sent(usize::MAX);
        assert!(!out.end_last(3), "nothing is there");
    }

    #[test]
    fn what_could_not_be_written_leaves_nothing_behind() {
        let mut out = Outgoing::default();
        let failed = out.put_block(
            1,
            |out| {
                out.push(7);
                None::<()>
            },
            |()| false,
        );
        assert!(failed.is_none() && out.is_empty());
    }

    #[test]
    fn what_has_left_makes_room() {
        let mut out = Outgoing::default();
        assert_eq!(out.room(), UNSENT_BYTES_MAX);
        out.put(kind::DATA, 0, 1, &[7; 1000]);
        assert_eq!(out.room(), UNSENT_BYTES_MAX - 1009);
        out.handle_sent(9);
        assert_eq!((out.room(), out.unsent()), (UNSENT_BYTES_MAX - 1000, &[7; 1000][..]));
        out.handle_sent(1000);
        assert_eq!(out.room(), UNSENT_BYTES_MAX);
        out.put(kind::DATA, 0, 1, &vec![7; UNSENT_BYTES_MAX - PIECE_BYTES_MIN]);
        assert_eq!(out.room(), 0);
        out.handle_sent(9);
        assert_eq!(out.room(), PIECE_BYTES_MIN);
    }
}
