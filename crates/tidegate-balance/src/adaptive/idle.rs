//! Who is asked while there is little to do. Knows no search.
//!
//! By drain time alone the greatest weight would get nearly everything: it has the most slots, and drains soonest, though one request
//! needs but one of them. An idle endpoint that is believed to be as fast is as good for it, whatever its weight. So turns are taken by
//! weight, and whoever has one is asked if it is that. Who is busy is not, so that under load drain times decide, which keep the same shares.

use super::{Patience, error_cost, warning};
use crate::Moment;
use crate::candidates::Candidates;
use crate::entropy::below;
use crate::seat::Seat;
use crate::weights::Weights;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The golden section of all numbers: its multiples are spread as evenly as can be, however many there are (Weyl 1916).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Rounding is no difference.
const NOT_MORE: f32 = 1.001;

#[derive(Debug)]
pub(super) struct Idle {
    weights: Weights,
    /// The sum of all turns: they are taken by weight, not drawn, so that several proxies meet no more often than they must.
    turns: AtomicU64,
}

impl Idle {
    /// `None` where all weights are equal: then ties go to the least recently used.
    pub(super) fn of(seats: &[Seat]) -> Option<Self> {
        (!Seat::is_even(seats)).then(|| Self { weights: Weights::of(seats), turns: AtomicU64::new(0) })
    }

    /// Whose turn it is by weight, if it is as good as the best.
    pub(super) fn next<'a>(
        &self,
        candidates: &Candidates<'a>,
        best: &Seat,
        patience: Patience,
    ) -> Option<(usize, &'a Seat)> {
        let (index, seat) = self.weights.draw(
            candidates,
            |whole| below(self.turns.fetch_add(GOLDEN, Relaxed), whole),
            |_| true,
        )?;
        is_as_good(seat, best, patience, candidates.now()).then_some((index, seat))
    }
}

/// Idle, believed to be no slower, and there is nothing to warn of. By the cost, from which what may be chance is gone; what is left says,
/// among other things, where the requests of other proxies are.
pub(super) fn is_as_good(seat: &Seat, best: &Seat, patience: Patience, now: Moment) -> bool {
    seat.state.in_flight() == 0
        && cost_of_any_weight(seat) <= NOT_MORE * cost_of_any_weight(best)
        && error_cost(&seat.state) <= 0.0
        && warning::factor(&seat.state, patience, now) <= 1.0
}

/// What a request costs there that is alone, for a unit of weight; with the zone.
fn cost_of_any_weight(seat: &Seat) -> f32 {
    seat.state.standing().cost.get() * seat.price / seat.lightness
}

#[cfg(test)]
mod tests {
    use crate::entropy::Stream;
    use crate::testing::Fleet;
    use crate::{Algorithm, Ended, Moment};
    use std::time::Duration;

    /// One request after the other, of the same kind everywhere: the part of the first endpoint.
    fn part_of_first(weights: &[u32], seed: u64) -> f64 {
        const REQUESTS: u32 = 4_000;
        let fleet = Fleet::new(Algorithm::Adaptive { peers: 1 }, weights);
        let mut stream = Stream::new(seed);
        let mut now = Moment(1);
        let mut first = 0;
        for _ in 0..REQUESTS {
            let lease = fleet.pick_at(now);
            first += u32::from(lease.index() == 0);
            let latency = Duration::from_micros(2_000 + stream.next_below(6_000));
            now = now + latency;
            lease.settle(Ended::Answered { status: 200, first_byte: latency }, now);
            now = now + Duration::from_millis(seed);
        }
        f64::from(first) / f64::from(REQUESTS)
    }

    /// One that looks slower by chance is asked less until that is corrected, as where weights are equal: so it is a mean of many.
    #[test]
    fn weights_have_about_their_shares_while_there_is_little_to_do() {
        for (weights, about) in [([2, 1], 0.55..0.85), ([1, 3], 0.12..0.35), ([10, 9], 0.4..0.8)] {
            let mean = (0..40).map(|seed| part_of_first(&weights, seed)).sum::<f64>() / 40.0;
            assert!(about.contains(&mean), "{mean} of {weights:?}");
        }
    }
}
