//! Walks along one line of a log, and knows where it stopped. Knows no format.

/// What a line lacks: where, and what should stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// In bytes, from 1.
    pub column: usize,
    pub expected: String,
}

/// What stands between two members of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// `,`
    Next,
    /// ` : `
    Divided,
}

#[derive(Debug)]
pub(super) struct Scan<'l> {
    line: &'l [u8],
    at: usize,
}

impl<'l> Scan<'l> {
    pub(super) fn new(line: &'l [u8]) -> Self {
        Self { line, at: 0 }
    }

    pub(super) fn flaw(&self, expected: &str) -> Flaw {
        Flaw { column: self.at + 1, expected: expected.to_owned() }
    }

    /// Goes behind the next `pattern` and returns what stood before it.
    pub(super) fn until(&mut self, pattern: &[u8], expected: &str) -> Result<&'l [u8], Flaw> {
        let rest = &self.line[self.at..];
        let found = rest.windows(pattern.len()).position(|window| window == pattern);
        let length = found.ok_or_else(|| self.flaw(expected))?;
        self.at += length + pattern.len();
        Ok(&rest[..length])
    }

    /// The next word; `None` at the end.
    pub(super) fn word(&mut self) -> Option<&'l str> {
        let rest = &self.line[self.at..];
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let length = rest[start..].iter().position(|byte| *byte == b' ').unwrap_or(rest.len() - start);
        self.at += start + length;
        std::str::from_utf8(&rest[start..start + length]).ok()
    }

    /// The next word, once more.
    pub(super) fn peek(&self) -> Option<&'l str> {
        Scan { ..*self }.word()
    }

    /// How the list goes on whose member was read last, if it does; stands before the next one then.
    pub(super) fn goes_on(&mut self) -> Option<List> {
        let (read, rest) = self.line.split_at(self.at);
        if rest.starts_with(b" : ") {
            self.at += 2;
            return Some(List::Divided);
        }
        read.ends_with(b",").then_some(List::Next)
    }

    /// The next word read as something; the flaw points at its start.
    pub(super) fn read<T>(&mut self, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Flaw> {
        let blanks = self.line[self.at..].iter().take_while(|byte| **byte == b' ').count();
        let flaw = Flaw { column: self.at + blanks + 1, expected: expected.to_owned() };
        self.word().and_then(parse).ok_or(flaw)
    }
}
