//! Every wait has an end, and each end has a name: in the answer, in the log and in the metrics.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tidegate_testkit::{Endpoint, Gone, Proxy, Reply, Script, Then, Tidegate, Visit, comes_true};

use crate::broken_origins::full_listener;
use crate::door::{Door, chunked, expect_signed, get, post};

/// With one timeout made short, and a log to look into.
fn door(script: Script, timeout: &str) -> Door {
    door_after(script, timeout, 200)
}

/// With one that still leaves room for a busy machine.
fn door_after(script: Script, timeout: &str, milliseconds: u64) -> Door {
    Door::with(script, &format!("[timeout]\n{timeout} = \"{milliseconds}ms\"\n[log]\naccess = \"stdout\"\n"))
}

/// The cause stands in the answer, in the log and in the metrics: the same word.
fn expect_cause(proxy: &Proxy, reply: &Reply, status: u16, cause: &str) {
    assert_eq!((reply.status, reply.cause()), (status, Some(cause)));
    expect_signed(reply);
    expect_counted(proxy, cause);
}

fn expect_counted(proxy: &Proxy, cause: &str) {
    proxy.output().wait_for_stdout(&[cause]);
    proxy.wait_for_metric("tidegate_failures_total", &[("cause", cause)], 1.0);
}

#[test]
fn a_head_that_does_not_come_to_its_end_times_out() {
    let door = door(Script::echoes(), "head");
    let mut client = door.knock("GET / HTTP/1.1\r\nHost: te");
    let reply = client.reply();
    expect_cause(&door.proxy, &reply, 408, "head_timeout");
    client.expect_closed();
}

/// A P could be the beginning of HTTP/2, which is waited for once and not twice.
#[test]
fn a_head_that_begins_like_http2_has_no_more_time_than_others() {
    let door = Door::with(Script::echoes(), "[timeout]\nhead = \"2s\"\n");
    let mut client = door.proxy.client();
    let started = Instant::now();
    client.send("P");
    assert_eq!(client.reply().status, 408);
    assert!(started.elapsed() < Duration::from_millis(10_500), "after {:?}", started.elapsed());
}

#[test]
fn a_head_timeout_is_for_the_whole_head_not_for_each_byte() {
    let door = door(Script::echoes(), "head");
    let mut client = door.proxy.client();
    let mut writer = client.wire().duplicate();
    let trickle = std::thread::spawn(move || {
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nX: ").unwrap();
        (0..400).take_while(|_| writer.write(b"x").is_ok() && pause(20)).count()
    });
    assert_eq!(client.reply().status, 408);
    client.expect_closed();
    drop(client);
    assert!(trickle.join().unwrap() < 400, "the trickle was never cut");
}

/// The rhythm of a slow peer, not a wait for luck.
fn pause(milliseconds: u64) -> bool {
    std::thread::sleep(Duration::from_millis(milliseconds));
    true
}

#[test]
fn a_body_that_stops_coming_times_out() {
    let door = door(Script::echoes(), "body_idle");
    for input in [post("Content-Length: 10\r\n", "hello"), chunked("a\r\nhello")] {
        let mut client = door.knock(input);
        let reply = client.reply();
        expect_cause(&door.proxy, &reply, 408, "body_stalled");
        client.expect_closed();
    }
    door.endpoint.wait_until_left();
    assert!(door.endpoint.requests().iter().all(|request| !request.complete));
}

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

/// `timeout.attempt` is the endpoint's time: what a client takes for its body is none of it, and no endpoint is blamed for that.
#[test]
fn the_time_of_an_attempt_begins_anew_when_the_client_had_to_be_waited_for() {
    let script = Script::new(|visit| {
        if !visit.read_body() {
            return Then::Close;
        }
        if visit.request().target == "/never" { Then::KeepAlive } else { visit.answer("x") }
    });
    let endpoint = Endpoint::start(script);
    let config = "breaker = { failures = 2, ejected_percent = 100 }\nlog.access = \"stdout\"\n\
                  retry = \"off\"\ntimeout = { body_idle = \"1s\", attempt = \"300ms\" }\n";
    let proxy = Tidegate::to(&[&endpoint], config).start();
    for _ in 0..3 {
        let mut silent = proxy.client();
        silent.send(post("Content-Length: 5\r\n", ""));
        expect_cause(&proxy, &silent.reply(), 408, "body_stalled");
    }
    let mut slow = proxy.client();
    slow.send(post("Content-Length: 5\r\n", "he"));
    pause(500);
    slow.send("llo");
    assert_eq!(slow.reply().text(), "x");
    let mut never = proxy.client();
    never.send("POST /never HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhe");
    pause(500);
    never.send("llo");
    expect_cause(&proxy, &never.reply(), 504, "attempt_timeout");
}

