//! Numbers that begin in the low bits of a byte (RFC 7541 §5.1), and the bytes that they are read from. Does not know what
//! a number counts.

use super::Malformed;

/// Seven bits each: more than that say nothing in 32 bits, and are only there to keep a reader busy.
const MORE_BYTES_MAX: u32 = 5;

/// What of a block is still to be read.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The number that begins in the low `bits` of `first`, which has been read.
    #[inline]
    pub(super) fn integer(&mut self, first: u8, bits: u32) -> Result<usize, Malformed> {
        let mask = prefix_mask(bits);
        let prefix = first & mask;
        if prefix < mask { Ok(usize::from(prefix)) } else { self.longer_integer(u64::from(mask)) }
    }

    fn longer_integer(&mut self, prefix: u64) -> Result<usize, Malformed> {
        let mut value = prefix;
        for place in 0..MORE_BYTES_MAX {
            let byte = self.byte().ok_or(Malformed::Truncated)?;
            value += u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map(|value| value as usize).map_err(|_| Malformed::Integer);
            }
        }
        Err(Malformed::Integer)
    }
}

/// Writes a number whose first byte has `pattern` above its low `bits`.
#[inline]
pub(super) fn write(pattern: u8, bits: u32, value: usize, out: &mut Vec<u8>) {
    let mask = prefix_mask(bits);
    if value < usize::from(mask) {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask);
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

const fn prefix_mask(bits: u32) -> u8 {
    0xff >> (8 - bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], bits: u32) -> Result<usize, Malformed> {
        let mut reader = Reader::new(bytes);
        let first = reader.byte().ok_or(Malformed::Truncated)?;
        let value = reader.integer(first, bits)?;
        assert_eq!(reader.peek(), None, "all of it is read");
        Ok(value)
    }

    #[test]
    fn numbers_of_appendix_c_1_are_read_and_written() {
        for (bits, value, bytes) in [
            (5, 10, &[0b01010][..]),
            (5, 1337, &[0b11111, 0b1001_1010, 0b1010]),
            (8, 42, &[0b10_1010]),
            (5, 31, &[0b11111, 0]),
            (7, u32::MAX as usize, &[0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            write(0, bits, value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(read(bytes, bits), Ok(value));
        }
    }

    #[test]
    fn numbers_beyond_reason_are_refused() {
        for (bytes, why, expected) in [
            (&[0x7f, 0x81, 0xff, 0xff, 0xff, 0x0f][..], "2^32", Err(Malformed::Integer)),
            (&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0], "six more bytes", Err(Malformed::Integer)),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], "35 bits", Err(Malformed::Integer)),
            (&[0x7f, 0x80, 0x80, 0x80, 0x80], "ends early", Err(Malformed::Truncated)),
            (&[0x7f, 0x80, 0x80, 0x80, 0x80, 0], "long, but small", Ok(127)),
        ] {
            assert_eq!(read(bytes, 7), expected, "{why}");
        }
    }
}
