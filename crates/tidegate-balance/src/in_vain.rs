//! For how long requests have been waiting in vain at one endpoint since it answered last. Knows nothing of who set the time.
//!
//! One wait by itself may have been too short for any answer: who stood in a queue for long leaves the endpoint what is left of its
//! time. One after the other they are long enough; but not those that ended sooner than answers usually come there: however many of
//! these follow each other, none of them could have been answered.

use crate::Moment;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct InVain {
    /// Nanoseconds, and until when that is known. Two facts that may be a moment apart: then one wait counts too little.
    waited: AtomicU64,
    until: AtomicU64,
    /// Nanoseconds that answers usually take, a mean of late; 0 while there was none.
    usual: AtomicU64,
}

/// Answers that it is taken over.
const ANSWERS: u64 = 16;

impl InVain {
    /// A request has waited from one moment to the other, and was given up. All of that since the last answer, where several waited at once
    /// counted once.
    pub(crate) fn add(&self, from: Moment, to: Moment) -> Duration {
        let until = self.until.fetch_max(to.0, Relaxed);
        if to.0.saturating_sub(from.0) < self.usual.load(Relaxed) {
            return Duration::ZERO;
        }
        let more = to.0.saturating_sub(from.0.max(until));
        Duration::from_nanos(self.waited.fetch_add(more, Relaxed).saturating_add(more))
    }

    pub(crate) fn answered(&self, took: Duration) {
        let (took, usual) = (took.as_nanos() as u64, self.usual.load(Relaxed));
        let usual = if usual == 0 { took } else { usual - usual / ANSWERS + took / ANSWERS };
        self.usual.store(usual, Relaxed);
        if self.waited.load(Relaxed) != 0 {
            self.waited.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A law of it: never more than the time in which somebody waited, whoever waits at once; and all of it where nobody ends before
        /// one who began earlier.
        #[test]
        fn what_overlaps_counts_once(waits in prop::collection::vec((0u64..1000, 0u64..200), 1..50)) {
            let mut waits: Vec<_> = waits.into_iter().map(|(from, length)| (from, from + length)).collect();
            waits.sort_by_key(|&(_, to)| to);
            let in_vain = InVain::default();
            let total = waits.iter().map(|&(from, to)| in_vain.add(Moment(from), Moment(to))).max();
            let is_waiting = |moment: &u64| waits.iter().any(|(from, to)| (from..to).contains(&moment));
            let waiting = Duration::from_nanos((0..1200).filter(is_waiting).count() as u64);
            prop_assert!(total <= Some(waiting), "{total:?} of {waiting:?}");
            if waits.is_sorted_by_key(|&(from, _)| from) {
                prop_assert_eq!(total, Some(waiting));
            }
            in_vain.answered(Duration::from_nanos(5));
            prop_assert_eq!(in_vain.add(Moment(5000), Moment(5007)), Duration::from_nanos(7));
            prop_assert_eq!(in_vain.add(Moment(6000), Moment(6004)), Duration::ZERO, "too short for an answer");
        }
    }
}
