//! gRPC through real clients and servers: every kind of call, trailers, deadlines, statuses, health, retries.

use http::HeaderValue;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;
use tidegate_testkit::http2::{Http2Client, exchange};
use tidegate_testkit::python::script;
use tidegate_testkit::{Endpoint, Proxy, Script, Then, Tidegate, eventually};

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut command = script("grpc_server.py");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, address: format!("127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client(target: &str, arguments: &[&str]) -> serde_json::Value {
    let output = script("grpc_client.py").arg(target).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn through(proxy: &Proxy, arguments: &[&str]) -> serde_json::Value {
    client(&proxy.address().to_string(), arguments)
}

fn before(servers: &[&Server], more: &str) -> Proxy {
    let to: Vec<_> = servers.iter().map(|server| format!("{:?}", server.address)).collect();
    Tidegate::with(format!("to = [{}]\nendpoint_http2 = true\n{more}", to.join(", "))).start()
}

#[test]
fn calls_of_every_kind_see_through_the_proxy_what_they_see_without() {
    let server = Server::start();
    let proxy = before(&[&server], "[log]\naccess = \"stdout\"\n");
    let direct = client(&server.address, &["kinds"]);
    assert_eq!(direct["big"], true);
    assert_eq!(direct["deadline"], "DEADLINE_EXCEEDED");
    assert_eq!(through(&proxy, &["kinds"]), direct, "{}", proxy.output().all());
}

#[test]
fn what_the_proxy_answers_itself_is_a_status_of_grpc() {
    let server = Server::start();
    let slow = "[[route]]\npath = \"/test.Echo/Slow\"\nto = \"app\"\ntimeout = { first_byte = \"300ms\" }\n";
    let gone = tidegate_testkit::Port::free();
    let config = format!(
        "listen = \"{{listen}}\"\nendpoint_http2 = true\n{slow}[[route]]\npath = \"/test.Echo/Unary\"\nto = \"127.0.0.1:{}\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        gone.address().port(),
        server.address
    );
    let proxy = Tidegate::with(config).start();
    assert_eq!(through(&proxy, &["/test.Echo/Unary=x"])[0], "UNAVAILABLE");
    assert_eq!(through(&proxy, &["/test.Echo/Unary=x"])[1], "connect_refused");
    assert_eq!(through(&proxy, &["/test.Echo/Fail=x"]), serde_json::json!(["UNIMPLEMENTED", "no_route"]));
    assert_eq!(through(&proxy, &["/test.Echo/Slow=2"])[0], "DEADLINE_EXCEEDED");
    drop(gone);
}

#[test]
fn a_deadline_ends_the_call_at_the_proxy_as_well() {
    let server = Server::start();
    let proxy = before(&[&server], "[log]\naccess = \"stdout\"\n");
    assert_eq!(through(&proxy, &["/test.Echo/Slow=3", "0.4"])[0], "DEADLINE_EXCEEDED");
    proxy.output().wait_for_stdout(&["\"path\":\"/test.Echo/Slow\""]);
    let line = proxy.output().wait_for_stdout(&["/test.Echo/Slow"]);
    assert!(line.contains("total_timeout") || line.contains("client_gone"), "{line}");
}

#[test]
fn health_is_asked_by_grpc_and_an_unwell_endpoint_gets_no_calls() {
    let (well, unwell) = (Server::start(), Server::start());
    client(&unwell.address, &["/test.Echo/Control=unwell"]);
    let health =
        "health = { type = \"grpc\", interval = \"100ms\", timeout = \"90ms\", fall = 1, rise = 1 }\n";
    let proxy = before(&[&well, &unwell], &format!("balance = \"round_robin\"\n{health}"));
    eventually("the unwell endpoint is down", || {
        proxy.metrics().sum("tidegate_endpoint_up", &[("endpoint", &unwell.address)]) < 0.5
    });
    for _ in 0..4 {
        assert_eq!(through(&proxy, &["/test.Echo/Unary=abc"]), serde_json::json!(["ok", "cba"]));
    }
    assert_eq!(client(&unwell.address, &["/test.Echo/Control=well"])[1], "0");
    proxy.wait_for_metric("tidegate_endpoint_up", &[("endpoint", &unwell.address)], 1.0);
}

#[test]
fn an_unavailable_endpoint_is_asked_once_and_then_another_if_the_policy_says_so() {
    let (one, other) = (Server::start(), Server::start());
    let retry = "balance = \"round_robin\"\nlog = { access = \"stdout\" }\nretry = { on = [\"connect\", \"grpc_unavailable\"], attempts = 2 }\n";
    let proxy = before(&[&one, &other], retry);
    assert_eq!(through(&proxy, &["/test.Echo/Fail=UNAVAILABLE"])[0], "UNAVAILABLE");
    let asked = |server: &Server| client(&server.address, &["/test.Echo/Control="])[1].clone();
    assert_eq!((asked(&one), asked(&other)), ("1".into(), "1".into()));
    assert_eq!(through(&proxy, &["/test.Echo/Fail=NOT_FOUND"])[0], "NOT_FOUND");
    let total: u32 = [asked(&one), asked(&other)]
        .iter()
        .map(|count| count.as_str().unwrap().parse::<u32>().unwrap())
        .sum();
    assert_eq!(total, 3, "only what the policy names is tried again");
    let unavailable = "\"cause\":\"answer_refused\",\"status\":200,\"grpc_status\":14,\"ms\":";
    proxy.output().wait_for_stdout(&["\"attempts\":2", "\"given_up\":[{\"endpoint\":", unavailable]);
}

#[test]
fn the_endpoint_of_a_call_that_has_waited_hears_how_much_time_is_left() {
    let endpoint = Endpoint::start(Script::new(|visit| {
        std::thread::sleep(Duration::from_millis(300));
        visit.answer("x")
    }));
    let proxy = Tidegate::to(&[&endpoint], "limit.endpoint_requests = 1\n").start();
    let client = Http2Client::clear(proxy.address());
    client.run(async {
        let calls = [(); 2].map(|()| tokio::spawn(exchange(client.sender(), call("8000m"), None, None)));
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().status(), 200);
        }
    });
    let left = endpoint.requests().into_iter().map(|request| {
        let text = request.field("grpc-timeout").expect("it is passed on").to_owned();
        text.strip_suffix('m').expect("in milliseconds").parse::<u64>().expect("a number")
    });
    let left: Vec<_> = left.collect();
    assert!(left[0] > left[1] && left[1] > 1_000, "{left:?}");
}

