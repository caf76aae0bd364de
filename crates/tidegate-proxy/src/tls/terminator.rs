//! What a listener needs to take TLS connections: made by the control plane, shared by all workers.

use super::certificates::SharedCertificates;
use super::challenges::Challenges;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Terminator {
    /// Versions, suites, protocols, tickets, who vouches for clients; asks `certificates` for what to show. Replaced whole.
    pub config: ArcSwap<ServerConfig>,
    pub certificates: Arc<SharedCertificates>,
    pub challenges: Arc<Challenges>,
    /// From the connection on, or from the end of the header of a proxy in front.
    pub handshake_timeout: Duration,
    /// Endpoints hear of the chain of a client's certificate, too.
    pub tells_client_chain: bool,
}
