//! How endpoints are spoken TLS with. Names files, opens none.

use std::path::PathBuf;

use crate::{CertificateFiles, Host, TlsVersion};

/// Whom to believe on the other side, and what to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointTls {
    /// Whose word makes an endpoint the one that it says it is.
    pub trust: Trust,
    /// The name that its certificate has to be for; `None`: the host of its address.
    pub server_name: Option<Host>,
    /// What endpoints are shown that ask who connects.
    pub identity: Option<CertificateFiles>,
    /// Older versions are refused.
    pub min_version: TlsVersion,
}

/// Whose signature makes a certificate a good one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Whoever answers is believed.
    Anyone,
    /// The authorities of this PEM file, and no others.
    File(PathBuf),
    /// Those that this machine trusts.
    #[default]
    System,
}
