//! One worker's handles on its metrics, resolved when it takes a snapshot: counting is a store, never a look-up.
//!
//! Knows names and labels, not when things are counted.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{EndpointId, Occasion, Spilled};
use tidegate_telemetry::families::{self, CODE_CLASSES, code_class};
use tidegate_telemetry::{Counter, Family, Gauge, Histogram, Registry};

use crate::attempts::Objection;
use crate::failure::{Blame, Cause, Failure, Retry};
use crate::hash_spill;
use crate::journal::{HedgeOutcome, Journal};
use crate::load::Learned;
use crate::occasion;
use crate::snapshot::Cluster;
use crate::sticky::Visit;
use crate::stream::Stream;
use crate::tls::{Agreed, Handshake};
use crate::upstream::Upstream;
use rustls::HandshakeKind;

/// The label `route` of requests that no route matched, or whose head was refused.
pub const NO_ROUTE: &str = "none";

/// Resolves series for one worker.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    pub(crate) registry: Arc<Registry>,
    pub(crate) worker: usize,
}

impl Resolver {
    fn counter(&self, family: &'static Family, labels: &[&str]) -> Arc<Counter> {
        self.registry.counter(self.worker, family, labels)
    }

    fn histogram(&self, family: &'static Family, labels: &[&str]) -> Arc<Histogram> {
        self.registry.histogram(self.worker, family, labels)
    }

    fn by_code(&self, family: &'static Family, labels: &[&str]) -> ByCode {
        ByCode(CODE_CLASSES.map(|class| self.counter(family, &[labels, &[class]].concat())))
    }
}

/// One counter for each class of status.
#[derive(Debug)]
pub(crate) struct ByCode([Arc<Counter>; CODE_CLASSES.len()]);

impl ByCode {
    #[inline]
    pub(crate) fn increment(&self, status: u16) {
        if let Some(counter) = self.0.get(code_class(status)) {
            counter.increment();
        }
    }
}

