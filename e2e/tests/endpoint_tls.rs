//! TLS with endpoints: verified, resumed, kept, and refused with a cause of its own.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::favourite;
use tidegate_testkit::http2::Http2Client;
use tidegate_testkit::tls::{Authority, Issued};
use tidegate_testkit::{Endpoint, Front, Gone, Proxy, Script, Then, Tidegate, Visit, Wire, eventually};

/// An authority, an endpoint behind TLS, and what a cluster says to reach it.
struct Site {
    authority: Authority,
    endpoint: Endpoint,
    front: Front,
}

fn localhost(authority: &Authority) -> Issued {
    authority.issue("localhost", &["localhost", "app.internal"])
}

impl Site {
    fn new(script: Script) -> Self {
        let (authority, endpoint) = (Authority::new(), Endpoint::start(script));
        let front = Front::start(&localhost(&authority), endpoint.socket_address());
        Self { authority, endpoint, front }
    }

    /// `tls` beside the authority.
    fn cluster(&self, tls: &str) -> String {
        cluster(self.front.port(), &format!("ca = '{}'{tls}", self.authority.cert().display()))
    }

    fn proxy(&self, more: &str) -> Proxy {
        Tidegate::with(format!("to = 'app'\n{more}\n{}", self.cluster(""))).start()
    }
}

fn cluster(port: u16, tls: &str) -> String {
    format!("[cluster.app]\nendpoints = ['https://localhost:{port}']\ntls = {{ {tls} }}\n")
}

fn handshakes(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metrics().sum("tidegate_endpoint_tls_handshakes_total", &[("outcome", outcome)])
}

/// Encrypted connections stay with their worker. An idle one must not take the place of one that another worker needs.
#[test]
fn a_worker_that_keeps_an_idle_connection_does_not_starve_the_others() {
    let site = Site::new(Script::echoes());
    let limit = "limit = { upstream_connections = 1 }\n";
    let config = format!("workers = 2\nto = 'app'\ntimeout.connect = '1s'\n{}{limit}", site.cluster(""));
    let proxy = Tidegate::with(config).start();
    // The kernel spreads connections over the workers: with so many, all on one is a chance of one in a million.
    for _ in 0..20 {
        let reply = proxy.get("/");
        assert_eq!((reply.status, reply.cause()), (200, None));
    }
    assert!(site.endpoint.accepted() > 1, "both workers took part");
}

#[test]
fn requests_and_bodies_of_every_size_pass_as_they_do_in_the_clear() {
    let site = Site::new(Script::echoes());
    let proxy = site.proxy("");
    let mut client = proxy.client();
    for size in [0, 1, 100, 4096, 16 * 1024, 70_000, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|byte| (byte % 251) as u8).collect();
        let head = format!("POST /{size} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {size}\r\n\r\n");
        client.send_aside([head.as_bytes(), &body].concat());
        let reply = client.reply();
        assert_eq!((reply.status, reply.body.len()), (200, body.len()));
        assert!(reply.body == body, "{size} bytes came back changed");
    }
    let received = site.endpoint.last_request();
    assert_eq!(received.field("x-forwarded-proto"), Some("http"), "the client's own connection");
    assert_eq!(received.field("host"), Some("app.test"));
    let meetings = site.front.meetings();
    assert_eq!(meetings.len(), 1, "one connection is kept, whatever tickets came on it: {meetings:?}");
    assert_eq!(meetings[0].server_name.as_deref(), Some("localhost"));
    assert_eq!(meetings[0].protocol.as_deref(), Some("http/1.1"));
}

