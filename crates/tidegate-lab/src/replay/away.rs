//! When an endpoint of a log was away in between, as one is that restarts in its place. Knows no capacities.
//!
//! As with whoever joins or leaves that is told by how often it is asked, counted in requests of the log. It must have been idle for most of that time: whoever
//! hangs, or is slow, is asked no more by many proxies, but has still something to do. And whoever failed, or was slow, just before may be left out for that.

use super::presence::{ASKED_MIN, Asking, Fleet, LONGEST_GAPS, Log, MEAN_GAPS};
use std::cmp::Reverse;

/// Who was not asked more often than that is one that is asked now and then.
const TIMES_MAX: usize = 8;

/// The clocks of logs have milliseconds, and an end is made of two of them.
const CLOCK: u64 = 5_000_000;
/// So many times the median, and this part of the gap, is so long that somebody may be asked no more for it.
const SLOW_TIMES: u64 = 10;
const SLOW_PART: u64 = 8;

/// Between two requests of an endpoint: their places in the log.
pub(super) type Gap = (usize, usize);

fn length(gap: &Gap) -> usize {
    gap.1 - gap.0
}

/// Those that are longer than chance allows by the others.
pub(super) fn long_gaps(places: &[usize]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = places.windows(2).map(|pair| (pair[0], pair[1])).collect();
    gaps.sort_unstable_by_key(|gap| Reverse(length(gap)));
    let mut others: usize = gaps.iter().map(length).sum();
    let mut long = 0;
    for count in 1..=TIMES_MAX.min(gaps.len().saturating_sub(ASKED_MIN)) {
        let shortest = length(&gaps[count - 1]);
        others -= shortest;
        let mean = others as f64 / (gaps.len() - count) as f64;
        if shortest as f64 > MEAN_GAPS * mean && shortest > LONGEST_GAPS * length(&gaps[count]) {
            long = count;
        }
    }
    gaps.truncate(long);
    gaps.sort_unstable();
    gaps
}

/// When it was asked for the last time before it was away, and for the first time afterwards, in nanoseconds from the first request of the log.
pub(super) fn of(endpoint: usize, gaps: &[Gap], fleet: &Fleet<'_>) -> Vec<(u64, u64)> {
    if gaps.is_empty() {
        return Vec::new();
    }
    let log = fleet.log;
    let (ranks, all) = log.ranks(endpoint, Some(&fleet.met));
    // Who is asked when all others are full misses nothing while they are not.
    let missed = long_gaps(&ranks);
    let is_missed =
        |gap: &&Gap| missed.iter().any(|&(from, until)| from <= all(gap.0) && all(gap.1) <= until);
    let is_away =
        |gap: &&Gap| leaves_in_order(endpoint, **gap, log) && fleet.has_keys_within(endpoint, **gap);
    let at = |place: usize| log.entries[place].at - log.entries[0].at;
    gaps.iter().filter(is_missed).filter(is_away).map(|&(from, until)| (at(from), at(until))).collect()
}

/// Whether it left as one that restarts does, and not because the proxy asks it no more for what came of its last requests: it had nothing to do for half
/// of the gap or more, none of those that it had last failed (many proxies leave out who fails, for ten seconds or so), and none took far longer than is usual there.
fn leaves_in_order(endpoint: usize, (from, until): Gap, log: &Log<'_>) -> bool {
    let own = &log.places[endpoint];
    let [left, back] = [from, until].map(|place| log.entries[place].at);
    let end = |place: &usize| log.entries[*place].at + log.entries[*place].latency;
    let before = || own.iter().take_while(|place| **place <= from);
    let is_idle = before().map(end).max().is_none_or(|end| end <= left.midpoint(back));
    let slow = (SLOW_TIMES * usual_latency(own, log)).max((back - left) / SLOW_PART);
    let is_why = |place: &usize| {
        let Asking { latency, failed, .. } = log.entries[*place];
        end(place) + CLOCK >= left && (failed || latency > slow)
    };
    is_idle && !before().any(is_why)
}

