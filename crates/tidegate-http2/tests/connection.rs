//! Laws of a client's connection: what is understood does not depend on how bytes arrive, whatever comes is bounded, and nobody
//! who could write sleeps.

#![allow(clippy::unwrap_used, reason = "in tests")]

mod by_hand;

use by_hand::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Wake, Waker};
use tidegate_http2::{Closed, Code, Connection, Progress, Slot, UNSENT_BYTES_MAX};

#[test]
fn a_request_and_its_answer_go_through() {
    let mut connection = begun();
    leave(&mut connection);
    let asked = [
        request(1, "POST", &[("content-length", "5")], 0),
        frame(DATA, 8, 1, b"\x03hel\0\0\0"),
        frame(DATA, END_STREAM, 1, b"lo"),
    ];
    let (begun, fault) = take(&mut connection, &asked.concat());
    let (slot, text) = begun[0].clone();
    assert_eq!((fault, text.as_str()), (None, "POST / HTTP/1.1\r\nHost: test\r\ncontent-length: 5\r\n"));
    let mut room = [0; 10];
    assert_eq!(connection.try_read(slot, &mut room), Poll::Ready(Ok(5)));
    assert_eq!(&room[..5], b"hello");
    assert!(connection.try_read(slot, &mut room).is_pending(), "its length was known");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nyes";
    let head = sends(&mut connection, slot, answer).unwrap();
    assert_eq!(sends(&mut connection, slot, &answer[head..]), Some(2), "no more than it said");
    connection.release(slot);
    let left = leave(&mut connection);
    let left: Vec<_> = left.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
    assert_eq!(left, [(HEADERS, END_HEADERS, 1), (DATA, END_STREAM, 1)]);
    assert_eq!(connection.stream_count(), 0);
}

