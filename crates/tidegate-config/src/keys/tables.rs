//! The tables themselves: a list, to be read like one.
//!
//! It refuses to know how values are read; [`crate::keys`] says what the parts mean.

use super::Default::{Inherited, Required, Value, Words};
use super::balance::{BALANCE, BALANCE_DOC, BALANCES, HASH_KEY, STICKIES, STICKY, STICKY_DOC};
use super::endpoint_tls::{ENDPOINT_TLS, ENDPOINT_TLS_DEFAULT, ENDPOINT_TLS_DOC, ENDPOINT_TLSES};
use super::passage::{COURSE, COURSE_KIND, COURSE_TIMEOUT, COURSES, SNI_DOC, TCP_DOC};
use super::rate_limit::{RATE_KEY, RATE_LIMIT, RATE_LIMIT_DOC, RATE_LIMITS};
use super::tls::{ACME, CERTIFICATE, DNS, HSTS, INTERNAL, TLS, TLS_DOC, TLSES};
use super::{Kind, Table, key};

/// All tables, in the order of the reference.
pub(crate) static ALL: [&Table; 35] = [
    &ROOT,
    &LISTENER,
    &COURSE,
    &COURSE_TIMEOUT,
    &TLS,
    &ACME,
    &DNS,
    &HSTS,
    &INTERNAL,
    &CERTIFICATE,
    &ROUTE,
    &PATH,
    &ANSWER,
    &REDIRECT,
    &CLUSTER,
    &ENDPOINT,
    &ENDPOINT_TLS,
    &BALANCE,
    &HASH_KEY,
    &STICKY,
    &HEALTH,
    &PASSIVE,
    &BREAKER,
    &TIMEOUT,
    &ROUTE_TIMEOUT,
    &RATE_LIMIT,
    &RATE_KEY,
    &LIMIT,
    &ROUTE_LIMIT,
    &CLUSTER_LIMIT,
    &RETRY,
    &RETRY_BUDGET,
    &HEDGE,
    &LOG,
    &ADMIN,
];

const BIND: Kind = Kind::Text("an address like \":8080\", \"127.0.0.1:80\" or \"unix:/run/web.sock\"");
const NETWORKS: Kind = Kind::AnyOf(&[Kind::Text("a network like \"10.0.0.0/8\""), Kind::List(&NETWORK)]);
const NETWORK: Kind = Kind::Text("a network like \"10.0.0.0/8\"");
const ENDPOINT_ADDRESS: Kind =
    Kind::Text("an address like \"10.0.0.1:8001\", \"https://app.internal\" or \"unix:/run/app.sock\"");
const ENDPOINTS: Kind = Kind::List(&Kind::AnyOf(&[ENDPOINT_ADDRESS, Kind::Table(&ENDPOINT)]));
const TO: Kind = Kind::AnyOf(&[Kind::Text("the name of a cluster"), ENDPOINT_ADDRESS, ENDPOINTS]);
const ZONE: Kind = Kind::Text("a name like \"eu-west-1a\"");
const OFF: Kind = Kind::Words(&["off"]);
pub(super) const DURATION_OR_OFF: Kind = Kind::AnyOf(&[Kind::Duration, OFF]);
const CONNECTIONS: Kind = Kind::Integer { min: 1, max: 10_000_000 };
const HEALTHS: Kind = Kind::AnyOf(&[
    Kind::Text("a path like \"/health\""),
    Kind::Words(&["tcp", "off"]),
    Kind::Boolean,
    Kind::Table(&HEALTH),
]);
const PASSIVES: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&PASSIVE)]);
const BREAKERS: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&BREAKER)]);
const STATUSES: Kind = Kind::AnyOf(&[STATUS, Kind::List(&STATUS)]);
pub(super) const RETRIES: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&RETRY)]);
const HEDGES: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&HEDGE)]);
const RETRY_WORDS: Kind =
    Kind::Words(&["connect", "reset", "timeout", "grpc_resource_exhausted", "grpc_unavailable"]);
