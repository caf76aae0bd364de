//! Connections that are passed on as they are: all of a listener, or those whose TLS asks for a name.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Client, Endpoint, Front, Gone, Proxy, Script, Then, Tidegate, Wire, eventually};

/// The alert of that name, in a record.
const UNRECOGNIZED: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

const LOG: &str = "[log]\naccess = \"stdout\"\n";

/// Greets, echoes until the other side has ended, says how much that was, and ends.
fn greets_and_echoes() -> Script {
    Script::on_accept(|wire: &mut Wire| {
        let _ = wire.write(b"220 ready\r\n");
        let mut count = 0;
        while let Ok(bytes) = wire.some() {
            count += bytes.len();
            if wire.write(&bytes).is_err() {
                return Then::Close;
            }
        }
        let _ = wire.write(format!("{count} bytes\r\n").as_bytes());
        Then::Close
    })
}

fn listener(keys: &str, more: &str) -> String {
    format!("[[listener]]\nbind = \"{{listen}}\"\n{keys}\n{more}")
}

fn cluster(name: &str, addresses: &[String]) -> String {
    format!("[cluster.{name}]\nendpoints = {addresses:?}\n")
}

fn passing_on(endpoint: &Endpoint, top: &str) -> Proxy {
    Tidegate::with(format!("{top}\n{}", listener("tcp = 'db'", &cluster("db", &[endpoint.address()]))))
        .start()
}

