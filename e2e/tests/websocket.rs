//! WebSocket between a client and a server that no one here wrote: through the proxy everything is as it is without it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidegate_testkit::http2::Http2Client;
use tidegate_testkit::http2_raw::{self as raw, Fate, RawHttp2};
use tidegate_testkit::python::script;
use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Endpoint, Gate, Gone, Port, Proxy, Script, Then, Tidegate, comes_true, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A script that runs as long as the value.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server() -> (Peer, Port) {
    let port = Port::free();
    let child = script("websocket.py").args(["serve", &port.number().to_string()]).spawn();
    let server = Peer(child.expect("python3 is installed"));
    eventually("the server listens", || std::net::TcpStream::connect(port.address()).is_ok());
    (server, port)
}

/// Everything that a client does to that address, and what came of it.
fn talk(to: SocketAddr, accept: &str) -> Vec<String> {
    let url = format!("ws://{to}");
    let output = script("websocket.py").args(["talk", &url, accept]).output().expect("python3 is installed");
    let said = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert!(output.status.success(), "{said:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn before(port: &Port, more: &str) -> Proxy {
    Tidegate::with(format!("to = \"{}\"\n{more}", port.address())).start()
}

#[test]
fn whatever_a_direct_connection_does_one_through_the_proxy_does() {
    let (_server, port) = server();
    let direct = talk(port.address(), "right");
    assert!(direct.len() > 20, "{direct:#?}");
    let proxy = before(&port, "");
    assert_eq!(talk(proxy.address(), "right"), direct);
    // Twice, by connections that have been there before.
    assert_eq!(talk(proxy.address(), "right"), direct);
    eventually("no tunnel is left", || proxy.metrics().sum("tidegate_tunnels", &[]) < 0.5);
}

/// RFC 8441.
#[test]
fn the_same_holds_for_extended_connect() {
    let (_server, port) = server();
    let direct = talk(port.address(), "right");
    let proxy = before(&port, "");
    let bridge = Bridge::to(Http2Client::clear(proxy.address()));
    assert_eq!(talk(bridge.address, ACCEPT), direct);
    eventually("no tunnel is left", || proxy.metrics().sum("tidegate_tunnels", &[]) < 0.5);
}

#[test]
fn the_same_holds_for_extended_connect_over_tls() {
    let (authority, (_server, port)) = (Authority::new(), server());
    let direct = talk(port.address(), "right");
    let keys = authority.issue("app", &["app.test"]).keys();
    let proxy = before(&port, &format!("[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {keys} }}\n"));
    let bridge = Bridge::to(Http2Client::tls(proxy.address(), &authority.client(), "app.test"));
    assert_eq!(talk(bridge.address, ACCEPT), direct);
}

/// From clients of both versions, by streams of one connection to the one in the middle.
#[test]
fn the_same_holds_where_the_endpoint_speaks_http_2() {
    let (_server, port) = server();
    let direct = talk(port.address(), "right");
    let behind = before(&port, "");
    let to = behind.address();
    let proxy = Tidegate::with(format!("to = \"{to}\"\nendpoint_http2 = true\nworkers = 1\n")).start();
    assert_eq!(talk(proxy.address(), "right"), direct);
    let bridge = Bridge::to(Http2Client::clear(proxy.address()));
    assert_eq!(talk(bridge.address, ACCEPT), direct);
    eventually("no tunnel is left", || proxy.metrics().sum("tidegate_tunnels", &[]) < 0.5);
    let accepted = behind.metrics().sum("tidegate_downstream_connections_total", &[]);
    assert!(accepted < 1.5, "{accepted} connections");
}

/// Servers of asyncio forget the connection when they have said their last, and a reset follows.
#[test]
fn a_websocket_that_one_side_has_closed_has_ended_well_whatever_becomes_of_its_connections() {
    const CLOSE: &[u8] = b"\x88\x02\x03\xe8";
    let server = Endpoint::start(Script::new(|visit| {
        visit.write(SWITCHED);
        visit.write(if visit.request().target == "/open" { b"\x81\x02hi" } else { CLOSE });
        let _ = visit.wire().exactly(8);
        Then::Reset
    }));
    let proxy = Tidegate::to(&[&server], "[log]\naccess = \"stdout\"\n").start();
    let tunnel = |path: &str, last: &[u8]| {
        let mut client = proxy.client();
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        ));
        assert_eq!(client.reply().status, 101);
        client.wire().exactly(CLOSE.len()).unwrap();
        client.send(last);
        client.rest().1
    };
    let masked = |first: u8| [&[first, 0x82, 1, 2, 3, 4][..], b"hi"].concat();
    for (path, last) in [("/by-both", 0x88), ("/by-one", 0x81)] {
        assert_eq!(tunnel(path, &masked(last)), Gone::Finished);
        proxy.output().wait_for_stdout(&[&format!("\"path\":\"{path}\""), "\"cause\":null"]);
    }
    assert_eq!(tunnel("/open", &masked(0x81)), Gone::Reset, "nobody had said the last");
    proxy.output().wait_for_stdout(&[
        "\"path\":\"/open\"",
        "\"ended_by\":\"upstream\",\"stage\":\"tunnel\",\"cause\":\"tunnel_endpoint_gone\"",
    ]);
}

