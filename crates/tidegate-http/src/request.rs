//! Request heads: a strict, resumable parser (RFC 9112 §3, §5, §6). Knows nothing of who sent them.

use crate::{BodyLength, Field, FieldSet, Span, Version};

mod parse;
mod target;

pub use parse::RequestParser;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    Connect,
    Delete,
    #[default]
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
    /// Any other token; its text is `RequestHead::method_text`.
    Other,
}

impl Method {
    /// RFC 9110 §9.2.2.
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Delete | Self::Get | Self::Head | Self::Options | Self::Put | Self::Trace)
    }
}

/// The form of the request target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    Absolute,
    Asterisk,
    #[default]
    Origin,
}

/// A parsed request head: decisions, and spans of the buffer that it was parsed from. Reused from request to request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Method,
    pub method_text: Span,
    pub form: TargetForm,
    /// The path as sent, never empty (`*` for the asterisk form, `/` is implied for `http://host`: then this is empty).
    pub path: Span,
    /// The query as sent with its `?`, or empty.
    pub query: Span,
    /// Host and port that the request is for: the target's if absolute (RFC 9112 §3.2.2), else the Host field's.
    /// Empty only for HTTP/1.0 without Host.
    pub authority: Span,
    /// `authority` without its port; brackets of an IPv6 literal included.
    pub host: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    /// The kinds of fields in `fields`: asked before they are searched.
    pub kinds: FieldSet,
    pub body: BodyLength,
    /// `Expect: 100-continue` from an HTTP/1.1 client with a body.
    pub expects_continue: bool,
    /// The client allows another request on this connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// `Connection: upgrade` with an Upgrade field, no body: its value, or the first offer in it that is not h2c.
    pub upgrade: Option<Span>,
    /// The `Connection` field names something beyond close, keep-alive, upgrade, te: nominated fields must be looked up.
    pub nominates: bool,
}

/// The longest method that is read, in bytes; the longest registered one has 17 (`UPDATEREDIRECTREF`).
pub const METHOD_BYTES_MAX: usize = 32;

/// Why a request head was refused. `status` is the answer, `code` the word for logs. Lines count from 1, the request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the request asks for a tunnel (CONNECT), which a reverse proxy does not open")]
    ConnectRefused,
    #[error("the request has both Content-Length and Transfer-Encoding")]
    ContentLengthAndTransferEncoding,
    #[error("Content-Length in line {line} is not one plain decimal number below 2^64")]
    ContentLengthInvalid { line: u32 },
    #[error("Content-Length is given again in line {line}")]
    ContentLengthRepeated { line: u32 },
    #[error("the expectation in line {line} is not 100-continue")]
    ExpectationUnknown { line: u32 },
    #[error("line {line} begins with white space: folded field lines are not accepted")]
    FieldFolded { line: u32 },
    #[error("line {line} does not begin with a field name and a colon")]
    FieldNameInvalid { line: u32 },
    #[error("line {line} has a control character in its value")]
    FieldValueInvalid { line: u32 },
    #[error("the head is longer than {limit_bytes} bytes")]
    HeadTooLarge { limit_bytes: usize },
    #[error("the host in line {line} is not a host name or address with an optional port")]
    HostInvalid { line: u32 },
    #[error("the request has no Host field")]
    HostMissing,
    #[error("Host is given again in line {line}")]
    HostRepeated { line: u32 },
    #[error("line {line} does not end in CR LF")]
    LineEndInvalid { line: u32 },
    #[error("the request does not begin with a method")]
    MethodInvalid,
    #[error("the method is longer than {METHOD_BYTES_MAX} bytes")]
    MethodTooLong,
    #[error("the request target is not a path, http:// or https:// with a host, or * for OPTIONS")]
    TargetInvalid,
    #[error("the request target is longer than {limit_bytes} bytes")]
    TargetTooLong { limit_bytes: usize },
    #[error("the head has more than {limit} field lines")]
    TooManyFields { limit: usize },
    #[error("TRACE is not answered here")]
    TraceRefused,
    #[error("the transfer coding in line {line} is not one that this proxy knows")]
    TransferCodingUnknown { line: u32 },
    #[error("Transfer-Encoding in line {line} does not end in exactly one chunked")]
    TransferEncodingInvalid { line: u32 },
    #[error("an HTTP/1.0 request has Transfer-Encoding")]
    TransferEncodingOnHttp10,
    #[error("Transfer-Encoding is given again in line {line}")]
    TransferEncodingRepeated { line: u32 },
    #[error("the request line does not end in HTTP/1.1 or HTTP/1.0")]
    VersionInvalid,
    #[error("the request is neither HTTP/1.1 nor HTTP/1.0")]
    VersionUnsupported,
}

impl RequestError {
    pub fn status(&self) -> u16 {
        match self {
            Self::ConnectRefused | Self::TransferCodingUnknown { .. } => 501,
            Self::ExpectationUnknown { .. } => 417,
            Self::HeadTooLarge { .. } | Self::TooManyFields { .. } => 431,
            Self::TargetTooLong { .. } => 414,
            Self::TraceRefused => 405,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }

    /// One stable word for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_method_refused",
            Self::ContentLengthAndTransferEncoding => "content_length_and_transfer_encoding",
            Self::ContentLengthInvalid { .. } => "content_length_invalid",
            Self::ContentLengthRepeated { .. } => "content_length_repeated",
            Self::ExpectationUnknown { .. } => "expectation_unknown",
            Self::FieldFolded { .. } => "field_folded",
            Self::FieldNameInvalid { .. } => "field_name_invalid",
            Self::FieldValueInvalid { .. } => "field_value_invalid",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::HostInvalid { .. } => "host_invalid",
            Self::HostMissing => "host_missing",
            Self::HostRepeated { .. } => "host_repeated",
            Self::LineEndInvalid { .. } => "line_end_invalid",
            Self::MethodInvalid => "method_invalid",
            Self::MethodTooLong => "method_too_long",
            Self::TargetInvalid => "target_invalid",
            Self::TargetTooLong { .. } => "target_too_long",
            Self::TooManyFields { .. } => "too_many_fields",
            Self::TraceRefused => "trace_refused",
            Self::TransferCodingUnknown { .. } => "transfer_coding_unknown",
            Self::TransferEncodingInvalid { .. } => "transfer_encoding_invalid",
            Self::TransferEncodingOnHttp10 => "transfer_encoding_on_http10",
            Self::TransferEncodingRepeated { .. } => "transfer_encoding_repeated",
            Self::VersionInvalid => "version_invalid",
            Self::VersionUnsupported => "version_unsupported",
        }
    }
}