/// Nothing comes but a reset, which may be there before the client knows that it is connected.
fn expect_reset(proxy: &Proxy) {
    match Client::try_connect(proxy.address()) {
        Ok(mut client) => assert_eq!(client.rest(), (Vec::new(), Gone::Reset)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// As one does whose service is not there behind what accepts for it. Who is asked by how few it has would send it most.
#[test]
fn an_endpoint_that_leaves_at_once_without_a_word_has_failed() {
    for then in [Then::Reset, Then::Close] {
        let [sound, other] = [(); 2].map(|()| Endpoint::start(greets_and_echoes()));
        let leaves = Endpoint::start(Script::on_accept(move |_| then));
        let addresses = [&sound, &leaves, &other].map(Endpoint::address);
        let proxy = Tidegate::with(listener("tcp = 'db'", &cluster("db", &addresses))).start();
        let mut open = Vec::new();
        for _ in 0..200 {
            let mut client = proxy.client();
            client.send("hello");
            open.push(client);
            if open.len() > 8 {
                drop(open.remove(0));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let asked = leaves.accepted();
        assert!((1..40).contains(&asked), "{asked} of 200 went to who leaves, {then:?}");
    }
}

/// It has nothing to say, and ends when it has done what it was told.
#[test]
fn an_endpoint_that_hears_its_client_and_ends_has_not_failed() {
    let hears = Script::on_accept(|wire: &mut Wire| {
        let _ = wire.some();
        Then::Close
    });
    let endpoints = [(); 2].map(|()| Endpoint::start(hears.clone()));
    let addresses = endpoints.each_ref().map(Endpoint::address);
    let proxy = Tidegate::with(listener("tcp = 'db'", &cluster("db", &addresses))).start();
    for _ in 0..40 {
        let mut client = proxy.client();
        client.send("do it");
        assert_eq!(client.rest(), (Vec::new(), Gone::Finished));
    }
    assert!(!proxy.admin("/status").text().contains("failed lately"), "{}", proxy.admin("/status").text());
}

#[test]
fn a_connection_that_waits_gets_the_endpoint_that_a_reload_brings() {
    let [full, fresh] = [(); 2].map(|()| Endpoint::start(greets_and_echoes()));
    let config = |addresses: &[String]| {
        let limited = format!("{}limit = {{ endpoint_requests = 1 }}\n", cluster("db", addresses));
        format!("{LOG}{}", listener("tcp = 'db'", &limited))
    };
    // Another cluster stands before it then.
    let moved =
        format!("{}[cluster.a]\nendpoints = ['127.0.0.1:1']\n", config(&[full.address(), fresh.address()]));
    let proxy = Tidegate::with(config(&[full.address()])).start();
    let mut first = proxy.client();
    assert_eq!(first.wire().line().unwrap(), b"220 ready");
    let mut second = proxy.client();
    eventually("it waits", || proxy.metrics().sum("tidegate_cluster_queued_requests", &[]) > 0.5);
    proxy.reload(&moved);
    assert_eq!(second.wire().line().unwrap(), b"220 ready");
    second.finish();
    assert_eq!(second.wire().line().unwrap(), b"0 bytes");
    second.expect_finished();
    let line = proxy.output().wait_for_stdout(&["\"protocol\":\"TCP\"", &fresh.address()]);
    assert!(line.contains("\"cluster\":\"db\"") && !line.contains("\"queue_ms\":0.000"), "{line}");
    first.finish();
    assert_eq!(first.wire().line().unwrap(), b"0 bytes");
}

#[test]
fn a_connection_that_waits_for_a_restart_gets_the_endpoint_that_a_reload_brings() {
    let [mut gone, fresh] = [(); 2].map(|()| Endpoint::start(greets_and_echoes()));
    let config = |address: String| listener("tcp = 'db'", &cluster("db", &[address]));
    let proxy = Tidegate::with(config(gone.address())).start();
    let mut first = proxy.client();
    assert_eq!(first.wire().line().unwrap(), b"220 ready");
    gone.kill();
    let mut second = proxy.client();
    eventually("it is refused", || {
        proxy.metrics().sum("tidegate_endpoint_connect_failures_total", &[]) > 0.5
    });
    proxy.reload(&config(fresh.address()));
    assert_eq!(second.wire().line().unwrap(), b"220 ready");
}

#[test]
fn bytes_pass_both_ways_whoever_speaks_first_and_each_end_is_passed_on() {
    let endpoint = Endpoint::start(greets_and_echoes());
    let proxy = passing_on(&endpoint, LOG);
    let mut client = proxy.client();
    assert_eq!(client.wire().line().unwrap(), b"220 ready");
    let bytes: Vec<u8> = (0..3_000_000_usize).map(|byte| (byte % 251) as u8).collect();
    let sending = client.send_aside(bytes.clone());
    assert!(client.wire().exactly(bytes.len()).unwrap() == bytes, "they came back changed");
    assert!(sending.join().unwrap());
    client.finish();
    assert_eq!(client.wire().line().unwrap(), b"3000000 bytes");
    client.expect_finished();
    let line = proxy.output().wait_for_stdout(&["\"protocol\":\"TCP\"", "\"bytes_in\":3000000"]);
    for word in ["\"cluster\":\"db\"", "\"bytes_out\":3000026", "\"attempts\":1"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    let metrics = proxy.metrics();
    assert!(metrics.sum("tidegate_tcp_connections_total", &[("outcome", "passed")]) > 0.5);
    assert!((metrics.sum("tidegate_tcp_bytes_total", &[("direction", "in")]) - 3e6).abs() < 0.5);
    assert!(metrics.sum("tidegate_requests_total", &[]) < 0.5, "it is no request");
}

/// It has not read all that it was sent: its kernel resets the connection right behind what it said.
#[test]
fn the_last_words_of_an_endpoint_that_leaves_while_the_client_sends_arrive() {
    let endpoint = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
        let _ = wire.exactly(1000);
        let _ = wire.write(b"421 too much\r\n");
        Then::Close
    }));
    let proxy = passing_on(&endpoint, "");
    for _ in 0..50 {
        let mut client = proxy.client();
        let sending = client.send_aside(vec![b'x'; 2_000_000]);
        assert_eq!(client.wire().line().unwrap(), b"421 too much");
        let _ = sending.join();
    }
}

#[test]
fn the_last_words_of_a_client_that_leaves_while_the_endpoint_sends_arrive() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let endpoint = Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        let mut writing = wire.duplicate();
        let flood = std::thread::spawn(move || while writing.write(&[b'q'; 16 * 1024]).is_ok() {});
        if wire.rest().0 == b"last words" {
            count.fetch_add(1, Ordering::Relaxed);
        }
        wire.end();
        let _ = flood.join();
        Then::Close
    }));
    let proxy = passing_on(&endpoint, "");
    for _ in 0..50 {
        let mut client = proxy.client();
        client.wire().exactly(1000).unwrap();
        client.send("last words");
        client.reset();
    }
    eventually("all were heard", || heard.load(Ordering::Relaxed) == 50);
    eventually("nothing is open", || proxy.metrics().sum("tidegate_tunnels", &[]) < 0.5);
}

