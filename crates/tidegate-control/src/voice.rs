//! What the control plane tells the operator, a line at a time. Knows no terminal and no log format.

use std::fmt;
use std::sync::Arc;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something did not go as configured, and the proxy goes on.
    Error,
    /// Something happened that an operator wants to know.
    Note,
    /// Several lines that bring their own words, such as what is wrong with a file.
    Report,
    /// Something is legal but surprising, or has become worse.
    Warning,
}

type Say = dyn Fn(Level, &str) + Send + Sync;

/// Where lines go.
#[derive(Clone)]
pub struct Voice(Arc<Say>);

impl Voice {
    pub fn new(say: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    /// Says nothing to anybody.
    pub fn silent() -> Self {
        Self::new(|_, _| {})
    }

    pub(crate) fn error(&self, line: impl fmt::Display) {
        (self.0)(Level::Error, &on_one_line(&line.to_string()));
    }

    pub(crate) fn note(&self, line: impl fmt::Display) {
        (self.0)(Level::Note, &on_one_line(&line.to_string()));
    }

    pub(crate) fn report(&self, lines: &str) {
        (self.0)(Level::Report, lines);
    }

    pub(crate) fn warning(&self, line: impl fmt::Display) {
        (self.0)(Level::Warning, &on_one_line(&line.to_string()));
    }
}

/// Authorities, endpoints and files have words of theirs in it: none of them begins a line of its own, or moves a cursor.
fn on_one_line(line: &str) -> String {
    line.chars().fold(String::with_capacity(line.len()), |mut said, letter| {
        if letter.is_control() || is_unseen(letter) {
            said.extend(letter.escape_default());
        } else {
            said.push(letter);
        }
        said
    })
}

/// What ends a line, or turns what stands around it, without being a control character (Unicode: Zl, Zp and
/// `Bidi_Control`).
fn is_unseen(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for Voice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Voice")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_begins_a_line() {
        let said = on_one_line("it says \"no\r\nerror: fake \u{1b}[31m\" für 日本");
        assert_eq!(said, "it says \"no\\r\\nerror: fake \\u{1b}[31m\" für 日本");
        let said = on_one_line("a\u{202e}b\u{2028}c\u{2066}d\u{200f}e");
        assert_eq!(said, "a\\u{202e}b\\u{2028}c\\u{2066}d\\u{200f}e");
    }
}
