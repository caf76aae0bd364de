//! A new configuration, and the end: neither loses what is open.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidegate_testkit::{
    Client, Endpoint, Gate, Gone, Load, Proxy, Script, Then, Tidegate, Visit, eventually,
};

use crate::door::{get, post};

/// Endpoints that serve and tunnel.
fn endpoints() -> Vec<Endpoint> {
    (0..2).map(|_| Endpoint::start(Script::echoes_in_a_tunnel())).collect()
}

/// The same endpoints in every generation; one route tells which generation it is.
fn generation(number: u32, endpoints: &[Endpoint]) -> String {
    let list: Vec<_> = endpoints.iter().map(|endpoint| format!("{:?}", endpoint.address())).collect();
    format!(
        "workers = 2\n[[route]]\npath = \"/generation\"\nanswer = {{ status = 200, body = \"{number}\" }}\n\
         [[route]]\nto = [{}]\n",
        list.join(", ")
    )
}

fn reloads(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metrics().sum("tidegate_config_reloads_total", &[("outcome", outcome)])
}

/// Reloads and waits until it shows.
fn reload(proxy: &Proxy, number: u32, endpoints: &[Endpoint]) {
    proxy.reload(&generation(number, endpoints));
    eventually("the new generation serves", || proxy.get("/generation").text() == number.to_string());
}

fn open_tunnel(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    assert_eq!(client.reply().status, 101);
    client
}

fn expect_alive(tunnel: &mut Client) {
    tunnel.send("ping");
    assert_eq!(tunnel.wire().exactly(4), Ok(b"ping".to_vec()));
}

#[test]
fn a_hundred_reloads_under_load_fail_no_request_and_close_no_tunnel() {
    let endpoints = endpoints();
    let proxy = Tidegate::with(generation(0, &endpoints)).start();
    let mut tunnels: Vec<_> = (0..4).map(|_| open_tunnel(&proxy)).collect();
    let load = Load::start(proxy.address(), 8, "/");
    load.wait_for(500);
    let descriptors = proxy.open_descriptors();
    let accepted: usize = endpoints.iter().map(Endpoint::accepted).sum();
    for number in 1..=100 {
        reload(&proxy, number, &endpoints);
        if number % 20 == 0 {
            tunnels.iter_mut().for_each(expect_alive);
        }
    }
    let report = load.stop();
    report.expect_no_failures();
    assert!(report.total() > 1000, "{report:?}");
    tunnels.iter_mut().for_each(expect_alive);
    let accepted = endpoints.iter().map(Endpoint::accepted).sum::<usize>() - accepted;
    assert!(accepted < 50, "{accepted} new connections to unchanged endpoints: the pools were thrown away");
    assert!(proxy.open_descriptors() < descriptors + 20, "descriptors leak");
    eventually("all are counted", || reloads(&proxy, "applied") > 99.5);
}

#[test]
fn a_connection_that_is_open_sees_the_new_configuration() {
    let endpoints = endpoints();
    let proxy = Tidegate::with(generation(0, &endpoints)).start();
    let mut client = proxy.client();
    assert_eq!(client.get("/generation").text(), "0");
    reload(&proxy, 1, &endpoints);
    eventually("the old connection sees it", || client.get("/generation").text() == "1");
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let endpoints = endpoints();
    let proxy = Tidegate::with(generation(7, &endpoints)).start();
    let half_written = generation(8, &endpoints)[..60].to_owned();
    for bad in ["to = 5\n", "listne = \":80\"\n", "[[[", &half_written, "to = \"no port\"\n"] {
        let before = reloads(&proxy, "refused");
        proxy.reload(bad);
        eventually("it was refused", || reloads(&proxy, "refused") > before);
        assert_eq!(proxy.get("/generation").text(), "7", "{bad:?}");
        eventually("the metric says so", || proxy.metrics().sum("tidegate_config_last_reload_ok", &[]) < 0.5);
    }
    proxy.output().wait_for_stderr(&["listne"]);
    reload(&proxy, 9, &endpoints);
    eventually("the metric says so", || proxy.metrics().sum("tidegate_config_last_reload_ok", &[]) > 0.5);
}

