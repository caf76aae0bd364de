//! Rendezvous hashing: each key belongs to the endpoint that scores highest for it. Knows nothing of speed or errors.
//!
//! Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998; weights by the
//! logarithmic method of Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005: `-weight / ln(u)`.
//! Disruption is minimal by construction: an endpoint's score for a key depends on nothing but the two, so an endpoint
//! that goes moves only its own keys, one that comes takes only what it now owns, and no table is rebuilt. A pick looks at
//! every endpoint.
//!
//! With a load bound (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018) an endpoint that
//! holds its bounded part is passed over, and the key spills to its next-best endpoint with room (`bound.rs`).

use crate::Endpoint;
use crate::bound::{Choice, Limit, LoadBound, Spilled};
use crate::candidates::Candidates;
use crate::entropy::{mix, stable_hash};
use crate::seat::Seat;

#[derive(Debug)]
pub(crate) struct Rendezvous {
    names: Box<[u64]>,
    /// All weights are equal: the logarithm, which keeps the order, is left out.
    is_even: bool,
    bound: Option<LoadBound>,
}

impl Rendezvous {
    pub(crate) fn new(endpoints: &[Endpoint], bound: Option<LoadBound>) -> Self {
        let names = endpoints.iter().map(|endpoint| stable_hash(&endpoint.id.address)).collect();
        let is_even =
            endpoints.windows(2).all(|two| matches!(two, [a, b] if a.weight.max(1) == b.weight.max(1)));
        Self { names, is_even, bound }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, key: u64) -> Option<Choice> {
        let home = self.best(&candidates.full_or_not(), key, |_| true)?;
        let limit = self.bound.map(|bound| bound.limit(candidates));
        let Some(obstacle) = Spilled::from_home(home, limit.as_ref(), candidates) else {
            return Some(home.into());
        };
        let index = Limit::spill(limit.as_ref(), candidates, |suits| self.best(candidates, key, suits))?;
        Some(Choice { spilled: Some(obstacle), ..index.into() })
    }

    /// The first that suits in the order of the key.
    pub(crate) fn best(
        &self,
        candidates: &Candidates<'_>,
        key: u64,
        suits: impl Fn(&Seat) -> bool,
    ) -> Option<usize> {
        let scored = candidates
            .iter()
            .filter(|(_, endpoint)| suits(endpoint))
            .filter_map(|(index, endpoint)| Some((index, self.score(key, index, endpoint)?)));
        scored.max_by(|(_, ours), (_, theirs)| ours.total_cmp(theirs)).map(|(index, _)| index)
    }

    /// `-weight / ln(u)` with `u` in (0, 1), uniform over keys: the highest among several wins in proportion to its weight.
    fn score(&self, key: u64, index: usize, endpoint: &Seat) -> Option<f64> {
        let bits = mix(key ^ self.names.get(index)?) >> 11;
        let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
        Some(if self.is_even { uniform } else { f64::from(endpoint.share) / -uniform.ln() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Stream;
    use crate::testing::{Fleet, any_weights, assert_proportional, several_weights};
    use crate::{Algorithm, Moment};
    use proptest::prelude::*;

    const KEYS: u64 = 2_000;

    fn owners(fleet: &Fleet) -> Vec<usize> {
        (0..KEYS).map(|key| fleet.pick_for(mix(key)).index()).collect()
    }

    proptest! {
        #[test]
        fn an_endpoint_that_goes_moves_only_its_own_keys(weights in several_weights(), out in 0_usize..8) {
            let out = out % weights.len();
            let fleet = Fleet::new(Algorithm::Rendezvous { bound: None }, &weights);
            let before = owners(&fleet);
            fleet.endpoints()[out].state.set_draining(true);
            let after = owners(&fleet);
            for (before, after) in before.iter().zip(&after) {
                let moved_rightly = if *before == out { *after != out } else { before == after };
                prop_assert!(moved_rightly, "from {} to {}", before, after);
            }
            fleet.endpoints()[out].state.set_draining(false);
            prop_assert_eq!(owners(&fleet), before, "and they come home");
        }

        #[test]
        fn keys_spread_in_proportion_to_weights(weights in any_weights(), seed: u64) {
            let fleet = Fleet::new(Algorithm::Rendezvous { bound: None }, &weights);
            let mut keys = Stream::new(seed);
            let mut shares = vec![0_u32; weights.len()];
            for _ in 0..20_000 {
                shares[fleet.pick_for(keys.next_below(u64::MAX)).index()] += 1;
            }
            assert_proportional(&shares, &weights);
        }

        #[test]
        fn the_order_of_the_endpoints_does_not_matter(weights in any_weights()) {
            let fleet = Fleet::new(Algorithm::Rendezvous { bound: None }, &weights);
            let mut turned = fleet.endpoints().to_vec();
            turned.reverse();
            let turned = Fleet::of(Algorithm::Rendezvous { bound: None }, turned);
            for key in 0..200 {
                let (here, there) = (fleet.pick_for(mix(key)), turned.pick_for(mix(key)));
                prop_assert_eq!(&here.endpoint().id, &there.endpoint().id);
            }
        }

        #[test]
        fn a_bound_is_never_exceeded(weights in any_weights(), percent in 100_u32..200, hot_keys in 1_u64..4) {
            let bound = Some(LoadBound::new(percent));
            let fleet = Fleet::new(Algorithm::Rendezvous { bound }, &weights);
            crate::testing::assert_bounded(&fleet, &weights, percent, hot_keys);
        }
    }

    #[test]
    fn a_request_without_a_key_is_spread_by_its_random_bits() {
        let fleet = Fleet::even(Algorithm::Rendezvous { bound: None }, 4);
        let mut seen = [false; 4];
        (0..200).for_each(|seed| seen[fleet.pick_with(Moment(0), mix(seed)).index()] = true);
        assert_eq!(seen, [true; 4]);
    }
}
