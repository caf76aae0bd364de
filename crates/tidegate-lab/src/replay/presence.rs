//! From when to when each endpoint of a log was there. Knows no times but those of the requests, and no capacities.
//!
//! A log says nowhere that an endpoint joined or left, only that it was asked for the first and for the last time. How often it was asked between these
//! says whether chance alone can have kept it waiting for so long before and after: counted in requests, so that calm nights are no absence.

use super::away::{self, Absence, Gap};
use super::line::Reached;
use super::unconnected::{self, Unconnected};
use super::{AccessLog, Entry, GivenUp};
use crate::machine::Machine;
use crate::outcome::{AtOnce, Outcome, Utilisation};
use crate::span::Span;
use std::collections::{BTreeMap, HashMap};
use std::iter;

/// Of an endpoint that was asked less often nobody knows how often it is asked.
pub(super) const ASKED_MIN: usize = 10;
/// Chance makes a gap of so many mean ones once in a million.
pub(super) const MEAN_GAPS: f64 = 14.0;
/// And whoever is asked now more and now less, or was away for a while, has shown gaps of its own.
pub(super) const LONGEST_GAPS: usize = 3;
/// The part of an endpoint's requests that may have met fewer others in flight than it takes to be asked.
const CALM_PART: usize = 10;
/// The next answer may take so many times as long as the longest of the last ones.
const LATE_TIMES: u64 = 2;
/// Another endpoint leaves within this part of the log where one that joins replaces it.
const SWAP_PART: u64 = 20;
/// What lasts for less than this part of the log is a moment between two states.
const MOMENT_PART: u64 = 20;

/// In nanoseconds from the first request of the log; `None`: as long as the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Presence {
    /// When it was asked first.
    pub(super) joins: Option<u64>,
    /// When it was asked last.
    pub(super) leaves: Option<u64>,
    /// From when to when it was away in between.
    pub(super) away: Vec<(u64, u64)>,
    /// How often it was asked no more for a while after a failure, as whom a proxy leaves out for that.
    pub(super) left_out: usize,
}

/// When an endpoint was asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) at: u64,
    pub(super) latency: u64,
    pub(super) failed: bool,
    pub(super) reached: Reached,
    pub(super) key: u64,
    pub(super) endpoint: u32,
}

/// Of each endpoint. `restarts`: so those did that failed and were asked no more for a while.
pub(super) fn of(log: &AccessLog, restarts: bool) -> Vec<Presence> {
    let (all, unconnected) = unconnected::apart(asked_in(log), log.endpoints.len());
    let places = places_of(&all, log.endpoints.len());
    let ended = log.entries.iter().map(Entry::end).max().map_or(0, |ended| ended - log.first_at());
    // Who holds what is in no line may be asked less for that.
    let is_telling = log.tunnels == 0 && log.streams == 0;
    let presence = |(endpoint, stretch): (usize, Stretch)| {
        if places[endpoint].is_empty() && unconnected.is_ever(endpoint) {
            return Presence { away: vec![(0, ended)], ..Presence::default() };
        }
        let (mut away, mut left_out) = (Vec::new(), 0);
        for (absence, from, until) in stretch.absences {
            match absence {
                Absence::Likely | Absence::Failed if !is_telling => {}
                Absence::Failed if !restarts => left_out += 1,
                Absence::Proven | Absence::Likely | Absence::Failed => away.push((from, until)),
            }
        }
        Presence { joins: stretch.joins, leaves: stretch.leaves, away, left_out }
    };
    let asked = Log { first: log.first_at(), ..Log::of(&all, &places, &unconnected) };
    stretches_of(&asked).into_iter().enumerate().map(presence).collect()
}

/// In order.
fn asked_in(log: &AccessLog) -> Vec<Asking> {
    let last =
        log.entries.iter().map(|&Entry { at, latency, before, key, endpoint, failed, reached, .. }| Asking {
            at: at + before,
            latency: latency - before,
            failed,
            reached,
            key,
            endpoint,
        });
    let given_up = log.given_up.iter().map(|&GivenUp { at, took, key, endpoint, reached, .. }| Asking {
        at,
        latency: took,
        failed: true,
        reached,
        key,
        endpoint,
    });
    let mut all: Vec<Asking> = last.chain(given_up).collect();
    all.sort_by_key(|asking| asking.at);
    all
}

