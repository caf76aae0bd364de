//! Who the client is, by the PROXY protocol: believed from listed networks, refused from others, told to endpoints.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate_testkit::http2::Http2Client;
use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Delivery, Endpoint, Gone, Proxy, Script, Then, Tidegate, Wire, eventually};

use crate::door::{Door, get};

/// 127.0.0.1 is a proxy in front, and 192.0.2.0/24 is trusted with fields.
const LISTED: &str = "proxy_protocol_from = \"127.0.0.1\"\ntrusted_proxies = \"192.0.2.0/24\"\ntimeout.head = \"500ms\"\n\
     [log]\naccess = \"stdout\"\n";

/// The same proxy, where only somebody else is listed.
const UNLISTED: &str =
    "proxy_protocol_from = \"10.0.0.0/8\"\ntimeout.head = \"500ms\"\n[log]\naccess = \"stdout\"\n";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn binary(command: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, protocol], &length, rest].concat()
}

/// 198.51.100.7:4711 to 203.0.113.1:443, with a value behind it that nobody knows.
fn from_afar() -> Vec<u8> {
    binary(0x21, 0x11, b"\xc6\x33\x64\x07\xcb\x00\x71\x01\x12\x67\x01\xbb\xe0\0\x02hi")
}

#[test]
fn a_listed_peer_says_who_the_client_is_whole_and_in_pieces() {
    let door = Door::with(Script::echoes(), LISTED);
    let inet6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0, 9, 0, 80]].concat();
    let cases = [
        (b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n".to_vec(), "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n".to_vec(), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (from_afar(), "198.51.100.7"),
        (binary(0x21, 0x21, &inet6), "2001:db8::1"),
        (binary(0x20, 0, b""), "127.0.0.1"),
        (binary(0x21, 0, b""), "127.0.0.1"),
        (binary(0x21, 0x31, &[b'/'; 216]), "unknown"),
    ];
    for (header, client) in cases {
        for delivery in Delivery::all() {
            let what = format!("{}, {delivery:?}", header.escape_ascii());
            let mut connection = door.proxy.client();
            connection.deliver(&[&header[..], &get("")].concat(), delivery);
            assert_eq!(connection.reply().status, 200, "{what}");
            assert_eq!(door.endpoint.last_request().field("x-forwarded-for"), Some(client), "{what}");
            assert_eq!(connection.get("/again").status, 200, "{what}");
            assert_eq!(door.endpoint.last_request().field("x-forwarded-for"), Some(client), "{what}");
        }
    }
    door.proxy.output().wait_for_stdout(&["\"client\":\"198.51.100.7\"", "\"path\":\"/again\""]);
    assert_eq!(door.endpoint.malformed(), Vec::<String>::new());
}

/// G4.
#[test]
fn what_is_no_header_from_a_listed_peer_is_closed_unanswered_and_nothing_is_forwarded() {
    let door = Door::with(Script::echoes(), LISTED);
    let short = from_afar();
    let cases = [
        ("proxy_header_missing", get("")),
        ("proxy_header_missing", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("proxy_header_line_invalid", b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n".to_vec()),
        ("proxy_header_address_invalid", b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec()),
        ("proxy_header_family_unknown", b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec()),
        ("proxy_header_too_long", format!("PROXY UNKNOWN {}", "x".repeat(200)).into_bytes()),
        ("proxy_header_version_unknown", binary(0x11, 0x11, &[0; 12])),
        ("proxy_header_command_unknown", binary(0x2f, 0x11, &[0; 12])),
        ("proxy_header_family_unknown", binary(0x21, 0x41, &[0; 12])),
        ("proxy_header_address_invalid", binary(0x21, 0x21, &[0; 12])),
        ("proxy_header_tlv_invalid", binary(0x21, 0x11, &[&[0; 12][..], b"\x04\xff\xff"].concat())),
        ("proxy_header_checksum_wrong", binary(0x21, 0x11, &[&[0; 12][..], b"\x03\0\x04abcd"].concat())),
        ("proxy_header_too_long", binary(0x21, 0x11, &vec![4; 65535])),
        ("head_timeout", short[..short.len() - 1].to_vec()),
        ("head_timeout", b"PROXY TCP4 1.2.3.4".to_vec()),
        ("client_gone", b"PROXY TC".to_vec()),
    ];
    for (word, input) in cases {
        for delivery in Delivery::all() {
            let what = format!("{word}: {}, {delivery:?}", input[..input.len().min(60)].escape_ascii());
            let mut connection = door.proxy.client();
            connection.deliver(&input, delivery);
            if word == "client_gone" {
                connection.finish();
            } else if word != "head_timeout" {
                connection.send(get(""));
            }
            let (answer, gone) = connection.rest();
            assert!(answer.is_empty(), "{what}: {}", answer.escape_ascii());
            assert_ne!(gone, Gone::Silent, "{what}: still open");
        }
        door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", word), ("stage", "head")], 3.0);
        door.proxy.output().wait_for_stdout(&[word, "\"client\":\"127.0.0.1\"", "\"status\":null"]);
    }
    door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "proxy_header_bytes")], 6.0);
    assert_eq!(door.endpoint.request_count(), 0);
}

