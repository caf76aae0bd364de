//! Random choices: draw a few endpoints by weight, take the one with the fewest requests in flight for its weight. Knows
//! nothing of speed or errors.
//!
//! Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001. One choice is plain
//! weighted random. The draws differ from each other where the endpoints allow it, and a tie goes to the first draw, so
//! that an idle fleet is used exactly in proportion to its weights.

use crate::candidates::Candidates;
use crate::entropy::Stream;
use crate::seat::Seat;
use crate::weights::Weights;

#[derive(Debug)]
pub(crate) struct Random {
    choices: u32,
    weights: Weights,
}

impl Random {
    pub(crate) fn new(choices: u32, endpoints: &[Seat]) -> Self {
        Self { choices: choices.max(1), weights: Weights::of(endpoints) }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, random: u64) -> Option<usize> {
        let mut stream = Stream::new(random);
        let (mut best, endpoint) = self.draw(candidates, &mut stream)?;
        let mut least = endpoint;
        for _ in 1..self.choices {
            let other =
                self.weights.draw(candidates, |whole| stream.next_below(whole), |index| index != best);
            if let Some((index, endpoint)) = other.filter(|(_, endpoint)| is_less_loaded(endpoint, least)) {
                (best, least) = (index, endpoint);
            }
        }
        Some(best)
    }

    fn draw<'a>(&self, candidates: &Candidates<'a>, stream: &mut Stream) -> Option<(usize, &'a Seat)> {
        self.weights.draw_any(candidates, stream.next_bits())
    }
}

fn is_less_loaded(endpoint: &Seat, than: &Seat) -> bool {
    u64::from(endpoint.state.in_flight()) * u64::from(than.share)
        < u64::from(than.state.in_flight()) * u64::from(endpoint.share)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Fleet, any_weights, assert_proportional};
    use crate::{Algorithm, Moment};
    use proptest::prelude::*;

    const TWO: Algorithm = Algorithm::Random { choices: 2 };

    proptest! {
        #[test]
        fn an_idle_fleet_is_used_in_proportion_to_its_weights(weights in any_weights(), seed: u64) {
            let fleet = Fleet::new(TWO, &weights);
            let mut random = crate::entropy::Stream::new(seed);
            let mut shares = vec![0_u32; weights.len()];
            for _ in 0..20_000 {
                shares[fleet.pick_with(Moment(0), random.next_below(u64::MAX)).index()] += 1;
            }
            assert_proportional(&shares, &weights);
        }

        #[test]
        fn of_two_choices_the_busiest_endpoint_never_wins(busy in 0_usize..6, random: u64) {
            let fleet = Fleet::even(TWO, 6);
            let held = fleet.hold(busy, 3);
            let picked = fleet.pick_with(Moment(0), random).index();
            // Two draws may, once in 6^15, fail to differ.
            prop_assert_ne!(picked, busy);
            drop(held);
        }
    }

    #[test]
    fn one_choice_ignores_load() {
        let fleet = Fleet::even(Algorithm::Random { choices: 1 }, 2);
        let held = fleet.hold(0, 50);
        assert!((0..64_u64).any(|seed| fleet.pick_with(Moment(0), crate::entropy::mix(seed)).index() == 0));
        drop(held);
    }
}
