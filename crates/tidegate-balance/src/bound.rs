//! How much load an endpoint may hold before an affinity key spills over to the next one. Knows no hashing.
//!
//! By requests: Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018. With a bound of `c`
//! times the mean, each endpoint may hold `ceil(c · its share of (requests in flight + 1))`. The bounds add up to more than
//! there is to hold, so somebody always has room; where other workers have taken it meanwhile, whoever has the fewest for its share.
//!
//! By drain time: an endpoint has room while one more request would not wait there as far as can be told (nobody has been seen to wait
//! among so many: `adaptive/unhurried.rs`), or would drain within `c` times what is even, learned as by
//! `adaptive`. What spills goes to the next in the key's order that would serve it at once (and is not so slow that a single request is
//! more than the bound), and where nobody would, to the one that drains first, which always has room. A slow endpoint spills sooner than a
//! fast one, and one that fails at once, however few requests it has, as long as somebody is worth more; the slots of one that stands still
//! do not count.
//!
//! Long polls are in flight and keep nobody waiting, and before they are answered nobody knows how many of them an endpoint can have. So
//! it has room by count as well, as long as what came last was answered at once, or is long by itself (`asked.rs`).
//!
//! What is even is the mean of those that do not fail, and nobody's queue counts in it: of more requests than an endpoint serves at
//! once those that wait do not. Else `c` of 1.25 would let four in five of the endpoints hold everything, whose queues raise the mean that
//! allows them, while the fifth has nothing to do. A slow one counts as what a typical one would need for its requests, so that one that
//! is bad lifts the bound for nobody.

use crate::adaptive::{cached_score, error_cost, least_drain_time, typical_drain_time};
use crate::candidates::Candidates;
use crate::seat::Seat;

/// The greatest load of an endpoint, in percent of what would be even; at least 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBound {
    measure: Measure,
    percent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    DrainTime,
    Requests,
}

impl LoadBound {
    /// Counts requests in flight. `percent` below 100 counts as 100: less than the mean for everybody cannot hold what
    /// there is.
    pub const fn new(percent: u32) -> Self {
        Self { measure: Measure::Requests, percent: if percent < 100 { 100 } else { percent } }
    }

    /// Compares learned drain times.
    pub const fn drain_time(percent: u32) -> Self {
        Self { measure: Measure::DrainTime, ..Self::new(percent) }
    }

    pub(crate) fn needs_learning(self) -> bool {
        self.measure == Measure::DrainTime
    }

    pub(crate) fn limit(self, candidates: &Candidates<'_>) -> Limit {
        match self.measure {
            Measure::DrainTime => Limit::DrainTime(self),
            Measure::Requests => self.request_limit(candidates),
        }
    }

    /// The longest that one more request may take to drain where it would have to wait.
    fn drain_time_max(self, candidates: &Candidates<'_>) -> f32 {
        let (mut even, mut least, mut least_well) = (Mean::default(), f32::INFINITY, f32::INFINITY);
        for (_, seat) in candidates.iter() {
            let score = cached_score(seat, candidates.now());
            least = score.min(least);
            if error_cost(&seat.state, candidates.now()) <= 0.0 {
                least_well = score.min(least_well);
                even.take(score.min(typical_drain_time(seat, seat.at_once())), seat.share);
            }
        }
        // What failing costs is a price, not a load to have so much more than: it is not waited for any longer than it is worth.
        let even = if least_well <= least { even.or_zero().max(least) } else { even.or_zero() };
        (even * (self.percent as f32 / 100.0)).max(least)
    }

    /// Of whoever fails more than others, while somebody would serve the key at once: what that one is worth. More than what is even, however
    /// little, is no reason to fail.
    fn drain_time_max_of(self, seat: &Seat, candidates: &Candidates<'_>) -> f32 {
        let now = candidates.now();
        let fails = error_cost(&seat.state, now) > 0.0;
        if fails && candidates.iter().any(|(_, other)| other.serves_at_once(now)) {
            let scores = candidates.iter().map(|(_, other)| cached_score(other, now));
            return scores.fold(f32::INFINITY, f32::min);
        }
        self.drain_time_max(candidates)
    }

