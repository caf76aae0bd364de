//! Response heads as raw bytes: what is refused, with which word, and what accepted ones mean.

mod feed;

use feed::{LIMITS, ends, response, response_any_way};
use proptest::prelude::*;
use tidegate_http::request::Method;
use tidegate_http::response::{ResponseHead, ResponseParser};
use tidegate_http::{BodyLength, Progress, Version};

/// What is refused: bytes, code, why. `OK|` means a good status line.
const REFUSED: &[(&str, &str, &str)] = &[
    ("garbage\r\n\r\n", "status_line_invalid", "F1: garbage"),
    ("<html>", "status_line_invalid", "F1: HTTP/0.9"),
    ("\r\nHTTP/1.1 200 OK\r\n\r\n", "status_line_invalid", "bytes before the response"),
    (
        "OK|Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "content_length_and_transfer_encoding",
        "F4: both",
    ),
    (
        "OK|Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "content_length_and_transfer_encoding",
        "F4: either order",
    ),
    ("OK|Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "content_length_differs", "F4: differing"),
    ("OK|Content-Length: -1\r\n\r\n", "content_length_invalid", "F4: sign"),
    ("OK|Content-Length: +2\r\n\r\n", "content_length_invalid", "F4: sign"),
    ("OK|Content-Length: 5, 5\r\n\r\n", "content_length_invalid", "F4: list"),
    ("OK|Content-Length: 18446744073709551616\r\n\r\n", "content_length_invalid", "F4: overflow"),
    ("OK|Transfer-Encoding: gzip\r\n\r\n", "transfer_encoding_invalid", "F4: unknown"),
    ("OK|Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer_encoding_invalid", "F4: unknown"),
    (
        "OK|Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "transfer_encoding_repeated",
        "F4: twice",
    ),
    (
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "transfer_encoding_on_http10",
        "HTTP/1.0 has no codings",
    ),
    ("OK|X: a\0b\r\n\r\n", "field_value_invalid", "F8: NUL"),
    ("OK|X: a\rb\r\n\r\n", "line_end_invalid", "F8: bare CR"),
    ("OK|X: a\nb: c\r\n\r\n", "line_end_invalid", "F8: bare LF"),
    ("OK|X: a\r\n b\r\n\r\n", "field_folded", "F8: obs-fold"),
    ("OK|X : a\r\n\r\n", "field_name_invalid", "space before the colon"),
    ("HTTP/1.1 200 OK\nX: a\r\n\r\n", "line_end_invalid", "bare LF behind the status line"),
    ("HTTP/1.1 200 O\0K\r\n\r\n", "status_line_invalid", "NUL in the phrase"),
    ("HTTP/1.1 99 x\r\n\r\n", "status_line_invalid", "F10: two digits"),
    ("HTTP/1.1 099 x\r\n\r\n", "status_line_invalid", "F10: below 100"),
    ("HTTP/1.1 1000 x\r\n\r\n", "status_line_invalid", "F10: four digits"),
    ("HTTP/1.1 2x0 x\r\n\r\n", "status_line_invalid", "F10: not digits"),
    ("HTTP/1.1  200 x\r\n\r\n", "status_line_invalid", "two spaces"),
    ("HTTP/9.9 200 x\r\n\r\n", "version_unsupported", "F10: version"),
    ("HTTP/2.0 200 x\r\n\r\n", "version_unsupported", "F10: version"),
    ("http/1.1 200 x\r\n\r\n", "status_line_invalid", "case matters"),
    ("ICY 200 OK\r\n\r\n", "status_line_invalid", "another protocol"),
];

fn written_out(text: &str) -> Vec<u8> {
    text.replace("OK|", "HTTP/1.1 200 OK\r\n").into_bytes()
}

#[test]
fn every_broken_head_is_refused_with_its_word_however_it_arrives() {
    for (text, code, why) in REFUSED {
        let error = response_any_way(&written_out(text), Method::Get).expect_err(why);
        assert_eq!(error.code(), *code, "{why}: {text:?}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn sizes_are_limited_wherever_the_bytes_are() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let long = "x".repeat(8 * 1024);
    for (head, code, why) in [
        (head(&format!("X: {long}\r\n")), "head_too_large", "F7: a value"),
        (head(&format!("{long}: x\r\n")), "head_too_large", "F7: a name"),
        (format!("HTTP/1.1 200 {long}\r\n\r\n"), "head_too_large", "a phrase"),
        (head(&"X: y\r\n".repeat(33)), "too_many_fields", "F7: one field too many"),
    ] {
        let error = response_any_way(head.as_bytes(), Method::Get).expect_err(why);
        assert_eq!(error.code(), code, "{why}");
    }
    let most = head(&"X: y\r\n".repeat(32));
    assert!(response_any_way(most.as_bytes(), Method::Get).unwrap().is_some());
}

fn accepted(text: &str, method: Method) -> (ResponseHead, Vec<u8>) {
    let bytes = written_out(text);
    let (head, head_bytes) = response_any_way(&bytes, method).expect(text).expect(text);
    assert_eq!(head_bytes, bytes.len(), "{text}");
    (head, bytes)
}

#[test]
fn bodies_and_connections_are_decided_with_the_method_at_hand() {
    let cases = [
        ("OK|\r\n", Method::Get, BodyLength::UntilClose, false, "nothing says where it ends"),
        ("OK|Content-Length: 5\r\n\r\n", Method::Get, BodyLength::Length(5), true, "a length"),
        (
            "OK|Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
            Method::Get,
            BodyLength::Length(5),
            true,
            "the same twice",
        ),
        ("OK|Content-Length: 0\r\n\r\n", Method::Get, BodyLength::None, true, "0 is none"),
        ("OK|Transfer-Encoding: chunked\r\n\r\n", Method::Get, BodyLength::Chunked, true, "chunked"),
        ("OK|Content-Length: 5\r\n\r\n", Method::Head, BodyLength::None, true, "HEAD"),
        ("OK|Transfer-Encoding: chunked\r\n\r\n", Method::Head, BodyLength::None, true, "HEAD"),
        ("OK|\r\n", Method::Head, BodyLength::None, true, "HEAD"),
        ("HTTP/1.1 204 No Content\r\n\r\n", Method::Get, BodyLength::None, true, "204"),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            Method::Get,
            BodyLength::None,
            true,
            "204 says",
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            Method::Get,
            BodyLength::None,
            true,
            "304",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", Method::Post, BodyLength::None, true, "1xx"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Method::Get, BodyLength::None, true, "1xx"),
        (
            "OK|Content-Length: 5\r\nConnection: close\r\n\r\n",
            Method::Get,
            BodyLength::Length(5),
            false,
            "close",
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
            Method::Get,
            BodyLength::Length(5),
            false,
            "HTTP/1.0",
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
            Method::Get,
            BodyLength::Length(5),
            true,
            "told",
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
            Method::Get,
            BodyLength::UntilClose,
            false,
            "told, in vain",
        ),
    ];
    for (text, method, body, keep_alive, why) in cases {
        let (head, _) = accepted(text, method);
        assert_eq!((head.body, head.keep_alive), (body, keep_alive), "{why}");
    }
}

#[test]
fn status_lines_are_taken_apart() {
    for (text, version, status, reason) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Version::Http11, 200, "OK"),
        ("HTTP/1.0 404 Not Found\r\n\r\n", Version::Http10, 404, "Not Found"),
        ("HTTP/1.1 200 \r\n\r\n", Version::Http11, 200, ""),
        ("HTTP/1.1 200\r\n\r\n", Version::Http11, 200, ""),
        ("HTTP/1.1 999 \tB\u{e4}h\r\n\r\n", Version::Http11, 999, "\tB\u{e4}h"),
    ] {
        let (head, bytes) = accepted(text, Method::Get);
        assert_eq!((head.version, head.status), (version, status), "{text}");
        assert_eq!(head.reason.of(&bytes), reason.as_bytes(), "{text}");
    }
}

#[test]
fn a_parser_begins_anew_after_a_head_and_after_an_error() {
    let (mut parser, mut head) = (ResponseParser::default(), ResponseHead::default());
    for _ in 0..2 {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        let whole = Progress::Complete { head_bytes: chunked.len() };
        assert_eq!(parser.parse(chunked, &LIMITS, Method::Get, &mut head), Ok(whole));
        let simple = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        let whole = Progress::Complete { head_bytes: simple.len() };
        assert_eq!(parser.parse(simple, &LIMITS, Method::Get, &mut head), Ok(whole));
        assert_eq!((head.body, head.keep_alive), (BodyLength::Length(3), true));
        assert!(
            parser
                .parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nb\r\n", &LIMITS, Method::Get, &mut head)
                .is_err()
        );
    }
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "(X-[a-z]{1,12}|Server|Date|Set-Cookie|ETag): {0,2}[ -~]{0,40}",
        1 => "Content-Length: [0-9]{1,3}",
        1 => "Transfer-Encoding: (chunked|x)",
        1 => "[ -~\\t]{0,20}",
        1 => "[a-z]{1,5}:[\\x00-\\x7f]{0,6}",
    ];
    let status_line = prop_oneof![8 => "HTTP/1\\.[01] [1-9][0-9]{2} [ -~]{0,20}", 1 => "[ -~]{0,30}"];
    let ending = prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")];
    (status_line, prop::collection::vec((line, ending), 0..8)).prop_map(|(status_line, lines)| {
        let lines: String = lines.into_iter().map(|(line, ending)| line + ending).collect();
        format!("{status_line}\r\n{lines}\r\n").into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_accepted_httparse_accepts_with_equal_fields(bytes in pieces()) {
        if let Ok(Some((head, head_bytes))) = response(&bytes, Method::Get, &[bytes.len()]) {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut theirs = httparse::Response::new(&mut fields);
            prop_assert_eq!(theirs.parse(&bytes), Ok(httparse::Status::Complete(head_bytes)));
            prop_assert_eq!(theirs.code, Some(head.status));
            let ours: Vec<_> =
                head.fields.iter().map(|field| (field.name.of(&bytes), field.value.of(&bytes))).collect();
            let theirs: Vec<_> =
                theirs.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn the_answer_does_not_depend_on_how_the_bytes_arrive(
        bytes in pieces(), cuts in prop::collection::vec(any::<usize>(), 0..12)
    ) {
        let whole = response(&bytes, Method::Get, &[bytes.len()]);
        prop_assert_eq!(response(&bytes, Method::Get, &ends(bytes.len(), &cuts)), whole);
    }

    #[test]
    fn broken_heads_are_refused_in_any_pieces(
        case in 0..REFUSED.len(), cuts in prop::collection::vec(any::<usize>(), 0..12)
    ) {
        let (text, code, _) = REFUSED[case];
        let bytes = written_out(text);
        let error = response(&bytes, Method::Get, &ends(bytes.len(), &cuts)).expect_err(text);
        prop_assert_eq!(error.code(), code);
    }
}
