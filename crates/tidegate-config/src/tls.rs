//! How a listener speaks TLS. Names files, opens none.

use std::path::PathBuf;
use std::time::Duration;

/// What clients are shown, and what they have to bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// At least one; the first is for clients that ask for nobody, or for somebody else.
    pub certificates: Vec<CertificateFiles>,
    /// Older versions are refused.
    pub min_version: TlsVersion,
    /// What clients show in return; `None`: they are not asked.
    pub client_auth: Option<ClientAuth>,
    /// How long clients are told to come by TLS only (RFC 6797); `None`: they are not.
    pub hsts: Option<Duration>,
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

/// A certificate with its chain, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
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
