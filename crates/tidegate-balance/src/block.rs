//! What a block of answers says of how an endpoint's latency answers to its load: a line through the one over the other, and how sure it is.
//! Knows no limit but the one that it is told.

use crate::capacity::CYCLE;

/// With slots to spare the slope is 0, with none it is 1. The limit is held where it is this: a slot that idles costs more
/// than a request that waits in the endpoint instead of here.
const SLOPE_WANTED: f64 = 0.7;
/// How much of the difference one block makes good.
const GAIN: f64 = 0.5;
/// Upwards, when all loads were the same.
const NUDGE: f64 = 0.1;
/// Upwards as well, as at the start, where latencies are too scattered to say anything.
const UNSURE: f64 = 0.5;
const UP_UNSURE: f64 = 0.2;
/// A slope is believed the less, the larger its standard error is, compared with this.
const ERROR_ALLOWED: f64 = 0.25;
/// Answers that make a block: about those of one cycle.
const BLOCK_MIN: f32 = 64.0;
/// A limit that nobody comes near is not moved: nothing is learned about it.
pub(crate) const NEAR: f64 = 0.8;
/// Answers that make a round of the start, at least.
pub(crate) const ROUND_MIN: f32 = 8.0;
/// While it starts, a slope that is surely above this says that somebody waits.
const SLOPE_OF_WAITING: f64 = 0.35;
/// Answers that a latency is of late that is taken over.
const RECENT: f64 = 8.0;
/// A fall, or that nobody waits, is told by so many answers at least.
const FEW: f64 = 16.0;
/// And of so many rounds: those that queue together have latencies that are alike, which say less than it seems.
const ROUNDS: f64 = 8.0;
/// A part of the requests that is given up as late counts as if their latencies had grown by so many times that.
const WEIGHT_OF_LATE: f64 = 2.0;
/// Slow ones are compared with each other where they take so many times as long as others on average: else they are the long end of one kind.
const APART: f64 = 12.0;

/// Sums for a line through latency over load. Not of their logarithms: where some requests hardly take any time, waiting
/// ever so little makes a large difference to the logarithm of theirs.
#[derive(Debug, Default)]
pub(crate) struct Block {
    all: Sums,
    slow: Sums,
    /// Given up unanswered.
    late: f64,
    late_load: f64,
    /// Of the round of a start or descent, as is `load_max` then.
    pub(crate) round: f64,
    pub(crate) round_latency: f64,
    pub(crate) load_max: f64,
    /// Latency and load of the last answers.
    pub(crate) recent: f64,
    pub(crate) recent_load: f64,
}

#[derive(Debug, Default)]
struct Sums {
    count: f64,
    load: f64,
    /// In seconds.
    latency: f64,
    load_squared: f64,
    latency_squared: f64,
    product: f64,
}

impl Sums {
    fn add(&mut self, load: f64, latency: f64) {
        self.count += 1.0;
        self.load += load;
        self.latency += latency;
        self.load_squared += load * load;
        self.latency_squared += latency * latency;
        self.product += load * latency;
    }

    fn fade(&mut self) {
        self.count /= 2.0;
        self.load /= 2.0;
        self.latency /= 2.0;
        self.load_squared /= 2.0;
        self.latency_squared /= 2.0;
        self.product /= 2.0;
    }

    /// How far its means are from these, squared and multiplied, for each of so many.
    fn spread(&self, load: f64, latency: f64, of: f64) -> Spread {
        if self.count < 1.0 {
            return Spread::default();
        }
        let (load, latency) = (self.load / self.count - load, self.latency / self.count - latency);
        let part = self.count / of;
        Spread { load: part * load * load, both: part * load * latency, latency: part * latency * latency }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    load: f64,
    both: f64,
    latency: f64,
}

/// How latency goes with load, both compared with their means: 0 where it does not depend, 1 in proportion.
struct Line {
    slope: f64,
    /// The square of the slope's standard error.
    error: f64,
}

impl Block {
    pub(crate) fn add(&mut self, load: f64, latency: f64, is_slow: bool) {
        if is_slow {
            self.slow.add(load, latency);
        }
        self.all.add(load, latency);
        self.round += 1.0;
        self.round_latency += latency;
        self.load_max = self.load_max.max(load);
        let gain = 1.0 / self.all.count.min(RECENT);
        self.recent += gain * (latency - self.recent);
        self.recent_load += gain * (load - self.recent_load);
    }

    /// One of those that were added was given up.
    pub(crate) fn add_late(&mut self, load: f64) {
        self.late += 1.0;
        self.late_load += load;
    }

    pub(crate) fn begin_round(&mut self) {
        (self.round, self.round_latency, self.load_max) = (0.0, 0.0, 0.0);
    }

