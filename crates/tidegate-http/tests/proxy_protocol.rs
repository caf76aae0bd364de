//! Headers of the PROXY protocol as raw bytes: whole, byte by byte and in every cut the same; written and read are inverse.
#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use tidegate_http::proxy_protocol::{
    HEADER_BYTES_MAX, Header, LOCAL, Origin, ProxyHeaderError, Values, begins_with_header, parse, write,
};

type Parsed<'a> = Result<Option<Header<'a>>, ProxyHeaderError>;

/// What comes out when the bytes arrive up to each of `ends`.
fn arriving(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> Parsed<'_> {
    for end in ends {
        if let Some(found) = parse(&bytes[..end])? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn any_way(bytes: &[u8]) -> Parsed<'_> {
    let whole = parse(bytes);
    assert_eq!(arriving(bytes, 0..=bytes.len()), whole, "byte by byte: {}", bytes.escape_ascii());
    if bytes.len() < 512 {
        for cut in 0..bytes.len() {
            assert_eq!(arriving(bytes, [cut, bytes.len()]), whole, "cut at {cut}: {}", bytes.escape_ascii());
        }
    }
    whole
}

/// That says this and nothing else.
fn alone(origin: Origin, length: usize) -> Header<'static> {
    Header { origin, values: Values::default(), length }
}

fn client(source: &str, destination: &str) -> Origin {
    Origin::Client { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// Version 2 with this version and command, family and transport, and rest.
fn binary(command: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, protocol][..], &length, rest].concat()
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, bytes].concat()
}

/// 192.0.2.1:80 to 192.0.2.2:443.
const INET: &[u8] = b"\xc0\0\x02\x01\xc0\0\x02\x02\0\x50\x01\xbb";

#[test]
fn lines_of_version_1_say_who_the_client_is() {
    let cases = [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", client("192.0.2.1:56324", "192.0.2.2:443"), "IPv4"),
        ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", client("[2001:db8::1]:0", "[::1]:65535"), "IPv6"),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n",
            client("192.0.2.1:1", "192.0.2.2:2"),
            "mapped addresses are IPv4 addresses",
        ),
        ("PROXY UNKNOWN\r\n", Origin::Peer, "a health check"),
        ("PROXY UNKNOWN ffff:: 1 what ever\r\n", Origin::Peer, "what follows is ignored"),
    ];
    for (line, origin, why) in cases {
        assert_eq!(any_way(line.as_bytes()), Ok(Some(alone(origin, line.len()))), "{why}");
        let with_request = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(any_way(with_request.as_bytes()), Ok(Some(alone(origin, line.len()))), "{why}");
    }
}

