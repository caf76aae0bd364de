//! Which endpoints come first: tiers that take over from each other, and zones. Knows no algorithm; an algorithm chooses
//! among the endpoints of the tier that is drawn here.
//!
//! Overprovisioning, as Envoy does it: a tier that has lost some endpoints still takes all requests while 1.4 times its
//! healthy part covers the whole, and beyond that gives away just what is missing. So a tier with half its
//! endpoints down serves 70 % and the next one 30 %, instead of one endpoint going down moving everything.

use crate::Pick;
use crate::candidates::Standard;
use crate::entropy::{below, mix};
use crate::seat::Seat;

/// Where an endpoint stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// 0 is the first tier. A later tier is used for what the earlier ones cannot take.
    pub tier: u8,
    /// What a request there costs compared with a near one, in percent, as far as `adaptive` is concerned: 100 near, 150
    /// for a zone that is used when the near ones are half as busy again.
    pub zone_cost_percent: u32,
}

impl Default for Place {
    fn default() -> Self {
        Self { tier: 0, zone_cost_percent: 100 }
    }
}

/// Percent of a tier's healthy part that it is trusted to serve.
const OVERPROVISIONING_PERCENT: u64 = 140;
/// Parts that the requests are divided into.
const WHOLE: u64 = 1 << 20;

/// The tiers that exist, first to last. Empty when there is only one: then nothing is drawn.
#[derive(Debug, Default)]
pub(crate) struct Tiers(Box<[u8]>);

impl Tiers {
    pub(crate) fn of(seats: &[Seat]) -> Self {
        let mut tiers: Vec<_> = seats.iter().map(|seat| seat.tier).collect();
        tiers.sort_unstable();
        tiers.dedup();
        if tiers.len() == 1 { Self::default() } else { Self(tiers.into()) }
    }

    pub(crate) fn are_several(&self) -> bool {
        !self.0.is_empty()
    }

    /// The tier for this request, with the probability that its health gives it; `None` when there is nothing to draw. The same for all of one key:
    /// as a tier loses endpoints, ever more keys leave it, and those that have left stay away. Who is to be tried again is not up: a tier that
    /// counted it would call keys back for a moment, again and again.
    pub(crate) fn draw(&self, seats: &[Seat], pick: &Pick<'_>) -> Option<u8> {
        self.draw_by(seats, pick, Standard::Up)
    }

    /// Another one, from which the request would not have gone away if those were up that are due to be tried again: one of them is where to
    /// try it.
    pub(crate) fn draw_for_trial(&self, seats: &[Seat], pick: &Pick<'_>, drawn: Option<u8>) -> Option<u8> {
        if !self.are_several() || !seats.iter().any(|seat| Standard::Trial.accepts(seat, pick.now)) {
            return None;
        }
        self.draw_by(seats, pick, Standard::Open).filter(|tier| Some(*tier) != drawn)
    }

