//! The request head for the endpoint. Knows what an endpoint must learn about the client, and from whom to believe it.

use super::identity::{is_overruled, put_identity};
use super::kept::{Kept, is_plain, list_has, put_connection, put_list, says_length};
use super::reread::request_is_as_meant;
use super::{REWRITTEN, RequestEdits, put_content_length, put_framing};
use crate::request::{RequestHead, TargetForm};
use crate::{BodyLength, FieldKind, FieldSet, Version, cookie};

/// Holds nearly every head, so that even the first one is written without growing.
const USUAL_BYTES: usize = 1024;

/// Appends the head for the endpoint, always HTTP/1.1, with the framing of `head.body`.
pub fn write_request(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(USUAL_BYTES);
    let says_length = says_length(&head.fields, head.kinds, buffer, head.body);
    put_request_line_and_kept(head, buffer, edits, says_length, out);
    match head.body {
        BodyLength::None if head.kinds.has(FieldKind::ContentLength) => put_content_length(0, out),
        BodyLength::Length(_) if says_length => {}
        body => put_framing(body, out),
    }
    if hides_a_cookie(head, buffer, edits) {
        cookie::put_all_but(&head.fields, buffer, edits.hidden_cookie, out);
    }
    put_hop_by_hop(head, buffer, edits, out);
    put_via(head, buffer, out);
    put_identity(head, buffer, edits, out);
    out.extend_from_slice(edits.client_cert);
    if !edits.request_id.is_empty() {
        put(out, [b"X-Request-Id: ", edits.request_id, b"\r\n"]);
    }
    out.extend_from_slice(b"\r\n");
    debug_assert!(
        request_is_as_meant(out.get(start..).unwrap_or_default(), head, edits),
        "the head does not read as it was meant: {}",
        out.get(start..).unwrap_or_default().escape_ascii()
    );
}

#[inline]
pub(super) fn put<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The request line, Host, and the fields that pass.
fn put_request_line_and_kept(
    head: &RequestHead,
    buffer: &[u8],
    edits: &RequestEdits<'_>,
    says_length: bool,
    out: &mut Vec<u8>,
) {
    const LENGTH: FieldSet = FieldSet::of(&[FieldKind::ContentLength]);
    const HOST: FieldSet = FieldSet::of(&[FieldKind::Host]);
    let mut kept = kept(head, buffer, edits);
    if says_length {
        kept.dropped = kept.dropped.without(LENGTH);
    }
    if begins_as_received(head, buffer, edits) {
        (kept.start, kept.dropped) = (head.method_text.start as usize, kept.dropped.without(HOST));
    } else {
        put_request_line(head, buffer, edits, out);
    }
    kept.copy(out);
}

/// Whether the request line and a Host line behind it would be written as the very bytes that they are already.
fn begins_as_received(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>) -> bool {
    let Some(first) = head.fields.first() else { return false };
    first.kind == FieldKind::Host
        && is_plain(first)
        && first.name.of(buffer) == b"Host"
        && head.form == TargetForm::Origin
        && head.version != Version::Http10
        && std::ptr::eq(edits.path, head.path.of(buffer))
        && std::ptr::eq(edits.query, head.query.of(buffer))
        && std::ptr::eq(edits.authority, first.value.of(buffer))
}

fn put_request_line(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    put(out, [head.method_text.of(buffer), b" ", edits.path]);
    if !edits.query.is_empty() {
        out.extend_from_slice(edits.query);
    }
    // RFC 9112 §3.2: Host first.
    put(out, [b" HTTP/1.1\r\nHost: ", edits.authority, b"\r\n"]);
}

/// Whether the cookies have to be written anew, because one of them stays here.
fn hides_a_cookie(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>) -> bool {
    !edits.hidden_cookie.is_empty()
        && head.kinds.has(FieldKind::Cookie)
        && cookie::find(&head.fields, buffer, edits.hidden_cookie).is_some()
}

fn kept<'a>(head: &'a RequestHead, buffer: &'a [u8], edits: &RequestEdits<'_>) -> Kept<'a> {
    const ALWAYS: FieldSet = REWRITTEN.with(FieldSet::of(&[
        FieldKind::ClientCert, // RFC 9440 §4: from whomever it comes
        FieldKind::Forwarded,
        FieldKind::Host,
        FieldKind::XForwardedFor,
    ]));
    const FROM_TRUSTED: FieldSet = FieldSet::of(&[
        FieldKind::XForwardedHost,
        FieldKind::XForwardedOther,
        FieldKind::XForwardedPort,
        FieldKind::XForwardedProto,
        FieldKind::XRealIp,
    ]);
    const REQUEST_ID: FieldSet = FieldSet::of(&[FieldKind::XRequestId]);
    const COOKIE: FieldSet = FieldSet::of(&[FieldKind::Cookie]);
    const EXPECT: FieldSet = FieldSet::of(&[FieldKind::Expect]);
    let mut dropped = ALWAYS;
    match &edits.told {
        None => dropped = dropped.with(FROM_TRUSTED),
        Some(told) => {
            for kind in [FieldKind::XForwardedProto, FieldKind::XForwardedHost] {
                if is_overruled(kind, told) {
                    dropped = dropped.with(FieldSet::of(&[kind]));
                }
            }
        }
    }
    if !edits.request_id.is_empty() {
        dropped = dropped.with(REQUEST_ID);
    }
    if !head.expects_continue {
        dropped = dropped.with(EXPECT);
    }
    let start = head.fields.first().map_or(0, |field| field.line.start as usize);
    if hides_a_cookie(head, buffer, edits) {
        dropped = dropped.with(COOKIE);
    }
    Kept { buffer, fields: &head.fields, kinds: head.kinds, start, dropped, nominates: head.nominates }
}

/// What this connection may learn about the next hop: an upgrade that is wanted, and that trailers are welcome.
fn put_hop_by_hop(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    let upgrade = head.upgrade.filter(|_| edits.upgrade);
    let trailers =
        head.kinds.has(FieldKind::Te) && list_has(&head.fields, buffer, FieldKind::Te, b"trailers");
    if upgrade.is_none() && !trailers {
        return;
    }
    // RFC 9110 §7.8, §10.1.4: whoever sends Upgrade or TE names it in Connection.
    put_connection([(upgrade.is_some(), b"upgrade"), (trailers, b"te"), (false, b"")], out);
    if let Some(value) = upgrade {
        put(out, [b"Upgrade: ", value.of(buffer), b"\r\n"]);
    }
    if trailers {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
}

/// RFC 9110 §7.6.3: the version that was received, and a name for who received it.
fn put_via(head: &RequestHead, buffer: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Via: ");
    if head.kinds.has(FieldKind::Via) {
        put_list(&head.fields, buffer, FieldKind::Via, out);
    }
    out.extend_from_slice(match head.version {
        Version::Http10 => b"1.0 tidegate\r\n",
        Version::Http11 => b"1.1 tidegate\r\n",
        Version::Http2 => b"2.0 tidegate\r\n",
    });
}