/// The median.
fn usual_latency(own: &[usize], log: &Log<'_>) -> u64 {
    let mut latencies: Vec<u64> = own.iter().map(|&place| log.entries[place].latency).collect();
    let middle = latencies.len() / 2;
    if latencies.is_empty() { 0 } else { *latencies.select_nth_unstable(middle).1 }
}

#[cfg(test)]
mod tests {
    use super::super::made::{Line, log, log_with, text};
    use super::super::presence;
    use super::super::{AccessLog, ReplayOptions};
    use crate::comparison::Progress;
    use crate::contender::Contender;
    use crate::random::Random;

    const SECOND: f64 = 1e3;

    /// In turn to endpoints of two slots at that load, but to those that are away; requests of 100 ms on average.
    fn in_turn(count: usize, load: f64, seed: u64, is_away: impl Fn(usize, f64) -> bool) -> Vec<Line> {
        let (mut random, mut now, mut turn) = (Random::new(seed), 0.0_f64, 0);
        let mut free = vec![[0.0_f64; 2]; count];
        let line = |_| {
            now += 100.0 / 2.0 / count as f64 / load * random.exponential();
            let endpoint = loop {
                turn += 1;
                if !is_away(turn % count, now) {
                    break turn % count;
                }
            };
            let slot = free[endpoint].iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            *slot = slot.max(now) + 100.0 * random.exponential();
            (now, *slot - now, random.below(50), endpoint)
        };
        (0..3_000).map(line).collect()
    }

    fn restarts(now: f64) -> bool {
        (30.0 * SECOND..34.0 * SECOND).contains(&now)
    }

    fn away(log: &AccessLog) -> Vec<Vec<(u64, u64)>> {
        let mut told: Vec<(String, Vec<(u64, u64)>)> = presence::of(log)
            .into_iter()
            .map(|presence| presence.away)
            .zip(&log.endpoints)
            .map(|(away, name)| (name.clone(), away))
            .collect();
        told.sort();
        told.into_iter().map(|(_, away)| away).collect()
    }

    fn replay(log: &AccessLog) -> crate::outcome::Comparison {
        let contenders = vec![Contender::parse("round_robin").unwrap()];
        let options =
            ReplayOptions { contenders, slots: None, endpoints: None, times: 1.0, seed: 1, jobs: 1 };
        log.replay(&options, &Progress::of_replay(log, &options)).unwrap()
    }

    #[test]
    fn who_restarts_in_its_place_is_not_there_meanwhile() {
        for seed in 0..8 {
            let log = log(in_turn(2, 0.7, seed, |endpoint, now| endpoint == 1 && restarts(now)));
            let told = away(&log);
            let [(from, until)] = told[1].as_slice() else { panic!("seed {seed}: {told:?}") };
            assert!(
                told[0].is_empty()
                    && from.abs_diff(30_000_000_000) < 500_000_000
                    && until.abs_diff(34_000_000_000) < 500_000_000,
                "seed {seed}: {told:?}"
            );
            let replayed = replay(&log);
            let [recorded, robin] = replayed.outcomes.as_slice() else { panic!("two") };
            let times = robin.latency_ms.mean / recorded.latency_ms.mean;
            assert!((0.9..1.1).contains(&times), "seed {seed}: {times}");
            let said = replayed
                .assumed
                .iter()
                .any(|told| told.contains("of 2 endpoints 1 was not asked for a while"));
            assert!(
                said && replayed.assumed.iter().any(|told| told.contains(", away from ")),
                "{:?}",
                replayed.assumed
            );
        }
    }

