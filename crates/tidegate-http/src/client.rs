//! What trusted proxies in front of us say of the client: its address, and the scheme and host that it used.
//!
//! Two families of fields can say it: X-Forwarded-For, -Proto and -Host, and Forwarded (RFC 7239). Where both came, the
//! first counts: proxies that speak it often pass on whatever Forwarded a client made up. Knows no trusted networks.

use std::net::{IpAddr, SocketAddr};

use crate::{Field, FieldKind};

/// Which fields named the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Forwarded,
    /// X-Forwarded-Proto and -Host may have come alone: they are about the connection's own peer then.
    Neither,
    XForwarded,
}

/// What was said of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    pub family: Family,
    /// The rightmost address of the list that is not trusted: nobody further left can be believed. All trusted: the
    /// leftmost. `None`: nothing usable was sent, the connection's own address counts.
    pub address: Option<IpAddr>,
    /// The scheme that the client used.
    pub proto: Option<&'a [u8]>,
    /// The host that the client asked for, with its port.
    pub host: Option<&'a [u8]>,
    /// Where the client's element stands in the list.
    pub(crate) place: Option<usize>,
}

/// Ask only if the connection itself came from a trusted proxy.
pub fn told<'a>(fields: &[Field], buffer: &'a [u8], is_trusted: impl Fn(IpAddr) -> bool) -> Told<'a> {
    let is_said = |kind| fields.iter().any(|field| field.kind == kind && !field.value.is_empty());
    if is_said(FieldKind::XForwardedFor) {
        let said =
            elements(fields, buffer, FieldKind::XForwardedFor).map(|entry| (address_of(entry), None, None));
        return with_alone(fields, buffer, search(Family::XForwarded, said, is_trusted));
    }
    if is_said(FieldKind::Forwarded) && is_unambiguous(fields, buffer) {
        let said = elements(fields, buffer, FieldKind::Forwarded).map(|element| {
            let proto = parameter(element, b"proto").filter(|proto| is_scheme(proto));
            (node(element), proto, parameter(element, b"host").filter(|host| is_host(host)))
        });
        return search(Family::Forwarded, said, is_trusted);
    }
    with_alone(fields, buffer, search(Family::Neither, std::iter::empty(), is_trusted))
}

/// An address, a scheme and a host, as far as an element says them.
type Said<'a> = (Option<IpAddr>, Option<&'a [u8]>, Option<&'a [u8]>);

/// From the left: each element that is no address, or not trusted, makes hearsay of all before it. What the client's own
/// element leaves unsaid, the next proxy behind it may have said.
fn search<'a>(
    family: Family,
    elements: impl Iterator<Item = Said<'a>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Told<'a> {
    let mut told = Told { family, address: None, proto: None, host: None, place: None };
    for (place, (address, proto, host)) in elements.enumerate() {
        if told.address.is_some() && address.is_some_and(&is_trusted) {
            (told.proto, told.host) = (told.proto.or(proto), told.host.or(host));
        } else {
            told = Told { family, address, proto, host, place: address.map(|_| place) };
        }
    }
    told
}

/// X-Forwarded-Proto and -Host stand alone: they say it of the client, whoever that is. The first of a list counts.
fn with_alone<'a>(fields: &[Field], buffer: &'a [u8], told: Told<'a>) -> Told<'a> {
    let first = |kind| elements(fields, buffer, kind).next();
    let proto = first(FieldKind::XForwardedProto).filter(|proto| is_scheme(proto));
    let host = first(FieldKind::XForwardedHost).filter(|host| is_host(host));
    Told { proto, host, ..told }
}

/// The elements of a list over all lines of a kind; empty ones are none (RFC 9110 §5.6.1).
pub(crate) fn elements<'a>(
    fields: &[Field],
    buffer: &'a [u8],
    kind: FieldKind,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = fields.iter().filter(move |field| field.kind == kind);
    let pieces = lines.flat_map(move |field| Pieces { rest: Some(field.value.of(buffer)), separator: b',' });
    pieces.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// What an element of Forwarded says `for` whom (RFC 7239 §4), when that is an address.
pub(crate) fn node(element: &[u8]) -> Option<IpAddr> {
    address_of(parameter(element, b"for")?)
}

/// Every quoted string is closed in its own line, and no element says the same twice: readers would differ in whom to
/// believe.
fn is_unambiguous(fields: &[Field], buffer: &[u8]) -> bool {
    let mut lines = fields.iter().filter(|field| field.kind == FieldKind::Forwarded);
    lines.all(|field| !ends_in_quotes(field.value.of(buffer)))
        && !elements(fields, buffer, FieldKind::Forwarded).any(repeats)
}

