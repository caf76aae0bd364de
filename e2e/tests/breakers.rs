//! Endpoints that answer, but with failures: a breaker takes them out, says why, and lets them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tidegate_testkit::{Endpoint, Gate, Proxy, Script, Then, Tidegate, eventually};

/// Answers with a status that the test sets.
struct Moody {
    endpoint: Endpoint,
    status: Arc<AtomicU16>,
}

impl Moody {
    fn new() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let seen = status.clone();
        let script = Script::new(move |visit| {
            let status = seen.load(Ordering::Acquire);
            visit.write(format!("HTTP/1.1 {status} Moody\r\nContent-Length: 0\r\n\r\n"));
            Then::KeepAlive
        });
        Self { endpoint: Endpoint::start(script), status }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }
}

fn proxy(endpoints: &[&Moody], breaker: &str) -> Proxy {
    Tidegate::with(config(endpoints, breaker)).start()
}

fn config(endpoints: &[&Moody], breaker: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|moody| format!("{:?}", moody.endpoint.address())).collect();
    format!(
        "workers = 2\nretry = \"off\"\n[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{}]\n\
         balance = \"round_robin\"\nbreaker = {breaker}\n",
        list.join(", ")
    )
}

fn statuses(proxy: &Proxy, requests: usize) -> Vec<u16> {
    let mut client = proxy.client();
    (0..requests).map(|_| client.get("/").status).collect()
}

fn ejections(proxy: &Proxy, reason: &str) -> f64 {
    proxy.metrics().sum("tidegate_endpoint_ejections_total", &[("reason", reason)])
}

fn held_back(proxy: &Proxy, limit: &str) -> f64 {
    proxy.metrics().sum("tidegate_endpoint_ejections_held_back_total", &[("limit", limit)])
}

fn health_is(proxy: &Proxy, state: &str) -> bool {
    proxy.metrics().sum("tidegate_endpoint_health", &[("state", state)]) > 0.5
}

#[test]
fn failures_in_a_row_open_the_breaker_and_a_trial_that_succeeds_closes_it() {
    let (a, b) = (Moody::new(), Moody::new());
    let proxy = proxy(&[&a, &b], "{ failures = 3, margin_percent = \"off\", retry_after = \"300ms\" }");
    a.answers(503);
    let failed = statuses(&proxy, 40).into_iter().filter(|status| *status == 503).count();
    assert!((3..=5).contains(&failed), "{failed} of 40 requests reached it before and for trials");
    assert!(ejections(&proxy, "failures") > 0.5);
    eventually("its health and the reason show", || {
        let status = proxy.admin("/status").text();
        status.contains("\"down_by_failures\"") && status.contains("requests failed in a row")
    });
    assert!(health_is(&proxy, "down_by_failures"));
    a.answers(200);
    eventually("it is up again", || {
        statuses(&proxy, 4);
        health_is(&proxy, "up") && !health_is(&proxy, "down_by_failures")
    });
    let before = a.endpoint.request_count();
    statuses(&proxy, 10);
    assert!(a.endpoint.request_count() >= before + 4, "it has its share again");
    proxy.output().wait_for_stderr(&["is down", "failed in a row"]);
    proxy.output().wait_for_stderr(&["is up again"]);
}

/// Taken out by failing answers, or by connects.
#[test]
fn whoever_is_due_for_a_trial_is_not_called_up_before_it_has_succeeded() {
    let (moody, mut dead) = (Moody::new(), Moody::new());
    let passive = "passive = { connect_failures = 1, retry_after = \"100ms\" }\n";
    let breaker = "{ failures = 1, ejected_percent = 100, retry_after = \"100ms\" }";
    let proxy = Tidegate::with(config(&[&moody, &dead], breaker) + passive).start();
    moody.answers(503);
    statuses(&proxy, 2);
    dead.endpoint.kill();
    let are_down = || health_is(&proxy, "down_by_failures") && health_is(&proxy, "down_by_connect");
    eventually("both are out", || {
        statuses(&proxy, 1);
        are_down()
    });
    eventually("both are due for a trial", || {
        proxy.admin("/status").text().matches("its next request is a trial").count() == 2
    });
    assert!(are_down() && proxy.metrics().sum("tidegate_endpoint_up", &[]) < 0.5);
    moody.answers(200);
    dead.endpoint.revive();
    eventually("both have been tried", || {
        statuses(&proxy, 2);
        proxy.metrics().sum("tidegate_endpoint_up", &[]) > 1.5
    });
    assert!(!proxy.admin("/status").text().contains("trial"));
}

