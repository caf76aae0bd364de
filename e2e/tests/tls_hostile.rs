//! Clients that abuse TLS: one test for each row of the list.
//!
//! Beside each attack a well-behaved client is served, in the clear and encrypted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Endpoint, Port, Proxy, Tidegate, eventually};

use crate::canary::{self, Canary};

const HITS: &str = "tidegate_limit_hits_total";
const HANDSHAKES: &str = "tidegate_tls_handshakes_total";

/// A proxy that speaks both: in the clear to the canary, encrypted to who comes to `address`.
struct Gate {
    authority: Authority,
    proxy: Proxy,
    port: Port,
    _beside: Endpoint,
}

impl Gate {
    fn with(more: &str) -> Self {
        let (authority, beside, port) = (Authority::new(), Endpoint::answering("hello"), Port::free());
        let keys = authority.issue("app", &["app.test"]).keys();
        let proxy = Tidegate::with(format!(
            "to = \"{}\"\n{more}\n[[listener]]\nbind = \"{{listen}}\"\n[[listener]]\nbind = \"{}\"\ntls = {{ {keys} }}\n{}",
            beside.address(),
            port.address(),
            canary::route_to(&beside)
        ))
        .start();
        Self { authority, proxy, port, _beside: beside }
    }

    fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Whether somebody new gets an answer.
    fn serves(&self) {
        let mut connection = self.authority.client().connect(self.address(), "app.test").unwrap();
        assert_eq!(connection.get("app.test", "/").unwrap().0, 200);
    }

    /// Begins a handshake and does not go on with it.
    fn stall(&self) -> TcpStream {
        let mut socket = TcpStream::connect(self.address()).unwrap();
        socket.write_all(&self.hello()).unwrap();
        socket
    }

    fn hello(&self) -> Vec<u8> {
        hello(&self.authority)
    }

    fn count(&self, name: &str, label: (&str, &str)) -> f64 {
        self.proxy.metrics().sum(name, &[label])
    }
}

/// What a client says first.
fn hello(authority: &Authority) -> Vec<u8> {
    let config = authority.client().config;
    let mut session = rustls::ClientConnection::new(config, "app.test".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn those_who_begin_a_handshake_and_stop_keep_nobody_out_for_long() {
    let gate = Gate::with("workers = 1\nlimit.handshakes = 4");
    let canary = Canary::before(&gate.proxy);
    let mut stalled: Vec<_> = (0..4).map(|_| gate.stall()).collect();
    // What the proxy says first shows that it has begun.
    assert!(stalled.iter_mut().all(|socket| socket.read_exact(&mut [0]).is_ok()));
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (client, to) = (gate.authority.client().forgetful(), gate.address());
            std::thread::spawn(move || {
                client.connect(to, "app.test").unwrap().get("app.test", "/").unwrap().0
            })
        })
        .collect();
    assert!(crowd.into_iter().all(|client| client.join().unwrap() == 200));
    canary.watch(24);
    canary.survives();
    assert!(gate.count(HITS, ("limit", "handshakes")) >= 1.0);
    assert!((1.0..5.0).contains(&gate.count(HANDSHAKES, ("outcome", "limit"))));
    drop(stalled);
    gate.serves();
}

/// Those that are under way have fallen silent in the same moment, and are let go together, not one after the other.
#[test]
fn a_crowd_that_begins_and_stops_is_let_go_as_fast_as_it_came() {
    let gate = Gate::with("workers = 1\nlimit.handshakes = 4\ntimeout.handshake = \"60s\"");
    let stalled: Vec<_> = (0..24).map(|_| gate.stall()).collect();
    gate.serves();
    assert!((20.0..25.0).contains(&gate.count(HANDSHAKES, ("outcome", "limit"))));
    assert!(gate.count(HANDSHAKES, ("outcome", "timeout")) < 0.5);
    drop(stalled);
}

#[test]
fn a_handshake_that_has_no_turn_in_time_is_closed_and_counted() {
    let gate = Gate::with("workers = 1\nlimit.handshakes = 1\ntimeout.handshake = \"400ms\"");
    let stalled: Vec<_> = (0..5).map(|_| gate.stall()).collect();
    let ended =
        || gate.count(HANDSHAKES, ("outcome", "limit")) + gate.count(HANDSHAKES, ("outcome", "timeout"));
    eventually("all have been let go", || ended() > 4.5);
    assert!(gate.count(HANDSHAKES, ("outcome", "timeout")) > 0.5, "who was under way");
    assert!(gate.count(HANDSHAKES, ("outcome", "limit")) > 0.5, "who had to wait");
    drop(stalled);
    gate.serves();
}

