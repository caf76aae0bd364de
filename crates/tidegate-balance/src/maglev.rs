//! Maglev hashing: a table of slots, each owned by an endpoint; a key's slot tells its endpoint in one look. Knows nothing of
//! speed or errors.
//!
//! Eisenbud et al., "Maglev: a fast and reliable software network load balancer", NSDI 2016, section 3.4: the endpoints take
//! turns at claiming the next free slot of a permutation of their own, so that the shares are even to a slot or two, and an
//! endpoint that comes or goes moves few slots of the others. Endpoints claim in proportion to their weights. The table
//! is built when the balancer is built and does not depend on health: a key whose endpoint is out or over its
//! bound is hashed again, so that nobody else's key moves. Each tier has a table of its own: one that comes or goes moves no key of another.
//!
//! Against rendezvous hashing: a pick is one look instead of one for each endpoint; a changed list of endpoints moves about
//! one key in a hundred more than it must.

use crate::Endpoint;
use crate::bound::{Choice, Limit, LoadBound, Spilled};
use crate::candidates::Candidates;
use crate::entropy::{below, mix, stable_hash};
use crate::places::{ByTier, Tiers};
use crate::rendezvous::Rendezvous;
use crate::seat::Seat;

/// Primes, so that every step through the table is a permutation. The paper's sizes: a hundred slots an endpoint and more.
const TABLE_SLOTS: u64 = 65_537;
const TABLE_SLOTS_LARGE: u64 = 655_373;
const ENDPOINTS_LARGE: usize = 600;
const VACANT: u32 = u32::MAX;
/// Slots looked at for one key before rendezvous hashing decides.
const MISSES_MAX: u32 = 16;

#[derive(Debug)]
pub(crate) struct Maglev {
    /// The owner of each slot.
    tables: ByTier<Box<[u32]>>,
    rendezvous: Rendezvous,
    bound: Option<LoadBound>,
}

impl Maglev {
    pub(crate) fn new(endpoints: &[Endpoint], seats: &[Seat], bound: Option<LoadBound>) -> Self {
        let tables = Tiers::of(seats).each(|tier| claim(endpoints, seats, tier));
        Self { tables, rendezvous: Rendezvous::new(endpoints, None), bound }
    }

    /// The same with the tiers of these seats.
    pub(crate) fn in_tiers(self, endpoints: &[Endpoint], seats: &[Seat]) -> Self {
        let tiers = Tiers::of(seats);
        if tiers.are_several() {
            Self { tables: tiers.each(|tier| claim(endpoints, seats, tier)), ..self }
        } else {
            self
        }
    }

    pub(crate) fn choose(&self, candidates: &Candidates<'_>, key: u64) -> Option<Choice> {
        let home = self.first(&candidates.full_or_not(), key, |_| true)?;
        let limit = self.bound.map(|bound| bound.limit(candidates));
        let Some(obstacle) = Spilled::from_home(home, limit.as_ref(), candidates) else {
            return Some(home.into());
        };
        let index = Limit::spill(limit.as_ref(), candidates, |suits| self.first(candidates, key, suits))?;
        Some(Choice { spilled: Some(obstacle), ..index.into() })
    }

    /// The first that suits in the order of the key.
    fn first(&self, candidates: &Candidates<'_>, key: u64, suits: impl Fn(&Seat) -> bool) -> Option<usize> {
        let owners = self.tables.of(candidates.tier())?;
        let mut hash = mix(key);
        for _ in 0..MISSES_MAX {
            let slot = below(hash, owners.len() as u64);
            let index = *owners.get(slot as usize)? as usize;
            if candidates.get(index).is_some_and(&suits) {
                return Some(index);
            }
            hash = mix(hash.wrapping_add(1));
        }
        self.rendezvous.best(candidates, key, suits)
    }
}

/// Every endpoint, or every one of the tier, claims as often as its weight allows until no slot is vacant.
fn claim(endpoints: &[Endpoint], seats: &[Seat], tier: Option<u8>) -> Box<[u32]> {
    let is_of_tier = |seat: &Seat| tier.is_none_or(|tier| seat.tier == tier);
    let members = || (0..).zip(endpoints).zip(seats).filter(|(_, seat)| is_of_tier(seat));
    let slots = if members().count() > ENDPOINTS_LARGE { TABLE_SLOTS_LARGE } else { TABLE_SLOTS };
    let Some(heaviest) = members().map(|(_, seat)| seat.share).max() else { return Box::default() };
    let mut order: Vec<_> = members().map(Claimant::new(slots)).collect();
    // By name, so that the order of the list does not matter.
    order.sort_by_key(|claimant| claimant.name);
    let mut owners = vec![VACANT; slots as usize];
    let mut vacant = slots;
    while vacant > 0 {
        for claimant in &mut order {
            claimant.credit += u64::from(claimant.share);
            if claimant.credit >= u64::from(heaviest) && vacant > 0 {
                claimant.credit -= u64::from(heaviest);
                claimant.claim(&mut owners);
                vacant -= 1;
            }
        }
    }
    owners.into()
}

