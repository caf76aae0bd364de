//! Attempts that found nobody there. Knows nothing of how often an endpoint is asked otherwise.

use super::away::CLOCK;
use super::line::Reached;
use super::presence::{Asking, MEAN_GAPS, places_of};
use std::ops::RangeInclusive;

/// Chance may tell one absence in so many logs that was none.
const LOGS_MIN: usize = 20;

/// When each endpoint was asked in vain, in nanoseconds since 1970, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Unconnected(Vec<Vec<u64>>);

impl Unconnected {
    pub(super) fn is_ever(&self, endpoint: usize) -> bool {
        self.0.get(endpoint).is_some_and(|own| !own.is_empty())
    }

    pub(super) fn is_between(&self, endpoint: usize, from: u64, until: u64) -> bool {
        let Some(own) = self.0.get(endpoint) else { return false };
        own.get(own.partition_point(|at| *at < from)).is_some_and(|at| *at <= until)
    }
}

/// What was asked in order, without those, which is none of what an endpoint was asked while it was there.
pub(super) fn apart(mut all: Vec<Asking>, endpoints: usize) -> (Vec<Asking>, Unconnected) {
    for own in places_of(&all, endpoints) {
        for chain in chains(&own, &all) {
            for &place in &own[chain] {
                all[place].reached = Reached::Refused;
            }
        }
    }
    let mut unconnected = vec![Vec::new(); endpoints];
    for asking in all.iter().filter(|asking| asking.reached.is_unconnected()) {
        unconnected[asking.endpoint as usize].push(asking.at);
    }
    all.retain(|asking| !asking.reached.is_unconnected());
    (all, Unconnected(unconnected))
}

/// nginx's log has no causes. Who fails at once time after time, so that others are asked, and answers nobody in between, for longer than chance lets it wait for a request, was not there: it was left out for it, by
/// each worker for itself, and failed again as soon as it was asked again. If it fails so seldom otherwise that chance would hardly do that; and nor was whoever never answered, after whatever time.
fn chains(own: &[usize], all: &[Asking]) -> Vec<RangeInclusive<usize>> {
    let fails_at_once = |number: &usize| {
        let Asking { reached, latency, .. } = all[own[*number]];
        reached == Reached::Unknown && latency <= CLOCK
    };
    if own.iter().all(|&place| all[place].reached == Reached::Unknown) {
        return own.len().checked_sub(1).map(|last| 0..=last).into_iter().collect();
    }
    let mut runs: Vec<RangeInclusive<usize>> = Vec::new();
    for number in (0..own.len()).filter(fails_at_once) {
        match runs.last_mut() {
            Some(run) if run.end() + 1 == number => *run = *run.start()..=number,
            _ => runs.push(number..=number),
        }
    }
    let is_chance = runs.len() * runs.len() * LOGS_MIN > own.len();
    let mean = all.len() as f64 / own.len().max(1) as f64;
    let is_long =
        |run: &RangeInclusive<usize>| (own[*run.end()] - own[*run.start()]) as f64 > MEAN_GAPS * mean;
    runs.retain(|run| !is_chance && is_long(run));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Three in turn, of which the last is left out for three hundred requests whenever it fails, of so many in a thousand.
    fn told(of_thousand: u64, seed: u64) -> usize {
        let (mut random, mut left_out, mut all) = (Random::new(seed), 0_u64, Vec::new());
        for at in 0..30_000 {
            left_out = u64::saturating_sub(left_out, 1);
            let endpoint = if left_out > 0 { at % 2 } else { at % 3 };
            let failed = endpoint == 2 && random.below(1_000) < of_thousand;
            if failed {
                left_out = 300;
            }
            all.push(Asking {
                at,
                latency: 0,
                failed,
                reached: if failed { Reached::Unknown } else { Reached::Yes },
                key: 0,
                endpoint: endpoint as u32,
            });
        }
        apart(all, 3).1.0[2].len()
    }

    #[test]
    fn who_fails_often_fails_twice_by_chance() {
        for of_thousand in [1, 2, 5, 20, 200] {
            let logs = (0..200).filter(|seed| told(of_thousand, *seed) > 0).count();
            assert!(logs <= 10, "{of_thousand}: {logs} of 200");
        }
    }
}
