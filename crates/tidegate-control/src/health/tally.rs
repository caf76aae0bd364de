//! From results in a row to a verdict. Pure.

use tidegate_balance::CheckVerdict;

/// Counts results that contradict the verdict in force.
#[derive(Debug)]
pub(super) struct Tally {
    rise: u32,
    fall: u32,
    /// `None` before the first result, which decides alone.
    verdict: Option<CheckVerdict>,
    against: u32,
}

impl Tally {
    pub(super) fn new(rise: u32, fall: u32) -> Self {
        Self { rise, fall, verdict: None, against: 0 }
    }

    /// The verdict, when it changes.
    pub(super) fn passed(&mut self) -> Option<CheckVerdict> {
        self.count(CheckVerdict::Up, self.rise)
    }

    /// The verdict, when it changes.
    pub(super) fn failed(&mut self) -> Option<CheckVerdict> {
        self.count(CheckVerdict::Down, self.fall)
    }

    fn count(&mut self, result: CheckVerdict, needed: u32) -> Option<CheckVerdict> {
        match self.verdict {
            Some(verdict) if verdict == result => self.against = 0,
            Some(_) if self.against.saturating_add(1) < needed => self.against += 1,
            Some(_) | None => return self.change(result),
        }
        None
    }

    fn change(&mut self, verdict: CheckVerdict) -> Option<CheckVerdict> {
        (self.verdict, self.against) = (Some(verdict), 0);
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_balance::CheckVerdict::{Down, Up};

    /// `+` passed, `-` failed; in the answer the verdict at each change.
    fn verdicts(rise: u32, fall: u32, results: &str) -> String {
        let mut tally = Tally::new(rise, fall);
        let verdict = |result| match if result == '+' { tally.passed() } else { tally.failed() } {
            Some(Up) => 'U',
            Some(Down) => 'D',
            None => '.',
        };
        results.chars().map(verdict).collect()
    }

    #[test]
    fn the_first_result_decides_alone_and_later_ones_need_company() {
        for (rise, fall, results, expected, why) in [
            (2, 3, "+", "U", "the first one passed"),
            (2, 3, "-", "D", "the first one failed"),
            (2, 3, "+---", "U..D", "three failures in a row"),
            (2, 3, "+--+---", "U.....D", "a good one in between starts the count again"),
            (2, 3, "-+-++", "D...U", "two good ones in a row"),
            (1, 1, "+-+-", "UDUD", "one is enough"),
            (2, 3, "+----", "U..D.", "down stays down"),
        ] {
            assert_eq!(verdicts(rise, fall, results), expected, "{results} with {rise}/{fall}: {why}");
        }
    }
}
