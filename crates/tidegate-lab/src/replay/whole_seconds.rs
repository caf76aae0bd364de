//! How likely answers are where of ends only the second is known, and their order. Knows no log.
//!
//! The ends of one second are as if thrown into it and sorted: of `n`, two that are taken to be `d` of it apart are so but for `sqrt(d(1 - d) / n)` of
//! a second (a Brownian bridge). How long a request took is known to the millisecond; when the slot before it was freed is not, so that
//! its wait has a range, and its own time is what is left. Own times have the distribution that makes all answers likeliest, found by expectation
//! and maximisation (Dempster, Laird and Rubin 1977). Taken for exact, such ends would spread the own times of those that waited, and more slots, with which
//! fewer wait, would be likelier than there are.

use super::stays::RESOLUTION;

const POINTS: usize = 9;
/// At the middles of as many equal parts of a normal distribution.
const NORMAL: [f64; POINTS] =
    [-1.593_22, -0.967_42, -0.589_46, -0.282_22, 0.0, 0.282_22, 0.589_46, 0.967_42, 1.593_22];
/// More hardly change anything.
const ROUNDS: usize = 8;
/// An octave has so many bins; all below the resolution is one.
const PARTS: usize = 4;
/// The bin of those that were answered sooner than the slots allow.
const TOO_SOON: u8 = 0;
/// Of all, at first.
const TOO_SOON_PART: f64 = 0.02;

/// In nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) took: f64,
    /// For a slot; negative where one had been free for so long.
    pub(super) wait: f64,
    /// Of the wait, one standard deviation.
    pub(super) doubt: f64,
}

/// The logarithm, with the distribution of own times that fits best, less one for each bin that it needs (Akaike).
pub(super) fn likelihood(answers: &[Answer]) -> f64 {
    let mut fit = Fit::first(answers);
    for _ in 0..ROUNDS {
        fit.parts = fit.next_parts();
    }
    fit.likelihood()
}

struct Fit {
    /// How many did not wait, whatever chance did, by the bin of their own time.
    certain: Vec<f64>,
    doubtful: Vec<(Answer, Bins)>,
    /// How much of all is in each bin.
    parts: Vec<f64>,
}

/// Of an answer's own time, if its wait was at each point of its range.
type Bins = [u8; POINTS];

impl Fit {
    fn first(answers: &[Answer]) -> Self {
        let (mut certain, mut doubtful, mut middles) = (Vec::new(), Vec::new(), Vec::new());
        let count = |counts: &mut Vec<f64>, bin: u8| {
            counts.resize(counts.len().max(usize::from(bin) + 1), 0.0);
            counts[usize::from(bin)] += 1.0;
        };
        for answer in answers {
            if answer.waits(NORMAL[POINTS - 1]) == 0.0 {
                count(&mut certain, bin(answer.took));
            } else {
                let bins = NORMAL.map(|point| bin(answer.own(point)));
                count(&mut middles, bins[POINTS / 2]);
                doubtful.push((*answer, bins));
            }
        }
        let highest = doubtful.iter().flat_map(|(_, bins)| *bins).max().unwrap_or_default();
        certain.resize(certain.len().max(usize::from(highest) + 1), 0.0);
        middles.resize(certain.len(), 0.0);
        let mut counts: Vec<f64> = certain.iter().zip(&middles).map(|(one, other)| one + other).collect();
        let too_soon = &mut counts[usize::from(TOO_SOON)];
        *too_soon = too_soon.max(TOO_SOON_PART * answers.len() as f64);
        Self { certain, doubtful, parts: parts(counts) }
    }

    fn next_parts(&self) -> Vec<f64> {
        let mut counts = self.certain.clone();
        for ((_, bins), chances) in self.doubtful.iter().zip(self.chances()) {
            let all: f64 = chances.iter().sum();
            for (&bin, chance) in bins.iter().zip(chances).filter(|_| all > 0.0) {
                counts[usize::from(bin)] += chance / all;
            }
        }
        parts(counts)
    }

    fn likelihood(&self) -> f64 {
        let log = |chance: f64| chance.max(f64::MIN_POSITIVE).ln();
        let certain = self.certain.iter().zip(self.densities()).map(|(count, density)| count * log(density));
        let doubtful = self.chances().map(|chances| log(chances.iter().sum::<f64>() / POINTS as f64));
        let all = self.certain.iter().sum::<f64>() + self.doubtful.len() as f64;
        let needed = self.parts.iter().filter(|part| **part * all >= 1.0).count();
        certain.sum::<f64>() + doubtful.sum::<f64>() - needed as f64
    }

    /// Of each doubtful answer with its wait at each point of its range: how much of its own time's bin is a nanosecond.
    fn chances(&self) -> impl Iterator<Item = [f64; POINTS]> {
        let densities = self.densities();
        self.doubtful.iter().map(move |(answer, bins)| answer.chances(bins, &densities))
    }

    fn densities(&self) -> Vec<f64> {
        (0..).zip(&self.parts).map(|(bin, part)| part / width(bin)).collect()
    }
}

