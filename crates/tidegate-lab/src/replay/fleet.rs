//! The endpoints as a log tells them, and what a replay runs on. Knows no lines and no algorithm.

use super::capacity::Capacity;
use super::explained::{Rerun, Seen};
use super::line::Reached;
use super::presence::{self, Presence};
use super::stays::{Own, SECOND, Stay, Stays};
use super::weights::{Told, Weights};
use super::{AccessLog, Entry, GivenUp, ReplayOptions, alike, guessed, warm_up};
use crate::again::{Again, Retry};
use crate::machine::{Failing, Fails, Machine, Part};
use crate::outcome::Explained;
use crate::random::mix;
use crate::simulation::Plan;
use crate::span::Span;
use crate::traffic::{Recorded, Traffic};

/// Times that differ by less say nothing about an endpoint's speed.
const SPEED_MARGIN: f64 = 0.1;
/// A failure that takes so many times less than an answer, or more, is none behind the work: it was refused, or nobody waited any longer.
const LIKE_WORK: f64 = 1.6;
/// So that what is drawn for a line has nothing to do with what is drawn for it elsewhere.
const UNSEEN: u64 = 0xfa11;

/// The endpoints as the log tells them.
pub(super) struct Fleet {
    pub(super) machines: Vec<Machine>,
    /// The places of each endpoint's entries.
    pub(super) places: Vec<Vec<usize>>,
    pub(super) given_up: Vec<Vec<GivenUp>>,
    /// Of each entry.
    pub(super) own: Vec<Own>,
    /// Of each of these attempts.
    pub(super) own_given_up: Vec<Vec<Own>>,
    pub(super) capacities: Vec<Capacity>,
    pub(super) presences: Vec<Presence>,
    /// How its weights are known.
    pub(super) weights: Told,
    /// The typical endpoint's service time, in nanoseconds.
    pub(super) service: f64,
}

impl Fleet {
    pub(super) fn of(log: &AccessLog, options: &ReplayOptions) -> Self {
        let (mut own, places) = (vec![Own::default(); log.entries.len()], log.by_endpoint());
        let given_up = log.given_up_by_endpoint();
        let at = |endpoint: usize| stays_of(&places[endpoint], &given_up[endpoint], log);
        let capacity = |endpoint| capacity_of(at(endpoint), log, options, &mut own);
        let (mut capacities, own_given_up): (Vec<Capacity>, Vec<Vec<Own>>) =
            (0..places.len()).map(capacity).unzip();
        if options.slots.is_none() && log.names_endpoints() {
            guessed::replace_absurd(&mut capacities, |endpoint| at(endpoint).1);
            alike::raise_unseen(&mut capacities, |endpoint| places[endpoint].len());
        }
        let mut services: Vec<f64> = capacities.iter().filter_map(|capacity| capacity.service).collect();
        services.sort_unstable_by(f64::total_cmp);
        let typical = services.get(services.len() / 2).copied();
        let service = typical.unwrap_or_else(|| log.mean_latency());
        let presences = presence::of(log, options.restarts || !log.may_leave_out);
        let (machines, names) = (Vec::new(), log.endpoint_names(options));
        let Weights { of: all_weights, told: weights } = Weights::of(&names, log, &presences, options);
        let mut fleet =
            Self { machines, places, given_up, own, own_given_up, capacities, presences, weights, service };
        fleet.machines = fleet.machines(names, log, options);
        for (machine, weight) in fleet.machines.iter_mut().zip(all_weights) {
            machine.weight = weight;
        }
        fleet
    }

    fn machines(&self, names: Vec<String>, log: &AccessLog, options: &ReplayOptions) -> Vec<Machine> {
        if !log.names_endpoints() {
            let all = self.capacities.first().map_or(1, |capacity| capacity.slots);
            let slots = options.slots.unwrap_or_else(|| all.div_ceil(names.len() as u32));
            return names.into_iter().map(|name| Machine::sound(name, slots)).collect();
        }
        let machine = |endpoint: usize| {
            let capacity = &self.capacities[endpoint];
            let machine = Machine {
                fails: self.fails(endpoint, log),
                ..self.machine(&log.endpoints[endpoint], capacity)
            };
            self.presences[endpoint].apply(machine, options.times)
        };
        (0..log.endpoints.len()).map(machine).collect()
    }

