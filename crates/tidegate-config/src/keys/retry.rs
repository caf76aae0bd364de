//! Trying again: retries, their budget, hedging.

use super::Default::{Value, Words};
use super::kinds::{DURATION_OR_OFF, OFF};
use super::{Kind, Table, key};

pub(super) const RETRIES: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&RETRY)]);
pub(super) const HEDGES: Kind = Kind::AnyOf(&[Kind::Boolean, OFF, Kind::Table(&HEDGE)]);
const RETRY_WORDS: Kind =
    Kind::Words(&["connect", "reset", "timeout", "grpc_resource_exhausted", "grpc_unavailable"]);
const RETRY_STATUS: Kind = Kind::Integer { min: 400, max: 599 };
const RETRY_STATUSES: Kind = Kind::Text("a range of statuses like \"502-504\"");
pub(super) const RETRY_DOC: &str = "When a request is tried on another endpoint; `\"off\"` for never. Only what may be done twice is \
    ever sent twice: by its method (RFC 9110 §9.2.2), or because the client sends an `Idempotency-Key`.";
pub(super) const HEDGE_DOC: &str = "Send a request that waits on an endpoint which looks stalled to another one, too, where a slot is \
    free, and take the answer that begins first. Only requests without a body that may be done twice.";

pub(crate) static RETRY: Table = Table {
    name: "retry",
    title: "`[retry]` and `[route.retry]`",
    doc: "When a request is tried again, on another endpoint where there is one, else on the same. Where no endpoint takes a \
        connection, it waits as long as that may be a restart, of them or of a switch before them: some answered before, and for less than five seconds no connect has come about. \
        `limit.pending_requests` bounds how many wait for that, at half of it. What a route leaves out it inherits from the top. Why a failed request was not tried again stands in the access log (`no_retry`) and the metrics.",
    keys: &[
        key(
            "attempts",
            Kind::Integer { min: 1, max: 10 },
            Value("3"),
            "5",
            "Tries in all, the first included, without those whose connection is refused while another endpoint can be tried, which are \
                followed by the next at once; one more where a kept connection turned out dead, and up to six where no \
                endpoint takes a connection and some may be back in a moment. 1: nothing is tried again.",
        ),
        key(
            "on",
            Kind::List(&Kind::AnyOf(&[RETRY_WORDS, RETRY_STATUS, RETRY_STATUSES])),
            Value("[\"connect\", \"reset\"]"),
            "[\"connect\", \"reset\", \"timeout\", 502, \"503-504\"]",
            "`connect`: the connection could not be made. `reset`: it died before the first byte of an answer. `timeout`: \
                    no answer began within `timeout.first_byte` or `timeout.attempt`. A status: the endpoint answered with \
                    it, and asking once more may help: 503, or 429 and 404 where endpoints differ. All but `connect` hold only for what may be done twice: by its \
                    method (RFC 9110 §9.2.2), or because the client sends an `Idempotency-Key`. `grpc_…`: a gRPC call \
                    ended with that status and nothing before it, not even metadata: nothing was done, so somebody else is asked.",
        ),
        key(
            "budget",
            Kind::AnyOf(&[OFF, Kind::Table(&RETRY_BUDGET)]),
            Words("see `[retry.budget]`"),
            "{ percent = 20 }",
            "What pays for retries, for each cluster, so that they never multiply an overload; `\"off\"`: nobody counts. Free are those that follow a refused connection, to another endpoint or after a wait for a restart, and the first after a connection that could not be made otherwise, or died before an answer, where it goes to another endpoint.",
        ),
        key(
            "backoff",
            DURATION_OR_OFF,
            Value("\"25ms\""),
            "\"100ms\"",
            "Before the third try, by chance between half of it and all; doubled before each later one. The second try \
                    goes to another endpoint at once; where there is none, it waits as well. Those that have refused a \
                    connection are left alone for a second at least, unless this is `\"off\"`.",
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
        "At most so many for each hundred requests of the cluster, and one a second beside.",
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
