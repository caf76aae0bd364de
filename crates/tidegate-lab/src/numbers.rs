//! One number or a list of them, dealt out in turn. Knows no meaning.

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// At least one, all above 0.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers(Vec<f64>);

/// Beyond this a number is a slip of the pen.
const COUNT_MAX: f64 = 1e6;

impl Numbers {
    pub(crate) fn one(number: f64) -> Self {
        Self(vec![number])
    }

    pub(crate) fn at(&self, turn: usize) -> f64 {
        self.0[turn % self.0.len()]
    }

    pub(crate) fn are_counts(&self) -> bool {
        self.0.iter().all(|&number| number.fract() == 0.0 && (1.0..=COUNT_MAX).contains(&number))
    }

    fn checked<E: Error>(numbers: Vec<f64>) -> Result<Self, E> {
        let are_sound =
            !numbers.is_empty() && numbers.iter().all(|number| *number > 0.0 && number.is_finite());
        are_sound.then_some(Self(numbers)).ok_or_else(|| E::custom("write numbers above 0, at least one"))
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneOrMore)
    }
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Numbers;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a number, or a list of numbers that are dealt out in turn")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Numbers, E> {
        Numbers::checked(vec![number as f64])
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Numbers, E> {
        Numbers::checked(vec![number])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Numbers, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element::<f64>()? {
            numbers.push(number);
        }
        Numbers::checked(numbers)
    }
}