#[test]
fn other_lines_are_refused() {
    let cases = [
        ("GET / HTTP/1.1\r\n", ProxyHeaderError::Missing, "a request"),
        ("PROXY\tTCP4", ProxyHeaderError::Missing, "a tab"),
        ("proxy TCP4", ProxyHeaderError::Missing, "lower case"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", ProxyHeaderError::LineInvalid, "a bare LF"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", ProxyHeaderError::LineInvalid, "one word more"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", ProxyHeaderError::LineInvalid, "a port missing"),
        ("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", ProxyHeaderError::LineInvalid, "two spaces"),
        ("PROXY TCP4\r\n", ProxyHeaderError::LineInvalid, "no addresses"),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", ProxyHeaderError::AddressInvalid, "IPv6 as IPv4"),
        ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", ProxyHeaderError::AddressInvalid, "IPv4 as IPv6"),
        ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", ProxyHeaderError::AddressInvalid, "three parts"),
        ("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", ProxyHeaderError::AddressInvalid, "a leading zero"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", ProxyHeaderError::AddressInvalid, "a port too large"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", ProxyHeaderError::AddressInvalid, "a sign"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", ProxyHeaderError::AddressInvalid, "a leading zero"),
        ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", ProxyHeaderError::FamilyUnknown, "no such word"),
        ("PROXY UNKNOWNX\r\n", ProxyHeaderError::LineInvalid, "a longer word"),
    ];
    for (line, error, why) in cases {
        assert_eq!(any_way(line.as_bytes()), Err(error), "{why}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    assert_eq!(any_way(long.as_bytes()), Err(ProxyHeaderError::TooLong { limit_bytes: 107 }));
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    assert_eq!(any_way(longest.as_bytes()), Ok(Some(alone(Origin::Peer, 107))));
}

#[test]
fn headers_of_version_2_say_who_the_client_is() {
    let inet6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 15], &[1, 0, 7, 0, 9]].concat();
    let with_values = [INET, &value(4, b""), &value(0xe0, b"custom")].concat();
    let cases = [
        (binary(0x21, 0x11, INET), client("192.0.2.1:80", "192.0.2.2:443"), "TCP over IPv4"),
        (binary(0x21, 0x12, INET), client("192.0.2.1:80", "192.0.2.2:443"), "a client of HTTP/3"),
        (binary(0x21, 0x21, &inet6), client("[2001:db8::1]:7", "[::1]:9"), "TCP over IPv6"),
        (binary(0x21, 0x11, &with_values), client("192.0.2.1:80", "192.0.2.2:443"), "values unknown here"),
        (binary(0x21, 0x31, &[b'/'; 216]), Origin::Nameless, "a Unix socket"),
        (binary(0x20, 0, b""), Origin::Peer, "LOCAL"),
        (binary(0x20, 0x11, INET), Origin::Peer, "LOCAL: its addresses are ignored"),
        (binary(0x20, 0xff, b"\x01\xff"), Origin::Peer, "LOCAL: whatever it brings is skipped"),
        (binary(0x21, 0, b"anything"), Origin::Peer, "UNSPEC"),
        (binary(0x20, 0, b"\x02\xff"), Origin::Peer, "LOCAL: what makes no sense is skipped there, too"),
        (LOCAL.to_vec(), Origin::Peer, "what we send ourselves"),
    ];
    for (header, origin, why) in cases {
        assert_eq!(any_way(&header), Ok(Some(alone(origin, header.len()))), "{why}");
        let with_request = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(any_way(&with_request), Ok(Some(alone(origin, header.len()))), "{why}");
    }
}

#[test]
fn other_headers_of_version_2_are_refused() {
    let cases = [
        (binary(0x11, 0x11, INET), ProxyHeaderError::VersionUnknown, "version 1 in binary"),
        (binary(0x31, 0x11, INET), ProxyHeaderError::VersionUnknown, "version 3"),
        (binary(0x22, 0x11, INET), ProxyHeaderError::CommandUnknown, "no such command"),
        (binary(0x21, 0x41, INET), ProxyHeaderError::FamilyUnknown, "no such family"),
        (binary(0x21, 0x13, INET), ProxyHeaderError::FamilyUnknown, "no such transport"),
        (binary(0x21, 0x11, &INET[..11]), ProxyHeaderError::AddressInvalid, "shorter than its addresses"),
        (binary(0x21, 0x21, INET), ProxyHeaderError::AddressInvalid, "IPv4 as IPv6"),
        (binary(0x21, 0x31, &[0; 215]), ProxyHeaderError::AddressInvalid, "half a path"),
        (binary(0x21, 0x11, &[INET, b"\x04\0"].concat()), ProxyHeaderError::TlvInvalid, "half a value"),
        (
            binary(0x21, 0x11, &[INET, b"\x04\0\x02x"].concat()),
            ProxyHeaderError::TlvInvalid,
            "a value longer than the header",
        ),
        (
            binary(0x21, 0x11, &[INET, &value(3, b"123")].concat()),
            ProxyHeaderError::TlvInvalid,
            "a checksum of three bytes",
        ),
        (
            binary(0x21, 0x11, &[INET, &value(3, b"1234")].concat()),
            ProxyHeaderError::ChecksumWrong,
            "a wrong checksum",
        ),
    ];
    for (header, error, why) in cases {
        assert_eq!(any_way(&header), Err(error), "{why}");
    }
}

#[test]
fn values_of_a_header_are_read_once_and_within_their_length() {
    let origin = client("192.0.2.1:80", "192.0.2.2:443");
    let (id, name) = ([7; 128], [b'a'; 255]);
    // Section 2.2.6, as HAProxy writes it: three bits, a verdict, the version and the cipher.
    let tls =
        value(0x20, &[&[1, 0, 0, 0, 0][..], &value(0x21, b"TLSv1.3"), &value(0x23, b"TLS_AES")].concat());
    let told = |values: &[Vec<u8>]| binary(0x21, 0x11, &[INET, &values.concat()].concat());
    let all = told(&[value(2, b"app.test"), tls, value(1, b"h2"), value(4, &[0; 9]), value(5, &id)]);
    let values = Values { unique_id: Some(&id), protocol: Some(b"h2"), authority: Some(b"app.test") };
    assert_eq!(any_way(&all), Ok(Some(Header { origin, values, length: all.len() })));
    let longest = told(&[value(2, &name), value(1, &name), value(5, b"")]);
    let values = Values { unique_id: Some(b""), protocol: Some(&name), authority: Some(&name) };
    assert_eq!(any_way(&longest), Ok(Some(Header { origin, values, length: longest.len() })));
    let broken = told(&[value(0x20, b"\x01\0\0\0\0\x21\xff\xffx")]);
    assert_eq!(
        any_way(&broken),
        Ok(Some(alone(origin, broken.len()))),
        "what is said of TLS is not looked into"
    );
    for (values, why) in [
        (vec![value(5, &[7; 129])], "an id longer than ids may be"),
        (vec![value(1, &[b'h'; 256])], "a protocol that no TLS can name"),
        (vec![value(2, &[b'a'; 256])], "a name longer than names are"),
        (vec![value(2, b"a.test"), value(4, b""), value(2, b"b.test")], "two names"),
        (vec![value(5, b"a"), value(5, b"a")], "the same id twice"),
    ] {
        assert_eq!(any_way(&told(&values)), Err(ProxyHeaderError::TlvInvalid), "{why}");
    }
    // Whoever has no address has an id all the same.
    for command in [0x20, 0x21] {
        let nameless = binary(command, 0, &value(5, b"id"));
        let values = Values { unique_id: Some(b"id"), ..Values::default() };
        assert_eq!(
            any_way(&nameless),
            Ok(Some(Header { origin: Origin::Peer, values, length: nameless.len() }))
        );
    }
    let local = binary(0x20, 0x11, &[INET, &value(2, b"app.test")].concat());
    assert_eq!(any_way(&local), Ok(Some(alone(Origin::Peer, local.len()))));
}

#[test]
fn values_beyond_the_limit_are_refused_before_they_are_read() {
    let too_long = Err(ProxyHeaderError::TooLong { limit_bytes: HEADER_BYTES_MAX });
    let endless = binary(0x21, 0x11, &vec![0; 65535]);
    assert_eq!(parse(&endless), too_long);
    assert_eq!(arriving(&endless, 0..=16), too_long, "its length is enough");
    let longest = [INET, &value(4, &vec![0; HEADER_BYTES_MAX - 16 - 12 - 3])].concat();
    assert_eq!(
        parse(&binary(0x21, 0x11, &longest)).map(|found| found.map(|header| header.length)),
        Ok(Some(HEADER_BYTES_MAX))
    );
}

/// As HAProxy writes it with `proxy-v2-options crc32c`.
#[test]
fn a_right_checksum_is_right_wherever_it_stands() {
    for behind in [&b""[..], &value(4, b"x")] {
        let mut header = binary(0x21, 0x11, &[INET, &value(3, &[0; 4]), behind].concat());
        let sum = slow_crc32c(&header);
        header[31..35].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(
            any_way(&header),
            Ok(Some(alone(client("192.0.2.1:80", "192.0.2.2:443"), header.len()))),
            "{}",
            header.escape_ascii()
        );
        header[20] ^= 1;
        assert_eq!(any_way(&header), Err(ProxyHeaderError::ChecksumWrong));
    }
}

/// By long division of polynomials, most significant bit first: another way than the one under test.
fn slow_crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(byte.reverse_bits()) << 24;
        for _ in 0..8 {
            sum = if sum >> 31 == 1 { sum << 1 ^ 0x1edc_6f41 } else { sum << 1 };
        }
    }
    !sum.reverse_bits()
}

