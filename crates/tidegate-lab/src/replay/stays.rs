//! The requests of one endpoint from their arrivals to their answers, and how much of each stay was the request's own time, with so many slots
//! and this or that discipline. Knows no log, and not which slots are right: only how likely the answers are with some.
//!
//! First come, first served on `c` slots, a request starts when it is there and all but `c - 1` of those before it have left: so its own time is
//! known to the nanosecond for any `c`. So is that where all share the slots: each has `min(1, c / n)` of one while `n` are there. And
//! so is how likely all answers are, for any distribution of own times: one's, by the part of a slot that it had when it was done.

use super::own_times::{OwnTimes, Scale};
use super::whole_seconds::{self, Answer};
use crate::machine::Discipline;
use std::collections::VecDeque;
use std::num::NonZeroU32;

/// Of most logs, in nanoseconds: a millisecond, as a power of two.
pub(super) const RESOLUTION: f64 = (1_u32 << 20) as f64;
pub(super) const SECOND: u64 = 1_000_000_000;
/// Who had waited for less in the proxy, in nanoseconds, had hardly waited: a few grains of a log's clock.
pub(super) const QUEUED: u64 = 5_000_000;
/// Of fewer that waited in the proxy nobody knows what for.
const QUEUED_MIN: usize = 10;
/// So many of those that waited in the proxy must have done so while the endpoint had the same number, in quarters: the others are what the clock of the log moves.
const HELD_QUARTERS: usize = 3;
/// Times of which one is no more times the other are about the same.
const ALIKE: f64 = 1.25;
/// A request, from when the endpoint had it to when it was done with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) at: u64,
    pub(super) end: u64,
    /// It was no failure.
    pub(super) is_answer: bool,
    /// Where of the end only the second is known, how many ended in it; `None`: it is exact.
    pub(super) in_second: Option<NonZeroU32>,
    /// How long it had waited in the proxy before, in nanoseconds.
    pub(super) queued: u64,
}

/// What a request did on its own, in nanoseconds: negative where an answer came sooner than the slots allow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Own {
    pub(super) time: f64,
    /// It had to wait for a slot, or to share.
    pub(super) waited: bool,
}

/// All at one endpoint, in order of arrival.
#[derive(Debug)]
pub(super) struct Stays {
    all: Vec<Stay>,
    /// Who left, in that order.
    leaving: Vec<u32>,
    most: u32,
    answers: usize,
    are_exact: bool,
}

impl Stays {
    /// In order of arrival, from the beginning of a second.
    pub(super) fn new(stays: Vec<Stay>) -> Self {
        let mut leaving: Vec<u32> = (0..stays.len() as u32).collect();
        leaving.sort_by_key(|&number| stays[number as usize].end);
        let answers = stays.iter().filter(|stay| stay.is_answer).count();
        let are_exact = stays.iter().all(|stay| stay.in_second.is_none());
        let mut stays = Self { all: stays, leaving, most: 0, answers, are_exact };
        let mut most = 0;
        stays.walk(|step| most = most.max(step.present));
        stays.most = most;
        stays
    }

    /// Of more than `count`, so many one after the other, where most are there at the same time.
    pub(super) fn busiest(&self, count: usize) -> Option<Self> {
        if self.all.len() <= count {
            return None;
        }
        let present = |stays: &[Stay]| {
            let total: f64 = stays.iter().map(|stay| (stay.end - stay.at) as f64).sum();
            let span = stays.first().zip(stays.last()).map_or(0, |(first, last)| last.at - first.at);
            total / span.max(1) as f64
        };
        let pieces = self.all.windows(count).step_by(count / 2);
        let busiest = pieces.max_by(|one, other| present(one).total_cmp(&present(other)))?;
        Some(Self::new(busiest.to_vec()))
    }

    /// That were there at once.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// How many the endpoint had while others waited in the proxy, if that was always the same number: then it got no more, and those others
    /// waited for that.
    pub(super) fn held(&self) -> Option<u32> {
        let ends: Vec<u64> = self.leaving.iter().map(|&number| self.all[number as usize].end).collect();
        let present = |now: u64| {
            let came = self.all.partition_point(|stay| stay.at <= now);
            came.saturating_sub(ends.partition_point(|end| *end <= now))
        };
        let waiters = self.all.iter().filter(|stay| stay.is_queued());
        let mut counts: Vec<usize> = waiters.map(|stay| present(stay.at - stay.queued / 2)).collect();
        counts.sort_unstable();
        let middle = counts.get(counts.len() / 2).copied().filter(|_| counts.len() >= QUEUED_MIN)?;
        // Who comes and leaves within two grains of the clock is there or not by chance.
        let total: f64 = self.all.iter().map(|stay| (stay.end - stay.at) as f64).sum();
        let apart = (middle as f64 * 2.0 * RESOLUTION * self.all.len() as f64 / total.max(1.0)) as usize;
        let about = counts.iter().filter(|count| count.abs_diff(middle) <= apart).count();
        let is_steady = middle > 0 && 4 * about >= HELD_QUARTERS * counts.len();
        u32::try_from(middle).ok().filter(|_| is_steady)
    }

