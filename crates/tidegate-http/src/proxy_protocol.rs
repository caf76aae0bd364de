//! The PROXY protocol: what a proxy in front says about a connection before its first byte of HTTP, both versions.
//!
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. Knows nobody who may say so: believing is the
//! caller's decision.

mod crc32c;
mod version1;
mod version2;

pub use version2::{LOCAL, Values, write};

use std::net::SocketAddr;

/// The longest header that is read. Addresses take 232 bytes at most and what proxies add a few hundred; the protocol
/// itself would allow 64 KiB.
pub const HEADER_BYTES_MAX: usize = 4096;

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub origin: Origin,
    /// What is told of the connection besides.
    pub values: Values<'a>,
    /// How many bytes it takes.
    pub length: usize,
}

/// Where a connection comes from, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client, and the address that it connected to.
    Client { source: SocketAddr, destination: SocketAddr },
    /// A client that came by something that has no IP addresses.
    Nameless,
    /// The proxy in front itself (LOCAL), or it does not say (UNKNOWN, UNSPEC): the connection's own addresses hold.
    Peer,
}

/// Why a header was refused; `code` is the word for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    #[error("an address or a port does not read as one of its family")]
    AddressInvalid,
    #[error("the checksum does not match")]
    ChecksumWrong,
    #[error("the command is neither LOCAL nor PROXY")]
    CommandUnknown,
    #[error("the address family or the transport is none that exists")]
    FamilyUnknown,
    #[error("the line does not end in CR LF, or does not have the words it must have")]
    LineInvalid,
    #[error("the connection does not begin with a header")]
    Missing,
    #[error("what follows the addresses does not add up")]
    TlvInvalid,
    #[error("the header is longer than {limit_bytes} bytes")]
    TooLong { limit_bytes: usize },
    #[error("a header from an address that may not send one")]
    Unexpected,
    #[error("the version is neither 1 nor 2")]
    VersionUnknown,
}

impl ProxyHeaderError {
    /// One stable word for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AddressInvalid => "proxy_header_address_invalid",
            Self::ChecksumWrong => "proxy_header_checksum_wrong",
            Self::CommandUnknown => "proxy_header_command_unknown",
            Self::FamilyUnknown => "proxy_header_family_unknown",
            Self::LineInvalid => "proxy_header_line_invalid",
            Self::Missing => "proxy_header_missing",
            Self::TlvInvalid => "proxy_header_tlv_invalid",
            Self::TooLong { .. } => "proxy_header_too_long",
            Self::Unexpected => "proxy_header_unexpected",
            Self::VersionUnknown => "proxy_header_version_unknown",
        }
    }
}

/// Reads the header at the front of `bytes`. `None`: it is not whole; call again with the same
/// bytes and more behind them. At most `HEADER_BYTES_MAX` bytes are ever asked for.
pub fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, ProxyHeaderError> {
    match begins_with_header(bytes) {
        None => Ok(None),
        Some(false) => Err(ProxyHeaderError::Missing),
        Some(true) if bytes.starts_with(version1::SIGNATURE) => version1::parse(bytes),
        Some(true) => version2::parse(bytes),
    }
}

/// Whether `bytes` begin with a header, whole or not. `None`: that cannot be said yet. No request of HTTP begins so.
pub fn begins_with_header(bytes: &[u8]) -> Option<bool> {
    let signatures = [version1::SIGNATURE, version2::SIGNATURE];
    if signatures.iter().any(|signature| bytes.starts_with(signature)) {
        return Some(true);
    }
    let may_become_one = signatures.iter().any(|signature| signature.starts_with(bytes));
    if may_become_one { None } else { Some(false) }
}
