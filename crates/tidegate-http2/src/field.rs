//! What may be in the names and values of fields (RFC 9113 §8.2): what HTTP/1.1 could read otherwise never gets that far. Knows
//! no meanings.

/// Which bytes names of fields consist of: those of a token (RFC 9110 §5.6.2), in lower case.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = matches!(
            byte as u8,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            | b'0'..=b'9' | b'a'..=b'z'
        );
        byte += 1;
    }
    table
};

#[inline]
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| NAME.get(usize::from(*byte)).is_some_and(|is| *is))
}

/// No control characters but tabs, and no white space around it.
#[inline]
pub(crate) fn is_value(value: &[u8]) -> bool {
    // Counted, without a way out in the middle, so that many bytes are judged at once.
    let bad = |byte: &u8| u8::from(*byte < b' ') & u8::from(*byte != b'\t') | u8::from(*byte == 0x7f);
    let is_clean = value.iter().fold(0, |found, byte| found | bad(byte)) == 0;
    is_clean && !value.first().copied().is_some_and(is_white) && !value.last().copied().is_some_and(is_white)
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Without white space around it.
pub(crate) fn trimmed(value: &[u8]) -> &[u8] {
    let Some(first) = value.iter().position(|byte| !is_white(*byte)) else { return b"" };
    let last = value.iter().rposition(|byte| !is_white(*byte)).unwrap_or(first);
    value.get(first..=last).unwrap_or_default()
}

/// Of what a line of HTTP/1.1 begins with: no white space, nothing but what ASCII shows.
#[inline]
pub(crate) fn is_word(word: &[u8]) -> bool {
    let bad = |byte: &u8| u8::from(!matches!(byte, b'!'..=b'~'));
    !word.is_empty() && word.iter().fold(0, |found, byte| found | bad(byte)) == 0
}

/// RFC 3986 §3.1.
pub(crate) fn is_scheme(scheme: &[u8]) -> bool {
    let is_of_one = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(is_of_one)
}

/// RFC 9113 §8.2.2: fields about one connection, which HTTP/2 has other means for.
pub fn is_connection_specific(name: &[u8]) -> bool {
    let names: &[&[u8]] =
        &[b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_in_lower_case() {
        for good in ["a", "x-1", "!#$%&'*+-.^_`|~", "te"] {
            assert!(is_name(good.as_bytes()), "{good}");
        }
        for bad in ["", "A", "a b", "a:", ":a", "a\0", "a\r", "a(", "\u{7f}", "\u{e9}"] {
            assert!(!is_name(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn values_end_no_line_and_begin_and_end_with_something() {
        for good in ["", "a", "a b\tc", "\u{e9}", "\"~\""] {
            assert!(is_value(good.as_bytes()), "{good}");
        }
        for bad in [" a", "a ", "\ta", "a\t", " ", "a\r\nb", "a\rb", "a\nb", "a\0b", "\u{7f}", "\u{1b}[0m"] {
            assert!(!is_value(bad.as_bytes()), "{bad:?}");
        }
    }
}