    /// A gap that is longer than all that was before it, since the epoch.
    #[test]
    fn a_log_may_begin_with_the_epoch() {
        let lines =
            in_turn(3, 0.5, 1, |endpoint, now| endpoint == 2 && (SECOND..9.0 * SECOND).contains(&now));
        let text = text(lines.into_iter().map(|line| (line, 200))).replace("2026-10-10T13", "1970-01-01T00");
        assert_eq!(away(&AccessLog::read(text.as_bytes()).unwrap())[2].len(), 1);
    }

    /// Twice, one after the other.
    #[test]
    fn a_fleet_may_restart_in_its_place() {
        let is_away = |endpoint: usize, now: f64| {
            [10.0, 40.0].iter().any(|first| {
                let from = (first + 5.0 * endpoint as f64) * SECOND;
                (from..from + 3.0 * SECOND).contains(&now)
            })
        };
        for seed in 0..8 {
            let told = away(&log(in_turn(4, 0.5, seed, is_away)));
            assert!(told.iter().all(|away| away.len() == 2), "seed {seed}: {told:?}");
        }
    }

    #[test]
    fn who_hangs_is_not_away() {
        let mut lines = in_turn(3, 0.5, 1, |endpoint, now| endpoint == 2 && restarts(now));
        assert_eq!(away(&log(lines.clone()))[2].len(), 1);
        let last = lines.iter_mut().rfind(|line| line.3 == 2 && line.0 < 30.0 * SECOND).unwrap();
        last.1 = 4.0 * SECOND;
        assert_eq!(away(&log(lines)), [[]; 3]);
    }

    #[test]
    fn whom_the_proxy_leaves_out_for_a_failure_or_a_stall_is_not_away() {
        let lines = in_turn(3, 0.5, 1, |endpoint, now| endpoint == 2 && restarts(now));
        let last = lines.iter().rposition(|line| line.3 == 2 && line.0 < 30.0 * SECOND).unwrap();
        let mut stalled = lines.clone();
        stalled[last].1 = 1.5 * SECOND;
        assert_eq!(away(&log(stalled)), [[]; 3]);
        let failed = |number: usize| if number == last { 503 } else { 200 };
        assert_eq!(
            away(&log_with(lines.iter().copied().enumerate().map(|(number, line)| (line, failed(number))))),
            [[]; 3]
        );
    }

    #[test]
    fn who_waits_for_its_clients_is_not_away() {
        let is_away = |number: &u32| (800..1_200).contains(number) && number % 4 == 3;
        let lines = |clients: u32| {
            let numbers = (0..2_000).filter(move |number| !is_away(number));
            numbers.map(move |number| {
                (10.0 * f64::from(number), 5.0, u64::from(number % clients), number as usize % 4)
            })
        };
        assert_eq!(away(&log(lines(4))), [[]; 4]);
        assert_eq!(away(&log(lines(7)))[3].len(), 1);
    }

    /// The first one that has less than two, in traffic that is busy, calm and busy again.
    #[test]
    fn who_is_asked_when_all_others_are_full_is_not_away_when_they_are_not() {
        let (mut random, mut now, mut held) = (Random::new(3), 0.0_f64, vec![Vec::<f64>::new(); 4]);
        let mut lines = Vec::new();
        while now < 180.0 * SECOND {
            let is_calm = (60.0 * SECOND..120.0 * SECOND).contains(&now);
            now += 100.0 / if is_calm { 1.0 } else { 7.0 } * random.exponential();
            for held in &mut held {
                held.retain(|end| *end > now);
            }
            let Some(endpoint) = held.iter().position(|held| held.len() < 2) else { continue };
            held[endpoint].push(now + 100.0);
            lines.push((now, 100.0, 0, endpoint));
        }
        let places = |endpoint: usize| {
            (0..lines.len()).filter(|&place| lines[place].3 == endpoint).collect::<Vec<_>>()
        };
        assert!(!super::long_gaps(&places(3)).is_empty(), "the others' requests alone would not tell");
        assert_eq!(away(&log(lines)), [[]; 4]);
    }
}
