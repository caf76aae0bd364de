//! Numbers as decimal digits, faster than `write!`. Knows no units but one.

use std::time::Duration;

/// Fills the slice with the last digits of the value, with leading zeros.
pub(super) fn put_digits(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

pub(super) fn put_integer(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let length = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    put_digits(&mut digits[..length], value);
    out.extend_from_slice(&digits[..length]);
}

/// Milliseconds with three decimals: `1.234`.
pub(super) fn put_millis(out: &mut Vec<u8>, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut decimals = [0; 3];
    put_digits(&mut decimals, micros % 1000);
    put_integer(out, micros / 1000);
    out.push(b'.');
    out.extend_from_slice(&decimals);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_are_written_as_display_does(value in any::<u64>(), shift in 0..64u32) {
            let (value, mut out) = (value >> shift, Vec::new());
            put_integer(&mut out, value);
            prop_assert_eq!(out, value.to_string().into_bytes());
        }
    }

    #[test]
    fn durations_are_milliseconds_with_microseconds_behind_the_point() {
        for (nanos, expected) in [
            (0, "0.000"),
            (999, "0.000"),
            (1_000, "0.001"),
            (1_234_567, "1.234"),
            (60_000_000_000, "60000.000"),
        ] {
            let mut out = Vec::new();
            put_millis(&mut out, Duration::from_nanos(nanos));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
