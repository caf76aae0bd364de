//! Everything that can grow has a limit, and each limit is counted when it is hit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_testkit::http2::{Http2Client, exchange};
use tidegate_testkit::process::limit_descriptors;
use tidegate_testkit::{Client, Endpoint, Gate, Gone, Script, Tidegate, eventually};

use crate::door::{Door, expect_signed, get, post};

#[test]
fn limits_of_heads_and_bodies_can_be_set_and_are_counted() {
    let limits =
        "[limit]\nhead_bytes = \"1KiB\"\nfield_count = 10\ntarget_bytes = \"100B\"\nbody_bytes = \"50B\"\n";
    let door = Door::with(Script::echoes(), limits);
    let cases = [
        ("head_bytes", 431, get(&format!("X: {}\r\n", "x".repeat(1024)))),
        ("field_count", 431, get(&"X: 1\r\n".repeat(10))),
        ("target_bytes", 414, format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(100)).into()),
        ("body_bytes", 413, post("Content-Length: 51\r\n", "x".repeat(51))),
    ];
    for (limit, status, input) in cases {
        let reply = door.ask(input);
        assert_eq!(reply.status, status, "{limit}");
        expect_signed(&reply);
        door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", limit)], 1.0);
    }
    assert_eq!(door.ask(get(&"X: 1\r\n".repeat(9))).status, 200);
    assert_eq!(door.endpoint.request_count(), 1);
}

#[test]
fn connections_over_the_limit_are_refused_and_counted_and_room_is_given_back() {
    let door = Door::with(Script::echoes(), "[limit]\nconnections = 4\n");
    let mut kept: Vec<_> = (0..4).map(|_| door.proxy.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
    if let Ok(mut refused) = Client::try_connect(door.proxy.address()) {
        refused.send(get(""));
        let (answer, gone) = refused.rest();
        assert_ne!(gone, Gone::Silent, "it is neither served nor refused");
        assert!(!String::from_utf8_lossy(&answer).contains(" 200 "), "the limit does not hold");
    }
    door.proxy.wait_for_metric("tidegate_listener_connections_refused_total", &[], 1.0);
    // The ones inside are none the worse, and a place that is left is given away.
    assert!(kept.iter_mut().all(|client| client.get("/").status == 200));
    kept.pop();
    eventually("a newcomer is served", || {
        let client = Client::try_connect(door.proxy.address()).ok();
        client.is_some_and(|mut client| {
            client.send(get(""));
            client.try_reply().is_ok_and(|reply| reply.status == 200)
        })
    });
}

#[test]
fn idle_connections_to_endpoints_are_bounded_over_all_workers() {
    let slow = Endpoint::start(Script::answers_after(std::time::Duration::from_millis(100), "x"));
    let proxy = Tidegate::to(&[&slow], "workers = 2\n[limit]\nupstream_idle_connections = 2\n").start();
    let mut clients: Vec<_> = (0..10).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(get(""));
    }
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
    assert_eq!(slow.accepted(), 10);
    eventually("two are kept", || slow.open_connections() == 2);
}

