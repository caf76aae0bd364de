//! Endpoints that answer nonsense, too little, too much, too late or not at all.

use std::net::TcpListener;
use std::time::Duration;

use tidegate_testkit::reply::Problem;
use tidegate_testkit::{Client, Endpoint, Gate, Gone, Reply, Script, Then, Tidegate};

use crate::door::{Door, expect_signed, get, post};

/// The targets of answers that are bad, and how these come: whole, and a byte at a time.
const WAYS: [&str; 2] = ["/bad/whole", "/bad/in-bytes"];

/// An endpoint that is well-behaved at `/` and answers each of `WAYS` with these bytes.
fn before(bytes: impl Into<Vec<u8>>, then: Then) -> Door {
    before_and_tells(bytes, then).0
}

/// It opens the gate of a way when it has written all of its answer.
fn before_and_tells(bytes: impl Into<Vec<u8>>, then: Then) -> (Door, [Gate; 2]) {
    let bytes = bytes.into();
    let written = [Gate::default(), Gate::default()];
    let gates = written.clone();
    let script = Script::new(move |visit| {
        visit.read_body();
        let Some(way) = WAYS.iter().position(|way| *way == visit.request().target) else {
            return visit.answer("good");
        };
        let (slow, fast) = bytes.split_at([0, bytes.len().min(BYTES_ALONE)][way]);
        for byte in slow {
            visit.write([*byte]);
            std::thread::sleep(Duration::from_micros(50));
        }
        visit.write(fast);
        gates[way].open();
        then
    });
    (Door::with(script, "[timeout]\nfirst_byte = \"1s\"\nbody_idle = \"1s\"\n"), written)
}

/// After so many bytes that each came alone, the point is made.
const BYTES_ALONE: usize = 400;

/// What a client makes of the bad answer, whole and a byte at a time; the next request is not poisoned by it.
fn results_of(bytes: impl Into<Vec<u8>>, then: Then) -> [Result<Reply, Problem>; 2] {
    let door = before(bytes, then);
    let canary = door.canary();
    let results = WAYS.map(|target| result_of(&door, target));
    canary.watch(1);
    canary.survives();
    results
}

fn result_of(door: &Door, target: &str) -> Result<Reply, Problem> {
    assert_eq!(door.proxy.get("/").text(), "good");
    let mut client = door.knock(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    let result = client.try_reply();
    if result.as_ref().is_ok_and(|reply| !reply.closes()) {
        assert_eq!(client.get("/").text(), "good", "the same client is poisoned");
    }
    for _ in 0..3 {
        assert_eq!(door.proxy.get("/").text(), "good", "the next client is poisoned");
    }
    result
}

fn expect_status(status: u16, why: &str, bytes: impl Into<Vec<u8>>, then: Then) {
    for result in results_of(bytes, then) {
        match result {
            Ok(reply) if reply.status == status => expect_signed(&reply),
            other => panic!("{why}: {other:?}"),
        }
    }
}

/// The client must see that something is missing, never a clean end.
fn expect_truncation(why: &str, bytes: impl Into<Vec<u8>>, then: Then) {
    for result in results_of(bytes, then) {
        assert!(matches!(result, Err(Problem::Truncated(..))), "{why}: {result:?}");
    }
}

#[test]
fn answers_that_are_no_http_are_502() {
    let cases = [
        ("garbage", "garbage\r\n\r\n", Then::Close),
        ("HTTP/0.9", "<html>hello</html>", Then::Close),
        ("half a line", "HTTP/1.1 20", Then::Close),
        ("half a header", "HTTP/1.1 200 OK\r\nContent-Le", Then::Close),
        ("nothing", "", Then::Close),
        ("a reset", "", Then::Reset),
        ("half a header and a reset", "HTTP/1.1 200 OK\r\nConte", Then::Reset),
        ("binary", "\x00\x01\x02\x03\r\n\r\n", Then::KeepAlive),
    ];
    for (why, bytes, then) in cases {
        expect_status(502, why, bytes, then);
    }
}

#[test]
fn an_endpoint_that_hangs_is_504() {
    expect_status(504, "says nothing", "", Then::Hang);
    expect_status(504, "half a head", "HTTP/1.1 200 OK\r\nContent-", Then::Hang);
}

#[test]
fn an_answer_that_stops_half_way_is_seen_as_truncated() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let half_chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello";
    for bytes in [length, chunks, half_chunk] {
        for then in [Then::Close, Then::Hang, Then::Reset] {
            expect_truncation(&format!("{bytes:?} {then:?}"), bytes, then);
        }
    }
    let to_the_end = "HTTP/1.1 200 OK\r\n\r\nhello";
    expect_truncation("a close-delimited body that breaks", to_the_end, Then::Reset);
}

