//! Addresses as people write them: `host:port`, `[::1]:port`, `:port` and `unix:/path`.
//!
//! It parses and prints; it never resolves a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// The longest path that fits a Unix socket address, its final NUL not counted (`sun_path`, unix(7)).
const UNIX_PATH_BYTES_MAX: usize = 107;

/// The longest host name (RFC 1035 §2.3.4, without the root's dot).
const NAME_BYTES_MAX: usize = 253;

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// `host:port`; the port is never 0.
    Tcp {
        /// The host, unresolved.
        host: Host,
        /// 1 to 65535.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bind {
    /// `:port` or `host:port`.
    Tcp {
        /// `None`: every address of the machine, IPv6 and IPv4.
        host: Option<Host>,
        /// 0: one that the system picks.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

/// The left side of `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name to be resolved, in lower case.
    Name(String),
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `[::1`.
    #[error("the bracket `[` is never closed")]
    BracketOpen,
    /// `::1:80`.
    #[error("an IPv6 address needs brackets: `[{0}]:{1}`")]
    BracketsMissing(Ipv6Addr, u16),
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// `:80` where somewhere to connect to is needed.
    #[error("the host is missing: `localhost:{0}`")]
    HostMissing(String),
    /// `exa mple:80`.
    #[error("`{0}` is neither a host name nor an IP address")]
    HostName(String),
    /// `[fe80]:80`.
    #[error("`{0}` is no IPv6 address")]
    Ipv6(String),
    /// `8888` where a port to listen on is meant.
    #[error("a port alone is written with a colon: `:{0}`")]
    PortAlone(u16),
    /// `localhost`.
    #[error("the port is missing: `{0}:80`")]
    PortMissing(String),
    /// `localhost:99999`.
    #[error("`{0}` is no port: ports go from {1} to 65535")]
    PortRange(String, u16),
    /// `http://localhost:80`.
    #[error("an address has no scheme and no path: `{0}`")]
    Url(String),
    /// `https://localhost/app`.
    #[error("an endpoint has no path: `{0}`")]
    UrlPath(String),
    /// `unix:`.
    #[error("the path of the socket is missing: `unix:/run/app.sock`")]
    UnixPathEmpty,
    /// `$BACKEND`.
    #[error("a variable is written in braces: `${{{0}}}`")]
    VariableBare(String),
    /// A path that the system cannot hold.
    #[error("the path of a socket has at most {UNIX_PATH_BYTES_MAX} bytes and no NUL")]
    UnixPathLong,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(unix_path(path)?));
        }
        if let Ok(port) = parse_port(text, 1) {
            return Err(AddressError::HostMissing(port.to_string()));
        }
        let (host, port) = split_port(text)?;
        if host.is_empty() {
            return Err(AddressError::HostMissing(port.into()));
        }
        Ok(Self::Tcp { host: host.parse()?, port: parse_port(port, 1)? })
    }
}

impl FromStr for Bind {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(unix_path(path)?));
        }
        if let Ok(port) = parse_port(text, 1) {
            return Err(AddressError::PortAlone(port));
        }
        let (host, port) = split_port(text)?;
        let host = if host.is_empty() { None } else { Some(host.parse()?) };
        Ok(Self::Tcp { host, port: parse_port(port, 0)? })
    }
}

impl Bind {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp { host: Some(Host::Ip(ip)), .. } => ip.is_loopback(),
            Self::Tcp { host: Some(Host::Name(name)), .. } => name == "localhost",
            Self::Tcp { host: None, .. } => false,
            Self::Unix(_) => true,
        }
    }

    /// Whether both cannot be bound at once, as far as that shows without resolving names.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp { host: a, port: p }, Self::Tcp { host: b, port: q }) => {
                *p != 0 && p == q && (a == b || is_any(a.as_ref()) || is_any(b.as_ref()))
            }
            _ => self == other,
        }
    }
}

fn is_any(host: Option<&Host>) -> bool {
    match host {
        None => true,
        Some(Host::Ip(ip)) => ip.is_unspecified(),
        Some(Host::Name(_)) => false,
    }
}

fn unix_path(path: &str) -> Result<PathBuf, AddressError> {
    if path.is_empty() {
        return Err(AddressError::UnixPathEmpty);
    }
    if path.len() > UNIX_PATH_BYTES_MAX || path.contains('\0') {
        return Err(AddressError::UnixPathLong);
    }
    Ok(path.into())
}