/// RFC 8441 §5: a reset is what the RST of TCP is, behind which what came before is still read.
#[test]
fn what_has_come_out_of_a_tunnel_is_read_though_it_broke_off_and_a_request_that_is_taken_back_is_not() {
    let tunnel = head(
        1,
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "test"),
        ],
        END_HEADERS,
    );
    for (asked, expected) in [(tunnel, Ok(4)), (request(1, "POST", &[], 0), Err(Closed))] {
        let mut connection = begun();
        let slot = take(&mut connection, &asked).0[0].0;
        sends(
            &mut connection,
            slot,
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        take(&mut connection, &[frame(DATA, 0, 1, b"last"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat());
        assert_eq!(connection.try_read(slot, &mut [0; 10]), Poll::Ready(expected));
        assert_eq!(connection.try_read(slot, &mut [0; 10]), Poll::Ready(Err(Closed)));
    }
}

#[test]
fn an_answer_of_no_bytes_ends_when_it_is_said_to_and_may_have_trailers() {
    let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let over = END_HEADERS | END_STREAM;
    for (trailers, expected) in
        [("", vec![(HEADERS, over)]), ("a: b\r\n", vec![(HEADERS, END_HEADERS), (HEADERS, over)])]
    {
        let mut connection = begun();
        leave(&mut connection);
        let (begun, _) = take(&mut connection, &get(1));
        let slot = begun[0].0;
        sends(&mut connection, slot, head);
        connection.end(slot, trailers.as_bytes()).unwrap();
        connection.release(slot);
        let left: Vec<_> = leave(&mut connection).iter().map(|(kind, flags, ..)| (*kind, *flags)).collect();
        assert_eq!(left, expected);
    }
}

#[test]
fn what_is_over_before_all_was_said_is_reset_with_its_reason() {
    type Done = fn(&mut Connection, Slot);
    let head: Done = |connection, slot| {
        sends(connection, slot, b"HTTP/1.1 200 OK\r\n\r\n");
    };
    let all: Done = |connection, slot| {
        sends(connection, slot, b"HTTP/1.1 204 No Content\r\n\r\n");
    };
    let all_but_trailers: Done = |connection, slot| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let head = sends(connection, slot, answer).unwrap();
        sends(connection, slot, &answer[head..]);
        connection.abort(slot);
    };
    let broken_with_words: Done = |connection, slot| {
        sends(connection, slot, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(connection.end_early(slot, b"grpc-status: 14\r\n"));
        connection.abort(slot);
    };
    let cases: [(&str, Done, Option<Code>); 7] = [
        ("trailers may be missing", all_but_trailers, Some(Code::INTERNAL_ERROR)),
        ("they say that something is", broken_with_words, None),
        ("nothing was said", |_, _| {}, Some(Code::CANCEL)),
        ("a head was", head, Some(Code::CANCEL)),
        ("all was", all, None),
        ("it is aborted", Connection::abort, Some(Code::INTERNAL_ERROR)),
        ("it is refused", Connection::refuse, Some(Code::REFUSED_STREAM)),
    ];
    for (why, done, code) in cases {
        let mut connection = begun();
        let slot = take(&mut connection, &request(1, "POST", &[], 0)).0[0].0;
        done(&mut connection, slot);
        connection.release(slot);
        connection.hear_on(true);
        let reset = leave(&mut connection).into_iter().find(|frame| frame.0 == RST_STREAM);
        assert_eq!(reset.map(|frame| frame.3), code.map(|code| code.0.to_be_bytes().to_vec()), "{why}");
        // What is still on its way is no fault, and gives the window back.
        for _ in 0..1000 {
            let (_, fault) = take(&mut connection, &frame(DATA, 0, 1, &[0; 1000]));
            assert_eq!(fault, None, "{why}");
        }
        assert!(leave(&mut connection).iter().all(|frame| frame.0 == WINDOW_UPDATE), "{why}");
    }
}

/// A connection with requests that are answered before they are complete.
fn answered_early(requests: u32) -> Connection {
    let mut connection = begun();
    for number in 0..requests {
        let slot = take(&mut connection, &request(2 * number + 1, "POST", &[], 0)).0[0].0;
        sends(&mut connection, slot, b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
        connection.release(slot);
    }
    connection
}

/// Streams and codes of resets that are to leave.
fn resets(connection: &mut Connection) -> Vec<(u32, Code)> {
    let left = leave(connection).into_iter().filter(|frame| frame.0 == RST_STREAM);
    left.map(|(_, _, stream, code)| (stream, Code(u32::from_be_bytes(code.try_into().unwrap())))).collect()
}

/// RFC 9113 §8.1: a reset is allowed, but clients lose answers by it.
#[test]
fn whoever_is_answered_early_may_send_all_and_hears_no_reset() {
    let trailers = head(1, &[("a", "b")], END_STREAM);
    let last = frame(DATA, END_STREAM, 1, b"x");
    for end in [trailers, last, frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])] {
        let mut connection = answered_early(1);
        connection.hear_on(true);
        for _ in 0..1000 {
            assert!(connection.hears_out());
            assert_eq!(take(&mut connection, &frame(DATA, 0, 1, &[0; 1000])).1, None);
        }
        assert_eq!(take(&mut connection, &end).1, None);
        assert!(!connection.hears_out());
        assert_eq!((resets(&mut connection), connection.stream_count()), (vec![], 0));
        let knows_our_settings = frame(SETTINGS, 1, 0, b"");
        take(&mut connection, &[knows_our_settings, frame(DATA, 0, 1, b"more")].concat());
        assert_eq!(resets(&mut connection), [(1, Code::STREAM_CLOSED)]);
    }
}

#[test]
fn whoever_is_not_to_be_heard_for_long_has_the_window_that_there_was() {
    let mut connection = answered_early(1);
    connection.hear_on(false);
    let window = frame(DATA, 0, 1, &[0; 10_000]).repeat(6);
    assert_eq!(take(&mut connection, &window).1, None);
    let left = leave(&mut connection);
    assert!(left.iter().all(|frame| frame.0 != WINDOW_UPDATE || frame.2 == 0), "{left:?}");
    connection.hear_on(true);
    assert!(leave(&mut connection).iter().any(|frame| (frame.0, frame.2) == (WINDOW_UPDATE, 1)));
    connection.hear_on(false);
    assert_eq!(take(&mut connection, &window).1, None);
    take(&mut connection, &window);
    assert_eq!(resets(&mut connection), [(1, Code::FLOW_CONTROL_ERROR)]);
    assert!(!connection.hears_out());
}

#[test]
fn whoever_falls_silent_or_does_not_stop_is_told_that_nothing_more_is_wanted() {
    let mut connection = answered_early(2);
    connection.hear_on(true);
    connection.end_round(5);
    assert_eq!(resets(&mut connection), [], "it has the rest of the round in which it was answered, and one");
    for round in 2..5 {
        take(&mut connection, &frame(DATA, 0, 1, b"x"));
        connection.end_round(5);
        let silent = if round == 2 { vec![(3, Code::NO_ERROR)] } else { vec![] };
        assert_eq!(resets(&mut connection), silent, "round {round}");
    }
    take(&mut connection, &frame(DATA, 0, 1, b"x"));
    connection.end_round(5);
    assert_eq!(resets(&mut connection), [(1, Code::NO_ERROR)]);
    let late = [frame(DATA, 0, 1, b"x"), frame(DATA, END_STREAM, 3, b"x")].concat();
    assert_eq!(take(&mut connection, &late).1, None);
    assert_eq!(resets(&mut connection), []);
}

#[test]
fn no_more_are_heard_out_than_may_be_open() {
    let mut connection = answered_early(LIMITS.streams_max + 2);
    assert_eq!(resets(&mut connection), [(1, Code::NO_ERROR), (3, Code::NO_ERROR)]);
}

#[test]
fn a_goodbye_waits_for_those_who_are_heard_out() {
    let mut connection = answered_early(1);
    connection.say_goodbye();
    let ping = leave(&mut connection).into_iter().find(|frame| frame.0 == PING).unwrap().3;
    take(&mut connection, &frame(PING, 1, 0, &ping));
    assert!(!connection.is_over());
    connection.end_round(1);
    assert!(connection.is_over());
}

#[test]
fn a_goodbye_is_final_once_it_was_heard() {
    let mut connection = begun();
    take(&mut connection, &get(1));
    connection.say_goodbye();
    let said = leave(&mut connection);
    let ping = said.iter().find(|frame| frame.0 == PING).unwrap().3.clone();
    assert_eq!(take(&mut connection, &get(3)).0.len(), 1, "it was on its way");
    take(&mut connection, &frame(PING, 1, 0, &ping));
    let last = leave(&mut connection).into_iter().find(|frame| frame.0 == GOAWAY).unwrap().3;
    assert_eq!(last, [0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(take(&mut connection, &get(5)).0.len(), 0);
    let refused = leave(&mut connection).pop().unwrap();
    assert_eq!((refused.0, refused.2, refused.3), (RST_STREAM, 5, vec![0, 0, 0, 7]));
    assert!(!connection.is_over());
}

#[test]
fn an_error_behind_a_final_goodbye_takes_no_stream_back_in() {
    let mut connection = begun();
    take(&mut connection, &get(1));
    connection.say_goodbye();
    let ping = leave(&mut connection).into_iter().find(|frame| frame.0 == PING).unwrap().3;
    take(&mut connection, &[frame(PING, 1, 0, &ping), get(3)].concat());
    connection.break_off(Code::PROTOCOL_ERROR);
    let said = leave(&mut connection).into_iter().filter(|frame| frame.0 == GOAWAY);
    let last: Vec<u8> = said.map(|frame| frame.3[3]).collect();
    assert_eq!(last, [1, 1], "RFC 9113 §6.8: it must not go up");
}

/// Whoever moves the bytes has stopped reading because much waits for the client: it has to hear when that has left, even if
/// that was by its own doing.
#[test]
fn reading_goes_on_when_what_waited_has_left() {
    let mut connection = begun();
    let awake = Arc::new(Awake::default());
    let waker = Waker::from(Arc::clone(&awake));
    connection.drive(&Context::from_waker(&waker));
    while connection.may_read() {
        connection.ask(); // nothing else makes so much wait so simply
    }
    assert!(!awake.0.load(Relaxed));
    connection.handle_sent(connection.unsent().len());
    assert!(awake.0.load(Relaxed) && connection.may_read());
}

#[test]
fn good_requests_make_up_for_bad_ones() {
    let mut connection = begun();
    let mut stream = 1;
    let mut next = |connection: &mut Connection, more: &[(&str, &str)]| {
        let (begun, fault) = take(connection, &request(stream, "GET", more, END_STREAM));
        stream += 2;
        for (slot, _) in begun {
            connection.release(slot);
        }
        leave(connection);
        fault
    };
    for _ in 0..1000 {
        assert_eq!(next(&mut connection, &[]), None);
    }
    let faults = (0..1000).find(|_| next(&mut connection, &[("te", "gzip")]).is_some());
    assert_eq!(faults, Some(200 + 22), "a hundred, and one in ten");
}

/// Anything that clients may send, and some that they may not.
fn frames_of_a_client() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let stream = (0u32..8).prop_map(|number| number * 2 + 1);
    let one = prop_oneof![
        4 => stream.clone().prop_map(get),
        4 => stream.clone().prop_map(|stream| request(stream, "POST", &[], 0)),
        2 => stream.clone().prop_map(|stream| request(stream, "POST", &[("content-length", "700")], 0)),
        1 => stream.clone().prop_map(|stream| head(stream, &[("x", "y")], END_STREAM)),
        1 => stream.clone().prop_map(|stream| request(stream, "GET", &[("Upper", "")], END_STREAM)),
        6 => (stream.clone(), 0usize..3000, any::<bool>())
            .prop_map(|(stream, length, ends)| frame(DATA, u8::from(ends), stream, &vec![7; length])),
        1 => (stream.clone(), any::<u8>()).prop_map(|(stream, pad)| frame(DATA, 8, stream, &[pad, 1, 2, 3])),
        2 => (prop_oneof![Just(0), stream.clone()], any::<u16>()).prop_map(|(stream, more)| window(stream, more.into())),
        1 => stream.prop_map(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])),
        1 => any::<u16>().prop_map(|bytes| frame(SETTINGS, 0, 0, &[[0, 4, 0, 0].to_vec(), bytes.to_be_bytes().to_vec()].concat())),
        1 => Just(frame(PING, 0, 0, &[9; 8])),
        1 => (any::<u8>(), any::<u8>(), 0u32..4, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
    ];
    prop::collection::vec(one, 1..40)
}

/// A stream that somebody serves with a body, in a test.
struct Task {
    slot: Slot,
    left: usize,
    window: i64,
    has_head: bool,
    awake: Arc<Awake>,
}

#[derive(Default)]
struct Awake(AtomicBool);

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Somebody who serves streams that are woken, and nothing else.
struct World {
    connection: Connection,
    tasks: BTreeMap<u32, Task>,
    window: i64,
}

impl World {
    fn begin(&mut self, stream: u32, length: usize) {
        for (slot, _) in take(&mut self.connection, &get(stream)).0 {
            let awake = Arc::new(Awake(AtomicBool::new(true)));
            let task = Task { slot, left: length, window: 65_535, has_head: false, awake };
            self.tasks.insert(stream, task);
        }
    }

    fn run(&mut self) {
        while let Some((&stream, _)) = self.tasks.iter().find(|(_, task)| task.awake.0.load(Relaxed)) {
            let task = self.tasks.get_mut(&stream).unwrap();
            task.awake.0.store(false, Relaxed);
            let waker = Waker::from(Arc::clone(&task.awake));
            let is_done = loop {
                let length = task.left;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
                let bytes = if task.has_head { vec![b'x'; length] } else { head };
                match self.connection.poll_send(task.slot, &Context::from_waker(&waker), &bytes) {
                    Poll::Pending => break false,
                    Poll::Ready(Err(_)) => break true,
                    Poll::Ready(Ok(_)) if !task.has_head => task.has_head = true,
                    Poll::Ready(Ok(sent)) => {
                        task.left -= sent;
                        task.window -= i64::try_from(sent).unwrap();
                        self.window -= i64::try_from(sent).unwrap();
                    }
                }
                if task.has_head && task.left == 0 {
                    break true;
                }
            };
            if is_done {
                self.connection.release(task.slot);
                self.tasks.remove(&stream);
            }
        }
    }

    fn nobody_sleeps_in_vain(&self) {
        for (stream, task) in &self.tasks {
            let is_stuck =
                self.connection.is_full() || (task.has_head && (self.window <= 0 || task.window <= 0));
            assert!(is_stuck, "stream {stream} could write");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_understood_does_not_depend_on_how_it_arrives(
        frames in frames_of_a_client(),
        cuts in prop::collection::vec(1usize..50, 1..20),
    ) {
        let bytes = frames.concat();
        let mut whole = begun();
        let expected = take(&mut whole, &bytes);
        let mut pieced = begun();
        let (mut held, mut found, mut fault) = (Vec::new(), Vec::new(), None);
        let (mut rest, mut text) = (&bytes[..], Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        'all: while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            held.extend_from_slice(piece);
            rest = after;
            loop {
                match pieced.receive(&held, &mut text) {
                    Progress::NeedMore => break,
                    Progress::Taken(length) => drop(held.drain(..length)),
                    Progress::Begun(length, new) => {
                        found.push((new.slot, String::from_utf8(text.clone()).unwrap()));
                        held.drain(..length);
                    }
                    Progress::Exhausted => unreachable!("not so many frames"),
                    Progress::Fault(found) => {
                        fault = Some(found);
                        break 'all;
                    }
                }
            }
        }
        prop_assert_eq!((found, fault), expected);
        prop_assert_eq!(pieced.unsent(), whole.unsent());
    }

    /// Nothing that a client sends makes more than a little wait for it, even when it takes nothing.
    #[test]
    fn what_waits_for_a_client_is_bounded(frames in frames_of_a_client(), times in 1usize..200) {
        let mut connection = begun();
        for frame in frames.iter().cycle().take(frames.len() * times) {
            if !connection.may_read() {
                break;
            }
            let (begun, fault) = take(&mut connection, frame);
            if fault.is_some() {
                break;
            }
            for (slot, _) in begun {
                sends(&mut connection, slot, b"HTTP/1.1 200 OK\r\n\r\n");
                while sends(&mut connection, slot, &[b'x'; 5000]).is_some() {}
                connection.release(slot);
            }
        }
        prop_assert!(connection.unsent().len() < 2 * UNSENT_BYTES_MAX);
        prop_assert!(connection.stream_count() == 0);
    }

    #[test]
    fn nobody_who_could_write_sleeps(
        lengths in prop::collection::vec(0usize..60_000, 1..15),
        steps in prop::collection::vec((0u8..5, 0u32..15, 1u32..40_000), 1..200),
    ) {
        let mut world = World { connection: begun(), tasks: BTreeMap::new(), window: 65_535 };
        for (number, length) in lengths.iter().enumerate() {
            world.begin(number as u32 * 2 + 1, *length);
        }
        for (step, number, amount) in steps {
            let stream = number * 2 + 1;
            match step {
                0 => {
                    let length = world.connection.unsent().len().min(amount as usize);
                    world.connection.handle_sent(length);
                }
                1 => {
                    take(&mut world.connection, &window(0, amount));
                    world.window += i64::from(amount);
                }
                2 => {
                    if let Some(task) = world.tasks.get_mut(&stream) {
                        task.window += i64::from(amount);
                        take(&mut world.connection, &window(stream, amount));
                    }
                }
                3 if amount < 4_000 => {
                    take(&mut world.connection, &frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
                }
                _ => {}
            }
            world.run();
            world.nobody_sleeps_in_vain();
        }
        for _ in 0..100 {
            take(&mut world.connection, &window(0, 60_000));
            for number in 0..15 {
                take(&mut world.connection, &window(number * 2 + 1, 60_000));
            }
            world.run();
            world.connection.handle_sent(world.connection.unsent().len());
            world.run();
        }
        prop_assert!(world.tasks.is_empty(), "all that was asked for is answered");
    }
}
