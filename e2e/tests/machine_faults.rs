//! Faults of the machine and of the operator: what is there goes on, what is not is said.

use std::fs::File;
use std::time::Duration;

use rustix::process::Signal;
use tidegate_testkit::{Client, Endpoint, Gate, Load, Script, Then, Tidegate, eventually};

use crate::canary::{self, Canary};
use crate::door::{Door, post};

#[test]
fn a_full_disk_under_the_log_stops_no_request_and_is_counted() {
    let door = Door::with(Script::echoes(), "[log]\naccess = \"/dev/full\"\n");
    for _ in 0..50 {
        assert_eq!(door.proxy.get("/").status, 200);
    }
    door.proxy.wait_for_metric("tidegate_access_log_lines_dropped_total", &[], 1.0);
    door.serves();
}

#[test]
fn a_log_pipe_that_no_one_reads_stops_no_request_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Open for both directions: a reader that never reads.
    let _reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let door = Door::with(Script::answers("x"), &format!("[log]\naccess = {pipe:?}\n"));
    let load = Load::start(door.proxy.address(), 4, &format!("/{}", "x".repeat(2000)));
    eventually("lines were dropped", || {
        door.proxy.metrics().sum("tidegate_access_log_lines_dropped_total", &[]) > 0.5
    });
    load.wait_for(500);
    load.stop().expect_no_failures();
}

/// `tidegate run | head -1`
#[test]
fn standard_output_that_no_one_reads_any_more_stops_no_request() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], "[log]\naccess = \"stdout\"\n").deaf().start();
    for _ in 0..50 {
        assert_eq!(proxy.get("/").text(), "x");
    }
    proxy.wait_for_metric("tidegate_access_log_lines_dropped_total", &[], 1.0);
    assert_eq!(proxy.get("/").text(), "x");
}

#[test]
fn without_descriptors_for_endpoints_a_request_fails_at_once_with_its_cause() {
    let slow = Endpoint::start(Script::answers_after(Duration::from_millis(300), "x"));
    let proxy = Tidegate::to(&[&slow], "").start();
    let mut clients: Vec<_> = (0..6).map(|_| proxy.client()).collect();
    eventually("all are accepted", || proxy.metrics().sum("tidegate_listener_connections", &[]) > 5.5);
    tidegate_testkit::process::limit_descriptors(proxy.id(), proxy.open_descriptors() as u64 + 1);
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    let replies: Vec<_> = clients.iter_mut().map(tidegate_testkit::Client::reply).collect();
    assert!(replies.iter().any(|reply| reply.cause() == Some("descriptors_exhausted")), "{replies:#?}");
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 503)), "{replies:#?}");
    tidegate_testkit::process::limit_descriptors(proxy.id(), 1000);
    assert_eq!(proxy.get("/").text(), "x");
}

#[test]
fn ten_thousand_routes_are_served_and_reloaded() {
    let route = |version: u32, at: u32| {
        let matchers = format!("[[route]]\nhost = \"h{at}.example\"\npath = \"/p{at}\"\n");
        matchers + &format!("answer = {{ status = 200, body = \"{version}-{at}\" }}\n")
    };
    let routes = |version| (0..10_000).map(|at| route(version, at)).collect::<Vec<_>>().concat();
    let proxy = Tidegate::with(routes(1)).start();
    let ask = |at: u32| {
        let mut client = proxy.client();
        client.send(format!("GET /p{at}/x HTTP/1.1\r\nHost: h{at}.example\r\n\r\n"));
        client.reply().text()
    };
    assert_eq!((ask(0), ask(9_999)), ("1-0".into(), "1-9999".into()));
    proxy.reload(&routes(2));
    eventually("the new ones serve", || ask(5_000) == "2-5000");
}

#[test]
fn a_storm_of_reloads_ends_with_the_last_file() {
    let endpoint = Endpoint::answering("x");
    let config = |body: u32| {
        format!(
            "[[route]]\npath = \"/v\"\nanswer = {{ status = 200, body = \"{body}\" }}\n[[route]]\nto = {:?}\n",
            endpoint.address()
        )
    };
    let proxy = Tidegate::with(config(0)).start();
    let load = Load::start(proxy.address(), 2, "/");
    for version in 1..=200 {
        proxy.reload(&config(version));
    }
    eventually("the last one serves", || proxy.get("/v").text() == "200");
    load.stop().expect_no_failures();
}

