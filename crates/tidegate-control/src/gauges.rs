//! Gauges that are read off the states when somebody scrapes, instead of being kept up to date by the workers.

use crate::beliefs::BeliefStatus;
use crate::overview::Overview;
use crate::status::is_adaptive;
use crate::tls::{CertificateFacts, Progress};
use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_balance::{Ejection, Endpoint, Health, HeldBack, Moment};
use tidegate_config::{Cluster as Configured, Config, Endpoint as Listed};
use tidegate_proxy::now;
use tidegate_proxy::snapshot::{Cluster, Snapshot};
use tidegate_proxy::upstream::Upstream;
use tidegate_telemetry::families::{
    ACME_FAILURES, ACME_NEXT, ACME_STATE, ACME_STATES, BUILD_INFO, CERTIFICATE_EXPIRY, CERTIFICATE_OK,
    CLUSTER_PENDING, CLUSTER_QUEUED, ENDPOINT_CONNECTIONS, ENDPOINT_CONNECTIONS_IDLE, ENDPOINT_COST,
    ENDPOINT_EJECTIONS, ENDPOINT_EJECTIONS_HELD_BACK, ENDPOINT_ERROR_COST, ENDPOINT_ERROR_RATE,
    ENDPOINT_HEALTH, ENDPOINT_IN_FLIGHT, ENDPOINT_INFO, ENDPOINT_REQUEST_LIMIT, ENDPOINT_UP,
    ENDPOINT_WARNING, FAILURES, HEALTH_STATES, LISTENER_CONNECTIONS, REQUEST_LIMIT, REQUESTS_IN_SERVICE,
    WORKERS,
};
use tidegate_telemetry::registry::{CONTROL, Labels};
use tidegate_telemetry::{Family, Registry};

/// Of endpoints of clusters where `adaptive` chooses.
const BELIEFS: [&Family; 4] = [&ENDPOINT_COST, &ENDPOINT_ERROR_COST, &ENDPOINT_ERROR_RATE, &ENDPOINT_WARNING];

/// Brings every gauge to what holds now.
pub(crate) fn fill(overview: &Overview) {
    let registry = &*overview.registry;
    let (snapshot, now) = (&overview.current().snapshot, now());
    registry.gauge(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1);
    set(registry, &WORKERS, &[], overview.workers);
    set(registry, &REQUESTS_IN_SERVICE, &[], count(&overview.requests));
    set(registry, &REQUEST_LIMIT, &[], snapshot.limits.workspaces.lent_max);
    for listener in &snapshot.listeners {
        set(registry, &LISTENER_CONNECTIONS, &[&listener.key], count(&listener.connections));
    }
    for facts in &*overview.certificates() {
        let labels = [facts.certificate.as_str()];
        if let Some(validity) = facts.validity {
            registry.gauge(&CERTIFICATE_EXPIRY, &labels).set(validity.not_after);
        }
        set(registry, &CERTIFICATE_OK, &labels, usize::from(facts.problem.is_none()));
        if let Some(progress) = &facts.progress {
            fill_progress(registry, &facts.certificate, progress);
        }
    }
    let config = &overview.current().config;
    for cluster in &snapshot.clusters {
        fill_cluster(registry, cluster, now);
        if config.cluster(&cluster.name).is_some_and(is_adaptive) {
            fill_beliefs(registry, cluster, now);
        }
    }
    for (cluster, endpoint) in config.clusters.iter().flat_map(listed) {
        let place = Stand::of(cluster, endpoint);
        set(registry, &ENDPOINT_INFO, &[&cluster.name, &place.endpoint, &place.tier, place.zone], 1);
    }
}

fn listed(cluster: &Configured) -> impl Iterator<Item = (&Configured, &Listed)> {
    cluster.endpoints.iter().map(move |endpoint| (cluster, endpoint))
}

