//! Waits that a timeout ends, or that somebody gives up: whom they are held against.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tidegate_testkit::{Endpoint, Proxy, Script, Then, Tidegate, comes_true};

use crate::broken_origins::full_listener;
use crate::door::{Door, get, post};
use crate::timeouts::{expect_cause, pause, writes_pieces};

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
pub(crate) fn door_with_breaker(script: Script, timeout: &str) -> Door {
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

/// The request is whole when the endpoint has all of it, whatever our own system holds. What the endpoint's own holds ahead
/// of its reads, 128 kB here, is a third of a second of them.
#[test]
fn an_endpoint_that_takes_an_upload_slowly_has_the_time_for_a_first_byte_behind_it() {
    const LENGTH: usize = 1_200_000;
    let script = Script::new(|visit| {
        visit.wire().shrink_receive_buffer(65_536);
        let mut left = LENGTH;
        while left > 0 && pause(20) && visit.wire().exactly(left.min(8192)).is_ok() {
            left -= left.min(8192);
        }
        pause(300);
        visit.answer("whole")
    });
    let door = door_with_breaker(script, "first_byte = \"2s\"");
    let mut client = door.proxy.client();
    let head = format!("Content-Length: {LENGTH}\r\n");
    let sending = client.send_aside(post(&head, vec![b'x'; LENGTH]));
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
