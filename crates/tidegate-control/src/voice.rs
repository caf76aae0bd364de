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
        (self.0)(Level::Error, &line.to_string());
    }

    pub(crate) fn note(&self, line: impl fmt::Display) {
        (self.0)(Level::Note, &line.to_string());
    }

    pub(crate) fn report(&self, lines: &str) {
        (self.0)(Level::Report, lines);
    }

    pub(crate) fn warning(&self, line: impl fmt::Display) {
        (self.0)(Level::Warning, &line.to_string());
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Voice")
    }
}
