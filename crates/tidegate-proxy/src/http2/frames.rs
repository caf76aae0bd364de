//! The frames of one direction, as their bytes go by (RFC 9113 §4.1). Knows where each begins and ends and what it is about,
//! nothing of what is in it.

/// Types of frames (RFC 9113 §6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Of what GOAWAY says, the last stream and the code; `RST_STREAM` says the code alone (RFC 9113 §6.4, §6.8).
const GOAWAY_BYTES: usize = 8;

/// What each frame begins with.
const HEADER_BYTES: usize = 9;

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    kind: u8,
    flags: u8,
    pub(super) length: u32,
}

impl Begun {
    fn read(header: [u8; HEADER_BYTES]) -> Self {
        let [high, middle, low, kind, flags, ..] = header;
        Self { kind, flags, length: u32::from_be_bytes([0, high, middle, low]) }
    }

    /// RFC 9113 §6: frames of a kind that has one size.
    pub(super) fn has_wrong_size(self) -> bool {
        match self.kind {
            kind::RST_STREAM | kind::WINDOW_UPDATE => self.length != 4,
            kind::PING => self.length != 8,
            kind::SETTINGS if self.flags & END_STREAM != 0 => self.length != 0, // an acknowledgement
            kind::SETTINGS => !self.length.is_multiple_of(6),
            kind::GOAWAY => self.length < 8,
            _ => false,
        }
    }

    pub(super) fn is_data(self) -> bool {
        self.kind == kind::DATA
    }

    pub(super) fn begins_request(self) -> bool {
        self.kind == kind::HEADERS
    }

    /// Says something of a stream's message, if only that it is over.
    pub(super) fn moves_message(self) -> bool {
        match self.kind {
            kind::DATA => self.length > 0 || self.flags & END_STREAM != 0,
            kind::HEADERS | kind::CONTINUATION => true,
            _ => false,
        }
    }

    fn ends_something(self) -> bool {
        matches!(self.kind, kind::RST_STREAM | kind::GOAWAY)
    }

    fn opens_block(self) -> bool {
        matches!(self.kind, kind::HEADERS | kind::CONTINUATION) && self.flags & END_HEADERS == 0
    }
}

/// What a frame has ended, with the code that says why (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Connection(u32),
    Stream(u32),
}

/// Where the bytes are.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What comes before the first frame.
    before: usize,
    header: [u8; HEADER_BYTES],
    /// So much of the header has come.
    header_bytes: usize,
    /// So much of the payload is to come.
    payload_left: usize,
    current: Option<Begun>,
    /// A field block goes on in the next frame.
    in_block: bool,
    /// What a frame that ends something begins with.
    said: u64,
    said_bytes: usize,
    ended: Option<Ended>,
    /// Frames that came whole, but for those whose field block is not over.
    whole: u64,
}

impl Frames {
    /// Behind a preface of so many bytes.
    pub(super) fn behind(before: usize) -> Self {
        Self { before, ..Self::default() }
    }

