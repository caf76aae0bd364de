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
        rest.iter().position(|byte| !self.has(*byte)).map_or(bytes.len(), |more| at + more)
    }

    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.has(*byte))
    }
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

/// Marks the high bit of bytes below `limit` (<= 128). The lowest mark is exact, those above it may be one too many.
#[inline]
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(repeated(limit)) & !word & HIGHS
}

/// Marks the high bit of bytes that are `byte`. The lowest mark is exact.
#[inline]
pub(crate) const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ repeated(byte), 1)
}

/// Eight bytes from `at` on, the first one lowest.
#[inline]
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The first position from `at` on that `marks` (of which the lowest mark must be exact) and `is_end` agree to end at.
#[inline]
fn first_where(
    bytes: &[u8],
    mut at: usize,
    marks: impl Fn(u64) -> u64,
    is_end: impl Fn(u8) -> bool,
) -> usize {
    while let Some(word) = word_at(bytes, at) {
        let found = marks(word);
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if bytes.get(at).is_none_or(|byte| is_end(*byte)) {
            return at;
        }
        at += 1;
    }
    while bytes.get(at).is_some_and(|byte| !is_end(*byte)) {
        at += 1;
    }
    at
}

/// The first byte from `at` on that no field value or reason phrase may have: a control character other than HTAB.
/// RFC 9110 §5.5: SP, HTAB, VCHAR and obs-text are fine.
#[inline]
pub(crate) fn text_end(bytes: &[u8], at: usize) -> usize {
    first_where(
        bytes,
        at,
        |word| below(word, 0x20) | equal(word, 0x7f),
        |byte| byte < 0x20 && byte != b'\t' || byte == 0x7f,
    )
}

/// The first `?`, or the first byte that no request target may have: controls, SP, `#`, DEL and anything not ASCII.
/// RFC 3986 allows less, but `"<>\^{|}` and the back-tick come from browsers; the path decides on them.
#[inline]
pub(crate) fn target_stop(bytes: &[u8], at: usize) -> usize {
    first_where(
        bytes,
        at,
        |word| below(word, 0x21) | equal(word, b'#') | equal(word, b'?') | equal(word, 0x7f) | word & HIGHS,
        |byte| byte <= b' ' || byte >= 0x7f || byte == b'#' || byte == b'?',
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(bytes: &[u8], at: usize, is_end: impl Fn(u8) -> bool) -> usize {
        (at..bytes.len()).find(|&i| is_end(bytes[i])).unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_at_every_place_of_a_word_is_judged_alone() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                for filler in [b'a', b'\t', b' ', 0x80, 0xff, b'!'] {
                    let mut bytes = [filler; 20];
                    bytes[place] = byte;
                    let text = slow(&bytes, 0, |b| (b < 0x20 && b != b'\t') || b == 0x7f);
                    assert_eq!(text_end(&bytes, 0), text, "{byte:#x} at {place} among {filler:#x}");
                    let target = slow(&bytes, 0, |b| !(0x21..0x7f).contains(&b) || b"#?".contains(&b));
                    assert_eq!(target_stop(&bytes, 0), target, "{byte:#x} at {place} among {filler:#x}");
                }
            }
        }
    }
}