/// Route, then who is to blame, stage and cause.
type FailureSeries = (Arc<str>, [&'static str; 3]);

/// What is counted whatever the snapshot.
#[derive(Debug)]
pub(crate) struct WorkerMetrics {
    resolver: Resolver,
    /// Requests that met a mistake of ours.
    pub(crate) panics: Arc<Counter>,
    tunnels: Arc<Gauge>,
    /// Failures are rare but their kinds many: series are resolved when first needed.
    failures: RefCell<HashMap<FailureSeries, Arc<Counter>>>,
    limits: RefCell<HashMap<&'static str, Arc<Counter>>>,
    passages: RefCell<HashMap<Arc<str>, PassageMetrics>>,
}

impl WorkerMetrics {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self {
            panics: resolver.counter(&families::REQUEST_PANICS, &[]),
            tunnels: resolver.registry.gauge(&families::TUNNELS, &[]),
            resolver,
            failures: RefCell::default(),
            limits: RefCell::default(),
            passages: RefCell::default(),
        }
    }

    pub(crate) fn failure(&self, route: &Arc<str>, failure: &Failure) {
        let mut failures = self.failures.borrow_mut();
        let key = (Arc::clone(route), failure.kind());
        let resolve = || {
            let [blame, stage, word] = failure.kind();
            self.resolver.counter(&families::FAILURES, &[route, blame, stage, word])
        };
        failures.entry(key).or_insert_with(resolve).increment();
    }

    /// A configured limit refused something.
    pub(crate) fn limit(&self, limit: &'static str) {
        let mut limits = self.limits.borrow_mut();
        let resolve = || self.resolver.counter(&families::LIMIT_HITS, &[limit]);
        limits.entry(limit).or_insert_with(resolve).increment();
    }

    /// A connection that was passed on as it is has ended.
    pub(crate) fn passed_on(&self, listener: &Arc<str>, journal: &Journal) {
        let mut passages = self.passages.borrow_mut();
        let new = || PassageMetrics::new(&self.resolver, listener);
        passages.entry(Arc::clone(listener)).or_insert_with(new).count(journal);
    }

    /// Counts one tunnel for as long as the guard lives.
    pub(crate) fn tunnel(&self) -> OpenTunnel {
        self.tunnels.add(1);
        OpenTunnel(Arc::clone(&self.tunnels))
    }
}

#[derive(Debug)]
struct PassageMetrics {
    bytes_in: Arc<Counter>,
    bytes_out: Arc<Counter>,
    failed: Arc<Counter>,
    passed: Arc<Counter>,
}

impl PassageMetrics {
    fn new(resolver: &Resolver, listener: &str) -> Self {
        let bytes = |direction| resolver.counter(&families::TCP_BYTES, &[listener, direction]);
        let connections = |outcome| resolver.counter(&families::TCP_CONNECTIONS, &[listener, outcome]);
        Self {
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            failed: connections("failed"),
            passed: connections("passed"),
        }
    }

    fn count(&self, journal: &Journal) {
        self.bytes_in.add(journal.body_bytes_in);
        self.bytes_out.add(journal.body_bytes_out);
        if journal.failure.is_some() { &self.failed } else { &self.passed }.increment();
    }
}

#[derive(Debug)]
pub(crate) struct OpenTunnel(Arc<Gauge>);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

#[derive(Debug)]
pub(crate) struct ListenerMetrics {
    pub(crate) accepted: Arc<Counter>,
    pub(crate) refused_by_client: Arc<Counter>,
    pub(crate) refused_by_listener: Arc<Counter>,
    pub(crate) refused_by_total: Arc<Counter>,
    pub(crate) pauses: Arc<Counter>,
    handshakes: [(Handshake, Arc<Counter>); Handshake::ALL.len()],
    agreed: AgreedMetrics,
}

impl ListenerMetrics {
    pub(crate) fn new(resolver: &Resolver, listener: &str) -> Self {
        let refused = |limit| resolver.counter(&families::LISTENER_CONNECTIONS_REFUSED, &[listener, limit]);
        Self {
            accepted: resolver.counter(&families::LISTENER_CONNECTIONS_ACCEPTED, &[listener]),
            refused_by_client: refused("client"),
            refused_by_listener: refused("listener"),
            refused_by_total: refused("total"),
            pauses: resolver.counter(&families::LISTENER_ACCEPT_PAUSES, &[listener]),
            handshakes: Handshake::ALL
                .map(|ended| (ended, resolver.counter(&families::TLS_HANDSHAKES, &[listener, ended.word()]))),
            agreed: AgreedMetrics::new(resolver.clone(), listener),
        }
    }

    pub(crate) fn handshake(&self, ended: Handshake, agreed: Option<&Rc<Agreed>>) {
        if let Some((_, counter)) = self.handshakes.iter().find(|(known, _)| *known == ended) {
            counter.increment();
        }
        if let Some(agreed) = agreed.filter(|_| ended.succeeded()) {
            self.agreed.count(agreed);
        }
    }
}

/// Version, protocol, how.
type AgreedSeries = [&'static str; 3];

/// Of the many that there could be, few are met.
#[derive(Debug)]
struct AgreedMetrics {
    resolver: Resolver,
    listener: Box<str>,
    met: RefCell<HashMap<AgreedSeries, Arc<Counter>>>,
}

impl AgreedMetrics {
    fn new(resolver: Resolver, listener: &str) -> Self {
        Self { resolver, listener: listener.into(), met: RefCell::default() }
    }

    fn count(&self, agreed: &Agreed) {
        let handshake = if agreed.is_resumed { Handshake::Resumed } else { Handshake::Full };
        let series = [agreed.version, agreed.protocol_word(), handshake.word()];
        let resolve = || {
            let labels = [&[&*self.listener][..], &series].concat();
            self.resolver.counter(&families::TLS_CONNECTIONS, &labels)
        };
        self.met.borrow_mut().entry(series).or_insert_with(resolve).increment();
    }
}

#[derive(Debug)]
pub(crate) struct RouteMetrics {
    pub(crate) route: Arc<str>,
    pub(crate) requests: ByCode,
    pub(crate) duration: Arc<Histogram>,
    pub(crate) body_bytes_in: Arc<Counter>,
    pub(crate) body_bytes_out: Arc<Counter>,
}

impl RouteMetrics {
    pub(crate) fn new(resolver: &Resolver, route: &str) -> Self {
        Self {
            route: route.into(),
            requests: resolver.by_code(&families::REQUESTS, &[route]),
            duration: resolver.histogram(&families::REQUEST_DURATION, &[route]),
            body_bytes_in: resolver.counter(&families::REQUEST_BODY_BYTES, &[route]),
            body_bytes_out: resolver.counter(&families::RESPONSE_BODY_BYTES, &[route]),
        }
    }
}

#[derive(Debug)]
pub(crate) struct ClusterMetrics {
    pub(crate) all_down: Arc<Counter>,
    pub(crate) all_tried: Arc<Counter>,
    pub(crate) empty: Arc<Counter>,
    pub(crate) pending_refused: Arc<Counter>,
    hedges: [(HedgeOutcome, Arc<Counter>); HedgeOutcome::ALL.len()],
    retries_after_connect: Arc<Counter>,
    retries_after_reset: Arc<Counter>,
    retries_after_status: Arc<Counter>,
    retries_after_timeout: Arc<Counter>,
    objections: [(Objection, Arc<Counter>); Objection::ALL.len()],
    /// How long requests waited for an endpoint with room.
    pub(crate) queue: Arc<Histogram>,
    pub(crate) shed_full: Arc<Counter>,
    pub(crate) shed_predicted: Arc<Counter>,
    pub(crate) shed_timeout: Arc<Counter>,
    /// Present when the cluster has a sticky cookie.
    pub(crate) sticky: Option<StickyMetrics>,
    exceptional_picks: [(Occasion, Arc<Counter>); occasion::ALL.len()],
    /// Present when a hash chooses.
    pub(crate) hash_spills: Option<HashSpillMetrics>,
}

/// Picks that are not where the key belongs, by what was in the way.
#[derive(Debug)]
pub(crate) struct HashSpillMetrics([(Spilled, Arc<Counter>); hash_spill::ALL.len()]);

impl HashSpillMetrics {
    fn new(resolver: &Resolver, cluster: &str) -> Self {
        let counter =
            |spilled| resolver.counter(&families::CLUSTER_HASH_SPILLS, &[cluster, hash_spill::word(spilled)]);
        Self(hash_spill::ALL.map(|spilled| (spilled, counter(spilled))))
    }

    pub(crate) fn count(&self, spilled: Spilled) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == spilled) {
            counter.increment();
        }
    }
}

