//! Finds an endpoint's state again when a new snapshot is built. Knows nothing of what the state holds.

use crate::{EndpointId, EndpointState, InForce};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// All states that some snapshot still holds. Belongs to the control plane; no worker ever waits for its locks.
#[derive(Debug, Default)]
pub struct States {
    endpoints: Known<EndpointId, EndpointState>,
    clusters: Known<Arc<str>, InForce>,
}

impl States {
    /// The state of this endpoint: the living one when any snapshot still holds it, else a fresh one.
    pub fn of(&self, id: &EndpointId) -> Arc<EndpointState> {
        self.endpoints.of(id)
    }

    /// What is in force in the cluster of this name, as [`Self::of`].
    pub fn in_force(&self, cluster: &Arc<str>) -> Arc<InForce> {
        self.clusters.of(cluster)
    }
}

#[derive(Debug)]
struct Known<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Default> Known<K, V> {
    fn of(&self, key: &K) -> Arc<V> {
        // A map of weak references is whole after any panic.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(key).and_then(Weak::upgrade) {
            return value;
        }
        if known.len() == known.capacity() {
            known.retain(|_, value| value.strong_count() != 0);
        }
        let value = Arc::<V>::default();
        known.insert(key.clone(), Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(address: &str) -> EndpointId {
        EndpointId { cluster: "app".into(), address: address.into() }
    }

    #[test]
    fn a_state_is_found_again_while_a_snapshot_holds_it() {
        let states = States::default();
        let first = states.of(&id("a:1"));
        first.set_draining(true);
        assert!(Arc::ptr_eq(&first, &states.of(&id("a:1"))));
        assert!(!Arc::ptr_eq(&first, &states.of(&id("b:1"))));
    }

    #[test]
    fn the_same_address_in_another_cluster_has_a_state_of_its_own() {
        let states = States::default();
        let here = states.of(&id("a:1"));
        let there = states.of(&EndpointId { cluster: "other".into(), address: "a:1".into() });
        assert!(!Arc::ptr_eq(&here, &there));
    }

    #[test]
    fn forgotten_endpoints_do_not_pile_up() {
        let states = States::default();
        for round in 0..10_000 {
            states.of(&id(&format!("10.0.0.1:{round}")));
        }
        assert!(states.endpoints.0.lock().unwrap().len() < 64);
    }
}