#[test]
fn what_the_machine_trusts_is_trusted_and_nobody_else() {
    let site = Site::new(Script::answers("hello"));
    let config = format!("to = 'https://localhost:{}'\nretry = 'off'\n", site.front.port());
    let proxy = Tidegate::with(&*config).trusting(&site.authority.cert()).start();
    assert_eq!(proxy.get("/").status, 200);
    let elsewhere = Tidegate::with(&*config).trusting(&Authority::new().cert()).start();
    let reply = elsewhere.get("/");
    assert_eq!((reply.status, reply.cause()), (502, Some("tls_certificate_untrusted")));
    assert_eq!(reply.error(), Some("tls_certificate_error"));
    assert_eq!(site.endpoint.request_count(), 1);
}

#[test]
fn each_way_to_fail_has_its_cause_and_another_endpoint_gets_the_request() {
    let site = Site::new(Script::answers("hello"));
    let to = site.endpoint.socket_address();
    let stranger = Front::start(&localhost(&Authority::new()), to);
    let misnamed = Front::start(&site.authority.issue("other", &["other.internal"]), to);
    let past = Front::start(&site.authority.issue_for_days("past", &["localhost"], -9..=-2), to);
    let future = Front::start(&site.authority.issue_for_days("future", &["localhost"], 2..=9), to);
    let asking =
        Front::of(&localhost(&site.authority), &[&rustls::version::TLS12], Some(&site.authority), to);
    let plain = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
        let _ = wire.some();
        let _ = wire.write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        Then::Close
    }));
    let silent = Endpoint::start(Script::on_accept(|_| Then::Hang));
    let leaving = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
        let _ = wire.some();
        Then::Close
    }));
    let port = |endpoint: &Endpoint| endpoint.socket_address().port();
    for (port, status, cause, error) in [
        (stranger.port(), 502, "tls_certificate_untrusted", "tls_certificate_error"),
        (misnamed.port(), 502, "tls_certificate_name", "tls_certificate_error"),
        (past.port(), 502, "tls_certificate_expired", "tls_certificate_error"),
        (future.port(), 502, "tls_certificate_expired", "tls_certificate_error"),
        (asking.port(), 502, "tls_alert", "tls_alert_received"),
        (port(&plain), 502, "tls_failed", "tls_protocol_error"),
        (port(&leaving), 502, "tls_closed", "connection_terminated"),
        (port(&silent), 504, "tls_timeout", "connection_timeout"),
    ] {
        let ca = format!("tls = {{ ca = '{}' }}", site.authority.cert().display());
        let good = site.front.port();
        let proxy = Tidegate::with(format!(
            "timeout.connect = '400ms'\npassive = 'off'\nbalance = {{ algorithm = 'first', in_flight_max = 9 }}\n\
             [[route]]\npath = '/alone'\nto = 'https://localhost:{port}'\n{ca}\n\
             [[route]]\npath = '/two'\nto = ['https://localhost:{port}', 'https://localhost:{good}']\n{ca}\n"
        ))
        .start();
        let reply = proxy.get("/alone");
        assert_eq!((reply.status, reply.cause(), reply.error()), (status, Some(cause), Some(error)));
        assert!(handshakes(&proxy, "failed") >= 1.0, "{cause}");
        // A body that cannot be sent twice: nothing of it had been sent.
        let mut client = proxy.client();
        client.send("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.reply().status, 200, "{cause}");
    }
}

/// H6: what an endpoint says until it closes is complete when it says so, and not when somebody has cut the connection.
#[test]
fn an_answer_that_ends_with_its_connection_is_complete_only_with_a_goodbye() {
    let said = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it";
    let measured = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nall of it.";
    let script = move |visit: &mut Visit<'_>| {
        let _ = visit.write(if visit.request().target == "/measured" { measured } else { said });
        Then::Close
    };
    let site = Site::new(Script::new(script));
    assert_eq!(site.proxy("").get("/").text(), "half of it");

    let abrupt = Front::abrupt(&localhost(&site.authority), site.endpoint.socket_address());
    let ca = format!("ca = '{}'", site.authority.cert().display());
    let config = format!("to = 'app'\n[log]\naccess = 'stdout'\n{}", cluster(abrupt.port(), &ca));
    let proxy = Tidegate::with(config).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_reply().is_err(), "it looks complete");
    let mut old = proxy.client();
    old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let (bytes, gone) = old.rest();
    assert_eq!(gone, Gone::Reset, "{}", bytes.escape_ascii());
    let client = Http2Client::clear(proxy.address());
    assert!(client.get("app.test", "/").unwrap_err().is_reset());
    proxy.wait_for_metric("tidegate_failures_total", &[("cause", "answer_broken")], 3.0);
    proxy.output().wait_for_stdout(&["\"cause\":\"answer_broken\"", "\"stage\":\"body\""]);
    // Whose length is known needs no goodbye.
    assert_eq!(proxy.get("/measured").text(), "all of it.");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Bytes(usize),
    /// The end of the first one.
    Record,
}

