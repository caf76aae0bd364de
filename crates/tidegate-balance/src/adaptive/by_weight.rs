//! What the weights of a cluster tell: slots, or speed. Knows no single request and no cost.
//!
//! A weight says how much an endpoint serves in a time. Whoever has twice as much because it has twice the slots takes as long for a request as the
//! others; whoever is twice as fast takes half as long, and has no more slots. So the logarithm of the service time is followed along that of the
//! weight: where it falls as fast as the weight rises, weights tell speed, and fewer slots for each unit of weight are expected in the same measure.

use crate::float::AtomicF32;

/// How fast the line follows, each time that all are looked at.
const GAIN: f32 = 0.2;
/// No single endpoint moves it by more: one that is ten times as slow for a reason of its own says nothing of weights.
const RESIDUAL_MAX: f32 = 1.0;
/// One endpoint that alone has more of a say in the slope (its leverage in the regression) is left out: it may be slow for a reason of its own, and which of two
/// is faster says nothing of weights. One of a weight of its own has all of it beside others of one weight, and little beside others of several.
const LEVERAGE_MAX: f32 = 0.65;
/// A slope as small as this is chance.
const CHANCE: f32 = 0.2;
/// And so is one of so many standard deviations: two endpoints of 2 and 1 always have some.
const DOUBT: f32 = 2.5;

/// A regression with bounded influence (Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35(1), 1964).
#[derive(Debug, Default)]
pub(super) struct ByWeight {
    /// Of the logarithm of the service time over that of the weight: 0 where weights tell slots, or nothing; -1 where they tell speed.
    slope: AtomicF32,
    /// As much of it as may be chance.
    chance: AtomicF32,
}

impl ByWeight {
    /// One step. `endpoints`: for each the logarithms of its weight and of its service time, which is known but for this deviation; `part`: of
    /// all, they are so many.
    pub(super) fn follow(
        &self,
        endpoints: impl Iterator<Item = (f32, f32)> + Clone,
        deviation: f32,
        part: f32,
    ) {
        let all = Line::of(endpoints.clone());
        let endpoints = endpoints.filter(|endpoint| all.leverage(*endpoint) <= LEVERAGE_MAX);
        let line = Line::of(endpoints.clone());
        if line.spread <= 0.0 || endpoints.clone().any(|endpoint| line.leverage(endpoint) > LEVERAGE_MAX) {
            return;
        }
        let Line { weight, service, spread, .. } = line;
        self.chance.set((DOUBT * deviation / spread.sqrt()).max(CHANCE));
        let slope = self.slope.get();
        let pull = |(log_weight, log_service): (f32, f32)| {
            let by_weight = log_weight - weight;
            let residual = log_service - service - slope * by_weight;
            by_weight * residual.clamp(-RESIDUAL_MAX, RESIDUAL_MAX)
        };
        let step = endpoints.map(pull).sum::<f32>() / spread;
        self.slope.set((slope + GAIN * part * step).clamp(-1.0, 0.0));
    }

    /// By how much the service time of an endpoint, and its slots for each unit of weight, are expected to differ from those of the smallest
    /// weight, as a logarithm: 0 where weights are equal, or tell slots. `lightness`: the smallest weight over its own.
    pub(super) fn expected(&self, lightness: f32) -> f32 {
        let (slope, chance) = (self.slope.get(), self.chance.get());
        if slope.abs() <= chance { 0.0 } else { (chance * chance / slope - slope) * lightness.ln() }
    }
}

/// Where the middle of some endpoints is, and how far they are apart by weight.
struct Line {
    count: f32,
    weight: f32,
    service: f32,
    spread: f32,
}

