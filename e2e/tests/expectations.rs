//! Clients that wait for 100 (Continue) before they send a body, and whose time that is.

use tidegate_testkit::{Endpoint, Proxy, Script, Then, Tidegate, Visit};

use crate::door::post;
use crate::timeouts::{door_after, expect_cause, pause};
use crate::whose_failure::{door_with_breaker, is_held_against_the_endpoint};

/// What the endpoint took to ask for the body is not part of the time that the client has for it.
#[test]
fn a_late_100_leaves_the_client_its_whole_time() {
    let script = Script::new(|visit| {
        pause(800);
        visit.write("HTTP/1.1 100 Continue\r\n\r\n");
        if !visit.read_body() {
            return Then::Close;
        }
        visit.answer("x")
    });
    let door = door_after(script, "body_idle", 1000);
    let mut client = door.knock(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    assert_eq!(client.wire().line().unwrap(), b"HTTP/1.1 100 Continue");
    while !client.wire().line().unwrap().is_empty() {}
    pause(800);
    client.send("hello");
    assert_eq!(client.reply().text(), "x");
    assert_eq!(door.endpoint.only_request().body, b"hello");
}

/// Who waits for 100 (Continue) from an endpoint that never says it is not waited for without end, and the endpoint is not to blame:
/// it has no whole request to answer.
#[test]
fn a_client_that_waits_for_a_100_that_never_comes_is_let_go_and_the_endpoint_not_blamed() {
    let endpoint =
        Endpoint::start(Script::new(|visit| if visit.read_body() { visit.answer("x") } else { Then::Close }));
    let config = "breaker = { failures = 2, ejected_percent = 100 }\nlog.access = \"stdout\"\n\
                  timeout = { body_idle = \"300ms\", first_byte = \"100ms\" }\n";
    let proxy = Tidegate::to(&[&endpoint], config).start();
    for _ in 0..4 {
        let mut client = proxy.client();
        client.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
        expect_cause(&proxy, &client.reply(), 408, "body_stalled");
    }
    let mut client = proxy.client();
    client.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
    pause(150);
    client.send("hello"); // RFC 9110 §10.1.1: it need not wait
    assert_eq!(client.reply().text(), "x");
}

/// Does what it says it does: asks for bodies, or never says a word to who waits for that.
fn asks_for_bodies_but_where_hung(visit: &mut Visit<'_>) -> Then {
    if visit.request().target == "/hung" {
        return Then::Hang;
    }
    visit.write("HTTP/1.1 100 Continue\r\n\r\n");
    if visit.read_body() { visit.answer("read") } else { Then::Close }
}

fn put_that_waits(target: &str) -> String {
    format!("PUT {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
}

/// Sends its body when it is asked for, as RFC 9110 §10.1.1 has it.
fn upload_when_asked(proxy: &Proxy) {
    let mut client = proxy.client();
    client.send(put_that_waits("/"));
    assert_eq!(client.wire().line().unwrap(), b"HTTP/1.1 100 Continue");
    while !client.wire().line().unwrap().is_empty() {}
    client.send("hello");
    assert_eq!(client.reply().text(), "read");
}

/// Once it has asked for a body, the time until it asks is the endpoint's own.
#[test]
fn an_endpoint_that_is_known_to_ask_for_bodies_and_does_not_has_failed() {
    for (timeout, cause) in [
        ("attempt = \"500ms\"", "attempt_timeout"),
        ("first_byte = \"500ms\"", "first_byte_timeout"),
        ("total = \"500ms\"", "total_timeout"),
    ] {
        let door = door_with_breaker(Script::new(asks_for_bodies_but_where_hung), timeout);
        upload_when_asked(&door.proxy);
        for _ in 0..2 {
            let mut client = door.knock(put_that_waits("/hung"));
            expect_cause(&door.proxy, &client.reply(), 504, cause);
        }
        let blamed = [("cause", cause), ("blame", "upstream"), ("stage", "await")];
        door.proxy.wait_for_metric("tidegate_failures_total", &blamed, 2.0);
        assert!(is_held_against_the_endpoint(&door.proxy), "{cause}");
    }
}

#[test]
fn a_client_that_is_not_asked_for_its_body_is_served_by_another_endpoint() {
    let well = Endpoint::start(Script::new(asks_for_bodies_but_where_hung));
    let mut hung = Endpoint::start(Script::new(asks_for_bodies_but_where_hung));
    let config = format!(
        "to = [{:?}, {:?}]\nbalance = \"round_robin\"\nretry = {{ on = [\"timeout\"] }}\ntimeout = {{ attempt = \"500ms\" }}\n",
        well.address(),
        hung.address()
    );
    let proxy = Tidegate::with(config).start();
    (0..10).for_each(|_| upload_when_asked(&proxy));
    hung.kill();
    hung.change(Script::is_silent());
    hung.revive();
    (0..10).for_each(|_| upload_when_asked(&proxy));
}

/// Does not know `Expect` (RFC 9110 §10.1.1), but says 100 where nobody waits for that.
fn ignores_expectations(visit: &mut Visit<'_>) -> Then {
    if visit.request().target == "/slow" {
        visit.write("HTTP/1.1 100 Continue\r\n\r\n");
    }
    if visit.read_body() { visit.answer("read") } else { Then::Close }
}

/// In vain, for longer than the endpoint had if it were to ask.
fn wait_to_be_asked(proxy: &Proxy) {
    let mut client = proxy.client();
    client.send(put_that_waits("/"));
    expect_cause(proxy, &client.reply(), 408, "body_stalled");
}

const ATTEMPT_SHORTER_THAN_BODY: &str = "body_idle = \"1s\", attempt = \"300ms\"";

#[test]
fn an_endpoint_that_never_asked_for_a_body_is_not_bound_by_a_100_that_nobody_waited_for() {
    let door = door_with_breaker(Script::new(ignores_expectations), ATTEMPT_SHORTER_THAN_BODY);
    let reply = door.knock("PUT /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello").reply();
    assert_eq!((reply.interim.len(), &*reply.text()), (1, "read"));
    (0..2).for_each(|_| wait_to_be_asked(&door.proxy));
    assert!(!is_held_against_the_endpoint(&door.proxy));
}

#[test]
fn an_endpoint_that_never_asked_for_a_body_is_not_bound_by_what_its_neighbour_does() {
    let asks = Endpoint::start(Script::new(asks_for_bodies_but_where_hung));
    let old = Endpoint::start(Script::new(ignores_expectations));
    let config = format!(
        "balance = \"round_robin\"\nretry = \"off\"\nlog.access = \"stdout\"\n\
         timeout = {{ {ATTEMPT_SHORTER_THAN_BODY} }}\n"
    );
    let proxy = Tidegate::to(&[&asks, &old], &config).start();
    for _ in 0..8 {
        let mut client = proxy.client();
        client.send(put_that_waits("/"));
        client.wire().line().unwrap();
    }
    assert!(asks.request_count() > 0 && old.request_count() > 0);
    proxy.wait_for_metric("tidegate_failures_total", &[("cause", "body_stalled")], 1.0);
    assert!(proxy.metrics().sum("tidegate_failures_total", &[("blame", "upstream")]) < 0.5);
}

/// An old server in the place of a new one: it is known by what it does.
#[test]
fn an_endpoint_that_takes_bodies_without_asking_for_them_is_not_waited_for_to_ask_any_more() {
    let mut door = door_with_breaker(Script::new(asks_for_bodies_but_where_hung), ATTEMPT_SHORTER_THAN_BODY);
    upload_when_asked(&door.proxy);
    door.endpoint.kill();
    door.endpoint.change(Script::new(ignores_expectations));
    door.endpoint.revive();
    let mut client = door.knock(put_that_waits("/") + "hello");
    assert_eq!(client.reply().text(), "read");
    (0..2).for_each(|_| wait_to_be_asked(&door.proxy));
    assert!(!is_held_against_the_endpoint(&door.proxy));
}

/// What it does from then on is its own.
#[test]
fn a_client_that_is_asked_for_its_body_and_does_not_send_it_is_let_go_and_the_endpoint_not_blamed() {
    let timeouts = "body_idle = \"1500ms\", attempt = \"500ms\", first_byte = \"500ms\"";
    let door = door_with_breaker(Script::new(asks_for_bodies_but_where_hung), timeouts);
    upload_when_asked(&door.proxy);
    for _ in 0..2 {
        let mut client = door.knock(put_that_waits("/"));
        let reply = client.reply();
        assert_eq!(reply.interim.len(), 1);
        expect_cause(&door.proxy, &reply, 408, "body_stalled");
    }
    assert!(!is_held_against_the_endpoint(&door.proxy));
}

/// RFC 9110 §10.1.1: a client need not wait for longer than it likes, and the time of the attempt begins anew with its body.
#[test]
fn a_client_may_send_its_body_unasked() {
    let script = Script::new(|visit| {
        if visit.request().target == "/" {
            return asks_for_bodies_but_where_hung(visit);
        }
        if visit.read_body() && pause(2000) { visit.answer("read") } else { Then::Close }
    });
    let door = door_with_breaker(script, "attempt = \"5s\"");
    upload_when_asked(&door.proxy);
    let mut client = door.knock(put_that_waits("/unasked"));
    pause(2000);
    client.send("he");
    pause(2000);
    client.send("llo");
    assert_eq!(client.reply().text(), "read");
}
