//! Clusters and their endpoints: the same endpoint under the same limits stays the same object, so that its pools, its
//! connections, its health and its place in the rotation survive.

use super::{Named, Previous, head_limits, presence, sticky};
use crate::credentials::Credentials;
use crate::tls::Origination;
use std::sync::Arc;
use tidegate_balance::{
    Algorithm, Balancer, Breaker, Endpoint, EndpointId, LoadBound, PassiveMarking, Place, RequestLimit,
    RoomWatch, States, StatusSet,
};
use tidegate_config::{
    Address as ConfiguredAddress, Balance, Bound, BoundBy, Breaker as ConfiguredBreaker,
    Cluster as ConfiguredCluster, Config, Endpoint as ConfiguredEndpoint, EndpointRequests,
    HashKey as ConfiguredKey, Host, PassiveHealth, StatusRange,
};
use tidegate_proxy::snapshot::{Cluster, HashKey};
use tidegate_proxy::tls::Originator;
use tidegate_proxy::upstream::{Address, Upstream};

/// In the order of the configuration.
pub(super) fn lower(
    config: &Config,
    states: &States,
    credentials: &Credentials,
    previous: Option<&Previous>,
    unresolved: &mut Vec<Named>,
) -> Vec<Arc<Cluster>> {
    let cluster = |configured: &ConfiguredCluster| {
        let before = previous.and_then(|previous| Before::of(&configured.name, previous));
        let sticky = sticky::lower(configured, credentials.secrets.of(&configured.name));
        let origination = credentials.originations.of(&configured.name);
        Arc::new(Cluster { sticky, ..cluster(config, configured, origination, states, before, unresolved) })
    };
    config.clusters.iter().map(cluster).collect()
}

/// The cluster of the same name in the previous snapshot.
#[derive(Clone, Copy)]
struct Before<'a> {
    configured: &'a ConfiguredCluster,
    cluster: &'a Cluster,
}

impl<'a> Before<'a> {
    fn of(name: &str, previous: &'a Previous) -> Option<Self> {
        let configured = previous.config.cluster(name)?;
        let cluster = previous.snapshot.clusters.iter().find(|cluster| *cluster.name == *name)?;
        Some(Self { configured, cluster })
    }

    fn upstream(self, id: &EndpointId) -> Option<Arc<Upstream>> {
        self.cluster.upstreams.iter().find(|upstream| upstream.id == *id).map(Arc::clone)
    }

    /// What makes an upstream the same object: connections hold its permits, and each has begun as it will always have.
    fn connects_as(self, configured: &ConfiguredCluster) -> bool {
        self.configured.limit.upstream_connections == configured.limit.upstream_connections
            && self.configured.send_proxy_protocol == configured.send_proxy_protocol
            && self.configured.http2 == configured.http2
    }
}

fn cluster(
    config: &Config,
    configured: &ConfiguredCluster,
    origination: Option<&Origination>,
    states: &States,
    before: Option<Before<'_>>,
    unresolved: &mut Vec<Named>,
) -> Cluster {
    let name: Arc<str> = configured.name.as_str().into();
    let mut endpoints = Vec::with_capacity(configured.endpoints.len());
    let mut upstreams = Vec::with_capacity(configured.endpoints.len());
    for listed in &configured.endpoints {
        let id = EndpointId { cluster: Arc::clone(&name), address: listed.address.to_string().into() };
        let endpoint = Endpoint { state: states.of(&id), id, weight: listed.weight };
        let known = before.and_then(|before| before.upstream(&endpoint.id));
        let tls = origination.map(|origination| origination.towards(&listed.address));
        let upstream = match (known, before) {
            (Some(known), Some(before))
                if before.connects_as(configured) && is_like(&known, tls.as_ref()) =>
            {
                known
            }
            (known, _) => new_upstream(configured, listed, tls, &endpoint, known, unresolved),
        };
        upstreams.push(upstream);
        endpoints.push(endpoint);
    }
    let rotation = before.map(|before| &before.cluster.balancer);
    let waiting = before.map(|before| Arc::clone(&before.cluster.waiting)).unwrap_or_default();
    let watch: Arc<dyn RoomWatch> = Arc::clone(&waiting) as _;
    let balancer = Balancer::new(algorithm(&configured.balance), endpoints, rotation)
        .with_places(&places(config, configured))
        .with_passive_marking(passive_marking(configured.passive.as_ref()))
        .with_failure_statuses(statuses(&configured.failure_statuses))
        .with_breaker(configured.breaker.as_ref().map(breaker), states.in_force(&name))
        .with_request_limits(&request_limits(configured), Some(watch));
    let bound = configured.sticky.as_ref().and_then(|sticky| sticky.bound);
    Cluster {
        name,
        balancer: match bound {
            Some(bound) => balancer.with_bound(load_bound(bound), rotation),
            None => balancer,
        },
        upstreams,
        http2: configured.http2,
        hash_key: hash_key(&configured.balance),
        sticky: None,
        waiting,
        queued_requests_max: configured.limit.queued_requests as usize,
        pending_max: configured.limit.pending_requests as usize,
        pending: before.map(|before| Arc::clone(&before.cluster.pending)).unwrap_or_default(),
        hedge_budget: before.map(|before| Arc::clone(&before.cluster.hedge_budget)).unwrap_or_default(),
        retry_budget: before.map(|before| Arc::clone(&before.cluster.retry_budget)).unwrap_or_default(),
        idle_connections_max: configured.limit.upstream_idle_connections as usize,
        idle_timeout: config.timeout.upstream_idle,
        presence: presence(config),
        head_limits: head_limits(config),
    }
}

