//! Endpoints that are spoken HTTP/2 with: few connections for many requests, trailers, and second attempts for what was
//! given back unread.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use tidegate_testkit::http2::{Http2Client, Http2Endpoint, Open, exchange};
use tidegate_testkit::http2_raw as raw;
use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Client, Endpoint, Gate, Gone, Load, Proxy, Script, Then, Tidegate, Wire, eventually};

use crate::favourite;
use crate::whose_failure::is_held_against_the_endpoint;

fn before(endpoint: &Http2Endpoint, more: &str) -> Proxy {
    let to = endpoint.address();
    Tidegate::with(format!("to = \"{to}\"\nendpoint_http2 = true\nworkers = 1\n{more}")).start()
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|byte| (byte % 251) as u8).collect()
}

#[test]
fn bodies_of_every_size_pass_from_clients_of_both_versions_over_one_connection() {
    let endpoint = Http2Endpoint::start(100);
    let proxy = before(&endpoint, "");
    let client = Http2Client::clear(proxy.address());
    for size in [0, 1, 5000, 70_000, 3_000_000] {
        let body = bytes(size);
        let reply =
            client.exchange(Http2Client::request("POST", "app.test", "/"), Some(&body), None).unwrap();
        assert_eq!((reply.status(), reply.body.len()), (200, size));
        assert!(reply.body == body, "{size} bytes came back changed");

        let mut old = proxy.client(); // an answer that overtakes its request ends the connection
        let head = format!("POST /a?b=c HTTP/1.1\r\nHost: app.test\r\nContent-Length: {size}\r\n\r\n");
        let sending = old.send_aside([head.as_bytes(), &body].concat());
        let reply = old.reply();
        assert!(sending.join().unwrap());
        assert!(reply.body == body, "{size} bytes came back changed");
    }
    assert_eq!(proxy.get("/plain").fields.first("x-endpoint"), Some("h2"));
    assert_eq!(endpoint.connections(), 1);
    let last = endpoint.requests().pop().unwrap();
    assert_eq!((last.method().as_str(), last.uri().path()), ("GET", "/plain"));
    assert_eq!(last.headers().get("connection"), None);
    assert_eq!(last.headers().get("x-forwarded-for").unwrap(), "127.0.0.1");
}

#[test]
fn trailers_pass_both_ways() {
    let endpoint = Http2Endpoint::start(100);
    let proxy = before(&endpoint, "");
    let client = Http2Client::clear(proxy.address());
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("9"));
    for (length, body) in [(None, "body"), (Some("4"), "body"), (Some("0"), "")] {
        let mut request = Http2Client::request("POST", "app.test", "/trailers");
        request.headers_mut().extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from_static(length))));
        let body = Some(body.as_bytes()).filter(|body| !body.is_empty());
        let reply = client.exchange(request, body, Some(trailers.clone())).unwrap();
        assert_eq!((&reply.body[..], reply.field("content-length")), (body.unwrap_or_default(), length));
        assert_eq!(
            (reply.trailers.get("x-check").unwrap(), reply.trailers.get("x-end").unwrap()),
            (&HeaderValue::from_static("9"), &HeaderValue::from_static("1"))
        );
    }
    let reply = proxy.client().get("/trailers");
    assert_eq!((reply.reason.as_str(), reply.trailers.first("x-end")), ("OK", Some("1")));
}

#[test]
fn those_that_are_taken_back_while_they_wait_reach_no_endpoint() {
    let endpoint = Http2Endpoint::start(100);
    endpoint.fall_silent();
    let proxy = before(&endpoint, "limit.endpoint_requests = 8\n");
    let mut client = raw::RawHttp2::connect(proxy.address());
    let streams: Vec<u32> = (0..100).map(|number| 2 * number + 1).collect();
    client.send(streams.iter().flat_map(|stream| raw::get(*stream, "/")).collect::<Vec<u8>>());
    let count = |name| proxy.metrics().sum(name, &[]) as usize;
    eventually("all but eight wait", || count("tidegate_cluster_queued_requests") == 92);
    // Those that have a place first.
    client
        .send(streams.iter().flat_map(|stream| raw::reset(*stream, raw::code::CANCEL)).collect::<Vec<u8>>());
    eventually("all have left", || {
        let is_over = count("tidegate_cluster_queued_requests") + count("tidegate_endpoint_in_flight") == 0;
        is_over && endpoint.taken_back() > 0
    });
    assert_eq!(count("tidegate_endpoint_attempts_total"), 8);
}

