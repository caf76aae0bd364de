//! Asking those that nobody has asked for long. Knows no score and no pick.
//!
//! With few requests at a time the cheapest endpoint is always free and gets them all: nothing would tell that another has become
//! better, or is back, or only looked worse by chance.

use crate::Moment;
use crate::seat::Seat;

/// Periods with traffic after which an idle endpoint that costs no more than the cheapest is asked, whatever is believed of it. One
/// that costs more waits as many times longer: its answers take as many times longer, too. At low rates each answer is a
/// period: then it is one request in so many.
const PERIODS: f32 = 20.0;
/// So many times longer at most, about half a minute, but for its weight.
const PATIENCE_MAX: f32 = 16.0;
/// Of fewer than five answers the first, of a cold endpoint, is most of what is known; one that is asked rarely would stay what it said for long.
const GAIN_OF_KNOWN: f32 = 0.2;
/// So many times as long as its part of all requests takes to come, by weight: a canary is asked no more often than half of that, whatever is believed of it.
const PART_OF_SHARE: f32 = 2.0;
/// So many times the cheapest's cost is near enough for it to matter soon that less is believed of an endpoint than is true. Those
/// that are further off are better than believed often, and for nothing: what is known of them is mostly the prior, "like the
/// others", and each answer of one that is not says so again.
const PROMISING: f32 = 2.0;

/// Whoever gets the requests while nobody has anything to do.
#[derive(Clone, Copy)]
pub(super) struct Cheapest {
    cost: f32,
    lightness: f32,
    /// The weight of all that may be picked.
    whole: u64,
}

impl Cheapest {
    /// `None` where there is nobody.
    pub(super) fn of<'a>(seats: impl Iterator<Item = &'a Seat> + Clone) -> Option<Self> {
        let whole = seats.clone().map(|seat| u64::from(seat.share)).sum();
        let offers = seats.map(|seat| Self { cost: cost(seat), lightness: seat.lightness, whole });
        offers.min_by(|one, other| one.cost.total_cmp(&other.cost))
    }

    /// How many periods this one waits: as many times longer as it costs more; and one that weighs less as many times as that, but
    /// not much longer than its part of all requests takes to come, where each is a period.
    fn periods(self, seat: &Seat) -> f32 {
        let lighter = self.times_lighter(seat);
        if lighter <= 1.0 {
            return PERIODS * (cost(seat) / self.cost).clamp(1.0, PATIENCE_MAX);
        }
        let is_known = seat.state.published().gain.get() <= GAIN_OF_KNOWN;
        let costs_more = if is_known { cost(seat) / self.cost / lighter } else { 1.0 };
        let part = PART_OF_SHARE * self.requests_to_one(seat);
        (PERIODS * lighter).min(part.max(PERIODS)) * costs_more.clamp(1.0, PATIENCE_MAX)
    }

    /// The same of one that did better than believed, if it may turn out to be near the cheapest.
    fn periods_of_promising(self, seat: &Seat) -> Option<f32> {
        let (published, lighter) = (seat.state.published(), self.times_lighter(seat));
        let promised = published.promised(cost(seat))?;
        let share = if lighter > 1.0 { self.requests_to_one(seat) } else { 0.0 };
        (promised <= PROMISING * lighter * self.cost).then_some(share)
    }

    fn times_lighter(self, seat: &Seat) -> f32 {
        (seat.lightness / self.lightness).max(1.0)
    }

    /// Of how many requests one is for this one, by weight.
    fn requests_to_one(self, seat: &Seat) -> f32 {
        self.whole as f32 / seat.share as f32
    }
}

/// What a request costs there that is alone.
fn cost(seat: &Seat) -> f32 {
    seat.state.standing().cost.get() * seat.lightness
}

