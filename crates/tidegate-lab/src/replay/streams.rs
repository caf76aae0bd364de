//! Requests that last for as long as somebody likes: event streams, long polls, slow downloads. Knows no format.
//!
//! A log says of them what it says of work, and an endpoint that holds forty of them would have forty slots. But then others would wait behind them: whether the
//! others' answers are likelier with them in the slots or without tells what they are.

use super::capacity::Capacity;
use super::fleet::stays_of;
use super::stays::{Stay, Stays};
use super::{AccessLog, Entry, ReplayOptions};

/// They are at most this part of the answers, so that what is left is what the log is about.
const FEW_PART: usize = 50;
/// The shortest of them lasts so many times as long as the longest of the others: work of all sizes has no such gap.
const GAP: f64 = 1.5;
/// And so many times as long as the others on average.
const FAR_LONGER: f64 = 10.0;
/// By how much the logarithm of the likelihood must be greater without them: as for numbers of slots.
const SURE: f64 = 5.0;

/// The log without them; `None`: there are none, or they hold slots like any others.
pub(super) fn left_out(log: &AccessLog, options: &ReplayOptions) -> Option<AccessLog> {
    let longest = gap(log)?;
    let is_stream = |entry: &Entry| !entry.failed && entry.at_endpoint() >= longest;
    let given_up = log.given_up_by_endpoint();
    let mut better = 0.0;
    for (places, given_up) in log.by_endpoint().iter().zip(&given_up) {
        if places.iter().any(|&place| is_stream(&log.entries[place])) {
            better += better_without(&stays_of(places, given_up, log).1, longest, log.slots_of_one(options));
        }
    }
    (better > SURE).then(|| {
        let mut without = log.clone();
        without.entries.retain(|entry| !is_stream(entry));
        without.streams = log.entries.len() - without.entries.len();
        without
    })
}

/// From how many nanoseconds on few answers last far longer than all others.
fn gap(log: &AccessLog) -> Option<u64> {
    let answers = log.entries.iter().filter(|entry| !entry.failed);
    let mut times: Vec<u64> = answers.map(Entry::at_endpoint).collect();
    times.sort_unstable();
    let mut sums = 0.0;
    let mut found = None;
    for (count, pair) in (1..).zip(times.windows(2)) {
        sums += pair[0] as f64;
        let (shorter, longer) = (pair[0] as f64, pair[1] as f64);
        let are_few = (times.len() - count) * FEW_PART <= times.len();
        if are_few
            && found.is_none()
            && longer >= GAP * shorter
            && longer >= FAR_LONGER * sums / f64::from(count as u32)
        {
            found = Some(pair[1]);
        }
    }
    found
}

/// By how much the logarithm of the likelihood of the other answers is greater when those hold no slots.
fn better_without(stays: &Stays, longest: u64, slots: Option<u32>) -> f64 {
    let is_stream = |stay: &Stay| stay.is_answer && stay.end - stay.at >= longest;
    // No answers, so that how long they last is no matter of the likelihood.
    let with = stays.all().iter().map(|stay| Stay { is_answer: stay.is_answer && !is_stream(stay), ..*stay });
    let without = stays.all().iter().filter(|stay| !is_stream(stay)).copied();
    let likelihood = |stays: Vec<Stay>| Capacity::likelihood(&Stays::new(stays), slots);
    likelihood(without.collect()) - likelihood(with.collect())
}

#[cfg(test)]
mod tests {
    use super::super::made::{options, replay};
    use super::*;
    use crate::outcome::Comparison;
    use crate::random::Random;
    use std::fmt::Write as _;

    /// Two endpoints of four slots in turn, at seven tenths of what they can do; one of a hundred lasts for 5 s and more, in a slot or beside them.
    fn replayed(takes_a_slot: bool, seed: u64) -> Comparison {
        let (mut random, mut now, mut text) = (Random::new(seed), 0.0_f64, String::new());
        let mut free = [[0.0_f64; 4]; 2];
        for number in 0..6_000 {
            let is_stream = number % 100 == 0;
            let mean = if takes_a_slot { 0.15 } else { 0.1 };
            now += mean / 8.0 / 0.7 * random.exponential();
            let slots = &mut free[number % 2];
            let slot = slots.iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            let work = if is_stream { 5.0 + 3.0 * random.exponential() } else { 0.1 * random.exponential() };
            let ended = if is_stream && !takes_a_slot { now + work } else { slot.max(now) + work };
            if !is_stream || takes_a_slot {
                *slot = ended;
            }
            let _ = writeln!(
                text,
                r#"{{"time":"2026-10-10T13:{:02}:{:09.6}Z","client":"c","endpoint":"e{}","status":200,"queue_ms":0,"first_byte_ms":{:.3}}}"#,
                now as u64 / 60,
                now % 60.0,
                number % 2,
                1e3 * (ended - now),
            );
        }
        let log = AccessLog::read(text.as_bytes()).unwrap();
        replay(&log, &options(&["round_robin"]))
    }

    #[test]
    fn what_holds_no_slot_is_left_out_and_told() {
        for seed in 0..4 {
            let replay = replayed(false, seed);
            assert!(
                replay.assumed[..2].iter().all(|told| told.contains(": 4 slots")),
                "{:?}",
                replay.assumed
            );
            assert!(
                replay.assumed[2].starts_with("60 requests that last far longer"),
                "{:?}",
                replay.assumed
            );
            let [log, robin] = replay.outcomes.as_slice() else { panic!("two") };
            let times = robin.latency_ms.p99 / log.latency_ms.p99;
            assert!((0.9..1.1).contains(&times), "{seed}: {times}");
        }
    }

    #[test]
    fn what_others_wait_behind_is_work_however_long_it_is() {
        for seed in 0..4 {
            let replay = replayed(true, seed);
            assert_eq!(replay.assumed.len(), 2, "{:?}", replay.assumed);
            assert!(replay.assumed.iter().all(|told| told.contains(": 4 slots")), "{:?}", replay.assumed);
        }
    }
}
