//! HTTP/1 messages, codecs and framing rules.
//!
//! Sans-I/O: bytes go in, decisions and bytes come out. Knows no sockets, no clock, no runtime, no configuration file.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod chunked;
pub mod client;
pub mod cookie;
pub mod field;
pub mod forward;
mod framing;
mod lines;
mod load_report;
pub mod path;
pub mod proxy_protocol;
pub mod request;
pub mod response;
mod scan;
pub mod status;
pub mod websocket;

pub use field::{Field, FieldKind, FieldSet, Span};
pub use load_report::LoadReport;

/// The version of one message. Anything else is refused by the codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    /// Never from a parser: for whoever writes a head out for one.
    Http2,
}

/// How the end of a body is known, decided once by the codec (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// No body at all.
    #[default]
    None,
    /// Exactly this many bytes, more than zero.
    Length(u64),
    /// The chunked transfer coding, trailers included.
    Chunked,
    /// Responses only: everything until the connection closes.
    UntilClose,
}

/// What a head may cost. Reading stops at whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The start line and all fields, in bytes.
    pub head_bytes_max: usize,
    /// The request target, in bytes.
    pub target_bytes_max: usize,
    /// The number of field lines.
    pub field_count_max: usize,
}

/// How far a parser came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The head is not complete; call again with the same bytes and more behind them.
    NeedMore,
    /// The head is complete and ends before this offset of the buffer.
    Complete { head_bytes: usize },
}
