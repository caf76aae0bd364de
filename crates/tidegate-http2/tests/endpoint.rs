//! Laws of a connection to an endpoint: what comes of requests, whatever the endpoint says; and that what one of our sides says is what
//! the other hears.

#![allow(clippy::unwrap_used, reason = "in tests")]

mod by_hand;

use by_hand::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::task::Poll;
use tidegate_http2::{Asks, Closed, Code, Connection, Ending, Fault, PREFACE, Progress, Slot};

const STREAMS_MAX: u32 = 100;

const ASKS: Asks = Asks {
    scheme: "http",
    streams_max: 10,
    window_bytes: 100_000,
    head_bytes_max: 4096,
    accept_key: |key| format!("<{}>", key.escape_ascii()),
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// To an endpoint that has said what it sets.
fn settled() -> Connection {
    let mut connection = Connection::to_endpoint(ASKS, STREAMS_MAX);
    assert!(connection.unsent().starts_with(PREFACE));
    connection.handle_sent(connection.unsent().len());
    assert!(!connection.is_settled());
    assert_eq!(take(&mut connection, &frame(SETTINGS, 0, 0, b"")).1, None);
    assert!(connection.is_settled());
    leave(&mut connection);
    connection
}

/// The same, and it was asked this, on the first stream.
fn asked(head: &[u8]) -> (Connection, Slot) {
    let mut connection = settled();
    let slot = connection.open();
    assert_eq!(sends(&mut connection, slot, head), Some(head.len()));
    leave(&mut connection);
    (connection, slot)
}

/// All there is to read, until somebody would have to wait (`None`), the end, or how it broke off.
fn hears(connection: &mut Connection, slot: Slot) -> (String, Option<Result<(), Ending>>) {
    let (mut all, mut room) = (Vec::new(), [0; 37]);
    let end = loop {
        match connection.try_read(slot, &mut room) {
            Poll::Ready(Ok(0)) => break Some(Ok(())),
            Poll::Ready(Ok(length)) => all.extend_from_slice(&room[..length]),
            Poll::Ready(Err(Closed)) => break Some(Err(connection.ending(slot))),
            Poll::Pending => break None,
        }
    };
    (String::from_utf8(all).unwrap(), end)
}

fn answer(flags: u8, status: &str, more: &[(&str, &str)]) -> Vec<u8> {
    head(1, &[&[(":status", status)], more].concat(), flags)
}

fn reset(stream: u32, code: Code) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

fn goodbye(last: u32, code: Code) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.0.to_be_bytes()].concat())
}

#[test]
fn a_request_goes_out_and_its_answer_comes_in() {
    let mut connection = settled();
    let slot = connection.open();
    assert_eq!(sends(&mut connection, slot, POST), Some(POST.len()));
    assert_eq!(sends(&mut connection, slot, b"hello"), Some(5));
    connection.end(slot, b"x-sum: 5\r\n").unwrap();
    let left: Vec<_> =
        leave(&mut connection).iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
    let over = END_STREAM | END_HEADERS;
    assert_eq!(left, [(HEADERS, END_HEADERS, 1), (DATA, 0, 1), (HEADERS, over, 1)]);
    let said = [
        answer(0, "103", &[("link", "x")]),
        answer(0, "200", &[("a", "1")]),
        frame(DATA, 8, 1, b"\x02yes\0\0"),
        head(1, &[("x-end", "1")], END_STREAM),
    ];
    let (begun, fault) = take(&mut connection, &said.concat());
    assert_eq!((begun, fault), (vec![], None));
    let (heard, end) = hears(&mut connection, slot);
    assert_eq!(heard, "HTTP/1.1 103 \r\nlink: x\r\n\r\nHTTP/1.1 200 \r\na: 1\r\n\r\nyes");
    assert_eq!(end, Some(Ok(())));
    assert_eq!(connection.take_trailers(slot), b"x-end: 1\r\n");
    connection.release(slot);
    assert!(leave(&mut connection).is_empty(), "nothing is left to be said");
    assert_eq!(connection.stream_count(), 0);
}

