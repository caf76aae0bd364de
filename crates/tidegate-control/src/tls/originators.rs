//! From settings and PEM files to what endpoints are spoken TLS with. Files that have changed are read again; what cannot be
//! used changes nothing. Knows no sockets.

use super::age::Validity;
use super::files::{CertificateError, certified_key, chain, facts};
use super::lapse::Lapse;
use super::watched::{Touched, Watched};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_config::{
    Action, Address, CertificateFiles, Cluster, Config, EndpointTls, Host, Route, TlsVersion, Trust,
};
use tidegate_proxy::tls::Originator;

/// Tickets kept of each endpoint: as many as the library keeps of one name.
const TICKETS_KEPT: usize = 8;

/// What the endpoints of each cluster are spoken TLS with, by the cluster's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Originations(HashMap<String, Arc<Origination>>);

impl Originations {
    pub(crate) fn of(&self, cluster: &str) -> Option<&Origination> {
        self.0.get(cluster).map(|origination| &**origination)
    }
}

/// The same, with the files that it comes from.
#[derive(Debug, Default)]
pub(crate) struct Originators(Vec<Item>);

#[derive(Debug)]
struct Item {
    cluster: String,
    tls: EndpointTls,
    protocols: Vec<Vec<u8>>,
    watched: Watched<Arc<Origination>>,
}

/// What there is to know of a file.
#[derive(Clone, Debug)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    /// Of the certificate that is shown to endpoints; `None`: those in the file vouch for endpoints.
    pub(super) shown: Option<&'a Shown>,
    /// When those who vouch for endpoints have had their time.
    pub(super) lapse: Option<&'a Lapse>,
    pub(super) problem: Option<&'a str>,
}

/// A certificate that is shown to endpoints.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) names: Vec<String>,
    pub(super) validity: Validity,
}

/// What the endpoints of one cluster have in common.
#[derive(Debug)]
pub(crate) struct Origination {
    config: ClientConfig,
    server_name: Option<Host>,
    shown: Option<Shown>,
    /// When those that are named have had their time.
    lapse: Option<Lapse>,
    fingerprint: [u8; 32],
}

impl Originators {
    /// Reads everything that a configuration names.
    pub(crate) fn load(config: &Config) -> Result<Self, CertificateError> {
        let mut system = None;
        let mut items = Vec::new();
        for cluster in &config.clusters {
            let Some(tls) = cluster.tls.clone() else { continue };
            let protocols = protocols(config, cluster);
            let mut read = || origination(&tls, &authorities(&tls.trust, &mut system)?, protocols.clone());
            let watched = Watched::new(paths(&tls), || read().map(Arc::new))?;
            items.push(Item { cluster: cluster.name.clone(), tls, protocols, watched });
        }
        Ok(Self(items))
    }

    /// What the files held when they last made sense.
    pub(crate) fn held(&self) -> Originations {
        let held = |item: &Item| (item.cluster.clone(), Arc::clone(&item.watched.held));
        Originations(self.0.iter().map(held).collect())
    }

    /// Reads what has changed. Says of each file that was touched what came of it, once for all who use it.
    pub(super) fn refresh(&mut self) -> Vec<Touched> {
        let mut system = None;
        let mut changes = Vec::new();
        for Item { tls, protocols, watched, .. } in &mut self.0 {
            let mut read = || origination(tls, &authorities(&tls.trust, &mut system)?, protocols.clone());
            let Some(change) = watched.refresh(|| read().map(Arc::new)) else { continue };
            let change = match &tls.identity {
                Some(files) => Touched::certificate(&files.cert, change),
                None => Touched::vouching("endpoints", paths(tls), change),
            };
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        changes
    }

    pub(super) fn lapses(&self) -> impl Iterator<Item = &Lapse> {
        self.0.iter().filter_map(|item| item.watched.held.lapse.as_ref())
    }

    /// Each once for each cluster that uses it.
    pub(super) fn files(&self) -> impl Iterator<Item = File<'_>> {
        self.0.iter().flat_map(|item| {
            let problem = item.watched.problem.as_deref();
            let identity = item.tls.identity.as_ref().map(|files| {
                let shown = item.watched.held.shown.as_ref();
                File { path: &files.cert, shown, lapse: None, problem }
            });
            let authorities = match &item.tls.trust {
                Trust::File(path) => {
                    Some(File { path, shown: None, lapse: item.watched.held.lapse.as_ref(), problem })
                }
                Trust::Anyone | Trust::System => None,
            };
            identity.into_iter().chain(authorities)
        })
    }
}

