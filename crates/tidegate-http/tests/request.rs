//! Request heads as raw bytes: what is refused, with which word and status, and what accepted ones mean.

mod feed;

use feed::{LIMITS, ends, request, request_any_way};
use proptest::prelude::*;
use tidegate_http::request::{Method, RequestHead, RequestParser, TargetForm};
use tidegate_http::{BodyLength, Progress, Version};

/// What is refused: bytes, code, status, why. `GET` means a good request line and Host before the lines.
const REFUSED: &[(&str, &str, u16, &str)] = &[
    // Framing.
    (
        "GET|Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "content_length_and_transfer_encoding",
        400,
        "A1: both",
    ),
    (
        "GET|Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "content_length_and_transfer_encoding",
        400,
        "A1: either order",
    ),
    (
        "GET|Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        "content_length_and_transfer_encoding",
        400,
        "A1: even zero",
    ),
    ("GET|Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "content_length_repeated", 400, "A2: differing"),
    ("GET|Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "content_length_repeated", 400, "A2: identical"),
    ("GET|Content-Length: 5, 5\r\n\r\n", "content_length_invalid", 400, "A2: a list"),
    ("GET|Content-Length: 5,\r\n\r\n", "content_length_invalid", 400, "A2: a list"),
    ("GET|Content-Length: +5\r\n\r\n", "content_length_invalid", 400, "A3: sign"),
    ("GET|Content-Length: -1\r\n\r\n", "content_length_invalid", 400, "A3: sign"),
    ("GET|Content-Length: 0x5\r\n\r\n", "content_length_invalid", 400, "A3: hexadecimal"),
    ("GET|Content-Length: 1_0\r\n\r\n", "content_length_invalid", 400, "A3: underscore"),
    ("GET|Content-Length: 5 5\r\n\r\n", "content_length_invalid", 400, "A3: two numbers"),
    ("GET|Content-Length:\r\n\r\n", "content_length_invalid", 400, "A3: empty"),
    ("GET|Content-Length: 18446744073709551616\r\n\r\n", "content_length_invalid", 400, "A3: 2^64"),
    ("GET|Content-Length: \x0b5\r\n\r\n", "field_value_invalid", 400, "A3: vertical tab"),
    ("GET|Transfer-Encoding: xchunked\r\n\r\n", "transfer_encoding_invalid", 400, "A4: not chunked"),
    ("GET|Transfer-Encoding: chunked, gzip\r\n\r\n", "transfer_encoding_invalid", 400, "A4: not final"),
    ("GET|Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer_coding_unknown", 501, "A4: cannot be undone"),
    ("GET|Transfer-Encoding: identity\r\n\r\n", "transfer_encoding_invalid", 400, "A4: withdrawn"),
    ("GET|Transfer-Encoding: ,chunked\r\n\r\n", "transfer_encoding_invalid", 400, "A4: empty element"),
    ("GET|Transfer-Encoding: chunked,\r\n\r\n", "transfer_encoding_invalid", 400, "A4: empty element"),
    ("GET|Transfer-Encoding: chunked, chunked\r\n\r\n", "transfer_encoding_invalid", 400, "A4: twice"),
    ("GET|Transfer-Encoding:\r\n\r\n", "transfer_encoding_invalid", 400, "A4: empty"),
    ("GET|Transfer-Encoding: chunked;a=b\r\n\r\n", "transfer_encoding_invalid", 400, "A4: parameter"),
    ("GET|Transfer-Encoding: \"chunked\"\r\n\r\n", "transfer_encoding_invalid", 400, "A4: quotes"),
    ("GET|Transfer-Encoding: chunked\u{85}\r\n\r\n", "transfer_encoding_invalid", 400, "A4: odd white space"),
    ("GET|Transfer-Encoding: \x0bchunked\r\n\r\n", "field_value_invalid", 400, "A4: vertical tab"),
    ("GET|Transfer-Encoding: chunked\x0c\r\n\r\n", "field_value_invalid", 400, "A4: form feed"),
    ("GET|Transfer-Encoding: chunked\0\r\n\r\n", "field_value_invalid", 400, "A4: NUL"),
    (
        "GET|Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "transfer_encoding_repeated",
        400,
        "A4: two lines",
    ),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_on_http10", 400, "A5"),
    // Fields.
    ("GET|Content-Length : 5\r\n\r\n", "field_name_invalid", 400, "A10: space before the colon"),
    ("GET|Content-Length\t: 5\r\n\r\n", "field_name_invalid", 400, "A10: tab before the colon"),
    ("GET|a b: 5\r\n\r\n", "field_name_invalid", 400, "A10: space in a name"),
    ("GET|a\x01b: 5\r\n\r\n", "field_name_invalid", 400, "A10: control in a name"),
    ("GET|Content\rLength: 5\r\n\r\n", "field_name_invalid", 400, "A10: CR where a known name has a hyphen"),
    ("GET|a\u{e4}: 5\r\n\r\n", "field_name_invalid", 400, "A10: not ASCII"),
    ("GET|a(b): 5\r\n\r\n", "field_name_invalid", 400, "A10: a delimiter"),
    ("GET|: 5\r\n\r\n", "field_name_invalid", 400, "A10: empty name"),
    ("GET|no colon\r\n\r\n", "field_name_invalid", 400, "no colon"),
    ("GET|nocolon\r\n\r\n", "field_name_invalid", 400, "no colon"),
    ("GET|X: a\r\n b\r\n\r\n", "field_folded", 400, "A11"),
    (
        "GET|Transfer-Encoding:\r\n chunked\r\n\r\n",
        "transfer_encoding_invalid",
        400,
        "A11: refused before the fold is seen",
    ),
    ("GET|X: y\r\n\tchunked: a\r\n\r\n", "field_folded", 400, "A11: with a colon"),
    ("GET|X: a\rb\r\n\r\n", "line_end_invalid", 400, "A12: bare CR"),
    ("GET|X: a\nY: b\r\n\r\n", "line_end_invalid", 400, "A12: bare LF"),
    ("GET|X: a\r\n\n", "line_end_invalid", 400, "A12: bare LF as the empty line"),
    ("GET|X: a\r\n\r\r\n", "line_end_invalid", 400, "A12: CR CR LF"),
    ("GET|X: a\0b\r\n\r\n", "field_value_invalid", 400, "A12: NUL"),
    ("GET|X: a\x7fb\r\n\r\n", "field_value_invalid", 400, "A12: DEL"),
    ("GET / HTTP/1.1\nHost: a\r\n\r\n", "line_end_invalid", 400, "A12: bare LF behind the request line"),
    ("GET / HTTP/1.1\rHost: a\r\n\r\n", "line_end_invalid", 400, "A12: bare CR behind the request line"),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "line_end_invalid", 400, "A12: space behind the version"),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "field_folded", 400, "A13: white space before the first field"),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "method_invalid", 400, "A13: more than one empty line"),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "method_invalid", 400, "A13: bare LF"),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "method_invalid", 400, "A13: a space"),
    // Host.
    ("GET / HTTP/1.1\r\n\r\n", "host_missing", 400, "A14: none"),
    ("GET http://a/ HTTP/1.1\r\n\r\n", "host_missing", 400, "A14: none, though the target has one"),
    ("GET|Host: b\r\n\r\n", "host_repeated", 400, "A14: two"),
    ("GET|Host: a\r\n\r\n", "host_repeated", 400, "A14: two of the same"),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "host_invalid", 400, "A14: empty"),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "host_invalid", 400, "A14: user information"),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "host_invalid", 400, "A14: path"),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "host_invalid", 400, "A14: list"),
    ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "host_invalid", 400, "A14: port"),
    ("GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n", "host_invalid", 400, "A14: port"),
    ("GET / HTTP/1.1\r\nHost: .\r\n\r\n", "host_invalid", 400, "A14: no label"),
    ("GET http://../ HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A14: no label"),
    ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "host_invalid", 400, "A14: unclosed literal"),
    ("GET http://a/ HTTP/1.1\r\nHost: b/c\r\n\r\n", "host_invalid", 400, "A14: even if it does not count"),
    // The request line.
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: only OPTIONS asks for *"),
    ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16"),
    ("OPTIONS *?a HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16"),
    ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: authority-form"),
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: no slash"),
    ("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: no path"),
    ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: fragment"),
    ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: control"),
    ("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: tab"),
    ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: not ASCII"),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "version_invalid", 400, "A16: space"),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: two spaces"),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: another scheme"),
    ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: empty host"),
    ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: user information"),
    ("GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_invalid", 400, "A16: port"),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "connect_method_refused", 501, "A17"),
    ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "trace_refused", 405, "A17"),
    ("GET /\r\n", "version_invalid", 400, "A18: HTTP/0.9"),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version_unsupported", 505, "A18"),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version_unsupported", 505, "A18"),
    ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "version_unsupported", 505, "A18"),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", "version_invalid", 400, "A18: case matters"),
    ("GET / HTTP/11\r\nHost: a\r\n\r\n", "version_invalid", 400, "A18"),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "line_end_invalid", 400, "A18"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "target_invalid", 400, "A18: the HTTP/2 preface"),
    ("G\u{e4}T / HTTP/1.1\r\nHost: a\r\n\r\n", "method_invalid", 400, "not a token"),
    ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "method_invalid", 400, "a tab is no space"),
    ("GET/ HTTP/1.1\r\nHost: a\r\n\r\n", "method_invalid", 400, "no space"),
    ("\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03", "method_invalid", 400, "B3: a TLS ClientHello"),
    ("GET|Expect: 100-continue, x\r\n\r\n", "expectation_unknown", 417, "A22"),
    ("GET|Expect: x\r\n\r\n", "expectation_unknown", 417, "A22"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "content_length_and_transfer_encoding",
        400,
        "A22: with both lengths",
    ),
];

