//! First messages of TLS where names decide about connections that nobody decrypts here: what is no name is none, and
//! what two readers could read differently leads nowhere.

use tidegate_testkit::{Client, Delivery, Endpoint, Gone, Port, Proxy, Script, Then, Tidegate, Wire};

use crate::canary::{self, Canary};

/// `unrecognized_name`, fatal, in a record.
const REFUSED: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const PADDING: u16 = 21;

fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(data)].concat()
}

fn entry(name: &[u8]) -> Vec<u8> {
    [&[0][..], &vector16(name)].concat()
}

fn named(name: &[u8]) -> Vec<u8> {
    extension(SERVER_NAME, &vector16(&entry(name)))
}

/// A message that holds together, with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &vector16(extensions)].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1][..], &length[1..], &body].concat()
}

fn records(message: &[u8], piece: usize) -> Vec<u8> {
    message.chunks(piece).flat_map(|piece| [&[22, 3, 1][..], &vector16(piece)].concat()).collect()
}

fn saying(extensions: &[u8]) -> Vec<u8> {
    records(&hello(extensions), 4000)
}

/// `a.test` and names below have an endpoint that sends back what it gets; nobody else has one.
struct Names {
    proxy: Proxy,
    port: Port,
    endpoint: Endpoint,
    _beside: Endpoint,
}

impl Names {
    fn new() -> Self {
        let (beside, port) = (Endpoint::answering("canary"), Port::free());
        let endpoint = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
            while let Ok(bytes) = wire.some() {
                if wire.write(&bytes).is_err() {
                    break;
                }
            }
            Then::Close
        }));
        let proxy = Tidegate::with(format!(
            "to = {:?}\ntimeout.head = '400ms'\n[log]\naccess = 'stdout'\n\
             [[listener]]\nbind = \"{{listen}}\"\n[[listener]]\nbind = \"{}\"\n\
             sni = {{ 'a.test' = 'a', '*.a.test' = 'a', 'b.test' = {{ to = 'a', alpn = ['imap', 'h2'] }} }}\n\
             [cluster.a]\nendpoints = [{:?}]\n{}",
            beside.address(),
            port.address(),
            endpoint.address(),
            canary::route_to(&beside)
        ))
        .start();
        Self { proxy, port, endpoint, _beside: beside }
    }

    fn deliver(&self, hello: &[u8], delivery: Delivery) -> Client {
        let mut client = Client::connect(self.port.address());
        client.deliver(hello, delivery);
        client
    }

    /// It is led to its endpoint, and nothing of it is changed on the way.
    fn leads(&self, cases: &[(&str, Vec<u8>)]) {
        let canary = Canary::before(&self.proxy);
        for (why, hello) in cases {
            for delivery in Delivery::all() {
                let mut client = self.deliver(hello, delivery);
                let came = client.wire().exactly(hello.len());
                assert!(came.as_ref() == Ok(hello), "{why}, {delivery:?}: {came:?}");
            }
        }
        canary.watch(1);
        canary.survives();
    }

    /// It is told that nobody is known by that name, and nothing of it goes anywhere.
    fn refuses(&self, cases: &[(&str, Vec<u8>)]) {
        let canary = Canary::before(&self.proxy);
        for (why, hello) in cases {
            for delivery in Delivery::all() {
                let (answer, gone) = self.deliver(hello, delivery).rest();
                assert_eq!(answer, REFUSED, "{why}, {delivery:?}");
                assert_ne!(gone, Gone::Silent, "{why}, {delivery:?}: still open");
            }
        }
        canary.watch(1);
        canary.survives();
        assert_eq!(self.endpoint.accepted(), 0);
        let count = (cases.len() * Delivery::all().len()) as f64;
        self.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "no_route")], count);
    }
}

#[test]
fn names_are_found_however_the_hello_comes_and_whatever_is_around_them() {
    let alpn = extension(ALPN, &vector16(b"\x02\x1a\x1a\x02h2"));
    let grease = [extension(0x0a0a, b""), extension(0xfafa, b"\0"), extension(0x0a0a, &[7; 300])];
    Names::new().leads(&[
        ("as it is", saying(&named(b"a.test"))),
        ("in upper case", saying(&named(b"A.Test"))),
        ("with a dot at its end", saying(&named(b"a.test."))),
        ("below", saying(&named(b"x.y.a.test"))),
        (
            "among values that nobody understands",
            saying(&[&grease[0][..], &named(b"a.test"), &grease[1], &grease[2]].concat()),
        ),
        ("by its protocols", saying(&[&grease[1][..], &alpn, &named(b"b.test")].concat())),
        ("as long as it may be", saying(&[named(b"a.test"), extension(PADDING, &vec![0; 16_200])].concat())),
        ("in records of three bytes", records(&hello(&named(b"a.test")), 3)),
        (
            "long, and in records of one byte",
            records(&hello(&[named(b"a.test"), extension(PADDING, &[0; 3000])].concat()), 1),
        ),
        ("with more behind it", [saying(&named(b"a.test")), vec![0; 3000]].concat()),
    ]);
}

