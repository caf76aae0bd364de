//! How a limit comes back that was halved because hardly anybody was served: by doubling, as TCP's slow start after a timeout, and up to half of what
//! there was (its threshold). An endpoint that works on for those who have left takes long at first, whatever the limit; one that takes
//! long once it has more than before has enough. Knows no load.

/// Answers that make a round, at least: the limit may be one at a time.
const ROUND_MIN: f32 = 4.0;
/// In usual latencies: a round whose answers take so long on average says that somebody waits.
const LONG: f64 = 2.0;
/// And in latencies of the quickest round: it is because of the last doubling.
const LONGER: f64 = 1.5;
/// So many long rounds, one after the other, and it is no rest of before.
const LONG_ROUNDS: u32 = 4;
/// The limit was too high though it was on its way back: what was enough is further down.
const PART_AGAIN: f32 = 0.25;
const PART: f32 = 0.5;

#[derive(Debug)]
pub(crate) struct Recovery {
    /// Where doubling ends. Infinite: there was no fall.
    most: f32,
    halved_to: f32,
    /// The mean latency of the quickest round, in seconds. 0: none yet.
    quickest: f64,
    long_rounds: u32,
}

/// What the end of a round says of the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    Another,
    /// That is about what there should be.
    Settle(f32),
    Start(f32),
}

impl Default for Recovery {
    fn default() -> Self {
        Self { most: f32::INFINITY, halved_to: 0.0, quickest: 0.0, long_rounds: 0 }
    }
}

impl Recovery {
    pub(crate) fn is_under_way(&self) -> bool {
        self.most.is_finite()
    }

    /// Hardly anybody is served; `starts`: while the limit was being doubled. The next limit.
    pub(crate) fn halve(&mut self, limit: f32, starts: bool) -> f32 {
        let has_risen = limit > 1.01 * self.halved_to;
        if has_risen {
            self.most = limit * if starts && self.is_under_way() { PART_AGAIN } else { PART };
        }
        self.halved_to = (limit / 2.0).max(1.0);
        (self.quickest, self.long_rounds) = (0.0, 0);
        self.halved_to
    }

    /// Answers that make a round, at least, where so many do at a start.
    pub(crate) fn round_min(&self, at_start: f32) -> f32 {
        if self.is_under_way() { ROUND_MIN } else { at_start }
    }

    /// A round has ended in which as many were in flight as may be.
    pub(crate) fn next(&mut self, limit: f32, latency: f64, usual: f64) -> Next {
        if !self.is_under_way() {
            return Next::Start(2.0 * limit);
        }
        let is_long = latency >= LONG * usual;
        let is_longer = self.quickest > 0.0 && latency >= LONGER * self.quickest;
        self.quickest = if self.quickest > 0.0 { self.quickest.min(latency) } else { latency };
        self.long_rounds = if is_long { self.long_rounds + 1 } else { 0 };
        if is_long && is_longer {
            return self.settle(limit / 2.0);
        }
        if is_long && self.long_rounds < LONG_ROUNDS {
            return Next::Another;
        }
        if is_long || limit >= self.most {
            return self.settle(limit.min(self.most));
        }
        Next::Start((2.0 * limit).min(self.most))
    }

    fn settle(&mut self, limit: f32) -> Next {
        self.most = f32::INFINITY;
        Next::Settle(limit.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits after a fall from 64 to 4 and rounds of these latencies, where 1 is usual.
    fn limits(latencies: &[f64]) -> Vec<f32> {
        let mut recovery = Recovery::default();
        let mut limit = 64.0;
        while limit > 4.0 {
            limit = recovery.halve(limit, false);
        }
        let limit_after = |&latency: &f64| {
            if let Next::Settle(next) | Next::Start(next) = recovery.next(limit, latency, 1.0) {
                limit = next;
            }
            limit
        };
        latencies.iter().map(limit_after).collect()
    }

    #[test]
    fn it_doubles_up_to_half_of_what_there_was_unless_somebody_waits() {
        for (latencies, wanted, why) in [
            (&[1.0, 1.0, 1.0, 1.0][..], &[8.0, 16.0, 32.0, 32.0][..], "up to half"),
            (&[1.0, 1.0, 3.0], &[8.0, 16.0, 8.0], "the last doubling was too much"),
            (&[5.0, 3.0, 1.0, 1.0], &[4.0, 4.0, 8.0, 16.0], "the endpoint worked on for those before"),
            (&[3.0, 3.0, 3.0, 3.0], &[4.0, 4.0, 4.0, 4.0], "answers take longer now"),
        ] {
            assert_eq!(limits(latencies), wanted, "{why}");
        }
    }

    #[test]
    fn a_fall_on_the_way_back_lowers_where_it_ends() {
        let mut recovery = Recovery::default();
        let limit = recovery.halve(64.0, false);
        let limit = recovery.halve(limit, true);
        assert_eq!(recovery.next(limit, 1.0, 1.0), Next::Start(32.0), "one fall of two steps");
        let limit = recovery.halve(32.0, true);
        assert_eq!(recovery.next(limit, 1.0, 1.0), Next::Settle(8.0));
    }
}
