//! Least time: requests in flight times the mean latency, as products that sell it describe it. Here to compare with; knows
//! no errors, no parallelism, and no start.
//!
//! After the description of nginx's `least_time` ("the least average response time and least number of active
//! connections, taking into account the weights"). Every answer counts, failures too, which is what makes a sinkhole
//! of it.

use crate::random::Random;

/// The mean follows the last few dozen answers.
const GAIN: f64 = 0.05;

#[derive(Debug)]
pub(crate) struct LeastTime(Vec<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    weight: f64,
    in_flight: u32,
    latency: f64,
    is_open: bool,
}

impl LeastTime {
    pub(crate) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let seen = |weight| Seen { weight: f64::from(weight), in_flight: 0, latency: 0.0, is_open: true };
        Self(weights.map(seen).collect())
    }

    pub(crate) fn set_open(&mut self, endpoint: usize, is_open: bool) {
        self.0[endpoint].is_open = is_open;
    }

    /// Whoever was never heard of has no latency and is tried first. Ties go to the first after a random position.
    pub(crate) fn pick(&mut self, random: u64, tried: &[usize]) -> Option<usize> {
        let count = self.0.len();
        let offset = Random::new(random).below(count as u64) as usize;
        let is_open = |index: &usize| self.0[*index].is_open && !tried.contains(index);
        let open = (0..count).map(|step| (step + offset) % count).filter(is_open);
        let best = open.min_by(|&a, &b| self.0[a].score().total_cmp(&self.0[b].score()))?;
        self.0[best].in_flight += 1;
        Some(best)
    }

    pub(crate) fn settle(&mut self, endpoint: usize, latency: u64) {
        let seen = &mut self.0[endpoint];
        seen.in_flight -= 1;
        let latency = latency as f64;
        let gain = if seen.latency > 0.0 { GAIN } else { 1.0 };
        seen.latency += gain * (latency - seen.latency);
    }
}

impl Seen {
    fn score(&self) -> f64 {
        (f64::from(self.in_flight) + 1.0) * self.latency / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_and_the_idle_win_and_who_is_closed_never_does() {
        let mut least_time = LeastTime::new([1, 1, 1].into_iter());
        for _ in 0..3 {
            let index = least_time.pick(1, &[]).unwrap();
            least_time.settle(index, [30, 10, 20][index]);
        }
        assert_eq!(least_time.pick(2, &[]), Some(1));
        assert_eq!(least_time.pick(2, &[]), Some(1), "a tie of 20 at the start, so 1 or 2");
        assert_eq!(least_time.pick(2, &[]), Some(2));
        least_time.set_open(1, false);
        least_time.set_open(2, false);
        assert_eq!(least_time.pick(2, &[]), Some(0));
        least_time.set_open(0, false);
        assert_eq!(least_time.pick(2, &[]), None);
        least_time.set_open(1, true);
        assert_eq!(least_time.pick(2, &[1]), None, "it was tried");
    }
}
