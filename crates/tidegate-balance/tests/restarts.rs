//! Endpoints that are restarted, in virtual time: how soon they have their part of the requests again. Through the public interface alone.

mod cluster;
mod noise;

use cluster::endpoints;
use noise::Noise;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, Ended, Lease, Moment, Pick};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Endpoints, and how many requests each serves at once.
const ENDPOINTS: usize = 4;
const SLOTS: usize = 4;
/// The part of all slots that is in use as a mean, and how long a request takes.
const LOAD: f64 = 0.6;
const SERVICE: f64 = 0.3;
/// When the first one goes, the next after it, and for how long each refuses connections.
const FIRST: u64 = 10 * SECOND;
const EACH: u64 = 9 * SECOND;
const AWAY: u64 = 1_500 * MS;
const END: u64 = FIRST + ENDPOINTS as u64 * EACH;

/// What becomes of the requests that an endpoint has when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    /// Their connections break.
    Killed,
    /// They are answered.
    Gracefully,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Goes(usize),
    /// The request is placed, for the first time or again.
    Placed(usize),
    /// It is served, by the life of its endpoint in which it came there.
    Served(usize, u32),
}

struct Request {
    came: u64,
    takes: u64,
    tried: Vec<usize>,
}

#[derive(Default)]
struct Server {
    waiting: VecDeque<usize>,
    served: Vec<usize>,
    life: u32,
}

/// The part of the requests of the third and fourth second after an endpoint has gone that it gets, as a mean of all restarts.
fn part_of_who_is_back(algorithm: Algorithm, going: Going, seed: u64) -> f64 {
    let balancer = Balancer::new(algorithm, endpoints(&[1; ENDPOINTS]), None);
    let mut run = Run::new(&balancer, going, seed);
    while let Some(Reverse((now, event))) = run.events.pop() {
        match event {
            Event::Goes(endpoint) => run.goes(endpoint, now),
            Event::Placed(request) => run.place(request, now),
            Event::Served(request, life) => run.end(request, life, now),
        }
    }
    f64::from(run.of_who_is_back) / f64::from(run.after_restarts)
}

struct Run<'b> {
    balancer: &'b Balancer,
    going: Going,
    noise: Noise,
    requests: Vec<Request>,
    leases: Vec<Option<Lease<'b>>>,
    servers: Vec<Server>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    after_restarts: u32,
    of_who_is_back: u32,
}

fn goes_at(endpoint: usize) -> u64 {
    FIRST + endpoint as u64 * EACH
}

impl<'b> Run<'b> {
    fn new(balancer: &'b Balancer, going: Going, seed: u64) -> Self {
        let mut noise = Noise(seed.wrapping_mul(7_919));
        let gap = SERVICE / (LOAD * (ENDPOINTS * SLOTS) as f64);
        let (mut requests, mut seconds) = (Vec::new(), 0.0);
        while seconds < END as f64 / SECOND as f64 {
            seconds += noise.exponential() * gap;
            let takes = (noise.lognormal(1.0) * SERVICE * SECOND as f64) as u64;
            requests.push(Request { came: (seconds * SECOND as f64) as u64, takes, tried: Vec::new() });
        }
        let goes = (0..ENDPOINTS).map(|endpoint| Reverse((goes_at(endpoint), Event::Goes(endpoint))));
        let placed = requests.iter().enumerate().map(|(at, it)| Reverse((it.came, Event::Placed(at))));
        Self {
            balancer,
            going,
            noise,
            events: goes.chain(placed).collect(),
            leases: requests.iter().map(|_| None).collect(),
            requests,
            servers: (0..ENDPOINTS).map(|_| Server::default()).collect(),
            after_restarts: 0,
            of_who_is_back: 0,
        }
    }

    fn goes(&mut self, endpoint: usize, now: u64) {
        if self.going == Going::Gracefully {
            return;
        }
        let server = &mut self.servers[endpoint];
        server.life += 1;
        let broken: Vec<usize> = server.served.drain(..).chain(server.waiting.drain(..)).collect();
        for request in broken {
            self.settle(request, Ended::Failed, now);
            self.events.push(Reverse((now + MS, Event::Placed(request))));
        }
    }

    fn place(&mut self, request: usize, now: u64) {
        let random = (self.noise.next() * u64::MAX as f64) as u64;
        let pick = Pick { now: Moment(now), random, hash: None, tried: &self.requests[request].tried };
        let lease = self.balancer.pick(&pick).expect("somebody is up who was not tried");
        let endpoint = lease.index();
        self.requests[request].tried.push(endpoint);
        self.leases[request] = Some(lease);
        if (goes_at(endpoint)..goes_at(endpoint) + AWAY).contains(&now) {
            self.settle(request, Ended::ConnectFailed, now);
            self.events.push(Reverse((now, Event::Placed(request))));
        } else {
            self.count(endpoint, self.requests[request].came);
            self.servers[endpoint].waiting.push_back(request);
            self.serve(endpoint, now);
        }
    }

    fn serve(&mut self, endpoint: usize, now: u64) {
        let server = &mut self.servers[endpoint];
        while server.served.len() < SLOTS
            && let Some(request) = server.waiting.pop_front()
        {
            server.served.push(request);
            let end = Event::Served(request, server.life);
            self.events.push(Reverse((now + self.requests[request].takes, end)));
        }
    }

    fn end(&mut self, request: usize, life: u32, now: u64) {
        let Some(endpoint) = self.leases[request].as_ref().map(Lease::index) else { return };
        let server = &mut self.servers[endpoint];
        if server.life != life || !server.served.contains(&request) {
            return;
        }
        server.served.retain(|served| *served != request);
        let picked = self.leases[request].as_ref().map_or(now, |lease| lease.picked_at().0);
        let first_byte = Duration::from_nanos(now - picked);
        self.settle(request, Ended::Answered { status: 200, first_byte }, now);
        self.serve(endpoint, now);
    }

    fn settle(&mut self, request: usize, ended: Ended, now: u64) {
        if let Some(lease) = self.leases[request].take() {
            lease.settle(ended, Moment(now));
        }
    }

    fn count(&mut self, endpoint: usize, came: u64) {
        let is_after = |one: usize| (2 * SECOND..4 * SECOND).contains(&came.saturating_sub(goes_at(one)));
        if let Some(back) = (0..ENDPOINTS).find(|one| is_after(*one)) {
            self.after_restarts += 1;
            self.of_who_is_back += u32::from(back == endpoint);
        }
    }
}

/// What had failed when it went kept everybody away until that was forgotten, and connects, which tell that it is back, were not tried.
#[test]
fn who_is_restarted_has_its_part_again_as_soon_as_with_least_request() {
    for going in [Going::Killed, Going::Gracefully] {
        let part = |algorithm: Algorithm| {
            let parts = (1..=24).map(|seed| part_of_who_is_back(algorithm, going, seed));
            parts.sum::<f64>() / 24.0
        };
        let (adaptive, least) = (part(Algorithm::Adaptive { peers: 1 }), part(Algorithm::LeastRequest));
        println!("{going:?}: adaptive {adaptive:.3}, least request {least:.3}");
        assert!(adaptive > 0.85 * least, "{going:?}: adaptive {adaptive:.3}, least request {least:.3}");
    }
}
