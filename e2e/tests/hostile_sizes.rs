//! Too much of everything: long lines, many fields, big bodies, tiny chunks.

use tidegate_testkit::random::Random;
use tidegate_testkit::{Delivery, Gone, Script};

use crate::door::{Door, chunked, get, post};

const MIB: u64 = 1 << 20;

/// RFC 9110 §5.4, RFC 6585 §5.
#[test]
fn heads_over_a_limit_are_refused() {
    let door = Door::open();
    let long = "x".repeat(100 * 1024);
    door.refuses(&[414], &[("target", format!("GET /{long} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes())]);
    door.refuses(
        &[431],
        &[
            ("value", get(&format!("X: {long}\r\n"))),
            ("ten thousand fields", get(&"X: 1\r\n".repeat(10_000))),
            ("hundred and one short fields", get(&"X: 1\r\n".repeat(101))),
        ],
    );
    door.refuses(&[400, 431], &[("name", get(&format!("{long}: x\r\n")))]);
    door.refuses(&[400, 501], &[("method", format!("{long} / HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes())]);
}

#[test]
fn reading_stops_long_before_an_endless_head_ends() {
    let door = Door::open();
    let canary = door.canary();
    let mut client = door.knock("GET / HTTP/1.1\r\nHost: test\r\n");
    let mut writer = client.wire().duplicate();
    let sending = std::thread::spawn(move || {
        let piece = "X-Field: some value of some length\r\n".repeat(2000);
        (0..16_384).take_while(|_| writer.write(piece.as_bytes()).is_ok()).count() * piece.len()
    });
    assert_eq!(client.reply().status, 431);
    assert_ne!(client.rest().1, Gone::Silent, "the connection is still open");
    let sent = sending.join().unwrap() as u64;
    assert!(sent < 64 * MIB, "{sent} bytes were taken");
    canary.watch(1);
    canary.survives();
    assert_eq!(door.endpoint.request_count(), 0);
}

/// RFC 9110 §14.2.
#[test]
fn a_thousand_ranges_and_a_big_cookie_pass_whole_when_the_limit_allows() {
    let door = Door::with(Script::echoes(), "[limit]\nhead_bytes = \"128KiB\"\n");
    let ranges = (0..1000).map(|at| format!("{at}-{at}")).collect::<Vec<_>>().join(",");
    let cookie = (0..10_000).map(|at| format!("a{at}=1")).collect::<Vec<_>>().join("; ");
    for delivery in Delivery::all() {
        let input = get(&format!("Range: bytes={ranges}\r\nCookie: {}\r\n", &cookie[..64 * 1024]));
        assert_eq!(door.deliver(input, delivery).reply().status, 200, "{delivery:?}");
        let request = door.endpoint.last_request();
        assert_eq!(request.field("range"), Some(format!("bytes={ranges}").as_str()));
        assert_eq!(request.field("cookie").map(str::len), Some(64 * 1024));
    }
}

#[test]
fn a_cookie_over_the_limit_is_refused() {
    Door::open().refuses(&[431], &[("64 KiB", get(&format!("Cookie: a={}\r\n", "b".repeat(64 * 1024))))]);
}

/// RFC 9112 §2.2.
#[test]
fn random_bytes_and_a_tls_hello_are_turned_away() {
    let door = Door::open();
    let mut hello = vec![0x16, 0x03, 0x01, 0x00, 0xc8, 0x01, 0x00, 0x00, 0xc4, 0x03, 0x03];
    hello.extend(Random::seeded(1).bytes(194));
    let canary = door.canary();
    let inputs = (0..32).map(|seed| Random::seeded(seed).bytes(256)).chain([hello]);
    for input in inputs {
        for delivery in Delivery::all() {
            let mut client = door.proxy.client();
            client.deliver(&input, delivery);
            client.finish();
            let (answer, gone) = client.rest();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{input:?}: {answer}");
            assert_ne!(gone, Gone::Silent, "{input:?}: still open");
        }
    }
    canary.survives();
    assert_eq!(door.endpoint.request_count(), 0);
    door.serves();
}

/// RFC 9110 §15.5.14.
#[test]
fn a_body_known_to_be_too_large_is_refused_before_anything_is_forwarded() {
    let door = Door::with(Script::echoes(), "[limit]\nbody_bytes = \"1000B\"\n");
    door.refuses(&[413], &[("by its length", post("Content-Length: 1001\r\n", vec![b'x'; 1001]))]);
    assert_eq!(door.ask(post("Content-Length: 1000\r\n", vec![b'x'; 1000])).body.len(), 1000);
}

#[test]
fn a_body_that_turns_out_too_large_never_completes_at_the_endpoint() {
    let door = Door::with(Script::echoes(), "[limit]\nbody_bytes = \"1000B\"\n");
    let canary = door.canary();
    let body = "a\r\n0123456789\r\n".repeat(101) + "0\r\n\r\n";
    for delivery in Delivery::all() {
        let mut client = door.proxy.client();
        client.deliver(&chunked(&body), delivery);
        assert_eq!(client.reply().status, 413, "{delivery:?}");
    }
    canary.survives();
    assert!(door.endpoint.requests().iter().all(|request| !request.complete));
    let reply = door.ask(chunked("a\r\n0123456789\r\n".repeat(100) + "0\r\n\r\n"));
    assert_eq!((reply.status, reply.body.len()), (200, 1000));
}

/// What a chunk announces is as good as come: nobody waits for bytes that cannot be taken.
#[test]
fn a_chunk_that_announces_more_than_the_limit_has_left_is_refused_before_it_comes() {
    let door = Door::with(Script::echoes(), "[limit]\nbody_bytes = \"1000B\"\n");
    for announced in ["FFFFFFFFFFFFFFFF\r\n", "3e9\r\n", "3\r\nabc\r\n3e6\r\n", "3e8\r\nand only so much"] {
        let is_within = announced.starts_with("3e8");
        for delivery in Delivery::all() {
            let mut client = door.proxy.client();
            client.deliver(&chunked(announced), delivery);
            if is_within {
                client.send([b'x'; 984]);
                client.send("\r\n0\r\n\r\n");
            }
            let expected = if is_within { 200 } else { 413 };
            assert_eq!(client.reply().status, expected, "{announced:?}, {delivery:?}");
        }
    }
    assert_eq!(
        door.endpoint.requests().iter().filter(|request| request.complete).count(),
        Delivery::all().len()
    );
}

/// RFC 9112 §7.1.
#[test]
fn one_byte_chunks_cost_no_memory() {
    let script = Script::new(|visit| {
        visit.read_body();
        let length = visit.request().body.len().to_string();
        visit.answer(&length)
    });
    let door = Door::with(script, "");
    door.serves();
    let canary = door.canary();
    let mut client = door.proxy.client();
    let sending = client.send_aside(chunked("1\r\nx\r\n".repeat(2_000_000) + "0\r\n\r\n"));
    assert_eq!(client.reply().text(), "2000000");
    assert!(sending.join().unwrap());
    canary.watch(1);
    canary.survives();
}
