//! What a file begins with that is no log as it stands: compressed, an archive, or of an encoding that no log has. Knows no lines.

/// What it begins with, what it is, and what makes a log of it: gzip (RFC 1952, section 2.3.1), bzip2, xz, Zstandard (RFC 8878, section 3.1.1),
/// zip (APPNOTE.TXT, section 4.3.7), UTF-32 and UTF-16 in both orders of its bytes.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "it is compressed by gzip; unpack it on the way", "zcat FILE"),
    (b"BZh", "it is compressed by bzip2; unpack it on the way", "bzcat FILE"),
    (b"\xfd7zXZ\0", "it is compressed by xz; unpack it on the way", "xzcat FILE"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd; unpack it on the way", "zstdcat FILE"),
    (b"PK\x03\x04", "it is a zip archive; unpack it on the way", "unzip -p FILE"),
    // Before UTF-16, whose mark it begins with.
    (b"\xff\xfe\0\0", "it is UTF-32; translate it on the way", "iconv -f UTF-32 -t UTF-8 FILE"),
    (b"\xff\xfe", "it is UTF-16; translate it on the way", "iconv -f UTF-16 -t UTF-8 FILE"),
    (b"\xfe\xff", "it is UTF-16; translate it on the way", "iconv -f UTF-16 -t UTF-8 FILE"),
];
/// What some programs put before UTF-8, and what is no part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why it is no log, and what would make one of it.
pub(super) fn complaint(beginning: &[u8]) -> Option<String> {
    let begins = |(mark, ..): &&(&[u8], &str, &str)| beginning.starts_with(mark);
    let (what, command) = OTHERS
        .iter()
        .find(begins)
        .map(|&(_, what, command)| (what, command))
        .or_else(|| unmarked(beginning))?;
    Some(format!("{what}: {command} | tidegate lab replay -"))
}

/// Every line of a log begins with ASCII, of which UTF-16 makes pairs with a zero.
fn unmarked(beginning: &[u8]) -> Option<(&'static str, &'static str)> {
    let is_ascii = |byte: u8| (1..128).contains(&byte);
    match *beginning {
        [first, 0, second, 0, ..] if is_ascii(first) && is_ascii(second) => {
            Some(("it is UTF-16 without a mark; translate it on the way", "iconv -f UTF-16LE -t UTF-8 FILE"))
        }
        [0, first, 0, second, ..] if is_ascii(first) && is_ascii(second) => {
            Some(("it is UTF-16 without a mark; translate it on the way", "iconv -f UTF-16BE -t UTF-8 FILE"))
        }
        _ => None,
    }
}

pub(super) fn without_mark(first_line: &[u8]) -> &[u8] {
    first_line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_log_yet_is_told_with_what_makes_one() {
        for (beginning, command) in [
            (b"\x1f\x8b\x08\0".as_slice(), "gzip; unpack it on the way: zcat FILE | tidegate lab replay -"),
            (b"BZh91AY", "bzip2; unpack it on the way: bzcat FILE |"),
            (b"\xfd7zXZ\0\0", "xz; unpack it on the way: xzcat FILE |"),
            (b"\x28\xb5\x2f\xfd\x24", "zstd; unpack it on the way: zstdcat FILE |"),
            (b"\xff\xfe{\0", "UTF-16; translate it on the way: iconv -f UTF-16 -t UTF-8 FILE |"),
            (b"\xfe\xff\0{", "UTF-16"),
            (b"{\0\"\0", "UTF-16 without a mark; translate it on the way: iconv -f UTF-16LE -t UTF-8 FILE |"),
            (b"\x001\x000", "iconv -f UTF-16BE -t UTF-8 FILE |"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32; translate it"),
            (b"PK\x03\x04\x14", "a zip archive; unpack it on the way: unzip -p FILE |"),
        ] {
            let said = complaint(beginning).unwrap_or_default();
            assert!(said.contains(command), "{beginning:?}: {said}");
        }
        assert_eq!(complaint(b"{\"time\""), None);
    }
}
