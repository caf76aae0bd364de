//! One machine at work: slots, a line or shared slots, spells and warming. Knows requests by number and work alone.
//!
//! All requests in service progress at the same rate, so one running sum of progress tells when each is done, and only the
//! next one needs a place on the agenda.

use crate::agenda::NEVER;
use crate::machine::{Discipline, Machine};
use crate::spells::Spell;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

/// Progress that is lost in rounding, in nanoseconds of work.
const ROUNDING: f64 = 0.01;

#[derive(Debug)]
pub(crate) struct Server<'p> {
    machine: &'p Machine,
    /// What a request in service from the start would have got done by now, in nanoseconds of work.
    progress: f64,
    settled_at: u64,
    pace: f64,
    in_service: BinaryHeap<Reverse<Finish>>,
    waiting: VecDeque<(u32, f64)>,
    spells: Vec<Spell>,
    served: u32,
    /// Nanoseconds of slots in use.
    busy: f64,
    next: u64,
}

/// A request in service and the progress that ends it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Finish {
    at: f64,
    job: u32,
}

impl<'p> Server<'p> {
    pub(crate) fn new(machine: &'p Machine, spells: Vec<Spell>) -> Self {
        let mut server = Self {
            machine,
            progress: 0.0,
            settled_at: 0,
            pace: 0.0,
            in_service: BinaryHeap::new(),
            waiting: VecDeque::new(),
            spells,
            served: 0,
            busy: 0.0,
            next: NEVER,
        };
        server.plan();
        server
    }

    pub(crate) fn machine(&self) -> &'p Machine {
        self.machine
    }

    /// When something happens here by itself.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn served(&self) -> u32 {
        self.served
    }

    /// Nanoseconds of slots in use so far.
    pub(crate) fn busy(&mut self, now: u64) -> f64 {
        self.settle(now);
        self.busy
    }

    /// What a request in service from the start would have got done by `now`.
    pub(crate) fn progress(&self, now: u64) -> f64 {
        self.progress + self.pace * (now - self.settled_at) as f64
    }

    /// Its speed now, alone in a slot.
    pub(crate) fn speed(&self) -> f64 {
        let spells: f64 = self.spells.iter().map(Spell::speed).product();
        self.machine.speed * self.warmth() * spells
    }

    /// When the present spells change.
    pub(crate) fn spell_changes_at(&self) -> u64 {
        self.spells.iter().map(Spell::changes_at).min().unwrap_or(NEVER)
    }

    pub(crate) fn in_service(&self) -> usize {
        self.in_service.len()
    }

    /// A request comes.
    pub(crate) fn accept(&mut self, now: u64, job: u32, work: f64) {
        self.settle(now);
        if self.has_free_slot() {
            self.in_service.push(Reverse(Finish { at: self.progress + work, job }));
        } else {
            self.waiting.push_back((job, work));
        }
        self.plan();
    }

    /// Lets happen what is due at `next`; what is done goes to `done`.
    pub(crate) fn step(&mut self, now: u64, done: &mut Vec<u32>) {
        self.settle(now);
        for spell in self.spells.iter_mut().filter(|spell| spell.changes_at() <= now) {
            spell.change();
        }
        while let Some(Reverse(finish)) = self.in_service.peek().copied()
            && finish.at <= self.progress + ROUNDING
        {
            self.in_service.pop();
            self.served += 1;
            done.push(finish.job);
            if let Some((job, work)) = self.waiting.pop_front() {
                self.in_service.push(Reverse(Finish { at: self.progress + work, job }));
            }
        }
        self.plan();
    }

    fn has_free_slot(&self) -> bool {
        self.machine.discipline == Discipline::Shared || self.in_service.len() < self.machine.slots as usize
    }

    fn settle(&mut self, now: u64) {
        let passed = (now - self.settled_at) as f64;
        self.progress += self.pace * passed;
        self.busy += passed * self.in_service.len().min(self.machine.slots as usize) as f64;
        self.settled_at = now;
    }

    fn plan(&mut self) {
        self.pace = self.speed() * self.share();
        let finish = match self.in_service.peek() {
            Some(Reverse(finish)) if self.pace > 0.0 => {
                let left = ((finish.at - self.progress) / self.pace).max(0.0).ceil();
                self.settled_at.saturating_add(left as u64)
            }
            _ => NEVER,
        };
        self.next = finish.min(self.spell_changes_at());
    }

    /// The part of a slot that each request in service has.
    fn share(&self) -> f64 {
        (f64::from(self.machine.slots) / self.in_service.len().max(1) as f64).min(1.0)
    }

    fn warmth(&self) -> f64 {
        self.machine.cold.map_or(1.0, |cold| {
            let warmed = f64::from(self.served) / f64::from(cold.warm_after.max(1));
            cold.speed.0 + (1.0 - cold.speed.0) * warmed.min(1.0)
        })
    }
}

