//! How many of the requests that wait at one endpoint have waited for far longer than its answers take: long polls, above all. Knows no
//! other endpoint, and nothing of what is told of it.
//!
//! Such a request says nothing of how many the endpoint serves at once: it may hold a worker there, or nothing. All that is kept is how
//! many that wait now did so at two moments in the past; what came after both is nobody's business here, so that a pick adds nothing, and an
//! answer takes one look.

use crate::Moment;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What takes so many times as long as usual, or twice that, is long by itself: of requests that are as different as usual (lognormal, σ = 1)
/// one in fifty does by chance, or one in three hundred.
const LONG: f64 = 8.0;
/// And no shorter than that: a slow page is none of these.
const LONG_MIN: Duration = Duration::from_secs(1);
/// Polls lie where they were placed, and pages must not all go to whoever has the fewest: each makes a difference from so many fewer than usual to so many more, or from
/// half as many fewer as an endpoint has been seen to serve at once: it can have so many more without a queue, should those that others have hold slots.
const NEARLY_USUAL: u8 = 2;
/// And so does each beyond so many times as many as usual: where one route hangs at one endpoint, what it was sent is there, and at no other.
const FAR_MORE: u16 = 2;

/// How many there are. A scan reads it.
#[derive(Debug, Default)]
pub(crate) struct LingeringNow {
    count: AtomicU16,
    usual: AtomicU8,
    nearly: AtomicU8,
}

impl LingeringNow {
    /// 65 535 at most.
    #[inline]
    pub(crate) fn count(&self) -> u16 {
        self.count.load(Relaxed)
    }

    /// How many more than usual, as far as that makes a difference; 0 for the least that does.
    #[inline]
    pub(crate) fn more_than_usual(&self) -> u16 {
        let (usual, nearly) = (u16::from(self.usual.load(Relaxed)), u16::from(self.nearly.load(Relaxed)));
        let (count, few, many) = (self.count(), usual.saturating_sub(nearly), usual + nearly);
        count.clamp(few, many) - few + count.saturating_sub(many.max(FAR_MORE * usual))
    }

    /// Half of the endpoints that are up have no more than so many, and serve so many requests at once.
    pub(crate) fn compare(&self, usual: u32, at_once: u32) {
        let known = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        self.usual.store(known(usual), Relaxed);
        self.nearly.store(known(at_once / 2).max(NEARLY_USUAL), Relaxed);
    }
}

/// Who they are. Counts may stray by those that end in the moment of a turn, until the next but one.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    /// When they were last counted, and the time before.
    turned: AtomicU64,
    turned_before: AtomicU64,
    /// Of those that wait now, so many did so at the last turn; those that did at the one before are those that linger.
    since_turn: AtomicU32,
    /// When one of them was last answered.
    answered: AtomicU64,
}

impl Lingering {
    /// Whether one that came at that moment is, or would be, among them.
    pub(crate) fn includes(&self, picked: Moment) -> bool {
        picked.0 <= self.turned_before.load(Relaxed)
    }

    /// One of them is answered; gives for how long none was.
    pub(crate) fn answered(&self, now: Moment) -> Duration {
        now.since(Moment(self.answered.swap(now.0, Relaxed)))
    }

    /// To be called now and then, by one at a time. `waiting`: all that wait; `usual`: how long its answers take, in seconds.
    pub(crate) fn turn_if_due(&self, present: &LingeringNow, waiting: u32, usual: f64, now: Moment) {
        let long = Duration::try_from_secs_f64(LONG * usual).unwrap_or(Duration::MAX).max(LONG_MIN);
        let turned = self.turned.load(Relaxed);
        if now.since(Moment(turned)) < long {
            return;
        }
        self.turned_before.store(turned, Relaxed);
        self.turned.store(now.0, Relaxed);
        let lingering = self.since_turn.swap(waiting, Relaxed);
        present.count.store(u16::try_from(lingering).unwrap_or(u16::MAX), Relaxed);
    }

