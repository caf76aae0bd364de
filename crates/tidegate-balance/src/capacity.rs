//! How many requests one endpoint should have in flight, from its answers alone: enough to keep it busy, and not so many
//! that they queue inside it. Knows no other endpoint and no algorithm.
//!
//! What tells is how the latency answers to the load. By Little's law, while slots are idle the latency does not depend on
//! the requests in flight; once all are busy it grows in proportion. So the slope of ln latency over ln load goes from 0 to 1
//! where the slots run out, and the limit is held where it is about in the middle. A limit that held the load constant would
//! learn nothing, however (half the service time and half the slots fit as well), so it is lower for a few latencies in each
//! cycle, and higher for a few.
//!
//! The parallelism that `adaptive` learns is not used. It is there to tell endpoints apart, and a limit of 1.2 times it and
//! one proves itself right: in simulation an endpoint with 8 slots was kept at 3 requests, and one with 100 as well.

use crate::Moment;
use crate::float::AtomicF32;
use std::sync::Mutex;
use std::time::Duration;

/// Requests in flight before anything is known.
const FIRST: f32 = 8.0;
const MOST: f32 = 10_000.0;
/// The cycle, in mean latencies, and in it the time of the lower and of the higher limit. Lower is short, because slots
/// idle; higher costs only a short queue in the endpoint.
const CYCLE: f64 = 16.0;
const LOWER: (std::ops::Range<f64>, f32) = (0.0..2.0, 0.75);
const HIGHER: (std::ops::Range<f64>, f32) = (8.0..11.0, 1.4);
/// With slots to spare the slope is 0, with none it is 1. The limit is held where it is this: a slot that idles costs more
/// than a request that waits in the endpoint instead of here.
const SLOPE_WANTED: f64 = 0.7;
/// How much of the difference one block makes good, and at most downwards: one slow spell is no proof.
const GAIN: f64 = 0.5;
const DOWN_MOST: f64 = 0.2;
/// A slope is believed the less, the larger its standard error is, compared with this.
const ERROR_ALLOWED: f64 = 0.25;
/// Answers that make a block: about those of one cycle.
const BLOCK_MIN: f32 = 64.0;
/// A limit that nobody comes near is not moved: nothing is learned about it.
const NEAR: f64 = 0.8;

/// The limit as picks read it, and what it is learned from.
#[derive(Debug)]
pub(crate) struct Capacity {
    limit: AtomicF32,
    /// `1 / mean latency`, in nanoseconds. 0: not known yet.
    pace: AtomicF32,
    block: Mutex<Block>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { limit: AtomicF32::new(FIRST), pace: AtomicF32::default(), block: Mutex::default() }
    }
}

impl Capacity {
    /// The most requests in flight now.
    pub(crate) fn limit(&self, now: Moment) -> u32 {
        let phase = (now.0 as f64 * f64::from(self.pace.get())) % CYCLE;
        let factor = match phase {
            lower if LOWER.0.contains(&lower) => LOWER.1,
            higher if HIGHER.0.contains(&higher) => HIGHER.1,
            _ => 1.0,
        };
        (factor * self.limit.get()).ceil().max(1.0) as u32
    }

    /// One answer: `load` is what was in flight when it was asked for, itself included. When another worker is at it, this
    /// answer teaches nothing, and nobody waits.
    pub(crate) fn learn(&self, latency: Duration, load: u32) {
        let Ok(mut block) = self.block.try_lock() else { return };
        block.add(f64::from(load.max(1)), latency.as_secs_f64().max(1e-6));
        let limit = self.limit.get();
        if block.count < f64::from((limit * CYCLE as f32).max(BLOCK_MIN)) {
            return;
        }
        self.pace.set((1e-9 * block.count / block.latency) as f32);
        if block.load_max >= NEAR * f64::from(limit)
            && let Some(step) = block.step()
        {
            self.limit.set((limit * step.exp() as f32).clamp(1.0, MOST));
        }
        *block = Block::default();
    }
}

/// Sums for a line through latency over load. Not of their logarithms: where some requests hardly take any time, waiting
/// ever so little makes a large difference to the logarithm of theirs.
#[derive(Debug, Default)]
struct Block {
    count: f64,
    load_max: f64,
    load: f64,
    /// In seconds.
    latency: f64,
    load_squared: f64,
    latency_squared: f64,
    product: f64,
}

impl Block {
    fn add(&mut self, load: f64, latency: f64) {
        self.count += 1.0;
        self.load_max = self.load_max.max(load);
        self.load += load;
        self.latency += latency;
        self.load_squared += load * load;
        self.latency_squared += latency * latency;
        self.product += load * latency;
    }

    /// By how much to move the logarithm of the limit; `None` when all loads were the same.
    fn step(&self) -> Option<f64> {
        let (load, latency) = (self.load / self.count, self.latency / self.count);
        let relative = |sum: f64, square: f64| sum / self.count / square - 1.0;
        let of_load = relative(self.load_squared, load * load);
        let of_both = relative(self.product, load * latency);
        let of_latency = relative(self.latency_squared, latency * latency);
        if of_load < 1e-3 {
            return None;
        }
        let slope = of_both / of_load;
        let error = (of_latency - slope * of_both).max(0.0) / (self.count * of_load);
        let belief = 1.0 / (1.0 + error / ERROR_ALLOWED.powi(2));
        Some(belief * ((SLOPE_WANTED - slope) * GAIN).max(-DOWN_MOST))
    }
}
