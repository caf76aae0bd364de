//! Requests that are tried again, and those that must not be.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidegate_testkit::{Endpoint, Load, Port, Script, Then, Tidegate, eventually};

use crate::door::{get, post};

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

#[test]
fn an_idempotent_upload_is_repeated_whole_or_not_at_all() {
    let (bad, good) = (Endpoint::start(crashes()), Endpoint::start(Script::echoes()));
    let proxy = Tidegate::to(&[&bad, &good], "").start();
    for size in [10, 200_000] {
        let body = vec![b'x'; size];
        for _ in 0..4 {
            let mut client = proxy.client().patience(Duration::from_secs(10));
            let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n");
            let sending = client.send_aside([head.as_bytes(), &body].concat());
            let reply = client.reply();
            assert!(reply.status == 502 || reply.body == body, "{} of {size}", reply.body.len());
            let _ = sending.join();
        }
    }
    assert!(
        good.requests().iter().all(|request| !request.complete || matches!(request.body.len(), 10 | 200_000))
    );
}