/// An endpoint with a thread for each connection has none left where each worker keeps its own.
#[test]
fn connections_that_one_worker_keeps_serve_the_others() {
    let endpoint = Endpoint::answering("app");
    let proxy = Tidegate::to(&[&endpoint], "workers = 8\n").start();
    for _ in 0..60 {
        assert_eq!(proxy.get("/").status, 200); // by a connection of its own, to any worker
    }
    assert!(endpoint.accepted() <= 3, "{} connections for one request at a time", endpoint.accepted());
    endpoint.close_connections();
    eventually("nobody keeps what has ended", || {
        proxy.metrics().sum("tidegate_endpoint_connections", &[]) < 0.5
    });
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn requests_that_wait_for_a_connection_are_bounded() {
    let (slow, most) = counting();
    let config = format!(
        "[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{:?}]\n\
         limit = {{ upstream_connections = 1, pending_requests = 2 }}\n",
        slow.address()
    );
    let proxy = Tidegate::with(config).start();
    let mut clients: Vec<Client> = (0..6).map(|_| proxy.client()).collect();
    clients[0].send(get(""));
    slow.wait_for_requests(1); // it has the only connection
    for client in &mut clients[1..] {
        client.send(get(""));
    }
    let replies: Vec<_> = clients.iter_mut().map(Client::reply).collect();
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert_eq!((served, refused.len()), (3, 3));
    for reply in refused {
        assert_eq!(reply.cause(), Some("pending_limit"));
        expect_signed(reply);
    }
    proxy.wait_for_metric("tidegate_cluster_pending_refused_total", &[], 3.0);
    assert_eq!(most.load(Ordering::Acquire), 1, "more than one request at once");
}

/// A slow endpoint, and the most requests it ever had at once.
fn counting() -> (Endpoint, Arc<AtomicUsize>) {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let script = Script::new(move |visit| {
        seen.fetch_max(now.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
        std::thread::sleep(std::time::Duration::from_millis(300));
        now.fetch_sub(1, Ordering::AcqRel);
        visit.answer("x")
    });
    (Endpoint::start(script), most)
}

#[test]
fn out_of_descriptors_accepting_pauses_those_inside_are_served_and_it_recovers() {
    let door = Door::open();
    let mut inside = door.proxy.client();
    assert_eq!(inside.get("/").status, 200);
    let spare = 8;
    limit_descriptors(door.proxy.id(), (door.proxy.open_descriptors() + spare) as u64);
    let crowd: Vec<_> = (0..40).map(|_| door.proxy.client()).collect();
    eventually("the crowd took what there was", || door.proxy.open_descriptors() >= spare);
    for _ in 0..20 {
        assert_eq!(inside.get("/").status, 200);
    }
    let ticks = tidegate_testkit::process::cpu_ticks(door.proxy.id());
    std::thread::sleep(std::time::Duration::from_millis(500));
    let spent = tidegate_testkit::process::cpu_ticks(door.proxy.id()) - ticks;
    assert!(spent < 25, "{spent} of 50 ticks went into waiting for descriptors");
    drop(crowd);
    eventually("newcomers are served", || {
        let client = Client::try_connect(door.proxy.address()).ok();
        client.is_some_and(|mut client| {
            client.send(get(""));
            client.try_reply().is_ok_and(|reply| reply.status == 200)
        })
    });
    door.proxy.wait_for_metric("tidegate_listener_accept_pauses_total", &[], 1.0);
}

/// An endpoint that lets requests for `/first` wait at a gate, and answers all others.
fn gated() -> (Endpoint, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let script = Script::new(move |visit| {
        if visit.request().target == "/first" {
            held.pass();
        }
        visit.answer("x")
    });
    (Endpoint::start(script), gate)
}

/// Waiting for one of `upstream_connections` is time in the queue: the endpoint did not cause it.
#[test]
fn waiting_for_a_connection_is_not_charged_to_the_endpoint() {
    let (endpoint, gate) = gated();
    let config = format!(
        "[log]\naccess = \"stdout\"\n[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{:?}]\n\
         limit = {{ upstream_connections = 1 }}\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    let (mut first, mut second) = (proxy.client(), proxy.client());
    first.send("GET /first HTTP/1.1\r\nHost: test\r\n\r\n");
    endpoint.wait_for_requests(1);
    second.send("GET /second HTTP/1.1\r\nHost: test\r\n\r\n");
    // What passes here is what the second request waits, at least; how long is for nobody to know exactly.
    let waits = std::time::Duration::from_millis(400);
    std::thread::sleep(waits);
    gate.open();
    assert_eq!((first.reply().status, second.reply().status), (200, 200));
    let line = proxy.output().wait_for_stdout(&["/second"]);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let millis = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"));
    assert!(millis("queue_ms") > millis("total_ms") / 2.0, "{line}");
    assert!(millis("first_byte_ms") < millis("total_ms") / 2.0, "{line}");
    let endpoints_time = proxy.metrics().sum("tidegate_endpoint_first_byte_seconds_sum", &[]);
    assert!(endpoints_time > 0.0, "the name of the metric is right");
    // One answer took as long as the gate was shut, the other next to nothing.
    let whole = proxy.metrics().sum("tidegate_request_duration_seconds_sum", &[]);
    assert!(endpoints_time < whole * 0.75, "{endpoints_time} s of {whole} s are charged to the endpoint");
}

/// Its request reaches nobody, and the next one in the line has its place.
#[test]
fn a_client_that_leaves_while_it_waits_for_a_connection_leaves_no_trace() {
    let (endpoint, gate) = gated();
    let config = format!(
        "workers = 1\ntimeout.connect = \"1m\"\n[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{:?}]\n\
         limit = {{ upstream_connections = 1, pending_requests = 1 }}\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    let pending = || proxy.metrics().sum("tidegate_cluster_pending_requests", &[]);
    let mut first = proxy.client();
    first.send("GET /first HTTP/1.1\r\nHost: test\r\n\r\n");
    endpoint.wait_for_requests(1);
    let mut leaves = proxy.client();
    leaves.send("GET /leaves HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("it waits", || pending() > 0.5);
    leaves.reset();
    eventually("it has left", || pending() < 0.5);
    let client = Http2Client::clear(proxy.address());
    client.run(async {
        let request = Http2Client::request("POST", "test", "/leaves");
        let leaves = tokio::spawn(exchange(client.sender(), request, Some(vec![7; 65_535].into()), None));
        eventually("it waits", || pending() > 0.5);
        leaves.abort();
        eventually("it has left", || pending() < 0.5);
    });
    let mut last = proxy.client();
    last.send("GET /last HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("it waits", || pending() > 0.5);
    gate.open();
    assert_eq!((first.reply().status, last.reply().status), (200, 200));
    let targets: Vec<_> = endpoint.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/first", "/last"]);
    proxy.wait_for_metric("tidegate_failures_total", &[("cause", "client_gone"), ("stage", "connect")], 2.0);
}

#[test]
fn one_pending_request_is_enough_to_be_served() {
    let config = "[limit]\npending_requests = 1\n";
    let door = Door::with(Script::echoes(), config);
    assert_eq!(door.ask(get("")).status, 200);
}