    fn machine(&self, name: &str, capacity: &Capacity) -> Machine {
        Machine {
            speed: self.speed(capacity),
            discipline: capacity.discipline,
            ..Machine::sound(name.to_owned(), capacity.slots)
        }
    }

    /// 1 unless the difference is more than chance. Of an endpoint that has answered nothing but failures nobody knows; it is as fast as
    /// others, or whoever knows all speeds would send there first.
    fn speed(&self, capacity: &Capacity) -> f64 {
        let Some(service) = capacity.service else { return 1.0 };
        let difference = (self.service / service).ln();
        let is_clear = difference.abs() > (3.0 * capacity.doubt).max(SPEED_MARGIN);
        if is_clear { difference.exp() } else { 1.0 }
    }

    /// The part that failed there, and whether a failure took about as long as an answer, or much less or more, and no slot.
    fn fails(&self, endpoint: usize, log: &AccessLog) -> Option<Fails> {
        let service = self.capacities[endpoint].service.unwrap_or(self.service);
        let entries = || self.places[endpoint].iter().map(|&place| &log.entries[place]);
        let failed = entries().filter(|entry| self.is_failure(entry, log));
        let given_up = self.given_up_there(endpoint, log).map(|attempt| attempt.took);
        let times = failed.map(Entry::at_endpoint).chain(given_up);
        let (failed, total) =
            times.fold((0_u32, 0.0), |(count, total), time| (count + 1, total + time as f64));
        let mean = total / f64::from(failed.max(1));
        let is_work = (service / LIKE_WORK..=service * LIKE_WORK).contains(&mean);
        let answered = entries().filter(|entry| !entry.failed).count();
        (failed > 0).then(|| Fails {
            part: Part(f64::from(failed) / (f64::from(failed) + answered as f64)),
            how: if is_work { Failing::Slow } else { Failing::Fast },
            after: Span(mean as u64),
            from: None,
            until: None,
        })
    }

    /// Whether it is one of an endpoint that was there.
    pub(super) fn is_failure(&self, entry: &Entry, log: &AccessLog) -> bool {
        entry.failed && entry.reached != Reached::Refused && self.is_there(entry.endpoint, entry.end(), log)
    }

    /// Whoever is refused goes elsewhere; and that nobody was there is told by presences, as is what fails because one leaves.
    fn given_up_there(&self, endpoint: usize, log: &AccessLog) -> impl Iterator<Item = &GivenUp> {
        let is_there = move |attempt: &&GivenUp| {
            attempt.reached != Reached::Refused
                && self.is_there(attempt.endpoint, attempt.at + attempt.took, log)
        };
        self.given_up[endpoint].iter().filter(is_there)
    }

    /// Whether an endpoint was there at that time since 1970.
    fn is_there(&self, endpoint: u32, at: u64, log: &AccessLog) -> bool {
        !self.presences[endpoint as usize].is_absent(at - log.first_at())
    }

    /// Attempts that were given up for another one, and were failures of an endpoint that was there.
    pub(super) fn attempts_that_failed(&self, log: &AccessLog) -> usize {
        (0..self.given_up.len()).map(|endpoint| self.given_up_there(endpoint, log).count()).sum()
    }

    /// `None`: nothing was measured that could be.
    pub(super) fn explained(&self, log: &AccessLog) -> Option<Explained> {
        let warm_up = warm_up(log.lasts());
        let works = self.works(log);
        let seen = |&place: &usize| {
            let (entry, own, capacity) = (
                &log.entries[place],
                self.own[place],
                &self.capacities[log.entries[place].endpoint as usize],
            );
            let at = entry.at - log.first_at();
            let work =
                if capacity.is_guessed { works[place] } else { own.time.max(1.0) * self.speed(capacity) };
            // What was before the endpoint had it is no matter of its slots, but for what waited for them.
            let (at, latency) = (at + entry.attempted(), entry.latency - entry.attempted());
            Seen { at, latency, work, is_measured: !entry.failed && at >= warm_up }
        };
        let mut rerun = Rerun::default();
        for (endpoint, capacity) in self.capacities.iter().enumerate() {
            let attempts = self.given_up[endpoint].iter().zip(&self.own_given_up[endpoint]);
            let attempts = attempts.map(|(attempt, own)| Seen {
                at: attempt.at - log.first_at(),
                latency: attempt.took,
                work: own.time.max(1.0) * self.speed(capacity),
                is_measured: false,
            });
            let mut requests: Vec<Seen> = self.places[endpoint].iter().map(seen).chain(attempts).collect();
            // Who was elsewhere before comes behind others that came to the proxy later.
            requests.sort_by_key(|request| request.at);
            rerun.endpoint(&self.machine("", capacity), &requests, &capacity.waiters);
        }
        rerun.explained()
    }

