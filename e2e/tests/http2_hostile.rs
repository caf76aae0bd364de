//! Clients that abuse HTTP/2: one test for each row of the list.
//!
//! Frames are written by hand. Beside each attack a well-behaved client is served, and afterwards memory and descriptors are
//! where they were.

use std::time::{Duration, Instant};

use tidegate_testkit::http2_raw::{self as raw, Fate, PREFACE, RawHttp2, code, flag, kind, setting};
use tidegate_testkit::{Delivery, Gone, Script, Then, eventually};

use crate::door::Door;

const SHORT: &str = "[timeout]\nhead = \"400ms\"\nbody_idle = \"400ms\"\nkeep_alive = \"400ms\"\n";

/// The most streams that one connection may have at once, when nothing else is configured.
const STREAMS_MAX: usize = 100;

/// A scene: something rude happens at a door, and nobody else feels it.
fn beside(door: &Door, attackers: u64, attack: impl FnOnce()) {
    door.serves();
    let descriptors = door.proxy.open_descriptors();
    let canary = door.canary();
    attack();
    canary.watch(attackers);
    canary.survives();
    eventually("all descriptors are given back", || door.proxy.open_descriptors() <= descriptors + 2);
    door.serves();
}

fn connect(door: &Door) -> RawHttp2 {
    RawHttp2::connect(door.proxy.address())
}

const CALM: Fate = Fate::GoneAway(code::ENHANCE_YOUR_CALM);

/// CVE-2023-44487.
#[test]
fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    let door = Door::with(Script::is_silent(), "");
    let before = door.endpoint.request_count();
    let canary = door.canary();
    let mut client = connect(&door);
    for number in 0..10_000_u32 {
        let stream = 2 * number + 1;
        if !client.send([raw::get(stream, "/"), raw::reset(stream, code::CANCEL)].concat()) {
            break;
        }
    }
    assert_eq!(client.end(), CALM);
    let reached = door.endpoint.request_count() - before;
    assert!(reached <= STREAMS_MAX, "{reached} requests reached the endpoint");
    canary.watch(1);
    canary.survives();
}

/// Slower, so that each has reached the endpoint before it is taken back.
#[test]
fn streams_that_are_reset_once_they_are_served_end_their_connection_and_free_the_endpoint() {
    let door = Door::with(Script::is_silent(), "");
    let canary = door.canary();
    let mut client = connect(&door);
    let mut stream = 1;
    for round in 1..=10 {
        let batch: Vec<u32> = (0..20).map(|number| stream + 2 * number).collect();
        let sent = client.send(batch.iter().flat_map(|one| raw::get(*one, "/")).collect::<Vec<u8>>());
        if !sent || round > 5 {
            break;
        }
        door.endpoint.wait_for_requests(20 * round);
        client.send(batch.iter().flat_map(|one| raw::reset(*one, code::CANCEL)).collect::<Vec<u8>>());
        stream += 40;
    }
    assert_eq!(client.end(), CALM);
    door.endpoint.wait_until_left();
    canary.watch(1);
    canary.survives();
    door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "streams_taken_back")], 1.0);
}

/// A client that takes back one request in three is an ordinary one.
#[test]
fn a_client_that_takes_back_some_of_its_requests_stays() {
    let door = Door::open();
    let mut client = connect(&door);
    for number in 0..400 {
        let stream = 2 * number + 1;
        client.send(raw::post(stream, "/", &[]));
        if number % 3 == 0 {
            client.send(raw::reset(stream, code::CANCEL));
        } else {
            client.send(raw::last_data(stream, "x"));
            assert_eq!(client.fate(stream).status(), Some(200), "request {number}");
        }
    }
}