/// The endpoint takes nothing, so that nothing is read of the client any more that could tell.
#[test]
fn a_client_that_leaves_is_noticed_though_the_endpoint_only_sends() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let endpoint = Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        if wire.exactly(1).is_err() {
            return Then::Close; // the look whether it listens
        }
        while wire.write(&[b'q'; 16 * 1024]).is_ok() {}
        count.fetch_add(1, Ordering::Relaxed);
        Then::Close
    }));
    let proxy = passing_on(&endpoint, "");
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    while client.write(&[b'x'; 16 * 1024]).is_ok() {}
    drop(client); // over what it has not read: a reset
    eventually("the endpoint has heard of it", || ended.load(Ordering::Relaxed) == 1);
    eventually("nothing is open", || proxy.metrics().sum("tidegate_tunnels", &[]) < 0.5);
}

/// Half an answer must not pass for a whole one.
#[test]
fn what_breaks_off_is_reset_though_the_other_side_has_said_its_last_word() {
    let endpoint = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
        if wire.rest().0.is_empty() {
            return Then::Close;
        }
        let _ = wire.write(b"half");
        Then::Reset
    }));
    let proxy = passing_on(&endpoint, "");
    let mut client = proxy.client();
    client.send("question");
    client.finish();
    assert_eq!(client.wire().exactly(4), Ok(b"half".to_vec()));
    assert_eq!(client.rest().1, Gone::Reset);
}

#[test]
fn connections_are_balanced_and_one_that_cannot_be_opened_is_tried_elsewhere() {
    let dead = Endpoint::down(greets_and_echoes());
    let (one, two) = (Endpoint::start(greets_and_echoes()), Endpoint::start(greets_and_echoes()));
    let addresses = [dead.address(), one.address(), two.address()];
    let top = "balance = 'round_robin'\npassive = 'off'\n";
    let proxy =
        Tidegate::with(format!("{top}{}", listener("tcp = 'db'", &cluster("db", &addresses)))).start();
    for _ in 0..12 {
        assert_eq!(proxy.client().wire().line().unwrap(), b"220 ready");
    }
    assert!(one.accepted() >= 4 && two.accepted() >= 4, "{} and {}", one.accepted(), two.accepted());

    let alone = passing_on(&dead, LOG);
    expect_reset(&alone);
    alone.output().wait_for_stdout(&["\"cause\":\"connect_refused\"", "\"protocol\":\"TCP\""]);
    alone.wait_for_metric("tidegate_tcp_connections_total", &[("outcome", "failed")], 1.0);
}

#[test]
fn what_is_silent_for_too_long_is_ended_and_a_drain_lets_the_rest_go_on() {
    let endpoint = Endpoint::start(greets_and_echoes());
    let idle = passing_on(&endpoint, &format!("timeout.tunnel_idle = '300ms'\n{LOG}"));
    let mut client = idle.client();
    assert_eq!(client.wire().line().unwrap(), b"220 ready");
    assert_eq!(client.rest().1, Gone::Reset);
    idle.output().wait_for_stdout(&["\"cause\":\"tunnel_idle\""]);

    let proxy = passing_on(&endpoint, "");
    let mut client = proxy.client();
    assert_eq!(client.wire().line().unwrap(), b"220 ready");
    proxy.drain();
    client.send("still\r\n");
    assert_eq!(client.wire().line().unwrap(), b"still");
    client.finish();
    assert_eq!(client.wire().line().unwrap(), b"7 bytes");
}

/// Greets, and keeps how each connection ended.
fn keeps_endings(endings: &Arc<Mutex<Vec<Gone>>>) -> Script {
    let endings = Arc::clone(endings);
    Script::on_accept(move |wire: &mut Wire| {
        let _ = wire.write(b"220 ready\r\n");
        let gone = wire.discard();
        endings.lock().unwrap().push(gone);
        Then::Close
    })
}

