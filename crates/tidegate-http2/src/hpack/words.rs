//! Bytes taken eight at a time: their hash, and whether they are the same, with or without regard to case. For strings as short
//! as fields have, that is quicker than a call. Knows nothing of fields.

const WORD_BYTES: usize = 8;

/// The golden ratio, as Fibonacci hashing has it: Knuth, The Art of Computer Programming, volume 3, §6.4.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bit 5, which is all that tells small letters from capitals.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// Not a strong hash, and it need not be: what it leads to is compared, and it leads to few.
#[inline]
pub(super) fn hash(before: u64, text: &[u8]) -> u64 {
    hash_with(before, text, |word| word)
}

/// The same for a text and for that in lower case.
#[inline]
pub(super) fn hash_of_any_case(before: u64, text: &[u8]) -> u64 {
    hash_with(before, text, |word| word | SMALL)
}

#[inline]
fn hash_with(before: u64, text: &[u8], seen_as: impl Fn(u64) -> u64) -> u64 {
    let mix = |hash: u64, word: u64| (hash.rotate_left(29) ^ word).wrapping_mul(FACTOR);
    let (words, end) = words(text);
    let hash =
        words.iter().fold(mix(before, text.len() as u64), |hash, word| mix(hash, seen_as(number(*word))));
    mix(hash, seen_as(end))
}

#[inline]
pub(super) fn are_same(one: &[u8], other: &[u8]) -> bool {
    match_all(one, other, |one, other| one == other)
}

/// Whether `small` is `text` in lower case.
#[inline]
pub(super) fn is_lower_case_of(small: &[u8], text: &[u8]) -> bool {
    match_all(small, text, |small, word| small == lower_case(word))
}

#[inline]
fn match_all(one: &[u8], other: &[u8], matches: impl Fn(u64, u64) -> bool) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ((one_words, one_end), (other_words, other_end)) = (words(one), words(other));
    matches(one_end, other_end)
        && one_words.iter().zip(other_words).all(|(one, other)| matches(number(*one), number(*other)))
}

/// All whole words, and what the rest is in, together with some of what was before it.
#[inline]
fn words(text: &[u8]) -> (&[[u8; WORD_BYTES]], u64) {
    let (words, _) = text.as_chunks();
    (words, end(text))
}

/// A number in which all of the last bytes are: of texts of one length, those differ that end differently.
#[inline]
fn end(text: &[u8]) -> u64 {
    if let Some(last) = text.last_chunk() {
        return number(*last);
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[inline]
fn number(word: [u8; WORD_BYTES]) -> u64 {
    u64::from_le_bytes(word)
}

/// Each byte from `A` to `Z` gets the bit that makes it small.
#[inline]
fn lower_case(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (ONES * 0x7f);
    let from_a = low + ONES * (0x80 - u64::from(b'A'));
    let past_z = low + ONES * (0x7f - u64::from(b'Z'));
    let capital = from_a & !past_z & !word & (ONES * 0x80);
    word | capital >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH_MAX: usize = 40;

    #[test]
    fn each_byte_counts_wherever_it_stands() {
        for length in 0..LENGTH_MAX {
            let text = vec![b'v'; length];
            assert!(are_same(&text, &text.clone()));
            assert!(!are_same(&text, &vec![b'v'; length + 1]));
            assert_ne!(hash(1, &text), hash(2, &text));
            assert_ne!(hash(1, &text), hash(1, &vec![b'v'; length + 1]));
            for place in 0..length {
                let mut other = text.clone();
                other[place] = b'w';
                assert!(!are_same(&text, &other), "{place} of {length}");
                assert!(!is_lower_case_of(&text, &other), "{place} of {length}");
                assert_ne!(hash(1, &text), hash(1, &other), "{place} of {length}");
            }
        }
    }

    #[test]
    fn capitals_and_nothing_else_are_seen_as_small_wherever_they_stand() {
        for byte in 0..=u8::MAX {
            for length in 1..LENGTH_MAX {
                let mut text = vec![b'-'; length];
                text[length / 2] = byte;
                let small = text.to_ascii_lowercase();
                assert!(is_lower_case_of(&small, &text));
                assert_eq!(is_lower_case_of(&text, &small), !byte.is_ascii_uppercase());
                assert_eq!(hash_of_any_case(1, &small), hash_of_any_case(1, &text));
                text[length / 2] ^= 0x20;
                assert_eq!(
                    is_lower_case_of(&small, &text),
                    byte.is_ascii_alphabetic() && text.to_ascii_lowercase() == small
                );
            }
        }
    }
}
