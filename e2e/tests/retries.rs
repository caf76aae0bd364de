//! Requests that are tried again, and those that must not be.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate_testkit::{
    Client, Endpoint, Load, Port, Proxy, Reply, Script, Then, Tidegate, Visit, eventually,
};

use crate::broken_origins::full_listener_at;
use crate::door::{get, post};
use crate::favourite::{self, Silenced as _};

/// An endpoint as a process, to be ended the hard way.
struct Program {
    port: Port,
    name: &'static str,
    child: Child,
}

impl Program {
    fn start(name: &'static str) -> Self {
        let port = Port::free();
        let child = Self::spawn(&port, name);
        Self { port, name, child }
    }

    fn spawn(port: &Port, name: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-e2e-endpoint"));
        command.arg(port.number().to_string()).arg(name).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        eventually("the endpoint listens", || std::net::TcpStream::connect(port.address()).is_ok());
        child
    }

    /// SIGKILL: the kernel closes what was open, nothing says goodbye.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn revive(&mut self) {
        self.child = Self::spawn(&self.port, self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn killing_endpoints_under_load_loses_no_get() {
    let mut programs: Vec<_> = ["a", "b", "c"].into_iter().map(Program::start).collect();
    let list: Vec<_> = programs.iter().map(|program| format!("\"{}\"", program.port.address())).collect();
    let config = format!("workers = 2\nto = [{}]\n", list.join(", "));
    let proxy = Tidegate::with(config).start();
    let load = Load::start(proxy.address(), 16, "/");
    load.wait_for(1000);
    for round in 0..12 {
        let victim = &mut programs[round % 3];
        victim.kill();
        load.wait_for(1000);
        victim.revive();
        load.wait_for(1000);
    }
    let report = load.stop();
    assert!(report.total() >= 20_000, "{report:?}");
    report.expect_no_failures();
    assert_eq!(report.bodies.len(), 3, "{report:?}");
}

#[test]
fn a_request_of_any_kind_is_tried_elsewhere_when_connecting_failed() {
    let (down, up) = (Endpoint::down(Script::echoes()), Endpoint::start(Script::echoes()));
    let proxy = Tidegate::to(&[&down, &up], "").start();
    for number in 0..10 {
        let mut client = proxy.client();
        client.send(post("Content-Length: 2\r\n", format!("{number:02}")));
        assert_eq!(client.reply().text(), format!("{number:02}"));
    }
    assert_eq!(up.request_count(), 10);
}

/// Answers nothing and closes, as an endpoint does that crashes while it works.
fn crashes() -> Script {
    Script::new(|visit| {
        visit.read_body();
        Then::Close
    })
}

#[test]
fn an_idempotent_request_is_tried_elsewhere_when_its_endpoint_crashes() {
    let (bad, good) = (Endpoint::start(crashes()), Endpoint::answering("good"));
    let proxy = Tidegate::to(&[&bad, &good], "").start();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    assert!(bad.request_count() > 0, "the bad one was never asked");
}

/// RFC 9110 §9.2.2.
#[test]
fn a_post_reaches_at_most_one_endpoint_once_it_was_sent() {
    let (a, b) = (Endpoint::start(crashes()), Endpoint::start(crashes()));
    let proxy = Tidegate::to(&[&a, &b], "").start();
    for number in 1..=10 {
        let mut client = proxy.client();
        client.send(post("Content-Length: 5\r\n", "hello"));
        let reply = client.reply();
        assert_eq!((reply.status, reply.cause()), (502, Some("endpoint_closed")));
        assert_eq!(a.request_count() + b.request_count(), number);
    }
}

#[test]
fn attempts_are_bounded() {
    let endpoints: Vec<_> = (0..6).map(|_| Endpoint::start(crashes())).collect();
    let proxy = Tidegate::to(&endpoints.iter().collect::<Vec<_>>(), "").start();
    assert_eq!(proxy.get("/").status, 502);
    let asked: usize = endpoints.iter().map(Endpoint::request_count).sum();
    assert_eq!(asked, 3, "three attempts are the default");
    eventually("retries are counted", || proxy.metrics().sum("tidegate_cluster_retries_total", &[]) > 1.5);
}

/// What is lost with a kept connection says nothing of who might be tried next.
#[test]
fn a_kept_connection_that_turns_out_dead_is_not_counted_as_an_attempt() {
    let answered = AtomicBool::new(false);
    let once = Endpoint::start(Script::new(move |visit| {
        if answered.swap(true, Ordering::Relaxed) { Then::Close } else { visit.answer("once") }
    }));
    let (down, well) = (Endpoint::down(Script::echoes()), Endpoint::answering("well"));
    let config = "balance = { algorithm = 'first', in_flight_max = 9 }\nworkers = 1\npassive = 'off'\n";
    let proxy = Tidegate::to(&[&once, &down, &well], config).start();
    assert_eq!(proxy.get("/").text(), "once");
    assert_eq!(proxy.get("/").text(), "well", "kept, new, refused, and then the third");
    assert_eq!(once.request_count(), 3);
}

#[test]
fn retries_can_be_switched_off() {
    let (bad, also_bad) = (Endpoint::start(crashes()), Endpoint::start(crashes()));
    let config = format!(
        "[[route]]\nto = [{:?}, {:?}]\nretry = {{ attempts = 1 }}\n",
        bad.address(),
        also_bad.address()
    );
    let proxy = Tidegate::with(config).start();
    assert_eq!(proxy.get("/").status, 502);
    assert_eq!(bad.request_count() + also_bad.request_count(), 1);
}

#[test]
fn nothing_is_tried_again_once_a_byte_was_answered() {
    let half = || Script::writes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Then::Close);
    let (a, b) = (Endpoint::start(half()), Endpoint::start(half()));
    let proxy = Tidegate::to(&[&a, &b], "").start();
    let mut client = proxy.client();
    client.send(get(""));
    assert!(client.try_reply().is_err());
    assert_eq!(a.request_count() + b.request_count(), 1);
}

const LOGGED: &str = "[log]\naccess = \"stdout\"\n";

#[test]
fn the_log_says_of_each_attempt_that_was_given_up_where_it_was_made_and_why() {
    let (busy, down) = (Endpoint::start(answers_with("503 Busy")), Endpoint::down(Script::echoes()));
    let good = Endpoint::answering("good");
    let more = format!("balance = \"round_robin\"\n{LOGGED}[retry]\non = [\"connect\", 503]\n");
    let proxy = Tidegate::to(&[&busy, &down, &good], &more).start();
    eventually("a request was tried on all three", || {
        assert_eq!(proxy.get("/").text(), "good");
        proxy.metrics().sum("tidegate_endpoint_attempts_failed_total", &[]) > 1.5
    });
    let failed = |endpoint: &Endpoint, cause| {
        let address = endpoint.address();
        let labels = [("endpoint", address.as_str()), ("cause", cause)];
        proxy.metrics().sum("tidegate_endpoint_attempts_failed_total", &labels)
    };
    assert!(failed(&busy, "answer_refused") > 0.5 && failed(&down, "connect_refused") > 0.5);
    assert!(failed(&good, "answer_refused") + failed(&good, "connect_refused") < 0.5);
    let (busy, down) = (busy.address(), down.address());
    let refused = format!(
        "{{\"endpoint\":\"{busy}\",\"stage\":\"await\",\"cause\":\"answer_refused\",\"status\":503,\"grpc_status\":null,\"ms\":"
    );
    let unreached = format!(
        "{{\"endpoint\":\"{down}\",\"stage\":\"connect\",\"cause\":\"connect_refused\",\"status\":null,\"grpc_status\":null,\"ms\":"
    );
    proxy.output().wait_for_stdout(&["\"status\":200", "\"attempts\":3", &refused, &unreached]);
}

/// Whoever leaves in the moment in which his endpoint closes has had an attempt that was given up for another, or one that was the last, and
/// not both.
#[test]
fn an_attempt_is_logged_once_whenever_its_client_leaves() {
    let (closes, told) = std::sync::mpsc::channel();
    let closes = std::sync::Mutex::new(closes);
    let script = Script::new(move |_| {
        let _ = closes.lock().unwrap().send(());
        Then::Close
    });
    let (a, b) = (Endpoint::start(script), Endpoint::answering("good"));
    let proxy = Tidegate::to(&[&a, &b], &format!("balance = \"round_robin\"\n{LOGGED}")).start();
    let clients = 200;
    for _ in 0..clients {
        let mut client = proxy.client();
        client.send(get(""));
        if told.recv_timeout(Duration::from_millis(20)).is_ok() {
            client.reset();
        }
    }
    eventually("all are logged", || proxy.output().stdout().len() >= clients);
    for line in proxy.output().stdout().iter().filter(|line| line.contains("\"request_id\"")) {
        let given_up = line.matches("{\"endpoint\":").count();
        let is_last = !line.contains("\"endpoint\":null");
        let attempts = given_up + usize::from(is_last);
        assert!(line.contains(&format!("\"attempts\":{attempts},")), "{line}");
    }
}

/// A reason is for what was wanted and not done.
#[test]
fn without_retries_the_log_gives_no_reason_against_one() {
    let (a, b) = (Endpoint::start(Script::new(|_| Then::Close)), Endpoint::down(Script::echoes()));
    let proxy =
        Tidegate::to(&[&a, &b], &format!("balance = \"round_robin\"\nretry = \"off\"\n{LOGGED}")).start();
    for _ in 0..2 {
        proxy.get("/");
    }
    for cause in ["endpoint_closed", "connect_refused"] {
        proxy.output().wait_for_stdout(&[&format!("\"cause\":\"{cause}\""), "\"no_retry\":null"]);
    }
}

#[test]
fn the_log_says_that_nobody_was_left_to_try() {
    let (a, b) = (Endpoint::down(Script::echoes()), Endpoint::down(Script::echoes()));
    let proxy = Tidegate::to(&[&a, &b], LOGGED).start();
    assert_eq!(proxy.get("/").status, 503);
    proxy.output().wait_for_stdout(&[
        "\"attempts\":2",
        "\"cause\":\"connect_refused\",\"given_up\":[{\"endpoint\":",
        "}],\"hedged\":false",
        "\"no_retry\":\"endpoints\"",
    ]);
    proxy.wait_for_metric("tidegate_cluster_retries_refused_total", &[("reason", "endpoints")], 0.5);
}

const WITHOUT_BUDGET: &str = "[retry]\nbudget = \"off\"\n";

/// Sends the request in pieces, so that no single read has all of its body.
fn upload(proxy: &Proxy, head: &str, body: &[u8]) -> Reply {
    let mut client = proxy.client().patience(Duration::from_secs(10));
    client.send(format!("{head}\r\nHost: test\r\n"));
    let sending = client.send_aside(body.to_vec());
    let reply = client.reply();
    let _ = sending.join();
    reply
}

#[test]
fn an_idempotent_upload_that_is_kept_is_repeated_whole() {
    let (bad, good) = (Endpoint::start(crashes()), Endpoint::start(Script::echoes()));
    let proxy = Tidegate::to(&[&bad, &good], WITHOUT_BUDGET).start();
    let payload: Vec<u8> = (b'a'..=b'z').cycle().take(60_000).collect();
    let plain = [b"Content-Length: 60000\r\n\r\n", &payload[..]].concat();
    let mut chunked = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in payload.chunks(7_001) {
        chunked.extend([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    chunked.extend(b"0\r\n\r\n");
    for _ in 0..6 {
        for (head, body) in [
            ("PUT / HTTP/1.1", &plain),
            ("PUT / HTTP/1.1", &chunked),
            ("POST / HTTP/1.1\r\nIdempotency-Key: \"42\"", &plain),
        ] {
            let reply = upload(&proxy, head, body);
            assert_eq!((reply.status, reply.body == payload), (200, true), "{head}");
        }
    }
    assert!(bad.request_count() > 0, "the bad one was never asked");
}

#[test]
fn an_upload_longer_than_what_is_kept_is_never_repeated_in_part() {
    let (bad, good) = (Endpoint::start(crashes()), Endpoint::start(Script::echoes()));
    let proxy = Tidegate::to(&[&bad, &good], "[log]\naccess = \"stdout\"\n").start();
    let body = [b"Content-Length: 200000\r\n\r\n", &vec![b'x'; 200_000][..]].concat();
    let statuses: Vec<_> = (0..8).map(|_| upload(&proxy, "PUT / HTTP/1.1", &body).status).collect();
    assert!(
        statuses.contains(&502) && statuses.iter().all(|status| [200, 502].contains(status)),
        "{statuses:?}"
    );
    assert!(good.requests().iter().all(|request| !request.complete || request.body.len() == 200_000));
    proxy.output().wait_for_stdout(&["\"no_retry\":\"body\""]);
}

fn answers_with(status: &'static str) -> Script {
    Script::writes(format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nown"), Then::KeepAlive)
}

#[test]
fn a_status_that_the_route_names_is_tried_elsewhere() {
    let (bad, good) = (Endpoint::start(answers_with("503 Busy")), Endpoint::answering("good"));
    let proxy = Tidegate::to(&[&bad, &good], "[retry]\non = [\"502-503\"]\n").start();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    assert!(bad.request_count() > 0, "the bad one was never asked");
    proxy.wait_for_metric("tidegate_cluster_retries_total", &[("reason", "status")], 1.0);
    let bad = bad.address();
    proxy.wait_for_metric("tidegate_endpoint_answers_total", &[("endpoint", &bad), ("code", "5xx")], 1.0);
}

/// It answers every third request of those that come to it.
fn every_third(otherwise: fn(&mut Visit) -> Then) -> Script {
    let asked = AtomicUsize::new(0);
    Script::new(move |visit| {
        if asked.fetch_add(1, Ordering::Relaxed) % 3 == 2 { visit.answer("x") } else { otherwise(visit) }
    })
}

/// As there is no other.
#[test]
fn a_lone_endpoint_is_tried_again_itself() {
    let closes = Endpoint::start(every_third(|_| Then::Close));
    let proxy = Tidegate::to(&[&closes], "").start();
    assert_eq!(proxy.get("/").text(), "x");
    assert_eq!(closes.request_count(), 3);
    let fails = Endpoint::start(every_third(|visit| {
        visit.write("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        Then::KeepAlive
    }));
    let proxy = Tidegate::to(&[&fails], "retry.on = [503]\n").start();
    assert_eq!(proxy.get("/").text(), "x");
    assert_eq!(fails.request_count(), 3);
}

/// Of a lone endpoint, and of more than there are attempts.
#[test]
fn while_all_endpoints_are_restarted_requests_of_all_kinds_wait_for_them() {
    for count in [1, 4] {
        let mut endpoints: Vec<_> = (0..count).map(|_| Endpoint::start(Script::echoes())).collect();
        let list: Vec<_> = endpoints.iter().collect();
        let proxy =
            Tidegate::to(&list, "limit.upstream_idle_connections = 0\nbalance = \"round_robin\"\n").start();
        let posts = || {
            let mut client = proxy.client();
            client.send(post("Content-Length: 2\r\n", "hi"));
            client
        };
        for _ in 0..count {
            assert_eq!(posts().reply().text(), "hi");
        }
        endpoints.iter_mut().for_each(Endpoint::kill);
        let mut waiting: Vec<_> = (0..8).map(|_| posts()).collect();
        eventually("each has been refused", || {
            proxy.metrics().sum("tidegate_endpoint_connect_failures_total", &[]) >= 8.0
        });
        endpoints.iter_mut().for_each(Endpoint::revive);
        for client in &mut waiting {
            assert_eq!(client.reply().text(), "hi");
        }
    }
}

/// More endpoints refuse than a request has attempts, and it may not wait either: it would do so for longer than the client does.
#[test]
fn a_request_passes_those_that_refuse_it_and_finds_one_that_does_not() {
    let few = "[retry]\nattempts = 2\nbackoff = \"5m\"\nbudget = { percent = 1, per_second = 0 }\n[log]\naccess = \"stdout\"\n";
    let hashes = |name| format!("{{ algorithm = \"{name}\", key = {{ header = \"X-User\" }} }}");
    let algorithms = [hashes("rendezvous"), hashes("maglev"), "\"round_robin\"".to_owned()];
    for (balance, tier_of_well) in algorithms.iter().flat_map(|balance| [(balance, 0), (balance, 1)]) {
        let mut gone: Vec<_> = (0..20).map(|_| Endpoint::start(Script::echoes())).collect();
        let well = Endpoint::start(Script::echoes());
        let refusing: Vec<_> = gone.iter().map(|gone| format!("{:?}", gone.address())).collect();
        let (refusing, serving) = (refusing.join(", "), well.address());
        let list = format!("[{refusing}, {{ address = {serving:?}, tier = {tier_of_well} }}]");
        let no_idle = "limit.upstream_idle_connections = 0";
        let proxy = Tidegate::with(format!("to = {list}\n{no_idle}\nbalance = {balance}\n{few}")).start();
        let posts = |user: usize| {
            let mut client = proxy.client();
            client.send(post(&format!("Content-Length: 2\r\nX-User: {user}\r\n"), "hi"));
            client.reply().text()
        };
        for user in 0..80 {
            assert_eq!(posts(user), "hi"); // they have answered: they may be restarted
        }
        gone.iter_mut().for_each(Endpoint::kill);
        for user in 0..20 {
            assert_eq!(posts(user), "hi", "{balance}, tier {tier_of_well}");
        }
        let refused = proxy.metrics().sum("tidegate_endpoint_connect_failures_total", &[]);
        assert!(refused >= 20.0, "by some of which a request was refused more than once: {refused}");
    }
}

/// So many endpoints that have answered, in front of which each request has as few attempts as are possible, and connects anew.
fn that_have_answered(count: usize, balance: &str) -> (Vec<Endpoint>, Proxy) {
    let endpoints: Vec<_> = (0..count).map(|_| Endpoint::start(Script::echoes())).collect();
    let list: Vec<_> = endpoints.iter().collect();
    let more = format!(
        "limit.upstream_idle_connections = 0\ntimeout.connect = \"300ms\"\nbalance = {{ algorithm = {balance:?} }}\n[retry]\nattempts = 2\n"
    );
    let proxy = Tidegate::to(&list, &more).start();
    for _ in 0..10 * count {
        assert_eq!(posts_hi(&proxy).reply().text(), "hi");
    }
    (endpoints, proxy)
}

fn posts_hi(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(post("Content-Length: 2\r\n", "hi"));
    client
}

/// Though each has as few attempts as are possible, and waits have to find it.
#[test]
fn the_one_of_many_that_is_back_from_a_restart_is_found_by_those_that_wait() {
    for balance in ["round_robin", "rendezvous"] {
        let (mut endpoints, proxy) = that_have_answered(6, balance);
        endpoints.iter_mut().for_each(Endpoint::kill);
        let mut waiting: Vec<_> = (0..8).map(|_| posts_hi(&proxy)).collect();
        eventually("all are out", || proxy.metrics().sum("tidegate_endpoint_up", &[]) < 0.5);
        endpoints[3].revive();
        for client in &mut waiting {
            assert_eq!(client.reply().text(), "hi", "{balance}");
        }
    }
}

/// Each time that it has waited it asks all of them, whatever comes first by a key or by turns.
#[test]
fn the_one_of_many_that_is_back_from_a_restart_is_found_by_who_waits_alone() {
    let finds = |balance: &str, back: usize| {
        let (mut endpoints, proxy) = that_have_answered(12, balance);
        endpoints.iter_mut().for_each(Endpoint::kill);
        let mut lone = posts_hi(&proxy);
        eventually("each has refused it", || {
            proxy.metrics().sum("tidegate_endpoint_connect_failures_total", &[]) >= 12.0
        });
        endpoints[back].revive();
        assert_eq!(lone.reply().text(), "hi", "{balance}, {back}");
        let asked = proxy.metrics().sum("tidegate_endpoint_connect_failures_total", &[]);
        assert!(asked <= 40.0, "{balance}, {back}: {asked} in vain");
    };
    std::thread::scope(|scope| {
        for balance in ["adaptive", "rendezvous", "round_robin"] {
            scope.spawn(move || [0, 5, 11].map(|back| finds(balance, back)));
        }
    });
}

/// As behind a switch that restarts: connects neither succeed nor fail, and after some in vain nobody is up.
#[test]
fn those_who_come_while_no_endpoint_can_be_reached_are_answered_when_one_can() {
    for balance in ["adaptive", "round_robin"] {
        let (mut endpoints, proxy) = that_have_answered(2, balance);
        endpoints.iter_mut().for_each(Endpoint::kill);
        let holes: Vec<_> = endpoints.iter().map(|endpoint| full_listener_at(&endpoint.address())).collect();
        let failures = || proxy.metrics().sum("tidegate_endpoint_connect_failures_total", &[]);
        let mut waiting: Vec<_> = (0..4).map(|_| posts_hi(&proxy)).collect();
        eventually("both are found to be out of reach", || {
            proxy.metrics().sum("tidegate_endpoint_up", &[]) == 0.0
        });
        waiting.extend((0..20).map(|_| posts_hi(&proxy)));
        drop(holes);
        endpoints.iter_mut().for_each(Endpoint::revive);
        let answers = waiting.iter_mut().map(|client| client.reply().text());
        assert!(answers.into_iter().all(|text| text == "hi"), "{balance}");
        assert!(failures() < 4.0 * 24.0, "{balance}: {} in vain", failures());
    }
}

/// Nobody comes back where they wait, and bodies are still with them.
#[test]
fn those_who_wait_for_a_restart_get_the_endpoints_that_a_reload_brings() {
    let mut gone = Endpoint::start(Script::echoes());
    let fresh = Endpoint::start(Script::echoes());
    let config = |endpoint: &Endpoint| {
        let to = endpoint.address();
        format!("to = [{to:?}]\nlimit.upstream_idle_connections = 0\nlog = {{ access = \"stdout\" }}\n")
    };
    let proxy = Tidegate::with(config(&gone)).start();
    let posts = |head: &str, body: &str| {
        let mut client = proxy.client();
        client.send(post(head, body));
        client
    };
    let of_length = |body: &str| format!("Content-Length: {}\r\n", body.len());
    assert_eq!(posts(&of_length("hi"), "hi").reply().text(), "hi");
    gone.kill();
    let long = "x".repeat(200_000); // more than is kept for another attempt
    let mut waiting = [
        posts(&of_length("hi"), "hi"),
        posts("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
        posts(&of_length(&long), &long),
    ];
    eventually("each has been refused", || {
        proxy.metrics().sum("tidegate_endpoint_connect_failures_total", &[]) >= 3.0
    });
    proxy.reload(&config(&fresh));
    let answers: Vec<_> = waiting.iter_mut().map(|client| client.reply().text()).collect();
    assert_eq!(answers, ["hi", "hi", &long]);
    assert_eq!(fresh.request_count(), 3);
    let line = proxy.output().wait_for_stdout(&["connect_refused"]);
    let given_up = format!("\"given_up\":[{{\"endpoint\":{:?}", gone.address());
    assert!(
        line.contains(&given_up)
            && line.contains(&format!("\"endpoint\":{:?},\"status\":200", fresh.address())),
        "{line}"
    );
}

/// It is busy, and not away.
#[test]
fn nobody_waits_for_a_restart_where_connections_are_in_use() {
    let endpoint = Endpoint::start(Script::new(|visit| {
        if visit.request().target == "/held" { Then::Hang } else { visit.answer("x") }
    }));
    let more = "limit.upstream_connections = 1\ntimeout.connect = \"100ms\"\n[log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&[&endpoint], more).start();
    assert_eq!(proxy.get("/").text(), "x");
    let mut held = proxy.client();
    held.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
    endpoint.wait_for_requests(2);
    assert_eq!(proxy.get("/busy").cause(), Some("endpoint_busy"));
    assert!(proxy.output().wait_for_stdout(&["/busy"]).contains("\"attempts\":1"));
}

#[test]
fn nobody_waits_for_an_endpoint_that_never_was_there() {
    let down = Endpoint::down(Script::echoes());
    let proxy = Tidegate::to(&[&down], "[log]\naccess = \"stdout\"\n").start();
    assert_eq!(proxy.get("/gone").status, 503);
    let line = proxy.output().wait_for_stdout(&["/gone"]);
    assert!(line.contains("\"attempts\":1") && line.contains("\"no_retry\":\"endpoints\""), "{line}");
}

#[test]
fn an_answer_that_nobody_can_better_reaches_the_client_as_it_is() {
    let (a, b) = (Endpoint::start(answers_with("503 Busy")), Endpoint::start(answers_with("503 Busy")));
    let proxy = Tidegate::to(&[&a, &b], "[retry]\non = [503]\n").start();
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.text().as_str()), (503, "own"));
    assert_eq!(a.request_count() + b.request_count(), 3, "and one of them twice");
    let mut client = proxy.client();
    client.send(post("Content-Length: 2\r\n", "hi"));
    assert_eq!(client.reply().text(), "own");
    assert_eq!(a.request_count() + b.request_count(), 4, "a POST may have been acted upon");
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up_for_another() {
    let (silent, good) = (Endpoint::start(Script::is_silent()), Endpoint::answering("good"));
    let more = "[retry]\non = [\"timeout\"]\n[timeout]\nattempt = \"100ms\"\n";
    let proxy = Tidegate::to(&[&silent, &good], more).start();
    for _ in 0..6 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    assert!(silent.request_count() > 0, "the silent one was never asked");
    let mut client = proxy.client();
    client.send(post("Content-Length: 2\r\n", "hi"));
    let reply = client.reply();
    assert!(reply.status == 200 || reply.cause() == Some("attempt_timeout"), "{reply:?}");
}

#[test]
fn a_storm_of_retries_is_held_to_the_budget() {
    let endpoints: Vec<_> = (0..3).map(|_| Endpoint::start(answers_with("503 Busy"))).collect();
    let more = "workers = 2\n[log]\naccess = \"stdout\"\n[retry]\non = [503]\nbudget = { percent = 10, per_second = 0 }\n";
    let proxy = Tidegate::to(&endpoints.iter().collect::<Vec<_>>(), more).start();
    let mut client = proxy.client();
    let requests = 1000;
    for _ in 0..requests {
        assert_eq!(client.get("/").status, 503);
    }
    let asked: usize = endpoints.iter().map(Endpoint::request_count).sum();
    assert!((requests + 50..=requests + requests / 10).contains(&asked), "{asked}");
    proxy.wait_for_metric("tidegate_cluster_retries_refused_total", &[("reason", "budget")], 100.0);
    proxy.output().wait_for_stdout(&["\"no_retry\":\"budget\""]);
}

#[test]
fn a_request_on_an_endpoint_that_went_silent_is_answered_by_another() {
    let mut endpoints: Vec<_> =
        (0..3).map(|_| Endpoint::start(Script::answers_after(Duration::from_millis(2), "good"))).collect();
    let more = format!("{}[log]\naccess = \"stdout\"\n", favourite::HEDGES);
    let proxy = Tidegate::to(&endpoints.iter().collect::<Vec<_>>(), &more).start();
    favourite::falls_silent(&proxy, &mut endpoints);
    proxy.output().wait_for_stdout(&[
        "\"attempts\":2",
        "\"hedged\":true",
        "\"outcome\":\"won\",\"after_ms\":",
    ]);
    let mut upload = proxy.client();
    upload.send(post("Content-Length: 2\r\n", "hi"));
    upload.reset(); // a POST is never sent twice: whatever became of this one, nobody saw it again
    let posts =
        |endpoint: &Endpoint| endpoint.requests().iter().filter(|request| request.method == "POST").count();
    assert!(endpoints.iter().map(posts).sum::<usize>() <= 1);
    eventually("nothing is left in flight", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}

/// The time of the first attempt is no time of the second.
#[test]
fn a_copy_goes_on_when_the_time_of_the_first_attempt_is_over() {
    let (asked, is_first) = (Instant::now(), AtomicBool::new(true));
    let shared = Arc::new((Mutex::new(asked), is_first));
    let endpoints = [(); 3].map(|()| {
        let shared = Arc::clone(&shared);
        Endpoint::start(Script::new(move |visit| {
            let (asked, is_first) = &*shared;
            if visit.request().target != "/slow" {
                std::thread::sleep(Duration::from_millis(50));
            } else if is_first.swap(false, Ordering::AcqRel) {
                return Then::Hang;
            } else {
                let answered = *asked.lock().unwrap() + Duration::from_millis(2040);
                std::thread::sleep(answered.saturating_duration_since(Instant::now()));
            }
            visit.answer("good")
        }))
    });
    let more = format!("{}log = {{ access = \"stdout\" }}\ntimeout.attempt = \"2s\"\n", favourite::HEDGES);
    let proxy = Tidegate::to(&endpoints.each_ref(), &more).start();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = proxy.client();
                (0..25).for_each(|_| assert_eq!(client.get("/").status, 200));
            });
        }
    });
    let mut client = proxy.client();
    *shared.0.lock().unwrap() = Instant::now();
    assert_eq!(client.get("/slow").text(), "good");
    proxy.output().wait_for_stdout(&[
        "\"path\":\"/slow\"",
        "\"cause\":\"attempt_timeout\"",
        "\"outcome\":\"won\"",
    ]);
    eventually("nothing is left in flight", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
}

/// As one whose process dies of the request: it would keep the next attempt waiting for as long.
#[test]
fn an_endpoint_that_breaks_off_late_on_a_kept_connection_is_not_asked_again() {
    let dies = Endpoint::start(Script::new(|visit| {
        if visit.request().target == "/deadly" {
            std::thread::sleep(Duration::from_millis(600));
            return Then::Reset;
        }
        visit.answer("one")
    }));
    let other = Endpoint::answering("other");
    let proxy =
        Tidegate::to(&[&dies, &other], "balance = { algorithm = \"first\", in_flight_max = 9 }\n").start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "one");
    assert_eq!(client.get("/deadly").text(), "other");
    assert_eq!(dies.request_count(), 2);
}

/// It is back on another connection, perhaps, and nobody else is.
#[test]
fn an_endpoint_that_is_alone_is_asked_again_however_late_it_breaks_off() {
    let breaks = AtomicBool::new(true);
    let endpoint = Endpoint::start(Script::new(move |visit| {
        if visit.request().target == "/once" && breaks.swap(false, Ordering::AcqRel) {
            std::thread::sleep(Duration::from_millis(600));
            return Then::Reset;
        }
        visit.answer("one")
    }));
    let proxy = Tidegate::to(&[&endpoint], "").start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "one");
    assert_eq!(client.get("/once").text(), "one");
}

/// Connections that are counted are for no copies; whoever leaves meanwhile had to wait for want of one.
#[test]
fn a_copy_that_was_not_sent_is_told_of_though_the_client_has_left() {
    let mut endpoints =
        [(); 3].map(|()| Endpoint::start(Script::answers_after(Duration::from_millis(2), "good")));
    let more = format!(
        "{}limit = {{ upstream_connections = 100 }}\nlog = {{ access = \"stdout\" }}\n",
        favourite::HEDGES
    );
    let proxy = Tidegate::to(&endpoints.each_ref(), &more).start();
    let mut client = proxy.client();
    for _ in 0..150 {
        assert_eq!(client.get("/").status, 200); // the fleet's usual latency is learned
    }
    endpoints.iter_mut().max_by_key(|endpoint| endpoint.asked()).unwrap().fall_silent();
    let leaves = || {
        let mut client = proxy.client().patience(Duration::from_secs(1));
        client.send(get(""));
        let is_kept_waiting = client.try_reply().is_err();
        client.reset();
        is_kept_waiting
    };
    assert!((0..2000).any(|_| leaves()), "the silent one was never asked");
    proxy.output().wait_for_stdout(&["\"cause\":\"client_gone\"", "\"outcome\":\"unpaid\""]);
    proxy.wait_for_metric("tidegate_cluster_hedges_total", &[("outcome", "unpaid")], 1.0);
}

/// It is asked now and then how it is doing; whoever answers instead was picked for no such reason.
#[test]
fn an_endpoint_that_answers_a_copy_is_not_said_to_be_the_one_that_was_probed() {
    let mut endpoints =
        [(); 3].map(|()| Endpoint::start(Script::answers_after(Duration::from_millis(2), "good")));
    let more = format!("{}log = {{ access = \"stdout\" }}\n", favourite::HEDGES);
    let proxy = Tidegate::to(&endpoints.each_ref(), &more).start();
    let (silent, before) = favourite::falls_silent(&proxy, &mut endpoints);
    let mut client = proxy.client();
    eventually("it is probed, and others answer", || {
        assert_eq!(client.get("/").status, 200);
        endpoints[silent].asked() > before + 3
    });
    assert!(proxy.metrics().sum("tidegate_cluster_exceptional_picks_total", &[("reason", "probe")]) > 1.5);
    let won = |line: &String| line.contains("\"outcome\":\"won\"");
    eventually("all of it is told", || proxy.output().stdout().iter().filter(|line| won(line)).count() > 2);
    let told = proxy.output().stdout();
    let mut won = told.iter().filter(|line| won(line));
    assert!(won.all(|line| line.contains("\"picked_as\":null")), "{told:?}");
}

/// The copy wins, and still the first attempt has failed: both are told.
#[test]
fn an_attempt_that_breaks_while_another_is_under_way_is_not_forgotten() {
    let asked = Arc::new(AtomicUsize::new(0));
    let script = |asked: Arc<AtomicUsize>| {
        Script::new(move |visit| {
            let turn =
                if visit.request().target == "/late" { asked.fetch_add(1, Ordering::Relaxed) } else { 2 };
            std::thread::sleep(Duration::from_millis([250, 500, 2][turn.min(2)]));
            if turn == 0 { Then::Close } else { visit.answer("good") }
        })
    };
    let endpoints = [(); 3].map(|()| Endpoint::start(script(Arc::clone(&asked))));
    let more = format!("{}[log]\naccess = \"stdout\"\n", favourite::HEDGES);
    let proxy = Tidegate::to(&endpoints.each_ref(), &more).start();
    let mut client = proxy.client();
    let told = ["\"cause\":\"endpoint_closed\"", "\"outcome\":\"won\""];
    let is_told = || proxy.output().stdout().iter().any(|line| told.iter().all(|part| line.contains(part)));
    for _ in 0..20 {
        for _ in 0..150 {
            assert_eq!(client.get("/").status, 200); // the fleet's usual latency is learned
        }
        asked.store(0, Ordering::Relaxed);
        assert_eq!(client.get("/late").text(), "good");
        if is_told() {
            break;
        }
    }
    proxy.output().wait_for_stdout(&told);
    proxy.wait_for_metric("tidegate_endpoint_attempts_failed_total", &[("cause", "endpoint_closed")], 1.0);
}

/// A budget that grows with the rate of requests holds less than one endpoint may have in flight when requests are long.
#[test]
fn an_endpoint_that_is_killed_loses_none_of_many_long_requests() {
    let slow = || Endpoint::start(Script::answers_after(Duration::from_secs(1), "x"));
    let (mut a, b) = (slow(), slow());
    let proxy = Tidegate::to(&[&a, &b], "").start();
    let mut clients: Vec<_> = (0..120).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(get(""));
    }
    a.wait_for_requests(45);
    b.wait_for_requests(45);
    a.kill();
    let failed = clients.iter_mut().map(Client::reply).filter(|reply| reply.status != 200).count();
    assert_eq!(failed, 0, "of {}", clients.len());
}