#[test]
fn what_is_given_up_is_taken_back() {
    let cancel = (RST_STREAM, 0, 1, Code::CANCEL.0.to_be_bytes().to_vec());
    let (mut connection, slot) = asked(GET);
    connection.release(slot);
    assert_eq!(leave(&mut connection), std::slice::from_ref(&cancel), "no answer");
    assert_eq!(take(&mut connection, &answer(0, "200", &[])).1, None, "one that was on its way");
    let (mut connection, slot) = asked(GET);
    take(&mut connection, &answer(0, "200", &[]));
    connection.release(slot);
    assert_eq!(leave(&mut connection), std::slice::from_ref(&cancel), "half an answer");
    let (mut connection, slot) = asked(POST);
    take(&mut connection, &answer(END_STREAM, "200", &[]));
    connection.release(slot);
    assert_eq!(leave(&mut connection), [cancel], "half a request");
    let (mut connection, slot) = asked(GET);
    take(&mut connection, &[answer(0, "200", &[("content-length", "2")]), frame(DATA, 0, 1, b"ok")].concat());
    connection.release(slot);
    assert!(leave(&mut connection).is_empty(), "all of it has come, but for its end");
    assert_eq!(take(&mut connection, &frame(DATA, END_STREAM, 1, b"")).1, None);
    let mut connection = settled();
    let slot = connection.open();
    connection.release(slot);
    assert!(leave(&mut connection).is_empty(), "nothing was said");
}

#[test]
fn what_is_malformed_ends_its_stream_and_no_other() {
    let cases = [
        answer(0, "200", &[("a b", "1")]),
        answer(0, "200", &[("a", "1\r\nb: 2")]),
        answer(0, "200", &[("connection", "close")]),
        answer(0, "101", &[]),
        answer(END_STREAM, "100", &[]),
        head(1, &[("a", "1")], 0),
        frame(DATA, 0, 1, b"before its head"),
        [answer(0, "100", &[]), frame(DATA, 0, 1, b"before its head")].concat(),
        [answer(0, "200", &[("content-length", "2")]), frame(DATA, END_STREAM, 1, b"1")].concat(),
        [answer(0, "200", &[("content-length", "2")]), frame(DATA, 0, 1, b"123")].concat(),
        [answer(0, "204", &[]), frame(DATA, 0, 1, b"1")].concat(),
        [answer(0, "200", &[]), head(1, &[("a", "1")], 0)].concat(),
        [answer(0, "200", &[]), head(1, &[(":status", "200")], END_STREAM)].concat(),
        frame(WINDOW_UPDATE, 0, 1, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes()),
    ];
    for said in cases {
        let (mut connection, slot) = asked(GET);
        let other = connection.open();
        sends(&mut connection, other, GET);
        leave(&mut connection);
        assert_eq!(take(&mut connection, &said).1, None, "{said:?}");
        assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::Malformed)), "{said:?}");
        assert_eq!(leave(&mut connection)[0].0, RST_STREAM, "{said:?}");
        take(&mut connection, &head(3, &[(":status", "200"), ("content-length", "0")], END_STREAM));
        assert_eq!(hears(&mut connection, other).1, Some(Ok(())), "{said:?}");
    }
}

#[test]
fn a_head_that_is_too_long_ends_its_stream_and_no_other() {
    let long = "x".repeat(1000);
    let fields: Vec<(String, &str)> = (0..70).map(|number| (format!("x-{number}"), &*long)).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let whole = answer(0, "200", &fields);
    let (first, rest) = whole[9..].split_at(16_000);
    let in_pieces = [frame(HEADERS, 0, 1, first)]
        .into_iter()
        .chain(rest.chunks(16_000).map(|piece| frame(9, 0, 1, piece)))
        .chain([frame(9, END_HEADERS, 1, b"")]);
    for said in [answer(0, "103", &[("link", &long)]).repeat(5), in_pieces.collect::<Vec<_>>().concat()] {
        let (mut connection, slot) = asked(GET);
        let other = connection.open();
        sends(&mut connection, other, GET);
        assert_eq!(take(&mut connection, &said).1, None);
        assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::TooLarge)));
        take(&mut connection, &head(3, &[(":status", "200"), ("content-length", "0")], END_STREAM));
        assert_eq!(hears(&mut connection, other).1, Some(Ok(())));
    }
}