#[test]
fn a_body_that_keeps_coming_slowly_is_fine() {
    let door = door_after(Script::echoes(), "body_idle", 700);
    let mut client = door.knock(post("Content-Length: 20\r\n", ""));
    for _ in 0..20 {
        pause(40);
        client.send("x");
    }
    assert_eq!(client.reply().text(), "x".repeat(20));
}

#[test]
fn an_answer_that_stands_still_is_cut_and_named() {
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let door = door(Script::writes(bytes, Then::Hang), "body_idle");
    let mut client = door.knock(get(""));
    assert!(client.try_reply().is_err());
    expect_counted(&door.proxy, "answer_stalled");
    door.endpoint.wait_until_left();
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut_and_named() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 16];
        while visit.write(&piece) {}
        Then::Close
    });
    let door = door(script, "body_idle");
    let mut client = door.proxy.client();
    client.wire().shrink_receive_buffer(4096);
    client.send(get(""));
    expect_counted(&door.proxy, "client_stalled");
    door.endpoint.wait_until_left();
    let (_, gone) = client.rest();
    assert_ne!(gone, Gone::Silent);
}

/// Longer than the timeouts of those who read all the time, though our kernel has not asked for more of it as long.
const SLOWLY: Duration = Duration::from_secs(4);

fn writes_pieces(visit: &mut Visit<'_>, pieces: usize) -> Then {
    let piece = vec![b'x'; 1 << 16];
    let _ = (0..pieces).all(|_| visit.write(&piece));
    Then::Close
}

#[test]
fn a_client_that_takes_its_answer_slowly_but_all_the_time_gets_all_of_it() {
    let script = Script::new(|visit| {
        visit.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 200 << 16));
        writes_pieces(visit, 200)
    });
    let door = door_after(script, "body_idle", 500);
    let mut client = door.knock(get(""));
    client.wire().sip(SLOWLY).unwrap();
    assert_eq!(client.reply().body.len(), 200 << 16);
}

#[test]
fn an_endpoint_that_takes_an_upload_slowly_but_all_the_time_gets_all_of_it() {
    let script = Script::new(|visit| {
        let _ = visit.wire().sip(SLOWLY);
        visit.read_body();
        let length = visit.request().body.len().to_string();
        visit.answer(&length)
    });
    let door = door_after(script, "body_idle", 500);
    let mut client = door.proxy.client();
    let sending = client.send_aside(post("Content-Length: 13000000\r\n", vec![b'x'; 13_000_000]));
    assert_eq!(client.reply().text(), "13000000");
    assert!(sending.join().unwrap());
}

#[test]
fn an_endpoint_that_takes_nothing_of_an_upload_is_given_up_and_named() {
    let door = door(Script::new(|_| Then::HangDeaf), "body_idle");
    let mut client = door.proxy.client();
    let sending = client.send_aside(post("Content-Length: 100000000\r\n", vec![b'x'; 100_000_000]));
    let reply = client.reply();
    expect_cause(&door.proxy, &reply, 504, "endpoint_stalled");
    sending.join().unwrap();
}

#[test]
fn a_connection_that_does_not_become_free_times_out() {
    let silent = Endpoint::start(Script::is_silent());
    let config = format!(
        "[[route]]\nto = \"app\"\ntimeout = {{ connect = \"200ms\" }}\n[cluster.app]\nendpoints = [{:?}]\n\
         limit = {{ upstream_connections = 1 }}\n[log]\naccess = \"stdout\"\n",
        silent.address()
    );
    let proxy = Tidegate::with(config).start();
    let mut holder = proxy.client();
    holder.send(get(""));
    silent.wait_for_requests(1);
    let reply = proxy.get("/");
    expect_cause(&proxy, &reply, 503, "endpoint_busy");
    assert_eq!(silent.accepted(), 1);
}