const RETRY_STATUS: Kind = Kind::Integer { min: 500, max: 599 };
const RETRY_STATUSES: Kind = Kind::Text("a range of statuses like \"502-504\"");
const STATUS: Kind =
    Kind::AnyOf(&[Kind::Integer { min: 100, max: 599 }, Kind::Text("a range like \"200-399\"")]);

const HEALTH_DOC: &str = "Active checks: a path to `GET`, `true` or `\"tcp\"` for a connection alone, `\"off\"`, or a \
    table.";
const PASSIVE_DOC: &str = "Marking an endpoint down when requests cannot connect to it.";
const BREAKER_DOC: &str = "Taking an endpoint out that answers with failures; `true`, `\"off\"`, or a table. `adaptive` \
    avoids such endpoints by itself.";
const FAILURES_DOC: &str = "Statuses that count as failures, for `adaptive` and for `breaker`.";
const RETRY_DOC: &str = "When a request is tried on another endpoint; `\"off\"` for never. Only what may be done twice is \
    ever sent twice: by its method (RFC 9110 §9.2.2), or because the client sends an `Idempotency-Key`.";
const HEDGE_DOC: &str = "Send a request that waits on an endpoint which looks stalled to another one, too, where a slot is \
    free, and take the answer that begins first. Only requests without a body that may be done twice.";
const ATTEMPT_DOC: &str = "From the pick of an endpoint to the first byte of its answer; then the next try's turn comes \
    (`retry.on = [\"timeout\"]`), or the answer is 504.";

const PROXY_PROTOCOL_FROM_DOC: &str = "Peers whose connections begin with a header of the PROXY protocol (version 1 or \
    2), which then says who the client is. From them it is required; from everyone else it is refused.";

const SEND_PROXY: Kind = Kind::AnyOf(&[Kind::Words(&["v2"]), OFF]);
const ENDPOINT_HTTP2_DOC: &str = "Speak HTTP/2 with endpoints, many requests on a connection: agreed on when TLS begins, or in \
    the clear with prior knowledge. What gRPC needs. WebSocket needs endpoints that take tunnels (RFC 8441).";
const SEND_PROXY_DOC: &str = "Whether connections to endpoints begin with a header of the PROXY protocol that names the \
    client: the endpoints must expect it. Such a connection carries the requests of one client's connection, so fewer \
    are reused.";

