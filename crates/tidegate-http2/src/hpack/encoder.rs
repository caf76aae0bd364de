//! Writes field blocks. Does not judge what the fields say.
//!
//! What is put in the table is what came by twice: a field whose name and value did, or one whose name did and is in no table,
//! for its name's sake. So a connection that answers once has no table, answers about one thing put that in, and what
//! differs each time (dates, once a second; lengths; identifiers of requests) costs nothing of what does not.

use super::dynamic_table::{DynamicTable, ENTRY_BYTES};
use super::index::Index;
use super::seen::Seen;
use super::{TABLE_BYTES_DEFAULT, huffman, integer, static_names, static_table, words};

/// The most that the own table is, whatever the other side allows: memory is a function of connections.
const TABLE_BYTES_MAX: usize = TABLE_BYTES_DEFAULT;

/// A field of more than this part of the table would push out all that it has to be weighed against.
const PARTS_MIN: usize = 2;

/// The sending end of one direction of a connection.
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable,
    /// Made for the first field that is put in the table.
    index: Option<Box<Index>>,
    seen: Seen,
    /// What was allowed since the last block: the smallest, and the last.
    limits: Option<(usize, usize)>,
}

/// The first bytes of fields: patterns, and how many bits are left for an index (RFC 7541 §6).
#[derive(Clone, Copy)]
enum Form {
    /// To be put in the table (§6.2.1).
    Inserted,
    /// Left out of it here (§6.2.2).
    Passing,
    /// Kept out of it by everybody (§6.2.3).
    Secret,
}

#[derive(Clone, Copy)]
struct Hashes {
    name: u64,
    field: u64,
}

impl Form {
    const fn prefix(self) -> (u8, u32) {
        match self {
            Self::Inserted => (0x40, 6),
            Self::Passing => (0x00, 4),
            Self::Secret => (0x10, 4),
        }
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// Holds no memory beside itself until a field comes by twice.
    pub fn new() -> Self {
        Self { table: DynamicTable::new(TABLE_BYTES_MAX), index: None, seen: Seen::new(), limits: None }
    }

    /// The other side's `SETTINGS_HEADER_TABLE_SIZE`. It is obeyed, and told so, from the next block on.
    pub fn limit_table(&mut self, bytes: usize) {
        let last = bytes.min(TABLE_BYTES_MAX);
        let smallest = self.limits.map_or(self.table.size_max(), |(smallest, _)| smallest);
        self.limits = Some((smallest.min(last), last));
    }

    /// Belongs before the first field of each block.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(index) = &mut self.index {
            index.begin();
        }
        if let Some((smallest, last)) = self.limits.take() {
            self.change_size(smallest, last, out);
        }
    }

    /// RFC 7541 §4.2: "In the case that this size is changed more than once in the interval between [...] the smallest maximum
    /// table size that occurs in that interval MUST be signaled". Once is enough when that is the last, or none was any smaller.
    fn change_size(&mut self, smallest: usize, last: usize, out: &mut Vec<u8>) {
        for size in [smallest, last] {
            if size != self.table.size_max() {
                self.table.limit(size);
                integer::write(0x20, 5, size, out);
            }
        }
    }

    /// `:status`.
    pub fn status(&mut self, code: [u8; 3], out: &mut Vec<u8>) {
        let known = match &code {
            b"200" => 8,
            b"204" => 9,
            b"206" => 10,
            b"304" => 11,
            b"400" => 12,
            b"404" => 13,
            b"500" => 14,
            _ => return self.field(b":status", &code, out),
        };
        out.push(0x80 | known);
    }

    /// One field. The name is written in lower case (RFC 9113 §8.2: "Field names MUST be converted to lowercase").
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        match self.index.as_mut().and_then(|index| index.expected_field(&self.table, name, value)) {
            Some(age) => write_indexed(index_of_age(age), out),
            None => self.unexpected_field(name, value, out),
        }
    }

    #[inline(never)]
    fn unexpected_field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let name_hash = words::hash_of_any_case(0, name);
        let hash = words::hash(name_hash, value);
        match self.index.as_mut().and_then(|index| index.field(&self.table, hash, name, value)) {
            Some(age) => write_indexed(index_of_age(age), out),
            None => self.new_field(name, value, Hashes { name: name_hash, field: hash }, out),
        }
    }

    #[inline(never)]
    fn new_field(&mut self, name: &[u8], value: &[u8], hashes: Hashes, out: &mut Vec<u8>) {
        let known = if let Some(index) = static_names::index_of(name) {
            if static_names::is_secret(index) {
                return write_named(Form::Secret, index, value, out);
            }
            if let Some(index) = static_names::whole_field(index, value) {
                return write_indexed(index, out);
            }
            Some(index)
        } else {
            self.index.as_ref().and_then(|index| index.name(&self.table, hashes.name, name)).map(index_of_age)
        };
        let is_for_table = self.comes_again(hashes, name.len() + value.len(), known.is_some());
        let form = if is_for_table { Form::Inserted } else { Form::Passing };
        match known {
            Some(index) => write_named(form, index, value, out),
            None => write_whole(form, name, value, out),
        }
        if is_for_table && self.table.insert(name.iter().map(u8::to_ascii_lowercase), value) {
            self.index.get_or_insert_with(|| Box::new(Index::new())).insert(hashes.name, hashes.field);
        }
    }

    fn comes_again(&mut self, hashes: Hashes, length: usize, is_known: bool) -> bool {
        if (length + ENTRY_BYTES) * PARTS_MIN > self.table.size_max() {
            return false;
        }
        self.seen.again(hashes.field) || !is_known && self.seen.again(hashes.name)
    }
}

