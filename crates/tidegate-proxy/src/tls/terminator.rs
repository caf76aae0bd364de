//! What a listener needs to take TLS connections: made by the control plane, shared by all workers.

use super::certificates::SharedCertificates;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Terminator {
    /// Versions, suites, protocols, tickets; asks `certificates` for what to show.
    pub config: Arc<ServerConfig>,
    pub certificates: Arc<SharedCertificates>,
    /// From the first byte to the end of the handshake.
    pub handshake_timeout: Duration,
}
