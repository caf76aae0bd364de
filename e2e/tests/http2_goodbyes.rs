//! Endpoints that end their connections, by a count of requests or otherwise, and those who wait for room on one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tidegate_testkit::http2::{Http2Client, exchange};
use tidegate_testkit::http2_raw as raw;
use tidegate_testkit::{Endpoint, Proxy, Script, Then, Tidegate, Wire, eventually};

/// What an endpoint does with the requests of its connections, and what it has seen.
#[derive(Debug, Default)]
struct Habits {
    /// Says goodbye with its answer to so many requests, and looks at no more; 0: takes as many as come.
    taken_max: AtomicU32,
    /// Says goodbye behind each answer, when nothing is under way.
    leaves: AtomicBool,
    /// Begins answers and does not end them.
    holds: AtomicBool,
    connections: AtomicUsize,
    held: AtomicUsize,
    unread: AtomicUsize,
}

impl Habits {
    fn connection(&self, wire: &mut Wire) {
        self.connections.fetch_add(1, SeqCst);
        let _ = wire.exactly(raw::PREFACE.len());
        let _ = wire.write(&raw::settings(&[]));
        let mut taken = 0;
        while let Ok(head) = wire.exactly(9) {
            let payload = wire.exactly(usize::from(u16::from_be_bytes([head[1], head[2]])));
            let (kind, is_answer) = (head[3], head[4] & 1 != 0);
            if kind == raw::kind::PING && !is_answer {
                let pong = raw::frame(raw::kind::PING, 1, 0, payload.unwrap_or_default());
                let _ = wire.write(&pong);
            }
            if kind == raw::kind::HEADERS {
                taken += 1;
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                self.request(wire, stream, taken);
            }
        }
    }

    fn request(&self, wire: &mut Wire, stream: u32, taken: u32) {
        let taken_max = self.taken_max.load(SeqCst);
        if taken_max > 0 && taken > taken_max {
            self.unread.fetch_add(1, SeqCst);
            return;
        }
        let head = raw::headers(stream, &raw::block(&[(":status", "200")]));
        if self.holds.load(SeqCst) {
            let _ = wire.write(&head);
            self.held.fetch_add(1, SeqCst);
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
        let goodbye = raw::go_away(stream, raw::code::NO_ERROR);
        if taken == taken_max {
            let _ = wire.write(&goodbye);
        }
        let _ = wire.write(&[head, raw::last_data(stream, "well")].concat());
        if self.leaves.load(SeqCst) {
            let _ = wire.write(&goodbye);
        }
    }
}

fn endpoint(habits: &Arc<Habits>) -> Endpoint {
    let habits = Arc::clone(habits);
    Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        habits.connection(wire);
        Then::Close
    }))
}

fn before(endpoint: &Endpoint, more: &str) -> Proxy {
    let to = endpoint.address();
    Tidegate::with(format!("to = \"{to}\"\nendpoint_http2 = true\nworkers = 1\n{more}")).start()
}

/// So many at once, and all are answered.
fn burst(client: &Http2Client, requests: u32) {
    client.run(async {
        let request = || Http2Client::request("GET", "app.test", "/");
        let all: Vec<_> =
            (0..requests).map(|_| tokio::spawn(exchange(client.sender(), request(), None, None))).collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap().status(), 200);
        }
    });
}

/// Asks, and does not wait for the answer.
fn ask(client: &Http2Client) {
    client.run(async {
        let request = Http2Client::request("GET", "app.test", "/");
        tokio::spawn(exchange(client.sender(), request, None, None));
    });
}

