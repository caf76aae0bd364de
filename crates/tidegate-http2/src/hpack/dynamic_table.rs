//! The table that fields are put in as they come by, and fall out of at the other end (RFC 7541 §2.3.2, §4). Both ends have
//! one, and it holds the same in both. Does not know how it is searched.
//!
//! The bytes of all entries lie in one piece, oldest first. What falls out only moves the mark behind which the living begin;
//! the piece is moved down when it is full and half of it is dead, or when it is twice as large as the table may be. So each
//! byte is moved about once.

use std::collections::VecDeque;

/// What an entry counts besides its bytes (§4.1).
pub(super) const ENTRY_BYTES: usize = 32;

/// The fields that a client repeats fit into so much.
const BYTES_MIN: usize = 256;

#[derive(Debug)]
pub(super) struct DynamicTable {
    bytes: Vec<u8>,
    /// How many bytes at the beginning belong to no entry any more.
    dead: usize,
    /// How many bytes were moved out so far, modulo 2^32: positions of entries are counted from the first byte ever put in.
    moved: u32,
    /// Newest first, as indices count them.
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    name: u32,
    value: u32,
}

impl Entry {
    fn len(self) -> usize {
        self.name as usize + self.value as usize
    }
}

impl DynamicTable {
    /// Holds no memory until something is put in.
    pub(super) fn new(size_max: usize) -> Self {
        Self { bytes: Vec::new(), dead: 0, moved: 0, entries: VecDeque::new(), size: 0, size_max }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn size_max(&self) -> usize {
        self.size_max
    }

    /// §4.3: entries fall out "until the size of the dynamic table is less than or equal to the maximum size".
    pub(super) fn limit(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.make_room(0);
    }

    /// Name and value of an entry; the newest is 0.
    #[inline]
    pub(super) fn field(&self, age: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(age)?;
        let at = entry.at.wrapping_sub(self.moved) as usize;
        self.bytes.get(at..at + entry.len())?.split_at_checked(entry.name as usize)
    }

    /// Whether it is in the table now: §4.4: "an attempt to add an entry larger than the maximum size causes the table to be
    /// emptied of all existing entries and results in an empty table".
    pub(super) fn insert(&mut self, name: impl ExactSizeIterator<Item = u8>, value: &[u8]) -> bool {
        let length = name.len();
        let Some(at) = self.prepare(length + value.len()) else { return false };
        self.bytes.extend(name);
        self.bytes.extend_from_slice(value);
        self.enter(Entry { at, name: length as u32, value: value.len() as u32 })
    }

    /// With the name of an entry, which may be the one that falls out for it (§4.4): bytes of the dead stay until they are
    /// written over, and that is not before the next entry.
    pub(super) fn insert_with_name_of(&mut self, age: usize, value: &[u8]) -> bool {
        let Some(Entry { name, .. }) = self.entries.get(age).copied() else { return false };
        let Some(at) = self.prepare(name as usize + value.len()) else { return false };
        // Looked up again, as the bytes may have moved.
        let Some(named) = self.entries.get(age) else { return false };
        let start = named.at.wrapping_sub(self.moved) as usize;
        self.bytes.extend_from_within(start..start + name as usize);
        self.bytes.extend_from_slice(value);
        self.enter(Entry { at, name, value: value.len() as u32 })
    }

    /// Where the bytes of an entry of this length will begin.
    fn prepare(&mut self, length: usize) -> Option<u32> {
        if length + ENTRY_BYTES > self.size_max {
            self.make_room(self.size_max);
            return None;
        }
        if self.bytes.len() + length > self.bytes.capacity() {
            self.find_room(length);
        }
        Some(self.moved.wrapping_add(self.bytes.len() as u32))
    }

    fn find_room(&mut self, length: usize) {
        let bytes_max = 2 * self.size_max;
        if self.dead * 2 >= self.bytes.len() || self.bytes.capacity() >= bytes_max {
            self.bytes.drain(..self.dead);
            self.moved = self.moved.wrapping_add(self.dead as u32);
            self.dead = 0;
        }
        let needed = self.bytes.len() + length;
        if needed > self.bytes.capacity() {
            let capacity = needed.max(2 * self.bytes.capacity()).max(BYTES_MIN).min(bytes_max.max(needed));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    fn enter(&mut self, entry: Entry) -> bool {
        let size = entry.len() + ENTRY_BYTES;
        self.make_room(size);
        self.entries.push_front(entry);
        self.size += size;
        true
    }

    fn make_room(&mut self, size: usize) {
        while self.size + size > self.size_max {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.len() + ENTRY_BYTES;
            self.dead += oldest.len();
        }
    }
}

#[cfg(test)]
impl DynamicTable {
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Room for bytes, and for entries.
    pub(super) fn memory(&self) -> (usize, usize) {
        (self.bytes.capacity(), self.entries.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_holds_no_memory() {
        let mut table = DynamicTable::new(4096);
        assert!(!table.insert([b'n'; 4096].into_iter(), b""));
        assert_eq!(table.memory(), (0, 0));
    }

    #[test]
    fn an_entry_that_falls_out_can_lend_its_name() {
        let mut table = DynamicTable::new(100);
        assert!(table.insert(b"name".iter().copied(), &[b'a'; 60]));
        assert!(table.insert_with_name_of(0, &[b'b'; 64]));
        assert_eq!(table.field(0), Some((&b"name"[..], &[b'b'; 64][..])));
        assert_eq!((table.len(), table.size()), (1, 100));
    }

    #[test]
    fn an_entry_too_large_empties_the_table() {
        let mut table = DynamicTable::new(100);
        assert!(table.insert(b"name".iter().copied(), b"value"));
        assert!(!table.insert_with_name_of(0, &[b'b'; 65]));
        assert_eq!((table.len(), table.size(), table.field(0)), (0, 0, None));
    }

    #[test]
    fn however_many_pass_through_memory_stays_within_twice_the_size_and_each_is_what_it_was() {
        let mut table = DynamicTable::new(1000);
        let value_of = |turn: usize| vec![turn as u8; turn * 577 % 950];
        for turn in 0..10_000_usize {
            assert!(table.insert(turn.to_be_bytes().into_iter(), &value_of(turn)));
            for age in 0..table.len() {
                let expected = (&(turn - age).to_be_bytes()[..], &value_of(turn - age)[..]);
                assert_eq!(table.field(age), Some(expected));
            }
            assert!(table.size() <= 1000);
        }
        assert!(table.memory().0 <= 2 * 1000);
    }
}
