//! What an endpoint says that is no HTTP/2, or is no answer in it: in words that a log can have. Knows no endpoint.

use std::io::{self, ErrorKind};

/// Found by the codec, which has sent the frame that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// An answer that RFC 9113 §8.1.1 calls malformed: its stream has been reset.
    Answer,
    /// Something that is wrong with all of the connection (RFC 9113 §5.4.1), whoever's answer it was about, if it was about one.
    Connection,
    /// It never began with SETTINGS (RFC 9113 §3.4), but with something else, most often an answer of HTTP/1.1.
    NotSpoken,
}

impl Breach {
    /// One stable word for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Answer => "http2_answer_malformed",
            Self::Connection => "http2_connection_malformed",
            Self::NotSpoken => "http2_not_spoken",
        }
    }

    /// What an error of a stream stands for.
    pub(crate) fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Breach {}

impl From<Breach> for io::Error {
    fn from(breach: Breach) -> Self {
        Self::new(ErrorKind::InvalidData, breach)
    }
}