/// RFC 6455 §7.4.1: 1009 is said to whoever is still sending the message that is too big.
#[test]
fn the_close_of_a_server_that_leaves_while_the_client_sends_arrives() {
    const TOO_BIG: &[u8] = b"\x88\x02\x03\xf1";
    let server = Endpoint::start(Script::new(|visit| {
        visit.write(SWITCHED);
        let _ = visit.wire().exactly(14);
        visit.write(TOO_BIG);
        Then::Close
    }));
    let proxy = Tidegate::to(&[&server], "").start();
    for _ in 0..50 {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(client.reply().status, 101);
        let message = [b"\x82\xff\0\0\0\0\x01\0\0\0abcd".to_vec(), vec![b'x'; 2_000_000]].concat();
        let sending = client.send_aside(message);
        assert_eq!(client.wire().exactly(TOO_BIG.len()), Ok(TOO_BIG.to_vec()));
        let _ = sending.join();
    }
}

/// Its connection is reset while what it said waits for the client.
#[test]
fn what_a_server_said_before_it_left_reaches_a_client_of_http_2_that_reads_later() {
    let said = [vec![b'z'; 100_000], b"\x88\x02\x03\xe8".to_vec()].concat();
    let says = [SWITCHED.as_bytes(), &said].concat();
    let server = Endpoint::start(Script::new(move |visit| {
        visit.write(&says);
        visit.wire().finish(); // closing over what it has not read would say nothing but the reset
        Then::Close
    }));
    let proxy = Tidegate::to(&[&server], "").start();
    let mut client = RawHttp2::connect(proxy.address());
    let head = raw::block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "app.test"),
    ]);
    client.send(raw::headers(1, &head));
    let mut came = Vec::new();
    for word in 0..5 {
        client.send([raw::data(1, b"\x82\x81abcdq"), raw::ping(word)].concat());
        loop {
            let frame = client.frame().unwrap();
            match frame.kind {
                raw::kind::PING if frame.flags & raw::flag::ACK != 0 => break,
                raw::kind::DATA => came.extend_from_slice(&frame.payload),
                _ => {}
            }
        }
        server.wait_until_left();
    }
    client.send([raw::window_update(0, 1 << 20), raw::window_update(1, 1 << 20)].concat());
    let Fate::Answer { body, .. } = client.fate(1) else { panic!("it was broken off") };
    came.extend_from_slice(&body);
    assert!(came == said, "{} bytes came of {}", came.len(), said.len());
}

/// Nothing is read of such a client any more that could tell, since there is no room for it.
#[test]
fn a_client_of_http_2_that_leaves_a_tunnel_whose_endpoint_takes_nothing_is_noticed() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Endpoint::start(Script::new(move |visit| {
        visit.write(SWITCHED);
        held.pass();
        Then::Close
    }));
    let proxy = Tidegate::to(&[&server], "").start();
    // Sooner than the gate gives up, and the endpoint its side.
    let has_ended =
        || comes_true(Duration::from_secs(10), || proxy.metrics().sum("tidegate_tunnels", &[]) < 0.5);
    for closes in [false, true] {
        let client = Http2Client::clear(proxy.address());
        client.run(async {
            let mut request = Http2Client::request("CONNECT", "app.test", "/");
            request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
            let mut sender = client.sender().ready().await.unwrap();
            let (answer, mut send) = sender.send_request(request, false).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
            loop {
                send.reserve_capacity(16 * 1024);
                let room = std::future::poll_fn(|cx| send.poll_capacity(cx));
                let Ok(room) = tokio::time::timeout(Duration::from_secs(1), room).await else { break };
                send.send_data(vec![7; room.unwrap().unwrap()].into(), false).unwrap();
            }
            if !closes {
                send.send_reset(h2::Reason::CANCEL);
            }
        });
        if closes {
            drop(client);
        } else {
            assert!(has_ended(), "the tunnel of a stream that was reset");
        }
    }
    assert!(has_ended(), "the tunnel of a connection that was closed");
    gate.open();
}

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// What the bridge says where a server proves that it has read the key, of which HTTP/2 knows nothing.
const ACCEPT: &str = "bridge";

/// Makes each tunnel of HTTP/1.1 a stream of one connection of HTTP/2: the client that there is none of.
struct Bridge {
    address: SocketAddr,
    _client: Arc<Http2Client>,
}

