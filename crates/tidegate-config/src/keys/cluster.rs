//! Clusters and their endpoints: who gets requests, and how they are spread.

use super::Default::{Inherited, Required, Value, Words};
use super::balance::{BALANCE_DOC, BALANCES, STICKIES, STICKY_DOC};
use super::endpoint_tls::{ENDPOINT_TLS_DEFAULT, ENDPOINT_TLS_DOC, ENDPOINT_TLSES};
use super::health::{BREAKER_DOC, BREAKERS, FAILURES_DOC, HEALTH_DOC, HEALTHS, PASSIVE_DOC, PASSIVES};
use super::kinds::{CONNECTIONS, OFF, STATUSES};
use super::limit::CLUSTER_LIMIT;
use super::{Kind, Table, key};

const ENDPOINT_ADDRESS: Kind =
    Kind::Text("an address like \"10.0.0.1:8001\", \"https://app.internal\" or \"unix:/run/app.sock\"");
const ENDPOINTS: Kind = Kind::List(&Kind::AnyOf(&[ENDPOINT_ADDRESS, Kind::Table(&ENDPOINT)]));
pub(super) const TO: Kind = Kind::AnyOf(&[Kind::Text("the name of a cluster"), ENDPOINT_ADDRESS, ENDPOINTS]);
pub(super) const ZONE: Kind = Kind::Text("a name like \"eu-west-1a\"");
pub(super) const SEND_PROXY: Kind = Kind::AnyOf(&[Kind::Words(&["v2"]), OFF]);
pub(super) const ENDPOINT_HTTP2_DOC: &str = "Speak HTTP/2 with endpoints, many requests on a connection: agreed on when TLS begins, or in \
    the clear with prior knowledge. What gRPC needs. WebSocket needs endpoints that take tunnels (RFC 8441).";
pub(super) const SEND_PROXY_DOC: &str = "Whether connections to endpoints begin with a header of the PROXY protocol that names the \
    client: the endpoints must expect it. Such a connection carries the requests of one client's connection, so fewer \
    are reused.";

pub(crate) static CLUSTER: Table = Table {
    name: "cluster",
    title: "`[cluster.NAME]`",
    doc: "A named set of interchangeable endpoints. Letters, digits, `.`, `_` and `-` make a name.",
    keys: &[
        key(
            "endpoints",
            ENDPOINTS,
            Required,
            "[\"10.0.0.1:8001\", { address = \"10.0.0.2:8001\", weight = 2 }, \"unix:/run/app.sock\"]",
            "Its endpoints, at least one. A name is one endpoint: where it resolves to several addresses, all requests go to the one that could be connected to last, the others are for when it cannot.",
        ),
        key(
            "tls",
            ENDPOINT_TLSES,
            Words(ENDPOINT_TLS_DEFAULT),
            "{ ca = \"/etc/tidegate/ca.pem\" }",
            ENDPOINT_TLS_DOC,
        ),
        key(
            "balance",
            BALANCES,
            Inherited("at the top"),
            "{ algorithm = \"hash\", key = \"path\" }",
            BALANCE_DOC,
        ),
        key("sticky", STICKIES, Inherited("at the top"), "{ cookie = \"app\" }", STICKY_DOC),
        key(
            "health",
            HEALTHS,
            Inherited("at the top"),
            "{ path = \"/healthz\", interval = \"5s\" }",
            HEALTH_DOC,
        ),
        key("passive", PASSIVES, Inherited("at the top"), "\"off\"", PASSIVE_DOC),
        key("breaker", BREAKERS, Inherited("at the top"), "{ failures = 10 }", BREAKER_DOC),
        key("failure_statuses", STATUSES, Inherited("at the top"), "[500, 503]", FAILURES_DOC),
        key("send_proxy_protocol", SEND_PROXY, Inherited("at the top"), "\"v2\"", SEND_PROXY_DOC),
        key("endpoint_http2", Kind::Boolean, Inherited("at the top"), "true", ENDPOINT_HTTP2_DOC),
        key(
            "limit",
            Kind::Table(&CLUSTER_LIMIT),
            Inherited("`[limit]`"),
            "{ upstream_connections = 100 }",
            "How much may be open or waiting.",
        ),
    ],
};

pub(crate) static ENDPOINT: Table = Table {
    name: "endpoint",
    title: "An endpoint as a table",
    doc: "`{ address = \"10.0.0.2:8001\", weight = 2 }` in a list of endpoints.",
    keys: &[
        key("address", ENDPOINT_ADDRESS, Required, "\"[::1]:8001\"", "Where it listens."),
        key("weight", Kind::Integer { min: 1, max: 1000 }, Value("1"), "2", "Its share of the load."),
        key(
            "tier",
            Kind::Integer { min: 0, max: 255 },
            Value("0"),
            "1",
            "0 is the first. A later tier gets what the earlier ones cannot take: nothing as long as 1.4 times the healthy part \
                of the first covers it.",
        ),
        key(
            "zone",
            ZONE,
            Words("none: near"),
            "\"b\"",
            "Where it stands. In another zone than the proxy's own it costs `adaptive` more: see `zone_cost_percent`.",
        ),
        key(
            "requests",
            CONNECTIONS,
            Words("the cluster's `limit.endpoint_requests`"),
            "20",
            "Requests in flight there at once.",
        ),
    ],
};
