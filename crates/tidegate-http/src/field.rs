//! Header fields as spans of the bytes they arrived in. Knows names, not meanings.

use crate::scan::TOKEN;

/// A range of the buffer that a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of this span, or nothing if `buffer` is not the buffer it was made from.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// The elements of a list, each with where it begins. Empty ones do not count (RFC 9110 §5.6.1.2).
pub fn elements(list: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = 0;
    let pieces = list.split(|byte| *byte == b',').map(move |piece| {
        let blank = piece.len() - piece.trim_ascii_start().len();
        let start = next + blank;
        next += piece.len() + 1;
        (start, piece.trim_ascii())
    });
    pieces.filter(|(_, element)| !element.is_empty())
}

/// One field line of a head or a trailer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    /// Without the optional white space around it.
    pub value: Span,
    /// The whole line with its CRLF.
    pub line: Span,
    pub kind: FieldKind,
}

/// The fields that the proxy itself reads or writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum FieldKind {
    /// Spells one of the fields below with underscores for hyphens (`X_Forwarded_For`): servers that fold names into
    /// environment variables cannot tell them apart, so it is never forwarded.
    Alias,
    Authorization,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440): only whoever has seen the certificate may say them.
    ClientCert,
    Connection,
    ContentLength,
    Cookie,
    Date,
    /// What an endpoint says of its load (ORCA).
    EndpointLoadMetrics,
    Expect,
    Forwarded,
    Host,
    KeepAlive,
    ProxyConnection,
    Server,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    Via,
    XForwardedFor,
    XForwardedHost,
    /// Any other `X-Forwarded-…`.
    XForwardedOther,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
    #[default]
    Other,
}

impl FieldKind {
    /// The kind of a name without control characters; `None` if it is not a token. Names that are known are known to be
    /// tokens: only others are looked at byte by byte.
    #[inline]
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        Self::of_known(name).or_else(|| Self::of_unknown(name))
    }

    #[inline]
    fn of_known(name: &[u8]) -> Option<Self> {
        Some(match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => Self::Te,
            3 if name.eq_ignore_ascii_case(b"via") => Self::Via,
            4 => match short(name) {
                words::HOST => Self::Host,
                words::DATE => Self::Date,
                words::ETAG | words::VARY => Self::Other,
                _ => return None,
            },
            6 => match short(name) {
                words::ACCEPT => Self::Other,
                words::COOKIE => Self::Cookie,
                words::EXPECT => Self::Expect,
                words::SERVER => Self::Server,
                _ => return None,
            },
            7 => match short(name) {
                words::TRAILER => Self::Trailer,
                words::UPGRADE => Self::Upgrade,
                _ => return None,
            },
            9 => match long(name) {
                words::FORWARDED => Self::Forwarded,
                words::X_REAL_IP => Self::XRealIp,
                _ => return None,
            },
            10 => match long(name) {
                words::CONNECTION => Self::Connection,
                words::KEEP_ALIVE => Self::KeepAlive,
                words::USER_AGENT => Self::Other,
                _ => return None,
            },
            11 if long(name) == words::CLIENT_CERT => Self::ClientCert,
            12 => match long(name) {
                words::CONTENT_TYPE => Self::Other,
                words::X_REQUEST_ID => Self::XRequestId,
                _ => return None,
            },
            13 => match long(name) {
                words::ACCEPT_RANGES | words::CACHE_CONTROL | words::LAST_MODIFIED => Self::Other,
                words::AUTHORIZATION => Self::Authorization,
                _ => return None,
            },
            14 if long(name) == words::CONTENT_LENGTH => Self::ContentLength,
            15 => match long(name) {
                words::ACCEPT_ENCODING | words::ACCEPT_LANGUAGE => Self::Other,
                words::X_FORWARDED_FOR => Self::XForwardedFor,
                _ => return None,
            },
            16 => match long(name) {
                words::PROXY_CONNECTION => Self::ProxyConnection,
                words::X_FORWARDED_HOST => Self::XForwardedHost,
                words::X_FORWARDED_PORT => Self::XForwardedPort,
                _ => return None,
            },
            17 => match long(name) {
                words::CLIENT_CERT_CHAIN => Self::ClientCert,
                words::TRANSFER_ENCODING => Self::TransferEncoding,
                words::X_FORWARDED_PROTO => Self::XForwardedProto,
                _ => return None,
            },
            21 if name.eq_ignore_ascii_case(b"endpoint-load-metrics") => Self::EndpointLoadMetrics,
            _ => return None,
        })
    }

    fn of_unknown(name: &[u8]) -> Option<Self> {
        if !TOKEN.has_all(name) {
            return None;
        }
        if is_forwarded_other(name) {
            return Some(if name.contains(&b'_') { Self::Alias } else { Self::XForwardedOther });
        }
        let may_be_alias = matches!(name.len(), 9..=17) && name.contains(&b'_');
        Some(if may_be_alias { Self::of_underscored(name) } else { Self::Other })
    }

    /// At most 17 bytes.
    #[cold]
    fn of_underscored(name: &[u8]) -> Self {
        let mut hyphened = [0; 17];
        for (to, from) in hyphened.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        let hyphened = hyphened.get(..name.len()).unwrap_or_default();
        match Self::of_known(hyphened) {
            None | Some(Self::Other) => Self::Other,
            Some(_) => Self::Alias,
        }
    }
}