/// That is how watches, event sources and videos end: what was answered has not been taken back.
#[test]
fn a_client_that_cancels_answers_that_have_begun_stays() {
    let door =
        Door::with(Script::writes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun", Then::Hang), "");
    let mut client = connect(&door);
    for number in 0..150 {
        let stream = 2 * number + 1;
        assert!(client.send(raw::get(stream, "/")));
        client.wait_for(kind::DATA, stream).unwrap_or_else(|gone| panic!("request {number}: {gone:?}"));
        client.send(raw::reset(stream, code::CANCEL));
    }
}

/// A route that hangs is not the client's fault, who has others on the same connection.
#[test]
fn a_client_that_gives_up_on_what_is_not_answered_stays() {
    let door = Door::with(Script::is_silent(), "");
    let mut client = connect(&door);
    for round in 0..4 {
        let batch: Vec<u32> = (0..30).map(|number| 60 * round + 2 * number + 1).collect();
        client.send(batch.iter().flat_map(|one| raw::get(*one, "/")).collect::<Vec<u8>>());
        door.endpoint.wait_for_requests(30 * (round as usize + 1));
        std::thread::sleep(std::time::Duration::from_millis(1_050));
        client.send(batch.iter().flat_map(|one| raw::reset(*one, code::CANCEL)).collect::<Vec<u8>>());
    }
    door.endpoint.wait_until_left();
    assert!(client.send(raw::get(1_001, "/")));
    door.endpoint.wait_for_requests(121);
}

/// They may all be sent before the client knows how many are taken at once.
#[test]
fn three_hundred_uploads_at_once_are_answered_or_refused() {
    let door = Door::open();
    let mut client = RawHttp2::over(door.proxy.client());
    let streams: Vec<u32> = (0..300).map(|number| 2 * number + 1).collect();
    let heads = streams.iter().flat_map(|stream| raw::post(*stream, "/", &[]));
    let hello = [PREFACE, &raw::settings(&[])].concat();
    let bodies = streams.iter().flat_map(|stream| raw::last_data(*stream, "hello"));
    client.send(hello.into_iter().chain(heads).chain(bodies).collect::<Vec<u8>>());
    let fates: Vec<_> = streams.iter().map(|stream| client.fate(*stream)).collect();
    let answered = fates.iter().filter(|fate| fate.status() == Some(200)).count();
    let refused = fates.iter().filter(|fate| **fate == Fate::Reset(code::REFUSED_STREAM)).count();
    assert_eq!((answered, refused), (STREAMS_MAX, 300 - STREAMS_MAX));
}

/// CVE-2025-8671: it is the proxy that resets, because it has to.
#[test]
fn faults_that_make_the_proxy_reset_streams_end_their_connection() {
    type Frames = fn(u32) -> Vec<u8>;
    let faults: [(&str, Frames); 5] = [
        ("a window update of nothing", |stream| raw::window_update(stream, 0)),
        ("a window that overflows", |stream| raw::window_update(stream, 0x7fff_ffff)),
        ("data behind the end", |stream| raw::data(stream, "more")),
        ("a priority of three bytes", |stream| raw::frame(kind::PRIORITY, flag::NONE, stream, [0; 3])),
        ("a stream that depends on itself", |stream| raw::priority(stream, stream)),
    ];
    for (fault, frames) in faults {
        let door = Door::with(Script::is_silent(), "");
        let canary = door.canary();
        let mut client = connect(&door);
        for number in 0..10_000 {
            let stream = 2 * number + 1;
            if !client.send([raw::get(stream, "/"), frames(stream)].concat()) {
                break;
            }
        }
        let ended = client.end();
        assert!(matches!(ended, Fate::GoneAway(error) if error != code::NO_ERROR), "{fault}: {ended:?}");
        let reached = door.endpoint.request_count();
        assert!(reached <= 3 * STREAMS_MAX, "{fault}: {reached} requests reached the endpoint");
        canary.watch(1);
        canary.survives();
    }
}

/// The same by heads that are refused one by one.
#[test]
fn heads_that_are_refused_again_and_again_end_their_connection() {
    let heads: [(&str, Vec<u8>); 2] = [
        ("a name that is none", raw::block(&raw::fields("GET", "/", &[("Upper", "x")]))),
        ("a field that must not be", raw::block(&raw::fields("GET", "/", &[("upgrade", "x")]))),
    ];
    for (why, block) in heads {
        let door = Door::open();
        beside(&door, 1, || {
            let mut client = connect(&door);
            for number in 0..10_000 {
                if !client.send(raw::request(2 * number + 1, &block)) {
                    break;
                }
            }
            let ended = client.end();
            assert!(ended == CALM || ended == Fate::GoneAway(code::PROTOCOL_ERROR), "{why}: {ended:?}");
        });
    }
}

/// CERT VU#421644.
#[test]
fn heads_that_are_continued_without_end_end_their_connection() {
    let filler = raw::block(&[("x-filler", "y".repeat(1000))]);
    let pieces: [(&str, Vec<u8>); 4] = [
        ("empty ones", Vec::new()),
        ("small ones", raw::block(&[("a", "b")])),
        ("some", filler.clone()),
        ("big ones", filler.repeat(16)),
    ];
    for (why, piece) in pieces {
        let door = Door::open();
        beside(&door, 1, || {
            let mut client = connect(&door);
            let begun = raw::block(&raw::fields("GET", "/", &[]));
            client.send(raw::frame(kind::HEADERS, flag::END_STREAM, 1, begun));
            let continued = raw::frame(kind::CONTINUATION, flag::NONE, 1, &piece);
            for _ in 0..10_000 {
                if !client.send(&continued) {
                    break;
                }
            }
            let ended = client.end();
            assert!(matches!(ended, Fate::GoneAway(_) | Fate::Closed(Gone::Reset)), "{why}: {ended:?}");
        });
    }
}

/// RFC 9113 §10.5.1, RFC 7541 §7.3: small on the wire, large when decoded.
#[test]
fn field_blocks_that_swell_when_decoded_are_refused() {
    let start = raw::block(&raw::fields("GET", "/", &[]));
    let big = raw::kept("x-big", "y".repeat(3900));
    let bombs: [(&str, Vec<u8>); 4] = [
        ("one long field again and again", [start.clone(), big, vec![0xbe; 10_000]].concat()),
        ("tiny fields", [start.clone(), raw::kept("a", "b"), vec![0xbe; 10_000]].concat()),
        ("crumbs of cookies", [start.clone(), raw::kept("cookie", "a=b"), vec![0xbe; 10_000]].concat()),
        ("fields of nothing", [start, raw::kept("x", ""), vec![0xbe; 10_000]].concat()),
    ];
    for (why, bomb) in bombs {
        let door = Door::open();
        let before = door.endpoint.request_count();
        beside(&door, 1, || {
            let mut client =
                RawHttp2::connect_with(door.proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 0)]);
            for number in 0..100 {
                let stream = 2 * number + 1;
                let fate = {
                    client.send(raw::request(stream, &bomb));
                    client.wait_for(kind::HEADERS, stream)
                };
                let Ok(answer) = fate else { break };
                assert_eq!(raw::status(&answer.payload), 431, "{why}");
            }
        });
        let arrived = door.endpoint.request_count() - before;
        assert_eq!(arrived, 2, "{why}: it reached the endpoint");
    }
}

