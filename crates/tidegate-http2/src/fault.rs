//! What a client does that ends its connection, and the codes that say why something ends. Knows no frames.

/// RFC 9113 §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    pub const NO_ERROR: Self = Self(0);
    pub const PROTOCOL_ERROR: Self = Self(1);
    pub const INTERNAL_ERROR: Self = Self(2);
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    pub const STREAM_CLOSED: Self = Self(5);
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    pub const REFUSED_STREAM: Self = Self(7);
    pub const CANCEL: Self = Self(8);
    pub const COMPRESSION_ERROR: Self = Self(9);
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
}

/// Why a connection has to end (RFC 9113 §5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field block that cannot be decoded: from here on nothing can be.
    Compression,
    /// More than the windows allow, or windows that overflow.
    FlowControl,
    /// Too many frames that move nothing.
    Flood,
    FrameSize,
    /// A frame that must not be, where it is or at all.
    Protocol,
    /// A head on a stream that is over.
    StreamClosed,
    /// Too many streams that had to be reset (CVE-2025-8671).
    StreamFaults,
    /// A field block that goes on and on (CERT VU#421644).
    Unending,
}

impl Fault {
    pub fn code(self) -> Code {
        match self {
            Self::Compression => Code::COMPRESSION_ERROR,
            Self::FlowControl => Code::FLOW_CONTROL_ERROR,
            Self::Flood | Self::StreamFaults | Self::Unending => Code::ENHANCE_YOUR_CALM,
            Self::FrameSize => Code::FRAME_SIZE_ERROR,
            Self::Protocol => Code::PROTOCOL_ERROR,
            Self::StreamClosed => Code::STREAM_CLOSED,
        }
    }
}
