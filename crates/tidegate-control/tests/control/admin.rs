//! What the admin listener answers, and to whom.

use crate::{World, to};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use tidegate_testkit::{Client, Endpoint, Gate, Reply, Script, Then, eventually};

fn send(world: &World, request: &str) -> Reply {
    let address = world.control.admin_address().unwrap();
    let mut client = Client::connect(address.parse().unwrap());
    client.send(request);
    client.reply()
}

#[test]
fn it_says_that_it_lives_and_is_ready() {
    let app = Endpoint::answering("app");
    let world = World::start(&to(&[&app], ""));
    assert_eq!(world.admin("/livez").status, 200);
    let ready = world.admin("/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (200, "ready\n"));
    assert_eq!(world.admin("/nothing").status, 404);
}

#[test]
fn the_status_tells_what_is_served_where() {
    let app = Endpoint::answering("app");
    let world = World::start(&to(&[&app], "balance = \"round_robin\"\n"));
    assert_eq!(world.get().status, 200);
    let status: serde_json::Value = serde_json::from_str(&world.admin("/status").text()).unwrap();
    assert_eq!(status["state"], "serving");
    assert_eq!(status["clusters"][0]["balance"], "round_robin");
    let endpoint = &status["clusters"][0]["endpoints"][0];
    assert_eq!(endpoint["endpoint"], app.address());
    assert_eq!((&endpoint["health"], &endpoint["connections"]), (&"up".into(), &1.into()));
    assert_eq!(status["listeners"][0]["address"], world.address(0));
}

#[test]
fn it_tells_what_adaptive_believes_and_that_an_endpoint_gets_little_because_it_fails() {
    let good = Endpoint::answering("good");
    let bad =
        Endpoint::start(Script::writes("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Then::KeepAlive));
    let mut world = World::start(&to(&[&good, &bad], ""));
    let fails =
        |world: &World| world.endpoint(1).reason.is_some_and(|reason| reason.contains("it is chosen as if"));
    eventually("failing has become a reason", || {
        world.get();
        fails(&world)
    });
    let status: serde_json::Value = serde_json::from_str(&world.admin("/status").text()).unwrap();
    let endpoints = &status["clusters"][0]["endpoints"];
    assert!(endpoints[1]["health"] == "up" && endpoints[0]["reason"].is_null(), "{endpoints}");
    let belief = |endpoint: usize, name: &str| endpoints[endpoint]["beliefs"][name].as_f64();
    assert!(belief(0, "service_ms").is_some_and(|service| service > 0.0), "{endpoints}");
    assert!(belief(0, "error_rate") == Some(0.0) && belief(1, "error_rate") > Some(0.1), "{endpoints}");
    assert!(belief(0, "error_cost") == Some(0.0) && belief(1, "error_cost") >= Some(1.0), "{endpoints}");
    let gauge =
        format!("tidegate_endpoint_error_cost{{cluster=\"default\",endpoint=\"{}\"}} ", bad.address());
    let metrics = world.admin("/metrics").text();
    let value = metrics.split(&gauge).nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(value.parse::<f64>().unwrap() >= 1.0, "{value}");
    world.reload(&to(&[&good, &bad], "balance = \"round_robin\"\n")).unwrap();
    assert!(world.endpoint(1).beliefs.is_none() && !fails(&world), "round robin believes nothing");
    assert!(!world.admin("/metrics").text().contains(&gauge), "what was believed is forgotten");
}

#[test]
fn it_tells_how_far_away_an_endpoint_is_by_requests_and_by_checks() {
    let app = Endpoint::answering("near");
    for health in ["off", "tcp"] {
        let world = World::start(&to(&[&app], &format!("health = \"{health}\"\n")));
        let round_trip = || world.endpoint(0).beliefs.and_then(|beliefs| beliefs.round_trip_ms);
        if health == "off" {
            assert_eq!(round_trip(), None, "nobody was there yet");
            world.get();
        }
        eventually("it is known", || round_trip().is_some_and(|round_trip| round_trip < 500.0));
    }
}

#[test]
fn it_tells_that_an_endpoint_gets_little_because_it_is_silent() {
    let (shut, gate) = (Arc::new(AtomicBool::new(false)), Gate::default());
    let (is_shut, goes_on) = (Arc::clone(&shut), gate.clone());
    let script = Script::new(move |visit| {
        if is_shut.load(Acquire) {
            goes_on.pass();
        }
        visit.answer("at last")
    });
    let bad = Endpoint::start(script);
    let world = World::start(&to(&[&bad], "retry = \"off\"\n[timeout]\nfirst_byte = \"1m\"\n"));
    (0..50).for_each(|_| assert_eq!(world.get().status, 200));
    shut.store(true, Release);
    // One alone may be long by itself.
    let mut waiting: Vec<_> = (0..8).map(|_| world.client()).collect();
    for client in &mut waiting {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let warning = || world.endpoint(0).beliefs.map_or(0.0, |beliefs| beliefs.warning);
    eventually("silence has become a reason", || {
        world
            .endpoint(0)
            .reason
            .is_some_and(|reason| reason.contains("unanswered: hardly asked until it answers"))
    });
    assert!(warning() >= 2.0 && world.endpoint(0).health == "up");
    let gauge = format!("tidegate_endpoint_warning{{cluster=\"default\",endpoint=\"{}\"}} ", bad.address());
    let metrics = world.admin("/metrics").text();
    let value = metrics.split(&gauge).nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(value.parse::<f64>().unwrap() >= 2.0, "{value}");
    gate.open();
    eventually("it is silent no more", || !world.endpoint(0).reason.unwrap_or_default().contains("silent"));
}

#[test]
fn an_endpoint_that_has_as_many_requests_as_it_may_says_so() {
    let gate = Gate::default();
    let held = gate.clone();
    let app = Endpoint::start(Script::new(move |visit| {
        held.pass();
        visit.answer("app")
    }));
    let world = World::start(&to(&[&app], "limit = { endpoint_requests = 1 }\n"));
    assert_eq!(world.endpoint(0).reason, None);
    let mut client = world.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    app.wait_for_requests(1);
    let reason = world.endpoint(0).reason.unwrap_or_default();
    assert!(reason.starts_with("full: has as many requests (1) as"), "{reason}");
    gate.open();
    client.reply();
    eventually("it is not full any more", || world.endpoint(0).reason.is_none());
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let app = Endpoint::answering("app");
    let world = World::start(&to(&[&app], ""));
    assert_eq!(world.get().status, 200);
    let plain = world.admin("/metrics");
    assert!(plain.field("content-type").unwrap().starts_with("text/plain"));
    assert!(
        plain.text().contains(&format!(
            "tidegate_endpoint_up{{cluster=\"default\",endpoint=\"{}\"}} 1",
            app.address()
        ))
    );
    let open = send(
        &world,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n",
    );
    assert!(open.field("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.text().ends_with("# EOF\n"));
}

#[test]
fn foreign_hosts_and_other_methods_are_refused() {
    let app = Endpoint::answering("app");
    let world = World::start(&to(&[&app], ""));
    for (request, expected, why) in [
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, "a page that rebinds its name"),
        ("GET /metrics HTTP/1.0\r\n\r\n", 421, "no Host at all"),
        (
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            405,
            "nothing can be changed",
        ),
        ("DELETE /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "whatever the path"),
        ("GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200, "its address"),
    ] {
        assert_eq!(send(&world, request).status, expected, "{why}");
    }
}
