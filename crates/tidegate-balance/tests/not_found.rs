//! One endpoint of several has lost its files, and answers 404 at once, or sends everybody elsewhere: who draws how much. Least request sends it what its speed draws. In virtual
//! time, through the public interface alone.

mod cluster;
mod noise;
mod virtual_time;

use cluster::endpoints;
use std::collections::VecDeque;
use tidegate_balance::{Algorithm, Balancer};
use virtual_time::VirtualTime;

/// From then on the first endpoint answers that.
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
    /// What the broken one answers.
    status: u16,
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
    time: VirtualTime<'a, Event>,
    servers: Vec<Server>,
    counted: Vec<u32>,
}

impl World<'_> {
    fn request(&mut self) {
        let Setting { endpoints, slots, load, .. } = self.setting;
        let gap = PAGE_SECONDS / (load * (endpoints * slots) as f64) * self.time.noise.exponential();
        self.time.plan(gap, Event::Request);
        let (ticket, lease) = self.time.pick(None);
        let index = lease.index();
        self.counted[index] += u32::from(self.time.now > COUNTED_FROM);
        if index == 0 && self.time.now > BROKEN_FROM {
            self.time.plan(NOT_FOUND_SECONDS, Event::NotFound { ticket });
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
            let seconds = PAGE_SECONDS * self.time.noise.lognormal(0.7);
            self.time.plan(seconds, Event::Served { index, ticket });
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Request => self.request(),
            Event::NotFound { ticket } => {
                self.time.answer(ticket, self.setting.status);
            }
            Event::Served { index, ticket } => {
                self.time.answer(ticket, 200);
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
            time: VirtualTime::new(&balancer, seed),
            servers: vec![Server::default(); setting.endpoints],
            counted: vec![0; setting.endpoints],
        };
        world.time.plan(0.0, Event::Request);
        while let Some(event) = world.time.next(UNTIL) {
            world.happens(event);
        }
        f64::from(world.counted[0]) / f64::from(world.counted.iter().sum::<u32>())
    };
    SEEDS.map(of_seed).sum::<f64>() / SEEDS.count() as f64
}

/// Whoever teaches nothing is no better than others for never being late.
#[test]
fn one_that_answers_404_or_302_at_once_draws_little_more_than_with_least_request() {
    let not_found =
        [(5, 4, 0.05), (5, 4, 0.2), (5, 4, 0.75), (5, 2, 0.3), (10, 4, 0.12)].map(|fleet| (fleet, 404));
    let elsewhere = [(5, 4, 0.2), (5, 4, 0.75)].map(|fleet| (fleet, 302));
    for ((endpoints, slots, load), status) in not_found.into_iter().chain(elsewhere) {
        let setting = Setting { endpoints, slots, load, status };
        let adaptive = drawn(setting, Algorithm::Adaptive { peers: 1 });
        let least = drawn(setting, Algorithm::LeastRequest);
        println!(
            "{status}, {endpoints} of {slots}, {load}: adaptive {adaptive:.3}, least request {least:.3}"
        );
        assert!(
            adaptive < least + 0.1,
            "{status}, {endpoints} of {slots}, {load}: {adaptive:.3}, {least:.3}"
        );
    }
}
