//! CRC-32C (RFC 9260, appendix A), bit by bit: it is computed once for a connection, of a few hundred bytes.

/// The polynomial of Castagnoli, its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

pub(super) fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let sum = bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (POLYNOMIAL & (sum & 1).wrapping_neg()))
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_known_sums_come_out() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283, "the check value of the catalogue of CRCs");
        assert_eq!(crc32c([0; 32].iter()), 0x8a91_36aa, "RFC 3720, appendix B.4");
    }
}
