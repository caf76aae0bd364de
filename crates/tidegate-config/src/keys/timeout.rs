//! Timeouts, for the whole and for a route.

use super::Default::{Inherited, Value};
use super::kinds::DURATION_OR_OFF;
use super::{Kind, Table, key};

const ATTEMPT_DOC: &str = "From the pick of an endpoint, or the last byte that the client had to be waited for, to the first byte of its answer; then the next try's turn comes \
    (`retry.on = [\"timeout\"]`), or the answer is 504.";
pub(super) const CONNECT_DOC: &str = "A connection to one endpoint.";
const FIRST_BYTE_DOC: &str = "From the whole request sent to the first byte of the answer.";
const BODY_IDLE_DOC: &str = "No byte of a body moved, in either direction. Whoever takes nothing of what was sent may have twice as long.";
const TOTAL_DOC: &str = "From the request's head to the answer's last byte, all attempts together.";
const TUNNEL_IDLE_DOC: &str =
    "No byte moved on an upgraded connection. Whoever takes nothing of what was sent may have twice as long.";

pub(crate) static TIMEOUT: Table = Table {
    name: "timeout",
    title: "`[timeout]`",
    doc: "Of the whole proxy, and what routes inherit.",
    keys: &[
        key("head", Kind::Duration, Value("\"10s\""), "\"5s\"", "A whole request head."),
        key(
            "keep_alive",
            Kind::Duration,
            Value("\"60s\""),
            "\"15s\"",
            "A client connection between two requests.",
        ),
        key(
            "handshake",
            Kind::Duration,
            Value("\"10s\""),
            "\"5s\"",
            "A TLS handshake with a client and its wait for a turn (`limit.handshakes`), from the connection on, or from the end \
                of a header of the PROXY protocol; on listeners with `sni` the hello is a part of it, where the listener \
                has `tls` as well.",
        ),
        key("queue", Kind::Duration, Value("\"5s\""), "\"500ms\"", QUEUE_DOC),
        key("connect", Kind::Duration, Value("\"3s\""), "\"1s\"", CONNECT_DOC),
        key("attempt", DURATION_OR_OFF, Value("\"off\""), "\"5s\"", ATTEMPT_DOC),
        key("first_byte", DURATION_OR_OFF, Value("\"60s\""), "\"off\"", FIRST_BYTE_DOC),
        key("body_idle", Kind::Duration, Value("\"30s\""), "\"2m\"", BODY_IDLE_DOC),
        key("total", DURATION_OR_OFF, Value("\"off\""), "\"5m\"", TOTAL_DOC),
        key("tunnel_idle", DURATION_OR_OFF, Value("\"1h\""), "\"1d\"", TUNNEL_IDLE_DOC),
        key(
            "upstream_idle",
            Kind::Duration,
            Value("\"60s\""),
            "\"10s\"",
            "An unused connection to an endpoint, kept for reuse.",
        ),
        key(
            "tcp_keep_alive",
            DURATION_OR_OFF,
            Value("\"2m\""),
            "\"30s\"",
            "A client or endpoint that has vanished without a word: after half of this time of silence TCP asks whether it is \
                still there. Counted in whole seconds.",
        ),
        key(
            "tcp_unacknowledged",
            DURATION_OR_OFF,
            Value("\"off\""),
            "\"1m\"",
            "A client or endpoint that acknowledges nothing of what was sent, or takes nothing of it: also one that merely \
                pauses. Off: what the kernel waits by itself, about 15 minutes.",
        ),
        key(
            "drain",
            Kind::Duration,
            Value("\"30s\""),
            "\"5m\"",
            "What is open after the order to stop; then it is cut.",
        ),
    ],
};

pub(crate) static ROUTE_TIMEOUT: Table = Table {
    name: "route_timeout",
    title: "`[route.timeout]`",
    doc: "The timeouts that a route may change. `head`, `keep_alive` and `handshake` are the proxy's alone: which route a \
        request takes is known once its head has come.",
    keys: &[
        key("queue", Kind::Duration, Inherited("`[timeout]`"), "\"500ms\"", QUEUE_DOC),
        key("connect", Kind::Duration, Inherited("`[timeout]`"), "\"1s\"", CONNECT_DOC),
        key("attempt", DURATION_OR_OFF, Inherited("`[timeout]`"), "\"5s\"", ATTEMPT_DOC),
        key("first_byte", DURATION_OR_OFF, Inherited("`[timeout]`"), "\"off\"", FIRST_BYTE_DOC),
        key("body_idle", Kind::Duration, Inherited("`[timeout]`"), "\"2m\"", BODY_IDLE_DOC),
        key("total", DURATION_OR_OFF, Inherited("`[timeout]`"), "\"30s\"", TOTAL_DOC),
        key("tunnel_idle", DURATION_OR_OFF, Inherited("`[timeout]`"), "\"off\"", TUNNEL_IDLE_DOC),
    ],
};

const QUEUE_DOC: &str = "An endpoint that may have one more request, when none does; then the answer is 503. Where \
    endpoints fail the request in between, all its waits together; the time that it spends at them does not count.";