/// One that ends each connection after a few requests is given no more, once that is known, so that nothing comes back unread.
#[test]
fn what_an_endpoint_takes_on_a_connection_is_learned_from_its_goodbyes() {
    let habits = Arc::new(Habits { taken_max: 5.into(), ..Habits::default() });
    let endpoint = endpoint(&habits);
    let proxy = before(&endpoint, "");
    let client = Http2Client::clear(proxy.address());
    burst(&client, 40);
    let (unread, connections) = (habits.unread.load(SeqCst), habits.connections.load(SeqCst));
    assert!(unread > 0, "nothing came back, so that nothing was learned");
    (0..3).for_each(|_| burst(&client, 40));
    assert_eq!(habits.unread.load(SeqCst), unread);
    let more = habits.connections.load(SeqCst) - connections;
    assert!((24..=26).contains(&more), "{more}");

    // It takes more from now on: which is seen with the first connection that goes on, though nothing on it ends.
    habits.taken_max.store(0, SeqCst);
    habits.holds.store(true, SeqCst);
    let connections = habits.connections.load(SeqCst);
    for asked in 1..=30 {
        ask(&client);
        eventually("it is under way", || habits.held.load(SeqCst) == asked);
    }
    let more = habits.connections.load(SeqCst) - connections;
    assert!(more <= 3, "{more} connections for requests that fit on one");
}

/// As idle ones are ended, and old ones.
#[test]
fn goodbyes_that_lose_nothing_are_no_limit() {
    let habits = Arc::new(Habits { leaves: true.into(), ..Habits::default() });
    let endpoint = endpoint(&habits);
    let proxy = before(&endpoint, "");
    let client = Http2Client::clear(proxy.address());
    (0..4).for_each(|_| burst(&client, 1));
    assert_eq!(habits.connections.load(SeqCst), 4);
    habits.leaves.store(false, SeqCst);
    habits.holds.store(true, SeqCst);
    (0..30).for_each(|_| ask(&client));
    eventually("all are under way", || habits.held.load(SeqCst) == 30);
    assert!(habits.connections.load(SeqCst) <= 6, "{:?}", habits.connections);
}

/// The first of them takes the connection's place among those in use, and the others find room beside it.
#[test]
fn all_who_wait_for_room_get_what_there_is() {
    let together = Arc::new(Habits::default());
    let (habits, is_first) = (Arc::clone(&together), AtomicBool::new(true));
    let endpoint = Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        if !is_first.swap(false, SeqCst) {
            return Then::Close;
        }
        let _ = wire.exactly(raw::PREFACE.len());
        let _ = wire.write(&raw::settings(&[(raw::setting::MAX_CONCURRENT_STREAMS, 5)]));
        let mut answers = Vec::new();
        while let Ok(head) = wire.exactly(9) {
            let _ = wire.exactly(usize::from(u16::from_be_bytes([head[1], head[2]])));
            if head[3] != raw::kind::HEADERS {
                continue;
            }
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let head = raw::headers(stream, &raw::block(&[(":status", "200")]));
            habits.held.fetch_add(1, SeqCst);
            if habits.held.load(SeqCst) > 5 {
                let _ = wire.write(&head);
                continue;
            }
            answers.push([head, raw::last_data(stream, "well")].concat());
            if answers.len() == 5 {
                std::thread::sleep(Duration::from_millis(500)); // while others come, and wait
                let _ = wire.write(&answers.concat());
            }
        }
        Then::Close
    }));
    let proxy = before(&endpoint, "limit.upstream_connections = 1\n");
    let client = Http2Client::clear(proxy.address());
    (0..5).for_each(|_| ask(&client));
    eventually("all places are taken", || together.held.load(SeqCst) == 5);
    (0..4).for_each(|_| ask(&client));
    eventually("all have found room", || together.held.load(SeqCst) == 9);
}

/// An endpoint that takes none for now, and then leaves, keeps nobody waiting for a connection that is gone.
#[test]
fn who_waits_for_an_endpoint_that_pauses_is_told_when_its_connection_goes() {
    let (habits, is_first) = (Arc::new(Habits::default()), AtomicBool::new(true));
    let endpoint = Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        if !is_first.swap(false, SeqCst) {
            habits.connection(wire);
            return Then::Close;
        }
        let _ = wire.exactly(raw::PREFACE.len());
        let _ = wire.write(&raw::settings(&[(raw::setting::MAX_CONCURRENT_STREAMS, 0)]));
        std::thread::sleep(Duration::from_millis(500)); // while requests come, and wait
        let _ = wire.write(&raw::go_away(0, raw::code::NO_ERROR));
        Then::Close
    }));
    let proxy = before(&endpoint, "");
    burst(&Http2Client::clear(proxy.address()), 5);
}