#[test]
fn what_is_no_name_leads_nowhere() {
    let long = [&[b'a'; 250][..], b".a.test"].concat();
    Names::new().refuses(&[
        ("no name", saying(&extension(99, b"?"))),
        (
            "no extensions",
            records(&[&[1, 0, 0, 41, 3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat(), 4000),
        ),
        ("another name", saying(&named(b"c.test"))),
        ("a name with a suffix", saying(&named(b"a.test.evil"))),
        ("a wildcard", saying(&named(b"*.a.test"))),
        ("the right name and the wrong protocol", saying(&named(b"b.test"))),
        ("an address", saying(&named(b"127.0.0.1"))),
        ("an address of IPv6", saying(&named(b"::1"))),
        ("nothing", saying(&named(b""))),
        ("longer than names are", saying(&named(&long))),
        ("a name that is not ASCII", saying(&named("ä.a.test".as_bytes()))),
        ("bytes that are no text", saying(&named(b"\xff\xfe.a.test"))),
        ("a zero in it", saying(&named(b"a.test\0"))),
        ("a zero and another name", saying(&named(b"evil\0.a.test"))),
        ("a line end in it", saying(&named(b"a.test\r\nx"))),
        (
            "a name of another kind",
            saying(&extension(SERVER_NAME, &vector16(&[&[1][..], &vector16(b"a.test")].concat()))),
        ),
    ]);
}

#[test]
fn what_two_readers_could_read_differently_leads_nowhere() {
    let (one, other) = (entry(b"a.test"), entry(b"c.test"));
    let list = |names: &[Vec<u8>]| saying(&extension(SERVER_NAME, &vector16(&names.concat())));
    let padded = [named(b"a.test"), extension(PADDING, &vec![0; 17_000])].concat();
    let mut behind = hello(&named(b"a.test"));
    behind.push(0);
    behind[3] += 1;
    Names::new().refuses(&[
        ("two names", list(&[one.clone(), other.clone()])),
        ("the same name twice", list(&[one.clone(), one.clone()])),
        ("two extensions", saying(&[named(b"a.test"), extension(99, b""), named(b"c.test")].concat())),
        ("the same extension twice", saying(&[named(b"a.test"), named(b"a.test")].concat())),
        ("something behind the list", saying(&extension(SERVER_NAME, &[vector16(&one), vec![0]].concat()))),
        (
            "a list that is longer than its extension",
            saying(&extension(SERVER_NAME, &[&[0, 99][..], &one].concat())),
        ),
        (
            "a name that is longer than its list",
            saying(&extension(SERVER_NAME, &vector16(b"\0\0\x09a.test"))),
        ),
        ("something behind the extensions", records(&behind, 4000)),
        ("a hello of more than 16 KiB", saying(&padded)),
        ("a record of no bytes", [&[22, 3, 1, 0, 0][..], &saying(&named(b"a.test"))].concat()),
        ("a server's hello", records(&[&[2][..], &hello(&named(b"a.test"))[1..]].concat(), 4000)),
        (
            "a hello of SSL 2",
            vec![0x80, 46, 1, 3, 1, 0, 21, 0, 0, 0, 16, 1, 0, 128, 2, 0, 128, 3, 0, 128, 6, 0, 64],
        ),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec()),
    ]);
}

#[test]
fn a_hello_that_does_not_go_on_is_let_go_in_time() {
    let names = Names::new();
    let whole = saying(&named(b"a.test"));
    let canary = Canary::before(&names.proxy);
    let mut waiting: Vec<_> = [1, 5, 6, 50, whole.len() - 1]
        .iter()
        .map(|length| names.deliver(&whole[..*length], Delivery::Whole))
        .collect();
    for client in &mut waiting {
        assert_ne!(client.rest().1, Gone::Silent, "still open");
    }
    names.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "head_timeout")], 5.0);
    let mut leaving = names.deliver(&whole[..50], Delivery::Whole);
    leaving.finish();
    assert_ne!(leaving.rest().1, Gone::Silent, "still open");
    names.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "client_gone")], 1.0);
    canary.watch(6);
    canary.survives();
    assert_eq!(names.endpoint.accepted(), 0);
}