#[test]
fn a_first_byte_that_does_not_come_times_out() {
    let door = door(Script::is_silent(), "first_byte");
    let reply = door.proxy.get("/");
    expect_cause(&door.proxy, &reply, 504, "first_byte_timeout");
    door.endpoint.wait_until_left();
}

/// What it says before is no answer.
#[test]
fn an_endpoint_that_only_promises_an_answer_times_out() {
    let script = |interim: &'static str| {
        Script::new(move |visit| {
            while visit.write(format!("HTTP/1.1 {interim}\r\n\r\n")) && pause(20) {}
            Then::Close
        })
    };
    for interim in ["102 Processing", "100 Continue"] {
        let door = door(script(interim), "first_byte");
        expect_cause(&door.proxy, &door.proxy.get("/"), 504, "first_byte_timeout");
    }
    let door = door_with_breaker(script("103 Early Hints"), "total = \"300ms\"");
    for _ in 0..2 {
        door.proxy.get("/");
    }
    assert!(is_held_against_the_endpoint(&door.proxy));
}

#[test]
fn an_exchange_that_takes_too_long_in_all_times_out() {
    let door = door(Script::is_silent(), "total");
    let reply = door.proxy.get("/");
    expect_cause(&door.proxy, &reply, 504, "total_timeout");
    door.endpoint.wait_until_left();
}

/// It ends first wherever it is the shorter one, and says as much of the endpoint.
#[test]
fn an_endpoint_that_never_answers_is_left_though_it_is_the_total_timeout_that_ends_the_wait() {
    let (silent, well) = (Endpoint::start(Script::is_silent()), Endpoint::answering("well"));
    let config = format!(
        "to = [{:?}, {:?}]\ntimeout = {{ total = \"200ms\" }}\nretry = false\n",
        silent.address(),
        well.address()
    );
    let proxy = Tidegate::with(config).start();
    let mut client = proxy.client();
    let late = (0..40).filter(|_| client.get("/").status == 504).count();
    assert!((1..=8).contains(&late), "{late} of 40");
}

/// With a breaker that takes an endpoint out, or would if it were not the last one, for two failures.
fn door_with_breaker(script: Script, timeout: &str) -> Door {
    let breaker =
        "retry = \"off\"\nbreaker = { failures = 2, margin_percent = \"off\", ejected_percent = 100 }";
    Door::with(script, &format!("{breaker}\nlog.access = \"stdout\"\ntimeout = {{ {timeout} }}\n"))
}

pub(crate) fn is_held_against_the_endpoint(proxy: &Proxy) -> bool {
    let metrics = proxy.metrics();
    let ejections = ["tidegate_endpoint_ejections_total", "tidegate_endpoint_ejections_held_back_total"];
    ejections.iter().any(|name| metrics.sum(name, &[]) > 0.5)
}

/// The time that an endpoint has begins when it has the whole request.
#[test]
fn a_client_whose_body_ends_just_before_the_total_timeout_is_not_held_against_the_endpoint() {
    let door = door_with_breaker(Script::answers_after(Duration::from_secs(1), "x"), "total = \"1200ms\"");
    for _ in 0..3 {
        let mut client = door.knock(post("Content-Length: 5\r\n", "hell"));
        pause(900);
        client.send("o");
        expect_cause(&door.proxy, &client.reply(), 504, "total_timeout");
    }
    assert!(!is_held_against_the_endpoint(&door.proxy));
    for expectation in ["", "Expect: 100-continue\r\n"] {
        for _ in 0..2 {
            let mut client = door.knock(post(&format!("Content-Length: 5\r\n{expectation}"), ""));
            expect_cause(&door.proxy, &client.reply(), 504, "total_timeout");
        }
        assert!(
            !is_held_against_the_endpoint(&door.proxy),
            "nor one whose body does not come: {expectation}"
        );
    }
    assert_eq!(door.proxy.get("/").text(), "x");
}

/// What the systems on the way do not hold, and what they do.
const UPLOADS: [usize; 2] = [30_000_000, 400_000];

