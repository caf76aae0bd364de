//! What was said before a connection broke arrives, however late it is read, as it does without a proxy.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Client, Endpoint, Gate, Gone, Proxy, Script, Then, Tidegate, Wire, eventually};

const LOG: &str = "[log]\naccess = \"stdout\"\n";

/// More than the system of a client has room for that does not read, and less than those on the way have.
const SAID: usize = 300_000;
/// Nowhere else in what comes.
const WORD: u8 = b'~';

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// By the target: how answers begin whose end never comes, and what the log says of them.
const BEGINNINGS: [(&str, &str, &str); 4] = [
    ("/tunnel", SWITCHED, "tunnel_endpoint_gone"),
    ("/length", "HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n", "answer_broken"),
    ("/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n", "answer_broken"),
    ("/until-close", "HTTP/1.1 200 OK\r\n\r\n", "answer_broken"),
];

/// Says it, and leaves when the other side's system has it.
fn says_and_leaves(then: Then) -> Script {
    Script::new(move |visit| {
        let target = visit.request().target.clone();
        let (_, beginning, _) = BEGINNINGS.into_iter().find(|(path, ..)| *path == target).unwrap();
        visit.write(beginning);
        visit.write(vec![WORD; SAID]);
        visit.wire().wait_until_taken();
        then
    })
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
}

fn words_in(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == WORD).count() - 1
}

fn wait_for_the_break(proxy: &Proxy, target: &str, cause: &str) {
    proxy.output().wait_for_stdout(&[&format!("\"path\":\"{target}\""), &format!("\"cause\":\"{cause}\"")]);
}

#[test]
fn what_an_endpoint_said_before_it_left_reaches_a_client_that_begins_to_read_later() {
    for then in [Then::Reset, Then::Close] {
        let endpoint = Endpoint::start(says_and_leaves(then));
        let proxy = Tidegate::to(&[&endpoint], LOG).start();
        for (target, _, cause) in BEGINNINGS {
            let is_whole = then == Then::Close && matches!(target, "/tunnel" | "/until-close");
            if is_whole {
                continue; // that is an end in good order
            }
            let mut client = proxy.client();
            client.send(request(target));
            wait_for_the_break(&proxy, target, cause);
            let (came, gone) = client.rest();
            assert_eq!((words_in(&came), gone), (SAID, Gone::Reset), "{target}, {then:?}");
        }
    }
}

#[test]
fn the_same_holds_where_it_is_encrypted_for_the_client() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(says_and_leaves(Then::Reset)));
    let keys = authority.issue("app", &["app.test"]).keys();
    let listener = format!("{LOG}[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {keys} }}\n");
    let proxy = Tidegate::to(&[&endpoint], &listener).start();
    for (target, _, cause) in BEGINNINGS {
        let mut client = authority.client().connect(proxy.address(), "app.test").unwrap().stream;
        client.write_all(request(target).as_bytes()).unwrap();
        wait_for_the_break(&proxy, target, cause);
        let mut came = Vec::new();
        client.read_to_end(&mut came).unwrap_err();
        assert_eq!(words_in(&came), SAID, "{target}");
    }
}

/// It would have to read to be let go on sending, and has to send to begin to read.
#[test]
fn the_same_holds_for_a_client_that_reads_only_behind_its_upload() {
    let endpoint = Endpoint::start(says_and_leaves(Then::Reset));
    let proxy = Tidegate::to(&[&endpoint], LOG).start();
    let upload = vec![b'x'; 20_000_000];
    for (target, _, cause) in BEGINNINGS.into_iter().filter(|(target, ..)| *target != "/tunnel") {
        let mut client = proxy.client();
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n", upload.len());
        assert!(client.send(head) && client.send(&upload), "{target}: the upload broke off");
        wait_for_the_break(&proxy, target, cause);
        let (came, gone) = client.rest();
        assert_eq!((words_in(&came), gone), (SAID, Gone::Reset), "{target}");
    }
}

/// Reads when its gate is open, and keeps what came and how that ended.
#[derive(Clone, Default)]
struct Late {
    gate: Gate,
    heard: Arc<Mutex<Option<(usize, Gone)>>>,
}

impl Late {
    fn read(&self, wire: &mut Wire) -> Then {
        self.gate.pass();
        let (came, gone) = wire.rest();
        *self.heard.lock().unwrap() = Some((words_in(&came), gone));
        Then::Close
    }

    fn hears_of_the_break(&self, mut client: Client, proxy: &Proxy) {
        client.send(vec![WORD; SAID]);
        client.wire().wait_until_taken();
        client.reset();
        proxy.output().wait_for_stdout(&["\"cause\":\"tunnel_client_gone\""]);
        self.gate.open();
        let all = Some((SAID, Gone::Reset));
        eventually("it has heard all, and of the break", || *self.heard.lock().unwrap() == all);
        let open = || proxy.metrics().sum("tidegate_endpoint_connections", &[]);
        eventually("nothing is held", || open() < 0.5);
    }
}

#[test]
fn what_a_client_said_before_it_left_a_tunnel_reaches_an_endpoint_that_reads_later() {
    let late = Late::default();
    let reads = late.clone();
    let endpoint = Endpoint::start(Script::new(move |visit| {
        visit.write(SWITCHED);
        reads.read(visit.wire())
    }));
    let proxy = Tidegate::to(&[&endpoint], LOG).start();
    let mut client = proxy.client();
    client.send(request("/"));
    assert_eq!(client.reply().status, 101);
    late.hears_of_the_break(client, &proxy);
}

#[test]
fn the_same_holds_for_connections_that_are_passed_on() {
    let late = Late::default();
    let reads = late.clone();
    let endpoint = Endpoint::start(Script::on_accept(move |wire: &mut Wire| {
        let looks_whether_it_listens = wire.fill().is_err();
        if looks_whether_it_listens { Then::Close } else { reads.read(wire) }
    }));
    let listener = format!(
        "{LOG}[[listener]]\nbind = \"{{listen}}\"\ntcp = \"db\"\n[cluster.db]\nendpoints = [{:?}]\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(listener).start();
    late.hears_of_the_break(proxy.client(), &proxy);
}

#[test]
fn a_drain_waits_no_longer_for_last_words_than_for_anything_else() {
    let endpoint = Endpoint::start(says_and_leaves(Then::Reset));
    let mut proxy = Tidegate::to(&[&endpoint], &format!("timeout.drain = \"300ms\"\n{LOG}")).start();
    let mut client = proxy.client();
    client.send(request("/length"));
    wait_for_the_break(&proxy, "/length", "answer_broken");
    proxy.drain();
    proxy.wait();
    assert_eq!(client.rest().1, Gone::Reset);
}
