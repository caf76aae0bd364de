//! What an endpoint can do, told from when its requests came and left. Knows no log.
//!
//! Of each number of slots and each discipline `stays` says how likely the answers are; the likeliest is believed. A log in which
//! the slots never ran out cannot tell how many there are; then they are as many as were ever in flight at once.

use super::stays::{Own, RESOLUTION, Stays};
use crate::machine::Discipline;
use std::iter;

/// More are not told apart.
const SLOTS_MAX: u32 = 4_096;
/// Of fewer answers nobody knows by how much chance has moved them.
const ANSWERS_MIN: usize = 10;
/// Of more stays only those are looked at where most came together: there it shows who has to wait.
const LOOKED_AT: usize = 1 << 15;
/// Where ends are not exact, each costs more.
const LOOKED_AT_INEXACT: usize = 1 << 13;
/// By how much the logarithm of the likelihood must be greater than that of slots that never ran out.
const SURE: f64 = 5.0;
/// And than that of a line, where slots are shared: what all share explains a little of any distribution that none of ours fits. Of 864 endpoints with
/// slots in a line and odd distributions of work, none was told to share with this, nine with 5.
const SURE_SHARED: f64 = 8.0;
/// What is less is so by errors of the log, in nanoseconds.
const SHORTEST: f64 = 1e5;
/// Numbers of slots are all tried up to here; above, at first those that are so many times as many.
const ALL_TRIED: u32 = 24;
const NEXT_TRIED: f64 = 1.15;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Capacity {
    pub(super) slots: u32,
    /// That were ever in flight at once.
    pub(super) most: u32,
    pub(super) discipline: Discipline,
    /// The geometric mean of an answer's time with a slot of its own, the mean where single times are uncertain, in nanoseconds; `None`: there were too few to tell.
    pub(super) service: Option<f64>,
    /// More were in flight at times than there are slots.
    pub(super) was_full: bool,
    /// What chance alone may be off in `ln(service)`, one standard deviation.
    pub(super) doubt: f64,
    pub(super) waiters: Waiters,
    /// All ends were known, not only their seconds.
    pub(super) is_exact: bool,
    /// What the endpoint had while others waited in the proxy.
    pub(super) proxy: Proxy,
    /// The mean time that a slot was busy with each answer, in nanoseconds, where slots ran out and ends are not exact: by how many were there,
    /// not by who left before whom.
    pub(super) busy: Option<f64>,
    /// Nothing was told of it but how many it answers.
    pub(super) is_guessed: bool,
}

/// What requests that waited in the proxy tell of the endpoint that they waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    /// None waited there, or too few to tell.
    NobodyWaited,
    /// It had so many, and got no more.
    Held(u32),
    /// It had now more, now fewer: they waited for something else.
    Unclear,
}

impl Proxy {
    fn of(stays: &Stays) -> Self {
        match stays.held() {
            Some(held) => Self::Held(held),
            None if stays.are_queued() => Self::Unclear,
            None => Self::NobodyWaited,
        }
    }
}

/// How likely the answers are with so many slots.
#[derive(Clone, Copy, Debug)]
struct Trial {
    slots: u32,
    discipline: Discipline,
    likelihood: f64,
}

impl Capacity {
    /// With so many slots, where they are known. With each stay's own time.
    pub(super) fn fit(stays: &Stays, slots: Option<u32>) -> (Self, Vec<Own>) {
        let proxy = Proxy::of(stays);
        let most = if let Proxy::Held(held) = proxy { held.min(stays.most()) } else { stays.most() };
        let most = most.clamp(1, SLOTS_MAX);
        let answers = stays.answers();
        let is_told = answers >= ANSWERS_MIN;
        let (slots, discipline) = match slots {
            _ if !is_told => (slots.unwrap_or(most), Discipline::Fifo),
            Some(slots) => (slots, discipline(stays, slots)),
            None => told(stays, most),
        };
        let own = stays.own_times(slots, discipline);
        let was_full = is_told && slots < most;
        let center = Center::of(stays, &own, |_| true).filter(|_| is_told);
        let capacity = Self {
            slots,
            most,
            discipline,
            service: center.map(|center| if stays.are_exact() { center.mean } else { center.of_times }.exp()),
            was_full,
            doubt: center.map_or(0.0, |center| (center.variance / answers as f64).sqrt()),
            waiters: Waiters::of(stays, &own),
            is_exact: stays.are_exact(),
            proxy,
            busy: (was_full && !stays.are_exact()).then(|| busy(stays, slots)),
            is_guessed: false,
        };
        (capacity, own)
    }
}