/// Others depend on the connection, who have done nothing.
#[test]
fn what_one_answer_does_wrong_again_and_again_ends_no_connection() {
    let bad = |id| head(id, &[(":status", "200"), ("connection", "close")], 0);
    let cases: [fn(u32) -> Vec<u8>; 3] =
        [bad, |id| reset(id, Code::REFUSED_STREAM), |id| reset(id, Code::CANCEL)];
    for said in cases {
        let (mut connection, other) = asked(POST);
        for number in 1..3000 {
            let slot = connection.open();
            sends(&mut connection, slot, GET);
            assert_eq!(take(&mut connection, &said(2 * number + 1)).1, None, "{number}");
            connection.release(slot);
            leave(&mut connection);
        }
        take(&mut connection, &answer(END_STREAM, "200", &[]));
        assert_eq!(hears(&mut connection, other).1, Some(Ok(())));
    }
}

#[test]
fn answers_to_what_was_given_up_may_come_however_late() {
    let (mut connection, other) = asked(POST);
    for _ in 1..1000 {
        let slot = connection.open();
        sends(&mut connection, slot, GET);
        connection.release(slot);
    }
    for number in 1..1000 {
        let late = [
            head(2 * number + 1, &[(":status", "200")], 0),
            frame(DATA, 0, 2 * number + 1, b"late"),
            head(2 * number + 1, &[("a", "b")], END_STREAM),
        ];
        assert_eq!(take(&mut connection, &late.concat()).1, None, "{number}");
    }
    take(&mut connection, &answer(END_STREAM, "200", &[]));
    assert_eq!(hears(&mut connection, other).1, Some(Ok(())));
}

/// Two windows for each small piece that it reads.
#[test]
fn an_endpoint_may_open_windows_in_small_pieces() {
    let (mut connection, slot) = asked(POST);
    for _ in 0..10_000 {
        assert_eq!(sends(&mut connection, slot, &[7; 512]), Some(512));
        leave(&mut connection);
        let windows = [window(0, 512), window(1, 512)].concat();
        assert_eq!(take(&mut connection, &windows).1, None);
    }
}

/// It has not left, so nobody can have seen it.
#[test]
fn what_is_on_its_way_to_somebody_who_is_gone_is_unseen() {
    let (mut connection, seen) = asked(GET);
    let slot = connection.open();
    sends(&mut connection, slot, POST);
    connection.lose();
    assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::Unseen)));
    assert_eq!(hears(&mut connection, seen).1, Some(Err(Ending::Lost)));
    let mut connection = settled();
    let slot = connection.open();
    sends(&mut connection, slot, POST);
    connection.handle_sent(1);
    connection.lose();
    assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::Lost)), "it has begun to leave");
}

#[test]
fn what_no_connection_may_say_ends_it() {
    let cases = [
        (frame(5, END_HEADERS, 1, &[0, 0, 0, 2]), Fault::Protocol),
        (head(2, &[(":status", "200")], 0), Fault::Protocol),
        (head(3, &[(":status", "200")], 0), Fault::Protocol),
        (frame(DATA, 0, 0, b""), Fault::Protocol),
        (frame(DATA, 0, 3, b""), Fault::Protocol),
        (reset(3, Code::CANCEL), Fault::Protocol),
        (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), Fault::Compression),
        (frame(PING, 0, 0, b""), Fault::FrameSize),
        (window(0, 0x7fff_ffff), Fault::FlowControl),
        (frame(PING, 0, 0, &[0; 8]).repeat(30_000), Fault::Flood),
    ];
    for (said, fault) in cases {
        let (mut connection, slot) = asked(GET);
        assert_eq!(take(&mut connection, &said).1, Some(fault), "{said:?}");
        connection.break_off(fault.code());
        assert!(connection.is_over() && !connection.takes_more());
        assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::Lost)));
    }
    let mut connection = Connection::to_endpoint(ASKS, STREAMS_MAX);
    assert_eq!(take(&mut connection, b"HTTP/1.1 400 Bad Request\r\n\r\n").1, Some(Fault::FrameSize));
    assert!(!connection.is_settled());
}