#[test]
fn answers_with_ambiguous_framing_are_502() {
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 18446744073709551616",
        "Content-Length: 5 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked, chunked",
    ];
    for head in heads {
        expect_status(502, head, format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nhello"), Then::KeepAlive);
    }
}

/// RFC 9112 §6.3: a recipient may take one that is repeated for one, when they agree. (Of a request, it is refused.)
#[test]
fn an_answer_with_the_same_length_twice_has_it_once() {
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi";
    for result in results_of(bytes, Then::KeepAlive) {
        let reply = result.expect("a whole answer");
        assert_eq!((reply.status, reply.text().as_str()), (200, "hi"));
        assert_eq!(reply.fields.all("content-length"), ["2"]);
    }
}

#[test]
fn bad_chunks_never_look_like_a_complete_answer() {
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "-5\r\n",
        "\r\n\r\n",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        for result in results_of(bytes, Then::KeepAlive) {
            match result {
                Ok(reply) => assert_eq!(reply.status, 502, "{body:?}: {reply:?}"),
                Err(problem) => assert!(matches!(problem, Problem::Truncated(..)), "{body:?}: {problem:?}"),
            }
        }
    }
}

#[test]
fn bytes_beyond_an_answer_reach_no_one() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let answers = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine{poison}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n{poison}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{poison}"),
        format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nfine{poison}"),
    ];
    for answer in answers {
        let (door, written) = before_and_tells(answer.clone(), Then::KeepAlive);
        for (way, written) in WAYS.into_iter().zip(written) {
            let mut client = door.knock(format!("GET {way} HTTP/1.1\r\nHost: test\r\n\r\n"));
            let reply = client.reply();
            assert!(!reply.text().contains("poison"), "{way}: {answer}: {reply:?}");
            expect_no_poison(&door, &mut client, &written, way);
        }
    }
}