impl Capacity {
    /// The logarithm, with as many slots, or with those with which it is greatest.
    pub(super) fn likelihood(stays: &Stays, slots: Option<u32>) -> f64 {
        let both = [Discipline::Fifo, Discipline::Shared];
        match slots {
            Some(slots) => both
                .into_iter()
                .map(|one| trials(stays, &[slots], one)[0].likelihood)
                .fold(f64::NEG_INFINITY, f64::max),
            None => likeliest(stays, stays.most().clamp(1, SLOTS_MAX)).likelihood,
        }
    }
}

/// How long a slot is busy with each answer, on average.
fn busy(stays: &Stays, slots: u32) -> f64 {
    let own = stays.own_times(slots, Discipline::Shared);
    let answers = own.iter().zip(stays.all()).filter(|(_, stay)| stay.is_answer);
    answers.map(|(own, _)| own.time).sum::<f64>() / stays.answers().max(1) as f64
}

impl Capacity {
    /// As fast as others, with the slots that answer as many as it did then.
    pub(super) fn guessed(stays: &Stays, service: f64) -> Self {
        let most = stays.most().clamp(1, SLOTS_MAX);
        let (mut few, mut many) = (1, most);
        while few < many {
            let middle = few.midpoint(many);
            if busy(stays, middle) < service { few = middle + 1 } else { many = middle }
        }
        let off = |slots: u32| (busy(stays, slots) / service).ln().abs();
        let slots = if few > 1 && off(few - 1) < off(few) { few - 1 } else { few };
        Self {
            slots,
            most,
            discipline: Discipline::Fifo,
            service: Some(service),
            was_full: slots < most,
            doubt: 0.0,
            waiters: Waiters::default(),
            is_exact: stays.are_exact(),
            proxy: Proxy::NobodyWaited,
            busy: None,
            is_guessed: true,
        }
    }
}

fn told(stays: &Stays, most: u32) -> (u32, Discipline) {
    let busiest = stays.busiest(if stays.are_exact() { LOOKED_AT } else { LOOKED_AT_INEXACT });
    let looked_at = busiest.as_ref().unwrap_or(stays);
    let most_there = looked_at.most().min(most);
    let best = likeliest(looked_at, most_there);
    if best.slots < most_there { (best.slots, best.discipline) } else { (most, Discipline::Fifo) }
}

fn likeliest(stays: &Stays, most: u32) -> Trial {
    let never_full = trials(stays, &[most], Discipline::Fifo)[0];
    let line = best_of(stays, most, Discipline::Fifo).better_than(never_full);
    let best = best_of(stays, most, Discipline::Shared).better_than(line);
    let is_certain = best.slots == most || !stays.are_alike(&stays.own_times(best.slots, best.discipline));
    if is_certain { best } else { never_full }
}

fn discipline(stays: &Stays, slots: u32) -> Discipline {
    let [line, shared] = [Discipline::Fifo, Discipline::Shared].map(|one| trials(stays, &[slots], one)[0]);
    shared.better_than(line).discipline
}

