//! What an endpoint can do, told from how long its answers took with how many requests in flight. Knows no log.
//!
//! With `n` in flight on `c` slots an answer takes about `S · max(1, n/c)`: flat while there are slots, in proportion to `n`
//! when there are not. `S` and `c` are those that fit the means of the logarithms best. A log in which the slots never
//! ran out cannot tell how many there are; then they are as many as were ever in flight at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// More are not told apart.
const SLOTS_MAX: usize = 4_096;
/// Of fewer answers nobody knows by how much chance has moved them.
const ANSWERS_MIN: usize = 10;
/// Fewer slots than were in flight are believed when that leaves so much less unexplained, and chance would hardly do it: the logarithm of
/// the likelihoods' ratio, twice, of latencies that are lognormal, where 11 is once in a thousand times; answers behind each other are alike.
const CONVINCING: f64 = 0.995;
const SURE: f64 = 30.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Capacity {
    pub(super) slots: u32,
    /// The geometric mean of an answer's time with a slot of its own, in nanoseconds; `None`: there were too few to tell.
    pub(super) service: Option<f64>,
    /// More were in flight at times than there are slots.
    pub(super) was_full: bool,
    /// What chance alone may be off in `ln(service)`, one standard deviation.
    pub(super) doubt: f64,
}

/// Requests in flight when each came, itself included; the requests must be in order.
pub(super) fn in_flight(requests: impl Iterator<Item = (u64, u64)>) -> Vec<u32> {
    let mut open = BinaryHeap::new();
    let mut counts = Vec::new();
    for (at, latency) in requests {
        while open.peek().is_some_and(|Reverse(ends)| *ends <= at) {
            open.pop();
        }
        open.push(Reverse(at + latency));
        counts.push(u32::try_from(open.len()).unwrap_or(u32::MAX));
    }
    counts
}

/// The part of an answer's time that is not waiting, with so many in flight.
pub(super) fn own_part(in_flight: u32, slots: u32) -> f64 {
    (f64::from(slots) / f64::from(in_flight.max(1))).min(1.0)
}

impl Capacity {
    /// From latencies with what was in flight; `slots` when they are known, `most`: that were in flight at once, those that failed
    /// among them.
    pub(super) fn fit(samples: &[(u32, u64)], slots: Option<u32>, most: u32) -> Self {
        if samples.len() < ANSWERS_MIN {
            let slots = slots.unwrap_or(most).clamp(1, SLOTS_MAX as u32);
            return Self { slots, service: None, was_full: false, doubt: 0.0 };
        }
        let levels = levels(samples);
        let most = levels.len().saturating_sub(1).max(1);
        let given = slots.map(|slots| slots as usize);
        let (slots, service, spread) = given.map_or_else(|| best(&levels), |slots| fit_with(slots, &levels));
        Self {
            slots: slots as u32,
            service: Some(service.exp()),
            was_full: slots < most,
            doubt: (spread / samples.len().max(1) as f64).sqrt(),
        }
    }
}

/// By requests in flight: how many answers, and the sum of the logarithms of their times and of their squares.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    count: f64,
    sum: f64,
    squares: f64,
}

fn levels(samples: &[(u32, u64)]) -> Vec<Level> {
    let mut levels = Vec::new();
    for &(in_flight, latency) in samples {
        let place = (in_flight as usize).min(SLOTS_MAX);
        if levels.len() <= place {
            levels.resize(place + 1, Level::default());
        }
        let time = (latency.max(1) as f64).ln();
        levels[place].count += 1.0;
        levels[place].sum += time;
        levels[place].squares += time * time;
    }
    levels
}

fn best(levels: &[Level]) -> (usize, f64, f64) {
    let most = levels.len().saturating_sub(1).max(1);
    let without = fit_with(most, levels);
    let best = (1..most)
        .rev()
        .map(|slots| fit_with(slots, levels))
        .fold(without, |best, other| if other.2 < best.2 { other } else { best });
    let answers: f64 = levels.iter().map(|level| level.count).sum();
    let is_sure = answers * (without.2 / best.2).ln() >= SURE;
    if is_sure && best.2 < CONVINCING * without.2 { best } else { without }
}

