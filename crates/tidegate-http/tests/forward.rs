//! What leaves the proxy, byte by byte, and that it reads as what came in.

mod feed;

use feed::{LIMITS, request, response};
use proptest::prelude::*;
use std::net::IpAddr;
use tidegate_http::client::told;
use tidegate_http::forward::{RequestEdits, ResponseEdits, write_request, write_response};
use tidegate_http::path::canonical;
use tidegate_http::request::{Method, RequestHead};
use tidegate_http::{BodyLength, FieldKind, FieldSet, field};

fn edits<'a>(head: &RequestHead, buffer: &'a [u8]) -> RequestEdits<'a> {
    RequestEdits {
        path: head.path.of(buffer),
        query: head.query.of(buffer),
        authority: head.authority.of(buffer),
        client: b"192.0.2.1",
        client_node: b"192.0.2.1",
        scheme: b"http",
        told: None,
        client_cert: b"",
        request_id: b"",
        hidden_cookie: b"",
        upgrade: false,
    }
}

fn forwarded(received: &str, change: impl Fn(&mut RequestEdits<'_>)) -> String {
    sent(received, None, change)
}

/// As [`forwarded`], from a trusted proxy that trusts 10.0.0.0/8 in turn.
fn forwarded_for_a_proxy(received: &str, change: impl Fn(&mut RequestEdits<'_>)) -> String {
    sent(
        received,
        Some(|address| matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)),
        change,
    )
}

fn sent(
    received: &str,
    trusts: Option<fn(IpAddr) -> bool>,
    change: impl Fn(&mut RequestEdits<'_>),
) -> String {
    let buffer = received.as_bytes();
    let (head, _) = request(buffer, &[buffer.len()]).expect(received).expect(received);
    let mut edits = edits(&head, buffer);
    edits.told = trusts.map(|trusts| told(&head.fields, buffer, trusts));
    change(&mut edits);
    let mut out = Vec::new();
    write_request(&head, buffer, &edits, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The lines that every request gets when nothing was received and nobody is trusted.
const SEEN_HERE: &str = "Via: 1.1 tidegate\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
    X-Forwarded-Host: a\r\nForwarded: for=192.0.2.1;host=a;proto=http\r\n\r\n";

#[test]
fn requests_lose_what_concerns_one_connection() {
    let cases = [
        ("", "", "nothing received"),
        ("Accept: */*\r\nX-A:  b \r\n", "Accept: */*\r\nX-A:  b \r\n", "lines are kept as they are"),
        ("X-A: 1\r\nConnection: close\r\nX-B: 2\r\n", "X-A: 1\r\nX-B: 2\r\n", "Connection"),
        ("Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nX-A: 1\r\n", "X-A: 1\r\n", "its relatives"),
        ("Connection: x-a, X-B\r\nx-A: 1\r\nX-b: 2\r\nX-C: 3\r\n", "X-C: 3\r\n", "what Connection names"),
        ("X-A: 1\r\nConnection: close\r\nConnection: x-a\r\n", "", "in any Connection line"),
        (
            "Connection: cookie, authorization, host, via, content-type, cache-control\r\nCookie: a=b\r\n\
            Authorization: c\r\nContent-Type: d\r\nCache-Control: e\r\n",
            "Cookie: a=b\r\nAuthorization: c\r\nContent-Type: d\r\nCache-Control: e\r\n",
            "A20: but not what protects the endpoint",
        ),
        ("Connection: content-length\r\nContent-Length: 5\r\n", "Content-Length: 5\r\n", "A20: nor framing"),
        ("Content-Length: 005\r\nX-A: 1\r\n", "X-A: 1\r\nContent-Length: 5\r\n", "canonical length"),
        ("Content-Length: 0\r\n", "Content-Length: 0\r\n", "an empty body is said"),
        ("transfer-encoding:  Chunked\r\n", "Transfer-Encoding: chunked\r\n", "canonical coding"),
        ("TE: trailers, deflate\r\n", "Connection: te\r\nTE: trailers\r\n", "trailers are welcome"),
        ("TE: gzip\r\n", "", "nothing else is"),
        ("Trailer: X-Sum\r\n", "Trailer: X-Sum\r\n", "what the trailers will be is kept"),
        ("Upgrade: websocket\r\nConnection: upgrade\r\n", "", "no upgrade unless it is wanted"),
        (
            "Upgrade: h2c\r\nHTTP2-Settings: AAA\r\nConnection: Upgrade, HTTP2-Settings\r\n",
            "",
            "D10: never h2c",
        ),
        ("Expect: 100-continue\r\n", "", "no body, nothing to expect"),
        (
            "Expect: 100-continue\r\nContent-Length: 1\r\n",
            "Expect: 100-continue\r\nContent-Length: 1\r\n",
            "the endpoint decides",
        ),
        ("X-Request-Id: 7\r\n", "X-Request-Id: 7\r\n", "kept unless replaced"),
        (
            "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-Port: 1\r\n\
            Forwarded: for=c\r\nX-Real-IP: 10.0.0.2\r\nX-Forwarded-For: 10.0.0.3\r\n",
            "",
            "G3: claims of a stranger",
        ),
        (
            "X_Forwarded_For: 10.0.0.1\r\nX-Forwarded_Proto: https\r\nX_Real_IP: 1\r\nx_custom: kept\r\n",
            "x_custom: kept\r\n",
            "G3: and their aliases",
        ),
        ("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n", "", "aliases of framing"),
    ];
    for (fields, kept, why) in cases {
        let sent = forwarded(&format!("POST /p?q HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), |_| {});
        assert_eq!(sent, format!("POST /p?q HTTP/1.1\r\nHost: a\r\n{kept}{SEEN_HERE}"), "{why}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_its_lists_are_extended() {
    let received = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 6\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\nForwarded: for=10.0.0.1\r\nVia: 1.0 b\r\n\
        X-Forwarded-For: 10.0.0.2\r\nX-Real-IP: 10.0.0.1\r\n\r\n";
    let sent = forwarded_for_a_proxy(received, |edits| {
        (edits.client, edits.client_node) = (b"2001:db8::1", b"\"[2001:db8::1]\"");
    });
    let expected = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n\
        X-Real-IP: 10.0.0.1\r\nVia: 1.0 b, 1.1 tidegate\r\n\
        X-Forwarded-For: 10.0.0.1, 10.0.0.2, 2001:db8::1\r\nX-Forwarded-Host: a\r\n\
        Forwarded: for=10.0.0.1;proto=https, for=10.0.0.2, for=\"[2001:db8::1]\";host=a;proto=http\r\n\r\n";
    assert_eq!(sent, expected);
}

/// The first field is what came; the others what is sent: X-Forwarded-For, -Proto, -Host, Forwarded.
#[test]
fn both_families_of_fields_tell_the_endpoint_the_same_story() {
    let cases = [
        (
            "Forwarded: for=192.0.2.7;proto=https;host=shop.example\r\n",
            ["192.0.2.7, 10.0.0.9", "https", "shop.example"],
            "for=192.0.2.7;proto=https;host=shop.example, for=10.0.0.9;host=a;proto=http",
            "Forwarded alone",
        ),
        (
            "Forwarded: for=_x;proto=ftp\r\nForwarded: for=\"[2001:db8::7]:80\";proto=https, for=10.0.0.1;host=b\r\n",
            ["unknown, 2001:db8::7, 10.0.0.1, 10.0.0.9", "https", "b"],
            "for=_x;proto=ftp, for=\"[2001:db8::7]:80\";proto=https, for=10.0.0.1;host=b, for=10.0.0.9;host=a;proto=http",
            "the element of the client, and what the next one adds to it",
        ),
        (
            "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: c\r\nForwarded: for=192.0.2.7;proto=https\r\n",
            ["192.0.2.7, 10.0.0.9", "https", "c"],
            "for=192.0.2.7;proto=https, for=10.0.0.9;host=a;proto=http",
            "Forwarded overrules the others where it says something and X-Forwarded-For does not",
        ),
        (
            "X-Forwarded-For: 192.0.2.8, 2001:db8::7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b:8443\r\n",
            ["192.0.2.8, 2001:db8::7, 10.0.0.9", "https", "b:8443"],
            "for=192.0.2.8, for=\"[2001:db8::7]\";host=\"b:8443\";proto=https, for=10.0.0.9;host=a;proto=http",
            "X-Forwarded-* alone",
        ),
        (
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6;proto=ftp;host=evil\r\n",
            ["192.0.2.7, 10.0.0.9", "https", "a"],
            "for=192.0.2.7;proto=https, for=10.0.0.9;host=a;proto=http",
            "where both came, X-Forwarded-For counts and Forwarded is written anew",
        ),
        (
            "X-Forwarded-Proto: https\r\n",
            ["10.0.0.9", "https", "a"],
            "for=10.0.0.9;host=a;proto=https",
            "a scheme alone is that of the peer's client",
        ),
        (
            "X-Forwarded-For: \"\r\n",
            ["\", 10.0.0.9", "http", "a"],
            "for=unknown, for=10.0.0.9;host=a;proto=http",
            "what is no address is not copied between the two",
        ),
        (
            "Forwarded: for=\"192.0.2.7;proto=https\r\n",
            ["10.0.0.9", "http", "a"],
            "for=10.0.0.9;host=a;proto=http",
            "quotes without an end say nothing, and swallow nothing",
        ),
    ];
    for (fields, [chain, proto, host], forwarded, why) in cases {
        let received = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let sent = forwarded_for_a_proxy(&received, |edits| {
            (edits.client, edits.client_node) = (b"10.0.0.9", b"10.0.0.9");
        });
        let lines = |name: &str| -> Vec<_> {
            sent.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
        };
        assert_eq!(lines("X-Forwarded-For"), [chain], "{why}");
        assert_eq!(lines("X-Forwarded-Proto"), [proto], "{why}");
        assert_eq!(lines("X-Forwarded-Host"), [host], "{why}");
        assert_eq!(lines("Forwarded"), [forwarded], "{why}");
    }
}

#[test]
fn one_host_line_is_sent_and_the_asked_for_host_is_told() {
    let sent = forwarded("GET http://b:8080/x HTTP/1.1\r\nHost: evil\r\nX-A: 1\r\n\r\n", |edits| {
        edits.authority = b"endpoint:9000";
    });
    assert!(sent.starts_with("GET /x HTTP/1.1\r\nHost: endpoint:9000\r\nX-A: 1\r\nVia:"), "{sent}");
    assert!(sent.contains("\r\nX-Forwarded-Host: b:8080\r\n"), "A15: {sent}");
    assert!(sent.contains(";host=\"b:8080\";"), "RFC 7239 §4: {sent}");
    assert!(!sent.contains("evil"), "{sent}");
}

#[test]
fn http10_requests_go_out_as_http11_with_their_version_in_via() {
    let sent = forwarded("GET / HTTP/1.0\r\nVia: 1.0 b\r\n\r\n", |edits| edits.authority = b"endpoint");
    let expected = "GET / HTTP/1.1\r\nHost: endpoint\r\nVia: 1.0 b, 1.0 tidegate\r\nX-Forwarded-For: 192.0.2.1\r\n\
        X-Forwarded-Proto: http\r\nForwarded: for=192.0.2.1;proto=http\r\n\r\n";
    assert_eq!(sent, expected);
}

#[test]
fn a_wanted_upgrade_and_a_new_request_id_are_sent() {
    let received = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nX-Request-Id: forged\r\nTE: trailers\r\n\
        Connection: Upgrade\r\n\r\n";
    let sent = forwarded(received, |edits| (edits.upgrade, edits.request_id) = (true, b"new"));
    assert!(sent.contains("\r\nConnection: upgrade, te\r\nUpgrade: websocket\r\nTE: trailers\r\n"), "{sent}");
    assert!(sent.ends_with("\r\nX-Request-Id: new\r\n\r\n") && !sent.contains("forged"), "{sent}");
}

fn answered(received: &str, method: Method, change: impl Fn(&mut ResponseEdits<'_>)) -> String {
    let buffer = received.as_bytes();
    let (head, _) = response(buffer, method, &[buffer.len()]).expect(received).expect(received);
    let mut edits = ResponseEdits {
        body: head.body,
        keep_alive: true,
        client_is_http10: false,
        upgrade: false,
        extra: b"",
        hidden: FieldSet::default(),
    };
    change(&mut edits);
    let mut out = Vec::new();
    write_response(&head, buffer, &edits, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn what_is_hidden_from_the_client_is_left_out_wherever_it_stands() {
    let received = "HTTP/1.1 200 OK\r\nEndpoint-Load-Metrics: TEXT eps=1\r\nA: 1\r\nendpoint-load-metrics: TEXT eps=2\r\n\
        Content-Length: 0\r\nB: 2\r\n\r\n";
    let shown = answered(received, Method::Get, |_| {});
    assert_eq!(shown.to_lowercase().matches("endpoint-load-metrics").count(), 2, "{shown}");
    let hidden = FieldSet::of(&[FieldKind::EndpointLoadMetrics]);
    let sent = answered(received, Method::Get, |edits| edits.hidden = hidden);
    assert!(
        !sent.to_lowercase().contains("load") && sent.contains("A: 1\r\n") && sent.contains("B: 2\r\n"),
        "{sent}"
    );
}

#[test]
fn responses_lose_what_concerns_one_connection() {
    let cases = [
        (Method::Get, "200 OK\r\nContent-Length: 5\r\n", "200 OK\r\nContent-Length: 5\r\n", "the usual"),
        (
            Method::Get,
            "200 OK\r\nServer: s\r\nDate: d\r\nContent-Length: 5\r\nX: y\r\n",
            "200 OK\r\nServer: s\r\nDate: d\r\nContent-Length: 5\r\nX: y\r\n",
            "the origin's Server and Date pass, and a canonical length",
        ),
        (
            Method::Get,
            "200 OK\r\nContent-Length: 05\r\nX: y\r\n",
            "200 OK\r\nX: y\r\nContent-Length: 5\r\n",
            "another length is written anew",
        ),
        (
            Method::Get,
            "200 OK\r\nContent-Length:  5 \r\nX: y\r\n",
            "200 OK\r\nX: y\r\nContent-Length: 5\r\n",
            "white space makes it another",
        ),
        (
            Method::Get,
            "200 OK\r\nContent-Length: 5\r\nX: y\r\nContent-Length: 5\r\n",
            "200 OK\r\nX: y\r\nContent-Length: 5\r\n",
            "and so does saying it twice",
        ),
        (
            Method::Get,
            "200 OK\r\nContent-Length: 05\r\nX: y\r\nContent-Length: 5\r\n",
            "200 OK\r\nX: y\r\nContent-Length: 5\r\n",
            "one canonical length",
        ),
        (
            Method::Get,
            "200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n",
            "200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n",
            "one canonical coding",
        ),
        (
            Method::Get,
            "200 OK\r\nConnection: close, x-a\r\nX-A: 1\r\nKeep-Alive: 5\r\nX-B: 2\r\nContent-Length: 0\r\n",
            "200 OK\r\nX-B: 2\r\nContent-Length: 0\r\n",
            "Connection, what it names, and its relatives",
        ),
        (
            Method::Get,
            "200 OK\r\nConnection: set-cookie\r\nSet-Cookie: a\r\nContent-Length: 0\r\n",
            "200 OK\r\nSet-Cookie: a\r\nContent-Length: 0\r\n",
            "A20: not what others rely on",
        ),
        (Method::Head, "200 OK\r\nContent-Length: 5\r\n", "200 OK\r\nContent-Length: 5\r\n", "HEAD keeps it"),
        (Method::Head, "200 OK\r\nTransfer-Encoding: chunked\r\n", "200 OK\r\n", "HEAD needs no coding"),
        (
            Method::Get,
            "304 Not Modified\r\nContent-Length: 5\r\n",
            "304 Not Modified\r\nContent-Length: 5\r\n",
            "304",
        ),
        (Method::Get, "204 No Content\r\nContent-Length: 0\r\n", "204 No Content\r\n", "RFC 9110 §8.6"),
        (Method::Get, "103 Early Hints\r\nLink: </a>\r\n", "103 Early Hints\r\nLink: </a>\r\n", "1xx"),
        (Method::Get, "204\r\nX: y\r\n", "204 \r\nX: y\r\n", "a space before no phrase"),
        (
            Method::Get,
            "426 Upgrade Required\r\nUpgrade: b\r\nConnection: upgrade\r\nContent-Length: 0\r\n",
            "426 Upgrade Required\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: b\r\n",
            "RFC 9110 §15.5.22",
        ),
    ];
    for (method, received, sent, why) in cases {
        let sent = format!("HTTP/1.1 {sent}Via: 1.1 tidegate\r\n\r\n");
        assert_eq!(answered(&format!("HTTP/1.1 {received}\r\n"), method, |_| {}), sent, "{why}");
    }
}

#[test]
fn responses_are_framed_and_persist_as_the_client_can_take_it() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let sent = answered(chunked, Method::Get, |edits| edits.body = BodyLength::UntilClose);
    assert_eq!(sent, "HTTP/1.1 200 OK\r\nConnection: close\r\nVia: 1.1 tidegate\r\n\r\n", "to HTTP/1.0");

    let until_close = "HTTP/1.0 200 OK\r\nVia: 1.1 c\r\n\r\n";
    let sent = answered(until_close, Method::Get, |edits| edits.body = BodyLength::Chunked);
    let expected = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: 1.1 c, 1.0 tidegate\r\n\r\n";
    assert_eq!(sent, expected, "from HTTP/1.0");

    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let sent = answered(length, Method::Get, |edits| edits.client_is_http10 = true);
    assert!(sent.contains("\r\nConnection: keep-alive\r\n"), "HTTP/1.0 must be told: {sent}");
    let sent = answered(length, Method::Get, |edits| edits.keep_alive = false);
    assert!(sent.contains("\r\nConnection: close\r\n"), "{sent}");
    let sent = answered(length, Method::Get, |edits| edits.extra = b"X-Served-By: a\r\n");
    assert!(sent.ends_with("\r\nX-Served-By: a\r\n\r\n"), "{sent}");

    let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let sent = answered(switching, Method::Get, |edits| edits.upgrade = true);
    assert!(sent.contains("\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"), "{sent}");
}

#[test]
fn writing_again_and_again_allocates_nothing() {
    let buffer = b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n";
    let (head, _) = request(buffer, &[buffer.len()]).unwrap().unwrap();
    let mut out = Vec::new();
    write_request(&head, buffer, &edits(&head, buffer), &mut out);
    let (address, capacity) = (out.as_ptr(), out.capacity());
    for _ in 0..10 {
        out.clear();
        write_request(&head, buffer, &edits(&head, buffer), &mut out);
    }
    assert_eq!((out.as_ptr(), out.capacity()), (address, capacity));
}

/// The fields that must arrive as they were sent: none of the proxy's business.
fn foreign(fields: &[tidegate_http::Field], buffer: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let own = |kind| !matches!(kind, FieldKind::Other | FieldKind::Cookie | FieldKind::Authorization);
    fields
        .iter()
        .filter(|field| !own(field.kind))
        .map(|field| (field.name.of(buffer).to_vec(), field.value.of(buffer).to_vec()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_forwarded_reads_as_the_same_message(
        method in "(GET|POST|PURGE)",
        path in "(/[a-zA-Z0-9._~%{}|/;-]{0,20}){1,3}",
        query in "(\\?[!$-~]{0,20})?",
        authority in "[a-z]{1,10}(:[0-9]{1,4})?",
        lines in prop::collection::vec(
            "(X-[a-z]{1,8}|Cookie|Authorization|Via|X-Forwarded-For|X_Forwarded_For|TE|Forwarded): ?[!-+--~]{0,20}",
            0..8
        ),
        framing in "(Content-Length: [0-9]{1,4}\r\n|Transfer-Encoding: chunked\r\n)?",
        trusted in any::<bool>(),
    ) {
        let lines: String = lines.into_iter().map(|line| line + "\r\n").collect();
        let received =
            format!("{method} {path}{query} HTTP/1.1\r\n{framing}Host: {authority}\r\n{lines}\r\n").into_bytes();
        let Ok(Some((head, _))) = request(&received, &[received.len()]) else {
            return Err(TestCaseError::fail("a good request is refused"));
        };
        let mut path = Vec::new();
        let Ok(rewritten) = canonical(head.path.of(&received), &mut path) else { return Ok(()) };
        let path = if rewritten { &path[..] } else { head.path.of(&received) };
        let mut out = Vec::new();
        let told = || trusted.then(|| told(&head.fields, &received, |_| true));
        let edits = edits(&head, &received);
        write_request(&head, &received, &RequestEdits { path, told: told(), ..edits }, &mut out);

        // The same from other memory: what is copied in one run is what would have been written.
        let mut written = Vec::new();
        let (path_copy, query_copy) = (path.to_vec(), head.query.of(&received).to_vec());
        let others = RequestEdits { path: &path_copy, query: &query_copy, told: told(), ..edits };
        write_request(&head, &received, &others, &mut written);
        prop_assert_eq!(&written, &out);

        let (sent, head_bytes) = request(&out, &[out.len()]).unwrap().unwrap();
        prop_assert_eq!(head_bytes, out.len());
        prop_assert_eq!((sent.method, sent.body), (head.method, head.body));
        prop_assert_eq!(sent.method_text.of(&out), head.method_text.of(&received));
        prop_assert_eq!(sent.path.of(&out), path);
        prop_assert_eq!(sent.query.of(&out), head.query.of(&received));
        prop_assert_eq!(sent.authority.of(&out), head.authority.of(&received));
        prop_assert_eq!(foreign(&sent.fields, &out), foreign(&head.fields, &received));
        let told = field::find(&sent.fields, &out, b"x-forwarded-for").unwrap();
        prop_assert!(told.ends_with(b"192.0.2.1") && (trusted || told.len() == 9));
        prop_assert!(out.len() <= LIMITS.head_bytes_max);
    }

    #[test]
    fn a_canonical_path_is_its_own_canonical_form(raw in "(/[a-z.;%2eEfF57c{}\\\\]{0,6}){1,6}/?") {
        let mut once = Vec::new();
        if let Ok(rewritten) = canonical(raw.as_bytes(), &mut once) {
            let first = if rewritten { once } else { raw.into_bytes() };
            let mut again = Vec::new();
            let rewritten = canonical(&first, &mut again).expect("it was accepted before");
            prop_assert_eq!(if rewritten { &again } else { &first }, &first);
            prop_assert!(!first.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b".."));
        }
    }
}

#[test]
fn a_cookie_that_is_the_proxys_own_stays_here_and_the_others_pass() {
    let cases = [
        ("Cookie: own=1\r\n", "", "alone"),
        ("Cookie: a=1; own=2; b=3\r\n", "Cookie: a=1; b=3\r\n", "between others"),
        (
            "Cookie: own=1;a=2 ;; own=3\r\nX: y\r\ncookie: own=4; c=own=5\r\n",
            "X: y\r\nCookie: a=2\r\nCookie: c=own=5\r\n",
            "in every field",
        ),
        ("Cookie: OWN=1; xown=2; own\r\n", "Cookie: OWN=1; xown=2; own\r\n", "not others that look like it"),
        ("Cookie:  a=1;b=2\r\n", "Cookie:  a=1;b=2\r\n", "not there: as received"),
    ];
    for (received, expected, why) in cases {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{received}\r\n");
        let sent = forwarded(&request, |edits| edits.hidden_cookie = b"own");
        assert_eq!(sent, format!("GET / HTTP/1.1\r\nHost: a\r\n{expected}{SEEN_HERE}"), "{why}");
        let all = forwarded(&request, |_| {});
        assert_eq!(
            all,
            format!("GET / HTTP/1.1\r\nHost: a\r\n{received}{SEEN_HERE}"),
            "{why}, nothing hidden"
        );
    }
}
