//! Endpoints of which whole seconds tell what cannot be. Knows no log.
//!
//! Where much waits for long, the second of an end says little of who left before whom: few slots that are a thousand times as fast may be the
//! likeliest then, or many that are slow. How many were there at once is known all the same, and so is how long the slots were busy.

use super::capacity::Capacity;
use super::stays::Stays;

/// What each answer took of a slot is the same by who left before whom and by how many were there, but for what chance does.
const AGREES: f64 = 2.0;

pub(super) fn replace_absurd(capacities: &mut [Capacity], stays: impl Fn(usize) -> Stays) {
    let Some(typical) = typical(capacities) else { return };
    for (endpoint, capacity) in capacities.iter_mut().enumerate() {
        if !capacity.agrees() {
            *capacity = Capacity::guessed(&stays(endpoint), typical);
        }
    }
}

/// The service time of those whose slots never ran out, which is known best, or else of those of which all that is known agrees.
fn typical(capacities: &[Capacity]) -> Option<f64> {
    let sure =
        capacities.iter().filter(|capacity| capacity.busy.is_none()).filter_map(|capacity| capacity.service);
    let agreeing =
        capacities.iter().filter(|capacity| capacity.agrees()).filter_map(|capacity| capacity.service);
    let busy = capacities.iter().filter_map(|capacity| capacity.busy);
    middle(sure).or_else(|| middle(agreeing)).or_else(|| middle(busy))
}

fn middle(times: impl Iterator<Item = f64>) -> Option<f64> {
    let mut times: Vec<f64> = times.collect();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

impl Capacity {
    fn agrees(&self) -> bool {
        self.busy.zip(self.service).is_none_or(|(busy, service)| is_about(service / busy, AGREES))
    }
}

fn is_about(ratio: f64, times: f64) -> bool {
    (times.recip()..=times).contains(&ratio)
}

#[cfg(test)]
mod tests {
    use super::super::AccessLog;
    use super::super::made::{options, replay};
    use crate::random::Random;
    use std::fmt::Write as _;

    /// Round robin, of 100 ms on average, in whole seconds: two endpoints of two slots get three times what they can do.
    fn overloaded(seed: u64) -> String {
        let mut random = Random::new(seed);
        let mut free = [2, 2, 16, 8].map(|slots| vec![0.0_f64; slots]);
        let (mut now, mut requests) = (0.0, Vec::new());
        for number in 0..1_000 {
            now += 0.1 / 28.0 / 0.9 * random.exponential();
            let work = if random.unit() < 0.8 { 0.02 } else { 0.42 };
            let slots = &mut free[number % 4];
            let slot = slots.iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            *slot = slot.max(now) + work;
            requests.push((*slot, *slot - now, number % 4));
        }
        requests.sort_by(|one, other| one.0.total_cmp(&other.0));
        requests.into_iter().fold(String::new(), |mut text, (ended, took, endpoint)| {
            let _ = writeln!(
                text,
                "c - - [10/Oct/2026:13:00:{:02} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\" {took:.3} {took:.3} e{endpoint}:1",
                ended as u64
            );
            text
        })
    }

    #[test]
    fn nobody_is_told_to_be_a_thousand_times_as_fast() {
        let mut guessed = 0;
        for seed in 0..20 {
            let log = AccessLog::read(overloaded(seed).as_bytes()).unwrap();
            let replay = replay(&log, &options(&["round_robin"]));
            for told in &replay.assumed {
                let speed = told.rsplit_once("speed ").and_then(|(_, speed)| speed.split(',').next());
                let speed: f64 = speed.unwrap().parse().unwrap();
                assert!((0.02..50.0).contains(&speed), "seed {seed}: {:?}", replay.assumed);
                guessed += usize::from(told.contains("if it is as fast as others"));
            }
            let [log, robin] = replay.outcomes.as_slice() else { panic!("two") };
            let times = robin.latency_ms.mean / log.latency_ms.mean;
            assert!((0.4..2.5).contains(&times), "seed {seed}: {times}, {:?}", replay.assumed);
        }
        assert!(guessed > 0);
    }
}
