//! When requests come and how much work each is. Open loop: nobody waits for an answer before the next one comes. Knows no
//! endpoint.
//!
//! What a request is depends on the seed and its number, never on what happened: all algorithms see the same.

use crate::random::{Random, mix};
use crate::span::{SECOND, Span};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Traffic {
    /// Poisson arrivals, and work drawn from kinds.
    Made(Made),
    /// As it was, in order of arrival.
    Recorded(Arc<[Recorded]>),
}

#[derive(Clone, Debug)]
pub struct Made {
    /// Requests a second.
    pub rate: f64,
    /// In order.
    pub steps: Vec<Step>,
    pub kinds: Vec<Kind>,
    /// Clients told apart by algorithms that hash.
    pub keys: u64,
}

/// From a moment on the rate is so many times what it was set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub at: Span,
    pub times: f64,
}

/// One kind of request: how many of all, and how much work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    pub share: f64,
    pub mean: Span,
    pub shape: Shape,
    /// Of the lognormal shape.
    pub sigma: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Constant,
    Exponential,
    #[default]
    Lognormal,
}

/// A request that somebody really made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded {
    /// Nanoseconds from the first one.
    pub at: u64,
    /// Nanoseconds of work at normal speed, alone.
    pub work: f64,
    pub key: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) at: u64,
    pub(crate) work: f64,
    pub(crate) key: u64,
}

impl Kind {
    pub(crate) fn draw(&self, random: &mut Random) -> f64 {
        let size = match self.shape {
            Shape::Constant => 1.0,
            Shape::Exponential => random.exponential(),
            Shape::Lognormal => (self.sigma * random.normal() - self.sigma * self.sigma / 2.0).exp(),
        };
        self.mean.0 as f64 * size
    }
}

impl Made {
    /// In seconds of work.
    pub fn mean_work(kinds: &[Kind]) -> f64 {
        let shares: f64 = kinds.iter().map(|kind| kind.share).sum();
        kinds.iter().map(|kind| kind.share * kind.mean.seconds()).sum::<f64>() / shares
    }

    fn request(&self, seed: u64, number: u64, at: u64) -> Request {
        let mut random = Random::of(seed, number);
        let key = mix(random.below(self.keys) + 1);
        let work = self.kind(&mut random).map_or(0.0, |kind| kind.draw(&mut random));
        Request { number, at, work, key }
    }

    fn kind(&self, random: &mut Random) -> Option<&Kind> {
        if let [only] = self.kinds.as_slice() {
            return Some(only);
        }
        let mut left = random.unit() * self.kinds.iter().map(|kind| kind.share).sum::<f64>();
        let drawn = self.kinds.iter().find(|kind| {
            left -= kind.share;
            left < 0.0
        });
        drawn.or(self.kinds.last())
    }
}

/// The requests of a run, one after the other.
#[derive(Debug)]
pub(crate) struct Arrivals<'p> {
    traffic: &'p Traffic,
    seed: u64,
    until: u64,
    random: Random,
    number: u64,
    now: f64,
    step: usize,
}

impl<'p> Arrivals<'p> {
    pub(crate) fn new(traffic: &'p Traffic, seed: u64, until: u64) -> Self {
        Self { traffic, seed, until, random: Random::new(seed ^ 0xa441), number: 0, now: 0.0, step: 0 }
    }

    /// One exponential gap, through as many steps of the rate as it spans.
    fn advance(&mut self, made: &Made) {
        let mut left = self.random.exponential();
        loop {
            let times = self.step.checked_sub(1).map_or(1.0, |step| made.steps[step].times);
            let rate = made.rate * times / SECOND;
            let border = made.steps.get(self.step).map_or(f64::INFINITY, |step| step.at.0 as f64);
            let needed = left / rate;
            if self.now + needed <= border || border.is_infinite() {
                self.now += needed;
                return;
            }
            left -= (border - self.now) * rate;
            self.now = border;
            self.step += 1;
        }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let number = self.number;
        self.number += 1;
        match self.traffic {
            Traffic::Made(made) => {
                self.advance(made);
                let at = (self.now as u64).saturating_add(1); // at almost no rate the next one comes never
                (at < self.until).then(|| made.request(self.seed, number, at))
            }
            Traffic::Recorded(all) => {
                let Recorded { at, work, key } = *all.get(usize::try_from(number).ok()?)?;
                Some(Request { number, at, work, key })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { share: 1.0, mean: Span(10_000_000), shape: Shape::Lognormal, sigma: 1.0 };

    fn made(steps: Vec<Step>, kinds: Vec<Kind>) -> Traffic {
        Traffic::Made(Made { rate: 1_000.0, steps, kinds, keys: 100 })
    }

    fn requests(traffic: &Traffic, seconds: u64) -> Vec<Request> {
        Arrivals::new(traffic, 5, seconds * 1_000_000_000).collect()
    }

    #[test]
    fn the_rate_and_the_mean_work_are_what_was_asked_for() {
        for shape in [Shape::Constant, Shape::Exponential, Shape::Lognormal] {
            let requests = requests(&made(Vec::new(), vec![Kind { shape, ..KIND }]), 60);
            let mean = requests.iter().map(|request| request.work).sum::<f64>() / requests.len() as f64;
            assert!((requests.len() as f64 / 60_000.0 - 1.0).abs() < 0.02);
            assert!((mean / 1e7 - 1.0).abs() < 0.03, "{shape:?}: {mean}");
        }
    }

    #[test]
    fn a_step_changes_the_rate_at_its_moment() {
        let step = |second: u64, times| Step { at: Span(second * 1_000_000_000), times };
        let requests = requests(&made(vec![step(10, 0.1), step(20, 2.0)], vec![KIND]), 30);
        let between = |from: u64, to: u64| {
            let within = |request: &&Request| (from..to).contains(&(request.at / 1_000_000_000));
            requests.iter().filter(within).count() as f64
        };
        assert!((between(0, 10) / 10_000.0 - 1.0).abs() < 0.05);
        assert!((between(10, 20) / 1_000.0 - 1.0).abs() < 0.15);
        assert!((between(20, 30) / 20_000.0 - 1.0).abs() < 0.05);
    }

    #[test]
    fn kinds_come_in_their_shares() {
        let long = Kind { share: 0.1, mean: Span(1_000_000_000), shape: Shape::Constant, sigma: 0.0 };
        let short = Kind { share: 0.9, mean: Span(1_000_000), ..long };
        let requests = requests(&made(Vec::new(), vec![short, long]), 30);
        let longs = requests.iter().filter(|request| request.work > 1e8).count();
        assert!((longs as f64 / requests.len() as f64 - 0.1).abs() < 0.01);
    }
}
