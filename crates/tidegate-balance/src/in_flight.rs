//! How many requests one endpoint holds, exactly, and how much of a load they are. Knows nothing of who sent them.
//!
//! Both in one atomic, so that no scan sees a request that has ended in one count and not in the other, and a pick reads
//! and writes one word: the upper half counts requests, the lower half their load in eighths of a waiting request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const REQUEST: u64 = 1 << 32;
const WAITING: u64 = REQUEST | 8;
/// A request whose answer has begun counts as an eighth: it holds a slot's bandwidth, not a slot.
const STREAMING: u64 = REQUEST | 1;

/// Never wraps: both halves are sums over the leases that exist.
#[derive(Debug, Default)]
pub(crate) struct InFlight(AtomicU64);

impl InFlight {
    /// One more that waits for its answer. Says how many requests there were before.
    pub(crate) fn enter(&self) -> u32 {
        requests(self.0.fetch_add(WAITING, Relaxed))
    }

    /// As `enter`, unless there are so many requests already: `None` then. Exact for any number of callers.
    pub(crate) fn enter_below(&self, most: u32) -> Option<u32> {
        let one_more = |counts: u64| (requests(counts) < most).then(|| counts + WAITING);
        self.0.fetch_update(Relaxed, Relaxed, one_more).ok().map(requests)
    }

    /// The answer to one of those that wait has begun.
    pub(crate) fn begin_streaming(&self) {
        self.0.fetch_sub(WAITING - STREAMING, Relaxed);
    }

    pub(crate) fn leave(&self, was_streaming: bool) {
        self.0.fetch_sub(if was_streaming { STREAMING } else { WAITING }, Relaxed);
    }

    #[inline]
    pub(crate) fn requests(&self) -> u32 {
        requests(self.0.load(Relaxed))
    }

    /// What they are worth, in eighths of a waiting request.
    #[inline]
    pub(crate) fn eighths(&self) -> u32 {
        eighths(self.0.load(Relaxed))
    }

    /// Those whose answer has not begun.
    pub(crate) fn waiting(&self) -> u32 {
        let counts = self.0.load(Relaxed);
        (eighths(counts) - requests(counts)) / 7
    }

    pub(crate) fn streaming(&self) -> u32 {
        let counts = self.0.load(Relaxed);
        requests(counts) - (eighths(counts) - requests(counts)) / 7
    }
}

const fn requests(counts: u64) -> u32 {
    (counts >> 32) as u32
}

const fn eighths(counts: u64) -> u32 {
    counts as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_of_beginnings_and_ends_is_counted_exactly(steps in prop::collection::vec(0_u8..3, 0..200)) {
            let in_flight = InFlight::default();
            let (mut waiting, mut streaming) = (0, 0);
            for step in steps {
                match step {
                    0 => {
                        prop_assert_eq!(in_flight.enter(), waiting + streaming);
                        waiting += 1;
                    }
                    1 if waiting > 0 => {
                        in_flight.begin_streaming();
                        (waiting, streaming) = (waiting - 1, streaming + 1);
                    }
                    2 if streaming > 0 => {
                        in_flight.leave(true);
                        streaming -= 1;
                    }
                    _ if waiting > 0 => {
                        in_flight.leave(false);
                        waiting -= 1;
                    }
                    _ => {}
                }
                prop_assert_eq!(in_flight.requests(), waiting + streaming);
                prop_assert_eq!(in_flight.waiting(), waiting);
                prop_assert_eq!(in_flight.streaming(), streaming);
                prop_assert_eq!(in_flight.eighths(), 8 * waiting + streaming);
            }
        }
    }
}
