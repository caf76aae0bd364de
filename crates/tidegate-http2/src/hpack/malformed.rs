//! What can be wrong with a field block. Does not know what is done about it.

use std::fmt;

/// Why a field block is none. After it the tables of the two ends differ, so the connection is over: a connection error of
/// type `COMPRESSION_ERROR` (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A code that does not exist, the end-of-string symbol, or padding that is too long or not all ones (RFC 7541 §5.2).
    Huffman,
    /// A reference to the entry 0, or past the end of the table (§2.3.3, §6.1).
    Index,
    /// A number that is larger or longer than any that means something (§5.1).
    Integer,
    /// A change of the table's size that is not at the beginning, one too many, or past what was allowed (§4.2, §6.3).
    TableSize,
    /// The block ends in the middle of a field.
    Truncated,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Huffman => "a field block has a string that is no Huffman code",
            Self::Index => "a field block refers to an entry that does not exist",
            Self::Integer => "a field block has a number that is too large",
            Self::TableSize => "a field block changes the size of the table as it may not",
            Self::Truncated => "a field block ends in the middle of a field",
        })
    }
}

impl std::error::Error for Malformed {}
