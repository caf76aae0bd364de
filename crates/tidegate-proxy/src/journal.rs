//! What happened so far in one request: written as it goes, read once by `record`. Decides nothing.

use crate::failure::Failure;
use tidegate_balance::Moment;

/// Moments are `None` for what did not happen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) started: Moment,
    pub(crate) id: RequestId,
    /// The request's head is parsed: what the workspace says of it holds.
    pub(crate) head_read: bool,
    /// Position in the route table.
    pub(crate) route: Option<usize>,
    /// Position of the cluster, and of the endpoint in it, of the last attempt.
    pub(crate) endpoint: Option<(usize, usize)>,
    pub(crate) attempts: u32,
    /// When the last attempt's endpoint was picked.
    pub(crate) picked: Option<Moment>,
    /// When a new connection was open; `None` for a reused one.
    pub(crate) connected: Option<Moment>,
    pub(crate) first_byte: Option<Moment>,
    /// When the last byte of the answer was handed on, or the last attempt failed.
    pub(crate) ended: Option<Moment>,
    /// Of the answer that the client got; 0: none.
    pub(crate) status: u16,
    /// The head of an answer has been handed on: nothing else can be said to the client any more.
    pub(crate) begun: bool,
    /// The endpoint has asked for the body (100): silence is the client's from then on.
    pub(crate) continued: bool,
    /// The client has shut down its sending side.
    pub(crate) half_closed: bool,
    pub(crate) body_bytes_in: u64,
    pub(crate) body_bytes_out: u64,
    pub(crate) failure: Option<Failure>,
}

/// Sixteen hexadecimal digits that a client can quote and an operator can look for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    pub(crate) fn new(random: u64) -> Self {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut text = [0; 16];
        for (place, digit) in text.iter_mut().enumerate() {
            let nibble = (random >> (60 - 4 * place)) & 0xf;
            *digit = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
        }
        Self(text)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}