/// The likeliest number of slots up to `most`.
fn best_of(stays: &Stays, most: u32, discipline: Discipline) -> Trial {
    let next = |slots: &u32| {
        let next = if *slots < ALL_TRIED { slots + 1 } else { (f64::from(*slots) * NEXT_TRIED) as u32 };
        (*slots < most).then_some(next.min(most))
    };
    let tried: Vec<u32> = iter::successors(Some(1), next).collect();
    let mut best = likeliest_of(trials(stays, &tried, discipline));
    let mut apart = (f64::from(best.slots) * (NEXT_TRIED - 1.0)) as u32;
    while best.slots > ALL_TRIED && apart > 1 {
        apart = apart.div_ceil(2);
        let near = [best.slots - apart.min(best.slots - 1), best.slots, (best.slots + apart).min(most)];
        best = likeliest_of(trials(stays, &near, discipline));
    }
    best
}

fn trials(stays: &Stays, slots: &[u32], discipline: Discipline) -> Vec<Trial> {
    let likelihoods = stays.likelihoods(slots, discipline);
    let trial = |(&slots, likelihood)| Trial { slots, discipline, likelihood };
    slots.iter().zip(likelihoods).map(trial).collect()
}

fn likeliest_of(trials: Vec<Trial>) -> Trial {
    let none = Trial { slots: 1, discipline: Discipline::Fifo, likelihood: f64::NEG_INFINITY };
    trials.into_iter().fold(none, |best, one| if one.likelihood > best.likelihood { one } else { best })
}

impl Trial {
    /// And surely so.
    fn better_than(self, other: Self) -> Self {
        let sure = if self.discipline == Discipline::Shared { SURE_SHARED } else { SURE };
        if self.likelihood > other.likelihood + sure { self } else { other }
    }
}

/// How those that waited compare with the others at the same endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Waiters {
    answers: f64,
    waited: f64,
    too_soon: f64,
    /// The logarithm of what they did on their own over what the others did, times its weight.
    more: f64,
    /// One over its variance, were that of one answer's logarithm 1.
    weight: f64,
    /// The variance of one answer's logarithm, times the weight.
    variance: f64,
}

impl Waiters {
    fn of(stays: &Stays, own: &[Own]) -> Self {
        let answers = || own.iter().zip(stays.all()).filter(|(_, stay)| stay.is_answer);
        let count = |is_wanted: fn(&Own) -> bool| answers().filter(|(own, _)| is_wanted(own)).count() as f64;
        let mut of = Self {
            answers: count(|_| true),
            waited: count(|own| own.waited),
            too_soon: count(|own| own.time < -RESOLUTION),
            ..Self::default()
        };
        let centers = [true, false].map(|waited| Center::of(stays, own, |own| own.waited == waited));
        if let [Some(waiters), Some(others)] = centers {
            of.weight = waiters.count * others.count / of.answers;
            // Where single times are uncertain errors go out in the mean of the times.
            let more = if stays.are_exact() {
                waiters.mean - others.mean
            } else {
                waiters.of_times - others.of_times
            };
            of.more = of.weight * more;
            let squares = waiters.count * waiters.variance + others.count * others.variance;
            of.variance = of.weight * squares / of.answers;
        }
        of
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.waited += other.waited;
        self.too_soon += other.too_soon;
        self.more += other.more;
        self.weight += other.weight;
        self.variance += other.variance;
    }

    pub(super) fn part(&self) -> f64 {
        self.waited / self.answers.max(1.0)
    }

    pub(super) fn too_soon(&self) -> f64 {
        self.too_soon / self.answers.max(1.0)
    }

    /// How many times as much work they were, and one standard deviation of that.
    pub(super) fn over_others(&self) -> Option<(f64, f64)> {
        let ratio = (self.more / self.weight).exp();
        (self.weight >= ANSWERS_MIN as f64).then(|| (ratio, ratio * self.variance.sqrt() / self.weight))
    }
}

/// What answers took on their own, as logarithms: where it is known exactly, without those that came sooner than they could, which say nothing of it.
#[derive(Clone, Copy, Debug)]
struct Center {
    count: f64,
    mean: f64,
    /// The logarithm of the mean of the times.
    of_times: f64,
    variance: f64,
}

