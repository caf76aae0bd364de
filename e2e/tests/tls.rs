//! HTTPS: certificates by name, versions, tickets, and the same bytes as in the clear.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tidegate_testkit::http2::Http2Client;
use tidegate_testkit::tls::{Authority, Issued, TlsClient};
use tidegate_testkit::{Client, Endpoint, Port, Proxy, Script, Tidegate, Wire, eventually};

fn https(endpoint: &Endpoint, tls: &str, more: &str) -> Proxy {
    let to = endpoint.address();
    Tidegate::with(format!("to = \"{to}\"\n{more}\n[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {tls} }}\n"))
        .start()
}

fn one(authority: &Authority) -> Issued {
    authority.issue("app", &["app.test", "*.wild.test", "127.0.0.1"])
}

#[test]
fn requests_and_bodies_of_every_size_pass_as_they_do_in_the_clear() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(Script::echoes()));
    let proxy = https(&endpoint, &one(&authority).keys(), "");
    let mut connection = authority.client().connect(proxy.address(), "app.test").unwrap();
    for size in [0, 1, 100, 4096, 16 * 1024, 70_000, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|byte| (byte % 251) as u8).collect();
        let head = format!("POST /{size} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {size}\r\n\r\n");
        let request = [head.as_bytes(), &body].concat();
        let (status, _, echoed) = connection.exchange(&request).unwrap();
        assert_eq!((status, echoed.len()), (200, body.len()));
        assert!(echoed == body, "{size} bytes came back changed");
        let received = endpoint.last_request();
        assert_eq!(received.field("x-forwarded-proto"), Some("https"));
    }
    assert!((proxy.metrics().sum("tidegate_tls_handshakes_total", &[("outcome", "full")]) - 1.0).abs() < 0.5);
}

#[test]
fn a_handshake_and_a_request_may_come_one_byte_at_a_time() {
    struct Trickle(TcpStream);
    impl Read for Trickle {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(room)
        }
    }
    impl Write for Trickle {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(&bytes[..1])
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let proxy = https(&endpoint, &one(&authority).keys(), "");
    let socket = TcpStream::connect(proxy.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    let name = "app.test".try_into().unwrap();
    let session = rustls::ClientConnection::new(authority.client().config, name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, Trickle(socket));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
}

#[test]
fn a_handshake_that_stops_in_the_middle_of_a_message_is_no_mistake_of_ours() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let proxy = https(&endpoint, &one(&authority).keys(), "timeout.handshake = \"300ms\"");
    let mut unfinished = Vec::new();
    for records in 1..=3 {
        // Its last message is longer than a record of 32 bytes may be.
        let mut config = (*authority.client().config).clone();
        config.max_fragment_size = Some(32);
        let mut session =
            rustls::ClientConnection::new(config.into(), "app.test".try_into().unwrap()).unwrap();
        let mut socket = TcpStream::connect(proxy.address()).unwrap();
        while session.wants_write() {
            session.write_tls(&mut socket).unwrap();
        }
        let mut last = Vec::new();
        while session.is_handshaking() {
            session.read_tls(&mut socket).unwrap();
            session.process_new_packets().unwrap();
        }
        session.write_tls(&mut last).unwrap();
        let mut rest = &last[..];
        for _ in 0..records {
            let (record, behind) = rest.split_at(5 + usize::from(u16::from_be_bytes([rest[3], rest[4]])));
            socket.write_all(record).unwrap();
            rest = behind;
        }
        assert!(rest.is_empty() == (records == 3), "{records}: {}", rest.len());
        unfinished.push(socket);
    }
    proxy.wait_for_metric("tidegate_tls_handshakes_total", &[("outcome", "timeout")], 2.0);
    assert_eq!(
        authority.client().connect(proxy.address(), "app.test").unwrap().get("app.test", "/").unwrap().0,
        200
    );
    assert!(!proxy.output().all().contains("panicked"));
}

