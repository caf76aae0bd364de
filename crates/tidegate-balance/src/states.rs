//! Finds an endpoint's state again when a new snapshot is built. Knows nothing of what the state holds.

use crate::{EndpointId, EndpointState};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// All states that some snapshot still holds. Belongs to the control plane; no worker ever waits for its lock.
#[derive(Debug, Default)]
pub struct States {
    known: Mutex<HashMap<EndpointId, Weak<EndpointState>>>,
}

impl States {
    /// The state of this endpoint: the living one when any snapshot still holds it, else a fresh one.
    pub fn of(&self, id: &EndpointId) -> Arc<EndpointState> {
        // A map of weak references is whole after any panic.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.get(id).and_then(Weak::upgrade) {
            return state;
        }
        if known.len() == known.capacity() {
            known.retain(|_, state| state.strong_count() != 0);
        }
        let state = Arc::<EndpointState>::default();
        known.insert(id.clone(), Arc::downgrade(&state));
        state
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
        assert!(states.known.lock().unwrap().len() < 64);
    }
}