#[test]
fn a_listed_peer_that_says_nothing_is_let_go_at_the_heads_timeout() {
    let door = Door::with(Script::echoes(), LISTED);
    let mut silent = door.proxy.client();
    silent.expect_closed();
    // A load balancer that only looks whether the port is open is no failure.
    let mut looker = door.proxy.client();
    looker.finish();
    looker.expect_closed();
    assert!(door.proxy.metrics().sum("tidegate_failures_total", &[]) < 1.0);
    // After the header the connection is like any other, and may wait for longer than that.
    let mut patient = door.proxy.client();
    patient.send(from_afar());
    eventually("the others are over", || {
        door.proxy.metrics().sum("tidegate_listener_connections", &[]) < 2.0
    });
    assert_eq!(patient.get("/").status, 200);
}

/// G4: anyone could claim any address.
#[test]
fn a_header_from_an_unlisted_peer_is_closed_and_counted_and_its_requests_are_served_without() {
    let door = Door::with(Script::echoes(), UNLISTED);
    for header in [from_afar(), b"PROXY TCP4 6.6.6.6 5.6.7.8 1 2\r\n".to_vec(), binary(0x20, 0, b"")] {
        for delivery in Delivery::all() {
            let mut connection = door.proxy.client();
            connection.deliver(&[&header[..], &get("")].concat(), delivery);
            let (answer, gone) = connection.rest();
            assert!(answer.is_empty() && gone != Gone::Silent, "{delivery:?} {}", answer.escape_ascii());
        }
    }
    let labels = [("cause", "proxy_header_unexpected")];
    door.proxy.wait_for_metric("tidegate_failures_total", &labels, 9.0);
    assert_eq!(door.endpoint.request_count(), 0);
    for delivery in Delivery::all() {
        for input in [get(""), b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec()] {
            let mut connection = door.proxy.client();
            connection.deliver(&input, delivery);
            assert_eq!(connection.reply().status, 200, "{delivery:?}");
            assert_eq!(door.endpoint.last_request().field("x-forwarded-for"), Some("127.0.0.1"));
        }
    }
}

/// One who is not listed has no time for a header: its handshake's began when it came.
#[test]
fn an_unlisted_peer_has_the_time_of_a_handshake_from_the_connection_on() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("x"));
    let keys = authority.issue("app", &["app.test"]).keys();
    let timeout = Duration::from_secs(2);
    let config = format!(
        "to = {:?}\ntimeout.handshake = '2s'\n{UNLISTED}[[listener]]\nbind = '{{listen}}'\ntls = {{ {keys} }}\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    let (mut slow, mut silent) = (proxy.client(), proxy.client());
    std::thread::sleep(timeout * 3 / 4);
    let first_byte = Instant::now();
    slow.send([22]);
    slow.expect_closed();
    assert!(first_byte.elapsed() < timeout, "it had all of the time once more");
    silent.expect_closed();
    proxy.output().wait_for_stdout(&["\"cause\":\"handshake_timeout\""]);
    assert_eq!(
        authority.client().connect(proxy.address(), "app.test").unwrap().get("app.test", "/").unwrap().0,
        200
    );
}

