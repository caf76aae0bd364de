//! Everything wrong at once, from one seed: endpoints that misbehave, clients that leave, and what must hold all the same.
//!
//! An answer belongs to the request it is given for; a request that must not be repeated reaches one endpoint at most;
//! and when all is quiet nothing is left in flight.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_testkit::random::Random;
use tidegate_testkit::{Client, Endpoint, Gone, Reply, Script, Then, Tidegate, Visit, eventually};

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

/// Valid requests with something hostile put in, taken out or doubled, and another request right behind them.
#[test]
fn whatever_is_made_of_a_request_an_endpoint_sees_only_what_the_proxy_wrote() {
    let endpoint = Endpoint::start(Script::echoes());
    let proxy = Tidegate::to(&[&endpoint], "workers = 2\n").start();
    let mut random = Random::seeded(SEED);
    for round in 0..1500 {
        let input =
            [mutated_from(&SEEDLINGS, &mut random).as_slice(), b"GET /behind HTTP/1.1\r\nHost: test\r\n\r\n"]
                .concat();
        let mut client = proxy.client();
        client.send(&input);
        client.finish();
        let (_, gone) = client.rest();
        assert_ne!(gone, Gone::Silent, "seed {SEED} round {round}: {:?}", String::from_utf8_lossy(&input));
    }
    assert_eq!(endpoint.malformed(), Vec::<String>::new(), "seed {SEED}");
    for request in endpoint.requests() {
        let (via, ids) = (request.fields.all("via"), request.fields.all("x-request-id"));
        assert!(via.len() == 1 && ids.len() == 1, "seed {SEED}: not written by the proxy: {request:#?}");
        let lengths =
            request.fields.all("content-length").len() + request.fields.all("transfer-encoding").len();
        assert!(lengths <= 1, "seed {SEED}: framed twice: {request:#?}");
        assert_eq!(request.fields.all("host").len(), 1, "seed {SEED}: {request:#?}");
    }
}

/// The same for answers: whatever an endpoint says, the next client gets its own answer.
#[test]
fn whatever_is_made_of_an_answer_the_next_client_is_not_poisoned() {
    let random = std::sync::Mutex::new(Random::seeded(SEED));
    let endpoint = Endpoint::start(Script::new(move |visit| {
        visit.read_body();
        if visit.request().target != "/mutated" {
            return visit.answer("good");
        }
        let answer = mutated_from(&ANSWERS, &mut random.lock().unwrap());
        visit.write(answer);
        Then::KeepAlive
    }));
    // Impatience is for the answers that may never end, not for the good ones on a busy machine.
    let config = format!(
        "[cluster.app]\nendpoints = [{:?}]\n[[route]]\nto = \"app\"\n[[route]]\npath = \"/mutated\"\nto = \"app\"\n\
         timeout = {{ first_byte = \"60ms\", body_idle = \"60ms\" }}\n",
        endpoint.address()
    );
    let mut proxy = Tidegate::with(config).start();
    for round in 0..300 {
        let mut client = proxy.client();
        client.send("GET /mutated HTTP/1.1\r\nHost: test\r\n\r\n");
        client.finish();
        assert_ne!(client.rest().1, Gone::Silent, "seed {SEED} round {round}");
        let next = proxy.get("/");
        assert_eq!((next.status, next.text().as_str()), (200, "good"), "seed {SEED} round {round}");
    }
    assert!(proxy.is_running());
}

const ANSWERS: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
];

const SEEDLINGS: [&str; 4] = [
    "GET /a?b=c HTTP/1.1\r\nHost: test\r\nAccept: x\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "GET /u HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
];

const GRAFTS: [&[u8]; 20] = [
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\x0b",
    b"\x85",
    b"\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"+",
    b"0x",
    b"%0d%0a",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n",
    b"Connection: close, content-length\r\n",
];

fn mutated_from(sound: &[&str], random: &mut Random) -> Vec<u8> {
    let mut bytes = sound[random.below(sound.len())].as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => drop(bytes.remove(at)),
            1 => bytes[at] = random.number() as u8,
            _ => drop(bytes.splice(at..at, GRAFTS[random.below(GRAFTS.len())].iter().copied())),
        }
    }
    bytes
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
