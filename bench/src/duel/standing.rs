//! What the runs of a scenario come to: each contestant's numbers over all rounds. Knows samples and how they are
//! summed up, not how they were taken or what they should be.

use super::client::{Ending, PATIENCE, Sample};
use super::contestant::REFERENCE;
use super::course::{MILLISECOND, SECOND};
use super::lane::Outcome;
use super::quantiles::Sorted;
use super::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A lane that is later than this, in milliseconds, one time in a hundred, has measured the machine: a tenth of the work.
const LATE_MAX: f64 = 5.0;

/// One contestant in one round.
#[derive(Debug)]
pub(super) struct Run {
    samples: Vec<Sample>,
    /// Of each endpoint: requests received, and the share of its slots that was taken.
    received: Vec<u64>,
    used: Vec<f64>,
    /// Seconds from when a cold endpoint joined to when it was warm.
    warm_after: Option<f64>,
    lateness_ms: Sorted,
    cpu_share: f64,
    lane_share: f64,
    complaint: Option<String>,
}

impl Run {
    /// `shares` are the processor's time that the proxy took, and that its endpoints and client took.
    pub(super) fn of(
        scenario: &Scenario,
        outcome: Outcome,
        shares: [f64; 2],
        complaint: Option<String>,
    ) -> Self {
        let joined = scenario.measured_from();
        let warm_at = outcome.warm_at.filter(|_| scenario.last_joins_late());
        Self {
            received: outcome.tallies.iter().map(|(_, tally)| tally.received).collect(),
            used: outcome.tallies.iter().map(|(slots, tally)| tally.busy as f64 / *slots as f64).collect(),
            warm_after: warm_at.map(|at| at.saturating_sub(joined) as f64 / SECOND as f64),
            lateness_ms: Sorted::of(outcome.lateness.iter().map(|late| milliseconds(*late))),
            samples: outcome.samples,
            cpu_share: shares[0],
            lane_share: shares[1],
            complaint,
        }
    }

    /// Whether it measured the machine.
    pub(super) fn was_late(&self) -> bool {
        self.lateness_ms.quantile(0.99) > LATE_MAX
    }

    /// How long clients waited: for good answers, and in vain until their patience ended.
    fn latencies(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().filter_map(|sample| match sample.ending {
            Ending::Good => Some(milliseconds(sample.latency)),
            Ending::TimedOut => Some(milliseconds(PATIENCE)),
            Ending::Broken | Ending::Status(_) => None,
        })
    }
}

/// One contestant over all rounds of one scenario; times in milliseconds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Standing {
    pub(super) contestant: String,
    pub(super) requests: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    /// The 99th percentile of what a request took beyond its own work.
    pub(super) x99: f64,
    pub(super) p99_of_rounds: Vec<f64>,
    pub(super) p999_of_rounds: Vec<f64>,
    /// By what clients saw: a status, a broken connection, a wait in vain.
    pub(super) errors: BTreeMap<String, usize>,
    /// Requests whose connection the proxy closed without an answer, and which the client sent once more.
    pub(super) sent_again: usize,
    pub(super) busiest_over_mean: f64,
    /// Requests that each endpoint received.
    pub(super) received: Vec<u64>,
    /// Of each round in which the cold endpoint became warm, after how many seconds.
    pub(super) warm_after_seconds: Vec<f64>,
    /// Of one processor.
    pub(super) cpu_share: f64,
}

