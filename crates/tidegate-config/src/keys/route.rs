//! Routes: what they match and what they do.

use super::Default::{Inherited, Required, Value, Words};
use super::balance::{BALANCES, STICKIES, STICKY_DOC};
use super::cluster::{SEND_PROXY, TO};
use super::endpoint_tls::{ENDPOINT_TLS_DEFAULT, ENDPOINT_TLSES};
use super::health::{BREAKERS, HEALTHS, PASSIVES};
use super::kinds::STATUSES;
use super::limit::ROUTE_LIMIT;
use super::rate_limit::RATE_LIMITS;
use super::retry::{HEDGE_DOC, HEDGES, RETRIES, RETRY_DOC};
use super::timeout::ROUTE_TIMEOUT;
use super::{Kind, Table, key};

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
