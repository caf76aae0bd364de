//! The Huffman code of RFC 7541 Appendix B, made from nothing but how long each code is: the code is canonical, so those of
//! one length are consecutive numbers in the order of their symbols, and longer ones go on where shorter ones end.

/// The symbol after the bytes: end of string. Nobody may write it (§5.2).
const END: usize = 256;

/// Bits of the code of each byte, and of the end of string.
#[rustfmt::skip]
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x00
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x20
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x40
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x60
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x80
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xa0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xc0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xe0
    30, // end of string
];

pub(super) const LENGTH_MAX: usize = 30;

/// The code of each byte, in its low bits.
pub(super) static CODES: [u32; 256] = codes();

/// All codes of one length, for what begins with none of the short ones.
#[derive(Clone, Copy)]
pub(super) struct Rank {
    pub(super) length: u32,
    /// 32 bits that begin with a code of this length or a shorter one are less than this.
    pub(super) end: u64,
    /// The first code.
    pub(super) first: u32,
    /// Where the symbol of that is in `BY_CODE`.
    pub(super) place: usize,
}

/// By length.
pub(super) static RANKS: [Rank; LENGTH_MAX] = ranks();

/// All symbols in the order of their codes; the end of string is no byte, has the last code, and is absent.
pub(super) static BY_CODE: [u8; 256] = by_code();

/// Symbol and length for eight bits that begin with a whole code; a length of 0 where they do not.
pub(super) static SHORT: [(u8, u8); 256] = short();

#[allow(clippy::indexing_slicing, reason = "runs at compile time")]
const fn codes() -> [u32; 256] {
    let mut codes = [0; 256];
    let ranks = ranks();
    let mut used = [0; LENGTH_MAX];
    let mut symbol = 0;
    while symbol < END {
        let rank = LENGTHS[symbol] as usize - 1;
        codes[symbol] = ranks[rank].first + used[rank];
        used[rank] += 1;
        symbol += 1;
    }
    codes
}

#[allow(clippy::indexing_slicing, reason = "runs at compile time")]
const fn ranks() -> [Rank; LENGTH_MAX] {
    let mut ranks = [Rank { length: 0, end: 0, first: 0, place: 0 }; LENGTH_MAX];
    let (mut code, mut place, mut length) = (0, 0, 1);
    while length <= LENGTH_MAX {
        code <<= 1;
        let count = symbols_of(length);
        let end = ((code + count) as u64) << (32 - length);
        ranks[length - 1] = Rank { length: length as u32, end, first: code as u32, place };
        code += count;
        place += count;
        length += 1;
    }
    assert!(code == 1 << LENGTH_MAX, "the code leaves no gap");
    ranks
}

#[allow(clippy::indexing_slicing, reason = "runs at compile time")]
const fn symbols_of(length: usize) -> usize {
    let (mut count, mut symbol) = (0, 0);
    while symbol <= END {
        count += (LENGTHS[symbol] as usize == length) as usize;
        symbol += 1;
    }
    count
}

#[allow(clippy::indexing_slicing, reason = "runs at compile time")]
const fn by_code() -> [u8; 256] {
    let mut symbols = [0; 256];
    let (mut place, mut length) = (0, 1);
    while length <= LENGTH_MAX {
        let mut symbol = 0;
        while symbol < END {
            if LENGTHS[symbol] as usize == length {
                symbols[place] = symbol as u8;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

#[allow(clippy::indexing_slicing, reason = "runs at compile time")]
const fn short() -> [(u8, u8); 256] {
    let mut table = [(0, 0); 256];
    let codes = codes();
    let mut symbol = 0;
    while symbol < END {
        let length = LENGTHS[symbol];
        if length <= 8 {
            let first = (codes[symbol] << (8 - length)) as usize;
            let mut more = 0;
            while more < 1 << (8 - length) {
                table[first + more] = (symbol as u8, length);
                more += 1;
            }
        }
        symbol += 1;
    }
    table
}
