//! Response heads: a strict, resumable parser (RFC 9112 §4, §5, §6). Knows nothing of who sent them.

use crate::request::Method;
use crate::{BodyLength, Field, HeadLimits, Progress, Span, Version};

/// A parsed response head. Reused from response to response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    pub status: u16,
    pub reason: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    /// Decided with the request's method at hand: HEAD, 1xx, 204 and 304 have none.
    pub body: BodyLength,
    pub keep_alive: bool,
    pub nominates: bool,
}

/// Why a response head was refused; each of these is a 502 for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("the status line is malformed")]
    BadStatusLine,
}

#[derive(Debug, Default)]
pub struct ResponseParser {}

impl ResponseParser {
    pub fn parse(
        &mut self,
        _buffer: &[u8],
        _limits: &HeadLimits,
        _request_method: Method,
        _head: &mut ResponseHead,
    ) -> Result<Progress, ResponseError> {
        Err(ResponseError::BadStatusLine)
    }
}