/// RFC 9113 §10.5.
#[test]
fn floods_of_frames_that_move_nothing_end_their_connection() {
    let floods: [(&str, Vec<u8>); 9] = [
        ("settings", raw::settings(&[(setting::INITIAL_WINDOW_SIZE, 1000)])),
        ("empty settings", raw::settings(&[])),
        ("settings acknowledged", raw::frame(kind::SETTINGS, flag::ACK, 0, [])),
        ("pings", raw::ping(1)),
        ("pongs", raw::frame(kind::PING, flag::ACK, 0, [7; 8])),
        ("priorities", raw::priority(1, 3)),
        ("window updates", raw::window_update(0, 1)),
        ("data of nothing", raw::data(1, "")),
        ("unknown frames", raw::frame(0xbe, flag::NONE, 1, [0; 8])),
    ];
    for (why, frames) in floods {
        for reads in [true, false] {
            let door = Door::with(Script::is_silent(), "[timeout]\nbody_idle = \"3s\"\n");
            let canary = door.canary();
            let mut client = connect(&door);
            client.send(raw::post(1, "/", &[]));
            let batch = frames.repeat(100);
            let started = Instant::now();
            let mut sent = 0;
            while client.send(&batch) && started.elapsed() < Duration::from_secs(10) {
                sent += 100;
                if reads && sent % 1000 == 0 {
                    client.wire().set_patience(Duration::from_millis(1));
                    while client.frame().is_ok() {}
                }
            }
            canary.watch(1);
            client.wire().set_patience(Duration::from_secs(5));
            let ended = client.end();
            assert!(!matches!(ended, Fate::Closed(Gone::Silent)), "{why}, reads: {reads}: {sent} were taken");
            canary.survives();
        }
    }
}

/// What clients do all day long is no flood: a window opened in small steps, a ping now and then.
#[test]
fn housekeeping_of_an_honest_client_is_no_flood() {
    let body = "x".repeat(3 << 20);
    let door = Door::with(Script::answers(&body), "");
    let mut client = connect(&door);
    client.send(raw::get(1, "/"));
    let mut read = 0;
    while read < body.len() {
        let frame = client.frame().unwrap();
        if frame.kind == kind::DATA {
            let length = frame.payload.len();
            read += length;
            if length > 0 {
                let steps = [raw::window_update(0, length as u32), raw::window_update(1, length as u32)];
                client.send([steps.concat(), raw::ping(read as u64)].concat());
            }
        }
    }
}

/// RFC 9113 §5.2, §10.5.
#[test]
fn answers_that_nobody_takes_cost_little_and_are_cut() {
    let body = "x".repeat(4 << 20);
    let door = Door::with(Script::answers(&body), SHORT);
    beside(&door, 1, || {
        let mut client = RawHttp2::connect_with(door.proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 0)]);
        let canary = door.canary();
        for number in 0..100 {
            client.send(raw::get(2 * number + 1, "/"));
        }
        door.endpoint.wait_for_requests(100);
        canary.watch(1);
        for number in 0..100 {
            let fate = client.fate(2 * number + 1);
            assert!(matches!(fate, Fate::Reset(_)), "stream {number}: {fate:?}");
        }
        canary.survives();
    });
    door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "client_stalled")], 100.0);
}

#[test]
fn windows_opened_byte_by_byte_cost_little() {
    let body = "x".repeat(4 << 20);
    let door = Door::with(Script::answers(&body), SHORT);
    beside(&door, 1, || {
        let mut client = RawHttp2::connect_with(door.proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 1)]);
        let canary = door.canary();
        let streams: Vec<u32> = (0..100).map(|number| 2 * number + 1).collect();
        client.send(streams.iter().flat_map(|stream| raw::get(*stream, "/")).collect::<Vec<u8>>());
        door.endpoint.wait_for_requests(100); // or windows that come before answers would be a flood
        for _ in 0..50 {
            client
                .send(streams.iter().flat_map(|stream| raw::window_update(*stream, 1)).collect::<Vec<u8>>());
        }
        canary.watch(1);
        let fate = client.fate(1);
        assert!(matches!(fate, Fate::Reset(_) | Fate::GoneAway(_)), "{fate:?}");
        canary.survives();
    });
}

