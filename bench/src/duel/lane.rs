//! One run in front of one proxy: its endpoints and its client in one thread and one loop. Knows what is due when;
//! endpoints and client know what to do about it. Nothing here waits for anything but the next event.

use super::agenda::Agenda;
use super::client::{Client, Sample};
use super::course::{Arrival, Course, Happening, MILLISECOND};
use super::endpoint::Tally;
use super::fleet::{Fleet, Occupation};
use super::token::Token;
use crate::poller::{Poller, Ready};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

/// How often requests are looked for that are older than their client's patience, and how often the lane looks
/// whether it may begin.
const LOOK_EVERY: u64 = 5 * MILLISECOND;

/// The proxy answers: the client may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Go {
    pub(super) proxy: SocketAddr,
    pub(super) start: Instant,
}

#[derive(Debug)]
pub(super) struct Lane {
    course: Course,
    fleet: Fleet,
    poller: Poller,
    agenda: Agenda<Event>,
    orders: Receiver<Go>,
    client: Option<Client>,
    /// The start of the course on the agenda's clock.
    start: u64,
    asked: usize,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The next request is due.
    Ask,
    /// Something befalls the endpoint on this seat.
    Befall(usize, Happening),
    /// The last request is due: what the endpoints did until now is what they did.
    Close,
    Finish(Occupation),
    Look,
    /// The warm-up is over.
    Measure,
}

/// What one run showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Requests that were due while it was measured; times from the start of the course.
    pub(super) samples: Vec<Sample>,
    /// Slots and doings of each endpoint while it was measured.
    pub(super) tallies: Vec<(usize, Tally)>,
    /// When the last cold endpoint was warm.
    pub(super) warm_at: Option<u64>,
    /// By how much each event of the client and the endpoints was late.
    pub(super) lateness: Vec<u64>,
    /// CPU time of this thread from the end of the warm-up to the last request, nanoseconds.
    pub(super) cpu: u64,
}

impl Lane {
    /// Endpoints that listen already; they serve as soon as it runs.
    pub(super) fn prepare(course: Course, orders: Receiver<Go>) -> Result<Self, String> {
        let fleet = Fleet::listen(&course)?;
        let failed = |error: io::Error| format!("no poller or timer: {error}");
        let (poller, agenda) =
            (Poller::new().map_err(failed)?, Agenda::from(Instant::now()).map_err(failed)?);
        poller.watch_listener(agenda.timer(), Token::Timer.number()).map_err(failed)?;
        fleet.watch(&poller).map_err(failed)?;
        let outcome = Outcome::default();
        Ok(Self { course, fleet, poller, agenda, orders, client: None, start: 0, asked: 0, outcome })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.fleet.addresses()
    }

    /// Serves until the client may begin, and then until every request has had its end.
    pub(super) fn run(mut self) -> Result<Outcome, String> {
        self.enter(self.agenda.now(), Event::Look);
        let (mut events, mut ready) = (Vec::new(), Vec::new());
        while !self.is_over() {
            let waited = self.agenda.arm().and_then(|()| self.poller.wait(&mut events, &mut ready));
            waited.map_err(|error| format!("waiting failed: {error}"))?;
            for one in &ready {
                self.handle_readiness(*one);
            }
            // One at a time: when the machine was late, sockets and events still take turns as they would have.
            if let Some((at, event)) = self.agenda.due() {
                self.handle(at, event)?;
            }
        }
        Ok(self.conclude())
    }

    fn is_over(&self) -> bool {
        let ended = self.client.as_ref().map_or(0, |client| client.samples.len());
        self.client.is_some() && ended == self.course.arrivals.len() && !self.outcome.tallies.is_empty()
    }

    fn handle_readiness(&mut self, ready: Ready) {
        let now = self.agenda.now();
        match Token::from_number(ready.token) {
            Token::Client(id) => {
                if let Some(client) = &mut self.client {
                    client.handle(now, id, &self.poller);
                }
            }
            Token::Endpoint(id) => {
                let begun = self.fleet.hear(now, id);
                self.remember(begun);
            }
            Token::Listener(seat) => self.fleet.accept(seat as usize, &self.poller),
            Token::Timer => self.agenda.rang(),
        }
    }

    fn handle(&mut self, at: u64, event: Event) -> Result<(), String> {
        let now = self.agenda.now();
        match event {
            Event::Ask => self.ask(now),
            Event::Befall(seat, happening) => {
                let begun = self.fleet.handle(now, seat, happening, &self.poller);
                self.remember(begun.map_err(|error| format!("an endpoint cannot {happening:?}: {error}"))?);
            }
            Event::Close => {
                self.outcome.tallies = self.fleet.tallies();
                self.outcome.cpu = thread_cpu() - self.outcome.cpu;
                self.outcome.lateness = self.agenda.take_lateness();
            }
            Event::Finish(occupation) => {
                let begun = self.fleet.finish(now, occupation);
                self.remember(begun);
                if self.outcome.warm_at.is_none() && self.fleet.is_warm() {
                    self.outcome.warm_at = Some(now.saturating_sub(self.start));
                }
            }
            Event::Look => self.look(at)?,
            Event::Measure => {
                self.outcome.cpu = thread_cpu();
                self.agenda.forget_lateness();
            }
        }
        Ok(())
    }

    fn look(&mut self, at: u64) -> Result<(), String> {
        let now = self.agenda.now();
        match &mut self.client {
            Some(client) => client.give_up(now),
            None => match self.orders.try_recv() {
                Ok(go) => self.begin(go),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err("the run was called off".to_owned()),
            },
        }
        self.enter(at + LOOK_EVERY, Event::Look);
        Ok(())
    }

