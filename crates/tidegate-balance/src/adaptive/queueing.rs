//! What a request that would wait at a fast endpoint costs those who come after it. Knows no single request.
//!
//! By drain time a fast endpoint is filled until an answer takes as long there as at a slow one. While more comes than the fast ones serve, their queues
//! never empty: everybody waits as long as the slow ones take, and nobody has gained by it. Where a queue lasts, a request that joins it is best charged
//! what it takes from all behind it (Naor, "The regulation of queue size by levying tolls", Econometrica 37(1), 1969). So the fast ones are filled as drain times
//! say to their slots and most of as many again, and beyond that a request counts there as it does as a mean of all, until those have no free slots either.

use super::least_drain_time;
use crate::float::AtomicF32;
use crate::seat::Seat;

/// So many times as many as have been seen not to wait: a short queue goes by, and what is known of slots is known by steps.
const QUEUE_FROM: f32 = 1.75;
/// Nobody is charged who costs more than this part of the mean: where requests are of different kinds, beliefs stray.
const CLEARLY_LESS: f32 = 0.8;
/// How fast the mean follows, each time that all are looked at.
const GAIN: f32 = 0.2;

/// What a request costs as a mean of all endpoints, over what it costs a typical one: more than 1 where some are many times as slow as most. Never less: most
/// may be slower than the mean says, and then it is they who would be filled.
#[derive(Debug)]
pub(super) struct MeanCost(AtomicF32);

impl Default for MeanCost {
    fn default() -> Self {
        Self(AtomicF32::new(1.0))
    }
}

impl MeanCost {
    #[inline]
    pub(super) fn get(&self) -> f32 {
        self.0.get()
    }

    /// `typical`: the lightness of a typical endpoint; `part`: of all endpoints, these are so many.
    pub(super) fn follow<'a>(&self, seats: impl Iterator<Item = &'a Seat>, typical: f32, part: f32) {
        let (mut costs, mut whole) = (0.0, 0.0);
        for seat in seats {
            // By weight: a canary that costs a hundred times as much is no reason to send it more.
            costs += seat.share as f32 * seat.lightness * seat.state.standing().cost.get();
            whole += seat.share as f32;
        }
        if whole > 0.0 {
            let mean = (costs / (whole * typical)).max(1.0);
            self.0.follow(mean, GAIN * part);
        }
    }
}

/// What queues cost now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolls {
    /// What a request costs as a mean, over what it costs a typical endpoint.
    mean_cost: f32,
    /// The score of an endpoint of mean cost whose slots are taken, over what one request costs a typical endpoint.
    full: f32,
}

impl Tolls {
    /// `slots`: of a typical endpoint.
    pub(super) fn new(mean_cost: f32, slots: f32) -> Self {
        Self { mean_cost, full: QUEUE_FROM * slots * mean_cost }
    }

    /// In the units of the score, where it is `score` without; 0 where a request costs hardly less than as a mean, or would hardly wait. No more than makes an endpoint as
    /// bad as one of mean cost whose slots are taken: where all are, queues drain soonest if they are as long as they drain fast.
    #[inline]
    pub(super) fn toll(self, seat: &Seat, score: f32) -> f32 {
        let gain = CLEARLY_LESS * self.mean_cost * seat.fare - least_drain_time(seat);
        if gain <= 0.0 {
            return 0.0;
        }
        let waiting = seat.state.at_work() as f32 + 1.0 - QUEUE_FROM * seat.at_once();
        (gain * waiting).min(self.full * seat.fare - score).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use crate::testing::Fleet;

    /// With so many requests there, on the second of two, which costs so much and has been seen to serve four.
    fn toll_of_next(cost: f32, tolls: Tolls, in_flight: usize) -> f32 {
        let fleet = Fleet::even(Algorithm::Adaptive { peers: 1 }, 2);
        let seats = Seat::all(fleet.endpoints(), &[]);
        let _held = fleet.hold(1, in_flight);
        seats[1].state.standing().cost.set(cost);
        seats[1].state.published().unhurried.set(4.0);
        tolls.toll(&seats[1], cost * (in_flight + 1) as f32)
    }

    #[test]
    fn who_would_wait_at_a_fast_endpoint_pays_for_those_behind_while_others_have_free_slots() {
        for (cost, mean_cost, in_flight, expected) in [
            (0.25, 1.0, 0, 0.0),
            (0.25, 1.0, 6, 0.0),
            (0.25, 1.0, 7, 0.55),
            (0.25, 1.0, 8, 1.1),
            // An endpoint of mean cost with seven requests has as many as it is filled to by drain times.
            (0.25, 1.0, 15, 7.0 - 0.25 * 16.0),
            (0.25, 1.0, 40, 0.0),
            (1.0, 1.0, 16, 0.0),
            (1.0, 3.0, 9, 3.0 * 1.4),
            (4.0, 3.0, 16, 0.0),
        ] {
            let toll = toll_of_next(cost, Tolls::new(mean_cost, 4.0), in_flight);
            assert!((toll - expected).abs() < 1e-5, "{cost} of {mean_cost}, {in_flight} there: {toll}");
        }
    }

    #[test]
    fn the_mean_cost_is_by_weight_and_never_less_than_that_of_a_typical_endpoint() {
        for (weights, costs, typical, expected) in [
            ([1, 1, 1, 1], [1.0, 1.0, 1.0, 1.0], 1.0, 1.0),
            ([1, 1, 1, 1], [1.0, 1.0, 1.0, 9.0], 1.0, 3.0),
            ([1, 1, 1, 1], [0.1, 1.0, 1.0, 1.0], 1.0, 1.0),
            ([100, 100, 100, 1], [1.0, 1.0, 1.0, 1.0], 0.01, 4.0 / 3.01),
        ] {
            let fleet = Fleet::new(Algorithm::Adaptive { peers: 1 }, &weights);
            let seats = Seat::all(fleet.endpoints(), &[]);
            seats.iter().zip(costs).for_each(|(seat, cost)| seat.state.standing().cost.set(cost));
            let mean_cost = MeanCost::default();
            (0..200).for_each(|_| mean_cost.follow(seats.iter(), typical, 1.0));
            assert!((mean_cost.get() - expected).abs() < 1e-3, "{weights:?}: {}", mean_cost.get());
        }
    }
}
