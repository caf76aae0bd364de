//! Who asked, for the endpoint: X-Forwarded-* and Forwarded (RFC 7239), which always tell the same story, whichever of
//! them it was heard in. Knows what was said, not whom to trust.

use super::RequestEdits;
use super::kept::put_list;
use super::request::put;
use crate::FieldKind;
use crate::client::{Family, Told, address_of, elements, node};
use crate::request::RequestHead;
use std::io::Write;

pub(super) fn put_identity(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    match &edits.told {
        None => put_seen(head, buffer, edits, out),
        Some(told) => put_told(head, buffer, edits, told, out),
    }
}

/// What is sent in place of a field that came: Forwarded said otherwise.
pub(super) fn is_overruled(kind: FieldKind, told: &Told<'_>) -> bool {
    match (told.family, kind) {
        (Family::Forwarded, FieldKind::XForwardedProto) => told.proto.is_some(),
        (Family::Forwarded, FieldKind::XForwardedHost) => told.host.is_some(),
        _ => false,
    }
}

/// Nobody else is believed: what was seen on this connection.
fn put_seen(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    let host = head.authority.of(buffer);
    put(out, [b"X-Forwarded-For: ", edits.client, b"\r\nX-Forwarded-Proto: ", edits.scheme]);
    if !host.is_empty() {
        put(out, [b"\r\nX-Forwarded-Host: ", host]);
    }
    put(out, [b"\r\nForwarded: for=", edits.client_node]);
    if head.host.len() < host.len() || host.starts_with(b"[") {
        put(out, [b";host=\"", host, b"\""]); // RFC 7239 §4: a port or an IPv6 address is not a token
    } else if !host.is_empty() {
        put(out, [b";host=", host]);
    }
    put(out, [b";proto=", edits.scheme, b"\r\n"]);
}

/// What a trusted proxy said, then what was seen here.
#[cold]
fn put_told(head: &RequestHead, buffer: &[u8], edits: &RequestEdits<'_>, told: &Told<'_>, out: &mut Vec<u8>) {
    let seen_host = head.authority.of(buffer);
    let passes = |kind| head.kinds.has(kind) && !is_overruled(kind, told);
    let (proto, host) = (told.proto.unwrap_or(edits.scheme), told.host.unwrap_or(seen_host));

    out.extend_from_slice(b"X-Forwarded-For: ");
    match told.family {
        Family::XForwarded => put_list(&head.fields, buffer, FieldKind::XForwardedFor, out),
        Family::Forwarded => put_nodes(head, buffer, out),
        Family::Neither => {}
    }
    put(out, [edits.client, b"\r\n"]);
    if !passes(FieldKind::XForwardedProto) {
        put(out, [b"X-Forwarded-Proto: ", proto, b"\r\n"]);
    }
    if !passes(FieldKind::XForwardedHost) && !host.is_empty() {
        put(out, [b"X-Forwarded-Host: ", host, b"\r\n"]);
    }

    out.extend_from_slice(b"Forwarded: ");
    match told.family {
        Family::Forwarded => put_list(&head.fields, buffer, FieldKind::Forwarded, out),
        Family::XForwarded => put_elements(head, buffer, told, out),
        Family::Neither => {}
    }
    match told.place {
        None if told.family != Family::Forwarded => put_own_element(edits, host, proto, out),
        _ => put_own_element(edits, seen_host, edits.scheme, out),
    }
}

/// Forwarded as entries of X-Forwarded-For.
fn put_nodes(head: &RequestHead, buffer: &[u8], out: &mut Vec<u8>) {
    for element in elements(&head.fields, buffer, FieldKind::Forwarded) {
        // Writing to a Vec cannot fail.
        let _ = match node(element) {
            Some(address) => write!(out, "{address}, "),
            None => write!(out, "unknown, "), // RFC 7239 §6.2
        };
    }
}

/// X-Forwarded-For as elements of Forwarded; the client's one has its scheme and host.
fn put_elements(head: &RequestHead, buffer: &[u8], told: &Told<'_>, out: &mut Vec<u8>) {
    for (place, entry) in elements(&head.fields, buffer, FieldKind::XForwardedFor).enumerate() {
        let address = address_of(entry).map(|address| address.to_string());
        put_node(address.as_deref().unwrap_or("unknown").as_bytes(), out);
        if told.place == Some(place) {
            put_host(told.host.unwrap_or_default(), out);
            if let Some(proto) = told.proto {
                put(out, [b";proto=", proto]);
            }
        }
        out.extend_from_slice(b", ");
    }
}

fn put_own_element(edits: &RequestEdits<'_>, host: &[u8], proto: &[u8], out: &mut Vec<u8>) {
    put(out, [b"for=", edits.client_node]);
    put_host(host, out);
    put(out, [b";proto=", proto, b"\r\n"]);
}

fn put_node(node: &[u8], out: &mut Vec<u8>) {
    if node.contains(&b':') {
        put(out, [b"for=\"[", node, b"]\""]); // RFC 7239 §6: IPv6 in brackets, in quotes
    } else {
        put(out, [b"for=", node]);
    }
}

fn put_host(host: &[u8], out: &mut Vec<u8>) {
    if host.iter().any(|byte| matches!(byte, b':' | b'[' | b']')) {
        put(out, [b";host=\"", host, b"\""]); // RFC 7239 §4: what is not a token is quoted
    } else if !host.is_empty() {
        put(out, [b";host=", host]);
    }
}
