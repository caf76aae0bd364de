//! The chunked transfer coding (RFC 9112 §7.1): an incremental decoder and a framer. Knows no sockets.

/// Why a chunked body was refused. `status` is the answer to a client who sent it; an endpoint's is a 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("the data of a chunk is not followed by CR LF")]
    DataEndInvalid,
    #[error("a chunk extension is malformed")]
    ExtensionInvalid,
    #[error("chunk extensions outweigh the body")]
    ExtensionsTooLarge,
    #[error("a chunk size line does not end in CR LF")]
    LineEndInvalid,
    #[error("a chunk size is not plain hexadecimal digits")]
    SizeInvalid,
    #[error("a chunk size has more than 16 digits")]
    SizeTooLarge,
    #[error("a trailer field is malformed")]
    TrailerInvalid,
    #[error("the trailer section is longer than {limit_bytes} bytes")]
    TrailersTooLarge { limit_bytes: usize },
    #[error("the trailer section has more than {limit} fields")]
    TrailersTooMany { limit: usize },
}

impl ChunkError {
    pub fn status(&self) -> u16 {
        match self {
            Self::TrailersTooLarge { .. } | Self::TrailersTooMany { .. } => 431,
            _ => 400,
        }
    }

    /// One stable word for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DataEndInvalid => "chunk_data_end_invalid",
            Self::ExtensionInvalid => "chunk_extension_invalid",
            Self::ExtensionsTooLarge => "chunk_extensions_too_large",
            Self::LineEndInvalid => "chunk_line_end_invalid",
            Self::SizeInvalid => "chunk_size_invalid",
            Self::SizeTooLarge => "chunk_size_too_large",
            Self::TrailerInvalid => "trailer_invalid",
            Self::TrailersTooLarge { .. } => "trailers_too_large",
            Self::TrailersTooMany { .. } => "trailers_too_many",
        }
    }
}

/// What a call to `decode` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of `buffer` looked at and finished with; the rest must be offered again with more behind it.
    pub consumed: usize,
    /// Body bytes, moved together to the front: `buffer[..data]`.
    pub data: usize,
    /// The last chunk and the trailer section have been read; `consumed` ends right behind them.
    pub done: bool,
}

/// Decodes in place: body bytes are compacted to the front of what it is given, framing and extensions vanish.
/// The trailer section is collected in `trailers` as raw field lines, already validated and filtered (RFC 9110 §6.5.1:
/// framing, routing, authentication and other fields that must not be in a trailer are dropped), within the limits.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {}

impl ChunkedDecoder {
    /// With the limits of heads for the trailer section; `default` takes 16 KiB and 100 fields.
    pub fn new(_limits: &crate::HeadLimits) -> Self {
        Self::default()
    }

    pub fn decode(&mut self, _buffer: &mut [u8], _trailers: &mut Vec<u8>) -> Result<Decoded, ChunkError> {
        Err(ChunkError::SizeInvalid)
    }
}

/// Room that the caller leaves in front of the data of one outgoing chunk, for `frame`.
pub const CHUNK_PREFIX: usize = 10;

/// Writes the size line of a chunk of `length` bytes so that it ends at `prefix`'s end; returns where it begins.
pub fn frame(_prefix: &mut [u8; CHUNK_PREFIX], _length: usize) -> usize {
    0
}

/// What follows the data of every chunk.
pub const CHUNK_SUFFIX: &[u8] = b"\r\n";

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends the end of a chunked body with the trailer lines that `ChunkedDecoder` collected (or none).
pub fn write_last_chunk(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
