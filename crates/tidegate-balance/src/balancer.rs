//! A cluster's endpoints and the algorithm that picks among them. Knows nothing of what is sent there.

use crate::{Endpoint, Lease, Moment};

/// Which algorithm, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    ConsistentHash,
    LeastRequest,
    Random { choices: u32 },
    RoundRobin,
}

/// What one pick may take into account.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    pub now: Moment,
    /// Uniform random bits.
    pub random: u64,
    /// The hash of the request's affinity key; an algorithm that needs one falls back on `random`.
    pub hash: Option<u64>,
    /// Positions already tried for this request: avoided while another endpoint is up.
    pub tried: &'a [usize],
}

/// Why nobody was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEndpoint {
    /// The cluster has endpoints, all of them down, draining or unresolved.
    AllDown,
    /// Every endpoint that is up has been tried.
    AllTried,
    /// The cluster has no endpoints.
    Empty,
}

#[derive(Debug)]
pub struct Balancer {
    endpoints: Box<[Endpoint]>,
}

impl Balancer {
    /// `previous`: the balancer of the same cluster in the last snapshot, whose rotation state goes on where the endpoints
    /// are the same.
    pub fn new(_algorithm: Algorithm, endpoints: Vec<Endpoint>, _previous: Option<&Balancer>) -> Self {
        Self { endpoints: endpoints.into() }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub fn pick(&self, _pick: &Pick<'_>) -> Result<Lease<'_>, NoEndpoint> {
        Err(NoEndpoint::Empty)
    }
}
