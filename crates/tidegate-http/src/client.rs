//! The real address of a client behind trusted proxies, from X-Forwarded-For or Forwarded. Knows no list of trusted networks.

use std::net::{IpAddr, SocketAddr};

use crate::{Field, FieldKind};

/// Ask only if the connection itself came from a trusted proxy. Walks X-Forwarded-For, or Forwarded where that says nothing, from the right, past every address
/// that `is_trusted`, to the first that is not: nobody further left can be believed. All trusted: the leftmost. Stops
/// at an entry that is not an address. `None`: nothing usable was sent, the connection's own address counts.
pub fn forwarded_address(
    fields: &[Field],
    buffer: &[u8],
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let entries = |kind| {
        let listed = fields.iter().rev().filter(move |field| field.kind == kind);
        listed.flat_map(|field| field.value.of(buffer).rsplit(|byte| *byte == b','))
    };
    first_untrusted(entries(FieldKind::XForwardedFor), &is_trusted)
        .or_else(|| first_untrusted(entries(FieldKind::Forwarded).map(forwarded_for), &is_trusted))
}

fn first_untrusted<'a>(
    entries: impl Iterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
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

/// What an element of Forwarded says `for` whom (RFC 7239 §4), without quotes; nothing if it does not say.
fn forwarded_for(element: &[u8]) -> &[u8] {
    let value = element.split(|byte| *byte == b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    });
    let value = value.unwrap_or_default();
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{RequestHead, RequestParser};
    use crate::{HeadLimits, Progress};

    const LIMITS: HeadLimits =
        HeadLimits { head_bytes_max: 1024, target_bytes_max: 100, field_count_max: 10 };

    /// Trusts 10.0.0.0/8 and `fd00::/8`.
    fn is_trusted(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.octets()[0] == 0xfd,
        }
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_is_the_client() {
        let cases = [
            ("", None, "nothing was sent"),
            ("X-Forwarded-For: 192.0.2.1\r\n", Some("192.0.2.1"), "one"),
            (
                "X-Forwarded-For: 192.0.2.9, 192.0.2.1, 10.0.0.1\r\n",
                Some("192.0.2.1"),
                "what is left of it is hearsay",
            ),
            (
                "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 10.0.0.1\r\n",
                Some("192.0.2.9"),
                "lines are one list",
            ),
            ("X-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n", Some("10.0.0.2"), "all trusted: the leftmost"),
            (
                "X-Forwarded-For: 192.0.2.1, junk, 10.0.0.1\r\n",
                Some("10.0.0.1"),
                "stops at what is no address",
            ),
            ("X-Forwarded-For: unknown\r\n", None, "nothing usable"),
            ("X-Forwarded-For: 192.0.2.1:4711\r\n", Some("192.0.2.1"), "with a port"),
            ("X-Forwarded-For: 2001:db8::1, fd00::1\r\n", Some("2001:db8::1"), "IPv6"),
            ("X-Forwarded-For: [2001:db8::1]:80, [fd00::1]\r\n", Some("2001:db8::1"), "IPv6 in brackets"),
            ("X_Forwarded_For: 192.0.2.1\r\n", None, "an alias is not believed"),
        ];
        for (fields, address, why) in cases {
            let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
            let mut head = RequestHead::default();
            let progress = RequestParser::default().parse(&bytes, &LIMITS, &mut head);
            assert_eq!(progress, Ok(Progress::Complete { head_bytes: bytes.len() }));
            let found = forwarded_address(&head.fields, &bytes, is_trusted);
            assert_eq!(found, address.map(|text| text.parse().unwrap()), "{why}");
        }
    }
}
