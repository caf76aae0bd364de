//! A worker's own view of a snapshot: the shared snapshot, and beside it what belongs to this worker alone, pools and
//! metric handles, found by the same positions.
//!
//! Handles take memory, tens of KiB for a route with an endpoint of its own, on every worker: the first worker has all from the
//! start, so that every series is there, and the others those that they have used.

use crate::metrics::{ClusterMetrics, EndpointMetrics, NO_ROUTE, Resolver, RouteMetrics};
use crate::snapshot::{Cluster, Snapshot};
use crate::upstream::{EndpointPool, Upstream};
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_balance::{Moment, RetryIncome};

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) clusters: Vec<ClusterView>,
    routes: Vec<OnceCell<RouteMetrics>>,
    no_route: RouteMetrics,
    resolver: Resolver,
}

/// The views that one request is served by: one from its beginning to its end, unless it still waits for an endpoint when
/// another is published. Each is kept as long as the request, which may refer to any.
#[derive(Debug)]
pub(crate) struct Views {
    view: Rc<View>,
    next: OnceCell<Box<Self>>,
}

impl Views {
    pub(crate) fn of(view: Rc<View>) -> Self {
        Self { view, next: OnceCell::new() }
    }

    pub(crate) fn last(&self) -> &View {
        self.next.get().map_or(&self.view, |next| next.last())
    }

    /// Keeps one more, and returns it.
    pub(crate) fn add(&self, view: Rc<View>) -> &View {
        match self.next.get() {
            Some(next) => next.add(view),
            None => &self.next.get_or_init(|| Box::new(Self::of(view))).view,
        }
    }
}

#[derive(Debug)]
pub(crate) struct ClusterView {
    pub(crate) cluster: Arc<Cluster>,
    metrics: OnceCell<ClusterMetrics>,
    resolver: Resolver,
    endpoints: Vec<EndpointView>,
    /// Requests that the budget for retries has not been told of.
    uncounted: Cell<u32>,
}

#[derive(Debug)]
pub(crate) struct EndpointView {
    pub(crate) pool: Rc<EndpointPool>,
    metrics: OnceCell<EndpointMetrics>,
    resolver: Resolver,
    hears_reports: bool,
}

/// The pools of a view by the identity of what they connect to.
type Pools<'a> = HashMap<*const Upstream, &'a Rc<EndpointPool>>;

impl View {
    /// Endpoints that were in the previous view keep their pools.
    pub(crate) fn new(snapshot: Arc<Snapshot>, previous: Option<&View>, resolver: &Resolver) -> Self {
        let pools = previous.map(View::pools).unwrap_or_default();
        let cluster = |cluster: &Arc<Cluster>| ClusterView::new(cluster, &pools, resolver);
        let view = Self {
            clusters: snapshot.clusters.iter().map(cluster).collect(),
            routes: snapshot.routes.routes().iter().map(|_| OnceCell::new()).collect(),
            no_route: RouteMetrics::new(resolver, NO_ROUTE),
            resolver: resolver.clone(),
            snapshot,
        };
        if resolver.worker == 0 {
            view.resolve_all();
        }
        view
    }

    fn resolve_all(&self) {
        for position in 0..self.routes.len() {
            self.route_metrics(Some(position));
        }
        for cluster in &self.clusters {
            cluster.metrics();
            for endpoint in &cluster.endpoints {
                endpoint.metrics();
            }
        }
    }

    pub(crate) fn route_metrics(&self, position: Option<usize>) -> &RouteMetrics {
        let Some((cell, route)) = position
            .and_then(|position| self.routes.get(position).zip(self.snapshot.routes.routes().get(position)))
        else {
            return &self.no_route;
        };
        cell.get_or_init(|| RouteMetrics::new(&self.resolver, &route.name))
    }

    pub(crate) fn endpoint(
        &self,
        (cluster, endpoint): (usize, usize),
    ) -> Option<(&ClusterView, &EndpointView)> {
        let cluster = self.clusters.get(cluster)?;
        Some((cluster, cluster.endpoint(endpoint)?))
    }