#[test]
fn listeners_come_and_go_with_a_reload() {
    let endpoint = Endpoint::answering("x");
    let extra = tidegate_testkit::Port::free();
    let with = |more: &str| {
        format!(
            "workers = 1\n[[listener]]\nbind = \"{{listen}}\"\n{more}[[route]]\nto = {:?}\n",
            endpoint.address()
        )
    };
    let proxy = Tidegate::with(with("")).start();
    assert!(Client::try_connect(extra.address()).is_err());
    proxy.reload(&with(&format!("[[listener]]\nbind = \"{}\"\n", extra.address())));
    eventually("the new listener accepts", || Client::try_connect(extra.address()).is_ok());
    let mut kept = Client::connect(extra.address());
    assert_eq!(kept.get("/").text(), "x");
    proxy.reload(&with(""));
    eventually("the listener is gone", || Client::try_connect(extra.address()).is_err());
    let farewell = format!("no longer listening on {}", extra.address());
    proxy.output().wait_for_stderr(&[&farewell]);
    assert_eq!(proxy.get("/").text(), "x");
}

#[test]
fn endpoints_come_and_go_with_a_reload_under_load() {
    let (a, b) = (Endpoint::answering("a"), Endpoint::answering("b"));
    let only = |endpoint: &Endpoint| format!("to = [{:?}]\n", endpoint.address());
    let proxy = Tidegate::with(only(&a)).start();
    let load = Load::start(proxy.address(), 4, "/");
    for endpoint in [&b, &a, &b, &a, &b] {
        proxy.reload(&only(endpoint));
        let before = endpoint.request_count();
        eventually("the other endpoint serves", || endpoint.request_count() > before + 50);
    }
    load.stop().expect_no_failures();
    // What is kept open to an endpoint that is no longer wanted is closed.
    eventually("a was let go", || a.open_connections() == 0);
}

/// A request that began before keeps what it was served by; what is only kept open is closed all the same.
#[test]
fn idle_connections_to_a_removed_endpoint_are_closed_though_an_old_request_goes_on() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Endpoint::start(Script::new(move |visit| {
        held.pass();
        visit.answer("slow")
    }));
    let (idle, next) = (Endpoint::answering("idle"), Endpoint::answering("next"));
    let config = |slow: &str, idle: &str| {
        format!("[[route]]\npath = \"/slow\"\nto = {slow:?}\n[[route]]\nto = {idle:?}\n")
    };
    let proxy = Tidegate::with(config(&slow.address(), &idle.address())).start();
    assert_eq!(proxy.get("/").text(), "idle");
    let mut open = proxy.client();
    open.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    slow.wait_for_requests(1);
    assert_eq!((idle.open_connections(), slow.open_connections()), (1, 1));
    proxy.reload(&config(&next.address(), &next.address()));
    eventually("the new one serves", || proxy.get("/").text() == "next");
    idle.wait_until_left();
    assert_eq!(slow.open_connections(), 1, "the request goes on");
    gate.open();
    assert_eq!(open.reply().text(), "slow");
    slow.wait_until_left();
}

#[test]
fn timeouts_limits_and_the_log_follow_a_reload() {
    let silent = Endpoint::start(Script::is_silent());
    let proxy = Tidegate::to(&[&silent], "").start();
    let more =
        "[timeout]\nfirst_byte = \"100ms\"\n[limit]\ntarget_bytes = \"64B\"\n[log]\naccess = \"stdout\"\n";
    let mut open = proxy.client();
    proxy.reload(&format!("to = {:?}\n{more}", silent.address()));
    eventually("it is in force", || reloads(&proxy, "applied") > 0.5);
    assert_eq!(open.get("/late").cause(), Some("first_byte_timeout"));
    eventually("limits hold", || proxy.get(&format!("/{}", "x".repeat(100))).status == 414);
    proxy.output().wait_for_stdout(&["/late"]);
}

#[test]
fn an_endpoint_that_is_down_stays_down_through_a_reload() {
    let (sick, well) = (Endpoint::start(Script::new(sick)), Endpoint::answering("well"));
    let health = "health = { path = \"/health\", interval = \"1m\", timeout = \"1s\", rise = 1, fall = 1, jitter = \"off\" }\n";
    let config = |more: &str| format!("to = [{:?}, {:?}]\n{health}{more}", sick.address(), well.address());
    let proxy = Tidegate::with(config("")).start();
    eventually("only one is up", || (0..4).all(|_| proxy.get("/").text() == "well"));
    proxy.reload(&config("[timeout]\nhead = \"9s\"\n"));
    eventually("it is in force", || reloads(&proxy, "applied") > 0.5);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "well");
    }
}