impl Answer {
    fn waits(&self, point: f64) -> f64 {
        (self.wait + self.doubt * point).max(0.0)
    }

    fn own(&self, point: f64) -> f64 {
        self.took - self.waits(point)
    }

    /// Who was too soon may have come at any time of the wait.
    fn chances(&self, bins: &Bins, densities: &[f64]) -> [f64; POINTS] {
        let mut chances = bins.map(|bin| densities[usize::from(bin)]);
        for ((chance, &bin), point) in chances.iter_mut().zip(bins).zip(NORMAL) {
            if bin == TOO_SOON {
                *chance /= self.waits(point).max(RESOLUTION);
            }
        }
        chances
    }
}

fn parts(counts: Vec<f64>) -> Vec<f64> {
    let all = counts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    counts.into_iter().map(|count| count / all).collect()
}

fn bin(time: f64) -> u8 {
    if time < -RESOLUTION {
        return TOO_SOON;
    }
    let place = |time: f64| (time.to_bits() >> (f64::MANTISSA_DIGITS - 1 - PARTS.ilog2())) as usize;
    let above = if time < RESOLUTION { 0 } else { 1 + place(time) - place(RESOLUTION) };
    (1 + above).min(usize::from(u8::MAX)) as u8
}

/// In nanoseconds, but for those that were too soon.
fn width(bin: u8) -> f64 {
    match bin.checked_sub(2) {
        _ if bin == TOO_SOON => 1.0,
        None => RESOLUTION,
        Some(above) => RESOLUTION * f64::from(above / PARTS as u8).exp2() / PARTS as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::AccessLog;
    use super::super::made::{options, replay};
    use crate::random::Random;
    use std::fmt::Write as _;

    /// Requests to queues before so many slots, which are busy for a part of the time: as nginx logs them, in the order of the ends.
    fn log(slots: &[usize], load: f64, count: usize, choose: impl Fn(usize, &[usize]) -> usize) -> String {
        const SERVICE: f64 = 0.1;
        let (mut random, mut now) = (Random::new(5), 0.0);
        let mut free: Vec<Vec<f64>> = slots.iter().map(|&slots| vec![0.0; slots]).collect();
        let mut ends: Vec<Vec<f64>> = vec![Vec::new(); slots.len()];
        let mut lines = Vec::new();
        for number in 0..count {
            now += SERVICE / load / slots.iter().sum::<usize>() as f64 * random.exponential();
            for ends in &mut ends {
                ends.retain(|end| *end > now);
            }
            let there: Vec<usize> = ends.iter().map(Vec::len).collect();
            let endpoint = choose(number, &there);
            let slot = free[endpoint].iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            *slot = slot.max(now) + SERVICE * (random.normal() - 0.5).exp();
            ends[endpoint].push(*slot);
            lines.push((*slot, *slot - now, endpoint));
        }
        lines.sort_by(|one, other| one.0.total_cmp(&other.0));
        lines.into_iter().fold(String::new(), |mut text, (ended, took, endpoint)| {
            let _ = writeln!(
                text,
                "c - - [10/Oct/2026:13:{:02}:{:02} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\" {took:.3} {took:.3} e:{endpoint}",
                ended as u64 / 60,
                ended as u64 % 60
            );
            text
        })
    }

    fn in_turn(number: usize, there: &[usize]) -> usize {
        number % there.len()
    }

    fn least(number: usize, there: &[usize]) -> usize {
        (0..there.len()).min_by_key(|&endpoint| (there[endpoint], (endpoint + number) % there.len())).unwrap()
    }

    /// Least request evens waits out, and what is left of them is no longer than what whole seconds hide. What round robin makes of an
    /// endpoint that is nearly full is chance.
    #[test]
    fn slots_are_found_again_and_least_request_comes_out_as_it_was() {
        for (load, algorithm, choose) in [
            (0.75, "round_robin", in_turn as fn(usize, &[usize]) -> usize),
            (0.6, "round_robin", in_turn),
            (0.75, "least_request", least),
            (0.85, "least_request", least),
            (0.95, "least_request", least),
        ] {
            let text = log(&[4, 4, 3], load, 30_000, choose);
            let log = AccessLog::read(text.as_bytes()).unwrap();
            let replay = replay(&log, &options(&[algorithm]));
            let slots_of = |name: &str| {
                let told = replay.assumed.iter().find(|told| told.starts_with(name)).unwrap();
                told.split(' ').nth(1).unwrap().parse::<u32>().unwrap()
            };
            let case = format!("{algorithm} {load}: {:?}", replay.assumed);
            assert_eq!(["e:0", "e:1", "e:2"].map(slots_of), [4, 4, 3], "{case}");
            let [was, again] = [0, 1].map(|row: usize| replay.outcomes[row].latency_ms.mean);
            let is_alike = (again / was - 1.0).abs() < 0.04;
            assert!(algorithm == "round_robin" || is_alike, "{case}: {again}, was {was}");
        }
    }
}
