//! Clients that are slow, many, rude or gone.

use std::time::Duration;

use tidegate_testkit::{Client, Delivery, Endpoint, Gone, Script, Then, Tidegate, eventually};

use crate::door::{Door, get, post};

const SHORT: &str = "[timeout]\nhead = \"300ms\"\nbody_idle = \"300ms\"\nkeep_alive = \"300ms\"\n";

#[test]
fn slow_heads_slow_bodies_and_idlers_are_all_closed_while_others_are_served() {
    let door = Door::with(Script::echoes(), SHORT);
    let canary = door.canary();
    let rude =
        [b"GET / HT".to_vec(), get("")[..20].to_vec(), post("Content-Length: 9\r\n", "half"), Vec::new()];
    let mut clients: Vec<_> = rude.iter().cycle().take(200).map(|input| door.knock(input)).collect();
    canary.watch(200);
    for client in &mut clients {
        assert_ne!(client.rest().1, Gone::Silent);
    }
    canary.survives();
    door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "head_timeout")], 100.0);
}

#[test]
fn a_thousand_idle_connections_cost_little_and_are_let_go() {
    let door = Door::open();
    door.serves();
    let (memory, descriptors) = (door.proxy.resident_bytes(), door.proxy.open_descriptors());
    let mut idle: Vec<_> = (0..1000).map(|_| door.proxy.client()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let each = door.proxy.resident_bytes().saturating_sub(memory) / 1000;
    assert!(each < 16 * 1024, "{each} bytes for each idle connection");
    drop(idle);
    eventually("all descriptors are given back", || door.proxy.open_descriptors() <= descriptors + 2);
}

/// RFC 9112 §9.6.
#[test]
fn a_fin_right_after_the_request_still_gets_the_answer_however_it_came() {
    let door = Door::open();
    for delivery in Delivery::all() {
        let mut client = door.proxy.client();
        client.deliver(&post("Content-Length: 5\r\n", "hello"), delivery);
        client.finish();
        assert_eq!(client.reply().text(), "hello");
        client.expect_closed();
    }
}

/// With a RST or with a FIN.
fn leave(client: Client, rudely: bool) {
    if rudely {
        client.reset();
    }
}

#[test]
fn a_client_that_vanishes_in_an_answer_frees_the_endpoint() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let piece = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
        while visit.write(&piece) {}
        Then::Close
    });
    let door = Door::with(script, "");
    let canary = door.canary();
    for rude in [true, false] {
        let mut client = door.knock(get(""));
        client.wire().exactly(1000).unwrap();
        canary.watch(1);
        leave(client, rude);
        door.endpoint.wait_until_left();
    }
    canary.survives();
}

#[test]
fn a_client_that_vanishes_in_an_upload_frees_the_endpoint() {
    let door = Door::open();
    let canary = door.canary();
    for rude in [true, false] {
        let before = door.endpoint.request_count();
        let client = door.knock(post("Content-Length: 1000000\r\n", vec![b'x'; 100_000]));
        door.endpoint.wait_for_requests(before + 1);
        leave(client, rude);
        door.endpoint.wait_until_left();
    }
    canary.survives();
    assert!(door.endpoint.requests().iter().all(|request| !request.complete));
}

/// It is noticed although there is nothing to send to it: long before the answer's own timeout.
#[test]
fn a_client_that_resets_while_an_answer_is_silent_frees_the_endpoint() {
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let door = Door::with(Script::writes(bytes, Then::Hang), "[timeout]\nbody_idle = \"10m\"\n");
    let mut client = door.knock(get(""));
    client.wire().line().unwrap();
    while client.wire().line().is_ok_and(|line| !line.is_empty()) {}
    assert_eq!(client.wire().exactly(5).unwrap(), b"hello");
    client.reset();
    door.endpoint.wait_until_left();
    door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "client_gone")], 1.0);
}

/// RFC 9112 §9.6: closing over bytes that were not read is a reset, and takes with it what was still to be sent.
#[test]
fn a_last_answer_arrives_whole_although_the_client_sent_more() {
    let body = "x".repeat(4 << 20);
    let door = Door::with(Script::answers(&body), "");
    for more in ["GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(1000), "junk".repeat(20_000)] {
        let mut client = door.knock([get("Connection: close\r\n"), more.into_bytes()].concat());
        assert!(client.reply().text() == body, "it did not arrive whole");
        client.expect_finished();
    }
    assert_eq!(door.endpoint.request_count(), 2, "nothing is served after the last");
}

#[test]
fn a_storm_of_connections_that_come_and_break_leaks_nothing() {
    let door = Door::with(Script::echoes(), "[log]\naccess = \"off\"\n");
    door.serves();
    let canary = door.canary();
    let descriptors = door.proxy.open_descriptors();
    for round in 0..5_000 {
        let client = if round % 2 == 0 { door.proxy.client() } else { door.knock(&get("")[..round % 24]) };
        leave(client, round % 3 == 0);
    }
    eventually("all descriptors are given back", || door.proxy.open_descriptors() <= descriptors + 2);
    canary.watch(1);
    canary.survives();
    let noise = door.proxy.output().stderr().len();
    assert!(noise < 100, "{noise} lines about clients that went away");
    door.serves();
}

#[test]
fn clients_that_reset_while_answers_are_on_their_way_disturb_no_one() {
    let door = Door::with(Script::answers_after(Duration::from_millis(5), "x"), "");
    let canary = door.canary();
    for _ in 0..300 {
        door.knock(get("")).reset();
    }
    canary.survives();
    eventually("nothing is in flight", || door.proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}

/// One connection after another as fast as they can be had; a canary on another address is served all the time.
#[test]
fn a_flood_over_the_connection_limit_leaves_those_inside_alone() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], "[limit]\nconnections = 20\n").start();
    let mut canary = Client::connect_from("127.0.0.9", proxy.address());
    assert_eq!(canary.get("/").text(), "x");
    // Some are refused while they connect.
    let flood: Vec<_> = (0..200).filter_map(|_| Client::try_connect(proxy.address()).ok()).collect();
    for _ in 0..50 {
        assert_eq!(canary.get("/").text(), "x");
    }
    drop(flood);
    eventually("there is room again", || {
        let client = Client::try_connect(proxy.address()).ok();
        client.is_some_and(|mut client| client.send(get("")) && client.try_reply().is_ok())
    });
}
