//! A small world in virtual time: open-loop clients, one balancer, endpoints with slots and a queue. Deterministic for a
//! seed; knows no algorithm.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, Ended, Endpoint, EndpointId, Lease, Moment, Pick};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// How one endpoint behaves, as a function of time.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    pub(crate) slots: u32,
    /// Multiplies the service time, by time.
    pub(crate) slowness: fn(u64) -> f64,
    /// The part of requests that fail at once.
    pub(crate) failing: fn(u64) -> f64,
    /// How far ahead of the world its clock is: lets hosts behave alike at different times.
    pub(crate) ahead: u64,
    /// Requests served until it is warm; a cold host takes ten times as long at first.
    pub(crate) warm_after: u32,
    /// It is drained before.
    pub(crate) joins_at: u64,
}

pub(crate) const HOST: Host =
    Host { slots: 4, slowness: |_| 1.0, failing: |_| 0.0, ahead: 0, warm_after: 0, joins_at: 0 };

pub(crate) struct World {
    pub(crate) algorithm: Algorithm,
    /// Proxies that send to the same hosts and know nothing of each other.
    pub(crate) proxies: usize,
    pub(crate) hosts: Vec<Host>,
    pub(crate) weights: Vec<u32>,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Multiplies the rate, by time.
    pub(crate) surge: fn(u64) -> f64,
    /// The service time's σ; its mean is 10 ms.
    pub(crate) sigma: f64,
    /// The part of the requests that take a hundred times as long as the mean; the others then take a tenth of it.
    pub(crate) slow_route: f64,
    pub(crate) seed: u64,
}

/// What happened to one request.
#[derive(Clone, Copy)]
pub(crate) struct Done {
    pub(crate) picked_at: u64,
    pub(crate) host: usize,
    pub(crate) latency: u64,
    pub(crate) failed: bool,
}

pub(crate) struct Story(Vec<Done>);

impl World {
    pub(crate) fn even(algorithm: Algorithm, hosts: usize) -> Self {
        Self::of(algorithm, vec![HOST; hosts])
    }

    /// At 70 % of what all hosts can do at full speed.
    pub(crate) fn of(algorithm: Algorithm, hosts: Vec<Host>) -> Self {
        let weights = vec![1; hosts.len()];
        let world = Self {
            algorithm,
            proxies: 1,
            hosts,
            weights,
            rate: 0.0,
            surge: |_| 1.0,
            sigma: 1.0,
            slow_route: 0.0,
            seed: 1,
        };
        world.at_load(0.7)
    }

    pub(crate) fn at_load(self, load: f64) -> Self {
        let slots: u32 = self.hosts.iter().map(|host| host.slots).sum();
        Self { rate: load * f64::from(slots) / 0.010, ..self }
    }

    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    pub(crate) fn run(&self, seconds: u64) -> Story {
        let balancers: Vec<_> = (0..self.proxies).map(|_| self.balancer()).collect();
        let story = Run::new(self, &balancers).until(seconds * SECOND);
        for balancer in &balancers {
            assert!(balancer.endpoints().iter().all(|endpoint| endpoint.state.in_flight() == 0));
        }
        story
    }

    fn balancer(&self) -> Balancer {
        let endpoint = |(index, &weight): (usize, &u32)| Endpoint {
            id: EndpointId { cluster: "app".into(), address: format!("10.0.0.{index}:80").into() },
            weight,
            state: std::sync::Arc::default(),
        };
        let endpoints = self.weights.iter().enumerate().map(endpoint).collect();
        Balancer::new(self.algorithm, endpoints, None)
    }
}

struct Run<'w> {
    world: &'w World,
    balancers: &'w [Balancer],
    random: Random,
    /// (when, number of the lease)
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    leases: Vec<Option<(Lease<'w>, bool)>>,
    busy: Vec<u32>,
    served: Vec<u32>,
    queues: Vec<VecDeque<(usize, u64)>>,
    story: Vec<Done>,
}

impl<'w> Run<'w> {
    fn new(world: &'w World, balancers: &'w [Balancer]) -> Self {
        let hosts = world.hosts.len();
        Self {
            world,
            balancers,
            random: Random(world.seed),
            ends: BinaryHeap::new(),
            leases: Vec::new(),
            busy: vec![0; hosts],
            served: vec![0; hosts],
            queues: vec![VecDeque::new(); hosts],
            story: Vec::new(),
        }
    }

