//! The tables of `tls`: a list, to be read like one.
//!
//! It refuses to know how values are read.

use super::Default::{Required, Value, Words};
use super::{Kind, Table, key};

pub(super) const TLSES: Kind = Kind::AnyOf(&[Kind::Words(&["internal"]), Kind::Table(&TLS)]);
pub(super) const TLS_DOC: &str = "What makes this listener speak HTTPS: a certificate and its key. Files that change are \
    read again by themselves. `\"internal\"` stands for `{ internal = true }`.";

const CERT: Kind = Kind::Text("the path of a PEM file");

/// Of a list.
const PATH: Kind = Kind::Text("a path like \"/etc/tidegate/a.pem\"");

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
            "acme",
            Kind::AnyOf(&[Kind::Boolean, Kind::Table(&ACME)]),
            Value("false"),
            "{ hosts = [\"example.com\"] }",
            "Certificates that an authority hands out by itself, renewed in time: for the hosts of the routes, or for those that \
             are named.",
        ),
        key(
            "internal",
            Kind::AnyOf(&[Kind::Boolean, Kind::Table(&INTERNAL)]),
            Value("false"),
            "true",
            "For development: a certificate made here, for the hosts of the routes and this machine. Browsers believe it once \
             they are told to believe the root that it leads to.",
        ),
        key(
            "min_version",
            Kind::Words(&["1.2", "1.3"]),
            Value("\"1.2\""),
            "\"1.3\"",
            "Older versions of TLS are refused.",
        ),
        key(
            "hsts",
            Kind::AnyOf(&[Kind::Boolean, Kind::Duration, Kind::Table(&HSTS)]),
            Value("false"),
            "\"30d\"",
            "Tell browsers to come by HTTPS only, for so long (`Strict-Transport-Security`); `true` is a year. What an endpoint \
             says of that itself passes instead.",
        ),
        key(
            "client_auth",
            Kind::Words(&["off", "optional", "required"]),
            Words("`required` when there is a `client_ca`"),
            "\"optional\"",
            "Whether clients have to show a certificate. Endpoints hear of it in `Client-Cert` (RFC 9440), which is always removed \
             from what clients send.",
        ),
        key(
            "client_ca",
            CERT,
            Words("none"),
            "\"/etc/tidegate/clients.pem\"",
            "The certificates that vouch for clients.",
        ),
        key(
            "client_crl",
            Kind::AnyOf(&[CERT, Kind::List(&PATH)]),
            Words("none"),
            "\"/etc/tidegate/revoked.pem\"",
            "Revocation lists. With one, there must be one of everybody who vouches for a client.",
        ),
        key(
            "client_chain",
            Kind::Boolean,
            Value("false"),
            "true",
            "Also tell endpoints what stands between a client's certificate and `client_ca`, in `Client-Cert-Chain`.",
        ),
    ],
};

pub(super) static HSTS: Table = Table {
    name: "hsts",
    title: "`tls.hsts`",
    doc: "What browsers are told to remember (RFC 6797). They cannot be told to forget it sooner, but by an answer over HTTPS.",
    keys: &[
        key("max_age", Kind::Duration, Value("\"365d\""), "\"30d\"", "For how long."),
        key(
            "include_subdomains",
            Kind::Boolean,
            Value("false"),
            "true",
            "All hosts below this one, too, whoever serves them.",
        ),
        key(
            "preload",
            Kind::Boolean,
            Value("false"),
            "true",
            "Makers of browsers may put the host on the list that they ship; takes a year and `include_subdomains`.",
        ),
    ],
};

