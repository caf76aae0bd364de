//! From PEM files to what a listener shows its clients. Knows no sockets, and not who shows what.

use super::age::Validity;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_acme::{BUNDLE_MAX, CERTIFICATE_MAX, InternalError, read_file};
use tidegate_config::CertificateFiles;
use tidegate_proxy::tls::certificates::Certificate;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the revocation list in {path} is malformed: {reason}")]
    BadRevocations { path: PathBuf, reason: String },
    #[error(transparent)]
    Internal(#[from] InternalError),
    #[error("the certificate in {path} is malformed: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("the key in {key} is not the one of the certificate in {cert}")]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("this machine trusts no authority: install ca-certificates, or name one with `ca = \"FILE\"`")]
    NoAuthorities,
    #[error("{path} holds no certificate: it should begin with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate { path: PathBuf },
    #[error(
        "{path} holds no private key: it should begin with `-----BEGIN PRIVATE KEY-----`, and not be encrypted"
    )]
    NoKey { path: PathBuf },
    #[error("{path} holds no revocation list: it should begin with `-----BEGIN X509 CRL-----`")]
    NoRevocations { path: PathBuf },
    #[error("TLS is not possible here: {0}")]
    Library(rustls::Error),
    #[error(
        "two authorities are asked for certificates for {host:?}, and both would be kept in {place}: {first} and \
         {second}; give one of the two a `folder` of its own: `acme = {{ folder = \"/var/lib/tidegate/staging\", … }}`"
    )]
    TwoAuthorities { host: String, place: PathBuf, first: String, second: String },
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: PathBuf, error: String },
    #[error("the key in {path} cannot be used: {error}")]
    UnusableKey { path: PathBuf, error: rustls::Error },
}

/// A certificate that can be shown, and what it says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) names: Vec<String>,
    pub(crate) validity: Validity,
}

/// Reads a pair of files.
pub(crate) fn load(files: &CertificateFiles) -> Result<Loaded, CertificateError> {
    let (cert, key) = (contents(&files.cert)?, contents(&files.key)?);
    loaded(&cert, &key, files)
}

/// What a pair of files holds.
pub(crate) fn loaded(cert: &[u8], key: &[u8], files: &CertificateFiles) -> Result<Loaded, CertificateError> {
    let key = certified(cert, key, files)?;
    let Some(leaf) = key.cert.first() else {
        return Err(CertificateError::NoCertificate { path: files.cert.clone() });
    };
    let (names, validity) =
        facts(leaf).map_err(|reason| CertificateError::Malformed { path: files.cert.clone(), reason })?;
    let certificate = Arc::new(Certificate::new(names.iter().cloned(), key));
    Ok(Loaded { certificate, names, validity })
}

/// A key, and a chain that begins with its certificate.
pub(crate) fn certified_key(files: &CertificateFiles) -> Result<CertifiedKey, CertificateError> {
    certified(&contents(&files.cert)?, &contents(&files.key)?, files)
}

fn certified(cert: &[u8], key: &[u8], files: &CertificateFiles) -> Result<CertifiedKey, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unreadable(&files.cert, error))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: files.cert.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey { path: files.key.clone() },
        error => unreadable(&files.key, error),
    })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CertificateError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
        }
        error => CertificateError::UnusableKey { path: files.key.clone(), error },
    })
}

fn contents(path: &Path) -> Result<Vec<u8>, CertificateError> {
    read(path, CERTIFICATE_MAX)
}

/// Of many, or of what has grown.
pub(super) fn bundle(path: &Path) -> Result<Vec<u8>, CertificateError> {
    read(path, BUNDLE_MAX)
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, CertificateError> {
    read_file(path, max)
        .map_err(|error| CertificateError::Unreadable { path: path.to_owned(), error: error.to_string() })
}

pub(crate) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read = CertificateDer::pem_slice_iter(&bundle(path)?).collect::<Result<Vec<_>, _>>();
    read.map_err(|error| unreadable(path, error))
}

pub(super) fn unreadable(path: &Path, error: pem::Error) -> CertificateError {
    let error = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("\"-----END {}-----\" is missing", end_marker.escape_ascii())
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("a section begins with \"{}\"", line.escape_ascii())
        }
        error => error.to_string(),
    };
    CertificateError::Unreadable { path: path.to_owned(), error }
}

/// The names and addresses that a certificate is for (RFC 9525 §6: the common name is not one of them), and its life.
pub(super) fn facts(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, Validity), String> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = alternatives.map(|extension| &extension.value.general_names).into_iter().flatten();
    let life = parsed.validity();
    let validity =
        Validity { not_before: life.not_before.timestamp(), not_after: life.not_after.timestamp() };
    Ok((names.filter_map(name).collect(), validity))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said_in_letters() {
        let cases = [
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n",
                "a.pem cannot be read: \"-----END CERTIFICATE-----\" is missing",
            ),
            ("-----BEGIN CERT\n", "a.pem cannot be read: a section begins with \"-----BEGIN CERT\""),
        ];
        for (text, said) in cases {
            let error = CertificateDer::from_pem_slice(text.as_bytes()).unwrap_err();
            assert_eq!(unreadable(Path::new("a.pem"), error).to_string(), said);
        }
    }
}