/// Of each of so many endpoints.
pub(super) fn places_of(all: &[Asking], endpoints: usize) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); endpoints];
    for (place, asking) in all.iter().enumerate() {
        places[asking.endpoint as usize].push(place);
    }
    places
}

/// From when to when an endpoint was asked, and when it was not in between.
#[derive(Clone, Default)]
struct Stretch {
    joins: Option<u64>,
    leaves: Option<u64>,
    absences: Vec<(Absence, u64, u64)>,
}

fn stretches_of(log: &Log<'_>) -> Vec<Stretch> {
    let &Log { entries, places, first, .. } = log;
    let all = || 0..places.len();
    let late: Vec<bool> = all().map(|endpoint| log.before(endpoint, None).is_long()).collect();
    let early: Vec<bool> = all().map(|endpoint| log.after(endpoint, None).is_long()).collect();
    let gaps: Vec<Vec<Gap>> = places.iter().map(|places| away::long_gaps(places)).collect();
    if !late.iter().chain(&early).any(|is| *is) && gaps.iter().all(Vec::is_empty) {
        return vec![Stretch::default(); places.len()];
    }
    let fleet = Fleet::of(log);
    let stretch = |endpoint: usize| {
        let joins = late[endpoint] && fleet.joins(endpoint, &early);
        let leaves = early[endpoint] && fleet.leaves(endpoint, &late);
        let at = |place: Option<&usize>| place.map(|&place| entries[place].at - first);
        Stretch {
            joins: at(places[endpoint].first().filter(|_| joins)),
            leaves: at(places[endpoint].last().filter(|_| leaves)),
            absences: away::of(endpoint, &gaps[endpoint], &fleet),
        }
    };
    all().map(stretch).collect()
}

pub(super) struct Log<'l> {
    pub(super) entries: &'l [Asking],
    pub(super) places: &'l [Vec<usize>],
    /// Of each endpoint; none of them is among the entries.
    pub(super) unconnected: &'l Unconnected,
    /// When the log's first request came, which may be one that found nobody.
    pub(super) first: u64,
    /// From here on it has every request; of those that came before only the slowest ended in it.
    begins: usize,
    /// When its last request ended.
    ended: u64,
}

/// How an endpoint was asked on from the beginning of the log, or back from its end, in requests of the log.
struct Asked {
    /// So many could have been its own before it was asked.
    absent: usize,
    count: usize,
    /// From the first time to the last.
    stretch: usize,
    longest_gap: usize,
}

impl Asked {
    /// Whether more requests came before the first than chance allows by how they follow each other.
    fn is_long(&self) -> bool {
        let mean_gap = self.stretch as f64 / self.count.saturating_sub(1).max(1) as f64;
        self.count >= ASKED_MIN
            && self.absent as f64 > MEAN_GAPS * mean_gap
            && self.absent > LONGEST_GAPS * self.longest_gap
    }
}

impl<'l> Log<'l> {
    fn of(entries: &'l [Asking], places: &'l [Vec<usize>], unconnected: &'l Unconnected) -> Self {
        let end = |entry: &Asking| entry.at + entry.latency;
        let first_end = entries.iter().map(end).min().unwrap_or_default();
        let begins = entries.partition_point(|entry| entry.at < first_end);
        let ended = entries.iter().map(end).max().unwrap_or_default();
        let first = entries.first().map_or(0, |first| first.at);
        Self { entries, places, unconnected, first, begins, ended }
    }

    fn before(&self, endpoint: usize, met: Option<&[usize]>) -> Asked {
        let (ranks, all) = self.ranks(endpoint, met);
        let first = ranks.first().copied().unwrap_or_default();
        Asked { absent: first.saturating_sub(all(self.begins)), ..asked(&ranks) }
    }

    /// Those that came last may be with it still, and in no line yet.
    fn after(&self, endpoint: usize, met: Option<&[usize]>) -> Asked {
        let (ranks, all) = self.ranks(endpoint, met);
        let last =
            self.places[endpoint].iter().rev().take(ASKED_MIN).map(|&place| self.entries[place].latency);
        let unknown_from = self.ended.saturating_sub(LATE_TIMES * last.max().unwrap_or_default());
        let known = all(self.entries.partition_point(|entry| entry.at <= unknown_from));
        let last = ranks.last().map_or(0, |last| last + 1);
        Asked { absent: known.saturating_sub(last), ..asked(&ranks) }
    }

