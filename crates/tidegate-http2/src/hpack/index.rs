//! Where a field stands in the encoder's table, found without looking at all of it. Holds no fields itself: what it finds
//! are guesses, and the table is asked whether they are right.
//!
//! Entries are known by the number of their insertion, modulo 2^16. Each hash leads to the last entry that had it, and each entry
//! to the one before it. Nothing is ever taken out: entries fall out of the table oldest first, so a way ends where it leads to
//! one that is no longer there. A number that comes round again leads to a wrong entry, which is not equal.

use super::dynamic_table::{DynamicTable, ENTRY_BYTES};
use super::words::{are_same, is_lower_case_of};

/// Ways. Answers put a dozen fields or two in a table.
const WAYS: usize = 64;

/// The most entries that there can be: an own table has no more than this (RFC 7541 §4.1: an entry counts 32 bytes at least).
const ENTRIES_MAX: usize = super::TABLE_BYTES_DEFAULT / ENTRY_BYTES;

/// What stands for the entry before the first field of a block.
const START: usize = ENTRIES_MAX;

#[derive(Debug)]
pub(super) struct Index {
    newest: u16,
    /// The place of the entry that was found last in this block.
    last: usize,
    /// The entry that was found after each, or first in a block: answers say the same in the same order.
    after: [u16; ENTRIES_MAX + 1],
    fields: Ways,
    names: Ways,
}

#[derive(Debug)]
struct Ways {
    /// The last entry, by hash.
    last: [u16; WAYS],
    /// The one before, by place.
    before: [u16; ENTRIES_MAX],
}

impl Index {
    pub(super) fn new() -> Self {
        Self { newest: 0, last: START, after: [0; ENTRIES_MAX + 1], fields: Ways::new(), names: Ways::new() }
    }

    /// What follows are the fields of another block.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.last = START;
    }

    /// How old the entry is that has this name, whatever its case, and this value, if it is the one that came next the last time.
    #[inline]
    pub(super) fn expected_field(
        &mut self,
        table: &DynamicTable,
        name: &[u8],
        value: &[u8],
    ) -> Option<usize> {
        let entry = *self.after.get(self.last)?;
        let age = usize::from(self.newest.wrapping_sub(entry));
        let is_it = is_field(table, age, name, value);
        if is_it {
            self.last = place(entry);
        }
        is_it.then_some(age)
    }

    /// The same for any entry, by hash.
    pub(super) fn field(
        &mut self,
        table: &DynamicTable,
        hash: u64,
        name: &[u8],
        value: &[u8],
    ) -> Option<usize> {
        let is_it = |age| is_field(table, age, name, value);
        let age = self.fields.find(self.newest, table.len(), hash, is_it)?;
        let entry = self.newest.wrapping_sub(age as u16);
        if let Some(after) = self.after.get_mut(self.last) {
            *after = entry;
        }
        self.last = place(entry);
        Some(age)
    }

    /// How old the last entry is that has this name.
    pub(super) fn name(&self, table: &DynamicTable, hash: u64, name: &[u8]) -> Option<usize> {
        let is_it = |age| table.field(age).is_some_and(|(own, _)| is_lower_case_of(own, name));
        self.names.find(self.newest, table.len(), hash, is_it)
    }

    /// The next entry is in the table.
    pub(super) fn insert(&mut self, name_hash: u64, field_hash: u64) {
        self.newest = self.newest.wrapping_add(1);
        self.names.insert(self.newest, name_hash);
        self.fields.insert(self.newest, field_hash);
    }
}

#[inline]
fn is_field(table: &DynamicTable, age: usize, name: &[u8], value: &[u8]) -> bool {
    table.field(age).is_some_and(|(own, its)| are_same(its, value) && is_lower_case_of(own, name))
}

/// Of what is kept for an entry, among all that there can be.
#[inline]
fn place(entry: u16) -> usize {
    usize::from(entry) % ENTRIES_MAX
}

