//! The tables of `tcp` and `sni`: a list, to be read like one.
//!
//! It refuses to know how values are read.

use super::Default::{Inherited, Required, Words};
use super::kinds::DURATION_OR_OFF;
use super::retry::RETRIES;
use super::timeout::CONNECT_DOC;
use super::{Kind, Table, key};

const CLUSTER_NAME: Kind = Kind::Text("a cluster by its name");
const ALPN: Kind = Kind::Text("a protocol like \"imap\"");

pub(super) const TCP_DOC: &str = "Passes every connection on to an endpoint of this cluster, byte for byte. With `tls`, what is decrypted here.";
const RETRY_DOC: &str = "When another endpoint is tried: of the reasons in `[retry]` only `connect` can be one, as nothing has \
    been sent then; `\"off\"` for never.";
pub(super) const SNI_DOC: &str = "Clusters by the name that clients ask for when they begin TLS: such connections are passed \
    on as they are, not decrypted. `*.example.com` stands for all names below, and `*` for whatever name, or none. Others go \
    on as `tls` and `tcp` say, else they are refused.";

pub(super) const COURSE_KIND: Kind = Kind::AnyOf(&[CLUSTER_NAME, Kind::Table(&COURSE)]);
pub(super) const COURSES: Kind =
    Kind::MapOf(&Kind::AnyOf(&[CLUSTER_NAME, Kind::Table(&COURSE), Kind::List(&COURSE_KIND)]));

pub(crate) static COURSE: Table = Table {
    name: "course",
    title: "`tcp` and `sni` as tables",
    doc: "Where connections go that are passed on as they are, and how. A name in `sni` may have a list of these: the \
        first that takes the client's protocols counts.",
    keys: &[
        key("to", CLUSTER_NAME, Required, "\"db\"", "The cluster."),
        key(
            "alpn",
            Kind::AnyOf(&[ALPN, Kind::List(&ALPN)]),
            Words("whatever they want to speak"),
            "[\"imap\", \"pop3\"]",
            "Only clients that offer to speak one of these when they begin TLS. In `sni` alone.",
        ),
        key(
            "timeout",
            Kind::Table(&COURSE_TIMEOUT),
            Inherited("`[timeout]`"),
            "{ connect = \"1s\", tunnel_idle = \"8h\" }",
            "How long may be waited here.",
        ),
        key("retry", RETRIES, Inherited("at the top"), "{ attempts = 5 }", RETRY_DOC),
    ],
};

pub(crate) static COURSE_TIMEOUT: Table = Table {
    name: "course_timeout",
    title: "`timeout` of `tcp` and `sni`",
    doc: "The timeouts that connections have which are passed on.",
    keys: &[
        key(
            "queue",
            Kind::Duration,
            Inherited("`[timeout]`"),
            "\"500ms\"",
            "An endpoint that may have one more, when none does.",
        ),
        key("connect", Kind::Duration, Inherited("`[timeout]`"), "\"1s\"", CONNECT_DOC),
        key("tunnel_idle", DURATION_OR_OFF, Inherited("`[timeout]`"), "\"8h\"", "No byte moved either way."),
    ],
};