impl Center {
    /// `None`: there was none.
    fn of(stays: &Stays, own: &[Own], is_wanted: impl Fn(&Own) -> bool) -> Option<Self> {
        let (mut count, mut total, mut sum, mut squares) = (0.0, 0.0, 0.0, 0.0);
        for (own, stay) in own.iter().zip(stays.all()) {
            let is_known = !stays.are_exact() || own.time >= -RESOLUTION;
            if stay.is_answer && is_known && is_wanted(own) {
                let time = own.time.max(SHORTEST).ln();
                count += 1.0;
                total += own.time;
                sum += time;
                squares += time * time;
            }
        }
        let variance = (squares / count - (sum / count).powi(2)).max(0.0);
        let of_times = (total / count).max(SHORTEST).ln();
        (count > 0.0).then_some(Self { count, mean: sum / count, of_times, variance })
    }
}

#[cfg(test)]
mod tests {
    use super::super::explained::{Seen, latencies};
    use super::super::stays::Stay;
    use super::*;
    use crate::machine::Machine;
    use crate::random::Random;

    #[derive(Clone, Copy, Debug)]
    enum Works {
        Constant,
        Lognormal,
    }

    /// Requests of 10 ms on average, at random moments, that load so many slots; with each one's work.
    fn stays(machine: &Machine, load: f64, works: Works, count: usize, seed: u64) -> (Vec<Stay>, Vec<f64>) {
        let (mut random, mut now) = (Random::new(seed), 0.0);
        let mut request = |_| {
            now += 1e7 / load / f64::from(machine.slots) * random.exponential();
            let work = match works {
                Works::Constant => 1e7,
                Works::Lognormal => 1e7 * (random.normal() - 0.5).exp(),
            };
            Seen { at: now as u64, latency: 0, work, is_measured: true }
        };
        let requests: Vec<Seen> = (0..count).map(&mut request).collect();
        let stay = |(seen, latency): (&Seen, u64)| Stay {
            at: seen.at,
            end: seen.at + latency,
            is_answer: true,
            in_second: None,
            queued: 0,
        };
        let stays = requests.iter().zip(latencies(machine, &requests)).map(stay).collect();
        (stays, requests.iter().map(|seen| seen.work).collect())
    }

    fn machine(slots: u32, discipline: Discipline) -> Machine {
        Machine { discipline, ..Machine::sound("a".into(), slots) }
    }

    fn fit(all: Vec<Stay>) -> (Capacity, Vec<Own>) {
        Capacity::fit(&Stays::new(all), None)
    }

    fn loads() -> impl Iterator<Item = (u32, f64, Works)> {
        let each =
            [1, 2, 4, 16].into_iter().flat_map(|slots| [0.5, 0.8, 0.95, 1.1].map(|load| (slots, load)));
        each.flat_map(|(slots, load)| [Works::Constant, Works::Lognormal].map(|works| (slots, load, works)))
    }

    #[test]
    fn slots_before_which_requests_wait_are_found_again_and_own_times_are_exact() {
        for (slots, load, works) in loads() {
            let (all, work) = stays(&machine(slots, Discipline::Fifo), load, works, 5_000, 1);
            let (capacity, own) = fit(all);
            let case = format!("{slots} slots, {load}, {works:?}: {capacity:?}");
            // Half of sixteen slots are hardly ever all in use.
            if (slots, load) == (16, 0.5) && !capacity.was_full {
                assert!(capacity.slots >= 16, "{case}");
                continue;
            }
            assert_eq!((capacity.slots, capacity.discipline), (slots, Discipline::Fifo), "{case}");
            let off = own.iter().zip(&work).map(|(own, work)| (own.time - work).abs()).fold(0.0, f64::max);
            assert!(off <= 1.0, "{case}: {off} ns");
        }
    }