impl Ways {
    fn new() -> Self {
        Self { last: [0; WAYS], before: [0; ENTRIES_MAX] }
    }

    #[inline]
    fn find(
        &self,
        newest: u16,
        entries: usize,
        hash: u64,
        mut is_it: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let mut entry = *self.last.get(way(hash))?;
        let mut age_min = 0;
        loop {
            let age = usize::from(newest.wrapping_sub(entry));
            // Older at each step, or it is no step of this way: so a way ends, whatever it says.
            if age >= entries || age < age_min {
                return None;
            }
            if is_it(age) {
                return Some(age);
            }
            age_min = age + 1;
            entry = *self.before.get(place(entry))?;
        }
    }

    fn insert(&mut self, entry: u16, hash: u64) {
        let Some(last) = self.last.get_mut(way(hash)) else { return };
        let Some(before) = self.before.get_mut(place(entry)) else { return };
        *before = std::mem::replace(last, entry);
    }
}

/// By the highest bits, on which all of a field has its say: the hash ends with a multiplication.
#[inline]
fn way(hash: u64) -> usize {
    (hash >> 56) as usize % WAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More insertions than there are numbers for entries, and fewer ways than entries.
    #[test]
    fn what_is_in_the_table_is_found_and_nothing_else() {
        let mut table = DynamicTable::new(ENTRIES_MAX * (ENTRY_BYTES + 6));
        let mut index = Index::new();
        let name_of = |turn: u32| [b'n', (turn % 200 / 20) as u8, (turn % 20) as u8];
        let hash_of = |turn: u32| u64::from(turn % 100) << 56;
        for turn in 0..200_000_u32 {
            if turn % 977 == 0 {
                let size_max = table.size_max();
                table.limit(0);
                table.limit(size_max);
            }
            table.insert(name_of(turn).into_iter(), &turn.to_be_bytes()[1..]);
            index.insert(u64::from(turn % 200) << 56, hash_of(turn));
            for age in [0, 1, 63, 64, 100] {
                let Some(then) = turn.checked_sub(age) else { continue };
                let value = &then.to_be_bytes()[1..];
                let expected = Some(age as usize).filter(|age| *age < table.len());
                let guess = index.expected_field(&table, &name_of(then), value);
                assert!(guess.is_none() || guess == expected);
                assert_eq!(index.field(&table, hash_of(then), &name_of(then), value), expected);
                assert_eq!(index.name(&table, u64::from(then % 200) << 56, &name_of(then)), expected);
            }
            assert_eq!(index.field(&table, hash_of(turn), &name_of(turn), b"no"), None);
        }
    }

    /// As it may after 65 536 insertions, when a number that fell out long ago is that of a newer entry.
    #[test]
    fn a_way_that_leads_in_a_circle_ends() {
        let mut ways = Ways::new();
        ways.insert(4, 0);
        ways.insert(5, 0);
        ways.before[place(4)] = 5;
        let mut asked = Vec::new();
        let found = ways.find(5, 3, 0, |age| {
            asked.push(age);
            assert!(asked.len() < 3);
            false
        });
        assert_eq!((found, asked), (None, vec![0, 1]));
    }

    #[test]
    fn what_came_after_something_is_expected_there_again() {
        let mut table = DynamicTable::new(4096);
        let mut index = Index::new();
        let fields: [(&[u8], u64); 3] = [(b"a", 1), (b"b", 2), (b"c", 3)];
        for (name, hash) in fields {
            table.insert(name.iter().copied(), b"v");
            index.insert(hash, hash);
        }
        for round in 0..2 {
            index.begin();
            for (age, (name, hash)) in [(1, fields[1]), (2, fields[0]), (0, fields[2])] {
                let expected = index.expected_field(&table, name, b"v");
                assert_eq!(expected, (round > 0).then_some(age));
                if expected.is_none() {
                    assert_eq!(index.field(&table, hash, name, b"v"), Some(age));
                }
            }
        }
    }
}