impl Bridge {
    fn to(client: Http2Client) -> Self {
        let client = Arc::new(client);
        let (listener, address) = client.run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            (listener, address)
        });
        let sender = client.sender();
        let carrying = async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(carry(socket, sender.clone()));
            }
        };
        client.run(async { drop(tokio::spawn(carrying)) });
        Self { address, _client: client }
    }
}

type Sender = h2::client::SendRequest<bytes::Bytes>;

async fn carry(mut socket: TcpStream, sender: Sender) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = socket.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut request = Http2Client::request("CONNECT", "app.test", path);
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = name.to_ascii_lowercase();
        if name.starts_with("sec-websocket-") && name != "sec-websocket-key" {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
    }
    let mut sender = sender.ready().await.unwrap();
    let (answer, send) = sender.send_request(request, false).unwrap();
    let (answer, mut receive) = answer.await.unwrap().into_parts();
    let mut said = format!("HTTP/1.1 {} -\r\n", answer.status.as_u16());
    if answer.status == 200 {
        said = format!(
            "HTTP/1.1 101 -\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n"
        );
    }
    for (name, value) in &answer.headers {
        said = said + name.as_str() + ": " + value.to_str().unwrap() + "\r\n";
    }
    let (mut read, mut write) = socket.into_split();
    write.write_all((said + "\r\n").as_bytes()).await.unwrap();
    let upwards = tokio::spawn(async move { pass_up(&mut read, send).await });
    // What breaks off is broken off on the other side, too.
    while let Some(Ok(data)) = receive.data().await {
        let _ = receive.flow_control().release_capacity(data.len());
        if write.write_all(&data).await.is_err() {
            break;
        }
    }
    let _ = write.shutdown().await;
    let _ = tokio::time::timeout(Duration::from_secs(5), upwards).await;
}

async fn pass_up(read: &mut tokio::net::tcp::OwnedReadHalf, mut send: h2::SendStream<bytes::Bytes>) {
    let mut room = vec![0; 64 * 1024];
    loop {
        let Ok(length) = read.read(&mut room).await else {
            return send.send_reset(h2::Reason::CANCEL);
        };
        if length == 0 {
            let _ = send.send_data(bytes::Bytes::new(), true);
            return;
        }
        let mut data = bytes::Bytes::copy_from_slice(&room[..length]);
        while !data.is_empty() {
            send.reserve_capacity(data.len());
            let capacity = std::future::poll_fn(|cx| match send.capacity() {
                0 => send.poll_capacity(cx),
                capacity => std::task::Poll::Ready(Some(Ok(capacity))),
            });
            let Some(Ok(capacity)) = capacity.await else { return };
            if send.send_data(data.split_to(capacity.min(data.len())), false).is_err() {
                return;
            }
        }
    }
}

/// A client that says what it is told to.
struct Held {
    _peer: Peer,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Held {
    fn open(to: SocketAddr, accept: &str) -> Self {
        let mut command = script("websocket.py");
        command.args(["hold", &format!("ws://{to}"), accept]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 is installed");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut held = Self { _peer: Peer(child), input, output: BufReader::new(output) };
        held.expect_echo("are you there");
        held
    }

    fn expect_echo(&mut self, words: &str) {
        writeln!(self.input, "{words}").unwrap();
        assert_eq!(self.line(), words);
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn a_reload_and_a_drain_keep_tunnels_until_their_deadline() {
    let (_server, port) = server();
    keeps_tunnels(port.address(), "");
}

#[test]
fn a_reload_and_a_drain_keep_tunnels_that_are_streams_of_an_endpoint() {
    let (_server, port) = server();
    let behind = before(&port, "");
    keeps_tunnels(behind.address(), "endpoint_http2 = true\n");
}

/// Both kinds of clients'.
fn keeps_tunnels(to: SocketAddr, more: &str) {
    const DEADLINE: Duration = Duration::from_secs(2);
    let config = format!("to = \"{to}\"\n{more}[timeout]\ndrain = \"2s\"\n");
    let mut proxy = Tidegate::with(&config).start();
    let bridge = Bridge::to(Http2Client::clear(proxy.address()));
    let mut held = [Held::open(proxy.address(), "right"), Held::open(bridge.address, ACCEPT)];
    for round in 1..=3 {
        proxy.reload(&config);
        proxy.wait_for_metric("tidegate_config_reloads_total", &[], f64::from(round));
        for one in &mut held {
            one.expect_echo("after a reload");
        }
    }
    let drained = Instant::now();
    proxy.signal(Signal::TERM);
    eventually("it takes no more", || std::net::TcpStream::connect(proxy.address()).is_err());
    for one in &mut held {
        one.expect_echo("while it drains");
    }
    assert!(drained.elapsed() < DEADLINE, "this says nothing");
    for one in &mut held {
        assert_eq!(one.line(), "closed 1006");
    }
    assert!(drained.elapsed() >= DEADLINE.mul_f32(0.9), "after {:?}", drained.elapsed());
    proxy.wait();
}
