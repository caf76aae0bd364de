//! What can be seen from outside: the log, the metrics, the health pages.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use tidegate_testkit::{Client, Endpoint, Port, Proxy, Script, Then, Tidegate, eventually};

use crate::door::{Door, get, post};

fn logged(proxy: &Proxy, words: &[&str]) -> serde_json::Value {
    let line = proxy.output().wait_for_stdout(words);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn door(format: &str) -> Door {
    Door::with(Script::echoes(), &format!("[log]\naccess = \"stdout\"\nformat = \"{format}\"\n"))
}

#[test]
fn a_json_log_line_tells_the_whole_story_of_a_request() {
    let door = door("json");
    door.ask("POST /shop?item=7 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
    let line = logged(&door.proxy, &["/shop"]);
    let text = line.to_string();
    for key in [
        "time",
        "method",
        "path",
        "host",
        "status",
        "client",
        "route",
        "cluster",
        "endpoint",
        "attempts",
        "request_id",
    ] {
        assert!(line.get(key).is_some(), "{key} is missing in {text}");
    }
    assert_eq!(line["status"], 200);
    assert_eq!(line["method"], "POST");
    assert_eq!(line["attempts"], 1);
    assert_eq!(line["endpoint"], door.endpoint.address());
    let id = door.endpoint.only_request().field("x-request-id").map(str::to_owned);
    assert_eq!(line["request_id"].as_str(), id.as_deref());
}

#[test]
fn a_failed_request_is_logged_with_who_ended_it_in_which_stage_and_why() {
    let down = Endpoint::down(Script::echoes());
    let config = "[log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&[&down], config).start();
    let reply = proxy.get("/lost");
    let line = logged(&proxy, &["/lost"]);
    assert_eq!(line["ended_by"], "upstream");
    assert_eq!(line["stage"], "connect");
    assert_eq!(line["cause"].as_str(), reply.cause());
    assert_eq!(line["request_id"].as_str(), reply.field("x-request-id"));
    assert!(line["connect_ms"].is_number(), "it was tried, and took its time: {line}");
}

#[test]
fn a_request_whose_time_is_over_while_it_is_sent_is_logged_so() {
    let door = Door::with(Script::echoes(), "[timeout]\ntotal = \"200ms\"\n[log]\naccess = \"stdout\"\n");
    let mut client = door.knock(post("Content-Length: 10\r\n", "hello"));
    assert_eq!(client.reply().status, 504);
    let line = logged(&door.proxy, &["total_timeout"]);
    assert_eq!((line["stage"].as_str(), line["cause"].as_str()), (Some("send"), Some("total_timeout")));
}

/// Once the endpoint has all of the request, and while the client still sends it.
#[test]
fn a_client_that_leaves_in_the_middle_of_its_answer_is_logged_so() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        visit.wire().discard();
        Then::Close
    });
    let door = Door::with(script, "[log]\naccess = \"stdout\"\n");
    for (path, request) in [
        ("/read", "GET /read HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("/sending", "POST /sending HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"),
    ] {
        let mut client = door.knock(request);
        let mut read = Vec::new();
        while !read.ends_with(b"hello") {
            read.extend(client.wire().some().expect("half of an answer"));
        }
        client.reset();
        let line = logged(&door.proxy, &[path]);
        assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(200), Some("client_gone")));
        assert_eq!(line["stage"], "body", "{line}");
    }
}

#[test]
fn control_characters_cannot_forge_log_lines() {
    for format in ["json", "text"] {
        let door = door(format);
        let evil = "a\\\"b{\u{e9}} <script>";
        door.ask(get(&format!("User-Agent: {evil}\r\nReferer: {evil}\r\n")));
        door.ask("GET /%0a%0dforged%1b[31m HTTP/1.1\r\nHost: test\r\n\r\n");
        door.ask("GET /last HTTP/1.1\r\nHost: test\r\n\r\n");
        door.proxy.output().wait_for_stdout(&["/last"]);
        let lines = door.proxy.output().stdout();
        assert!(!lines.iter().any(|line| line.starts_with("forged") || line.contains('\u{1b}')), "{lines:?}");
        let requests = lines.iter().filter(|line| line.contains("GET"));
        assert_eq!(requests.count(), 3, "{lines:?}");
    }
}

#[test]
fn a_log_line_is_json_whatever_bytes_a_client_sends() {
    let door = door("json");
    let bytes: Vec<u8> = (0x80..=0xff).chain(*b"\"\\\t").collect();
    let input = [b"GET /bytes HTTP/1.1\r\nHost: test\r\nUser-Agent: ", &bytes[..], b"\r\n\r\n"].concat();
    assert_eq!(door.ask(input).status, 200);
    assert!(logged(&door.proxy, &["/bytes"])["user_agent"].is_string());
}

