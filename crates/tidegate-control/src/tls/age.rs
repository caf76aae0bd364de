//! How long a certificate still holds, and whether that is worth a word. Reads no clock.

/// Fewer days than this are worth a word, unless the certificate is one of the short-lived ones.
const SOON_DAYS: i64 = 14;

const DAY: i64 = 24 * 60 * 60;

/// Where in its life a certificate stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Age {
    #[default]
    Fresh,
    /// It is time to replace it.
    Expiring,
    Expired,
    /// Its life has not begun: a clock is wrong, here or where it was made.
    Unborn,
}

/// From when until when a certificate holds, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Validity {
    pub(crate) fn age(self, now: i64) -> Age {
        let left = self.not_after - now;
        // Whatever renews certificates does so with a third of their life left.
        let third = (self.not_after - self.not_before) / 3;
        match left {
            ..0 => Age::Expired,
            _ if now < self.not_before => Age::Unborn,
            _ if left < third.min(SOON_DAYS * DAY) => Age::Expiring,
            _ => Age::Fresh,
        }
    }

    /// What is to be said of that, behind the certificate's name.
    pub(crate) fn remark(self, now: i64) -> Option<String> {
        match self.age(now) {
            Age::Fresh => None,
            Age::Expiring => Some(format!("expires {}", self.expires(now))),
            Age::Expired => Some(format!("expired {}", self.expires(now))),
            Age::Unborn => Some("does not hold yet: is the clock right?".to_owned()),
        }
    }

    /// "in 3 days", "in 5 hours", "2 days ago".
    pub(crate) fn expires(self, now: i64) -> String {
        from_now(self.not_after, now)
    }
}

/// As above, of any moment.
pub(super) fn from_now(moment: i64, now: i64) -> String {
    let left = moment - now;
    let (number, unit) = match left.abs() {
        seconds @ 0..120 => (seconds, "second"),
        seconds @ 120..7200 => (seconds / 60, "minute"),
        seconds @ 7200..172_800 => (seconds / 3600, "hour"),
        seconds => (seconds / DAY, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if left < 0 { format!("{number} {unit}{plural} ago") } else { format!("in {number} {unit}{plural}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Validity = Validity { not_before: 0, not_after: 90 * DAY };
    const WEEK: Validity = Validity { not_before: 0, not_after: 6 * DAY };

    #[test]
    fn a_certificate_is_worth_a_word_when_whoever_renews_it_is_late() {
        for (validity, day, expected, why) in [
            (QUARTER, -1, Age::Unborn, "made by a clock that is ahead"),
            (QUARTER, 0, Age::Fresh, "new"),
            (QUARTER, 75, Age::Fresh, "two weeks and more"),
            (QUARTER, 77, Age::Expiring, "less than two weeks"),
            (QUARTER, 91, Age::Expired, "over"),
            (WEEK, 3, Age::Fresh, "half of a short life"),
            (WEEK, 5, Age::Expiring, "the last third of a short life"),
        ] {
            assert_eq!(validity.age(day * DAY), expected, "{why}");
        }
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        for (now, expected) in [
            (0, "in 90 days"),
            (90 * DAY - 7200, "in 2 hours"),
            (90 * DAY - 60, "in 60 seconds"),
            (90 * DAY + 1, "1 second ago"),
            (93 * DAY, "3 days ago"),
        ] {
            assert_eq!(QUARTER.expires(now), expected);
        }
    }
}