/// A handshake takes nobody's place, so whoever comes while all are taken is answered, and not cut off.
#[test]
fn an_unlisted_peer_is_told_by_tls_that_all_places_are_taken() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(Script::is_silent()));
    let keys = authority.issue("app", &["app.test"]).keys();
    let config = format!(
        "to = {:?}\nlimit.requests = 1\nworkers = 1\n{UNLISTED}[[listener]]\nbind = '{{listen}}'\ntls = {{ {keys} }}\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    let client = authority.client();
    let mut first = client.connect(proxy.address(), "app.test").unwrap();
    let waits = std::thread::spawn(move || first.get("app.test", "/"));
    endpoint.wait_for_requests(1);
    let mut other = client.connect(proxy.address(), "app.test").unwrap();
    let (status, head, _) = other.get("app.test", "/").unwrap();
    assert_eq!(status, 503);
    assert!(head.contains("request_limit"), "{head}");
    drop((proxy, waits));
}

/// However its header comes: who the client is has to be known before it is answered.
#[test]
fn a_listed_peer_is_told_that_all_places_are_taken() {
    let endpoint = Endpoint::start(Script::is_silent());
    let proxy = Tidegate::to(&[&endpoint], &format!("workers = 1\nlimit.requests = 1\n{LISTED}")).start();
    let header = from_afar();
    let mut waits = proxy.client();
    waits.send([&header[..], &get("")].concat());
    endpoint.wait_for_requests(1);
    for cut in [1, 10, 20, header.len()] {
        let mut client = proxy.client();
        client.send(&header[..cut]);
        std::thread::sleep(Duration::from_millis(100));
        client.send([&header[cut..], &get("")].concat());
        assert_eq!(client.reply().status, 503, "cut at {cut}");
    }
    let mut half = proxy.client();
    half.send(&header[..20]);
    half.expect_closed();
    for client in ["198.51.100.7", "127.0.0.1"] {
        let client = format!("\"client\":\"{client}\"");
        proxy.output().wait_for_stdout(&[&client, "\"cause\":\"request_limit\""]);
    }
}

#[test]
fn a_listed_peer_is_told_by_tls_that_all_places_are_taken() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(Script::is_silent()));
    let keys = authority.issue("app", &["app.test"]).keys();
    let config = format!(
        "to = {:?}\nworkers = 1\nlimit.requests = 1\n{LISTED}[[listener]]\nbind = '{{listen}}'\ntls = {{ {keys} }}\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    let come = |cut: usize| {
        let mut socket = TcpStream::connect(proxy.address()).unwrap();
        for piece in [&from_afar()[..cut], &from_afar()[cut..]] {
            socket.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        authority.client().over(socket, "app.test").unwrap()
    };
    let mut first = come(0);
    let waits = std::thread::spawn(move || first.get("app.test", "/"));
    endpoint.wait_for_requests(1);
    for cut in [1, 20, 28] {
        assert_eq!(come(cut).get("app.test", "/").unwrap().0, 503, "cut at {cut}");
    }
    drop((proxy, waits));
}

/// The time for a header began when the peer came.
#[test]
fn a_listed_peer_that_begins_late_has_no_more_time_for_its_header() {
    let door = Door::with(Script::echoes(), &LISTED.replace("500ms", "2s"));
    let mut slow = door.proxy.client();
    std::thread::sleep(Duration::from_millis(1500));
    let first_byte = Instant::now();
    slow.send(b"P");
    slow.expect_closed();
    assert!(first_byte.elapsed() < Duration::from_secs(2), "it had all of the time once more");
}