    /// Goes over the bytes of one frame's header or payload; says how many those are, and what begins with them.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Option<Begun>) {
        if self.before > 0 {
            let length = self.before.min(bytes.len());
            self.before -= length;
            return (length, None);
        }
        if self.payload_left > 0 {
            let length = self.payload_left.min(bytes.len());
            if self.current.is_some_and(Begun::ends_something) {
                let wanted = bytes.iter().take(length).take(GOAWAY_BYTES - self.said_bytes);
                (self.said, self.said_bytes) = wanted
                    .fold((self.said, self.said_bytes), |(said, count), byte| {
                        (said << 8 | u64::from(*byte), count + 1)
                    });
            }
            self.payload_left -= length;
            if self.payload_left == 0 {
                self.end_frame();
            }
            return (length, None);
        }
        let room = self.header.get_mut(self.header_bytes..).unwrap_or_default();
        let length = room.len().min(bytes.len());
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.header_bytes += length;
        if self.header_bytes < HEADER_BYTES {
            return (length, None);
        }
        let begun = Begun::read(self.header);
        self.header_bytes = 0;
        self.payload_left = begun.length as usize;
        self.current = Some(begun);
        if self.payload_left == 0 {
            self.end_frame();
        }
        (length, Some(begun))
    }

    fn end_frame(&mut self) {
        let current = self.current.take();
        if let Some(begun) = current.filter(|begun| begun.ends_something()) {
            let code = self.said as u32; // the last four bytes of either
            let is_stream = begun.kind == kind::RST_STREAM;
            self.ended = Some(if is_stream { Ended::Stream(code) } else { Ended::Connection(code) });
            (self.said, self.said_bytes) = (0, 0);
        }
        self.in_block = current.is_some_and(Begun::opens_block);
        self.whole += u64::from(!self.in_block);
    }

    /// One frame at least has come whole.
    pub(super) fn is_beyond_first(&self) -> bool {
        self.whole > 0
    }

    /// What has ended, if the last step came to the end of a frame that says so.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Something that has to go on soon: the beginning, a frame or a field block, by a number of its own. Data may take its time, since the
    /// streams have a patience of their own for it.
    pub(super) fn unfinished(&self) -> Option<u64> {
        let amid = match self.current {
            Some(begun) => !begun.is_data(),
            None => self.header_bytes > 0 || self.in_block || self.whole == 0,
        };
        amid.then_some(self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// What begins, and what is unfinished when all bytes have gone by.
    fn walk(before: usize, pieces: &[&[u8]]) -> (Vec<(u8, u32)>, Option<u64>) {
        let mut frames = Frames::behind(before);
        let mut begun = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (length, found) = frames.step(rest);
                assert!(length > 0, "it stands still");
                begun.extend(found.map(|found| (found.kind, found.length)));
                rest = &rest[length..];
            }
        }
        (begun, frames.unfinished())
    }

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let all = [
            b"preface".to_vec(),
            frame(kind::SETTINGS, 0, &[0; 6]),
            frame(kind::HEADERS, END_HEADERS, b"block"),
            frame(kind::DATA, 0, b""),
            frame(kind::DATA, END_STREAM, b"data"),
        ]
        .concat();
        let expected = vec![(kind::SETTINGS, 6), (kind::HEADERS, 5), (kind::DATA, 0), (kind::DATA, 4)];
        assert_eq!(walk(7, &[&all]), (expected.clone(), None));
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(walk(7, &bytes), (expected, None));
    }

    #[test]
    fn why_something_ends_is_read_however_its_bytes_come() {
        let bytes = [
            frame(kind::RST_STREAM, 0, &[0, 0, 1, 7]),
            frame(kind::PING, 0, &[9; 8]),
            frame(kind::GOAWAY, 0, b"\0\0\0\x09\0\0\0\x0bwhatever"),
        ]
        .concat();
        for size in [1, 3, 64] {
            let mut frames = Frames::default();
            let mut ended = Vec::new();
            for piece in bytes.chunks(size) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (length, _) = frames.step(rest);
                    ended.extend(frames.take_ended());
                    rest = &rest[length..];
                }
            }
            assert_eq!(ended, [Ended::Stream(263), Ended::Connection(11)], "{size}");
        }
    }

    #[test]
    fn what_is_unfinished_is_told_apart_from_what_may_wait() {
        let open = frame(kind::HEADERS, 0, b"block");
        let cases: [(&str, Vec<u8>, Option<u64>); 7] = [
            ("the beginning", Vec::new(), Some(0)),
            ("a part of a header", vec![0, 0], Some(0)),
            ("a part of a payload", frame(kind::PING, 0, &[0; 8])[..12].to_vec(), Some(0)),
            ("an open block", open.clone(), Some(0)),
            ("the same, continued", [open, frame(kind::CONTINUATION, 0, b"")].concat(), Some(0)),
            ("a whole frame", frame(kind::SETTINGS, 0, b""), None),
            ("a part of some data", frame(kind::DATA, 0, b"data")[..11].to_vec(), None),
        ];
        for (what, bytes, expected) in cases {
            assert_eq!(walk(0, &[&bytes]).1, expected, "{what}");
        }
    }
}
