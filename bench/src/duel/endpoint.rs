//! One endpoint: slots that work takes by sleeping, a queue before them, and ways to misbehave. Knows no sockets and
//! no clock: jobs go in with the time, and come out with the time at which they will be done.

use super::chance::Chance;
use super::course::Host;
use std::collections::VecDeque;

/// How much slower a cold endpoint is at first.
const COLD: f64 = 10.0;

/// What an endpoint does with requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Manner {
    Serves,
    /// A share of the requests gets this status at once, without taking a slot.
    FailsAtOnce {
        status: u16,
        share: f64,
    },
    /// Every request gets this status after it has taken its time in a slot.
    FailsLate {
        status: u16,
    },
    /// Nobody listens.
    Refuses,
    /// Connections are accepted, and reset when a request comes.
    Resets,
}

/// A request at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// Of the connection, which has one request at a time.
    pub(super) connection: u64,
    pub(super) work: u64,
}

/// A job in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) job: Job,
    pub(super) ends: u64,
}

/// What becomes of a request that has just come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    AnswersAtOnce(u16),
    Resets,
    Starts(Running),
    Waits,
}

/// A job that is done, and the one that takes its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) status: u16,
    pub(super) next: Option<Running>,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    host: Host,
    chance: Chance,
    manner: Manner,
    slowness: f64,
    running: Vec<Running>,
    waiting: VecDeque<Job>,
    paused_at: Option<u64>,
    served: u64,
    tally: Tally,
}

/// What an endpoint has done since the measuring began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) received: u64,
    /// Time that slots were taken, all slots together.
    pub(super) busy: u64,
}

impl Endpoint {
    pub(super) fn new(host: Host, seed: u64) -> Self {
        Self {
            host,
            chance: Chance::from_seed(seed),
            manner: Manner::Serves,
            slowness: 1.0,
            running: Vec::new(),
            waiting: VecDeque::new(),
            paused_at: None,
            served: 0,
            tally: Tally::default(),
        }
    }

    pub(super) fn receive(&mut self, now: u64, job: Job) -> Reception {
        self.tally.received += 1;
        match self.manner {
            Manner::Refuses | Manner::Resets => Reception::Resets,
            Manner::FailsAtOnce { status, share } if self.chance.unit() <= share => {
                Reception::AnswersAtOnce(status)
            }
            _ if self.running.len() < self.host.slots => Reception::Starts(self.start(now, job)),
            _ => {
                self.waiting.push_back(job);
                Reception::Waits
            }
        }
    }

    /// Ends the job in a slot that was due at `due`; nothing if a pause has put it off, or a crash has ended it.
    pub(super) fn finish(&mut self, now: u64, connection: u64, due: u64) -> Option<Finished> {
        let done = |running: &Running| running.job.connection == connection && running.ends == due;
        let index = self.running.iter().position(done).filter(|_| self.paused_at.is_none())?;
        self.running.swap_remove(index);
        self.served += 1;
        let status = if let Manner::FailsLate { status } = self.manner { status } else { 200 };
        let next = self.waiting.pop_front().map(|job| self.start(now, job));
        Some(Finished { status, next })
    }

    fn start(&mut self, now: u64, job: Job) -> Running {
        let takes = (job.work as f64 * self.slowness * self.coldness()) as u64;
        self.tally.busy += takes;
        let running = Running { job, ends: now + takes };
        self.running.push(running);
        running
    }

    /// How many times as long work takes because too little has been served yet.
    fn coldness(&self) -> f64 {
        if self.is_warm() {
            return 1.0;
        }
        let warmth = self.served as f64 / self.host.warm_after as f64;
        1.0 / (1.0 / COLD + (1.0 - 1.0 / COLD) * warmth)
    }

    pub(super) fn is_warm(&self) -> bool {
        self.served >= self.host.warm_after
    }

    /// The client of a job has gone: it need not be begun. What is in a slot stays there, as in most servers.
    pub(super) fn abandon(&mut self, connection: u64) {
        self.waiting.retain(|job| job.connection != connection);
    }

    /// Changes its ways; one that refuses from now on has lost everything it was at.
    pub(super) fn turn(&mut self, manner: Manner) {
        self.manner = manner;
        if manner == Manner::Refuses {
            self.running.clear();
            self.waiting.clear();
        }
    }

    pub(super) fn slow(&mut self, times: f64) {
        self.slowness = times;
    }

