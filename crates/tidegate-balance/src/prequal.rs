//! Prequal's rule: among endpoints that are not hot, the one that answers soonest. Knows nothing of errors or parallelism.
//!
//! Wydrowski, Kleinberg, Rumble, Archer, "Load is not what you should balance: introducing Prequal", NSDI 2024. Of up to 16
//! endpoints those with more requests in flight than the 0.84 quantile of these are hot; the lowest latency among the
//! others wins. The signals are the endpoint's own, while its last probe
//! ([`crate::EndpointState::report_probe`]) is fresh, which tells of load that other proxies send; else what this proxy
//! sees itself: exact counts, and the latency at this load by the model that `adaptive` learns.

use crate::Moment;
use crate::candidates::Candidates;
use crate::entropy::Stream;
use crate::float::AtomicF32;
use crate::seat::Seat;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The paper's pool.
const POOL: usize = 16;
const HOT_QUANTILE: f64 = 0.84;
/// Of more endpoints than this the pool is drawn, without a look at all of them.
const ALL_LOOKED_AT: usize = 4 * POOL;
/// Draws may land on endpoints that are out or drawn already; a pool of so few is none.
const DRAWS_MAX: usize = 2 * POOL;
const DRAWN_MIN: usize = POOL / 2;
const MEMORY_SECONDS: f32 = 10.0;
const PROBE_AGE_MAX: Duration = Duration::from_secs(1);

/// What an endpoint last said about itself. `Relaxed`: a reader that sees parts of two probes is off by one probe.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    in_flight: AtomicU32,
    latency_seconds: AtomicF32,
    /// 0 before the first.
    at: AtomicU64,
}

impl Probe {
    pub(crate) fn report(&self, in_flight: u32, latency: Duration, now: Moment) {
        self.in_flight.store(in_flight, Relaxed);
        self.latency_seconds.set(latency.as_secs_f32());
        self.at.store(now.0.max(1), Relaxed);
    }

    fn fresh(&self, now: Moment) -> Option<(u32, f32)> {
        let at = self.at.load(Relaxed);
        let is_fresh = at != 0 && now.since(Moment(at)) <= PROBE_AGE_MAX;
        is_fresh.then(|| (self.in_flight.load(Relaxed), self.latency_seconds.get()))
    }
}

#[derive(Clone, Copy, Default)]
struct Signal {
    index: usize,
    load: f32,
    latency: f32,
}

impl Signal {
    fn of(index: usize, seat: &Seat, now: Moment) -> Self {
        let own = seat.state.in_flight();
        // What was sent since the probe is in our own count at least.
        let (in_flight, latency) = match seat.state.probe().fresh(now) {
            Some((reported, latency)) => (reported.max(own), latency),
            None => (own, observed_latency(seat, own, now)),
        };
        Self { index, load: in_flight as f32 * seat.lightness, latency }
    }
}

/// The latency that its answers to us let expect at the load it has now, forgotten slowly, so that an endpoint that is not
/// asked gets its next chance. The mean of past latencies will not do: it tells of the load as it was, and everybody runs
/// after it from one endpoint to the next. One that never answered is tried with one request.
fn observed_latency(seat: &Seat, in_flight: u32, now: Moment) -> f32 {
    let published = seat.state.published();
    if published.gain.get() <= 0.0 {
        return if in_flight == 0 { 0.0 } else { f32::MAX };
    }
    let load = (in_flight as f32 + 1.0) * seat.lightness / published.log_parallelism.get().exp();
    let expected = published.log_service.get().exp() * (1.0 + load.powi(3)).cbrt();
    expected * (-published.idle(now).as_secs_f32() / MEMORY_SECONDS).exp()
}

pub(crate) fn choose(candidates: &Candidates<'_>, random: u64) -> Option<usize> {
    let mut pool = [Signal::default(); POOL];
    let filled = fill(&mut pool, candidates, random);
    let pool = pool.get_mut(..filled)?;
    pool.sort_unstable_by(|a, b| a.load.total_cmp(&b.load));
    let hot_from = pool.get((filled.saturating_sub(1) as f64 * HOT_QUANTILE) as usize)?.load;
    let cold = pool.iter().filter(|signal| signal.load <= hot_from);
    cold.min_by(|a, b| a.latency.total_cmp(&b.latency)).map(|signal| signal.index)
}

