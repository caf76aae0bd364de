//! Faults of the machine and of the operator: what is there goes on, what is not is said.

use std::fs::File;
use std::time::Duration;

use rustix::process::Signal;
use tidegate_testkit::http2::Http2Client;
use tidegate_testkit::http2_raw::{self, Fate, RawHttp2, code};
use tidegate_testkit::{Endpoint, Gate, Load, Script, Then, Tidegate, eventually};

use crate::door::{Door, get, post};

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

/// Nobody said how much may be served: the proxy has seen how little memory there is. Each of the crowd sends as much as is taken
/// of it, and those inside fill both of their buffers.
#[test]
fn with_little_memory_a_crowd_gets_503_and_those_inside_are_served() {
    const MEMORY: u64 = 64 << 20;
    const CROWD: usize = 2000;
    const BODY: usize = 256 * 1024;
    let gate = Gate::default();
    let held = gate.clone();
    // Neither reads nor answers until it is let go: bodies pile up in the proxy, as far as they may.
    let slow = Endpoint::start(Script::new(move |visit| {
        held.pass();
        if visit.read_body() { visit.answer("served") } else { Then::Close }
    }));
    let mut proxy = Tidegate::to(&[&slow], "").data_bytes(MEMORY).start();
    let inside_max = proxy.metrics().sum("tidegate_request_limit", &[]) as usize;
    assert!((50..500).contains(&inside_max), "{inside_max} requests in 64 MiB");
    let mut inside: Vec<_> = (0..inside_max).map(|_| proxy.client()).collect();
    let begun = post(&format!("Content-Length: {BODY}\r\n"), "");
    assert!(inside.iter_mut().all(|client| client.send(&begun)));
    slow.wait_for_requests(inside_max);
    let uploads: Vec<_> = inside.iter().map(|client| client.send_aside(vec![b'x'; BODY])).collect();
    let before = proxy.resident_bytes();
    let mut crowd: Vec<_> = (0..CROWD).map(|_| proxy.client()).collect();
    for _ in 0..3 {
        assert!(crowd.iter_mut().all(|client| client.send(get(""))));
        for client in &mut crowd {
            let reply = client.reply();
            assert_eq!((reply.status, reply.cause()), (503, Some("request_limit")));
            assert_eq!(reply.field("retry-after"), Some("1"));
        }
    }
    assert!(proxy.resident_bytes() < before + (8 << 20), "the crowd costs what its connections do");
    gate.open();
    for client in &mut inside {
        assert_eq!(client.reply().text(), "served");
    }
    assert!(uploads.into_iter().all(|upload| upload.join().unwrap()));
    // There is room again, also for those who were turned away and kept their connection.
    assert_eq!(crowd.last_mut().unwrap().get("/").text(), "served");
    assert!(proxy.is_running() && proxy.resident_bytes() < MEMORY);
}

/// Whatever speaks HTTP/2 holds more than a connection does that waits.
#[test]
fn with_little_memory_no_crowd_of_http2_makes_it_grow() {
    const MEMORY: u64 = 64 << 20;
    let slow = Endpoint::start(Script::answers_after(Duration::from_secs(2), "x"));
    let mut proxy = Tidegate::to(&[&slow], "").data_bytes(MEMORY).start();
    let mut crowd: Vec<_> = (0..2000).map(|_| RawHttp2::connect(proxy.address())).collect();
    for client in &mut crowd {
        client.send(http2_raw::get(1, "/"));
    }
    let fates: Vec<_> = crowd.iter_mut().map(|client| client.fate(1)).collect();
    let count = |status| fates.iter().filter(|fate| fate.status() == status).count();
    assert!(count(Some(200)) > 20, "{} were served", count(Some(200)));
    let told = fates.iter().filter(|fate| **fate == Fate::GoneAway(code::ENHANCE_YOUR_CALM)).count();
    assert_eq!(count(Some(503)) + count(Some(200)) + told, crowd.len(), "each knows what became of it");
    assert!(told > 20, "{told} connections of HTTP/2 were too many");
    assert!(proxy.is_running() && proxy.resident_bytes() < MEMORY);
    eventually("each limit that turned one away says so", || {
        let metrics = proxy.metrics();
        let hits = |limit| metrics.sum("tidegate_limit_hits_total", &[("limit", limit)]);
        hits("http2_connections") + hits("requests") >= (crowd.len() - count(Some(200))) as f64
    });
    drop(crowd);
    assert_eq!(proxy.get("/").text(), "x");
}