    pub(super) fn are_queued(&self) -> bool {
        self.all.iter().filter(|stay| stay.is_queued()).nth(QUEUED_MIN - 1).is_some()
    }

    pub(super) fn all(&self) -> &[Stay] {
        &self.all
    }

    pub(super) fn are_exact(&self) -> bool {
        self.are_exact
    }

    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// Whether answers took about as long, and on their own no more equally so. What comes at even distances and is just as much as can be
    /// done waits equally long, so that fewer and quicker slots explain it as well as those that never ran out.
    pub(super) fn are_alike(&self, own: &[Own]) -> bool {
        let answers = || self.all.iter().zip(own).filter(|(stay, _)| stay.is_answer);
        let took = spread(answers().map(|(stay, _)| (stay.end - stay.at) as f64).collect());
        let own = spread(answers().map(|(_, own)| own.time).collect());
        took.max(own) <= ALIKE && own - 1.0 >= (took - 1.0) / 2.0
    }

    /// The geometric mean of what answers took: what is long and what is short is so beside that.
    fn scale(&self) -> Scale {
        let answers = self.all.iter().filter(|stay| stay.is_answer);
        let logarithms: f64 = answers.map(|stay| ((stay.end - stay.at).max(1) as f64).ln()).sum();
        Scale::of((logarithms / self.answers.max(1) as f64).exp())
    }

    pub(super) fn own_times(&self, slots: u32, discipline: Discipline) -> Vec<Own> {
        let mut own = vec![Own::default(); self.all.len()];
        match discipline {
            Discipline::Fifo => self.line(|number, open| {
                let (time, waits) = self.all[number].in_line(open, slots);
                own[number] = Own { time, waited: waits > 0.0 || self.all[number].is_queued() };
            }),
            Discipline::Shared => self.share(slots, |number, time, share| {
                own[number] = Own { time, waited: share.at_first < 1.0 };
            }),
        }
        own
    }

    /// The logarithm of how likely the answers are with each of so many slots, in rising order, when own times have whatever distribution
    /// fits them best, less what that much choice of distributions is worth (Akaike: one for each bin).
    pub(super) fn likelihoods(&self, slots: &[u32], discipline: Discipline) -> Vec<f64> {
        let one_by_one =
            |likelihood: fn(&Self, u32) -> f64| slots.iter().map(|&slots| likelihood(self, slots)).collect();
        match (discipline, self.are_exact) {
            (Discipline::Fifo, true) => self.likelihoods_in_line(slots),
            (Discipline::Fifo, false) => {
                one_by_one(|stays, slots| whole_seconds::likelihood(&stays.waiting(slots)))
            }
            (Discipline::Shared, true) => one_by_one(Self::likelihood_shared),
            (Discipline::Shared, false) => one_by_one(Self::likelihood_shared_about),
        }
    }

    /// In a line, for the slot that the last but so many of those before it free.
    fn waiting(&self, slots: u32) -> Vec<Answer> {
        let (mut last, mut answers) = (VecDeque::new(), Vec::with_capacity(self.answers));
        for stay in &self.all {
            let freed = last.front().filter(|_| last.len() == slots as usize);
            if stay.is_answer {
                answers.push(stay.waiting_for(freed));
            }
            last.insert(last.partition_point(|before: &Stay| before.end <= stay.end), *stay);
            if last.len() > slots as usize {
                last.pop_front();
            }
        }
        answers
    }

    fn likelihoods_in_line(&self, slots: &[u32]) -> Vec<f64> {
        let scale = self.scale();
        let mut waiting = vec![OwnTimes::new(scale); slots.len()];
        // By the first number of slots with which they found one free.
        let mut starting = vec![OwnTimes::new(scale); slots.len()];
        self.line(|number, open| {
            let stay = &self.all[number];
            if !stay.is_answer {
                return;
            }
            let short = slots.partition_point(|&slots| slots as usize <= open.len());
            for (&slots, bins) in slots.iter().zip(&mut waiting).take(short) {
                let (time, waits) = stay.in_line(open, slots);
                bins.count(time, waits);
            }
            if let Some(bins) = starting.get_mut(short) {
                bins.count((stay.end - stay.at) as f64, 0.0);
            }
        });
        let mut all = OwnTimes::new(scale);
        let likelihood = |(starting, waiting): (OwnTimes, OwnTimes)| {
            all.add(&starting);
            let mut both = all.clone();
            both.add(&waiting);
            both.likelihood()
        };
        starting.into_iter().zip(waiting).map(likelihood).collect()
    }

    fn likelihood_shared(&self, slots: u32) -> f64 {
        let mut bins = OwnTimes::new(self.scale());
        self.share(slots, |number, time, share| {
            if self.all[number].is_answer {
                bins.count(time, 0.0);
                bins.had(share.at_last.min(1.0));
            }
        });
        bins.likelihood()
    }