/// Says what the front says up to here, then these words.
fn cut(front: &Front, until: Until, last_words: &'static [u8], then: Then) -> Endpoint {
    let port = front.port();
    Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        let mut inside = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let Ok(hello) = wire.some() else { return Then::Close };
        inside.write_all(&hello).unwrap();
        let mut said = vec![0; if let Until::Bytes(count) = until { count } else { 5 }];
        inside.read_exact(&mut said).unwrap();
        if until == Until::Record {
            said.resize(5 + usize::from(u16::from_be_bytes([said[3], said[4]])), 0);
            inside.read_exact(&mut said[5..]).unwrap();
        }
        let _ = wire.write(&said);
        let _ = wire.write(last_words);
        then
    }))
}

/// H6.
#[test]
fn an_endpoint_that_is_down_for_its_certificate_says_so() {
    let authority = Authority::new();
    let past = authority.issue_for_days("past", &["localhost"], -9..=-2);
    let endpoint = Endpoint::answering("a");
    let front = Front::start(&past, endpoint.socket_address());
    let trusted = format!("ca = '{}'", authority.cert().display());
    let proxy = Tidegate::with(format!("to = 'app'\n{}", cluster(front.port(), &trusted))).start();
    for _ in 0..3 {
        assert_eq!(proxy.get("/").cause(), Some("tls_certificate_expired"));
    }
    let why = "connects failed in a row (tls_certificate_expired)";
    assert!(proxy.admin("/status").text().contains(why), "{}", proxy.admin("/status").text());
    proxy.output().wait_for_stderr(&["is down", why]);
}