/// `x-forwarded-…`, with hyphens or underscores: whatever it says of the client, only a trusted proxy may say it.
fn is_forwarded_other(name: &[u8]) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b'-' | b'_');
    match name {
        [b'x' | b'X', first, rest @ ..] if is_separator(first) => {
            rest.split_at_checked(9).is_some_and(|(word, rest)| {
                word.eq_ignore_ascii_case(b"forwarded") && rest.first().is_some_and(is_separator)
            })
        }
        _ => false,
    }
}

/// Sets the bit that makes ASCII letters lower-case. Nothing but a name's own spellings becomes one of the words below as
/// long as there are no control characters: the other byte that turns into a hyphen is CR.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// A name of 4 to 8 bytes as its first and last four.
#[inline]
const fn short(name: &[u8]) -> u64 {
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => {
            (u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32) | LOWER
        }
        _ => 0,
    }
}

/// A name of 8 to 17 bytes as its first eight, its last eight and, of 17, the one between them.
#[inline]
const fn long(name: &[u8]) -> (u64, u64, u8) {
    let middle = match name {
        [_, _, _, _, _, _, _, _, middle, _, _, _, _, _, _, _, _] => *middle | 0x20,
        _ => 0,
    };
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => {
            (u64::from_le_bytes(*first) | LOWER, u64::from_le_bytes(*last) | LOWER, middle)
        }
        _ => (0, 0, 0),
    }
}

/// `keep-alive` in any case; `value` has no control characters.
#[inline]
pub(crate) fn is_keep_alive(value: &[u8]) -> bool {
    value.len() == 10 && long(value) == words::KEEP_ALIVE
}

/// The known names, and the most common of those that mean nothing here, as `short` and `long` see them.
mod words {
    use super::{long, short};

    pub(super) const ACCEPT: u64 = short(b"accept");
    pub(super) const COOKIE: u64 = short(b"cookie");
    pub(super) const DATE: u64 = short(b"date");
    pub(super) const ETAG: u64 = short(b"etag");
    pub(super) const EXPECT: u64 = short(b"expect");
    pub(super) const HOST: u64 = short(b"host");
    pub(super) const SERVER: u64 = short(b"server");
    pub(super) const TRAILER: u64 = short(b"trailer");
    pub(super) const UPGRADE: u64 = short(b"upgrade");
    pub(super) const VARY: u64 = short(b"vary");

    pub(super) const ACCEPT_ENCODING: (u64, u64, u8) = long(b"accept-encoding");
    pub(super) const ACCEPT_LANGUAGE: (u64, u64, u8) = long(b"accept-language");
    pub(super) const ACCEPT_RANGES: (u64, u64, u8) = long(b"accept-ranges");
    pub(super) const AUTHORIZATION: (u64, u64, u8) = long(b"authorization");
    pub(super) const CACHE_CONTROL: (u64, u64, u8) = long(b"cache-control");
    pub(super) const CLIENT_CERT: (u64, u64, u8) = long(b"client-cert");
    pub(super) const CLIENT_CERT_CHAIN: (u64, u64, u8) = long(b"client-cert-chain");
    pub(super) const CONNECTION: (u64, u64, u8) = long(b"connection");
    pub(super) const CONTENT_LENGTH: (u64, u64, u8) = long(b"content-length");
    pub(super) const CONTENT_TYPE: (u64, u64, u8) = long(b"content-type");
    pub(super) const FORWARDED: (u64, u64, u8) = long(b"forwarded");
    pub(super) const KEEP_ALIVE: (u64, u64, u8) = long(b"keep-alive");
    pub(super) const LAST_MODIFIED: (u64, u64, u8) = long(b"last-modified");
    pub(super) const PROXY_CONNECTION: (u64, u64, u8) = long(b"proxy-connection");
    pub(super) const TRANSFER_ENCODING: (u64, u64, u8) = long(b"transfer-encoding");
    pub(super) const USER_AGENT: (u64, u64, u8) = long(b"user-agent");
    pub(super) const X_FORWARDED_FOR: (u64, u64, u8) = long(b"x-forwarded-for");
    pub(super) const X_FORWARDED_HOST: (u64, u64, u8) = long(b"x-forwarded-host");
    pub(super) const X_FORWARDED_PORT: (u64, u64, u8) = long(b"x-forwarded-port");
    pub(super) const X_FORWARDED_PROTO: (u64, u64, u8) = long(b"x-forwarded-proto");
    pub(super) const X_REAL_IP: (u64, u64, u8) = long(b"x-real-ip");
    pub(super) const X_REQUEST_ID: (u64, u64, u8) = long(b"x-request-id");
}

