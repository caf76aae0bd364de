//! Request heads: a strict, resumable parser (RFC 9112 §3, §5, §6). Knows nothing of who sent them.

use crate::{BodyLength, Field, HeadLimits, Progress, Span, Version};

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
#[derive(Clone, Debug, Default)]
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
    pub body: BodyLength,
    /// `Expect: 100-continue` from an HTTP/1.1 client with a body.
    pub expects_continue: bool,
    /// The client allows another request on this connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// `Connection: upgrade` with an Upgrade field, no body: the whole value of Upgrade.
    pub upgrade: Option<Span>,
    /// The `Connection` field names something beyond close, keep-alive, upgrade, te: nominated fields must be looked up.
    pub nominates: bool,
}

/// Why a request head was refused. Variants alphabetical; `status` gives the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the method is not a token")]
    BadMethod,
}

/// Feed it the same growing buffer until it says `Complete` or fails. It looks at each byte a bounded number of times
/// however the bytes arrive.
#[derive(Debug, Default)]
pub struct RequestParser {}

impl RequestParser {
    pub fn parse(
        &mut self,
        _buffer: &[u8],
        _limits: &HeadLimits,
        _head: &mut RequestHead,
    ) -> Result<Progress, RequestError> {
        Err(RequestError::BadMethod)
    }
}