    /// The places of its requests, and how to count others: of all, or of those that met as many in flight as nearly all of its own. Who is asked when
    /// all others are full misses nothing while they are not.
    pub(super) fn ranks(
        &self,
        endpoint: usize,
        met: Option<&[usize]>,
    ) -> (Vec<usize>, Box<dyn Fn(usize) -> usize>) {
        let places = &self.places[endpoint];
        let Some(met) = met else { return (places.clone(), Box::new(|place| place)) };
        let mut own: Vec<usize> = places.iter().map(|&place| met[place]).collect();
        own.sort_unstable();
        let least = own.get(own.len() / CALM_PART).copied().unwrap_or_default();
        let busy: Vec<usize> = (0..met.len()).filter(|&place| met[place] >= least).collect();
        let ranks = places.iter().filter_map(|place| busy.binary_search(place).ok()).collect();
        (ranks, Box::new(move |place| busy.partition_point(|busy| *busy < place)))
    }
}

fn asked(ranks: &[usize]) -> Asked {
    let stretch = ranks.first().zip(ranks.last()).map_or(0, |(first, last)| last - first);
    let longest_gap = ranks.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    Asked { absent: 0, count: ranks.len(), stretch, longest_gap }
}

/// What else can keep an endpoint from being asked.
pub(super) struct Fleet<'l> {
    pub(super) log: &'l Log<'l>,
    /// How many requests each one met in flight.
    pub(super) met: Vec<usize>,
    /// The first and the last place of each key.
    keys: HashMap<u64, (usize, usize)>,
}

impl<'l> Fleet<'l> {
    fn of(log: &'l Log<'l>) -> Self {
        let mut ends: Vec<u64> = log.entries.iter().map(|entry| entry.at + entry.latency).collect();
        ends.sort_unstable();
        let met = |(place, entry): (usize, &Asking)| {
            place.saturating_sub(ends.partition_point(|end| *end <= entry.at))
        };
        let met = log.entries.iter().enumerate().map(met).collect();
        let mut keys = HashMap::new();
        for (place, entry) in log.entries.iter().enumerate() {
            keys.entry(entry.key).or_insert((place, place)).1 = place;
        }
        Self { log, met, keys }
    }

    fn joins(&self, endpoint: usize, early: &[bool]) -> bool {
        let places = self.log.places;
        let first = places[endpoint].first().copied().unwrap_or_default();
        let has_left =
            |other: usize| early[other] && self.is_swap(places[other].last(), first, places[other].first());
        (self.log.before(endpoint, Some(&self.met)).is_long() || (0..places.len()).any(has_left))
            && self.has_keys(endpoint, |(key_first, _)| key_first < first)
    }

    fn leaves(&self, endpoint: usize, late: &[bool]) -> bool {
        let places = self.log.places;
        let last = places[endpoint].last().copied().unwrap_or_default();
        let has_joined =
            |other: usize| late[other] && self.is_swap(places[other].first(), last, places[other].last());
        (self.log.after(endpoint, Some(&self.met)).is_long() || (0..places.len()).any(has_joined))
            && self.has_keys(endpoint, |(_, key_last)| key_last > last)
    }

    /// Whether another one came, or went, about then, which was not there for that moment only.
    fn is_swap(&self, other: Option<&usize>, then: usize, far_end: Option<&usize>) -> bool {
        let (Some(&other), Some(&far_end)) = (other, far_end) else { return false };
        let at = |place: usize| self.log.entries[place].at;
        let about = (at(self.log.entries.len() - 1) - at(0)) / SWAP_PART;
        at(other).abs_diff(at(then)) <= about && at(far_end).abs_diff(at(then)) > about
    }

    /// Whether those that it serves came while it was not asked, or others that might have been its own, and so many that chance would have made some of
    /// them so: with a hash an endpoint waits for its clients.
    fn has_keys(&self, endpoint: usize, came: impl Fn((usize, usize)) -> bool) -> bool {
        let own = self.own_keys(endpoint);
        if own.iter().filter_map(|key| self.keys.get(key)).any(|&key| came(key)) {
            return true;
        }
        self.would_have_keys(&own, self.keys.values().filter(|&&key| came(key)).count())
    }

    /// The same of those that came between two places.
    pub(super) fn has_keys_within(&self, endpoint: usize, (from, until): Gap) -> bool {
        let own = self.own_keys(endpoint);
        let mut came: Vec<u64> = self.log.entries[from + 1..until].iter().map(|entry| entry.key).collect();
        came.sort_unstable();
        came.dedup();
        came.iter().any(|key| own.binary_search(key).is_ok()) || self.would_have_keys(&own, came.len())
    }

