//! Counts what happens in a run and sums it up. Knows nothing of why.

use crate::histogram::Histogram;
use crate::outcome::{EndpointOutcome, ExtraAttempts, Point, Quantiles, Series, Timeline, Utilisation};
use crate::span::SECOND;

/// Steps of the timeline.
const STEPS: usize = 120;
/// Of an octave, for percentiles of one step: to 2 %, as they are looked at and not calculated with.
const PARTS: usize = 32;
/// Beyond this many endpoints the timeline has quantiles over them instead of each.
const SERIES_MAX: usize = 24;

#[derive(Debug)]
pub(crate) struct Recorder {
    warm_up: u64,
    step: u64,
    latency: Histogram,
    excess: Histogram,
    failed: u64,
    unanswered: u64,
    extra: ExtraAttempts,
    endpoints: Vec<Counts>,
    steps: Vec<Step>,
    /// `STEPS` times the endpoints: requests sent there in that step.
    sent: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    failed: u64,
}

#[derive(Clone, Debug, Default)]
struct Step {
    requests: u64,
    failed: u64,
    unanswered: u64,
    /// Latencies by `PARTS` of an octave.
    latencies: Vec<u32>,
}

/// How one request went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) endpoint: usize,
    pub(crate) arrived: u64,
    pub(crate) latency: u64,
    pub(crate) work: f64,
    pub(crate) failed: bool,
    pub(crate) extra: ExtraAttempts,
}

impl Recorder {
    pub(crate) fn new(endpoints: usize, warm_up: u64, until: u64) -> Self {
        Self {
            warm_up,
            step: until.div_ceil(STEPS as u64).max(1),
            latency: Histogram::default(),
            excess: Histogram::default(),
            failed: 0,
            unanswered: 0,
            extra: ExtraAttempts::default(),
            endpoints: vec![Counts::default(); endpoints],
            steps: vec![Step { latencies: vec![0; PARTS * 48], ..Step::default() }; STEPS],
            sent: vec![0; STEPS * endpoints],
        }
    }

    pub(crate) fn sent(&mut self, endpoint: usize, now: u64) {
        let step = self.step_of(now);
        self.sent[step * self.endpoints.len() + endpoint] += 1;
    }

    pub(crate) fn record(&mut self, done: &Done) {
        let step = self.step_of(done.arrived);
        let step = &mut self.steps[step];
        step.requests += 1;
        step.failed += u64::from(done.failed);
        if !done.failed {
            let parts = (done.latency.max(1) as f64).log2() * PARTS as f64;
            let last = step.latencies.len() - 1;
            step.latencies[(parts as usize).min(last)] += 1;
        }
        if done.arrived >= self.warm_up {
            self.measure(done);
        }
    }

    /// A request that nobody could be found for.
    pub(crate) fn refused(&mut self, arrived: u64) {
        let step = self.step_of(arrived);
        self.steps[step].requests += 1;
        self.steps[step].failed += 1;
        self.failed += u64::from(arrived >= self.warm_up);
    }

    /// A request that is open when the run is over: it took longer than any that was answered.
    pub(crate) fn unanswered(&mut self, endpoint: usize, arrived: u64, extra: &ExtraAttempts) {
        let step = self.step_of(arrived);
        self.steps[step].requests += 1;
        self.steps[step].unanswered += 1;
        if arrived >= self.warm_up {
            self.unanswered += 1;
            self.endpoints[endpoint].requests += 1;
            self.extra.add(extra);
            self.latency.record_never();
            self.excess.record_never();
        }
    }

    fn measure(&mut self, done: &Done) {
        let counts = &mut self.endpoints[done.endpoint];
        counts.requests += 1;
        counts.failed += u64::from(done.failed);
        self.extra.add(&done.extra);
        if done.failed {
            self.failed += 1;
        } else {
            self.latency.record(done.latency);
            self.excess.record((done.latency as f64 - done.work).max(0.0) as u64);
        }
    }