#[test]
fn a_body_on_an_answer_to_head_reaches_no_one() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
    let (door, written) = before_and_tells(answer, Then::KeepAlive);
    for (way, written) in WAYS.into_iter().zip(written) {
        let mut client = door.knock(format!("HEAD {way} HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!(client.reply_to_head().field("content-length"), Some("4"), "{way}");
        expect_no_poison(&door, &mut client, &written, way);
    }
}

/// Once all of the answer has been written: what comes in the very moment in which a connection is used again, nobody can
/// tell from an early answer.
fn expect_no_poison(door: &Door, client: &mut Client, written: &Gate, way: &str) {
    written.pass();
    assert_eq!(client.get("/").text(), "good", "{way}: the same client is poisoned");
    for _ in 0..3 {
        assert_eq!(door.proxy.get("/").text(), "good", "{way}: the next client is poisoned");
    }
}

/// They come when the connection waits to be used again.
#[test]
fn bytes_long_after_an_answer_reach_no_one() {
    let (goes_on, written) = (Gate::default(), Gate::default());
    let gates = (goes_on.clone(), written.clone());
    let script = Script::new(move |visit| {
        if visit.request().target != "/bad" {
            return visit.answer("good");
        }
        let then = visit.answer("fine");
        gates.0.pass();
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        gates.1.open();
        then
    });
    let door = Door::with(script, "");
    let mut client = door.proxy.client();
    assert_eq!(client.get("/bad").text(), "fine");
    goes_on.open();
    written.pass();
    assert_eq!(client.get("/").text(), "good");
    assert_eq!(door.endpoint.accepted(), 2, "the connection was used again");
}

#[test]
fn an_unasked_101_is_502() {
    let bytes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbytes";
    expect_status(502, "101", bytes, Then::KeepAlive);
}

/// RFC 9110 §7.8.
#[test]
fn a_101_to_what_nobody_offered_is_502() {
    for answer in
        ["", "Upgrade: x\r\n", "Upgrade: websocket, x\r\n", "Upgrade: ,\r\n", "Upgrade: websocket/13\r\n"]
    {
        let bytes = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{answer}\r\nbytes");
        let door = Door::with(Script::writes(bytes, Then::KeepAlive), "");
        let reply = door.ask(get("Connection: Upgrade\r\nUpgrade: echo, WebSocket\r\n"));
        assert_eq!((reply.status, reply.cause()), (502, Some("upgrade_unasked")), "{answer:?}");
    }
}

#[test]
fn a_flood_of_interim_answers_is_502() {
    let flood =
        "HTTP/1.1 102 Processing\r\n\r\n".repeat(2000) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    expect_status(502, "two thousand", flood, Then::KeepAlive);
}

#[test]
fn heads_of_endpoints_have_limits() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(20_000));
    expect_status(502, "1 MiB in one", long, Then::Close);
    expect_status(502, "twenty thousand", many, Then::Close);
}

#[test]
fn an_endless_head_of_an_endpoint_costs_no_memory() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\n");
        let piece = "X-Field: some value of some length\r\n".repeat(2000);
        while visit.write(&piece) {}
        Then::Close
    });
    let door = Door::with(script, "");
    let canary = door.canary();
    assert_eq!(door.proxy.get("/").status, 502);
    canary.watch(1);
    canary.survives();
}

#[test]
fn control_characters_in_fields_of_an_answer_never_reach_the_client() {
    for field in ["X: a\0b", "X: a\rb", "X: a\x01b", "X : a", "X\0: a", ": a", "no colon"] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 5\r\n\r\nhello");
        expect_status(502, field, bytes, Then::KeepAlive);
    }
    let bare_line_end = "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: evil=1\r\nContent-Length: 5\r\n\r\nhello";
    expect_status(502, "bare LF", bare_line_end, Then::KeepAlive);
}

#[test]
fn a_folded_field_of_an_answer_is_refused_or_unfolded() {
    let bytes = "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello";
    for result in results_of(bytes, Then::KeepAlive) {
        match result {
            Ok(reply) if reply.status == 502 => {}
            Ok(reply) => assert_eq!((reply.field("x"), reply.text().as_str()), (Some("a b"), "hello")),
            Err(problem) => panic!("{problem:?}"),
        }
    }
}

/// RFC 9112 §9.3.1, RFC 9110 §9.2.2.
#[test]
fn a_reused_connection_that_dies_is_replaced_for_idempotent_requests_only() {
    let script = Script::new(|visit| {
        visit.read_body();
        if visit.request().method == "POST" { Then::Close } else { visit.answer("fine") }
    });
    let door = Door::with(script, "");
    door.ask(get(""));
    let reply = door.ask(post("Content-Length: 1\r\n", "x"));
    assert_eq!((reply.status, reply.cause()), (502, Some("endpoint_closed")));
    let posts = door.endpoint.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(posts, 1, "a POST was sent twice");
}

#[test]
fn a_get_on_a_connection_that_the_endpoint_just_closed_succeeds() {
    let door = Door::open();
    for _ in 0..50 {
        assert_eq!(door.proxy.get("/").status, 200);
        door.endpoint.close_connections();
    }
}

