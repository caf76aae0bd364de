//! Durations and sizes: numbers that carry their unit, read and printed.
//!
//! It does not know which key a value belongs to, nor what range fits there.

use std::time::Duration;

/// The longest duration: far below what overflows a clock, far above what anyone waits for.
pub(crate) const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Why a text is no duration or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("write a whole number, with a smaller unit if need be")]
    Fraction,
    #[error("it begins with no number")]
    NumberMissing,
    #[error("the number is too large")]
    NumberTooLarge,
    /// The same in one unit.
    #[error("more than one unit")]
    Several(String),
    #[error("the unit is missing")]
    UnitMissing,
    #[error("`{0}` is no unit")]
    UnitUnknown(String),
}

/// `2s`, `500ms`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// `64KiB`, `1MiB`, `512B`.
pub(crate) fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZE_UNITS)
}

/// In the largest unit that fits without a rest.
pub(crate) fn print_duration(duration: Duration) -> String {
    print(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

/// In the largest unit that fits without a rest.
pub(crate) fn print_size(bytes: u64) -> String {
    print(bytes, &SIZE_UNITS)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if number.is_empty() {
        return Err(UnitError::NumberMissing);
    }
    let unit = rest.trim_start();
    if unit.is_empty() {
        return Err(UnitError::UnitMissing);
    }
    if unit.starts_with(['.', ',']) {
        return Err(UnitError::Fraction);
    }
    let factor =
        units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(|| {
            match sum(text, units) {
                Some(amount) => UnitError::Several(print(amount, units)),
                None => UnitError::UnitUnknown(unit.to_owned()),
            }
        })?;
    let number: u64 = number.parse().map_err(|_| UnitError::NumberTooLarge)?;
    number.checked_mul(factor).ok_or(UnitError::NumberTooLarge)
}

/// `1h30m`, which is not read, but understood well enough to say what to write.
fn sum(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text.trim_start();
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let behind = behind.trim_start();
        let (unit, behind) =
            behind.split_at(behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len()));
        let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = behind.trim_start();
    }
    Some(sum)
}

fn print(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| factor == 1 || (amount != 0 && amount.is_multiple_of(factor));
    let (unit, factor) = units.iter().rev().find(|(_, factor)| fits(*factor)).copied().unwrap_or(("", 1));
    format!("{}{unit}", amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_in_the_largest_unit_without_a_rest() {
        for (text, printed) in
            [("1500ms", "1500ms"), ("60s", "1m"), ("24h", "1d"), ("90s", "90s"), ("0s", "0ms")]
        {
            assert_eq!(parse_duration(text).map(print_duration), Ok(printed.to_owned()));
        }
        for (text, printed) in [("1024B", "1KiB"), ("1536B", "1536B"), ("16 KiB", "16KiB"), ("0B", "0B")] {
            assert_eq!(parse_size(text).map(print_size), Ok(printed.to_owned()));
        }
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        assert_eq!(parse_duration("10"), Err(UnitError::UnitMissing));
        assert_eq!(parse_duration("1.5s"), Err(UnitError::Fraction));
        assert_eq!(parse_duration("soon"), Err(UnitError::NumberMissing));
        assert_eq!(parse_duration("-1s"), Err(UnitError::NumberMissing));
        assert_eq!(parse_duration("2 sec"), Err(UnitError::UnitUnknown("sec".into())));
        assert_eq!(parse_duration("99999999999999999999s"), Err(UnitError::NumberTooLarge));
        assert_eq!(parse_duration("1h30m"), Err(UnitError::Several("90m".into())));
        assert_eq!(parse_duration("1d 0h 1 ms"), Err(UnitError::Several("86400001ms".into())));
        assert_eq!(parse_size("1MiB512KiB"), Err(UnitError::Several("1536KiB".into())));
        for not_understood in ["1h30", "1h30x", "1h-1m", "1hm", "1h1.5m", "1h99999999999999999999s"] {
            assert!(
                matches!(parse_duration(not_understood), Err(UnitError::UnitUnknown(_))),
                "{not_understood}"
            );
        }
        assert_eq!(parse_size("64kb"), Err(UnitError::UnitUnknown("kb".into())));
    }
}
