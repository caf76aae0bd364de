//! Endpoints that go down and come back: what checks see, what requests feel.

use std::time::{Duration, Instant};

use tidegate_testkit::{Endpoint, Load, Proxy, Script, Then, Tidegate, eventually};

use crate::door::expect_signed;

const QUICK: &str = "health = { path = \"/health\", interval = \"50ms\", timeout = \"1s\", rise = 2, fall = 2, jitter = \"off\" }";

/// Healthy or not by a switch, whatever else is asked.
struct Patient {
    endpoint: Endpoint,
    well: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Patient {
    fn named(name: &'static str) -> Self {
        let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let seen = well.clone();
        let script = Script::new(move |visit| {
            if visit.request().target != "/health" || seen.load(std::sync::atomic::Ordering::Acquire) {
                return visit.answer(name);
            }
            visit.write("HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n");
            Then::KeepAlive
        });
        Self { endpoint: Endpoint::start(script), well }
    }

    fn is_well(&self, well: bool) {
        self.well.store(well, std::sync::atomic::Ordering::Release);
    }
}

fn seen(proxy: &Proxy) -> std::collections::BTreeSet<String> {
    (0..8).map(|_| proxy.get("/").text()).collect()
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_recovers() {
    let (a, b) = (Patient::named("a"), Patient::named("b"));
    let proxy = Tidegate::to(&[&a.endpoint, &b.endpoint], QUICK).start();
    eventually("both serve", || seen(&proxy).len() == 2);
    a.is_well(false);
    eventually("only b serves", || seen(&proxy) == ["b".to_owned()].into());
    a.is_well(true);
    proxy.wait_for_metric("tidegate_endpoint_up", &[("endpoint", &a.endpoint.address())], 1.0);
    eventually("both serve again", || seen(&proxy).len() == 2);
}

#[test]
fn one_line_is_enough() {
    let (a, b) = (Patient::named("a"), Patient::named("b"));
    let proxy = Tidegate::to(&[&a.endpoint, &b.endpoint], "health = \"/health\"").start();
    a.endpoint.wait_for_requests(1);
    b.endpoint.wait_for_requests(1);
    assert_eq!(a.endpoint.requests()[0].target, "/health");
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn tcp_checks_notice_a_port_that_closes_and_opens() {
    let (mut a, b) = (Endpoint::answering("a"), Endpoint::answering("b"));
    let health = "health = { type = \"tcp\", interval = \"50ms\", timeout = \"1s\", rise = 1, fall = 1, jitter = \"off\" }";
    let proxy = Tidegate::to(&[&a, &b], health).start();
    let up = |proxy: &Proxy| proxy.metrics().sum("tidegate_endpoint_up", &[]);
    eventually("both are up", || up(&proxy) > 1.5);
    a.kill();
    eventually("one is up", || up(&proxy) < 1.5);
    a.revive();
    eventually("both are up again", || up(&proxy) > 1.5);
}

#[test]
fn without_checks_failed_connects_mark_an_endpoint_down_and_it_returns() {
    let (mut a, b) = (Endpoint::answering("a"), Endpoint::answering("b"));
    let config = format!(
        "[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{:?}, {:?}]\n\
         passive = {{ connect_failures = 2, retry_after = \"300ms\" }}\n",
        a.address(),
        b.address()
    );
    let proxy = Tidegate::with(config).start();
    a.kill();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "b");
    }
    assert!(
        proxy.metrics().sum("tidegate_endpoint_connect_failures", &[]) < 10.0,
        "a dead endpoint is asked each time"
    );
    a.revive();
    eventually("a serves again", || proxy.get("/").text() == "a");
}

#[test]
fn all_endpoints_down_is_503_at_once_with_a_cause_and_heals_by_itself() {
    let patient = Patient::named("a");
    let proxy =
        Tidegate::to(&[&patient.endpoint], &format!("log = {{ access = \"stdout\" }}\n{QUICK}")).start();
    eventually("it serves", || proxy.get("/").status == 200);
    patient.is_well(false);
    eventually("it is down", || proxy.get("/").status == 503);
    let asked = Instant::now();
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.cause()), (503, Some("no_endpoint_up")));
    assert!(asked.elapsed() < Duration::from_secs(2), "a request waited for an endpoint");
    expect_signed(&reply);
    proxy.output().wait_for_stdout(&["\"cluster\":\"default\",\"endpoint\":null", "\"no_endpoint_up\""]);
    patient.is_well(true);
    eventually("it serves again", || proxy.get("/").status == 200);
}

#[test]
fn a_check_that_hangs_counts_as_failed_and_is_never_doubled() {
    let hung = Endpoint::start(Script::new(|visit| {
        if visit.request().target == "/health" { Then::Hang } else { visit.answer("hung") }
    }));
    let well = Patient::named("well");
    let proxy = Tidegate::to(&[&hung, &well.endpoint], QUICK).start();
    let mut most = 0;
    eventually("the hung one is down", || {
        most = most.max(hung.open_connections());
        seen(&proxy) == ["well".to_owned()].into()
    });
    // Those that hang as checks, and those kept idle for requests (one client at a time: one).
    assert!(most <= 3, "{most} connections at once: checks pile up");
}

#[test]
fn an_unexpected_status_can_be_expected() {
    let teapot =
        Endpoint::start(Script::writes("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", Then::KeepAlive));
    let health = "health = { path = \"/health\", expect = [418], interval = \"50ms\", rise = 1, fall = 1 }";
    let proxy = Tidegate::to(&[&teapot], health).start();
    teapot.wait_for_requests(4);
    assert_eq!(proxy.get("/").status, 418);
}

#[test]
fn going_down_by_a_check_under_load_fails_no_request() {
    let (a, b) = (Patient::named("a"), Patient::named("b"));
    let proxy = Tidegate::to(&[&a.endpoint, &b.endpoint], QUICK).start();
    let load = Load::start(proxy.address(), 4, "/");
    for _ in 0..3 {
        a.is_well(false);
        load.wait_for(500);
        a.is_well(true);
        load.wait_for(500);
    }
    load.stop().expect_no_failures();
}