/// Whoever takes an end for the end of a message would take half of it for all.
#[test]
fn what_breaks_off_on_one_side_is_no_orderly_end_on_the_other() {
    let (authority, endings) = (Authority::new(), Arc::default());
    let endpoint = Endpoint::start(keeps_endings(&endings));
    let last = |count: usize| {
        eventually("it has ended there, too", || endings.lock().unwrap().len() == count);
        endings.lock().unwrap()[count - 1]
    };
    let open = |proxy: &Proxy| {
        let mut client = proxy.client();
        assert_eq!(client.wire().line().unwrap(), b"220 ready");
        client.send("half of it");
        client
    };
    let proxy = passing_on(&endpoint, "timeout.tunnel_idle = '500ms'\n");
    let before = endings.lock().unwrap().len(); // whoever looked whether it listens
    open(&proxy).finish();
    assert_eq!(last(before + 1), Gone::Finished);
    open(&proxy).reset();
    assert_eq!(last(before + 2), Gone::Reset);
    assert_eq!(open(&proxy).rest().1, Gone::Reset, "it was idle for too long");
    assert_eq!(last(before + 3), Gone::Reset);

    // TLS that ends without saying so (RFC 8446 §6.1), on either side.
    let keys = format!("tcp = 'db'\ntls = {{ {} }}", authority.issue("db", &["localhost"]).keys());
    let proxy = Tidegate::with(listener(&keys, &cluster("db", &[endpoint.address()]))).start();
    let mut client = authority.client().connect(proxy.address(), "localhost").unwrap();
    client.stream.read_exact(&mut [0; 11]).unwrap(); // or the endpoint, which greets, would be told then
    client.stream.write_all(b"half of it").unwrap();
    client.stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(last(before + 4), Gone::Reset);
    let breaks_off = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
        let _ = wire.line();
        let _ = wire.write(b"half of it\r\n");
        Then::Close
    }));
    let abrupt = Front::abrupt(&authority.issue("app", &["localhost"]), breaks_off.socket_address());
    let encrypted = cluster("db", &[format!("https://localhost:{}", abrupt.port())]);
    let proxy = Tidegate::with(listener("tcp = 'db'", &encrypted)).trusting(&authority.cert()).start();
    let mut client = proxy.client();
    client.send("all of it?\r\n");
    assert_eq!(client.rest(), (b"half of it\r\n".to_vec(), Gone::Reset));
}

#[test]
fn with_a_certificate_it_is_decrypted_first() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(greets_and_echoes()));
    let keys = authority.issue("db", &["db.test"]).keys();
    let keys = format!("tcp = 'db'\ntls = {{ {keys} }}");
    let proxy = Tidegate::with(listener(&keys, &cluster("db", &[endpoint.address()]))).start();
    // What the endpoint speaks is not known here: nothing is agreed on, and nobody refused for what he wants to speak.
    for client in [
        authority.client(),
        authority.client().speaking(&["postgresql"]),
        authority.client().speaking(&["h2"]),
    ] {
        let mut client = client.connect(proxy.address(), "db.test").unwrap();
        assert_eq!(client.stream.conn.alpn_protocol(), None);
        let mut greeting = [0; 11];
        client.stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"220 ready\r\n");
    }
}

#[test]
fn with_tls_on_the_cluster_it_is_encrypted_towards_the_endpoints() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(greets_and_echoes()));
    let front = Front::start(&authority.issue("db", &["localhost"]), endpoint.socket_address());
    let encrypted = cluster("db", &[format!("https://localhost:{}", front.port())]);
    let config = format!("{LOG}{}", listener("tcp = 'db'", &encrypted));
    let proxy = Tidegate::with(&*config).trusting(&authority.cert()).start();
    let mut client = proxy.client();
    assert_eq!(client.wire().line().unwrap(), b"220 ready");
    client.send("hello\r\n");
    assert_eq!(client.wire().line().unwrap(), b"hello");
    client.finish();
    assert_eq!(client.wire().line().unwrap(), b"7 bytes");
    client.expect_finished();
    assert!(!front.meetings().is_empty());
    for meeting in front.meetings() {
        assert_eq!(meeting.server_name.as_deref(), Some("localhost"));
        assert_eq!(meeting.protocol, None, "nobody knows what they speak");
    }
    let stranger = Tidegate::with(&*config).trusting(&Authority::new().cert()).start();
    expect_reset(&stranger);
    stranger.output().wait_for_stdout(&["\"cause\":\"tls_certificate_untrusted\"", "\"protocol\":\"TCP\""]);
}

