//! What one listener is given to take TLS connections with. Reads no file.

use super::files::CertificateError;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use std::sync::Arc;
use tidegate_config::{Tls, TlsVersion};
use tidegate_proxy::tls::certificates::SharedCertificates;

pub(super) fn server_config(
    tls: &Tls,
    certificates: &Arc<SharedCertificates>,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, CertificateError> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(CertificateError::Library)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificates) as _);
    config.ticketer = Arc::clone(ticketer);
    config.session_storage = Arc::new(NoServerSessionStorage {}); // tickets do it
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
