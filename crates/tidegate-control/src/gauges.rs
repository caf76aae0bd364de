//! Gauges that are read off the states when somebody scrapes, instead of being kept up to date by the workers.

use crate::overview::Overview;
use crate::status::health_word;
use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_balance::{Endpoint, Health, Moment};
use tidegate_proxy::now;
use tidegate_proxy::snapshot::{Cluster, Snapshot};
use tidegate_proxy::upstream::Upstream;
use tidegate_telemetry::families::{
    BUILD_INFO, CLUSTER_PENDING, ENDPOINT_CONNECTIONS, ENDPOINT_CONNECTIONS_IDLE, ENDPOINT_HEALTH,
    ENDPOINT_IN_FLIGHT, ENDPOINT_UP, FAILURES, HEALTH_STATES, LISTENER_CONNECTIONS, WORKERS,
};
use tidegate_telemetry::registry::Labels;
use tidegate_telemetry::{Family, Registry};

/// Brings every gauge to what holds now.
pub(crate) fn fill(overview: &Overview) {
    let registry = &*overview.registry;
    let (snapshot, now) = (&overview.current().snapshot, now());
    registry.gauge(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1);
    set(registry, &WORKERS, &[], overview.workers);
    for listener in &snapshot.listeners {
        set(registry, &LISTENER_CONNECTIONS, &[&listener.key], count(&listener.connections));
    }
    for cluster in &snapshot.clusters {
        fill_cluster(registry, cluster, now);
    }
}

fn fill_cluster(registry: &Registry, cluster: &Cluster, now: Moment) {
    set(registry, &CLUSTER_PENDING, &[&cluster.name], count(&cluster.pending));
    for (endpoint, upstream) in cluster.balancer.endpoints().iter().zip(&cluster.upstreams) {
        fill_endpoint(registry, endpoint, upstream, now);
    }
}

fn fill_endpoint(registry: &Registry, endpoint: &Endpoint, upstream: &Upstream, now: Moment) {
    let labels = [&*endpoint.id.cluster, &*endpoint.id.address];
    let health = endpoint.state.health(now);
    set(registry, &ENDPOINT_UP, &labels, usize::from(health == Health::Up));
    for state in HEALTH_STATES {
        let holds = usize::from(state == health_word(health));
        set(registry, &ENDPOINT_HEALTH, &[labels[0], labels[1], state], holds);
    }
    set(registry, &ENDPOINT_IN_FLIGHT, &labels, endpoint.state.in_flight() as usize);
    set(registry, &ENDPOINT_CONNECTIONS, &labels, count(&upstream.open));
    set(registry, &ENDPOINT_CONNECTIONS_IDLE, &labels, count(&upstream.idle));
}

fn count(counted: &AtomicUsize) -> usize {
    counted.load(Relaxed)
}

fn set(registry: &Registry, family: &'static Family, labels: &[&str], value: usize) {
    registry.gauge(family, labels).set(value.cast_signed() as i64);
}

/// Forgets the series of what a reload removed.
pub(crate) fn forget_removed(registry: &Registry, snapshot: &Snapshot) {
    let served = Served::new(snapshot);
    registry.retain(|family, labels| {
        // Workers keep the handles of failures by their kind, so these series have to stay.
        family.name == FAILURES.name || served.has(labels)
    });
}

/// The names in a snapshot. Workers may wait for the registry while series are looked through, so that is quick.
struct Served<'a> {
    clusters: HashSet<&'a str>,
    endpoints: HashSet<(&'a str, &'a str)>,
    listeners: HashSet<&'a str>,
    routes: HashSet<&'a str>,
}

impl<'a> Served<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let upstreams = snapshot.clusters.iter().flat_map(|cluster| &cluster.upstreams);
        let routes = snapshot.routes.routes().iter().map(|route| &*route.name);
        Self {
            clusters: snapshot.clusters.iter().map(|cluster| &*cluster.name).collect(),
            endpoints: upstreams.map(|upstream| (&*upstream.id.cluster, &*upstream.id.address)).collect(),
            listeners: snapshot.listeners.iter().map(|listener| &*listener.key).collect(),
            routes: routes.chain([tidegate_proxy::metrics::NO_ROUTE]).collect(),
        }
    }

    fn has(&self, labels: Labels<'_>) -> bool {
        let cluster = labels.value("cluster");
        let endpoint = cluster.zip(labels.value("endpoint"));
        cluster.is_none_or(|cluster| self.clusters.contains(cluster))
            && endpoint.is_none_or(|endpoint| self.endpoints.contains(&endpoint))
            && labels.value("listener").is_none_or(|listener| self.listeners.contains(listener))
            && labels.value("route").is_none_or(|route| self.routes.contains(route))
    }
}
