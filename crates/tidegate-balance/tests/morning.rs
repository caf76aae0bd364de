//! A quiet time of quick pages, then many that take forty times as long: what is known of the endpoints is of other work. In virtual time, through
//! the public interface alone.

mod cluster;
mod noise;
mod virtual_time;

use cluster::endpoints;
use std::collections::VecDeque;
use tidegate_balance::{Algorithm, Balancer, LoadBound};
use virtual_time::VirtualTime;

const ENDPOINTS: usize = 4;
const SLOTS: usize = 4;
const KEYS: f64 = 40.0;
const QUIET_GAP: f64 = 1.0 / 12.0;
const QUICK: f64 = 0.005;
const MORNING: u64 = 20_000_000_000;
const COUNTED_FROM: u64 = 50_000_000_000;
const UNTIL: u64 = 140_000_000_000;
const SLOW: f64 = 0.2;
const LOAD: f64 = 0.6;

/// What happens next; the numbers are the endpoint's and the ticket's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request,
    Served { index: usize, ticket: usize },
}

#[derive(Clone, Default)]
struct Server {
    /// With what each takes.
    queue: VecDeque<(usize, f64)>,
    at_work: usize,
}

struct World<'a> {
    time: VirtualTime<'a, Event>,
    servers: Vec<Server>,
    counted: u32,
    spilled: u32,
}

impl World<'_> {
    fn request(&mut self) {
        let is_quiet = self.time.now < MORNING;
        let gap = if is_quiet { QUIET_GAP } else { SLOW / (LOAD * (ENDPOINTS * SLOTS) as f64) };
        let gap = gap * self.time.noise.exponential();
        self.time.plan(gap, Event::Request);
        let work = if is_quiet { QUICK } else { SLOW * self.time.noise.lognormal(0.7) };
        let key = (self.time.noise.next() * KEYS) as u64;
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (ticket, lease) = self.time.pick(Some(hash ^ hash >> 29));
        let (index, is_spilled) = (lease.index(), lease.spilled().is_some());
        if self.time.now > COUNTED_FROM {
            self.counted += 1;
            self.spilled += u32::from(is_spilled);
        }
        self.servers[index].queue.push_back((ticket, work));
        self.serve(index);
    }

    fn serve(&mut self, index: usize) {
        while self.servers[index].at_work < SLOTS
            && let Some((ticket, work)) = self.servers[index].queue.pop_front()
        {
            self.servers[index].at_work += 1;
            self.time.plan(work, Event::Served { index, ticket });
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Request => self.request(),
            Event::Served { index, ticket } => {
                self.time.answer(ticket, 200);
                self.servers[index].at_work -= 1;
                self.serve(index);
            }
        }
    }
}

/// The part of all requests that are not where their key belongs.
fn spilled(bound: LoadBound, seed: u64) -> f64 {
    let algorithm = Algorithm::Rendezvous { bound: Some(bound) };
    let balancer = Balancer::new(algorithm, endpoints(&[1; ENDPOINTS]), None);
    let mut world = World {
        time: VirtualTime::new(&balancer, seed),
        servers: vec![Server::default(); ENDPOINTS],
        counted: 0,
        spilled: 0,
    };
    world.time.plan(0.0, Event::Request);
    while let Some(event) = world.time.next(UNTIL) {
        world.happens(event);
    }
    f64::from(world.spilled) / f64::from(world.counted)
}

/// One request at a time was all that was needed of each, and no more have been seen to be served at once.
#[test]
fn a_bound_by_drain_time_soon_sends_no_more_keys_away_than_one_by_requests() {
    for seed in 1..=6 {
        let [by_drain_time, by_requests] =
            [LoadBound::drain_time(125), LoadBound::new(125)].map(|bound| spilled(bound, seed));
        println!("seed {seed}: {by_drain_time:.3}, by requests {by_requests:.3}");
        assert!(by_drain_time < by_requests, "seed {seed}: {by_drain_time:.3}, {by_requests:.3}");
    }
}