/// An answer that is through as far as the endpoint is concerned is not lost because its client is slow.
#[test]
fn the_rest_of_an_answer_waits_for_its_window() {
    let door = Door::with(
        Script::answers("a short answer"),
        "[timeout]\nkeep_alive = \"100ms\"\nbody_idle = \"5s\"\n",
    );
    let mut client = RawHttp2::connect_with(door.proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 0)]);
    client.send(raw::get(1, "/"));
    client.wait_for(kind::HEADERS, 1).unwrap();
    std::thread::sleep(Duration::from_millis(2600)); // longer than an idle connection is kept, goodbye included
    client.send(raw::window_update(1, 1000));
    let rest = client.wait_for(kind::DATA, 1).unwrap();
    assert_eq!(rest.payload, b"a short answer");
}

/// An answer that is with the kernel is not with the client, which goes on to open its window while it reads: closing over
/// that would be a reset, and lose what is on its way.
#[test]
fn a_slow_client_gets_its_whole_answer_although_the_proxy_drains() {
    let body = "x".repeat(8 << 20);
    let mut door = Door::with(Script::answers(&body), "");
    let mut client =
        RawHttp2::connect_with(door.proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    client.send([raw::window_update(0, 1 << 30), raw::get(1, "/")].concat());
    client.wait_for(kind::HEADERS, 1).unwrap();
    door.proxy.drain();
    let mut received = 0;
    while received < body.len() {
        let frame = client.frame().expect("more of the answer");
        match frame.kind {
            kind::DATA => received += frame.payload.len(),
            kind::PING => drop(client.send(raw::frame(kind::PING, flag::ACK, 0, frame.payload))),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(5));
        client.send(raw::window_update(0, 1));
    }
    // Who has said goodbye is gone when the client is.
    drop(client);
    assert!(door.proxy.wait().success());
}

/// Whoever waits for a client that takes nothing is in service.
#[test]
fn answers_that_a_client_does_not_take_keep_their_places_and_what_it_asks_for_then_is_refused() {
    let body = "x".repeat(20 * 1024);
    let door = Door::with(Script::answers(&body), "limit.requests = 8\n");
    let windows = &[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)];
    let mut client = RawHttp2::connect_with(door.proxy.address(), windows);
    client.send(raw::window_update(0, 1 << 30));
    let sum = |name: &str, labels: &[(&str, &str)]| door.proxy.metrics().sum(name, labels);
    let taken = || sum("tidegate_requests_in_service", &[]);
    let refused = || sum("tidegate_limit_hits_total", &[("limit", "requests")]);
    let mut asked = Vec::new();
    let mut ask = |client: &mut RawHttp2| {
        let stream = asked.len() as u32 * 2 + 1;
        assert!(stream < 20_000, "nothing is ever held");
        assert!(client.send(raw::get(stream, "/")));
        asked.push(stream);
    };
    let others = || door.proxy.get("/").cause().map(str::to_owned);
    // First of all the sockets are filled, then what waits in the connection; then there is no place.
    while others().as_deref() != Some("request_limit") {
        ask(&mut client);
    }
    let before = refused();
    (0..20).for_each(|_| ask(&mut client));
    eventually("it is refused before it reads", || refused() > before + 0.5);
    let fates: Vec<_> = asked.iter().map(|stream| client.fate(*stream)).collect();
    for fate in &fates {
        match fate {
            Fate::Answer { status: 200, body: whole } => assert_eq!(whole.len(), body.len()),
            Fate::Answer { status: 503, .. } | Fate::Reset(code::REFUSED_STREAM) => {}
            other => panic!("{other:?}"),
        }
    }
    let is_refused = fates.contains(&Fate::Reset(code::REFUSED_STREAM));
    assert!(is_refused, "an answer would have been held as well");
    eventually("nothing is held any more", || taken() < 0.5);
    door.serves();
}

/// RFC 9113 §5.1.2.
#[test]
fn streams_beyond_the_limit_are_refused_and_those_that_say_nothing_time_out() {
    let door = Door::with(Script::echoes(), SHORT);
    beside(&door, 1, || {
        let mut client = connect(&door);
        client.wait_for_settings();
        let streams: Vec<u32> = (0..150).map(|number| 2 * number + 1).collect();
        client.send(streams.iter().flat_map(|stream| raw::post(*stream, "/", &[])).collect::<Vec<u8>>());
        for stream in streams.iter().skip(STREAMS_MAX) {
            assert_eq!(client.fate(*stream), Fate::Reset(code::REFUSED_STREAM), "stream {stream}");
        }
        for stream in streams.iter().take(STREAMS_MAX) {
            let fate = client.fate(*stream);
            assert_eq!(fate.status(), Some(408), "stream {stream}: {fate:?}");
        }
        let next = streams.len() as u32 * 2 + 1;
        client.send(raw::get(next, "/"));
        assert_eq!(client.fate(next).status(), Some(200), "there is room again");
    });
}

