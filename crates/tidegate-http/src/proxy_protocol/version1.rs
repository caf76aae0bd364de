//! Version 1: one line of text. Knows nothing of version 2.

use super::{Header, Origin, ProxyHeaderError, Values};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line that the protocol allows, its end included (section 2.1).
const LINE_BYTES_MAX: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, ProxyHeaderError> {
    let window = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        if window.len() == LINE_BYTES_MAX {
            return Err(ProxyHeaderError::TooLong { limit_bytes: LINE_BYTES_MAX });
        }
        return Ok(None);
    };
    let line = window.get(SIGNATURE.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| str::from_utf8(line).ok()).ok_or(ProxyHeaderError::LineInvalid)?;
    Ok(Some(Header { origin: origin(line)?, values: Values::default(), length: end + 1 }))
}

/// `TCP4 source destination port port`, or the same with TCP6, each word after exactly one space.
fn origin(line: &str) -> Result<Origin, ProxyHeaderError> {
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Origin::Peer); // whatever follows up to the line's end is to be ignored
    }
    let mut next = || words.next().ok_or(ProxyHeaderError::LineInvalid);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(ProxyHeaderError::LineInvalid);
    }
    let (source, destination) = match family {
        "TCP4" => (address::<Ipv4Addr>(source)?, address::<Ipv4Addr>(destination)?),
        "TCP6" => (address::<Ipv6Addr>(source)?, address::<Ipv6Addr>(destination)?),
        _ => return Err(ProxyHeaderError::FamilyUnknown),
    };
    Ok(Origin::Client {
        source: SocketAddr::new(source, port(source_port)?),
        destination: SocketAddr::new(destination, port(destination_port)?),
    })
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, ProxyHeaderError> {
    let address: A = text.parse().map_err(|_| ProxyHeaderError::AddressInvalid)?;
    Ok(address.into().to_canonical())
}

/// Decimal, without leading zeros.
fn port(text: &str) -> Result<u16, ProxyHeaderError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(ProxyHeaderError::AddressInvalid)
}
