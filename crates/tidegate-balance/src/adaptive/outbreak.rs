//! Whether failures come so thick that what was on the record before does not explain them: then the endpoint is another one than it
//! was. Pure arithmetic; knows no clock and no price.

use super::errors::{Record, SHARE_DOUBT};

/// The last failures that are looked at together: as many as show that one attempt in ten fails now where none did for minutes, and that all do where one in five did.
const FAILURES: usize = 12;
/// What the record lets expect less often than this, in all the time that it tells of, is no chance.
const UNLIKELY: f32 = 3e-5;

/// When the last failures were, counted in attempts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outbreak {
    attempts: u32,
    /// The attempts up to each of the last failures, this one included; the latest comes first.
    failed_at: [u32; FAILURES],
    known: usize,
}

impl Outbreak {
    pub(crate) fn count(&mut self, failed: bool) {
        self.attempts = self.attempts.wrapping_add(1);
        if failed {
            self.failed_at.rotate_right(1);
            self.failed_at[0] = self.attempts;
            self.known = (self.known + 1).min(FAILURES);
        }
    }

    /// What is on the record since something happened, if that has: of all that end now, the stretch with four failures, or of three and nothing else, that
    /// what was before explains least. Fewer are the luck of one of many when all fail for a moment.
    pub(crate) fn since(&self, record: Record) -> Option<Record> {
        let stretches = (3_u8..).zip(self.failed_at.iter().take(self.known).skip(2));
        let stretches = stretches.map(|(failures, at)| Record {
            attempts: (self.attempts.wrapping_sub(*at) + 1) as f32,
            failures: f32::from(failures),
        });
        let stretches =
            stretches.filter(|stretch| stretch.tells_share() || stretch.failures >= stretch.attempts);
        let judged = stretches.map(|stretch| (stretch, stretch.surprise(record.without(stretch))));
        let (stretch, surprise) = judged.max_by(|one, other| one.1.total_cmp(&other.1))?;
        // Each failure is another chance to be unlikely.
        let chances = 1.0 + record.without(stretch).failures.max(0.0);
        (surprise > (chances / UNLIKELY).ln()).then_some(stretch)
    }
}

impl Record {
    /// What was on it before.
    fn without(self, stretch: Self) -> Self {
        Self { attempts: self.attempts - stretch.attempts, failures: self.failures - stretch.failures }
    }

    /// Minus the logarithm of how likely so many failures are, at least, where a part of the attempts fails that explains what was before and one
    /// failure more (Chernoff's bound: the divergence of the two parts, times the attempts; of failures in a row it is exactly the likelihood).
    fn surprise(self, before: Self) -> f32 {
        let failures = before.failures.max(0.0);
        let expected = (failures + 1.0 + SHARE_DOUBT * failures.sqrt()) / before.attempts.max(1.0);
        let share = self.share();
        if expected >= share {
            return 0.0;
        }
        let of_successes =
            if share < 1.0 { (1.0 - share) * ((1.0 - share) / (1.0 - expected)).ln() } else { 0.0 };
        self.attempts * (share * (share / expected).ln() + of_successes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that never failed for so many attempts, and then one in ten: how many failures that takes to be seen.
    fn failures_until_seen(sound: u16) -> Option<u32> {
        let mut outbreak = Outbreak::default();
        let mut record = Record::default();
        for attempt in 1..=sound + 100 {
            let failed = attempt > sound && attempt % 10 == 0;
            outbreak.count(failed);
            record.attempts += 1.0;
            record.failures += f32::from(u8::from(failed));
            if failed && outbreak.since(record).is_some() {
                return Some(u32::from(attempt - sound).div_ceil(10));
            }
        }
        None
    }

    #[test]
    fn one_failure_in_ten_is_seen_after_a_few_the_sooner_the_longer_none_was() {
        let seen = [200, 2_400].map(failures_until_seen);
        assert!(matches!(seen, [Some(4..=6), Some(4)]), "{seen:?}");
    }

    #[test]
    fn as_many_failures_as_before_are_no_outbreak() {
        let mut outbreak = Outbreak::default();
        let mut record = Record::default();
        for attempt in 0..5_000_u32 {
            let failed = attempt % 10 == 0;
            outbreak.count(failed);
            record.attempts += 1.0;
            record.failures += f32::from(u8::from(failed));
            assert!(!failed || outbreak.since(record).is_none(), "attempt {attempt}");
        }
    }
}