/// RFC 9113 §8.7, §6.8.
#[test]
fn what_was_not_looked_at_may_be_asked_again() {
    let (mut connection, slot) = asked(GET);
    take(&mut connection, &reset(1, Code::REFUSED_STREAM));
    assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::Refused)));
    let (mut connection, slot) = asked(GET);
    take(&mut connection, &reset(1, Code::CANCEL));
    assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::Lost)));

    let mut connection = Connection::to_endpoint(ASKS, STREAMS_MAX);
    let early = connection.open();
    sends(&mut connection, early, GET);
    take(&mut connection, &[frame(SETTINGS, 0, 0, b""), reset(1, Code::REFUSED_STREAM)].concat());
    assert_eq!(hears(&mut connection, early).1, Some(Err(Ending::Unseen)), "nobody had said how many");

    let (mut connection, first) = asked(GET);
    let (second, third) = (connection.open(), connection.open());
    sends(&mut connection, second, GET);
    take(&mut connection, &goodbye(1, Code::NO_ERROR));
    assert!(!connection.takes_more() && !connection.is_over());
    for unseen in [second, third] {
        assert_eq!(hears(&mut connection, unseen).1, Some(Err(Ending::Unseen)));
        connection.release(unseen);
    }
    take(&mut connection, &answer(END_STREAM, "200", &[("content-length", "0")]));
    assert_eq!(hears(&mut connection, first).1, Some(Ok(())), "the one that it has looked at is finished");
    connection.release(first);
    assert!(connection.is_over());

    let mut connection = settled();
    let unsaid = connection.open();
    connection.lose();
    assert_eq!(hears(&mut connection, unsaid).1, Some(Err(Ending::Unseen)), "it was never sent");
}

/// Whoever says goodbye, and closes, has answered before that.
#[test]
fn an_answer_that_came_whole_is_whole_though_its_connection_is_gone() {
    for body in ["", "all of it"] {
        let (mut connection, slot) = asked(GET);
        let said = [
            answer(0, "200", &[]),
            frame(DATA, 0, 1, body.as_bytes()),
            head(1, &[("x-end", "1")], END_STREAM),
            goodbye(1, Code::NO_ERROR),
        ];
        take(&mut connection, &said.concat());
        connection.lose();
        let (heard, end) = hears(&mut connection, slot);
        assert_eq!((heard.ends_with(&format!("\r\n\r\n{body}")), end), (true, Some(Ok(()))));
        assert_eq!(connection.take_trailers(slot), b"x-end: 1\r\n");
    }
    let (mut connection, slot) = asked(GET);
    take(&mut connection, &[answer(0, "200", &[]), frame(DATA, 0, 1, b"half")].concat());
    connection.lose();
    assert_eq!(hears(&mut connection, slot).1, Some(Err(Ending::Lost)));
}

/// RFC 9113 §8.1: an answer that is complete is not lost for what is said behind it.
#[test]
fn an_endpoint_that_wants_no_more_of_a_request_has_answered_it() {
    let (mut connection, slot) = asked(POST);
    let said =
        [answer(0, "200", &[]), frame(DATA, END_STREAM, 1, b"enough"), reset(1, Code::NO_ERROR)].concat();
    take(&mut connection, &said);
    assert_eq!(connection.poll_send(slot, &noop(), b"more"), Poll::Ready(Err(Closed)));
    let (heard, end) = hears(&mut connection, slot);
    assert_eq!((heard.ends_with("\r\n\r\nenough"), end), (true, Some(Ok(()))));
    let (mut connection, slot) = asked(GET);
    let said = [answer(0, "200", &[]), frame(DATA, 0, 1, b"half"), reset(1, Code::INTERNAL_ERROR)].concat();
    take(&mut connection, &said);
    let (heard, end) = hears(&mut connection, slot);
    assert_eq!((heard.ends_with("\r\n\r\nhalf"), end), (true, Some(Err(Ending::Lost))), "what came of it is");
}

