//! The response head for the client. Knows what HTTP/1.0 clients must be told aloud.

use super::kept::{Kept, put_connection, put_list, says_length};
use super::reread::response_is_as_meant;
use super::{REWRITTEN, ResponseEdits, put_content_length, put_framing};
use crate::framing::content_length;
use crate::response::ResponseHead;
use crate::status::reason;
use crate::{BodyLength, FieldKind, FieldSet, Version, field};

/// Holds nearly every head, so that even the first one is written without growing.
const USUAL_BYTES: usize = 1024;

const LENGTH: FieldSet = FieldSet::of(&[FieldKind::ContentLength]);

/// Appends the head for the client, always HTTP/1.1 in the status line.
pub fn write_response(head: &ResponseHead, buffer: &[u8], edits: &ResponseEdits<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(USUAL_BYTES);
    let says_length = edits.body == head.body && says_length(&head.fields, head.kinds, buffer, head.body);
    let rewritten = if says_length { REWRITTEN.without(LENGTH) } else { REWRITTEN };
    let dropped = rewritten.with(edits.hidden);
    put_status_and_kept(head, buffer, dropped, out);
    match edits.body {
        BodyLength::None => put_length_without_body(head, buffer, out),
        BodyLength::Length(_) if says_length => {}
        body => put_framing(body, out),
    }
    put_hop_by_hop(head, buffer, edits, out);
    out.extend_from_slice(b"Via: ");
    if head.kinds.has(FieldKind::Via) {
        put_list(&head.fields, buffer, FieldKind::Via, out);
    }
    out.extend_from_slice(match head.version {
        Version::Http10 => b"1.0 tidegate\r\n",
        Version::Http11 => b"1.1 tidegate\r\n",
        Version::Http2 => b"2.0 tidegate\r\n",
    });
    if !edits.extra.is_empty() {
        out.extend_from_slice(edits.extra);
    }
    out.extend_from_slice(b"\r\n");
    debug_assert!(
        response_is_as_meant(out.get(start..).unwrap_or_default(), head, edits),
        "the head does not read as it was meant: {}",
        out.get(start..).unwrap_or_default().escape_ascii()
    );
}

/// The status line and what follows it are copied as received, down to the first field that is not.
fn put_status_and_kept(head: &ResponseHead, buffer: &[u8], dropped: FieldSet, out: &mut Vec<u8>) {
    const STATUS_START: usize = b"HTTP/1.1 ".len();
    const STATUS_END: usize = STATUS_START + 3;
    let mut start = 0;
    if head.version == Version::Http10 {
        out.extend_from_slice(b"HTTP/1.1 ");
        start = STATUS_START;
    }
    if buffer.get(STATUS_END) != Some(&b' ') {
        // RFC 9112 §4: the space is sent even when there is no phrase.
        out.extend_from_slice(buffer.get(start..STATUS_END).unwrap_or_default());
        out.push(b' ');
        start = STATUS_END;
    }
    if head.version == Version::Http2 {
        // There are no phrases in HTTP/2, and some who read HTTP/1.1 take a line without one for none.
        out.extend_from_slice(buffer.get(start..=STATUS_END).unwrap_or_default());
        out.extend_from_slice(reason(head.status).as_bytes());
        start = STATUS_END + 1;
    }
    if head.fields.is_empty() {
        let line_end = head.reason.end as usize + 2;
        out.extend_from_slice(buffer.get(start..line_end).unwrap_or_default());
        return;
    }
    let (fields, kinds) = (&head.fields, head.kinds);
    Kept { buffer, fields, kinds, start, dropped, nominates: head.nominates }.copy(out);
}

/// What a HEAD or 304 answer says of the body it does not have, or that there are 0 bytes.
/// RFC 9110 §8.6: 1xx and 204 MUST NOT have the field.
fn put_length_without_body(head: &ResponseHead, buffer: &[u8], out: &mut Vec<u8>) {
    if !head.kinds.has(FieldKind::ContentLength) || matches!(head.status, 100..=199 | 204) {
        return;
    }
    let value = field::find_kind(&head.fields, buffer, FieldKind::ContentLength);
    if let Some(length) = value.and_then(content_length) {
        put_content_length(length, out);
    }
}

fn put_hop_by_hop(head: &ResponseHead, buffer: &[u8], edits: &ResponseEdits<'_>, out: &mut Vec<u8>) {
    let is_interim = matches!(head.status, 100..=199);
    let ends = !edits.keep_alive || edits.body == BodyLength::UntilClose;
    let close = ends && !is_interim;
    let keep_alive = edits.client_is_http10 && !ends && !is_interim;
    // RFC 9110 §15.5.22: a 426 must say what to upgrade to.
    let upgrade = (edits.upgrade || head.status == 426) && head.kinds.has(FieldKind::Upgrade);
    if !(close || keep_alive || upgrade) {
        return;
    }
    put_connection([(upgrade, b"upgrade"), (close, b"close"), (keep_alive, b"keep-alive")], out);
    if upgrade {
        let value = field::find_kind(&head.fields, buffer, FieldKind::Upgrade).unwrap_or_default();
        for part in [b"Upgrade: ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}
