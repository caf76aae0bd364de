//! How a listener speaks TLS. Names files, opens none.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What clients are shown, and what they have to bring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The first is for clients that ask for nobody, or for somebody else; at least one, unless there is `acme` or `internal`.
    pub certificates: Vec<CertificateFiles>,
    /// Which certificates an authority is asked for; `None`: none.
    pub acme: Option<Acme>,
    /// What the certificate made here is for; `None`: there is none.
    pub internal: Option<Internal>,
    /// Older versions are refused.
    pub min_version: TlsVersion,
    /// What clients show in return; `None`: they are not asked.
    pub client_auth: Option<ClientAuth>,
    /// What clients are told about coming by TLS only (RFC 6797); `None`: they are not.
    pub hsts: Option<Hsts>,
}

/// What browsers are to remember (RFC 6797 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    pub max_age: Duration,
    pub include_subdomains: bool,
    /// Makers of browsers may put the host on their list.
    pub preload: bool,
}

/// Which certificates of clients are good, and what is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    pub demand: ClientDemand,
    /// PEM: those who vouch for clients.
    pub ca: PathBuf,
    /// PEM: what they have taken back.
    pub crls: Vec<PathBuf>,
    /// Endpoints hear of the chain, too.
    pub chain: bool,
}

/// What becomes of clients without a certificate; a bad one is refused in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientDemand {
    /// They are served.
    Optional,
    /// They are refused.
    Required,
}

impl ClientDemand {
    /// As configured.
    pub fn word(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Certificates that an authority hands out by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acme {
    /// One certificate for each; at least one.
    pub hosts: Vec<String>,
    pub email: Option<String>,
    /// The URL of the authority's directory.
    pub ca: String,
    /// PEM: what the authority's own certificate leads to; `None`: what the system knows.
    pub ca_root: Option<PathBuf>,
    /// How it is shown that a host is ours, but for wildcards; `None`: by `dns` if it is given, else one way after the other.
    pub challenge: Option<AcmeChallenge>,
    /// How records come into the DNS; wildcards need it. `None`: they do not.
    pub dns: Option<AcmeDns>,
    /// Where the account and the certificates are kept; `None`: where the system keeps such things.
    pub folder: Option<PathBuf>,
}

/// Let's Encrypt.
pub(crate) const ACME_CA: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl Default for Acme {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            email: None,
            ca: ACME_CA.to_owned(),
            ca_root: None,
            challenge: None,
            dns: None,
            folder: None,
        }
    }
}

/// A certificate made here, that leads to a root made here, which nobody knows until they are told to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Internal {
    /// Names, wildcards and addresses; at least one.
    pub hosts: Vec<String>,
    /// Where the root and the certificate are kept; `None`: where the system keeps such things.
    pub folder: Option<PathBuf>,
}

/// What an authority looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcmeChallenge {
    /// A record, RFC 8555 §8.4.
    Dns01,
    /// Port 80, RFC 8555 §8.3.
    Http01,
    /// Port 443, RFC 8737.
    TlsAlpn01,
}

impl AcmeChallenge {
    /// As configured.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// How records come into the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AcmeDns {
    pub through: DnsThrough,
    /// Who is asked where a zone is served; none: whom the system asks.
    pub resolvers: Vec<SocketAddr>,
    /// How long the command, or the server, may take.
    pub timeout: Duration,
    /// How long it may take from there until the servers of the zone show the record.
    pub wait: Duration,
}

/// Who changes a zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DnsThrough {
    /// A program and its arguments.
    Command(Vec<String>),
    /// A server that takes updates (RFC 2136): a host, with a port if it is not 53; and the file with the key that it knows.
    Server { address: String, key: Option<PathBuf> },
}

/// What the server of a zone, or the command, is given.
pub(crate) const DNS_TIMEOUT: Duration = Duration::from_mins(1);

/// Secondary servers are told at once, or look again after some minutes.
pub(crate) const DNS_WAIT: Duration = Duration::from_mins(2);

/// A certificate with its chain, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// PEM, the server's own certificate first.
    pub cert: PathBuf,
    /// PEM, not encrypted.
    pub key: PathBuf,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    /// As configured.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}
