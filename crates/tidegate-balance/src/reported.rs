//! Reported load: endpoints say how busy they are, and get requests in proportion to what they could serve. Knows no header;
//! whoever reads `endpoint-load-metrics` (ORCA) calls [`crate::EndpointState::report_load`].
//!
//! The weight is gRPC's (gRFC A58, client-side weighted round robin): requests a second over utilisation, which is the rate
//! at which the endpoint would be full; errors count as utilisation. A report counts from 10 s after the first one on, when
//! rates have settled, until it is 3 minutes old; whoever has none that counts gets the mean of the others. Two endpoints
//! are drawn by these weights, and the one with fewer requests in flight for its weight is picked.

use crate::Moment;
use crate::candidates::Candidates;
use crate::entropy::Stream;
use crate::float::AtomicF32;
use crate::seat::Seat;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const BLACKOUT: Duration = Duration::from_secs(10);
const EXPIRES_AFTER: Duration = Duration::from_mins(3);
/// An endpoint that reports next to no utilisation is not believed to be able to serve everything.
const UTILISATION_MIN: f32 = 0.01;

/// What an endpoint says about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadReport {
    pub requests_per_second: f32,
    pub errors_per_second: f32,
    /// 1 is full. More than 1 is allowed.
    pub utilisation: f32,
}

/// The weight as last reported. `Relaxed`: a reader that sees parts of two reports is off by one report.
#[derive(Debug, Default)]
pub(crate) struct ReportedWeight {
    weight: AtomicF32,
    /// The first report of an unbroken series, and the last; 0 before any.
    first_at: AtomicU64,
    last_at: AtomicU64,
}

impl ReportedWeight {
    /// Reports that make no sense (no requests, not a number) are ignored.
    pub(crate) fn report(&self, report: &LoadReport, now: Moment) {
        let errors = report.errors_per_second / report.requests_per_second;
        let weight = report.requests_per_second / (report.utilisation + errors).max(UTILISATION_MIN);
        if !(weight.is_finite() && weight > 0.0) {
            return;
        }
        let last_at = self.last_at.load(Relaxed);
        if last_at == 0 || now.since(Moment(last_at)) > EXPIRES_AFTER {
            self.first_at.store(now.0.max(1), Relaxed);
        }
        self.weight.set(weight);
        self.last_at.store(now.0.max(1), Relaxed);
    }

    fn current(&self, now: Moment) -> Option<f32> {
        let (first_at, last_at) = (self.first_at.load(Relaxed), self.last_at.load(Relaxed));
        let counts = last_at != 0
            && now.since(Moment(first_at)) >= BLACKOUT
            && now.since(Moment(last_at)) <= EXPIRES_AFTER;
        counts.then(|| self.weight.get())
    }
}

pub(crate) fn choose(candidates: &Candidates<'_>, random: u64) -> Option<usize> {
    let weights = Weights::of(candidates);
    let mut stream = Stream::new(random);
    let (first, second) = (weights.draw(candidates, &mut stream)?, weights.draw(candidates, &mut stream)?);
    let load = |seat: &Seat| seat.state.in_flight() as f32 / weights.weight(seat);
    let is_less = load(second.1) < load(first.1);
    Some(if is_less { second.0 } else { first.0 })
}

/// The weights as one pick sees them.
struct Weights {
    now: Moment,
    total: f32,
    /// For those without a report that counts, for each unit of configured weight.
    mean: f32,
}

impl Weights {
    fn of(candidates: &Candidates<'_>) -> Self {
        let now = candidates.now();
        let (mut reported, mut shares_reported, mut shares) = (0.0, 0.0, 0.0);
        for (_, seat) in candidates.iter() {
            shares += seat.share as f32;
            if let Some(weight) = seat.state.reported_weight().current(now) {
                reported += weight;
                shares_reported += seat.share as f32;
            }
        }
        let mean = if shares_reported > 0.0 { reported / shares_reported } else { 1.0 };
        Self { now, total: reported + mean * (shares - shares_reported), mean }
    }

    fn weight(&self, seat: &Seat) -> f32 {
        let reported = seat.state.reported_weight().current(self.now);
        reported.unwrap_or(self.mean * seat.share as f32)
    }

    fn draw<'a>(&self, candidates: &Candidates<'a>, stream: &mut Stream) -> Option<(usize, &'a Seat)> {
        let mut left = self.total * (stream.next_below(1 << 24) as f32 / (1 << 24) as f32);
        let mut last = None;
        for (index, seat) in candidates.iter() {
            last = Some((index, seat));
            left -= self.weight(seat);
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use crate::testing::{Fleet, assert_proportional};
    use proptest::prelude::*;

    const SETTLED: Moment = Moment(20_000_000_000);

    fn report(fleet: &Fleet, index: usize, requests_per_second: f32, utilisation: f32) {
        let report = LoadReport { requests_per_second, errors_per_second: 0.0, utilisation };
        for now in [Moment(1), SETTLED] {
            fleet.endpoints()[index].state.report_load(&report, now);
        }
    }

    fn shares(fleet: &Fleet, now: Moment) -> Vec<u32> {
        let mut stream = Stream::new(5);
        let mut shares = vec![0; fleet.endpoints().len()];
        for _ in 0..20_000 {
            shares[fleet.pick_with(now, stream.next_below(u64::MAX)).index()] += 1;
        }
        shares
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn an_idle_fleet_is_used_in_proportion_to_what_it_says_it_could_serve(
            capacities in prop::collection::vec(1_u32..20, 1..6),
            utilisation in 0.1_f32..1.5,
        ) {
            let fleet = Fleet::even(Algorithm::ReportedLoad, capacities.len());
            for (index, &capacity) in capacities.iter().enumerate() {
                report(&fleet, index, capacity as f32 * utilisation, utilisation);
            }
            assert_proportional(&shares(&fleet, SETTLED), &capacities);
        }
    }

    #[test]
    fn whoever_reports_nothing_gets_the_mean_and_old_reports_are_forgotten() {
        let fleet = Fleet::even(Algorithm::ReportedLoad, 3);
        report(&fleet, 0, 300.0, 0.5);
        report(&fleet, 1, 100.0, 0.5);
        assert_proportional(&shares(&fleet, SETTLED), &[3, 1, 2]);
        assert_proportional(&shares(&fleet, SETTLED + 2 * EXPIRES_AFTER), &[1, 1, 1]);
    }

    #[test]
    fn first_reports_and_senseless_ones_do_not_count() {
        let weight = ReportedWeight::default();
        let sound = LoadReport { requests_per_second: 100.0, errors_per_second: 0.0, utilisation: 0.5 };
        for senseless in [
            LoadReport { requests_per_second: 0.0, ..sound },
            LoadReport { utilisation: f32::NAN, requests_per_second: f32::INFINITY, ..sound },
            LoadReport { requests_per_second: -5.0, ..sound },
        ] {
            weight.report(&senseless, Moment(1));
        }
        weight.report(&sound, Moment(1));
        assert_eq!(weight.current(Moment(1)), None);
        assert_eq!(weight.current(Moment(1) + BLACKOUT), Some(200.0));
    }
}