    fn request_limit(self, candidates: &Candidates<'_>) -> Limit {
        let (mut in_flight, mut shares) = (0, 0);
        for (_, seat) in candidates.iter() {
            in_flight += u64::from(seat.state.in_flight());
            shares += u64::from(seat.share);
        }
        let allowed = (u128::from(in_flight) + 1) * u128::from(self.percent);
        Limit::Requests { allowed, divisor: u128::from(shares.max(1)) * 100 }
    }
}

/// By weight: one more request takes a small endpoint long, which is no reason for a large one to have a queue.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f32,
    weights: f32,
}

impl Mean {
    #[inline]
    fn take(&mut self, value: f32, weight: u32) {
        self.sum += value * weight as f32;
        self.weights += weight as f32;
    }

    /// Of nothing: then the least of all decides.
    fn or_zero(self) -> f32 {
        self.sum / self.weights.max(1.0)
    }
}

/// Why a key is not with the endpoint that it belongs to, though that one is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spilled {
    /// It has more to do than the bound allows.
    Bound,
    /// It has as many requests in flight as it may have.
    Full,
}

impl Spilled {
    /// What keeps one more request from where its key belongs: `home`, which is none of the candidates when it is full.
    pub(crate) fn from_home(home: usize, limit: Option<&Limit>, candidates: &Candidates<'_>) -> Option<Self> {
        match (candidates.get(home), limit) {
            (None, _) => Some(Self::Full),
            (Some(home), Some(limit)) if !limit.has_room(home, candidates) => Some(Self::Bound),
            _ => None,
        }
    }
}

/// Who was chosen, and what is to be said of that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) index: usize,
    /// What was in the way of whom the key belongs to.
    pub(crate) spilled: Option<Spilled>,
    /// Chosen to find out how it is doing.
    pub(crate) is_probe: bool,
}

impl From<usize> for Choice {
    fn from(index: usize) -> Self {
        Self { index, spilled: None, is_probe: false }
    }
}

/// The bound as one pick sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// What is even is found out when somebody would have to wait.
    DrainTime(LoadBound),
    Requests {
        allowed: u128,
        divisor: u128,
    },
}

impl Limit {
    /// Whether one more request stays within the bound.
    pub(crate) fn has_room(&self, seat: &Seat, candidates: &Candidates<'_>) -> bool {
        match *self {
            Self::DrainTime(bound) => {
                let now = candidates.now();
                seat.serves_at_once(now)
                    || cached_score(seat, now) <= bound.drain_time_max_of(seat, candidates)
                    || seat.has_nobody_waiting(now)
                        && bound.request_limit(candidates).has_room(seat, candidates)
            }
            Self::Requests { allowed, divisor } => {
                let most = (allowed * u128::from(seat.share)).div_ceil(divisor);
                u128::from(seat.state.in_flight()) < most
            }
        }
    }

    /// Who gets what spills. `first`: in the order of its key, the first that suits.
    pub(crate) fn spill(
        limit: Option<&Self>,
        candidates: &Candidates<'_>,
        first: impl Fn(&dyn Fn(&Seat) -> bool) -> Option<usize>,
    ) -> Option<usize> {
        let now = candidates.now();
        match limit {
            None => first(&|_| true),
            Some(Self::DrainTime(bound)) => {
                let most = bound.drain_time_max(candidates);
                first(&|seat| least_drain_time(seat) <= most && seat.serves_at_once(now))
                    .or_else(|| drains_first(candidates))
            }
            Some(limit @ Self::Requests { .. }) => {
                first(&|seat| limit.has_room(seat, candidates)).or_else(|| has_fewest(candidates))
            }
        }
    }
}