#[test]
fn a_trial_that_is_under_way_is_told() {
    let (gate, requests) = (Gate::default(), AtomicU16::new(0));
    let held = gate.clone();
    let fails_once_and_hangs = Script::new(move |visit| {
        let is_first = requests.fetch_add(1, Ordering::AcqRel) == 0;
        if !is_first {
            held.pass();
        }
        let status = if is_first { 503 } else { 200 };
        visit.write(format!("HTTP/1.1 {status} Moody\r\nContent-Length: 0\r\n\r\n"));
        Then::KeepAlive
    });
    let moody = Moody { endpoint: Endpoint::start(fails_once_and_hangs), status: Arc::default() };
    let proxy = proxy(&[&moody, &Moody::new()], "{ failures = 1, retry_after = \"100ms\" }");
    let mut clients: Vec<_> = Vec::new();
    eventually("it is on trial", || {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
        clients.push(client);
        proxy.admin("/status").text().contains("; a trial is under way, another one comes in ")
    });
    gate.open();
    eventually("it is up again", || {
        let status = proxy.admin("/status").text();
        !status.contains("down_by_failures") && !status.contains("trial")
    });
}

#[test]
fn a_success_rate_far_below_the_others_opens_the_breaker() {
    let flaky = Endpoint::start({
        let turn = AtomicU16::new(0);
        Script::new(move |visit| {
            // Never two failures in a row.
            let is_bad = turn.fetch_add(1, Ordering::AcqRel).is_multiple_of(2);
            let status = if is_bad { 500 } else { 200 };
            visit.write(format!("HTTP/1.1 {status} Moody\r\nContent-Length: 0\r\n\r\n"));
            Then::KeepAlive
        })
    });
    let flaky = Moody { endpoint: flaky, status: Arc::default() };
    let (a, b) = (Moody::new(), Moody::new());
    let proxy = proxy(&[&flaky, &a, &b], "{ requests = 20, period = \"200ms\", retry_after = \"30s\" }");
    eventually("it is out", || {
        statuses(&proxy, 60);
        health_is(&proxy, "down_by_success_rate")
    });
    assert!(statuses(&proxy, 30).iter().all(|status| *status == 200));
    assert!(proxy.admin("/status").text().contains("% of its requests succeeded"));
    assert!(ejections(&proxy, "success_rate") > 0.5 && ejections(&proxy, "failures") < 0.5);
}

#[test]
fn when_all_fail_somebody_stays() {
    let (a, b) = (Moody::new(), Moody::new());
    let proxy = proxy(&[&a, &b], "{ failures = 2, ejected_percent = 100 }");
    a.answers(500);
    b.answers(500);
    assert!(statuses(&proxy, 40).iter().all(|status| *status == 500), "the endpoint's own answer, not ours");
    assert!(proxy.metrics().sum("tidegate_endpoint_up", &[]) > 0.5);
    assert!(
        proxy.admin("/status").text().contains("requests failed in a row; not taken out: nobody else is up")
    );
    assert!(held_back(&proxy, "last_up") > 0.5 && held_back(&proxy, "ejected_percent") < 0.5);
}