#[test]
fn refused_requests_are_logged_too() {
    let door = door("json");
    door.ask(post("Content-Length: +5\r\n", "hello"));
    let line = logged(&door.proxy, &["content_length_invalid"]);
    assert_eq!(line["status"], 400);
    assert_eq!(line["ended_by"], "downstream");
    assert_eq!((&line["method"], &line["path"]), (&"POST".into(), &"/".into()));
    door.ask("GET /begun?by=x HTTP/1.1\r\nHost : a\r\n\r\n");
    let line = logged(&door.proxy, &["/begun"]);
    assert_eq!(
        (&line["cause"], &line["query"], &line["host"]),
        (&"field_name_invalid".into(), &"by=x".into(), &serde_json::Value::Null)
    );
    door.ask("TRACE /t HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(logged(&door.proxy, &["trace_refused"])["method"], "TRACE");
    door.ask("GET http://user:secret@a/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(logged(&door.proxy, &["target_invalid"])["path"].is_null());
    assert!(!door.proxy.output().all().contains("secret"));
    door.ask("GET\t/ HTTP/1.1\r\n\r\n");
    assert!(logged(&door.proxy, &["method_invalid"])["path"].is_null());
}

#[test]
fn a_log_file_is_appended_to() {
    let endpoint = Endpoint::answering("x");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let proxy = Tidegate::to(&[&endpoint], &format!("[log]\naccess = {path:?}\n")).start();
    proxy.get("/first");
    proxy.get("/second");
    eventually("both lines are in the file", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains("/first") && text.contains("/second") && text.lines().count() == 2
    });
}

#[test]
fn a_rotated_log_file_is_opened_anew_on_usr1() {
    let endpoint = Endpoint::answering("x");
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let proxy = Tidegate::to(&[&endpoint], &format!("[log]\naccess = {path:?}\n")).start();
    let holds = |path: &std::path::Path, word: &str| {
        std::fs::read_to_string(path).is_ok_and(|text| text.contains(word))
    };
    proxy.get("/before");
    eventually("the first line is written", || holds(&path, "/before"));
    std::fs::rename(&path, &rotated).unwrap();
    proxy.signal(rustix::process::Signal::USR1);
    eventually("the file is there again", || path.exists());
    proxy.get("/after");
    eventually("the new file is used", || holds(&path, "/after"));
    assert!(!holds(&rotated, "/after"));
}

#[test]
fn requests_are_counted_by_route_cluster_and_endpoint() {
    let door = Door::open();
    for _ in 0..7 {
        assert_eq!(door.proxy.get("/").status, 200);
    }
    let address = door.endpoint.address();
    door.proxy.wait_for_metric("tidegate_requests_total", &[("code", "2xx")], 7.0);
    door.proxy.wait_for_metric("tidegate_endpoint_attempts_total", &[("endpoint", &address)], 7.0);
    door.proxy.wait_for_metric("tidegate_endpoint_answers_total", &[("code", "2xx")], 7.0);
    door.proxy.wait_for_metric("tidegate_request_duration_seconds_count", &[], 7.0);
    door.proxy.wait_for_metric("tidegate_endpoint_first_byte_seconds_count", &[("endpoint", &address)], 7.0);
    door.proxy.wait_for_metric("tidegate_endpoint_connects_total", &[], 1.0);
    door.proxy.wait_for_metric("tidegate_endpoint_connections_reused_total", &[], 6.0);
}

#[test]
fn nothing_is_left_over_when_all_is_quiet() {
    let door = Door::open();
    for _ in 0..20 {
        door.proxy.get("/");
        drop(door.knock(post("Content-Length: 10\r\n", "half")));
        drop(door.knock("GET / HT"));
    }
    for gauge in
        ["tidegate_endpoint_in_flight", "tidegate_cluster_pending_requests", "tidegate_listener_connections"]
    {
        eventually(gauge, || {
            let metrics = door.proxy.metrics();
            metrics.has(gauge) && metrics.sum(gauge, &[]) < 0.5
        });
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let door = Door::open();
    door.proxy.get("/");
    door.ask(get("Content-Length: +5\r\n"));
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is installed (package prometheus)");
    child.stdin.take().unwrap().write_all(door.proxy.metrics().text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let says =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && says.is_empty(), "{says}");
}

/// Debian's Prometheus, watching one proxy.
struct Prometheus {
    port: Port,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn watching(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n- job_name: tidegate\n  \
             static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = Port::free();
        let mut command = Command::new("prometheus");
        command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command
            .arg(format!("--web.listen-address={}", port.address()))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("prometheus is installed");
        Self { port, child, _folder: folder }
    }

    /// The value of an instant query, when there is one.
    fn value(&self, query: &str) -> Option<f64> {
        let mut client = Client::try_connect(self.port.address()).ok()?;
        client.send(format!("GET /api/v1/query?query={query} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let answer: serde_json::Value = serde_json::from_slice(&client.try_reply().ok()?.body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_scrapes_it() {
    let door = Door::open();
    for _ in 0..5 {
        door.proxy.get("/");
    }
    let prometheus = Prometheus::watching(&door.proxy.admin_address().to_string());
    eventually("prometheus is up and sees the proxy", || prometheus.value("up") == Some(1.0));
    eventually("the requests arrive", || {
        prometheus.value("sum(tidegate_requests_total)").is_some_and(|count| count > 4.5)
    });
    eventually("a quantile can be computed", || {
        let query = "histogram_quantile(0.5,sum(tidegate_request_duration_seconds_bucket)by(le))";
        prometheus.value(query).is_some_and(|seconds| seconds > 0.0 && seconds < 10.0)
    });
}

#[test]
fn the_admin_listener_has_health_pages_and_nothing_at_other_paths() {
    let door = Door::open();
    assert_eq!((door.proxy.admin("/livez").status, door.proxy.admin("/readyz").status), (200, 200));
    assert_eq!(door.proxy.admin("/secret").status, 404);
    assert_eq!(door.endpoint.request_count(), 0);
}

/// A web page that makes a browser ask a loopback address under its own name must get nothing.
#[test]
fn the_admin_listener_answers_to_its_own_names_only() {
    let door = Door::open();
    for (host, good) in [("localhost", true), ("127.0.0.1", true), ("evil.example", false)] {
        let mut client = Client::connect(door.proxy.admin_address());
        client.send(format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert_eq!(client.reply().status == 200, good, "{host}");
    }
}

#[test]
fn the_admin_listener_survives_abuse() {
    let door = Door::open();
    for input in [
        &b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\nxxxx"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET",
    ] {
        let mut client = Client::connect(door.proxy.admin_address());
        client.send(input);
        client.finish();
        client.rest();
    }
    assert_eq!(door.proxy.admin("/livez").status, 200);
    door.serves();
}

#[test]
fn answers_of_the_proxy_fit_what_the_client_accepts() {
    let proxy =
        Tidegate::with("[[route]]\nhost = \"only.example\"\nanswer = { status = 200, body = \"x\" }\n")
            .start();
    let ask = |accept: &str| {
        let mut client = proxy.client();
        client.send(get(&format!("Accept: {accept}\r\n")));
        client.reply()
    };
    let json = ask("application/json");
    assert_eq!(json.field("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(problem["status"], 404);
    let page = ask("text/html,application/xhtml+xml,*/*;q=0.8");
    assert!(page.field("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
}

#[test]
fn a_request_is_called_as_trusted_proxies_call_it_everywhere() {
    let config = "trusted_proxies = \"127.0.0.1\"\n[log]\naccess = \"stdout\"\n";
    let door = Door::with(Script::echoes(), config);
    assert_eq!(door.ask(get("X-Request-Id: 0199-f1c2\r\n")).status, 200);
    assert_eq!(door.endpoint.only_request().field("x-request-id"), Some("0199-f1c2"));
    assert_eq!(logged(&door.proxy, &["0199-f1c2"])["status"], 200);
    let refused = door.ask("PUT /%zz HTTP/1.1\r\nHost: a\r\nX-Request-Id: no-path\r\n\r\n");
    assert_eq!((refused.status, refused.field("x-request-id")), (400, Some("no-path")));
    let long = "x".repeat(129);
    for odd in ["a b", "<b>", "a\"b", "", long.as_str()] {
        let id = door.ask("GET /%zz HTTP/1.1\r\nHost: a\r\nX-Request-Id: ODD\r\n\r\n".replace("ODD", odd));
        assert_ne!(id.field("x-request-id"), Some(odd), "that cannot stand everywhere");
    }
}

#[test]
fn a_request_id_of_the_client_is_replaced_or_kept_but_is_one() {
    let door = Door::open();
    let reply = door.ask(get("X-Request-Id: abc\r\nX-Request-Id: def\r\n"));
    assert_eq!(reply.status, 200);
    assert_eq!(door.endpoint.only_request().fields.all("x-request-id").len(), 1);
}
