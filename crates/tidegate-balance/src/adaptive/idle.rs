//! Who is asked while there is little to do. Knows no search.
//!
//! By drain time alone the greatest weight would get nearly everything: it has the most slots, and drains soonest, though one request
//! needs but one of them. An idle endpoint that is believed to be as fast is as good for it, whatever its weight. So one is drawn by
//! weight, and taken if it is that. Who is busy is not, so that under load drain times decide, which keep the same shares.

use super::{Patience, error_cost, warning};
use crate::Moment;
use crate::candidates::Candidates;
use crate::entropy::Stream;
use crate::seat::Seat;
use crate::weights::Weights;

/// What is believed to take so many times as long takes as long, as far as anybody knows.
const AS_FAST: f32 = 1.1;
const LOG_AS_FAST: f32 = 0.095;
/// So many times the cost is not explained by how many slots there are.
const WIDELY: f32 = 2.0;

#[derive(Debug)]
pub(super) struct Idle {
    weights: Weights,
}

impl Idle {
    /// `None` where all weights are equal: then ties go to the least recently used.
    pub(super) fn of(seats: &[Seat]) -> Option<Self> {
        (!Seat::is_even(seats)).then(|| Self { weights: Weights::of(seats) })
    }

    /// One drawn by weight, if it is as good as the best.
    pub(super) fn draw<'a>(
        &self,
        candidates: &Candidates<'a>,
        best: &Seat,
        patience: Patience,
        random: u64,
    ) -> Option<(usize, &'a Seat)> {
        let (index, seat) = self.weights.draw(candidates, &mut Stream::new(random))?;
        is_as_good(seat, best, patience, candidates.now()).then_some((index, seat))
    }
}

/// Idle, as fast, and there is nothing to warn of.
pub(super) fn is_as_good(seat: &Seat, best: &Seat, patience: Patience, now: Moment) -> bool {
    seat.state.in_flight() == 0
        && is_as_fast(seat, best)
        && error_cost(&seat.state) <= 0.0
        && warning::factor(&seat.state, patience, now) <= AS_FAST
}

/// By the cost, from which what may be chance is gone; or by the service time, since how many slots there are does not matter to one
/// request, unless the two disagree widely.
fn is_as_fast(seat: &Seat, best: &Seat) -> bool {
    let times = cost_of_any_weight(seat) / cost_of_any_weight(best);
    let log_service = |seat: &Seat| seat.state.published().log_service.get();
    let takes_as_long = || log_service(seat) <= log_service(best) + LOG_AS_FAST;
    times <= AS_FAST || (times <= WIDELY && takes_as_long() && !seat.is_farther_than(best))
}

/// What a request costs there that is alone, for a unit of weight; with the zone.
fn cost_of_any_weight(seat: &Seat) -> f32 {
    seat.state.standing().cost.get() * seat.price / seat.lightness
}

#[cfg(test)]
mod tests {
    use crate::entropy::Stream;
    use crate::testing::{Fleet, any_weights};
    use crate::{Algorithm, Ended, Moment};
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// One request after the other, of the same kind everywhere.
        #[test]
        fn weights_have_about_their_shares_while_there_is_little_to_do(weights in any_weights(), pause_ms in 0_u64..100) {
            const REQUESTS: u32 = 8_000;
            let fleet = Fleet::new(Algorithm::Adaptive { peers: 1 }, &weights);
            let mut stream = Stream::new(pause_ms);
            let mut now = Moment(1);
            let mut asked = vec![0_u32; weights.len()];
            for _ in 0..REQUESTS {
                let lease = fleet.pick_at(now);
                asked[lease.index()] += 1;
                let latency = Duration::from_micros(2_000 + stream.next_below(6_000));
                now = now + latency;
                lease.settle(Ended::Answered { status: 200, first_byte: latency }, now);
                now = now + Duration::from_millis(pause_ms);
            }
            let whole: u32 = weights.iter().sum();
            for (&count, &weight) in asked.iter().zip(&weights) {
                let fair = f64::from(REQUESTS) * f64::from(weight) / f64::from(whole);
                // Who looks slower by chance is asked less until that is corrected. By drain time alone one would have nearly all.
                let part = f64::from(count) / fair;
                prop_assert!((0.3..2.0).contains(&part), "{asked:?} by {weights:?}");
            }
        }
    }
}
