//! How often one endpoint fails, lately. Pure arithmetic; knows no other endpoint.

use super::outbreak::Outbreak;
use super::spell::Spell;
use crate::Moment;
use std::time::Duration;

/// Failures count double: an endpoint that fails is left sooner than it is trusted again.
const GAIN_UP: f32 = 0.2;
const GAIN_DOWN: f32 = 0.1;
/// Without news the rate of one that always fails is forgotten with this time constant, so that an endpoint left alone gets its next
/// chance: soon after one failure that may have been an accident, later when there were `PROVEN_BY` more than chance explains.
const MEMORY_SECONDS: f32 = 5.0;
const PROVEN_BY: f32 = 8.0;
/// Of a rate that has faded to this hardly anything is left of the price. However often an endpoint fails, it gets its next chance after as
/// long: that costs about one failure, whatever the rate, and a lower one would be there sooner.
const FORGIVEN: f32 = 0.05;
/// But one that fails less often than this gets its chance as one that fails as often.
const SHARE_FORGOTTEN_MIN: f32 = 0.1;
/// Fewer failures tell nothing of how often an endpoint fails.
const SHARE_FAILURES_MIN: f32 = 4.0;
/// With what many fail at in the same moment an endpoint of its own has little to do: it gets its next chance nearly at once.
pub(crate) const MEMORY_SHARED_SECONDS: f32 = 0.1;
/// Connections that break within so long of the first, of requests that were there before it, were cut by the same accident: a process that
/// ends closes all it has in one moment. Who breaks each by itself does so at moments of their own.
const ONE_ACCIDENT: Duration = Duration::from_millis(50);
/// How long attempts stay on the record.
const RECORD_SECONDS: f32 = 60.0;
/// Standard deviations by which failures may exceed what is normal.
const CHANCE: f32 = 3.0;
/// And by which they surely do: a hundred endpoints are looked at ten times a second.
const CERTAIN: f32 = 5.0;
/// And by which the share that really fails may exceed that on the record, and fall short of it.
pub(crate) const SHARE_DOUBT: f32 = 2.0;
const LEAST_SHARE_DOUBT: f32 = 1.0;
/// The variance of the rate around its mean `p` is `p (1 - p)` times about this: half the mean gain.
pub(crate) const NOISE_GAIN: f32 = 0.1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorRate {
    pub(crate) rate: f32,
    pub(crate) at: Moment,
    /// The time constant in seconds with which the rate is forgotten.
    pub(crate) memory: f32,
    pub(crate) record: Record,
    pub(crate) spell: Spell,
    outbreak: Outbreak,
    /// When the first connection of the last accident broke.
    broke: Option<Moment>,
}

/// What fails elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Elsewhere {
    /// The part of all attempts that fails everywhere.
    pub(crate) normal: f32,
    /// When many endpoints were last seen to fail in one moment.
    pub(crate) shared_at: Moment,
}

impl Default for ErrorRate {
    fn default() -> Self {
        Self {
            rate: 0.0,
            at: Moment(0),
            memory: MEMORY_SECONDS / PROVEN_BY,
            record: Record::default(),
            spell: Spell::default(),
            outbreak: Outbreak::default(),
            broke: None,
        }
    }
}

impl ErrorRate {
    pub(crate) fn succeeded(&mut self, elsewhere: Elsewhere, now: Moment) {
        let rate = self.before(elsewhere, now);
        self.outbreak.count(false);
        self.rate = rate - GAIN_DOWN * rate;
    }

    /// The connection of a request of that moment broke. All that one accident cut has failed once.
    pub(crate) fn broke(&mut self, picked: Moment, elsewhere: Elsewhere, now: Moment) {
        let is_cut_by = |broke: Moment| picked <= broke && now.since(broke) < ONE_ACCIDENT;
        if !self.broke.is_some_and(is_cut_by) {
            self.broke = Some(now);
            self.failed(elsewhere, now);
        }
    }

    pub(crate) fn failed(&mut self, elsewhere: Elsewhere, now: Moment) {
        let rate = self.before(elsewhere, now);
        self.outbreak.count(true);
        self.spell.failed(self.record.offences(elsewhere.normal), now);
        self.record.failures += 1.0;
        // What the record does not explain is all that is known: an endpoint that has broken is not believed to be sound because
        // it was for a minute.
        self.record = self.outbreak.since(self.record).unwrap_or(self.record);
        self.memory = self.record.memory(elsewhere.normal);
        // What only time has made forget comes back with the first failure: it is not to be learned again from requests.
        self.rate = (rate + GAIN_UP * (1.0 - rate)).max(self.record.share_at_least());
    }

