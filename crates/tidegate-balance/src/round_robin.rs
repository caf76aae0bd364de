//! Smooth weighted round robin: each endpoint gets exactly its share of every cycle, spread as evenly as whole requests
//! allow. Knows nothing of load, speed or errors.
//!
//! The cycle (as many slots as the weights add up to, once their common divisor is taken out) is laid out when the balancer
//! is built, with Tijdeman's rule for the chairman assignment problem (R. Tijdeman, "The chairman assignment problem",
//! Discrete Mathematics 32, 1980): after any number of slots every endpoint's count differs from its exact share by less
//! than one. nginx's smooth rule aims at the same and has no such bound.
//!
//! Workers share one cursor; a pick is one `fetch_add`. A slot whose endpoint is out is passed over and the next one is
//! taken from the same cursor, so that the remaining endpoints still get exactly their slots of the cycle, in
//! proportion. After `MISSES_MAX` such slots (a heavy endpoint is out) the slot is drawn by weight instead, which keeps the
//! proportions on average.
//!
//! Each tier has a rotation of its own: with one for all, whoever stands behind the endpoints of another tier would have their slots
//! as well.

use crate::candidates::Candidates;
use crate::places::{ByTier, Tiers};
use crate::seat::Seat;
use crossbeam_utils::CachePadded;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Slots passed over before one is drawn by weight.
const MISSES_MAX: u32 = 64;
/// Cycles beyond this are built from weights scaled down, each at least 1: exact for the scaled weights.
const CYCLE_SLOTS_MAX: u64 = 1 << 17;

#[derive(Debug)]
pub(crate) struct RoundRobin {
    rotations: ByTier<Rotation>,
    /// Of each tier that there was, also in snapshots before.
    cursors: Vec<(Option<u8>, Cursor)>,
}

/// Shared with the balancer of the next snapshot, so that a reload does not start the rotation again. `Relaxed`: only
/// the numbers handed out matter, and a read-modify-write hands out each once.
type Cursor = Arc<CachePadded<AtomicU64>>;

#[derive(Debug)]
struct Rotation {
    cycle: Box<[u32]>,
    cursor: Cursor,
}

impl RoundRobin {
    pub(crate) fn new(endpoints: &[Seat], previous: Option<&RoundRobin>) -> Self {
        let mut cursors = previous.map(|previous| previous.cursors.clone()).unwrap_or_default();
        let rotations = Tiers::of(endpoints).each(|tier| {
            let known = cursors.iter().find(|(of, _)| *of == tier).map(|(_, cursor)| Arc::clone(cursor));
            let cursor = known.unwrap_or_else(|| {
                let cursor = Cursor::default();
                cursors.push((tier, Arc::clone(&cursor)));
                cursor
            });
            Rotation::new(endpoints, tier, cursor)
        });
        Self { rotations, cursors }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, random: u64) -> Option<usize> {
        let rotation = self.rotations.of(candidates.tier())?;
        let in_turn = (0..MISSES_MAX).find_map(|_| {
            let index = rotation.next()?;
            candidates.get(index).map(|_| index)
        });
        in_turn.or_else(|| candidates.by_weight(random, |_| true))
    }
}

impl Rotation {
    fn new(endpoints: &[Seat], tier: Option<u8>, cursor: Cursor) -> Self {
        let members: Vec<_> =
            (0_u32..).zip(endpoints).filter(|(_, seat)| tier.is_none_or(|tier| seat.tier == tier)).collect();
        let weights: Vec<_> = members.iter().map(|(_, seat)| u64::from(seat.share)).collect();
        let index_of = |member: u32| members.get(member as usize).map(|&(index, _)| index);
        Self { cycle: lay_out(&reduce(&weights)).into_iter().filter_map(index_of).collect(), cursor }
    }

    fn next(&self) -> Option<usize> {
        let slot = self.cursor.fetch_add(1, Relaxed).checked_rem(self.cycle.len() as u64)?;
        self.cycle.get(slot as usize).map(|&index| index as usize)
    }
}

/// The weights without their common divisor, scaled down when the cycle would be too long.
fn reduce(weights: &[u64]) -> Vec<u64> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let total: u64 = weights.iter().sum::<u64>() / divisor;
    let scale = |weight: u64| match total {
        0..=CYCLE_SLOTS_MAX => weight / divisor,
        _ => (weight / divisor * CYCLE_SLOTS_MAX / total).max(1),
    };
    weights.iter().map(|&weight| scale(weight)).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Tijdeman's rule. With `n` endpoints, shares `s = weight / total` and `d = 1 / (2n - 2)`: slot `t` (from 1) goes, among
/// those with `t·s - count >= d`, to the one with the smallest `(1 - d + count) / s`. In whole numbers throughout.
fn lay_out(weights: &[u64]) -> Vec<u32> {
    let total: u64 = weights.iter().sum();
    let turn = |index: u32, weight: u64| Turn {
        index,
        weight,
        count: 0,
        parts: (2 * weights.len() as u64).max(3) - 2,
    };
    let mut waiting: BinaryHeap<_> = (0..)
        .zip(weights)
        .map(|(index, &weight)| turn(index, weight))
        .map(|turn| (Reverse(turn.first_slot(total)), turn))
        .collect();
    let mut ready = BinaryHeap::new();
    let mut cycle = Vec::with_capacity(total as usize);
    for slot in 1..=total {
        while waiting.peek().is_some_and(|(Reverse(first), _)| *first <= slot) {
            ready.extend(waiting.pop().map(|(_, turn)| turn));
        }
        if let Some(turn) = ready.pop() {
            cycle.push(turn.index);
            let next = Turn { count: turn.count + 1, ..turn };
            waiting.push((Reverse(next.first_slot(total)), next));
        }
    }
    cycle
}

