//! Draws endpoints in proportion to their weights. Knows no load and no algorithm.

use crate::candidates::Candidates;
use crate::entropy::{below, mix};
use crate::seat::Seat;

/// Draws that may land on endpoints that are out or drawn already.
const MISSES_MAX: u32 = 16;

#[derive(Debug)]
pub(crate) struct Weights {
    /// Summed up to and including each endpoint.
    up_to: Box<[u64]>,
}

impl Weights {
    pub(crate) fn of(seats: &[Seat]) -> Self {
        let mut sum = 0;
        let running_sum = |seat: &Seat| {
            sum += u64::from(seat.share);
            sum
        };
        Self { up_to: seats.iter().map(running_sum).collect() }
    }

    /// One that may be picked, where there is one. `bits`: evenly spread.
    pub(crate) fn draw_any<'a>(
        &self,
        candidates: &Candidates<'a>,
        mut bits: impl FnMut() -> u64,
    ) -> Option<(usize, &'a Seat)> {
        self.draw(candidates, |whole| below(bits(), whole), |_| true).or_else(|| {
            // Turns that are taken in an order, of which these are the rest after so many, are in no order that suits.
            let index = candidates.by_weight(mix(bits()), |_| true)?;
            Some((index, candidates.get(index)?))
        })
    }

    /// One that may be picked and suits; `None` when that takes too many draws, because few do. `below` gives a number below another one.
    pub(crate) fn draw<'a>(
        &self,
        candidates: &Candidates<'a>,
        mut below: impl FnMut(u64) -> u64,
        suits: impl Fn(usize) -> bool,
    ) -> Option<(usize, &'a Seat)> {
        let whole = *self.up_to.last()?;
        (0..MISSES_MAX).find_map(|_| {
            let point = below(whole);
            let index = self.up_to.partition_point(|&sum| sum <= point);
            candidates.get(index).filter(|_| suits(index)).map(|seat| (index, seat))
        })
    }
}
