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

/// What was in flight at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(u64);

/// The most that may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Most {
    Requests(u32),
    /// Of those whose answer has not begun: the others may be as many as they like.
    Waiting(u32),
}

impl Most {
    pub(crate) fn number(self) -> u32 {
        let (Self::Requests(most) | Self::Waiting(most)) = self;
        most
    }

    fn has_room(self, counts: Counts) -> bool {
        match self {
            Self::Requests(most) => counts.requests() < most,
            Self::Waiting(most) => counts.waiting() < most,
        }
    }
}

impl Counts {
    #[inline]
    pub(crate) fn requests(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// What they are worth, in eighths of a waiting request.
    #[inline]
    fn eighths(self) -> u32 {
        self.0 as u32
    }

    /// Those whose answer has not begun.
    pub(crate) fn waiting(self) -> u32 {
        (self.eighths() - self.requests()) / 7
    }
}

impl InFlight {
    /// One more that waits for its answer. Says what there was before.
    pub(crate) fn enter(&self) -> Counts {
        Counts(self.0.fetch_add(WAITING, Relaxed))
    }

    /// As `enter`, unless there is as much as may be: `None` then. Exact for any number of callers.
    pub(crate) fn enter_below(&self, most: Most) -> Option<Counts> {
        let one_more = |counts: u64| most.has_room(Counts(counts)).then(|| counts + WAITING);
        self.0.fetch_update(Relaxed, Relaxed, one_more).ok().map(Counts)
    }

    pub(crate) fn is_below(&self, most: Most) -> bool {
        most.has_room(self.counts())
    }

    /// The answer to one of those that wait has begun.
    pub(crate) fn begin_streaming(&self) {
        self.0.fetch_sub(WAITING - STREAMING, Relaxed);
    }

    pub(crate) fn leave(&self, was_streaming: bool) {
        self.0.fetch_sub(if was_streaming { STREAMING } else { WAITING }, Relaxed);
    }

    #[inline]
    fn counts(&self) -> Counts {
        Counts(self.0.load(Relaxed))
    }

    #[inline]
    pub(crate) fn requests(&self) -> u32 {
        self.counts().requests()
    }

    /// What they are worth, in eighths of a waiting request.
    #[inline]
    pub(crate) fn eighths(&self) -> u32 {
        self.counts().eighths()
    }

    /// Those whose answer has not begun.
    pub(crate) fn waiting(&self) -> u32 {
        self.counts().waiting()
    }

    pub(crate) fn streaming(&self) -> u32 {
        let counts = self.counts();
        counts.requests() - counts.waiting()
    }
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
                        let before = in_flight.enter();
                        prop_assert_eq!((before.requests(), before.waiting()), (waiting + streaming, waiting));
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
                for most in 0..8 {
                    prop_assert_eq!(in_flight.is_below(Most::Requests(most)), waiting + streaming < most);
                    prop_assert_eq!(in_flight.is_below(Most::Waiting(most)), waiting < most);
                }
            }
        }
    }
}