    pub(super) fn pause(&mut self, now: u64) {
        self.paused_at = Some(now);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Goes on; what was in the slots is done later by as long as the pause was.
    pub(super) fn resume(&mut self, now: u64) -> &[Running] {
        let lost = self.paused_at.take().map_or(0, |since| now - since);
        for running in &mut self.running {
            running.ends += lost;
        }
        &self.running
    }

    pub(super) fn slots(&self) -> usize {
        self.host.slots
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn count_anew(&mut self) {
        self.tally = Tally::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARM: Host = Host { slots: 2, warm_after: 0 };

    fn endpoint() -> Endpoint {
        Endpoint::new(WARM, 1)
    }

    fn job(connection: u64) -> Job {
        Job { connection, work: 10 }
    }

    #[test]
    fn as_many_jobs_run_as_there_are_slots_and_the_rest_wait_their_turn() {
        let mut endpoint = endpoint();
        assert_eq!(endpoint.receive(0, job(1)), Reception::Starts(Running { job: job(1), ends: 10 }));
        assert_eq!(endpoint.receive(4, job(2)), Reception::Starts(Running { job: job(2), ends: 14 }));
        assert_eq!(endpoint.receive(5, job(3)), Reception::Waits);
        assert_eq!(endpoint.receive(6, job(4)), Reception::Waits);
        let next = |connection, ends| Some(Running { job: job(connection), ends });
        assert_eq!(endpoint.finish(10, 1, 10), Some(Finished { status: 200, next: next(3, 20) }));
        assert_eq!(endpoint.finish(14, 2, 14), Some(Finished { status: 200, next: next(4, 24) }));
        assert_eq!(endpoint.finish(20, 3, 20), Some(Finished { status: 200, next: None }));
        assert_eq!(endpoint.tally(), Tally { received: 4, busy: 40 });
    }

    #[test]
    fn a_job_whose_client_has_gone_is_not_begun() {
        let mut endpoint = endpoint();
        for connection in 1..=4 {
            endpoint.receive(0, job(connection));
        }
        endpoint.abandon(3);
        let next = endpoint.finish(10, 1, 10).and_then(|finished| finished.next);
        assert_eq!(next.map(|running| running.job), Some(job(4)));
    }

    #[test]
    fn a_pause_puts_off_what_is_in_the_slots() {
        let mut endpoint = endpoint();
        endpoint.receive(0, job(1));
        endpoint.pause(4);
        assert_eq!(endpoint.finish(10, 1, 10), None, "it stands still");
        assert_eq!(endpoint.resume(104), [Running { job: job(1), ends: 110 }]);
        assert_eq!(endpoint.finish(110, 1, 10), None, "put off");
        assert_eq!(endpoint.finish(110, 1, 110), Some(Finished { status: 200, next: None }));
    }

    #[test]
    fn failing_at_once_takes_no_slot_and_failing_late_does() {
        let mut endpoint = endpoint();
        endpoint.turn(Manner::FailsAtOnce { status: 503, share: 1.0 });
        assert_eq!(endpoint.receive(0, job(1)), Reception::AnswersAtOnce(503));
        assert_eq!(endpoint.tally().busy, 0);
        endpoint.turn(Manner::FailsLate { status: 500 });
        assert_eq!(endpoint.receive(0, job(2)), Reception::Starts(Running { job: job(2), ends: 10 }));
        assert_eq!(endpoint.finish(10, 2, 10), Some(Finished { status: 500, next: None }));
    }

    #[test]
    fn a_share_of_failures_is_that_share() {
        let mut endpoint = endpoint();
        endpoint.turn(Manner::FailsAtOnce { status: 500, share: 0.1 });
        let fails = |reception: &Reception| matches!(reception, Reception::AnswersAtOnce(_));
        let failed = (0..10_000).map(|one| endpoint.receive(0, job(one))).filter(fails).count();
        assert!((900..1_100).contains(&failed), "{failed}");
    }

    #[test]
    fn a_crash_loses_what_was_in_the_slots_and_in_the_queue() {
        let mut endpoint = endpoint();
        for connection in 1..=3 {
            endpoint.receive(0, job(connection));
        }
        endpoint.turn(Manner::Refuses);
        assert_eq!(endpoint.finish(10, 1, 10), None);
        endpoint.turn(Manner::Serves);
        assert!(matches!(endpoint.receive(20, job(4)), Reception::Starts(_)));
    }

    #[test]
    fn a_cold_endpoint_begins_ten_times_as_slow_and_warms_by_serving() {
        let mut endpoint = Endpoint::new(Host { slots: 1, warm_after: 2 }, 1);
        let mut now = 0;
        let took = [1, 2, 3].map(|connection| {
            let Reception::Starts(running) = endpoint.receive(now, job(connection)) else {
                panic!("no slot")
            };
            let took = running.ends - now;
            now = running.ends;
            endpoint.finish(now, connection, now);
            took
        });
        assert_eq!(took, [100, 18, 10]);
        assert!(endpoint.is_warm());
    }
}
