//! One canonical path for matching, logging and forwarding (RFC 3986 §6.2.2). Knows nothing of routes.

use crate::scan::{PATH, UNRESERVED};

/// Why a path was refused; each of these is a 400. Variants alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path climbs above its root")]
    AboveRoot,
    #[error("the path has a backslash")]
    Backslash,
    #[error("the path has parameters on a dot segment")]
    DotSegmentParameters,
    #[error("the path has an encoded slash or backslash")]
    EncodedSlash,
    #[error("the path has a malformed percent escape")]
    EscapeMalformed,
    #[error("the path has a NUL byte")]
    Nul,
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    #[error("the path has an overlong UTF-8 sequence")]
    OverlongUtf8,
}

impl PathError {
    /// One stable word for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::AboveRoot => "path_above_root",
            Self::Backslash => "path_backslash",
            Self::DotSegmentParameters => "path_dot_segment_parameters",
            Self::EncodedSlash => "path_encoded_slash",
            Self::EscapeMalformed => "path_escape_malformed",
            Self::Nul => "path_nul",
            Self::NotAbsolute => "path_not_absolute",
            Self::OverlongUtf8 => "path_overlong_utf8",
        }
    }
}

/// `Ok(false)`: `raw` is canonical as it is (the common case, decided in one pass without writing).
/// `Ok(true)`: the canonical form was appended to `out` (the same bytes, perhaps: escapes are always looked into).
///
/// Escapes of unreserved bytes are decoded, others get upper-case digits; dot segments, encoded or not, are removed;
/// empty segments vanish; bytes that RFC 3986 does not allow but browsers send (`"<>^{|}`, the back-tick) are escaped.
/// What endpoints are known to read differently is refused. The empty path (of `http://host`) is `/`; `*` stays.
#[inline]
pub fn canonical(raw: &[u8], out: &mut Vec<u8>) -> Result<bool, PathError> {
    if is_canonical(raw) {
        return Ok(false);
    }
    let base = out.len();
    rewrite(raw, out).inspect_err(|_| out.truncate(base))?;
    Ok(true)
}

/// Begins with a slash, has plain bytes only, and after a slash neither another nor a dot.
#[inline]
fn is_canonical(raw: &[u8]) -> bool {
    let [b'/', rest @ ..] = raw else { return raw == b"*" };
    let mut before = b'/';
    for byte in rest {
        // A slash has its lowest bit set, a dot has not, nothing else differs.
        if !PATH.has(*byte) || before == b'/' && *byte | 1 == b'/' {
            return false;
        }
        before = *byte;
    }
    true
}

/// RFC 3986 §6.2.2, then §5.2.4 on what that gave. `out` ends in a slash whenever a segment begins.
fn rewrite(raw: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let root = out.len();
    out.push(b'/');
    let segments = match raw {
        [] => return Ok(()),
        [b'/', segments @ ..] => segments,
        _ => return Err(PathError::NotAbsolute),
    };
    let mut segments = segments.split(|byte| *byte == b'/').peekable();
    while let Some(raw) = segments.next() {
        let start = out.len();
        normalise(raw, out)?;
        match out.get(start..).unwrap_or_default() {
            [] => {}
            b"." => out.truncate(start),
            b".." => climb(root, start, out)?,
            segment if has_dot_parameters(segment) => return Err(PathError::DotSegmentParameters),
            _ if segments.peek().is_some() => out.push(b'/'),
            _ => {}
        }
    }
    Ok(())
}

/// Removes the `..` that begins at `start`, and the segment before it.
fn climb(root: usize, start: usize, out: &mut Vec<u8>) -> Result<(), PathError> {
    let parents = out.get(root..start - 1).unwrap_or_default();
    let slash = parents.iter().rposition(|byte| *byte == b'/').ok_or(PathError::AboveRoot)?;
    out.truncate(root + slash + 1);
    Ok(())
}

/// `..;a=b`: some servers drop the parameters first and climb then.
fn has_dot_parameters(segment: &[u8]) -> bool {
    let after_dot = segment.strip_prefix(b"..").or_else(|| segment.strip_prefix(b"."));
    after_dot.is_some_and(|rest| rest.starts_with(b";") || rest.starts_with(b"%3B"))
}

/// Appends one segment with its escapes in their one form.
fn normalise(segment: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let mut rest = segment;
    let mut lead = 0; // the escaped byte right before this one, if any
    while let [byte, more @ ..] = rest {
        rest = more;
        match byte {
            b'%' => {
                let (escaped, after) = unescape(more).ok_or(PathError::EscapeMalformed)?;
                check_escaped(lead, escaped)?;
                (lead, rest) = (escaped, after);
                if UNRESERVED.has(escaped) {
                    out.push(escaped);
                } else {
                    escape(escaped, out);
                }
                continue;
            }
            b'\\' => return Err(PathError::Backslash),
            0 => return Err(PathError::Nul),
            _ if PATH.has(*byte) => out.push(*byte),
            _ => escape(*byte, out),
        }
        lead = 0;
    }
    Ok(())
}

