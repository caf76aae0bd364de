//! Feeds bytes to a parser in pieces and says what it made of them. Knows no cases.
#![allow(dead_code, reason = "every test binary uses its own part")]

use tidegate_http::request::{Method, RequestError, RequestHead, RequestParser};
use tidegate_http::response::{ResponseError, ResponseHead, ResponseParser};
use tidegate_http::{HeadLimits, Progress};

pub(crate) const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 4096, target_bytes_max: 1024, field_count_max: 32 };

/// A head and where it ends, or `None` if it never did.
pub(crate) type Parsed<H, E> = Result<Option<(H, usize)>, E>;

/// Where a growing buffer ends at each call: all at once, byte by byte, or at these places and then at the end.
pub(crate) fn ends(length: usize, cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (length + 1)).collect();
    ends.push(length);
    ends.sort_unstable();
    ends
}

pub(crate) fn request(bytes: &[u8], ends: &[usize]) -> Parsed<RequestHead, RequestError> {
    let (mut parser, mut head) = (RequestParser::default(), RequestHead::default());
    for end in ends {
        if let Progress::Complete { head_bytes } = parser.parse(&bytes[..*end], &LIMITS, &mut head)? {
            return Ok(Some((head, head_bytes)));
        }
    }
    Ok(None)
}

pub(crate) fn response(bytes: &[u8], method: Method, ends: &[usize]) -> Parsed<ResponseHead, ResponseError> {
    let (mut parser, mut head) = (ResponseParser::default(), ResponseHead::default());
    for end in ends {
        if let Progress::Complete { head_bytes } = parser.parse(&bytes[..*end], &LIMITS, method, &mut head)? {
            return Ok(Some((head, head_bytes)));
        }
    }
    Ok(None)
}

/// The one answer of whole, byte by byte, and every cut in two.
pub(crate) fn request_any_way(bytes: &[u8]) -> Parsed<RequestHead, RequestError> {
    any_way(bytes, |ends| request(bytes, ends))
}

/// The one answer of whole, byte by byte, and every cut in two.
pub(crate) fn response_any_way(bytes: &[u8], method: Method) -> Parsed<ResponseHead, ResponseError> {
    any_way(bytes, |ends| response(bytes, method, ends))
}

fn any_way<T: PartialEq + std::fmt::Debug>(bytes: &[u8], parse: impl Fn(&[usize]) -> T) -> T {
    let whole = parse(&[bytes.len()]);
    let single: Vec<usize> = (0..=bytes.len()).collect();
    assert_eq!(parse(&single), whole, "byte by byte: {}", bytes.escape_ascii());
    if bytes.len() < 512 {
        for cut in 0..bytes.len() {
            assert_eq!(parse(&[cut, bytes.len()]), whole, "cut at {cut}: {}", bytes.escape_ascii());
        }
    }
    whole
}
