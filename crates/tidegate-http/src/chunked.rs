//! The chunked transfer coding (RFC 9112 §7.1): an incremental decoder and a framer. Knows no sockets.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("a chunk size is not plain hexadecimal digits")]
    BadSize,
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
    pub fn decode(&mut self, _buffer: &mut [u8], _trailers: &mut Vec<u8>) -> Result<Decoded, ChunkError> {
        Err(ChunkError::BadSize)
    }
}

/// Room that the caller leaves in front of the data of one outgoing chunk, for `frame`.
pub const CHUNK_PREFIX: usize = 10;

/// Writes the size line of a chunk of `length` bytes so that it ends at `prefix`'s end; returns where it begins.
pub fn frame(_prefix: &mut [u8; CHUNK_PREFIX], _length: usize) -> usize {
    0
}
