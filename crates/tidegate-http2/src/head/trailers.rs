//! Trailers (RFC 9113 §8.1), as lines.

use super::{FIELD_OVERHEAD, Lines, field, put_line};
use crate::field::{is_name, is_value};
use crate::hpack::Encoder;
use std::ops::ControlFlow;

/// Where their fields go, one by one.
pub(crate) struct TrailerText<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
    is_malformed: bool,
}

impl<'a> TrailerText<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, bytes_max: usize) -> Self {
        Self { out, left: bytes_max, is_malformed: false }
    }

    pub(crate) fn take(&mut self, name: &[u8], value: &[u8]) -> ControlFlow<()> {
        let left = self.left.checked_sub(name.len() + value.len() + FIELD_OVERHEAD);
        // RFC 9113 §8.1: no pseudo-fields here, which are no names either.
        let Some(left) = left.filter(|_| is_name(name) && is_value(value)) else {
            self.is_malformed = true;
            return ControlFlow::Break(());
        };
        self.left = left;
        put_line(self.out, name, value);
        ControlFlow::Continue(())
    }

    /// `false`: RFC 9113 §8.1.1, or more of them than is read.
    pub(crate) fn is_well_formed(&self) -> bool {
        !self.is_malformed
    }
}

/// Writes a field block for trailers, which are lines without an end of their own.
pub(crate) fn write_trailers(text: &[u8], encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    for (name, value) in Lines::of(text).filter_map(field) {
        encoder.field(name, value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::Decoder;

    const BYTES_MAX: usize = 1000;

    #[test]
    fn fields_become_lines_and_none_of_them_are_pseudo_fields() {
        let write = |fields: &[(&str, &str)]| {
            let mut out = Vec::new();
            let mut text = TrailerText::new(&mut out, BYTES_MAX);
            let _ = fields.iter().try_for_each(|(name, value)| text.take(name.as_bytes(), value.as_bytes()));
            text.is_well_formed().then(|| String::from_utf8(out).unwrap())
        };
        assert_eq!(write(&[("a", "1"), ("b", "")]).as_deref(), Some("a: 1\r\nb: \r\n"));
        let long = "y".repeat(BYTES_MAX);
        for bad in [(":path", "/"), ("A", "1"), ("a", "1\n"), ("a", &long)] {
            assert_eq!(write(&[("b", "2"), bad]), None, "{bad:?}");
        }
    }

    #[test]
    fn lines_become_fields() {
        let mut block = Vec::new();
        write_trailers(b"Grpc-Status: 0\r\nx: \r\n", &mut Encoder::new(), &mut block);
        let mut fields = Vec::new();
        let decoded = Decoder::new(4096).decode(&block, |name, value| {
            fields.push(String::from_utf8([name, b"=", value].concat()).unwrap());
            ControlFlow::Continue(())
        });
        decoded.unwrap();
        assert_eq!(fields, ["grpc-status=0", "x="]);
    }
}
