//! Which bytes may stand where, and how to find the first that may not, eight at a time. Knows no grammar above bytes.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// 256 yes-or-no answers: is this byte one of the class?
pub(crate) struct Class([bool; 256]);

impl Class {
    /// ASCII letters and digits, and `more`.
    #[allow(clippy::indexing_slicing, reason = "runs at compile time")]
    const fn alphanumeric_and(more: &[u8]) -> Self {
        let mut members = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            members[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut rest = more;
        while let [first, others @ ..] = rest {
            members[*first as usize] = true;
            rest = others;
        }
        Self(members)
    }

    #[inline]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }

    /// The first position from `at` on whose byte is not of the class; the end if all are.
    #[inline]
    pub(crate) fn end(&self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        #[cfg(test)]
        work::count(rest, |byte| !self.has(byte));
        rest.iter().position(|byte| !self.has(*byte)).map_or(bytes.len(), |more| at + more)
    }

    #[inline]
    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        are_plain(bytes) || bytes.iter().all(|byte| self.has(*byte))
    }
}

/// Whether there are at least eight bytes, of those that every class has: letters, digits, hyphens and dots.
#[inline]
fn are_plain(bytes: &[u8]) -> bool {
    let is_plain = |word: &[u8; 8]| not_plain(u64::from_le_bytes(*word)) & HIGHS == 0;
    bytes.last_chunk().is_some_and(|last| is_plain(last) && bytes.as_chunks().0.iter().all(is_plain))
}

/// Marks every byte that is not an ASCII letter, digit, hyphen or dot.
#[inline]
fn not_plain(word: u64) -> u64 {
    let from = |word: u64, byte: u8| word.wrapping_add(repeated(0x80 - byte)); // marks bytes >= `byte` and < 0x80
    let lower = word | repeated(0x20);
    let letters = from(lower, b'a') & !from(lower, b'z' + 1);
    let others = from(word, b'-') & !from(word, b'9' + 1) & from(word ^ repeated(b'/'), 1);
    !(letters | others) | word
}

/// RFC 9110 §5.6.2: `tchar`.
pub(crate) static TOKEN: Class = Class::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Bytes of a host name as it is used: RFC 3986 §3.2.2 allows sub-delims and escapes too, no resolver does.
pub(crate) static HOST_NAME: Class = Class::alphanumeric_and(b"-._~");

/// RFC 3986 §2.3: an escape of one of these means the same as the byte itself.
pub(crate) static UNRESERVED: Class = Class::alphanumeric_and(b"-._~");

/// Bytes of a path that are canonical as they are, unless a slash or dot follows a slash.
/// RFC 3986 §3.3: `pchar` and `/`; brackets too, which browsers do not escape.
pub(crate) static PATH: Class = Class::alphanumeric_and(b"-._~!$&'()*+,;=:@/[]");

#[inline]
const fn repeated(byte: u8) -> u64 {
    ONES * byte as u64
}

/// The first position from `at` on that is marked, the end if there is none. `marks` sets the high bit of at least the
/// first byte of a word that `is_end`; it may be wrong about other bytes, so the caller looks again.
#[inline]
fn first_marked(bytes: &[u8], at: usize, marks: impl Fn(u64) -> u64, is_end: impl Fn(u8) -> bool) -> usize {
    let Some(mut rest) = bytes.get(at..) else { return at };
    #[cfg(test)]
    work::count(rest, &is_end);
    while let Some((chunk, more)) = rest.split_first_chunk() {
        let found = marks(u64::from_le_bytes(*chunk)) & HIGHS;
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = more;
    }
    bytes.len() - rest.iter().position(|byte| is_end(*byte)).map_or(0, |clear| rest.len() - clear)
}

/// RFC 9110 §5.5: SP, HTAB, VCHAR and obs-text may be in a field value or a reason phrase, other controls may not.
#[inline]
pub(crate) fn is_text(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || byte == b'\t'
}

/// The first control character from `at` on, HTAB included; rarely a byte that `is_text`.
#[inline]
pub(crate) fn text_mark(bytes: &[u8], at: usize) -> usize {
    // Below 0x20 the subtraction borrows, from 0x7f the addition carries into the high bit.
    let marks = |word: u64| (word.wrapping_sub(repeated(0x20)) | word.wrapping_add(ONES)) & !word;
    first_marked(bytes, at, marks, |byte| !is_text(byte))
}

/// The first colon or control character from `at` on, where the name of a field line ends if it is one; rarely another.
#[inline]
pub(crate) fn name_mark(bytes: &[u8], at: usize) -> usize {
    let marks =
        |word: u64| (word ^ repeated(b':')).wrapping_sub(ONES) | word.wrapping_sub(repeated(0x20)) | word;
    first_marked(bytes, at, marks, |byte| !matches!(byte, 0x20..0x80) || byte == b':')
}

/// RFC 3986 allows less, but `"<>\^{|}` and the back-tick come from browsers; the path decides on them.
#[inline]
pub(crate) fn is_target(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'#'
}

/// The first `?`, or the first byte that no request target may have: controls, SP, `#`, DEL and anything not ASCII;
/// rarely another.
#[inline]
pub(crate) fn target_mark(bytes: &[u8], at: usize) -> usize {
    let is = |word: u64, byte| (word ^ repeated(byte)).wrapping_sub(ONES);
    let marks = |word: u64| {
        word.wrapping_sub(repeated(0x21)) | word.wrapping_add(ONES) | is(word, b'#') | is(word, b'?') | word
    };
    first_marked(bytes, at, marks, |byte| !is_target(byte) || byte == b'?')
}

/// How many bytes were looked at: counted in tests of the parsers only.
#[cfg(test)]
pub(crate) mod work {
    std::thread_local! {
        pub(crate) static BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// One scan up to the first `is_end`, and the word that it may read beyond.
    pub(super) fn count(rest: &[u8], is_end: impl Fn(u8) -> bool) {
        let bytes = rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
        BYTES.set(BYTES.get() + bytes + 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a caller ends up that steps over marks that are none.
    fn stop(bytes: &[u8], mark: impl Fn(&[u8], usize) -> usize, is_end: impl Fn(u8) -> bool) -> usize {
        let mut at = mark(bytes, 0);
        while at < bytes.len() && !is_end(bytes[at]) {
            at = mark(bytes, at + 1);
        }
        at
    }

    #[test]
    fn every_byte_at_every_place_of_a_word_is_judged_alone() {
        let is_name_end = |byte| byte == b':' || byte < 0x20;
        for byte in 0..=255u8 {
            for place in 0..20 {
                for filler in [b'a', b'\t', b' ', 0x80, 0xff, b'!', b'-', b'~', b'9'] {
                    let mut bytes = [filler; 20];
                    bytes[place] = byte;
                    let first = |is_end: &dyn Fn(u8) -> bool| {
                        bytes.iter().position(|byte| is_end(*byte)).unwrap_or(bytes.len())
                    };
                    let why = format!("{byte:#x} at {place} among {filler:#x}");
                    assert_eq!(stop(&bytes, text_mark, |b| !is_text(b)), first(&|b| !is_text(b)), "{why}");
                    assert_eq!(stop(&bytes, name_mark, is_name_end), first(&is_name_end), "{why}");
                    assert_eq!(TOKEN.has_all(&bytes), bytes.iter().all(|b| TOKEN.has(*b)), "{why}");
                    let is_target_end = |b| !is_target(b) || b == b'?';
                    assert_eq!(stop(&bytes, target_mark, is_target_end), first(&is_target_end), "{why}");
                }
            }
        }
    }
}