    /// Closes idle connections that have aged out or that endpoints have closed, and lets those who wait for an endpoint
    /// with room look again: room may have come without a request ending. And what breakers have seen is judged, though no request comes any more.
    pub(crate) fn sweep(&self, now: Moment) {
        for cluster in &self.clusters {
            cluster.cluster.waiting.call();
            cluster.cluster.waiting.ask(&cluster.cluster.balancer, now);
            cluster.cluster.balancer.judge_if_due(now);
            for endpoint in &cluster.endpoints {
                endpoint.pool.sweep(now, cluster.cluster.idle_timeout);
            }
        }
    }

    /// The position of a cluster that may have been in an earlier view.
    pub(crate) fn position_of(&self, cluster: &Cluster) -> Option<usize> {
        self.clusters.iter().position(|known| known.cluster.is_same(cluster))
    }

    /// Those who wait for an endpoint see that there is another view.
    pub(crate) fn wake_the_waiting(&self) {
        for cluster in &self.clusters {
            cluster.cluster.waiting.wake_all();
        }
    }

    /// Closes the pools that the next view does not share.
    pub(crate) fn retire_all_but(&self, next: &View) {
        let kept = next.pools();
        for (upstream, pool) in self.pools() {
            if !kept.contains_key(&upstream) {
                pool.retire();
            }
        }
    }

    fn pools(&self) -> Pools<'_> {
        let endpoints = self.clusters.iter().flat_map(|cluster| &cluster.endpoints);
        endpoints.map(|endpoint| (Arc::as_ptr(&endpoint.pool.upstream), &endpoint.pool)).collect()
    }
}

impl ClusterView {
    fn new(cluster: &Arc<Cluster>, pools: &Pools<'_>, resolver: &Resolver) -> Self {
        let hears_reports = cluster.balancer.listens_to_reports();
        let endpoint = |upstream: &Arc<Upstream>| {
            let known = pools.get(&Arc::as_ptr(upstream)).map(|pool| Rc::clone(pool));
            EndpointView {
                pool: known.unwrap_or_else(|| Rc::new(EndpointPool::new(Arc::clone(upstream)))),
                metrics: OnceCell::new(),
                resolver: resolver.clone(),
                hears_reports,
            }
        };
        Self {
            endpoints: cluster.upstreams.iter().map(endpoint).collect(),
            metrics: OnceCell::new(),
            resolver: resolver.clone(),
            cluster: Arc::clone(cluster),
            uncounted: Cell::new(0),
        }
    }

    pub(crate) fn metrics(&self) -> &ClusterMetrics {
        self.metrics.get_or_init(|| ClusterMetrics::new(&self.resolver, &self.cluster))
    }

    /// A request earns a part of a retry; told to the shared budget in portions.
    pub(crate) fn count_request(&self, now: Moment) {
        const PORTION: u32 = 32;
        let uncounted = self.uncounted.get() + 1;
        if uncounted < PORTION {
            self.uncounted.set(uncounted);
        } else {
            self.uncounted.set(0);
            self.earn(uncounted, now);
        }
    }

    fn earn(&self, requests: u32, now: Moment) {
        self.cluster.retry_budget.earn(requests, now);
        self.cluster.hedge_budget.earn(requests, now);
    }

    /// Pays for one retry, if the budget has it.
    pub(crate) fn spend_retry(&self, income: RetryIncome, now: Moment) -> bool {
        self.earn(self.uncounted.take(), now);
        self.cluster.retry_budget.spend(income, now)
    }

    /// Pays for one second attempt beside a first, if the budget has it.
    pub(crate) fn spend_hedge(&self, income: RetryIncome, now: Moment) -> bool {
        self.earn(self.uncounted.take(), now);
        self.cluster.hedge_budget.spend(income, now)
    }

    pub(crate) fn endpoint(&self, position: usize) -> Option<&EndpointView> {
        self.endpoints.get(position)
    }
}

impl EndpointView {
    pub(crate) fn metrics(&self) -> &EndpointMetrics {
        let upstream = &self.pool.upstream;
        self.metrics.get_or_init(|| {
            EndpointMetrics::new(&self.resolver, &upstream.id.cluster, upstream, self.hears_reports)
        })
    }
}
