//! The tables of `rate_limit`: a list, to be read like one.
//!
//! It refuses to know how values are read.

use super::Default::{Required, Value, Words};
use super::{Kind, Table, key};
use crate::rate_limit::BURST_MAX;

pub(super) const RATE_LIMITS: Kind = Kind::AnyOf(&[RATE, Kind::Words(&["off"]), Kind::Table(&RATE_LIMIT)]);
pub(super) const RATE_LIMIT_DOC: &str = "How often a client may ask, as in `\"100/s\"`, or a table; beyond it the answer is \
    429. At the top it counts the requests of all routes together that have no `rate_limit` of their own.";

const RATE: Kind = Kind::Text("a rate like \"100/s\"");

pub(super) static RATE_LIMIT: Table = Table {
    name: "rate_limit",
    title: "`rate_limit` as a table",
    doc: "How often somebody may ask, counted by the generic cell rate algorithm: evenly, after a burst.",
    keys: &[
        key(
            "requests",
            RATE,
            Required,
            "\"10/m\"",
            "So many in so long: per `s`, `m`, `h`, `d`, or a duration, as in `\"1/5s\"`.",
        ),
        key(
            "burst",
            Kind::Integer { min: 1, max: BURST_MAX },
            Words("as many as `requests` says"),
            "20",
            "So many at once, after a pause.",
        ),
        key(
            "key",
            Kind::AnyOf(&[Kind::Words(&["client_address", "all"]), Kind::Table(&RATE_KEY)]),
            Value("\"client_address\""),
            "{ header = \"X-Api-Key\" }",
            "Whose requests are counted together: those of a client, `all`, or those with the same value of a header field.",
        ),
        key(
            "ipv4_prefix",
            Kind::Integer { min: 0, max: 32 },
            Value("32"),
            "24",
            "How many bits of an IPv4 address make a client.",
        ),
        key(
            "ipv6_prefix",
            Kind::Integer { min: 0, max: 128 },
            Value("64"),
            "56",
            "How many bits of an IPv6 address make a client: each has at least a /64 to itself.",
        ),
        key(
            "keys",
            Kind::Integer { min: 8, max: 100_000_000 },
            Value("65536"),
            "1000000",
            "How many clients are told apart, 16 bytes of memory each. Of more, those share a count who ask least.",
        ),
    ],
};

pub(super) static RATE_KEY: Table = Table {
    name: "rate_key",
    title: "`key` of `rate_limit` as a table",
    doc: "A request without the field is counted with all others that have none.",
    keys: &[key(
        "header",
        Kind::Text("a field name"),
        Required,
        "\"X-Api-Key\"",
        "The value of this header field.",
    )],
};
