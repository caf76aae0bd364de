//! Everything wrong at once, from one seed: endpoints that misbehave, clients that leave, and what must hold all the same.
//!
//! An answer belongs to the request it is given for; a request that must not be repeated reaches one endpoint at most;
//! and when all is quiet nothing is left in flight.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_testkit::random::Random;
use tidegate_testkit::{Client, Endpoint, Reply, Script, Then, Tidegate, Visit, eventually};

const SEED: u64 = 20_261_123;
const CLIENTS: u64 = 8;
const REQUESTS: u64 = 250;

#[test]
fn in_chaos_every_answer_belongs_to_its_request_and_no_post_is_repeated() {
    let endpoints: Vec<_> = (0..3).map(|number| Endpoint::start(chaotic(SEED ^ number))).collect();
    let proxy = Tidegate::to(
        &endpoints.iter().collect::<Vec<_>>(),
        "workers = 2\n[timeout]\nfirst_byte = \"300ms\"\nbody_idle = \"300ms\"\n",
    )
    .start();
    let address = proxy.address();
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| std::thread::spawn(move || ask_around(address, number))).collect();
    let answered: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > CLIENTS * REQUESTS / 4, "seed {SEED}: only {answered} were answered well");
    expect_posts_once(&endpoints);
    for gauge in
        ["tidegate_endpoint_in_flight", "tidegate_cluster_pending_requests", "tidegate_listener_connections"]
    {
        eventually(gauge, || proxy.metrics().sum(gauge, &[]) < 0.5);
    }
}

fn expect_posts_once(endpoints: &[Endpoint]) {
    let mut posts = BTreeMap::<String, usize>::new();
    for endpoint in endpoints {
        assert_eq!(endpoint.malformed(), Vec::<String>::new(), "seed {SEED}");
        for request in endpoint.requests().into_iter().filter(|request| request.method == "POST") {
            *posts.entry(request.target).or_default() += 1;
        }
    }
    let repeated: Vec<_> = posts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "seed {SEED}: sent more than once: {repeated:?}");
}

/// Answers with the request's target, in one of many ways, some of them wrong.
fn chaotic(seed: u64) -> Script {
    let random = std::sync::Mutex::new(Random::seeded(seed));
    Script::new(move |visit| {
        let choice = random.lock().unwrap().below(24);
        let target = visit.request().target.clone();
        if choice == 0 {
            return Then::Reset;
        }
        if !visit.read_body() {
            return Then::Close;
        }
        answer(visit, choice, &target)
    })
}

fn answer(visit: &mut Visit<'_>, choice: usize, id: &str) -> Then {
    let length = id.len();
    let good = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{id}");
    match choice {
        1 => Then::Close,
        2 => say(visit, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", Then::Reset),
        3 => say(visit, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf", Then::Close),
        4 => say(visit, &(good + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), Then::KeepAlive),
        5 => say(visit, "garbage\r\n\r\n", Then::KeepAlive),
        6 => say(visit, &good, Then::Close),
        7 => say(visit, "HTTP/1.1 200 OK\r\nContent-Le", Then::Close),
        8 => say(visit, &format!("HTTP/1.1 200 OK\r\n\r\n{id}"), Then::Close),
        9 => say(visit, &format!("HTTP/1.1 103 Early Hints\r\n\r\n{good}"), Then::KeepAlive),
        10 => say(visit, &format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{id}"), Then::Close),
        11 => {
            std::thread::sleep(Duration::from_millis(20));
            say(visit, &good, Then::KeepAlive)
        }
        12 | 13 => {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let (first, second) = id.split_at(length / 2);
            let (a, b) = (first.len(), second.len());
            say(
                visit,
                &format!("{chunked}{a:x}\r\n{first}\r\n{b:x}\r\n{second}\r\n0\r\n\r\n"),
                Then::KeepAlive,
            )
        }
        _ => say(visit, &good, Then::KeepAlive),
    }
}

fn say(visit: &mut Visit<'_>, bytes: &str, then: Then) -> Then {
    visit.write(bytes);
    then
}

/// One client that asks many things and sometimes leaves; gives how many were answered well.
fn ask_around(to: SocketAddr, number: u64) -> u64 {
    let mut random = Random::seeded(SEED + number);
    let mut kept: Option<Client> = None;
    let mut answered = 0;
    for count in 0..REQUESTS {
        let id = format!("/client-{number}/request-{count}");
        let mut client = kept.take().unwrap_or_else(|| Client::connect(to));
        client.send(request(&id, random.below(3)));
        if random.below(20) == 0 {
            client.reset();
            continue;
        }
        let Ok(reply) = client.try_reply() else { continue };
        answered += u64::from(reply.status == 200);
        expect_own(&reply, &id);
        if !reply.closes() {
            kept = Some(client);
        }
    }
    answered
}

fn request(id: &str, kind: usize) -> String {
    match kind {
        0 => format!("GET {id} HTTP/1.1\r\nHost: test\r\n\r\n"),
        1 => format!("POST {id} HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"),
        _ => format!(
            "PUT {id} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        ),
    }
}

fn expect_own(reply: &Reply, id: &str) {
    if reply.status == 200 {
        assert_eq!(reply.text(), id, "seed {SEED}: someone else's answer");
    } else {
        assert!(reply.cause().is_some(), "seed {SEED}: {id}: {reply:?}");
    }
}
