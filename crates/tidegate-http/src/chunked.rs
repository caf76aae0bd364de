//! The chunked transfer coding (RFC 9112 §7.1): an incremental decoder and a framer. Knows no sockets.

use crate::HeadLimits;

mod extensions;
mod trailers;

pub use trailers::may_trail;

use extensions::ExtensionReader;
use trailers::TrailerReader;

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

/// Digits of a chunk size, leading zeros included: 16 are all that 64 bits hold.
const SIZE_DIGITS_MAX: u8 = 16;

/// Decodes in place: body bytes are compacted to the front of what it is given, framing and extensions vanish.
/// The trailer section is collected in `trailers` as raw field lines, already validated and filtered (RFC 9110 §6.5.1:
/// framing, routing, authentication and other fields that must not be in a trailer are dropped), within the limits.
///
/// ```text
/// Size ──;──▶ Extensions                        ┌── more data ──▶ Data ──▶ DataCr ──▶ DataLf ──▶ Size
///   └────CR─────┴──CR──▶ SizeLf ────────────────┴── size 0 ─────▶ Trailers ──empty line──▶ Done
/// ```
#[derive(Debug)]
pub struct ChunkedDecoder {
    expects: Expects,
    /// What is left of the chunk whose size line is being or was read.
    size: u64,
    size_digits: u8,
    extensions: ExtensionReader,
    trailers: TrailerReader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Size,
    /// What follows a size that its line does not end with.
    Extensions,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new(&HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 0, field_count_max: 100 })
    }
}

impl ChunkedDecoder {
    /// With the limits of heads for the trailer section; `default` takes 16 KiB and 100 fields.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            expects: Expects::Size,
            size: 0,
            size_digits: 0,
            extensions: ExtensionReader::new(),
            trailers: TrailerReader::new(limits),
        }
    }

    /// May be called until it says `done` or fails; nothing of what it has `consumed` is to be offered again.
    pub fn decode(&mut self, buffer: &mut [u8], trailers: &mut Vec<u8>) -> Result<Decoded, ChunkError> {
        let (mut at, mut data) = (0, 0);
        loop {
            if self.expects == Expects::Size && self.size_digits == 0 {
                while self.take_tiny(buffer, &mut at, &mut data) {}
            }
            match self.expects {
                Expects::Data => {
                    let moved = self.take_data(buffer, at, data);
                    (at, data) = (at + moved, data + moved);
                    if self.size > 0 {
                        break;
                    }
                    self.expects = Expects::DataCr;
                }
                Expects::Trailers => {
                    let (read, is_complete) =
                        self.trailers.read(buffer.get(at..).unwrap_or_default(), trailers)?;
                    at += read;
                    if !is_complete {
                        break;
                    }
                    self.expects = Expects::Done;
                }
                Expects::Done => break,
                _ => {
                    let Some(byte) = buffer.get(at) else { break };
                    self.expects = self.next(*byte)?;
                    at += 1;
                }
            }
        }
        Ok(Decoded { consumed: at, data, done: self.expects == Expects::Done })
    }

    /// How many bytes of the chunk that has begun are still to come.
    #[inline]
    pub fn announced(&self) -> u64 {
        if self.expects == Expects::Data { self.size } else { 0 }
    }

    /// Takes a chunk of up to 15 bytes that is there whole, without an extension; `false`: there is none. What the loop would
    /// do byte by byte: bodies of millions of tiny chunks are cheap to send, and have to be cheap to read.
    #[inline]
    fn take_tiny(&mut self, buffer: &mut [u8], at: &mut usize, data: &mut usize) -> bool {
        let Some([digit, b'\r', b'\n', rest @ ..]) = buffer.get(*at..) else { return false };
        let size = match digit {
            b'1'..=b'9' => usize::from(digit - b'0'),
            b'a'..=b'f' => usize::from(digit - b'a') + 10,
            _ => return false,
        };
        let Some([b'\r', b'\n', ..]) = rest.get(size..) else { return false };
        let begin = *at + 3;
        match buffer.get(begin) {
            Some(&byte) if size == 1 => {
                if let Some(place) = buffer.get_mut(*data) {
                    *place = byte;
                }
            }
            _ => buffer.copy_within(begin..begin + size, *data),
        }
        *at += size + 5;
        *data += size;
        self.extensions.pay(size as u64);
        true
    }

    /// Moves what is there of the chunk from `at` down to `to`.
    fn take_data(&mut self, buffer: &mut [u8], at: usize, to: usize) -> usize {
        let there = buffer.len() - at;
        let bytes = usize::try_from(self.size).unwrap_or(usize::MAX).min(there);
        if at != to {
            buffer.copy_within(at..at + bytes, to);
        }
        self.size -= bytes as u64;
        bytes
    }

    /// One byte of framing.
    #[inline]
    fn next(&mut self, byte: u8) -> Result<Expects, ChunkError> {
        match (self.expects, byte) {
            (Expects::Size, b'\r') if self.size_digits > 0 => Ok(Expects::SizeLf),
            (Expects::Size, _) => self.read_size(byte),
            (Expects::SizeLf, b'\n') => Ok(self.begin_data()),
            (Expects::SizeLf, _) => Err(ChunkError::LineEndInvalid),
            (Expects::DataCr, b'\r') => Ok(Expects::DataLf),
            (Expects::DataLf, b'\n') => Ok(Expects::Size),
            (Expects::DataCr | Expects::DataLf, _) => Err(ChunkError::DataEndInvalid),
            _ => self.read_extension(byte),
        }
    }

    #[inline]
    fn read_size(&mut self, byte: u8) -> Result<Expects, ChunkError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' | b' ' | b'\t' if self.size_digits > 0 => {
                self.extensions.start();
                return self.read_extension(byte);
            }
            b'\n' if self.size_digits > 0 => return Err(ChunkError::LineEndInvalid),
            _ => return Err(ChunkError::SizeInvalid),
        };
        if self.size_digits == SIZE_DIGITS_MAX {
            return Err(ChunkError::SizeTooLarge);
        }
        self.size_digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(Expects::Size)
    }

    fn begin_data(&mut self) -> Expects {
        self.extensions.pay(self.size);
        self.size_digits = 0;
        if self.size == 0 { Expects::Trailers } else { Expects::Data }
    }

    fn read_extension(&mut self, byte: u8) -> Result<Expects, ChunkError> {
        Ok(if self.extensions.read(byte)? { Expects::SizeLf } else { Expects::Extensions })
    }
}

/// Room that the caller leaves in front of the data of one outgoing chunk, for `frame`.
pub const CHUNK_PREFIX: usize = 10;

/// Writes the size line of a chunk of `length` bytes so that it ends at `prefix`'s end; returns where it begins.
/// `length` is never 0, which would end the body, and fits 32 bits.
pub fn frame(prefix: &mut [u8; CHUNK_PREFIX], length: usize) -> usize {
    debug_assert!(length > 0 && u32::try_from(length).is_ok(), "a chunk of {length} bytes");
    let [digits @ .., carriage_return, line_feed] = prefix;
    (*carriage_return, *line_feed) = (b'\r', b'\n');
    let mut rest = length;
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef".get(rest & 15).copied().unwrap_or_default();
        start -= 1;
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    start
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
