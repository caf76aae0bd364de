//! What an authority wants to see before it believes that a host is ours.

use crate::dns::Dns;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use std::pin::Pin;
use tokio::sync::OwnedMutexGuard;

/// The ways of showing it.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// By a record in the DNS; also that everything below a name is ours.
    Dns(&'a Dns),
    /// By what is answered to whoever connects.
    Shown(ChallengeKind, &'a dyn Answers),
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(dns) => f.debug_tuple("Dns").field(dns).finish(),
            Self::Shown(kind, _) => f.debug_tuple("Shown").field(kind).finish_non_exhaustive(),
        }
    }
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChallengeKind {
    /// RFC 8555 §8.3: a text at a path, on port 80.
    Http01,
    /// RFC 8737: a certificate that says it, on port 443.
    TlsAlpn01,
}

/// What is to be shown until it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `text` at `/.well-known/acme-challenge/TOKEN`.
    Http { token: String, text: String },
    /// This certificate to whoever asks for the host, and speaks `acme-tls/1`. DER, both.
    Tls { certificate: Vec<u8>, key: Vec<u8> },
}

/// Keeps others waiting until it is dropped.
pub type Turn = OwnedMutexGuard<()>;

/// Whoever can be seen from outside.
pub trait Answers: Send + Sync {
    /// Comes when nobody else shows anything for the host: two authorities may want to see it at the same time, and who asks for
    /// it does not say which one it is.
    fn turn(&self, host: &str) -> Pin<Box<dyn Future<Output = Turn> + Send>>;
    fn show(&self, host: &str, answer: Answer);
    fn forget(&self, host: &str);
}

/// RFC 8737 §3: self-signed, for the host alone, with the digest of what the authority knows.
pub(crate) fn proof(host: &str, digest: &[u8]) -> Result<Answer, rcgen::Error> {
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Answer::Tls { certificate: certificate.der().to_vec(), key: key.serialize_der() })
}