    fn step_of(&self, now: u64) -> usize {
        ((now / self.step) as usize).min(STEPS - 1)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.latency.count() + self.failed
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Among the requests, and none of those that failed.
    pub(crate) fn unanswered_count(&self) -> u64 {
        self.unanswered
    }

    pub(crate) fn extra(&self) -> ExtraAttempts {
        self.extra
    }

    pub(crate) fn latency(&self) -> Quantiles {
        quantiles(&self.latency)
    }

    pub(crate) fn excess(&self) -> Quantiles {
        quantiles(&self.excess)
    }

    /// Ten points for each factor of ten towards 1, as far as there are requests.
    pub(crate) fn distribution(&self) -> Vec<Point> {
        let decades = (self.latency.count().max(1) as f64).log10();
        let tails = (0..=(decades * 10.0) as u32).map(|tenth| 10_f64.powf(-f64::from(tenth) / 10.0));
        let parts: Vec<f64> = tails.map(|tail| 1.0 - tail).collect();
        let times = self.latency.quantiles_ms(&parts);
        parts.into_iter().zip(times).map(|(part, ms)| Point { part, ms }).collect()
    }

    pub(crate) fn endpoints(&self, names: &[&str], utilisations: &[f64]) -> Vec<EndpointOutcome> {
        let outcome = |((counts, name), &utilisation): ((&Counts, &&str), &f64)| EndpointOutcome {
            name: (*name).to_owned(),
            requests: counts.requests,
            failed: counts.failed,
            utilisation,
        };
        self.endpoints.iter().zip(names).zip(utilisations).map(outcome).collect()
    }

    pub(crate) fn timeline(&self, names: &[&str], slots: &[u32]) -> Timeline {
        Timeline {
            step_seconds: self.step as f64 / SECOND,
            requests: self.steps.iter().map(|step| step.requests).collect(),
            failed: self.steps.iter().map(|step| step.failed).collect(),
            p99_ms: self.steps.iter().map(Step::p99_ms).collect(),
            load: self.load(names, slots),
        }
    }

    fn load(&self, names: &[&str], slots: &[u32]) -> Vec<Series> {
        let count = self.endpoints.len();
        let scale = SECOND / self.step as f64;
        let load = |step: usize, endpoint: usize| {
            f64::from(self.sent[step * count + endpoint]) * scale / f64::from(slots[endpoint])
        };
        if count <= SERIES_MAX {
            let series = |(endpoint, name): (usize, &&str)| Series {
                name: (*name).to_owned(),
                values: (0..STEPS).map(|step| load(step, endpoint)).collect(),
            };
            return names.iter().enumerate().map(series).collect();
        }
        let sorted = |step| {
            let mut loads: Vec<f64> = (0..count).map(|endpoint| load(step, endpoint)).collect();
            loads.sort_unstable_by(f64::total_cmp);
            loads
        };
        let steps: Vec<Vec<f64>> = (0..STEPS).map(sorted).collect();
        let at = |part: f64| steps.iter().map(|loads| loads[((count - 1) as f64 * part) as usize]).collect();
        [("idlest", 0.0), ("10th of 100", 0.1), ("median", 0.5), ("90th of 100", 0.9), ("busiest", 1.0)]
            .map(|(name, part)| Series { name: name.to_owned(), values: at(part) })
            .into()
    }
}

impl Step {
    fn p99_ms(&self) -> f64 {
        let answered: u64 = self.latencies.iter().copied().map(u64::from).sum();
        let mut left = (answered + self.unanswered) as f64 * 0.99;
        let bucket = self.latencies.iter().position(|&count| {
            left -= f64::from(count);
            left < 0.0
        });
        let beyond = if self.unanswered > 0 { f64::INFINITY } else { 0.0 };
        bucket.map_or(beyond, |bucket| ((bucket as f64 + 0.5) / PARTS as f64).exp2() / 1e6)
    }
}

pub(crate) fn quantiles(histogram: &Histogram) -> Quantiles {
    let mut read = histogram.quantiles_ms(&[0.5, 0.9, 0.99, 0.999]).into_iter();
    let mut next = || read.next().unwrap_or_default();
    Quantiles {
        mean: histogram.mean_ms(),
        p50: next(),
        p90: next(),
        p99: next(),
        p99_9: next(),
        max: histogram.max_ms(),
    }
}

/// Weighted by slots: a machine twice as large counts twice in the mean.
pub(crate) fn utilisation(parts: &[f64], slots: &[u32]) -> Utilisation {
    let total: f64 = slots.iter().map(|&slots| f64::from(slots)).sum();
    let busy: f64 = parts.iter().zip(slots).map(|(part, &slots)| part * f64::from(slots)).sum();
    Utilisation {
        mean: busy / total.max(1.0),
        busiest: parts.iter().copied().fold(0.0, f64::max),
        idlest: parts.iter().copied().fold(f64::INFINITY, f64::min),
    }
}
