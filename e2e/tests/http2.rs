//! HTTP/2 with clients: the same answers as with HTTP/1.1, many at once, and an end that loses none.

use http::{HeaderMap, HeaderName, HeaderValue};
use rustix::process::Signal;
use tidegate_testkit::http2::{Http2Client, exchange};
use tidegate_testkit::http2_raw as raw;
use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Endpoint, Proxy, Script, Then, Tidegate};

fn before(script: Script) -> (Endpoint, Proxy) {
    let endpoint = Endpoint::start(script);
    let proxy = Tidegate::to(&[&endpoint], "[log]\naccess = \"stdout\"\n").start();
    (endpoint, proxy)
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|byte| (byte % 251) as u8).collect()
}

#[test]
fn requests_and_bodies_of_every_size_pass_in_the_clear_and_over_tls() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(Script::echoes()));
    let issued = authority.issue("app", &["app.test"]);
    let to = endpoint.address();
    for encrypted in [false, true] {
        let tls = if encrypted { format!("tls = {{ {} }}", issued.keys()) } else { String::new() };
        let proxy =
            Tidegate::with(format!("to = \"{to}\"\n[[listener]]\nbind = \"{{listen}}\"\n{tls}\n")).start();
        let client = if encrypted {
            Http2Client::tls(proxy.address(), &authority.client(), "app.test")
        } else {
            Http2Client::clear(proxy.address())
        };
        for size in [0, 1, 100, 16 * 1024, 70_000, 3_000_000] {
            let body = bytes(size);
            for measured in [false, true] {
                let mut request = Http2Client::request("POST", "app.test", &format!("/{size}?q"));
                if measured {
                    request.headers_mut().insert("content-length", HeaderValue::from(size));
                }
                let reply = client.exchange(request, Some(&body), None).unwrap();
                assert_eq!((reply.status(), reply.body.len()), (200, size));
                assert!(reply.body == body, "{size} bytes came back changed");
                let received = endpoint.last_request();
                assert_eq!(received.field("via"), Some("2.0 tidegate"));
                assert_eq!(received.field("host"), Some("app.test"));
                let proto = if encrypted { "https" } else { "http" };
                assert_eq!(received.field("x-forwarded-proto"), Some(proto));
            }
        }
        let reply = client.exchange(Http2Client::request("HEAD", "app.test", "/"), None, None).unwrap();
        assert_eq!((reply.status(), reply.body.len()), (200, 0));
    }
    assert_eq!(endpoint.malformed(), Vec::<String>::new());
}

#[test]
fn many_streams_of_one_connection_are_served_at_once_and_logged() {
    let delay = std::time::Duration::from_millis(100);
    let (_endpoint, proxy) = before(Script::answers_after(delay, "slow"));
    let client = Http2Client::clear(proxy.address());
    client.get("app.test", "/settled").unwrap(); // and it has heard how many streams it may have
    let started = std::time::Instant::now();
    client.run(async {
        let all: Vec<_> = (0..200)
            .map(|number| {
                let request = Http2Client::request("GET", "app.test", &format!("/{number}"));
                tokio::spawn(exchange(client.sender(), request, None, None))
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap().body, b"slow");
        }
    });
    assert!(started.elapsed() < delay * 100, "one after the other");
    proxy.output().wait_for_stdout(&["\"path\":\"/199\"", "\"protocol\":\"HTTP/2\""]);
}

/// However the beginning of its connection comes.
#[test]
fn a_client_in_the_clear_is_told_by_http2_that_all_places_are_taken() {
    let endpoint = Endpoint::start(Script::is_silent());
    let proxy = Tidegate::to(&[&endpoint], "workers = 1\nlimit.requests = 1\n").start();
    let mut waits = proxy.client();
    waits.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.wait_for_requests(1);
    let hello = [raw::PREFACE, &raw::settings(&[]), &raw::get(1, "/")].concat();
    for cut in [1, 3, 5, 10, 18, 23] {
        let mut client = raw::RawHttp2::over(proxy.client());
        client.send(&hello[..cut]);
        std::thread::sleep(std::time::Duration::from_millis(100));
        client.send(&hello[cut..]);
        assert_eq!(client.fate(1).status(), Some(503), "cut at {cut}");
    }
}