/// Once a period, for each endpoint. One that has just joined or come back is asked at once; one whose last answer was better than
/// believed, and promises to be near the cheapest, is asked again, until what is believed has followed.
pub(super) fn explore_if_due(seat: &Seat, cheapest: Cheapest, now: Moment) {
    let state = &seat.state;
    if !state.is_free() || !state.is_open(now) {
        return;
    }
    let published = state.published();
    let unheard = published.another_period_unheard() as f32;
    let is_promising = cheapest.periods_of_promising(seat).is_some_and(|periods| unheard >= periods);
    if published.joins() || is_promising || unheard >= cheapest.periods(seat) {
        state.learned().explore(state, now);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Fleet;
    use crate::{Algorithm, CheckVerdict, Ended, Moment};
    use proptest::prelude::*;
    use std::time::Duration;

    /// One request after the other, each as long as its endpoint takes.
    struct Sequence {
        fleet: Fleet,
        latencies: Vec<Duration>,
        now: Moment,
    }

    impl Sequence {
        fn new(micros: &[u64]) -> Self {
            Self::weighted(micros, &vec![1; micros.len()])
        }

        fn weighted(micros: &[u64], weights: &[u32]) -> Self {
            let fleet = Fleet::new(Algorithm::Adaptive { peers: 1 }, weights);
            let latencies = micros.iter().copied().map(Duration::from_micros).collect();
            Self { fleet, latencies, now: Moment(1) }
        }

        /// Who was asked, and how often, until the given time has passed.
        fn run(&mut self, time: Duration, pause: Duration) -> Vec<u32> {
            let end = self.now + time;
            let mut asked = vec![0; self.latencies.len()];
            while self.now < end {
                let lease = self.fleet.pick_at(self.now);
                let (index, latency) = (lease.index(), self.latencies[lease.index()]);
                asked[index] += 1;
                self.now = self.now + latency;
                lease.settle(Ended::Answered { status: 200, first_byte: latency }, self.now);
                self.now = self.now + pause;
            }
            asked
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn everybody_is_asked_now_and_then_and_the_slow_ones_rarely(
            micros in prop::collection::vec(500_u64..20_000, 2..6),
            pause_ms in 0_u64..300,
        ) {
            let mut sequence = Sequence::new(&micros);
            let pause = Duration::from_millis(pause_ms);
            sequence.run(MINUTE, pause);
            let asked = sequence.run(2 * MINUTE, pause);
            prop_assert!(asked.iter().all(|&count| count > 0), "{asked:?} of {micros:?}");
            let fastest = *micros.iter().min().unwrap();
            let total: u32 = asked.iter().sum();
            for (&count, &micros) in asked.iter().zip(&micros).filter(|of| *of.1 > 3 * fastest) {
                // One in twenty for each time that it is slower is a sixtieth. But at first it is believed to be less slow than it
                // is: the most in some thousand fleets was 4.3 %.
                prop_assert!(f64::from(count) <= 1.0 + f64::from(total) / 20.0, "{count} of {total} took {micros}");
            }
        }

        /// Each weighs so many times as much as the canary. All take about as long.
        #[test]
        fn a_canary_gets_its_share_and_no_more_and_is_not_forgotten(
            others in 1_usize..6,
            weight in 20_u32..200,
            percent in prop::collection::vec(80_u64..125, 6),
            pause_ms in 0_u64..300,
        ) {
            let micros: Vec<_> = percent[..=others].iter().map(|percent| percent * 100).collect();
            let weights: Vec<_> = (0..=others).map(|index| if index == 0 { 1 } else { weight }).collect();
            let mut sequence = Sequence::weighted(&micros, &weights);
            let pause = Duration::from_millis(pause_ms);
            sequence.run(MINUTE, pause);
            let asked = sequence.run(10 * MINUTE, pause);
            let total: u32 = asked.iter().sum();
            let fair = f64::from(total) / f64::from(weights.iter().sum::<u32>());
            prop_assert!(f64::from(asked[0]) <= 1.0 + fair + 4.0 * fair.sqrt(), "{asked:?} by {weights:?}");
            let rarely = f64::from(total.min(6_000)) / f64::from(40 * weight);
            prop_assert!(f64::from(asked[0]) >= rarely.floor(), "{asked:?} by {weights:?}");
        }

        #[test]
        fn one_that_became_the_fastest_is_found(micros in 1_000_u64..10_000, factor in 2_u64..16) {
            let mut sequence = Sequence::new(&[micros, micros * factor]);
            let before = sequence.run(MINUTE, Duration::ZERO);
            prop_assert!(before[0] > 10 * before[1], "{before:?}");
            sequence.latencies[1] = Duration::from_micros(micros / 2);
            // Half a minute until it is asked, where it was believed to be sixteen times as slow, and some answers.
            sequence.run(MINUTE, Duration::ZERO);
            let after = sequence.run(MINUTE, Duration::ZERO);
            prop_assert!(after[1] > 10 * after[0], "{after:?}");
        }

        #[test]
        fn one_that_comes_back_is_asked_within_a_second(micros in prop::collection::vec(500_u64..20_000, 2..6), who: usize) {
            let mut sequence = Sequence::new(&micros);
            sequence.run(MINUTE, Duration::ZERO);
            let who = who % micros.len();
            let mark = |sequence: &Sequence, verdict| sequence.fleet.endpoints()[who].state.mark_check(verdict);
            mark(&sequence, CheckVerdict::Down);
            prop_assert_eq!(sequence.run(Duration::from_secs(5), Duration::ZERO)[who], 0);
            mark(&sequence, CheckVerdict::Up);
            prop_assert!(sequence.run(Duration::from_secs(1), Duration::ZERO)[who] > 0);
        }
    }

    /// Its first answer, of a cold process, took fifteen times as long.
    #[test]
    fn a_small_weight_that_was_slow_once_has_its_share_in_time() {
        for weights in [[1, 3], [1, 10], [1, 100]] {
            let mut sequence = Sequence::weighted(&[300_000, 20_000], &weights);
            while sequence.run(Duration::from_millis(1), Duration::ZERO)[0] == 0 {}
            sequence.latencies[0] = sequence.latencies[1];
            let whole = weights[0] + weights[1];
            sequence.run(Duration::from_millis(20) * 300 * whole, Duration::ZERO);
            let asked = sequence.run(Duration::from_millis(20) * 100 * whole, Duration::ZERO);
            assert!(asked[0] > 30, "{asked:?} by {weights:?}, a hundred are its share");
        }
    }

    /// The second quickest is quicker than the median, which is most of what is believed of whoever is hardly asked.
    #[test]
    fn nobody_is_asked_again_and_again_for_being_better_than_the_prior() {
        let mut sequence = Sequence::new(&[12_467, 16_969, 3_509, 18_062]);
        let pause = Duration::from_millis(264);
        sequence.run(MINUTE, pause);
        let asked = sequence.run(2 * MINUTE, pause);
        assert!(asked[0] <= 12, "{asked:?}");
    }
}
