//! Who vouches for the clients of a listener, and what they have taken back: from PEM files to a verifier.

use super::files::{CertificateError, bundle, chain, unreadable};
use super::lapse::Lapse;
use super::tickets::Demanded;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tidegate_config::{ClientAuth, ClientDemand};

/// What is demanded of the clients of a listener.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) demanded: Demanded,
    /// When the files that this comes from have had their time.
    pub(super) lapses: Vec<Lapse>,
}

impl Clients {
    /// Nothing.
    pub(super) fn anybody() -> Self {
        Self {
            verifier: WebPkiClientVerifier::no_client_auth(),
            demanded: Demanded::default(),
            lapses: Vec::new(),
        }
    }

    pub(super) fn load(auth: &ClientAuth) -> Result<Self, CertificateError> {
        let mut digest = Sha256::new_with_prefix(auth.demand.word());
        let mut roots = RootCertStore::empty();
        let authorities = chain(&auth.ca)?;
        if authorities.is_empty() {
            return Err(CertificateError::NoCertificate { path: auth.ca.clone() });
        }
        let mut lapses: Vec<_> = Lapse::of_authorities(&auth.ca, &authorities).into_iter().collect();
        for authority in authorities {
            feed(&mut digest, &authority);
            roots.add(authority).map_err(|error| CertificateError::Malformed {
                path: auth.ca.clone(),
                reason: error.to_string(),
            })?;
        }
        let mut revoked = Vec::new();
        for path in &auth.crls {
            let lists = revocations(path)?;
            lapses.extend(Lapse::of_revocations(path, &lists));
            for list in lists {
                feed(&mut digest, &list);
                revoked.push(list);
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).with_crls(revoked);
        if auth.demand == ClientDemand::Optional {
            builder = builder.allow_unauthenticated();
        }
        // Everything but the revocation lists has been taken already.
        let path = auth.crls.first().unwrap_or(&auth.ca);
        let bad = |reason: String| CertificateError::BadRevocations { path: path.clone(), reason };
        let verifier = builder.build().map_err(|error| bad(error.to_string()))?;
        Ok(Self { verifier, demanded: Demanded(Some(digest.finalize().into())), lapses })
    }
}

/// With its length, so that no two lists of pieces are fed alike.
fn feed(digest: &mut Sha256, piece: &[u8]) {
    digest.update(piece.len().to_be_bytes());
    digest.update(piece);
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, CertificateError> {
    let read = CertificateRevocationListDer::pem_slice_iter(&bundle(path)?).collect::<Result<Vec<_>, _>>();
    let lists = read.map_err(|error| unreadable(path, error))?;
    if lists.is_empty() {
        return Err(CertificateError::NoRevocations { path: path.to_owned() });
    }
    Ok(lists)
}
