//! What an endpoint is spoken TLS with: made by the control plane, shared by all workers.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Originator {
    /// Whom to believe, what to show, versions, and the tickets that this endpoint has given.
    pub config: Arc<ClientConfig>,
    /// What the endpoint's certificate has to be for.
    pub server_name: ServerName<'static>,
    /// The same for what was made of the same settings and the same files.
    pub fingerprint: [u8; 32],
}

impl Originator {
    /// The same for connections that are to speak this protocol and no other (RFC 7301).
    pub(crate) fn speaking(&self, protocol: &[u8]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.to_vec()];
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// Whether connections made with both are as good as each other.
    pub fn is_like(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.server_name == other.server_name
    }
}