/// Each attempt would have taken its time, for nobody.
#[test]
fn nothing_is_tried_again_for_a_client_that_has_left() {
    let silent = || {
        Endpoint::start(Script::on_accept(|wire| {
            let _ = wire.rest();
            Then::Close
        }))
    };
    let silent = [silent(), silent()];
    let [a, b] = silent.each_ref().map(|endpoint| endpoint.socket_address().port());
    let proxy = Tidegate::with(format!(
        "timeout.connect = '1s'\npassive = 'off'\nto = ['https://localhost:{a}', 'https://localhost:{b}']\n[log]\naccess = 'stdout'\n"
    ))
    .start();
    let accepted = || silent.iter().map(Endpoint::accepted).sum::<usize>();
    let before = accepted();
    let mut client = proxy.client();
    client.send("GET /leaves HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("one is asked", || accepted() > before);
    client.reset();
    let line = proxy.output().wait_for_stdout(&["/leaves"]);
    assert!(line.contains("client_gone"), "{line}");
    assert_eq!(accepted(), before + 1);
}

#[test]
fn a_handshake_that_breaks_off_stalls_or_turns_into_something_else_is_a_failure_with_a_cause() {
    let site = Site::new(Script::answers("hello"));
    let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let alert = &[21, 3, 3, 0, 2, 2, 40];
    let cases: [(Until, &[u8], Then, u16, &str); 10] = [
        (Until::Bytes(3), b"", Then::Hang, 504, "tls_timeout"),
        (Until::Bytes(200), b"", Then::Hang, 504, "tls_timeout"),
        (Until::Record, b"", Then::Hang, 504, "tls_timeout"),
        (Until::Bytes(3), b"", Then::Close, 502, "tls_closed"),
        (Until::Bytes(200), b"", Then::Close, 502, "tls_closed"),
        (Until::Record, b"", Then::Close, 502, "tls_closed"),
        (Until::Bytes(0), plain, Then::Close, 502, "tls_failed"),
        (Until::Record, plain, Then::Close, 502, "tls_failed"),
        (Until::Bytes(0), alert, Then::Close, 502, "tls_alert"),
        (Until::Record, alert, Then::Close, 502, "tls_alert"),
    ];
    for (until, last_words, then, status, cause) in cases {
        let broken = cut(&site.front, until, last_words, then);
        let tls = format!("ca = '{}'", site.authority.cert().display());
        let config = cluster(broken.socket_address().port(), &tls);
        let proxy =
            Tidegate::with(format!("to = 'app'\nretry = 'off'\ntimeout.connect = '400ms'\n{config}")).start();
        let reply = proxy.get("/");
        let what = format!("{until:?}, then {}", last_words.escape_ascii());
        assert_eq!((reply.status, reply.cause()), (status, Some(cause)), "{what}");
    }
    assert_eq!(site.endpoint.request_count(), 0);
}

#[test]
fn new_connections_are_resumed_by_any_worker_and_across_a_reload() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
        let front = Front::of(&localhost(&authority), &[version], None, endpoint.socket_address());
        let ca = format!("ca = '{}'", authority.cert().display());
        let config = format!(
            "to = 'app'\nworkers = 2\nlimit.upstream_idle_connections = 0\n{}",
            cluster(front.port(), &ca)
        );
        let proxy = Tidegate::with(&*config).start();
        for _ in 0..50 {
            assert_eq!(proxy.get("/").status, 200);
        }
        let resumed = front.meetings().iter().filter(|meeting| meeting.resumed).count();
        assert!(resumed >= 48, "{version:?}: {resumed} of 50");
        assert!((handshakes(&proxy, "resumed") - resumed as f64).abs() < 0.5);
        proxy.reload(&config);
        assert_eq!(proxy.get("/").status, 200);
        assert!(front.meetings()[50].resumed, "{version:?}: the reload forgot its tickets");
    }
}

#[test]
fn an_endpoint_that_asks_is_shown_a_certificate() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let front = Front::asking(&localhost(&authority), &authority, endpoint.socket_address());
    let identity = authority.issue("proxy", &["proxy.internal"]);
    let ca = format!("ca = '{}'", authority.cert().display());
    let shows = cluster(front.port(), &format!("{ca}, {}", identity.keys()));
    let proxy = Tidegate::with(format!("to = 'app'\n{shows}")).start();
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(front.meetings()[0].identity.as_deref(), Some(&*identity.der()));

    let hides = cluster(front.port(), &ca);
    let proxy = Tidegate::with(format!("to = 'app'\n{hides}")).start();
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.cause()), (502, Some("tls_refused")), "TLS 1.3 refuses afterwards");
    assert_eq!(reply.error(), Some("tls_alert_received"));
    assert_eq!(endpoint.request_count(), 1);
}

