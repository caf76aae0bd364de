//! Chunk extensions (RFC 9112 §7.1.1): read to the letter, limited, and forgotten. What two readers could read differently
//! (a value of nothing, two of them, a quote that does not end one) may hide where a chunk begins. Knows no extension by name.

use super::ChunkError;
use crate::scan::TOKEN;

/// The longest extension of one chunk, in bytes.
const BYTES_MAX: usize = 4 * 1024;

/// How many bytes of extensions may be owed; every byte of body pays one back. Signed uploads send a hundred bytes with
/// every 64 KiB and stay far below, one-byte chunks with long extensions do not (RFC 9112 §7.1.1: limit the total).
const OWED_MAX: u64 = 64 * 1024;

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`; white space in front of the line's end is not in it.
///
/// ```text
/// Semicolon ──;──▶ Name ──▶ InName ───────=──────▶ Value ──▶ InValue ───────────────────space──▶ Semicolon
///                   ▲          └─space─▶ BehindName ─=─▲ └──"──▶ Quoted ──"──▶ BehindQuoted ──space──▲
///                   └───;─── InName, BehindName, InValue, BehindQuoted
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// White space where only a semicolon may follow.
    Semicolon,
    /// A name, perhaps after white space.
    Name,
    InName,
    /// White space behind a name: a value or another extension may follow.
    BehindName,
    /// A value, perhaps after white space.
    Value,
    InValue,
    Quoted,
    Escaped,
    BehindQuoted,
}

#[derive(Debug)]
pub(super) struct ExtensionReader {
    expects: Expects,
    bytes: usize,
    owed: u64,
}

impl ExtensionReader {
    pub(super) fn new() -> Self {
        Self { expects: Expects::Semicolon, bytes: 0, owed: 0 }
    }

    /// Another chunk, which may have extensions of its own.
    pub(super) fn start(&mut self) {
        (self.expects, self.bytes) = (Expects::Semicolon, 0);
    }

    /// So many bytes of body have been announced.
    #[inline]
    pub(super) fn pay(&mut self, bytes: u64) {
        self.owed = self.owed.saturating_sub(bytes);
    }

    /// One byte from the end of the size on; `true`: it was the CR that ends the line.
    pub(super) fn read(&mut self, byte: u8) -> Result<bool, ChunkError> {
        self.bytes += 1;
        self.owed += 1;
        if self.bytes > BYTES_MAX || self.owed > OWED_MAX {
            return Err(ChunkError::ExtensionsTooLarge);
        }
        let is_whole = matches!(self.expects, Expects::InName | Expects::InValue | Expects::BehindQuoted);
        if is_whole && byte == b'\r' {
            return Ok(true);
        }
        self.expects = self.expects.next(byte)?;
        Ok(false)
    }
}

impl Expects {
    fn next(self, byte: u8) -> Result<Self, ChunkError> {
        match (self, byte) {
            (_, b'\n') => Err(ChunkError::LineEndInvalid),
            (Self::Semicolon | Self::Name | Self::BehindName | Self::Value, b' ' | b'\t') => Ok(self),
            (Self::InName, b' ' | b'\t') => Ok(Self::BehindName),
            (Self::InValue | Self::BehindQuoted, b' ' | b'\t') => Ok(Self::Semicolon),
            (
                Self::Semicolon | Self::InName | Self::BehindName | Self::InValue | Self::BehindQuoted,
                b';',
            ) => Ok(Self::Name),
            (Self::InName | Self::BehindName, b'=') => Ok(Self::Value),
            (Self::Name | Self::InName, _) if TOKEN.has(byte) => Ok(Self::InName),
            (Self::Value | Self::InValue, _) if TOKEN.has(byte) => Ok(Self::InValue),
            (Self::Quoted, b'"') => Ok(Self::BehindQuoted),
            (Self::Quoted, b'\\') => Ok(Self::Escaped),
            // RFC 9110 §5.6.4: tabs, spaces, what can be seen, and bytes that are not ASCII.
            (Self::Value, b'"') | (Self::Quoted | Self::Escaped, b'\t' | b' '..=b'~' | 0x80..) => {
                Ok(Self::Quoted)
            }
            _ => Err(ChunkError::ExtensionInvalid),
        }
    }
}
