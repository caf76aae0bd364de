//! The moments that logs write, as nanoseconds since 1970 in UTC. Knows three ways of writing them, no clock.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// RFC 3339 with `Z`, as our own log has it: `2026-11-23T01:14:19.123Z`.
pub(super) fn rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let days = days(date.next()??, date.next()??, date.next()??)?;
    Some(nanoseconds(days, of_day(time)?))
}

/// The common log format's: `10/Oct/2026:13:55:36 +0200`, and `HAProxy`'s, without a zone and with milliseconds.
pub(super) fn common(text: &str) -> Option<u64> {
    let (moment, zone) = text.split_once(' ').unwrap_or((text, "+0000"));
    let (date, time) = moment.split_once(':')?;
    let mut date = date.split('/');
    let (day, month, year) = (date.next()?, date.next()?, date.next()?);
    let (month, _) = (1..).zip(MONTHS).find(|(_, name)| *name == month)?;
    let days = days(year.parse().ok()?, month, day.parse().ok()?)?;
    let local = i64::try_from(nanoseconds(days, of_day(time)?)).ok()?;
    u64::try_from(local - offset(zone)? * 60_000_000_000).ok()
}

/// Line Islands.
const ZONE_HOURS_MAX: i64 = 14;

/// `+0200` in minutes.
fn offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes().first()? {
        b'+' => (1, zone.get(1..)?),
        b'-' => (-1, zone.get(1..)?),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    let (hours, minutes) = (number / 100, number % 100);
    (hours <= ZONE_HOURS_MAX && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// `13:55:36.123` in nanoseconds.
fn of_day(time: &str) -> Option<u64> {
    let mut parts = time.splitn(3, ':');
    let hours: u64 = parts.next()?.parse().ok()?;
    let minutes: u64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next()?.parse().ok()?;
    let is_sound = hours < 24 && minutes < 60 && (0.0..61.0).contains(&seconds);
    is_sound.then(|| (hours * 60 + minutes) * 60_000_000_000 + (seconds * 1e9).round() as u64)
}

/// What nanoseconds in 64 bits reach.
const YEARS: std::ops::Range<i64> = 1970..2500;

/// Since 1970 (Hinnant: "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> Option<u64> {
    if !YEARS.contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    u64::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

fn nanoseconds(days: u64, of_day: u64) -> u64 {
    days * 86_400_000_000_000 + of_day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_is_read_from_each_way_of_writing_it() {
        let moment = 1_791_640_536_655_000_000;
        assert_eq!(rfc3339("2026-10-10T13:55:36.655Z"), Some(moment));
        assert_eq!(common("10/Oct/2026:13:55:36.655"), Some(moment));
        assert_eq!(common("10/Oct/2026:15:55:36 +0200"), Some(moment - 655_000_000));
        assert_eq!(common("10/Oct/2026:10:25:36 -0330"), Some(moment - 655_000_000));
        assert_eq!(rfc3339("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(rfc3339("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "2026-13-01T00:00:00Z",
            "2600-10-10T13:55:36Z",
            "2026-10-10T25:00:00Z",
            "2026-10-10 13:55:36",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
        for text in [
            "10/Okt/2026:13:55:36 +0000",
            "10/Oct/2026",
            "10/Oct/2026:13:55:36 UTC",
            "1/Jan/1970:00:00:00 +0100",
            "10/Oct/2026:13:55:36 +99999999999",
            "10/Oct/2026:13:55:36 +9999",
            "10/Oct/2026:13:55:36 +1500",
            "10/Oct/2026:13:55:36 +0160",
            "10/Oct/2026:13:55:36 +02",
            "10/Oct/2026:13:55:36 ++200",
        ] {
            assert_eq!(common(text), None, "{text}");
        }
    }
}