impl Line {
    fn of(endpoints: impl Iterator<Item = (f32, f32)> + Clone) -> Self {
        let count = endpoints.clone().count() as f32;
        let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / count.max(1.0);
        let weight = mean(&mut endpoints.clone().map(|(weight, _)| weight));
        let service = mean(&mut endpoints.clone().map(|(_, service)| service));
        let spread = endpoints.map(|(log_weight, _)| (log_weight - weight).powi(2)).sum();
        Self { count, weight, service, spread }
    }

    fn leverage(&self, (log_weight, _): (f32, f32)) -> f32 {
        let apart = (log_weight - self.weight).powi(2);
        1.0 / self.count + if apart > 0.0 { apart / self.spread } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoints of weights 1 and 8, of which the greater takes so much of the time.
    fn followed(part_of_time: f32, outlier: Option<f32>) -> f32 {
        let light = std::iter::repeat_n((0.0, 0.0), 10);
        let heavy = std::iter::repeat_n((8_f32.ln(), part_of_time.ln()), 10);
        let outlier = outlier.map(|times| (8_f32.ln(), times.ln()));
        let by_weight = ByWeight::default();
        for _ in 0..200 {
            by_weight.follow(light.clone().chain(heavy.clone()).chain(outlier), 0.1, 1.0);
        }
        by_weight.expected(1.0 / 8.0)
    }

    fn is_nothing(expected: f32) -> bool {
        expected.abs() < f32::EPSILON
    }

    #[test]
    fn weights_that_tell_speed_are_told_from_those_that_tell_slots() {
        let speed = followed(1.0 / 8.0, None);
        assert!((speed - (1.0_f32 / 8.0).ln()).abs() < 0.15, "{speed}");
        for tells_no_speed in [1.0, 0.9, 3.0] {
            assert!(is_nothing(followed(tells_no_speed, None)), "{tells_no_speed}");
        }
    }

    #[test]
    fn one_that_is_slow_for_a_reason_of_its_own_says_nothing_of_weights() {
        assert!(is_nothing(followed(1.0, Some(0.01))));
        let speed = followed(1.0 / 8.0, Some(10.0));
        assert!((speed - (1.0_f32 / 8.0).ln()).abs() < 0.6, "{speed}");
    }

    #[test]
    fn what_differs_by_chance_or_is_one_by_itself_tells_nothing() {
        let (light, heavy) = ((0.0, 0.0), |log_service| (2_f32.ln(), log_service));
        for (endpoints, deviation) in [
            (vec![light, light, heavy(-0.25), heavy(-0.25)], 0.15),
            (vec![light, heavy(-0.7)], 0.01),
            (vec![light, heavy(-0.7), heavy(-0.7)], 0.01),
        ] {
            let by_weight = ByWeight::default();
            (0..200).for_each(|_| by_weight.follow(endpoints.iter().copied(), deviation, 1.0));
            assert!(is_nothing(by_weight.expected(0.5)), "{endpoints:?}");
        }
    }

    #[test]
    fn one_of_a_weight_of_its_own_hides_nothing_beside_others_of_several() {
        let of = |count: usize, weight: f32| std::iter::repeat_n((weight.ln(), -weight.ln()), count);
        for (light, heavy) in [(4.0, 16.0), (100.0, 800.0)] {
            let by_weight = ByWeight::default();
            // The canary is slow for a reason of its own.
            let endpoints = || std::iter::once((0.0, 1.0)).chain(of(8, light)).chain(of(8, heavy));
            (0..200).for_each(|_| by_weight.follow(endpoints(), 0.1, 1.0));
            let speed = by_weight.expected(light / heavy);
            assert!((speed + (heavy / light).ln()).abs() < 0.2, "{light}, {heavy}: {speed}");
        }
    }

    #[test]
    fn equal_weights_tell_nothing() {
        let by_weight = ByWeight::default();
        by_weight.follow([(0.0, 1.0), (0.0, 2.0)].into_iter(), 0.1, 1.0);
        by_weight.follow(std::iter::empty(), 0.1, 1.0);
        assert!(is_nothing(by_weight.expected(1.0)));
    }
}
