//! One cookie out of the Cookie fields of a request (RFC 6265 §4.2, §5.4). Knows nothing of Set-Cookie.

use crate::{Field, FieldKind};

/// The value of the first cookie of exactly this name, as sent.
pub fn find<'a>(fields: &[Field], buffer: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields
        .iter()
        .filter(|field| field.kind == FieldKind::Cookie)
        .flat_map(|field| field.value.of(buffer).split(|byte| *byte == b';'))
        .find_map(|pair| value_of(pair, name))
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")
}