/// What an endpoint that had `count` slots is due next. The greatest is the most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    index: u32,
    weight: u64,
    count: u64,
    /// `1 / d`
    parts: u64,
}

impl Turn {
    /// The first `t` with `t·s - count >= d`.
    fn first_slot(&self, total: u64) -> u64 {
        ((self.count * self.parts + 1) * total).div_ceil(self.weight * self.parts)
    }
}

impl Ord for Turn {
    /// Compares `(1 - d + count) / s` crosswise; a tie goes to who had fewer slots, then to the earlier endpoint.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |turn: &Turn, by: u64| ((turn.count + 1) * turn.parts - 1) * by;
        let by_deadline = key(other, self.weight).cmp(&key(self, other.weight));
        by_deadline.then(other.count.cmp(&self.count)).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fleet, any_weights, several_weights};
    use crate::{Algorithm, Balancer, Moment};
    use proptest::prelude::*;

    fn picks(balancer: &Balancer, count: u64) -> Vec<usize> {
        (0..count).map(|tick| crate::testing::pick(balancer, Moment(tick), tick).index()).collect()
    }

    fn shares(picks: &[usize], endpoints: usize) -> Vec<u64> {
        let mut shares = vec![0; endpoints];
        for &index in picks {
            shares[index] += 1;
        }
        shares
    }

    #[test]
    fn a_heavy_endpoint_is_interleaved_with_the_light_ones() {
        assert_eq!(lay_out(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(lay_out(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(lay_out(&[3]), [0, 0, 0]);
    }

    proptest! {
        #[test]
        fn every_cycle_gives_exact_shares_and_is_never_a_whole_slot_off(weights in any_weights()) {
            let reduced = reduce(&weights.iter().map(|&weight| u64::from(weight)).collect::<Vec<_>>());
            let total: u64 = reduced.iter().sum();
            let cycle = lay_out(&reduced);
            prop_assert_eq!(cycle.len() as u64, total);
            let mut counts = vec![0_u64; reduced.len()];
            for (slot, &index) in (1_u64..).zip(&cycle) {
                counts[index as usize] += 1;
                for (count, weight) in counts.iter().zip(&reduced) {
                    let off = (count * total).abs_diff(slot * weight);
                    prop_assert!(off < total, "{counts:?} after {slot} of {cycle:?}");
                }
            }
            prop_assert_eq!(counts, reduced);
        }

        #[test]
        fn the_rest_keep_their_exact_shares_while_one_is_out(weights in several_weights(), out in 0_usize..8) {
            let out = out % weights.len();
            let fleet = Fleet::new(Algorithm::RoundRobin, &weights);
            fleet.endpoints()[out].state.set_draining(true);
            let rest: u64 = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>() - u64::from(weights[out]);
            let shares = shares(&picks(&fleet, rest * 3), weights.len());
            for (index, (&share, &weight)) in shares.iter().zip(&weights).enumerate() {
                prop_assert_eq!(share, if index == out { 0 } else { u64::from(weight) * 3 });
            }
        }
    }

    #[test]
    fn workers_that_pick_at_the_same_time_share_one_rotation() {
        let fleet = Fleet::new(Algorithm::RoundRobin, &[3, 2, 1]);
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| picks(&fleet, 3_000))).collect();
            for worker in workers {
                all.extend(worker.join().unwrap());
            }
        });
        assert_eq!(shares(&all, 3), [6_000, 4_000, 2_000]);
    }

    #[test]
    fn a_reload_goes_on_where_the_rotation_was() {
        let before = Fleet::even(Algorithm::RoundRobin, 3);
        assert_eq!(picks(&before, 2), [0, 1]);
        let after = Balancer::new(Algorithm::RoundRobin, before.endpoints().to_vec(), Some(&before));
        assert_eq!(picks(&after, 2), [2, 0]);
    }

    #[test]
    fn a_heavy_endpoint_that_is_out_leaves_the_rest_their_proportions() {
        let fleet = Fleet::new(Algorithm::RoundRobin, &[1_000, 2, 1]);
        fleet.endpoints()[0].state.set_draining(true);
        let mut random = crate::entropy::Stream::new(3);
        let mut shares = [0_u32; 3];
        for _ in 0..6_000 {
            shares[fleet.pick_with(Moment(0), random.next_below(u64::MAX)).index()] += 1;
        }
        assert!(shares[0] == 0 && (3_700..4_300).contains(&shares[1]), "{shares:?}");
    }

    #[test]
    fn huge_weights_are_scaled_to_a_bounded_cycle() {
        let scaled = reduce(&[4_000_000_000, 3_999_999_999, 1]);
        assert!(scaled.iter().sum::<u64>() <= CYCLE_SLOTS_MAX + 3 && scaled[2] == 1);
        assert!(scaled[0].abs_diff(scaled[1]) <= 1);
    }
}
