//! When an endpoint of a log was away in between, as one is that restarts in its place. Knows no capacities.
//!
//! As with whoever joins or leaves that is told by how often it is asked, counted in requests of the log. It must have been idle for most of that time: whoever
//! hangs, or is slow, is asked no more by many proxies, but has still something to do. And whoever failed, or was slow, just before may be left out for that.

use super::presence::{ASKED_MIN, Asking, Fleet, LONGEST_GAPS, Log, MEAN_GAPS};
use std::cmp::Reverse;

/// Who was not asked more often than that, or for each time was asked less often than `ASKED_MIN`, is one that is asked now and then.
const TIMES_MAX: usize = 64;

/// The clocks of logs have milliseconds, and an end is made of two of them.
pub(super) const CLOCK: u64 = 5_000_000;
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
    for count in 1..=TIMES_MAX.min(gaps.len() / (ASKED_MIN + 1)) {
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

/// What it looks like that an idle endpoint is not asked for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It was asked, and not found.
    Proven,
    /// Nothing says why else it was not asked.
    Likely,
    /// It had just failed, and many proxies leave out who fails, for ten seconds or so. Or it restarted: the log does not say.
    Failed,
}

impl Absence {
    /// What both are together.
    fn and(self, other: Self) -> Self {
        [Self::Proven, Self::Failed]
            .into_iter()
            .find(|kind| [self, other].contains(kind))
            .unwrap_or(Self::Likely)
    }
}

/// With when it was asked for the last time before, and for the first time afterwards, in nanoseconds from the first request of the log.
pub(super) fn of(endpoint: usize, gaps: &[Gap], fleet: &Fleet<'_>) -> Vec<(Absence, u64, u64)> {
    if gaps.is_empty() {
        return Vec::new();
    }
    let log = fleet.log;
    let (ranks, all) = log.ranks(endpoint, Some(&fleet.met));
    // Who is asked when all others are full misses nothing while they are not.
    let missed = long_gaps(&ranks);
    let is_missed =
        |gap: &&Gap| missed.iter().any(|&(from, until)| from <= all(gap.0) && all(gap.1) <= until);
    let at = |place: usize| log.entries[place].at - log.first;
    let absence = |gap: &Gap| {
        let absence = absence(endpoint, *gap, log).filter(|_| fleet.has_keys_within(endpoint, *gap))?;
        Some((absence, at(last_served(endpoint, gap.0, log)), at(gap.1)))
    };
    let mut absences: Vec<(Absence, u64, u64)> = gaps.iter().filter(is_missed).filter_map(absence).collect();
    // Where nobody was served between two it is one.
    absences.dedup_by(|later, earlier| {
        let is_one = later.1 <= earlier.2;
        if is_one {
            *earlier = (earlier.0.and(later.0), earlier.1, later.2);
        }
        is_one
    });
    absences
}

/// What failed after that did so because it was leaving.
fn last_served(endpoint: usize, before: usize, log: &Log<'_>) -> usize {
    let own = log.places[endpoint].iter().rev().skip_while(|place| **place > before);
    own.copied().find(|place| !log.entries[*place].failed).unwrap_or(before)
}

/// Whether it left as one that restarts does, and not because the proxy asks it no more for what came of its last requests: it had nothing to do for half
/// of the gap or more, none of those that it had last failed, and none took far longer than is usual there. Whoever was asked and not found was not there, whatever came of these.
fn absence(endpoint: usize, (from, until): Gap, log: &Log<'_>) -> Option<Absence> {
    let own = &log.places[endpoint];
    let [left, back] = [from, until].map(|place| log.entries[place].at);
    if log.unconnected.is_between(endpoint, left, back) {
        return Some(Absence::Proven);
    }
    let end = |place: &usize| log.entries[*place].at + log.entries[*place].latency;
    let before = || own.iter().take_while(|place| **place <= from);
    let is_idle = before().map(end).max().is_none_or(|end| end <= left.midpoint(back));
    let slow = (SLOW_TIMES * usual_latency(own, log)).max((back - left) / SLOW_PART);
    let last = || before().filter(|place| end(place) + CLOCK >= left).map(|place| &log.entries[*place]);
    if !is_idle || last().any(|asking: &Asking| !asking.failed && asking.latency > slow) {
        return None;
    }
    Some(if last().any(|asking| asking.failed) { Absence::Failed } else { Absence::Likely })
}

/// The median.
fn usual_latency(own: &[usize], log: &Log<'_>) -> u64 {
    let mut latencies: Vec<u64> = own.iter().map(|&place| log.entries[place].latency).collect();
    let middle = latencies.len() / 2;
    if latencies.is_empty() { 0 } else { *latencies.select_nth_unstable(middle).1 }
}

