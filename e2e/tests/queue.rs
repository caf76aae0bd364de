//! Endpoints that take only so many requests at once: nobody gets more, whoever waits is served in turn or told when to
//! come back, and whoever leaves leaves no trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_testkit::http2::{Http2Client, exchange};
use tidegate_testkit::{Client, Endpoint, Gate, Load, Proxy, Reply, Script, Then, Tidegate, eventually};

use crate::door::expect_signed;

/// An endpoint that lets requests for `/held` wait at a gate, and answers all others.
fn gated() -> (Endpoint, Gate) {
    let gate = Gate::default();
    let seen = gate.clone();
    let script = Script::new(move |visit| {
        if visit.request().target == "/held" {
            seen.pass();
        }
        // An answer that comes before the end of a body may cut it off.
        if visit.read_body() { visit.answer("x") } else { Then::Close }
    });
    (Endpoint::start(script), gate)
}

fn one_at_a_time(endpoint: &Endpoint, more: &str) -> String {
    format!(
        "workers = 4\nlimit = {{ endpoint_requests = 1 }}\n{more}\n[[route]]\npath = \"/high\"\nto = \"app\"\n\
         priority = \"high\"\n[[route]]\npath = \"/low\"\nto = \"app\"\npriority = \"low\"\n\
         [[route]]\npath = \"/hasty\"\nto = \"app\"\ntimeout = {{ queue = \"50ms\" }}\n\
         [[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{:?}]\n",
        endpoint.address()
    )
}

fn asks(proxy: &Proxy, target: &str) -> Client {
    let mut client = proxy.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client
}

/// Takes the only place of the endpoint.
fn hold(proxy: &Proxy, endpoint: &Endpoint) -> Client {
    let client = asks(proxy, "/held");
    endpoint.wait_for_requests(1);
    client
}

/// Asks for each of these, the next when the one before waits.
fn queue_up(proxy: &Proxy, targets: &[&str]) -> Vec<Client> {
    let before = queued(proxy);
    (1..)
        .zip(targets)
        .map(|(place, target)| {
            let client = asks(proxy, target);
            eventually("it waits", || queued(proxy) == before + place);
            client
        })
        .collect()
}

fn queued(proxy: &Proxy) -> usize {
    proxy.metrics().sum("tidegate_cluster_queued_requests", &[]) as usize
}

fn order(endpoint: &Endpoint) -> Vec<String> {
    endpoint.requests().into_iter().map(|request| request.target).collect()
}

/// What a line of the log says of that.
fn queue_millis(line: &str) -> f64 {
    let millis = line.split("\"queue_ms\":").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
    millis.unwrap_or_else(|| panic!("no queue_ms in {line}"))
}

fn expect_sent_away(reply: &Reply, cause: &str) -> u64 {
    assert_eq!((reply.status, reply.cause()), (503, Some(cause)));
    expect_signed(reply);
    reply.field("retry-after").and_then(|seconds| seconds.parse().ok()).expect("it says when to come back")
}