/// For its share. Other workers may have added requests since the bound was found, so that nobody is within it any more.
fn has_fewest(candidates: &Candidates<'_>) -> Option<usize> {
    let load =
        |seat: &Seat| u64::from(seat.state.in_flight()) * u64::from(u32::MAX) / u64::from(seat.share.max(1));
    candidates.iter().min_by_key(|(_, seat)| load(seat)).map(|(index, _)| index)
}

/// Of several the one that was used least recently.
fn drains_first(candidates: &Candidates<'_>) -> Option<usize> {
    let bid = |seat: &Seat| (cached_score(seat, candidates.now()), seat.state.last_used());
    let bids = candidates.iter().map(|(index, seat)| (bid(seat), index));
    let least = bids.min_by(|(ours, _), (theirs, _)| ours.0.total_cmp(&theirs.0).then(ours.1.cmp(&theirs.1)));
    least.map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::Standard;
    use crate::entropy::Stream;
    use crate::testing::Fleet;
    use crate::{Algorithm, Balancer, Ended, Lease, Moment, Pick, RequestLimit};
    use proptest::prelude::*;
    use std::time::Duration;

    /// Teaches one latency for each endpoint, half a second long, so that the fleet is priced.
    fn teach(fleet: &Fleet, latencies: &[Duration]) -> Moment {
        teach_with_one_that_fails(fleet, latencies, None)
    }

    fn teach_with_one_that_fails(fleet: &Fleet, latencies: &[Duration], bad: Option<usize>) -> Moment {
        let mut now = Moment(0);
        for step in 0..100 {
            now = Moment(step * 5_000_000);
            for (index, &first_byte) in latencies.iter().enumerate() {
                let lease = fleet.lease(index, now).unwrap();
                let status = if bad == Some(index) { 503 } else { 200 };
                lease.settle(Ended::Answered { status, first_byte }, now + first_byte);
            }
        }
        now
    }

    /// The bound in the words of the documentation, without what the code makes of them: so many percent of an even load.
    struct Plain {
        most: f64,
        most_requests: f64,
        by_requests: bool,
        now: Moment,
    }

    impl Plain {
        fn new(seats: &[Seat], percent: u32, by_requests: bool, bad: Option<usize>, now: Moment) -> Self {
            let times = f64::from(percent) / 100.0;
            let in_flight = |seat: &Seat| f64::from(seat.state.in_flight());
            let even = (seats.iter().map(in_flight).sum::<f64>() + 1.0) / seats.len() as f64;
            let most_requests = (even * times - 1e-9).ceil();
            let numbered = (0..).zip(seats);
            let well: Vec<_> =
                numbered.filter(|(index, _)| bad != Some(*index)).map(|(_, seat)| seat).collect();
            let served = |seat: &&Seat| in_flight(seat).min(f64::from(seat.at_once()));
            let even = well.iter().map(|seat| served(seat) + 1.0).sum::<f64>() / well.len() as f64;
            let least_well = well.iter().map(|seat| Self::drains_in(seat, now)).fold(f64::INFINITY, f64::min);
            let least = seats.iter().map(|seat| Self::drains_in(seat, now)).fold(f64::INFINITY, f64::min);
            let even = if least_well <= least { even.max(least) } else { even };
            Self { most: (even * times).max(least), most_requests, by_requests, now }
        }

        /// With one more request, in service times of the typical endpoint; one that is due to be asked, because nobody has for long, is asked
        /// for what its failing costs.
        fn drains_in(seat: &Seat, now: Moment) -> f64 {
            let standing = seat.state.standing();
            let is_due = seat.state.in_flight() == 0 && standing.is_exploring() && standing.is_probe_due(now);
            let own = if is_due { 0.0 } else { f64::from(seat.state.in_flight() + 1) };
            own * f64::from(standing.cost.get()) + f64::from(standing.error_cost.get())
        }

        fn allows(&self, seat: &Seat) -> bool {
            let by_requests = f64::from(seat.state.in_flight()) < self.most_requests;
            if self.by_requests {
                return by_requests;
            }
            Self::drains_in(seat, self.now) <= self.most * 1.000_1
                || seat.serves_at_once(self.now)
                || by_requests && seat.has_nobody_waiting(self.now)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// By drain time and by requests, whether a hash or the client itself says where it belongs; with one that fails,
        /// some that are slow, or neither. What is allowed is computed here, from counts and costs alone.
        #[test]
        fn nobody_beyond_the_bound_is_picked_while_another_is_within_it(
            latencies in prop::collection::vec(1_u64..200, 2..6),
            held in prop::collection::vec(0_usize..12, 6),
            bad in prop::option::of(0_usize..6),
            percent in 100_u32..200,
            by_requests: bool,
            are_long: bool,
            key: u64,
        ) {
            let bad = bad.filter(|bad| *bad < latencies.len());
            let bound = if by_requests { LoadBound::new(percent) } else { LoadBound::drain_time(percent) };
            for algorithm in [Algorithm::Maglev { bound: Some(bound) }, Algorithm::Rendezvous { bound: Some(bound) }] {
                let fleet = Fleet::even(algorithm, latencies.len());
                let millis: Vec<_> = latencies.iter().map(|&millis| Duration::from_millis(millis)).collect();
                let now = teach_with_one_that_fails(&fleet, &millis, bad);
                let since = if are_long { Moment(0) } else { now };
                let _held: Vec<_> =
                    (0..latencies.len()).map(|index| hold(&fleet, index, held[index], since)).collect();
                let seats = Seat::all(fleet.endpoints(), &[]);
                let pick = Pick { now, random: key, hash: Some(key), tried: &[] };
                let candidates = Candidates::new(&seats, &pick, Standard::Open, None, None);
                let limit = bound.limit(&candidates);
                let has_room = |seat: &Seat| limit.has_room(seat, &candidates);
                prop_assert!(seats.iter().any(has_room), "somebody always has room");
                let plain = Plain::new(&seats, percent, by_requests, bad, now);
                let allowed = || seats.iter().map(|seat| plain.allows(seat)).collect::<Vec<_>>();
                let home = key as usize % latencies.len();
                let (before, had_room) = (allowed(), has_room(&seats[home]));
                let again = fleet.pick_again(home, Some(bound), &pick).unwrap().index();
                prop_assert!(again == home || !had_room, "who has room keeps his client");
                prop_assert!(before[again], "{} of {:?}, {:?} fails", again, fleet.in_flight(), bad);
                let before = allowed();
                let picked = fleet.pick(&pick).unwrap().index();
                prop_assert!(before[picked], "{} of {:?}, {:?} fails", picked, fleet.in_flight(), bad);
            }
        }

        /// The bound is found by one look over all, and what others add behind that look leaves nobody within it.
        #[test]
        fn somebody_is_picked_though_all_have_been_filled_since_the_bound_was_found(
            held in prop::collection::vec(1_usize..6, 1..6),
            percent in 100_u32..200,
            key: u64,
        ) {
            let fleet = Fleet::even(Algorithm::Rendezvous { bound: None }, held.len());
            let seats = Seat::all(fleet.endpoints(), &[]);
            let pick = Pick { now: Moment(0), random: key, hash: Some(key), tried: &[] };
            let candidates = Candidates::new(&seats, &pick, Standard::Open, None, None);
            let limit = LoadBound::new(percent).limit(&candidates);
            let numbered = held.iter().enumerate();
            let _held: Vec<_> =
                numbered.map(|(index, &count)| hold(&fleet, index, count + 1, Moment(0))).collect();
            let in_order = |suits: &dyn Fn(&Seat) -> bool| seats.iter().position(suits);
            let spilled = Limit::spill(Some(&limit), &candidates, in_order);
            prop_assert_eq!(spilled.map(|index| &held[index]), held.iter().min());
        }

        /// Nobody gets more of a key because somebody else fails, or because somebody is slow.
        #[test]
        fn one_that_fails_lifts_the_bound_for_nobody(
            held in prop::collection::vec(0_usize..30, 2..6),
            slowness in 1_u64..20,
            fails: bool,
            percent in 100_u32..200,
        ) {
            let bound = LoadBound::drain_time(percent);
            let fleet = Fleet::even(Algorithm::Rendezvous { bound: Some(bound) }, held.len() + 2);
            let (slow, bad) = (held.len(), held.len() + 1);
            let mut latencies = vec![Duration::from_millis(10); held.len() + 2];
            latencies[slow] = Duration::from_millis(10 * slowness);
            let now = teach_with_one_that_fails(&fleet, &latencies, fails.then_some(bad));
            let _held: Vec<_> = held.iter().enumerate().map(|(index, &held)| fleet.hold(index, held)).collect();
            let seats = Seat::all(fleet.endpoints(), &[]);
            let most = |tried: &[usize]| {
                let pick = Pick { now, random: 0, hash: None, tried };
                bound.drain_time_max(&Candidates::new(&seats, &pick, Standard::Open, None, None))
            };
            let (without_the_bad, without_both) = (most(&[bad]), most(&[slow, bad]));
            if fails {
                // It is the measure only where failing is cheaper than to wait for anybody else.
                let (all, price) = (most(&[]), cached_score(&seats[bad], now));
                let least = without_the_bad.min(price);
                prop_assert!(all <= without_the_bad + 1e-3, "{} for {}", all, without_the_bad);
                prop_assert!(all >= least - 1e-3, "{} for {}", all, least);
            }
            prop_assert!(without_the_bad <= without_both + 1e-3, "{} for {}", without_the_bad, without_both);
        }
    }

    /// Where the others fail one request in five, it is worth a while to stay, and no more than that.
    #[test]
    fn the_only_one_that_never_fails_is_not_its_own_measure() {
        let bound = Some(LoadBound::drain_time(125));
        let fleet = Fleet::even(Algorithm::Rendezvous { bound }, 4);
        let home = fleet.pick_for(7).index();
        let mut now = Moment(0);
        for step in 0..400_u64 {
            now = Moment(step * 5_000_000);
            for index in 0..4 {
                let status = if index != home && step % 5 == 4 { 503 } else { 200 };
                let first_byte = Duration::from_millis(10);
                let lease = fleet.lease(index, now).unwrap();
                lease.settle(Ended::Answered { status, first_byte }, now + first_byte);
            }
        }
        let pick = Pick { now, random: 0, hash: Some(7), tried: &[] };
        assert_eq!(fleet.pick(&pick).unwrap().index(), home);
        let seats = Seat::all(fleet.endpoints(), &[]);
        let elsewhere = Plain::drains_in(&seats[(home + 1) % 4], now);
        assert!(elsewhere > 4.0, "what failing costs: {elsewhere}");
        // Not a quarter more than that, either: it is no load.
        let _held = hold(&fleet, home, (elsewhere * 1.1) as usize, now);
        assert_ne!(fleet.pick(&pick).unwrap().index(), home);
    }

    #[test]
    fn a_key_stays_while_its_endpoint_drains_in_time_and_spills_when_it_does_not() {
        let bound = Some(LoadBound::drain_time(125));
        let fleet = Fleet::even(Algorithm::Rendezvous { bound }, 4);
        teach(&fleet, &[Duration::from_millis(10); 4]);
        let home = fleet.pick_for(7).index();
        assert!((0..20).all(|_| fleet.pick_for(7).index() == home), "one at a time finds a free slot");
        let _held = fleet.hold(home, 20);
        assert_ne!(fleet.pick_for(7).index(), home);
    }

    /// One request at a time, as many as asked for; whoever is `bad` fails.
    fn visit(fleet: &Fleet, mut now: Moment, times: u32, bad: Option<usize>) -> Vec<usize> {
        let mut visited = Vec::new();
        for _ in 0..times {
            now = now + Duration::from_millis(10);
            let lease = fleet.pick(&Pick { now, random: 0, hash: Some(7), tried: &[] }).unwrap();
            visited.push(lease.index());
            let status = if bad == Some(lease.index()) { 503 } else { 200 };
            lease.settle(Ended::Answered { status, first_byte: Duration::from_millis(10) }, now);
        }
        visited
    }

    #[test]
    fn keys_of_a_failing_endpoint_spill_though_it_has_nothing_to_do_and_come_home_when_it_is_well() {
        let bound = Some(LoadBound::drain_time(125));
        for algorithm in [Algorithm::Maglev { bound }, Algorithm::Rendezvous { bound }] {
            let fleet = Fleet::even(algorithm, 4);
            let now = teach(&fleet, &[Duration::from_millis(10); 4]);
            let home = visit(&fleet, now, 1, None)[0];
            let visited = visit(&fleet, now, 50, Some(home));
            assert!(visited.iter().filter(|index| **index == home).count() < 10, "{visited:?}");
            let later = now + Duration::from_secs(30);
            visit(&fleet, later, 30, None);
            assert_eq!(visit(&fleet, later + Duration::from_secs(1), 5, None), [home; 5]);
        }
    }

    #[test]
    fn slots_of_an_endpoint_that_stands_still_do_not_count() {
        let fleet = Fleet::even(Algorithm::Rendezvous { bound: Some(LoadBound::drain_time(125)) }, 4);
        let mut now = Moment(0);
        // Four at a time, none of which waits for the others.
        for _ in 0..100 {
            let leases: Vec<_> = (0..4).map(|_| fleet.lease(0, now).unwrap()).collect();
            now = now + Duration::from_millis(10);
            let answered = Ended::Answered { status: 200, first_byte: Duration::from_millis(10) };
            for lease in leases {
                lease.settle(answered, now);
            }
        }
        assert!(fleet.unhurried(0).is_some_and(|most| most >= 4) && fleet.unhurried(1).is_none());
        let seats = Seat::all(fleet.endpoints(), &[]);
        let poll = fleet.lease(0, now).unwrap();
        assert!(seats[0].serves_at_once(now + Duration::from_mins(1)), "one may be long by itself");
        drop(poll);
        let _held: Vec<_> = (0..3).map(|_| fleet.lease(0, now).unwrap()).collect();
        assert!(seats[0].serves_at_once(now + Duration::from_millis(10)));
        let later = now + Duration::from_millis(100);
        assert!(seats[0].serves_at_once(later), "they may be long by themselves: one more finds out");
        let _found_out = fleet.lease(0, later).unwrap();
        assert!(
            !seats[0].serves_at_once(later) && !seats[0].serves_at_once(later + Duration::from_millis(250))
        );
    }

    /// A key at each of four endpoints, which hold more and more long polls and answer all else at once.
    #[test]
    fn long_polls_send_no_short_request_away() {
        let bound = Some(LoadBound::drain_time(125));
        for algorithm in [Algorithm::Maglev { bound }, Algorithm::Rendezvous { bound }] {
            let fleet = Fleet::even(algorithm, 4);
            let mut now = teach(&fleet, &[Duration::from_millis(10); 4]);
            let key_of = |home| (0..1000).find(|&key| fleet.pick_for(key).index() == home).unwrap();
            let keys: Vec<u64> = (0..4).map(key_of).collect();
            let mut polls = Vec::new();
            for step in 0..200 {
                for (home, &key) in keys.iter().enumerate() {
                    now = now + Duration::from_millis(100);
                    let pick = Pick { now, random: 0, hash: Some(key), tried: &[] };
                    let lease = fleet.pick(&pick).unwrap();
                    assert_eq!(
                        (lease.index(), lease.spilled()),
                        (home, None),
                        "{step}, {:?}",
                        fleet.in_flight()
                    );
                    if step % 8 == 0 {
                        polls.push((now, lease));
                        continue;
                    }
                    let first_byte = Duration::from_millis(10);
                    lease.settle(Ended::Answered { status: 200, first_byte }, now + first_byte);
                }
                if step > 120 {
                    let (since, poll) = polls.remove(0);
                    let first_byte = now.since(since);
                    poll.settle(Ended::Answered { status: 200, first_byte }, now);
                }
            }
        }
    }

    /// A slow endpoint with a single slot, whose latencies are far apart. What is believed of it is so wrong that no answer fits, and would
    /// explain any: its queue is seen all the same.
    #[test]
    fn a_queue_is_seen_however_badly_answers_fit_what_is_believed() {
        for seed in 0..4 {
            let fleet = Fleet::even(Algorithm::Rendezvous { bound: Some(LoadBound::drain_time(125)) }, 4);
            let now = teach(&fleet, &[Duration::from_millis(10); 4]);
            let seats = Seat::all(fleet.endpoints(), &[]);
            let state = &seats[0].state;
            state.published().noise.set(4.5);
            let (mut stream, mut mean) = (Stream::new(seed), 0.0);
            for _ in 0..4_000 {
                let most = fleet.unhurried(0).unwrap_or(1);
                let load = 1.0 + (stream.next_unit() * f64::from(most)).floor();
                let latency = 0.04 * load * (1.5 * stream.next_normal()).exp();
                state.learned().watch_waiting(Duration::from_secs_f64(latency), load as f32, 1.0);
                mean += f64::from(most) / 4e3;
            }
            assert!(mean < 3.0, "{mean} at once, seed {seed}");
            let _held = fleet.hold(0, 16);
            assert!(!seats[0].serves_at_once(now), "{:?}", fleet.unhurried(0));
        }
    }

    /// A bound that goes by a belief about the load that it allows is held by nothing.
    #[test]
    fn slots_that_are_only_believed_do_not_count() {
        let fleet = Fleet::even(Algorithm::Rendezvous { bound: Some(LoadBound::drain_time(125)) }, 4);
        let now = teach(&fleet, &[Duration::from_millis(10); 4]);
        let seats = Seat::all(fleet.endpoints(), &[]);
        let at_once = seats[0].at_once();
        seats[0].state.published().log_parallelism.set(100_f32.ln());
        let mut held = hold(&fleet, 0, at_once as usize, now);
        assert!(!seats[0].serves_at_once(now), "{at_once} and {}", seats[0].at_once());
        held.pop();
        assert!(seats[0].serves_at_once(now));
    }

    /// A fleet of four that serves four at once everywhere, as far as it knows.
    fn fleet_of_four(latencies: [Duration; 4]) -> (Fleet, Moment) {
        let bound = Some(LoadBound::drain_time(125));
        let fleet = Fleet::even(Algorithm::Rendezvous { bound }, 4);
        let mut now = Moment(0);
        for _ in 0..100 {
            let leases: Vec<_> = (0..16).map(|number| fleet.lease(number % 4, now).unwrap()).collect();
            now = now + Duration::from_millis(200);
            for lease in leases {
                let first_byte = latencies[lease.index()];
                lease.settle(Ended::Answered { status: 200, first_byte }, now);
            }
        }
        (fleet, now)
    }

    fn hold(fleet: &Fleet, index: usize, count: usize, now: Moment) -> Vec<Lease<'_>> {
        (0..count).map(|_| fleet.lease(index, now).unwrap()).collect()
    }

    #[test]
    fn a_key_stays_where_a_slot_is_free_though_nobody_else_has_anything_to_do() {
        let (fleet, now) = fleet_of_four([Duration::from_millis(10); 4]);
        let home = fleet.pick_for(7).index();
        let _busy = hold(&fleet, home, 3, now);
        let lease = fleet.pick(&Pick { now, random: 0, hash: Some(7), tried: &[] }).unwrap();
        assert_eq!((lease.index(), lease.spilled()), (home, None));
    }

    #[test]
    fn queues_allow_no_other_queues() {
        let (fleet, now) = fleet_of_four([Duration::from_millis(10); 4]);
        let seats = Seat::all(fleet.endpoints(), &[]);
        let pick = Pick { now, random: 0, hash: Some(7), tried: &[] };
        let most = || {
            let candidates = Candidates::new(&seats, &pick, Standard::Open, None, None);
            LoadBound::drain_time(125).drain_time_max(&candidates)
        };
        let served = seats[0].at_once() as usize;
        let _busy: Vec<_> = (0..3).map(|index| hold(&fleet, index, served, now)).collect();
        let before = most();
        let _queues: Vec<_> = (0..3).map(|index| hold(&fleet, index, 50, now)).collect();
        assert!((most() - before).abs() < 1e-3, "{} and {before}", most());
        assert_eq!(fleet.pick(&pick).unwrap().index(), 3, "who has nothing to do gets it");
        let _queue = hold(&fleet, 3, served + 10, now);
        assert_eq!(fleet.pick(&pick).unwrap().index(), 3, "and where all have queues, who drains first");
    }

    #[test]
    fn what_spills_goes_to_nobody_who_is_beyond_the_bound_with_nothing_to_do() {
        let quick = Duration::from_millis(10);
        let spills_to = |latencies| {
            let (fleet, now) = fleet_of_four(latencies);
            let pick = Pick { now, random: 0, hash: Some(7), tried: &[] };
            let home = fleet.pick_for(7).index();
            let _busy = hold(&fleet, home, 30, now);
            let index = fleet.pick(&pick).unwrap().index();
            assert!(index != home && Seat::all(fleet.endpoints(), &[])[index].serves_at_once(now));
            index
        };
        let next = spills_to([quick; 4]);
        let mut latencies = [quick; 4];
        latencies[next] *= 15;
        assert_ne!(spills_to(latencies), next);
    }

    #[test]
    fn a_spill_says_what_was_in_the_way() {
        for algorithm in
            [Algorithm::Maglev { bound: Some(LoadBound::new(100)) }, Algorithm::Rendezvous { bound: None }]
        {
            let endpoints = Fleet::even(algorithm, 3).endpoints().to_vec();
            let limits = [RequestLimit::Most(2); 3];
            let fleet = Balancer::new(algorithm, endpoints, None).with_request_limits(&limits, None);
            let pick = |tried| fleet.pick(&Pick { now: Moment(0), random: 0, hash: Some(7), tried }).unwrap();
            let first = pick(&[]);
            assert_eq!(first.spilled(), None);
            let home = [first.index()];
            let second = pick(&[]);
            let is_bounded = matches!(algorithm, Algorithm::Maglev { .. });
            assert_eq!(second.spilled(), is_bounded.then_some(Spilled::Bound));
            let _full = fleet.lease(home[0], Moment(0));
            let third = pick(&[]);
            assert_eq!((third.spilled(), third.index() == home[0]), (Some(Spilled::Full), false));
            assert_eq!(pick(&home).spilled(), None, "who has failed there has no business there");
        }
    }

    #[test]
    fn keys_of_a_slow_endpoint_spill_sooner() {
        let bound = Some(LoadBound::drain_time(125));
        let fleet = Fleet::even(Algorithm::Rendezvous { bound }, 4);
        let mut latencies = [Duration::from_millis(10); 4];
        let home = fleet.pick_for(7).index();
        latencies[home] = Duration::from_millis(100);
        let now = teach(&fleet, &latencies);
        // Two on everybody: an even load, which ten times the service time makes too much.
        let _held: Vec<_> = (0..4).map(|index| hold(&fleet, index, 2, now)).collect();
        let pick = Pick { now, random: 0, hash: Some(7), tried: &[] };
        assert_ne!(fleet.pick(&pick).unwrap().index(), home);
    }
}