    /// Where more comes all the time than can be done, twice as many slots that are half as fast would have done the same.
    #[test]
    fn slots_that_are_shared_are_found_again_but_where_nobody_ever_had_one_alone() {
        for (slots, load, works) in loads().filter(|(_, load, _)| *load < 1.0) {
            let (capacity, _) = fit(stays(&machine(slots, Discipline::Shared), load, works, 5_000, 1).0);
            let case = format!("{slots} slots, {load}, {works:?}: {capacity:?}");
            if (slots, load) == (16, 0.5) && !capacity.was_full {
                assert!(capacity.slots >= 16, "{case}");
                continue;
            }
            assert_eq!(capacity.discipline, Discipline::Shared, "{case}");
            assert!(capacity.slots.abs_diff(slots) <= slots / 16, "{case}");
        }
    }

    /// One in fifty is answered at once by something before the slots, one in a thousand stays for a second without a slot.
    #[test]
    fn a_few_that_never_took_a_slot_change_nothing() {
        for (slots, load) in [(2, 0.8), (4, 0.95), (16, 0.95)] {
            let (mut all, _) = stays(&machine(slots, Discipline::Fifo), load, Works::Lognormal, 5_000, 2);
            let beside = |every: usize, lasts: u64| {
                let of = move |stay: &Stay| Stay { at: stay.at + 7, end: stay.at + 7 + lasts, ..*stay };
                all.iter().step_by(every).map(of).collect::<Vec<_>>()
            };
            let both = [beside(50, 2_000_000), beside(1_000, 1_000_000_000)].concat();
            all.extend(both);
            all.sort_by_key(|stay| stay.at);
            let capacity = fit(all).0;
            assert!(capacity.slots.abs_diff(slots) <= 1 + slots / 16, "{slots} slots, {load}: {capacity:?}");
        }
    }

    /// The queue only grows, so that whoever comes at about the same time waits about as long.
    #[test]
    fn slots_are_found_again_where_so_many_wait_that_all_take_equally_long() {
        for works in [Works::Constant, Works::Lognormal] {
            let (all, _) = stays(&machine(4, Discipline::Fifo), 1.05, works, 6 * LOOKED_AT, 4);
            let capacity = fit(all).0;
            assert_eq!((capacity.slots, capacity.discipline), (4, Discipline::Fifo), "{works:?}");
        }
    }

    #[test]
    fn slots_that_never_ran_out_are_as_many_as_were_seen() {
        for seed in 0..20 {
            let (all, _) = stays(&machine(100, Discipline::Fifo), 0.05, Works::Lognormal, 2_000, seed);
            let most = Stays::new(all.clone()).most();
            let capacity = fit(all.clone()).0;
            assert_eq!((capacity.slots, capacity.was_full), (most, false), "seed {seed}");
            assert_eq!(Capacity::fit(&Stays::new(all), Some(3)).0.slots, 3);
        }
    }

    /// At even distances and equally long: one slot of a third of the time would be just as busy, and nobody would ever have found it free.
    #[test]
    fn requests_that_all_took_equally_long_did_not_wait() {
        let stay = |number: u64| Stay {
            at: 8_000_000 * number,
            end: 8_000_000 * number + 20_000_000,
            is_answer: true,
            in_second: None,
            queued: 0,
        };
        let capacity = fit((0..1_000).map(stay).collect()).0;
        assert_eq!((capacity.slots, capacity.was_full), (3, false));
    }

    #[test]
    fn of_a_few_answers_nothing_is_told() {
        for (answers, is_told) in [(0, false), (9, false), (10, true)] {
            let stay = |number| Stay {
                at: number,
                end: number + 5_000_000,
                is_answer: number < answers,
                in_second: None,
                queued: 0,
            };
            let capacity = fit((0..20).map(stay).collect()).0;
            assert_eq!((capacity.service.is_some(), capacity.slots), (is_told, 20), "{answers}");
        }
    }