impl Standing {
    fn of(contestant: &str, runs: &[Run]) -> Self {
        let latencies = Sorted::of(runs.iter().flat_map(Run::latencies));
        let rounds: Vec<Sorted> = runs.iter().map(|run| Sorted::of(run.latencies())).collect();
        let samples = || runs.iter().flat_map(|run| &run.samples);
        let good = samples().filter(|sample| sample.ending == Ending::Good);
        let beyond = good.map(|sample| milliseconds(sample.latency.saturating_sub(sample.arrival.work)));
        let used = sum_of_each(runs.iter().map(|run| run.used.as_slice()));
        let mean = used.iter().sum::<f64>() / used.len().max(1) as f64;
        let mut errors = BTreeMap::new();
        for name in samples().filter_map(|sample| error(sample.ending)) {
            *errors.entry(name).or_insert(0) += 1;
        }
        Self {
            contestant: contestant.to_owned(),
            requests: samples().count(),
            p50: latencies.quantile(0.5),
            p99: latencies.quantile(0.99),
            p999: latencies.quantile(0.999),
            x99: Sorted::of(beyond).quantile(0.99),
            p99_of_rounds: rounds.iter().map(|round| round.quantile(0.99)).collect(),
            p999_of_rounds: rounds.iter().map(|round| round.quantile(0.999)).collect(),
            errors,
            sent_again: samples().filter(|sample| sample.sent_again).count(),
            busiest_over_mean: if mean > 0.0 { used.iter().copied().fold(0.0, f64::max) / mean } else { 0.0 },
            received: sum_of_each(runs.iter().map(|run| run.received.as_slice())),
            warm_after_seconds: runs.iter().filter_map(|run| run.warm_after).collect(),
            cpu_share: mean_of(runs.iter().map(|run| run.cpu_share)),
        }
    }

    pub(super) fn errors_percent(&self) -> f64 {
        100.0 * self.errors.values().sum::<usize>() as f64 / self.requests.max(1) as f64
    }

    /// The mean over the rounds; `None` unless the cold endpoint became warm in each of them.
    pub(super) fn warm_after(&self) -> Option<f64> {
        let (all, rounds) = (&self.warm_after_seconds, self.p99_of_rounds.len());
        (rounds > 0 && all.len() == rounds).then(|| all.iter().sum::<f64>() / rounds as f64)
    }

    pub(super) fn sent_again_percent(&self) -> f64 {
        100.0 * self.sent_again as f64 / self.requests.max(1) as f64
    }

    /// Requests that this endpoint received, of all that any received, in percent.
    pub(super) fn percent_to(&self, endpoint: usize) -> Option<f64> {
        let all: u64 = self.received.iter().sum();
        self.received.get(endpoint).filter(|_| all > 0).map(|one| 100.0 * *one as f64 / all as f64)
    }

    /// What the endpoint with the fewest requests received, over the mean.
    pub(super) fn fewest_over_mean(&self) -> Option<f64> {
        let all: u64 = self.received.iter().sum();
        let fewest = self.received.iter().min().filter(|_| all > 0)?;
        Some(*fewest as f64 * self.received.len() as f64 / all as f64)
    }
}

/// One scenario, with everybody who took part.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Standings {
    pub(super) scenario: String,
    pub(super) title: String,
    pub(super) commit: String,
    pub(super) conditions: String,
    /// The endpoint that is unlike the others, if one is and requests reach it.
    pub(super) odd: Option<usize>,
    pub(super) contestants: Vec<Standing>,
    /// By how much endpoints and client were late: what of the latencies is the measuring's own.
    pub(super) late_ms_p99: f64,
    pub(super) late_ms_p999: f64,
    /// Of one processor: the endpoints and the client of one contestant.
    pub(super) lane_share: f64,
    pub(super) failures: Vec<String>,
}