/// RFC 7541 §2.3.3: the dynamic table goes on where the static one ends.
#[inline]
fn index_of_age(age: usize) -> usize {
    static_table::FIELDS.len() + 1 + age
}

#[inline]
fn write_indexed(index: usize, out: &mut Vec<u8>) {
    integer::write(0x80, 7, index, out);
}

/// With the name of an entry.
fn write_named(form: Form, index: usize, value: &[u8], out: &mut Vec<u8>) {
    let (pattern, bits) = form.prefix();
    integer::write(pattern, bits, index, out);
    write_text(value.iter().copied(), out);
}

/// The index 0 says that the name follows.
fn write_whole(form: Form, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let (pattern, bits) = form.prefix();
    integer::write(pattern, bits, 0, out);
    write_text(name.iter().map(u8::to_ascii_lowercase), out);
    write_text(value.iter().copied(), out);
}

/// §5.2: in Huffman code when that is shorter.
fn write_text(text: impl ExactSizeIterator<Item = u8> + Clone, out: &mut Vec<u8>) {
    let coded = huffman::coded_len(text.clone());
    if coded < text.len() {
        integer::write(0x80, 7, coded, out);
        huffman::encode(text, out);
    } else {
        integer::write(0x00, 7, text.len(), out);
        out.extend(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_whose_answers_are_all_different_has_no_table() {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        let answers: [[(&str, &str); 4]; 2] = [
            [("Server", "a"), ("Date", "b"), ("Set-Cookie", "c"), ("X-Own", "d")],
            [("Server", "e"), ("Date", "f"), ("Set-Cookie", "c"), ("X-Other", "d")],
        ];
        for answer in answers {
            encoder.begin(&mut out);
            encoder.status(*b"200", &mut out);
            for (name, value) in answer {
                encoder.field(name.as_bytes(), value.as_bytes(), &mut out);
            }
        }
        assert!(encoder.index.is_none());
        assert_eq!(encoder.table.memory(), (0, 0));
        encoder.field(b"server", b"a", &mut out);
        assert!(encoder.index.is_some());
        assert_eq!(encoder.table.len(), 1);
    }
}