#[test]
fn no_endpoint_gets_more_than_it_takes_however_many_clients_and_workers() {
    const MOST: usize = 3;
    let counting = || {
        let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let script = Script::new(move |visit| {
            seen.fetch_max(now.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
            std::thread::sleep(Duration::from_millis(3));
            now.fetch_sub(1, Ordering::AcqRel);
            visit.answer("x")
        });
        (Endpoint::start(script), most)
    };
    let [(a, most_of_a), (b, most_of_b)] = [counting(), counting()];
    let config = format!("workers = 4\n[limit]\nendpoint_requests = {MOST}\n[timeout]\nqueue = \"15s\"\n");
    let proxy = Tidegate::to(&[&a, &b], &config).start();
    let load = Load::start(proxy.address(), 200, "/");
    load.wait_for(2_000);
    load.stop().expect_no_failures();
    assert_eq!([most_of_a, most_of_b].map(|most| most.load(Ordering::Acquire)), [MOST; 2]);
    eventually("nobody waits any more", || queued(&proxy) == 0);
    assert!(proxy.metrics().sum("tidegate_cluster_queue_seconds_count", &[]) > 1_000.0);
    assert!(proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}

#[test]
fn whoever_waits_is_served_in_the_order_of_arrival() {
    let (endpoint, gate) = gated();
    let proxy = Tidegate::with(one_at_a_time(&endpoint, "")).start();
    let mut clients = vec![hold(&proxy, &endpoint)];
    let targets: Vec<String> = (0..12).map(|number| format!("/{number}")).collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    clients.extend(queue_up(&proxy, &targets));
    gate.open();
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    assert_eq!(order(&endpoint)[1..], targets);
}

#[test]
fn routes_of_a_higher_priority_come_first_and_none_starves() {
    let (endpoint, gate) = gated();
    let proxy = Tidegate::with(one_at_a_time(&endpoint, "")).start();
    let mut clients = vec![hold(&proxy, &endpoint)];
    clients.extend(queue_up(&proxy, &["/low", "/low", "/normal", "/normal"]));
    clients.extend(queue_up(&proxy, &["/high"; 20]));
    gate.open();
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    let order = order(&endpoint);
    let place = |target: &str| order.iter().position(|seen| seen == target).expect("it was served");
    assert!(place("/high") < place("/normal") && place("/normal") < place("/low"), "{order:?}");
    assert!(place("/low") <= 20, "one low turn for sixteen high ones: {order:?}");
}

#[test]
fn whoever_gives_up_leaves_its_turn_to_the_next_of_its_priority() {
    let (endpoint, gate) = gated();
    let proxy = Tidegate::with(one_at_a_time(&endpoint, "")).start();
    let mut clients = vec![hold(&proxy, &endpoint)];
    let impatient = queue_up(&proxy, &["/impatient"; 10]);
    clients.extend(queue_up(&proxy, &["/patient"]));
    clients.extend(queue_up(&proxy, &["/high"; 20]));
    impatient.into_iter().for_each(Client::reset);
    eventually("they are gone", || queued(&proxy) == 21);
    gate.open();
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    let order = order(&endpoint);
    let place = order.iter().position(|seen| seen == "/patient").expect("it was served");
    assert!(place <= 5, "one normal turn for four high ones: {order:?}");
}

/// Two may wait.
fn one_at_a_time_and_two_wait(endpoint: &Endpoint) -> Proxy {
    let config = one_at_a_time(endpoint, "[limit]\nqueued_requests = 2")
        .replace("limit = { endpoint_requests = 1 }\n[limit]\n", "[limit]\nendpoint_requests = 1\n");
    Tidegate::with(config).start()
}

#[test]
fn who_is_more_urgent_takes_the_place_of_the_newest_that_is_not() {
    let (endpoint, gate) = gated();
    let proxy = one_at_a_time_and_two_wait(&endpoint);
    let mut clients = vec![hold(&proxy, &endpoint)];
    clients.extend(queue_up(&proxy, &["/low"]));
    let mut newest = queue_up(&proxy, &["/low"]);
    clients.push(asks(&proxy, "/high"));
    expect_sent_away(&newest.remove(0).reply(), "queue_full");
    assert_eq!(queued(&proxy), 2);
    proxy.wait_for_metric("tidegate_cluster_sheds_total", &[("reason", "full")], 1.0);
    expect_sent_away(&proxy.get("/low"), "queue_full");
    gate.open();
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    eventually("nobody waits", || queued(&proxy) == 0);
    assert_eq!(order(&endpoint), ["/held", "/high", "/low"]);
}

#[test]
fn a_full_queue_sends_away_at_once() {
    let (endpoint, gate) = gated();
    let proxy = one_at_a_time_and_two_wait(&endpoint);
    let mut clients = vec![hold(&proxy, &endpoint)];
    clients.extend(queue_up(&proxy, &["/", "/"]));
    let asked = Instant::now();
    expect_sent_away(&proxy.get("/"), "queue_full");
    assert!(asked.elapsed() < Duration::from_secs(4), "it waited all the same");
    proxy.wait_for_metric("tidegate_cluster_sheds_total", &[("reason", "full")], 1.0);
    gate.open();
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
}

#[test]
fn nobody_waits_for_longer_than_the_route_allows() {
    let (endpoint, gate) = gated();
    let proxy = Tidegate::with(one_at_a_time(&endpoint, "log = { access = \"stdout\" }")).start();
    let mut holding = hold(&proxy, &endpoint);
    expect_sent_away(&proxy.get("/hasty"), "queue_timeout");
    proxy.wait_for_metric("tidegate_cluster_sheds_total", &[("reason", "timeout")], 1.0);
    gate.open();
    assert_eq!(holding.reply().status, 200);
    let line = proxy.output().wait_for_stdout(&["\"queue_timeout\""]);
    assert!(line.contains("\"cluster\":\"app\",\"endpoint\":null"), "{line}");
    assert!(queue_millis(&line) >= 50.0, "{line}");
}

/// What it failed with stands among the attempts that were given up, and once only.
#[test]
fn a_retry_that_finds_no_room_in_time_is_logged_as_having_waited() {
    let gate = Gate::default();
    let endpoint = || {
        let seen = gate.clone();
        Endpoint::start(Script::new(move |visit| {
            if visit.request().target == "/hasty" {
                return Then::Close;
            }
            seen.pass();
            visit.answer("x")
        }))
    };
    let endpoints = [endpoint(), endpoint()];
    let both = format!("endpoints = [{:?}, ", endpoints[1].address());
    let config = one_at_a_time(&endpoints[0], "log = { access = \"stdout\" }");
    let proxy = Tidegate::with(config.replace("endpoints = [", &both)).start();
    let mut holding = asks(&proxy, "/held");
    eventually("one is held", || endpoints.iter().any(|endpoint| endpoint.request_count() == 1));
    expect_sent_away(&proxy.get("/hasty"), "queue_timeout");
    gate.open();
    assert_eq!(holding.reply().status, 200);
    let line = proxy.output().wait_for_stdout(&["\"cause\":\"queue_timeout\""]);
    for part in [
        "\"cluster\":\"app\",\"endpoint\":null",
        "\"attempts\":1,",
        "\"connect_ms\":null,\"first_byte_ms\":null",
        "\"given_up\":[{\"endpoint\":\"127.0.0.1:",
        "\"cause\":\"endpoint_closed\"",
        "\"no_retry\":\"queue\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(queue_millis(&line) >= 50.0, "{line}");
    proxy.wait_for_metric("tidegate_cluster_retries_refused_total", &[("reason", "queue")], 1.0);
}

#[test]
fn an_endpoint_that_refused_who_waits_now_is_asked_again_when_it_is_back() {
    let (busy, _gate) = gated();
    let mut restarted = Endpoint::answering("back");
    let config = one_at_a_time(&busy, "timeout.queue = \"30s\"")
        .replace("endpoint_requests = 1", "endpoint_requests = 1, upstream_idle_connections = 0");
    let both = format!("endpoints = [{:?}, {:?}]", busy.address(), restarted.address());
    let config = config.replace(&format!("endpoints = [{:?}]", busy.address()), &both);
    let proxy = Tidegate::with(config).start();
    let mut held = Vec::new();
    while busy.request_count() == 0 {
        held.push(asks(&proxy, "/held"));
        eventually("it is somewhere", || busy.request_count() + restarted.request_count() >= held.len());
    }
    eventually("the other one has none", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 1.5);
    restarted.kill();
    let mut refused = asks(&proxy, "/refused");
    eventually("it waits for the other one", || queued(&proxy) == 1);
    restarted.revive();
    assert_eq!(refused.reply().text(), "back");
}

/// It crashes and is back again and again, sooner than its mark ends.
#[test]
fn who_is_out_for_refusing_is_asked_by_those_that_wait() {
    let (busy, _gate) = gated();
    let mut crashed = Endpoint::answering("back");
    let config = one_at_a_time(&busy, "timeout.queue = \"30s\"\npassive = { retry_after = \"1h\" }")
        .replace("endpoint_requests = 1", "endpoint_requests = 1, upstream_idle_connections = 0");
    let both = format!("endpoints = [{:?}, {:?}]", busy.address(), crashed.address());
    let proxy = Tidegate::with(config.replace(&format!("endpoints = [{:?}]", busy.address()), &both)).start();
    let mut held = Vec::new();
    while busy.request_count() == 0 {
        held.push(asks(&proxy, "/held"));
        eventually("it is somewhere", || busy.request_count() + crashed.request_count() >= held.len());
    }
    eventually("the other one has none", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 1.5);
    for _ in 0..2 {
        crashed.kill();
        let mut waiting: Vec<Client> = (0..4).map(|_| asks(&proxy, "/waits")).collect();
        eventually("it is out", || proxy.metrics().sum("tidegate_endpoint_up", &[]) < 1.5);
        crashed.revive();
        assert!(waiting.iter_mut().all(|client| client.reply().text() == "back"));
        eventually("it is back", || proxy.metrics().sum("tidegate_endpoint_up", &[]) > 1.5);
    }
}

/// The one that has the place has just asked in vain, and asks again after a second.
#[test]
fn who_finds_no_place_to_wait_asks_who_is_out_for_refusing() {
    let (busy, _gate) = gated();
    let mut crashed = Endpoint::answering("back");
    let config = one_at_a_time(
        &busy,
        "timeout.queue = \"30s\"\npassive = { connect_failures = 1, retry_after = \"1h\" }",
    )
    .replace(
        "endpoint_requests = 1",
        "endpoint_requests = 1, queued_requests = 1, upstream_idle_connections = 0",
    );
    let both = format!("endpoints = [{:?}, {:?}]", busy.address(), crashed.address());
    let proxy = Tidegate::with(config.replace(&format!("endpoints = [{:?}]", busy.address()), &both)).start();
    let mut held = Vec::new();
    while busy.request_count() == 0 || crashed.request_count() == 0 {
        held.push(asks(&proxy, "/held"));
        eventually("it is somewhere", || busy.request_count() + crashed.request_count() >= held.len());
    }
    eventually("the other one has none", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 1.5);
    crashed.kill();
    let mut waits = asks(&proxy, "/waits");
    eventually("it is out", || proxy.metrics().sum("tidegate_endpoint_up", &[]) < 1.5);
    crashed.revive();
    let served = (0..8).find(|_| {
        std::thread::sleep(Duration::from_millis(60));
        asks(&proxy, "/new").reply().status == 200
    });
    assert!(served.is_some());
    assert_eq!(waits.reply().text(), "back");
}

fn failing() -> Endpoint {
    Endpoint::start(Script::writes("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", Then::KeepAlive))
}

/// One that may be held, beside one that answers everything with 500 and is known for it.
fn held_beside_a_failing_one(limits: &str) -> (Endpoint, Gate, Endpoint, Proxy, Client) {
    let (sound, gate) = gated();
    let failing = failing();
    let config = one_at_a_time(&sound, "").replace("endpoint_requests = 1", limits);
    let both = format!(
        "endpoints = [{:?}, {{ address = {:?}, requests = 20 }}]",
        sound.address(),
        failing.address()
    );
    let proxy =
        Tidegate::with(config.replace(&format!("endpoints = [{:?}]", sound.address()), &both)).start();
    eventually("it is known for failing", || {
        let before = failing.request_count();
        (0..20).for_each(|_| drop(asks(&proxy, "/").reply()));
        failing.request_count() == before
    });
    let mut held = asks(&proxy, "/held");
    eventually("the sound one has it", || {
        let is_there = order(&sound).iter().any(|target| target == "/held");
        if !is_there && failing.requests().last().is_some_and(|request| request.target == "/held") {
            held = asks(&proxy, "/held");
        }
        is_there
    });
    (sound, gate, failing, proxy, held)
}

/// Two places that take a while, three times as many clients, and one that fails at once.
#[test]
fn who_fails_is_not_asked_because_the_other_is_full() {
    let sound = Endpoint::start(Script::answers_after(Duration::from_millis(20), "x"));
    let failing = failing();
    let proxy = Tidegate::to(&[&sound, &failing], "[limit]\nendpoint_requests = 2\n").start();
    let load = Load::start(proxy.address(), 6, "/");
    eventually("some are served", || sound.request_count() >= 200);
    let (before, failed) = (sound.request_count(), failing.request_count());
    eventually("others are", || sound.request_count() >= before + 200);
    drop(load.stop());
    let failed = failing.request_count() - failed;
    assert!(failed <= 20, "{failed} failed beside 200 that were served");
}

/// Neither for want of a place to wait, nor when the time to wait is over, nor when the others take far longer than usual.
#[test]
fn who_waits_in_vain_asks_who_fails() {
    let limits = "endpoint_requests = 1, queued_requests = 1";
    let (_sound, gate, _failing, proxy, mut held) = held_beside_a_failing_one(limits);
    let mut others: Vec<Client> =
        ["/waits", "/new", "/hasty", "/high"].iter().map(|target| asks(&proxy, target)).collect();
    let replies: Vec<_> = others
        .iter_mut()
        .map(Client::reply)
        .map(|reply| (reply.status, reply.cause().map(str::to_owned)))
        .collect();
    assert!(replies.iter().all(|reply| reply.0 == 500), "{replies:?}");
    gate.open();
    assert_eq!(held.reply().text(), "x");
}

#[test]
fn who_is_cut_after_a_wait_waits_no_longer_for_that() {
    let (busy, _gate) = gated();
    let cuts = Endpoint::start(Script::new(|visit| {
        if visit.request().target == "/waits" {
            return Then::Close;
        }
        std::thread::sleep(Duration::from_secs(2));
        visit.answer("x")
    }));
    let both = format!("endpoints = [{:?}, {:?}]", busy.address(), cuts.address());
    let config = one_at_a_time(&busy, "log = { access = \"stdout\" }\ntimeout = { queue = \"3s\" }");
    let proxy = Tidegate::with(config.replace(&format!("endpoints = [{:?}]", busy.address()), &both)).start();
    let _holding = [asks(&proxy, "/held"), asks(&proxy, "/held")];
    eventually("both are full", || busy.request_count() + cuts.request_count() == 2);
    expect_sent_away(&proxy.get("/waits"), "queue_timeout");
    let line = proxy.output().wait_for_stdout(&["/waits", "\"cause\":\"endpoint_closed\""]);
    let waited = queue_millis(&line);
    assert!((2900.0..4500.0).contains(&waited), "more than one wait: {waited}");
}

/// The other one refuses it again and again while it waits.
#[test]
fn who_is_refused_while_it_waits_waits_no_longer_for_that() {
    let (busy, _gate) = gated();
    let down = Endpoint::down(Script::echoes());
    let both = format!("endpoints = [{:?}, {:?}]", busy.address(), down.address());
    let config = one_at_a_time(&busy, "log = { access = \"stdout\" }\ntimeout = { queue = \"3s\" }");
    let config = config.replace(&format!("endpoints = [{:?}]", busy.address()), &both);
    let proxy = Tidegate::with(config).start();
    let _holding = hold(&proxy, &busy);
    expect_sent_away(&proxy.get("/waits"), "queue_timeout");
    let waited = queue_millis(&proxy.output().wait_for_stdout(&["/waits"]));
    assert!((3000.0..5900.0).contains(&waited), "more than one wait: {waited}");
}

#[test]
fn whose_turn_would_come_too_late_is_told_at_once_and_when_to_come_back() {
    let slow = Endpoint::start(Script::answers_after(Duration::from_millis(150), "x"));
    let more = "timeout = { queue = \"15s\" }";
    let proxy = Tidegate::with(one_at_a_time(&slow, more)).start();
    let mut clients: Vec<Client> = (0..40).map(|_| asks(&proxy, "/")).collect();
    // By then the pace of the queue is known, and more than thirty wait: about five seconds.
    slow.wait_for_requests(8);
    let seconds = expect_sent_away(&proxy.get("/hasty"), "shed");
    assert!((2..=30).contains(&seconds), "{seconds}");
    proxy.wait_for_metric("tidegate_cluster_sheds_total", &[("reason", "predicted")], 1.0);
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
}

#[test]
fn a_client_that_leaves_the_queue_leaves_no_trace() {
    let (endpoint, gate) = gated();
    let proxy = Tidegate::with(one_at_a_time(&endpoint, "")).start();
    let mut holding = hold(&proxy, &endpoint);
    let mut clients = queue_up(&proxy, &["/1", "/2", "/3", "/4"]);
    clients.remove(2).reset();
    clients.remove(0).reset();
    eventually("two still wait", || queued(&proxy) == 2);
    gate.open();
    assert_eq!(holding.reply().status, 200);
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    assert_eq!(order(&endpoint)[1..], ["/2", "/4"]);
    proxy.wait_for_metric("tidegate_failures_total", &[("cause", "client_gone"), ("stage", "pick")], 2.0);
    eventually("nothing is in flight", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}

#[test]
fn a_reload_keeps_the_queue_and_the_counts() {
    let (endpoint, gate) = gated();
    let config = one_at_a_time(&endpoint, "");
    let proxy = Tidegate::with(config.clone()).start();
    let mut clients = vec![hold(&proxy, &endpoint)];
    clients.extend(queue_up(&proxy, &["/1", "/2"]));
    proxy.reload(&config.replace("[[route]]\nto = \"app\"\n", "[[route]]\nname = \"rest\"\nto = \"app\"\n"));
    proxy.wait_for_metric("tidegate_config_reloads_total", &[("outcome", "applied")], 1.0);
    assert_eq!(queued(&proxy), 2);
    assert!(proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) > 0.5);
    clients.extend(queue_up(&proxy, &["/3"]));
    gate.open();
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    assert_eq!(order(&endpoint)[1..], ["/1", "/2", "/3"]);
}

/// The end of its body has come before its turn has.
#[test]
fn requests_of_http2_with_bodies_wait_like_all_others_and_may_leave() {
    let (endpoint, gate) = gated();
    let proxy = Tidegate::with(one_at_a_time(&endpoint, "")).start();
    let mut holding = hold(&proxy, &endpoint);
    let (client, other) = (Http2Client::clear(proxy.address()), Http2Client::clear(proxy.address()));
    client.run(async {
        let bodies = [Vec::new(), b"a body".to_vec(), vec![7; 40_000]].map(Bytes::from);
        let as_much_as_is_kept = Bytes::from(vec![7; 65_535]);
        let calls = bodies.clone().map(|body| {
            let request = Http2Client::request("POST", "app.test", "/");
            tokio::spawn(exchange(client.sender(), request, Some(body), None))
        });
        let leaves = Http2Client::request("POST", "app.test", "/leaves");
        let leaving = tokio::spawn(exchange(client.sender(), leaves, Some(Bytes::from_static(b"x")), None));
        let large = Http2Client::request("POST", "app.test", "/leaves");
        let leaving_too = tokio::spawn(exchange(other.sender(), large, Some(as_much_as_is_kept), None));
        eventually("all wait", || queued(&proxy) == 5);
        leaving.abort();
        eventually("one has left", || queued(&proxy) == 4);
        leaving_too.abort();
        eventually("whose body fills all that is kept of it has left, too", || queued(&proxy) == 3);
        gate.open();
        for (call, body) in calls.into_iter().zip(bodies) {
            assert_eq!(call.await.unwrap().unwrap().status(), 200, "{} bytes", body.len());
        }
    });
    assert_eq!(holding.reply().status, 200);
    let lengths: Vec<_> = endpoint.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 40_006, "{lengths:?}");
}

/// Ends when the reload has been applied.
fn reload(proxy: &Proxy, config: &str) {
    proxy.reload(config);
    proxy.wait_for_metric("tidegate_config_reloads_total", &[("outcome", "applied")], 1.0);
}

#[test]
fn those_who_wait_get_the_endpoints_that_a_reload_brings() {
    for keeps_the_full_one in [true, false] {
        let [(full, gate), (fresh, open)] = [gated(), gated()];
        open.open();
        let config = one_at_a_time(&full, "log = { access = \"stdout\" }");
        let proxy = Tidegate::with(config.clone()).start();
        let mut holding = hold(&proxy, &full);
        let mut clients = queue_up(&proxy, &["/1", "/low", "/high", "/4", "/5", "/6"]);
        let before = if keeps_the_full_one { format!("{:?}, ", full.address()) } else { String::new() };
        let renamed =
            config.replace("[[route]]\nto = \"app\"\n", "[[route]]\nname = \"rest\"\nto = \"app\"\n");
        let endpoints = |list: &str| format!("endpoints = [{list}]");
        let listed = |address| format!("{address:?}");
        reload(
            &proxy,
            &renamed.replace(
                &endpoints(&listed(full.address())),
                &endpoints(&format!("{before}{}", listed(fresh.address()))),
            ),
        );
        assert!(
            clients.iter_mut().all(|client| client.reply().status == 200),
            "nobody waits for the full one"
        );
        // With room for one at a time, in the order of their turns.
        assert_eq!(order(&fresh), ["/high", "/1", "/4", "/5", "/6", "/low"]);
        gate.open();
        assert_eq!(holding.reply().status, 200);
        assert_eq!(order(&full), ["/held"]);
        let line = proxy.output().wait_for_stdout(&["\"path\":\"/4\""]);
        assert!(line.contains("\"route\":\"rest\"") && line.contains(&fresh.address()), "{line}");
        assert!(proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
    }
}

#[test]
fn those_who_wait_have_the_time_that_a_reload_gives_them() {
    let (endpoint, _gate) = gated();
    let config = one_at_a_time(&endpoint, "");
    let proxy = Tidegate::with(config.clone()).start();
    let _holding = hold(&proxy, &endpoint);
    let mut clients = queue_up(&proxy, &["/1", "/2"]);
    reload(
        &proxy,
        &config.replace(
            "[[route]]\nto = \"app\"\n",
            "[[route]]\nto = \"app\"\ntimeout = { queue = \"50ms\" }\n",
        ),
    );
    for client in &mut clients {
        expect_sent_away(&client.reply(), "queue_timeout");
    }
    assert_eq!(queued(&proxy), 0);
}

/// Its way leads elsewhere now: it goes on waiting as before, and is in nobody's way.
#[test]
fn those_whose_route_a_reload_takes_away_hand_their_turns_on() {
    let [(full, gate), (fresh, open)] = [gated(), gated()];
    open.open();
    let config = one_at_a_time(&full, "");
    let proxy = Tidegate::with(config.clone()).start();
    let mut holding = hold(&proxy, &full);
    let mut left_behind = queue_up(&proxy, &["/high", "/high"]);
    let mut clients = queue_up(&proxy, &["/1", "/2"]);
    let address = |endpoint: &Endpoint| format!("{:?}", endpoint.address());
    let without = config.replace(
        "path = \"/high\"\nto = \"app\"\npriority = \"high\"",
        "path = \"/high\"\nanswer = { status = 404 }",
    );
    assert_ne!(without, config);
    reload(&proxy, &without.replace(&address(&full), &format!("{}, {}", address(&full), address(&fresh))));
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    assert_eq!((order(&fresh).len(), queued(&proxy)), (2, 2));
    gate.open();
    assert_eq!(holding.reply().status, 200);
    assert!(left_behind.iter_mut().all(|client| client.reply().status == 200));
    assert_eq!(order(&full), ["/held", "/high", "/high"]);
}

/// Nor are those in its way who came later and know nothing of the endpoint that it waits for.
#[test]
fn what_only_those_of_before_can_use_reaches_them() {
    let [(full, gate), (fresh, other_gate)] = [gated(), gated()];
    let config = one_at_a_time(&full, "");
    let proxy = Tidegate::with(config.clone()).start();
    let mut holding = hold(&proxy, &full);
    let mut left_behind = queue_up(&proxy, &["/low"]);
    let without = config.replace(
        "path = \"/low\"\nto = \"app\"\npriority = \"low\"",
        "path = \"/low\"\nanswer = { status = 404 }",
    );
    assert_ne!(without, config);
    reload(&proxy, &without.replace(&full.address(), &fresh.address()));
    let mut holding_fresh = hold(&proxy, &fresh);
    let mut clients = queue_up(&proxy, &["/high", "/2"]);
    gate.open();
    assert_eq!(holding.reply().status, 200);
    assert_eq!(left_behind[0].reply().status, 200);
    assert_eq!((order(&full), queued(&proxy)), (vec!["/held".to_owned(), "/low".to_owned()], 2));
    other_gate.open();
    assert_eq!(holding_fresh.reply().status, 200);
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
}

#[test]
fn a_learned_limit_lets_as_many_in_as_the_endpoint_serves_at_once() {
    const SLOTS: usize = 4;
    let slots = Arc::new((std::sync::Mutex::new(0), std::sync::Condvar::new()));
    let script = Script::new(move |visit| {
        let (taken, changed) = &*slots;
        let mut held = changed.wait_while(taken.lock().unwrap(), |taken| *taken == SLOTS).unwrap();
        *held += 1;
        drop(held);
        std::thread::sleep(Duration::from_millis(4));
        *taken.lock().unwrap() -= 1;
        changed.notify_one();
        visit.answer("x")
    });
    let endpoint = Endpoint::start(script);
    let more = "workers = 2\n[limit]\nendpoint_requests = \"auto\"\n[timeout]\nqueue = \"15s\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    let load = Load::start(proxy.address(), 60, "/");
    load.wait_for(3_000);
    // Without it there would be sixty. Timers are coarse, and processors may be busy with something else for a while: it is enough that
    // it comes to far fewer.
    eventually("it is found", || {
        (2.0..=30.0).contains(&proxy.metrics().sum("tidegate_endpoint_request_limit", &[]))
    });
    load.stop().expect_no_failures();
}

/// Long answers are not what others wait for: neither event streams nor tunnels use up a limit that is learned from how soon answers
/// begin.
#[test]
fn answers_that_have_begun_do_not_count_where_the_limit_is_learned() {
    const MANY: usize = 40;
    let gate = Gate::default();
    let held = gate.clone();
    let script = Script::new(move |visit| {
        if visit.request().target == "/brief" {
            return visit.answer("x");
        }
        visit.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        held.pass();
        visit.write("1\r\nb\r\n0\r\n\r\n");
        Then::KeepAlive
    });
    let endpoint = Endpoint::start(script);
    let more = "workers = 2\n[limit]\nendpoint_requests = \"auto\"\n[timeout]\nqueue = \"15s\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    let mut streams: Vec<_> = (0..MANY).map(|_| asks(&proxy, "/events")).collect();
    endpoint.wait_for_requests(MANY);
    assert_eq!(proxy.get("/brief").text(), "x");
    let in_flight = || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]);
    eventually("only streams are left", || in_flight() as usize == MANY);
    gate.open();
    assert!(streams.iter_mut().all(|stream| stream.reply().text() == "ab"));
    eventually("all have left", || in_flight() < 0.5);
}

/// Who would be cut in the middle of being served is not served at all: under overload nothing else would be done.
#[test]
fn a_request_that_could_not_be_answered_in_time_takes_no_place() {
    for balance in ["", "balance = \"least_request\"\n"] {
        let endpoint = Endpoint::start(Script::answers_after(Duration::from_millis(200), "x"));
        let route = "\n[[route]]\npath = \"/brief\"\nto = \"app\"\ntimeout = { total = \"700ms\" }\n";
        let proxy = Tidegate::with(one_at_a_time(&endpoint, route) + balance).start();
        for _ in 0..5 {
            assert_eq!(proxy.get("/").text(), "x");
        }
        let mut clients: Vec<_> = (0..8).map(|_| asks(&proxy, "/brief")).collect();
        let statuses: Vec<_> = clients.iter_mut().map(|client| client.reply().status).collect();
        assert!(statuses.iter().filter(|status| **status == 200).count() >= 2, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        assert!(endpoint.request_count() < 5 + 5, "four have the time to begin");
    }
}

/// Once everybody who is let in is late, no answer says that there are too many.
#[test]
fn a_learned_limit_falls_where_nobody_is_answered_in_time() {
    const AT_ONCE: usize = 4;
    let (endpoint, gate) = gated();
    let more = "workers = 2\n[limit]\nendpoint_requests = \"auto\"\n[timeout]\nattempt = \"300ms\"\nqueue = \"15s\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "x");
    }
    eventually("the limit is low", || {
        let mut clients: Vec<_> = (0..AT_ONCE).map(|_| asks(&proxy, "/held")).collect();
        assert!(clients.iter_mut().all(|client| client.reply().status == 504));
        proxy.metrics().sum("tidegate_endpoint_request_limit", &[]) < 4.0
    });
    gate.open();
    assert_eq!(proxy.get("/").text(), "x");
}

/// A front that has a timeout of its own, whose application works on: all that it says then is 504.
#[test]
fn a_learned_limit_falls_where_the_endpoint_itself_answers_nobody_in_time() {
    let script = Script::new(|visit| {
        if visit.request().target != "/late" {
            return visit.answer("x");
        }
        std::thread::sleep(Duration::from_millis(200)); // longer than the others take
        visit.write("HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n");
        Then::KeepAlive
    });
    let endpoint = Endpoint::start(script);
    let more = "workers = 2\n[limit]\nendpoint_requests = \"auto\"\n[timeout]\nqueue = \"15s\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "x");
    }
    eventually("the limit is low", || {
        let mut clients: Vec<_> = (0..8).map(|_| asks(&proxy, "/late")).collect();
        assert!(clients.iter_mut().all(|client| client.reply().status == 504));
        proxy.metrics().sum("tidegate_endpoint_request_limit", &[]) < 4.0
    });
    let status = proxy.admin("/status").text();
    assert!(status.contains("\"request_limit_reason\":\"halved, as "), "{status}");
    assert_eq!(proxy.get("/").text(), "x");
}