pub(super) static ACME: Table = Table {
    name: "acme",
    title: "`tls.acme`",
    doc: "Automatic certificates (RFC 8555). `true` stands for all defaults, and for accepting the terms of the authority.",
    keys: &[
        key(
            "hosts",
            Kind::List(&HOST),
            Words("the hosts of all routes, but for addresses, and wildcards unless there is a `dns`"),
            "[\"example.com\", \"www.example.com\"]",
            "A certificate for each of them; those with `*.` need a `dns`.",
        ),
        key(
            "email",
            Kind::Text("an address like \"ops@example.com\""),
            Words("none"),
            "\"ops@example.com\"",
            "Where the authority writes to when something is wrong.",
        ),
        key(
            "ca",
            Kind::Text("a URL like \"https://acme.example.com/directory\""),
            Value("\"https://acme-v02.api.letsencrypt.org/directory\""),
            "\"https://acme-staging-v02.api.letsencrypt.org/directory\"",
            "The directory of the authority.",
        ),
        key(
            "ca_root",
            CERT,
            Words("what the system trusts"),
            "\"/etc/tidegate/internal-ca.pem\"",
            "What the authority's own HTTPS certificate leads to.",
        ),
        key(
            "challenge",
            Kind::Words(&["dns-01", "http-01", "tls-alpn-01"]),
            Words("`dns-01` when there is a `dns`, else the others by turns"),
            "\"http-01\"",
            "How it is shown that a host is ours: `http-01` on port 80 of the host, `tls-alpn-01` on port 443, `dns-01` by a record in \
             the DNS. Wildcards always go by `dns-01`.",
        ),
        key(
            "dns",
            Kind::Table(&DNS),
            Words("records are not put into the DNS"),
            "{ command = [\"/etc/tidegate/dns-hook\"] }",
            "How records come into the DNS: by a command, or by a server that takes updates (RFC 2136).",
        ),
        key(
            "folder",
            Kind::Text("a path like \"/var/lib/tidegate/acme\""),
            Words(
                "`$STATE_DIRECTORY/acme`, or `/var/lib/tidegate/acme` for root, or `$XDG_STATE_HOME/tidegate/acme`",
            ),
            "\"/srv/tidegate/acme\"",
            "Where the account and the certificates are kept, readable by nobody else.",
        ),
    ],
};

pub(super) static DNS: Table = Table {
    name: "dns",
    title: "`tls.acme.dns`",
    doc: "How records come into the DNS, for `dns-01`: by one of `command` and `server`.",
    keys: &[
        key(
            "command",
            Kind::List(&WORD),
            Words("none"),
            "[\"/etc/tidegate/dns-hook\", \"--zone\", \"example.com\"]",
            "A program and its arguments. `present` or `cleanup`, the name and the value of a TXT record follow; `TIDEGATE_ACME_ACTION`, \
             `_HOST`, `_NAME`, `_VALUE` and `_ZONE` say the same.",
        ),
        key(
            "server",
            Kind::Text("a host like \"ns1.example.com\""),
            Words("none"),
            "\"ns1.example.com\"",
            "A server that takes updates of the zone (RFC 2136), with a port if it is not 53.",
        ),
        key(
            "key",
            CERT_KEY,
            Words("updates are not signed"),
            "\"/etc/tidegate/acme.key\"",
            "The file with the key that updates are signed with (TSIG), as `tsig-keygen` writes it: hmac-sha256, hmac-sha384 or \
             hmac-sha512.",
        ),
        key(
            "resolver",
            Kind::AnyOf(&[RESOLVER, Kind::List(&RESOLVER)]),
            Words("those of `/etc/resolv.conf`"),
            "\"10.0.0.53\"",
            "Who is asked which zone a name belongs to and who serves it, over TCP; with a port if it is not 53.",
        ),
        key(
            "timeout",
            Kind::Duration,
            Value("\"1m\""),
            "\"10s\"",
            "How long the command, or the server, may take.",
        ),
        key(
            "wait",
            Kind::Duration,
            Value("\"2m\""),
            "\"10m\"",
            "How long it may take from there until every server of the zone shows the record: only then is the authority told to look. \
             Where none of them can be asked, this is how long it has.",
        ),
    ],
};

/// Of a list.
const WORD: Kind = Kind::Text("an argument like \"--zone\"");

const CERT_KEY: Kind = Kind::Text("the path of a file");

const RESOLVER: Kind = Kind::Text("an address like \"10.0.0.53\"");

pub(super) static INTERNAL: Table = Table {
    name: "internal",
    title: "`tls.internal`",
    doc: "A certificate made here, for development. `true` stands for all defaults.",
    keys: &[
        key(
            "hosts",
            Kind::List(&HOST),
            Words("the hosts of all routes, `localhost`, `127.0.0.1` and `::1`"),
            "[\"app.test\", \"*.app.test\", \"10.0.0.7\"]",
            "What it is for: names, wildcards and addresses.",
        ),
        key(
            "folder",
            Kind::Text("a path like \"/var/lib/tidegate/internal\""),
            Words(
                "`$STATE_DIRECTORY/internal`, or `/var/lib/tidegate/internal` for root, or `$XDG_STATE_HOME/tidegate/internal`",
            ),
            "\"/srv/tidegate/internal\"",
            "Where the root and the certificate are kept, readable by nobody else. What browsers have to be told to believe is \
             `root.pem` in there.",
        ),
    ],
};

/// Of a list.
const HOST: Kind = Kind::Text("a host like \"example.com\"");

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
