//! Strings in the Huffman code (RFC 7541 §5.2). Knows no fields, and does not decide when a string is worth it.

mod code;

use super::Malformed;
use code::{BY_CODE, CODES, LENGTHS, RANKS, SHORT};

/// No code is shorter.
const CODE_BITS_MIN: usize = 5;

/// How many bytes `text` takes when coded.
pub(super) fn coded_len(text: impl Iterator<Item = u8>) -> usize {
    let bits: usize = text.map(|byte| usize::from(length_of(byte))).sum();
    bits.div_ceil(8)
}

pub(super) fn encode(text: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    // Fewer than 32 bits wait between two symbols, and a symbol has at most 30.
    let (mut bits, mut count) = (0_u64, 0);
    for byte in text {
        let length = u32::from(length_of(byte));
        bits = bits << length | u64::from(CODES.get(usize::from(byte)).copied().unwrap_or_default());
        count += length;
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    // "the most-significant bits of the code for the EOS symbol MUST be used" for padding: ones.
    let padding = count.next_multiple_of(8) - count;
    bits = bits << padding | ((1 << padding) - 1);
    let last = ((bits << (32 - count - padding)) as u32).to_be_bytes();
    out.extend_from_slice(last.get(..(count + padding) as usize / 8).unwrap_or_default());
}

/// No coded string of this length says more.
pub(super) fn decoded_len_max(coded_len: usize) -> usize {
    coded_len * 8 / CODE_BITS_MIN
}

/// Writes what `coded` says to where there is room for it, and says how many bytes that is.
pub(super) fn decode(coded: &[u8], out: &mut [u8]) -> Result<usize, Malformed> {
    let mut window = Window { bits: 0, count: 0, rest: coded };
    let mut at = 0;
    loop {
        window.fill();
        if window.count >= 32
            && let Some(places) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut())
        {
            let written = window.short_symbols(places);
            at += written;
            if written == places.len() {
                continue;
            }
            window.fill();
        }
        let (symbol, length) = first_symbol(window.bits)?;
        // No code is as long as what the window has until the string is about to end.
        if length > window.count {
            return if window.is_padding() { Ok(at) } else { Err(Malformed::Huffman) };
        }
        *out.get_mut(at).ok_or(Malformed::Huffman)? = symbol;
        at += 1;
        window.skip(length);
    }
}

/// The next bits of a coded string.
struct Window<'a> {
    /// From the highest bit on; zeros behind the last.
    bits: u64,
    count: u32,
    rest: &'a [u8],
}

impl Window<'_> {
    /// More than 32 bits, unless the string has no more.
    #[inline]
    fn fill(&mut self) {
        while self.count <= 32 {
            let Some((word, rest)) = self.rest.split_first_chunk::<4>() else {
                return self.fill_with_the_last();
            };
            self.bits |= u64::from(u32::from_be_bytes(*word)) << (32 - self.count);
            self.count += 32;
            self.rest = rest;
        }
    }

    #[inline]
    fn fill_with_the_last(&mut self) {
        for byte in std::mem::take(&mut self.rest) {
            self.bits |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Four symbols, for which 32 bits are enough; fewer when one of them is a long one.
    #[inline]
    fn short_symbols(&mut self, places: &mut [u8; 4]) -> usize {
        for (written, place) in places.iter_mut().enumerate() {
            let (symbol, length) = short_symbol(self.bits);
            if length == 0 {
                return written;
            }
            *place = symbol;
            self.skip(length);
        }
        places.len()
    }

    #[inline]
    fn skip(&mut self, length: u32) {
        self.bits <<= length;
        self.count -= length;
    }

    /// "A padding strictly longer than 7 bits MUST be treated as a decoding error. A padding not corresponding to the most
    /// significant bits of the code for the EOS symbol MUST be treated as a decoding error."
    fn is_padding(&self) -> bool {
        self.count < 8 && self.bits.leading_ones() == self.count
    }
}

/// The symbol that these bits begin with, and how many of them it is: 0 if more than eight.
#[inline]
fn short_symbol(bits: u64) -> (u8, u32) {
    let (symbol, length) = SHORT.get((bits >> 56) as usize).copied().unwrap_or_default();
    (symbol, u32::from(length))
}

/// The same for symbols of any length. When the string ends within it, that is more than there is.
#[inline]
fn first_symbol(bits: u64) -> Result<(u8, u32), Malformed> {
    let (symbol, length) = short_symbol(bits);
    if length > 0 { Ok((symbol, length)) } else { long_symbol(bits) }
}

#[cold]
fn long_symbol(bits: u64) -> Result<(u8, u32), Malformed> {
    let next = bits >> 32;
    let rank = RANKS.iter().find(|rank| next < rank.end).ok_or(Malformed::Huffman)?;
    let code = (next >> (32 - rank.length)) as u32;
    let symbol = BY_CODE.get(rank.place + (code - rank.first) as usize);
    // "A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding error."
    Ok((*symbol.ok_or(Malformed::Huffman)?, rank.length))
}

#[inline]
fn length_of(byte: u8) -> u8 {
    LENGTHS.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = vec![0; decoded_len_max(coded.len())];
        let length = decode(coded, &mut out)?;
        out.truncate(length);
        Ok(out)
    }

    fn coded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text.iter().copied(), &mut out);
        assert_eq!(out.len(), coded_len(text.iter().copied()));
        out
    }

    #[test]
    fn strings_of_appendix_c_are_coded_as_there() {
        for (text, bytes) in [
            (&b""[..], &[][..]),
            (b"www.example.com", b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"),
            (b"no-cache", b"\xa8\xeb\x10\x64\x9c\xbf"),
            (b"custom-value", b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"),
            (b"302", b"\x64\x02"),
            (b"private", b"\xae\xc3\x77\x1a\x4b"),
            (
                b"https://www.example.com",
                b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
            ),
        ] {
            assert_eq!(coded(text), bytes);
            assert_eq!(decoded(bytes).as_deref(), Ok(text));
        }
    }

    #[test]
    fn every_byte_alone_and_in_every_place_of_the_window_comes_back() {
        for byte in 0..=u8::MAX {
            for before in 0..16 {
                let text = [vec![b'0'; before], vec![byte, b'z', byte]].concat();
                assert_eq!(decoded(&coded(&text)), Ok(text));
            }
        }
    }

    #[test]
    fn what_no_encoder_may_write_is_refused() {
        for (bytes, why) in [
            (&[0xff][..], "eight bits of padding"),
            (&[0x07, 0xff], "`0`, then eleven bits of padding"),
            (&[0x00], "`0`, then padding of zeros"),
            (&[0x06], "`0`, then padding that ends in a zero"),
            (&[0xff, 0xff, 0xff, 0xff], "the end of string"),
            (&[0xff, 0xff, 0xff, 0xfc], "the end of string, then padding of zeros"),
            (&[0x07, 0xff, 0xff, 0xff, 0xff, 0xff], "the end of string within"),
            (&[0xff, 0xff, 0xfe], "a long code that is cut off"),
            (&[0xfe], "a code of ten bits that is cut off"),
        ] {
            assert_eq!(decoded(bytes), Err(Malformed::Huffman), "{why}");
        }
        assert_eq!(decoded(&[0x07]).as_deref(), Ok(&b"0"[..]), "three ones are padding");
    }
}
