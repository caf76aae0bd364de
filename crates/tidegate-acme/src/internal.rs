//! An authority of our own, for development: a root that a person tells a browser to believe, once, and certificates that lead
//! to it. Reads no clock: moments are seconds since the Unix epoch.

use crate::folder::Folder;
use crate::reading::{CERTIFICATE_MAX, read_file};
use crate::schedule::renewal_due;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;

const DAY: i64 = 24 * 60 * 60;
/// A root that ends makes a person do it all again.
const ROOT_LIFE: i64 = 3650 * DAY;
/// Browsers believe no more than 825 days, whoever has added the root; and whoever gets one every two months knows that it works.
const LIFE: i64 = 90 * DAY;
/// Clocks of other machines are late.
const LATE: i64 = 60 * 60;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[error("no certificate can be made for {hosts}: {reason}")]
pub struct InternalError {
    hosts: String,
    reason: String,
}

/// The authority. Its root outlives this only where it can be kept.
#[derive(Debug)]
pub struct Internal {
    folder: Folder,
    issuer: Issuer<'static, KeyPair>,
    /// Of the root: certificates that lead to another one are none of ours.
    key: String,
    not_kept: Option<String>,
}

impl Internal {
    /// The one that is kept in `folder`, or a new one.
    pub fn open(folder: Folder, now: i64) -> Result<Self, InternalError> {
        let path = folder.authority();
        if let Some(issuer) = read(&path).and_then(|kept| reopen(&kept, now)) {
            return Ok(Self::with(folder, issuer, None));
        }
        let made = make(now)
            .map_err(|error| InternalError { hosts: "the root".into(), reason: error.to_string() })?;
        let (issuer, root) = made;
        let pair = format!("{root}{}", issuer.key().serialize_pem());
        let kept = Folder::write(&path, pair.as_bytes())
            .and_then(|()| Folder::write(&folder.root(), root.as_bytes()))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()));
        Ok(Self::with(folder, issuer, kept.err()))
    }

    fn with(folder: Folder, issuer: Issuer<'static, KeyPair>, not_kept: Option<String>) -> Self {
        let key = issuer.key().public_key_pem();
        Self { folder, issuer, key, not_kept }
    }

    /// What browsers have to be told to believe.
    pub fn root(&self) -> PathBuf {
        self.folder.root()
    }

    /// Why the root ends with this.
    pub fn not_kept(&self) -> Option<&str> {
        self.not_kept.as_deref()
    }

    /// Where the certificate for these hosts is, if it can be kept.
    pub fn file(&self, hosts: &[String]) -> PathBuf {
        let digest = hosts.iter().fold(Sha256::new().chain_update(&self.key), |digest, host| {
            digest.chain_update(host).chain_update([0])
        });
        let first = hosts.first().map_or("", String::as_str);
        let name = digest.finalize().iter().take(8).fold(format!("{first}-"), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        });
        self.folder.certificate(&name)
    }

    /// Certificate and key, in PEM: those of before until a third of their life is left, then new ones.
    pub fn certificate(&self, hosts: &[String], now: i64) -> Result<String, InternalError> {
        let path = self.file(hosts);
        let kept = read(&path);
        if let Some(kept) =
            kept.filter(|kept| life(kept).is_some_and(|(from, to)| now < renewal_due(from, to)))
        {
            return Ok(kept);
        }
        let made = self
            .issue(hosts, now)
            .map_err(|error| InternalError { hosts: hosts.join(", "), reason: error.to_string() })?;
        let _ = Folder::write(&path, made.as_bytes()); // else made anew at the next start; the root says why
        Ok(made)
    }

    fn issue(&self, hosts: &[String], now: i64) -> Result<String, rcgen::Error> {
        let mut params = CertificateParams::new(hosts)?;
        (params.not_before, params.not_after) = (moment(now - LATE), moment(now + LIFE));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Tidegate development");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
    }
}

/// A root and its key, in PEM.
fn make(now: i64) -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    (params.not_before, params.not_after) = (moment(now - LATE), moment(now + ROOT_LIFE));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tidegate development root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let root = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), root))
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(read_file(path, CERTIFICATE_MAX).ok()?).ok()
}

/// What makes no sense, or ends before what it would sign, is like none.
fn reopen(kept: &str, now: i64) -> Option<Issuer<'static, KeyPair>> {
    let (_, ends) = life(kept)?;
    let key = KeyPair::from_pem(kept.get(kept.find("-----BEGIN PRIVATE KEY-----")?..)?).ok()?;
    let issuer = Issuer::from_ca_cert_pem(kept, key).ok()?;
    (now + LIFE < ends).then_some(issuer)
}

/// From when until when the first certificate holds.
fn life(pem: &str) -> Option<(i64, i64)> {
    let (_, first) = parse_x509_pem(pem.as_bytes()).ok()?;
    let parsed = first.parse_x509().ok()?;
    let life = parsed.validity();
    Some((life.not_before.timestamp(), life.not_after.timestamp()))
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_kept_is_used_until_a_third_of_its_life_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let open = |now| Internal::open(Folder::new(scratch.path().join("internal")), now).unwrap();
        let app = hosts(&["app.test", "*.app.test", "::1"]);
        let first = open(NOW).certificate(&app, NOW).unwrap();
        let root = std::fs::read_to_string(open(NOW).root()).unwrap();
        assert!(!root.contains("PRIVATE KEY"));
        assert_eq!(open(NOW + 59 * DAY).certificate(&app, NOW + 59 * DAY).unwrap(), first);
        assert_ne!(
            open(NOW).certificate(&hosts(&["b.test"]), NOW).unwrap(),
            first,
            "for other hosts another one"
        );
        assert_ne!(open(NOW + 61 * DAY).certificate(&app, NOW + 61 * DAY).unwrap(), first);
        assert_eq!(std::fs::read_to_string(open(NOW).root()).unwrap(), root, "the root stays");
    }

    #[test]
    fn a_root_that_would_end_before_its_certificates_and_one_that_makes_no_sense_are_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        let key = |now| Internal::open(folder.clone(), now).unwrap().key;
        let first = key(NOW);
        assert_eq!(key(NOW + ROOT_LIFE - LIFE - 1), first);
        let second = key(NOW + ROOT_LIFE - LIFE);
        assert_ne!(second, first);
        std::fs::write(folder.authority(), "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert_ne!(key(NOW), second);
    }

    #[test]
    fn where_nothing_can_be_kept_there_is_a_certificate_all_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let internal = Internal::open(Folder::new(file.path().join("internal")), NOW).unwrap();
        assert!(internal.not_kept().unwrap().contains("cannot be written"));
        assert!(internal.certificate(&hosts(&["localhost"]), NOW).unwrap().contains("PRIVATE KEY"));
    }
}
