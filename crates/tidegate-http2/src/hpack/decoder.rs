//! Reads field blocks. Does not judge what the fields say, nor how many there may be: whoever takes them may say that it is
//! enough.

use std::ops::ControlFlow;

use super::dynamic_table::DynamicTable;
use super::integer::Reader;
use super::{Malformed, TABLE_BYTES_DEFAULT, huffman, static_table};

/// RFC 7541 §4.2: at most the smallest and the last size between two blocks are told.
const SIZE_UPDATES_MAX: usize = 2;

/// What strings are decoded in is kept for the next block if it is no larger than this.
const SCRATCH_BYTES_KEPT: usize = 4096;

/// The receiving end of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// What the other side was allowed.
    size_max: usize,
    /// Name and value of the field at hand, as far as they were in Huffman code, and whatever was there before.
    scratch: Vec<u8>,
}

/// A field that is spelled out, at least in part.
struct Literal<'a> {
    name: Name<'a>,
    value: Text<'a>,
}

enum Name<'a> {
    Dynamic { age: usize },
    Static(&'static [u8]),
    Text(Text<'a>),
}

/// A string of a block: as it stands there, or where it is in the scratch.
enum Text<'a> {
    Plain(&'a [u8]),
    Decoded { start: usize, end: usize },
}

impl Decoder {
    /// `table_bytes` is what the other side is told as `SETTINGS_HEADER_TABLE_SIZE`. It is taken to know that: less than the
    /// default is right only when it is told before the first block comes. Nothing is allocated until a field is to be
    /// remembered.
    pub fn new(table_bytes: usize) -> Self {
        // More than the default begins when the other side says so (§4.2).
        let table = DynamicTable::new(table_bytes.min(TABLE_BYTES_DEFAULT));
        Self { table, size_max: table_bytes, scratch: Vec::new() }
    }

    /// Reads a whole block, and hands its fields out in order, names as they came, until `take` breaks. After that the rest is
    /// still read, as the table has to be kept in step. An entry of the table is one byte in a block, so whoever takes fields
    /// has to count what they amount to.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut take: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Malformed> {
        let mut is_enough = false;
        let result = self.read(&mut Reader::new(block), |name, value| {
            is_enough = is_enough || take(name, value).is_break();
        });
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        result
    }

    fn read(&mut self, block: &mut Reader<'_>, mut take: impl FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
        self.read_size_updates(block)?;
        while let Some(first) = block.byte() {
            match first {
                // §6.1
                0x80.. => {
                    let (name, value) = self.field(block.integer(first, 7)?)?;
                    take(name, value);
                }
                // §6.2.1
                0x40.. => {
                    let literal = self.read_literal(block, first, 6)?;
                    let (name, value) = literal.field(&self.table, &self.scratch);
                    take(name, value);
                    literal.insert(&mut self.table, &self.scratch);
                }
                // §4.2: "This dynamic table size update MUST occur at the beginning of the first header block following the
                // change".
                0x20.. => return Err(Malformed::TableSize),
                // §6.2.2 and §6.2.3
                _ => {
                    let literal = self.read_literal(block, first, 4)?;
                    let (name, value) = literal.field(&self.table, &self.scratch);
                    take(name, value);
                }
            }
        }
        Ok(())
    }

    /// §6.3
    fn read_size_updates(&mut self, block: &mut Reader<'_>) -> Result<(), Malformed> {
        for _ in 0..SIZE_UPDATES_MAX {
            let Some(first @ 0x20..0x40) = block.peek() else { return Ok(()) };
            block.byte();
            let size = block.integer(first, 5)?;
            // "The new maximum size MUST be lower than or equal to the limit determined by the protocol using HPACK."
            if size > self.size_max {
                return Err(Malformed::TableSize);
            }
            self.table.limit(size);
        }
        Ok(())
    }

    /// §2.3.3: the dynamic table goes on where the static one ends.
    #[inline]
    fn field(&self, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
        if let Some(field) = static_table::field(index) {
            return Ok(field);
        }
        let age = index.checked_sub(static_table::FIELDS.len() + 1).ok_or(Malformed::Index)?;
        self.table.field(age).ok_or(Malformed::Index)
    }

    fn read_literal<'a>(
        &mut self,
        block: &mut Reader<'a>,
        first: u8,
        index_bits: u32,
    ) -> Result<Literal<'a>, Malformed> {
        let (name, used) = match block.integer(first, index_bits)? {
            0 => {
                let text = self.read_text(block, 0)?;
                let used = text.scratch_bytes();
                (Name::Text(text), used)
            }
            index => (self.read_name(index)?, 0),
        };
        Ok(Literal { name, value: self.read_text(block, used)? })
    }

    fn read_name(&self, index: usize) -> Result<Name<'static>, Malformed> {
        if let Some((name, _)) = static_table::field(index) {
            return Ok(Name::Static(name));
        }
        self.field(index)?;
        Ok(Name::Dynamic { age: index - static_table::FIELDS.len() - 1 })
    }

    /// §5.2. So much of the scratch is in use.
    fn read_text<'a>(&mut self, block: &mut Reader<'a>, used: usize) -> Result<Text<'a>, Malformed> {
        let first = block.byte().ok_or(Malformed::Truncated)?;
        let length = block.integer(first, 7)?;
        let bytes = block.bytes(length)?;
        if first & 0x80 == 0 {
            return Ok(Text::Plain(bytes));
        }
        let room = used + huffman::decoded_len_max(length);
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let length = huffman::decode(bytes, self.scratch.get_mut(used..).unwrap_or_default())?;
        Ok(Text::Decoded { start: used, end: used + length })
    }
}

impl Literal<'_> {
    fn field<'a>(&'a self, table: &'a DynamicTable, scratch: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let name = match &self.name {
            Name::Dynamic { age } => table.field(*age).map(|(name, _)| name).unwrap_or_default(),
            Name::Static(name) => name,
            Name::Text(name) => name.bytes(scratch),
        };
        (name, self.value.bytes(scratch))
    }

    fn insert(&self, table: &mut DynamicTable, scratch: &[u8]) {
        let value = self.value.bytes(scratch);
        match &self.name {
            Name::Dynamic { age } => table.insert_with_name_of(*age, value),
            Name::Static(name) => table.insert(name.iter().copied(), value),
            Name::Text(name) => table.insert(name.bytes(scratch).iter().copied(), value),
        };
    }
}

impl Text<'_> {
    fn scratch_bytes(&self) -> usize {
        if let Text::Decoded { end, .. } = self { *end } else { 0 }
    }

    fn bytes<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Text::Plain(bytes) => bytes,
            Text::Decoded { start, end } => scratch.get(*start..*end).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_longer_than_usual_leave_no_memory_behind() {
        let (mut decoder, mut longest) = (Decoder::new(4096), 0);
        for length in [100, 10_000] {
            let mut block = vec![0x04];
            super::super::integer::write(0x80, 7, length, &mut block);
            // `0` in Huffman code is five zeros: eight of them in five bytes.
            block.resize(block.len() + length, 0);
            let result = decoder.decode(&block, |_, value| {
                longest = value.len();
                ControlFlow::Continue(())
            });
            assert_eq!((result, longest), (Ok(()), length * 8 / 5));
            assert_eq!(decoder.scratch.is_empty(), length > SCRATCH_BYTES_KEPT);
        }
        assert_eq!(decoder.table.memory(), (0, 0));
    }
}
