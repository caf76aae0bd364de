//! Peak EWMA: the smaller product of requests in flight and a latency that rises at once and forgets slowly. For comparison
//! with `adaptive`; knows nothing of errors or parallelism.
//!
//! The load metric of Twitter's Finagle (`PeakEwma`, 2014), also linkerd's: a latency above the mean replaces it, one below
//! moves it by `1 - e^(-dt/τ)`, τ = 10 s. Two choices, as there. An endpoint that fails fast looks fast: it is a sinkhole.

use crate::Moment;
use crate::candidates::Candidates;
use crate::entropy::Stream;
use crate::float::AtomicF32;
use crate::seat::Seat;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const MEMORY_SECONDS: f32 = 10.0;
/// What an endpoint that never answered costs once it holds a request: enough that one of them is tried at a time.
const UNKNOWN_SECONDS: f32 = 1e3;
const CHOICES: u32 = 2;
const MISSES_MAX: u32 = 8;

/// The latency in seconds as of a moment. Two atomics, `Relaxed`: a reader that sees one new and one old is off by one answer.
#[derive(Debug, Default)]
pub(crate) struct PeakLatency {
    seconds: AtomicF32,
    at: AtomicU64,
}

impl PeakLatency {
    pub(crate) fn learn(&self, latency: Duration, now: Moment) {
        let latency = latency.as_secs_f32().max(1e-6);
        let mean = self.seconds.get();
        let kept = self.kept(now);
        self.seconds.set(if latency > mean { latency } else { mean * kept + latency * (1.0 - kept) });
        self.at.store(now.0, Relaxed);
    }

    /// As if answers of no latency had come since: an endpoint that is not asked gets its next chance.
    fn seconds(&self, now: Moment) -> f32 {
        self.seconds.get() * self.kept(now)
    }

    fn kept(&self, now: Moment) -> f32 {
        (-now.since(Moment(self.at.load(Relaxed))).as_secs_f32() / MEMORY_SECONDS).exp()
    }
}

pub(crate) fn choose(candidates: &Candidates<'_>, random: u64) -> Option<usize> {
    let mut stream = Stream::new(random);
    let mut best: Option<(usize, f32)> = None;
    for _ in 0..CHOICES {
        let taken = best.map(|(index, _)| index);
        let Some((index, seat)) = draw(candidates, &mut stream, taken) else { break };
        let cost = cost(seat, candidates.now());
        if best.is_none_or(|(_, least)| cost < least) {
            best = Some((index, cost));
        }
    }
    best.map(|(index, _)| index)
}

fn draw<'a>(
    candidates: &Candidates<'a>,
    stream: &mut Stream,
    taken: Option<usize>,
) -> Option<(usize, &'a Seat)> {
    let other = |&(index, _): &(usize, &Seat)| Some(index) != taken;
    (0..MISSES_MAX).find_map(|_| candidates.at_random(stream).filter(other)).or_else(|| {
        let left = candidates.iter().filter(other).count() as u64;
        candidates.iter().filter(other).nth(stream.next_below(left) as usize)
    })
}

fn cost(seat: &Seat, now: Moment) -> f32 {
    let in_flight = seat.state.in_flight() as f32;
    let latency = seat.state.peak_latency().seconds(now);
    let latency = if latency <= 0.0 && in_flight > 0.0 { UNKNOWN_SECONDS } else { latency };
    latency * (in_flight + 1.0) * seat.lightness
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fleet;
    use crate::{Algorithm, Ended};
    use proptest::prelude::*;

    fn answer(fleet: &Fleet, index: usize, millis: u64, now: Moment) {
        let ended = Ended::Answered { status: 200, first_byte: Duration::from_millis(millis) };
        fleet.lease(index, now).unwrap().settle(ended, now);
    }

    proptest! {
        #[test]
        fn of_two_endpoints_the_one_that_would_be_done_sooner_is_picked(
            latencies in [1_u64..1_000, 1_u64..1_000],
            held in [0_usize..5, 0_usize..5],
            random: u64,
        ) {
            let fleet = Fleet::even(Algorithm::PeakEwma, 2);
            let now = Moment(1);
            answer(&fleet, 0, latencies[0], now);
            answer(&fleet, 1, latencies[1], now);
            let _held = [fleet.hold(0, held[0]), fleet.hold(1, held[1])];
            let cost = |index: usize| latencies[index] * (held[index] as u64 + 1);
            prop_assume!(cost(0).abs_diff(cost(1)) * 1_000 > cost(0));
            let cheaper = usize::from(cost(1) < cost(0));
            prop_assert_eq!(fleet.pick_with(now, random).index(), cheaper);
        }
    }

    #[test]
    fn a_latency_rises_at_once_and_is_forgotten_slowly() {
        let latency = PeakLatency::default();
        let second = Duration::from_secs(1);
        latency.learn(second / 10, Moment(0));
        latency.learn(second, Moment(0));
        assert!(latency.seconds(Moment(0)) >= 0.99);
        latency.learn(second / 10, Moment(0) + second);
        assert!(latency.seconds(Moment(0) + second) > 0.85);
        assert!(latency.seconds(Moment(0) + 30 * second) < 0.1);
    }
}