fn expect_timeouts_of_uploads(door: &Door, length: usize, cause: &str) {
    for _ in 0..2 {
        let mut client = door.proxy.client();
        let head = format!("Content-Length: {length}\r\n");
        let sending = client.send_aside(post(&head, vec![b'x'; length]));
        expect_cause(&door.proxy, &client.reply(), 504, cause);
        sending.join().unwrap();
    }
}

#[test]
fn an_endpoint_that_takes_nothing_of_an_upload_until_its_time_is_over_has_failed() {
    for ((timeout, cause), length) in
        [("total", "total_timeout"), ("attempt", "attempt_timeout")].into_iter().zip(UPLOADS)
    {
        let door = door_with_breaker(Script::new(|_| Then::HangDeaf), &format!("{timeout} = \"2s\""));
        expect_timeouts_of_uploads(&door, length, cause);
        let blamed = [("cause", cause), ("blame", "upstream")];
        door.proxy.wait_for_metric("tidegate_failures_total", &blamed, 2.0);
        assert!(is_held_against_the_endpoint(&door.proxy));
    }
}

/// Its process hangs, or its machine is gone: no connection, or no keys.
#[test]
fn an_endpoint_that_cannot_be_connected_to_until_the_total_timeout_is_down() {
    let (hole, deaf) = (full_listener(), Endpoint::start(Script::on_accept(|_| Then::Hang)));
    for (to, tls) in
        [(hole.address.clone(), ""), (format!("https://{}", deaf.address()), "tls.verify = false")]
    {
        let config = format!(
            "retry = \"off\"\nlog.access = \"stdout\"\ntimeout = {{ total = \"300ms\" }}\nto = \"app\"\n\
             [cluster.app]\nendpoints = [{to:?}]\n{tls}\n"
        );
        let proxy = Tidegate::with(config).start();
        for _ in 0..3 {
            expect_cause(&proxy, &proxy.get("/"), 504, "total_timeout");
        }
        let blamed = [("cause", "total_timeout"), ("blame", "upstream"), ("stage", "connect")];
        proxy.wait_for_metric("tidegate_failures_total", &blamed, 3.0);
        assert_eq!(proxy.get("/").cause(), Some("no_endpoint_up"), "{to}");
    }
}

/// Each address has its part of the time, and takes it all.
#[test]
fn an_endpoint_none_of_whose_addresses_agrees_on_keys_until_the_total_timeout_is_down() {
    let one = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = one.local_addr().unwrap().port();
    let other = TcpListener::bind(("::1", port));
    let config = format!(
        "retry = \"off\"\nlog.access = \"stdout\"\ntimeout = {{ total = \"400ms\" }}\nto = \"app\"\n\
         [cluster.app]\nendpoints = [\"https://localhost:{port}\"]\ntls.verify = false\n"
    );
    let proxy = Tidegate::with(config).start();
    proxy.wait_for_metric("tidegate_endpoint_up", &[], 1.0);
    for _ in 0..3 {
        expect_cause(&proxy, &proxy.get("/"), 504, "total_timeout");
    }
    let blamed = [("cause", "total_timeout"), ("blame", "upstream"), ("stage", "connect")];
    proxy.wait_for_metric("tidegate_failures_total", &blamed, 3.0);
    assert_eq!(proxy.get("/").cause(), Some("no_endpoint_up"));
    drop((one, other));
}

/// Requests that queue for one place, each of which has little time left when it comes to it.
fn crowd_into_one_place(proxy: &Proxy, count: usize) {
    let mut clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = proxy.client();
            client.send(get(""));
            pause(150);
            client
        })
        .collect();
    for client in &mut clients {
        client.reply();
    }
}

/// Who has waited for a place has less than half of his time left for the endpoint; all of them together wait long enough.
#[test]
fn an_endpoint_that_never_answers_those_who_have_queued_for_it_has_failed() {
    let limited = "total = \"500ms\" }\nlimit = { endpoint_requests = 1";
    let door = door_with_breaker(Script::is_silent(), limited);
    crowd_into_one_place(&door.proxy, 5);
    let blamed = [("cause", "total_timeout"), ("blame", "upstream"), ("stage", "await")];
    assert!(door.proxy.metrics().sum("tidegate_failures_total", &blamed) > 1.5, "the first one, and others");
    assert!(is_held_against_the_endpoint(&door.proxy));
}