/// All endpoints that may be picked when the pool holds them, else as many of them as it holds, at random.
fn fill(pool: &mut [Signal; POOL], candidates: &Candidates<'_>, random: u64) -> usize {
    let mut stream = Stream::new(random);
    if candidates.positions() > ALL_LOOKED_AT {
        let drawn = draw(pool, candidates, &mut stream);
        if drawn >= DRAWN_MIN {
            return drawn;
        }
    }
    let mut seen = 0_u64;
    candidates.visit_from_random(random, |index, seat, _| {
        // A reservoir (Vitter's algorithm R, 1985): each endpoint ends up in the pool with the same probability.
        let place = if seen < POOL as u64 { seen } else { stream.next_below(seen + 1) };
        if let Some(slot) = pool.get_mut(place as usize) {
            *slot = Signal::of(index, seat, candidates.now());
        }
        seen += 1;
    });
    POOL.min(seen as usize)
}

/// How many were found.
fn draw(pool: &mut [Signal; POOL], candidates: &Candidates<'_>, stream: &mut Stream) -> usize {
    let mut found = 0;
    for (index, seat) in (0..DRAWS_MAX).filter_map(|_| candidates.at_random(stream)) {
        let is_known = pool.iter().take(found).any(|signal| signal.index == index);
        if let Some(slot) = pool.get_mut(found).filter(|_| !is_known) {
            *slot = Signal::of(index, seat, candidates.now());
            found += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::mix;
    use crate::testing::Fleet;
    use crate::{Algorithm, CheckVerdict, Pick};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_quickest_of_those_that_are_not_hot_is_picked(
            probes in prop::collection::vec((0_u32..50, 1_u64..1_000), 1..16),
            random: u64,
        ) {
            let fleet = Fleet::even(Algorithm::Prequal, probes.len());
            for (endpoint, &(in_flight, millis)) in fleet.endpoints().iter().zip(&probes) {
                endpoint.state.report_probe(in_flight, Duration::from_millis(millis), Moment(0));
            }
            let (in_flight, millis) = probes[fleet.pick_with(Moment(0), random).index()];
            let mut loads: Vec<_> = probes.iter().map(|probe| probe.0).collect();
            loads.sort_unstable();
            let hot_from = loads[((probes.len() - 1) as f64 * HOT_QUANTILE) as usize];
            prop_assert!(in_flight <= hot_from);
            prop_assert!(probes.iter().all(|probe| probe.0 > hot_from || probe.1 >= millis));
        }
    }

    #[test]
    fn of_many_endpoints_each_is_picked_in_its_turn_and_the_few_that_are_up_are_found() {
        let fleet = Fleet::even(Algorithm::Prequal, 200);
        let held: Vec<_> = (0..600).map(|request| fleet.pick_with(Moment(0), mix(request))).collect();
        assert!(fleet.in_flight().iter().all(|count| (1..=8).contains(count)), "{:?}", fleet.in_flight());
        drop(held);
        let is_up = |index: usize| index % 70 == 3;
        for (_, endpoint) in fleet.endpoints().iter().enumerate().filter(|(index, _)| !is_up(*index)) {
            endpoint.state.mark_check(CheckVerdict::Down);
        }
        for request in 0..100 {
            assert!(is_up(fleet.pick_with(Moment(0), mix(request)).index()));
        }
    }

    #[test]
    fn a_probe_counts_for_a_second_and_then_our_own_counts_do() {
        let fleet = Fleet::even(Algorithm::Prequal, 2);
        let _held = fleet.hold(1, 3);
        fleet.endpoints()[0].state.report_probe(40, Duration::ZERO, Moment(0));
        let pick = |now| fleet.pick(&Pick { now, random: 9, hash: None, tried: &[] }).unwrap().index();
        assert_eq!(pick(Moment(0)), 1);
        assert_eq!(pick(Moment(0) + 2 * PROBE_AGE_MAX), 0);
    }
}
