//! Whether an endpoint has so many requests that it answers none in time, whatever the few that it answers say: most of those whom the
//! proxy's own timeouts ended were late, or one after the other has waited in vain while nobody was served. Knows no load.

use crate::Moment;
use std::time::Duration;

/// What ends says something about a limit of this size at least.
const ROUND_MIN: f32 = 4.0;
/// So many have to wait in vain one after the other, at least: clients leave together now and then, and broken pages are asked for together.
const ROW_MIN: f32 = 16.0;
/// What took so many times as long as is usual may have waited for a slot; and who has been answered in a time that is so many times shorter
/// has not.
const LONG: f64 = 1.5;
/// For so many times as long as is usual nobody has been served, when those count who wait in vain.
const QUIET: f64 = 8.0;

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

/// Those who have waited in vain, one after the other, less those who were served late meanwhile.
#[derive(Debug, Default)]
struct Row {
    length: u32,
    /// How long the last of them waited. Zero: nobody has yet.
    wait: Duration,
    /// When somebody was last answered far sooner than that: what the others wait for is no slot, or will come.
    served: Moment,
}

impl Lateness {
    pub(crate) fn since(since: Moment) -> Self {
        Self { since, ..Self::default() }
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
            End::Answered => self.row.answered(now, waited),
            End::InVain | End::Late if seconds >= LONG * usual => {
                self.row.waited_in_vain(now, waited, duration(QUIET * usual));
            }
            End::InVain | End::Late => {}
        }
    }

    /// Once in a round of as many as may be in flight.
    pub(crate) fn has_too_many(&mut self, limit: f32) -> bool {
        if self.row.length as f32 >= limit.max(ROW_MIN) {
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
    fn answered(&mut self, now: Moment, after: Duration) {
        if self.wait.is_zero() || after <= self.wait.div_f64(LONG) {
            (self.length, self.served) = (0, now);
        } else {
            self.length = self.length.saturating_sub(1);
        }
    }

    fn waited_in_vain(&mut self, now: Moment, wait: Duration, quiet: Duration) {
        self.wait = wait;
        let is_served = now.since(self.served) < wait.max(quiet);
        self.length = if is_served { 0 } else { self.length + 1 };
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
            (&[(20, 0.1, Answered), (30, 1.0, InVain)][..], true, "nobody is served"),
            (&[(20, 0.1, Answered), (20, 1.0, InVain)], false, "the first of them while others were served"),
            (&[(40, 1.0, InVain), (1, 0.1, Answered)], true, "too late"),
            (
                &[(14, 1.0, InVain), (1, 0.1, Answered), (20, 1.0, InVain), (1, 0.1, Answered)],
                false,
                "somebody is, now and then",
            ),
            (&[(12, 1.0, InVain), (10, 0.9, Answered), (12, 1.0, InVain)], false, "as many are, though late"),
            (&[(12, 1.0, InVain), (2, 0.9, Answered), (12, 1.0, InVain)], true, "few are, and late"),
            (&[(8, 0.1, Answered), (4, 1.0, Late), (4, 0.1, Answered)], false, "half of a round are late"),
            (&[(8, 0.1, Answered), (5, 1.0, Late), (3, 0.1, Answered)], true, "most of a round are late"),
        ] {
            assert_eq!(after(ends), is_too_many, "{why}");
        }
    }
}