#[test]
fn an_endpoint_that_answers_those_who_have_time_left_has_not_failed() {
    let script = Script::answers_after(Duration::from_millis(400), "x");
    let limited = "total = \"500ms\" }\nlimit = { endpoint_requests = 1";
    let door = door_with_breaker(script, limited);
    for _ in 0..3 {
        crowd_into_one_place(&door.proxy, 2);
    }
    assert!(!is_held_against_the_endpoint(&door.proxy));
}

/// What the client does not send is nothing that an endpoint could answer. One that does not wait for it is another matter.
#[test]
fn an_endpoint_that_gives_a_silent_client_up_has_not_failed() {
    let script = |patience: u64| {
        Script::new(move |visit| {
            if visit.request().field("expect").is_some() {
                visit.write("HTTP/1.1 100 Continue\r\n\r\n");
            }
            pause(patience);
            Then::Close
        })
    };
    let bodies = ["Content-Length: 5\r\n", "Content-Length: 5\r\nExpect: 100-continue\r\n"];
    let door = door_with_breaker(script(4500), "total = \"60s\"");
    let knock = |head: &str, body: &str| door.knock(post(head, body));
    let silent = bodies.iter().flat_map(|head| (0..3).map(|_| knock(head, "")));
    let mut clients: Vec<_> = silent.collect();
    let mut drips: Vec<_> = (0..2).map(|_| knock(bodies[0], "h")).collect();
    for drop in ["e", "l"] {
        pause(1500);
        for client in &mut drips {
            client.send(drop);
        }
    }
    clients.append(&mut drips);
    for client in &mut clients {
        expect_cause(&door.proxy, &client.reply(), 502, "body_given_up");
    }
    assert!(!is_held_against_the_endpoint(&door.proxy));
    let door = door_with_breaker(script(0), "total = \"60s\"");
    for _ in 0..2 {
        expect_cause(&door.proxy, &door.knock(post(bodies[0], "h")).reply(), 502, "endpoint_closed");
    }
    assert!(is_held_against_the_endpoint(&door.proxy));
}

/// What it has told the length of is owed; an event stream may rest.
#[test]
fn an_endpoint_that_stands_still_in_its_answer_until_the_total_timeout_has_failed() {
    for (framing, is_held) in
        [("Content-Length: 300\r\n\r\nhel", true), ("Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", false)]
    {
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}");
        let door = door_with_breaker(Script::writes(answer, Then::Hang), "total = \"400ms\"");
        for _ in 0..2 {
            let mut client = door.knock(get(""));
            client.rest();
        }
        let blame = if is_held { "upstream" } else { "proxy" };
        door.proxy.wait_for_metric(
            "tidegate_failures_total",
            &[("cause", "total_timeout"), ("blame", blame)],
            2.0,
        );
        assert_eq!(is_held_against_the_endpoint(&door.proxy), is_held, "{framing}");
    }
}

/// What is left of an attempt behind the wait for a connection slot is no time of the endpoint's; but that of many is.
#[test]
fn an_endpoint_has_failed_by_its_own_part_of_the_time_for_an_attempt() {
    for (script, is_held) in
        [(Script::answers_after(Duration::from_millis(400), "x"), false), (Script::is_silent(), true)]
    {
        let limited = "attempt = \"500ms\", connect = \"1s\" }\nlimit = { upstream_connections = 1";
        let door = door_with_breaker(script, limited);
        if !is_held {
            door.proxy.get("/");
        }
        crowd_into_one_place(&door.proxy, 5);
        assert_eq!(is_held_against_the_endpoint(&door.proxy), is_held);
    }
}

/// The request is whole when the endpoint has all of it, whatever our own system holds.
#[test]
fn an_endpoint_that_takes_an_upload_slowly_has_the_time_for_a_first_byte_behind_it() {
    let script = Script::new(|visit| {
        let mut left: usize = UPLOADS[1];
        while left > 0 && pause(20) && visit.wire().exactly(left.min(8192)).is_ok() {
            left -= left.min(8192);
        }
        pause(300);
        visit.answer("whole")
    });
    let door = door_with_breaker(script, "first_byte = \"600ms\"");
    let mut client = door.proxy.client();
    let head = format!("Content-Length: {}\r\n", UPLOADS[1]);
    let sending = client.send_aside(post(&head, vec![b'x'; UPLOADS[1]]));
    assert_eq!(client.reply().text(), "whole");
    sending.join().unwrap();
}