    fn draw_by(&self, seats: &[Seat], pick: &Pick<'_>, standard: Standard) -> Option<u8> {
        if !self.are_several() {
            return None;
        }
        let capacity = |&tier: &u8| capacity(tier, seats, pick, standard);
        let total = self.0.iter().map(capacity).sum::<u64>().min(WHOLE);
        let drawn = pick.hash.map_or(pick.random, |hash| hash ^ OF_TIERS);
        let mut left = below(mix(drawn), total);
        self.0.iter().copied().find(|tier| match left.checked_sub(capacity(tier)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }

    /// For a look at one after the other; where there is only one, at all endpoints.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Option<u8>> {
        let all = (!self.are_several()).then_some(None);
        all.into_iter().chain(self.0.iter().copied().map(Some))
    }

    /// What an algorithm keeps for all endpoints, and for those of each tier by themselves.
    pub(crate) fn each<T>(&self, mut make: impl FnMut(Option<u8>) -> T) -> ByTier<T> {
        let tiers = std::iter::once(None).chain(self.0.iter().copied().map(Some));
        ByTier(tiers.map(|tier| (tier, make(tier))).collect())
    }
}

/// One for all endpoints, and one for those of each tier where there are several: whoever is passed over for being of another tier would
/// leave his part to others unevenly.
#[derive(Debug)]
pub(crate) struct ByTier<T>(Box<[(Option<u8>, T)]>);

impl<T> ByTier<T> {
    /// `None`: of all.
    pub(crate) fn of(&self, tier: Option<u8>) -> Option<&T> {
        self.0.iter().find(|(of, _)| *of == tier).map(|(_, kept)| kept)
    }
}

/// So that what an algorithm makes of the same hash tells nothing of the tier.
const OF_TIERS: u64 = 0x7469_6572_2062_7920;

/// What a tier can take, in parts of the whole. That the request has been tried there makes it no smaller, unless it has been tried everywhere.
fn capacity(tier: u8, seats: &[Seat], pick: &Pick<'_>, standard: Standard) -> u64 {
    let (mut open, mut all, mut is_left) = (0, 0, false);
    for (index, seat) in seats.iter().enumerate().filter(|(_, seat)| seat.tier == tier) {
        let share = u64::from(seat.share);
        all += share;
        if standard.accepts(seat, pick.now) {
            open += share;
            is_left |= !pick.tried.contains(&index);
        }
    }
    let open = if is_left { open } else { 0 };
    (open * OVERPROVISIONING_PERCENT * WHOLE / 100).checked_div(all).unwrap_or(0).min(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fleet;
    use crate::{Algorithm, Balancer, Ended, Lease, LoadBound, Moment, RequestLimit};
    use proptest::prelude::*;
    use std::time::Duration;

    /// Endpoints in tiers of the given sizes.
    fn tiered(algorithm: Algorithm, sizes: &[usize]) -> Balancer {
        let tiers = (0..).zip(sizes).flat_map(|(tier, &size)| std::iter::repeat_n(tier, size));
        let places: Vec<_> = tiers.map(|tier| Place { tier, ..Place::default() }).collect();
        let endpoints = Fleet::even(algorithm, places.len()).endpoints().to_vec();
        Balancer::new(algorithm, endpoints, None).with_places(&places)
    }

    const HASHES: [Algorithm; 2] = [Algorithm::Maglev { bound: None }, Algorithm::Rendezvous { bound: None }];

    fn pick_for<'a>(balancer: &'a Balancer, key: u64, tried: &'a [usize], now: Moment) -> Lease<'a> {
        let pick = Pick { now, random: mix(key), hash: Some(mix(key)), tried };
        balancer.pick(&pick).unwrap()
    }

    /// The part of the requests that goes to the first `size` endpoints.
    fn part_of_first(balancer: &Balancer, size: usize) -> f64 {
        let rounds = 20_000;
        let first =
            (0..rounds).filter(|&round| crate::testing::pick(balancer, Moment(0), mix(round)).index() < size);
        first.count() as f64 / rounds as f64
    }

    #[test]
    fn a_tier_gives_away_just_what_it_cannot_take() {
        for (out, expected) in [(0, 1.0), (2, 1.0), (5, 0.7), (8, 0.28), (10, 0.0)] {
            let balancer = tiered(Algorithm::RoundRobin, &[10, 5]);
            for endpoint in &balancer.endpoints()[..out] {
                endpoint.state.set_draining(true);
            }
            let part = part_of_first(&balancer, 10);
            assert!((part - expected).abs() < 0.02, "{out} of 10 out: {part}");
        }
    }

    /// Whatever keeps the others from it: that they are full, or that they have refused the request, and nobody knows yet.
    #[test]
    fn no_tier_is_used_while_one_before_it_has_room() {
        let bound = Some(LoadBound::new(125));
        let all = [
            Algorithm::Adaptive { peers: 1 },
            Algorithm::First { in_flight_max: 1 },
            Algorithm::LeastRequest,
            Algorithm::Maglev { bound },
            Algorithm::PeakEwma,
            Algorithm::Prequal,
            Algorithm::Random { choices: 2 },
            Algorithm::Rendezvous { bound },
            Algorithm::RoundRobin,
        ];
        for algorithm in all {
            let limits =
                [RequestLimit::Most(2), RequestLimit::Most(2), RequestLimit::Most(3), RequestLimit::Most(9)];
            let limited = || tiered(algorithm, &[2, 1, 1]).with_request_limits(&limits, None);
            let balancer = limited();
            let mut held = Vec::new();
            for (key, expected) in (0..).zip([0, 0, 0, 0, 2, 2, 2, 3]) {
                let lease = pick_for(&balancer, key, &[], Moment(1));
                let in_first = usize::from(lease.index() == 1);
                assert_eq!(lease.index() - in_first, expected, "{algorithm:?}");
                held.push(lease);
            }
            for key in 0..50 {
                let balancer = limited();
                let mut tried = Vec::new();
                for tier in [0..2, 0..2, 2..3, 3..4] {
                    let lease = pick_for(&balancer, key, &tried, Moment(1));
                    assert!(tier.contains(&lease.index()), "{algorithm:?}, {tried:?}: {}", lease.index());
                    let index = lease.index();
                    lease.settle(Ended::ConnectFailed, Moment(1));
                    tried.push(index);
                }
            }
        }
    }

    /// A tenth of all fails in the first tier. The spares have answered well, once.
    #[test]
    fn spares_that_idle_say_nothing_of_how_often_requests_fail() {
        let cost_of_failing = |spares_answered: bool| {
            let balancer = tiered(Algorithm::Adaptive { peers: 1 }, &[4, 4]);
            let mut now = Moment(1);
            let mut answers = |index, status| {
                let lease = balancer.lease(index, now).unwrap();
                now = now + Duration::from_millis(5);
                lease.settle(Ended::Answered { status, first_byte: Duration::from_millis(5) }, now);
            };
            if spares_answered {
                (0..200).for_each(|number| answers(4 + number % 4, 200));
            }
            for number in 0..8_000 {
                let fails = mix(number as u64 ^ 0x5eed).is_multiple_of(10);
                answers(number % 4, if fails { 500 } else { 200 });
            }
            balancer.endpoints()[..4].iter().map(|endpoint| endpoint.state.beliefs().error_cost).sum::<f32>()
        };
        assert!([false, true].map(cost_of_failing).iter().all(|cost| *cost <= 0.0));
    }

    #[test]
    fn round_robin_is_even_in_each_tier_and_goes_on_where_it_was_after_a_reload() {
        let mut balancer = tiered(Algorithm::RoundRobin, &[4, 3]);
        for endpoint in &balancer.endpoints()[..2] {
            endpoint.state.set_draining(true);
        }
        let mut counts = [0_u32; 7];
        for round in 0..1000 {
            for _ in 0..7 {
                let random = mix(round * 7 + u64::from(counts.iter().sum::<u32>()));
                counts[crate::testing::pick(&balancer, Moment(0), random).index()] += 1;
            }
            let places: Vec<_> =
                [0, 0, 0, 0, 1, 1, 1].into_iter().map(|tier| Place { tier, ..Place::default() }).collect();
            let endpoints = balancer.endpoints().to_vec();
            balancer = Balancer::new(Algorithm::RoundRobin, endpoints, Some(&balancer)).with_places(&places);
        }
        let is_even = |counts: &[u32]| counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1;
        assert!(is_even(&counts[2..4]) && is_even(&counts[4..]) && counts[4] > 100, "{counts:?}");
    }

    #[test]
    fn a_key_stays_in_its_tier_while_a_part_of_all_keys_leaves_it() {
        for algorithm in HASHES {
            let balancer = tiered(algorithm, &[10, 5]);
            let at = |key: u64, random| {
                let pick = Pick { now: Moment(0), random, hash: Some(mix(key)), tried: &[] };
                balancer.pick(&pick).unwrap().index()
            };
            let mut has_left = [false; 3000];
            for (out, expected) in [(3, 0.02), (5, 0.3), (8, 0.72)] {
                for endpoint in &balancer.endpoints()[..out] {
                    endpoint.state.set_draining(true);
                }
                for (key, has_left) in (0..).zip(&mut has_left) {
                    let is_away = at(key, mix(key + 7)) >= 10;
                    assert_eq!(at(key, mix(key)), at(key, mix(key + 7)), "it goes by its key alone");
                    assert!(is_away || !*has_left, "whoever has left comes back with a worse tier");
                    *has_left = is_away;
                }
                let part = has_left.iter().filter(|has_left| **has_left).count() as f64 / 3000.0;
                assert!((part - expected).abs() < 0.03, "{out} of 10 out: {part}");
            }
        }
    }

    #[test]
    fn spares_that_come_and_go_move_no_key_of_the_first_tier() {
        for algorithm in HASHES {
            let owners = |spares| {
                let balancer = tiered(algorithm, &[5, spares]);
                (0..2000).map(|key| pick_for(&balancer, key, &[], Moment(0)).index()).collect::<Vec<_>>()
            };
            let alone = owners(0);
            assert!([1, 2, 5, 20].iter().all(|&spares| owners(spares) == alone), "{algorithm:?}");
        }
    }

    #[test]
    fn a_request_that_failed_in_a_tier_is_tried_again_there_as_long_as_there_is_another() {
        for algorithm in HASHES.into_iter().chain([Algorithm::RoundRobin, Algorithm::LeastRequest]) {
            let balancer = tiered(algorithm, &[2, 1]);
            for key in 0..200 {
                let first = pick_for(&balancer, key, &[], Moment(0)).index();
                let second = pick_for(&balancer, key, &[first], Moment(0)).index();
                let third = pick_for(&balancer, key, &[first, second], Moment(0)).index();
                assert_eq!((first.max(second), third), (1, 2), "{algorithm:?}");
            }
        }
    }

    /// Half of the first tier refuses connects, and each is tried again as soon as that is due.
    #[test]
    fn keys_stay_where_they_are_while_some_of_their_tier_are_tried_again_and_again() {
        for algorithm in HASHES {
            let balancer = tiered(algorithm, &[10, 5]);
            let mut now = Moment(1);
            let mut trials = 0;
            let mut usual = [None; 200];
            for round in 0..400 {
                for (key, usual) in (0..).zip(&mut usual) {
                    let lease = pick_for(&balancer, key, &[], now);
                    let (index, is_dead) = (lease.index(), lease.index() < 5);
                    let is_trial = lease.occasion() == Some(crate::Occasion::Trial);
                    trials += u32::from(is_trial);
                    if is_dead {
                        lease.settle(Ended::ConnectFailed, now);
                    }
                    if round > 10 {
                        assert_eq!(is_dead, is_trial, "{algorithm:?}");
                        assert!(
                            is_dead || *usual.get_or_insert(index) == index,
                            "{algorithm:?}: key {key} moves"
                        );
                    }
                }
                now = now + Duration::from_millis(100);
            }
            assert!(trials >= 25, "each of five is tried again in 40 s: {trials}");
        }
    }

    #[test]
    fn a_request_that_was_a_trial_once_is_none_again_while_others_are_up() {
        let balancer = tiered(Algorithm::RoundRobin, &[4]);
        for index in [0, 1, 2, 0, 1, 2, 0, 1, 2] {
            balancer.lease(index, Moment(1)).unwrap().settle(Ended::ConnectFailed, Moment(1));
        }
        let due = Moment(1) + Duration::from_mins(1);
        let pick = |tried| balancer.pick(&Pick { now: due, random: 7, hash: None, tried }).unwrap().index();
        assert_eq!([pick(&[0]), pick(&[1]), pick(&[2, 0])], [3; 3]);
        assert_ne!(pick(&[3]), 3, "and where nobody else is up, it is");
    }

    /// All of the first tier refuse connections, and nobody knows yet.
    #[test]
    fn each_of_many_that_are_gone_is_met_by_one_request() {
        let others = [Algorithm::RoundRobin, Algorithm::LeastRequest, Algorithm::First { in_flight_max: 1 }];
        for algorithm in HASHES.into_iter().chain(others) {
            let balancer = tiered(algorithm, &[40, 2]);
            let mut refused = 0;
            for key in 0..100 {
                let mut last = None; // it need not remember them all
                loop {
                    let lease = pick_for(&balancer, key, last.as_slice(), Moment(1));
                    let index = lease.index();
                    if index >= 40 {
                        break;
                    }
                    lease.settle(Ended::ConnectFailed, Moment(1));
                    (last, refused) = (Some(index), refused + 1);
                }
            }
            // Until it is marked, by the third, each is still the first choice of some.
            assert!((40..=3 * 40).contains(&refused), "{algorithm:?}: {refused}");
        }
    }

    /// The first choice of all requests fails and is not out, and the second, which was, is well again.
    #[test]
    fn who_is_well_again_is_found_though_no_first_attempt_leads_there() {
        for (algorithm, sizes) in [(HASHES[0], &[3][..]), (HASHES[1], &[3]), (HASHES[1], &[2, 1])] {
            let balancer = tiered(algorithm, sizes);
            let home = pick_for(&balancer, 7, &[], Moment(1)).index();
            let second = pick_for(&balancer, 7, &[home], Moment(1)).index();
            for _ in 0..3 {
                balancer.lease(second, Moment(1)).unwrap().settle(Ended::ConnectFailed, Moment(1));
            }
            let due = Moment(1) + Duration::from_mins(1);
            let tried = [home];
            let trial = pick_for(&balancer, 7, &tried, due);
            assert_eq!(
                (trial.index(), trial.occasion()),
                (second, Some(crate::Occasion::Trial)),
                "{algorithm:?}"
            );
        }
    }

    #[test]
    fn when_all_tiers_together_are_too_small_they_share_what_there_is() {
        let balancer = tiered(Algorithm::LeastRequest, &[10, 10]);
        for endpoint in
            balancer.endpoints().iter().take(19).filter(|endpoint| !endpoint.id.address.ends_with(".0:80"))
        {
            endpoint.state.set_draining(true);
        }
        let part = part_of_first(&balancer, 10);
        assert!((0.4..0.8).contains(&part), "{part}");
    }

    /// Two endpoints with one request each, and as many spares: even without them, and so with them.
    #[test]
    fn spares_that_idle_make_no_client_leave_its_endpoint() {
        for bound in [LoadBound::new(125), LoadBound::drain_time(125)] {
            for spares in [0, 2, 20] {
                let balancer = tiered(Algorithm::LeastRequest, &[2, spares]);
                let pick = Pick { now: Moment(0), random: 7, hash: None, tried: &[] };
                let again = |home| balancer.pick_again(home, Some(bound), &pick).unwrap();
                let _held: Vec<_> =
                    (0..8).map(|number| balancer.lease(number % 2, Moment(0)).unwrap()).collect();
                assert_eq!([0, 1].map(|home| again(home).index()), [0, 1], "{bound:?}, {spares} spares");
                let _more: Vec<_> = (0..9).map(|_| balancer.lease(0, Moment(0)).unwrap()).collect();
                assert_eq!(again(0).index(), 1, "{bound:?}, {spares} spares");
            }
        }
    }

    /// Whose own tier is not the one that is drawn is measured by those who would be picked instead.
    #[test]
    fn a_client_of_a_spare_stays_while_the_first_tier_is_as_busy() {
        let balancer = tiered(Algorithm::LeastRequest, &[2, 1]);
        let pick = Pick { now: Moment(0), random: 7, hash: None, tried: &[] };
        let again = || balancer.pick_again(2, Some(LoadBound::new(125)), &pick).unwrap();
        let _held: Vec<_> = [0, 1, 0, 1, 2].map(|index| balancer.lease(index, Moment(0)).unwrap()).into();
        assert_eq!(again().index(), 2);
        let _more: Vec<_> = [2, 2, 2].map(|index| balancer.lease(index, Moment(0)).unwrap()).into();
        assert_ne!(again().index(), 2);
    }

    proptest! {
        #[test]
        fn whoever_is_up_is_found_in_whatever_tier(
            sizes in prop::collection::vec(1_usize..4, 2..5),
            up in 0_usize..16,
            random: u64,
        ) {
            let balancer = tiered(Algorithm::Adaptive { peers: 1 }, &sizes);
            let up = up % balancer.endpoints().len();
            for (index, endpoint) in balancer.endpoints().iter().enumerate() {
                endpoint.state.set_draining(index != up);
            }
            prop_assert_eq!(crate::testing::pick(&balancer, Moment(0), random).index(), up);
        }
    }
}
