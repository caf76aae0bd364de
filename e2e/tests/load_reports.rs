//! Endpoints that say how busy they are: who listens, and who is not to hear it.

use std::collections::BTreeSet;

use tidegate_testkit::{Endpoint, Proxy, Script, Then, Tidegate, Visit, eventually};

const FIELD: &str = "endpoint-load-metrics";

/// Answers with its name, and says this of its load when `speaks`.
fn endpoint(name: &'static str, report: &'static str, speaks: fn(&Visit<'_>) -> bool) -> Endpoint {
    Endpoint::start(Script::new(move |visit| {
        let report =
            if speaks(visit) { format!("Endpoint-Load-Metrics: {report}\r\n") } else { String::new() };
        let head = format!("HTTP/1.1 200 OK\r\n{report}Content-Length: {}\r\n\r\n{name}", name.len());
        visit.write(head);
        Then::KeepAlive
    }))
}

fn counted(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metrics().sum("tidegate_endpoint_load_reports_total", &[("outcome", outcome)])
}

#[test]
fn whoever_listens_keeps_it_to_himself() {
    let endpoint = endpoint("a", "TEXT cpu_utilization=0.5, rps_fractional=10", |_| true);
    for (balance, hears) in [("reported_load", true), ("prequal", true), ("least_request", false)] {
        let proxy = Tidegate::to(&[&endpoint], &format!("balance = {balance:?}")).start();
        let reply = proxy.get("/");
        assert_eq!(reply.field(FIELD).is_some(), !hears, "{balance}: {reply:?}");
        eventually("it is counted", || (counted(&proxy, "read") > 0.5) == hears);
    }
}

#[test]
fn a_report_that_cannot_be_read_is_counted_and_harms_nobody() {
    let endpoint = endpoint("a", "busy", |_| true);
    let proxy = Tidegate::to(&[&endpoint], "balance = \"reported_load\"").start();
    assert_eq!(proxy.get("/").text(), "a");
    eventually("it is counted", || counted(&proxy, "unreadable") > 0.5);
}

/// A check is a probe: it hears of the load that others send before a request goes there.
#[test]
fn prequal_hears_from_health_checks_who_is_busy_with_the_work_of_others() {
    let of_checks = |visit: &Visit<'_>| visit.request().target == "/load";
    let busy = endpoint("busy", "TEXT named_metrics.in_flight=40, named_metrics.latency_ms=5", of_checks);
    let idle = endpoint("idle", r#"JSON {"named_metrics": {"in_flight": 0, "latency_ms": 9}}"#, of_checks);
    let probes = "health = { path = \"/load\", interval = \"50ms\", timeout = \"50ms\", jitter = \"off\" }";
    let proxy = Tidegate::to(&[&busy, &idle], &format!("balance = \"prequal\"\n{probes}")).start();
    eventually("only the idle one is asked", || {
        let seen: BTreeSet<_> = (0..20).map(|_| proxy.get("/").text()).collect();
        seen == ["idle".to_owned()].into()
    });
}
