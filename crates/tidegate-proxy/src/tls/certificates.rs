//! The certificates of a listener, and which of them a client is shown. Knows no files.

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// A certificate, its chain, its key, and the names that it is for.
#[derive(Debug)]
pub struct Certificate {
    /// In lower case; `*.` before those that are for any name one label longer.
    names: Vec<String>,
    key: Arc<CertifiedKey>,
}

impl Certificate {
    pub fn new(names: impl IntoIterator<Item = String>, key: CertifiedKey) -> Self {
        let names = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { names, key: Arc::new(key) }
    }

    /// Whether it is for `host`: a name in lower case, or an address.
    pub fn covers(&self, host: &str) -> bool {
        let any = wildcard_of(host);
        self.names.iter().any(|name| name == host || any.as_ref() == Some(name))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.key.algorithm()
    }
}

/// `a.b.c` → `*.b.c`: a wildcard stands for exactly one label (RFC 9525 §6.3).
fn wildcard_of(host: &str) -> Option<String> {
    let (first, rest) = host.split_once('.')?;
    (!first.is_empty() && !rest.is_empty()).then(|| format!("*.{rest}"))
}

/// Found by name; the first one is for clients that ask for nobody, or for somebody else.
#[derive(Debug, Default)]
pub struct Certificates {
    default: Vec<Arc<Certificate>>,
    by_name: HashMap<String, Vec<Arc<Certificate>>>,
}

impl Certificates {
    /// Of several for one name, all are kept: a client is shown the first that it can verify, short keys first.
    pub fn new(all: &[Arc<Certificate>]) -> Self {
        let mut by_name: HashMap<String, Vec<Arc<Certificate>>> = HashMap::new();
        for certificate in all {
            for name in &certificate.names {
                by_name.entry(name.clone()).or_default().push(Arc::clone(certificate));
            }
        }
        for same_name in by_name.values_mut() {
            same_name.sort_by_key(|certificate| certificate.algorithm() == SignatureAlgorithm::RSA);
        }
        add_other_keys_of_wildcards(&mut by_name);
        // Whoever asks for nobody may still need the other kind of key.
        let default = all.first().map_or_else(Vec::new, |first| {
            let twins = first.names.first().and_then(|name| by_name.get(name));
            twins.cloned().unwrap_or_else(|| vec![Arc::clone(first)])
        });
        Self { default, by_name }
    }

    /// Those for `server_name`, a name in lower case: its own, and behind them those of a wildcard with other keys; or all
    /// of a wildcard.
    pub fn for_name(&self, server_name: Option<&str>) -> &[Arc<Certificate>] {
        let exact = server_name.and_then(|name| self.by_name.get(name));
        let found = exact.or_else(|| self.by_name.get(&wildcard_of(server_name?)?));
        found.unwrap_or(&self.default)
    }
}

/// A client may know none of the keys that a name has certificates of its own for, and one that a wildcard is for.
fn add_other_keys_of_wildcards(by_name: &mut HashMap<String, Vec<Arc<Certificate>>>) {
    let wildcards: HashMap<_, _> = by_name
        .iter()
        .filter(|(name, _)| name.starts_with("*."))
        .map(|(name, all)| (name.clone(), all.clone()))
        .collect();
    for (name, own) in by_name.iter_mut() {
        let Some(wider) = wildcard_of(name).and_then(|any| wildcards.get(&any)) else { continue };
        let is_other = |one: &&Arc<Certificate>| own.iter().all(|known| known.algorithm() != one.algorithm());
        let others: Vec<_> = wider.iter().filter(is_other).cloned().collect();
        own.extend(others);
    }
}

/// The certificates that are in force, replaced whole while connections come and go.
#[derive(Debug, Default)]
pub struct SharedCertificates(ArcSwap<Certificates>);

impl SharedCertificates {
    pub fn new(certificates: Certificates) -> Self {
        Self(ArcSwap::from_pointee(certificates))
    }

    pub fn replace(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }

    /// Those that a client with this `server_name` may be shown.
    pub(super) fn candidates(&self, server_name: Option<&str>) -> Box<[Arc<Certificate>]> {
        self.0.load().for_name(server_name).into()
    }
}

thread_local! {
    /// The last choice on this thread: the library tells nobody whom a handshake has shown what.
    static CHOSEN: Cell<Option<Arc<Certificate>>> = const { Cell::new(None) };
}

/// What the handshake has chosen to show that was just worked on, if it has.
pub(super) fn take_chosen() -> Option<Arc<Certificate>> {
    CHOSEN.take()
}

impl ResolvesServerCert for SharedCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let certificates = self.0.load();
        let candidates = certificates.for_name(name.as_deref());
        let understood =
            candidates.iter().find(|certificate| can_verify(certificate, hello.signature_schemes()));
        let chosen = understood.or(candidates.first())?;
        CHOSEN.set(Some(Arc::clone(chosen)));
        Some(Arc::clone(&chosen.key))
    }
}

fn can_verify(certificate: &Certificate, offered: &[SignatureScheme]) -> bool {
    certificate.key.key.choose_scheme(offered).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;

    fn certificate(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Arc<Certificate> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let made = CertificateParams::new(names.clone()).unwrap().self_signed(&key).unwrap();
        let key = any_supported_type(&PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
        Arc::new(Certificate::new(names, CertifiedKey::new(vec![made.der().clone()], key)))
    }

    #[test]
    fn a_name_has_its_own_certificates_first_and_those_of_a_wildcard_for_clients_who_know_only_other_keys() {
        let wild_rsa = certificate(&["*.w.test"], &PKCS_RSA_SHA256);
        let wild_short = certificate(&["*.w.test"], &PKCS_ECDSA_P256_SHA256);
        let exact = certificate(&["x.w.test"], &PKCS_ECDSA_P256_SHA256);
        let other = certificate(&["y.w.test"], &PKCS_ED25519);
        let all = [&wild_rsa, &wild_short, &exact, &other].map(Arc::clone);
        let certificates = Certificates::new(&all);
        for (name, expected, why) in [
            ("x.w.test", vec![&exact, &wild_rsa], "its own, and the other key"),
            ("y.w.test", vec![&other, &wild_short, &wild_rsa], "both others, short keys first"),
            ("z.w.test", vec![&wild_short, &wild_rsa], "none of its own"),
            ("a.x.w.test", vec![&wild_short, &wild_rsa], "unknown: the first of the list and its twin"),
        ] {
            let found = certificates.for_name(Some(name));
            let is_same = found.len() == expected.len()
                && found.iter().zip(&expected).all(|(found, expected)| Arc::ptr_eq(found, expected));
            assert!(is_same, "{name}: {why}: {found:?}");
        }
    }
}
