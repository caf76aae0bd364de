//! What HTTP/2 can say and HTTP/1.1 cannot: nothing of it reaches an endpoint as something else. One test for each row.

use std::time::Duration;

use tidegate_testkit::http2_raw::{self as raw, Fate, RawHttp2, code, flag, kind};
use tidegate_testkit::{Delivery, Script, Then, eventually};

use crate::door::Door;
use crate::whose_failure::is_held_against_the_endpoint;

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

fn connect(door: &Door) -> RawHttp2 {
    RawHttp2::connect(door.proxy.address())
}

/// The fields of a good request, and these.
fn with<'a>(more: &[(&'a str, &'a [u8])]) -> Fields<'a> {
    let mut fields = pseudo("GET", "http", "/", "test");
    fields.extend(more.iter().map(|(name, value)| (name.as_bytes(), *value)));
    fields
}

fn pseudo<'a>(method: &'a str, scheme: &'a str, path: &'a str, authority: &'a str) -> Fields<'a> {
    [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .to_vec()
}

/// Each head, on a connection of its own and however it is cut: the stream or the connection ends with a protocol error, or
/// the answer is 400, and nothing reaches the endpoint.
fn refuses(cases: &[(String, Fields<'_>)]) {
    let door = Door::open();
    let canary = door.canary();
    for (why, fields) in cases {
        for ends in [true, false] {
            for delivery in Delivery::all() {
                let block = raw::block(fields);
                let frames = if ends {
                    raw::request(1, &block)
                } else {
                    [raw::headers(1, &block), raw::last_data(1, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")]
                        .concat()
                };
                let mut client = connect(&door);
                client.deliver(&frames, delivery);
                let fate = client.fate(1);
                let what = format!("{why}, ends: {ends}, {delivery:?}");
                let fits =
                    matches!(fate, Fate::Reset(code::PROTOCOL_ERROR) | Fate::GoneAway(code::PROTOCOL_ERROR));
                assert!(fits || fate.status() == Some(400), "{what}: {fate:?}");
                assert_eq!(door.endpoint.request_count(), 0, "{what}: it reached the endpoint");
            }
        }
    }
    canary.watch(1);
    canary.survives();
    door.serves();
}

fn named(cases: Vec<Fields<'_>>) -> Vec<(String, Fields<'_>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = |fields: &Fields<'_>| {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={:?}", text(name), text(value))).collect();
        fields.join(" ")
    };
    cases.into_iter().map(|fields| (name(&fields), fields)).collect()
}

/// RFC 9113 §8.2.1, §10.3.
#[test]
fn names_and_values_that_http_1_would_read_otherwise_are_refused() {
    let values: [&[u8]; 12] = [
        b"a\r\nTransfer-Encoding: chunked",
        b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x",
        b"a\nb",
        b"a\rb",
        b"a\0b",
        b"\r",
        b"\n",
        b"\0",
        b" padded",
        b"padded ",
        b"\tpadded",
        b"padded\t",
    ];
    let names = [
        "Upper",
        "with space",
        "with:colon",
        "",
        "cr\r",
        "lf\n",
        "nul\0",
        "tab\t",
        "x\u{ff}",
        "x\u{7f}",
        "a(b)",
    ];
    let mut cases: Vec<Fields<'_>> = values.iter().map(|value| with(&[("x-value", value)])).collect();
    cases.extend(names.iter().map(|name| with(&[(name, b"value")])));
    cases.push(with(&[("x\r\ntransfer-encoding", b"chunked")]));
    cases.push(with(&[("transfer-encoding: chunked\r\nx", b"y")]));
    cases.push(with(&[("cookie", b"a=b\r\nX-Smuggled: 1")]));
    refuses(&named(cases));
}

/// RFC 9113 §8.3.1.
#[test]
fn targets_that_http_1_would_read_otherwise_are_refused() {
    let paths = [
        "/ HTTP/1.1",
        "/ HTTP/1.1\r\nX-Smuggled: 1",
        "/a b",
        "/a\tb",
        "/a\r\nb",
        "/a\nb",
        "/a\0b",
        "",
        "relative",
        "*",
        "http://other/",
        "/\u{e9}",
        "//../..",
        "/%2e%2e/%2f",
        "/a#fragment",
    ];
    refuses(&named(paths.iter().map(|path| pseudo("GET", "http", path, "test")).collect()));
}

/// RFC 9113 §8.3.1.
#[test]
fn methods_schemes_and_authorities_that_are_none_are_refused() {
    let methods =
        ["", "GE T", "GET ", " GET", "GET\r\nX: 1", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET", "G\0T", "GET:"];
    let authorities = [
        "user@test",
        "user:password@test",
        "te st",
        "test/path",
        "test\r\nX: 1",
        "te\0st",
        "test?x",
        "test:port",
        "a,b",
        "test#x",
    ];
    let mut cases: Vec<Fields<'_>> =
        methods.iter().map(|method| pseudo(method, "http", "/", "test")).collect();
    cases.extend(authorities.iter().map(|authority| pseudo("GET", "http", "/", authority)));
    cases.extend(
        ["", "ht tp", "http\r\nX: 1", "http://x"].iter().map(|scheme| pseudo("GET", scheme, "/", "test")),
    );
    refuses(&named(cases));
}

/// RFC 9113 §8.3.1: they have to say the same.
#[test]
fn an_authority_and_a_host_that_differ_are_refused() {
    let no_authority = || pseudo("GET", "http", "/", "test")[..3].to_vec();
    let mut cases = vec![
        with(&[("host", b"other")]),
        with(&[("host", b"test"), ("host", b"test")]),
        with(&[("host", b"")]),
        with(&[("host", b"test, other")]),
        with(&[("host", b"test:81")]),
        no_authority(),
    ];
    for hosts in [&["a", "b"][..], &["", ""], &["user@test"], &["a/b"]] {
        let mut fields = no_authority();
        fields.extend(hosts.iter().map(|host| (&b"host"[..], host.as_bytes())));
        cases.push(fields);
    }
    refuses(&named(cases));
}

#[test]
fn a_host_that_agrees_or_stands_alone_is_forwarded_once() {
    let door = Door::open();
    let mut alone = pseudo("GET", "http", "/", "test")[..3].to_vec();
    alone.push((b"host", b"test"));
    for fields in [with(&[]), with(&[("host", b"test")]), with(&[("host", b"TEST")]), alone] {
        let mut client = connect(&door);
        client.send(raw::request(1, &raw::block(&fields)));
        assert_eq!(client.fate(1).status(), Some(200));
        let request = door.endpoint.last_request();
        assert_eq!(request.fields.all("host").len(), 1);
        assert!(request.field("host").is_some_and(|host| host.eq_ignore_ascii_case("test")));
    }
    door.serves();
}

/// RFC 9113 §8.2.2.
#[test]
fn fields_about_one_connection_are_refused() {
    let fields: [(&str, &[u8]); 10] = [
        ("connection", b"close"),
        ("connection", b"x-forwarded-for"),
        ("keep-alive", b"timeout=5"),
        ("proxy-connection", b"keep-alive"),
        ("upgrade", b"h2c"),
        ("upgrade", b"websocket"),
        ("transfer-encoding", b"chunked"),
        ("transfer-encoding", b"identity"),
        ("te", b"chunked"),
        ("te", b"trailers, deflate"),
    ];
    refuses(&named(fields.iter().map(|field| with(&[*field])).collect()));
}

/// RFC 9113 §8.3: two, unknown ones, late ones, those of answers.
#[test]
fn pseudo_fields_where_or_as_they_must_not_be_are_refused() {
    let mut cases = Vec::new();
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test")] {
        let mut twice = with(&[]);
        twice.insert(1, (name.as_bytes(), value.as_bytes()));
        cases.push(twice);
        let late: Fields<'_> = with(&[("x-field", b"1")]);
        let mut late: Fields<'_> = late.into_iter().filter(|field| field.0 != name.as_bytes()).collect();
        late.push((name.as_bytes(), value.as_bytes()));
        cases.push(late);
    }
    for missing in [":method", ":scheme", ":path"] {
        cases.push(with(&[]).into_iter().filter(|field| field.0 != missing.as_bytes()).collect());
    }
    for name in [":status", ":unknown", ":", ":protocol", ":Method"] {
        let mut odd = with(&[]);
        odd.insert(4, (name.as_bytes(), b"200"));
        cases.push(odd);
    }
    refuses(&named(cases));
}

/// RFC 9113 §8.1.1: the lengths differ, so the request is malformed, and its endpoint must not take it for complete.
#[test]
fn a_body_that_is_not_as_long_as_it_said_never_completes_at_the_endpoint() {
    let door = Door::with(Script::echoes(), "[timeout]\nbody_idle = \"400ms\"\n");
    let canary = door.canary();
    let head = |length: &str| raw::post(1, "/", &[("content-length", length)]);
    let at_once = raw::request(1, &raw::block(&raw::fields("POST", "/", &[("content-length", "5")])));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [
        ("less", [head("10"), raw::last_data(1, "hello")].concat()),
        ("nothing", [head("10"), raw::last_data(1, "")].concat()),
        ("an end at once", at_once),
        ("more", [head("5"), raw::last_data(1, ["hello", smuggled].concat())].concat()),
        (
            "trailers too early",
            [head("10"), raw::data(1, "hello"), raw::request(1, &raw::block(&[("x", "y")]))].concat(),
        ),
    ];
    for (why, frames) in cases {
        for delivery in Delivery::all() {
            let mut client = connect(&door);
            client.deliver(&frames, delivery);
            let fate = client.fate(1);
            let what = format!("{why}, {delivery:?}: {fate:?}");
            assert_ne!(fate.status(), Some(200), "{what}");
            let requests = door.endpoint.requests();
            assert!(requests.iter().all(|request| request.target == "/"), "{what}");
            let whole =
                requests.iter().filter(|request| request.complete && request.method == "POST").count();
            assert_eq!(whole, 0, "{what}: taken for complete");
        }
    }
    canary.watch(1);
    canary.survives();
    door.serves();
}

/// What was announced has come, so it may be answered before it shows that there is more; of which nothing is passed on.
#[test]
fn bytes_behind_the_announced_length_are_never_another_request() {
    let door = Door::open();
    let more = raw::last_data(1, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    for body in ["hello", ""] {
        let length = body.len().to_string();
        for delivery in Delivery::all() {
            let mut client = connect(&door);
            let head = raw::post(1, "/", &[("content-length", &length)]);
            client.deliver(&[head, raw::data(1, body), more.clone()].concat(), delivery);
            client.fate(1);
            door.serves();
        }
    }
    for request in door.endpoint.requests() {
        let announced = request.fields.first("content-length").unwrap_or("0").parse::<usize>().unwrap();
        assert!(b"hello"[..announced].starts_with(&request.body) && request.target == "/", "{request:?}");
    }
}

#[test]
fn lengths_that_are_no_numbers_or_two_are_refused() {
    let lengths: [&[(&str, &[u8])]; 7] = [
        &[("content-length", b"+5")],
        &[("content-length", b"5, 5")],
        &[("content-length", b"0x5")],
        &[("content-length", b"")],
        &[("content-length", b"18446744073709551616")],
        &[("content-length", b"5"), ("content-length", b"6")],
        &[("content-length", b"35"), ("content-length", b"35")],
    ];
    refuses(&named(lengths.iter().map(|fields| with(fields)).collect()));
}

/// RFC 9113 §8.1, RFC 9110 §6.5.1.
#[test]
fn trailers_never_carry_pseudo_fields_framing_or_identity() {
    let door = Door::open();
    let good: &[(&str, &str)] =
        &[("x-sum", "7"), ("content-length", "3"), ("host", "evil"), ("x-forwarded-for", "6.6.6.6")];
    let trailers = |fields: &[(&str, &str)]| raw::request(1, &raw::block(fields));
    let begun = [raw::post(1, "/", &[]), raw::data(1, "hello")].concat();
    let mut client = connect(&door);
    client.send([begun.clone(), trailers(good)].concat());
    assert_eq!(client.fate(1).status(), Some(200));
    let request = door.endpoint.last_request();
    assert_eq!(request.trailers.first("x-sum"), Some("7"));
    for name in ["content-length", "host", "x-forwarded-for"] {
        assert!(!request.trailers.has(name), "{name}");
    }
    let before = door.endpoint.request_count();
    for bad in [("x\r\ny", "1"), ("x", "a\r\nb"), ("Upper", "1"), (":path", "/x"), (":status", "200")] {
        let mut client = connect(&door);
        client.send([begun.clone(), trailers(&[bad])].concat());
        let fate = client.fate(1);
        assert_ne!(fate.status(), Some(200), "{bad:?}");
    }
    let whole = door.endpoint.requests().into_iter().skip(before).filter(|request| request.complete).count();
    assert_eq!(whole, 0, "taken for complete");
    door.serves();
}

/// RFC 9113 §8.1: a second head that does not end the stream.
#[test]
fn trailers_that_do_not_end_are_refused() {
    let door = Door::with(Script::echoes(), "[timeout]\nbody_idle = \"400ms\"\n");
    let mut client = connect(&door);
    client.send([raw::post(1, "/", &[]), raw::headers(1, &raw::block(&[("x", "y")]))].concat());
    let fate = client.fate(1);
    assert_ne!(fate.status(), Some(200), "{fate:?}");
    assert!(door.endpoint.requests().iter().all(|request| !request.complete));
}

/// RFC 9110 §9.3.6: this is no forward proxy.
#[test]
fn connect_and_trace_reach_no_endpoint() {
    let door = Door::open();
    let connect_fields: Fields<'_> = vec![(b":method", b"CONNECT"), (b":authority", b"test:443")];
    let cases =
        [connect_fields, pseudo("TRACE", "http", "/", "test"), pseudo("CONNECT", "http", "/", "test")];
    for fields in cases {
        let mut client = connect(&door);
        client.send(raw::request(1, &raw::block(&fields)));
        let fate = client.fate(1);
        let refused = matches!(fate, Fate::Reset(_) | Fate::GoneAway(_));
        assert!(refused || matches!(fate.status(), Some(400 | 405 | 501)), "{fields:?}: {fate:?}");
    }
    assert_eq!(door.endpoint.request_count(), 0);
    door.serves();
}

/// RFC 8441 §4: a tunnel that is refused is an answer, and bytes sent early are not taken for another request.
#[test]
fn a_tunnel_that_is_not_granted_passes_nothing() {
    let door = Door::with(Script::echoes(), "[timeout]\nbody_idle = \"1s\"\n");
    let smuggled = raw::last_data(1, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    let fate = tunnel(&door, &smuggled);
    assert_eq!(fate.status(), Some(501), "any success would be a tunnel: {fate:?}");
    std::thread::sleep(Duration::from_millis(100));
    let targets: Vec<String> = door.endpoint.requests().into_iter().map(|request| request.target).collect();
    assert!(targets.iter().all(|target| target == "/chat"), "{targets:?}");
    door.serves();
}

/// RFC 9110 §7.8: a server may ignore what it is offered. Its answer is as good as any.
#[test]
fn an_endpoint_that_ignores_a_tunnel_has_answered() {
    let breaker = "retry = \"off\"\nlog.access = \"stdout\"\n\
                   breaker = { failures = 2, margin_percent = \"off\", ejected_percent = 100 }\n";
    let door = Door::with(Script::echoes(), breaker);
    for _ in 0..4 {
        assert_eq!(tunnel(&door, b"").status(), Some(501));
    }
    let of_the_client = ["\"ended_by\":\"downstream\"", "\"cause\":\"upgrade_ignored\""];
    door.proxy.output().wait_for_stdout(&of_the_client);
    assert!(!is_held_against_the_endpoint(&door.proxy));
    door.serves();

    let failing = Script::writes("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Then::KeepAlive);
    let door = Door::with(failing, breaker);
    for _ in 0..2 {
        assert_eq!(tunnel(&door, b"").status(), Some(503));
    }
    eventually("its answer counts", || is_held_against_the_endpoint(&door.proxy));
}

/// What becomes of the first tunnel of a connection, with this behind its head.
fn tunnel(door: &Door, behind: &[u8]) -> Fate {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "test"),
        ("sec-websocket-version", "13"),
    ];
    let mut client = connect(door);
    client.wait_for_settings();
    client.send([&raw::headers(1, &raw::block(&fields)), behind].concat());
    client.fate(1)
}

/// A request in priority frames' clothing: the old flag and its five bytes are read and mean nothing (RFC 9113 §5.3.2).
#[test]
fn padding_and_priority_are_not_forwarded() {
    let door = Door::open();
    let block = raw::block(&with(&[]));
    let payload = [&[3, 0, 0, 0, 0, 16][..], &block, &[0; 3]].concat();
    let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS;
    let data = raw::frame(kind::DATA, flag::PADDED | flag::END_STREAM, 1, b"\x04hello\0\0\0\0");
    for delivery in Delivery::all() {
        let mut client = connect(&door);
        client.deliver(&[raw::frame(kind::HEADERS, flags, 1, &payload), data.clone()].concat(), delivery);
        assert_eq!(client.fate(1), Fate::Answer { status: 200, body: b"hello".to_vec() }, "{delivery:?}");
    }
    door.serves();
}