/// Where an endpoint stands, in the words of the labels.
#[derive(PartialEq, Eq, Hash)]
struct Stand<'a> {
    cluster: &'a str,
    endpoint: String,
    tier: String,
    zone: &'a str,
}

impl<'a> Stand<'a> {
    fn of(cluster: &'a Configured, endpoint: &'a Listed) -> Self {
        Self {
            cluster: &cluster.name,
            endpoint: endpoint.address.to_string(),
            tier: endpoint.tier.to_string(),
            zone: endpoint.zone.as_deref().unwrap_or_default(),
        }
    }
}

fn fill_progress(registry: &Registry, certificate: &str, progress: &Progress) {
    for state in ACME_STATES {
        let holds = usize::from(state == progress.step.word());
        set(registry, &ACME_STATE, &[certificate, state], holds);
    }
    set(registry, &ACME_FAILURES, &[certificate], progress.failures as usize);
    if let Some(next_at) = progress.next_at {
        registry.gauge(&ACME_NEXT, &[certificate]).set(next_at);
    }
}

fn fill_cluster(registry: &Registry, cluster: &Cluster, now: Moment) {
    set(registry, &CLUSTER_PENDING, &[&cluster.name], count(&cluster.pending));
    set(registry, &CLUSTER_QUEUED, &[&cluster.name], cluster.waiting.count());
    for (index, (endpoint, upstream)) in
        cluster.balancer.endpoints().iter().zip(&cluster.upstreams).enumerate()
    {
        fill_endpoint(registry, endpoint, upstream, now);
        let labels = [&*endpoint.id.cluster, &*endpoint.id.address];
        let limit = cluster.balancer.request_limit(index, now).unwrap_or(0);
        set(registry, &ENDPOINT_REQUEST_LIMIT, &labels, limit as usize);
    }
}

fn fill_endpoint(registry: &Registry, endpoint: &Endpoint, upstream: &Upstream, now: Moment) {
    let labels = [&*endpoint.id.cluster, &*endpoint.id.address];
    let health = endpoint.state.lasting_health(now);
    set(registry, &ENDPOINT_UP, &labels, usize::from(health == Health::Up));
    for state in HEALTH_STATES {
        let holds = usize::from(state == health.word());
        set(registry, &ENDPOINT_HEALTH, &[labels[0], labels[1], state], holds);
    }
    fill_ejections(registry, endpoint);
    set(registry, &ENDPOINT_IN_FLIGHT, &labels, endpoint.state.in_flight() as usize);
    set(registry, &ENDPOINT_CONNECTIONS, &labels, count(&upstream.open));
    set(registry, &ENDPOINT_CONNECTIONS_IDLE, &labels, count(&upstream.idle));
}

/// Counts that the states keep, because whoever counts has no handle.
fn fill_ejections(registry: &Registry, endpoint: &Endpoint) {
    let (cluster, address, state) = (&*endpoint.id.cluster, &*endpoint.id.address, &endpoint.state);
    let bring_to = |family, labels: &[&str], value: u64| {
        let counter = registry.counter(CONTROL, family, labels);
        counter.add(value.saturating_sub(counter.value()));
    };
    for reason in Ejection::ALL {
        let word = reason.word();
        bring_to(&ENDPOINT_EJECTIONS, &[cluster, address, word], state.ejections(reason));
        for why in HeldBack::ALL {
            let labels = [cluster, address, word, why.word()];
            bring_to(&ENDPOINT_EJECTIONS_HELD_BACK, &labels, state.times_held_back(reason, why));
        }
    }
}

fn fill_beliefs(registry: &Registry, cluster: &Cluster, now: Moment) {
    for (index, endpoint) in cluster.balancer.endpoints().iter().enumerate() {
        let Some(beliefs) = BeliefStatus::read(&cluster.balancer, index, now) else { continue };
        let labels = [&*endpoint.id.cluster, &*endpoint.id.address];
        let values = [beliefs.cost, beliefs.error_cost, beliefs.error_rate, beliefs.warning];
        for (family, value) in BELIEFS.into_iter().zip(values) {
            registry.gauge(family, &labels).set((value * 1e3).round() as i64);
        }
    }
}