    /// What is left of the rate, and of the record, to which an attempt is added.
    fn before(&mut self, elsewhere: Elsewhere, now: Moment) -> f32 {
        if self.spell.is_shared(elsewhere.shared_at) {
            self.memory = MEMORY_SHARED_SECONDS;
        }
        let rate = decayed(self.rate, self.memory, self.at, now);
        self.record = self.record.faded(now.since(self.at).as_secs_f32());
        self.record.attempts += 1.0;
        self.at = now.max(self.at);
        rate
    }
}

/// What happened over about a minute.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) attempts: f32,
    pub(crate) failures: f32,
}

impl Record {
    /// The part that failed.
    pub(crate) fn share(self) -> f32 {
        self.failures / self.attempts.max(1.0)
    }

    /// The largest part that may really fail; 1 and more where little is known.
    pub(crate) fn share_at_most(self) -> f32 {
        (self.failures + SHARE_DOUBT * self.failures.sqrt()) / self.attempts.max(1.0)
    }

    /// The smallest part that really fails, as far as is known.
    fn share_at_least(self) -> f32 {
        (self.failures - LEAST_SHARE_DOUBT * self.failures.sqrt()) / self.attempts.max(1.0)
    }

    /// Failures beyond what is normal and what chance adds to that (they come like the arrivals of a Poisson process); 0 or
    /// less is nothing to wonder at.
    pub(crate) fn offences(self, normal: f32) -> f32 {
        self.failures_beyond(normal, CHANCE)
    }

    /// The part by which it surely fails more often than is normal; 0 where it may not.
    pub(crate) fn surely_more(self, normal: f32) -> f32 {
        (self.failures_beyond(normal, CERTAIN) / self.attempts.max(1.0)).max(0.0)
    }

    fn failures_beyond(self, normal: f32, deviations: f32) -> f32 {
        let expected = normal * self.attempts;
        self.failures - expected - deviations * expected.sqrt()
    }

    /// Whether there are enough failures to say how often it fails.
    pub(crate) fn tells_share(self) -> bool {
        self.failures >= SHARE_FAILURES_MIN
    }

    /// The time constant in seconds with which the rate after the last failure is to be forgotten.
    fn memory(self, normal: f32) -> f32 {
        let proven = self.offences(normal).clamp(1.0, PROVEN_BY);
        let share =
            if self.tells_share() { self.share_at_least().clamp(SHARE_FORGOTTEN_MIN, 1.0) } else { 1.0 };
        MEMORY_SECONDS * proven / PROVEN_BY * FORGIVEN.ln() / (FORGIVEN / share).ln()
    }

    fn faded(self, seconds: f32) -> Self {
        let kept = (-seconds / RECORD_SECONDS).exp();
        Self { attempts: self.attempts * kept, failures: self.failures * kept }
    }
}

