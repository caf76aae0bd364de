//! A proxy with one well-behaved endpoint behind it, and what is expected when something rude knocks.
//!
//! Knows the three things to look at: the answer, the fate of the connection, and what reached the origin.

use crate::canary::{self, Canary};
use tidegate_testkit::{Client, Delivery, Endpoint, Proxy, Reply, Script, Tidegate};

pub(crate) struct Door {
    pub(crate) endpoint: Endpoint,
    /// Served beside whatever is done at the door.
    _beside: Endpoint,
    pub(crate) proxy: Proxy,
}

/// An input and why it is wrong.
pub(crate) type Case<'a> = (&'a str, Vec<u8>);

impl Door {
    /// Before an endpoint that sends request bodies back.
    pub(crate) fn open() -> Self {
        Self::with(Script::echoes(), "")
    }

    pub(crate) fn with(script: Script, config: &str) -> Self {
        let (endpoint, beside) = (Endpoint::start(script), Endpoint::answering("canary"));
        let proxy = Tidegate::to(&[&endpoint], &(config.to_owned() + &canary::route_to(&beside))).start();
        Self { endpoint, _beside: beside, proxy }
    }

    /// A client beside what follows, that must not feel it.
    pub(crate) fn canary(&self) -> Canary {
        Canary::before(&self.proxy)
    }

    /// Each input is answered with one of these statuses, the connection closes, and nothing reaches the endpoint:
    /// delivered whole, one byte at a time, and in random splits.
    pub(crate) fn refuses(&self, statuses: &[u16], cases: &[Case<'_>]) {
        let canary = self.canary();
        let before = self.endpoint.request_count();
        for (why, input) in cases {
            for delivery in Delivery::all() {
                let what = format!("{why}, {delivery:?}");
                let (reply, mut client) = self.expect_status(&what, input, delivery, statuses);
                assert!(reply.closes(), "{what}: does not say that it closes: {reply:?}");
                client.expect_closed();
                assert_eq!(self.endpoint.request_count(), before, "{what}: it reached the endpoint");
            }
        }
        canary.watch(1);
        canary.survives();
        self.serves();
    }

    /// As [`Door::refuses`], for requests that are framed well: the connection may serve the next one.
    pub(crate) fn declines(&self, statuses: &[u16], cases: &[Case<'_>]) {
        let canary = self.canary();
        for (why, input) in cases {
            for delivery in Delivery::all() {
                let before = self.endpoint.request_count();
                let what = format!("{why}, {delivery:?}");
                let (reply, mut client) = self.expect_status(&what, input, delivery, statuses);
                assert_eq!(self.endpoint.request_count(), before, "{what}: it reached the endpoint");
                if reply.closes() {
                    client.expect_closed();
                } else {
                    assert_eq!(client.get("/").status, 200, "{what}: the next request suffers");
                }
            }
        }
        canary.watch(1);
        canary.survives();
        self.serves();
    }

    /// Each input is a request whose body goes wrong: refused, closed, and never complete at the endpoint.
    pub(crate) fn aborts(&self, statuses: &[u16], cases: &[Case<'_>]) {
        let canary = self.canary();
        for (why, input) in cases {
            for delivery in Delivery::all() {
                let what = format!("{why}, {delivery:?}");
                let (reply, mut client) = self.expect_status(&what, input, delivery, statuses);
                assert!(reply.closes(), "{what}: does not say that it closes: {reply:?}");
                client.expect_closed();
                let complete = self.endpoint.requests().iter().filter(|request| request.complete).count();
                assert_eq!(complete, 0, "{what}: the endpoint took it for complete");
            }
        }
        canary.watch(1);
        canary.survives();
        self.serves();
    }

    fn expect_status(
        &self,
        what: &str,
        input: &[u8],
        delivery: Delivery,
        statuses: &[u16],
    ) -> (Reply, Client) {
        let mut client = self.proxy.client();
        client.deliver(input, delivery);
        let reply = client.try_reply().unwrap_or_else(|problem| panic!("{what}: no answer but {problem:?}"));
        assert!(statuses.contains(&reply.status), "{what}: answered {} {:?}", reply.status, reply.cause());
        expect_signed(&reply);
        (reply, client)
    }

    /// Other traffic is unaffected, and the endpoint never saw nonsense.
    pub(crate) fn serves(&self) {
        assert_eq!(self.proxy.get("/").status, 200);
        assert_eq!(self.endpoint.malformed(), Vec::<String>::new());
    }

    /// Sends one input in this way and keeps the connection.
    pub(crate) fn deliver(&self, input: impl AsRef<[u8]>, delivery: Delivery) -> Client {
        let mut client = self.proxy.client();
        client.deliver(input.as_ref(), delivery);
        client
    }

    /// Sends one input whole and gives the answer.
    pub(crate) fn ask(&self, input: impl AsRef<[u8]>) -> Reply {
        self.knock(input).reply()
    }

    /// Sends one input whole and keeps the connection.
    pub(crate) fn knock(&self, input: impl AsRef<[u8]>) -> Client {
        let mut client = self.proxy.client();
        client.send(input);
        client
    }
}

/// An answer of the proxy's own says who made it, why, and which request it was.
pub(crate) fn expect_signed(reply: &Reply) {
    let says = reply.field("proxy-status").unwrap_or_else(|| panic!("no Proxy-Status in {reply:?}"));
    assert!(says.starts_with("tidegate"), "{says}");
    assert!(reply.error().is_some() && reply.cause().is_some(), "{says}");
    assert!(reply.field("x-request-id").is_some_and(|id| !id.is_empty()), "no request id in {reply:?}");
}

/// A GET with these field lines, each ended by CRLF, after Host.
pub(crate) fn get(fields: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n").into_bytes()
}

/// A POST with these field lines and this body.
pub(crate) fn post(fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
    [head.as_bytes(), body.as_ref()].concat()
}

/// A chunked POST with this raw body.
pub(crate) fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// The same input again and again, each wrong in its own way.
pub(crate) fn each<'a>(values: &[&'a str], input: impl Fn(&str) -> Vec<u8>) -> Vec<Case<'a>> {
    values.iter().map(|value| (*value, input(value))).collect()
}
