//! The real address of a client behind trusted proxies, from X-Forwarded-For. Knows no list of trusted networks.

use std::net::{IpAddr, SocketAddr};

use crate::{Field, FieldKind};

/// Ask only if the connection itself came from a trusted proxy. Walks X-Forwarded-For from the right, past every address
/// that `is_trusted`, to the first that is not: nobody further left can be believed. All trusted: the leftmost. Stops
/// at an entry that is not an address. `None`: nothing usable was sent, the connection's own address counts.
pub fn forwarded_address(
    fields: &[Field],
    buffer: &[u8],
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let entries = fields
        .iter()
        .rev()
        .filter(|field| field.kind == FieldKind::XForwardedFor)
        .flat_map(|field| field.value.of(buffer).rsplit(|byte| *byte == b','));
    let mut last = None;
    for entry in entries {
        let Some(address) = address_of(entry.trim_ascii()) else { break };
        last = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    last
}

/// `192.0.2.1`, `2001:db8::1`, and what some proxies write: `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some(bare) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return bare.parse().ok().map(IpAddr::V6);
    }
    text.parse::<SocketAddr>().ok().map(|address| address.ip())
}
