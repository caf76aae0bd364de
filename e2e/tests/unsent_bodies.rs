//! Bodies of requests that failed: whatever is left of them here must never be taken for the next request.

use tidegate_testkit::{Client, Endpoint, Script, Then, Tidegate};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends a request whose body is a request, and expects this status, no other answer, and nobody to have seen what the body
/// says.
fn expect_refused(client: &mut Client, request: &[u8], status: u16, endpoint: &Endpoint) {
    client.send(request);
    let reply = client.reply();
    assert_eq!(reply.status, status, "{reply:?}");
    client.finish(); // a body that was read to its end leaves the connection open
    let (rest, _) = client.rest();
    assert!(rest.is_empty(), "a second answer: {}", rest.escape_ascii());
    let smuggled = endpoint.requests().into_iter().filter(|request| request.target == "/smuggled").count();
    assert_eq!(smuggled, 0, "the body was taken for a request");
}

/// Takes requests, closes without a word on those with a body.
fn hangs_up_on_bodies() -> Script {
    Script::new(|visit| {
        if visit.request().method == "GET" {
            return visit.answer("served");
        }
        visit.read_body();
        Then::Close
    })
}

#[test]
fn a_body_put_back_for_a_retry_that_finds_nobody_is_not_the_next_request() {
    let endpoint = Endpoint::start(hangs_up_on_bodies());
    let proxy = Tidegate::to(&[&endpoint], "").start();
    let request =
        format!("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len());
    expect_refused(&mut proxy.client(), request.as_bytes(), 502, &endpoint);
}

#[test]
fn a_chunked_body_over_the_limit_is_not_the_next_request() {
    let endpoint = Endpoint::start(Script::echoes());
    let proxy = Tidegate::to(&[&endpoint], "[limit]\nbody_bytes = \"1KiB\"\n").start();
    let body = SMUGGLED.repeat(2000 / SMUGGLED.len());
    let request = format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    expect_refused(&mut proxy.client(), request.as_bytes(), 413, &endpoint);
}

#[test]
fn the_last_piece_of_a_body_that_an_endpoint_does_not_take_is_not_the_next_request() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start_unix(
        &folder.path().join("app.sock"),
        Script::new(
            |visit| if visit.request().method == "GET" { visit.answer("served") } else { Then::HangDeaf },
        ),
    );
    let proxy =
        Tidegate::to(&[&endpoint], "[timeout]\nbody_idle = \"200ms\"\nfirst_byte = \"200ms\"\n").start();
    // Somewhere between what the socket to the endpoint holds and what the proxy holds beside it.
    for kilobytes in (180..340).step_by(16) {
        let body = SMUGGLED.repeat(kilobytes * 1000 / SMUGGLED.len());
        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut client = proxy.client();
        let sending = client.send_aside(request.into_bytes());
        let reply = client.reply();
        assert_eq!(reply.status, 504, "{reply:?}");
        client.finish(); // a body that the sockets hold whole leaves the connection open
        let (rest, _) = client.rest();
        assert!(rest.is_empty(), "a second answer: {}", rest.escape_ascii());
        let _ = sending.join();
    }
    assert!(
        endpoint.requests().iter().all(|request| request.target == "/x"),
        "a body was taken for a request"
    );
}

#[test]
fn a_chunked_body_is_sent_again_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let closing = Endpoint::start_unix(&folder.path().join("app.sock"), Script::on_accept(|_| Then::Close));
    let good = Endpoint::start(Script::echoes());
    let proxy = Tidegate::to(
        &[&closing, &good],
        "balance = \"round_robin\"\npassive = false\nretry = { budget = \"off\" }\n",
    )
    .start();
    let body: String = ('a'..='z').cycle().take(20_000).collect();
    let request = format!(
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n{}\r\n2710\r\n{}\r\n0\r\n\r\n",
        &body[..10_000],
        &body[10_000..]
    );
    for _ in 0..100 {
        let mut client = proxy.client();
        client.send(&request);
        let reply = client.reply();
        assert_eq!((reply.status, reply.text()), (200, body.clone()));
    }
}