#[test]
fn what_the_endpoint_sets_is_kept_to() {
    assert_eq!(Connection::to_endpoint(ASKS, STREAMS_MAX).endpoint_streams_max(), 10, "as is supposed");
    let mut connection = settled();
    assert_eq!(
        (connection.endpoint_streams_max(), connection.takes_tunnels()),
        (u32::MAX, false),
        "it set no limit"
    );
    let set = |id: u8, value: u32| [&[0, id][..], &value.to_be_bytes()].concat();
    let settings = [set(3, 7), set(8, 1), set(4, 3)].concat();
    assert_eq!(take(&mut connection, &frame(SETTINGS, 0, 0, &settings)).1, None);
    assert_eq!((connection.endpoint_streams_max(), connection.takes_tunnels()), (7, true));
    let slot = connection.open();
    sends(&mut connection, slot, POST);
    assert_eq!(sends(&mut connection, slot, b"hello"), Some(3));
    assert_eq!(sends(&mut connection, slot, b"lo"), None);
    take(&mut connection, &window(1, 5));
    assert_eq!(sends(&mut connection, slot, b"lo"), Some(2));
}

#[test]
fn a_tunnel_is_an_upgrade_that_succeeds() {
    let upgrade: &[u8] = b"GET /t HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Key: k\r\n\r\n";
    let (mut connection, slot) = asked(upgrade);
    assert_eq!(sends(&mut connection, slot, b"ping"), Some(4), "it may be spoken into before");
    take(&mut connection, &[answer(0, "200", &[]), frame(DATA, 0, 1, b"pong")].concat());
    let (heard, end) = hears(&mut connection, slot);
    assert!(heard.starts_with("HTTP/1.1 101 \r\n") && heard.contains("Sec-WebSocket-Accept: <k>\r\n"));
    assert_eq!((heard.ends_with("\r\n\r\npong"), end), (true, None));
}

/// Two sides of ours, and what is on its way between them.
struct Pair {
    asks: Connection,
    answers: Connection,
    on_the_way: [Vec<u8>; 2],
    served: Vec<Served>,
}

/// A request, as it was heard and is answered.
struct Served {
    slot: Slot,
    heard: Vec<u8>,
    is_heard: bool,
    says: Vec<u8>,
    said: usize,
}

fn carry(
    from: &mut Connection,
    to: &mut Connection,
    way: &mut Vec<u8>,
    portion: usize,
) -> (bool, Vec<Served>) {
    let length = from.unsent().len().min(portion);
    way.extend_from_slice(&from.unsent()[..length]);
    from.handle_sent(length);
    let (mut has_moved, mut begun, mut text) = (length > 0, Vec::new(), Vec::new());
    while to.may_read() {
        let taken = match to.receive(way, &mut text) {
            Progress::NeedMore => break,
            Progress::Taken(length) => length,
            Progress::Begun(length, new) => {
                begun.push(Served {
                    slot: new.slot,
                    heard: Vec::new(),
                    is_heard: false,
                    says: ANSWER.to_vec(),
                    said: 0,
                });
                length
            }
            wrong => panic!("{wrong:?}"),
        };
        way.drain(..taken);
        has_moved = true;
    }
    (has_moved, begun)
}

/// What is asked, and what came of it.
struct Question {
    slot: Slot,
    says: Vec<u8>,
    said: usize,
    heard: Vec<u8>,
    trailers: Vec<u8>,
    is_over: bool,
}

const ANSWER: &[u8] = b"HTTP/1.1 200 \r\nx: y\r\n\r\n";

impl Pair {
    /// Moves some of the bytes, so many at a time; `true`: anything moved.
    fn deliver(&mut self, portion: usize) -> bool {
        let [there, back] = &mut self.on_the_way;
        let there = carry(&mut self.asks, &mut self.answers, there, portion);
        let back = carry(&mut self.answers, &mut self.asks, back, portion);
        self.served.extend(there.1);
        there.0 || back.0
    }