#[cfg(test)]
mod tests {
    use super::super::made::{Line, log, log_with, options, replay, text};
    use super::super::presence;
    use super::super::{AccessLog, ReplayOptions};
    use super::Absence;
    use crate::random::Random;
    use std::iter;

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
        let mut told: Vec<(String, Vec<(u64, u64)>)> = presence::of(log, false)
            .into_iter()
            .map(|presence| presence.away)
            .zip(&log.endpoints)
            .map(|(away, name)| (name.clone(), away))
            .collect();
        told.sort();
        told.into_iter().map(|(_, away)| away).collect()
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
            let replayed = replay(&log, &options(&["round_robin"]));
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

    /// A log in which the endpoint failed in that way just before, and was asked again in vain at those times, in seconds, each request going to another one then.
    fn restarted(first: &str, again: &[(f64, &str)]) -> AccessLog {
        let lines = in_turn(3, 0.5, 1, |endpoint, now| endpoint == 2 && restarts(now));
        let last = lines.iter().rposition(|line| line.3 == 2 && line.0 < 30.0 * SECOND).unwrap();
        let place = |&(at, cause)| (lines.partition_point(|line| line.0 < at * SECOND), cause);
        let in_vain: Vec<(usize, &str)> = iter::once((last, first)).chain(again.iter().map(place)).collect();
        let line = |(number, line): (usize, &Line)| {
            let Some((_, cause)) = in_vain.iter().find(|attempt| attempt.0 == number) else {
                return text([(*line, 200)]);
            };
            let given_up = format!(r#""given_up":[{{"endpoint":"e2",{cause}"ms":0}}],"queue_ms""#);
            text([((line.0, line.1, line.2, 1), 200)]).replace(r#""queue_ms""#, &given_up)
        };
        AccessLog::read(lines.iter().enumerate().map(line).collect::<String>().as_bytes()).unwrap()
    }

    const UNKNOWN: &str = "";
    const REFUSED: &str = r#""cause":"connect_refused","#;
    const CLOSED: &str = r#""cause":"endpoint_closed","#;

    #[test]
    fn whom_the_log_says_was_not_there_is_away_after_a_failure_as_well() {
        for again in [&[][..], &[(31.0, REFUSED), (33.0, REFUSED)]] {
            let refuses = restarted(REFUSED, again);
            assert_eq!(away(&refuses)[2].len(), 1);
            let replayed = replay(&refuses, &options(&["round_robin"]));
            assert_eq!(replayed.outcomes[1].failed, 0);
            assert!(
                replayed
                    .assumed
                    .iter()
                    .any(|told| told.contains(", because nobody was there: nothing fails")),
                "{:?}",
                replayed.assumed
            );
        }
        // Which breaks off what it had.
        assert_eq!(away(&restarted(CLOSED, &[(32.0, REFUSED)]))[2].len(), 1);
        let closes = restarted(CLOSED, &[]);
        assert_eq!(away(&closes), [[]; 3]);
        assert!(
            replay(&closes, &options(&["round_robin"])).assumed.iter().any(|told| told.contains(", fails "))
        );
    }

    #[test]
    fn who_fails_at_once_time_after_time_while_it_is_asked_seldom_was_not_there() {
        assert_eq!(away(&restarted(UNKNOWN, &[])), [[]; 3]);
        assert_eq!(away(&restarted(UNKNOWN, &[(32.0, UNKNOWN)]))[2].len(), 1);
        assert_eq!(away(&restarted(UNKNOWN, &[(31.4, UNKNOWN), (32.8, UNKNOWN)]))[2].len(), 1);
    }

    /// Each worker of nginx leaves it out for itself.
    #[test]
    fn who_fails_at_once_for_every_worker_was_not_there() {
        let again = [30.1, 30.2, 31.9, 32.0].map(|at| (at, UNKNOWN));
        let log = restarted(UNKNOWN, &again);
        assert_eq!(away(&log)[2].len(), 1);
        assert_eq!(replay(&log, &options(&["round_robin"])).outcomes[1].failed, 0);
    }

    #[test]
    fn who_restarts_again_and_again_is_away_each_time() {
        let is_away = |endpoint: usize, now: f64| endpoint == 1 && now % (8.0 * SECOND) > 5.0 * SECOND;
        let told = away(&log(in_turn(2, 0.5, 3, is_away)));
        assert!(told[0].is_empty() && told[1].len() >= 12, "{told:?}");
    }

    #[test]
    fn tunnels_hide_no_absence_that_the_log_tells() {
        let mut likely = log(in_turn(3, 0.5, 1, |endpoint, now| endpoint == 2 && restarts(now)));
        let mut told = restarted(REFUSED, &[]);
        (likely.tunnels, told.tunnels) = (1, 1);
        assert_eq!((away(&likely)[2].len(), away(&told)[2].len()), (0, 1));
    }

    #[test]
    fn what_is_one_absence_is_what_its_parts_tell() {
        use Absence::{Failed, Likely, Proven};
        for (one, other, both) in
            [(Failed, Proven, Proven), (Likely, Failed, Failed), (Likely, Likely, Likely)]
        {
            assert_eq!((one.and(other), other.and(one)), (both, both));
        }
    }

    #[test]
    fn seconds_are_counted_from_the_first_request_though_it_found_nobody() {
        let failed = text([((0.0, 0.0, 0, 2), 503)]).replace(r#""status""#, &format!(r#"{REFUSED}"status""#));
        let lines = in_turn(3, 0.5, 1, |endpoint, now| endpoint == 2 && restarts(now));
        let later = lines.into_iter().map(|line| ((line.0 + 10.0 * SECOND, line.1, line.2, line.3), 200));
        let log = AccessLog::read((failed + &text(later)).as_bytes()).unwrap();
        let [(from, _)] = away(&log)[2][..] else { panic!("once") };
        assert!(from.abs_diff(40_000_000_000) < 500_000_000, "{from}");
    }

    /// One in so many requests to two that are there came to a third one first, which failed after that time.
    fn beside_one_that_fails(cause: &str, every: usize, ms: u32) -> AccessLog {
        let line = |(number, line): (usize, Line)| {
            let given_up =
                format!(r#""given_up":[{{"endpoint":"e2",{cause}"ms":{ms}}}],"queue_ms":{ms},"was""#);
            let text = text([(line, 200)]);
            if number % every == 1 { text.replace(r#""queue_ms""#, &given_up) } else { text }
        };
        let lines: String = in_turn(2, 0.5, 1, |_, _| false).into_iter().enumerate().map(line).collect();
        AccessLog::read(lines.as_bytes()).unwrap()
    }

    #[test]
    fn whose_answers_are_refused_is_there() {
        let log = beside_one_that_fails(r#""cause":"answer_refused","status":500,"#, 3, 0);
        assert_eq!(away(&log), [[]; 3]);
        let replayed = replay(&log, &options(&["least_request"]));
        assert!(replayed.outcomes[1].errors() > 0.2, "it draws them");
    }

    /// For all of the log, of which nobody would know where it would have answered.
    #[test]
    fn who_was_never_there_is_away_all_the_time() {
        for (cause, every, ms) in
            [(REFUSED, 50, 0), (UNKNOWN, 50, 0), (UNKNOWN, 2_000, 0), (UNKNOWN, 100, 2_000)]
        {
            let log = beside_one_that_fails(cause, every, ms);
            let [(0, until)] = away(&log)[2][..] else { panic!("from the beginning on") };
            assert!(until >= log.lasts() - 1);
            let replayed = replay(&log, &options(&["least_request"]));
            assert_eq!(replayed.at_once.unwrap().endpoints, (2, 2));
            assert!(replayed.outcomes[1].failed == 0, "{cause}");
        }
    }

    #[test]
    fn a_proxy_that_leaves_nobody_out_asks_nobody_who_is_not_there() {
        let mut log = restarted(UNKNOWN, &[]);
        log.may_leave_out = false;
        let replayed = replay(&log, &options(&["round_robin"]));
        assert!(replayed.assumed.iter().any(|told| told.contains(", away from ")), "{:?}", replayed.assumed);
    }

    #[test]
    fn of_two_reasons_that_a_log_does_not_tell_apart_its_owner_may() {
        let log = restarted(UNKNOWN, &[]);
        let told = |restarts| replay(&log, &ReplayOptions { restarts, ..options(&["round_robin"]) });
        let says = |restarts, what: &str| told(restarts).assumed.iter().any(|told| told.contains(what));
        let asks = "of 3 endpoints 1 was not asked for a while after a failure: taken for whom";
        assert!(says(false, asks) && !says(false, ", away from "), "{:?}", told(false).assumed);
        assert!(!says(true, asks) && says(true, ", away from "), "{:?}", told(true).assumed);
        assert!(says(false, ", fails ") && !says(true, ", fails "), "{:?}", told(true).assumed);
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