impl Standings {
    pub(super) fn of(scenario: &Scenario, runs: &[(&'static str, Vec<Run>)]) -> Self {
        let all = || runs.iter().flat_map(|(_, runs)| runs);
        let late = Sorted::of(all().flat_map(|run| run.lateness_ms.numbers().iter().copied()));
        Self {
            scenario: scenario.name.to_owned(),
            title: scenario.title.to_owned(),
            odd: scenario.odd(),
            late_ms_p99: late.quantile(0.99),
            late_ms_p999: late.quantile(0.999),
            lane_share: mean_of(all().map(|run| run.lane_share)),
            failures: all().filter_map(|run| run.complaint.clone()).chain(too_late(all())).collect(),
            contestants: runs.iter().map(|(name, runs)| Standing::of(name, runs)).collect(),
            ..Self::default()
        }
    }

    pub(super) fn named(&self, contestant: &str) -> Option<&Standing> {
        self.contestants.iter().find(|standing| standing.contestant == contestant)
    }

    pub(super) fn reference(&self) -> Option<&Standing> {
        self.named(REFERENCE)
    }
}

/// Of the runs that were late each time that they were tried, the latest.
fn too_late<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<String> {
    let late = runs.filter(|run| run.was_late()).map(|run| run.lateness_ms.quantile(0.99));
    let most = late.max_by(f64::total_cmp)?;
    Some(format!(
        "the machine was busy: endpoints and clients were late by {most:.0} ms (p99) in one run; measure it again"
    ))
}

fn error(ending: Ending) -> Option<String> {
    match ending {
        Ending::Good => None,
        Ending::Broken => Some("broken".to_owned()),
        Ending::Status(status) => Some(status.to_string()),
        Ending::TimedOut => Some("timed out".to_owned()),
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / MILLISECOND as f64
}

fn mean_of(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0_u32), |(sum, count), number| (sum + number, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// The first of all added up, the second of all, and so on.
fn sum_of_each<'a, T: Copy + std::ops::AddAssign + 'a>(lists: impl Iterator<Item = &'a [T]>) -> Vec<T> {
    let mut sums: Vec<T> = Vec::new();
    for list in lists {
        if sums.is_empty() {
            sums = list.to_vec();
        } else {
            sums.iter_mut().zip(list).for_each(|(sum, one)| *sum += *one);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::course::Arrival;
    use super::*;

    fn run(endings: &[(u64, Ending)]) -> Run {
        let sample = |&(latency, ending): &(u64, Ending)| Sample {
            arrival: Arrival { at: 0, work: MILLISECOND },
            latency: latency * MILLISECOND,
            ending,
            sent_again: false,
        };
        Run {
            samples: endings.iter().map(sample).collect(),
            received: vec![1, 3],
            used: vec![0.5, 1.0],
            warm_after: None,
            lateness_ms: Sorted::default(),
            cpu_share: 0.1,
            lane_share: 0.1,
            complaint: None,
        }
    }

    #[test]
    fn whoever_fails_quickly_does_not_look_fast_for_it() {
        let runs = [run(&[(0, Ending::Status(502)), (5, Ending::Good)]), run(&[(7, Ending::TimedOut)])];
        let standing = Standing::of("x", &runs);
        assert!((standing.p50 - 5.0).abs() < 1e-9 && (standing.p99 - 10_000.0).abs() < 1e-9, "{standing:?}");
        assert!((standing.x99 - 4.0).abs() < 1e-9);
        assert!((standing.errors_percent() - 200.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_busy_machine_is_no_measurement() {
        let late = |ms: &[f64]| Run { lateness_ms: Sorted::of(ms.iter().copied()), ..run(&[]) };
        let quiet: Vec<Run> = (0..200).map(|_| late(&[0.1, 4.9])).collect();
        assert_eq!(too_late(quiet.iter()), None);
        let why = too_late(quiet.iter().chain(&[late(&[0.1, 700.0])]));
        assert!(why.is_some_and(|why| why.contains("700 ms")), "one of many is enough");
    }

    #[test]
    fn shares_are_those_of_all_rounds() {
        let standing = Standing::of("x", &[run(&[]), run(&[])]);
        assert_eq!(standing.received, [2, 6]);
        assert_eq!(standing.percent_to(0), Some(25.0));
        assert_eq!(standing.fewest_over_mean(), Some(0.5));
        assert!((standing.busiest_over_mean - 4.0 / 3.0).abs() < 1e-9);
    }
}