fn sick(visit: &mut Visit<'_>) -> Then {
    if visit.request().target == "/health" {
        visit.write("HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n");
        return Then::KeepAlive;
    }
    visit.answer("sick")
}

#[test]
fn a_draining_proxy_finishes_open_requests_and_accepts_nothing_new() {
    let slow = Endpoint::start(Script::answers_after(Duration::from_millis(400), "hello"));
    let mut proxy = Tidegate::to(&[&slow], "").start();
    let mut open = proxy.client();
    open.send(get(""));
    let mut idle = proxy.client();
    slow.wait_for_requests(1);
    proxy.drain();
    eventually("nothing new is accepted", || !serves_newcomers(&proxy));
    let reply = open.reply();
    assert_eq!((reply.text().as_str(), reply.closes()), ("hello", true));
    open.expect_closed();
    idle.expect_closed();
    assert_eq!(proxy.wait().code(), Some(0));
}

/// Whether a new connection gets any answer.
fn serves_newcomers(proxy: &Proxy) -> bool {
    Client::try_connect(proxy.address()).is_ok_and(|client| {
        let mut client = client.patience(Duration::from_millis(100));
        client.send(post("Content-Length: 0\r\nConnection: close\r\n", ""));
        client.rest().1 != Gone::Reset
    })
}

#[test]
fn draining_has_a_deadline() {
    let silent = Endpoint::start(Script::is_silent());
    let config = "[timeout]\ndrain = \"300ms\"\n[log]\naccess = \"stdout\"\n";
    let mut proxy = Tidegate::to(&[&silent], config).start();
    let mut open = proxy.client();
    open.send(get(""));
    silent.wait_for_requests(1);
    let asked = Instant::now();
    proxy.drain();
    proxy.wait();
    assert!(asked.elapsed() < Duration::from_secs(5), "it waited {:?}", asked.elapsed());
    assert_eq!(open.reply().cause(), Some("drain_deadline"));
    open.expect_closed();
    proxy.output().wait_for_stdout(&["drain_deadline"]);
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let silent = Endpoint::start(Script::is_silent());
        let mut proxy = Tidegate::to(&[&silent], "").start();
        let mut open = proxy.client();
        open.send(get(""));
        silent.wait_for_requests(1);
        proxy.signal(signal);
        eventually("it drains", || !ready(&proxy));
        proxy.signal(signal);
        proxy.wait();
    }
}

fn ready(proxy: &Proxy) -> bool {
    proxy.try_admin("/readyz").is_some_and(|reply| reply.status == 200)
}

#[test]
fn a_draining_proxy_is_alive_but_not_ready() {
    let silent = Endpoint::start(Script::is_silent());
    let proxy = Tidegate::to(&[&silent], "").start();
    assert!(ready(&proxy));
    let mut open = proxy.client();
    open.send(get(""));
    silent.wait_for_requests(1);
    proxy.drain();
    eventually("it is not ready", || proxy.try_admin("/readyz").is_some_and(|reply| reply.status == 503));
    assert_eq!(proxy.admin("/livez").status, 200);
    assert!(proxy.metrics().sum("tidegate_draining", &[]) > 0.5);
}

#[test]
fn draining_under_load_fails_no_request() {
    let endpoints = endpoints();
    let mut proxy = Tidegate::with(generation(0, &endpoints)).start();
    let load = Load::start(proxy.address(), 8, "/");
    load.wait_for(1000);
    proxy.drain();
    assert_eq!(proxy.wait().code(), Some(0));
    let report = load.stop();
    // Once the proxy says that it closes, new connections are refused, or reset by the kernel when they arrive in the
    // moment between the last accept and the close: no request of these was ever read.
    let served = |kind: &str| kind.ends_with("on a kept connection");
    let lost: Vec<_> = report.broken.iter().filter(|(kind, _)| served(kind)).collect();
    assert!(lost.is_empty() && report.answers.keys().all(|status| *status == 200), "{report:?}");
}

#[test]
fn a_draining_tunnel_may_finish_within_the_deadline() {
    let endpoint = Endpoint::start(Script::echoes_in_a_tunnel());
    let mut proxy = Tidegate::to(&[&endpoint], "").start();
    let mut tunnel = open_tunnel(&proxy);
    proxy.drain();
    eventually("it drains", || !ready(&proxy));
    expect_alive(&mut tunnel);
    drop(tunnel);
    assert_eq!(proxy.wait().code(), Some(0));
}
