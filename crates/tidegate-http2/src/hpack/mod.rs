//! Field compression (RFC 7541): lists of fields to field blocks and back, with the tables that both ends keep in step.
//!
//! Knows nothing of frames, nor which fields are lawful: names and values are bytes here, in the order in which they came.
//!
//! ```text
//! block → integer, huffman → decoder ⇄ static_table, dynamic_table → fields
//! fields → encoder ⇄ static_names, dynamic_table, index, seen → integer, huffman → block
//! ```

mod decoder;
mod dynamic_table;
mod encoder;
mod huffman;
mod index;
mod integer;
mod malformed;
mod seen;
mod static_names;
mod static_table;
mod words;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use malformed::Malformed;

/// How large a table is until somebody says otherwise: the first value of `SETTINGS_HEADER_TABLE_SIZE` (RFC 9113 §6.5.2).
pub const TABLE_BYTES_DEFAULT: usize = 4096;
