//! Least request: the endpoint with the fewest requests in flight for its weight. Knows nothing of speed or errors.
//!
//! The counts are exact and shared by all workers, and raised at pick time; private counts per worker would cost several
//! times the queueing. A full look beats sampling (Mitzenmacher, "The power of two choices in randomized load balancing",
//! 2001, is for those who cannot look). Ties, of which an idle fleet has nothing else, go to the least recently used where
//! all weights are equal; else they are drawn by weight, so that an idle fleet too is used in proportion.

use crate::Endpoint;
use crate::candidates::Candidates;
use crate::entropy::Stream;
use std::cmp::Ordering;

#[derive(Debug)]
pub(crate) struct LeastRequest {
    ties: Ties,
}

#[derive(Debug)]
enum Ties {
    ByWeight,
    LeastRecentlyUsed,
}

impl LeastRequest {
    pub(crate) fn new(endpoints: &[Endpoint]) -> Self {
        let is_even = endpoints.windows(2).all(|two| matches!(two, [a, b] if a.share() == b.share()));
        Self { ties: if is_even { Ties::LeastRecentlyUsed } else { Ties::ByWeight } }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, random: u64) -> Option<usize> {
        let mut stream = Stream::new(random);
        let mut scan = candidates.iter_from_random(random);
        let (mut best, mut least) = scan.next()?;
        let mut load = Load::of(least);
        let mut tied_shares = load.share;
        for (index, endpoint) in scan {
            let other = Load::of(endpoint);
            let wins = match other.compare(&load) {
                Ordering::Less => {
                    tied_shares = 0;
                    true
                }
                Ordering::Equal => match self.ties {
                    Ties::ByWeight => stream.next_below(tied_shares + other.share) < other.share,
                    Ties::LeastRecentlyUsed => endpoint.state.last_picked() < least.state.last_picked(),
                },
                Ordering::Greater => continue,
            };
            tied_shares += other.share;
            if wins {
                (best, least, load) = (index, endpoint, other);
            }
        }
        Some(best)
    }
}

#[derive(Clone, Copy)]
struct Load {
    in_flight: u64,
    share: u64,
}

impl Load {
    fn of(endpoint: &Endpoint) -> Self {
        Self { in_flight: u64::from(endpoint.state.in_flight()), share: endpoint.share() }
    }

    /// Compares `in_flight / share` without dividing; both factors are below 2^32.
    fn compare(&self, other: &Load) -> Ordering {
        (self.in_flight * other.share).cmp(&(other.in_flight * self.share))
    }
}

#[cfg(test)]
mod tests {
    use crate::entropy::Stream;
    use crate::testing::{Fleet, any_weights, assert_proportional};
    use crate::{Algorithm, Moment};
    use proptest::prelude::*;

    #[test]
    fn an_idle_even_fleet_is_used_in_turn() {
        let fleet = Fleet::even(Algorithm::LeastRequest, 5);
        let picks: Vec<_> = (1..=15).map(|tick| fleet.pick_at(Moment(tick)).index()).collect();
        for turn in picks.chunks(5) {
            assert_eq!(
                {
                    let mut sorted = turn.to_vec();
                    sorted.sort_unstable();
                    sorted
                },
                [0, 1, 2, 3, 4]
            );
        }
    }

    proptest! {
        #[test]
        fn nobody_with_a_higher_load_for_its_weight_is_picked(
            weights in any_weights(),
            held in prop::collection::vec(0_usize..8, 1..40),
            random: u64,
        ) {
            let fleet = Fleet::new(Algorithm::LeastRequest, &weights);
            let mut leases: Vec<_> = (1..=held.len() as u64).map(|tick| fleet.pick_at(Moment(tick))).collect();
            for give_back in held {
                if give_back < leases.len() {
                    leases.swap_remove(give_back);
                }
            }
            let before = fleet.in_flight();
            let picked = fleet.pick_with(Moment(1_000), random).index();
            let load = |index: usize| f64::from(before[index]) / f64::from(weights[index]);
            prop_assert!((0..weights.len()).all(|index| load(picked) <= load(index) + 1e-9));
        }

        #[test]
        fn idle_endpoints_are_used_in_proportion_to_their_weights(weights in any_weights(), seed: u64) {
            let fleet = Fleet::new(Algorithm::LeastRequest, &weights);
            let mut random = Stream::new(seed);
            let mut shares = vec![0_u32; weights.len()];
            for tick in 1..=20_000 {
                shares[fleet.pick_with(Moment(tick), random.next_below(u64::MAX)).index()] += 1;
            }
            assert_proportional(&shares, &weights);
        }
    }
}
