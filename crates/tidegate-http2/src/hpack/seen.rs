//! Which fields came by lately, so that only those are put in the table that come again. Remembers hashes, not fields: what it
//! says may be wrong once in a thousand times, and then a field is put in the table in vain.

/// Several answers' worth of fields that were not in the table.
const MARKS: usize = 32;

/// Some bits of the hashes of the last fields, in a ring.
#[derive(Debug)]
pub(super) struct Seen {
    marks: [u16; MARKS],
    next: u8,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { marks: [0; MARKS], next: 0 }
    }

    /// Whether it came by lately. It has now.
    pub(super) fn again(&mut self, hash: u64) -> bool {
        // Never 0, by which nothing is remembered.
        let own = (hash >> 48) as u16 | 1;
        if self.marks.contains(&own) {
            return true;
        }
        if let Some(mark) = self.marks.get_mut(usize::from(self.next) % MARKS) {
            *mark = own;
        }
        self.next = self.next.wrapping_add(1);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_is_again_until_as_many_others_came_by_as_are_remembered() {
        let mut seen = Seen::new();
        let hash_of = |number: u64| number << 49;
        assert!(!seen.again(0) && seen.again(0), "not what is in an empty one");
        for number in 1..1000 {
            assert!(!seen.again(hash_of(number)));
            assert!(seen.again(hash_of(number)));
            for before in number.saturating_sub(MARKS as u64 - 1)..number {
                assert!(seen.again(hash_of(before)), "{before} before {number}");
            }
        }
        assert!(!seen.again(0));
    }
}
