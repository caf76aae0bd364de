//! Numbers as decimal digits, faster than `write!`. Knows no units but one.

use std::time::Duration;

/// Fills the slice with the last digits of the value, with leading zeros.
pub(super) fn put_digits(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

pub(super) fn put_integer(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    loop {
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 || first == 0 {
            break;
        }
        first -= 1;
    }
    out.extend_from_slice(&digits[first..]);
}

/// Milliseconds with three decimals: `1.234`.
pub(super) fn put_millis(out: &mut Vec<u8>, duration: Duration) {
    let micros = duration.subsec_micros();
    let mut decimals = *b".000";
    put_digits(&mut decimals[1..], (micros % 1000).into());
    put_integer(out, duration.as_secs().saturating_mul(1000).saturating_add((micros / 1000).into()));
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