#[test]
fn many_requests_share_a_connection_and_more_than_fit_get_another() {
    let endpoint = Http2Endpoint::start(20);
    let proxy = before(&endpoint, "");
    let client = Http2Client::clear(proxy.address());
    client.get("app.test", "/settled").unwrap();
    client.run(async {
        let all: Vec<_> = (0..80)
            .map(|_| {
                tokio::spawn(exchange(
                    client.sender(),
                    Http2Client::request("GET", "app.test", "/slow"),
                    None,
                    None,
                ))
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap().status(), 200);
        }
    });
    assert!(endpoint.most_at_once() > 40, "{}", endpoint.most_at_once());
    assert!((2..=6).contains(&endpoint.connections()), "{}", endpoint.connections());
}

#[test]
fn what_is_given_back_unread_is_tried_again_and_a_goodbye_loses_nothing() {
    let endpoint = Http2Endpoint::start(100);
    let proxy = before(&endpoint, "retry.budget = \"off\"\n");
    let client = Http2Client::clear(proxy.address());
    for _ in 0..5 {
        let reply =
            client.exchange(Http2Client::request("POST", "app.test", "/refuse"), Some(b"x"), None).unwrap();
        assert_eq!(reply.body, b"x", "a POST that nobody has seen may be sent again");
    }
    for _ in 0..20 {
        assert_eq!(client.get("app.test", "/goodbye").unwrap().status(), 200);
        assert_eq!(client.get("app.test", "/next").unwrap().status(), 200);
    }
    assert!(endpoint.connections() >= 10);
}

#[test]
fn an_endpoint_that_speaks_something_else_is_a_bad_gateway() {
    let endpoint = Endpoint::answering("HTTP/1.1 only");
    let proxy =
        Tidegate::with(format!("to = \"{}\"\nendpoint_http2 = true\nretry = \"off\"\n", endpoint.address()))
            .start();
    let reply = proxy.get("/");
    assert!([502, 503].contains(&reply.status), "{reply:?}");
}

