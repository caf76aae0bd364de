//! Whether most of those who were asked an endpoint for were given up unanswered: then it has too many, whatever the few that it
//! answers say. Knows no latencies but those of one round.

use crate::Moment;
use std::time::Duration;

/// What ends says something about a limit of this size at least.
const ROUND_MIN: f32 = 4.0;

/// Those who have been asked for since the limit was last halved, and have ended.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    since: Moment,
    ended: u32,
    late: u32,
}

impl Lateness {
    pub(crate) fn since(since: Moment) -> Self {
        Self { since, ended: 0, late: 0 }
    }

    /// One that has ended now, after so many seconds. Whoever was asked for before is of another round.
    pub(crate) fn note(&mut self, now: Moment, seconds: f64, is_late: bool) {
        let waited = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        if now.since(self.since) >= waited {
            self.ended += 1;
            self.late += u32::from(is_late);
        }
    }

    /// Once in a round of as many as may be in flight.
    pub(crate) fn most_are_late(&mut self, limit: f32) -> bool {
        if (self.ended as f32) < limit.max(ROUND_MIN) {
            return false;
        }
        let most_are_late = 2 * self.late > self.ended;
        (self.ended, self.late) = (0, 0);
        most_are_late
    }
}
