//! Version 2: sixteen fixed bytes, addresses, and values that carry their type and length (TLV). Reads and writes it.

use super::crc32c::crc32c;
use super::{HEADER_BYTES_MAX, Header, Origin, ProxyHeaderError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length of the rest.
const FIXED_BYTES: usize = 16;

/// Two paths of a Unix socket.
const UNIX_BYTES: usize = 216;

const VERSION: u8 = 2;
const COMMAND_LOCAL: u8 = 0;
const COMMAND_PROXY: u8 = 1;
const FAMILY_UNSPEC: u8 = 0;
const FAMILY_INET: u8 = 1;
const FAMILY_INET6: u8 = 2;
const FAMILY_UNIX: u8 = 3;
const TRANSPORT_UNSPEC: u8 = 0;
const TRANSPORT_STREAM: u8 = 1;
const TRANSPORT_DGRAM: u8 = 2;
const TLV_ALPN: u8 = 1;
const TLV_AUTHORITY: u8 = 2;
const TLV_CRC32C: u8 = 3;
const TLV_UNIQUE_ID: u8 = 5;

/// Section 2.2.5.
const UNIQUE_ID_BYTES_MAX: usize = 128;

/// Protocols in TLS have a length of one byte (RFC 7301 §3.1); hosts are shorter (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// What a connection of the proxy's own begins with, such as that of a health check.
pub const LOCAL: &[u8; FIXED_BYTES] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Each byte is judged as soon as it is there, so that pieces are refused where the whole is.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, ProxyHeaderError> {
    let Some(version_and_command) = bytes.get(SIGNATURE.len()) else { return Ok(None) };
    let command = version_and_command & 0xf;
    if version_and_command >> 4 != VERSION {
        return Err(ProxyHeaderError::VersionUnknown);
    }
    if !matches!(command, COMMAND_LOCAL | COMMAND_PROXY) {
        return Err(ProxyHeaderError::CommandUnknown);
    }
    let Some(protocol) = bytes.get(SIGNATURE.len() + 1) else { return Ok(None) };
    let (family, transport) = (protocol >> 4, protocol & 0xf);
    // A local connection is one whatever its family says.
    if command == COMMAND_PROXY && (family > FAMILY_UNIX || transport > TRANSPORT_DGRAM) {
        return Err(ProxyHeaderError::FamilyUnknown);
    }
    let Some([high, low]) = bytes.get(SIGNATURE.len() + 2..FIXED_BYTES) else { return Ok(None) };
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if length > HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::TooLong { limit_bytes: HEADER_BYTES_MAX });
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let rest = header.get(FIXED_BYTES..).unwrap_or_default();
    let (origin, values) = match (command, family, transport) {
        // Whoever does not say what it is about may have put anything there.
        (_, FAMILY_UNSPEC, _) => (Origin::Peer, read_values(header, rest).unwrap_or_default()),
        (COMMAND_LOCAL, ..) | (_, _, TRANSPORT_UNSPEC) => (Origin::Peer, Values::default()),
        _ => {
            let (origin, values) = origin(rest, family)?;
            (origin, read_values(header, values)?)
        }
    };
    Ok(Some(Header { origin, values, length }))
}

/// And what is left behind it. Datagrams count as streams do: they are how a client came to a proxy that speaks HTTP/3 with
/// it.
fn origin(rest: &[u8], family: u8) -> Result<(Origin, &[u8]), ProxyHeaderError> {
    match family {
        FAMILY_INET => addresses::<4>(rest, |bytes| Ipv4Addr::from(bytes).into()),
        FAMILY_INET6 => addresses::<16>(rest, |bytes| Ipv6Addr::from(bytes).to_canonical()),
        _ => Ok((Origin::Nameless, rest.get(UNIX_BYTES..).ok_or(ProxyHeaderError::AddressInvalid)?)),
    }
}

/// Source, destination, and their ports; what is left behind them.
fn addresses<const N: usize>(
    bytes: &[u8],
    read: fn([u8; N]) -> IpAddr,
) -> Result<(Origin, &[u8]), ProxyHeaderError> {
    let short = ProxyHeaderError::AddressInvalid;
    let (source, rest) = bytes.split_first_chunk::<N>().ok_or(short)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(short)?;
    let ([a, b, c, d], rest) = rest.split_first_chunk::<4>().ok_or(short)?;
    let source = SocketAddr::new(read(*source), u16::from_be_bytes([*a, *b]));
    let destination = SocketAddr::new(read(*destination), u16::from_be_bytes([*c, *d]));
    Ok((Origin::Client { source, destination }, rest))
}