const UPGRADE: &str = "GET /chat?a=b HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn upgraded(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(UPGRADE);
    let reply = client.reply();
    assert_eq!(reply.status, 101);
    assert_eq!(reply.fields.first("upgrade"), Some("websocket"));
    assert_eq!(reply.fields.first("connection"), Some("upgrade"));
    assert_eq!(reply.fields.first("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

fn echoes(client: &mut Client, words: &str) {
    client.send(words);
    assert_eq!(client.wire().exactly(words.len()).unwrap(), words.as_bytes());
}

fn tunnel(client: &Http2Client, protocol: &'static str) -> Result<Open, h2::Error> {
    let mut request = Http2Client::request("CONNECT", "app.test", "/chat");
    request.extensions_mut().insert(h2::ext::Protocol::from_static(protocol));
    client.open(request)
}

/// RFC 8441.
#[test]
fn an_upgrade_becomes_a_tunnel_beside_requests_on_one_connection() {
    let endpoint = Http2Endpoint::start(100);
    let proxy = before(&endpoint, "");
    let mut tunnels: Vec<_> = (0..5).map(|_| upgraded(&proxy)).collect();
    assert_eq!(proxy.get("/plain").status, 200);
    let client = Http2Client::clear(proxy.address());
    client.get("app.test", "/settled").unwrap();
    let mut open = tunnel(&client, "other-words").unwrap();
    assert_eq!(open.head.status(), 200);
    open.send.send_data("hello".into(), true).unwrap();
    assert_eq!(client.run(open.receive.data()).unwrap().unwrap(), "hello");
    assert!(client.run(open.receive.data()).is_none_or(|last| last.unwrap().is_empty()));
    for (number, client) in tunnels.iter_mut().enumerate() {
        echoes(client, &format!("the words of {number}"));
    }
    // An end passes through; so does one that is no end, and neither of them touches anybody else.
    let mut last = tunnels.pop().unwrap();
    last.finish();
    last.expect_finished();
    tunnels.pop().unwrap().reset();
    eventually("its stream is taken back", || endpoint.taken_back() == 1);
    for client in &mut tunnels {
        echoes(client, "and now");
    }
    assert_eq!((endpoint.connections(), proxy.get("/plain").status), (1, 200));

    let requests = endpoint.requests();
    let asked = requests.iter().find(|request| request.uri().path() == "/chat").unwrap();
    assert_eq!((asked.method().as_str(), asked.uri().query()), ("CONNECT", Some("a=b")));
    assert_eq!(asked.extensions().get::<h2::ext::Protocol>().unwrap().as_str(), "websocket");
    assert_eq!(asked.headers().get("sec-websocket-version").unwrap(), "13");
    for gone in ["sec-websocket-key", "upgrade", "connection"] {
        assert_eq!(asked.headers().get(gone), None, "{gone}");
    }
}

#[test]
fn a_goodbye_keeps_tunnels_and_a_connection_that_breaks_breaks_them() {
    let endpoint = Http2Endpoint::start(100);
    let proxy = before(&endpoint, "");
    let mut client = upgraded(&proxy);
    assert_eq!(proxy.get("/goodbye").status, 200);
    assert_eq!(proxy.get("/next").status, 200);
    assert_eq!(endpoint.connections(), 2, "the next request has another connection");
    echoes(&mut client, "still here");
    drop(endpoint);
    assert_eq!(client.rest(), (Vec::new(), Gone::Reset));
}

#[test]
fn an_endpoint_without_tunnels_is_passed_over_for_one_that_takes_them() {
    let (without, with) = (Http2Endpoint::without_tunnels(), Http2Endpoint::start(100));
    let proxy = before(&without, "[log]\naccess = \"stdout\"\n");
    let mut client = proxy.client();
    client.send(UPGRADE);
    let reply = client.reply();
    assert_eq!((reply.status, reply.cause()), (502, Some("upgrade_unsupported")));
    assert_eq!(reply.error(), Some("http_upgrade_failed"));
    assert_eq!((client.get("/plain").status, without.connections()), (200, 1));
    // What is only offered may be declined.
    client.send("GET /offer HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other-words\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    let client = Http2Client::clear(proxy.address());
    client.get("app.test", "/settled").unwrap();
    assert_eq!(tunnel(&client, "other-words").unwrap().head.status(), 502);
    proxy.output().wait_for_stdout(&["\"cause\":\"upgrade_unsupported\"", "\"stage\":\"connect\""]);

    let both = [without.address(), with.address()].map(|address| address.to_string());
    let first = "balance = { algorithm = \"first\", in_flight_max = 9 }\nendpoint_http2 = true\n";
    let proxy = Tidegate::with(format!("to = {both:?}\n{first}")).start();
    echoes(&mut upgraded(&proxy), "by the second one");
}

#[test]
fn an_endpoint_without_tunnels_that_can_be_asked_is_spoken_http_1_1_with() {
    let (authority, plain) = (Authority::new(), Endpoint::start(Script::echoes_in_a_tunnel()));
    let issued = authority.issue("localhost", &["localhost"]);
    let endpoint = Http2Endpoint::of_both_versions(&issued, plain.socket_address());
    let proxy = Tidegate::with(format!(
        "to = \"https://localhost:{}\"\nendpoint_http2 = true\nworkers = 1\n",
        endpoint.address().port()
    ))
    .trusting(&authority.cert())
    .start();
    assert_eq!(proxy.get("/plain").fields.first("x-endpoint"), Some("h2"));
    for round in 1..=3 {
        let mut client = proxy.client();
        client.send(UPGRADE);
        assert_eq!(client.reply().status, 101);
        echoes(&mut client, "over HTTP/1.1");
        assert_eq!(endpoint.connections(), 1 + round, "each a connection of its own");
    }
    assert_eq!(plain.last_request().field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(proxy.get("/plain").fields.first("x-endpoint"), Some("h2"));
}

/// As some do that say nothing of it (RFC 7301 is as old as HTTP/2).
#[test]
fn an_endpoint_that_agrees_on_nothing_may_speak_http_1_1_all_the_same() {
    let (authority, plain) = (Authority::new(), Endpoint::start(Script::echoes_in_a_tunnel()));
    let issued = authority.issue("localhost", &["localhost"]);
    let endpoint = Http2Endpoint::that_agrees_on_nothing_else(&issued, plain.socket_address());
    let proxy = before_all(std::slice::from_ref(&endpoint), &authority, "");
    let mut client = upgrading(&proxy);
    assert_eq!(client.reply().status, 101);
    echoes(&mut client, "over HTTP/1.1");
}

/// It may say so by an alert, or agree on nothing and then end the connection, or say something else.
#[test]
fn endpoints_that_speak_http_2_alone_are_not_to_blame_for_clients_that_want_tunnels() {
    let authority = Authority::new();
    let issued = authority.issue("localhost", &["localhost"]);
    let says = |said: Vec<u8>| {
        Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
            let _ = wire.fill();
            let _ = wire.write(&said);
            Then::Close
        }))
    };
    let (closes, goes_on) = (says(Vec::new()), says(raw::settings(&[])));
    let unagreed =
        |other: &Endpoint| Http2Endpoint::that_agrees_on_nothing_else(&issued, other.socket_address());
    for (stage, endpoints) in [
        ("connect", [(); 3].map(|()| Http2Endpoint::that_speaks_nothing_else(&issued))),
        ("await", [(); 3].map(|()| unagreed(&closes))),
        ("await", [(); 3].map(|()| unagreed(&goes_on))),
    ] {
        let more = "workers = 1\nlog.access = \"stdout\"\npassive.connect_failures = 1\n\
                    breaker = { failures = 1, margin_percent = \"off\", ejected_percent = 100 }\n";
        let proxy = before_all(&endpoints, &authority, more);
        for _ in 0..6 {
            let reply = upgrading(&proxy).reply();
            assert_eq!((reply.status, reply.cause()), (502, Some("upgrade_unsupported")));
        }
        let stage = format!("\"stage\":\"{stage}\"");
        proxy.output().wait_for_stdout(&["\"cause\":\"upgrade_unsupported\"", &stage, "\"attempts\":2"]);
        assert!(!is_held_against_the_endpoint(&proxy));
        assert!(proxy.metrics().sum("tidegate_endpoint_up", &[]) > 2.5);
        assert_eq!(proxy.get("/plain").status, 200);
    }
}

/// Spoken TLS with by the name of this machine.
fn before_all(endpoints: &[Http2Endpoint], authority: &Authority, more: &str) -> Proxy {
    let to: Vec<_> =
        endpoints.iter().map(|endpoint| format!("https://localhost:{}", endpoint.address().port())).collect();
    let config = format!("to = {to:?}\nendpoint_http2 = true\n{more}");
    let proxy = Tidegate::with(config).trusting(&authority.cert()).start();
    proxy.wait_for_metric("tidegate_endpoint_up", &[], endpoints.len() as f64);
    proxy
}

fn upgrading(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(UPGRADE);
    client
}

#[test]
fn a_request_on_an_endpoint_that_went_silent_is_answered_by_another_and_its_stream_taken_back() {
    let mut endpoints: Vec<_> = (0..3).map(|_| Http2Endpoint::start(100)).collect();
    let to: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address().to_string()).collect();
    let more = format!("endpoint_http2 = true\nworkers = 1\n{}", favourite::HEDGES);
    let proxy = Tidegate::with(format!("to = {to:?}\n{more}")).start();
    let (silent, answered) = favourite::falls_silent(&proxy, &mut endpoints);
    let silent = &endpoints[silent];
    eventually("its streams are taken back", || silent.taken_back() == silent.requests().len() - answered);
    let connections = endpoints.iter().map(Http2Endpoint::connections).sum::<usize>();
    assert!(connections <= 3, "{connections}: what one request gives up, the others keep");
    eventually("nothing is left in flight", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}

/// Waits for a request, as far as it can, then says this.
fn says(first: Vec<u8>, answer: Vec<u8>) -> Endpoint {
    Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        let _ = wire.exactly(raw::PREFACE.len());
        let _ = wire.write(&first);
        while let (false, Ok(head)) = (first.is_empty(), wire.exactly(9)) {
            let _ = wire.exactly(usize::from(u16::from_be_bytes([head[1], head[2]])));
            if head[3] == raw::kind::HEADERS {
                break;
            }
        }
        let _ = wire.write(&answer);
        wire.finish();
        Then::Hang
    }))
}

