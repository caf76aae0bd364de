//! Least request: the endpoint with the fewest requests in flight for its weight. Knows nothing of speed or errors.
//!
//! The counts are exact and shared by all workers, and raised at pick time; private counts per worker would cost several
//! times the queueing. A full look beats sampling (Mitzenmacher, "The power of two choices in randomized load balancing",
//! 2001, is for those who cannot look). Ties, of which an idle fleet has nothing else, go to whoever has been idle for longest where
//! all weights are equal; else they are drawn by weight, so that an idle fleet too is used in proportion.

use crate::candidates::Candidates;
use crate::entropy::Stream;
use crate::seat::Seat;
use std::cmp::Ordering;

#[derive(Debug)]
pub(crate) enum LeastRequest {
    Even,
    Weighted,
}

impl LeastRequest {
    pub(crate) fn new(seats: &[Seat]) -> Self {
        if Seat::is_even(seats) { Self::Even } else { Self::Weighted }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, random: u64) -> Option<usize> {
        match self {
            Self::Even => fewest(candidates, random),
            Self::Weighted => fewest_for_weight(candidates, random),
        }
    }
}

fn fewest(candidates: &Candidates<'_>, random: u64) -> Option<usize> {
    let mut best = None;
    let mut least = (u32::MAX, u64::MAX);
    candidates.visit_from_random(random, |index, seat, _| {
        let (in_flight, last_used) = (seat.state.in_flight(), seat.state.last_used().0);
        if in_flight < least.0 || (in_flight == least.0 && last_used < least.1) {
            (best, least) = (Some(index), (in_flight, last_used));
        }
    });
    best
}

fn fewest_for_weight(candidates: &Candidates<'_>, random: u64) -> Option<usize> {
    let mut stream = Stream::new(random);
    let mut best = None;
    let mut load = Load { in_flight: u64::MAX >> 32, share: 0 };
    let mut tied_shares = 0;
    candidates.visit_from_random(random, |index, seat, _| {
        let other = Load { in_flight: u64::from(seat.state.in_flight()), share: u64::from(seat.share) };
        let wins = match other.compare(&load) {
            Ordering::Less => {
                tied_shares = 0;
                true
            }
            Ordering::Equal => stream.next_below(tied_shares + other.share) < other.share,
            Ordering::Greater => return,
        };
        tied_shares += other.share;
        if wins {
            (best, load) = (Some(index), other);
        }
    });
    best
}

struct Load {
    in_flight: u64,
    share: u64,
}

impl Load {
    /// Compares `in_flight / share` without dividing; both factors are below 2^32. A share of zero is infinite load.
    fn compare(&self, other: &Load) -> Ordering {
        (self.in_flight * other.share).cmp(&(other.in_flight * self.share))
    }
}

#[cfg(test)]
mod tests {
    use crate::entropy::Stream;
    use crate::testing::{Fleet, any_weights, assert_proportional};
    use crate::{Algorithm, Ended, Lease, Moment};
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

    #[test]
    fn of_those_that_are_idle_whoever_has_been_for_longest_is_next() {
        for algorithm in [Algorithm::LeastRequest, Algorithm::Adaptive { peers: 1 }] {
            let fleet = Fleet::even(algorithm, 3);
            let mut leases: Vec<_> = (1..=3).map(|tick| fleet.pick_at(Moment(tick))).collect();
            // The first one to get a request is the last one to be done with it.
            let order: Vec<_> = leases.iter().rev().map(Lease::index).collect();
            for tick in 4..=6 {
                leases.pop().unwrap().settle(Ended::Abandoned, Moment(tick));
            }
            let next: Vec<_> = (7..=9).map(|tick| fleet.pick_at(Moment(tick))).collect();
            assert_eq!(next.iter().map(Lease::index).collect::<Vec<_>>(), order);
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
