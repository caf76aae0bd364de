//! From a checked configuration, and what lived before, to the snapshot that workers serve by.
//!
//! Pure: binds nothing, resolves nothing, starts nothing. What outlives a reload (endpoint states, connection counts,
//! the objects that pools are found by, the rotation of a balancer) is taken over from the previous snapshot.

mod clusters;
mod routes;

pub(crate) use clusters::algorithm_word;

use crate::places::Place;
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{EndpointState, States};
use tidegate_config::Config;
use tidegate_proxy::snapshot::{HeadLimits, Listener, ProxyLimits, Scheme, Snapshot};
use tidegate_proxy::upstream::Upstream;

/// What was in force until now.
#[derive(Clone, Debug)]
pub(crate) struct Previous {
    pub(crate) config: Arc<Config>,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// A snapshot, and what has to be done before it is of use.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Endpoints that are new and go by a host name.
    pub(crate) unresolved: Vec<Named>,
}

/// An endpoint whose addresses come from a host name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) state: Arc<EndpointState>,
}

pub(crate) fn lower(
    config: &Config,
    places: &[Place],
    states: &States,
    previous: Option<&Previous>,
) -> Lowered {
    let mut unresolved = Vec::new();
    let clusters = clusters::lower(config, states, previous, &mut unresolved);
    let snapshot = Snapshot {
        generation: previous.map_or(1, |previous| previous.snapshot.generation + 1),
        listeners: places
            .iter()
            .filter_map(|place| listener(config, place, previous))
            .map(Arc::new)
            .collect(),
        routes: routes::lower(config),
        clusters,
        limits: ProxyLimits { connections_max: config.limit.connections as usize },
    };
    Lowered { snapshot: Arc::new(snapshot), unresolved }
}

fn listener(config: &Config, place: &Place, previous: Option<&Previous>) -> Option<Listener> {
    let configured = config.listeners.get(place.listener)?;
    let before = previous
        .and_then(|previous| previous.snapshot.listeners.iter().find(|listener| listener.key == place.key));
    Some(Listener {
        key: Arc::clone(&place.key),
        scheme: Scheme::Http,
        connections_max: configured.connections as usize,
        connections: before.map(|before| Arc::clone(&before.connections)).unwrap_or_default(),
        trusted_proxies: configured.trusted_proxies.clone(),
        head_limits: head_limits(config),
        head_timeout: config.timeout.head,
        keep_alive_timeout: config.timeout.keep_alive,
    })
}

fn head_limits(config: &Config) -> HeadLimits {
    HeadLimits {
        head_bytes_max: config.limit.head_bytes as usize,
        target_bytes_max: config.limit.target_bytes as usize,
        field_count_max: config.limit.field_count as usize,
    }
}

/// In a snapshot "no limit" is the longest time there is.
fn or_forever(limit: Option<Duration>) -> Duration {
    limit.unwrap_or(Duration::MAX)
}
