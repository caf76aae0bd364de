//! Which bytes may stand where, and how to find the first that may not, sixteen at a time. Knows no grammar above bytes.

use wide::i8x16;

/// Sixteen bytes, or sixteen answers in their high bits. The bytes are signed for it: those that are not ASCII come first.
type Block = i8x16;

const BLOCK_BYTES: usize = 16;

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
        let plain = plain_end(bytes, at);
        let rest = bytes.get(plain..).unwrap_or_default();
        #[cfg(test)]
        work::count(rest, |byte| !self.has(byte));
        rest.iter().position(|byte| !self.has(*byte)).map_or(bytes.len(), |more| plain + more)
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

#[inline]
const fn repeated(byte: u8) -> u64 {
    ONES * byte as u64
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

/// Sixteen times the same.
#[inline]
fn ascii(byte: u8) -> Block {
    Block::splat(byte.cast_signed())
}

/// The first position from `at` on whose byte is marked, the end if there is none. `marks` and `is_marked` say the same
/// of sixteen bytes and of one.
#[inline]
fn first_marked(
    bytes: &[u8],
    at: usize,
    marks: impl Fn(Block) -> Block,
    is_marked: impl Fn(u8) -> bool,
) -> usize {
    let Some(mut rest) = bytes.get(at..) else { return at };
    #[cfg(test)]
    work::count(rest, &is_marked);
    while let Some((chunk, more)) = rest.split_first_chunk() {
        let found = marks(Block::from_ne_bytes(*chunk)).to_bitmask();
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize;
        }
        rest = more;
    }
    let clear = match bytes.last_chunk() {
        // What is left, and before it what has been looked at already.
        Some(last) => {
            let found = marks(Block::from_ne_bytes(*last)).to_bitmask() >> (BLOCK_BYTES - rest.len());
            if found == 0 { rest.len() } else { found.trailing_zeros() as usize }
        }
        None => rest.iter().position(|byte| is_marked(*byte)).unwrap_or(rest.len()),
    };
    bytes.len() - rest.len() + clear
}

/// Letters, digits, hyphens and dots, which every class has.
#[inline]
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

/// The first byte from `at` on that is not plain.
#[inline]
fn plain_end(bytes: &[u8], at: usize) -> usize {
    let within =
        |block: Block, low: u8, high: u8| block.simd_gt(ascii(low - 1)) & block.simd_lt(ascii(high + 1));
    let marks = |block: Block| {
        let letters = within(block | ascii(0x20), b'a', b'z');
        let others = within(block, b'-', b'9') & !block.simd_eq(ascii(b'/'));
        !(letters | others)
    };
    first_marked(bytes, at, marks, |byte| !is_plain(byte))
}

/// RFC 9110 §5.5: SP, HTAB, VCHAR and obs-text may be in a field value or a reason phrase, other controls may not.
#[inline]
pub(crate) fn is_text(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || byte == b'\t'
}

/// The first byte from `at` on that is not text.
#[inline]
pub(crate) fn text_end(bytes: &[u8], at: usize) -> usize {
    let marks = |block: Block| {
        let not_ascii = block; // as the high bits say
        let allowed = not_ascii | block.simd_eq(ascii(b'\t'));
        block.simd_lt(ascii(b' ')) & !allowed | block.simd_eq(ascii(0x7f))
    };
    first_marked(bytes, at, marks, |byte| !is_text(byte))
}

/// The first byte from `at` on that ends the name of a field line: a colon, or what is neither SP nor VCHAR.
#[inline]
pub(crate) fn name_end(bytes: &[u8], at: usize) -> usize {
    let marks = |block: Block| block.simd_lt(ascii(b' ')) | block.simd_eq(ascii(b':'));
    first_marked(bytes, at, marks, |byte| !matches!(byte, 0x20..0x80) || byte == b':')
}

/// RFC 3986 allows less, but `"<>\^{|}` and the back-tick come from browsers; the path decides on them.
#[inline]
pub(crate) fn is_target(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'#'
}

/// The first `?` from `at` on, or the first byte that no request target may have.
#[inline]
pub(crate) fn target_end(bytes: &[u8], at: usize) -> usize {
    let marks = |block: Block| {
        let no_target = block.simd_lt(ascii(b'!')) | block.simd_eq(ascii(0x7f)) | block.simd_eq(ascii(b'#'));
        no_target | block.simd_eq(ascii(b'?'))
    };
    first_marked(bytes, at, marks, |byte| !is_target(byte) || byte == b'?')
}

/// How many bytes were looked at: counted in tests of the parsers only.
#[cfg(test)]
pub(crate) mod work {
    std::thread_local! {
        pub(crate) static BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// One scan up to the first `is_end`, and the block that it may read beyond.
    pub(super) fn count(rest: &[u8], is_end: impl Fn(u8) -> bool) {
        let bytes = rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
        BYTES.set(BYTES.get() + bytes + super::BLOCK_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_of_a_block_is_judged_alone() {
        let is_name_end = |byte| byte == b':' || !(0x20..0x80).contains(&byte);
        for byte in 0..=255u8 {
            for (place, length) in (0..36).map(|place| (place, 36)).chain((0..9).map(|place| (place, 9))) {
                for filler in [b'a', b'\t', b' ', 0x80, 0xff, b'!', b'-', b'~', b'9'] {
                    let mut bytes = vec![filler; length];
                    bytes[place] = byte;
                    for start in [0, 1, 7, 8] {
                        let first = |is_end: &dyn Fn(u8) -> bool| {
                            let rest = bytes[start..].iter();
                            rest.clone().position(|byte| is_end(*byte)).map_or(length, |at| start + at)
                        };
                        let why = format!("{byte:#x} at {place} of {length} from {start} among {filler:#x}");
                        assert_eq!(text_end(&bytes, start), first(&|b| !is_text(b)), "{why}");
                        assert_eq!(name_end(&bytes, start), first(&is_name_end), "{why}");
                        let is_target_end = |b| !is_target(b) || b == b'?';
                        assert_eq!(plain_end(&bytes, start), first(&|b| !is_plain(b)), "{why}");
                        assert_eq!(TOKEN.end(&bytes, start), first(&|b| !TOKEN.has(b)), "{why}");
                        assert_eq!(target_end(&bytes, start), first(&is_target_end), "{why}");
                    }
                    assert_eq!(
                        TOKEN.has_all(&bytes),
                        bytes.iter().all(|b| TOKEN.has(*b)),
                        "{byte:#x} at {place}"
                    );
                }
            }
        }
    }
}