/// The word for what became of a request to there.
fn cause(to: &str, more: &str) -> String {
    cause_of("", to, more)
}

fn cause_of(fields: &str, to: &str, more: &str) -> String {
    let proxy = Tidegate::with(format!("[[route]]\nto = \"{to}\"\nendpoint_http2 = true\n{more}")).start();
    let mut client = proxy.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n"));
    let reply = client.reply();
    assert_eq!(reply.status, 502);
    let status = reply.fields.first("proxy-status").unwrap();
    status.split("details=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn what_an_endpoint_does_wrong_has_a_word() {
    let settings = raw::settings(&[]);
    let old = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    let answer = |fields: &[(&str, &str)]| raw::headers(1, &raw::block(fields));
    for (first, said, expected) in [
        (Vec::new(), old, "http2_not_spoken"),
        (settings.clone(), answer(&[("x", "y")]), "http2_answer_malformed"),
        (settings.clone(), answer(&[(":status", "200"), ("connection", "close")]), "http2_answer_malformed"),
        (settings.clone(), raw::data(0, "x"), "http2_connection_malformed"),
        (settings.clone(), answer(&[(":status", "200"), ("Upper", "case")]), "http2_answer_malformed"),
        (settings, Vec::new(), "endpoint_closed"),
    ] {
        let endpoint = says(first, said.clone());
        assert_eq!(cause(&endpoint.address(), ""), expected, "{said:?}");
    }
}

#[test]
fn an_endpoint_that_agrees_on_no_http_2_does_not_speak_it() {
    let authority = Authority::new();
    let keys = authority.issue("app", &["127.0.0.1"]).keys();
    let ca = format!("tls = {{ ca = '{}' }}", authority.cert().display());
    let old = Endpoint::answering("hello");
    let front = |more: &str| {
        let listener = format!("[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {keys} }}\n{more}");
        Tidegate::with(format!("to = \"{}\"\n{listener}", old.address())).start()
    };
    let refuses = front("http2 = false\n");
    assert_eq!(cause(&format!("https://{}", refuses.address()), &ca), "http2_not_spoken", "by an alert");
    let silent = Endpoint::start(Script::on_accept(|_| Then::Hang));
    let agrees_on_nothing = Tidegate::with(format!(
        "[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {keys} }}\ntcp = 'silent'\n[cluster.silent]\nendpoints = ['{}']\n",
        silent.address()
    ))
    .start();
    // Nobody waits for what it would say: that takes as long as it likes.
    let ca = format!("timeout = {{ first_byte = '1h', connect = '1h' }}\n{ca}");
    assert_eq!(cause(&format!("https://{}", agrees_on_nothing.address()), &ca), "http2_not_spoken");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let to = format!("https://{}", agrees_on_nothing.address());
    assert_eq!(cause_of(upgrade, &to, &ca), "http2_not_spoken", "before it could say that it takes tunnels");
}

/// A proxy before an endpoint whose handshake ends when the gate is opened; requests wait for one connection until then.
fn gated() -> (Proxy, Http2Endpoint, Gate) {
    let (authority, gate) = (Authority::new(), Gate::default());
    let endpoint = Http2Endpoint::behind(&gate, &authority.issue("app", &["127.0.0.1"]));
    let config = format!(
        "workers = 1\n[[route]]\nto = \"https://{}\"\nendpoint_http2 = true\ntimeout.connect = '1m'\ntls = {{ ca = '{}' }}\n",
        endpoint.address(),
        authority.cert().display()
    );
    (Tidegate::with(config).start(), endpoint, gate)
}

fn wait_for_in_flight(proxy: &Proxy, count: usize) {
    let in_flight = || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]);
    eventually("so many requests are in flight", || in_flight().round() as usize == count);
}