fn written_out(text: &str) -> Vec<u8> {
    text.replace("GET|", "GET / HTTP/1.1\r\nHost: a\r\n").into_bytes()
}

#[test]
fn every_hostile_head_is_refused_with_its_word_however_it_arrives() {
    for (text, code, status, why) in REFUSED {
        let error = request_any_way(&written_out(text)).expect_err(why);
        assert_eq!((error.code(), error.status()), (*code, *status), "{why}: {text:?}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_head_that_cannot_become_right_is_refused_before_its_end() {
    for text in
        ["\x16\x03", "PRI * ", "GET / HTTP/2.0", "GET / h", "\0", "GET / HTTP/1.1\r\n ", "GET /a#", "{"]
    {
        assert!(request_any_way(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn sizes_are_limited_wherever_the_bytes_are() {
    let head = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let long = "x".repeat(100 * 1024);
    let cases = [
        (head(&format!("/{long}"), ""), "target_too_long", 414, "B1: URL"),
        (head(&format!("/{}", &long[..1024]), ""), "target_too_long", 414, "one byte too long"),
        (head("/", &format!("X: {long}\r\n")), "head_too_large", 431, "B1: value"),
        (head("/", &format!("{long}: x\r\n")), "head_too_large", 431, "B1: name"),
        (head("/", &"X: y\r\n".repeat(32)), "too_many_fields", 431, "B1: one field too many, with Host"),
        (head("/", &"X: y\r\n".repeat(10_000)), "too_many_fields", 431, "B1: fields"),
        (format!("{long} / HTTP/1.1\r\nHost: a\r\n\r\n"), "method_too_long", 400, "B1: method"),
        (
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", &long[..33]),
            "method_too_long",
            400,
            "one byte too long",
        ),
    ];
    for (head, code, status, why) in cases {
        let error = request_any_way(&head.as_bytes()[..head.len().min(8192)]).expect_err(why);
        assert_eq!((error.code(), error.status()), (code, status), "{why}");
    }
    for (head, why) in [
        (head(&format!("/{}", &long[..1023]), ""), "the longest target"),
        (head("/", &"X: y\r\n".repeat(31)), "as many fields as may be"),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", &long[..32]), "the longest method"),
        (head("/", &format!("X: {}\r\n", &long[..4096 - 32])), "as many bytes as may be"),
    ] {
        let parsed = request_any_way(head.as_bytes()).expect(why);
        assert_eq!(parsed.expect(why).1, head.len(), "{why}");
    }
    let one_more = head("/", &format!("X: {}\r\n", &long[..4096 - 31]));
    assert_eq!(request_any_way(one_more.as_bytes()).expect_err("one byte more").code(), "head_too_large");
}

fn accepted(text: &str) -> (RequestHead, Vec<u8>) {
    let bytes = written_out(text);
    let (head, head_bytes) = request_any_way(&bytes).expect(text).expect(text);
    assert_eq!(head_bytes, bytes.len(), "{text}");
    (head, bytes)
}

#[test]
fn targets_are_taken_apart() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm::Origin, "/", "", "a", "a"),
        ("GET /a/b?c=d?e HTTP/1.1\r\nHost: a:80\r\n\r\n", TargetForm::Origin, "/a/b", "?c=d?e", "a:80", "a"),
        ("GET /? HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", TargetForm::Origin, "/", "?", "[::1]:8080", "[::1]"),
        ("GET //a HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm::Origin, "//a", "", "a", "a"),
        ("GET /<\"{|}^`\\> HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm::Origin, "/<\"{|}^`\\>", "", "a", "a"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm::Asterisk, "*", "", "a", "a"),
        // A15: the target's authority wins.
        ("GET http://b:1/c?d HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm::Absolute, "/c", "?d", "b:1", "b"),
        ("GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm::Absolute, "", "", "b", "b"),
        ("GET http://b?d/e HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm::Absolute, "", "?d/e", "b", "b"),
        ("GET http://[::1]/ HTTP/1.0\r\n\r\n", TargetForm::Absolute, "/", "", "[::1]", "[::1]"),
        ("GET / HTTP/1.0\r\n\r\n", TargetForm::Origin, "/", "", "", ""),
    ];
    for (text, form, path, query, authority, host) in cases {
        let (head, bytes) = accepted(text);
        let text_of = |span: tidegate_http::Span| String::from_utf8(span.of(&bytes).to_vec()).unwrap();
        assert_eq!(head.form, form, "{text}");
        let parts = [head.path, head.query, head.authority, head.host].map(text_of);
        assert_eq!(parts, [path, query, authority, host], "{text}");
    }
}

#[test]
fn bodies_connections_and_expectations_are_decided() {
    struct Case {
        text: &'static str,
        body: BodyLength,
        keep_alive: bool,
        expects_continue: bool,
        nominates: bool,
        upgrade: Option<&'static str>,
    }
    let case = |text, body, keep_alive| Case {
        text,
        body,
        keep_alive,
        expects_continue: false,
        nominates: false,
        upgrade: None,
    };
    let cases = [
        case("GET|\r\n", BodyLength::None, true),
        case("GET|Content-Length: 0\r\n\r\n", BodyLength::None, true),
        case("GET|Content-Length: 0012\r\n\r\n", BodyLength::Length(12), true),
        case("GET|transfer-encoding:  Chunked \t\r\n\r\n", BodyLength::Chunked, true),
        case("GET|Connection: close\r\n\r\n", BodyLength::None, false),
        case("GET|Connection: keep-alive, Close\r\n\r\n", BodyLength::None, false),
        case("GET|Connection: TE\r\nConnection: close\r\n\r\n", BodyLength::None, false),
        case("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", BodyLength::Length(5), false),
        case("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", BodyLength::None, true),
        case("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", BodyLength::None, false),
        Case { nominates: true, ..case("GET|Connection: x-a\r\n\r\n", BodyLength::None, true) },
        Case {
            expects_continue: true,
            ..case("GET|Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", BodyLength::Length(1), true)
        },
        case("GET|Expect: 100-continue\r\n\r\n", BodyLength::None, true),
        case(
            "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
            BodyLength::Length(1),
            false,
        ),
        Case {
            upgrade: Some("websocket"),
            ..case("GET|Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", BodyLength::None, true)
        },
        case("GET|Upgrade: websocket\r\n\r\n", BodyLength::None, true),
        case("GET|Connection: upgrade\r\n\r\n", BodyLength::None, true),
        Case {
            upgrade: Some("websocket"),
            ..case("GET|Connection: upgrade\r\nUpgrade: websocket, H2C\r\n\r\n", BodyLength::None, true)
        },
        case("GET|Connection: upgrade\r\nUpgrade: h2c-16, H2C\r\n\r\n", BodyLength::None, true),
        case("GET|Connection: upgrade\r\nUpgrade: a\r\nUpgrade: h2c\r\n\r\n", BodyLength::None, true),
        case(
            "GET|Connection: upgrade\r\nUpgrade: a\r\nContent-Length: 1\r\n\r\n",
            BodyLength::Length(1),
            true,
        ),
        case(
            "GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: a\r\n\r\n",
            BodyLength::None,
            true,
        ),
    ];
    for case in cases {
        let (head, bytes) = accepted(case.text);
        assert_eq!(head.body, case.body, "{}", case.text);
        assert_eq!(head.keep_alive, case.keep_alive, "{}", case.text);
        assert_eq!(head.expects_continue, case.expects_continue, "{}", case.text);
        assert_eq!(head.nominates, case.nominates, "{}", case.text);
        assert_eq!(
            head.upgrade.map(|span| span.of(&bytes)),
            case.upgrade.map(str::as_bytes),
            "{}",
            case.text
        );
    }
}

#[test]
fn one_empty_line_before_a_request_is_skipped_and_what_follows_it_is_left() {
    let bytes = b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n";
    let (head, head_bytes) = request_any_way(bytes).unwrap().unwrap();
    assert_eq!(&bytes[head_bytes..head_bytes + 3], b"abc");
    assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
    assert_eq!(head.method_text.of(bytes), b"POST");
}

#[test]
fn a_parser_begins_anew_after_a_head_and_after_an_error() {
    let (mut parser, mut head) = (RequestParser::default(), RequestHead::default());
    for _ in 0..2 {
        let chunked =
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let whole = Progress::Complete { head_bytes: chunked.len() };
        assert_eq!(parser.parse(chunked, &LIMITS, &mut head), Ok(whole));
        assert_eq!((head.body, head.keep_alive), (BodyLength::Chunked, false));
        let simple = b"GET / HTTP/1.1\r\nHost: b\r\n\r\n";
        assert_eq!(parser.parse(&simple[..20], &LIMITS, &mut head), Ok(Progress::NeedMore));
        let whole = Progress::Complete { head_bytes: simple.len() };
        assert_eq!(parser.parse(simple, &LIMITS, &mut head), Ok(whole));
        assert_eq!((head.body, head.keep_alive, head.fields.len()), (BodyLength::None, true, 1));
        assert!(parser.parse(b"GET / HTTP/1.1\r\nContent-Length: 5\r\nbad\r\n", &LIMITS, &mut head).is_err());
        assert_eq!(parser.parse(&simple[..20], &LIMITS, &mut head), Ok(Progress::NeedMore));
        parser.reset();
    }
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "(X-[a-z]{1,12}|Accept|User-Agent|Cookie|TE|Via|X_Real_Ip): {0,2}[ -~]{0,40}",
        1 => "Content-Length: [0-9]{1,3}",
        1 => "Transfer-Encoding: (chunked|gzip, chunked|x)",
        1 => "Connection: (close|keep-alive|upgrade|x-[a-z]{1,3})",
        1 => "[ -~\\t]{0,20}",
        1 => "[a-z]{1,5}:[\\x00-\\x7f]{0,6}",
    ];
    let request_line = prop_oneof![
        8 => "(GET|POST|DELETE|PURGE) /[!-~]{0,30} HTTP/1\\.[01]",
        1 => "[ -~]{0,30}",
    ];
    let ending = prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")];
    (request_line, prop::collection::vec((line, ending), 0..8)).prop_map(|(request_line, lines)| {
        let mut text = format!("{request_line}\r\nHost: a.example\r\n");
        for (line, ending) in lines {
            text.push_str(&line);
            text.push_str(ending);
        }
        text.push_str("\r\n");
        text.into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_accepted_httparse_accepts_with_equal_fields(bytes in pieces()) {
        if let Ok(Some((head, head_bytes))) = request(&bytes, &[bytes.len()]) {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut theirs = httparse::Request::new(&mut fields);
            prop_assert_eq!(theirs.parse(&bytes), Ok(httparse::Status::Complete(head_bytes)));
            prop_assert_eq!(theirs.method.map(str::as_bytes), Some(head.method_text.of(&bytes)));
            let target = [head.path.of(&bytes), head.query.of(&bytes)].concat();
            prop_assert_eq!(theirs.path.map(str::as_bytes), Some(&target[..]));
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
        prop_assert_eq!(request(&bytes, &ends(bytes.len(), &cuts)), request(&bytes, &[bytes.len()]));
    }

    #[test]
    fn hostile_heads_are_refused_in_any_pieces(
        case in 0..REFUSED.len(), cuts in prop::collection::vec(any::<usize>(), 0..12)
    ) {
        let (text, code, ..) = REFUSED[case];
        let bytes = written_out(text);
        let error = request(&bytes, &ends(bytes.len(), &cuts)).expect_err(text);
        prop_assert_eq!(error.code(), code);
    }

    #[test]
    fn random_bytes_are_never_a_request_and_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(!matches!(request(&bytes, &[bytes.len()]), Ok(Some(_))));
    }
}