fn unescape(digits: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = digits else { return None };
    Some((hexadecimal(*high)? << 4 | hexadecimal(*low)?, rest))
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn check_escaped(lead: u8, byte: u8) -> Result<(), PathError> {
    match (lead, byte) {
        (_, 0) => Err(PathError::Nul),
        (_, b'/' | b'\\') => Err(PathError::EncodedSlash),
        // RFC 3629 §3: shorter sequences exist for these; decoders that accept them see a dot or a slash.
        (_, 0xc0 | 0xc1) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f) => Err(PathError::OverlongUtf8),
        _ => Ok(()),
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_text(raw: &str) -> Result<String, PathError> {
        let mut out = b"before".to_vec();
        let changed = canonical(raw.as_bytes(), &mut out)?;
        let written = String::from_utf8(out.split_off(6)).unwrap();
        assert_eq!(out, b"before");
        Ok(if changed { written } else { raw.to_owned() })
    }

    #[test]
    fn one_path_stands_for_all_its_spellings() {
        let cases = [
            ("/", "/", "the root"),
            ("", "/", "http://host"),
            ("*", "*", "the server itself"),
            ("/a/b.c/d;e=f", "/a/b.c/d;e=f", "clean"),
            ("/%7euser/%41", "/~user/A", "unreserved bytes are decoded"),
            ("/a%3ab", "/a%3Ab", "reserved ones get upper-case digits"),
            ("/caf%c3%a9", "/caf%C3%A9", "and so do those beyond ASCII"),
            ("/a/./b", "/a/b", "dot segment"),
            ("/a/../b", "/b", "two dots climb"),
            ("/a/%2e%2E/b", "/b", "encoded or not"),
            ("/a/.%2e/b", "/b", "or half"),
            ("/a/b/..", "/a/", "at the end a slash remains"),
            ("/a/.", "/a/", "at the end a slash remains"),
            ("/a//b///c", "/a/b/c", "empty segments vanish"),
            ("//", "/", "empty segments vanish"),
            ("//a/..//b", "/b", "empty segments do not shield"),
            ("/a//../b", "/b", "empty segments do not count"),
            ("/...", "/...", "three dots are a name"),
            ("/.well-known/x", "/.well-known/x", "and so is this"),
            ("/..a/.b", "/..a/.b", "and these"),
            ("/%252e%252e/", "/%252e%252e/", "decoded once only"),
            ("/a b".replace(' ', "%20").leak(), "/a%20b", "a space stays escaped"),
            ("/{a|b}^\"<`>", "/%7Ba%7Cb%7D%5E%22%3C%60%3E", "raw bytes of browsers are escaped"),
            ("/a[0]", "/a[0]", "brackets stay"),
            ("/%ef%bf%bd", "/%EF%BF%BD", "well-formed UTF-8"),
            ("/%e0%a0%80%f0%90%80%80", "/%E0%A0%80%F0%90%80%80", "the shortest of their lengths"),
        ];
        for (raw, canonical, why) in cases {
            assert_eq!(canonical_text(raw).as_deref(), Ok(canonical), "{raw}: {why}");
            assert_eq!(canonical_text(canonical).as_deref(), Ok(canonical), "{raw}: idempotent");
        }
    }

    #[test]
    fn paths_that_mean_different_things_to_different_servers_are_refused() {
        let cases = [
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%2e%2e/", PathError::AboveRoot),
            ("/.//..", PathError::AboveRoot),
            ("/a\\b", PathError::Backslash),
            ("/..;/b", PathError::DotSegmentParameters),
            ("/a/.;x/b", PathError::DotSegmentParameters),
            ("/a/%2e%2e;/b", PathError::DotSegmentParameters),
            ("/a/..%3b/b", PathError::DotSegmentParameters),
            ("/a%2fb", PathError::EncodedSlash),
            ("/a%2Fb", PathError::EncodedSlash),
            ("/a%5cb", PathError::EncodedSlash),
            ("/%", PathError::EscapeMalformed),
            ("/%4", PathError::EscapeMalformed),
            ("/%4/1", PathError::EscapeMalformed),
            ("/%zz", PathError::EscapeMalformed),
            ("/%+1", PathError::EscapeMalformed),
            ("/%00", PathError::Nul),
            ("a", PathError::NotAbsolute),
            ("*a", PathError::NotAbsolute),
            ("/%c0%ae", PathError::OverlongUtf8),
            ("/%c1%9c", PathError::OverlongUtf8),
            ("/%e0%80%af", PathError::OverlongUtf8),
            ("/%f0%80%80%af", PathError::OverlongUtf8),
        ];
        for (raw, error) in cases {
            assert_eq!(canonical_text(raw), Err(error), "{raw}");
        }
    }
}