/// Those who wait for the connection would have to make another one, with what is left of their time.
#[test]
fn a_connection_that_others_wait_for_is_theirs_though_the_client_has_left_that_it_was_made_for() {
    let (proxy, endpoint, gate) = gated();
    let [mut leaves, mut stays] = [proxy.client(), proxy.client()];
    for (client, count) in [(&mut leaves, 1), (&mut stays, 2)] {
        client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
        wait_for_in_flight(&proxy, count);
    }
    leaves.reset();
    gate.open();
    assert_eq!(stays.reply().status, 200);
    proxy.wait_for_metric("tidegate_failures_total", &[("cause", "client_gone"), ("stage", "connect")], 1.0);
    assert_eq!((endpoint.connections(), endpoint.requests().len()), (1, 1));
}

#[test]
fn the_endpoint_of_a_call_that_has_waited_for_its_connection_hears_how_much_time_is_left() {
    let (proxy, endpoint, gate) = gated();
    let client = Http2Client::clear(proxy.address());
    client.run(async {
        let calls = [(); 2].map(|()| {
            let mut request = Http2Client::request("GET", "app.test", "/");
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("60000000u"));
            tokio::spawn(exchange(client.sender(), request, None, None))
        });
        wait_for_in_flight(&proxy, 2);
        gate.open();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().status(), 200);
        }
    });
    let left = endpoint.requests().into_iter().map(|request| {
        let text = request.headers()["grpc-timeout"].to_str().unwrap().to_owned();
        text.strip_suffix('u').expect("in microseconds").parse::<u64>().expect("a number")
    });
    let left: Vec<_> = left.collect();
    assert!(left.len() == 2 && left.iter().all(|left| (1..60_000_000).contains(left)), "{left:?}");
}

