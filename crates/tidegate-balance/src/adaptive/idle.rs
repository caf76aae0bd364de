//! Who is asked while there is little to do. Knows no search.
//!
//! By drain time alone the greatest weight would get nearly everything: it has the most slots, and drains soonest, though one request
//! needs but one of them. An idle endpoint that is believed to be as fast is as good for it, whatever its weight. So turns are taken by
//! weight, and whoever has one is asked if it is that. Who is busy is not, so that under load drain times decide, which keep the same shares.

use super::fleet::Fleet;
use super::{error_cost, warning};
use crate::Moment;
use crate::candidates::Candidates;
use crate::seat::Seat;
use crate::weights::Weights;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The golden section of all numbers: its multiples are spread as evenly as can be, however many there are (Weyl 1916).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// A difference of 10 % is not worth acting on, in what is learned or because an answer or two came late: who is not asked could not
/// clear itself of it.
const HARDLY_MORE: f32 = 1.1;
/// In the price of a zone none is too small; rounding is none.
const NOT_FARTHER: f32 = 1.001;

#[derive(Debug)]
pub(super) struct Idle {
    weights: Weights,
    /// The sum of all turns: they are taken by weight, not drawn, so that several proxies meet no more often than they must.
    turns: AtomicU64,
}

impl Idle {
    /// `None` where all weights are equal: then ties go to whoever has been idle for longest.
    pub(super) fn of(seats: &[Seat]) -> Option<Self> {
        (!Seat::is_even(seats)).then(|| Self { weights: Weights::of(seats), turns: AtomicU64::new(0) })
    }

    /// Whose turn it is by weight, if it is as good as the best.
    pub(super) fn next<'a>(
        &self,
        candidates: &Candidates<'a>,
        best: &Seat,
        fleet: &Fleet,
    ) -> Option<(usize, &'a Seat)> {
        let turn = self.turns.fetch_add(GOLDEN, Relaxed);
        let (index, seat) = self.weights.draw_any(candidates, turn)?;
        is_as_good(seat, best, fleet, candidates.now()).then_some((index, seat))
    }
}

/// Idle, no farther, believed to be hardly slower, and there is next to nothing to warn of. By the cost, from which what may be chance is gone,
/// and by what weights tell of speed, which is none where that may be chance.
pub(super) fn is_as_good(seat: &Seat, best: &Seat, fleet: &Fleet, now: Moment) -> bool {
    // Where weights tell speed, costs say how an endpoint differs from that.
    let slowness = |seat: &Seat| seat.state.standing().cost.get() * fleet.told_by_weight(seat);
    seat.state.in_flight() == 0
        && zone_cost(seat) <= NOT_FARTHER * zone_cost(best)
        && slowness(seat) <= HARDLY_MORE * slowness(best)
        && error_cost(&seat.state, now) <= 0.0
        && warning::factor(&seat.state, fleet.patience(), now) <= HARDLY_MORE
}

fn zone_cost(seat: &Seat) -> f32 {
    seat.price / seat.lightness
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
        for (weights, about) in [([2, 1], 0.6..0.75), ([1, 3], 0.2..0.35), ([10, 9], 0.45..0.65)] {
            let mean = (0..40).map(|seed| part_of_first(&weights, seed)).sum::<f64>() / 40.0;
            assert!(about.contains(&mean), "{mean} of {weights:?}");
        }
    }

    /// Nobody draws one that is out so often that those who are left are not drawn by weight.
    #[test]
    fn turns_are_taken_by_weight_among_those_that_are_up() {
        for others in [&[1_000; 6][..], &[100], &[10, 20]] {
            let weights: Vec<u32> = [20, 10].iter().chain(others).copied().collect();
            let fleet = Fleet::new(Algorithm::Adaptive { peers: 1 }, &weights);
            fleet.endpoints().iter().skip(2).for_each(|endpoint| endpoint.state.set_draining(true));
            let latency = Duration::from_millis(5);
            let mut now = Moment(1);
            let mut first = 0;
            for _ in 0..3_000 {
                let lease = fleet.pick_at(now);
                first += u32::from(lease.index() == 0);
                now = now + latency;
                lease.settle(Ended::Answered { status: 200, first_byte: latency }, now);
            }
            assert!((1_900..2_100).contains(&first), "{first} of 3000 beside {others:?}");
        }
    }
}
