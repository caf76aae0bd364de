//! Draws endpoints in proportion to their weights. Knows no load and no algorithm.

use crate::candidates::Candidates;
use crate::entropy::{Stream, below};
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

    /// One that may be picked, where there is one. `bits`: evenly spread from call to call.
    pub(crate) fn draw_any<'a>(&self, candidates: &Candidates<'a>, bits: u64) -> Option<(usize, &'a Seat)> {
        let whole = *self.up_to.last()?;
        let index = self.at(below(bits, whole));
        if let Some(seat) = candidates.get(index) {
            return Some((index, seat));
        }
        let mut stream = Stream::new(bits);
        self.draw(candidates, |whole| stream.next_below(whole), |_| true).or_else(|| {
            let index = candidates.by_weight(stream.next_bits(), |_| true)?;
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
            let index = self.at(below(whole));
            candidates.get(index).filter(|_| suits(index)).map(|seat| (index, seat))
        })
    }

    fn at(&self, point: u64) -> usize {
        self.up_to.partition_point(|&sum| sum <= point)
    }
}