    /// Echoes what is asked, and says how long it was in a trailer.
    fn serve(&mut self, room: &mut [u8]) -> bool {
        let mut has_moved = false;
        for served in &mut self.served {
            while let (false, Poll::Ready(read)) = (served.is_heard, self.answers.try_read(served.slot, room))
            {
                let length = read.unwrap();
                served.is_heard = length == 0;
                served.heard.extend_from_slice(&room[..length]);
                served.says.extend_from_slice(&room[..length]);
                has_moved = true;
            }
            while served.said < served.says.len() {
                let Some(length) = sends(&mut self.answers, served.slot, &served.says[served.said..]) else {
                    break;
                };
                served.said += length;
                has_moved = true;
            }
            if served.is_heard && served.said == served.says.len() {
                let trailers = format!("x-heard: {}\r\n", served.heard.len());
                self.answers.end(served.slot, trailers.as_bytes()).unwrap();
                self.answers.release(served.slot);
                served.said = usize::MAX;
                has_moved = true;
            }
        }
        self.served.retain(|served| served.said != usize::MAX);
        has_moved
    }

    fn ask(&mut self, questions: &mut [Question], room: &mut [u8]) -> bool {
        let mut has_moved = false;
        for question in questions.iter_mut().filter(|question| !question.is_over) {
            while question.said < question.says.len() {
                let Some(length) = sends(&mut self.asks, question.slot, &question.says[question.said..])
                else {
                    break;
                };
                question.said += length;
                has_moved = true;
                if question.said == question.says.len() {
                    self.asks.end(question.slot, b"").unwrap();
                }
            }
            while let Poll::Ready(read) = self.asks.try_read(question.slot, room) {
                let length = read.unwrap();
                question.heard.extend_from_slice(&room[..length]);
                has_moved = true;
                if length == 0 {
                    question.trailers = self.asks.take_trailers(question.slot);
                    self.asks.release(question.slot);
                    question.is_over = true;
                    break;
                }
            }
        }
        has_moved
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However much is asked at once, of whatever length, and however it is cut on its way: all of it is echoed, and everything ends.
    #[test]
    fn what_one_side_says_the_other_hears(
        lengths in prop::collection::vec(0usize..300_000, 1..8),
        portion in 1usize..40_000,
        room in 1usize..70_000,
    ) {
        let mut pair = Pair {
            asks: Connection::to_endpoint(ASKS, STREAMS_MAX),
            answers: Connection::new(LIMITS),
            on_the_way: Default::default(),
            served: Vec::new(),
        };
        let (mut preface, mut room) = (PREFACE.len(), vec![0; room.max(500)]);
        let (portion, mut questions) = (portion.max(200), Vec::new());
        for (number, length) in lengths.iter().enumerate() {
            let body: Vec<u8> = (0..*length).map(|at| (at * 31 + number) as u8).collect();
            let says = [POST, &body].concat();
            let slot = pair.asks.open();
            questions.push(Question { slot, says, said: 0, heard: Vec::new(), trailers: Vec::new(), is_over: false });
        }
        // The preface is whoever's who takes connections.
        prop_assert!(pair.asks.unsent().starts_with(PREFACE));
        pair.asks.handle_sent(std::mem::take(&mut preface));
        loop {
            let moves = [
                pair.ask(&mut questions, &mut room),
                pair.deliver(portion),
                pair.serve(&mut room),
            ];
            if !moves.contains(&true) {
                break;
            }
        }
        let mut sizes = BTreeMap::new();
        for question in &questions {
            prop_assert!(question.is_over, "one never ended: {} of {} said", question.said, question.says.len());
            let body = &question.says[POST.len()..];
            prop_assert!(question.heard.ends_with(body), "{} bytes came back changed", body.len());
            prop_assert_eq!(String::from_utf8_lossy(&question.trailers), format!("x-heard: {}\r\n", body.len()));
            *sizes.entry(body.len()).or_insert(0) += 1;
        }
        prop_assert_eq!((pair.asks.stream_count(), pair.answers.stream_count()), (0, 0));
    }
}