#[test]
fn no_request_begins_like_a_header() {
    for (bytes, expected) in [
        (&b""[..], None),
        (b"P", None),
        (b"PROXY", None),
        (b"PROXY ", Some(true)),
        (b"POST / HTTP/1.1", Some(false)),
        (b"PROXYING / HTTP/1.1", Some(false)),
        (b"\r\n", None),
        (b"\r\nGET / HTTP/1.1", Some(false)),
        (b"\r\n\r\n\0\r\nQUIT", None),
        (b"\r\n\r\n\0\r\nQUIT\n", Some(true)),
    ] {
        assert_eq!(begins_with_header(bytes), expected, "{}", bytes.escape_ascii());
    }
}

fn socket_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

proptest! {
    #[test]
    fn what_is_written_reads_as_it_was_meant(
        ends in proptest::option::of((socket_address(), socket_address())),
        id in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        protocol in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        authority in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = Vec::new();
        let values = Values {
            unique_id: id.as_deref(),
            protocol: protocol.as_deref(),
            authority: authority.as_deref(),
        };
        write(ends, &values, &mut bytes);
        prop_assert_eq!(bytes[12], if ends.is_some() { 0x21 } else { 0x20 }, "PROXY, or LOCAL");
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        let origin = match ends {
            Some((source, destination)) => Origin::Client { source, destination },
            None => Origin::Peer,
        };
        let most = |value: Option<&[u8]>, most: usize| value.map(|value| value[..value.len().min(most)].to_vec());
        let (id, protocol, authority) =
            (most(values.unique_id, 128), most(values.protocol, 255), most(values.authority, 255));
        let values = Values {
            unique_id: id.as_deref(),
            protocol: protocol.as_deref(),
            authority: authority.as_deref(),
        };
        prop_assert_eq!(any_way(&bytes), Ok(Some(Header { origin, values, length })));
    }

    #[test]
    fn whatever_values_are_made_of_it_is_read_the_same_in_every_cut_and_never_beyond_the_header(
        mut values in proptest::collection::vec(any::<u8>(), 0..60),
        kinds in proptest::collection::vec((prop::sample::select(vec![1_u8, 2, 3, 4, 5, 0x20, 0x30]), 0_u8..20), 0..6),
        command in prop::sample::select(vec![0x20_u8, 0x21]),
        family in prop::sample::select(vec![0_u8, 0x11, 0x21, 0x31]),
    ) {
        let mut rest = [0; 216][..match family { 0x11 => 12, 0x21 => 36, 0x31 => 216, _ => 0 }].to_vec();
        for (kind, length) in kinds {
            rest.extend(value(kind, &values[..values.len().min(length.into())]));
        }
        values.truncate(usize::from(values.first().copied().unwrap_or_default() % 4));
        rest.extend(values); // more often than not the beginning of a value that does not end
        let header = binary(command, family, &rest);
        if let Ok(found) = any_way(&header) {
            prop_assert_eq!(found.map(|found| found.length), Some(header.len()));
        }
    }

    #[test]
    fn nothing_makes_it_panic_and_no_cut_changes_what_comes_out(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        start in 0_usize..4,
    ) {
        let starts = [&b""[..], b"PROXY ", b"PROXY TCP4 1.2.3.4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20"];
        bytes.splice(0..0, starts[start].iter().copied());
        let _ = any_way(&bytes);
    }
}
