//! The file itself, listeners, the log and the admin listener.

use super::Default::{Inherited, Required, Value, Words};
use super::balance::{BALANCE_DOC, BALANCES, STICKIES, STICKY_DOC};
use super::cluster::{CLUSTER, ENDPOINT_HTTP2_DOC, SEND_PROXY, SEND_PROXY_DOC, TO, ZONE};
use super::health::{BREAKER_DOC, BREAKERS, FAILURES_DOC, HEALTH_DOC, HEALTHS, PASSIVE_DOC, PASSIVES};
use super::kinds::{CONNECTIONS, OFF, STATUSES};
use super::limit::LIMIT;
use super::passage::{COURSE_KIND, COURSES, SNI_DOC, TCP_DOC};
use super::rate_limit::{RATE_LIMIT_DOC, RATE_LIMITS};
use super::retry::{HEDGE_DOC, HEDGES, RETRIES, RETRY_DOC};
use super::route::ROUTE;
use super::timeout::TIMEOUT;
use super::tls::{TLS_DOC, TLSES};
use super::{Kind, Table, key};

const BIND: Kind = Kind::Text("an address like \":8080\", \"127.0.0.1:80\" or \"unix:/run/web.sock\"");
const NETWORKS: Kind = Kind::AnyOf(&[Kind::Text("a network like \"10.0.0.0/8\""), Kind::List(&NETWORK)]);
const NETWORK: Kind = Kind::Text("a network like \"10.0.0.0/8\"");
const PROXY_PROTOCOL_FROM_DOC: &str = "Peers whose connections begin with a header of the PROXY protocol (version 1 or \
    2), which then says who the client is. From them it is required; from everyone else it is refused.";

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
            "Peers whose `Forwarded` and `X-Forwarded-*` fields are believed, and whose `X-Request-Id` is kept; anyone else's are replaced.",
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
