//! One endpoint of several has lost its files, and answers 404 at once: who draws how much. Least request sends it what its speed draws. In virtual
//! time, through the public interface alone.

mod cluster;
mod noise;

use cluster::endpoints;
use noise::Noise;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use tidegate_balance::{Algorithm, Balancer, Ended, Lease, Moment, Pick};

const SECOND: f64 = 1e9;
/// From then on the first endpoint answers 404.
const BROKEN_FROM: u64 = 8_000_000_000;
const COUNTED_FROM: u64 = 15_000_000_000;
const UNTIL: u64 = 60_000_000_000;
const NOT_FOUND_SECONDS: f64 = 0.001;
const PAGE_SECONDS: f64 = 0.05;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

#[derive(Clone, Copy)]
struct Setting {
    endpoints: usize,
    slots: usize,
    /// The part of all slots that pages would take, were none broken.
    load: f64,
}

/// What happens next; the numbers are the endpoint's and the ticket's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request,
    Served { index: usize, ticket: usize },
    NotFound { ticket: usize },
}

#[derive(Clone, Default)]
struct Server {
    queue: VecDeque<usize>,
    at_work: usize,
}

struct World<'a> {
    setting: Setting,
    balancer: &'a Balancer,
    noise: Noise,
    events: BinaryHeap<Reverse<(u64, usize, Event)>>,
    planned: usize,
    now: u64,
    servers: Vec<Server>,
    /// All that were ever open, by ticket.
    leases: Vec<Option<Lease<'a>>>,
    counted: Vec<u32>,
}

impl World<'_> {
    fn plan(&mut self, after_seconds: f64, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((self.now + (after_seconds * SECOND) as u64, self.planned, event)));
    }

    fn request(&mut self) {
        let Setting { endpoints, slots, load } = self.setting;
        let gap = PAGE_SECONDS / (load * (endpoints * slots) as f64) * self.noise.exponential();
        self.plan(gap, Event::Request);
        let random = (self.noise.next() * u64::MAX as f64) as u64;
        let pick = Pick { now: Moment(self.now), random, hash: None, tried: &[] };
        let lease = self.balancer.pick(&pick).expect("all are up");
        let (index, ticket) = (lease.index(), self.leases.len());
        self.leases.push(Some(lease));
        self.counted[index] += u32::from(self.now > COUNTED_FROM);
        if index == 0 && self.now > BROKEN_FROM {
            self.plan(NOT_FOUND_SECONDS, Event::NotFound { ticket });
        } else {
            self.servers[index].queue.push_back(ticket);
            self.serve(index);
        }
    }

    fn serve(&mut self, index: usize) {
        while self.servers[index].at_work < self.setting.slots
            && let Some(ticket) = self.servers[index].queue.pop_front()
        {
            self.servers[index].at_work += 1;
            let seconds = PAGE_SECONDS * self.noise.lognormal(0.7);
            self.plan(seconds, Event::Served { index, ticket });
        }
    }

    fn settle(&mut self, ticket: usize, status: u16) {
        let lease = self.leases[ticket].take().expect("it is open");
        let first_byte = Moment(self.now).since(lease.picked_at());
        lease.settle(Ended::Answered { status, first_byte }, Moment(self.now));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Request => self.request(),
            Event::NotFound { ticket } => self.settle(ticket, 404),
            Event::Served { index, ticket } => {
                self.settle(ticket, 200);
                self.servers[index].at_work -= 1;
                self.serve(index);
            }
        }
    }
}

/// The part of all requests that the broken one has, as a mean over seeds.
fn drawn(setting: Setting, algorithm: Algorithm) -> f64 {
    let of_seed = |seed: u64| {
        let balancer = Balancer::new(algorithm, endpoints(&vec![1; setting.endpoints]), None);
        let mut world = World {
            setting,
            balancer: &balancer,
            noise: Noise(seed.wrapping_mul(7_919)),
            events: BinaryHeap::new(),
            planned: 0,
            now: 1,
            servers: vec![Server::default(); setting.endpoints],
            leases: Vec::new(),
            counted: vec![0; setting.endpoints],
        };
        world.plan(0.0, Event::Request);
        while let Some(Reverse((at, _, event))) = world.events.pop()
            && at < UNTIL
        {
            world.now = at;
            world.happens(event);
        }
        f64::from(world.counted[0]) / f64::from(world.counted.iter().sum::<u32>())
    };
    SEEDS.map(of_seed).sum::<f64>() / SEEDS.count() as f64
}

/// Whoever teaches nothing is no better than others for never being late.
#[test]
fn one_that_answers_404_at_once_draws_little_more_than_with_least_request() {
    for (endpoints, slots, load) in [(5, 4, 0.05), (5, 4, 0.2), (5, 4, 0.75), (5, 2, 0.3), (10, 4, 0.12)] {
        let setting = Setting { endpoints, slots, load };
        let adaptive = drawn(setting, Algorithm::Adaptive { peers: 1 });
        let least = drawn(setting, Algorithm::LeastRequest);
        println!("{endpoints} of {slots}, {load}: adaptive {adaptive:.3}, least request {least:.3}");
        assert!(adaptive < least + 0.1, "{endpoints} of {slots}, {load}: {adaptive:.3}, {least:.3}");
    }
}