/// With a breaker that takes an endpoint out, or would if it were not the last one, for two failures.
fn before_with_breaker(script: Script) -> (Endpoint, Proxy) {
    let endpoint = Endpoint::start(script);
    let breaker = "breaker = { failures = 2, margin_percent = \"off\", ejected_percent = 100 }";
    let config = format!("retry = \"off\"\ntimeout = {{ total = \"1s\" }}\n{breaker}\n");
    let proxy = Tidegate::to(&[&endpoint], &config).start();
    (endpoint, proxy)
}

fn is_held_against_the_endpoint(proxy: &Proxy) -> bool {
    let metrics = proxy.metrics();
    let ejections = ["tidegate_endpoint_ejections_total", "tidegate_endpoint_ejections_held_back_total"];
    ejections.iter().any(|name| metrics.sum(name, &[]) > 0.5)
}

fn call(timeout: &'static str) -> http::Request<()> {
    let mut request = Http2Client::request("POST", "app.test", "/test.Echo/Unary");
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static(timeout));
    request
}

#[test]
fn a_client_that_gives_its_call_too_little_time_is_not_held_against_the_endpoint() {
    let (_endpoint, proxy) = before_with_breaker(Script::answers_after(Duration::from_millis(500), "x"));
    let client = Http2Client::clear(proxy.address());
    for _ in 0..3 {
        let reply = client.exchange(call("10m"), None, None).unwrap();
        assert_eq!(
            (reply.field("grpc-status"), reply.field("grpc-message")),
            (Some("4"), Some("total_timeout"))
        );
    }
    assert!(!is_held_against_the_endpoint(&proxy));
    assert_eq!(proxy.get("/").text(), "x");
}

#[test]
fn a_call_that_its_endpoint_keeps_waiting_until_the_total_timeout_has_failed_there() {
    let (_endpoint, proxy) = before_with_breaker(Script::is_silent());
    let client = Http2Client::clear(proxy.address());
    for _ in 0..2 {
        let reply = client.exchange(call("1M"), None, None).unwrap();
        assert_eq!(reply.field("grpc-message"), Some("total_timeout"));
    }
    assert!(is_held_against_the_endpoint(&proxy));
}

