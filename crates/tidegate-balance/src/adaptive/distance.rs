//! How far away endpoints are, by what their systems take to answer at all. Knows no request.
//!
//! By its latency alone an endpoint that is far away is a slow one. But a request that is on its way takes no slot: such an endpoint has as many more in
//! flight before anybody waits as its requests take longer, and serves as many a second as if it were near. So nothing of that is its cost, where load is
//! high; where slots are free everywhere the near ones answer sooner, and that is all that counts.

use crate::Moment;
use crate::float::AtomicF32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The shortest in so long counts, and in as long before: any way may have been busy for a moment. A route that has become longer is known after that.
const WINDOW: Duration = Duration::from_secs(20);
/// A way that is longer by less than this part of the service time makes no difference.
const NEXT_DOOR: f32 = 0.05;
/// And one that is longer by no more than this is never looked at: within a machine, a rack, a building.
const NEAR_SECONDS: f32 = 0.000_5;
/// Where nearly all of the time is spent on the way, nobody is believed to take a smaller part of it for being nearer.
const NEARER_MIN: f32 = 1.0 / 16.0;
/// Where so little and less of all slots is free nobody is asked sooner for being near: what waits there costs more than the way.
const FREE_MIN: f32 = 0.3;
/// Where so much is free, nobody waits anywhere.
const FREE_MUCH: f32 = 0.8;
/// How fast that is followed, each time that all are looked at.
const GAIN: f32 = 0.1;

/// Of one endpoint.
#[derive(Debug)]
pub(crate) struct Distance {
    /// Seconds there and back: the least in this window, and in the one before; infinite without any.
    least: AtomicF32,
    before: AtomicF32,
    began: AtomicU64,
}

impl Default for Distance {
    fn default() -> Self {
        let never = || AtomicF32::new(f32::INFINITY);
        Self { least: never(), before: never(), began: AtomicU64::default() }
    }
}

impl Distance {
    /// There and back once. Two at once may count as one.
    pub(crate) fn learn(&self, took: Duration, now: Moment) {
        let took = took.as_secs_f32();
        if now.since(Moment(self.began.load(Relaxed))) < WINDOW {
            self.least.set(self.least.get().min(took));
            return;
        }
        self.began.store(now.0, Relaxed);
        self.before.set(self.least.get());
        self.least.set(took);
    }

    /// In seconds; `None` before the first.
    pub(crate) fn round_trip(&self) -> Option<f32> {
        Some(self.least.get().min(self.before.get())).filter(|least| least.is_finite())
    }
}

/// What the endpoints of a cluster differ by for being near or far.
#[derive(Debug, Default)]
pub(super) struct ByDistance {
    /// Of a typical endpoint, in seconds.
    round_trip: AtomicF32,
    /// The part of all slots that is free, as a mean: what is free for a moment is taken before the way is over.
    free: AtomicF32,
}

impl ByDistance {
    /// `round_trip`: of a typical endpoint, in seconds; `free`: the part of all slots that is; `part`: of all endpoints that say so.
    pub(super) fn follow(&self, round_trip: f32, free: f32, part: f32) {
        self.round_trip.follow(round_trip, part);
        self.free.follow(free.max(0.0), GAIN * part);
    }

    /// By how much the service time of an endpoint, and what it has in flight before anybody waits, are expected to differ from those of one that is
    /// as far away as a typical one and takes so long for a request (all logarithms).
    pub(super) fn expected(&self, distance: &Distance, log_service: f32) -> f32 {
        let Some(round_trip) = distance.round_trip() else { return 0.0 };
        let farther = round_trip - self.round_trip.get();
        // Nearly everybody is next door, and an answer has no time for exponentials.
        if farther.abs() < NEAR_SECONDS {
            return 0.0;
        }
        let farther = farther / log_service.exp();
        if farther.abs() < NEXT_DOOR { 0.0 } else { (1.0 + farther).max(NEARER_MIN).ln() }
    }

    /// How much of that counts when one is chosen: all of it, 1, where slots are free everywhere, and nothing where few are.
    pub(super) fn preference(&self) -> f32 {
        ((self.free.get() - FREE_MIN) / (FREE_MUCH - FREE_MIN)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Distance {
        let distance = Distance::default();
        distance.learn(Duration::from_millis(milliseconds), Moment(1));
        distance
    }

    fn followed(round_trip: f32, free: f32) -> ByDistance {
        let by_distance = ByDistance::default();
        (0..200).for_each(|_| by_distance.follow(round_trip, free, 1.0));
        by_distance
    }

    #[test]
    fn whoever_is_far_takes_longer_by_the_way_and_whoever_is_near_less() {
        for (typical, milliseconds, service, expected) in [
            (0.0, 100, 0.15_f32, (0.25_f32 / 0.15).ln()),
            (0.1, 0, 0.25, (0.15_f32 / 0.25).ln()),
            (0.1, 0, 0.09, NEARER_MIN.ln()), // not all of it can be the way
            (0.0, 100, 3.0, 0.0),
            (0.08, 80, 0.2, 0.0),
        ] {
            let found = followed(typical, 1.0).expected(&at(milliseconds), service.ln());
            assert!((found - expected).abs() < 1e-4, "{typical} s, {milliseconds} ms: {found}");
        }
        assert!(followed(0.1, 1.0).expected(&Distance::default(), -2.0).abs() < 1e-9, "not known yet");
    }

    #[test]
    fn nobody_is_preferred_for_being_near_where_slots_are_taken() {
        for (free, expected) in [(1.0, 1.0), (0.8, 1.0), (0.55, 0.5), (0.3, 0.0), (-4.0, 0.0)] {
            let found = followed(0.0, free).preference();
            assert!((found - expected).abs() < 1e-3, "{free}: {found}");
        }
    }

    #[test]
    fn the_shortest_way_of_the_last_half_minute_or_so_counts() {
        let distance = Distance::default();
        let learn = |second: u64, milliseconds| {
            distance.learn(Duration::from_millis(milliseconds), Moment(second * 1_000_000_000));
            (distance.round_trip().unwrap_or_default() * 1e3).round() as u64
        };
        assert_eq!(Distance::default().round_trip(), None);
        for (second, milliseconds, expected) in [
            (1_001, 90, 90),
            (1_002, 80, 80),
            (1_020, 120, 80),
            (1_022, 100, 80), // the next window
            (1_043, 110, 100),
        ] {
            assert_eq!(learn(second, milliseconds), expected, "second {second}");
        }
    }
}