/// What has been decrypted is not looked at once more for a header, where names decide first.
#[test]
fn an_unlisted_peer_is_served_where_some_names_are_passed_on() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("x"));
    let keys = authority.issue("app", &["app.test"]).keys();
    let config = format!(
        "{UNLISTED}[[listener]]\nbind = '{{listen}}'\ntls = {{ {keys} }}\nsni = {{ 'a.test' = 'a' }}\n\
         [[route]]\nto = 'a'\n[cluster.a]\nendpoints = [{:?}]\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    let mut client = authority.client().connect(proxy.address(), "app.test").unwrap();
    assert_eq!(client.get("app.test", "/").unwrap().0, 200);
    assert_eq!(client.get("app.test", "/").unwrap().0, 200);
}

#[test]
fn trust_in_fields_goes_by_the_client_that_was_introduced_not_by_the_peer() {
    let door = Door::with(Script::echoes(), LISTED);
    for (source, seen) in [("192.0.2.9", "6.6.6.6, 192.0.2.9"), ("198.51.100.7", "198.51.100.7")] {
        let mut connection = door.proxy.client();
        connection.send(format!("PROXY TCP4 {source} 203.0.113.1 1 2\r\n"));
        connection.send(get("X-Forwarded-For: 6.6.6.6\r\n"));
        assert_eq!(connection.reply().status, 200);
        assert_eq!(door.endpoint.last_request().field("x-forwarded-for"), Some(seen));
    }
}

#[test]
fn without_the_setting_a_header_is_a_malformed_request() {
    let door = Door::open();
    door.refuses(
        &[400],
        &[("version 1", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec()), ("version 2", from_afar())],
    );
}

/// An endpoint that remembers the header, if one comes, and answers every request on the connection.
struct Introduced {
    endpoint: Endpoint,
    headers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Introduced {
    fn start() -> Self {
        let headers = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let seen = headers.clone();
        let script =
            Script::on_accept(move |wire| serve(wire, &seen).map_or(Then::Close, |()| Then::KeepAlive));
        Self { endpoint: Endpoint::start(script), headers }
    }

    fn headers(&self) -> Vec<Vec<u8>> {
        self.headers.lock().unwrap().clone()
    }

    fn before(&self, more: &str) -> Proxy {
        Tidegate::to(&[&self.endpoint], &format!("send_proxy_protocol = \"v2\"\n{more}")).start()
    }
}

fn serve(wire: &mut Wire, headers: &Mutex<Vec<Vec<u8>>>) -> Result<(), Gone> {
    let mut header = wire.exactly("GET / HTTP/1.1\r\n".len())?;
    if header.starts_with(SIGNATURE) {
        let length = u16::from_be_bytes([header[14], header[15]]);
        header.extend(wire.exactly(length.into())?);
        headers.lock().unwrap().push(header);
    }
    loop {
        while !wire.line()?.is_empty() {}
        if wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return Err(Gone::Reset);
        }
    }
}

/// What a header of version 2 says: the source, the destination, and the request id.
fn read(header: &[u8]) -> (String, String, String) {
    assert_eq!(&header[..14], [SIGNATURE, b"\x21\x11"].concat(), "{}", header.escape_ascii());
    let address = |at: usize, port: usize| {
        let [a, b, c, d] = header[at..at + 4] else { unreachable!() };
        format!("{a}.{b}.{c}.{d}:{}", u16::from_be_bytes([header[port], header[port + 1]]))
    };
    assert_eq!(&header[28..31], b"\x05\0\x10", "a unique id of sixteen bytes");
    (address(16, 24), address(20, 26), String::from_utf8_lossy(&header[31..]).into_owned())
}

