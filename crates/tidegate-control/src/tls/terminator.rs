//! What one listener is given to take TLS connections with. Reads no file.

use super::files::CertificateError;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use std::sync::Arc;
use tidegate_config::{Tls, TlsVersion};
use tidegate_proxy::tls::certificates::SharedCertificates;

pub(super) fn server_config(
    tls: &Tls,
    http2: bool,
    certificates: &Arc<SharedCertificates>,
    clients: &Arc<dyn ClientCertVerifier>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, CertificateError> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(CertificateError::Library)?
        .with_client_cert_verifier(Arc::clone(clients))
        .with_cert_resolver(Arc::clone(certificates) as _);
    config.ticketer = ticketer;
    config.session_storage = Arc::new(NoServerSessionStorage {}); // tickets do it
    let protocols: [&[u8]; 2] = [b"h2", b"http/1.1"];
    config.alpn_protocols = protocols.into_iter().skip(usize::from(!http2)).map(<[u8]>::to_vec).collect();
    Ok(config)
}
