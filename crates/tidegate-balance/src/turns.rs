//! How quickly those who wait have their turns. Knows no queue.
//!
//! Turns are only timed while somebody waits: then nothing but the endpoints sets the pace. What tells is how many came in how much time. That
//! time is seconds, not a number of turns: an application that stands still for some seconds now and then is as quick afterwards as it
//! was before, and the few turns of that time would say that it takes minutes. For the same reason a turn that is overdue is waited for once,
//! and not by everybody in turn, and a pause counts for little of its length.

use crate::Moment;
use std::time::Duration;

/// How long ago what still counts may have been, and how many turns at least.
const REMEMBERED: f64 = 3.0;
const TURNS_REMEMBERED: f64 = 32.0;
/// How few of them tell anything.
const TURNS_MIN: u32 = 4;
/// After a pause of this long the next wait has little to do with the last.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);
/// A gap counts for no more than this, in seconds, or so many times the mean.
const PAUSE_MAX: f64 = 1.0;
const GAP_MAX: f64 = 4.0;
/// What is expected before anything is known counts as if it had been seen for so many seconds.
const EXPECTED_FOR: f64 = 2.0;

#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Sums of those that are remembered.
    count: f64,
    seconds: f64,
    /// How many there were since anything was forgotten.
    seen: u32,
    /// The last turn, or the beginning of the wait for it.
    last: Moment,
}

impl Turns {
    /// Somebody begins to wait, and nobody did before.
    pub(crate) fn begin(&mut self, now: Moment) {
        if self.are_forgotten(now) {
            *self = Self::default();
        }
        self.last = now;
    }

    /// Somebody begins to wait, and this gap is likely where none is known.
    pub(crate) fn expect(&mut self, gap: Duration, now: Moment) {
        if self.seen >= TURNS_MIN && !self.are_forgotten(now) {
            return;
        }
        let count = EXPECTED_FOR / gap.as_secs_f64().max(1e-6);
        *self = Self { count, seconds: EXPECTED_FOR, seen: TURNS_MIN, last: now };
    }

    fn are_forgotten(&self, now: Moment) -> bool {
        now.since(self.last) > FORGOTTEN_AFTER
    }

    pub(crate) fn note(&mut self, now: Moment) {
        let waited = now.since(self.last).as_secs_f64();
        let memory = REMEMBERED.max(TURNS_REMEMBERED * self.gap());
        let kept = (-waited / memory).exp();
        let counted = if self.seen == 0 { waited } else { waited.min(PAUSE_MAX.max(GAP_MAX * self.gap())) };
        (self.count, self.seconds) = (kept * self.count + 1.0, kept * self.seconds + counted);
        self.seen = self.seen.saturating_add(1);
        self.last = now.max(self.last);
    }

    /// Until so many turns have come; `None`: nothing tells.
    pub(crate) fn expected(&self, turns: usize, now: Moment) -> Option<Duration> {
        if self.seen < TURNS_MIN {
            return None;
        }
        let overdue = (now.since(self.last).as_secs_f64() - self.gap()).max(0.0);
        let expected = overdue + self.gap() * turns as f64;
        Some(Duration::try_from_secs_f64(expected).unwrap_or(Duration::MAX))
    }

    /// The mean between two turns.
    fn gap(&self) -> f64 {
        if self.count > 0.0 { self.seconds / self.count } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    /// Turns that come at even gaps from second 100 on, and when the last one came.
    fn even(turns: &mut Turns, gap: Duration, count: u32) -> Moment {
        let last = turns.last.max(Moment(100_000 * MS));
        turns.last = last;
        (1..=count).for_each(|turn| turns.note(last + gap * turn));
        turns.last
    }

    fn millis(turns: &Turns, count: usize, now: Moment) -> u128 {
        turns.expected(count, now).expect("it is known").as_millis()
    }

    #[test]
    fn when_turns_stop_coming_the_prediction_grows() {
        let mut turns = Turns::default();
        let last = even(&mut turns, Duration::from_millis(10), 10);
        assert_eq!(millis(&turns, 10, last), 100);
        let later = millis(&turns, 10, last + Duration::from_secs(5));
        assert_eq!(later, 5_090, "and ten of them");
    }

    /// 200 a second, and nothing for two seconds; 120 a second come meanwhile.
    #[test]
    fn who_stands_still_for_a_moment_is_as_quick_afterwards() {
        for is_known in [true, false] {
            let (gap, pause) = (Duration::from_millis(5), Duration::from_secs(2));
            let mut turns = Turns::default();
            let before = if is_known { even(&mut turns, gap, 400) } else { Moment(100_000 * MS) };
            turns.expect(gap, before);
            assert!(millis(&turns, 240, before + pause) < 3_500, "at its end");
            turns.note(before + pause);
            let after = even(&mut turns, gap, 100);
            assert!(millis(&turns, 140, after) < 2_000, "and when half of them have had their turn");
        }
    }

    #[test]
    fn who_serves_a_tenth_from_now_on_is_found_out_in_seconds() {
        let mut turns = Turns::default();
        even(&mut turns, Duration::from_millis(5), 2_000);
        let now = even(&mut turns, Duration::from_millis(50), 160);
        assert!((300..=500).contains(&millis(&turns, 10, now)), "{}", millis(&turns, 10, now));
    }

    proptest! {
        #[test]
        fn what_is_even_is_known_however_slow(gap in 1_u64..10_000, count in 4_u32..200, ahead in 1_usize..100) {
            let mut turns = Turns::default();
            let last = even(&mut turns, Duration::from_millis(gap), count);
            let expected = turns.expected(ahead, last).expect("it is known").as_secs_f64() * 1e3;
            prop_assert!((expected / (gap as f64 * ahead as f64) - 1.0).abs() < 1e-6, "{expected}");
        }
    }
}
