//! What takes an endpoint out: checks, marking by requests, breakers.

use super::Default::{Value, Words};
use super::kinds::{DURATION_OR_OFF, OFF, STATUS};
use super::{Kind, Table, key};

pub(super) const HEALTHS: Kind = Kind::AnyOf(&[
    Kind::Text("a path like \"/health\""),
    Kind::Words(&["tcp", "off"]),
    Kind::Boolean,
    Kind::Table(&HEALTH),
]);
pub(super) const PASSIVES: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&PASSIVE)]);
pub(super) const BREAKERS: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&BREAKER)]);
pub(super) const HEALTH_DOC: &str = "Active checks: a path to `GET`, `true` or `\"tcp\"` for a connection alone, `\"off\"`, or a \
    table.";
pub(super) const PASSIVE_DOC: &str = "Marking an endpoint down when requests cannot connect to it.";
pub(super) const BREAKER_DOC: &str = "Taking an endpoint out that answers with failures; `true`, `\"off\"`, or a table. `adaptive` \
    avoids such endpoints by itself.";
pub(super) const FAILURES_DOC: &str = "Statuses that count as failures, for `adaptive` and for `breaker`.";

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
            "After this long one request tries it again. Where it waits half a second in vain, as for a machine without power, \
                the next one comes after twice as long while others are up, up to sixteen times. A health check that works again brings it at once.",
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