/// Host (brackets kept) and port, both still text.
fn split_port(text: &str) -> Result<(&str, &str), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if let Some((_, rest)) = text.split_once("://") {
        return Err(url(rest));
    }
    if text.contains('/') {
        return Err(url(text));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Err(brackets_missing(text, ip));
    }
    if text.starts_with('[') {
        let end = text.find(']').ok_or(AddressError::BracketOpen)?;
        let (host, rest) = text.split_at(end + 1);
        let port = rest.strip_prefix(':').ok_or_else(|| port_missing(host))?;
        return Ok((host, port));
    }
    text.rsplit_once(':').ok_or_else(|| port_missing(text))
}

/// `::1:80` is an address as it stands; whoever writes it means `[::1]:80`.
fn brackets_missing(text: &str, whole: Ipv6Addr) -> AddressError {
    let meant =
        text.rsplit_once(':').and_then(|(host, port)| Some((host.parse().ok()?, parse_port(port, 1).ok()?)));
    let (ip, port) = meant.unwrap_or((whole, 80));
    AddressError::BracketsMissing(ip, port)
}

/// With what was probably meant.
fn url(rest: &str) -> AddressError {
    let authority = rest.split('/').next().unwrap_or(rest);
    let port = if authority.contains(':') { "" } else { ":80" };
    AddressError::Url(format!("{authority}{port}"))
}

fn parse_port(text: &str, min: u16) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port >= min => Ok(port),
        _ => Err(AddressError::PortRange(text.into(), min)),
    }
}

impl FromStr for Host {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let ip = inner.parse::<Ipv6Addr>().map_err(|_| AddressError::Ipv6(inner.into()))?;
            return Ok(Self::Ip(ip.into()));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        if is_host_name(text) {
            Ok(Self::Name(text.to_ascii_lowercase()))
        } else {
            Err(AddressError::HostName(text.into()))
        }
    }
}

/// Letters, digits, `-` and `_` in labels of at most 63 bytes (RFC 1123 §2.1, and the underscore that service
/// names carry in practice); never all digits and dots, which would be a broken IPv4 address.
pub(crate) fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last_is_number =
        text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= NAME_BYTES_MAX && !last_is_number && text.split('.').all(label_fits)
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: Some(host), port } => write!(out, "{host}:{port}"),
            Self::Tcp { host: None, port } => write!(out, ":{port}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(out, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(out, "[{ip}]"),
            Self::Name(name) => write!(out, "{name}"),
        }
    }
}

fn port_missing(text: &str) -> AddressError {
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match text.strip_prefix('$').filter(is_name) {
        Some(name) => AddressError::VariableBare(name.into()),
        None => AddressError::PortMissing(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_read() {
        for text in ["localhost:8001", "10.0.0.1:80", "[::1]:80", "unix:/run/app.sock", "a_b.c-d:1"] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in [":8888", "localhost:0", "[::]:80", "unix:rel.sock"] {
            assert_eq!(text.parse::<Bind>().map(|bind| bind.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        let cases = [
            ("", "it is empty"),
            ("localhost", "the port is missing: `localhost:80`"),
            ("$BACKEND", "a variable is written in braces: `${BACKEND}`"),
            ("localhost:", "`` is no port: ports go from 1 to 65535"),
            ("localhost:0", "`0` is no port: ports go from 1 to 65535"),
            ("localhost:65536", "`65536` is no port: ports go from 1 to 65535"),
            ("localhost:+80", "`+80` is no port: ports go from 1 to 65535"),
            (":80", "the host is missing: `localhost:80`"),
            ("8080", "the host is missing: `localhost:8080`"),
            ("::1", "an IPv6 address needs brackets: `[::1]:80`"),
            ("::1:8080", "an IPv6 address needs brackets: `[::1]:8080`"),
            ("fe80::1", "an IPv6 address needs brackets: `[fe80::1]:80`"),
            ("[::1]", "the port is missing: `[::1]:80`"),
            ("[::1:80", "the bracket `[` is never closed"),
            ("[bad]:80", "`bad` is no IPv6 address"),
            ("http://a.example:80/x", "an address has no scheme and no path: `a.example:80`"),
            ("a.example:80/x", "an address has no scheme and no path: `a.example:80`"),
            ("a b:80", "`a b` is neither a host name nor an IP address"),
            ("300.1.1.1:80", "`300.1.1.1` is neither a host name nor an IP address"),
            ("unix:", "the path of the socket is missing: `unix:/run/app.sock`"),
        ];
        for (text, words) in cases {
            assert_eq!(
                text.parse::<Address>().map_err(|error| error.to_string()),
                Err(words.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn every_address_of_the_machine_collides_with_each_single_one() {
        let bind = |text: &str| text.parse::<Bind>().unwrap();
        assert!(bind(":80").collides(&bind("127.0.0.1:80")));
        assert!(bind("[::]:80").collides(&bind(":80")));
        assert!(!bind("127.0.0.1:80").collides(&bind("127.0.0.2:80")));
        assert!(!bind(":0").collides(&bind(":0")));
    }
}
