//! Moments as RFC 3339 text in UTC with milliseconds. Knows the civil calendar, not the clock.

use super::number::put_digits;
use std::time::{SystemTime, UNIX_EPOCH};

const LENGTH: usize = "2026-11-23T01:14:19.123Z".len();
/// The last moment with a four-digit year: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// The text of the last moment asked for; the date is worked out once a second.
#[derive(Clone, Debug)]
pub struct Timestamp {
    second: u64,
    text: [u8; LENGTH],
}

impl Default for Timestamp {
    fn default() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00.000Z" }
    }
}

impl Timestamp {
    /// Moments outside 1970 to 9999 give the nearest one inside.
    pub fn of(&mut self, moment: SystemTime) -> &str {
        let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since_epoch.as_secs().min(LAST_SECOND);
        if second != self.second {
            self.second = second;
            self.set_second(second);
        }
        put_digits(&mut self.text[20..23], since_epoch.subsec_millis().into());
        std::str::from_utf8(&self.text).unwrap_or_default() // digits and punctuation only
    }

    fn set_second(&mut self, second: u64) {
        let (year, month, day) = civil_date(second / 86_400);
        let of_day = second % 86_400;
        for (range, value) in [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, of_day / 3600),
            (14..16, of_day / 60 % 60),
            (17..19, of_day % 60),
        ] {
            put_digits(&mut self.text[range], value);
        }
    }
}

/// Year, month and day of the day that is `days` after 1970-01-01 in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last one; 400 such years are an era of 146 097 days
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_from_march + 2) / 5 + 1;
    let month = if months_from_march < 10 { months_from_march + 3 } else { months_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn text(seconds: u64, millis: u64) -> String {
        let moment = UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis);
        Timestamp::default().of(moment).to_owned()
    }

    #[test]
    fn known_moments_are_written_as_rfc_3339() {
        for (seconds, millis, expected) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, 999, "2000-02-28T23:59:59.999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, 7, "2024-02-29T00:00:00.007Z"),
            (1_763_860_459, 123, "2025-11-23T01:14:19.123Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
            (LAST_SECOND, 0, "9999-12-31T23:59:59.000Z"),
            (LAST_SECOND + 1, 0, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(text(seconds, millis), expected, "{seconds}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let days_of = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil_date(days), expected);
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (month, day) if day == days_of(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn the_text_kept_for_a_second_follows_the_clock_in_both_directions() {
        let mut timestamp = Timestamp::default();
        for (millis, expected) in [
            (1_000_000_000_250, "2001-09-09T01:46:40.250Z"),
            (1_000_000_000_999, "2001-09-09T01:46:40.999Z"),
            (1_000_000_001_001, "2001-09-09T01:46:41.001Z"),
            (999_999_999_000, "2001-09-09T01:46:39.000Z"),
        ] {
            assert_eq!(timestamp.of(UNIX_EPOCH + Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_clock_before_1970_does_not_panic() {
        assert_eq!(Timestamp::default().of(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }
}
