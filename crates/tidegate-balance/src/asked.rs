//! What an endpoint has been asked for and has not answered: whether it stands still, or has just been given what takes long by itself.
//! Knows no other endpoint.
//!
//! What was there before the last answer says nothing: a long poll waits while others are answered. Nor does one request that was asked for
//! since, which may be a poll as well, however long that takes. It takes several to say that nobody is answered; and whoever has been left
//! for long is asked once more: if these were all polls, the next short request is answered, and where it is not, the endpoint is left for
//! longer.

use crate::Moment;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Asked again after so many times as long as it had been asked in vain before.
const LEFT_FOR: u64 = 3;
/// What takes more than so many times the usual is long by itself. Hardly any does by chance; with 3 times one request in seven did, where
/// they are as different as usual (lognormal, σ = 1), and where that had the only slot the next one waited for it.
const LONG: u64 = 32;

/// When it was asked. How often, since its last answer, is for the caller to say: `times`.
#[derive(Debug, Default)]
pub(crate) struct MomentsAsked {
    /// The first since the last answer.
    first: AtomicU64,
    /// The last of all.
    last: AtomicU64,
    /// The latest of those that were answered.
    answered: AtomicU64,
}

impl MomentsAsked {
    /// `times`: before this one.
    pub(crate) fn asked(&self, times: u8, now: Moment) {
        if times == 0 {
            self.first.store(now.0, Relaxed);
        }
        self.last.store(now.0, Relaxed);
    }

    /// When it was last asked; the clock's origin when never.
    pub(crate) fn last(&self) -> Moment {
        Moment(self.last.load(Relaxed))
    }

    /// A request that came at that moment was answered.
    pub(crate) fn answered(&self, picked: Moment) {
        if self.answered.load(Relaxed) < picked.0 {
            self.answered.store(picked.0, Relaxed);
        }
    }

    /// One that came later than that was answered.
    pub(crate) fn is_overtaken(&self, picked: Moment) -> bool {
        self.answered.load(Relaxed) > picked.0
    }

    /// How long those since the last answer have been waiting, in nanoseconds and all together; 0 where one more may find out whether any
    /// of it means something.
    pub(crate) fn in_vain(&self, times: u8, now: Moment) -> f32 {
        if self.left_for(now) >= LEFT_FOR.saturating_mul(self.tried_for(times)) {
            return 0.0;
        }
        now.0.saturating_sub(self.first.load(Relaxed)) as f32 * f32::from(times)
    }

    /// Whoever has come last was answered, or would have been long ago, as answers usually take, if it were not long by itself. So one more
    /// has nobody before it who waits.
    pub(crate) fn is_answered(&self, times: u8, usual: Duration, now: Moment) -> bool {
        let usual = u64::try_from(usual.as_nanos()).unwrap_or(u64::MAX);
        let is_last = times == 0 && self.last.load(Relaxed) <= self.answered.load(Relaxed);
        is_last
            || self.left_for(now)
                >= LEFT_FOR.saturating_mul(self.tried_for(times)).max(LONG.saturating_mul(usual))
    }

    fn left_for(&self, now: Moment) -> u64 {
        now.0.saturating_sub(self.last.load(Relaxed))
    }

    /// Between the first that was asked since the last answer, and the last.
    fn tried_for(&self, times: u8) -> u64 {
        if times > 0 { self.last.load(Relaxed).saturating_sub(self.first.load(Relaxed)) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_millis(10);

    fn at(millis: u64) -> Moment {
        Moment(0) + Duration::from_millis(millis)
    }

    fn asked(millis: &[u64]) -> MomentsAsked {
        let moments = MomentsAsked::default();
        for (times, &millis) in (0..).zip(millis) {
            moments.asked(times, at(millis));
        }
        moments
    }

    #[test]
    fn one_that_takes_long_is_no_standstill_however_long() {
        let moments = asked(&[100]);
        assert!([100, 101, 100_000].iter().all(|&millis| moments.in_vain(1, at(millis)) <= 0.0));
    }

    #[test]
    fn several_that_nobody_answers_are_one_until_it_has_been_left_for_long() {
        let moments = asked(&[100, 110, 120]);
        assert!((moments.in_vain(3, at(170)) - 3.0 * 70e6).abs() < 1e3);
        assert!(moments.in_vain(3, at(180)) <= 0.0, "somebody finds out");
        moments.asked(3, at(180));
        assert!(
            moments.in_vain(4, at(181)) > 0.0 && moments.in_vain(4, at(419)) > 0.0,
            "and was not answered"
        );
        assert!(moments.in_vain(4, at(420)) <= 0.0);
        moments.asked(0, at(421));
        assert!(moments.in_vain(1, at(422)) <= 0.0, "there was an answer: that is over");
    }

    #[test]
    fn who_waits_before_another_is_seen_and_who_is_long_by_itself_is_not_waited_for() {
        let moments = asked(&[100]);
        assert!(!moments.is_answered(1, USUAL, at(105)));
        assert!(moments.is_answered(1, USUAL, at(420)), "it is long by itself");
        moments.asked(1, at(430));
        moments.answered(at(100));
        assert!(!moments.is_answered(0, USUAL, at(440)), "there is one behind it");
        moments.answered(at(430));
        assert!(moments.is_answered(0, USUAL, at(440)));
        moments.answered(at(100));
        assert!(moments.is_answered(0, USUAL, at(440)), "what came earlier says no more");
    }
}