/// What closes behind an answer has given it, and what closes amid one has not.
#[test]
fn an_answer_is_whole_though_its_endpoint_says_goodbye_and_closes_behind_it() {
    for more in [&[][..], &[("content-length", "5")]] {
        let head = raw::headers(1, &raw::block(&[&[(":status", "200")], more].concat()));
        let goodbye = raw::go_away(1, raw::code::NO_ERROR);
        for (body, is_whole) in [(raw::last_data(1, "hello"), true), (raw::data(1, "hell"), false)] {
            let endpoint = says(raw::settings(&[]), [&head[..], &body, &goodbye].concat());
            let to = endpoint.address();
            let proxy = Tidegate::with(format!("to = \"{to}\"\nendpoint_http2 = true\n")).start();
            let reply = Http2Client::clear(proxy.address()).get("app.test", "/");
            let body = reply.ok().map(|reply| reply.body);
            assert_eq!(body, is_whole.then(|| b"hello".to_vec()), "{more:?}");
        }
    }
}

/// Does this with each request: its stream, and which one of its connection it is, from 1; until `false`, which breaks the connection.
fn on_requests(act: impl Fn(&mut Wire, u32, u32) -> bool + Send + Sync + 'static) -> Endpoint {
    Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        let _ = wire.exactly(raw::PREFACE.len());
        let _ = wire.write(&raw::settings(&[]));
        let mut number = 0;
        while let Ok(head) = wire.exactly(9) {
            let _ = wire.exactly(usize::from(u16::from_be_bytes([head[1], head[2]])));
            if head[3] == raw::kind::HEADERS {
                number += 1;
                if !act(wire, u32::from_be_bytes([head[5], head[6], head[7], head[8]]), number) {
                    return Then::Reset;
                }
            }
        }
        Then::Close
    }))
}

/// Resets the stream of every request, with this code.
fn resets_all(code: u32) -> Endpoint {
    on_requests(move |wire, stream, _| wire.write(&raw::reset(stream, code)).is_ok())
}

/// One that declines what it said it would take is not asked first for long, and the other one is asked instead.
#[test]
fn what_is_declined_is_asked_elsewhere() {
    let (well, declines) = (Http2Endpoint::start(100), resets_all(raw::code::REFUSED_STREAM));
    let to = [well.address().to_string(), declines.address()];
    let proxy = Tidegate::with(format!("to = {to:?}\nendpoint_http2 = true\nworkers = 1\n")).start();
    for _ in 0..200 {
        assert_eq!(proxy.get("/").status, 200);
    }
}

/// Whatever brings the request there first, and though the connection that it was reset on stands.
#[test]
fn what_is_reset_is_asked_elsewhere() {
    let (well, resets) = (Http2Endpoint::start(100), resets_all(raw::code::INTERNAL_ERROR));
    let to = [well.address().to_string(), resets.address()];
    let by_key = "balance = { algorithm = 'hash', key = { header = 'X-User' } }\nretry = { budget = 'off' }";
    let proxy =
        Tidegate::with(format!("to = {to:?}\nendpoint_http2 = true\nworkers = 1\n{by_key}\n")).start();
    let mut client = proxy.client();
    for user in 0..100 {
        client.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\nX-User: {user}\r\n\r\n"));
        assert_eq!(client.reply().status, 200, "of user {user}");
    }
}