    fn own_keys(&self, endpoint: usize) -> Vec<u64> {
        let key = |&place: &usize| self.log.entries[place].key;
        let mut own: Vec<u64> = self.log.places[endpoint].iter().map(key).collect();
        own.sort_unstable();
        own.dedup();
        own
    }

    fn would_have_keys(&self, own: &[u64], others: usize) -> bool {
        others as f64 * own.len() as f64 / self.keys.len() as f64 > MEAN_GAPS
    }
}

impl Presence {
    /// Whether it was not there then.
    pub(super) fn is_absent(&self, at: u64) -> bool {
        self.absences().any(|(from, until)| (from..=until).contains(&at))
    }

    fn absences(&self) -> impl Iterator<Item = (u64, u64)> {
        let before = self.joins.and_then(|joins| joins.checked_sub(1)).map(|until| (0, until));
        let after = self.leaves.map(|leaves| (leaves.saturating_add(1), u64::MAX));
        before.into_iter().chain(self.away.iter().copied()).chain(after)
    }

    /// As a scenario has it, where requests come so many times as densely.
    pub(super) fn apply(&self, machine: Machine, times: f64) -> Machine {
        let at = |nanoseconds: u64| (nanoseconds as f64 / times) as u64;
        let away = |&(from, until): &(u64, u64)| {
            let until = at(until);
            (Span((at(from) + 1).min(until)), Span(until))
        };
        Machine {
            joins: self.joins.map(|joins| Span(at(joins))),
            // Its last request still finds it.
            leaves: self.leaves.map(|leaves| Span(at(leaves) + 1)),
            away: self.away.iter().map(away).collect(),
            ..machine
        }
    }
}

/// How many are there at a time; `None`: all of them, always.
pub(super) fn at_once(machines: &[Machine], until: u64) -> Option<AtOnce> {
    let mut changes: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    for machine in machines {
        for (from, to) in stretches(machine, 0, until) {
            for (at, sign) in [(from, 1), (to, -1)] {
                let change = changes.entry(at).or_default();
                *change = (change.0 + sign, change.1 + sign * i64::from(machine.slots));
            }
        }
    }
    let (mut there, mut lasted) = ((0, 0), BTreeMap::<(i64, i64), u64>::new());
    let moments: Vec<u64> = changes.keys().copied().skip(1).chain([until]).collect();
    for ((at, change), next) in changes.iter().zip(moments) {
        there = (there.0 + change.0, there.1 + change.1);
        *lasted.entry(there).or_default() += next - at;
    }
    let states = || lasted.iter().filter(|(_, lasts)| **lasts > until / MOMENT_PART).map(|(state, _)| *state);
    let range = |number: fn((i64, i64)) -> i64| {
        let least = states().map(number).min().unwrap_or_default();
        let most = states().map(number).max().unwrap_or_default();
        (least.unsigned_abs(), most.unsigned_abs())
    };
    let is_always =
        |machine: &Machine| machine.joins.is_none() && machine.leaves.is_none() && machine.away.is_empty();
    let is_always_all = machines.iter().all(is_always);
    (!is_always_all)
        .then(|| AtOnce { endpoints: range(|(endpoints, _)| endpoints), slots: range(|(_, slots)| slots) })
}

/// When it is there, within that time.
fn stretches(machine: &Machine, from: u64, until: u64) -> Vec<(u64, u64)> {
    let joins = machine.joins.map_or(from, |joins| joins.0);
    let leaves = machine.leaves.map_or(until, |leaves| leaves.0);
    let starts = iter::once(joins).chain(machine.away.iter().map(|(_, back)| back.0));
    let ends = machine.away.iter().map(|(away, _)| away.0).chain([leaves]);
    let within = |(start, end): (u64, u64)| {
        let start = start.clamp(from, until);
        (start, end.clamp(start, until))
    };
    starts.zip(ends).map(within).collect()
}

