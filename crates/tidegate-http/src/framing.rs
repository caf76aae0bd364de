//! The fields that decide where a message ends and whether its connection goes on: Content-Length, Transfer-Encoding,
//! Connection (RFC 9112 §6, §9). Knows neither requests nor responses.

use crate::Version;
use crate::field::{elements, is_keep_alive};

/// A Content-Length value: digits and nothing else (RFC 9110 §8.6), below 2^64.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// What a Transfer-Encoding value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Chunked,
    /// Well-formed and ending in chunked, with a coding before it that nobody here can undo.
    Unknown,
    /// Not ending in exactly one chunked: the length of the body cannot be known (RFC 9112 §6.3).
    Invalid,
}

impl Coding {
    #[inline]
    pub(crate) fn of(value: &[u8]) -> Self {
        if value.eq_ignore_ascii_case(b"chunked") { Self::Chunked } else { Self::of_list(value) }
    }

    fn of_list(value: &[u8]) -> Self {
        let mut codings = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let ends_chunked = codings.next().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
        let others_are_tokens = codings.all(|coding| {
            !coding.is_empty()
                && crate::scan::TOKEN.has_all(coding)
                && !coding.eq_ignore_ascii_case(b"chunked")
                && !coding.eq_ignore_ascii_case(b"identity")
        });
        if ends_chunked && others_are_tokens { Self::Unknown } else { Self::Invalid }
    }
}

/// What all Connection fields of a message name together (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionOptions(u8);

impl ConnectionOptions {
    const CLOSE: u8 = 1;
    const KEEP_ALIVE: u8 = 2;
    const NOMINATES: u8 = 4;
    const UPGRADE: u8 = 8;

    #[inline]
    pub(crate) fn add(&mut self, value: &[u8]) {
        if is_keep_alive(value) {
            self.0 |= Self::KEEP_ALIVE;
        } else {
            self.add_list(value);
        }
    }

    fn add_list(&mut self, value: &[u8]) {
        for (_, option) in elements(value) {
            self.0 |= match option {
                _ if option.eq_ignore_ascii_case(b"close") => Self::CLOSE,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => Self::KEEP_ALIVE,
                _ if option.eq_ignore_ascii_case(b"upgrade") => Self::UPGRADE,
                _ if option.eq_ignore_ascii_case(b"te") => 0,
                _ => Self::NOMINATES,
            };
        }
    }

    /// RFC 9112 §9.3: HTTP/1.1 goes on unless told otherwise, HTTP/1.0 only if told.
    #[inline]
    pub(crate) fn keep_alive(self, version: Version) -> bool {
        match version {
            Version::Http11 | Version::Http2 => self.0 & Self::CLOSE == 0,
            Version::Http10 => self.0 & (Self::CLOSE | Self::KEEP_ALIVE) == Self::KEEP_ALIVE,
        }
    }

    #[inline]
    pub(crate) fn nominates(self) -> bool {
        self.0 & Self::NOMINATES != 0
    }

    #[inline]
    pub(crate) fn upgrade(self) -> bool {
        self.0 & Self::UPGRADE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_a_content_length() {
        let cases: [(&[u8], Option<u64>, &str); 11] = [
            (b"0", Some(0), "no body"),
            (b"5", Some(5), "the usual"),
            (b"0005", Some(5), "leading zeros are digits"),
            (b"18446744073709551615", Some(u64::MAX), "the largest"),
            (b"18446744073709551616", None, "2^64"),
            (b"", None, "empty"),
            (b"+5", None, "sign"),
            (b"-1", None, "sign"),
            (b"0x5", None, "hexadecimal"),
            (b"5, 5", None, "list"),
            (b"5 5", None, "two numbers"),
        ];
        for (value, length, why) in cases {
            assert_eq!(content_length(value), length, "{why}");
        }
    }

    #[test]
    fn only_one_final_chunked_is_a_known_coding() {
        let cases: [(&[u8], Coding, &str); 10] = [
            (b"chunked", Coding::Chunked, "the one"),
            (b"Chunked", Coding::Chunked, "case does not matter"),
            (b"gzip, chunked", Coding::Unknown, "well-formed, not ours to undo"),
            (b"chunked, chunked", Coding::Invalid, "twice"),
            (b"chunked, gzip", Coding::Invalid, "not final"),
            (b"xchunked", Coding::Invalid, "not chunked at all"),
            (b"identity", Coding::Invalid, "withdrawn"),
            (b",chunked", Coding::Invalid, "empty element"),
            (b"chunked,", Coding::Invalid, "empty element"),
            (b"chunked;a=b", Coding::Invalid, "chunked has no parameters"),
        ];
        for (value, coding, why) in cases {
            assert_eq!(Coding::of(value), coding, "{why}");
        }
    }
}
