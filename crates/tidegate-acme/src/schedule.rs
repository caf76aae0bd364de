//! When to ask for the next certificate, and when to ask again. Pure.

use crate::AcmeError;
use std::time::Duration;

/// When a certificate should be replaced: at two thirds of its life, so that a third is left for whatever goes wrong. In the
/// unit of the arguments.
pub fn renewal_due(not_before: i64, not_after: i64) -> i64 {
    not_after - (not_after - not_before) / 3
}

/// Failures in a row, each kind counted by itself: an authority that was down for a night has refused nothing. One that answers is
/// no longer down, but what it has refused it still counts, however long it was away in between.
#[derive(Debug, Default)]
pub struct Failures {
    dns: u32,
    refused: u32,
    unreachable: u32,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// In any case: the authority asks for it.
    pub asked: Duration,
    /// All in all, if nobody wants it sooner.
    pub whole: Duration,
}

impl Failures {
    /// After one more. Doubling from a second while nobody answers, up to an hour; and four times as long each time from a quarter
    /// of a minute when the authority said no, or gave what is of no use, up to six hours, because authorities count those:
    /// Let's Encrypt allows five failures an hour for each host, and this makes four in the first. Never less than the authority asks for. `chance`, from 0
    /// to 1, keeps many that failed at once from coming back at once.
    pub fn pause(&mut self, error: &AcmeError, chance: f64) -> Pause {
        if let AcmeError::Resting { left, .. } = error {
            let asked = (*left).min(ASKED_MAX);
            return Pause { asked, whole: asked };
        }
        let (count, first, factor, longest, asked) = match error {
            AcmeError::Refused { retry_after, .. } => {
                (&mut self.refused, 15, 4_u32, Duration::from_hours(6), *retry_after)
            }
            AcmeError::Unkept(_) | AcmeError::Unusable(_) => {
                (&mut self.refused, 15, 4, Duration::from_hours(6), None)
            }
            AcmeError::Dns(_) => (&mut self.dns, 15, 2, Duration::from_hours(1), None),
            AcmeError::Folder(_)
            | AcmeError::Forgetful(_)
            | AcmeError::Resting { .. }
            | AcmeError::Unreachable(_) => (&mut self.unreachable, 1, 2, Duration::from_hours(1), None),
        };
        *count = count.saturating_add(1);
        let grown = Duration::from_secs(first).saturating_mul(factor.saturating_pow(*count - 1));
        if !matches!(error, AcmeError::Folder(_) | AcmeError::Forgetful(_) | AcmeError::Unreachable(_)) {
            self.unreachable = 0;
        }
        // By a quarter more or less, and all of it within the longest.
        let spread = grown.min(longest * 4 / 5).mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0);
        let asked = asked.unwrap_or_default().min(ASKED_MAX);
        Pause { asked, whole: spread.max(asked) }
    }
}

/// Whatever an authority asks for, tomorrow is another day.
pub(crate) const ASKED_MAX: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_life_is_left_however_long_it_is() {
        assert_eq!(renewal_due(0, 90), 60);
        assert_eq!(renewal_due(100, 106), 104);
    }

    fn refused(retry_after: Option<Duration>) -> AcmeError {
        AcmeError::Refused { why: String::new(), retry_after }
    }

    /// Of so many failures in a row, the last pause.
    fn pause(error: &AcmeError, failures: u32, chance: f64) -> Duration {
        let mut counted = Failures::default();
        for _ in 1..failures {
            counted.pause(error, chance);
        }
        counted.pause(error, chance).whole
    }

    fn seconds(error: &AcmeError, failures: u32) -> u64 {
        pause(error, failures, 0.5).as_secs()
    }

    #[test]
    fn pauses_grow_up_to_an_end_and_are_longer_after_a_refusal() {
        for gone in [AcmeError::Unreachable(String::new()), AcmeError::Forgetful(String::new())] {
            assert_eq!([1, 2, 3, 100].map(|failures| seconds(&gone, failures)), [1, 2, 4, 2880]);
        }
        let refused = refused(None);
        assert_eq!(
            [1, 2, 3, 4, 5, 100].map(|failures| seconds(&refused, failures)),
            [15, 60, 240, 960, 3840, 17_280]
        );
    }

    #[test]
    fn each_kind_of_failure_is_counted_by_itself() {
        let gone = || AcmeError::Unreachable(String::new());
        let mut failures = Failures::default();
        let mut after = |error: AcmeError| failures.pause(&error, 0.5).whole.as_secs();
        assert_eq!([(); 5].map(|()| after(gone())), [1, 2, 4, 8, 16]);
        assert_eq!(after(refused(None)), 15, "it had refused nothing while it was down");
        assert_eq!(after(gone()), 1, "it was there in between");
        assert_eq!(after(AcmeError::Forgetful(String::new())), 2);
        assert_eq!(after(refused(None)), 60, "it counts over an outage");
    }

    #[test]
    fn what_was_given_in_vain_counts_as_what_was_refused() {
        let mut failures = Failures::default();
        let after = |error: AcmeError| failures.pause(&error, 0.5).whole.as_secs();
        let useless = || AcmeError::Unusable(String::new());
        let lost = || AcmeError::Unkept(std::io::ErrorKind::StorageFull.into());
        assert_eq!([useless(), refused(None), useless(), lost()].map(after), [15, 60, 240, 960]);
    }

    #[test]
    fn a_rest_is_as_long_as_it_was_asked_for_and_no_failure() {
        let left = Duration::from_secs(42);
        let resting = AcmeError::Resting { why: String::new(), left };
        let mut failures = Failures::default();
        for _ in 0..3 {
            assert_eq!(failures.pause(&resting, 1.0), Pause { asked: left, whole: left });
        }
        assert_eq!(failures.pause(&refused(None), 0.5).whole.as_secs(), 15);
    }

    #[test]
    fn no_pause_is_longer_than_it_is_said_to_be() {
        let gone = AcmeError::Unreachable(String::new());
        assert_eq!(pause(&gone, 100, 1.0), Duration::from_hours(1));
        assert_eq!(pause(&refused(None), 100, 1.0), Duration::from_hours(6));
        assert_eq!(pause(&refused(None), 100, 0.0), Duration::from_mins(216), "and they are spread");
    }

    #[test]
    fn no_more_failures_an_hour_than_authorities_allow() {
        let mut failures = Failures::default();
        let pauses = std::iter::repeat_with(|| failures.pause(&refused(None), 0.0).whole);
        let moments = pauses.scan(Duration::ZERO, |now, pause| {
            *now += pause;
            Some(*now)
        });
        let again = moments.take_while(|moment| *moment < Duration::from_hours(1)).count();
        assert!(again < 5, "{again} times after the first");
    }

    #[test]
    fn an_authority_is_not_asked_before_the_time_that_it_says_and_chance_spreads_the_rest() {
        let hour = Duration::from_hours(1);
        let once = |asked| Failures::default().pause(&refused(Some(asked)), 0.0);
        assert_eq!(once(hour), Pause { asked: hour, whole: hour });
        assert_eq!(pause(&refused(Some(hour)), 100, 1.0), hour * 6, "its own pause is longer");
        assert_eq!(once(hour * 1000).asked, ASKED_MAX);
        let [early, late] = [0.0, 1.0].map(|chance| pause(&refused(None), 2, chance).as_secs());
        assert_eq!([early, late], [45, 75]);
    }
}