/// What was used of the slots that were there, not of those that had left or were to come.
pub(super) fn utilised_while_there(outcome: &mut Outcome, machines: &[Machine], from: u64, until: u64) {
    let part = |machine: &Machine| {
        let there: u64 = stretches(machine, from, until).iter().map(|(start, end)| end - start).sum();
        there as f64 / (until - from).max(1) as f64
    };
    let (mut busy, mut there, mut least, mut most) = (0.0, 0.0, f64::INFINITY, 0.0_f64);
    for (endpoint, machine) in outcome.endpoints.iter_mut().zip(machines) {
        let (part, slots) = (part(machine), f64::from(machine.slots));
        busy += endpoint.utilisation * slots;
        there += part * slots;
        // Of a moment's presence what is finished after it would be most.
        if part > 1.0 / MOMENT_PART as f64 {
            endpoint.utilisation = (endpoint.utilisation / part).min(1.0);
            least = least.min(endpoint.utilisation);
            most = most.max(endpoint.utilisation);
        }
    }
    outcome.utilisation = Utilisation { mean: busy / there.max(1e-9), busiest: most, idlest: least };
}

/// In order, and none touches another: from when to when, both included.
pub(super) fn when_somebody_is_absent(presences: &[Presence]) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = presences.iter().flat_map(Presence::absences).collect();
    spans.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, until) in spans {
        match merged.last_mut().filter(|before| from <= before.1) {
            Some(before) => before.1 = before.1.max(until),
            None => merged.push((from, until)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::ReplayOptions;
    use super::super::made::{self, Line, log, options};
    use super::*;
    use crate::outcome::Comparison;
    use crate::random::Random;

    fn told(log: &AccessLog) -> Vec<(bool, bool)> {
        let mut told: Vec<(String, (bool, bool))> = of(log, false)
            .into_iter()
            .zip(&log.endpoints)
            .map(|(presence, name)| (name.clone(), (presence.joins.is_some(), presence.leaves.is_some())))
            .collect();
        told.sort();
        told.into_iter().map(|(_, told)| told).collect()
    }

    const ALWAYS: (bool, bool) = (false, false);
    const JOINS: (bool, bool) = (true, false);
    const LEAVES: (bool, bool) = (false, true);

    /// Four endpoints of one slot in turn at four fifths of what they can do, which four others replace one after the other.
    fn deployed(count: usize) -> AccessLog {
        let (mut random, mut now, mut free) = (Random::new(11), 0.0_f64, [0.0_f64; 8]);
        log((0..count).map(move |number| {
            now += 25.0 / 0.8 * random.exponential();
            let slot = number % 4;
            let is_replaced = number > count / 2 + slot * count / 20;
            let endpoint = slot + if is_replaced { 4 } else { 0 };
            free[endpoint] = free[endpoint].max(now) + 100.0;
            (now, free[endpoint] - now, 0, endpoint)
        }))
    }

    fn replay(log: &AccessLog, times: f64) -> Comparison {
        let options = options(&["round_robin", "oracle", "least_time"]);
        made::replay(log, &ReplayOptions { times, ..options })
    }

    #[test]
    fn absences_of_all_are_in_order_and_apart() {
        let away = |away: &[(u64, u64)]| Presence { away: away.to_vec(), ..Presence::default() };
        let late = Presence { joins: Some(5), leaves: Some(90), ..Presence::default() };
        let all = [away(&[(20, 30), (50, 60)]), late, away(&[(25, 40)]), Presence::default()];
        assert_eq!(when_somebody_is_absent(&all), [(0, 4), (20, 40), (50, 60), (91, u64::MAX)]);
        for at in 0..100 {
            let expected = all.iter().any(|presence| presence.is_absent(at));
            let is_within = |(from, until): &(u64, u64)| (*from..=*until).contains(&at);
            assert_eq!(when_somebody_is_absent(&all).iter().any(is_within), expected, "{at}");
        }
        assert_eq!(when_somebody_is_absent(&[away(&[]), away(&[])]), []);
    }

    #[test]
    fn endpoints_that_others_replace_are_there_one_after_the_other() {
        for count in [400, 4_000] {
            let log = deployed(count);
            assert_eq!(told(&log), [[LEAVES; 4], [JOINS; 4]].concat(), "{count}");
            let replayed = replay(&log, 1.0);
            assert_eq!(replayed.at_once.unwrap().endpoints, (4, 4), "{count}");
            let [recorded, robin, ..] = replayed.outcomes.as_slice() else { panic!("four") };
            // The log's own algorithm, on as many endpoints as it had.
            let times = robin.latency_ms.mean / recorded.latency_ms.mean;
            assert!((0.9..1.1).contains(&times), "{count}: {times}");
            assert!((robin.utilisation.mean - 0.8).abs() < 0.06, "{count}: {:?}", robin.utilisation);
            assert!(replayed.outcomes.iter().all(|outcome| outcome.failed == 0), "{count}");
        }
    }

    #[test]
    fn every_request_finds_an_endpoint_however_dense_they_are() {
        let replayed = replay(&deployed(400), 1e6);
        assert!(replayed.outcomes.iter().all(|outcome| outcome.failed == 0));
    }

    #[test]
    fn who_is_asked_by_chance_is_there_always() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let log = log((0..400).map(|number| {
                let endpoint = if random.unit() < 0.1 { 3 } else { random.below(3) as usize };
                (10.0 * f64::from(number), 5.0, 0, endpoint)
            }));
            assert_eq!(told(&log), [ALWAYS; 4], "seed {seed}");
        }
    }

    /// The first one that has less than two, in calm traffic with a busy minute in its middle.
    #[test]
    fn who_is_asked_when_all_others_are_full_is_there_always() {
        let (mut random, mut now, mut held) = (Random::new(3), 0.0_f64, vec![Vec::<f64>::new(); 4]);
        let mut lines = Vec::new();
        while now < 180_000.0 {
            let load = if (60_000.0..120_000.0).contains(&now) { 7.0 } else { 1.0 };
            now += 100.0 / load * random.exponential();
            for held in &mut held {
                held.retain(|end| *end > now);
            }
            let Some(endpoint) = held.iter().position(|held| held.len() < 2) else { continue };
            held[endpoint].push(now + 100.0);
            lines.push((now, 100.0, 0, endpoint));
        }
        let log = log(lines);
        let all = asked_in(&log);
        let (places, unconnected) = (places_of(&all, 4), Unconnected::default());
        assert!(
            (0..4).any(|endpoint| Log::of(&all, &places, &unconnected).before(endpoint, None).is_long()),
            "the others' requests alone would not tell"
        );
        assert_eq!(told(&log), [ALWAYS; 4]);
    }

    #[test]
    fn who_waits_for_its_clients_is_there_always() {
        // A client of each endpoint; the fourth one's comes late.
        let line = |number: u32| {
            let client = if number < 1_000 { number % 3 } else { number % 4 };
            (10.0 * f64::from(number), 5.0, u64::from(client), client as usize)
        };
        assert_eq!(told(&log((0..2_000).map(line))), [ALWAYS; 4]);
        // With clients that go anywhere it has joined.
        let anywhere = |number: u32| (line(number).0, 5.0, u64::from(number % 7), line(number).3);
        assert_eq!(told(&log((0..2_000).map(anywhere))), [ALWAYS, ALWAYS, ALWAYS, JOINS]);
    }

    /// Four endpoints in turn, two of which have ever more waiting; lines are in the order of the ends, and the log is a piece of that.
    #[test]
    fn who_has_not_answered_yet_has_not_left() {
        let (mut random, mut now, mut free) = (Random::new(7), 0.0_f64, [0.0_f64; 4]);
        let mut lines: Vec<Line> = (0..8_000)
            .map(|number| {
                now += 10.0 * random.exponential();
                let endpoint = number % 4;
                free[endpoint] = free[endpoint].max(now) + if endpoint < 2 { 80.0 } else { 30.0 };
                (now, free[endpoint] - now, 0, endpoint)
            })
            .collect();
        lines.sort_by(|one, other| (one.0 + one.1).total_cmp(&(other.0 + other.1)));
        for piece in [0..3_000, 1_000..3_000, 2_000..5_000] {
            assert_eq!(told(&log(lines[piece.clone()].iter().copied())), [ALWAYS; 4], "{piece:?}");
        }
    }

    #[test]
    fn who_is_away_in_between_or_hardly_asked_has_not_left() {
        let away = |number: u32| {
            let endpoint = if (600..1_000).contains(&number) { number % 3 } else { number % 4 };
            (10.0 * f64::from(number), 5.0, 0, endpoint as usize)
        };
        assert_eq!(told(&log((0..2_000).map(away))), [ALWAYS; 4]);
        // As one that fails: asked again after 40, 80, 160 … others.
        let seldom = |number: u32| {
            let is_trial = number.is_multiple_of(40) && (number / 40).is_power_of_two();
            let endpoint = if is_trial { 3 } else { number % if number < 40 { 4 } else { 3 } };
            (10.0 * f64::from(number), 5.0, 0, endpoint as usize)
        };
        assert_eq!(told(&log((0..2_000).map(seldom))), [ALWAYS; 4]);
    }
}
