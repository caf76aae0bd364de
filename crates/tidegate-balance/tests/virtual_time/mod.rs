//! Requests in virtual time: what happens next, and the leases that are open, by ticket. Knows no server and what an event means.

use crate::noise::Noise;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use tidegate_balance::{Balancer, Ended, Lease, Moment, Pick};

pub(crate) const SECOND: f64 = 1e9;

pub(crate) struct VirtualTime<'a, E> {
    balancer: &'a Balancer,
    pub(crate) noise: Noise,
    pub(crate) now: u64,
    /// What comes in the same moment comes in the order in which it was planned.
    events: BinaryHeap<Reverse<(u64, usize, E)>>,
    planned: usize,
    /// All that were ever open, by ticket.
    leases: Vec<Option<Lease<'a>>>,
}

impl<'a, E: Ord> VirtualTime<'a, E> {
    pub(crate) fn new(balancer: &'a Balancer, seed: u64) -> Self {
        let noise = Noise(seed.wrapping_mul(7_919));
        Self { balancer, noise, now: 1, events: BinaryHeap::new(), planned: 0, leases: Vec::new() }
    }

    pub(crate) fn plan(&mut self, after_seconds: f64, event: E) {
        self.planned += 1;
        self.events.push(Reverse((self.now + (after_seconds * SECOND) as u64, self.planned, event)));
    }

    /// What happens next, now; `None`: nothing before that moment.
    pub(crate) fn next(&mut self, until: u64) -> Option<E> {
        let Reverse((at, _, event)) = self.events.pop().filter(|Reverse((at, ..))| *at < until)?;
        self.now = at;
        Some(event)
    }

    /// A new request of whoever hashes so; gives its ticket and where it goes.
    pub(crate) fn pick(&mut self, hash: Option<u64>) -> (usize, &Lease<'a>) {
        let random = (self.noise.next() * u64::MAX as f64) as u64;
        let pick = Pick { now: Moment(self.now), random, hash, tried: &[] };
        let lease = self.balancer.pick(&pick).expect("all are up");
        let ticket = self.leases.len();
        (ticket, self.leases.push_mut(Some(lease)).as_ref().expect("it is open"))
    }

    /// It is answered; gives how long that took.
    pub(crate) fn answer(&mut self, ticket: usize, status: u16) -> Duration {
        let lease = self.leases[ticket].take().expect("it is open");
        let first_byte = Moment(self.now).since(lease.picked_at());
        lease.settle(Ended::Answered { status, first_byte }, Moment(self.now));
        first_byte
    }
}
