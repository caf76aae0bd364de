//! From PEM files to what a listener shows its clients. Knows no sockets.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidegate_config::{CertificateFiles, Config, Tls, TlsVersion};
use tidegate_proxy::tls::Terminator;
use tidegate_proxy::tls::certificates::{Certificate, Certificates, SharedCertificates};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate in {path} is malformed: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("the key in {key} is not the one of the certificate in {cert}")]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("{path} holds no certificate: it should begin with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate { path: PathBuf },
    #[error(
        "{path} holds no private key: it should begin with `-----BEGIN PRIVATE KEY-----`, and not be encrypted"
    )]
    NoKey { path: PathBuf },
    #[error("TLS is not possible here: {0}")]
    Library(rustls::Error),
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: PathBuf, error: String },
    #[error("the key in {path} cannot be used: {error}")]
    UnusableKey { path: PathBuf, error: rustls::Error },
}

/// Makes the tickets by which clients come back without a full handshake: one for all workers, and across reloads.
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, CertificateError> {
    aws_lc_rs::Ticketer::new().map_err(CertificateError::Library)
}

/// What each listener terminates TLS with, by its position in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Terminators(Vec<Option<Arc<Terminator>>>);

impl Terminators {
    pub(crate) fn load(
        config: &Config,
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, CertificateError> {
        let load = |tls: &Tls| terminator(tls, config.timeout.handshake, ticketer).map(Arc::new);
        let listeners = config.listeners.iter();
        listeners
            .map(|listener| listener.tls.as_ref().map(load).transpose())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn of(&self, listener: usize) -> Option<Arc<Terminator>> {
        self.0.get(listener)?.clone()
    }
}

fn terminator(
    tls: &Tls,
    handshake_timeout: Duration,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<Terminator, CertificateError> {
    let certificates = tls.certificates.iter().map(|files| certificate(files).map(Arc::new));
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    let certificates = Arc::new(SharedCertificates::new(Certificates::new(&certificates)));
    let versions: &[_] = match tls.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(CertificateError::Library)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificates) as _);
    config.ticketer = Arc::clone(ticketer);
    config.session_storage = Arc::new(NoServerSessionStorage {}); // tickets do it
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Terminator { config: Arc::new(config), certificates, handshake_timeout })
}

fn certificate(files: &CertificateFiles) -> Result<Certificate, CertificateError> {
    let chain = chain(&files.cert)?;
    let Some(leaf) = chain.first() else {
        return Err(CertificateError::NoCertificate { path: files.cert.clone() });
    };
    let names =
        names(leaf).map_err(|reason| CertificateError::Malformed { path: files.cert.clone(), reason })?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey { path: files.key.clone() },
        error => unreadable(&files.key, error),
    })?;
    let key =
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                CertificateError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
            }
            error => CertificateError::UnusableKey { path: files.key.clone(), error },
        })?;
    Ok(Certificate::new(names, key))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: pem::Error) -> CertificateError {
    let error = match error {
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    CertificateError::Unreadable { path: path.to_owned(), error }
}

/// The names and addresses that a certificate is for (RFC 9525 §6: the common name is not one of them).
fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = alternatives.map(|extension| &extension.value.general_names).into_iter().flatten();
    Ok(names.filter_map(name).collect())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
            let v6 = || <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::Ipv6Addr::from(bytes).to_string());
            v4.or_else(|_| v6()).ok()
        }
        _ => None,
    }
}
