//! When to ask for the next certificate, and when to ask again. Pure.

use crate::AcmeError;
use std::time::Duration;

/// When a certificate should be replaced: at two thirds of its life, so that a third is left for whatever goes wrong. In the
/// unit of the arguments.
pub fn renewal_due(not_before: i64, not_after: i64) -> i64 {
    not_after - (not_after - not_before) / 3
}

/// How long to wait after so many failures in a row. Doubling from a second while nobody answers, up to an hour; and four times
/// as long each time from a quarter of a minute when the authority said no, up to six hours, because authorities count those:
/// Let's Encrypt allows five failures an hour for each host, and this makes four in the first. Never less than the
/// authority asks for. `chance`, from 0 to 1, keeps many that failed at once from coming back at once.
pub fn pause(error: &AcmeError, failures: u32, chance: f64) -> Duration {
    let (first, factor, longest, asked) = match error {
        AcmeError::Refused { retry_after, .. } => {
            (Duration::from_secs(15), 4_u32, Duration::from_hours(6), *retry_after)
        }
        AcmeError::Dns(_) => (Duration::from_secs(15), 2, Duration::from_hours(1), None),
        AcmeError::Folder(_) | AcmeError::Unreachable(_) => {
            (Duration::from_secs(1), 2, Duration::from_hours(1), None)
        }
    };
    let grown = first.saturating_mul(factor.saturating_pow(failures.saturating_sub(1)));
    let spread = grown.min(longest).mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0);
    spread.max(asked.unwrap_or_default().min(ASKED_MAX))
}

/// Whatever an authority asks for, tomorrow is another day.
const ASKED_MAX: Duration = Duration::from_hours(24);

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

    fn seconds(error: &AcmeError, failures: u32) -> u64 {
        pause(error, failures, 0.5).as_secs()
    }

    #[test]
    fn pauses_grow_up_to_an_end_and_are_longer_after_a_refusal() {
        let gone = AcmeError::Unreachable(String::new());
        assert_eq!([1, 2, 3, 100].map(|failures| seconds(&gone, failures)), [1, 2, 4, 3600]);
        let refused = refused(None);
        assert_eq!(
            [1, 2, 3, 4, 5, 100].map(|failures| seconds(&refused, failures)),
            [15, 60, 240, 960, 3840, 21_600]
        );
    }

    #[test]
    fn no_more_failures_an_hour_than_authorities_allow() {
        let pauses = (1..).map(|failures| pause(&refused(None), failures, 0.0));
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
        assert_eq!(pause(&refused(Some(hour)), 1, 0.0), hour);
        assert_eq!(
            pause(&refused(Some(hour)), 100, 1.0),
            Duration::from_mins(450),
            "its own pause is longer"
        );
        assert_eq!(pause(&refused(Some(hour * 1000)), 1, 0.0), ASKED_MAX);
        let [early, late] = [0.0, 1.0].map(|chance| pause(&refused(None), 2, chance).as_secs());
        assert_eq!([early, late], [45, 75]);
    }
}
