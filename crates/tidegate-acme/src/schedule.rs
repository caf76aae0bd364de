//! When to ask for the next certificate, and when to ask again. Pure.

use crate::AcmeError;
use std::time::Duration;

/// When a certificate should be replaced: at two thirds of its life, so that a third is left for whatever goes wrong. In the
/// unit of the arguments.
pub fn renewal_due(not_before: i64, not_after: i64) -> i64 {
    not_after - (not_after - not_before) / 3
}

/// How long to wait after so many failures in a row. Doubling: from a second while nobody answers, and from five minutes when
/// the authority said no, because authorities count those (Let's Encrypt allows five an hour).
pub fn pause(error: &AcmeError, failures: u32) -> Duration {
    let (first, longest) = match error {
        AcmeError::Refused(_) => (Duration::from_mins(5), Duration::from_hours(6)),
        _ => (Duration::from_secs(1), Duration::from_hours(1)),
    };
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
    first.saturating_mul(doubled).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_life_is_left_however_long_it_is() {
        assert_eq!(renewal_due(0, 90), 60);
        assert_eq!(renewal_due(100, 106), 104);
    }

    #[test]
    fn pauses_double_up_to_an_end_and_are_longer_after_a_refusal() {
        let (gone, refused) = (AcmeError::Unreachable(String::new()), AcmeError::Refused(String::new()));
        let seconds = |error, failures| pause(error, failures).as_secs();
        assert_eq!([1, 2, 3, 100].map(|failures| seconds(&gone, failures)), [1, 2, 4, 3600]);
        assert_eq!([1, 2, 100].map(|failures| seconds(&refused, failures)), [300, 600, 21_600]);
    }
}