impl Eq for Finish {}

impl Ord for Finish {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.job.cmp(&other.job))
    }
}

impl PartialOrd for Finish {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Cold, Part, Positive, Slow};
    use crate::span::Span;

    const MS: u64 = 1_000_000;

    /// Sends jobs of 10 ms at the given milliseconds and says when each is done, in milliseconds.
    fn done_at(machine: &Machine, arrivals: &[u64]) -> Vec<(u32, u64)> {
        let mut server = Server::new(machine, Spell::of(machine, 1, 0));
        let mut done = Vec::new();
        let mut finished = Vec::new();
        let mut arrivals = (0_u32..).zip(arrivals).peekable();
        for _ in 0..1_000 {
            let next = server.next();
            if let Some((job, &at)) = arrivals.next_if(|(_, at)| **at * MS < next) {
                server.accept(at * MS, job, 10.0 * MS as f64);
            } else if next == NEVER {
                break;
            } else {
                server.step(next, &mut finished);
                done.extend(finished.drain(..).map(|job| (job, next / MS)));
            }
        }
        done
    }

    #[test]
    fn whoever_finds_no_slot_waits_in_line() {
        let machine = Machine::sound("a".into(), 2);
        assert_eq!(done_at(&machine, &[0, 1, 2, 3]), [(0, 10), (1, 11), (2, 20), (3, 21)]);
    }

    #[test]
    fn shared_slots_make_everybody_slower() {
        let machine = Machine { discipline: Discipline::Shared, ..Machine::sound("a".into(), 1) };
        assert_eq!(done_at(&machine, &[0, 0]), [(0, 20), (1, 20)]);
        assert_eq!(done_at(&machine, &[0, 5]), [(0, 15), (1, 20)]);
    }

    #[test]
    fn what_is_in_service_stands_still_in_a_slow_spell() {
        let slow = Slow {
            times: Positive(10.0),
            every: None,
            lasts: None,
            from: Some(Span(5 * MS)),
            until: Some(Span(25 * MS)),
        };
        let machine = Machine { slow: Some(slow), ..Machine::sound("a".into(), 1) };
        // 5 ms at full speed, 20 ms in which 2 ms are done, 3 ms at full speed.
        assert_eq!(done_at(&machine, &[0]), [(0, 28)]);
    }

    #[test]
    fn a_cold_machine_warms_by_serving() {
        let cold = Cold { speed: Part(0.5), warm_after: 1 };
        let machine = Machine { cold: Some(cold), ..Machine::sound("a".into(), 1) };
        assert_eq!(done_at(&machine, &[0, 0]), [(0, 20), (1, 30)]);
    }

    #[test]
    fn slots_in_use_are_counted() {
        let machine = Machine::sound("a".into(), 2);
        let mut server = Server::new(&machine, Spell::of(&machine, 1, 0));
        server.accept(0, 0, 10.0 * MS as f64);
        server.accept(0, 1, 20.0 * MS as f64);
        server.step(10 * MS, &mut Vec::new());
        let busy = server.busy(20 * MS);
        assert!((busy - 30.0 * MS as f64).abs() < 1.0, "{busy}");
    }
}