#[test]
fn each_way_has_its_own_patience_and_its_own_attempts() {
    let (dead, silent) =
        (Endpoint::down(greets_and_echoes()), Endpoint::start(Script::on_accept(|_| Then::Hang)));
    let alive = Endpoint::start(greets_and_echoes());
    let clusters = cluster("silent", &[format!("https://{}", silent.address())])
        + &cluster("db", &[dead.address(), alive.address()]);
    let start = |tcp: &str| {
        let top = "balance = { algorithm = 'first', in_flight_max = 9 }\npassive = 'off'\n";
        Tidegate::with(format!("{top}{LOG}{}", listener(tcp, &clusters))).start()
    };
    let hasty = start("tcp = { to = 'silent', timeout = { connect = '200ms' }, retry = 'off' }");
    expect_reset(&hasty);
    hasty.output().wait_for_stdout(&["\"cause\":\"tls_timeout\"", "\"attempts\":1"]);

    let idle = start("tcp = { to = 'db', timeout = { tunnel_idle = '300ms' } }");
    let mut client = idle.client();
    assert_eq!(client.wire().line().unwrap(), b"220 ready", "by the second endpoint");
    assert_eq!(client.rest(), (Vec::new(), Gone::Reset));
    idle.output().wait_for_stdout(&["\"cause\":\"tunnel_idle\"", "\"attempts\":2"]);

    let once = start("tcp = { to = 'db', retry = 'off' }");
    expect_reset(&once);
    once.output().wait_for_stdout(&["\"cause\":\"connect_refused\"", "\"attempts\":1"]);
}

/// Two services that decrypt by themselves, and what is passed on to them.
struct Names {
    authority: Authority,
    a: Front,
    b: Front,
    endpoint: Endpoint,
}

impl Names {
    fn new() -> Self {
        let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
        let front = |name: &str| {
            Front::start(&authority.issue(name, &["a.test", "*.b.test"]), endpoint.socket_address())
        };
        let (a, b) = (front("a"), front("b"));
        Self { authority, a, b, endpoint }
    }

    fn clusters(&self) -> String {
        let address = |front: &Front| [format!("127.0.0.1:{}", front.port())];
        cluster("a", &address(&self.a)) + &cluster("b", &address(&self.b))
    }

    fn ask(&self, proxy: &Proxy, name: &str) -> Result<u16, String> {
        self.authority.client().connect(proxy.address(), name)?.get(name, "/").map(|(status, ..)| status)
    }
}

const NAMES: &str = "sni = { \"a.test\" = \"a\", \"*.b.test\" = \"b\" }";

#[test]
fn names_decide_without_being_decrypted_and_unknown_ones_are_told_so() {
    let names = Names::new();
    let proxy = Tidegate::with(format!("{LOG}{}", listener(NAMES, &names.clusters()))).start();
    assert_eq!(names.ask(&proxy, "a.test"), Ok(200));
    assert_eq!(names.ask(&proxy, "x.b.test"), Ok(200));
    let asked = |front: &Front| front.meetings().into_iter().filter_map(|meeting| meeting.server_name);
    assert_eq!(asked(&names.a).collect::<Vec<_>>(), ["a.test"]);
    assert_eq!(asked(&names.b).collect::<Vec<_>>(), ["x.b.test"]);
    let refused = names.ask(&proxy, "c.test").unwrap_err();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
    proxy.output().wait_for_stdout(&["\"host\":\"c.test\"", "\"cause\":\"no_route\""]);
    proxy.output().wait_for_stdout(&["\"host\":\"x.b.test\"", "\"cluster\":\"b\"", "\"protocol\":\"TCP\""]);
    // The library's own words for a client that asks for nobody, and one that speaks something else.
    let mut plain = proxy.client();
    plain.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(plain.rest().0, UNRECOGNIZED);
    assert_eq!(names.endpoint.request_count(), 2);
}