/// Picks, by how they followed from a cookie.
#[derive(Debug)]
pub(crate) struct StickyMetrics([(Visit, Arc<Counter>); Visit::ALL.len()]);

impl StickyMetrics {
    fn new(resolver: &Resolver, cluster: &str) -> Self {
        Self(Visit::ALL.map(|visit| {
            let labels = [cluster, visit.word(), visit.reason().unwrap_or("none")];
            (visit, resolver.counter(&families::CLUSTER_STICKY, &labels))
        }))
    }

    pub(crate) fn count(&self, visit: Visit) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == visit) {
            counter.increment();
        }
    }
}

impl ClusterMetrics {
    pub(crate) fn new(resolver: &Resolver, cluster: &Cluster) -> Self {
        let Cluster { name, sticky, balancer, .. } = cluster;
        let cluster: &str = name;
        let no_endpoint = |reason| resolver.counter(&families::CLUSTER_NO_ENDPOINT, &[cluster, reason]);
        let shed = |reason| resolver.counter(&families::CLUSTER_SHEDS, &[cluster, reason]);
        let retries = |reason| resolver.counter(&families::CLUSTER_RETRIES, &[cluster, reason]);
        Self {
            all_down: no_endpoint("all_down"),
            all_tried: no_endpoint("all_tried"),
            empty: no_endpoint("empty"),
            pending_refused: resolver.counter(&families::CLUSTER_PENDING_REFUSED, &[cluster]),
            queue: resolver.histogram(&families::CLUSTER_QUEUE, &[cluster]),
            hedges: HedgeOutcome::ALL.map(|outcome| {
                (outcome, resolver.counter(&families::CLUSTER_HEDGES, &[cluster, outcome.word()]))
            }),
            retries_after_connect: retries("connect"),
            retries_after_reset: retries("reset"),
            shed_full: shed("full"),
            shed_predicted: shed("predicted"),
            shed_timeout: shed("timeout"),
            sticky: sticky.is_some().then(|| StickyMetrics::new(resolver, cluster)),
            exceptional_picks: occasion::ALL.map(|occasion| {
                let labels = [cluster, occasion::word(occasion)];
                (occasion, resolver.counter(&families::CLUSTER_EXCEPTIONAL_PICKS, &labels))
            }),
            hash_spills: balancer.hashes().then(|| HashSpillMetrics::new(resolver, cluster)),
            retries_after_status: retries("status"),
            retries_after_timeout: retries("timeout"),
            objections: Objection::ALL.map(|objection| {
                let labels = [cluster, objection.word()];
                (objection, resolver.counter(&families::CLUSTER_RETRIES_REFUSED, &labels))
            }),
        }
    }

