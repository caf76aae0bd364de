//! Clusters: interchangeable endpoints, how they share the load and how their health is watched.
//!
//! It does not know the algorithms; it only names them.

use std::time::Duration;

use crate::{Address, Balance, EndpointTls, Sticky};

/// A named set of interchangeable endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Unique. Inline endpoints are named after their route.
    pub name: String,
    /// At least one; no address twice.
    pub endpoints: Vec<Endpoint>,
    /// How endpoints are spoken TLS with; `None`: in the clear.
    pub tls: Option<EndpointTls>,
    /// Which endpoint is picked.
    pub balance: Balance,
    /// A cookie that brings clients back; `None`: none.
    pub sticky: Option<Sticky>,
    /// Active checks; `None`: none.
    pub health: Option<HealthCheck>,
    /// Marking down after failed connects; `None`: never.
    pub passive: Option<PassiveHealth>,
    /// Taking an endpoint out that answers with failures; `None`: never.
    pub breaker: Option<Breaker>,
    /// The statuses that count as failures, sorted, without overlaps: for what `adaptive` learns and for the breaker.
    pub failure_statuses: Vec<StatusRange>,
    /// Connections begin with a header of the PROXY protocol, version 2, that names the client.
    pub send_proxy_protocol: bool,
    /// Endpoints are spoken HTTP/2 with: over TLS, or in the clear with prior knowledge.
    pub http2: bool,
    /// How much may be open or waiting.
    pub limit: ClusterLimits,
}

/// One address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Not resolved yet.
    pub address: Address,
    /// Its share of the load, 1 to 1000.
    pub weight: u32,
    /// 0 is the first tier; a later one is used for what the earlier ones cannot take.
    pub tier: u8,
    /// Where it stands; `None`: near.
    pub zone: Option<String>,
    /// Requests in flight there at once; `None`: as many as [`ClusterLimits::endpoint_requests`] says.
    pub requests: Option<u32>,
}

impl Endpoint {
    /// One like all others.
    pub fn new(address: Address) -> Self {
        Self { address, weight: 1, tier: 0, zone: None, requests: None }
    }
}

/// An active check of every endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is tried.
    pub probe: Probe,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// Up to this much is added to each interval, at random, so that checks spread; may be zero.
    pub jitter: Duration,
    /// A whole check.
    pub timeout: Duration,
    /// Good checks in a row that bring an endpoint up.
    pub rise: u32,
    /// Bad checks in a row that bring it down.
    pub fall: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            probe: Probe::Tcp,
            interval: Duration::from_secs(2),
            jitter: Duration::from_millis(200),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
        }
    }
}

/// What an active check tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A call of `grpc.health.v1.Health/Check`, and that the answer is SERVING.
    Grpc {
        /// The service that is asked for; empty: all of the endpoint.
        service: String,
    },
    /// `GET path`, and a status that is expected.
    Http {
        /// Begins with `/`.
        path: String,
        /// The `Host` sent; `None`: the endpoint's address.
        host: Option<String>,
        /// The statuses that are good, sorted, without overlaps.
        expect: Vec<StatusRange>,
    },
    /// A connection that succeeds.
    Tcp,
}

/// Statuses from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusRange {
    /// 100 to 599.
    pub first: u16,
    /// `first` to 599.
    pub last: u16,
}

impl StatusRange {
    /// Whether `status` is one of them.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

/// Marking an endpoint down because real requests could not connect to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failed connects in a row that bring an endpoint down.
    pub connect_failures: u32,
    /// After this long one request tries it again.
    pub retry_after: Duration,
}

impl Default for PassiveHealth {
    fn default() -> Self {
        Self { connect_failures: 3, retry_after: Duration::from_secs(2) }
    }
}

/// The statuses that count as failures when nothing else is said: 500, 502, 503 and 504.
pub(crate) fn default_failure_statuses() -> Vec<StatusRange> {
    vec![StatusRange { first: 500, last: 500 }, StatusRange { first: 502, last: 504 }]
}

/// Taking an endpoint out that answers with failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that take an endpoint out; `None`: however many.
    pub failures: Option<u32>,
    /// Percent points that an endpoint's success rate may be below the median; `None`: any.
    pub margin_percent: Option<u32>,
    /// Results that an endpoint must have in a period for its success rate to be looked at.
    pub requests: u32,
    /// Over which success rates are taken.
    pub period: Duration,
    /// The part of the cluster that may be out by the breaker; one endpoint always may.
    pub ejected_percent: u32,
    /// After this long one request tries it again.
    pub retry_after: Duration,
    /// Doubled each time that fails, up to this.
    pub retry_after_max: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: Some(5),
            margin_percent: Some(20),
            requests: 100,
            period: Duration::from_secs(10),
            ejected_percent: 50,
            retry_after: Duration::from_secs(10),
            retry_after_max: Duration::from_mins(5),
        }
    }
}

/// How much may be open or waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterLimits {
    /// Requests in flight, per endpoint.
    pub endpoint_requests: EndpointRequests,
    /// Requests that wait for an endpoint that may have one more, per cluster; 0: none waits.
    pub queued_requests: u32,
    /// Requests that wait for a connection, per cluster.
    pub pending_requests: u32,
    /// Idle connections kept for reuse, per endpoint; 0: none.
    pub upstream_idle_connections: u32,
    /// Connections, per endpoint; `None`: any number.
    pub upstream_connections: Option<u32>,
}

impl Default for ClusterLimits {
    fn default() -> Self {
        Self {
            endpoint_requests: EndpointRequests::Off,
            queued_requests: 1000,
            pending_requests: 10_000,
            upstream_idle_connections: 1024,
            upstream_connections: None,
        }
    }
}

/// How many requests may be in flight on one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointRequests {
    /// As many as keep it busy, learned from its answers.
    Auto,
    /// At least 1.
    Most(u32),
    /// Any number.
    Off,
}
