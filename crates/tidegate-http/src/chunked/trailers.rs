//! The trailer section of a chunked body: read line by line into what is forwarded (RFC 9112 §7.1.2). Knows which fields
//! may not be there.

use super::ChunkError;
use crate::lines::{Line, LineReader};
use crate::{Field, FieldKind, HeadLimits};

/// Collects bytes in the caller's vector; a line that must not be forwarded is cut off again once it is complete.
#[derive(Debug)]
pub(super) struct TrailerReader {
    bytes_left: usize,
    fields_left: usize,
    bytes_max: usize,
    fields_max: usize,
    lines: Option<LineReader>,
}

impl TrailerReader {
    pub(super) fn new(limits: &HeadLimits) -> Self {
        let (bytes_max, fields_max) = (limits.head_bytes_max, limits.field_count_max);
        Self { bytes_left: bytes_max, fields_left: fields_max, bytes_max, fields_max, lines: None }
    }

    /// How many of `bytes` belong to the section, and whether it is complete.
    pub(super) fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), ChunkError> {
        let mut read = 0;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let within_limit = part.get(..self.bytes_left).unwrap_or(part);
            self.bytes_left -= within_limit.len();
            read += within_limit.len();
            let mut lines = *self.lines.get_or_insert(LineReader::starting_at(out.len()));
            out.extend_from_slice(within_limit);
            match lines.next(out).map_err(|_| ChunkError::TrailerInvalid)? {
                Line::NeedMore if within_limit.len() < part.len() => {
                    return Err(ChunkError::TrailersTooLarge { limit_bytes: self.bytes_max });
                }
                Line::NeedMore => self.lines = Some(lines),
                Line::Field(field) => self.keep_or_drop(field, out)?,
                Line::End(_) => {
                    out.truncate(out.len() - 2);
                    return Ok((read, true));
                }
            }
        }
        Ok((read, false))
    }

    fn keep_or_drop(&mut self, field: Field, out: &mut Vec<u8>) -> Result<(), ChunkError> {
        self.fields_left =
            self.fields_left.checked_sub(1).ok_or(ChunkError::TrailersTooMany { limit: self.fields_max })?;
        if field.kind != FieldKind::Other || !is_allowed(field.name.of(out)) {
            out.truncate(field.line.start as usize);
        }
        self.lines = None;
        Ok(())
    }
}

/// Whether a field of this name may come behind a body.
/// RFC 9110 §6.5.1: not framing, routing, authentication, request modifiers, response controls, nor content format.
pub fn may_trail(name: &[u8]) -> bool {
    FieldKind::of(name) == Some(FieldKind::Other) && is_allowed(name)
}

fn is_allowed(name: &[u8]) -> bool {
    !NEVER_TRAILING.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
        && !name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"if-"))
}

/// Besides all the fields that have a `FieldKind` of their own.
const NEVER_TRAILING: [&str; 23] = [
    "age",
    "allow",
    "cache-control",
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    "expires",
    "http2-settings",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "range",
    "retry-after",
    "set-cookie",
    "status",
    "strict-transport-security",
    "vary",
    "warning",
    "www-authenticate",
];
