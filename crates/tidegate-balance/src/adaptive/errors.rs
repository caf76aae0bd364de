//! How often one endpoint fails, lately. Pure arithmetic; knows no other endpoint.

use crate::Moment;

/// Failures count double: an endpoint that fails is left sooner than it is trusted again.
const GAIN_UP: f32 = 0.2;
const GAIN_DOWN: f32 = 0.1;
/// Without news the rate is forgotten with this time constant, so that an endpoint left alone gets its next chance: soon
/// after one failure that may have been an accident, later when there were `PROVEN_BY` of them.
const MEMORY_SECONDS: f32 = 5.0;
const PROVEN_BY: f32 = 8.0;
const FAILURES_FORGOTTEN_SECONDS: f32 = 30.0;
/// The variance of the rate around its mean `p` is `p (1 - p)` times about this: half the mean gain.
pub(crate) const NOISE_GAIN: f32 = 0.1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorRate {
    pub(crate) rate: f32,
    pub(crate) at: Moment,
    /// The time constant in seconds with which the rate is forgotten.
    pub(crate) memory: f32,
    failures: f32,
}

impl Default for ErrorRate {
    fn default() -> Self {
        Self { rate: 0.0, at: Moment(0), memory: MEMORY_SECONDS / PROVEN_BY, failures: 0.0 }
    }
}

impl ErrorRate {
    pub(crate) fn learn(&mut self, failed: bool, now: Moment) {
        let rate = decayed(self.rate, self.memory, self.at, now);
        if failed {
            self.failures = 1.0 + decayed(self.failures, FAILURES_FORGOTTEN_SECONDS, self.at, now);
            self.memory = MEMORY_SECONDS * (self.failures / PROVEN_BY).min(1.0);
            self.rate = rate + GAIN_UP * (1.0 - rate);
        } else {
            self.failures = decayed(self.failures, FAILURES_FORGOTTEN_SECONDS, self.at, now);
            self.rate = rate - GAIN_DOWN * rate;
        }
        self.at = now.max(self.at);
    }
}

/// What is left of a value after the time since `at`, by a time constant in seconds.
pub(crate) fn decayed(value: f32, memory: f32, at: Moment, now: Moment) -> f32 {
    if value < 1e-4 { 0.0 } else { value * (-now.since(at).as_secs_f32() / memory).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rate_at(errors: &ErrorRate, now: Moment) -> f32 {
        decayed(errors.rate, errors.memory, errors.at, now)
    }

    #[test]
    fn failures_raise_the_rate_and_time_and_successes_lower_it() {
        let mut errors = ErrorRate::default();
        for _ in 0..10 {
            errors.learn(true, Moment(0));
        }
        let high = rate_at(&errors, Moment(0));
        assert!(high > 0.85);
        assert!(rate_at(&errors, Moment(0) + Duration::from_secs(20)) < 0.05);
        for _ in 0..10 {
            errors.learn(false, Moment(0));
        }
        assert!(rate_at(&errors, Moment(0)) < high / 2.0);
    }

    #[test]
    fn one_failure_is_forgotten_sooner_than_many() {
        let mut once = ErrorRate::default();
        once.learn(true, Moment(0));
        let mut often = once;
        for _ in 0..9 {
            often.learn(true, Moment(0));
        }
        let later = Moment(0) + Duration::from_secs(2);
        assert!(rate_at(&once, later) < 0.05 * once.rate);
        assert!(rate_at(&often, later) > 0.6 * often.rate);
    }
}