    /// Where ends are not exact; what one had of a slot is then about right all the same, because many come and go meanwhile.
    fn likelihood_shared_about(&self, slots: u32) -> f64 {
        let (mut answers, mut extra) = (Vec::with_capacity(self.answers), 0.0);
        self.share(slots, |number, time, share| {
            if self.all[number].is_answer {
                answers.push(Answer { took: time, wait: f64::NEG_INFINITY, doubt: 0.0 });
                extra += share.at_last.min(1.0).ln();
            }
        });
        whole_seconds::likelihood(&answers) + extra
    }

    /// In order of arrival, with the ends of those that are there, which rise.
    fn line(&self, mut each: impl FnMut(usize, &VecDeque<u64>)) {
        let mut open: VecDeque<u64> = VecDeque::new();
        for (number, stay) in self.all.iter().enumerate() {
            while open.front().is_some_and(|end| *end <= stay.at) {
                open.pop_front();
            }
            each(number, &open);
            open.insert(open.partition_point(|end| *end <= stay.end), stay.end);
        }
    }

    /// In order of leaving, with the part of a slot that each had.
    fn share(&self, slots: u32, mut each: impl FnMut(usize, f64, Share)) {
        let (mut progress, mut part, mut settled) = (0.0, 1.0, 0);
        let mut began = vec![(0.0, 1.0); self.all.len()];
        self.walk(|step| {
            progress += part * (step.now - settled) as f64;
            settled = step.now;
            let before = part;
            part = (f64::from(slots) / f64::from(step.present.max(1))).min(1.0);
            match step.who {
                Who::Comes(number) => began[number] = (progress, part),
                Who::Leaves(number) => {
                    let (since, at_first) = began[number];
                    each(number, progress - since, Share { at_first, at_last: before });
                }
            }
        });
    }

    /// Through arrivals and ends in order; who leaves leaves first.
    fn walk(&self, mut each: impl FnMut(&Step)) {
        let mut leaving = self.leaving.iter().map(|&number| number as usize).peekable();
        let mut present = 0_u32;
        let arrivals = self.all.iter().map(|stay| stay.at).enumerate();
        for (number, at) in arrivals.chain([(usize::MAX, u64::MAX)]) {
            while let Some(leaves) = leaving.next_if(|&leaves| self.all[leaves].end <= at) {
                present = present.saturating_sub(1);
                each(&Step { now: self.all[leaves].end, who: Who::Leaves(leaves), present });
            }
            if number < self.all.len() {
                present += 1;
                each(&Step { now: at, who: Who::Comes(number), present });
            }
        }
    }
}

impl Stay {
    fn is_queued(&self) -> bool {
        self.queued >= QUEUED
    }

    /// Its own time, and how long it waits for a slot, with the ends of those before it that are still there.
    fn in_line(&self, open: &VecDeque<u64>, slots: u32) -> (f64, f64) {
        let freed = open.len().checked_sub(slots as usize).and_then(|place| open.get(place));
        let starts = freed.copied().unwrap_or(self.at);
        (self.end as f64 - starts as f64, (starts - self.at) as f64)
    }
}

impl Stay {
    fn waiting_for(&self, freed: Option<&Self>) -> Answer {
        let took = (self.end - self.at) as f64;
        match freed {
            Some(freed) => {
                Answer { took, wait: freed.end as f64 - self.at as f64, doubt: self.doubt_from(freed) }
            }
            None => Answer { took, wait: f64::NEG_INFINITY, doubt: 0.0 },
        }
    }

    /// By how much the distance of the ends may be wrong, one standard deviation.
    fn doubt_from(&self, other: &Self) -> f64 {
        let variance = |place: u64, among: Option<NonZeroU32>| {
            let part = place as f64 / SECOND as f64;
            among.map_or(0.0, |among| part * (1.0 - part) / f64::from(among.get()))
        };
        let is_in_one =
            self.end / SECOND == other.end / SECOND && self.in_second.is_some() && other.in_second.is_some();
        let variance = if is_in_one {
            variance(self.end.abs_diff(other.end), self.in_second)
        } else {
            variance(self.end % SECOND, self.in_second) + variance(other.end % SECOND, other.in_second)
        };
        variance.sqrt() * SECOND as f64
    }
}

/// The part of a slot that a request had.
struct Share {
    at_first: f64,
    at_last: f64,
}

struct Step {
    now: u64,
    who: Who,
    /// Afterwards.
    present: u32,
}

#[derive(Clone, Copy)]
enum Who {
    Comes(usize),
    Leaves(usize),
}

/// How many times as long as one the other is between which nineteen of twenty are.
fn spread(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 40).copied().unwrap_or_default();
    if at(1) > 0.0 { at(39) / at(1) } else { f64::INFINITY }
}
