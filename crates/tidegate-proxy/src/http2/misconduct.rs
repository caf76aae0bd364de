//! What a client of HTTP/2 does that ends its connection, or a stream before it is a request: in words that a log can have.

use tidegate_http2::{Code, Fault};

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
}

/// Why the proxy ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offence {
    Fault(Fault),
    /// Something was begun that does not go on.
    Late,
    /// Streams that the client took back, or got refused for how it asked, too many (CVE-2023-44487).
    TakenBack,
}

impl Offence {
    /// What the client is told.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Fault(fault) => fault.code(),
            Self::Late | Self::TakenBack => Code::ENHANCE_YOUR_CALM,
        }
    }

    /// `None`: it was only late.
    pub(super) fn misconduct(self) -> Option<Misconduct> {
        Some(match self {
            Self::Late => return None,
            Self::TakenBack => Misconduct::TakenBack,
            Self::Fault(Fault::FlowControl) => Misconduct::FlowControl,
            Self::Fault(Fault::FrameSize) => Misconduct::FrameSize,
            Self::Fault(Fault::Flood | Fault::StreamFaults | Fault::Unending) => Misconduct::Flood,
            Self::Fault(Fault::Compression | Fault::Protocol | Fault::StreamClosed) => Misconduct::Protocol,
        })
    }

    /// The limit that it hit.
    pub(super) fn limit(self) -> Option<&'static str> {
        match self {
            Self::Fault(Fault::Flood) => Some("idle_frames"),
            Self::Fault(_) => None,
            Self::Late => Some("http2_head"),
            Self::TakenBack => Some("streams_taken_back"),
        }
    }
}