/// Who may send how much of a body before it is taken follows from the memory.
#[test]
fn with_little_memory_uploads_by_http2_are_slower_and_none_fails() {
    const MEMORY: u64 = 64 << 20;
    let endpoint = Endpoint::start(Script::echoes());
    let mut proxy = Tidegate::to(&[&endpoint], "workers = 1").data_bytes(MEMORY).start();
    let to = proxy.address();
    let body = vec![b'x'; 1 << 20];
    let uploads: Vec<_> = (0..12)
        .map(|_| {
            let body = body.clone();
            std::thread::spawn(move || {
                let client = Http2Client::clear(to);
                let replies = [(); 3].map(|()| {
                    let request = Http2Client::request("POST", "app.test", "/");
                    client.exchange(request, Some(&body), None).unwrap().body.len()
                });
                (client, replies)
            })
        })
        .collect();
    let uploads: Vec<_> = uploads.into_iter().map(|upload| upload.join().unwrap()).collect();
    assert!(uploads.iter().all(|(_, replies)| *replies == [1 << 20; 3]));
    assert!(proxy.is_running() && proxy.resident_bytes() < MEMORY);
    let hits = proxy.metrics().sum("tidegate_limit_hits_total", &[("limit", "http2_windows")]);
    assert!((1.0..12.0).contains(&hits), "{hits} of 12 connections had to be content with less");
}

#[test]
fn a_request_over_the_limit_is_told_so_whatever_of_it_has_come() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Endpoint::start(Script::new(move |visit| {
        held.pass();
        visit.answer("served")
    }));
    let proxy = Tidegate::to(&[&slow], "[limit]\nrequests = 1\n[log]\naccess = \"stdout\"\n").start();
    let mut inside = proxy.client();
    inside.send(get(""));
    slow.wait_for_requests(1);
    for (sent, keeps, why) in [
        (get(""), true, "a whole request"),
        (get("")[..20].to_vec(), false, "a part of one"),
        ([get(""), get("")].concat(), false, "what is behind it is lost"),
        (post("Content-Length: 3\r\n", "x"), false, "its body is not waited for"),
        (post("Expect: 100-continue\r\nContent-Length: 3\r\n", ""), false, "nor asked for"),
    ] {
        let mut outside = proxy.client();
        outside.send(&sent);
        let reply = outside.reply();
        assert_eq!((reply.status, reply.cause()), (503, Some("request_limit")), "{why}");
        assert_eq!(reply.field("connection"), (!keeps).then_some("close"), "{why}");
        if keeps {
            assert_eq!(outside.get("/").status, 503, "{why}");
        } else {
            outside.expect_closed();
        }
    }
    let other = Http2Client::clear(proxy.address());
    let reply = other.get("app.test", "/").unwrap();
    assert_eq!(reply.status(), 503, "an answer of HTTP/1 would mean nothing to it");
    let mut malformed = proxy.client();
    malformed.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_eq!(malformed.reply().status, 400);
    gate.open();
    assert_eq!(inside.reply().text(), "served");
    eventually("there is room again", || proxy.get("/").status == 200);
    assert_eq!(slow.request_count(), 2, "nothing of it was forwarded");
    proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "requests")], 6.0);
    let is_told = |line: &String| line.contains(r#""stage":"policy","cause":"request_limit""#);
    eventually("the log says it", || proxy.output().stdout().iter().any(is_told));
    eventually("nothing is lent", || proxy.metrics().sum("tidegate_requests_in_service", &[]) < 0.5);
}