    /// One that came at that moment waits no more.
    pub(crate) fn left(&self, present: &LingeringNow, picked: Moment) {
        if picked.0 > self.turned.load(Relaxed) {
            return;
        }
        // An error means that it is 0, as it is where one has been missed.
        let _ = self.since_turn.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        if self.includes(picked) {
            let _ = present.count.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(tenths: u64) -> Moment {
        Moment(0) + Duration::from_millis(100) * tenths as u32
    }

    proptest! {
        /// Those that came before the turn before the last, whatever came and went meanwhile; a turn takes two seconds.
        #[test]
        fn who_has_waited_for_long_is_counted_exactly(
            stays in prop::collection::vec((1_u64..400, 1_u64..200), 0..60),
        ) {
            let (present, lingering) = (LingeringNow::default(), Lingering::default());
            let mut turns = vec![0, 0];
            for now in 1..=600 {
                for &(from, _) in stays.iter().filter(|(from, long)| from + long == now) {
                    lingering.left(&present, at(from));
                }
                let waiting = |&&(from, long): &&(u64, u64)| from <= now && now < from + long;
                lingering.turn_if_due(&present, stays.iter().filter(waiting).count() as u32, 0.25, at(now));
                if now - turns[turns.len() - 1] >= 20 {
                    turns.push(now);
                }
                let before = turns[turns.len() - 2];
                let expected = stays.iter().filter(waiting).filter(|(from, _)| *from <= before).count();
                prop_assert_eq!(usize::from(present.count()), expected, "at {}", now);
            }
        }
    }

    #[test]
    fn a_slow_page_is_none_of_them_where_most_are_quick() {
        let (present, lingering) = (LingeringNow::default(), Lingering::default());
        for now in 0..9 {
            lingering.turn_if_due(&present, 5, 0.001, at(100 + now));
        }
        assert_eq!(present.count(), 0);
        lingering.turn_if_due(&present, 5, 0.001, at(110));
        assert_eq!(present.count(), 5, "they have waited for a second");
        lingering.turn_if_due(&present, 3, f64::INFINITY, at(1000));
        assert_eq!(present.count(), 5, "nobody knows what is long");
    }

    #[test]
    fn a_few_more_or_fewer_than_usual_make_a_difference_and_many_more_do() {
        let more = |count: u32, usual: u32, at_once: u32| {
            let (present, lingering) = (LingeringNow::default(), Lingering::default());
            lingering.turn_if_due(&present, count, 0.1, at(100));
            lingering.turn_if_due(&present, count, 0.1, at(120));
            present.compare(usual, at_once);
            present.more_than_usual()
        };
        for (usual, expected) in [
            (0, [(0, 0), (1, 1), (2, 2), (3, 3), (50, 50)]),
            (1, [(0, 0), (1, 1), (3, 3), (4, 4), (50, 50)]),
            (17, [(2, 0), (15, 0), (18, 3), (34, 4), (60, 30)]),
            (255, [(0, 0), (253, 0), (255, 2), (510, 4), (800, 294)]),
            (1_000_000, [(0, 0), (253, 0), (255, 2), (510, 4), (800, 294)]), // no more than 255 are known
        ] {
            assert_eq!(
                expected.map(|(count, _)| (count, more(count, usual, 1))),
                expected,
                "where {usual} are usual"
            );
        }
    }

    #[test]
    fn a_turn_that_missed_an_end_is_forgotten_by_the_next_but_one() {
        let (present, lingering) = (LingeringNow::default(), Lingering::default());
        lingering.turn_if_due(&present, 0, 0.1, at(100));
        lingering.turn_if_due(&present, 3, 0.1, at(120));
        (0..9).for_each(|_| lingering.left(&present, at(119)));
        lingering.turn_if_due(&present, 1, 0.1, at(140));
        assert_eq!(present.count(), 0);
        lingering.turn_if_due(&present, 1, 0.1, at(160));
        assert_eq!(present.count(), 1);
    }
}