#[test]
fn endpoints_are_told_who_the_client_is_and_a_connection_carries_one_clients_requests() {
    let app = Introduced::start();
    let proxy = app.before("[log]\naccess = \"stdout\"\n");
    let (mut one, mut two) = (proxy.client(), proxy.client());
    for _ in 0..3 {
        assert_eq!(one.get("/one").status, 200);
        assert_eq!(two.get("/two").status, 200);
    }
    let headers: Vec<_> = app.headers().iter().map(|header| read(header)).collect();
    assert_eq!(headers.len(), 2, "one connection a client: {headers:?}");
    assert_ne!(headers[0].0, headers[1].0);
    for (source, destination, id) in headers {
        assert!(source.starts_with("127.0.0.1:"), "{source}");
        assert_eq!(destination, proxy.address().to_string());
        proxy.output().wait_for_stdout(&[&format!("\"request_id\":\"{id}\"")]);
    }
    // Whoever comes later never gets a connection that names somebody else.
    drop(one);
    assert_eq!(proxy.get("/three").status, 200);
    assert_eq!(app.headers().len(), 3);
}

#[test]
fn what_a_proxy_in_front_said_is_passed_on() {
    let app = Introduced::start();
    let proxy = app.before("proxy_protocol_from = \"127.0.0.1\"\n");
    let ask = |header: &[u8]| {
        let mut connection = proxy.client();
        connection.send(header);
        assert_eq!(connection.get("/").status, 200);
        assert_eq!(connection.get("/again").status, 200);
        app.headers().pop().unwrap()
    };
    let (source, destination, _) = read(&ask(&from_afar()));
    assert_eq!((&*source, &*destination), ("198.51.100.7:4711", "203.0.113.1:443"));
    assert_eq!(app.headers().len(), 1);
    // The same client's address to another of ours is another connection.
    let (_, destination, _) = read(&ask(b"PROXY TCP4 198.51.100.7 203.0.113.2 4711 443\r\n"));
    assert_eq!((&*destination, app.headers().len()), ("203.0.113.2:443", 2));
    let header = ask(&binary(0x21, 0x31, &[b'/'; 216]));
    assert_eq!(&header[..16], [SIGNATURE, b"\x20\0\0\x13"].concat(), "LOCAL");
    assert_eq!(app.headers().len(), 3);
}

/// As a proxy in front does that opens another connection for the same client, and as clients do whose port is free again.
#[test]
fn another_connection_from_the_same_address_has_a_header_of_its_own_and_nobody_waits_for_those_that_are_gone()
{
    let app = Introduced::start();
    let proxy = app.before("proxy_protocol_from = \"127.0.0.1\"\n");
    let addresses = b"\xc6\x33\x64\x07\xcb\x00\x71\x01\x12\x67\x01\xbb";
    for told in [[value(5, b"one"), value(2, b"one.test")], [value(5, b"two"), value(2, b"two.test")]] {
        let mut connection = proxy.client();
        connection.send(binary(0x21, 0x11, &[addresses, &told.concat()[..]].concat()));
        for _ in 0..2 {
            assert_eq!(connection.get("/").status, 200);
        }
        let header = app.headers().pop().unwrap();
        assert_eq!(header[28..].escape_ascii().to_string(), told.concat().escape_ascii().to_string());
    }
    assert_eq!(app.headers().len(), 2);
    eventually("what nobody can use any more is closed", || app.endpoint.open_connections() == 0);
}

#[test]
fn the_streams_of_one_connection_of_http2_share_what_names_its_client() {
    let app = Introduced::start();
    let proxy = app.before("");
    let client = Http2Client::clear(proxy.address());
    for _ in 0..3 {
        assert_eq!(client.get("app.test", "/").unwrap().status(), 200);
    }
    assert_eq!(app.headers().len(), 1);
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind, 0, bytes.len() as u8], bytes].concat()
}