#[test]
fn each_name_gets_its_certificate_and_each_client_a_key_that_it_understands() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let first = authority.issue("first", &["first.test"]);
    let wild = authority.issue("wild", &["*.wild.test"]);
    let exact = authority.issue("exact", &["exact.wild.test"]);
    let rsa = authority.issue_rsa("rsa", &["first.test"]);
    let wild_rsa = authority.issue_rsa("wild-rsa", &["*.wild.test"]);
    let list: Vec<_> =
        [&wild, &exact, &rsa, &wild_rsa].map(|issued| format!("{{ {} }}", issued.keys())).into();
    let proxy = https(&endpoint, &format!("{}, certificates = [{}]", first.keys(), list.join(", ")), "");
    let client = authority.client();
    let leaf = |name: &str| client.connect(proxy.address(), name).unwrap().leaf();
    assert_eq!(leaf("first.test"), first.der(), "short keys first");
    assert_eq!(leaf("a.wild.test"), wild.der());
    assert_eq!(leaf("exact.wild.test"), exact.der(), "an exact name before a wildcard");
    for unknown in ["other.test", "wild.test", "a.b.wild.test"] {
        let refused = client.connect(proxy.address(), unknown).unwrap_err();
        assert!(refused.contains("not valid for name"), "{unknown}: {refused}");
    }
    let knows_rsa_alone = [
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"][..],
        &["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"],
    ];
    for (name, why) in [("first.test", "its own"), ("exact.wild.test", "the wildcard's, for want of its own")]
    {
        for options in knows_rsa_alone {
            let output = std::process::Command::new("openssl")
                .args(["s_client", "-connect", &proxy.address().to_string(), "-servername", name])
                .args(options)
                .stdin(std::process::Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                said.contains("Peer signature type: RSA-PSS") || said.contains("ECDHE-RSA-AES128"),
                "{why}: {said}"
            );
        }
    }
}

#[test]
fn a_host_that_the_certificate_is_not_for_is_misdirected() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let proxy = https(&endpoint, &one(&authority).keys(), "");
    let mut connection = authority.client().connect(proxy.address(), "app.test").unwrap();
    for host in ["app.test", "APP.test:8443", "app.test.", "x.wild.test", "x.wild.test.:8443", "127.0.0.1"] {
        assert_eq!(connection.get(host, "/").unwrap().0, 200, "{host}");
    }
    let (status, head, body) = connection.get("other.test", "/").unwrap();
    assert!(String::from_utf8(body).unwrap().contains("for another host"));
    assert_eq!(status, 421, "{head}");
    assert!(head.contains("details=\"misdirected\""), "{head}");
    assert_eq!(endpoint.request_count(), 6);
}

/// What a client was shown decides, not what another one would be shown.
#[test]
fn the_certificate_that_a_client_was_shown_decides_which_hosts_it_may_ask_for() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let short = authority.issue("short", &["app.test", "more.test"]);
    let rsa = authority.issue_rsa("rsa", &["app.test"]);
    let proxy = https(&endpoint, &format!("{}, certificates = [{{ {} }}]", short.keys(), rsa.keys()), "");
    for (cipher, expected) in [("ECDSA", "HTTP/1.1 200 "), ("RSA", "HTTP/1.1 421 ")] {
        let mut client = std::process::Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &proxy.address().to_string(), "-servername", "app.test"])
            .args(["-tls1_2", "-cipher", &format!("ECDHE-{cipher}-AES128-GCM-SHA256")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: more.test\r\nConnection: close\r\n\r\n";
        client.stdin.as_mut().unwrap().write_all(request).unwrap();
        let said = client.wait_with_output().unwrap().stdout;
        assert!(said.starts_with(expected.as_bytes()), "{cipher}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn a_certificate_that_changes_changes_nothing_for_who_is_connected() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let proxy = https(&endpoint, &authority.issue("app", &["app.test", "more.test"]).keys(), "");
    let (client, newcomer) = (authority.client(), authority.client());
    let asks = |client: &TlsClient| {
        let mut connection = client.connect(proxy.address(), "app.test").unwrap();
        connection.get("more.test", "/").unwrap().0
    };
    let mut open = client.connect(proxy.address(), "app.test").unwrap();
    assert_eq!(open.get("more.test", "/").unwrap().0, 200);
    assert_eq!(asks(&client), 200, "with a ticket, too");
    authority.issue("app", &["app.test"]);
    eventually("the new one is shown", || asks(&newcomer.forgetful()) == 421);
    assert_eq!(open.get("more.test", "/").unwrap().0, 200);
    // Nobody remembers what it was shown by whom it has the ticket.
    assert_eq!(asks(&client), 421);
}

#[test]
fn clients_come_back_with_a_ticket_to_any_worker_and_after_a_reload() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let proxy = https(&endpoint, &one(&authority).keys(), "workers = 2");
        let client = authority.client_of(versions);
        let visit = || {
            let mut connection = client.connect(proxy.address(), "app.test").unwrap();
            assert_eq!(connection.get("app.test", "/").unwrap().0, 200);
            connection.is_resumed()
        };
        assert!(!visit());
        let resumed = (0..50).filter(|_| visit()).count();
        assert_eq!(resumed, 50, "{versions:?}");
        proxy.signal(rustix::process::Signal::HUP);
        proxy.wait_for_metric("tidegate_config_reloads_total", &[("outcome", "applied")], 1.0);
        assert!(visit(), "{versions:?}: the reload forgot its clients");
        assert!(
            (proxy.metrics().sum("tidegate_tls_handshakes_total", &[("outcome", "resumed")]) - 51.0).abs()
                < 0.5
        );
    }
}

