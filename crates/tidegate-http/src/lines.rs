//! One field line after the other, resumable at any byte (RFC 9112 §5). Knows names and white space, not meanings.

use crate::scan::{TOKEN, text_end};
use crate::{Field, FieldKind, Span};

/// Where in a section of field lines reading stopped; offsets of the whole buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineReader {
    /// The line being read begins here.
    start: usize,
    /// Its colon; 0 as long as it was not seen.
    colon: usize,
    /// Everything before has been looked at and found good.
    at: usize,
}

pub(crate) enum Line {
    Field(Field),
    /// The empty line; the section ends before this offset.
    End(usize),
    NeedMore,
}

/// What is wrong with a field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    Ending,
    Folded,
    Name,
    Value,
}

impl LineReader {
    pub(crate) fn starting_at(start: usize) -> Self {
        Self { start, colon: 0, at: start }
    }

    /// Reads on where it stopped; `bytes` is the same buffer, grown.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Line, LineFault> {
        if self.colon == 0 {
            self.at = TOKEN.end(bytes, self.at);
            match bytes.get(self.at) {
                Some(b':') if self.at > self.start => self.colon = self.at,
                None => return Ok(Line::NeedMore),
                Some(_) => return self.without_name(bytes),
            }
        }
        self.at = text_end(bytes, self.at);
        match bytes.get(self.at..) {
            Some([b'\r', b'\n', ..]) => Ok(Line::Field(self.take(bytes))),
            Some([] | [b'\r']) | None => Ok(Line::NeedMore),
            Some([b'\r' | b'\n', ..]) => Err(LineFault::Ending),
            Some(_) => Err(LineFault::Value),
        }
    }

    /// The line that ends with the CRLF at `self.at`.
    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Field {
        let (mut start, mut end) = (self.colon + 1, self.at);
        while start < end && matches!(bytes.get(start), Some(b' ' | b'\t')) {
            start += 1;
        }
        while start < end && matches!(bytes.get(end - 1), Some(b' ' | b'\t')) {
            end -= 1;
        }
        let name = Span::new(self.start, self.colon);
        let line = Span::new(self.start, self.at + 2);
        *self = Self::starting_at(self.at + 2);
        Field { name, value: Span::new(start, end), line, kind: FieldKind::of(name.of(bytes)) }
    }

    /// The line has no name and colon: it is the empty one, or an error.
    fn without_name(self, bytes: &[u8]) -> Result<Line, LineFault> {
        if self.at > self.start {
            return Err(LineFault::Name); // RFC 9112 §5.1: no white space before the colon, tokens only
        }
        match bytes.get(self.at..) {
            Some([b'\r', b'\n', ..]) => Ok(Line::End(self.at + 2)),
            Some([b'\r']) => Ok(Line::NeedMore),
            Some([b'\r' | b'\n', ..]) => Err(LineFault::Ending), // RFC 9112 §2.2: a bare LF may be refused
            Some([b' ' | b'\t', ..]) => Err(LineFault::Folded),  // RFC 9112 §5.2
            _ => Err(LineFault::Name),
        }
    }
}
