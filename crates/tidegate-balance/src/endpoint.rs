//! One endpoint as one snapshot sees it. Knows no address family.

use crate::EndpointState;
use std::sync::Arc;

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
    /// Relative share, at least 1; 0 counts as 1 (to take an endpoint out, drain it).
    pub weight: u32,
    pub state: Arc<EndpointState>,
}