#[test]
fn what_was_agreed_on_is_counted_by_version_protocol_and_ticket_and_stands_in_the_log() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let proxy = https(&endpoint, &one(&authority).keys(), "[log]\naccess = \"stdout\"\n");
    let old = authority.client_of(&[&rustls::version::TLS12]);
    for _ in 0..2 {
        old.connect(proxy.address(), "app.test").unwrap().get("app.test", "/old").unwrap();
    }
    let new = authority.client_of(&[&rustls::version::TLS13]);
    Http2Client::tls(proxy.address(), &new, "APP.test").get("app.test", "/new").unwrap();
    for (agreed, count) in
        [(["1.2", "none", "full"], 1.0), (["1.2", "none", "resumed"], 1.0), (["1.3", "h2", "full"], 1.0)]
    {
        let [version, protocol, handshake] = agreed;
        let labels = [("version", version), ("protocol", protocol), ("handshake", handshake)];
        let found = proxy.metrics().sum("tidegate_tls_connections_total", &labels);
        assert!((found - count).abs() < 0.1, "{agreed:?}: {found}");
    }
    for (path, expected) in [
        (
            "/old",
            "\"tls\":{\"version\":\"1.2\",\"cipher\":\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\",\"server_name\":\"app.test\",\
             \"alpn\":null,\"resumed\":true,\"client_subject\":null}",
        ),
        (
            "/new",
            "\"tls\":{\"version\":\"1.3\",\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"server_name\":\"app.test\",\
             \"alpn\":\"h2\",\"resumed\":false,\"client_subject\":null}",
        ),
    ] {
        proxy.output().wait_for_stdout(&[&format!("\"path\":\"{path}\""), expected]);
    }
}

#[test]
fn old_versions_silence_and_plain_http_are_refused() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let tls = format!("{}, min_version = \"1.3\"", one(&authority).keys());
    let proxy = https(&endpoint, &tls, "timeout.handshake = \"300ms\"\nlog.access = \"stdout\"");
    let old = authority.client_of(&[&rustls::version::TLS12]).connect(proxy.address(), "app.test");
    assert!(old.unwrap_err().contains("ProtocolVersion"));
    let new = authority.client_of(&[&rustls::version::TLS13]).connect(proxy.address(), "app.test");
    new.unwrap().get("app.test", "/").unwrap();

    let oldest = authority.client().speaking(&["http/1.0"]).connect(proxy.address(), "app.test");
    oldest.unwrap().get("app.test", "/").unwrap();
    let other = authority.client().speaking(&["imap"]).connect(proxy.address(), "app.test");
    assert!(other.unwrap_err().contains("NoApplicationProtocol"));

    let mut half = proxy.client();
    half.send([22, 3, 1, 2, 0, 1]);
    half.expect_closed();
    let mut silent = proxy.client();
    silent.expect_closed();
    let reply = proxy.client().get("/");
    assert_eq!(reply.status, 400);
    assert_eq!(reply.cause(), Some("handshake_not_tls"));
    assert!(String::from_utf8(reply.body).unwrap().contains("https://"));
    for (cause, times) in
        [("no_shared_protocol", 1.0), ("no_shared_version", 1.0), ("timeout", 2.0), ("not_tls", 1.0)]
    {
        let cause = format!("handshake_{cause}");
        proxy.output().wait_for_stdout(&[&format!(
            "\"ended_by\":\"downstream\",\"stage\":\"head\",\"cause\":\"{cause}\""
        )]);
        proxy.wait_for_metric("tidegate_failures_total", &[("cause", &cause)], times);
    }
    let outcome = |outcome| proxy.metrics().sum("tidegate_tls_handshakes_total", &[("outcome", outcome)]);
    for (word, times) in [("no_shared_version", 1.0), ("timeout", 2.0), ("not_tls", 1.0), ("full", 2.0)] {
        assert!((outcome(word) - times).abs() < 0.5, "{word}: {}", outcome(word));
    }
    assert_eq!(endpoint.request_count(), 2);
}