/// A place is for those who use it: else a few slow heads would keep everybody out for as long as a head may take.
#[test]
fn slow_heads_give_their_places_up_while_all_are_taken() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], "[limit]\nrequests = 2\n[timeout]\nhead = \"5m\"\n").start();
    let mut alone = proxy.client();
    alone.send("GET / HTTP/1.1\r\n");
    std::thread::sleep(Duration::from_millis(1500));
    alone.send("Host: a\r\n\r\n");
    assert_eq!(alone.reply().text(), "x", "nobody needed its place");
    let _slow = ["GET / HTTP/1.1\r\nHost", "PRI * HT"].map(|begun| {
        let mut client = proxy.client();
        client.send(begun);
        client
    });
    eventually("both are taken", || proxy.metrics().sum("tidegate_requests_in_service", &[]) > 1.5);
    assert_eq!(proxy.get("/").cause(), Some("request_limit"));
    eventually("there is room", || proxy.get("/").status == 200);
    proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "requests")], 2.0);
}

/// The same of bodies, which may otherwise be as slow as they like: a byte now and then is enough for `timeout.body_idle`.
#[test]
fn slow_bodies_give_their_places_up_while_all_are_taken() {
    let endpoint =
        Endpoint::start(Script::new(|visit| if visit.read_body() { visit.answer("x") } else { Then::Close }));
    let config = "[limit]\nrequests = 2\n[log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&[&endpoint], config).start();
    let begin = || {
        let mut client = proxy.client();
        client.send(post("Content-Length: 100000\r\n", "x"));
        client
    };
    let mut alone = begin();
    for _ in 0..11 {
        std::thread::sleep(Duration::from_millis(200));
        alone.send("xxx");
    }
    alone.send("x".repeat(100_000 - 1 - 33));
    assert_eq!(alone.reply().text(), "x", "nobody needed its place");
    let mut slow = [begin(), begin()];
    eventually("both are taken", || proxy.metrics().sum("tidegate_requests_in_service", &[]) > 1.5);
    assert_eq!(proxy.get("/").cause(), Some("request_limit"));
    eventually("there is room", || {
        for client in &mut slow {
            client.send("x");
        }
        proxy.get("/").status == 200
    });
    proxy.output().wait_for_stdout(&["\"stage\":\"send\",\"cause\":\"request_limit\""]);
}

/// Whoever asks for a rate gets it: the slow are let go though nobody else waits, and the steady stay.
#[test]
fn bodies_below_the_demanded_rate_are_let_go() {
    let endpoint =
        Endpoint::start(Script::new(|visit| if visit.read_body() { visit.answer("x") } else { Then::Close }));
    let routes = "[limit]\nbody_rate = \"1KiB\"\n[[route]]\npath = \"/events\"\nto = \"cluster\"\nlimit = { body_rate = \"off\" }\n[[route]]\nto = \"cluster\"\n";
    let config = format!("{routes}[cluster.cluster]\nendpoints = [\"{}\"]\n", endpoint.address());
    let proxy = Tidegate::with(&config).start();
    let begin = |path: &str| {
        let mut client = proxy.client();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"));
        client
    };
    let (mut slow, mut steady, mut events) = (begin("/"), begin("/"), begin("/events"));
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(200));
        slow.send("x");
        steady.send("x".repeat(500));
        events.send("x");
    }
    let reply = slow.reply();
    assert_eq!((reply.status, reply.cause()), (408, Some("body_too_slow")));
    steady.send("x".repeat(100_000 - 60 * 500));
    events.send("x".repeat(100_000 - 60));
    for client in [&mut steady, &mut events] {
        assert_eq!(client.reply().text(), "x");
    }
    proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "body_rate")], 1.0);
}

/// Who only waits must not hold the descriptors that serving takes.
#[test]
fn idle_clients_leave_descriptors_for_endpoints() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], "workers = 1\n").start();
    tidegate_testkit::process::limit_descriptors(proxy.id(), 80);
    let mut crowd: Vec<_> = (0..100).map(|_| proxy.client()).collect();
    eventually("accepting pauses", || {
        proxy.try_admin("/metrics").is_some()
            && proxy.metrics().sum("tidegate_listener_accept_pauses_total", &[]) > 0.5
    });
    for client in crowd.iter_mut().take(10) {
        assert_eq!(client.get("/").status, 200, "those inside are served");
    }
    let mut last = crowd.pop().unwrap();
    drop(crowd);
    assert_eq!(last.get("/").status, 200, "those outside come in when others leave");
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
