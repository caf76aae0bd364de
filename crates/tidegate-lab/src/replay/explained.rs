//! The log's own choices once more, on the endpoints as they were told. Knows no algorithm.
//!
//! What each request did on its own is told from the same log, so that its latencies come out again as far as the slots allow. It says more that
//! requests that waited were as much work as others: had the waiting been told wrongly, the rest of it would be in the work.

use super::capacity::Waiters;
use crate::agenda::NEVER;
use crate::histogram::Histogram;
use crate::machine::Machine;
use crate::outcome::Explained;
use crate::recorder::quantiles;
use crate::server::Server;

/// A request of the log, in nanoseconds from its first one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: u64,
    pub(super) latency: u64,
    pub(super) work: f64,
    /// It is an answer, and came after the warm-up.
    pub(super) is_measured: bool,
}

#[derive(Default)]
pub(super) struct Rerun {
    log: Histogram,
    model: Histogram,
    waiters: Waiters,
}

impl Rerun {
    pub(super) fn endpoint(&mut self, machine: &Machine, requests: &[Seen], waiters: &Waiters) {
        self.waiters.add(waiters);
        for (seen, latency) in requests.iter().zip(latencies(machine, requests)) {
            if seen.is_measured {
                self.log.record(seen.latency);
                self.model.record(latency);
            }
        }
    }

    /// `None` without a single answer: nothing took 0 ms then.
    pub(super) fn explained(&self) -> Option<Explained> {
        let work = self.waiters.over_others();
        (self.log.count() > 0).then(|| Explained {
            log_ms: quantiles(&self.log),
            model_ms: quantiles(&self.model),
            waited: self.waiters.part(),
            waited_work: work.map(|(times, _)| times),
            waited_work_doubt: work.map(|(_, doubt)| doubt),
            too_soon: self.waiters.too_soon(),
        })
    }
}

/// How long each takes.
pub(super) fn latencies(machine: &Machine, requests: &[Seen]) -> Vec<u64> {
    let mut server = Server::new(machine, Vec::new());
    let mut latencies = vec![0; requests.len()];
    let mut done = Vec::new();
    let mut run = |server: &mut Server<'_>, until: u64| {
        while server.next() <= until && server.next() < NEVER {
            let now = server.next();
            server.step(now, &mut done);
            for job in done.drain(..) {
                latencies[job as usize] = now - requests[job as usize].at;
            }
        }
    };
    for (job, request) in (0..).zip(requests) {
        run(&mut server, request.at);
        server.accept(request.at, job, request.work);
    }
    run(&mut server, NEVER);
    latencies
}