    /// An attempt that follows a failed one.
    pub(crate) fn retry(&self, after: Failure) {
        match after.retry() {
            Retry::Decided => self.retries_after_status.increment(),
            Retry::Timeout => self.retries_after_timeout.increment(),
            Retry::Always | Retry::Once => self.retries_after_connect.increment(),
            Retry::Never | Retry::Reset => self.retries_after_reset.increment(),
        }
    }

    /// An endpoint that would not have been picked otherwise.
    pub(crate) fn exceptional_pick(&self, occasion: Occasion) {
        if let Some((_, counter)) = self.exceptional_picks.iter().find(|(known, _)| *known == occasion) {
            counter.increment();
        }
    }

    /// A second attempt beside a first, or one that was not made.
    pub(crate) fn hedge(&self, outcome: HedgeOutcome) {
        if let Some((_, counter)) = self.hedges.iter().find(|(known, _)| *known == outcome) {
            counter.increment();
        }
    }

    /// A failed attempt that is not followed by another though its failure called for one.
    pub(crate) fn retry_objection(&self, objection: Objection) {
        if let Some((_, counter)) = self.objections.iter().find(|(known, _)| *known == objection) {
            counter.increment();
        }
    }
}

#[derive(Debug)]
pub(crate) struct EndpointMetrics {
    pub(crate) attempts: Arc<Counter>,
    failed: FailedAttempts,
    pub(crate) answers: ByCode,
    pub(crate) first_byte: Arc<Histogram>,
    pub(crate) connects: Arc<Counter>,
    connect_failures: Arc<Counter>,
    pub(crate) connect: Arc<Histogram>,
    pub(crate) reused: Arc<Counter>,
    /// Present when connections are encrypted.
    handshakes: Option<HandshakeMetrics>,
    /// Present when the cluster's algorithm listens to load reports.
    pub(crate) load_reports: Option<LoadReportMetrics>,
}

#[derive(Debug)]
pub(crate) struct LoadReportMetrics {
    pub(crate) read: Arc<Counter>,
    pub(crate) unreadable: Arc<Counter>,
}