    pub(super) fn plan(self, log: &AccessLog, options: &ReplayOptions) -> Plan {
        let first = log.first_at();
        let request = |(entry, work): (&Entry, f64)| Recorded {
            at: ((entry.at - first) as f64 / options.times) as u64,
            work,
            key: entry.key,
        };
        let requests: Vec<Recorded> = log.entries.iter().zip(self.works(log)).map(request).collect();
        let until = requests.last().map_or(0, |request| request.at) + 1;
        Plan {
            machines: self.machines,
            proxies: 1,
            traffic: Traffic::Recorded(requests.into()),
            until: Span(until),
            warm_up: Span(warm_up(until)),
            again: Again { retry: Retry { are_lost: true, ..Retry::default() }, ..Again::default() },
            seed: options.seed,
        }
    }

    /// Of each entry.
    fn works(&self, log: &AccessLog) -> Vec<f64> {
        let seen = || log.entries.iter().zip(&self.own).map(|(entry, own)| self.work(entry, own));
        let drawn_from: Vec<f64> = seen().flatten().collect();
        let unseen = |entry: &Entry| self.work_unseen(&drawn_from, entry);
        log.entries.iter().zip(seen()).map(|(entry, work)| work.unwrap_or_else(|| unseen(entry))).collect()
    }

    /// What it would have taken at a typical endpoint with a slot of its own. A failure says nothing of that.
    fn work(&self, entry: &Entry, own: &Own) -> Option<f64> {
        let capacity = &self.capacities[entry.endpoint as usize];
        (!entry.failed && !capacity.is_guessed).then(|| own.time.max(1.0) * self.speed(capacity))
    }

    /// One of those that were seen, the same for the same line: had all the mean, a log of many failures would have hardly any large ones.
    fn work_unseen(&self, works: &[f64], entry: &Entry) -> f64 {
        let place = mix(entry.line ^ UNSEEN).checked_rem(works.len() as u64).unwrap_or_default();
        usize::try_from(place).ok().and_then(|place| works.get(place)).copied().unwrap_or(self.service)
    }
}

/// Of the endpoint whose entries are at those places, and of the attempts that were given up there, as it had them. With the place of each; that of an attempt
/// is none.
pub(super) fn stays_of(
    places: &[usize],
    given_up: &[GivenUp],
    log: &AccessLog,
) -> (Vec<Option<usize>>, Stays) {
    let begins = log.first_at() / SECOND * SECOND;
    let stay = |&place: &usize| {
        let Entry { at, latency, queued, before, failed, in_second, .. } = log.entries[place];
        let came = at - begins;
        let (at, end) = (came + before, came + latency.max(before + 1));
        (Some(place), Stay { at, end, is_answer: !failed, in_second, queued })
    };
    let attempt = |attempt: &GivenUp| {
        let (at, in_second) = (attempt.at - begins, attempt.in_second);
        (None, Stay { at, end: at + attempt.took.max(1), is_answer: false, in_second, queued: 0 })
    };
    let mut stays: Vec<(Option<usize>, Stay)> =
        places.iter().map(stay).chain(given_up.iter().map(attempt)).collect();
    // Who waited in the proxy may have been sent behind others that came later.
    stays.sort_by_key(|(_, stay)| stay.at);
    let (places, stays): (Vec<Option<usize>>, Vec<Stay>) = stays.into_iter().unzip();
    (places, Stays::new(stays))
}

/// Of the endpoint that had these, with what each attempt that was given up did on its own; also fills in what each entry did.
fn capacity_of(
    (places, stays): (Vec<Option<usize>>, Stays),
    log: &AccessLog,
    options: &ReplayOptions,
    all_own: &mut [Own],
) -> (Capacity, Vec<Own>) {
    let (capacity, own) = Capacity::fit(&stays, log.slots_of_one(options));
    let mut given_up = Vec::new();
    for (place, own) in places.into_iter().zip(own) {
        match place {
            Some(place) => all_own[place] = own,
            None => given_up.push(own),
        }
    }
    (capacity, given_up)
}