/// Whatever comes before the first byte of TLS, and wherever what is decrypted goes.
#[test]
fn a_handshake_takes_nobodys_place_among_the_requests() {
    let (authority, beside) = (Authority::new(), Endpoint::answering("hello"));
    let keys = authority.issue("app", &["app.test"]).keys();
    let ports = [(); 3].map(|()| Port::free());
    let ways =
        ["proxy_protocol_from = '127.0.0.1'", "tcp = 'app'", "tcp = 'app'\nsni = { 'b.test' = 'app' }"];
    let listeners: Vec<_> = ports
        .iter()
        .zip(ways)
        .map(|(port, way)| format!("[[listener]]\nbind = '{}'\ntls = {{ {keys} }}\n{way}\n", port.address()))
        .collect();
    let proxy = Tidegate::with(format!(
        "workers = 1\nto = 'app'\nlimit.requests = 1\n[[listener]]\nbind = '{{listen}}'\n{}[cluster.app]\nendpoints = ['{}']\n",
        listeners.concat(),
        beside.address()
    ))
    .start();
    let headers: [&[u8]; 3] = [b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n", b"", b""];
    let hello = hello(&authority);
    let stalled: Vec<_> = ports
        .iter()
        .zip(headers)
        .map(|(port, header)| {
            let mut socket = TcpStream::connect(port.address()).unwrap();
            socket.write_all(&[header, &hello].concat()).unwrap();
            socket.read_exact(&mut [0]).unwrap(); // what the proxy says first shows that it has begun
            socket
        })
        .collect();
    assert_eq!(proxy.get("/").status, 200);
    drop(stalled);
    // And whoever comes to an end of it is served.
    let mut connection = authority.client().connect(ports[1].address(), "app.test").unwrap();
    assert_eq!(connection.get("app.test", "/").unwrap().0, 200);
}

/// A place is for those who use it: who has not even said what it wants would keep everybody out.
#[test]
fn beginnings_that_do_not_come_to_an_end_give_their_places_up_while_all_are_taken() {
    let (authority, beside) = (Authority::new(), Endpoint::answering("hello"));
    let ports = [(); 3].map(|()| Port::free());
    let ways = ["proxy_protocol_from = '127.0.0.1'", "sni = { 'app.test' = 'app' }", "tcp = 'app'"];
    let ways = [ways[0], ways[1], &format!("{}\n{}", ways[0], ways[2])];
    let listeners = ports
        .iter()
        .zip(ways)
        .map(|(port, way)| format!("[[listener]]\nbind = '{}'\n{way}\n", port.address()));
    let proxy = Tidegate::with(format!(
        "workers = 1\nto = 'app'\nlimit.requests = 2\ntimeout.head = '5m'\nlog.access = 'stdout'\n\
         [[listener]]\nbind = '{{listen}}'\n{}[cluster.app]\nendpoints = ['{}']\n",
        listeners.collect::<String>(),
        beside.address()
    ))
    .start();
    let in_service = || proxy.metrics().sum("tidegate_requests_in_service", &[]);
    let begin = |port: &Port, begun: &[u8]| {
        let mut socket = TcpStream::connect(port.address()).unwrap();
        socket.write_all(begun).unwrap();
        socket
    };
    let hello = hello(&authority);
    // Who has said nothing, or nothing but who it comes for, takes none.
    let header = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n";
    let silent =
        [begin(&ports[0], b""), begin(&ports[0], header), begin(&ports[1], b""), begin(&ports[2], b"")];
    eventually("they are in", || proxy.metrics().sum("tidegate_listener_connections", &[]) > 3.5);
    eventually("none is taken", || in_service() < 0.5);
    for (port, half) in [(&ports[0], hello.len() / 2), (&ports[2], 3)] {
        let halves = [begin(port, b"PROXY TC"), begin(&ports[1], &hello[..half])];
        eventually("both are taken", || in_service() > 1.5);
        assert_eq!(proxy.get("/").cause(), Some("request_limit"));
        eventually("there is room", || proxy.get("/").status == 200);
        drop(halves);
        eventually("nothing is lent", || in_service() < 0.5);
    }
    proxy.output().wait_for_stdout(&["\"stage\":\"head\",\"cause\":\"request_limit\""]);
    drop(silent);
}

#[test]
fn a_flood_of_handshakes_that_are_abandoned_half_way_fails_nobody_else() {
    let gate = Gate::with("workers = 1");
    let canary = Canary::before(&gate.proxy);
    let hello = gate.hello();
    for _ in 0..1000 {
        TcpStream::connect(gate.address()).unwrap().write_all(&hello).unwrap();
    }
    gate.serves();
    canary.watch(100);
    canary.survives();
    eventually("all connections are over", || {
        gate.count("tidegate_listener_connections", ("listener", &gate.address().to_string())) < 0.5
    });
    gate.serves();
}

/// RFC 8446 §5.1: a message may be spread over records as small as one byte.
#[test]
fn a_hello_in_records_of_one_byte_is_understood_and_one_without_end_is_refused() {
    let gate = Gate::with("");
    let hello = gate.hello();
    let records: Vec<u8> = hello[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let mut socket = TcpStream::connect(gate.address()).unwrap();
    socket.write_all(&records).unwrap();
    let mut answer = [0; 5];
    std::io::Read::read_exact(&mut socket, &mut answer).unwrap();
    assert_eq!(answer[0], 22, "it goes on with the handshake: {answer:?}");

    let mut endless = TcpStream::connect(gate.address()).unwrap();
    let record = [&[22, 3, 1, 16, 0, 1, 0, 255, 255][..], &[0; 4092]].concat();
    while endless.write_all(&record).is_ok() {}
    eventually("it is counted", || gate.count(HANDSHAKES, ("outcome", "failed")) > 0.5);
    gate.serves();
}