/// For a second, and not longer.
#[test]
fn a_request_that_begins_like_http2_is_waited_for_though_all_places_are_taken() {
    let endpoint = Endpoint::start(Script::is_silent());
    let proxy = Tidegate::to(&[&endpoint], "workers = 1\nlimit.requests = 1\n").start();
    let mut waits = proxy.client();
    waits.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.wait_for_requests(1);
    let (mut late, mut silent) = (proxy.client(), proxy.client());
    late.send("P");
    silent.send("PR");
    std::thread::sleep(std::time::Duration::from_millis(100));
    late.send("OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    for client in [&mut late, &mut silent] {
        let reply = client.reply();
        assert_eq!((reply.status, reply.fields.has("retry-after")), (503, true));
    }
}

#[test]
fn a_stream_beyond_the_limit_on_requests_is_answered_and_recorded_like_any_other() {
    let delay = std::time::Duration::from_millis(600);
    let endpoint = Endpoint::start(Script::answers_after(delay, "slow"));
    let more = "workers = 1\nlimit.requests = 1\n[log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    let client = Http2Client::clear(proxy.address());
    let (one, other) = client.run(async {
        let get = |path| exchange(client.sender(), Http2Client::request("GET", "app.test", path), None, None);
        let one = tokio::spawn(get("/one"));
        tokio::time::sleep(delay / 3).await;
        let other = get("/other").await.unwrap();
        (one.await.unwrap().unwrap(), other)
    });
    assert_eq!((one.status(), other.status()), (200, 503));
    assert!(other.field("retry-after").is_some() && !other.body.is_empty(), "{other:?}");
    proxy.output().wait_for_stdout(&["\"path\":\"/other\"", "\"cause\":\"request_limit\""]);
    assert_eq!(endpoint.request_count(), 1);
}

#[test]
fn trailers_interim_answers_and_cookie_crumbs_pass() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                 Connection: x-secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
    let endpoint = Endpoint::start(Script::new(move |visit| {
        visit.read_body();
        let _ = visit.write(hints.as_bytes());
        Then::KeepAlive
    }));
    let proxy = Tidegate::to(&[&endpoint], "").start();
    let client = Http2Client::clear(proxy.address());
    let mut request = Http2Client::request("POST", "app.test", "/");
    for (name, value) in
        [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-many", "1"), ("x-many", "2")]
    {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("9"));
    trailers.insert("content-length", HeaderValue::from_static("9"));
    let reply = client.exchange(request, Some(b"body"), Some(trailers)).unwrap();
    assert_eq!((reply.status(), &reply.body[..]), (200, &b"abc"[..]));
    assert_eq!(reply.trailers.get("x-sum").unwrap(), "7");
    for gone in ["connection", "keep-alive", "transfer-encoding", "x-secret"] {
        assert_eq!(reply.field(gone), None, "{gone}");
    }
    let received = endpoint.last_request();
    assert_eq!(received.field("cookie"), Some("a=1; b=2"));
    assert_eq!(received.field("te"), Some("trailers"));
    assert_eq!(received.body, b"body");
    assert_eq!(received.trailers.first("x-check"), Some("9"));
    assert_eq!(received.trailers.first("content-length"), None, "no framing behind a body");
}

/// RFC 8441 §5: CANCEL is the RST of a tunnel; an answer that breaks off is another matter.
#[test]
fn a_tunnel_that_breaks_off_or_falls_silent_is_cancelled() {
    let breaks = Script::new(|visit| {
        if visit.request().field("upgrade").is_none() {
            visit.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            return Then::Close;
        }
        visit.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: words\r\n\r\n");
        let _ = visit.wire().some();
        Then::Reset
    });
    for (script, more) in [(breaks, ""), (Script::echoes_in_a_tunnel(), "timeout.tunnel_idle = \"300ms\"\n")]
    {
        let endpoint = Endpoint::start(script);
        let proxy = Tidegate::to(&[&endpoint], more).start();
        let client = Http2Client::clear(proxy.address());
        let mut request = Http2Client::request("CONNECT", "app.test", "/chat");
        request.extensions_mut().insert(h2::ext::Protocol::from_static("words"));
        let mut open = client.open(request).unwrap();
        assert_eq!(open.head.status(), 200);
        open.send.send_data("hello".into(), false).unwrap();
        let reason = loop {
            match client.run(open.receive.data()) {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.reason(),
                None => panic!("it is no end"),
            }
        };
        assert_eq!(reason, Some(h2::Reason::CANCEL), "{more}");
        if more.is_empty() {
            let cut = client.get("app.test", "/cut").unwrap_err();
            assert_eq!(cut.reason(), Some(h2::Reason::INTERNAL_ERROR));
        }
    }
}