#[test]
fn what_a_client_wants_to_speak_decides_beside_the_name() {
    let names = Names::new();
    let ways = "sni = { 'a.test' = [{ to = 'b', alpn = ['smtp', 'h2'] }, 'a'], '*' = { to = 'b', alpn = 'http/1.1' } }";
    let proxy = Tidegate::with(listener(ways, &names.clusters())).start();
    let meet = |name: &str, protocols: &[&str]| {
        let client = names.authority.client().speaking(protocols);
        let before = (names.a.meetings().len(), names.b.meetings().len());
        let met = client.connect(proxy.address(), name).map(drop);
        let after = || (names.a.meetings().len(), names.b.meetings().len());
        eventually("somebody has met him", || met.is_err() || before != after());
        met.map(|()| if after().0 > before.0 { "a" } else { "b" })
    };
    assert_eq!(meet("a.test", &[]), Ok("a"));
    assert_eq!(meet("a.test", &["http/1.1"]), Ok("a"));
    assert_eq!(meet("a.test", &["http/1.1", "h2"]), Ok("b"));
    assert_eq!(meet("x.b.test", &["http/1.1"]), Ok("b"));
    let unnamed = meet("127.0.0.1", &["http/1.1"]).unwrap_err();
    assert!(unnamed.contains("invalid peer certificate"), "somebody showed one: {unnamed}");
    assert!(meet("x.b.test", &["h2"]).unwrap_err().contains("UnrecognisedName"));
}

#[test]
fn a_first_message_in_many_records_and_segments_is_understood() {
    let names = Names::new();
    let proxy = Tidegate::with(listener(NAMES, &names.clusters())).start();
    let mut config = (*names.authority.client().config).clone();
    config.max_fragment_size = Some(32);
    let name = ServerName::try_from("a.test").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut hello).unwrap();
    }
    let mut socket = TcpStream::connect(proxy.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    for byte in hello {
        socket.write_all(&[byte]).unwrap();
    }
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
    eventually("it is the one that was asked for", || names.a.meetings().len() == 1);
}

#[test]
fn other_names_are_served_here_or_passed_on_where_that_is_said() {
    let names = Names::new();
    let here = Endpoint::answering("here");
    let keys = names.authority.issue("c", &["c.test"]).keys();
    let served = format!(
        "to = {:?}\n{}",
        here.address(),
        listener(&format!("{NAMES}\ntls = {{ {keys} }}"), &names.clusters())
    );
    let proxy = Tidegate::with(served).start();
    assert_eq!(names.ask(&proxy, "a.test"), Ok(200));
    assert_eq!(names.ask(&proxy, "c.test"), Ok(200));
    assert_eq!((names.endpoint.request_count(), here.request_count()), (1, 1));

    let proxy =
        Tidegate::with(listener("sni = { \"x.b.test\" = \"b\" }\ntcp = \"a\"", &names.clusters())).start();
    assert_eq!(names.ask(&proxy, "a.test"), Ok(200));
    assert_eq!(names.ask(&proxy, "x.b.test"), Ok(200));
    assert_eq!((names.a.meetings().len(), names.b.meetings().len()), (2, 1));
}

/// The time for a handshake is one, whoever reads its first message.
#[test]
fn a_first_message_that_may_be_for_us_has_the_time_of_a_handshake() {
    let names = Names::new();
    let keys = names.authority.issue("c", &["c.test"]).keys();
    let timeouts = "timeout.head = \"1h\"\ntimeout.handshake = \"300ms\"";
    let served = listener(&format!("{NAMES}\ntls = {{ {keys} }}"), &names.clusters());
    let proxy = Tidegate::with(format!("to = {:?}\n{timeouts}\n{served}", names.endpoint.address())).start();
    let mut silent = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    let mut half = TcpStream::connect(proxy.address()).unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).unwrap();
    assert_eq!(half.read(&mut [0]).unwrap(), 0);
    proxy.wait_for_metric("tidegate_tls_handshakes_total", &[("outcome", "timeout")], 1.0);
}

/// Keeps the header of each connection, then answers as a server of HTTP.
fn keeps_headers(headers: &Arc<Mutex<Vec<Vec<u8>>>>) -> Endpoint {
    let headers = Arc::clone(headers);
    Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        let Ok(fixed) = wire.exactly(16) else { return Then::Close };
        let rest = wire.exactly(usize::from(u16::from_be_bytes([fixed[14], fixed[15]])));
        headers.lock().unwrap().push(rest.unwrap_or_default());
        while wire.line().is_ok_and(|line| !line.is_empty()) {}
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        Then::Hang
    }))
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind, 0, bytes.len() as u8], bytes].concat()
}

