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

    /// One that may be picked; `None` when that takes too many draws, because few may be.
    pub(crate) fn draw<'a>(
        &self,
        candidates: &Candidates<'a>,
        stream: &mut Stream,
    ) -> Option<(usize, &'a Seat)> {
        self.draw_suiting(candidates, stream, |_| true)
    }

    /// The same with numbers of the caller's own.
    pub(crate) fn take<'a>(
        &self,
        candidates: &Candidates<'a>,
        mut number: impl FnMut() -> u64,
    ) -> Option<(usize, &'a Seat)> {
        let whole = *self.up_to.last()?;
        (0..MISSES_MAX).find_map(|_| self.at(candidates, below(number(), whole)))
    }

    pub(crate) fn draw_other<'a>(
        &self,
        candidates: &Candidates<'a>,
        stream: &mut Stream,
        not: usize,
    ) -> Option<(usize, &'a Seat)> {
        self.draw_suiting(candidates, stream, |index| index != not)
    }

    fn draw_suiting<'a>(
        &self,
        candidates: &Candidates<'a>,
        stream: &mut Stream,
        suits: impl Fn(usize) -> bool,
    ) -> Option<(usize, &'a Seat)> {
        (0..MISSES_MAX).find_map(|_| self.draw_once(candidates, stream).filter(|&(index, _)| suits(index)))
    }

    fn draw_once<'a>(&self, candidates: &Candidates<'a>, stream: &mut Stream) -> Option<(usize, &'a Seat)> {
        self.at(candidates, stream.next_below(*self.up_to.last()?))
    }

    fn at<'a>(&self, candidates: &Candidates<'a>, point: u64) -> Option<(usize, &'a Seat)> {
        let index = self.up_to.partition_point(|&sum| sum <= point);
        Some((index, candidates.get(index)?))
    }
}
