//! Chunked bodies as raw bytes: what is refused, what comes out, and that framing and decoding are inverse.

use proptest::prelude::*;
use tidegate_http::HeadLimits;
use tidegate_http::chunked::{
    CHUNK_PREFIX, CHUNK_SUFFIX, ChunkError, ChunkedDecoder, LAST_CHUNK, frame, write_last_chunk,
};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 1024, target_bytes_max: 0, field_count_max: 8 };

#[derive(Debug, PartialEq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    /// What followed the body, if it ended.
    rest: Option<Vec<u8>>,
}

/// Decodes `bytes` as they arrive up to each of `ends`, offering again what was not consumed.
fn decode(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> Result<Body, ChunkError> {
    let mut decoder = ChunkedDecoder::new(&LIMITS);
    let mut body = Body { data: Vec::new(), trailers: Vec::new(), rest: None };
    let (mut at, mut buffer) = (0, Vec::new());
    for end in ends {
        buffer.extend_from_slice(&bytes[at..end]);
        at = end;
        let found = decoder.decode(&mut buffer, &mut body.trailers)?;
        body.data.extend_from_slice(&buffer[..found.data]);
        buffer.drain(..found.consumed);
        if found.done {
            buffer.extend_from_slice(&bytes[at..]);
            body.rest = Some(buffer);
            return Ok(body);
        }
    }
    Ok(body)
}

fn decode_any_way(bytes: &[u8]) -> Result<Body, ChunkError> {
    let whole = decode(bytes, [bytes.len()]);
    assert_eq!(decode(bytes, 0..=bytes.len()), whole, "byte by byte: {}", bytes.escape_ascii());
    if bytes.len() < 512 {
        for cut in 0..bytes.len() {
            assert_eq!(decode(bytes, [cut, bytes.len()]), whole, "cut at {cut}: {}", bytes.escape_ascii());
        }
    }
    whole
}

const REFUSED: &[(&str, &str, &str)] = &[
    ("0x5\r\nhello\r\n", "chunk_size_invalid", "A6: prefix"),
    ("+5\r\nhello\r\n", "chunk_size_invalid", "A6: sign"),
    ("-5\r\nhello\r\n", "chunk_size_invalid", "A6: sign"),
    ("5_\r\nhello\r\n", "chunk_size_invalid", "A6: underscore"),
    ("00000000000000005\r\nhello\r\n", "chunk_size_too_large", "A6: 17 digits"),
    ("fffffffffffffffff\r\n", "chunk_size_too_large", "A6: 17 digits"),
    ("\r\nhello\r\n", "chunk_size_invalid", "A6: empty"),
    (" 5\r\nhello\r\n", "chunk_size_invalid", "A6: leading space"),
    ("5 \r\nhello\r\n", "chunk_extension_invalid", "a space and no extension"),
    ("5 x\r\nhello\r\n", "chunk_extension_invalid", "a space and no semicolon"),
    (";a\r\nhello\r\n", "chunk_size_invalid", "an extension and no size"),
    ("5\nhello\r\n", "chunk_line_end_invalid", "A7: bare LF behind the size"),
    ("5\rhello\r\n", "chunk_line_end_invalid", "A7: bare CR behind the size"),
    ("5\r\nhello\n0\r\n\r\n", "chunk_data_end_invalid", "A7: bare LF behind the data"),
    ("5\r\nhello\rX", "chunk_data_end_invalid", "A7: bare CR behind the data"),
    ("5\r\nhello!\r\n", "chunk_data_end_invalid", "A7: more data than said"),
    ("5\r\nhello0\r\n\r\n", "chunk_data_end_invalid", "A7: nothing behind the data"),
    ("5;\r\nhello\r\n", "chunk_extension_invalid", "A8: bare semicolon"),
    ("5;a;\r\nhello\r\n", "chunk_extension_invalid", "A8: bare semicolon"),
    ("5;a\0\r\nhello\r\n", "chunk_extension_invalid", "A8: NUL"),
    ("5;a\rb\r\nhello\r\n", "chunk_line_end_invalid", "A8: CR"),
    ("5;a\nb\r\nhello\r\n", "chunk_line_end_invalid", "A8: LF"),
    ("5;a=\"\r\n\"\r\nhello\r\n", "chunk_extension_invalid", "A8: CR LF in quotes"),
    ("5;a=\r\nhello\r\n", "chunk_extension_invalid", "A8: no value"),
    ("5;a= \r\nhello\r\n", "chunk_extension_invalid", "A8: no value"),
    ("5;a=;b\r\nhello\r\n", "chunk_extension_invalid", "A8: no value"),
    ("5;=b\r\nhello\r\n", "chunk_extension_invalid", "A8: no name"),
    ("5;a==b\r\nhello\r\n", "chunk_extension_invalid", "A8: two equals signs"),
    ("5;a=b=c\r\nhello\r\n", "chunk_extension_invalid", "A8: two values"),
    ("5;a=b c\r\nhello\r\n", "chunk_extension_invalid", "A8: two values"),
    ("5;a b\r\nhello\r\n", "chunk_extension_invalid", "A8: two names"),
    ("5;a=b,c\r\nhello\r\n", "chunk_extension_invalid", "A8: no token"),
    ("5;a={}\r\nhello\r\n", "chunk_extension_invalid", "A8: no token"),
    ("5;a,b\r\nhello\r\n", "chunk_extension_invalid", "A8: no token"),
    ("5;a=\u{80}\r\nhello\r\n", "chunk_extension_invalid", "A8: not ASCII"),
    ("5;\u{80}\r\nhello\r\n", "chunk_extension_invalid", "A8: not ASCII"),
    ("5;a=b\u{80}\r\nhello\r\n", "chunk_extension_invalid", "A8: not ASCII"),
    ("5;a\"b\"\r\nhello\r\n", "chunk_extension_invalid", "A8: quotes in a name"),
    ("5;\"a\"\r\nhello\r\n", "chunk_extension_invalid", "A8: quotes around a name"),
    ("5;a=b\"c\"\r\nhello\r\n", "chunk_extension_invalid", "A8: quotes in a value"),
    ("5;a=\"b\"c\r\nhello\r\n", "chunk_extension_invalid", "A8: more behind the quotes"),
    ("5;a=\"b\"\"c\"\r\nhello\r\n", "chunk_extension_invalid", "A8: more behind the quotes"),
    ("5;a=\"b\" =c\r\nhello\r\n", "chunk_extension_invalid", "A8: more behind the quotes"),
    ("5;a=\"b\r\nhello\r\n", "chunk_extension_invalid", "A8: quotes that do not end"),
    ("5;a=\"b\\\"\r\nhello\r\n", "chunk_extension_invalid", "A8: quotes that do not end"),
    ("5;a=\"\\\r\n\"\r\nhello\r\n", "chunk_extension_invalid", "A8: an escaped CR"),
    ("5;a=\"\\\n\"\r\nhello\r\n", "chunk_line_end_invalid", "A8: an escaped LF"),
    ("5;a=\"\u{7f}\"\r\nhello\r\n", "chunk_extension_invalid", "A8: DEL"),
    ("5;a \r\nhello\r\n", "chunk_extension_invalid", "A8: white space and no more"),
    ("5;a=b \r\nhello\r\n", "chunk_extension_invalid", "A8: white space and no more"),
    ("5;a=\"b\" \r\nhello\r\n", "chunk_extension_invalid", "A8: white space and no more"),
    ("0\r\nX : y\r\n\r\n", "trailer_invalid", "A9: as strict as heads"),
    ("0\r\nX: y\r\n z\r\n\r\n", "trailer_invalid", "A9: folded"),
    ("0\r\nX: y\n\r\n", "trailer_invalid", "A9: bare LF"),
    ("0\r\nX: \0\r\n\r\n", "trailer_invalid", "A9: NUL"),
    ("0\r\n\n", "trailer_invalid", "bare LF as the empty line"),
];

#[test]
fn every_broken_body_is_refused_with_its_word_however_it_arrives() {
    for (text, code, why) in REFUSED {
        let error = decode_any_way(text.as_bytes()).expect_err(why);
        assert_eq!((error.code(), error.status()), (*code, 400), "{why}: {text:?}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn bodies_come_out_without_framing_and_what_follows_is_left() {
    let cases = [
        ("0\r\n\r\n", "", "", "", "empty"),
        ("5\r\nhello\r\n0\r\n\r\nGET", "hello", "", "GET", "the next message"),
        ("5\r\nhello\r\n6\r\n world\r\n00\r\n\r\n", "hello world", "", "", "two chunks"),
        (
            "A\r\n0123456789\r\nb\r\n01234567890\r\n0\r\n\r\n",
            "012345678901234567890",
            "",
            "",
            "digits of both cases",
        ),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", "", "", "16 digits"),
        ("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", "", "", "extensions"),
        ("5;a=b;c;d=\"\"\r\nhello\r\n0\r\n\r\n", "hello", "", "", "several, one of nothing in quotes"),
        (
            "5;a=\"\u{80}\\\u{80}\\\\ ,{\"\r\nhello\r\n0\r\n\r\n",
            "hello",
            "",
            "",
            "whatever may stand in quotes",
        ),
        ("5\t;\ta\t=\tb\t;\tc\t=\t\"d\"\t;e\r\nhello\r\n0\r\n\r\n", "hello", "", "", "tabs"),
        ("5 ; a = \"q\\\"x\" ; c\r\nhello\r\n0\r\n\r\n", "hello", "", "", "an escaped quote"),
        ("5 ; a = \"\\\";\" ;b\r\nhello\r\n0\r\n\r\n", "hello", "", "", "extensions, quoted and spaced"),
        ("0\r\nX-Sum: 1\r\nx-b:2\r\n\r\nrest", "", "X-Sum: 1\r\nx-b:2\r\n", "rest", "trailers"),
        ("0\r\nX-A: 1\r\nContent-Length: 5\r\nX-B: 2\r\n\r\n", "", "X-A: 1\r\nX-B: 2\r\n", "", "A9: framing"),
        (
            "0\r\nTransfer-Encoding: chunked\r\nhost: a\r\nAuthorization: b\r\n\r\n",
            "",
            "",
            "",
            "A9: routing, authentication",
        ),
        (
            "0\r\nSet-Cookie: a\r\nIf-Match: b\r\nX_Forwarded_For: c\r\nETag: d\r\n\r\n",
            "",
            "ETag: d\r\n",
            "",
            "A9: others",
        ),
    ];
    for (text, data, trailers, rest, why) in cases {
        let body = decode_any_way(text.as_bytes()).expect(why);
        let expected =
            Body { data: data.into(), trailers: trailers.into(), rest: Some(rest.as_bytes().to_vec()) };
        assert_eq!(body, expected, "{why}");
    }
}

#[test]
fn extensions_and_trailers_are_limited() {
    let many = |line: &str, times: usize| line.repeat(times);
    let cases = [
        (format!("5;{}\r\n", "a".repeat(64 * 1024)), "chunk_extensions_too_large", 400, "A8: 64 KiB at once"),
        (
            many(&format!("1;{}\r\nx\r\n", "a".repeat(1000)), 1000),
            "chunk_extensions_too_large",
            400,
            "A8: 1 MB in all",
        ),
        (format!("0\r\n{}", many("X: y\r\n", 10_000)), "trailers_too_many", 431, "A9: 10k trailers"),
        (format!("0\r\n{}", many("Host: y\r\n", 10_000)), "trailers_too_many", 431, "A9: even dropped ones"),
        (format!("0\r\nX: {}", "y".repeat(2000)), "trailers_too_large", 431, "A9: a long trailer"),
        (format!("0\r\n{}", "y".repeat(2000)), "trailers_too_large", 431, "A9: a long name"),
    ];
    for (text, code, status, why) in cases {
        let error = decode_any_way(text.as_bytes()).expect_err(why);
        assert_eq!((error.code(), error.status()), (code, status), "{why}");
    }
    let signed = format!("10000;chunk-signature={}\r\n{}\r\n", "f".repeat(64), "x".repeat(65536));
    let body = decode((many(&signed, 1000) + "0\r\n\r\n").as_bytes(), [1000 * signed.len() + 5]).unwrap();
    assert_eq!(body.data.len(), 65_536_000, "signed uploads pay for their extensions");
}

#[test]
fn memory_does_not_grow_with_tiny_chunks() {
    let mut decoder = ChunkedDecoder::new(&LIMITS);
    let (mut trailers, mut total) = (Vec::new(), 0);
    for _ in 0..10_000 {
        let mut buffer = *b"1\r\nx\r\n1;a\r\ny\r\n";
        let found = decoder.decode(&mut buffer, &mut trailers).unwrap();
        assert_eq!((found.consumed, &buffer[..found.data]), (buffer.len(), &b"xy"[..]));
        total += found.data;
    }
    assert_eq!((total, trailers.capacity()), (20_000, 0), "B5");
}

#[test]
fn chunks_of_each_small_size_are_the_same_however_they_are_cut() {
    for size in 1..=20_usize {
        let (first, second) = ("\r".repeat(size), "\n".repeat(size));
        let bytes = format!("{size:x}\r\n{first}\r\n{size:X}\r\n{second}\r\n0\r\n\r\nrest");
        let body = decode_any_way(bytes.as_bytes()).unwrap();
        assert_eq!((body.data, body.rest), ((first + &second).into_bytes(), Some(b"rest".to_vec())));
    }
    for not_as_long_as_it_says in ["1\r\nxx\r\n", "2\r\nx\r\n0\r\n\r\n"] {
        assert_eq!(decode_any_way(not_as_long_as_it_says.as_bytes()), Err(ChunkError::DataEndInvalid));
    }
}

#[test]
fn a_chunk_says_how_much_of_it_is_still_to_come() {
    let steps = [
        ("", 0),
        ("5", 0), // it may become 5f
        ("\r\n", 5),
        ("he", 3),
        ("llo", 0),
        ("\r\n3;a=b", 0),
        ("\r\n", 3),
        ("abc\r\nffffffffffffffff\r\n", u64::MAX),
    ];
    let mut decoder = ChunkedDecoder::new(&LIMITS);
    for (bytes, announced) in steps {
        let mut buffer = bytes.as_bytes().to_vec();
        let found = decoder.decode(&mut buffer, &mut Vec::new()).unwrap();
        assert_eq!((found.consumed, decoder.announced()), (bytes.len(), announced), "behind {bytes:?}");
    }
}

fn framed(chunks: &[Vec<u8>], trailers: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        let mut prefix = [0; CHUNK_PREFIX];
        let start = frame(&mut prefix, chunk.len());
        out.extend_from_slice(&prefix[start..]);
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_SUFFIX);
    }
    write_last_chunk(trailers, &mut out);
    out
}

#[test]
fn frames_are_the_shortest_hexadecimal() {
    for (length, line) in
        [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65_536, "10000\r\n"), (0xffff_ffff, "ffffffff\r\n")]
    {
        let mut prefix = [0; CHUNK_PREFIX];
        let start = frame(&mut prefix, length);
        assert_eq!(prefix[start..].escape_ascii().to_string(), line.as_bytes().escape_ascii().to_string());
    }
    assert_eq!(framed(&[], b""), LAST_CHUNK);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn decoding_what_was_framed_gives_the_same_bytes(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
        trailers in prop::collection::vec("X-[a-z]{1,8}: [ -~]{0,20}\r\n", 0..4),
        next in prop::collection::vec(any::<u8>(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let trailers = trailers.concat().into_bytes();
        let mut bytes = framed(&chunks, &trailers);
        bytes.extend_from_slice(&next);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let expected = Body { data: chunks.concat(), trailers, rest: Some(next) };
        prop_assert_eq!(decode(&bytes, ends), Ok(expected));
    }

    #[test]
    fn random_bytes_cause_no_panic_and_one_answer(
        bytes in "[0-3a;\\r\\n \":x]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)
    ) {
        let bytes = bytes.into_bytes();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        prop_assert_eq!(decode(&bytes, ends), decode(&bytes, [bytes.len()]));
    }
}
