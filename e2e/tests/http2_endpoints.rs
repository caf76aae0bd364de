//! Endpoints that are spoken HTTP/2 with: few connections for many requests, trailers, and second attempts for what was
//! given back unread.

use http::{HeaderMap, HeaderValue};
use tidegate_testkit::http2::{Http2Client, Http2Endpoint, exchange};
use tidegate_testkit::{Proxy, Tidegate};

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
    let request = Http2Client::request("POST", "app.test", "/trailers");
    let reply = client.exchange(request, Some(b"body"), Some(trailers)).unwrap();
    assert_eq!(reply.body, b"body");
    assert_eq!(
        (reply.trailers.get("x-check").unwrap(), reply.trailers.get("x-end").unwrap()),
        (&HeaderValue::from_static("9"), &HeaderValue::from_static("1"))
    );
    let reply = proxy.client().get("/trailers");
    assert_eq!(reply.trailers.first("x-end"), Some("1"));
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
    let endpoint = tidegate_testkit::Endpoint::answering("HTTP/1.1 only");
    let proxy =
        Tidegate::with(format!("to = \"{}\"\nendpoint_http2 = true\nretry = \"off\"\n", endpoint.address()))
            .start();
    let reply = proxy.get("/");
    assert!([502, 503].contains(&reply.status), "{reply:?}");
}