    fn until(mut self, end: u64) -> Story {
        let mut arrival = 0;
        while arrival < end || !self.ends.is_empty() {
            match self.ends.peek() {
                Some(&Reverse((when, number))) if when <= arrival || arrival >= end => {
                    self.ends.pop();
                    self.finish(number, when);
                }
                _ => {
                    self.arrive(arrival);
                    arrival += (self.random.exponential() * 1e9
                        / (self.world.rate * (self.world.surge)(arrival)))
                        as u64
                        + 1;
                }
            }
        }
        Story(self.story)
    }

    fn arrive(&mut self, now: u64) {
        self.let_in(now);
        let pick = Pick { now: Moment(now), random: self.random.next(), hash: None, tried: &[] };
        let proxy = self.random.next() as usize % self.balancers.len();
        let lease = self.balancers[proxy].pick(&pick).expect("somebody is up");
        let index = lease.index();
        let host = self.world.hosts[index];
        let fails = self.random.unit() < (host.failing)(now + host.ahead);
        let number = self.leases.len();
        self.leases.push(Some((lease, fails)));
        let service = self.service(index, now);
        if fails {
            self.ends.push(Reverse((now + MS / 10, number)));
        } else if self.busy[index] < host.slots {
            self.busy[index] += 1;
            self.ends.push(Reverse((now + service, number)));
        } else {
            self.queues[index].push_back((number, service));
        }
    }

    fn let_in(&self, now: u64) {
        for (index, host) in self.world.hosts.iter().enumerate().filter(|(_, host)| host.joins_at > 0) {
            for balancer in self.balancers {
                balancer.endpoints()[index].state.set_draining(now < host.joins_at);
            }
        }
    }

    fn finish(&mut self, number: usize, now: u64) {
        let Some((lease, failed)) = self.leases[number].take() else { return };
        let (index, picked_at) = (lease.index(), lease.picked_at().0);
        let latency = now - picked_at;
        let status = if failed { 500 } else { 200 };
        lease.settle(Ended::Answered { status, first_byte: Duration::from_nanos(latency) }, Moment(now));
        self.story.push(Done { picked_at, host: index, latency, failed });
        if failed {
            return;
        }
        self.served[index] += 1;
        match self.queues[index].pop_front() {
            Some((number, service)) => self.ends.push(Reverse((now + service, number))),
            None => self.busy[index] -= 1,
        }
    }

    fn route(&mut self) -> f64 {
        let part = self.world.slow_route;
        if part <= 0.0 {
            1.0
        } else if self.random.unit() < part {
            100.0
        } else {
            0.1
        }
    }

    /// Lognormal with a mean of 10 ms.
    fn service(&mut self, index: usize, now: u64) -> u64 {
        let sigma = self.world.sigma;
        let size = (sigma * self.random.normal() - sigma * sigma / 2.0).exp();
        let size = size * self.route();
        let host = &self.world.hosts[index];
        let warmth = (f64::from(self.served[index]) + 1.0) / (f64::from(host.warm_after) + 1.0);
        let cold = 1.0 / (0.1 + 0.9 * warmth.min(1.0));
        (10.0 * MS as f64 * size * cold * (host.slowness)(now + host.ahead)) as u64
    }
}

impl Story {
    pub(crate) fn between(&self, from: u64, to: u64) -> Story {
        Story(self.0.iter().copied().filter(|done| (from..to).contains(&done.picked_at)).collect())
    }

    /// The part of the requests that went to this host.
    pub(crate) fn share(&self, host: usize) -> f64 {
        self.part(|done| done.host == host)
    }

    pub(crate) fn failed(&self) -> f64 {
        self.part(|done| done.failed)
    }

    fn part(&self, which: impl Fn(&Done) -> bool) -> f64 {
        self.0.iter().filter(|done| which(done)).count() as f64 / self.0.len() as f64
    }

    /// When this host had been picked so many times, in seconds.
    pub(crate) fn picked_times(&self, host: usize, times: usize) -> Option<f64> {
        let mut picks: Vec<_> =
            self.0.iter().filter(|done| done.host == host).map(|done| done.picked_at).collect();
        picks.sort_unstable();
        picks.get(times).map(|&at| at as f64 / SECOND as f64)
    }

    /// In milliseconds.
    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().map(|done| done.latency as f64).sum::<f64>() / (self.0.len() as f64 * MS as f64)
    }

    /// In milliseconds.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let mut latencies: Vec<_> = self.0.iter().map(|done| done.latency).collect();
        latencies.sort_unstable();
        latencies[((latencies.len() - 1) as f64 * q) as usize] as f64 / MS as f64
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