#[test]
fn an_endpoint_that_stays_because_enough_are_out_says_so_until_it_is_well() {
    let moody = [Moody::new(), Moody::new(), Moody::new()];
    let breaker = "{ failures = 2, margin_percent = \"off\", ejected_percent = 40, retry_after = \"5m\" }";
    let proxy = proxy(&moody.each_ref(), breaker);
    moody[0].answers(503);
    moody[1].answers(503);
    statuses(&proxy, 30);
    let told = || {
        proxy
            .admin("/status")
            .text()
            .contains("not taken out: as many are out as breaker.ejected_percent allows")
    };
    assert!(told());
    let times = held_back(&proxy, "ejected_percent");
    assert!((0.5..1.5).contains(&times), "a row of failures counts once: {times}");
    assert!(held_back(&proxy, "last_up") < 0.5 && ejections(&proxy, "failures") < 1.5);
    moody[0].answers(200);
    moody[1].answers(200);
    statuses(&proxy, 6);
    assert!(!told(), "it is well");
}

#[test]
fn a_reload_that_raises_the_threshold_leaves_no_reason_of_before() {
    let only = Moody::new();
    let proxy = proxy(&[&only], "{ failures = 2 }");
    let told = || proxy.admin("/status").text().contains("not taken out");
    only.answers(500);
    statuses(&proxy, 10);
    assert!(told());
    proxy.reload(&config(&[&only], "{ failures = 50 }"));
    eventually("ten in a row are too few", || !told());
    statuses(&proxy, 40);
    eventually("fifty are not; the last answer may be here before it is counted", told);
    proxy.reload(&config(&[&only], "false"));
    eventually("there is no breaker", || !told());
}

#[test]
fn a_reload_that_raises_the_threshold_or_ends_breakers_brings_endpoints_back() {
    let (a, b) = (Moody::new(), Moody::new());
    let breaker = "{ failures = 3, margin_percent = \"off\", retry_after = \"5m\" }";
    for after in ["{ failures = 50, margin_percent = \"off\" }", "false"] {
        let proxy = proxy(&[&a, &b], breaker);
        let is_out = || proxy.admin("/status").text().contains("\"down_by_failures\"");
        a.answers(503);
        statuses(&proxy, 20);
        assert!(is_out());
        a.answers(200);
        proxy.reload(&config(&[&a, &b], after));
        eventually("it is up", || !is_out());
        let before = a.endpoint.request_count();
        statuses(&proxy, 10);
        assert!(a.endpoint.request_count() >= before + 4, "it has its share again");
    }
}

#[test]
fn which_statuses_are_failures_can_be_said() {
    let (a, b) = (Moody::new(), Moody::new());
    let proxy = proxy(&[&a, &b], "{ failures = 2 }\nfailure_statuses = [\"500-599\", 429]");
    a.answers(429);
    statuses(&proxy, 10);
    assert!(ejections(&proxy, "failures") > 0.5);
}

#[test]
fn a_reload_by_which_a_status_is_no_failure_brings_back_whom_it_took_out() {
    let (a, b) = (Moody::new(), Moody::new());
    let breaker = "{ failures = 3, margin_percent = \"off\", retry_after = \"5m\" }";
    let proxy = proxy(&[&a, &b], breaker);
    let is_out = || proxy.admin("/status").text().contains("\"down_by_failures\"");
    a.answers(503);
    statuses(&proxy, 20);
    assert!(is_out());
    proxy.reload(&config(&[&a, &b], &format!("{breaker}\nfailure_statuses = [500]")));
    eventually("it is up", || !is_out());
    assert!(statuses(&proxy, 20).into_iter().filter(|status| *status == 503).count() >= 4);
    assert!(!is_out());
}

