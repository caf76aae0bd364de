//! The latencies of the last answers, and whether they are less than those of before a limit was lowered. Knows no load and no limit.

use crate::Moment;
use std::collections::VecDeque;
use std::time::Duration;

const KEPT: usize = 32;
/// Most of so many, of late.
const LAST: usize = 8;
/// What takes so many times as long as three quarters of them do counts as that: a few that are of another kind would make the mean.
const TAIL: f64 = 2.0;
/// Answers are waited for, in what three quarters of those before took.
const LONG: f64 = 1.5;
/// Latencies below this part of those before are less, where the difference is so many times its standard error.
const LESS: f64 = 0.75;
const SURE: f64 = 1.5;

#[derive(Debug, Default)]
pub(crate) struct Latest {
    /// In seconds.
    latencies: VecDeque<f64>,
    /// When the first of all was asked for, and the last answered.
    begun: Option<Moment>,
    ended: Moment,
}

impl Latest {
    pub(crate) fn add(&mut self, latency: f64, now: Moment) {
        let waited = Duration::try_from_secs_f64(latency).unwrap_or(Duration::MAX);
        let asked = Moment(now.0.saturating_sub(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX)));
        self.begun = Some(self.begun.map_or(asked, |begun| begun.min(asked)));
        self.ended = now;
        if self.latencies.len() == KEPT {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
    }

    /// One that takes very long says nothing, nor do two.
    pub(crate) fn are_most_above(&self, latency: f64) -> bool {
        let last = self.latencies.iter().rev().take(LAST);
        2 * last.filter(|one| **one > latency).count() > LAST
    }

    /// As if all had been asked for at the load at which they take so long on average.
    pub(crate) fn raise_to(&mut self, mean: f64) {
        let by = mean - self.latencies.iter().sum::<f64>() / self.latencies.len() as f64;
        self.latencies.iter_mut().for_each(|latency| *latency += by.max(0.0));
    }

    /// Whether most of those before would have been answered in this time.
    pub(crate) fn are_told(&self, before: &Self) -> bool {
        self.seconds() >= LONG * before.third_quartile()
    }

    /// Of those who were asked for in this time, who takes long has not been answered yet. So of those before each counts for as much as it would
    /// have been likely to be answered, had it been asked for in this time.
    pub(crate) fn are_less_than(&self, before: &Self) -> bool {
        let (most, seconds) = (TAIL * before.third_quartile(), self.seconds());
        let now = Mean::of(&self.latencies, most, |_| 1.0);
        let then = Mean::of(&before.latencies, most, |latency| (1.0 - latency / seconds).max(0.0));
        let difference = then.latency - now.latency;
        then.is_of_none()
            || now.latency < LESS * then.latency
                && difference.powi(2) > SURE.powi(2) * (now.error + then.error)
    }

    fn seconds(&self) -> f64 {
        self.begun.map_or(0.0, |begun| self.ended.since(begun).as_secs_f64())
    }

    fn third_quartile(&self) -> f64 {
        let mut sorted: Vec<_> = self.latencies.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(3 * sorted.len() / 4).copied().unwrap_or_default()
    }
}

struct Mean {
    count: f64,
    latency: f64,
    /// The square of its standard error.
    error: f64,
}

impl Mean {
    fn of(latencies: &VecDeque<f64>, most: f64, weight: impl Fn(f64) -> f64) -> Self {
        let (mut count, mut weights_squared, mut sum, mut squares) = (0.0, 0.0, 0.0, 0.0);
        for &latency in latencies {
            let (weight, latency) = (weight(latency), latency.min(most));
            count += weight;
            weights_squared += weight * weight;
            sum += weight * latency;
            squares += weight * latency * latency;
        }
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0);
        Self { count, latency: mean, error: variance * weights_squared / (count * count) }
    }

    fn is_of_none(&self) -> bool {
        self.count < 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked for one after the other from a moment on, and answered so many seconds later.
    fn latest(seconds: f64, latencies: &[f64]) -> Latest {
        let mut latest = Latest::default();
        let start = Moment::default() + Duration::from_secs(100);
        let gap = seconds / latencies.len() as f64;
        let asked = (0..).map(|number| gap * f64::from(number));
        let mut answers: Vec<_> =
            asked.zip(latencies).map(|(asked, latency)| (asked + latency, *latency)).collect();
        answers.retain(|(answered, _)| *answered <= seconds);
        answers.sort_by(|one, other| one.0.total_cmp(&other.0));
        for (answered, latency) in answers {
            latest.add(latency, start + Duration::from_secs_f64(answered));
        }
        latest
    }

    fn of(kinds: &[(usize, f64)], by: f64) -> Vec<f64> {
        let each =
            |turn| kinds.iter().filter(move |(count, _)| turn < *count).map(move |(_, latency)| latency + by);
        (0..20).flat_map(each).collect()
    }

    #[test]
    fn fewer_have_helped_where_the_same_kinds_take_less() {
        let (even, mixed) = ([(20, 0.1)], [(14, 0.02), (5, 0.2), (1, 4.0)]);
        for (kinds, seconds, wait_before, wait, are_less, why) in [
            (&even[..], 2.0, 0.2, 0.05, true, "half as long"),
            (&even, 2.0, 0.2, 0.18, false, "hardly less"),
            (&mixed, 0.6, 0.0, 0.0, false, "those who take long are not back yet"),
            (&mixed, 20.0, 0.0, 0.0, false, "they are"),
            (&mixed, 1.2, 0.3, 0.0, true, "nobody waits any more"),
            (&mixed, 1.2, 2.0, 0.0, true, "before, nobody would have been back yet"),
        ] {
            let before = latest(60.0, &of(kinds, wait_before));
            let now = latest(seconds, &of(kinds, wait));
            assert_eq!(now.are_less_than(&before), are_less, "{why}");
        }
    }

    #[test]
    fn answers_are_waited_for_until_most_of_those_before_would_have_been_back() {
        let before = latest(60.0, &of(&[(14, 0.02), (5, 0.2), (1, 4.0)], 0.0));
        assert!(!latest(0.2, &[0.02; 20]).are_told(&before));
        assert!(latest(0.4, &[0.02; 20]).are_told(&before));
    }

    #[test]
    fn a_few_that_take_long_are_not_most() {
        let mut latest = latest(60.0, &of(&[(20, 0.1)], 0.0));
        for (latency, are_most) in
            [(4.0, false), (4.0, false), (0.1, false), (4.0, false), (4.0, false), (4.0, true)]
        {
            latest.add(latency, Moment::default() + Duration::from_secs(200));
            assert_eq!(latest.are_most_above(0.3), are_most);
        }
    }
}
