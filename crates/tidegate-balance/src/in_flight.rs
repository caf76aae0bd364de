//! How many requests one endpoint holds, exactly, and how far they are. Knows nothing of who sent them.
//!
//! All in one atomic, so that no scan sees a request that has ended in one count and not in the other, and a pick reads
//! and writes one word: all requests in the upper 22 bits, in 21 each those that wait for their answer, and the quiet ones.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const REQUEST: u64 = 1 << 42;
const WAITING: u64 = 1 << 21;
const QUIET: u64 = 1;
const FIELD: u64 = WAITING - 1;
/// What a quiet one counts as.
const QUIET_PART: f32 = 1.0 / 8.0;

/// Never wraps: each field is a sum over the leases that exist, of which memory holds far fewer than two million.
#[derive(Debug, Default)]
pub(crate) struct InFlight(AtomicU64);

/// How far a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Waiting,
    /// Its answer comes, and holds what the endpoint serves it with until it is over, for all that is known (a thread, a process, a part of its bandwidth).
    Answering,
    /// It has become a tunnel or a stream of events, of which an endpoint holds many that say nothing for most of the time.
    Quiet,
}

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
        (self.0 / REQUEST) as u32
    }

    /// Those whose answer has not begun.
    #[inline]
    pub(crate) fn waiting(self) -> u32 {
        ((self.0 / WAITING) & FIELD) as u32
    }

    #[inline]
    fn quiet(self) -> u32 {
        (self.0 & FIELD) as u32
    }

    /// All but the quiet ones.
    #[inline]
    pub(crate) fn at_work(self) -> u32 {
        self.requests() - self.quiet()
    }

    /// What those whose answer has begun count as, in requests.
    #[inline]
    pub(crate) fn answering(self) -> f32 {
        let begun = self.requests() - self.waiting();
        begun as f32 - self.quiet() as f32 * (1.0 - QUIET_PART)
    }
}

impl InFlight {
    /// One more that waits for its answer. Says what there was before.
    pub(crate) fn enter(&self) -> Counts {
        Counts(self.0.fetch_add(part(Phase::Waiting), Relaxed))
    }

    /// As `enter`, unless there is as much as may be: `None` then. Exact for any number of callers.
    pub(crate) fn enter_below(&self, most: Most) -> Option<Counts> {
        let one_more = |counts: u64| most.has_room(Counts(counts)).then(|| counts + part(Phase::Waiting));
        self.0.fetch_update(Relaxed, Relaxed, one_more).ok().map(Counts)
    }

    pub(crate) fn is_below(&self, most: Most) -> bool {
        most.has_room(self.counts())
    }

    /// The answer to one of those that wait has begun.
    pub(crate) fn begin(&self, phase: Phase) {
        self.0.fetch_sub(part(Phase::Waiting) - part(phase), Relaxed);
    }

    pub(crate) fn leave(&self, phase: Phase) {
        self.0.fetch_sub(part(phase), Relaxed);
    }

    #[inline]
    pub(crate) fn counts(&self) -> Counts {
        Counts(self.0.load(Relaxed))
    }

    #[inline]
    pub(crate) fn requests(&self) -> u32 {
        self.counts().requests()
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

/// What one is in the word.
const fn part(phase: Phase) -> u64 {
    match phase {
        Phase::Waiting => REQUEST + WAITING,
        Phase::Answering => REQUEST,
        Phase::Quiet => REQUEST + QUIET,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_of_beginnings_and_ends_is_counted_exactly(steps in prop::collection::vec(0_u8..6, 0..200)) {
            let in_flight = InFlight::default();
            let (mut waiting, mut answering, mut quiet) = (0, 0, 0);
            for step in steps {
                match step {
                    0 => {
                        let before = in_flight.enter();
                        prop_assert_eq!((before.requests(), before.waiting()), (waiting + answering + quiet, waiting));
                        waiting += 1;
                    }
                    1 if waiting > 0 => {
                        in_flight.begin(Phase::Answering);
                        (waiting, answering) = (waiting - 1, answering + 1);
                    }
                    2 if waiting > 0 => {
                        in_flight.begin(Phase::Quiet);
                        (waiting, quiet) = (waiting - 1, quiet + 1);
                    }
                    3 if answering > 0 => {
                        in_flight.leave(Phase::Answering);
                        answering -= 1;
                    }
                    4 if quiet > 0 => {
                        in_flight.leave(Phase::Quiet);
                        quiet -= 1;
                    }
                    _ if waiting > 0 => {
                        in_flight.leave(Phase::Waiting);
                        waiting -= 1;
                    }
                    _ => {}
                }
                let streaming = answering + quiet;
                prop_assert_eq!(in_flight.requests(), waiting + streaming);
                prop_assert_eq!(in_flight.waiting(), waiting);
                prop_assert_eq!(in_flight.streaming(), streaming);
                prop_assert_eq!((in_flight.counts().answering() * 8.0) as u32, 8 * answering + quiet);
                for most in 0..8 {
                    prop_assert_eq!(in_flight.is_below(Most::Requests(most)), waiting + streaming < most);
                    prop_assert_eq!(in_flight.is_below(Most::Waiting(most)), waiting < most);
                }
            }
        }
    }
}
