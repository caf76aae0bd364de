//! What a client of HTTP/2 does that ends its connection, or a stream before it is a request: in words that a log can have.

use super::guard::Fault;
use h2::Reason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misconduct {
    /// Frames that move nothing, or streams that break rules, too many.
    Flood,
    /// More than the windows that it was given, or windows that overflow.
    FlowControl,
    FrameSize,
    /// Anything else that RFC 9113 calls an error of the connection, field blocks that cannot be decoded among them.
    Protocol,
    /// A head, or a body, that RFC 9113 §8.1.1 calls malformed: the stream has been reset, and nobody was asked.
    StreamMalformed,
    /// Requests that were taken back, or refused for how they were asked, too many.
    TakenBack,
}

impl Misconduct {
    /// One stable word for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Flood => "http2_flood",
            Self::FlowControl => "http2_flow_control_error",
            Self::FrameSize => "http2_frame_size_error",
            Self::Protocol => "http2_protocol_error",
            Self::StreamMalformed => "http2_stream_malformed",
            Self::TakenBack => "http2_taken_back",
        }
    }

    /// `None`: there was none.
    pub(super) fn of(reason: Reason) -> Option<Self> {
        Some(match reason {
            Reason::NO_ERROR => return None,
            Reason::ENHANCE_YOUR_CALM => Self::Flood,
            Reason::FLOW_CONTROL_ERROR => Self::FlowControl,
            Reason::FRAME_SIZE_ERROR => Self::FrameSize,
            _ => Self::Protocol,
        })
    }

    /// `None`: it was only late.
    pub(super) fn of_fault(fault: Fault) -> Option<Self> {
        match fault {
            Fault::Flood => Some(Self::Flood),
            Fault::Late => None,
            Fault::TakenBack => Some(Self::TakenBack),
            Fault::WrongSize => Some(Self::FrameSize),
        }
    }
}
