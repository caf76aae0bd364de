//! One endpoint: what was configured, and the live state that outlives every configuration. Knows no address family.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32};

/// What makes an endpoint the same one across reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointId {
    pub cluster: Arc<str>,
    /// As written in the configuration: `localhost:8001`, `unix:/run/app.sock`.
    pub address: Arc<str>,
}

/// One endpoint as one snapshot sees it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: EndpointId,
    /// Relative share, at least 1.
    pub weight: u32,
    pub state: Arc<EndpointState>,
}

/// Whether an endpoint may be picked, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    /// Active checks failed `fall` times in a row.
    DownByCheck,
    /// Connects failed; passive marking, until the moment kept beside it.
    DownByConnect,
    /// The operator takes it out: what is open finishes, nothing new goes there.
    Draining,
    /// Its name has not resolved yet.
    Unresolved,
}

/// Live state, shared by all workers and by every snapshot that names the endpoint.
#[derive(Debug, Default)]
pub struct EndpointState {
    pub(crate) _in_flight: AtomicU32,
    pub(crate) _health: AtomicU8,
}