fn count(counted: &AtomicUsize) -> usize {
    counted.load(Relaxed)
}

fn set(registry: &Registry, family: &'static Family, labels: &[&str], value: usize) {
    registry.gauge(family, labels).set(value.cast_signed() as i64);
}

/// Forgets the series of what a reload removed.
pub(crate) fn forget_removed(overview: &Overview, config: &Config, snapshot: &Snapshot) {
    let certificates = overview.certificates();
    let served = Served::new(config, snapshot, &certificates);
    overview.registry.retain(|family, labels| {
        // Workers keep the handles of failures by their kind, so these series have to stay.
        family.name == FAILURES.name || served.has(labels) && served.has_beliefs(family, labels)
    });
}

/// The names in a snapshot. Workers may wait for the registry while series are looked through, so that is quick.
struct Served<'a> {
    certificates: HashSet<&'a str>,
    clusters: HashSet<&'a str>,
    endpoints: HashSet<(&'a str, &'a str)>,
    listeners: HashSet<&'a str>,
    routes: HashSet<&'a str>,
    stands: HashSet<Stand<'a>>,
    /// Clusters where something is believed.
    believers: HashSet<&'a str>,
}

impl<'a> Served<'a> {
    fn new(config: &'a Config, snapshot: &'a Snapshot, certificates: &'a [CertificateFacts]) -> Self {
        let upstreams = snapshot.clusters.iter().flat_map(|cluster| &cluster.upstreams);
        let believers = config.clusters.iter().filter(|cluster| is_adaptive(cluster));
        let routes = snapshot.routes.routes().iter().map(|route| &*route.name);
        Self {
            certificates: certificates.iter().map(|facts| facts.certificate.as_str()).collect(),
            clusters: snapshot.clusters.iter().map(|cluster| &*cluster.name).collect(),
            endpoints: upstreams.map(|upstream| (&*upstream.id.cluster, &*upstream.id.address)).collect(),
            listeners: snapshot.listeners.iter().map(|listener| &*listener.key).collect(),
            routes: routes.chain([tidegate_proxy::metrics::NO_ROUTE]).collect(),
            stands: config
                .clusters
                .iter()
                .flat_map(listed)
                .map(|(cluster, endpoint)| Stand::of(cluster, endpoint))
                .collect(),
            believers: believers.map(|cluster| &*cluster.name).collect(),
        }
    }

    fn has(&self, labels: Labels<'_>) -> bool {
        let cluster = labels.value("cluster");
        let endpoint = cluster.zip(labels.value("endpoint"));
        let certificate = labels.value("certificate");
        certificate.is_none_or(|certificate| self.certificates.contains(certificate))
            && cluster.is_none_or(|cluster| self.clusters.contains(cluster))
            && endpoint.is_none_or(|endpoint| self.endpoints.contains(&endpoint))
            && labels.value("listener").is_none_or(|listener| self.listeners.contains(listener))
            && self.has_stand(labels)
            && labels.value("route").is_none_or(|route| self.routes.contains(route))
    }

    fn has_beliefs(&self, family: &Family, labels: Labels<'_>) -> bool {
        let is_belief = BELIEFS.iter().any(|belief| belief.name == family.name);
        !is_belief || labels.value("cluster").is_some_and(|cluster| self.believers.contains(cluster))
    }

    /// Labels that say where an endpoint stands, if they do, say what holds.
    fn has_stand(&self, labels: Labels<'_>) -> bool {
        let (Some(tier), Some(zone)) = (labels.value("tier"), labels.value("zone")) else { return true };
        let name = |label| labels.value(label).unwrap_or_default();
        let (tier, endpoint) = (tier.to_owned(), name("endpoint").to_owned());
        self.stands.contains(&Stand { cluster: name("cluster"), endpoint, tier, zone })
    }
}