#[test]
fn files_that_change_are_shown_to_endpoints_and_believed_without_a_reload() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let front = Front::asking(&localhost(&authority), &authority, endpoint.socket_address());
    let identity = authority.issue("proxy", &["proxy.internal"]);
    let vouching = identity.cert.with_file_name("vouching.pem");
    std::fs::copy(authority.cert(), &vouching).unwrap();
    let tls = format!("ca = '{}', {}", vouching.display(), identity.keys());
    let proxy = Tidegate::with(format!("to = 'app'\nretry = 'off'\n{}", cluster(front.port(), &tls))).start();
    let shown = || {
        assert_eq!(proxy.get("/").status, 200);
        front.meetings().last().unwrap().identity.clone()
    };
    assert_eq!(shown().as_deref(), Some(&*identity.der()));
    let reads = |outcome, at_least| {
        proxy.wait_for_metric("tidegate_tls_certificate_reads_total", &[("outcome", outcome)], at_least);
    };

    let before = identity.der();
    let next = authority.issue("proxy", &["proxy.internal"]);
    assert_ne!(next.der(), before);
    eventually("the new certificate is shown", || shown().as_deref() == Some(&*next.der()));
    proxy.output().wait_for_stderr(&["proxy.pem", "was read again", "it expires in"]);
    reads("replaced", 1.0);

    std::fs::write(&vouching, "half a certificate").unwrap();
    proxy.output().wait_for_stderr(&["the one before is kept", "vouching.pem holds no certificate"]);
    assert_eq!(proxy.get("/").status, 200);
    assert!(proxy.admin("/status").text().contains("vouching.pem holds no certificate"));
    std::fs::copy(Authority::new().cert(), &vouching).unwrap();
    eventually("nobody is believed but the new authority, on kept connections neither", || {
        proxy.get("/").cause() == Some("tls_certificate_untrusted")
    });
    reads("replaced", 2.0);
    reads("refused", 1.0);
    assert!(proxy.metrics().sum("tidegate_config_reloads_total", &[]) < 0.5);
}

#[test]
fn a_certificate_for_endpoints_that_soon_expires_is_told_of() {
    let site = Site::new(Script::answers("hello"));
    let soon = site.authority.issue_for_days("soon", &["proxy.internal"], -80..=10);
    let proxy =
        Tidegate::with(format!("to = 'app'\n{}", site.cluster(&format!(", {}", soon.keys())))).start();
    proxy.output().wait_for_stderr(&["soon.pem", "expires in ", " days"]);
    let file = soon.cert.display().to_string();
    let name = "tidegate_tls_certificate_not_after_timestamp_seconds";
    assert!(proxy.metrics().sum(name, &[("certificate", &file)]) > 1e9);
}

#[test]
fn the_name_may_be_another_than_that_of_the_address_and_whoever_answers_may_be_believed() {
    let site = Site::new(Script::answers("hello"));
    let named = site.cluster(", server_name = 'app.internal'");
    let proxy = Tidegate::with(format!("to = 'app'\n{named}")).start();
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(site.front.meetings()[0].server_name.as_deref(), Some("app.internal"));

    let stranger =
        Front::start(&Authority::new().issue("any", &["any.internal"]), site.endpoint.socket_address());
    let careless = cluster(stranger.port(), "verify = false");
    let proxy = Tidegate::with(format!("to = 'app'\n{careless}")).start();
    assert_eq!(proxy.get("/").status, 200);
    proxy.output().wait_for_stderr(&["warning", "cluster.app.tls.verify", "is believed"]);
}

#[test]
fn the_header_of_the_proxy_protocol_comes_before_the_handshake() {
    let headers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&headers);
    let site = Site::new(Script::on_accept(move |wire: &mut Wire| {
        let Ok(fixed) = wire.exactly(16) else { return Then::Close };
        let rest = wire.exactly(usize::from(u16::from_be_bytes([fixed[14], fixed[15]])));
        seen.lock().unwrap().push(rest.unwrap_or_default());
        while wire.line().is_ok_and(|line| !line.is_empty()) {}
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Hang
    }));
    let proxy = site.proxy("send_proxy_protocol = 'v2'");
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(headers.lock().unwrap()[0][..4], [127, 0, 0, 1]);
    assert_eq!(site.front.meetings().len(), 1, "what came after it was a handshake");
}

