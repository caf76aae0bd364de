//! One field line after the other, resumable at any byte (RFC 9112 §5). Knows names and white space, not meanings.

use crate::scan::{name_end, text_end};
use crate::{Field, FieldKind, Span};

/// Where in a section of field lines reading stopped; offsets of the whole buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineReader {
    /// The line being read begins here.
    start: usize,
    /// Its colon; 0 as long as it was not seen.
    colon: usize,
    /// What the name before the colon is.
    kind: FieldKind,
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
        Self { start, at: start, ..Self::default() }
    }

    /// Reads on where it stopped; `bytes` is the same buffer, grown.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Line, LineFault> {
        if self.colon == 0 {
            self.at = name_end(bytes, self.at);
            match bytes.get(self.at) {
                Some(b':') if self.at > self.start => self.end_name(bytes)?,
                Some(_) => return self.without_name(bytes),
                None => return self.unfinished_name(bytes),
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

    #[inline]
    fn end_name(&mut self, bytes: &[u8]) -> Result<(), LineFault> {
        let name = bytes.get(self.start..self.at).unwrap_or_default();
        let Some(kind) = FieldKind::of(name) else { return Err(self.nameless(bytes)) };
        (self.colon, self.kind) = (self.at, kind);
        Ok(())
    }

    /// The line that ends with the CRLF at `self.at`; the next one begins behind it.
    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Field {
        let start = if bytes.get(self.colon + 1) == Some(&b' ') { self.colon + 2 } else { self.colon + 1 };
        let (start, end) = match bytes.get(start..self.at) {
            Some([0..=b' ', ..] | [.., 0..=b' ']) => trimmed(bytes, start, self.at),
            _ => (start, self.at),
        };
        let name = Span::new(self.start, self.colon);
        let line = Span::new(self.start, self.at + 2);
        let field = Field { name, value: Span::new(start, end), line, kind: self.kind };
        (self.start, self.colon, self.at) = (self.at + 2, 0, self.at + 2);
        field
    }

    /// The line has no name and colon: it is the empty one, or an error.
    fn without_name(self, bytes: &[u8]) -> Result<Line, LineFault> {
        if self.at > self.start {
            return Err(self.nameless(bytes));
        }
        match bytes.get(self.at..) {
            Some([b'\r', b'\n', ..]) => Ok(Line::End(self.at + 2)),
            Some([b'\r']) => Ok(Line::NeedMore),
            Some([b'\r' | b'\n', ..]) => Err(LineFault::Ending), // RFC 9112 §2.2: a bare LF may be refused
            _ => Err(self.nameless(bytes)),
        }
    }

    fn unfinished_name(self, bytes: &[u8]) -> Result<Line, LineFault> {
        match self.nameless(bytes) {
            LineFault::Folded => Err(LineFault::Folded),
            _ => Ok(Line::NeedMore),
        }
    }

    /// RFC 9112 §5.1: a token, and no white space before the colon; §5.2: no line folding.
    #[cold]
    fn nameless(self, bytes: &[u8]) -> LineFault {
        match bytes.get(self.start) {
            Some(b' ' | b'\t') => LineFault::Folded,
            _ => LineFault::Name,
        }
    }
}

/// Without white space around it. In a value, what is not above SP is SP or HTAB.
#[cold]
fn trimmed(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let value = bytes.get(start..end).unwrap_or_default();
    let without_end = value.trim_ascii_end();
    let trimmed = without_end.trim_ascii_start();
    (start + without_end.len() - trimmed.len(), start + without_end.len())
}