#[test]
fn a_huge_file_is_refused_and_changes_nothing() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], "").start();
    proxy.rewrite(&"# a comment\n".repeat(3_000_000));
    proxy.signal(Signal::HUP);
    eventually("it was refused", || {
        proxy.metrics().sum("tidegate_config_reloads_total", &[("outcome", "refused")]) > 0.5
    });
    assert_eq!(proxy.get("/").text(), "x");
}

#[test]
fn a_file_that_vanished_changes_nothing() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], "").start();
    std::fs::remove_file(proxy.folder().join("tidegate.toml")).unwrap();
    proxy.signal(Signal::HUP);
    eventually("it was refused", || {
        proxy.metrics().sum("tidegate_config_reloads_total", &[("outcome", "refused")]) > 0.5
    });
    assert_eq!(proxy.get("/").text(), "x");
}

/// The limit is what docs/operations.md calculates for so much memory. Each of the crowd fills both of its buffers; those that
/// come too many are turned away at once, and what is allowed inside never needs more than there is.
#[test]
fn with_little_memory_and_a_fitting_limit_a_crowd_is_turned_away_and_those_inside_are_served() {
    const MEMORY: u64 = 64 << 20;
    const INSIDE: usize = 400;
    const BODY: usize = 256 * 1024;
    let gate = Gate::default();
    let held = gate.clone();
    // Neither reads nor answers until it is let go: bodies pile up in the proxy, as far as they may.
    let slow = Endpoint::start(Script::new(move |visit| {
        held.pass();
        if visit.read_body() { visit.answer("served") } else { Then::Close }
    }));
    let beside = Endpoint::answering("canary");
    let config = format!("[limit]\nconnections = {}\n{}", INSIDE + 1, canary::route_to(&beside));
    let mut proxy = Tidegate::to(&[&slow], &config).data_bytes(MEMORY).start();
    let canary = Canary::before(&proxy);
    let mut inside: Vec<_> = (0..INSIDE).map(|_| proxy.client()).collect();
    let begun = post(&format!("Content-Length: {BODY}\r\n"), "");
    assert!(inside.iter_mut().all(|client| client.send(&begun)));
    slow.wait_for_requests(INSIDE);
    let uploads: Vec<_> = inside.iter().map(|client| client.send_aside(vec![b'x'; BODY])).collect();
    let too_many: Vec<_> = (0..INSIDE).filter_map(|_| Client::try_connect(proxy.address()).ok()).collect();
    proxy.wait_for_metric("tidegate_listener_connections_refused_total", &[], INSIDE as f64);
    drop(too_many);
    gate.open();
    for client in &mut inside {
        assert_eq!(client.reply().text(), "served");
    }
    assert!(uploads.into_iter().all(|upload| upload.join().unwrap()));
    assert!(proxy.is_running() && proxy.resident_bytes() < MEMORY);
    canary.stays_served();
}

/// The kernel closes what it had; the one that takes its place can bind at once.
#[test]
fn after_a_kill_the_port_can_be_taken_again_at_once() {
    let endpoint = Endpoint::answering("x");
    let mut proxy = Tidegate::to(&[&endpoint], "").start();
    for _ in 0..3 {
        let mut open = proxy.client();
        assert_eq!(open.get("/").text(), "x");
        proxy.kill();
        open.expect_closed();
        proxy.restart();
        assert_eq!(proxy.get("/").text(), "x");
    }
}

#[test]
fn a_connection_that_waits_costs_no_processor_time() {
    let silent = Endpoint::start(Script::is_silent());
    let proxy = Tidegate::to(&[&silent], "").start();
    let mut waiting: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in waiting.iter_mut().take(10) {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    silent.wait_for_requests(10);
    let before = tidegate_testkit::process::cpu_ticks(proxy.id());
    std::thread::sleep(Duration::from_millis(500));
    assert!(tidegate_testkit::process::cpu_ticks(proxy.id()) - before < 10, "something spins");
}