#[test]
fn a_body_that_never_ends_times_out() {
    let door = Door::with(Script::echoes(), SHORT);
    beside(&door, 1, || {
        let mut client = connect(&door);
        client.send([raw::post(1, "/", &[]), raw::data(1, "half")].concat());
        assert_eq!(client.fate(1).status(), Some(408));
    });
    assert!(!door.endpoint.requests().iter().any(|request| request.method == "POST" && request.complete));
}

/// RFC 9113 §6.9.2.
#[test]
fn windows_that_flip_by_settings_are_bounded_and_one_that_overflows_ends_the_connection() {
    let body = "x".repeat(1 << 20);
    let door = Door::with(Script::answers(&body), "");
    beside(&door, 1, || {
        let mut client = RawHttp2::connect_with(door.proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 0)]);
        let streams: Vec<u32> = (0..100).map(|number| 2 * number + 1).collect();
        client.send(streams.iter().flat_map(|stream| raw::get(*stream, "/")).collect::<Vec<u8>>());
        let flip = [1, 0].map(|size| raw::settings(&[(setting::INITIAL_WINDOW_SIZE, size)])).concat();
        for _ in 0..10_000 {
            if !client.send(&flip) {
                break;
            }
        }
        assert_eq!(client.end(), CALM);
        let mut client = connect(&door);
        client.send([raw::get(1, "/"), raw::window_update(1, 0x7fff_0000)].concat());
        client.send(raw::settings(&[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]));
        assert_eq!(client.end(), Fate::GoneAway(code::FLOW_CONTROL_ERROR));
    });
}

/// What must not be, why, and with which errors it may be answered.
type Forbidden = Vec<(&'static str, Vec<u8>, &'static [u32])>;

/// RFC 9113 §5.1, §6.
fn forbidden_frames() -> Forbidden {
    use code::{PROTOCOL_ERROR, STREAM_CLOSED};
    let block = raw::block(&raw::fields("GET", "/x", &[]));
    vec![
        ("an even stream", raw::request(2, &block), &[PROTOCOL_ERROR]),
        ("stream 0", raw::request(0, &block), &[PROTOCOL_ERROR]),
        ("data on stream 0", raw::data(0, "x"), &[PROTOCOL_ERROR]),
        ("data on a stream that is none", raw::data(5, "x"), &[PROTOCOL_ERROR, STREAM_CLOSED]),
        ("a reset of a stream that is none", raw::reset(5, code::CANCEL), &[PROTOCOL_ERROR]),
        ("a window for a stream that is none", raw::window_update(5, 1), &[PROTOCOL_ERROR]),
        (
            "a window for a stream of ours",
            [raw::get(3, "/"), raw::window_update(2, 1)].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("a reset of a stream of ours", [raw::get(3, "/"), raw::reset(2, 0)].concat(), &[PROTOCOL_ERROR]),
        (
            "a number that went down",
            [raw::get(5, "/"), raw::get(3, "/")].concat(),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        (
            "a continuation of nothing",
            raw::frame(kind::CONTINUATION, flag::END_HEADERS, 1, &block),
            &[PROTOCOL_ERROR],
        ),
        (
            "a ping inside a field block",
            [raw::frame(kind::HEADERS, flag::NONE, 1, &block[..9]), raw::ping(1)].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "a continuation of another stream",
            [
                raw::frame(kind::HEADERS, flag::NONE, 1, &block[..9]),
                raw::frame(kind::CONTINUATION, flag::END_HEADERS, 3, &block[9..]),
            ]
            .concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "a push",
            raw::frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, [0, 0, 0, 2, 0x82]),
            &[PROTOCOL_ERROR],
        ),
    ]
}

/// RFC 9113 §4.2, §6.1, §6.5, §6.9: what has the wrong size.
fn wrong_sizes() -> Forbidden {
    use code::{FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR};
    vec![
        ("a ping of seven bytes", raw::frame(kind::PING, flag::NONE, 0, [0; 7]), &[FRAME_SIZE_ERROR]),
        ("a ping on a stream", raw::frame(kind::PING, flag::NONE, 1, [0; 8]), &[PROTOCOL_ERROR]),
        ("settings of five bytes", raw::frame(kind::SETTINGS, flag::NONE, 0, [0; 5]), &[FRAME_SIZE_ERROR]),
        (
            "an acknowledgement with settings",
            raw::frame(kind::SETTINGS, flag::ACK, 0, [0; 6]),
            &[FRAME_SIZE_ERROR],
        ),
        ("settings on a stream", raw::frame(kind::SETTINGS, flag::NONE, 1, []), &[PROTOCOL_ERROR]),
        (
            "a window beyond all measure",
            raw::settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]),
            &[FLOW_CONTROL_ERROR],
        ),
        ("frames smaller than may be", raw::settings(&[(setting::MAX_FRAME_SIZE, 1)]), &[PROTOCOL_ERROR]),
        (
            "a reset of three bytes",
            [raw::post(1, "/", &[]), raw::frame(kind::RST_STREAM, flag::NONE, 1, [0; 3])].concat(),
            &[FRAME_SIZE_ERROR],
        ),
        ("a goodbye on a stream", raw::frame(kind::GOAWAY, flag::NONE, 1, [0; 8]), &[PROTOCOL_ERROR]),
        (
            "a window update of three bytes",
            raw::frame(kind::WINDOW_UPDATE, flag::NONE, 0, [0; 3]),
            &[FRAME_SIZE_ERROR],
        ),
        ("a window update of nothing", raw::window_update(0, 0), &[PROTOCOL_ERROR]),
        ("a window that overflows", raw::window_update(0, 0x7fff_ffff), &[FLOW_CONTROL_ERROR]),
        (
            "a frame larger than agreed",
            raw::frame(kind::DATA, flag::NONE, 1, vec![0; 16_385]),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "a frame of 16 MiB",
            raw::framed_as(0xff_ffff, kind::HEADERS, flag::NONE, 1, &[0; 64]),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "more padding than payload",
            [raw::post(1, "/", &[]), raw::frame(kind::DATA, flag::PADDED, 1, [9, 0])].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "more padding than fields",
            raw::frame(kind::HEADERS, flag::PADDED | flag::END_HEADERS, 1, [200, 0x82]),
            &[PROTOCOL_ERROR],
        ),
    ]
}

