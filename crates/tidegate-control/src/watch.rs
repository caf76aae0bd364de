//! Says when an endpoint or a whole cluster goes down or comes back, whoever found out. Changes nothing.

use crate::overview::Overview;
use crate::status::reason;
use crate::voice::Voice;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{Endpoint, EndpointId, Health, Moment};
use tidegate_proxy::now;
use tidegate_proxy::snapshot::{Cluster, Snapshot};
use tidegate_proxy::upstream::Upstream;

/// How often the states are looked at. A change that reverts in between goes unsaid.
const INTERVAL: Duration = Duration::from_millis(250);

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    endpoints: HashMap<EndpointId, Health>,
    clusters_down: HashMap<Arc<str>, bool>,
    /// The snapshot that was looked at last.
    generation: u64,
}

impl Watch {
    pub(crate) async fn run(mut self, overview: Arc<Overview>, voice: Voice) {
        loop {
            self.look(&overview, &voice);
            tokio::time::sleep(INTERVAL).await;
        }
    }

    pub(crate) fn look(&mut self, overview: &Overview, voice: &Voice) {
        let (snapshot, now) = (&overview.current().snapshot, now());
        for cluster in &snapshot.clusters {
            for (endpoint, upstream) in cluster.balancer.endpoints().iter().zip(&cluster.upstreams) {
                self.look_at_endpoint(endpoint, upstream, overview, voice, now);
            }
            self.look_at_cluster(cluster, voice, now);
        }
        if std::mem::replace(&mut self.generation, snapshot.generation) != snapshot.generation {
            self.forget_removed(snapshot);
        }
    }

    fn forget_removed(&mut self, snapshot: &Snapshot) {
        let upstreams = snapshot.clusters.iter().flat_map(|cluster| &cluster.upstreams);
        let served: HashSet<_> = upstreams.map(|upstream| &upstream.id).collect();
        self.endpoints.retain(|id, _| served.contains(id));
        self.clusters_down.retain(|name, _| snapshot.clusters.iter().any(|cluster| cluster.name == *name));
    }

    fn look_at_endpoint(
        &mut self,
        endpoint: &Endpoint,
        upstream: &Upstream,
        overview: &Overview,
        voice: &Voice,
        now: Moment,
    ) {
        let health = endpoint.state.lasting_health(now);
        let before = self.endpoints.insert(endpoint.id.clone(), health).unwrap_or(Health::Up);
        if health == before || [health, before].contains(&Health::Unresolved) && health != Health::Up {
            return; // the look-ups speak for themselves
        }
        let (cluster, address) = (&endpoint.id.cluster, &endpoint.id.address);
        if health == Health::Up {
            return voice.note(format_args!("endpoint {address} of cluster {cluster} is up again"));
        }
        let explained = || overview.reason(&endpoint.id).map(|reason| reason.to_string());
        let why = reason(&endpoint.state, health, upstream.connect_failure(), explained);
        let why = why.unwrap_or_else(|| "no reason given".to_owned());
        voice.warning(format_args!("endpoint {address} of cluster {cluster} is down: {why}"));
    }

    fn look_at_cluster(&mut self, cluster: &Cluster, voice: &Voice, now: Moment) {
        let is_up = |endpoint: &Endpoint| endpoint.state.lasting_health(now) == Health::Up;
        let down = !cluster.balancer.endpoints().iter().any(is_up);
        let before = self.clusters_down.insert(Arc::clone(&cluster.name), down).unwrap_or(false);
        match (before, down) {
            (false, true) => {
                voice.warning(format_args!("cluster {} has no endpoint that is up", cluster.name));
            }
            (true, false) => voice.note(format_args!("cluster {} serves again", cluster.name)),
            _ => {}
        }
    }
}
