//! The test world tested against itself, without any proxy between: a client that misreads would prove nothing.

use std::time::Duration;

use tidegate_testkit::reply::{Framing, Problem};
use tidegate_testkit::{Client, Delivery, Endpoint, Gone, Load, Script, Then, eventually};

fn visit(endpoint: &Endpoint) -> Client {
    Client::connect(endpoint.socket_address())
}

fn endpoint_writing(bytes: &str, then: Then) -> Endpoint {
    Endpoint::start(Script::writes(bytes, then))
}

#[test]
fn a_request_is_recorded_whole_however_it_is_delivered() {
    let endpoint = Endpoint::start(Script::echoes());
    for delivery in Delivery::all() {
        let mut client = visit(&endpoint);
        client.deliver(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", delivery);
        assert_eq!(client.reply().text(), "hello");
        let request = endpoint.last_request();
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a"));
        assert!(request.complete && request.body == b"hello");
    }
    assert_eq!(endpoint.request_count(), 3);
}

#[test]
fn a_chunked_request_is_read_with_its_trailers() {
    let endpoint = Endpoint::start(Script::echoes());
    let mut client = visit(&endpoint);
    client.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n");
    assert_eq!(client.reply().text(), "abc");
    assert_eq!(endpoint.only_request().trailers.first("x"), Some("y"));
}

#[test]
fn an_upload_that_stops_half_way_is_recorded_as_incomplete() {
    let endpoint = Endpoint::start(Script::echoes());
    let mut client = visit(&endpoint);
    client.send("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe");
    client.finish();
    client.expect_closed();
    let request = endpoint.only_request();
    assert!(!request.complete);
    assert_eq!(request.body, b"he");
}

#[test]
fn nonsense_that_reaches_an_endpoint_is_noted() {
    let endpoint = Endpoint::answering("x");
    let mut client = visit(&endpoint);
    client.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n");
    client.expect_closed();
    assert_eq!(endpoint.malformed().len(), 1);
}

#[test]
fn answers_are_read_in_every_framing() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Then::KeepAlive, Framing::Length),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Then::KeepAlive,
            Framing::Chunked,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nhi", Then::Close, Framing::Close),
    ];
    for (bytes, then, framing) in cases {
        let reply = visit(&endpoint_writing(bytes, then)).get("/");
        assert_eq!((reply.text().as_str(), reply.framing), ("hi", framing));
    }
}

#[test]
fn interim_answers_are_kept_apart_from_the_final_one() {
    let bytes = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let reply = visit(&endpoint_writing(bytes, Then::KeepAlive)).get("/");
    assert_eq!((reply.status, reply.interim.len(), reply.interim[0].status), (204, 1, 103));
}

#[test]
fn a_short_answer_is_seen_as_truncated() {
    let endpoint = endpoint_writing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", Then::Close);
    let mut client = visit(&endpoint);
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(client.try_reply(), Err(Problem::Truncated(_, Gone::Finished))));
}

#[test]
fn a_reset_is_told_from_a_clean_end() {
    for (then, gone) in [(Then::Reset, Gone::Reset), (Then::Close, Gone::Finished)] {
        let endpoint = endpoint_writing("", then);
        let mut client = visit(&endpoint);
        client.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.rest(), (Vec::new(), gone));
    }
}

#[test]
fn silence_is_told_from_an_end() {
    let endpoint = Endpoint::start(Script::is_silent());
    let mut client = visit(&endpoint).patience(Duration::from_millis(50));
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.rest(), (Vec::new(), Gone::Silent));
}

#[test]
fn a_killed_endpoint_refuses_until_it_is_revived_at_the_same_address() {
    let mut endpoint = Endpoint::answering("alive");
    let mut client = visit(&endpoint);
    client.get("/");
    endpoint.kill();
    client.expect_closed();
    assert!(Client::try_connect(endpoint.socket_address()).is_err());
    endpoint.revive();
    assert_eq!(visit(&endpoint).get("/").text(), "alive");
}

#[test]
fn a_unix_socket_serves_like_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let endpoint = Endpoint::start_unix(&path, Script::answers("unix"));
    let mut wire = tidegate_testkit::Wire::from(std::os::unix::net::UnixStream::connect(&path).unwrap());
    wire.write(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(tidegate_testkit::Reply::read(&mut wire, "GET").unwrap().text(), "unix");
    assert_eq!(endpoint.request_count(), 1);
}

#[test]
fn a_tunnel_sends_every_byte_back() {
    let endpoint = Endpoint::start(Script::echoes_in_a_tunnel());
    let mut client = visit(&endpoint);
    client.send("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.reply().status, 101);
    client.send("ping");
    assert_eq!(client.wire().exactly(4), Ok(b"ping".to_vec()));
}

#[test]
fn load_counts_what_went_well_and_what_broke() {
    let mut endpoint = Endpoint::answering("x");
    let load = Load::start(endpoint.socket_address(), 2, "/");
    load.wait_for(100);
    endpoint.kill();
    load.wait_for(4);
    let report = load.stop();
    assert!(report.ok() >= 100 && report.failed() >= 4, "{report:?}");
    assert_eq!(report.bodies["x"], report.ok());
}

#[test]
fn an_endpoint_forgets_connections_that_left() {
    let endpoint = Endpoint::answering("x");
    let mut client = visit(&endpoint);
    client.get("/");
    assert_eq!(endpoint.open_connections(), 1);
    drop(client);
    eventually("the connection is forgotten", || endpoint.open_connections() == 0);
}