/// The files that a cluster names.
fn paths(tls: &EndpointTls) -> impl Iterator<Item = &PathBuf> {
    let authorities = match &tls.trust {
        Trust::File(path) => Some(path),
        Trust::Anyone | Trust::System => None,
    };
    let identity = tls.identity.as_ref().map(|files| [&files.cert, &files.key]);
    authorities.into_iter().chain(identity.into_iter().flatten())
}

/// `system`: those of the machine, once they have been read.
fn authorities(
    trust: &Trust,
    system: &mut Option<Vec<CertificateDer<'static>>>,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    match (trust, system) {
        (Trust::Anyone, _) => Ok(Vec::new()),
        (Trust::File(path), _) => of_file(path),
        (Trust::System, Some(known)) => Ok(known.clone()),
        (Trust::System, system) => Ok(system.insert(of_system()?).clone()),
    }
}

impl Origination {
    /// For the endpoint at `address`, which gives tickets of its own.
    pub(crate) fn towards(&self, address: &Address) -> Originator {
        let host = self.server_name.as_ref().or(match address {
            Address::Tcp { host, .. } => Some(host),
            Address::Unix(_) => None, // only where nothing is verified
        });
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(TICKETS_KEPT);
        Originator { config: Arc::new(config), server_name: server_name(host), fingerprint: self.fingerprint }
    }
}

/// Names with a final dot, or an underscore, are fine for resolvers and for no certificate (RFC 6066 §3).
fn server_name(host: Option<&Host>) -> ServerName<'static> {
    let nobody = || ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from([0; 4])));
    match host {
        Some(Host::Ip(ip)) => ServerName::IpAddress((*ip).into()),
        Some(Host::Name(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_owned();
            ServerName::try_from(name).unwrap_or_else(|_| nobody())
        }
        None => nobody(),
    }
}

fn origination(
    tls: &EndpointTls,
    authorities: &[CertificateDer<'static>],
    protocols: Vec<Vec<u8>>,
) -> Result<Origination, CertificateError> {
    let identity = tls.identity.as_ref().map(certified_key).transpose()?;
    let shown =
        tls.identity.as_ref().zip(identity.as_ref()).map(|(files, key)| shown(files, key)).transpose()?;
    let fingerprint = fingerprint(tls, authorities, &protocols, identity.as_ref());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[_] = match tls.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(CertificateError::Library)?;
    let builder = match &tls.trust {
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous(provider))),
        trust => builder.with_webpki_verifier(verifier(trust, authorities, provider)?),
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
    };
    config.alpn_protocols = protocols;
    let lapse = match &tls.trust {
        Trust::File(path) => Lapse::of_authorities(path, authorities),
        Trust::Anyone | Trust::System => None,
    };
    Ok(Origination { config, server_name: tls.server_name.clone(), shown, lapse, fingerprint })
}

fn shown(files: &CertificateFiles, key: &CertifiedKey) -> Result<Shown, CertificateError> {
    let leaf =
        key.cert.first().ok_or_else(|| CertificateError::NoCertificate { path: files.cert.clone() })?;
    let (names, validity) =
        facts(leaf).map_err(|reason| CertificateError::Malformed { path: files.cert.clone(), reason })?;
    Ok(Shown { names, validity })
}

/// Where nothing but connections is passed on, nobody knows what they speak.
fn protocols(config: &Config, cluster: &Cluster) -> Vec<Vec<u8>> {
    let is_routed =
        |route: &Route| matches!(&route.action, Action::Forward(to) if to.cluster == cluster.name);
    match config.routes.iter().any(is_routed) {
        false => Vec::new(),
        true if cluster.http2 => vec![b"h2".to_vec()],
        true => vec![b"http/1.1".to_vec()],
    }
}

fn verifier(
    trust: &Trust,
    authorities: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, CertificateError> {
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if taken == 0 {
        return Err(match trust {
            Trust::File(path) => CertificateError::NoCertificate { path: path.clone() },
            _ => CertificateError::NoAuthorities,
        });
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.build().map_err(|_| CertificateError::NoAuthorities)
}

fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let authorities = chain(path)?;
    if authorities.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.to_owned() });
    }
    Ok(authorities)
}

/// Those that cannot be read are as good as not there: others may be enough.
fn of_system() -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() { Err(CertificateError::NoAuthorities) } else { Ok(found) }
}

/// Of everything that decides whom a connection was made with, and as whom.
fn fingerprint(
    tls: &EndpointTls,
    authorities: &[CertificateDer<'static>],
    protocols: &[Vec<u8>],
    identity: Option<&CertifiedKey>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(format!("{tls:?} {protocols:?}"));
    let chain = identity.map_or(&[][..], |identity| &identity.cert);
    for certificate in authorities.iter().chain(chain) {
        hash.update(certificate.len().to_be_bytes());
        hash.update(certificate);
    }
    hash.finalize().into()
}

/// Believes whoever holds the key of the certificate that he shows.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