/// What it has written before comes first: when the break is seen, the client reads again.
#[test]
fn an_endpoint_that_gives_up_a_client_that_takes_nothing_has_not_failed() {
    let given_up = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given_up);
    let script = Script::new(move |visit| {
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let _ = visit.wire().set_write_timeout(Duration::from_millis(10_500));
        writes_pieces(visit, 1000);
        count.fetch_add(1, Relaxed);
        Then::Close
    });
    let door = door_with_breaker(script, "total = \"60s\"");
    let mut clients: Vec<_> = (0..3).map(|_| door.knock(get(""))).collect();
    assert!(comes_true(Duration::from_mins(1), || given_up.load(Relaxed) == 3), "it gives the clients up");
    for client in &mut clients {
        client.rest();
    }
    door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "answer_given_up")], 3.0);
    door.proxy.output().wait_for_stdout(&["\"ended_by\":\"downstream\"", "\"cause\":\"answer_given_up\""]);
    assert!(!is_held_against_the_endpoint(&door.proxy));

    // A client that reads all the time, more slowly than the endpoint writes, is no excuse.
    let breaks_off = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        writes_pieces(visit, 160);
        Then::Close
    });
    let door = door_with_breaker(breaks_off, "total = \"60s\"");
    for _ in 0..2 {
        let mut client = door.knock(get(""));
        while client.wire().exactly(65_536).is_ok() && pause(30) {}
    }
    assert!(is_held_against_the_endpoint(&door.proxy));

    let breaks_off = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx";
    let door = door_with_breaker(Script::writes(breaks_off, Then::Close), "total = \"60s\"");
    for _ in 0..2 {
        door.knock(get("")).rest();
    }
    door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "answer_broken")], 2.0);
    assert!(is_held_against_the_endpoint(&door.proxy));
}

/// The time for a connection slot is the time of those who have one.
#[test]
fn an_endpoint_whose_connections_are_all_in_use_until_the_total_timeout_has_not_failed() {
    let endpoint = Endpoint::start(Script::is_silent());
    let config = format!(
        "retry = \"off\"\nlog.access = \"stdout\"\nto = \"app\"\n\
         [[route]]\npath = \"/soon\"\nto = \"app\"\ntimeout = {{ total = \"300ms\" }}\n\
         [cluster.app]\nendpoints = [{:?}]\nlimit = {{ upstream_connections = 1 }}\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    let mut holder = proxy.client();
    holder.send(get(""));
    endpoint.wait_for_requests(1);
    for _ in 0..3 {
        expect_cause(&proxy, &proxy.get("/soon"), 504, "total_timeout");
    }
    let by_nobody = [("cause", "total_timeout"), ("blame", "proxy")];
    proxy.wait_for_metric("tidegate_failures_total", &by_nobody, 3.0);
    assert_eq!(proxy.get("/soon").cause(), Some("total_timeout"), "it is up");
}

/// With `timeout.attempt` as with `timeout.total`: how much there is to take is the client's to say.
#[test]
fn an_endpoint_that_takes_an_upload_slowly_until_its_time_is_over_has_not_failed() {
    for (timeout, cause) in [("total", "total_timeout"), ("attempt", "attempt_timeout")] {
        for length in UPLOADS {
            // So slowly that our kernel does not ask for more in half of the time.
            let script = Script::new(|visit| {
                while pause(30) && visit.wire().exactly(4096).is_ok() {}
                Then::Close
            });
            let door = door_with_breaker(script, &format!("{timeout} = \"2s\""));
            expect_timeouts_of_uploads(&door, length, cause);
            let by_nobody = [("cause", cause), ("blame", "proxy")];
            door.proxy.wait_for_metric("tidegate_failures_total", &by_nobody, 2.0);
            assert!(!is_held_against_the_endpoint(&door.proxy), "{cause}, {length}");
        }
    }
}

#[test]
fn a_total_timeout_cuts_an_answer_that_drips() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while pause(20) && visit.write("x") {}
        Then::Close
    });
    let door = door(script, "total");
    let mut client = door.knock(get(""));
    assert!(client.try_reply().is_err());
    expect_counted(&door.proxy, "total_timeout");
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let door = door(Script::echoes(), "keep_alive");
    let mut client = door.proxy.client();
    assert_eq!(client.get("/").status, 200);
    client.expect_closed();
    let fresh = &mut door.proxy.client();
    fresh.expect_closed();
}