/// Four clients who ask for what is held, with a body, and leave when they have waited for far longer than `meanwhile` takes.
fn four_leave(proxy: &Proxy, endpoint: &Endpoint, meanwhile: impl Fn()) {
    let before = endpoint.request_count();
    let posts = || {
        let mut client = proxy.client();
        client.send("POST /held HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc");
        client
    };
    let clients: Vec<_> = (0..4).map(|_| posts()).collect();
    endpoint.wait_for_requests(before + 4);
    let asked = Instant::now();
    meanwhile();
    std::thread::sleep(3 * asked.elapsed() + Duration::from_millis(50));
    clients.into_iter().for_each(Client::reset);
    eventually("they have left", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}

/// They may have any reason, and what they asked for may take that long at any load.
#[test]
fn clients_who_leave_while_others_are_served_do_not_lower_a_learned_limit() {
    let (endpoint, gate) = gated();
    let more = "workers = 2\n[limit]\nendpoint_requests = \"auto\"\n[timeout]\nqueue = \"15s\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "x");
    }
    for _ in 0..12 {
        four_leave(&proxy, &endpoint, || assert_eq!(proxy.get("/").text(), "x"));
        // A busy machine may lower it, whose answers take longer.
        let status = proxy.admin("/status").text();
        assert!(!status.contains("hardly anybody was served"), "{status}");
    }
    gate.open();
}

#[test]
fn a_learned_limit_falls_where_all_clients_leave_unanswered() {
    let (endpoint, gate) = gated();
    let more = "workers = 2\n[limit]\nendpoint_requests = \"auto\"\n[timeout]\nqueue = \"15s\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "x");
    }
    eventually("the limit is low", || {
        (0..10).for_each(|_| four_leave(&proxy, &endpoint, || ()));
        proxy.admin("/status").text().contains("\"halved, as hardly anybody was served; ")
    });
    gate.open();
}