#[test]
fn a_websocket_by_extended_connect_becomes_an_upgrade() {
    let (endpoint, proxy) = before(Script::echoes_in_a_tunnel());
    let mut client = Http2Client::clear(proxy.address());
    client.get("app.test", "/settled").ok();
    assert!(client.may_open_tunnels());
    let mut request = Http2Client::request("CONNECT", "app.test", "/chat");
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    let mut open = client.open(request).unwrap();
    assert_eq!(open.head.status(), 200);
    assert_eq!(open.head.headers().get("upgrade"), None);
    let echoed = client.run(async {
        let mut echoed = Vec::new();
        for round in 0..50_u8 {
            let message = vec![round; 100 + usize::from(round) * 10];
            open.send.send_data(message.clone().into(), false).unwrap();
            let mut back = Vec::new();
            while back.len() < message.len() {
                let data = open.receive.data().await.unwrap().unwrap();
                open.receive.flow_control().release_capacity(data.len()).unwrap();
                back.extend_from_slice(&data);
            }
            assert_eq!(back, message);
            echoed.push(round);
        }
        open.send.send_data(Vec::new().into(), true).unwrap();
        while let Some(data) = open.receive.data().await {
            assert!(data.unwrap().is_empty(), "after the end there is nothing but the end");
        }
        echoed.len()
    });
    assert_eq!(echoed, 50);
    let upgraded = endpoint.requests().into_iter().find(|request| request.target == "/chat").unwrap();
    assert_eq!((upgraded.method.as_str(), upgraded.field("upgrade")), ("GET", Some("websocket")));
    assert_eq!(upgraded.field("sec-websocket-key").unwrap().len(), 24);
}

#[test]
fn a_broken_answer_is_a_reset_and_a_refused_request_an_answer() {
    let (_endpoint, proxy) =
        before(Script::writes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Then::Close));
    let client = Http2Client::clear(proxy.address());
    let broken = client.get("app.test", "/").unwrap_err();
    assert!(broken.is_reset(), "{broken}");
    for path in ["/a%00b", "/%2e%2e/x"] {
        assert_eq!(client.get("app.test", path).unwrap().status(), 400, "{path}");
    }
}

#[test]
fn a_drain_says_goodbye_and_finishes_every_stream() {
    let delay = std::time::Duration::from_millis(500);
    let (_endpoint, mut proxy) = before(Script::answers_after(delay, "late"));
    let client = Http2Client::clear(proxy.address());
    client.get("app.test", "/first").unwrap();
    let streams = client.run(async {
        let all: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn(exchange(
                    client.sender(),
                    Http2Client::request("GET", "app.test", "/"),
                    None,
                    None,
                ))
            })
            .collect();
        tokio::time::sleep(delay / 3).await;
        proxy.signal(Signal::TERM);
        let mut served = 0;
        for one in all {
            assert_eq!(one.await.unwrap().unwrap().body, b"late");
            served += 1;
        }
        served
    });
    assert_eq!(streams, 20);
    assert!(proxy.wait().success());
}

#[test]
fn http2_can_be_switched_off() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let issued = authority.issue("app", &["app.test"]);
    let (to, keys) = (endpoint.address(), issued.keys());
    let proxy = Tidegate::with(format!(
        "to = \"{to}\"\n[[listener]]\nbind = \"{{listen}}\"\nhttp2 = false\ntls = {{ {keys} }}\n"
    ))
    .start();
    let mut client = authority.client();
    let mut config = (*client.config).clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    client.config = config.into();
    let connection = client.connect(proxy.address(), "app.test").unwrap();
    assert_eq!(connection.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}
