//! The table of `tls` where endpoints are: a list, to be read like one.
//!
//! It refuses to know how values are read.

use super::Default::{Value, Words};
use super::{Kind, Table, key};

pub(super) const ENDPOINT_TLSES: Kind =
    Kind::AnyOf(&[Kind::Boolean, Kind::Words(&["off"]), Kind::Table(&ENDPOINT_TLS)]);
pub(super) const ENDPOINT_TLS_DOC: &str = "Whether connections to the endpoints are encrypted, and whom they have to be signed by. \
    `https://` before the addresses says `true`.";
pub(super) const ENDPOINT_TLS_DEFAULT: &str =
    "`true` when the addresses begin with `https://`, else `\"off\"`";

const PEM: Kind = Kind::Text("the path of a PEM file");

pub(crate) static ENDPOINT_TLS: Table = Table {
    name: "endpoint_tls",
    title: "`[cluster.NAME.tls]`",
    doc: "TLS with endpoints. Files that change are read again by themselves.",
    keys: &[
        key(
            "ca",
            PEM,
            Words("the authorities that this machine trusts"),
            "\"/etc/tidegate/internal-ca.pem\"",
            "The authorities that may have signed the endpoints' certificates, and no others.",
        ),
        key(
            "server_name",
            Kind::Text("a host"),
            Words("the host of the endpoint's address"),
            "\"app.internal\"",
            "The name that the endpoints' certificates have to be for, and that they are asked for (SNI).",
        ),
        key(
            "cert",
            PEM,
            Words("none"),
            "\"/etc/tidegate/proxy.pem\"",
            "A certificate to show to endpoints that ask who connects, and behind it those that lead to a root.",
        ),
        key(
            "key",
            PEM,
            Words("none"),
            "\"/etc/tidegate/proxy.key\"",
            "The private key of `cert`, not encrypted.",
        ),
        key(
            "min_version",
            Kind::Words(&["1.2", "1.3"]),
            Value("\"1.2\""),
            "\"1.3\"",
            "Endpoints that speak only older versions are refused.",
        ),
        key(
            "verify",
            Kind::Boolean,
            Value("true"),
            "false",
            "`false` believes whoever answers: anybody on the way may read and change everything.",
        ),
    ],
};