/// RFC 9112 §4.
#[test]
fn malformed_status_lines_are_502() {
    let lines = [
        "HTTP/1.1 99 X",
        "HTTP/1.1 1000 X",
        "HTTP/1.1 2x0 X",
        "HTTP/9.9 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 -20 OK",
        "http/1.1 200 OK",
        "HTTP/2 200",
    ];
    for line in lines {
        expect_status(502, line, format!("{line}\r\nContent-Length: 5\r\n\r\nhello"), Then::KeepAlive);
    }
}

#[test]
fn a_fast_endpoint_and_a_slow_client_cost_no_memory() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let piece = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
        while visit.write(&piece) {}
        Then::Close
    });
    let door = Door::with(script, "");
    let canary = door.canary();
    let mut clients: Vec<_> = (0..8).map(|_| door.knock(get(""))).collect();
    for client in &mut clients {
        client.wire().exactly(100_000).unwrap();
    }
    canary.watch(1); // all of them together
    drop(clients);
    door.endpoint.wait_until_left();
    canary.survives();
}

#[test]
fn a_drip_from_an_endpoint_passes_as_it_comes() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(10));
            visit.write("x");
        }
        Then::KeepAlive
    });
    assert_eq!(Door::with(script, "").proxy.get("/").text(), "x".repeat(20));
}

#[test]
fn a_refused_connect_goes_to_the_next_endpoint_and_is_503_when_there_is_none() {
    let (down, up) = (Endpoint::down(Script::echoes()), Endpoint::answering("up"));
    let both = Tidegate::to(&[&down, &up], "").start();
    for _ in 0..20 {
        assert_eq!(both.get("/").text(), "up");
    }
    let alone = Tidegate::to(&[&down], "").start();
    let reply = alone.get("/");
    assert_eq!(reply.status, 503, "{reply:?}");
    expect_signed(&reply);
}

#[test]
fn a_blackholed_connect_goes_to_the_next_endpoint_within_the_connect_timeout() {
    // A listener whose queue is full drops what comes: connecting neither succeeds nor fails.
    let hole = full_listener();
    let up = Endpoint::answering("up");
    let config =
        format!("to = [\"{}\", \"{}\"]\n[timeout]\nconnect = \"100ms\"\n", hole.address, up.address());
    let proxy = Tidegate::with(config).start();
    for _ in 0..4 {
        assert_eq!(proxy.get("/").text(), "up");
    }
    let alone = Tidegate::with(format!("to = {:?}\n[timeout]\nconnect = \"100ms\"\n", hole.address)).start();
    let reply = alone.get("/");
    assert_eq!((reply.status, reply.cause()), (504, Some("connect_timeout")));
}

/// Drops what comes: connecting there neither succeeds nor fails.
pub(crate) struct FullListener {
    pub(crate) address: String,
    _listener: TcpListener,
    _queued: Vec<std::net::TcpStream>,
}

pub(crate) fn full_listener() -> FullListener {
    full_listener_at("127.0.0.1:0")
}

pub(crate) fn full_listener_at(address: &str) -> FullListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200));
    let queued = std::iter::from_fn(|| connect().ok()).take(16).collect();
    FullListener { address: address.to_string(), _listener: listener, _queued: queued }
}

#[test]
fn a_name_that_does_not_resolve_does_not_stop_the_others() {
    let up = Endpoint::answering("up");
    let proxy = Tidegate::with(format!("to = [\"no-such-host.invalid:80\", {:?}]\n", up.address())).start();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "up");
    }
}

#[test]
fn an_abort_mid_answer_is_not_a_clean_end_for_a_client_that_reads_to_the_end() {
    let door = before("HTTP/1.1 200 OK\r\n\r\nhello", Then::Reset);
    let mut client = door.knock("GET /bad/whole HTTP/1.0\r\n\r\n");
    // With HTTP/1.0 only a reset can say that the end is not the end (RFC 9112 §8).
    let (_, gone) = client.rest();
    assert_eq!(gone, Gone::Reset);
}
