//! Heads and trailers, between the text that HTTP/1.1 has for them and the field blocks of HTTP/2. Text comes out as a strict parser
//! is to read it; what RFC 9113 §8 calls malformed is refused, and all else is for whoever reads the text.

pub(crate) mod answer_block; // heads of answers, from text
pub(crate) mod answer_text; // heads of answers, to text
pub(crate) mod request_block; // heads of requests, from text
pub(crate) mod request_text; // heads of requests, to text
pub(crate) mod trailers; // both ways

use crate::field::is_connection_specific;

/// What each field is counted with besides its name and value (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// Why nothing more of a head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit {
    Malformed,
    TooLarge,
}

/// Appends one line.
fn put_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    for piece in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(piece);
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// Lines ended by CR LF, without that.
struct Lines<'a> {
    text: &'a [u8],
    taken: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, taken: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.text.get(self.taken..)?;
        let end = memchr::memchr(b'\n', rest)?;
        self.taken += end + 1;
        rest.get(..end)?.strip_suffix(b"\r")
    }
}

/// Name and value of a line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name, value.get(1..)?.trim_ascii()))
}

/// Whether a field of HTTP/1.1 is about its connection, which HTTP/2 has other means for. Tells most by their lengths.
#[inline]
fn stays_behind(name: &[u8]) -> bool {
    matches!(name.len(), 7 | 10 | 16 | 17) && is_connection_specific(name)
}