/// The slots, the service time's logarithm that fits best with them, and the mean square that is left.
fn fit_with(slots: usize, levels: &[Level]) -> (usize, f64, f64) {
    let stretch = |place: usize| (place as f64 / slots as f64).max(1.0).ln();
    let count: f64 = levels.iter().map(|level| level.count).sum::<f64>().max(1.0);
    let sums = levels.iter().enumerate().map(|(place, level)| level.sum - level.count * stretch(place));
    let service = sums.sum::<f64>() / count;
    let squares = levels.iter().enumerate().map(|(place, level)| {
        let expected = service + stretch(place);
        level.squares - 2.0 * expected * level.sum + level.count * expected * expected
    });
    (slots, service, squares.sum::<f64>().max(0.0) / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Answers of an endpoint with so many slots, with `1..=most` in flight.
    fn samples(slots: u32, most: u32) -> Vec<(u32, u64)> {
        let mut random = Random::new(9);
        let sample = |number: u32| {
            let in_flight = number % most + 1;
            let stretch = (f64::from(in_flight) / f64::from(slots)).max(1.0);
            (in_flight, (1e7 * stretch * (0.5 * random.normal()).exp()) as u64)
        };
        (0..20_000).map(sample).collect()
    }

    #[test]
    fn slots_and_service_time_are_found_again() {
        for slots in [1, 4, 16] {
            let capacity = Capacity::fit(&samples(slots, 5 * slots), None, 5 * slots);
            assert!(capacity.slots.abs_diff(slots) <= 1 + slots / 8, "{slots}: {capacity:?}");
            let service = capacity.service.unwrap();
            assert!((service / 1e7 - 1.0).abs() < 0.1 && capacity.was_full, "{capacity:?}");
        }
    }

    /// One in fifteen finds more requests there than slots, and answers differ by far more than that makes them wait.
    #[test]
    fn slots_that_ran_out_now_and_then_are_found_in_many_answers() {
        let mut random = Random::new(11);
        let mut sample = |number: u32| {
            let in_flight = if number.is_multiple_of(15) { 5 + number / 15 % 3 } else { 1 + number % 4 };
            let stretch = (f64::from(in_flight) / 4.0).max(1.0);
            (in_flight, (1e7 * stretch * random.normal().exp()) as u64)
        };
        let samples: Vec<_> = (0..20_000).map(&mut sample).collect();
        let capacity = Capacity::fit(&samples, None, 7);
        assert!((3..=5).contains(&capacity.slots) && capacity.was_full, "{capacity:?}");
    }

    #[test]
    fn slots_that_never_ran_out_are_as_many_as_were_seen() {
        let capacity = Capacity::fit(&samples(100, 12), None, 12);
        assert_eq!((capacity.slots, capacity.was_full), (12, false));
        assert_eq!(Capacity::fit(&samples(100, 12), Some(3), 12).slots, 3);
    }

    #[test]
    fn of_a_few_answers_nothing_is_told() {
        for (answers, is_told) in [(0, false), (9, false), (10, true)] {
            let capacity = Capacity::fit(&samples(4, 4)[..answers], None, 7);
            assert_eq!((capacity.service.is_some(), capacity.slots == 7), (is_told, !is_told), "{answers}");
        }
    }

    #[test]
    fn requests_in_flight_are_counted_at_each_arrival() {
        assert_eq!(in_flight([(0, 10), (5, 10), (10, 1), (20, 1)].into_iter()), [1, 2, 2, 1]);
        assert!((own_part(8, 4) - 0.5).abs() < 1e-9 && (own_part(2, 4) - 1.0).abs() < 1e-9);
    }
}
