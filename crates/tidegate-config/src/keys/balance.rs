//! The tables of keys that say how endpoints share the load.
//!
//! A list, as [`super::tables`]; it refuses to know how values are read.

use super::Default::{Value, Words};
use super::{Kind, Table, key};

pub(super) const BALANCES: Kind = Kind::AnyOf(&[ALGORITHMS, Kind::Table(&BALANCE)]);
/// Those that a word is enough for: all but the last, of which nobody knows what fills an endpoint but who writes a table.
const ALGORITHMS: Kind = Kind::Words(NAMES.split_at(NAMES.len() - 1).0);
const NAMES: &[&str] = &[
    "adaptive",
    "least_request",
    "round_robin",
    "random",
    "rendezvous",
    "maglev",
    "hash",
    "peak_ewma",
    "prequal",
    "reported_load",
    "first",
];

pub(super) const BALANCE_DOC: &str = "How endpoints share the load; docs/balancing.md says which algorithm fits when. \
    `adaptive`: the one that drains first, learned from its answers. `least_request`: the fewest in flight. `round_robin`: \
    in turn, by weight. `random`: the less loaded of two random ones. `rendezvous`, for which `hash` is another word: the \
    same key to the same endpoint; `maglev`: the same by a table, for hundreds of endpoints. `peak_ewma`, `prequal`: two \
    choices by latency, and the quickest that is not busy. `reported_load`: by what endpoints say they could serve. `first`: \
    fills one after the other.";

pub(super) static BALANCE: Table = Table {
    name: "balance",
    title: "`balance` as a table",
    doc: "For algorithms that can be told more. A key that the algorithm does not know is an error.",
    keys: &[
        key("algorithm", Kind::Words(NAMES), Value("\"adaptive\""), "\"round_robin\"", BALANCE_DOC),
        key(
            "peers",
            Kind::Integer { min: 1, max: 10_000 },
            Value("1"),
            "4",
            "Proxies that send to the same endpoints without telling each other, this one included: what `adaptive` expects.",
        ),
        key(
            "zone_cost_percent",
            Kind::Integer { min: 100, max: 100_000 },
            Value("150"),
            "200",
            "What a request costs on endpoints of another `zone`, compared with near ones, for `adaptive`: at 150 they are used \
                when the near ones are half as busy again.",
        ),
        key(
            "choices",
            Kind::Integer { min: 1, max: 16 },
            Value("2"),
            "3",
            "How many endpoints `random` looks at; the less loaded one wins.",
        ),
        key(
            "key",
            Kind::AnyOf(&[Kind::Words(&["client_address", "path"]), Kind::Table(&HASH_KEY)]),
            Value("\"client_address\""),
            "{ header = \"X-User\" }",
            "What `rendezvous` and `maglev` hash.",
        ),
        key(
            "bound_percent",
            Kind::AnyOf(&[Kind::Integer { min: 100, max: 10_000 }, Kind::Words(&["off"])]),
            Value("\"off\""),
            "125",
            "How much of an even load an endpoint may hold before keys of `rendezvous` and `maglev` spill over to their next \
                endpoint; `\"off\"`: a key stays as long as its endpoint is up.",
        ),
        key(
            "bound_by",
            Kind::Words(&["drain_time", "requests"]),
            Value("\"drain_time\""),
            "\"requests\"",
            "What the bound compares: how long what is in flight would take, as `adaptive` learns it (a slow or failing \
                endpoint spills sooner, and nobody spills as long as answers do not take longer for it), or requests in flight.",
        ),
        key(
            "in_flight_max",
            Kind::Integer { min: 1, max: 1_000_000 },
            Words("none; `first` needs it"),
            "50",
            "Requests in flight that fill an endpoint for `first`; the next one goes to the next endpoint.",
        ),
    ],
};

pub(super) const STICKIES: Kind = Kind::AnyOf(&[Kind::Boolean, Kind::Words(&["off"]), Kind::Table(&STICKY)]);
pub(super) const STICKY_DOC: &str = "A cookie that brings a client back to the endpoint it was with, whatever the \
    algorithm: `true`, or a table.";

pub(super) static STICKY: Table = Table {
    name: "sticky",
    title: "`sticky` as a table",
    doc: "The cookie says nothing about the endpoint and cannot be made up. It lasts until the browser is closed, is \
        `HttpOnly; SameSite=Lax; Path=/`, and `Secure` for clients that came by https. One that no endpoint here made is \
        ignored and replaced; so is one whose endpoint is down.",
    keys: &[
        key(
            "cookie",
            Kind::Text("a cookie's name"),
            Words("`tidegate_` and the name of the cluster"),
            "\"app\"",
            "Its name. Clusters of one site need different ones, or each replaces the other's: by default they have. \
                Endpoints on the spot have the name of their route.",
        ),
        key(
            "secret_file",
            Kind::Text("a file like \"/etc/tidegate/sticky.secret\""),
            Words("none: a secret is made at every start"),
            "\"/etc/tidegate/sticky.secret\"",
            "A file with at least 16 bytes that nobody can guess, the same for all proxies in front of these endpoints. Without \
                one, clients lose their endpoint when the proxy restarts.",
        ),
        key(
            "secret_env",
            Kind::Text("the name of a variable"),
            Words("none"),
            "\"STICKY_SECRET\"",
            "The same from a variable of the environment.",
        ),
        key(
            "bound_percent",
            Kind::AnyOf(&[Kind::Integer { min: 100, max: 10_000 }, Kind::Words(&["off"])]),
            Value("\"off\""),
            "150",
            "How much of an even load the endpoint may hold before the client is served elsewhere; it keeps its cookie and comes \
                back when there is room. `\"off\"`: it stays as long as its endpoint is up.",
        ),
        key(
            "bound_by",
            Kind::Words(&["drain_time", "requests"]),
            Value("\"drain_time\""),
            "\"requests\"",
            "What the bound compares, as for `balance`.",
        ),
        key("forward", Kind::Boolean, Value("false"), "true", "Let the endpoint see the cookie, too."),
    ],
};

pub(super) static HASH_KEY: Table = Table {
    name: "hash_key",
    title: "`key` of `balance` as a table",
    doc: "Exactly one of its keys. A request that carries none goes to any endpoint.",
    keys: &[
        key(
            "header",
            Kind::Text("a field name"),
            Words("none"),
            "\"X-User\"",
            "The value of this header field.",
        ),
        key("cookie", Kind::Text("a cookie's name"), Words("none"), "\"sid\"", "The value of this cookie."),
    ],
};