/// Which kinds of fields a head has: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u32);

impl FieldSet {
    pub const fn of(kinds: &[FieldKind]) -> Self {
        let mut bits = 0;
        let mut rest = kinds;
        while let [kind, more @ ..] = rest {
            bits |= 1 << *kind as u32;
            rest = more;
        }
        Self(bits)
    }

    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[inline]
    pub const fn has(self, kind: FieldKind) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }

    #[inline]
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) fn insert(&mut self, kind: FieldKind) {
        self.0 |= 1 << kind as u32;
    }
}

/// The value of the first field of that name (RFC 9110 §5.1: names ignore case).
pub fn find<'a>(fields: &[Field], buffer: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    find_all(fields, buffer, name).next()
}

/// The values of all fields of that name, in the order they arrived.
pub fn find_all<'a>(fields: &[Field], buffer: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.of(buffer).eq_ignore_ascii_case(name))
        .map(move |field| field.value.of(buffer))
}

/// The value of the first field of that kind.
pub fn find_kind<'a>(fields: &[Field], buffer: &'a [u8], kind: FieldKind) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.kind == kind).map(|field| field.value.of(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a name is that means nothing by itself.
    fn unknown(name: &[u8]) -> FieldKind {
        let is_of_the_family = name.to_ascii_lowercase().starts_with(b"x-forwarded-");
        if is_of_the_family { FieldKind::XForwardedOther } else { FieldKind::Other }
    }

    #[test]
    fn known_names_are_known_in_any_case_and_nothing_else_is() {
        let names: [(&str, FieldKind); 25] = [
            ("Authorization", FieldKind::Authorization),
            ("Client-Cert", FieldKind::ClientCert),
            ("Connection", FieldKind::Connection),
            ("Content-Length", FieldKind::ContentLength),
            ("Cookie", FieldKind::Cookie),
            ("Date", FieldKind::Date),
            ("Expect", FieldKind::Expect),
            ("Forwarded", FieldKind::Forwarded),
            ("Host", FieldKind::Host),
            ("Keep-Alive", FieldKind::KeepAlive),
            ("Proxy-Connection", FieldKind::ProxyConnection),
            ("Server", FieldKind::Server),
            ("TE", FieldKind::Te),
            ("Trailer", FieldKind::Trailer),
            ("Transfer-Encoding", FieldKind::TransferEncoding),
            ("Upgrade", FieldKind::Upgrade),
            ("Via", FieldKind::Via),
            ("X-Forwarded-For", FieldKind::XForwardedFor),
            ("X-Forwarded-Host", FieldKind::XForwardedHost),
            ("X-Forwarded-Port", FieldKind::XForwardedPort),
            ("X-Forwarded-Proto", FieldKind::XForwardedProto),
            ("X-Real-IP", FieldKind::XRealIp),
            ("x-Forwarded-Ssl", FieldKind::XForwardedOther),
            ("X-Forwarded-Prefix", FieldKind::XForwardedOther),
            ("X-Request-Id", FieldKind::XRequestId),
        ];
        for (name, kind) in names {
            assert_eq!(FieldKind::of(name.as_bytes()), Some(kind), "{name}");
            assert_eq!(FieldKind::of(name.to_lowercase().as_bytes()), Some(kind), "{name}");
            assert_eq!(FieldKind::of(name.to_uppercase().as_bytes()), Some(kind), "{name}");
            if name.contains('-') {
                assert_eq!(
                    FieldKind::of(name.replace('-', "_").as_bytes()),
                    Some(FieldKind::Alias),
                    "{name}"
                );
                assert_eq!(
                    FieldKind::of(name.replacen('-', "_", 1).as_bytes()),
                    Some(FieldKind::Alias),
                    "{name}"
                );
            }
            for place in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[place] = if other[place] == b'q' { b'z' } else { b'q' };
                assert_eq!(
                    FieldKind::of(&other),
                    Some(unknown(&other)),
                    "{name} with another byte at {place}"
                );
                other.truncate(place);
                assert_eq!(FieldKind::of(&other), Some(unknown(&other)), "{name} cut at {place}");
            }
        }
        for (name, kind) in [
            ("Client-Cert-Chain", FieldKind::ClientCert),
            ("client_cert_chain", FieldKind::Alias),
            ("Client-Cert-Chain2", FieldKind::Other),
            ("Client-Cert-Chai", FieldKind::Other),
        ] {
            assert_eq!(FieldKind::of(name.as_bytes()), Some(kind), "{name}");
        }
        for other in [
            "",
            "a",
            "x_y",
            "under_scored",
            "X_Something_Else",
            "User_Agent",
            "User-Agent",
            "X-Forwarded",
            "X-Forwardedness",
        ] {
            assert_eq!(FieldKind::of(other.as_bytes()), Some(FieldKind::Other), "{other}");
        }
    }
}
