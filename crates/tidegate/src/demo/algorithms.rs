//! The algorithms that a viewer can switch between, a key each, and what each has achieved. Knows no terminal.

use super::reading::{Counts, Reading, quantile_ms};

/// Key and name, in the order of the screen.
pub(super) const ALGORITHMS: [(char, &str); 6] = [
    ('a', "adaptive"),
    ('l', "least_request"),
    ('r', "round_robin"),
    ('2', "random"),
    ('e', "peak_ewma"),
    ('p', "prequal"),
];

/// The algorithm that a key stands for.
pub(super) fn by_key(key: char) -> Option<&'static str> {
    ALGORITHMS.iter().find(|(known, _)| *known == key).map(|(_, name)| *name)
}

/// What happened under each algorithm, the last time it was in force.
#[derive(Debug)]
pub(super) struct Scores {
    current: String,
    /// The moment it was put in force.
    since: Reading,
    ended: Vec<(String, Counts)>,
}

/// One line of the comparison.
#[derive(Debug, PartialEq)]
pub(super) struct Score {
    pub(super) algorithm: String,
    pub(super) is_current: bool,
    pub(super) requests: u64,
    pub(super) p99_ms: Option<f64>,
    /// The part of the requests that were answered with 5xx.
    pub(super) errors: f64,
}

impl Scores {
    pub(super) fn new(current: &str, now: Reading) -> Self {
        Self { current: current.to_owned(), since: now, ended: Vec::new() }
    }

    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// Another algorithm is in force from now on; what it achieved before is forgotten.
    pub(super) fn switch(&mut self, to: &str, now: Reading) {
        let achieved = now.requests.since(&self.since.requests);
        let from = std::mem::replace(&mut self.current, to.to_owned());
        self.ended.retain(|(name, _)| *name != from && name != to);
        self.ended.push((from, achieved));
        self.since = now;
    }

    /// The one in force first, then the others, the last one first.
    pub(super) fn lines(&self, now: &Reading) -> Vec<Score> {
        let achieved = now.requests.since(&self.since.requests);
        let current = Score::new(&self.current, true, &achieved);
        let ended = self.ended.iter().rev().map(|(name, counts)| Score::new(name, false, counts));
        std::iter::once(current).chain(ended).collect()
    }
}

impl Score {
    fn new(algorithm: &str, is_current: bool, counts: &Counts) -> Self {
        let errors = counts.errors as f64 / counts.requests.max(1) as f64;
        let p99_ms = quantile_ms(counts, 0.99);
        Self { algorithm: algorithm.to_owned(), is_current, requests: counts.requests, p99_ms, errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn reading(requests: u64, errors: u64) -> Reading {
        let counts = Counts { requests, errors, ..Counts::default() };
        Reading { at: Duration::from_secs(1), requests: counts, retries: 0, endpoints: Vec::new() }
    }

    #[test]
    fn each_key_is_one_algorithm_and_none_of_the_keys_that_end_the_demo() {
        let mut keys: Vec<_> = ALGORITHMS.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALGORITHMS.len());
        assert!(!keys.contains(&'q'));
        assert_eq!((by_key('a'), by_key('z')), (Some("adaptive"), None));
    }

    #[test]
    fn an_algorithm_is_judged_by_what_happened_while_it_was_in_force() {
        let mut scores = Scores::new("adaptive", reading(0, 0));
        scores.switch("round_robin", reading(100, 1));
        scores.switch("random", reading(200, 21));
        let told: Vec<_> = scores
            .lines(&reading(250, 21))
            .into_iter()
            .map(|score| (score.algorithm, score.requests, (score.errors * 100.0).round() as u32))
            .collect();
        let expected = [("random", 50, 0), ("round_robin", 100, 20), ("adaptive", 100, 1)];
        assert_eq!(told, expected.map(|(name, requests, errors)| (name.to_owned(), requests, errors)));
        scores.switch("adaptive", reading(300, 21));
        assert_eq!(scores.lines(&reading(300, 21)).len(), 3, "what adaptive did before is forgotten");
    }
}
