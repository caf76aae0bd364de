//! Stretches of time as a scenario writes them: `10ms`, `~1s`. Knows units, not what takes so long.

use crate::random::Random;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;

pub(crate) const MILLISECOND: f64 = 1e6;
pub(crate) const SECOND: f64 = 1e9;

/// A time in nanoseconds, written with a unit: `250us`, `0.5ms`, `10s`, `2m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

/// A time that is the same each time (`1s`), or about as long, exponentially distributed (`~1s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    pub mean: Span,
    pub is_random: bool,
}

impl Span {
    pub fn seconds(self) -> f64 {
        self.0 as f64 / SECOND
    }

    pub fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, unit) = text.split_at(unit_at);
        let scale = match unit {
            "us" => 1e3,
            "ms" => MILLISECOND,
            "s" => SECOND,
            "m" => 60.0 * SECOND,
            "h" => 3_600.0 * SECOND,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        Some(Self((number * scale).round() as u64))
    }
}

impl About {
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        let mean = self.mean.0 as f64;
        (if self.is_random { mean * random.exponential() } else { mean }) as u64
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a time with a unit, in quotes: \"250us\", \"10ms\", \"5s\", \"2m\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).ok_or_else(|| {
                    E::custom(format!("`{text}` is no time: write it like 250us, 10ms, 5s or 2m"))
                })
            }
        }
        from.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for About {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = About;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a time with a unit, in quotes: \"1s\" exactly, or \"~1s\" at random about that")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<About, E> {
                let (is_random, rest) = text.strip_prefix('~').map_or((false, text), |rest| (true, rest));
                let mean = Span::parse(rest).filter(|span| span.0 > 0);
                let mean = mean.ok_or_else(|| {
                    E::custom(format!("`{text}` is no time: write it like 200ms, 5s or ~1s"))
                })?;
                Ok(About { mean, is_random })
            }
        }
        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_units_and_may_have_a_fraction() {
        for (text, expected) in [
            ("250us", Some(250_000)),
            ("0.1ms", Some(100_000)),
            ("5s", Some(5_000_000_000)),
            ("2m", Some(120_000_000_000)),
            ("5", None),
            ("s", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("1 s", None),
        ] {
            assert_eq!(Span::parse(text).map(|span| span.0), expected, "{text}");
        }
    }
}