/// Every value lies within the header, those that are understood are there once and no longer than they may be, and a
/// checksum is the right one. All others are skipped, whatever is in them: what they say of TLS is for whoever wants it.
fn read_values<'a>(header: &'a [u8], mut values: &'a [u8]) -> Result<Values<'a>, ProxyHeaderError> {
    let mut read = Values::default();
    while !values.is_empty() {
        let invalid = ProxyHeaderError::TlvInvalid;
        let ([kind, high, low], rest) = values.split_first_chunk::<3>().ok_or(invalid)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(invalid)?;
        if *kind == TLV_CRC32C {
            check_sum(header, value, header.len() - rest.len())?;
        }
        if let Some((place, most)) = read.place(*kind)
            && (place.replace(value).is_some() || value.len() > most)
        {
            return Err(invalid);
        }
        values = rest;
    }
    Ok(read)
}

/// Section 2.2.3: of the whole header, with zeros where the checksum itself stands, which is before `end`.
fn check_sum(header: &[u8], value: &[u8], end: usize) -> Result<(), ProxyHeaderError> {
    let given = <[u8; 4]>::try_from(value).map_err(|_| ProxyHeaderError::TlvInvalid)?;
    let before = header.get(..end - given.len()).unwrap_or_default();
    let behind = header.get(end..).unwrap_or_default();
    let found = crc32c(before.iter().chain(&[0; 4]).chain(behind));
    if found == u32::from_be_bytes(given) { Ok(()) } else { Err(ProxyHeaderError::ChecksumWrong) }
}

/// What is told of a connection besides its addresses; of each, no more than the protocol has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values<'a> {
    /// Tells this connection from all others.
    pub unique_id: Option<&'a [u8]>,
    /// What the client and the proxy agreed to speak in TLS.
    pub protocol: Option<&'a [u8]>,
    /// The name that the client asked for in TLS.
    pub authority: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    fn all(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let short = |bytes: &'a [u8], most: usize| bytes.get(..most.min(bytes.len())).unwrap_or_default();
        let id = self.unique_id.map(|bytes| (TLV_UNIQUE_ID, short(bytes, UNIQUE_ID_BYTES_MAX)));
        let protocol = self.protocol.map(|bytes| (TLV_ALPN, short(bytes, NAME_BYTES_MAX)));
        let authority = self.authority.map(|bytes| (TLV_AUTHORITY, short(bytes, NAME_BYTES_MAX)));
        id.into_iter().chain(protocol).chain(authority)
    }

    /// Where a value of this kind belongs, and how long it may be.
    fn place(&mut self, kind: u8) -> Option<(&mut Option<&'a [u8]>, usize)> {
        match kind {
            TLV_ALPN => Some((&mut self.protocol, NAME_BYTES_MAX)),
            TLV_AUTHORITY => Some((&mut self.authority, NAME_BYTES_MAX)),
            TLV_UNIQUE_ID => Some((&mut self.unique_id, UNIQUE_ID_BYTES_MAX)),
            _ => None,
        }
    }
}

/// Appends the header of a connection of one client: where it comes from and which address it connected to, and what else is
/// known. `None`: it has no IP address, and the header is LOCAL, which everybody takes; HAProxy refuses others without one.
pub fn write(client: Option<(SocketAddr, SocketAddr)>, values: &Values<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.push(VERSION << 4 | if client.is_some() { COMMAND_PROXY } else { COMMAND_LOCAL });
    let value_bytes: usize = values.all().map(|(_, value)| 3 + value.len()).sum();
    let length = |addresses: usize| ((addresses + value_bytes) as u16).to_be_bytes();
    let canonical = client.map(|(source, destination)| (plain(source), plain(destination)));
    match canonical {
        None => {
            out.push(FAMILY_UNSPEC << 4 | TRANSPORT_UNSPEC);
            out.extend_from_slice(&length(0));
        }
        Some((SocketAddr::V4(source), SocketAddr::V4(destination))) => {
            out.push(FAMILY_INET << 4 | TRANSPORT_STREAM);
            out.extend_from_slice(&length(12));
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
        }
        Some((source, destination)) => {
            out.push(FAMILY_INET6 << 4 | TRANSPORT_STREAM);
            out.extend_from_slice(&length(36));
            out.extend_from_slice(&as_version6(source.ip()).octets());
            out.extend_from_slice(&as_version6(destination.ip()).octets());
        }
    }
    if let Some((source, destination)) = canonical {
        out.extend_from_slice(&source.port().to_be_bytes());
        out.extend_from_slice(&destination.port().to_be_bytes());
    }
    for (kind, value) in values.all() {
        out.push(kind);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value);
    }
}

/// An IPv4 client of a socket for both families is an IPv4 client.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Where the two ends are of different families, both are written in the larger one.
fn as_version6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
