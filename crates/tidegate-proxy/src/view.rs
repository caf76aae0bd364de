//! A worker's own view of a snapshot: the shared snapshot, and beside it what belongs to this worker alone, pools and
//! metric handles, found by the same positions.

use crate::metrics::{ClusterMetrics, EndpointMetrics, NO_ROUTE, Resolver, RouteMetrics};
use crate::snapshot::{Cluster, Snapshot};
use crate::upstream::{EndpointPool, Upstream};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_balance::{Moment, RetryIncome};

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) clusters: Vec<ClusterView>,
    routes: Vec<RouteMetrics>,
    no_route: RouteMetrics,
}

#[derive(Debug)]
pub(crate) struct ClusterView {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) metrics: ClusterMetrics,
    endpoints: Vec<EndpointView>,
    /// Requests that the budget for retries has not been told of.
    uncounted: Cell<u32>,
}

#[derive(Debug)]
pub(crate) struct EndpointView {
    pub(crate) pool: Rc<EndpointPool>,
    pub(crate) metrics: EndpointMetrics,
}

/// The pools of a view by the identity of what they connect to.
type Pools<'a> = HashMap<*const Upstream, &'a Rc<EndpointPool>>;

impl View {
    /// Endpoints that were in the previous view keep their pools.
    pub(crate) fn new(snapshot: Arc<Snapshot>, previous: Option<&View>, resolver: &Resolver) -> Self {
        let pools = previous.map(View::pools).unwrap_or_default();
        let cluster = |cluster: &Arc<Cluster>| ClusterView::new(cluster, &pools, resolver);
        Self {
            clusters: snapshot.clusters.iter().map(cluster).collect(),
            routes: snapshot
                .routes
                .routes()
                .iter()
                .map(|route| RouteMetrics::new(resolver, &route.name))
                .collect(),
            no_route: RouteMetrics::new(resolver, NO_ROUTE),
            snapshot,
        }
    }

    pub(crate) fn route_metrics(&self, route: Option<usize>) -> &RouteMetrics {
        route.and_then(|position| self.routes.get(position)).unwrap_or(&self.no_route)
    }

    pub(crate) fn endpoint(
        &self,
        (cluster, endpoint): (usize, usize),
    ) -> Option<(&ClusterView, &EndpointView)> {
        let cluster = self.clusters.get(cluster)?;
        Some((cluster, cluster.endpoint(endpoint)?))
    }

    /// Closes idle connections that have aged out or that endpoints have closed, and lets those who wait for an endpoint
    /// with room look again: room may have come without a request ending.
    pub(crate) fn sweep(&self, now: Moment) {
        for cluster in &self.clusters {
            cluster.cluster.waiting.call();
            for endpoint in &cluster.endpoints {
                endpoint.pool.sweep(now, cluster.cluster.idle_timeout);
            }
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
                metrics: EndpointMetrics::new(resolver, &cluster.name, upstream, hears_reports),
            }
        };
        Self {
            endpoints: cluster.upstreams.iter().map(endpoint).collect(),
            metrics: ClusterMetrics::new(resolver, &cluster.name, cluster.sticky.is_some()),
            cluster: Arc::clone(cluster),
            uncounted: Cell::new(0),
        }
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