/// What the client agreed on with the proxy in front, which nobody sees from here.
#[test]
fn what_a_proxy_in_front_said_besides_addresses_is_logged_and_passed_on() {
    let app = Introduced::start();
    let proxy = app.before("proxy_protocol_from = \"127.0.0.1\"\n[log]\naccess = \"stdout\"\n");
    let told = [value(5, b"front-1 \xff"), value(1, b"http/1.1"), value(2, b"App.Test.")];
    let tls = value(0x20, b"\x01\0\0\0\0\x21\0\x07TLSv1.3");
    let addresses = b"\xc6\x33\x64\x07\xcb\x00\x71\x01\x12\x67\x01\xbb".to_vec();
    let mut connection = proxy.client();
    connection.send(binary(0x21, 0x11, &[addresses, tls, told.concat()].concat()));
    assert_eq!(connection.get("/one").status, 200);
    assert_eq!(connection.get("/two").status, 200);
    let header = app.headers().pop().unwrap();
    let expected = [value(5, b"front-1 \xff"), value(1, b"http/1.1"), value(2, b"app.test")].concat();
    assert_eq!(header[28..].escape_ascii().to_string(), expected.escape_ascii().to_string());
    for path in ["/one", "/two"] {
        let words = [&format!("\"path\":\"{path}\""), "\"connection_id\":\"front-1 \\\\xff\""];
        proxy.output().wait_for_stdout(&words);
    }
    assert!(proxy.metrics().sum("tidegate_failures_total", &[]) < 0.5);
}

/// G4.
#[test]
fn values_that_contradict_themselves_are_no_header_and_hosts_that_are_none_are_no_names() {
    let door = Door::with(Script::echoes(), LISTED);
    let header = |values: &[Vec<u8>]| binary(0x21, 0x11, &[vec![7; 12], values.concat()].concat());
    for values in [
        vec![value(2, b"a.test"), value(2, b"b.test")],
        vec![value(5, &[b'x'; 129])],
        vec![value(4, b""), b"\x02\0\xffa.test".to_vec()],
    ] {
        for delivery in Delivery::all() {
            let mut connection = door.proxy.client();
            connection.deliver(&[header(&values), get("")].concat(), delivery);
            let (answer, gone) = connection.rest();
            assert!(answer.is_empty() && gone != Gone::Silent, "{delivery:?} {}", answer.escape_ascii());
        }
    }
    door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "proxy_header_tlv_invalid")], 9.0);
    assert_eq!(door.endpoint.request_count(), 0);
    for name in [&b""[..], b"\r\nX: y", b"a\0b", b"\xff", b"127.0.0.1", &[b'a'; 254]] {
        let mut connection = door.proxy.client();
        connection.send([header(&[value(2, name)]), get("")].concat());
        assert_eq!(connection.reply().status, 200, "{}", name.escape_ascii());
    }
}

#[test]
fn kept_connections_of_many_clients_stay_within_the_limit_and_the_latest_are_kept() {
    let app = Introduced::start();
    let proxy = app.before("[limit]\nupstream_idle_connections = 2\n");
    let mut clients: Vec<_> = (0..5).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(app.headers().len(), 5);
    eventually("two are kept", || app.endpoint.open_connections() == 2);
    assert_eq!(clients[4].get("/").status, 200);
    assert_eq!(app.headers().len(), 5, "the latest client's was kept");
    assert_eq!(clients[0].get("/").status, 200);
    assert_eq!(app.headers().len(), 6, "the first one's was not");
}

#[test]
fn connections_from_before_a_reload_that_turns_it_on_are_not_used_again() {
    let app = Introduced::start();
    let proxy = Tidegate::to(&[&app.endpoint], "").start();
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(
        (app.headers().len(), app.endpoint.open_connections()),
        (0, 1),
        "one is kept, and knows nobody"
    );
    proxy.reload(&format!("to = {:?}\nsend_proxy_protocol = \"v2\"\n", app.endpoint.address()));
    proxy.wait_for_metric("tidegate_config_reloads_total", &[("outcome", "applied")], 1.0);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(app.headers().len(), 1);
}

#[test]
fn health_checks_introduce_themselves_as_the_proxys_own() {
    let app = Introduced::start();
    let proxy = app.before("health = { path = \"/\", interval = \"100ms\", timeout = \"100ms\" }\n");
    eventually("checks came", || app.headers().len() >= 3);
    for header in app.headers() {
        assert_eq!(header, [SIGNATURE, b"\x20\0\0\0"].concat());
    }
    proxy.wait_for_metric("tidegate_endpoint_health_checks_total", &[("outcome", "passed")], 3.0);
    assert_eq!(proxy.get("/").status, 200);
}