/// A connection that was made with somebody else's signature is none to go on with.
fn is_like(known: &Upstream, tls: Option<&Originator>) -> bool {
    match (&known.tls, tls) {
        (None, None) => true,
        (Some(known), Some(tls)) => known.is_like(tls),
        _ => false,
    }
}

fn statuses(configured: &[StatusRange]) -> StatusSet {
    configured.iter().flat_map(|range| range.first..=range.last).collect()
}

fn breaker(configured: &ConfiguredBreaker) -> Breaker {
    Breaker {
        failures: configured.failures.unwrap_or(0),
        margin_percent: configured.margin_percent,
        requests_min: configured.requests,
        period: configured.period,
        ejected_percent_max: configured.ejected_percent,
        out_for: configured.retry_after,
        out_for_max: configured.retry_after_max,
    }
}

/// One for each endpoint: its own, else the cluster's.
fn request_limits(configured: &ConfiguredCluster) -> Vec<RequestLimit> {
    let of_cluster = match configured.limit.endpoint_requests {
        EndpointRequests::Auto => RequestLimit::Learned,
        EndpointRequests::Most(most) => RequestLimit::Most(most),
        EndpointRequests::Off => RequestLimit::None,
    };
    let limit = |listed: &ConfiguredEndpoint| listed.requests.map_or(of_cluster, RequestLimit::Most);
    configured.endpoints.iter().map(limit).collect()
}

/// An address needs no resolving; a name is left for the control plane to look up, and goes by what is known until then.
fn new_upstream(
    configured: &ConfiguredCluster,
    listed: &ConfiguredEndpoint,
    tls: Option<Originator>,
    endpoint: &Endpoint,
    known: Option<Arc<Upstream>>,
    unresolved: &mut Vec<Named>,
) -> Arc<Upstream> {
    let connections_max = configured.limit.upstream_connections.map(|limit| limit as usize);
    let with_addresses = move |addresses| {
        let upstream = Upstream::new(endpoint.id.clone(), addresses, connections_max);
        Arc::new(
            upstream
                .introducing_clients(configured.send_proxy_protocol)
                .speaking_http2(configured.http2)
                .encrypted(tls),
        )
    };
    match &listed.address {
        ConfiguredAddress::Unix(path) => with_addresses(vec![Address::Unix(path.clone())]),
        ConfiguredAddress::Tcp { host: Host::Ip(ip), port } => {
            with_addresses(vec![Address::Tcp((*ip, *port).into())])
        }
        ConfiguredAddress::Tcp { host: Host::Name(name), port } => {
            let upstream =
                with_addresses(known.map(|known| known.addresses.load().to_vec()).unwrap_or_default());
            unresolved.push(Named {
                name: name.clone(),
                port: *port,
                upstream: Arc::clone(&upstream),
                state: Arc::clone(&endpoint.state),
            });
            upstream
        }
    }
}

fn algorithm(balance: &Balance) -> Algorithm {
    match balance {
        Balance::Adaptive { peers, .. } => Algorithm::Adaptive { peers: *peers },
        Balance::First { in_flight_max } => Algorithm::First { in_flight_max: *in_flight_max },
        Balance::LeastRequest => Algorithm::LeastRequest,
        Balance::Maglev(hashing) => Algorithm::Maglev { bound: hashing.bound.map(load_bound) },
        Balance::PeakEwma => Algorithm::PeakEwma,
        Balance::Prequal => Algorithm::Prequal,
        Balance::Random { choices } => Algorithm::Random { choices: *choices },
        Balance::Rendezvous(hashing) => Algorithm::Rendezvous { bound: hashing.bound.map(load_bound) },
        Balance::ReportedLoad => Algorithm::ReportedLoad,
        Balance::RoundRobin => Algorithm::RoundRobin,
    }
}

fn places(config: &Config, configured: &ConfiguredCluster) -> Vec<Place> {
    let far = match configured.balance {
        Balance::Adaptive { zone_cost_percent, .. } => zone_cost_percent,
        _ => Place::default().zone_cost_percent,
    };
    let is_far = |endpoint: &ConfiguredEndpoint| {
        config.zone.is_some() && endpoint.zone.is_some() && config.zone != endpoint.zone
    };
    let place = |endpoint: &ConfiguredEndpoint| {
        let near = Place { tier: endpoint.tier, ..Place::default() };
        if is_far(endpoint) { Place { zone_cost_percent: far, ..near } } else { near }
    };
    configured.endpoints.iter().map(place).collect()
}

pub(super) fn load_bound(bound: Bound) -> LoadBound {
    match bound.by {
        BoundBy::DrainTime => LoadBound::drain_time(bound.percent),
        BoundBy::Requests => LoadBound::new(bound.percent),
    }
}

fn hash_key(balance: &Balance) -> HashKey {
    match balance.hash_key() {
        Some(ConfiguredKey::ClientAddress) => HashKey::ClientAddress,
        Some(ConfiguredKey::Cookie(name)) => HashKey::Cookie(name.as_str().into()),
        Some(ConfiguredKey::Header(name)) => HashKey::Header(name.as_str().into()),
        Some(ConfiguredKey::Path) => HashKey::Path,
        None => HashKey::None,
    }
}

fn passive_marking(configured: Option<&PassiveHealth>) -> PassiveMarking {
    let default = PassiveMarking::default();
    match configured {
        None => PassiveMarking { failures: 0, ..default },
        Some(passive) => {
            PassiveMarking { failures: passive.connect_failures, out_for: passive.retry_after, ..default }
        }
    }
}
