//! Whether an endpoint has so many requests that it answers hardly any in time, whatever those that it answers say: most of those whom the
//! proxy's own timeouts ended were late, or far more have waited in vain than were served. Knows no load.

use crate::Moment;
use std::time::Duration;

/// What ends says something about a limit of this size at least.
const ROUND_MIN: f32 = 4.0;
/// So many have to wait in vain at least, more than those who were served make up for: clients leave together now and then, and broken pages
/// are asked for together.
const ROW_MIN: f32 = 16.0;
/// What took so many times as long as is usual may have waited for a slot; and who has been answered in a time that is so many times shorter
/// has not.
const LONG: f64 = 1.2;
/// One who is served makes up for so many who wait in vain: it had a slot. What took less than this part of what is usual may need none, as a
/// page from a cache does.
const SERVED_COUNTS: f32 = 16.0;
const QUICK_COUNTS: f32 = 2.0;
pub(crate) const QUICK: f64 = 0.5;
/// And those who were served before for so many in all; after a fall, until it is known what helped, for fewer.
const RESERVE: f32 = 64.0;
const RESERVE_AFTER_FALL: f32 = 16.0;

/// What came of a request, after some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    /// A failure was its answer, or its client left.
    InVain,
    /// One of the proxy's own timeouts ended it.
    Late,
}

/// Those who have been asked for since the limit was last halved, and have ended.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    since: Moment,
    ended: u32,
    late: u32,
    row: Row,
}

/// Those who have waited in vain, less several for each who was served meanwhile.
#[derive(Debug)]
struct Row {
    length: f32,
    length_min: f32,
    /// How long the last of them waited. Zero: nobody has yet.
    wait: Duration,
}

impl Default for Row {
    fn default() -> Self {
        Self { length: 0.0, length_min: -RESERVE, wait: Duration::ZERO }
    }
}

impl Lateness {
    pub(crate) fn since(since: Moment) -> Self {
        Self { since, ..Self::default() }
    }

    /// There were too many, and nobody is believed to be served yet.
    pub(crate) fn after_fall(&self, since: Moment) -> Self {
        let row = Row { length: 1.0, length_min: -RESERVE_AFTER_FALL, wait: self.row.wait };
        Self { row, ..Self::since(since) }
    }

    pub(crate) fn hardly_anybody_is_served(&self) -> bool {
        self.row.length > 0.0
    }

    /// One that has ended now, after so many seconds, where so many are usual. Whoever was asked for before is of another round.
    pub(crate) fn note(&mut self, now: Moment, seconds: f64, usual: f64, end: End) {
        let waited = duration(seconds);
        if now.since(self.since) < waited {
            return;
        }
        self.ended += u32::from(end != End::InVain);
        self.late += u32::from(end == End::Late);
        match end {
            End::Answered if seconds >= QUICK * usual => self.row.answered(waited, SERVED_COUNTS),
            // Of those who came together with it, none has waited long enough yet.
            End::Answered if now.since(self.since) < self.row.wait => {}
            End::Answered => self.row.answered(waited, QUICK_COUNTS),
            End::InVain | End::Late if seconds >= LONG * usual => self.row.waited_in_vain(waited),
            End::InVain | End::Late => {}
        }
    }

    /// Once in a round of as many as may be in flight.
    pub(crate) fn has_too_many(&mut self, limit: f32) -> bool {
        if self.row.length >= limit.max(ROW_MIN) {
            return true;
        }
        if (self.ended as f32) < limit.max(ROUND_MIN) {
            return false;
        }
        let most_are_late = 2 * self.late > self.ended;
        (self.ended, self.late) = (0, 0);
        most_are_late
    }
}

impl Row {
    fn answered(&mut self, after: Duration, makes_up_for: f32) {
        if self.wait.is_zero() || after <= self.wait.div_f64(LONG) {
            self.length = (self.length - makes_up_for).max(self.length_min);
        } else if self.length >= 1.0 {
            self.length -= 1.0;
        }
    }

    fn waited_in_vain(&mut self, wait: Duration) {
        self.wait = wait;
        self.length += 1.0;
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends of a kind, ten each second, each after so many seconds, one after the other.
    fn after(ends: &[(u32, f64, End)]) -> bool {
        let mut lateness = Lateness::default();
        let mut now = Moment::default() + Duration::from_secs(100);
        ends.iter().any(|&(count, seconds, end)| {
            (0..count).any(|_| {
                now = now + Duration::from_millis(100);
                lateness.note(now, seconds, 0.1, end);
                lateness.has_too_many(8.0)
            })
        })
    }

    #[test]
    fn a_row_of_those_who_wait_in_vain_is_too_many_unless_others_are_served_meanwhile() {
        use End::{Answered, InVain, Late};
        for (ends, is_too_many, why) in [
            (&[(20, 0.1, Answered), (85, 1.0, InVain)][..], true, "nobody is served any more"),
            (&[(20, 0.1, Answered), (75, 1.0, InVain)], false, "others were served before"),
            (&[(40, 1.0, InVain), (1, 0.1, Answered)], true, "too late"),
            (
                &[(14, 1.0, InVain), (1, 0.1, Answered), (14, 1.0, InVain), (1, 0.1, Answered)],
                false,
                "somebody is, now and then",
            ),
            (
                &[(14, 1.0, InVain), (3, 0.01, Answered), (14, 1.0, InVain)],
                true,
                "so quickly that it takes no slot",
            ),
            (&[(12, 1.0, InVain), (10, 0.9, Answered), (12, 1.0, InVain)], false, "as many are, though late"),
            (&[(12, 1.0, InVain), (2, 0.9, Answered), (12, 1.0, InVain)], true, "few are, and late"),
            (&[(40, 0.11, InVain)], false, "hardly longer than is usual"),
            (&[(8, 0.1, Answered), (4, 1.0, Late), (4, 0.1, Answered)], false, "half of a round are late"),
            (&[(8, 0.1, Answered), (5, 1.0, Late), (3, 0.1, Answered)], true, "most of a round are late"),
        ] {
            assert_eq!(after(ends), is_too_many, "{why}");
        }
    }
}
