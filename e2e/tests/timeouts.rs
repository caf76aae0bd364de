//! Every wait has an end, and each end has a name: in the answer, in the log and in the metrics.

use std::time::{Duration, Instant};

use tidegate_testkit::{Endpoint, Gone, Proxy, Reply, Script, Then, Tidegate, Visit};

use crate::door::{Door, chunked, expect_signed, get, post};
use crate::whose_failure::{door_with_breaker, is_held_against_the_endpoint};

/// With one timeout made short, and a log to look into.
pub(crate) fn door(script: Script, timeout: &str) -> Door {
    door_after(script, timeout, 200)
}

/// With one that still leaves room for a busy machine.
pub(crate) fn door_after(script: Script, timeout: &str, milliseconds: u64) -> Door {
    Door::with(script, &format!("[timeout]\n{timeout} = \"{milliseconds}ms\"\n[log]\naccess = \"stdout\"\n"))
}

/// The cause stands in the answer, in the log and in the metrics: the same word.
pub(crate) fn expect_cause(proxy: &Proxy, reply: &Reply, status: u16, cause: &str) {
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
pub(crate) fn pause(milliseconds: u64) -> bool {
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

pub(crate) fn writes_pieces(visit: &mut Visit<'_>, pieces: usize) -> Then {
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