/// RFC 7239 §4: "Each parameter MUST NOT occur more than once" in an element. Others than its own four mean nothing here.
fn repeats(element: &[u8]) -> bool {
    let mut seen = [false; 4];
    Pieces { rest: Some(element), separator: b';' }.any(|pair| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let mut known = ["by", "for", "host", "proto"].iter().zip(&mut seen);
        known
            .find(|(parameter, _)| name.eq_ignore_ascii_case(parameter.as_bytes()))
            .is_some_and(|(_, seen)| std::mem::replace(seen, true))
    })
}

fn ends_in_quotes(text: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    for byte in text {
        quotes.pass(*byte);
    }
    quotes.inside
}

/// A value without its quotes; one with escapes in it is none that a proxy has reason to send.
fn parameter<'a>(element: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = Pieces { rest: Some(element), separator: b';' };
    let value = pairs.find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(wanted.len())?;
        name.eq_ignore_ascii_case(wanted).then(|| value.strip_prefix(b"="))?
    })?;
    let bare = value.strip_prefix(b"\"").map_or(Some(value), |rest| rest.strip_suffix(b"\""));
    bare.filter(|bare| !bare.iter().any(|byte| matches!(byte, b'"' | b'\\')))
}

/// RFC 3986 §3.1.
fn is_scheme(text: &[u8]) -> bool {
    let is_of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(is_of_scheme)
}

fn is_host(text: &[u8]) -> bool {
    let is_of_host =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.iter().all(is_of_host)
}

/// `192.0.2.1`, `2001:db8::1`, and what some proxies write: `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`. What a
/// socket for both families calls `::ffff:192.0.2.1` is an IPv4 address.
pub(crate) fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match (text.parse::<IpAddr>(), bare) {
        (Ok(address), _) => address,
        (Err(_), Some(bare)) => IpAddr::V6(bare.parse().ok()?),
        (Err(_), None) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

/// What lies between separators that are not inside of quotes (RFC 9110 §5.6.4).
struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let mut quotes = Quotes::default();
        let end = text.iter().position(|byte| {
            let is_end = *byte == self.separator && !quotes.inside;
            quotes.pass(*byte);
            is_end
        });
        let (piece, rest) = end.and_then(|end| text.split_at_checked(end)).unwrap_or((text, b""));
        self.rest = end.and(rest.get(1..));
        Some(piece)
    }
}