/// Browsers open connections ahead, and say nothing on them until they need one.
#[test]
fn who_has_not_begun_a_handshake_does_not_hold_up_a_drain() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let keys = one(&authority).keys();
    let ports = [(); 3].map(|()| Port::free());
    let ways = [
        format!("tls = {{ {keys} }}"),
        "sni = { 'a.test' = 'app' }".into(),
        format!("tls = {{ {keys} }}\ntcp = 'app'"),
    ];
    let listeners = ports.iter().zip(ways);
    let listeners =
        listeners.map(|(port, way)| format!("[[listener]]\nbind = '{}'\n{way}\n", port.address()));
    let timeouts = "timeout = { handshake = '1h', head = '1h', drain = '1h' }";
    let mut proxy = Tidegate::with(format!(
        "to = 'app'\n{timeouts}\n[[listener]]\nbind = '{{listen}}'\n{}[cluster.app]\nendpoints = ['{}']\n",
        listeners.collect::<String>(),
        endpoint.address()
    ))
    .start();
    let _silent = ports.each_ref().map(|port| Client::connect(port.address()));
    eventually("they are in", || proxy.metrics().sum("tidegate_listener_connections", &[]) > 2.5);
    proxy.drain();
    assert!(proxy.wait().success());
}

/// They name nothing that they would believe: in TLS 1.2 that means SHA-1, and before there was no other choice.
#[test]
fn clients_of_old_that_name_no_signatures_are_told_apart_by_their_version() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let proxy = https(&endpoint, &one(&authority).keys(), "log.access = \"stdout\"");
    for (minor, cause) in [(3, "handshake_no_shared_signature"), (2, "handshake_no_shared_version")] {
        let suites = [0, 4, 0xc0, 0x2b, 0xc0, 0x2f];
        let body = [&[3, minor][..], &[7; 32], &[0], &suites, &[1, 0]].concat();
        let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
        let mut client = proxy.client();
        client.send([&[22, 3, 1, 0, message.len() as u8][..], &message].concat());
        assert!(client.rest().0.starts_with(&[21, 3, 3, 0, 2, 2, 40]), "a fatal handshake_failure");
        proxy.wait_for_metric("tidegate_failures_total", &[("cause", cause)], 1.0);
    }
}

#[test]
fn a_tunnel_through_tls_echoes_and_an_answer_that_breaks_off_is_no_orderly_end() {
    let authority = Authority::new();
    let endpoint = Endpoint::start(Script::echoes_in_a_tunnel());
    let proxy = https(&endpoint, &one(&authority).keys(), "");
    let mut connection = authority.client().connect(proxy.address(), "app.test").unwrap();
    connection.echoes_in_a_tunnel("app.test");

    let cut = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
        let _ = wire.line();
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        std::thread::sleep(Duration::from_millis(50));
        tidegate_testkit::Then::Close
    }));
    let proxy = https(&cut, &one(&authority).keys(), "");
    let mut connection = authority.client().connect(proxy.address(), "app.test").unwrap();
    let broken = connection.get("app.test", "/").unwrap_err();
    assert!(!broken.contains("close_notify") || broken.contains("without"), "{broken}");
}