pub(crate) static ROOT: Table = Table {
    name: "root",
    title: "The top of the file",
    doc: "The shorthand for one listener and one route that takes everything, and what all others inherit. Keys of \
        the top come before the first `[table]`.",
    keys: &[
        key(
            "listen",
            Kind::AnyOf(&[BIND, Kind::List(&BIND)]),
            Words("none; this or a `[[listener]]` is needed"),
            "[\":8080\", \"unix:/run/web.sock\"]",
            "Where clients connect; each address is a listener. `:80` is every address of the machine, port 0 one \
                    that the system picks.",
        ),
        key(
            "to",
            TO,
            Words("none"),
            "[\"localhost:8001\", { address = \"localhost:8002\", weight = 2 }]",
            "Where requests go that no `[[route]]` takes: a route for everything, after all others.",
        ),
        key("balance", BALANCES, Value("\"adaptive\""), "\"round_robin\"", BALANCE_DOC),
        key("sticky", STICKIES, Value("\"off\""), "true", STICKY_DOC),
        key("health", HEALTHS, Value("\"off\""), "\"/health\"", HEALTH_DOC),
        key("passive", PASSIVES, Value("true"), "{ connect_failures = 5 }", PASSIVE_DOC),
        key("breaker", BREAKERS, Value("\"off\""), "true", BREAKER_DOC),
        key("failure_statuses", STATUSES, Value("[500, \"502-504\"]"), "\"500-599\"", FAILURES_DOC),
        key("retry", RETRIES, Value("true"), "{ attempts = 2 }", RETRY_DOC),
        key("hedge", HEDGES, Value("\"off\""), "true", HEDGE_DOC),
        key(
            "trusted_proxies",
            NETWORKS,
            Value("[]"),
            "[\"10.0.0.0/8\", \"fd00::/8\"]",
            "Peers whose `Forwarded` and `X-Forwarded-*` fields are believed; anyone else's are replaced.",
        ),
        key("rate_limit", RATE_LIMITS, Value("\"off\""), "\"100/s\"", RATE_LIMIT_DOC),
        key("proxy_protocol_from", NETWORKS, Value("[]"), "\"10.0.0.0/8\"", PROXY_PROTOCOL_FROM_DOC),
        key("send_proxy_protocol", SEND_PROXY, Value("\"off\""), "\"v2\"", SEND_PROXY_DOC),
        key("endpoint_http2", Kind::Boolean, Value("false"), "true", ENDPOINT_HTTP2_DOC),
        key(
            "workers",
            Kind::AnyOf(&[Kind::Integer { min: 1, max: 1024 }, Kind::Words(&["auto"])]),
            Value("\"auto\""),
            "2",
            "Threads that serve requests; `auto` is one for each core.",
        ),
        key(
            "zone",
            ZONE,
            Words("none"),
            "\"a\"",
            "Where the proxy stands: endpoints of the same `zone`, and those without one, are near.",
        ),
        key(
            "timeout",
            Kind::Table(&TIMEOUT),
            Words("see `[timeout]`"),
            "{ head = \"5s\" }",
            "See `[timeout]`.",
        ),
        key("limit", Kind::Table(&LIMIT), Words("see `[limit]`"), "{ connections = 100 }", "See `[limit]`."),
        key("log", Kind::Table(&LOG), Words("see `[log]`"), "{ access = \"stdout\" }", "See `[log]`."),
        key(
            "admin",
            Kind::AnyOf(&[BIND, OFF, Kind::Table(&ADMIN)]),
            Value("\"127.0.0.1:9901\""),
            "\"unix:/run/admin.sock\"",
            "Where `/metrics`, `/livez` and `/readyz` are served: an address, `\"off\"`, or a table.",
        ),
        key(
            "listener",
            Kind::List(&Kind::Table(&LISTENER)),
            Words("none"),
            "[{ bind = \":8080\" }]",
            "Where clients connect, when more is to be said than an address: `[[listener]]`.",
        ),
        key(
            "route",
            Kind::List(&Kind::Table(&ROUTE)),
            Words("none"),
            "[{ path = \"/api/\", to = \"h:2\" }]",
            "What to do with which request: `[[route]]`.",
        ),
        key(
            "cluster",
            Kind::MapOf(&Kind::Table(&CLUSTER)),
            Words("none"),
            "{ app = { endpoints = [\"h:2\"] } }",
            "Named sets of endpoints: `[cluster.NAME]`.",
        ),
    ],
};

pub(crate) static LISTENER: Table = Table {
    name: "listener",
    title: "`[[listener]]`",
    doc: "A bound address and whom it trusts.",
    keys: &[
        key("bind", BIND, Required, "\":8080\"", "The address to bind."),
        key(
            "http2",
            Kind::Boolean,
            Value("true"),
            "false",
            "Speak HTTP/2 with clients that ask for it: when TLS begins, or in the clear by beginning with it (prior knowledge).",
        ),
        key("tcp", COURSE_KIND, Words("HTTP"), "\"db\"", TCP_DOC),
        key("sni", COURSES, Words("none"), "{ \"db.example.com\" = \"db\" }", SNI_DOC),
        key("tls", TLSES, Words("plain HTTP"), "{ cert = \"a.pem\", key = \"a.key\" }", TLS_DOC),
        key(
            "redirect_https",
            Kind::AnyOf(&[Kind::Boolean, Kind::Integer { min: 1, max: 65535 }]),
            Value("false"),
            "8443",
            "Send every request to the same address at `https://` (308), and to this port if it is not 443 (`true`). Paths below \
             `/.well-known/acme-challenge/` are served: authorities ask for them in the clear.",
        ),
        key(
            "connections",
            CONNECTIONS,
            Inherited("`[limit]`"),
            "5000",
            "Open client connections on this listener, at most. Beyond it, new ones are closed at once.",
        ),
        key(
            "trusted_proxies",
            NETWORKS,
            Inherited("at the top"),
            "\"10.0.0.0/8\"",
            "Peers whose `Forwarded` and `X-Forwarded-*` fields are believed here.",
        ),
        key(
            "proxy_protocol_from",
            NETWORKS,
            Inherited("at the top"),
            "\"10.0.0.0/8\"",
            PROXY_PROTOCOL_FROM_DOC,
        ),
    ],
};

