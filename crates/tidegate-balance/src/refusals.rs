//! How many requests an endpoint takes that refuses by itself what is too much (503, 429). Knows no latencies.
//!
//! Endpoints refuse for other reasons, too: an account that has asked too often, a page that is broken. What tells is the load:
//! refused for being too many, requests are refused at higher loads than the others are served at, beyond chance.

use crate::Moment;
use std::time::Duration;

/// Those served and refused that are compared.
const WINDOW: f64 = 128.0;
const REFUSED_MIN: f64 = 4.0;
/// In standard errors.
const BEYOND_CHANCE: f64 = 4.0;
/// Answers without a refusal before one more is tried, at first and at most: twice as many each time that it was too many.
const QUIET_FIRST: f64 = 128.0;
const QUIET_MOST: f64 = 1024.0;
/// And before still more are tried, when it was not, twice as many each time.
const QUIET_AGAIN: f64 = 32.0;
/// Where answers are few, this time will do.
const QUIET_LONG: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Refusals {
    served: Loads,
    refused: Loads,
    ceiling: f32,
    /// By how much it is raised next.
    raise: f32,
    /// Answers since the last refusal, or since the ceiling was moved.
    quiet: f64,
    quiet_since: Moment,
    /// How many it takes before the ceiling is raised; `wait` after it has proved too high.
    quiet_wanted: f64,
    wait: f64,
    /// One of them at least was asked for when there were as many as may be.
    was_reached: bool,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            served: Loads::default(),
            refused: Loads::default(),
            ceiling: f32::INFINITY,
            raise: 1.0,
            quiet: 0.0,
            quiet_since: Moment::default(),
            quiet_wanted: QUIET_FIRST,
            wait: QUIET_FIRST,
            was_reached: false,
        }
    }
}

impl Refusals {
    /// Another ceiling, when it is time to try one.
    pub(crate) fn served(&mut self, load: f64, now: Moment) -> Option<f32> {
        self.served.add(load);
        self.fade();
        if self.ceiling.is_infinite() {
            return None;
        }
        self.quiet += 1.0;
        self.was_reached |= load >= f64::from(self.ceiling);
        let is_long = now.since(self.quiet_since) >= QUIET_LONG;
        if self.quiet < self.quiet_wanted && !is_long || !self.was_reached {
            return None;
        }
        self.begin_quiet(QUIET_AGAIN.max(2.0 * f64::from(self.ceiling)), now);
        self.ceiling += self.raise;
        self.raise *= 2.0;
        Some(self.ceiling)
    }

    /// Another ceiling, when it is known to be too high.
    pub(crate) fn refused(&mut self, load: f64, now: Moment) -> Option<f32> {
        self.refused.add(load);
        self.fade();
        (self.quiet, self.quiet_since) = (0.0, now);
        if !self.refused.is_above(&self.served) {
            return None;
        }
        let ceiling = (self.refused.mean() as f32 - 1.0).round().clamp(1.0, self.ceiling);
        let was_tried_again = self.ceiling.is_finite() && self.raise <= 2.0;
        self.wait = if was_tried_again { (2.0 * self.wait).min(QUIET_MOST) } else { QUIET_FIRST };
        self.begin_quiet(self.wait, now);
        (self.ceiling, self.raise) = (ceiling, 1.0);
        (self.served, self.refused) = (Loads::default(), Loads::default());
        Some(ceiling)
    }

    fn begin_quiet(&mut self, wanted: f64, now: Moment) {
        self.quiet_since = now;
        (self.quiet, self.quiet_wanted, self.was_reached) = (0.0, wanted, false);
    }

    fn fade(&mut self) {
        if self.served.count + self.refused.count >= WINDOW {
            self.served.fade();
            self.refused.fade();
        }
    }
}

/// What was in flight when each of some was asked for.
#[derive(Debug, Default)]
struct Loads {
    count: f64,
    sum: f64,
    squared: f64,
}

impl Loads {
    fn add(&mut self, load: f64) {
        self.count += 1.0;
        self.sum += load;
        self.squared += load * load;
    }

    fn fade(&mut self) {
        self.count /= 2.0;
        self.sum /= 2.0;
        self.squared /= 2.0;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }

    /// The squared standard error of the mean.
    fn error(&self) -> f64 {
        (self.squared / self.count - self.mean().powi(2)).max(0.0) / self.count
    }

    fn is_above(&self, served: &Self) -> bool {
        self.count >= REFUSED_MIN
            && served.count >= REFUSED_MIN
            && self.mean() - served.mean() > BEYOND_CHANCE * (self.error() + served.error()).sqrt()
    }
}