#[test]
fn in_a_request_that_is_no_call_a_timeout_of_grpc_means_nothing() {
    let (endpoint, proxy) = before_with_breaker(Script::answers_after(Duration::from_millis(100), "x"));
    let client = Http2Client::clear(proxy.address());
    for kind in ["text/plain", "application/grpc-web"] {
        let mut request = call("1m");
        request.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        let reply = client.exchange(request, None, None).unwrap();
        assert_eq!((reply.status(), &reply.body[..]), (200, &b"x"[..]), "{kind}");
    }
    assert!(endpoint.requests().iter().all(|request| request.field("grpc-timeout") == Some("1m")));
}

/// Only what the endpoint says of itself counts: not that a client ended a call early, nor that it was told so.
#[test]
fn a_call_that_its_client_ends_is_not_held_against_the_endpoint() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n\
                 7\r\n\0\0\0\0\x02hi\r\n";
    let (_endpoint, proxy) = before_with_breaker(Script::new(move |visit| {
        visit.write(begun);
        Then::Hang
    }));
    let client = Http2Client::clear(proxy.address());
    for ended in 1..=3 {
        let reply = client.exchange(call("100m"), None, None).unwrap();
        assert_eq!(reply.trailers["grpc-message"], "total_timeout");
        drop(client.open(call("1M")).unwrap());
        proxy.wait_for_metric("tidegate_failures_total", &[("cause", "client_gone")], f64::from(ended));
    }
    assert!(!is_held_against_the_endpoint(&proxy));
    let late =
        "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 4\r\nContent-Length: 0\r\n\r\n";
    let (_endpoint, proxy) = before_with_breaker(Script::writes(late, Then::KeepAlive));
    let client = Http2Client::clear(proxy.address());
    for (timeout, counts) in [("900m", false), ("1M", true)] {
        for _ in 0..3 {
            assert_eq!(client.exchange(call(timeout), None, None).unwrap().field("grpc-status"), Some("4"));
        }
        assert_eq!(is_held_against_the_endpoint(&proxy), counts, "{timeout}");
    }
}

/// A reset would be INTERNAL to clients, which they do not try again.
#[test]
fn a_call_whose_answer_breaks_off_ends_as_unavailable() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n\
                 7\r\n\0\0\0\0\x02hi\r\n";
    let endpoint = Endpoint::start(Script::writes(begun, Then::Close));
    let proxy = Tidegate::to(&[&endpoint], "[log]\naccess = \"stdout\"\n").start();
    let client = Http2Client::clear(proxy.address());
    let mut request = Http2Client::request("POST", "app.test", "/test.Echo/Stream");
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let reply = client.exchange(request, Some(b"\0\0\0\0\0"), None).unwrap();
    assert_eq!((reply.status(), &reply.body[..]), (200, &b"\0\0\0\0\x02hi"[..]));
    let said =
        ["grpc-status", "grpc-message"].map(|name| reply.trailers.get(name).unwrap().to_str().unwrap());
    assert_eq!(said, ["14", "answer_broken"]);
    proxy.output().wait_for_stdout(&["\"grpc_status\":14", "\"cause\":\"answer_broken\""]);
}

#[test]
fn calls_that_fail_count_against_their_endpoint_wherever_their_status_stands() {
    for method in ["Fail", "FailLate"] {
        let (bad, good) = (Server::start(), Server::start());
        let more = "balance = \"round_robin\"\nretry = \"off\"\n[breaker]\nfailures = 3\nmargin_percent = \"off\"\n\
                    retry_after = \"60s\"\n[log]\naccess = \"stdout\"\n";
        let proxy = before(&[&bad, &good], more);
        let ejected = || proxy.metrics().sum("tidegate_endpoint_ejections_total", &[("reason", "failures")]);
        let call = |status: &str| through(&proxy, &[&format!("/test.Echo/{method}={status}")]);
        for _ in 0..8 {
            assert_eq!(call("NOT_FOUND")[0], "NOT_FOUND");
        }
        assert!(ejected() < 0.5, "{method}: the endpoint is not to blame");
        for _ in 0..8 {
            assert_eq!(call("UNAVAILABLE")[0], "UNAVAILABLE");
        }
        assert!(ejected() > 0.5, "{method}: {}", proxy.output().all());
        proxy.output().wait_for_stdout(&[method, "\"status\":200,\"grpc_status\":14,"]);
        proxy.output().wait_for_stdout(&[method, "\"status\":200,\"grpc_status\":5,"]);
    }
}