#[test]
fn endpoints_hear_of_the_client_and_of_the_name_that_it_asked_for() {
    let headers = Arc::default();
    let endpoint = keeps_headers(&headers);
    let authority = Authority::new();
    let front = Front::start(&authority.issue("a", &["a.test"]), endpoint.socket_address());
    let passed =
        listener("sni = { \"a.test\" = \"a\" }", &cluster("a", &[format!("127.0.0.1:{}", front.port())]));
    let proxy = Tidegate::with(format!("send_proxy_protocol = \"v2\"\n{passed}")).start();
    let mut client = authority.client().connect(proxy.address(), "a.test").unwrap();
    assert_eq!(client.get("a.test", "/").unwrap().0, 200);

    let keys = authority.issue("b", &["a.test"]).keys();
    let decrypted =
        format!("to = {:?}\n{}", endpoint.address(), listener(&format!("tls = {{ {keys} }}"), ""));
    let proxy = Tidegate::with(format!("send_proxy_protocol = \"v2\"\n{decrypted}")).start();
    let asking = authority.client().speaking(&["http/1.1"]);
    assert_eq!(asking.connect(proxy.address(), "a.test").unwrap().get("a.test", "/").unwrap().0, 200);

    let headers = headers.lock().unwrap();
    let has = |header: usize, value: &[u8]| headers[header].windows(value.len()).any(|part| part == value);
    assert!(headers.iter().all(|header| header.starts_with(&[127, 0, 0, 1])), "{headers:?}");
    assert!(has(0, &value(2, b"a.test")) && has(1, &value(2, b"a.test")), "{headers:?}");
    assert!(has(1, &value(1, b"http/1.1")) && !has(0, b"http/1.1"), "{headers:?}");
}

/// It has decrypted already: what comes is no TLS, and may be nothing until the endpoint has spoken.
#[test]
fn a_proxy_in_front_says_which_name_was_asked_for() {
    let (a, b) = (Endpoint::start(greets_and_echoes()), Endpoint::answering("b"));
    let clusters = cluster("a", &[a.address()]) + &cluster("b", &[b.address()]);
    let top = format!("proxy_protocol_from = '127.0.0.1'\n{LOG}");
    let proxy = Tidegate::with(format!("{top}{}", listener(NAMES, &clusters))).start();
    let ask = |name: &[u8], more: &str| {
        let rest = [&[198, 51, 100, 7, 203, 0, 113, 1, 0, 1, 0, 2][..], &value(2, name)].concat();
        let mut client = proxy.client();
        let header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0", &[rest.len() as u8][..], &rest].concat();
        client.send([&header, more.as_bytes()].concat());
        client
    };
    assert_eq!(ask(b"A.test", "").wire().line().unwrap(), b"220 ready");
    assert_eq!(ask(b"x.b.test", "GET / HTTP/1.1\r\nHost: b\r\n\r\n").reply().text(), "b");
    proxy.output().wait_for_stdout(&["\"host\":\"a.test\"", "\"cluster\":\"a\"", "198.51.100.7"]);
    assert_eq!(ask(b"c.test", "GET / HTTP/1.1\r\nHost: b\r\n\r\n").rest().0, UNRECOGNIZED);
    proxy.output().wait_for_stdout(&["\"host\":\"c.test\"", "\"cause\":\"no_route\""]);
    assert_eq!(b.request_count(), 1);
}

#[test]
fn a_proxy_in_front_says_who_the_client_is() {
    let endpoint = Endpoint::start(greets_and_echoes());
    let proxy = passing_on(&endpoint, &format!("proxy_protocol_from = '127.0.0.1'\n{LOG}"));
    let mut client = proxy.client();
    client.send("PROXY TCP4 198.51.100.7 203.0.113.1 4711 5432\r\n");
    assert_eq!(client.wire().line().unwrap(), b"220 ready", "nothing but the header had to be said");
    client.finish();
    proxy.output().wait_for_stdout(&["\"client\":\"198.51.100.7\"", "\"protocol\":\"TCP\""]);
}