/// What is left of a value after the time since `at`, by a time constant in seconds.
pub(crate) fn decayed(value: f32, memory: f32, at: Moment, now: Moment) -> f32 {
    if value < 1e-4 { 0.0 } else { value * (-now.since(at).as_secs_f32() / memory).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_at(errors: &ErrorRate, now: Moment) -> f32 {
        decayed(errors.rate, errors.memory, errors.at, now)
    }

    #[test]
    fn failures_raise_the_rate_and_time_and_successes_lower_it() {
        let mut errors = ErrorRate::default();
        for _ in 0..10 {
            errors.failed(Elsewhere::default(), Moment(0));
        }
        let high = rate_at(&errors, Moment(0));
        assert!(high > 0.85);
        assert!(rate_at(&errors, Moment(0) + Duration::from_secs(20)) < 0.05);
        for _ in 0..10 {
            errors.succeeded(Elsewhere::default(), Moment(0));
        }
        assert!(rate_at(&errors, Moment(0)) < high / 2.0);
    }

    #[test]
    fn what_time_made_forget_of_one_that_always_fails_is_back_with_one_failure() {
        let mut errors = ErrorRate::default();
        (0..100).for_each(|_| errors.failed(Elsewhere::default(), Moment(0)));
        let later = Moment(0) + Duration::from_secs(20);
        assert!(rate_at(&errors, later) < 0.05);
        errors.failed(Elsewhere::default(), later);
        assert!(rate_at(&errors, later) > 0.8, "{}", rate_at(&errors, later));
        let mut once = ErrorRate::default();
        once.failed(Elsewhere::default(), Moment(0));
        assert!(once.rate < 0.25, "a single failure says little: {}", once.rate);
    }

    #[test]
    fn one_failure_is_forgotten_sooner_than_many() {
        let mut once = ErrorRate::default();
        once.failed(Elsewhere::default(), Moment(0));
        let mut often = once;
        for _ in 0..9 {
            often.failed(Elsewhere::default(), Moment(0));
        }
        let later = Moment(0) + Duration::from_secs(2);
        assert!(rate_at(&once, later) < 0.05 * once.rate);
        assert!(rate_at(&often, later) > 0.6 * often.rate);
    }

    /// A process that ends cuts all it has; who cuts each request at a moment of its own, or one more that came since, fails each time.
    #[test]
    fn what_one_accident_cuts_has_failed_once() {
        let at = |millis: u64| Moment(1) + Duration::from_millis(millis);
        let failures_of = |cut: &[(u64, u64)]| {
            let mut errors = ErrorRate::default();
            (0..50).for_each(|_| errors.succeeded(Elsewhere::default(), at(0)));
            for &(picked, broke) in cut {
                errors.broke(at(picked), Elsewhere::default(), at(broke));
            }
            (errors.record.failures.round(), rate_at(&errors, at(3500)))
        };
        let (failures, left) =
            failures_of(&[(600, 1000), (700, 1000), (800, 1001), (900, 1020), (950, 1049)]);
        assert!(failures <= 1.0 && left < 0.01, "{failures} {left}");
        assert!(
            failures_of(&[(600, 1000), (1001, 1002), (1003, 1004)]).0 > 2.0,
            "it is asked and cuts again"
        );
        assert!(failures_of(&[(600, 1000), (700, 1060), (800, 1120)]).0 > 2.0, "each at its own moment");
    }

    #[test]
    fn failing_as_often_as_everybody_is_no_offence_and_failing_more_often_is() {
        let record = |failures| Record { attempts: 10_000.0, failures };
        assert!(record(100.0).offences(0.01) < 0.0 && record(129.0).offences(0.01) < 0.0);
        assert!(record(150.0).offences(0.01) > 8.0);
        assert!(Record { attempts: 1.0, failures: 1.0 }.offences(0.0) > 0.9, "where nobody fails one is one");
    }

    /// After so many successes: a failure, and so many more of them in a row.
    fn failing_in_a_row(successes: u32, more: u32) -> ErrorRate {
        let mut errors = ErrorRate::default();
        (0..successes).for_each(|_| errors.succeeded(Elsewhere::default(), Moment(0)));
        (0..=more).for_each(|_| errors.failed(Elsewhere::default(), Moment(0)));
        errors
    }

    #[test]
    fn one_failure_in_a_thousand_attempts_is_no_more_and_one_in_a_few_may_be_anything() {
        assert!(failing_in_a_row(999, 0).record.share_at_most() < 0.004);
        assert!(failing_in_a_row(2, 0).record.share_at_most() >= 1.0);
        assert!(Record::default().share_at_most() <= 0.0, "who never failed");
    }

    #[test]
    fn failures_in_a_row_that_the_record_does_not_explain_end_it() {
        assert!(
            failing_in_a_row(999, 2).record.share_at_most() > 1.0,
            "one in a thousand, and then three at once"
        );
        let mut tenth = ErrorRate::default();
        for attempt in 0..1_000 {
            match attempt % 10 {
                0 => tenth.failed(Elsewhere::default(), Moment(0)),
                _ => tenth.succeeded(Elsewhere::default(), Moment(0)),
            }
        }
        let before = tenth.record.share_at_most();
        (0..2).for_each(|_| tenth.failed(Elsewhere::default(), Moment(0)));
        assert!(tenth.record.share_at_most() < 1.1 * before, "two of one in ten are no wonder");
        (0..3).for_each(|_| tenth.failed(Elsewhere::default(), Moment(0)));
        assert!(tenth.record.share_at_most() < 1.1 * before, "nor are five, one minute in a hundred");
        (0..3).for_each(|_| tenth.failed(Elsewhere::default(), Moment(0)));
        assert!(tenth.record.share_at_most() > 1.0, "eight are");
    }
}