    /// What there is counts for half of what it did.
    pub(crate) fn fade(&mut self) {
        self.all.fade();
        self.late /= 2.0;
        self.late_load /= 2.0;
        self.slow.fade();
    }

    pub(crate) fn fade_to(&mut self, count: f64) {
        while self.all.count > count {
            self.fade();
        }
    }

    pub(crate) fn mean(&self) -> f64 {
        self.all.latency / self.all.count
    }

    pub(crate) fn is_full(&self, limit: f32) -> bool {
        self.all.count >= f64::from((limit * CYCLE as f32).max(BLOCK_MIN))
    }

    /// So many answers that those of before count for less.
    pub(crate) fn is_long(&self, limit: f32) -> bool {
        self.all.count >= f64::from((limit * 2.0 * CYCLE as f32).max(4.0 * BLOCK_MIN))
    }

    pub(crate) fn are_most_late(&self) -> bool {
        2.0 * self.late > self.all.count
    }

    pub(crate) fn nobody_waits(&self, limit: f32) -> bool {
        let is_flat = |line: Line| line.slope + 2.0 * line.error.sqrt() < SLOPE_OF_WAITING;
        let is_told = self.all.count >= FEW.max(ROUNDS * f64::from(limit)) && self.all.count % 4.0 == 0.0;
        is_told && self.load_max >= NEAR * f64::from(limit) && self.line().is_some_and(is_flat)
    }

    /// Surely in proportion: that there are fewer slots than there were.
    pub(crate) fn all_wait(&self, limit: f32) -> bool {
        let is_steep = |line: Line| line.slope - 2.0 * line.error.sqrt() > SLOPE_WANTED;
        self.all.count >= FEW && self.load_max >= NEAR * f64::from(limit) && self.line().is_some_and(is_steep)
    }

    pub(crate) fn somebody_waits(&self) -> bool {
        let is_steep = |line: Line| line.slope - 2.0 * line.error.sqrt() > SLOPE_OF_WAITING;
        let is_told = self.all.count >= f64::from(ROUND_MIN) && self.round % 4.0 == 0.0;
        is_told && self.line().is_some_and(is_steep)
    }

    /// `None` when all loads were the same.
    fn line(&self) -> Option<Line> {
        let (load, latency) = (self.all.load / self.all.count, self.all.latency / self.all.count);
        let between = self.between(load, latency);
        let within = |sum: f64, square: f64, between: f64| (sum / self.all.count - between) / square - 1.0;
        let of_load = within(self.all.load_squared, load * load, between.load);
        let of_both = within(self.all.product, load * latency, between.both);
        let of_latency = within(self.all.latency_squared, latency * latency, between.latency);
        if of_load < 1e-3 {
            return None;
        }
        let slope = of_both / of_load;
        let error = (of_latency - slope * of_both).max(0.0) / (self.all.count * of_load);
        // Those who are late at any load have no slope.
        let part = self.late / self.all.count;
        let late_slope = (self.late_load / self.all.count / load - part) / of_load;
        let late_error = part * (1.0 - part) / (self.all.count * of_load);
        Some(Line {
            slope: slope + WEIGHT_OF_LATE * late_slope,
            error: error + WEIGHT_OF_LATE.powi(2) * late_error,
        })
    }

    /// What there is between slow ones and others. Slow pages that are asked for together, as by a clock, come at higher loads than others and
    /// take longer, and neither is because of the other.
    fn between(&self, load: f64, latency: f64) -> Spread {
        let slow = &self.slow;
        let others = Sums {
            count: self.all.count - slow.count,
            load: self.all.load - slow.load,
            latency: self.all.latency - slow.latency,
            ..Sums::default()
        };
        if slow.latency * others.count < APART * others.latency * slow.count {
            return Spread::default();
        }
        let [one, other] = [slow, &others].map(|sums| sums.spread(load, latency, self.all.count));
        Spread {
            load: one.load + other.load,
            both: one.both + other.both,
            latency: one.latency + other.latency,
        }
    }

    /// By the line.
    pub(crate) fn latency_at(&self, load: f64) -> f64 {
        let slope = self.line().map_or(0.0, |line| line.slope.max(0.0));
        let further = (load / (self.all.load / self.all.count) - 1.0).max(0.0);
        self.mean() * (1.0 + slope * further)
    }

    /// By how much to move the logarithm of the limit.
    pub(crate) fn step(&self) -> f64 {
        let Some(Line { slope, error }) = self.line() else { return NUDGE };
        if error > UNSURE.powi(2) && slope - 2.0 * error.sqrt() <= SLOPE_OF_WAITING {
            return UP_UNSURE;
        }
        let belief = 1.0 / (1.0 + error / ERROR_ALLOWED.powi(2));
        belief * (SLOPE_WANTED - slope) * GAIN
    }
}
