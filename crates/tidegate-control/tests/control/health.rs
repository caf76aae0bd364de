//! Active checks against endpoints that change their minds.

use crate::{World, to};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use tidegate_testkit::{Endpoint, Script, eventually};

const FAST: &str = "interval = \"20ms\", jitter = \"off\", timeout = \"1s\", rise = 2, fall = 2";

/// Answers every request with the status that is set.
fn moody(status: &Arc<AtomicU16>) -> Script {
    let status = Arc::clone(status);
    Script::new(move |visit| {
        let status = status.load(Relaxed);
        visit.write(format!("HTTP/1.1 {status} Mood\r\nContent-Length: 0\r\n\r\n"));
        tidegate_testkit::Then::KeepAlive
    })
}

fn http(path: &str, more: &str) -> String {
    format!("health = {{ path = \"{path}\", {FAST}{more} }}\n")
}

#[test]
fn an_endpoint_goes_down_by_its_status_and_comes_back() {
    let status = Arc::new(AtomicU16::new(200));
    let app = Endpoint::start(moody(&status));
    let world = World::start(&to(&[&app], &http("/health", "")));
    world.wait_for_health(0, "up");
    status.store(500, Relaxed);
    world.wait_for_health(0, "down_by_check");
    let reason = world.endpoint(0).reason.unwrap();
    assert!(reason.contains("status 500, expected 200-399"), "{reason}");
    assert_eq!(world.get().status, 503);
    eventually("it is said", || world.heard.has("is down: health check failed: status 500"));
    eventually("it is said of the cluster", || world.heard.has("has no endpoint that is up"));
    status.store(204, Relaxed);
    world.wait_for_health(0, "up");
    eventually("it is said", || world.heard.has("is up again"));
    assert_eq!(world.get().status, 204);
}

#[test]
fn expected_statuses_are_what_counts() {
    let status = Arc::new(AtomicU16::new(401));
    let app = Endpoint::start(moody(&status));
    let world = World::start(&to(&[&app], &http("/", ", expect = [401]")));
    let passed = |world: &World| {
        let page = world.admin("/metrics").text();
        page.lines()
            .any(|line| line.contains("health_checks") && line.contains("passed") && !line.ends_with(" 0"))
    };
    eventually("a check passed", || passed(&world));
    assert_eq!(world.endpoint(0).health, "up");
    status.store(200, Relaxed);
    world.wait_for_health(0, "down_by_check");
}

#[test]
fn the_check_sends_its_path_and_host() {
    let app = Endpoint::answering("fine");
    let _world = World::start(&to(&[&app], &http("/healthz?deep=1", ", host = \"app.internal\"")));
    eventually("a check arrived", || app.request_count() > 0);
    let received = &app.requests()[0];
    let head = received.head_text();
    assert!(head.starts_with("GET /healthz?deep=1 HTTP/1.1"), "{head}");
    assert_eq!(received.field("host"), Some("app.internal"));
}

#[test]
fn an_endpoint_that_never_answers_is_down_and_one_that_connects_is_up_for_tcp() {
    let silent = Endpoint::start(Script::is_silent());
    let world = World::start(&to(
        &[&silent],
        "health = { path = \"/\", interval = \"20ms\", jitter = \"off\", timeout = \"50ms\" }\n",
    ));
    world.wait_for_health(0, "down_by_check");
    let reason = world.endpoint(0).reason.unwrap();
    assert!(reason.contains("no answer within 50ms"), "{reason}");

    let world = World::start(&to(&[&silent], &format!("health = {{ type = \"tcp\", {FAST} }}\n")));
    eventually("it was checked", || silent.accepted() > 3);
    assert_eq!(world.endpoint(0).health, "up");
}

#[test]
fn checks_reach_endpoints_on_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let mut app = Endpoint::start_unix(&folder.path().join("app.sock"), Script::answers("fine"));
    let world = World::start(&to(&[&app], &http("/", "")));
    eventually("a check arrived", || app.request_count() > 0);
    assert_eq!(world.endpoint(0).health, "up");
    app.kill();
    world.wait_for_health(0, "down_by_check");
    app.revive();
    world.wait_for_health(0, "up");
}

#[test]
fn the_first_check_decides_alone_and_no_check_means_no_verdict() {
    let status = Arc::new(AtomicU16::new(500));
    let app = Endpoint::start(moody(&status));
    let check = "health = { path = \"/\", interval = \"1h\", fall = 100 }\n";
    let mut world = World::start(&to(&[&app], check));
    world.wait_for_health(0, "down_by_check");
    world.reload(&to(&[&app], "")).unwrap();
    assert_eq!(world.endpoint(0).health, "up");
}

#[test]
fn a_check_that_a_reload_leaves_alone_keeps_its_verdict() {
    let status = Arc::new(AtomicU16::new(500));
    let (down, other) = (Endpoint::start(moody(&status)), Endpoint::answering("other"));
    let check = "health = { path = \"/\", interval = \"1h\", fall = 100 }\n";
    let mut world = World::start(&to(&[&down], check));
    world.wait_for_health(0, "down_by_check");
    let checked = down.request_count();
    world.reload(&to(&[&down, &other], check)).unwrap();
    assert_eq!(world.endpoint(0).health, "down_by_check");
    assert_eq!(world.get().text(), "other");
    assert_eq!(down.request_count(), checked, "it was not checked anew");
}