#[test]
fn health_checks_speak_tls_by_the_same_rules() {
    let site = Site::new(Script::answers("hello"));
    let stranger = Front::start(&localhost(&Authority::new()), site.endpoint.socket_address());
    let ca = site.authority.cert();
    for check in ["health = { path = '/up', interval = '100ms' }", "health = { interval = '100ms' }"] {
        let proxy = Tidegate::with(format!(
            "to = ['https://localhost:{}', 'https://localhost:{}']\n{check}\n",
            site.front.port(),
            stranger.port()
        ))
        .trusting(&ca)
        .start();
        let status = || proxy.admin("/status").text();
        eventually("the stranger is down", || status().contains("down"));
        proxy.output().wait_for_stderr(&["no TLS", "invalid peer certificate"]);
        for _ in 0..10 {
            assert_eq!(proxy.get("/").status, 200);
        }
        assert!(handshakes(&proxy, "failed") < 0.5, "no request was sent to it");
    }
    let up = site.endpoint.requests().iter().filter(|request| request.target == "/up").count();
    assert!(up >= 1, "no check asked");
}

#[test]
fn a_reload_with_other_authorities_trusts_no_connection_of_before() {
    let site = Site::new(Script::answers("hello"));
    let ca = site.authority.cert();
    let proxy = site.proxy("");
    assert_eq!(proxy.get("/").status, 200);
    let config = format!("to = 'app'\n{}", site.cluster(""));
    proxy.reload(&config);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(site.front.meetings().len(), 1, "nothing changed: the connection is kept");
    std::fs::copy(Authority::new().cert(), &ca).unwrap();
    proxy.reload(&config);
    eventually("nobody is trusted", || proxy.get("/").cause() == Some("tls_certificate_untrusted"));
}

#[test]
fn a_tunnel_echoes_with_tls_on_both_sides() {
    let site = Site::new(Script::echoes_in_a_tunnel());
    let keys = localhost(&site.authority).keys();
    let listener = format!("[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {keys} }}\n");
    let proxy = Tidegate::with(format!("to = 'app'\n{listener}{}", site.cluster(""))).start();
    let mut connection = site.authority.client().connect(proxy.address(), "localhost").unwrap();
    connection.echoes_in_a_tunnel("localhost");
}

#[test]
fn a_second_attempt_beside_a_first_connects_by_the_same_rules() {
    let good = || Endpoint::start(Script::answers_after(Duration::from_millis(2), "good"));
    let authority = Authority::new();
    let mut endpoints: Vec<_> = (0..3).map(|_| good()).collect();
    let front = |endpoint: &Endpoint| Front::start(&localhost(&authority), endpoint.socket_address());
    let fronts: Vec<_> = endpoints.iter().map(front).collect();
    let list: Vec<_> = fronts.iter().map(|front| format!("https://localhost:{}", front.port())).collect();
    let more = format!("{}limit.upstream_idle_connections = 0\n", favourite::HEDGES);
    let proxy = Tidegate::with(format!("to = {list:?}\n{more}")).trusting(&authority.cert()).start();
    favourite::falls_silent(&proxy, &mut endpoints);
}

#[test]
fn a_kept_connection_that_the_endpoint_has_ended_is_not_used_again() {
    let site = Site::new(Script::writes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Then::Close));
    let proxy = site.proxy("retry = 'off'");
    for round in 1..=5 {
        assert_eq!(proxy.get("/").status, 200);
        // The proxy has been told before it is asked again; that the endpoint has ended is not enough.
        site.front.wait_until_left();
        let idle = || proxy.metrics().sum("tidegate_endpoint_connections_idle", &[]);
        eventually("it is noticed", || idle() < 0.5);
        assert_eq!(site.front.meetings().len(), round);
    }
}

#[test]
fn authorities_and_certificates_that_cannot_be_read_are_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (tls, words) in [
        ("ca = 'missing.pem'".to_owned(), "missing.pem cannot be read"),
        (format!("ca = '{}'", empty.display()), "holds no certificate"),
    ] {
        let said = Tidegate::with(format!("to = 'app'\n{}", cluster(1, &tls))).refuses_to_start();
        assert!(said.contains(words), "{said}");
    }
}
