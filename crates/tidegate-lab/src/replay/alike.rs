//! Endpoints that were asked too rarely to show what they can do. Knows no log.
//!
//! A canary, or a backup that only overflow reaches, never has many requests in flight: as many slots as that are what it showed, not what it has, and an
//! algorithm that sends it a share like others' would fill them. So where nothing says that an endpoint's slots ran out it has as many as others, as
//! the balancer itself takes for granted of whoever it does not know.

use super::capacity::{Capacity, Proxy};

/// Of each endpoint also how many answers it gave, which is how much it says of the others.
pub(super) fn raise_unseen(capacities: &mut [Capacity], answers: impl Fn(usize) -> usize) {
    let Some(typical) = typical(capacities, answers) else { return };
    for capacity in capacities.iter_mut().filter(|capacity| capacity.may_have_more()) {
        capacity.slots = capacity.slots.max(typical);
    }
}

/// The slots of the endpoint that gave the median answer.
fn typical(capacities: &[Capacity], answers: impl Fn(usize) -> usize) -> Option<u32> {
    let mut all: Vec<(u32, usize)> = capacities
        .iter()
        .enumerate()
        .map(|(endpoint, capacity)| (capacity.slots, answers(endpoint)))
        .collect();
    all.sort_unstable();
    let total: usize = all.iter().map(|(_, answers)| answers).sum();
    let mut before = 0;
    let is_middle = |(_, answers): &&(u32, usize)| {
        before += answers;
        2 * before >= total
    };
    all.iter().find(is_middle).map(|(slots, _)| *slots)
}

impl Capacity {
    fn may_have_more(&self) -> bool {
        !self.was_full && !self.is_guessed && !matches!(self.proxy, Proxy::Held(_))
    }

    pub(super) fn is_like_others(&self) -> bool {
        self.slots > self.most
    }
}

#[cfg(test)]
mod tests {
    use super::super::AccessLog;
    use super::super::made::{options, replay};
    use crate::random::Random;
    use std::fmt::Write as _;

    const CANARY: usize = 3;

    /// Four endpoints of four slots at 56 %, 100 ms on average; every `turns`-th turn is the canary's. With the log the mean of all latencies in milliseconds.
    fn log(turns: usize, seed: u64) -> (String, f64) {
        let (mut random, mut free, mut now, mut total) = (Random::new(seed), [[0.0_f64; 4]; 4], 0.0_f64, 0.0);
        let mut text = String::new();
        for number in 0..3_000 {
            now += 100.0 / 9.0 * random.exponential();
            let endpoint = if number % turns == turns - 1 { CANARY } else { number % turns % CANARY };
            let slot = free[endpoint].iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            *slot = slot.max(now) + 100.0 * (random.normal() - 0.5).exp();
            let (took, ended) = ((*slot - now) / 1e3, *slot / 1e3);
            total += *slot - now;
            let _ = writeln!(
                text,
                "c - - [10/Oct/2026:13:{:02}:{:02} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\" {took:.3} {took:.3} e{endpoint}:1 {:.3}",
                ended as u64 / 60,
                ended as u64 % 60,
                1_791_637_200.0 + ended,
            );
        }
        (text, total / 3_000.0)
    }

    #[test]
    fn a_canary_is_no_bottleneck_where_all_are_asked_equally() {
        for seed in 0..8 {
            let (text, _) = log(61, seed);
            let (_, truth) = log(4, seed);
            let log = AccessLog::read(text.as_bytes()).unwrap();
            let replay = replay(&log, &options(&["round_robin"]));
            let canary =
                replay.assumed.iter().find(|told| told.starts_with(&format!("e{CANARY}:1"))).unwrap();
            assert!(canary.contains("4 slots, as others have: it had"), "seed {seed}: {:?}", replay.assumed);
            let robin = replay.outcomes[1].latency_ms.mean;
            assert!((0.85..1.15).contains(&(robin / truth)), "seed {seed}: {robin}, truly {truth}: {canary}");
        }
    }
}