/// RFC 7541.
fn broken_field_blocks() -> Forbidden {
    use code::COMPRESSION_ERROR;
    vec![
        (
            "an index beyond the table",
            raw::request(1, &[0x82, 0x86, 0x84, 0xff, 0xff, 0x03]),
            &[COMPRESSION_ERROR],
        ),
        ("index 0", raw::request(1, &[0x82, 0x80]), &[COMPRESSION_ERROR]),
        (
            "a number without end",
            raw::request(1, &[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            &[COMPRESSION_ERROR],
        ),
        ("a string cut off", raw::request(1, &[0x00, 0x7f]), &[COMPRESSION_ERROR]),
        ("a table larger than agreed", raw::request(1, &[0x3f, 0xff, 0xff, 0x7f]), &[COMPRESSION_ERROR]),
        ("wrong Huffman padding", raw::request(1, &[0x00, 0x01, b'a', 0x81, 0x00]), &[COMPRESSION_ERROR]),
    ]
}

/// RFC 9113 §5.4.1.
#[test]
fn frames_that_must_not_be_end_the_connection() {
    let cases = [forbidden_frames(), wrong_sizes(), broken_field_blocks()].concat();
    let door = Door::open();
    let reached =
        |door: &Door| door.endpoint.requests().iter().filter(|request| request.target == "/x").count();
    let mut wrong = Vec::new();
    beside(&door, 1, || {
        for (why, frames, errors) in cases {
            for delivery in Delivery::all() {
                let mut client = connect(&door);
                client.deliver(&frames, delivery);
                let ended = client.end();
                let fits = matches!(&ended, Fate::GoneAway(error) if errors.contains(error));
                if !fits {
                    wrong.push(format!("{why}, {delivery:?}: {ended:?}"));
                }
            }
        }
    });
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(reached(&door), 0);
}

/// RFC 9113 §5.1: a stream that has ended takes nothing more.
#[test]
fn frames_behind_the_end_of_a_stream_are_refused() {
    let block = raw::block(&raw::fields("GET", "/", &[]));
    let behind = [
        ("data", raw::last_data(1, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("another head", raw::request(1, &block)),
        ("trailers", raw::request(1, &raw::block(&[("x-trailer", "1")]))),
    ];
    let door = Door::with(Script::answers_after(Duration::from_millis(200), "late"), "");
    beside(&door, 1, || {
        for (what, frames) in behind {
            let mut client = connect(&door);
            client.send([raw::get(1, "/"), frames].concat());
            let fate = client.fate(1);
            let fits = matches!(
                fate,
                Fate::Reset(code::STREAM_CLOSED) | Fate::GoneAway(code::STREAM_CLOSED | code::PROTOCOL_ERROR)
            );
            assert!(fits, "{what}: {fate:?}");
        }
    });
    assert!(door.endpoint.requests().iter().all(|request| request.target != "/smuggled"));
}

/// RFC 9113 §9.1: whoever has begun to say something has to go on.
#[test]
fn beginnings_that_do_not_go_on_are_closed_in_time() {
    let hello = [PREFACE, &raw::settings(&[])].concat();
    let block = raw::block(&raw::fields("GET", "/x", &[]));
    let half = raw::frame(kind::HEADERS, flag::END_STREAM, 1, &block);
    let beginnings: [(&str, Vec<u8>); 6] = [
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface", PREFACE.to_vec()),
        ("a preface and half of its settings", hello[..28].to_vec()),
        ("half a header of a frame", [&hello[..], &half[..5]].concat()),
        ("half a field block in a frame", [&hello[..], &half[..20]].concat()),
        ("a field block that is to be continued", [&hello[..], &half].concat()),
    ];
    let door = Door::with(Script::echoes(), "[timeout]\nhead = \"400ms\"\n");
    beside(&door, 6, || {
        for (what, bytes) in beginnings {
            let mut client = RawHttp2::over(door.proxy.client());
            let started = Instant::now();
            client.send(&bytes);
            assert_ne!(client.wire().rest().1, Gone::Silent, "{what}");
            assert!(started.elapsed() < Duration::from_secs(4), "{what}: after {:?}", started.elapsed());
        }
    });
}

/// A stream that is being served is no reason to wait any longer for the head of another.
#[test]
fn a_trickling_head_is_closed_in_time_however_it_trickles() {
    let block = raw::block(&raw::fields("GET", "/x", &[("x-long", &"y".repeat(5000))]));
    let whole = raw::frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 3, &block);
    let door = Door::with(Script::is_silent(), "[timeout]\nhead = \"400ms\"\n");
    for in_continuations in [false, true] {
        let canary = door.canary();
        let mut client = connect(&door);
        client.send(raw::get(1, "/"));
        let started = Instant::now();
        if in_continuations {
            client.send(raw::frame(kind::HEADERS, flag::END_STREAM, 3, &block[..10]));
        }
        let pieces = if in_continuations { &block[10..] } else { &whole[..] };
        for byte in pieces {
            let piece = if in_continuations {
                raw::frame(kind::CONTINUATION, flag::NONE, 3, [*byte])
            } else {
                vec![*byte]
            };
            if !client.send(piece) || started.elapsed() > Duration::from_secs(5) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(started.elapsed() < Duration::from_secs(4), "after {:?}", started.elapsed());
        canary.watch(1);
        canary.survives();
    }
}

/// A preface that comes one byte at a time is a preface.
#[test]
fn everything_may_come_one_byte_at_a_time() {
    let door = Door::open();
    let hello = [PREFACE, &raw::settings(&RawHttp2::settings(&[]))].concat();
    let all = [hello, raw::post(1, "/", &[]), raw::last_data(1, "hello"), raw::get(3, "/")].concat();
    for delivery in Delivery::all() {
        let mut client = RawHttp2::over(door.proxy.client());
        client.deliver(&all, delivery);
        assert_eq!(client.fate(1), Fate::Answer { status: 200, body: b"hello".to_vec() }, "{delivery:?}");
        assert_eq!(client.fate(3).status(), Some(200), "{delivery:?}");
    }
}

#[test]
fn a_thousand_idle_connections_of_http2_cost_little_and_are_let_go() {
    let door = Door::with(Script::echoes(), "[timeout]\nkeep_alive = \"3s\"\n");
    door.serves();
    let (memory, descriptors) = (door.proxy.resident_bytes(), door.proxy.open_descriptors());
    let mut idle: Vec<_> = (0..1000).map(|_| connect(&door)).collect();
    for client in &mut idle {
        client.send(raw::get(1, "/"));
        assert_eq!(client.fate(1).status(), Some(200));
    }
    let each = door.proxy.resident_bytes().saturating_sub(memory) / 1000;
    assert!(each < 32 * 1024, "{each} bytes for each idle connection");
    for client in &mut idle {
        assert_ne!(client.end(), Fate::Closed(Gone::Silent));
    }
    eventually("all descriptors are given back", || door.proxy.open_descriptors() <= descriptors + 2);
}

/// It has no request, and nothing is lost with it.
#[test]
fn a_client_that_sleeps_does_not_hold_a_drain_up() {
    let mut door = Door::open();
    let mut client = connect(&door);
    client.send(raw::get(1, "/"));
    assert_eq!(client.fate(1).status(), Some(200));
    std::thread::sleep(Duration::from_millis(1500)); // longer than tasks wait for another one
    let started = Instant::now();
    door.proxy.drain();
    assert!(door.proxy.wait().success());
    assert!(started.elapsed() < Duration::from_secs(10), "after {:?}", started.elapsed());
}

/// RFC 9113 §6.8: what has begun is finished.
#[test]
fn a_client_that_says_goodbye_gets_its_answers() {
    let door = Door::with(Script::answers_after(Duration::from_millis(200), "late"), "");
    beside(&door, 1, || {
        let mut client = connect(&door);
        client.send([raw::get(1, "/"), raw::get(3, "/"), raw::go_away(0, code::NO_ERROR)].concat());
        for stream in [1, 3] {
            assert_eq!(client.fate(stream), Fate::Answer { status: 200, body: b"late".to_vec() });
        }
        assert_ne!(client.end(), Fate::Closed(Gone::Silent));
    });
}

/// A client that ends its side is gone, as far as HTTP/2 is concerned: nothing of it stays.
#[test]
fn a_client_that_half_closes_or_vanishes_frees_the_endpoint() {
    let door = Door::with(Script::is_silent(), "");
    let canary = door.canary();
    for rude in [false, true] {
        let before = door.endpoint.request_count();
        let mut client = connect(&door);
        client.send([raw::get(1, "/"), raw::post(3, "/", &[])].concat());
        door.endpoint.wait_for_requests(before + 2);
        if rude {
            client.reset();
        } else {
            client.wire().finish();
            assert_ne!(client.end(), Fate::Closed(Gone::Silent));
        }
        door.endpoint.wait_until_left();
    }
    canary.survives();
}

/// What a refused upload sent before it knew is not taken from the window of the others.
#[test]
fn uploads_that_were_refused_give_their_window_back() {
    let door = Door::with(Script::echoes(), "[limit]\nbody_bytes = \"1KiB\"\n");
    let mut client = connect(&door);
    for number in 0..100 {
        let stream = 2 * number + 1;
        client.send(raw::post(stream, "/", &[("content-length", "100000")]));
        client.send(raw::data(stream, vec![b'x'; 16_000]).repeat(2));
        assert_eq!(client.fate(stream).status(), Some(413), "request {number}");
    }
    client.send([raw::post(201, "/", &[]), raw::last_data(201, "hello")].concat());
    assert_eq!(client.fate(201), Fate::Answer { status: 200, body: b"hello".to_vec() });
}

/// What is wrong with a connection, or with a stream before it is a request, is no request: it has a line of its own.
#[test]
fn whatever_ends_a_connection_or_a_stream_unasked_is_logged_and_counted() {
    let door = Door::with(Script::echoes(), &format!("{SHORT}[log]\naccess = \"stdout\"\n"));
    let head = |fields: &[(&str, &str)]| {
        let fields: Vec<_> = raw::fields("GET", "/x", fields);
        raw::request(1, &raw::block(&fields))
    };
    let cases: [(&str, Vec<u8>); 8] = [
        ("http2_protocol_error", raw::frame(kind::DATA, flag::NONE, 0, b"on no stream")),
        ("http2_frame_size_error", raw::frame(kind::PING, flag::NONE, 0, [0; 3])),
        ("http2_flow_control_error", raw::window_update(0, u32::MAX >> 1)),
        ("http2_protocol_error", raw::request(1, &[0xff, 0xff, 0xff, 0xff, 0xff])),
        ("http2_flood", raw::window_update(0, 1).repeat(2000)),
        ("http2_stream_malformed", head(&[("upper", "1"), ("connection", "close")])),
        ("http2_stream_malformed", head(&[("te", "gzip")])),
        ("head_timeout", raw::frame(kind::HEADERS, flag::NONE, 1, [])),
    ];
    let mut seen = std::collections::BTreeMap::new();
    for (word, frames) in cases {
        let mut client = connect(&door);
        client.send(&frames);
        *seen.entry(word).or_insert(0.0) += 1.0;
        let labels = [("cause", word), ("blame", "downstream"), ("stage", "head"), ("route", "none")];
        door.proxy.wait_for_metric("tidegate_failures_total", &labels, seen[word]);
        let line = door.proxy.output().wait_for_stdout(&[&format!("\"cause\":\"{word}\"")]);
        for part in
            ["\"client\":\"127.0.0.1\"", "\"method\":null", "\"protocol\":\"HTTP/2\"", "\"status\":null"]
        {
            assert!(line.contains(part), "{word}: {line}");
        }
    }
    assert!(door.endpoint.requests().iter().all(|request| request.target != "/x"));
}

/// RFC 9113 §6.9.2: to begin with, and as long as no endpoint takes more than that.
#[test]
fn a_client_may_send_more_at_a_time_once_an_endpoint_takes_it() {
    let door = Door::open();
    let mut client = RawHttp2::connect_with(door.proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    client.send(raw::window_update(0, 1 << 20));
    let next = |client: &mut RawHttp2, kind: u8| loop {
        let frame = client.frame().unwrap();
        if frame.kind == kind && frame.flags & flag::ACK == 0 && frame.stream == 0 {
            return frame.payload;
        }
    };
    let window =
        |bytes: u32| [&setting::INITIAL_WINDOW_SIZE.to_be_bytes()[..], &bytes.to_be_bytes()].concat();
    let first = next(&mut client, kind::SETTINGS);
    assert!(first.chunks(6).any(|value| value == window(65_535)), "{first:?}");
    client.send([raw::frame(kind::SETTINGS, flag::ACK, 0, []), raw::post(1, "/", &[])].concat());
    for _ in 0..2 {
        client.send(raw::data(1, vec![b'x'; 16_384]).repeat(2));
        next(&mut client, kind::WINDOW_UPDATE); // the endpoint takes it
    }
    client.send(raw::data(1, vec![b'x'; 16_384]).repeat(2));
    assert_eq!(next(&mut client, kind::SETTINGS), window(262_144));
    client.send([raw::frame(kind::SETTINGS, flag::ACK, 0, []), raw::last_data(1, "end")].concat());
    let echoed = [vec![b'x'; 6 * 16_384], b"end".to_vec()].concat();
    assert_eq!(client.fate(1), Fate::Answer { status: 200, body: echoed });
}