#[test]
fn an_idle_tunnel_is_closed_and_a_busy_one_is_not() {
    let door = door_after(Script::echoes_in_a_tunnel(), "tunnel_idle", 700);
    let mut client = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    assert_eq!(client.reply().status, 101);
    for _ in 0..16 {
        pause(50);
        client.send("ping");
        assert_eq!(client.wire().exactly(4), Ok(b"ping".to_vec()));
    }
    client.expect_closed();
    door.endpoint.wait_until_left();
    expect_counted(&door.proxy, "tunnel_idle");
    let door = door_after(Script::echoes_in_a_tunnel(), "total = \"100ms\"\ntunnel_idle", 300);
    let mut client = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    assert_eq!(client.reply().status, 101);
    client.expect_closed();
    expect_counted(&door.proxy, "tunnel_idle");
}

#[test]
fn a_tunnel_whose_client_takes_what_it_was_sent_slowly_but_all_the_time_is_not_idle() {
    let script = Script::new(|visit| {
        visit.write(SWITCHED);
        writes_pieces(visit, 46);
        visit.wire().finish();
        Then::Hang
    });
    let door = door_after(script, "tunnel_idle", 500);
    let mut client = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    assert_eq!(client.reply().status, 101);
    let _ = client.wire().sip(SLOWLY); // which may be all
    let (came, gone) = client.rest();
    assert_eq!((came.len(), gone), (46 << 16, Gone::Finished));
}

#[test]
fn a_tunnel_whose_client_takes_nothing_is_idle() {
    let script = Script::new(|visit| {
        visit.write(SWITCHED);
        writes_pieces(visit, usize::MAX)
    });
    let door = door(script, "tunnel_idle");
    let mut client = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    assert_eq!(client.reply().status, 101);
    expect_counted(&door.proxy, "tunnel_idle");
    door.endpoint.wait_until_left();
    assert_eq!(client.rest().1, Gone::Reset);
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// The time that a connection stays ready to serve is a part of it: who was answered first is closed before who came later.
#[test]
fn a_connection_between_two_requests_is_kept_no_longer_than_one_that_has_not_asked_yet() {
    let door = door_after(Script::answers("x"), "keep_alive", 1000);
    let mut answered = door.proxy.client();
    assert_eq!(answered.get("/").text(), "x");
    pause(800);
    let mut came_later = door.proxy.client();
    let (closed, closings) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for (name, client) in [("answered", &mut answered), ("came later", &mut came_later)] {
            let closed = closed.clone();
            scope.spawn(move || {
                client.expect_closed();
                closed.send(name).unwrap();
            });
        }
    });
    assert_eq!(closings.try_iter().collect::<Vec<_>>(), ["answered", "came later"]);
}

#[test]
fn a_connection_to_an_endpoint_that_is_not_used_is_closed() {
    let door = door_after(Script::answers("x"), "upstream_idle", 300);
    assert_eq!(door.proxy.get("/").text(), "x");
    door.proxy.wait_for_metric("tidegate_endpoint_connections_idle", &[], 1.0);
    door.endpoint.wait_until_left();
    assert!(door.proxy.metrics().sum("tidegate_endpoint_connections_idle", &[]) < 0.5);
}

#[test]
fn a_route_can_have_timeouts_of_its_own() {
    let slow = Endpoint::start(Script::answers_after(Duration::from_millis(400), "slow"));
    let config = format!(
        "[timeout]\nfirst_byte = \"100ms\"\n[[route]]\npath = \"/patient\"\nto = {0:?}\ntimeout = {{ first_byte = \"20s\" }}\n\
         [[route]]\nto = {0:?}\n",
        slow.address()
    );
    let proxy = Tidegate::with(config).start();
    assert_eq!(proxy.get("/patient").text(), "slow");
    assert_eq!(proxy.get("/").cause(), Some("first_byte_timeout"));
}
