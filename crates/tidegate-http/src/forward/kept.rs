//! Copying the field lines that pass, in as few runs as they lie in. Knows which names a Connection field cannot remove.

use crate::{BodyLength, Field, FieldKind, FieldSet};

/// The part of a head that is copied: where it is, and which lines of it are left out.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) buffer: &'a [u8],
    pub(super) fields: &'a [Field],
    /// The kinds of fields in `fields`.
    pub(super) kinds: FieldSet,
    /// Copying begins here: at the first field line, or at something before it that passes too.
    pub(super) start: usize,
    pub(super) dropped: FieldSet,
    /// A Connection field names others, which are left out as well.
    pub(super) nominates: bool,
}

impl Kept<'_> {
    #[inline]
    pub(super) fn copy(&self, out: &mut Vec<u8>) {
        let mut run = self.start;
        let in_question = if self.nominates || self.dropped.meets(self.kinds) { self.fields } else { &[] };
        for field in in_question {
            if self.dropped.has(field.kind) || self.nominates && self.is_nominated(field) {
                self.copy_run(run, field.line.start as usize, out);
                run = field.line.end as usize;
            }
        }
        let end = self.fields.last().map_or(self.start, |field| field.line.end as usize);
        self.copy_run(run, end, out);
    }

    #[inline]
    fn copy_run(&self, start: usize, end: usize, out: &mut Vec<u8>) {
        if start < end {
            out.extend_from_slice(self.buffer.get(start..end).unwrap_or_default());
        }
    }

    /// RFC 9110 §7.6.1, for fields that are not the proxy's own business nor any recipient's.
    #[cold]
    fn is_nominated(&self, field: &Field) -> bool {
        let name = field.name.of(self.buffer);
        field.kind == FieldKind::Other
            && !PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected.as_bytes()))
            && list_has(self.fields, self.buffer, FieldKind::Connection, name)
    }
}

/// Whether the length of the body is said by one line that needs no rewriting: one number without leading zeros, one
/// space before it and nothing behind it.
pub(super) fn says_length(fields: &[Field], kinds: FieldSet, buffer: &[u8], body: BodyLength) -> bool {
    if !(kinds.has(FieldKind::ContentLength) && matches!(body, BodyLength::Length(_))) {
        return false;
    }
    let mut lengths = fields.iter().filter(|field| field.kind == FieldKind::ContentLength);
    match (lengths.next(), lengths.next()) {
        (Some(only), None) => is_plain(only) && only.value.of(buffer).first() != Some(&b'0'),
        _ => false,
    }
}

/// `Name: value`, with one space and no other white space around the value.
#[inline]
pub(super) fn is_plain(field: &Field) -> bool {
    field.value.start == field.name.end + 2 && field.line.end == field.value.end + 2
}

/// Besides all fields with a `FieldKind` of their own: removing them by naming them in Connection would take away what
/// the endpoint protects itself with, or what intermediaries behind this one rely on.
const PROTECTED: [&str; 10] = [
    "cache-control",
    "content-encoding",
    "content-type",
    "cookie2",
    "origin",
    "proxy-authorization",
    "range",
    "set-cookie",
    "vary",
    "www-authenticate",
];

/// Whether the comma-separated lists of all fields of a kind have this element.
pub(super) fn list_has(fields: &[Field], buffer: &[u8], kind: FieldKind, element: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| field.kind == kind)
        .flat_map(|field| field.value.of(buffer).split(|byte| *byte == b','))
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(element))
}

/// Appends what all fields of a kind list, each element followed by a comma, so that one more can be added.
pub(super) fn put_list(fields: &[Field], buffer: &[u8], kind: FieldKind, out: &mut Vec<u8>) {
    for field in fields.iter().filter(|field| field.kind == kind && !field.value.is_empty()) {
        out.extend_from_slice(field.value.of(buffer));
        out.extend_from_slice(b", ");
    }
}

/// Appends `Connection: a, b` for the options that are said, or nothing.
pub(super) fn put_connection(options: [(bool, &[u8]); 3], out: &mut Vec<u8>) {
    let mut said = options.into_iter().filter_map(|(is_said, option)| is_said.then_some(option));
    let Some(first) = said.next() else { return };
    out.extend_from_slice(b"Connection: ");
    out.extend_from_slice(first);
    for option in said {
        out.extend_from_slice(b", ");
        out.extend_from_slice(option);
    }
    out.extend_from_slice(b"\r\n");
}
