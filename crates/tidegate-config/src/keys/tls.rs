//! The tables of `tls`: a list, to be read like one.
//!
//! It refuses to know how values are read.

use super::Default::{Required, Value, Words};
use super::{Kind, Table, key};

pub(super) const TLSES: Kind = Kind::Table(&TLS);
pub(super) const TLS_DOC: &str = "What makes this listener speak HTTPS: a certificate and its key. Files that change are \
    read again by themselves.";

const CERT: Kind = Kind::Text("the path of a PEM file");

pub(super) static TLS: Table = Table {
    name: "tls",
    title: "`tls`",
    doc: "Certificates, and which versions of TLS are spoken. Clients are shown the certificate for the name they ask for.",
    keys: &[
        key(
            "cert",
            CERT,
            Words("none"),
            "\"/etc/tidegate/example.com.pem\"",
            "The certificate, and behind it those that lead to a root.",
        ),
        key(
            "key",
            CERT,
            Words("none"),
            "\"/etc/tidegate/example.com.key\"",
            "The private key of `cert`, not encrypted.",
        ),
        key(
            "certificates",
            Kind::List(&Kind::Table(&CERTIFICATE)),
            Words("none"),
            "[{ cert = \"/etc/tidegate/b.pem\", key = \"/etc/tidegate/b.key\" }]",
            "Further ones, for other names, or for the same names with another kind of key.",
        ),
        key(
            "min_version",
            Kind::Words(&["1.2", "1.3"]),
            Value("\"1.2\""),
            "\"1.3\"",
            "Older versions of TLS are refused.",
        ),
    ],
};

pub(crate) static CERTIFICATE: Table = Table {
    name: "certificate",
    title: "a table of `tls.certificates`",
    doc: "A certificate and its key.",
    keys: &[
        key(
            "cert",
            CERT,
            Required,
            "\"/etc/tidegate/example.com.pem\"",
            "The certificate, and behind it those that lead to a root.",
        ),
        key(
            "key",
            CERT,
            Required,
            "\"/etc/tidegate/example.com.key\"",
            "The private key of `cert`, not encrypted.",
        ),
    ],
};