#[derive(Default)]
struct Quotes {
    inside: bool,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, byte: u8) {
        let escapes = self.inside && !self.escaped && byte == b'\\';
        if byte == b'"' && !self.escaped {
            self.inside = !self.inside;
        }
        self.escaped = escapes;
    }
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

    /// Address, scheme and host, as text.
    fn heard(fields: &str) -> (Option<String>, Option<String>, Option<String>) {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let mut head = RequestHead::default();
        let progress = RequestParser::default().parse(&bytes, &LIMITS, &mut head);
        assert_eq!(progress, Ok(Progress::Complete { head_bytes: bytes.len() }), "{fields}");
        let told = told(&head.fields, &bytes, is_trusted);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (told.address.map(|address| address.to_string()), told.proto.map(text), told.host.map(text))
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
            ("X-Forwarded-For: 192.0.2.1, unknown\r\n", None, "nor anything before it"),
            ("X-Forwarded-For: 192.0.2.1:4711\r\n", Some("192.0.2.1"), "with a port"),
            ("X-Forwarded-For: 192.0.2.1,, ,10.0.0.1,\r\n", Some("192.0.2.1"), "empty elements are none"),
            ("X-Forwarded-For: 2001:db8::1, fd00::1\r\n", Some("2001:db8::1"), "IPv6"),
            ("X-Forwarded-For: [2001:db8::1]:80, [fd00::1]\r\n", Some("2001:db8::1"), "IPv6 in brackets"),
            ("X-Forwarded-For: ::ffff:192.0.2.1\r\n", Some("192.0.2.1"), "IPv4 in IPv6"),
            (
                "X-Forwarded-For: 192.0.2.1, [::ffff:10.0.0.2]:80, [::FFFF:a00:1]\r\n",
                Some("192.0.2.1"),
                "IPv4 in IPv6, in brackets, is trusted as IPv4",
            ),
            ("Forwarded: for=\"[::ffff:192.0.2.1]:80\"\r\n", Some("192.0.2.1"), "IPv4 in IPv6, quoted"),
            ("X_Forwarded_For: 192.0.2.1\r\n", None, "an alias is not believed"),
            (
                "Forwarded: for=192.0.2.9, For=192.0.2.1;proto=http, for=10.0.0.1\r\n",
                Some("192.0.2.1"),
                "RFC 7239",
            ),
            ("Forwarded: for=\"[2001:db8::1]:80\", for=\"10.0.0.1:5\"\r\n", Some("2001:db8::1"), "in quotes"),
            (
                "Forwarded: for=192.0.2.1\r\nForwarded: for=10.0.0.1\r\n",
                Some("192.0.2.1"),
                "lines are one list",
            ),
            (
                "Forwarded: for=192.0.2.1, for=_hidden, for=10.0.0.1\r\n",
                Some("10.0.0.1"),
                "stops at a pseudonym",
            ),
            ("Forwarded: for=192.0.2.1, proto=https\r\n", None, "stops where nobody is named"),
            ("Forwarded: for=192.0.2.1;host=\"a, for=10.0.0.9\"\r\n", Some("192.0.2.1"), "a comma in quotes"),
            (
                "Forwarded: host=\"\\\", for=192.0.2.9\";for=10.0.0.1\r\n",
                Some("10.0.0.1"),
                "an escaped quote",
            ),
            ("Forwarded: for=192.0.2.1;host=\"a, for=10.0.0.1\r\n", None, "quotes that do not end"),
            ("Forwarded: for=192.0.2.1;for=192.0.2.2\r\n", None, "named twice"),
            ("Forwarded: for=192.0.2.1;proto=http; For =192.0.2.1, for=10.0.0.1\r\n", None, "named twice"),
            ("Forwarded: for=192.0.2.1, for=10.0.0.1;host=a;host=b\r\n", None, "a proxy's host given twice"),
            ("Forwarded: for=192.0.2.1, for=10.0.0.1;by=a;BY\r\n", None, "a proxy named twice"),
            ("Forwarded: for=192.0.2.1;x=for;x=1;;;\r\n", Some("192.0.2.1"), "what means nothing may repeat"),
            ("Forwarded: host=\";for=1\";for=192.0.2.1\r\n", Some("192.0.2.1"), "not twice, but in quotes"),
            (
                "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.9\r\n",
                Some("192.0.2.1"),
                "X-Forwarded-For counts before Forwarded",
            ),
            ("X-Forwarded-For: unknown\r\nForwarded: for=192.0.2.9\r\n", None, "even when it names nobody"),
        ];
        for (fields, address, why) in cases {
            assert_eq!(heard(fields).0.as_deref(), address, "{why}");
        }
    }

    #[test]
    fn scheme_and_host_are_those_of_the_client() {
        let cases = [
            ("", None, None, "nothing was sent"),
            ("Forwarded: for=192.0.2.1;proto=https;host=a\r\n", Some("https"), Some("a"), "one element"),
            (
                "Forwarded: for=192.0.2.1;host=a;proto=https, for=10.0.0.1;host=b;proto=http\r\n",
                Some("https"),
                Some("a"),
                "the client's element before those of proxies",
            ),
            (
                "Forwarded: for=192.0.2.9;host=a;proto=https, for=192.0.2.1;proto=http\r\n",
                Some("http"),
                None,
                "hearsay is no word of the client",
            ),
            (
                "Forwarded: for=192.0.2.1, for=10.0.0.1;host=\"b:80\";proto=https\r\n",
                Some("https"),
                Some("b:80"),
                "the next one behind says what the first did not",
            ),
            ("Forwarded: for=192.0.2.1;proto=\"ht tp\";host=\"a b\"\r\n", None, None, "not what they may be"),
            (
                "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n",
                Some("https"),
                Some("a"),
                "without a list",
            ),
            (
                "X-Forwarded-Proto: https, http\r\nX-Forwarded-For: 192.0.2.1\r\n",
                Some("https"),
                None,
                "the first",
            ),
            (
                "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1;proto=https;host=a\r\n",
                None,
                None,
                "one family counts, whole",
            ),
        ];
        for (fields, proto, host, why) in cases {
            let (_, told_proto, told_host) = heard(fields);
            assert_eq!((told_proto.as_deref(), told_host.as_deref()), (proto, host), "{why}");
        }
    }
}
