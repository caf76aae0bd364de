//! Names of the static table, found without a search, whatever their case. Knows nothing of the other table.

use super::static_table::{FIELDS, field};
use super::words;

const SLOTS: usize = 128;

/// The index of the first entry with each name, by `slot`; 0 where there is none.
static INDICES: [u8; SLOTS] = indices();

/// Those whose values nobody may learn by trying (RFC 7541 §7.1): they say who somebody is.
const SECRETS: [&[u8]; 4] = [b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"];

/// Where a name stands first, if it is one of the table.
#[inline]
pub(super) fn index_of(name: &[u8]) -> Option<usize> {
    let index = INDICES.get(slot(name)).copied().map(usize::from)?;
    field(index).is_some_and(|(known, _)| words::is_lower_case_of(known, name)).then_some(index)
}

/// The entry with this value as well, given the first with its name.
#[inline]
pub(super) fn whole_field(first: usize, value: &[u8]) -> Option<usize> {
    let (name, first_value) = field(first)?;
    // Most have none.
    if first_value.is_empty() {
        return None;
    }
    let same_name = FIELDS.get(first - 1..)?.iter().take_while(|(known, _)| *known == name);
    same_name.map(|(_, known)| *known).position(|known| known == value).map(|more| first + more)
}

/// Whether the name at this place is one of those.
#[inline]
pub(super) fn is_secret(index: usize) -> bool {
    const PLACES: [usize; SECRETS.len()] = secret_places();
    PLACES.contains(&index)
}

/// Length, first and last byte tell the names of the static table apart; the factors were found by trial, as the first with
/// which no two meet.
#[inline]
const fn slot(name: &[u8]) -> usize {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    let (first, last) = (first.to_ascii_lowercase() as usize, last.to_ascii_lowercase() as usize);
    (name.len() * 93 + first * 10 + last * 37) % SLOTS
}

#[allow(clippy::indexing_slicing, reason = "runs at compile time")]
const fn indices() -> [u8; SLOTS] {
    let mut indices = [0; SLOTS];
    let mut index = FIELDS.len();
    while index > 0 {
        let slot = slot(FIELDS[index - 1].0);
        let taken = indices[slot] as usize;
        // Two neighbours may be one name with two values.
        assert!(taken == 0 || taken == index + 1, "two names meet");
        indices[slot] = index as u8;
        index -= 1;
    }
    indices
}

#[allow(clippy::indexing_slicing, reason = "runs at compile time")]
const fn secret_places() -> [usize; SECRETS.len()] {
    let indices = indices();
    let mut secrets = [0; SECRETS.len()];
    let mut place = 0;
    while place < SECRETS.len() {
        secrets[place] = indices[slot(SECRETS[place])] as usize;
        place += 1;
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_static_table_is_found_by_its_name_and_by_itself() {
        for (place, (name, value)) in FIELDS.iter().enumerate() {
            let first = index_of(name).expect("a name of the table");
            assert_eq!(index_of(&name.to_ascii_uppercase()), Some(first));
            assert_eq!(FIELDS[first - 1].0, *name);
            assert!(first == 1 || FIELDS[first - 2].0 != *name, "the first of its name");
            assert_eq!(whole_field(first, value), (!value.is_empty()).then_some(place + 1));
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in [&b""[..], b"dat", b"dade", b"x-request-id", b"accept-rangis", b"date\0"] {
            assert_eq!(index_of(name), None);
        }
        assert_eq!(whole_field(8, b"201"), None);
    }

    #[test]
    fn secrets_are_known_by_their_place() {
        for (place, (name, _)) in FIELDS.iter().enumerate() {
            assert_eq!(is_secret(place + 1), SECRETS.contains(name));
        }
    }
}