/// An endpoint on its way through its permutation of the slots: from `next` on in steps of `skip`.
struct Claimant {
    name: u64,
    index: u32,
    share: u32,
    credit: u64,
    next: u64,
    skip: u64,
}

impl Claimant {
    fn new(slots: u64) -> impl FnMut(((u32, &Endpoint), &Seat)) -> Self {
        move |((index, endpoint), seat)| {
            let name = stable_hash(&endpoint.id.address);
            let skip = 1 + below(mix(name.wrapping_add(1)), slots - 1);
            Self { name, index, share: seat.share, credit: 0, next: below(name, slots), skip }
        }
    }

    fn claim(&mut self, owners: &mut [u32]) {
        let slots = owners.len() as u64;
        for _ in 0..slots {
            let slot = self.next as usize;
            self.next = (self.next + self.skip) % slots;
            if let Some(owner @ &mut VACANT) = owners.get_mut(slot) {
                *owner = self.index;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fleet, any_weights, several_weights};
    use crate::{Algorithm, Balancer};
    use proptest::prelude::*;

    const KEYS: u64 = 2_000;
    const MAGLEV: Algorithm = Algorithm::Maglev { bound: None };

    fn owners(fleet: &Fleet) -> Vec<usize> {
        (0..KEYS).map(|key| fleet.pick_for(key).index()).collect()
    }

    fn table(fleet: &Balancer) -> Box<[u32]> {
        claim(fleet.endpoints(), &Seat::all(fleet.endpoints(), &[]), None)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn slots_are_shared_by_weight_to_within_one_in_a_hundred(weights in any_weights()) {
            let table = table(&Fleet::new(MAGLEV, &weights));
            let total: u32 = weights.iter().sum();
            for (index, &weight) in (0..).zip(&weights) {
                let share = table.iter().filter(|&&owner| owner == index).count() as f64;
                let expected = TABLE_SLOTS as f64 * f64::from(weight) / f64::from(total);
                prop_assert!((share - expected).abs() <= 0.01 * expected + 2.0, "{} of {}", share, expected);
            }
        }

        #[test]
        fn an_endpoint_that_is_out_moves_only_its_own_keys(weights in several_weights(), out in 0_usize..8) {
            let out = out % weights.len();
            let fleet = Fleet::new(MAGLEV, &weights);
            let before = owners(&fleet);
            fleet.endpoints()[out].state.set_draining(true);
            for (before, after) in before.iter().zip(owners(&fleet)) {
                let moved_rightly = if *before == out { after != out } else { *before == after };
                prop_assert!(moved_rightly, "from {} to {}", before, after);
            }
        }

        #[test]
        fn an_endpoint_that_is_removed_moves_few_slots_of_the_others(count in 3_usize..12) {
            let all = Fleet::even(MAGLEV, count);
            let fewer = Fleet::of(MAGLEV, all.endpoints()[..count - 1].to_vec());
            let moved = table(&all).iter().zip(&table(&fewer))
                .filter(|&(&before, &after)| before != (count - 1) as u32 && before != after)
                .count();
            prop_assert!((moved as f64) < 0.15 * TABLE_SLOTS as f64 / count as f64 * 2.0, "{} moved", moved);
        }

        #[test]
        fn a_bound_is_never_exceeded(weights in any_weights(), percent in 100_u32..200, hot_keys in 1_u64..4) {
            let bound = Some(LoadBound::new(percent));
            let fleet = Fleet::new(Algorithm::Maglev { bound }, &weights);
            crate::testing::assert_bounded(&fleet, &weights, percent, hot_keys);
        }
    }

    /// Also where so few are up that many slots are looked at in vain.
    #[test]
    fn the_order_of_the_endpoints_does_not_matter() {
        for out in [0, 7] {
            let fleet = Fleet::new(MAGLEV, &[3, 1, 2, 1, 1, 1, 1, 1, 1, 1]);
            let mut turned = fleet.endpoints().to_vec();
            turned.reverse();
            let turned = Fleet::of(MAGLEV, turned);
            fleet.endpoints()[..out].iter().for_each(|endpoint| endpoint.state.set_draining(true));
            for key in 0..KEYS {
                assert_eq!(fleet.pick_for(key).endpoint().id, turned.pick_for(key).endpoint().id);
            }
        }
    }
}