impl LoadReportMetrics {
    fn new(resolver: &Resolver, [cluster, endpoint]: [&str; 2]) -> Self {
        let counter = |learned: Learned| {
            resolver.counter(&families::ENDPOINT_LOAD_REPORTS, &[cluster, endpoint, learned.word()])
        };
        Self { read: counter(Learned::Read), unreadable: counter(Learned::Unreadable) }
    }
}

impl EndpointMetrics {
    pub(crate) fn new(resolver: &Resolver, cluster: &str, upstream: &Upstream, hears_reports: bool) -> Self {
        let labels = [cluster, &*upstream.id.address];
        let is_encrypted = upstream.tls.is_some();
        Self {
            attempts: resolver.counter(&families::ENDPOINT_ATTEMPTS, &labels),
            failed: FailedAttempts::new(resolver.clone(), upstream.id.clone()),
            answers: resolver.by_code(&families::ENDPOINT_ANSWERS, &labels),
            first_byte: resolver.histogram(&families::FIRST_BYTE_DURATION, &labels),
            connects: resolver.counter(&families::CONNECTS, &labels),
            connect_failures: resolver.counter(&families::CONNECT_FAILURES, &labels),
            connect: resolver.histogram(&families::CONNECT_DURATION, &labels),
            reused: resolver.counter(&families::ENDPOINT_CONNECTIONS_REUSED, &labels),
            handshakes: is_encrypted.then(|| HandshakeMetrics::new(resolver, labels)),
            load_reports: hears_reports.then(|| LoadReportMetrics::new(resolver, labels)),
        }
    }

    /// An attempt has failed.
    pub(crate) fn attempt_failed(&self, failure: Failure) {
        if failure.blame() != Blame::Downstream {
            self.failed.count(failure.word());
        }
    }

    pub(crate) fn connected(&self, elapsed: Duration) {
        self.connects.increment();
        self.connect.record(elapsed);
    }

    pub(crate) fn connect_failed(&self, cause: Cause) {
        self.connect_failures.increment();
        if let (Some(handshakes), Cause::Tls(_)) = (&self.handshakes, cause) {
            handshakes.failed.increment();
        }
    }

    /// Counts how the keys of a new connection were agreed on, if it is encrypted.
    pub(crate) fn handshake(&self, stream: &Stream) {
        let Some(handshakes) = &self.handshakes else { return };
        match stream.handshake_kind() {
            None => {}
            Some(HandshakeKind::Resumed) => handshakes.resumed.increment(),
            Some(_) => handshakes.full.increment(),
        }
    }
}

/// By cause. Of the many that there could be, few are met.
#[derive(Debug)]
struct FailedAttempts {
    resolver: Resolver,
    id: EndpointId,
    met: RefCell<Vec<(&'static str, Arc<Counter>)>>,
}

impl FailedAttempts {
    fn new(resolver: Resolver, id: EndpointId) -> Self {
        Self { resolver, id, met: RefCell::default() }
    }

    fn count(&self, cause: &'static str) {
        let mut met = self.met.borrow_mut();
        if let Some((_, counter)) = met.iter().find(|(known, _)| *known == cause) {
            return counter.increment();
        }
        let labels = [&*self.id.cluster, &*self.id.address, cause];
        let counter = self.resolver.counter(&families::ENDPOINT_ATTEMPTS_FAILED, &labels);
        counter.increment();
        met.push((cause, counter));
    }
}

#[derive(Debug)]
struct HandshakeMetrics {
    failed: Arc<Counter>,
    full: Arc<Counter>,
    resumed: Arc<Counter>,
}

impl HandshakeMetrics {
    fn new(resolver: &Resolver, [cluster, endpoint]: [&str; 2]) -> Self {
        let counter =
            |outcome| resolver.counter(&families::ENDPOINT_TLS_HANDSHAKES, &[cluster, endpoint, outcome]);
        Self { failed: counter("failed"), full: counter("full"), resumed: counter("resumed") }
    }
}
