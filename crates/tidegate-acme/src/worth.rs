//! Whether what an authority gave can be used, asked before it takes the place of anything. Knows not where it is kept.

use crate::reading::CERTIFICATE_MAX;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why it cannot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("what it sent ends in the middle")]
    CutOff,
    #[error("what it sent has expired")]
    Expired,
    #[error("what it sent holds no certificate")]
    NoCertificate,
    #[error("what it sent is for {found}, and not for {host}")]
    OtherNames { host: String, found: String },
    #[error("what it sent is for another key")]
    OtherKey,
    #[error("what it sent is larger than {} KiB", CERTIFICATE_MAX / 1024)]
    TooLarge,
    #[error("what it sent cannot be read: {0}")]
    Unreadable(String),
}

/// From when until when a certificate holds, in seconds since the Unix epoch.
pub(crate) type Life = (i64, i64);

/// Looks at what was sent, a certificate for `host` and its chain, and at the file that it would be read from, with the key. One
/// that does not hold yet is fine: clocks are late.
pub(crate) fn look(sent: &str, file: &str, host: &str, now: i64) -> Result<Life, Unfit> {
    if file.len() as u64 > CERTIFICATE_MAX {
        return Err(Unfit::TooLarge);
    }
    let chain = CertificateDer::pem_slice_iter(sent.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| match error {
        pem::Error::MissingSectionEnd { .. } => Unfit::CutOff,
        error => unreadable(error),
    })?;
    let parsed = chain.iter().map(|one| X509Certificate::from_der(one)).collect::<Result<Vec<_>, _>>();
    let parsed = parsed.map_err(unreadable)?;
    let Some((_, leaf)) = parsed.first() else { return Err(Unfit::NoCertificate) };
    is_for(leaf, host)?;
    let life = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    if life.1 <= now {
        return Err(Unfit::Expired);
    }
    let key = PrivateKeyDer::from_pem_slice(file.as_bytes()).map_err(unreadable)?;
    match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        Ok(_) => Ok(life),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Unfit::OtherKey),
        Err(error) => Err(unreadable(error)),
    }
}

fn unreadable(error: impl std::fmt::Display) -> Unfit {
    Unfit::Unreadable(error.to_string())
}

/// RFC 9525 §6: the common name is not one of its names.
fn is_for(leaf: &X509Certificate<'_>, host: &str) -> Result<(), Unfit> {
    let alternatives = leaf.subject_alternative_name().map_err(unreadable)?;
    let names = alternatives.map(|extension| &extension.value.general_names).into_iter().flatten();
    let names: Vec<_> = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    if names.iter().any(|name| name.eq_ignore_ascii_case(host) || covers(name, host)) {
        return Ok(());
    }
    let found = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
    Err(Unfit::OtherNames { host: host.to_owned(), found })
}

/// One label before what follows the star.
fn covers(wildcard: &str, host: &str) -> bool {
    let parent = host.split_once('.').filter(|(label, _)| *label != "*").map(|(_, parent)| parent);
    parent.zip(wildcard.strip_prefix("*.")).is_some_and(|(parent, of)| parent.eq_ignore_ascii_case(of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;

    const NOW: i64 = 1_800_000_000;

    /// For a day from now on.
    fn certificate(names: &[&str], key: &KeyPair) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(NOW + 86_400).unwrap();
        params.self_signed(key).unwrap().pem()
    }

    fn looked(chain: &str, key: &KeyPair, host: &str, now: i64) -> Result<Life, Unfit> {
        look(chain, &format!("{chain}\n{}", key.serialize_pem()), host, now)
    }

    #[test]
    fn what_is_for_the_host_and_the_key_is_fine_alone_and_with_a_chain() {
        let [key, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let leaf = certificate(&["App.test", "www.app.test"], &key);
        let chain = format!("{leaf}{}", certificate(&["authority.test"], &other));
        for (now, why) in [(NOW, "now"), (NOW + 86_399, "to the end"), (NOW - 3600, "the clock is late")] {
            assert_eq!(looked(&leaf, &key, "app.test", now), Ok((NOW, NOW + 86_400)), "{why}");
            assert!(looked(&chain, &key, "app.test", now).is_ok(), "{why}");
        }
        let wildcard = certificate(&["*.app.test"], &key);
        assert!(looked(&wildcard, &key, "*.app.test", NOW).is_ok());
        assert!(looked(&wildcard, &key, "a.app.test", NOW).is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_told_apart() {
        let [key, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let leaf = certificate(&["app.test"], &key);
        let chain = format!("{leaf}{}", certificate(&["authority.test"], &other));
        let said = |chain: &str, host, now| looked(chain, &key, host, now).unwrap_err().to_string();
        for (chain, host, now, expected) in [
            ("", "app.test", NOW, "holds no certificate"),
            ("<html>502 Bad Gateway</html>", "app.test", NOW, "holds no certificate"),
            (&leaf[..leaf.len() / 2], "app.test", NOW, "ends in the middle"),
            (&chain[..chain.len() - 60], "app.test", NOW, "ends in the middle"),
            (&leaf.replace("MII", "AII"), "app.test", NOW, "cannot be read"),
            (&leaf, "other.test", NOW, "is for app.test, and not for other.test"),
            (&leaf, "*.test", NOW, "is for app.test, and not for *.test"),
            (&certificate(&["*.test"], &key), "a.app.test", NOW, "is for *.test, and not for a.app.test"),
            (&certificate(&["*.test"], &key), "*.*.test", NOW, "and not for"),
            (&certificate(&[], &key), "app.test", NOW, "is for no host, and not for app.test"),
            (&format!("{}{leaf}", other.serialize_pem()), "app.test", NOW, "is for another key"),
            (&certificate(&["app.test"], &other), "app.test", NOW, "is for another key"),
            (&leaf, "app.test", NOW + 86_400, "has expired"),
            (&format!("{leaf}{}", " ".repeat(1024 * 1024)), "app.test", NOW, "is larger than 1024 KiB"),
        ] {
            let found = said(chain, host, now);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
