//! Response heads: a strict, resumable parser (RFC 9112 §4, §5, §6). Knows nothing of who sent them.

use crate::{BodyLength, Field, FieldSet, Span, Version};

mod parse;

pub use parse::ResponseParser;

/// A parsed response head. Reused from response to response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub reason: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    /// The kinds of fields in `fields`: asked before they are searched.
    pub kinds: FieldSet,
    /// Decided with the request's method at hand: HEAD, 1xx, 204 and 304 have none.
    pub body: BodyLength,
    pub keep_alive: bool,
    pub nominates: bool,
}

/// Why a response head was refused; each of these is a 502 for the client. Lines count from 1, the status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("the response has both Content-Length and Transfer-Encoding")]
    ContentLengthAndTransferEncoding,
    #[error("Content-Length in line {line} differs from the one before")]
    ContentLengthDiffers { line: u32 },
    #[error("Content-Length in line {line} is not one plain decimal number below 2^64")]
    ContentLengthInvalid { line: u32 },
    #[error("line {line} begins with white space: folded field lines are not accepted")]
    FieldFolded { line: u32 },
    #[error("line {line} does not begin with a field name and a colon")]
    FieldNameInvalid { line: u32 },
    #[error("line {line} has a control character in its value")]
    FieldValueInvalid { line: u32 },
    #[error("the head is longer than {limit_bytes} bytes")]
    HeadTooLarge { limit_bytes: usize },
    #[error("line {line} does not end in CR LF")]
    LineEndInvalid { line: u32 },
    #[error("the status line is malformed")]
    StatusLineInvalid,
    #[error("the head has more than {limit} field lines")]
    TooManyFields { limit: usize },
    #[error("Transfer-Encoding in line {line} is not exactly chunked")]
    TransferEncodingInvalid { line: u32 },
    #[error("an HTTP/1.0 response has Transfer-Encoding")]
    TransferEncodingOnHttp10,
    #[error("Transfer-Encoding is given again in line {line}")]
    TransferEncodingRepeated { line: u32 },
    #[error("the response is neither HTTP/1.1 nor HTTP/1.0")]
    VersionUnsupported,
}

impl ResponseError {
    /// One stable word for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ContentLengthAndTransferEncoding => "content_length_and_transfer_encoding",
            Self::ContentLengthDiffers { .. } => "content_length_differs",
            Self::ContentLengthInvalid { .. } => "content_length_invalid",
            Self::FieldFolded { .. } => "field_folded",
            Self::FieldNameInvalid { .. } => "field_name_invalid",
            Self::FieldValueInvalid { .. } => "field_value_invalid",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::LineEndInvalid { .. } => "line_end_invalid",
            Self::StatusLineInvalid => "status_line_invalid",
            Self::TooManyFields { .. } => "too_many_fields",
            Self::TransferEncodingInvalid { .. } => "transfer_encoding_invalid",
            Self::TransferEncodingOnHttp10 => "transfer_encoding_on_http10",
            Self::TransferEncodingRepeated { .. } => "transfer_encoding_repeated",
            Self::VersionUnsupported => "version_unsupported",
        }
    }
}
