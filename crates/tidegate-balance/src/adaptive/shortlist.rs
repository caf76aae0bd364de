//! Whom to look at when there are too many to look at all: some at random, and the best that the last look has seen and
//! not used. Knows no score but as a number.
//!
//! Mitzenmacher, Prabhakar, Shah, "Load balancing with memory" (FOCS 2002): remembering the best of the last sample is
//! worth more than a larger sample.

use crate::entropy::Stream;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Drawn at random for each pick.
const DRAWN: u32 = 32;
/// Remembered from pick to pick.
const KEPT: usize = 8;
/// Of those looked at, at least so many must be open for the look to count.
pub(crate) const OPEN_MIN: u32 = 8;

/// Shared by all workers. `Relaxed`: each place is a suggestion by itself, and whoever it names is looked at anew.
#[derive(Debug, Default)]
pub(crate) struct Shortlist([AtomicU32; KEPT]);

impl Shortlist {
    /// Positions below `count` to look at; some may come twice.
    pub(crate) fn positions(&self, count: usize, random: u64) -> impl Iterator<Item = usize> {
        let mut stream = Stream::new(random);
        let drawn = (0..DRAWN).map(move |_| stream.next_below(count as u64) as usize);
        self.0.iter().map(|place| place.load(Relaxed) as usize).chain(drawn)
    }

    /// Remembers all of them but the one that is used.
    pub(crate) fn keep(&self, runners_up: &RunnersUp, used: usize) {
        let others = runners_up.0.iter().filter(|(_, index)| *index as usize != used);
        for (place, &(_, index)) in self.0.iter().zip(others) {
            place.store(index, Relaxed);
        }
    }
}

/// The best few of one look, best first: one more than is kept, as the very best will be used.
pub(crate) struct RunnersUp([(f32, u32); KEPT + 1]);

impl RunnersUp {
    pub(crate) fn new() -> Self {
        Self([(f32::INFINITY, u32::MAX); KEPT + 1])
    }

    /// Takes this one in, if it is among the best so far and not among them already.
    pub(crate) fn add(&mut self, index: usize, score: f32) {
        let mut ours = (score, index as u32);
        for place in &mut self.0 {
            if place.1 == ours.1 {
                *place = ours;
                return;
            }
            if ours.0 < place.0 {
                std::mem::swap(place, &mut ours);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fleet;
    use crate::{Algorithm, Moment};

    const ADAPTIVE: Algorithm = Algorithm::Adaptive { peers: 1 };

    #[test]
    fn the_best_are_kept_in_order_and_once() {
        let mut best = RunnersUp::new();
        for (index, score) in (0..30).zip([5.0, 3.0, 9.0, 1.0, 7.0].into_iter().cycle()) {
            best.add(index, score + index as f32 / 100.0);
            best.add(index, score + index as f32 / 100.0);
        }
        let scores: Vec<_> = best.0.iter().map(|place| place.0).collect();
        assert!(scores.is_sorted() && scores.iter().all(|&score| score < 4.0), "{:?}", best.0);
        let mut indexes: Vec<_> = best.0.iter().map(|place| place.1).collect();
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!(indexes.len(), KEPT + 1);
    }

    #[test]
    fn the_few_idle_ones_of_a_thousand_are_found() {
        let fleet = Fleet::even(ADAPTIVE, 1_000);
        let _held: Vec<_> = (0..900).map(|index| fleet.hold(index, 3)).collect();
        let leases: Vec<_> = (1..=50).map(|tick| fleet.pick_with(Moment(tick), mix_of(tick))).collect();
        let on_idle = leases.iter().filter(|lease| lease.index() >= 900).count();
        assert!(on_idle >= 48, "{on_idle} of 50");
    }

    #[test]
    fn the_only_open_one_of_a_thousand_is_found() {
        let fleet = Fleet::even(ADAPTIVE, 1_000);
        for endpoint in fleet.endpoints().iter().skip(1) {
            endpoint.state.set_draining(true);
        }
        assert!((0..100).all(|seed| fleet.pick_with(Moment(1), mix_of(seed)).index() == 0));
    }

    #[test]
    fn all_of_a_thousand_are_used() {
        let fleet = Fleet::even(ADAPTIVE, 1_000);
        let mut shares = vec![0_u32; 1_000];
        (1..=20_000).for_each(|tick| shares[fleet.pick_with(Moment(tick), mix_of(tick)).index()] += 1);
        assert!(shares.iter().all(|share| (10..=40).contains(share)), "{shares:?}");
    }

    fn mix_of(seed: u64) -> u64 {
        crate::entropy::mix(seed + 1)
    }
}
