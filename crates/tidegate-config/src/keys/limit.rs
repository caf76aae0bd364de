//! Limits, for the whole, for a route and for a cluster.

use super::Default::{Inherited, Value};
use super::kinds::{CONNECTIONS, OFF};
use super::{Kind, Table, key};

const BODY_BYTES: Kind = Kind::AnyOf(&[Kind::Size { min: 0, max: 1 << 50 }, OFF]);
const IDLE_CONNECTIONS: Kind = Kind::Integer { min: 0, max: 10_000_000 };
const CONNECTIONS_OR_OFF: Kind = Kind::AnyOf(&[CONNECTIONS, OFF]);
const BODY_RATE: Kind = Kind::AnyOf(&[Kind::Size { min: 1, max: 1 << 30 }, OFF]);
const BODY_RATE_DOC: &str = "Bytes a second of a request's body that a client must send while it is waited for, before the \
    answer begins. Whoever is ten seconds' worth behind gets 408. Uploads that come now and then, like \
    streams of events, want `off`. For answers that a client does not take there is `timeout.body_idle`.";
const BODY_BYTES_DOC: &str = "A request body; beyond it the answer is 413.";
const ENDPOINT_REQUESTS: Kind = Kind::AnyOf(&[CONNECTIONS, Kind::Words(&["auto", "off"])]);
const ENDPOINT_REQUESTS_DOC: &str = "Requests in flight at once, per endpoint; when all endpoints have that many, requests \
    wait for the first that has one less. `auto`: as many as keep it busy, learned from its answers; those whose answer has begun do not count.";
const REQUESTS: Kind = Kind::AnyOf(&[CONNECTIONS, Kind::Words(&["auto"])]);
const REQUESTS_DOC: &str = "Requests in service at once, tunnels among them; beyond it the answer is 503. `auto`: as many as fit \
    the memory that the process may use, each at its worst, and no more than `connections`.";
const HANDSHAKES_DOC: &str = "TLS handshakes with clients that are under way at once; each worker has its share. Further ones wait \
    for their turn, until `timeout.handshake`. `auto`: 512 for each worker.";
const QUEUED_DOC: &str = "Requests that wait for an endpoint that may have one more, per cluster; beyond it the answer is \
    503. 0: none waits.";
const PENDING_DOC: &str = "Requests that wait for a connection or open one, per cluster; beyond it the answer is 503. A crowd that comes in one \
     moment opens a connection for each request.";
const IDLE_DOC: &str = "Idle connections kept for reuse, per endpoint.";
const UPSTREAM_DOC: &str = "Connections in use at once, per endpoint; beyond it requests wait. With `endpoint_http2` each worker has connections of its own: where there are fewer than `workers`, they take turns of a tenth of a second and more, and a request that takes long holds up the other workers.";

pub(crate) static LIMIT: Table = Table {
    name: "limit",
    title: "`[limit]`",
    doc: "Of the whole proxy, and what routes and clusters inherit.",
    keys: &[
        key(
            "head_bytes",
            Kind::Size { min: 1 << 10, max: 16 << 20 },
            Value("\"16KiB\""),
            "\"64KiB\"",
            "A head, of a request or an answer; beyond it the answer is 431 or 502.",
        ),
        key(
            "field_count",
            Kind::Integer { min: 1, max: 10_000 },
            Value("100"),
            "200",
            "Field lines of one head; beyond it the answer is 431 or 502.",
        ),
        key(
            "target_bytes",
            Kind::Size { min: 1 << 6, max: 16 << 20 },
            Value("\"8KiB\""),
            "\"2KiB\"",
            "The request target; beyond it the answer is 414.",
        ),
        key("body_bytes", BODY_BYTES, Value("\"off\""), "\"10MiB\"", BODY_BYTES_DOC),
        key("body_rate", BODY_RATE, Value("\"off\""), "\"512B\"", BODY_RATE_DOC),
        key(
            "connections",
            CONNECTIONS,
            Value("10000"),
            "50000",
            "Open client connections, all listeners together. Beyond it, new ones are closed at once.",
        ),
        key("requests", REQUESTS, Value("\"auto\""), "5000", REQUESTS_DOC),
        key("endpoint_requests", ENDPOINT_REQUESTS, Value("\"off\""), "\"auto\"", ENDPOINT_REQUESTS_DOC),
        key("queued_requests", IDLE_CONNECTIONS, Value("1000"), "100", QUEUED_DOC),
        key(
            "streams",
            Kind::Integer { min: 1, max: 10_000 },
            Value("100"),
            "250",
            "Requests at once of one client connection that speaks HTTP/2. Further ones wait with the client.",
        ),
        key(
            "connections_per_client",
            CONNECTIONS_OR_OFF,
            Value("\"off\""),
            "100",
            "Open connections of one client: of an IPv4 address, or of the /64 of an IPv6 address. Beyond it, new ones are \
                closed at once. Peers in `trusted_proxies` and `proxy_protocol_from` do not count: they are many clients.",
        ),
        key("handshakes", REQUESTS, Value("\"auto\""), "1000", HANDSHAKES_DOC),
        key("pending_requests", CONNECTIONS, Value("10000"), "100", PENDING_DOC),
        key("upstream_idle_connections", IDLE_CONNECTIONS, Value("1024"), "0", IDLE_DOC),
        key("upstream_connections", CONNECTIONS_OR_OFF, Value("\"off\""), "100", UPSTREAM_DOC),
    ],
};

pub(crate) static ROUTE_LIMIT: Table = Table {
    name: "route_limit",
    title: "`[route.limit]`",
    doc: "The limits that a route may change.",
    keys: &[
        key("body_bytes", BODY_BYTES, Inherited("`[limit]`"), "\"1MiB\"", BODY_BYTES_DOC),
        key("body_rate", BODY_RATE, Inherited("`[limit]`"), "\"1KiB\"", BODY_RATE_DOC),
    ],
};

pub(crate) static CLUSTER_LIMIT: Table = Table {
    name: "cluster_limit",
    title: "`[cluster.NAME.limit]`",
    doc: "The limits that a cluster may change.",
    keys: &[
        key("endpoint_requests", ENDPOINT_REQUESTS, Inherited("`[limit]`"), "100", ENDPOINT_REQUESTS_DOC),
        key("queued_requests", IDLE_CONNECTIONS, Inherited("`[limit]`"), "100", QUEUED_DOC),
        key("pending_requests", CONNECTIONS, Inherited("`[limit]`"), "100", PENDING_DOC),
        key("upstream_idle_connections", IDLE_CONNECTIONS, Inherited("`[limit]`"), "8", IDLE_DOC),
        key("upstream_connections", CONNECTIONS_OR_OFF, Inherited("`[limit]`"), "100", UPSTREAM_DOC),
    ],
};