#[test]
fn requests_of_before_take_nobody_out_when_their_cluster_is_back_without_a_breaker() {
    let gate = Gate::default();
    let held = gate.clone();
    let endpoint = Endpoint::start(Script::new(move |visit| {
        held.pass();
        visit.write("HTTP/1.1 503 Moody\r\nContent-Length: 0\r\n\r\n");
        Then::KeepAlive
    }));
    let slow = Moody { endpoint, status: Arc::default() };
    let well = Moody::new();
    let proxy = proxy(&[&slow, &well], "{ failures = 2, margin_percent = \"off\" }");
    let mut clients: Vec<_> = (0..12).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    slow.endpoint.wait_for_requests(4);
    let has_other = || proxy.admin("/status").text().contains("\"other\"");
    proxy.reload(&config(&[&well], "false").replace("app", "other"));
    eventually("the cluster is gone", has_other);
    proxy.reload(&config(&[&slow, &well], "false"));
    eventually("it is back", || !has_other());
    gate.open();
    let failed = clients.iter_mut().map(|client| client.reply().status).filter(|status| *status == 503);
    assert!(failed.count() >= 4);
    assert!(ejections(&proxy, "failures") < 0.5 && !health_is(&proxy, "down_by_failures"));
}

/// How a fickle endpoint answers.
const WHOLE: u16 = 0;
const BROKEN: u16 = 1;
const ENDLESS: u16 = 2;

/// Answers with 200, and with a body as the test sets.
fn fickle() -> Moody {
    let how = Arc::new(AtomicU16::new(WHOLE));
    let seen = how.clone();
    let script = Script::new(move |visit| match seen.load(Ordering::Acquire) {
        BROKEN => {
            visit.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
            // The head is on its way before the body breaks.
            std::thread::sleep(Duration::from_millis(20));
            Then::Close
        }
        ENDLESS => {
            visit.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while visit.write("2\r\n:\n\r\n") {
                std::thread::sleep(Duration::from_millis(100));
            }
            Then::Close
        }
        _ => visit.answer("whole"),
    });
    Moody { endpoint: Endpoint::start(script), status: how }
}

/// Requests, each by a client of its own; how many answers were whole.
fn whole(proxy: &Proxy, requests: usize) -> usize {
    let is_whole = |_: &usize| {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        client.try_reply().is_ok()
    };
    (0..requests).filter(is_whole).count()
}

#[test]
fn answers_that_break_off_in_their_bodies_take_an_endpoint_out_and_leave_it_out() {
    let (a, b) = (fickle(), fickle());
    let proxy = proxy(&[&a, &b], "{ failures = 3, margin_percent = \"off\", retry_after = \"300ms\" }");
    a.answers(BROKEN);
    let broken = 12 - whole(&proxy, 12);
    assert!((3..=5).contains(&broken), "{broken} of 12 broke off");
    assert!(ejections(&proxy, "failures") > 0.5);
    let asked = a.endpoint.request_count();
    eventually("it has been tried", || {
        whole(&proxy, 1);
        a.endpoint.request_count() > asked
    });
    assert!(health_is(&proxy, "down_by_failures"), "the head of the trial's answer is not the whole of it");
    a.answers(WHOLE);
    eventually("it is up again", || {
        whole(&proxy, 4);
        !health_is(&proxy, "down_by_failures")
    });
}

#[test]
fn a_trial_whose_answer_does_not_end_brings_the_endpoint_back_once_it_is_long() {
    let (a, b) = (fickle(), fickle());
    let proxy = proxy(&[&a, &b], "{ failures = 3, margin_percent = \"off\", retry_after = \"1s\" }");
    a.answers(BROKEN);
    whole(&proxy, 12);
    a.answers(ENDLESS);
    let mut streams = Vec::new();
    // How many of four requests it gets: of those that are due as trials, one in each wait.
    let mut share = || {
        let asked = a.endpoint.request_count();
        for _ in 0..4 {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            assert!(client.wire().some().is_ok());
            streams.push(client);
        }
        a.endpoint.request_count() - asked
    };
    eventually("it is tried", || share() == 1);
    let tried = Instant::now();
    eventually("it has its share again", || {
        std::thread::sleep(Duration::from_millis(200));
        share() == 2
    });
    assert!(tried.elapsed() > Duration::from_secs(3), "that its answer has begun says little");
}