    #[test]
    fn more_slots_than_there_are_leave_waiting_in_the_work_of_those_that_waited() {
        let (all, _) = stays(&machine(2, Discipline::Fifo), 0.8, Works::Lognormal, 5_000, 3);
        let work = |slots| {
            let capacity = Capacity::fit(&Stays::new(all.clone()), Some(slots)).0;
            capacity.waiters.over_others().unwrap().0
        };
        let [right, more] = [2, 3].map(work);
        assert!((right - 1.0).abs() < 0.1 && more > 1.3, "{right} {more}");
    }

    /// What least request sends to four endpoints of sixteen slots each, two of which are twice as fast: a second of work each, as a mean.
    fn of_a_fleet(count: usize, seed: u64) -> Vec<Vec<(f64, f64)>> {
        let (speeds, mut random, mut now) = ([1.0, 2.0, 1.0, 2.0], Random::new(seed), 0.0);
        let mut free = vec![[0.0_f64; 16]; speeds.len()];
        let mut stays: Vec<Vec<(f64, f64)>> = vec![Vec::new(); speeds.len()];
        for number in 0..count {
            now += 1e9 / (0.73 * 16.0 * 6.0) * random.exponential();
            let there = |one: usize| stays[one].iter().filter(|(_, end)| *end > now).count();
            let one = (0..4).min_by_key(|&one| (there(one), (one + number) % 4)).unwrap();
            let slot = free[one].iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
            *slot = slot.max(now) + 1e9 / speeds[one] * (random.normal() - 0.5).exp();
            stays[one].push((now, *slot));
        }
        stays
    }

    /// Few of them, so that chance has its say: whatever it says, it is the same of all times ten times as long.
    #[test]
    fn the_unit_of_time_is_no_matter_and_no_slots_are_made_up_for_slow_work() {
        for (seed, endpoint) in
            (0..6).flat_map(|seed| of_a_fleet(2_400, seed).into_iter().map(move |one| (seed, one)))
        {
            let told = [0.1, 1.0, 10.0].map(|unit| {
                let stay = |&(at, end): &(f64, f64)| Stay {
                    at: (at * unit) as u64,
                    end: (end * unit) as u64,
                    is_answer: true,
                    in_second: None,
                    queued: 0,
                };
                let capacity = fit(endpoint.iter().map(stay).collect()).0;
                (capacity.slots, capacity.discipline, capacity.service.unwrap() / unit)
            });
            for (slots, discipline, service) in told {
                assert!(
                    (15..=22).contains(&slots) && discipline == Discipline::Fifo,
                    "seed {seed}: {told:?}"
                );
                assert!(
                    slots == told[1].0 && (service / told[1].2 - 1.0).abs() < 0.001,
                    "seed {seed}: {told:?}"
                );
            }
        }
    }

    /// One in fifty answers comes from something before the slots, at once: nobody knows what those do on their own.
    #[test]
    fn answers_that_came_too_soon_say_nothing_of_the_speed() {
        let of = |unit: f64| {
            let (all, _) = stays(&machine(2, Discipline::Fifo), 0.9, Works::Lognormal, 4_000, 6);
            let mut all: Vec<Stay> = all
                .iter()
                .map(|stay| Stay {
                    at: (stay.at as f64 * unit) as u64,
                    end: (stay.end as f64 * unit) as u64,
                    ..*stay
                })
                .collect();
            let at_once = |stay: &Stay| Stay { at: stay.at + 7, end: stay.at + 8, ..*stay };
            let more: Vec<Stay> = all.iter().step_by(50).map(at_once).collect();
            all.extend(more);
            all.sort_by_key(|stay| stay.at);
            let capacity = fit(all).0;
            (capacity.slots, capacity.service.unwrap() / unit)
        };
        let [(two, quick), (too, slow)] = [1.0, 100.0].map(of);
        assert!((two, too) == (2, 2) && (slow / quick - 1.0).abs() < 0.05, "{quick} {slow}");
    }
}
