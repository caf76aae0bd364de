//! Draws endpoints in proportion to their weights. Knows no load and no algorithm.

use crate::candidates::Candidates;
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