pub(crate) static ROUTE: Table = Table {
    name: "route",
    title: "`[[route]]`",
    doc: "What a request must look like, and what is done about it: exactly one of `to`, `answer` and `redirect`. Of \
        all routes that match, the most specific wins: an exact host before a wildcard, a longer wildcard before a \
        shorter, any host last; then an exact path before a prefix, a longer prefix before a shorter; \
        then the one with more conditions on method and header; then the order of the file.",
    keys: &[
        key(
            "name",
            Kind::Text("a name"),
            Words("made from the matchers"),
            "\"shop\"",
            "What logs and metrics call it; no two routes share one.",
        ),
        key(
            "host",
            Kind::AnyOf(&[Kind::Text("a host like \"example.com\" or \"*.example.com\""), Kind::List(&HOST)]),
            Words("any"),
            "[\"example.com\", \"*.example.com\"]",
            "The host, without a port. `*.` stands for one or more labels.",
        ),
        key(
            "path",
            Kind::AnyOf(&[Kind::Text("a path like \"/api/\""), Kind::Table(&PATH)]),
            Value("\"/\""),
            "\"/api/\"",
            "A prefix of whole segments: `/api` takes `/api` and `/api/x` and not `/apix`; `/api/` takes `/api/x` and \
                not `/api`. Or a table.",
        ),
        key(
            "method",
            Kind::AnyOf(&[Kind::Text("a method like \"GET\""), Kind::List(&METHOD)]),
            Words("any"),
            "[\"GET\", \"HEAD\"]",
            "The method, in the case it is sent in.",
        ),
        key(
            "header",
            Kind::MapOf(&Kind::AnyOf(&[Kind::Text("a value"), Kind::Boolean])),
            Words("none"),
            "{ X-Canary = \"1\", Authorization = true }",
            "Header fields that must be there: with exactly this value, or with any (`true`). When a field stands in several lines, one that fits is enough.",
        ),
        key(
            "to",
            TO,
            Words("none"),
            "\"localhost:8001\"",
            "Where requests go: a cluster, or endpoints on the spot.",
        ),
        key(
            "answer",
            Kind::Table(&ANSWER),
            Words("none"),
            "{ status = 404, body = \"nothing here\" }",
            "An answer of the proxy's own.",
        ),
        key(
            "redirect",
            Kind::Table(&REDIRECT),
            Words("none"),
            "{ to = \"https://{host}{path}{query}\" }",
            "Sends the client elsewhere.",
        ),
        key(
            "tls",
            ENDPOINT_TLSES,
            Words(ENDPOINT_TLS_DEFAULT),
            "true",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key(
            "balance",
            BALANCES,
            Inherited("at the top"),
            "\"hash\"",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key("sticky", STICKIES, Inherited("at the top"), "{ cookie = \"app\" }", STICKY_DOC),
        key(
            "health",
            HEALTHS,
            Inherited("at the top"),
            "\"/health\"",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key(
            "passive",
            PASSIVES,
            Inherited("at the top"),
            "\"off\"",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key(
            "breaker",
            BREAKERS,
            Inherited("at the top"),
            "true",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key(
            "failure_statuses",
            STATUSES,
            Inherited("at the top"),
            "[500, 503]",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key(
            "send_proxy_protocol",
            SEND_PROXY,
            Inherited("at the top"),
            "\"v2\"",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key(
            "endpoint_http2",
            Kind::Boolean,
            Inherited("at the top"),
            "true",
            "Of endpoints on the spot; see `[cluster.NAME]`.",
        ),
        key("retry", RETRIES, Inherited("at the top"), "\"off\"", RETRY_DOC),
        key("hedge", HEDGES, Inherited("at the top"), "true", HEDGE_DOC),
        key(
            "timeout",
            Kind::Table(&ROUTE_TIMEOUT),
            Inherited("`[timeout]`"),
            "{ total = \"30s\" }",
            "How long the stages of a request may take here.",
        ),
        key(
            "limit",
            Kind::Table(&ROUTE_LIMIT),
            Inherited("`[limit]`"),
            "{ body_bytes = \"1MiB\" }",
            "How much may pass here.",
        ),
        key(
            "priority",
            Kind::Words(&["high", "normal", "low"]),
            Value("\"normal\""),
            "\"high\"",
            "Whose turn it is when requests wait for an endpoint: of 21 turns that all wait for, `high` gets 16, `normal` 4 \
                and `low` 1. In order of arrival within each.",
        ),
        key(
            "rate_limit",
            RATE_LIMITS,
            Inherited("at the top"),
            "{ requests = \"5/m\", burst = 10 }",
            "How often a client may ask here; then it counts for this route alone, and the one at the top does not.",
        ),
        key(
            "preserve_host",
            Kind::Boolean,
            Value("true"),
            "false",
            "Pass the client's `Host` on; otherwise send the endpoint's address.",
        ),
    ],
};

const HOST: Kind = Kind::Text("a host like \"example.com\" or \"*.example.com\"");
const METHOD: Kind = Kind::Text("a method like \"GET\"");

pub(crate) static PATH: Table = Table {
    name: "path",
    title: "`path` as a table",
    doc: "Exactly one of its keys. Paths are compared without the query and in their canonical form, those of routes and those of \
          requests alike: `%7e` is `~`, `%c3` is `%C3`, `//` is one `/`, and `.` and `..` are resolved. A request whose path has \
          `%2f`, `%5c`, `\\` or `%00` is refused with 400, and no switch allows it: some servers take these for a slash or an end \
          and others do not, so that a route which protects a path could be gone round.",
    keys: &[
        key("exact", Kind::Text("a path like \"/ping\""), Words("none"), "\"/ping\"", "The whole path."),
        key(
            "prefix",
            Kind::Text("a path like \"/api/\""),
            Words("none"),
            "\"/api/\"",
            "As `path = \"/api/\"`.",
        ),
    ],
};

pub(crate) static ANSWER: Table = Table {
    name: "answer",
    title: "`[route.answer]`",
    doc: "An answer of the proxy's own.",
    keys: &[
        key("status", Kind::Integer { min: 200, max: 599 }, Value("200"), "503", "The status."),
        key(
            "body",
            Kind::Text("a text"),
            Value("\"\""),
            "\"be back soon\"",
            "The body; none for 204 and 304.",
        ),
        key(
            "content_type",
            Kind::Text("a media type"),
            Value("\"text/plain; charset=utf-8\""),
            "\"text/html\"",
            "What the body is.",
        ),
    ],
};

pub(crate) static REDIRECT: Table = Table {
    name: "redirect",
    title: "`[route.redirect]`",
    doc: "Sends the client elsewhere.",
    keys: &[
        key(
            "to",
            Kind::Text("a URL like \"https://example.com{path}{query}\""),
            Required,
            "\"https://{host}{path}{query}\"",
            "The `Location`. `{host}` is the request's host without its port, `{path}` its path, `{query}` \
                    its query with the `?`, or nothing; `{{` is a plain `{`.",
        ),
        key(
            "status",
            Kind::Integer { min: 301, max: 308 },
            Value("308"),
            "302",
            "301, 302, 303, 307 or 308; with 307 and 308 the method stays.",
        ),
    ],
};

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
            "Its endpoints, at least one. A name may resolve to several addresses; all are tried.",
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

pub(crate) static HEALTH: Table = Table {
    name: "health",
    title: "`[cluster.NAME.health]`",
    doc: "Active checks of every endpoint.",
    keys: &[
        key(
            "type",
            Kind::Words(&["http", "grpc", "tcp"]),
            Words("`http` when there is a `path`, `host` or `expect`, else `tcp`"),
            "\"http\"",
            "What is tried: `http` a `GET`, `grpc` a call of `grpc.health.v1.Health/Check`, `tcp` a connection alone.",
        ),
        key("path", Kind::Text("a path like \"/health\""), Value("\"/\""), "\"/healthz\"", "What to `GET`."),
        key(
            "host",
            Kind::Text("a host"),
            Words("the endpoint's address"),
            "\"app.internal\"",
            "The `Host` that is sent.",
        ),
        key(
            "service",
            Kind::Text("the name of a gRPC service"),
            Words("all of the endpoint"),
            "\"shop.Cart\"",
            "The service that a check of type `grpc` asks for.",
        ),
        key(
            "expect",
            Kind::AnyOf(&[STATUS, Kind::List(&STATUS)]),
            Value("\"200-399\""),
            "[\"200-299\", 401]",
            "The statuses that are good.",
        ),
        key("interval", Kind::Duration, Value("\"2s\""), "\"10s\"", "From one check to the next."),
        key(
            "jitter",
            DURATION_OR_OFF,
            Words("a tenth of `interval`"),
            "\"500ms\"",
            "Up to this much more, at random, so that checks spread.",
        ),
        key("timeout", Kind::Duration, Value("\"1s\""), "\"500ms\"", "A whole check."),
        key(
            "rise",
            Kind::Integer { min: 1, max: 100 },
            Value("2"),
            "1",
            "Good checks in a row that bring it up.",
        ),
        key(
            "fall",
            Kind::Integer { min: 1, max: 100 },
            Value("3"),
            "5",
            "Bad checks in a row that bring it down.",
        ),
    ],
};

pub(crate) static PASSIVE: Table = Table {
    name: "passive",
    title: "`passive` as a table",
    doc: "Marking an endpoint down when requests cannot connect to it.",
    keys: &[
        key(
            "connect_failures",
            Kind::Integer { min: 1, max: 1000 },
            Value("3"),
            "10",
            "Failed connects in a row that bring it down.",
        ),
        key(
            "retry_after",
            Kind::Duration,
            Value("\"2s\""),
            "\"30s\"",
            "After this long one request tries it again.",
        ),
    ],
};

pub(crate) static BREAKER: Table = Table {
    name: "breaker",
    title: "`breaker` as a table",
    doc: "Taking an endpoint out that answers with failures. When its time is over one request tries it: if that succeeds it is \
        back, if not it is out for twice as long. The last endpoint that is up is never taken out.",
    keys: &[
        key(
            "failures",
            Kind::AnyOf(&[Kind::Integer { min: 1, max: 1000 }, OFF]),
            Value("5"),
            "10",
            "Failures in a row that take it out.",
        ),
        key(
            "margin_percent",
            Kind::AnyOf(&[Kind::Integer { min: 1, max: 100 }, OFF]),
            Value("20"),
            "\"off\"",
            "Percent points that its success rate may be below the median endpoint's; beyond that, and beyond what chance \
                explains, it is taken out. Nobody is when all fail alike.",
        ),
        key(
            "requests",
            Kind::Integer { min: 1, max: 1_000_000 },
            Value("100"),
            "20",
            "Requests that it must have had in the period for its success rate to count.",
        ),
        key("period", Kind::Duration, Value("\"10s\""), "\"5s\"", "Over which success rates are taken."),
        key(
            "ejected_percent",
            Kind::Integer { min: 0, max: 100 },
            Value("50"),
            "30",
            "The part of the cluster that may be out by the breaker at once; one endpoint always may.",
        ),
        key(
            "retry_after",
            Kind::Duration,
            Value("\"10s\""),
            "\"30s\"",
            "After this long one request tries it.",
        ),
        key(
            "retry_after_max",
            Kind::Duration,
            Value("\"5m\""),
            "\"1m\"",
            "Up to this `retry_after` is doubled, each time that the endpoint is still failing.",
        ),
    ],
};

pub(super) const CONNECT_DOC: &str = "A connection to one endpoint.";
const FIRST_BYTE_DOC: &str = "From the whole request sent to the first byte of the answer.";
const BODY_IDLE_DOC: &str = "No byte of a body moved, in either direction.";
const TOTAL_DOC: &str = "From the request's head to the answer's last byte, all attempts together.";
const TUNNEL_IDLE_DOC: &str = "No byte moved on an upgraded connection.";

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
            "A TLS handshake with a client, from the connection on.",
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
    doc: "The timeouts that a route may change.",
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

const QUEUE_DOC: &str = "An endpoint that may have one more request, when none does; then the answer is 503.";

const BODY_BYTES: Kind = Kind::AnyOf(&[Kind::Size { min: 0, max: 1 << 50 }, OFF]);
const IDLE_CONNECTIONS: Kind = Kind::Integer { min: 0, max: 10_000_000 };
const CONNECTIONS_OR_OFF: Kind = Kind::AnyOf(&[CONNECTIONS, OFF]);
const BODY_BYTES_DOC: &str = "A request body; beyond it the answer is 413.";
const ENDPOINT_REQUESTS: Kind = Kind::AnyOf(&[CONNECTIONS, Kind::Words(&["auto", "off"])]);
const ENDPOINT_REQUESTS_DOC: &str = "Requests in flight at once, per endpoint; when all endpoints have that many, requests \
    wait for the first that has one less. `auto`: as many as keep it busy, learned from its answers.";
const REQUESTS: Kind = Kind::AnyOf(&[CONNECTIONS, Kind::Words(&["auto"])]);
const REQUESTS_DOC: &str = "Requests in service at once, tunnels among them; beyond it the answer is 503. `auto`: as many as fit \
    the memory that the process may use, each at its worst, and no more than `connections`.";
const HANDSHAKES_DOC: &str = "TLS handshakes with clients that are under way at once; each worker has its share. Further ones wait \
    for their turn, until `timeout.handshake`. `auto`: 512 for each worker.";
const QUEUED_DOC: &str = "Requests that wait for an endpoint that may have one more, per cluster; beyond it the answer is \
    503. 0: none waits.";
const PENDING_DOC: &str =
    "Requests that wait for a connection or open one, per cluster; beyond it the answer is 503.";
const IDLE_DOC: &str = "Idle connections kept for reuse, per endpoint.";
const UPSTREAM_DOC: &str = "Connections in use at once, per endpoint; beyond it requests wait.";

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
        key("pending_requests", CONNECTIONS, Value("1000"), "100", PENDING_DOC),
        key("upstream_idle_connections", IDLE_CONNECTIONS, Value("1024"), "0", IDLE_DOC),
        key("upstream_connections", CONNECTIONS_OR_OFF, Value("\"off\""), "100", UPSTREAM_DOC),
    ],
};

pub(crate) static ROUTE_LIMIT: Table = Table {
    name: "route_limit",
    title: "`[route.limit]`",
    doc: "The limits that a route may change.",
    keys: &[key("body_bytes", BODY_BYTES, Inherited("`[limit]`"), "\"1MiB\"", BODY_BYTES_DOC)],
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

pub(crate) static RETRY: Table = Table {
    name: "retry",
    title: "`[retry]` and `[route.retry]`",
    doc: "When a request is tried again, on another endpoint where there is one. What a route leaves out it inherits from \
        the top. Why a failed request was not tried again stands in the access log (`no_retry`) and the metrics.",
    keys: &[
        key(
            "attempts",
            Kind::Integer { min: 1, max: 10 },
            Value("3"),
            "5",
            "Tries in all, the first included.",
        ),
        key(
            "on",
            Kind::List(&Kind::AnyOf(&[RETRY_WORDS, RETRY_STATUS, RETRY_STATUSES])),
            Value("[\"connect\", \"reset\"]"),
            "[\"connect\", \"reset\", \"timeout\", 502, \"503-504\"]",
            "`connect`: the connection could not be made. `reset`: it died before the first byte of an answer. `timeout`: \
                    no answer began within `timeout.first_byte` or `timeout.attempt`. A status: the endpoint answered with \
                    it, and somebody else can be asked. All but `connect` hold only for what may be done twice: by its \
                    method (RFC 9110 §9.2.2), or because the client sends an `Idempotency-Key`. `grpc_…`: a gRPC call \
                    ended with that status before any message: nothing was done, so somebody else is asked.",
        ),
        key(
            "budget",
            Kind::AnyOf(&[OFF, Kind::Table(&RETRY_BUDGET)]),
            Words("see `[retry.budget]`"),
            "{ percent = 20 }",
            "What pays for retries, for each cluster, so that they never multiply an overload; `\"off\"`: nobody counts. The first retry after a connection that could not be made, or died before an answer, is free.",
        ),
        key(
            "backoff",
            DURATION_OR_OFF,
            Value("\"25ms\""),
            "\"100ms\"",
            "Before the third try, by chance between half of it and all; doubled before each later one. The second try \
                    goes to another endpoint at once.",
        ),
        key(
            "body_bytes",
            Kind::AnyOf(&[Kind::Size { min: 1, max: 16 << 20 }, OFF]),
            Value("\"64KiB\""),
            "\"1MiB\"",
            "How much of a request body is kept for another try; a request whose body is longer is not tried again once \
                    more than this of it has been sent.",
        ),
    ],
};

pub(crate) static HEDGE: Table = Table {
    name: "hedge",
    title: "`[hedge]` and `[route.hedge]`",
    doc: "Second attempts beside a first. Needs `balance = \"adaptive\"`, whose learning tells a stalled endpoint from a \
        large request.",
    keys: &[key(
        "percent",
        Kind::Integer { min: 1, max: 100 },
        Value("2"),
        "5",
        "At most so many for each hundred requests of the cluster.",
    )],
};

pub(crate) static RETRY_BUDGET: Table = Table {
    name: "retry_budget",
    title: "`[retry.budget]`",
    doc: "Retries that a cluster has to bear, counted over about ten seconds, all its routes together.",
    keys: &[
        key(
            "percent",
            Kind::Integer { min: 0, max: 1000 },
            Value("10"),
            "20",
            "Retries for each hundred requests.",
        ),
        key(
            "per_second",
            Kind::Integer { min: 0, max: 1_000_000 },
            Value("3"),
            "10",
            "Retries a second, however few the requests.",
        ),
    ],
};

pub(crate) static LOG: Table = Table {
    name: "log",
    title: "`[log]`",
    doc: "What is logged, and where to.",
    keys: &[
        key(
            "access",
            Kind::AnyOf(&[
                Kind::Words(&["off", "stdout", "stderr"]),
                Kind::Text("a file like \"/var/log/access.log\""),
            ]),
            Value("\"off\""),
            "\"stdout\"",
            "Where one line for each finished request goes.",
        ),
        key("format", Kind::Words(&["json", "text"]), Value("\"json\""), "\"text\"", "How that line looks."),
    ],
};

pub(crate) static ADMIN: Table = Table {
    name: "admin",
    title: "`[admin]`",
    doc: "Where `/metrics`, `/livez` and `/readyz` are served. Whoever reaches it may operate the proxy: keep it on \
        loopback.",
    keys: &[key(
        "bind",
        Kind::AnyOf(&[BIND, OFF]),
        Value("\"127.0.0.1:9901\""),
        "\"127.0.0.1:9000\"",
        "The address to bind, or `\"off\"`.",
    )],
};
