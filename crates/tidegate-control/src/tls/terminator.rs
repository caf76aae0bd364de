//! What one listener is given to take TLS connections with. Reads no file.

use super::files::CertificateError;
use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use std::sync::Arc;
use tidegate_config::{Tls, TlsVersion};
use tidegate_proxy::tls::certificates::SharedCertificates;

pub(super) fn server_config(
    tls: &Tls,
    protocols: &[&[u8]],
    certificates: &Arc<SharedCertificates>,
    clients: &Arc<dyn ClientCertVerifier>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, CertificateError> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .map_err(CertificateError::Library)?
        .with_client_cert_verifier(Arc::clone(clients))
        .with_cert_resolver(Arc::clone(certificates) as _);
    config.ignore_client_order = true;
    config.ticketer = ticketer;
    config.session_storage = Arc::new(NoServerSessionStorage {}); // tickets do it
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// With the order that counts, whatever a client prefers: the cheapest first, as all of them are strong enough.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        _ => 1, // by AES-256, then ChaCha20, as the library has them
    });
    provider
}