/// As one behind something that forgets connections on which nothing has moved for long: they stand here, and are dead.
#[test]
fn connections_that_have_died_while_they_were_kept_cost_no_request() {
    let dies = || {
        on_requests(|wire, stream, number| {
            let head = raw::headers(stream, &raw::block(&[(":status", "200")]));
            number == 1 && wire.write(&[head, raw::last_data(stream, "well")].concat()).is_ok()
        })
    };
    let (one, other) = (dies(), dies());
    for to in [vec![one.address()], vec![one.address(), other.address()]] {
        let config = format!("to = {to:?}\nendpoint_http2 = true\nworkers = 1\nlog.access = 'stdout'\n");
        let proxy = Tidegate::with(config).start();
        let mut client = proxy.client();
        for request in 0..20 {
            let reply = client.get("/");
            assert_eq!(reply.status, 200, "request {request} of {} endpoints: {reply:?}", to.len());
        }
    }
}

#[test]
fn an_endpoint_may_reset_what_is_still_being_said() {
    let settings = raw::settings(&[(raw::setting::ENABLE_CONNECT_PROTOCOL, 1)]);
    let head = raw::headers(1, &raw::block(&[(":status", "200")]));
    let opens_and_resets = [head.clone(), raw::reset(1, raw::code::CANCEL)].concat();
    let tunnel = says(settings, opens_and_resets);
    let answers_and_resets = [head, raw::last_data(1, "early"), raw::reset(1, raw::code::NO_ERROR)].concat();
    let early = says(raw::settings(&[]), answers_and_resets);
    let proxy = Tidegate::with(format!(
        "[[route]]\npath = '/chat'\nto = '{}'\nendpoint_http2 = true\n[[route]]\nto = '{}'\nendpoint_http2 = true\n",
        tunnel.address(),
        early.address()
    ))
    .start();
    let mut client = proxy.client();
    client.send(UPGRADE);
    assert_eq!(client.reply().status, 101);
    client.finish();
    client.expect_closed();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    std::thread::sleep(Duration::from_millis(200));
    client.send("0\r\n\r\n");
    assert_eq!(&*client.reply().text(), "early");
    assert!(proxy.metrics().sum("tidegate_request_panics_total", &[]) < 0.5);
}

/// However many requests they carry; and who finds no room waits for some.
#[test]
fn connections_in_use_are_counted_and_not_their_requests() {
    let endpoint = Http2Endpoint::start(5);
    let proxy = before(&endpoint, "limit.upstream_connections = 1\nlog.access = \"stdout\"\n");
    let client = Http2Client::clear(proxy.address());
    client.get("app.test", "/settled").unwrap();
    client.run(async {
        let all: Vec<_> = (0..50)
            .map(|_| {
                let request = Http2Client::request("GET", "app.test", "/slow");
                tokio::spawn(exchange(client.sender(), request, None, None))
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap().status(), 200);
        }
    });
    assert_eq!(endpoint.connections(), 1);
    assert!(endpoint.most_at_once() > 1, "{}", endpoint.most_at_once());
}

/// Workers share the connections that an endpoint may have, though requests overlap all the time and none ever comes to rest by itself.
#[test]
fn no_worker_keeps_a_connection_from_the_others() {
    let endpoint = Http2Endpoint::start(100);
    let more = "retry = \"off\"\nlimit.upstream_connections = 1\ntimeout.connect = \"2s\"\n";
    let config = format!("to = \"{}\"\nendpoint_http2 = true\nworkers = 3\n{more}", endpoint.address());
    let proxy = Tidegate::with(config).start();
    let loads: Vec<_> = (0..16)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(7));
            Load::start(proxy.address(), 1, "/slow") // takes 100 ms
        })
        .collect();
    for load in &loads {
        eventually("everybody has been served again and again", || load.finished() >= 8);
    }
    for load in loads {
        load.stop().expect_no_failures();
    }
    eventually("none is in flight", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}