    fn begin(&mut self, go: Go) {
        self.client = Some(Client::of(go.proxy));
        let start = self.agenda.since_origin(go.start);
        self.start = start;
        for one in std::mem::take(&mut self.course.scheduled) {
            self.enter(start + one.at, Event::Befall(one.endpoint, one.happening));
        }
        for seat in 0..self.course.hosts.len() {
            self.enter(start + self.course.measured_from, Event::Befall(seat, Happening::Measure));
        }
        self.enter(start + self.course.measured_from, Event::Measure);
        self.enter(start + self.course.ends, Event::Close);
        self.enter_next_arrival();
    }

    fn ask(&mut self, now: u64) {
        let arrival = self.course.arrivals.get(self.asked).copied();
        if let (Some(client), Some(arrival)) = (&mut self.client, arrival) {
            client.ask(now, Arrival { at: arrival.at + self.start, ..arrival }, &self.poller);
            self.asked += 1;
        }
        self.enter_next_arrival();
    }

    fn enter_next_arrival(&mut self) {
        if let Some(arrival) = self.course.arrivals.get(self.asked) {
            self.enter(self.start + arrival.at, Event::Ask);
        }
    }

    fn remember(&mut self, begun: Vec<Occupation>) {
        for occupation in begun {
            self.enter(occupation.running.ends, Event::Finish(occupation));
        }
    }

    fn enter(&mut self, at: u64, event: Event) {
        self.agenda.enter(at, event);
    }

    fn conclude(self) -> Outcome {
        let samples = self.client.map_or_else(Vec::new, |client| client.samples).into_iter().map(|sample| {
            let arrival = Arrival { at: sample.arrival.at - self.start, ..sample.arrival };
            Sample { arrival, ..sample }
        });
        let measured = samples.filter(|sample| sample.arrival.at >= self.course.measured_from);
        Outcome { samples: measured.collect(), ..self.outcome }
    }
}

fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    (time.tv_sec as u64) * 1_000 * MILLISECOND + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::super::client::Ending;
    use super::super::course::{Host, MEAN_WORK, SECOND, Scheduled};
    use super::super::endpoint::Manner;
    use super::*;
    use std::sync::mpsc;

    /// Runs the course without a proxy: the client talks to the first endpoint.
    fn directly(course: Course) -> Outcome {
        let (sender, orders) = mpsc::channel();
        let lane = Lane::prepare(course, orders).unwrap();
        sender.send(Go { proxy: lane.addresses()[0], start: Instant::now() }).unwrap();
        lane.run().unwrap()
    }

    fn course(arrivals: Vec<Arrival>, slots: usize) -> Course {
        let hosts = vec![Host { slots, warm_after: 0 }];
        let ends = arrivals.last().map_or(0, |last| last.at);
        Course { seed: 1, arrivals, hosts, scheduled: Vec::new(), measured_from: 0, ends }
    }

    fn every(gap: u64, count: u64, work: u64) -> Vec<Arrival> {
        (1..=count).map(|index| Arrival { at: index * gap, work }).collect()
    }

    #[test]
    fn what_waits_for_a_slot_counts_from_when_it_was_due() {
        // Ten at a time, one slot of 20 ms: the n-th is answered no sooner than after n times 20 ms.
        let outcome = directly(course(every(1, 10, 20 * MILLISECOND), 1));
        let mut latencies: Vec<u64> = outcome.samples.iter().map(|sample| sample.latency).collect();
        latencies.sort_unstable();
        assert!(outcome.samples.iter().all(|sample| sample.ending == Ending::Good), "{outcome:?}");
        for (position, latency) in (1..).zip(latencies) {
            assert!(latency + 1 >= position * 20 * MILLISECOND - 10, "{position}: {latency}");
        }
    }

    #[test]
    fn every_request_has_its_end_whatever_befalls_the_endpoint() {
        let befalls = |at, happening| Scheduled { at: at * MILLISECOND, endpoint: 0, happening };
        let scheduled = vec![
            befalls(50, Happening::Turn(Manner::FailsAtOnce { status: 500, share: 1.0 })),
            befalls(100, Happening::Turn(Manner::Resets)),
            befalls(150, Happening::Turn(Manner::Refuses)),
            befalls(200, Happening::Turn(Manner::Serves)),
            befalls(210, Happening::Pause),
            befalls(300, Happening::Resume),
        ];
        let course = Course { scheduled, ..course(every(MILLISECOND, 350, MILLISECOND), 4) };
        let outcome = directly(course);
        assert_eq!(outcome.samples.len(), 350);
        let seen = |ending| outcome.samples.iter().any(|sample| sample.ending == ending);
        assert!(seen(Ending::Good) && seen(Ending::Status(500)) && seen(Ending::Broken), "{outcome:?}");
        assert!(outcome.samples.iter().any(|sample| sample.sent_again), "resets met kept connections");
        let paused = outcome.samples.iter().filter(|sample| sample.latency > 80 * MILLISECOND);
        assert!(paused.count() > 0, "somebody waited for the pause to end");
    }

    #[test]
    fn the_measuring_begins_after_the_warm_up() {
        let hosts = vec![Host { slots: 4, warm_after: 5 }];
        let arrivals = every(10 * MILLISECOND, 20, MILLISECOND);
        let course = Course { hosts, measured_from: 105 * MILLISECOND, ..course(arrivals, 4) };
        let outcome = directly(course);
        assert_eq!(outcome.samples.len(), 10);
        assert!(outcome.warm_at.is_some_and(|at| at < SECOND + MEAN_WORK), "{outcome:?}");
    }
}
