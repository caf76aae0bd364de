//! An endpoint whose limit is learned, in virtual time: what it has and does by the second, who comes to it, and what becomes of them. Knows no
//! law.

use crate::cluster::endpoints;
use crate::noise::Noise;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, Ended, Lease, Moment, Pick, RequestLimit};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// What the endpoint takes for a request, in seconds, by some noise.
pub(crate) type Service = fn(&mut Noise) -> f64;

/// From which second on there are how many slots.
pub(crate) type Slots = &'static [(u64, usize)];

/// An endpoint with slots, which works on for those who have left, and what comes to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) rate: f64,
    /// From which second on there are how many requests more.
    pub(crate) more: (u64, f64),
    pub(crate) service: Service,
    /// From which second to which it takes so many times as long.
    pub(crate) slower: (u64, u64, f64),
    pub(crate) slots: Slots,
    /// Refuses what it has no slot for.
    pub(crate) refuses: bool,
    /// From which second to which it refuses this part, at any load.
    pub(crate) outage: (u64, u64, f64),
    /// Answers 504 itself after so long, and works on.
    pub(crate) gate: Option<Duration>,
    /// What it says then.
    pub(crate) gate_says: Came,
    /// Answers 500 itself to whoever has waited so long for a slot.
    pub(crate) pool: Option<Duration>,
    /// Given up after so long, by the proxy.
    pub(crate) attempt: Option<Duration>,
    /// Clients leave so long after they came.
    pub(crate) leave: Option<Duration>,
    /// How long a request waits here for an endpoint that is full.
    pub(crate) queue: Duration,
    /// Clients that ask again and again what takes 20 s.
    pub(crate) long_polls: usize,
    /// Those who come beside the ordinary ones.
    pub(crate) others: &'static [Others],
    pub(crate) seconds: u64,
}

/// Others, who come again and again, so many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    pub(crate) count: usize,
    /// From the first second on.
    pub(crate) every: Duration,
    pub(crate) until: u64,
    pub(crate) service: Service,
    pub(crate) status: u16,
    /// They leave when they have not been answered so long after they were let in.
    pub(crate) leave: Option<Duration>,
    pub(crate) takes_a_slot: bool,
}

impl Others {
    pub(crate) const fn new(count: usize, every: Duration, service: Service) -> Self {
        Self { count, every, until: u64::MAX, service, status: 200, leave: None, takes_a_slot: true }
    }
}

impl Scene {
    pub(crate) fn new(rate: f64, service: Service) -> Self {
        let slots = &[(0, usize::MAX)];
        Self {
            rate,
            more: (0, 0.0),
            service,
            slower: (0, 0, 1.0),
            slots,
            refuses: false,
            outage: (0, 0, 0.0),
            gate: None,
            gate_says: Came::Answer(504),
            pool: None,
            attempt: None,
            leave: None,
            queue: Duration::from_secs(5),
            long_polls: 0,
            others: &[],
            seconds: 60,
        }
    }
}

/// Of each second: what became of the ordinary requests that came in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) served: u32,
    pub(crate) shed: u32,
    pub(crate) late: u32,
    pub(crate) refused: u32,
    pub(crate) others: u32,
    pub(crate) others_shed: u32,
    pub(crate) limit: Option<u32>,
    pub(crate) inside_most: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    PollArrives,
    /// Of the others, those of this position.
    OthersArrive(usize),
    /// The request of this number is done in the endpoint.
    Done(usize),
    /// Its time in the endpoint is over, and its time before a slot there.
    Gated(usize),
    Unpooled(usize),
    GivenUp(usize),
    Left(usize),
}

#[derive(Clone, Copy)]
struct Request {
    came: u64,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Ordinary,
    Poll,
    Other(&'static Others),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Came {
    Answer(u16),
    /// The endpoint has closed.
    Closed,
    /// The proxy gave it up.
    Late,
    /// The client left.
    Nothing,
}

struct World<'a> {
    scene: Scene,
    balancer: &'a Balancer,
    noise: Noise,
    now: u64,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    waiting: VecDeque<Request>,
    leases: Vec<(Request, Option<Lease<'a>>)>,
    /// Inside the endpoint, before a slot.
    inside: VecDeque<usize>,
    busy: usize,
    seconds: Vec<Second>,
}

pub(crate) fn run(scene: Scene, seed: u64) -> Vec<Second> {
    run_with(RequestLimit::Learned, scene, seed)
}

pub(crate) fn run_with(limit: RequestLimit, scene: Scene, seed: u64) -> Vec<Second> {
    let balancer =
        Balancer::new(Algorithm::LeastRequest, endpoints(&[1]), None).with_request_limits(&[limit], None);
    let mut world = World {
        scene,
        balancer: &balancer,
        noise: Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        now: 1_000 * SECOND,
        events: BinaryHeap::new(),
        waiting: VecDeque::new(),
        leases: Vec::new(),
        inside: VecDeque::new(),
        busy: 0,
        seconds: vec![Second::default(); scene.seconds as usize],
    };
    world.at(0, Event::Arrives);
    (0..scene.long_polls).for_each(|_| world.at(0, Event::PollArrives));
    (0..scene.others.len()).for_each(|others| world.at(SECOND, Event::OthersArrive(others)));
    while let Some(Reverse((at, event))) = world.events.pop()
        && second_of(at) < scene.seconds as usize
    {
        world.now = at;
        world.step(event);
    }
    world.seconds
}

fn second_of(at: u64) -> usize {
    (at / SECOND) as usize - 1_000
}

impl World<'_> {
    fn at(&mut self, after: u64, event: Event) {
        self.events.push(Reverse((self.now + after, event)));
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrives => {
                let (from, more) = self.scene.more;
                let is_more = second_of(self.now) as u64 >= from;
                let rate = self.scene.rate + if is_more { more } else { 0.0 };
                let gap = self.noise.exponential() / rate;
                self.at((gap * SECOND as f64) as u64, Event::Arrives);
                self.waiting.push_back(Request { came: self.now, kind: Kind::Ordinary });
            }
            Event::PollArrives => self.waiting.push_back(Request { came: self.now, kind: Kind::Poll }),
            Event::OthersArrive(others) => self.others_arrive(others),
            Event::Done(number) => self.done(number),
            Event::Gated(number) => self.settle(number, self.scene.gate_says),
            Event::Unpooled(number) => self.unpooled(number),
            Event::GivenUp(number) => self.settle(number, Came::Late),
            Event::Left(number) => self.settle(number, Came::Nothing),
        }
        self.shed();
        self.pick();
    }

    fn others_arrive(&mut self, number: usize) {
        let others = &self.scene.others[number];
        if second_of(self.now) as u64 >= others.until {
            return;
        }
        self.at(others.every.as_nanos() as u64, Event::OthersArrive(number));
        let request = Request { came: self.now, kind: Kind::Other(others) };
        self.waiting.extend(std::iter::repeat_n(request, others.count));
    }

    fn pick(&mut self) {
        while let Some(&request) = self.waiting.front() {
            let pick = Pick { now: Moment(self.now), random: 7, hash: None, tried: &[] };
            let Ok(lease) = self.balancer.pick(&pick) else { break };
            self.waiting.pop_front();
            let number = self.leases.len();
            self.leases.push((request, Some(lease)));
            if let Some(attempt) = self.scene.attempt {
                self.at(attempt.as_nanos() as u64, Event::GivenUp(number));
            }
            self.arrive(number, request);
        }
        let limit = self.balancer.request_limit(0, Moment(self.now));
        let inside = self.inside.len();
        let second = self.second(self.now);
        (second.limit, second.inside_most) = (limit, second.inside_most.max(inside));
    }

    fn arrive(&mut self, number: usize, request: Request) {
        if let Kind::Poll = request.kind {
            return self.at(20 * SECOND, Event::Done(number));
        }
        if let Kind::Other(Others { leave: Some(leave), .. }) = request.kind {
            self.at(leave.as_nanos() as u64, Event::Left(number));
        }
        if let (Kind::Ordinary, Some(leave)) = (request.kind, self.scene.leave) {
            self.at((request.came + leave.as_nanos() as u64).saturating_sub(self.now), Event::Left(number));
        }
        if let Some(gate) = self.scene.gate {
            self.at(gate.as_nanos() as u64, Event::Gated(number));
        }
        if let Some(pool) = self.scene.pool {
            self.at(pool.as_nanos() as u64, Event::Unpooled(number));
        }
        if self.is_out() {
            self.settle(number, Came::Answer(503));
        } else if let Kind::Other(Others { takes_a_slot: false, .. }) = request.kind {
            self.work_on(number);
        } else if self.busy < self.slots() {
            self.serve(number);
        } else if self.scene.refuses {
            self.settle(number, Came::Answer(503));
        } else {
            self.inside.push_back(number);
        }
    }

    fn is_out(&mut self) -> bool {
        let (from, to, part) = self.scene.outage;
        (from..to).contains(&(second_of(self.now) as u64)) && self.noise.next() < part
    }

    fn slots(&self) -> usize {
        let second = second_of(self.now) as u64;
        let reached = self.scene.slots.iter().rev().find(|(from, _)| *from <= second);
        reached.map_or(1, |(_, slots)| *slots)
    }

    fn serve(&mut self, number: usize) {
        self.busy += 1;
        self.work_on(number);
    }

    fn work_on(&mut self, number: usize) {
        let service = match self.leases[number].0.kind {
            Kind::Other(others) => others.service,
            Kind::Ordinary | Kind::Poll => self.scene.service,
        };
        let (from, to, times) = self.scene.slower;
        let is_slower = (from..to).contains(&(second_of(self.now) as u64));
        let service = (service(&mut self.noise) * SECOND as f64 * if is_slower { times } else { 1.0 }) as u64;
        self.at(service, Event::Done(number));
    }

    fn done(&mut self, number: usize) {
        if let Kind::Poll = self.leases[number].0.kind {
            self.settle(number, Came::Answer(200));
            return self.at(50 * MS, Event::PollArrives);
        }
        let (status, had_a_slot) = match self.leases[number].0.kind {
            Kind::Other(others) => (others.status, others.takes_a_slot),
            Kind::Ordinary | Kind::Poll => (200, true),
        };
        self.busy -= usize::from(had_a_slot);
        self.settle(number, Came::Answer(status));
        while self.busy < self.slots()
            && let Some(next) = self.inside.pop_front()
        {
            self.serve(next);
        }
    }

    fn unpooled(&mut self, number: usize) {
        let waiting = self.inside.len();
        self.inside.retain(|waiting| *waiting != number);
        if self.inside.len() < waiting {
            self.settle(number, Came::Answer(500));
        }
    }

    fn settle(&mut self, number: usize, came: Came) {
        let (request, lease) = &mut self.leases[number];
        let (request, Some(mut lease)) = (*request, lease.take()) else { return };
        let first_byte = Duration::from_nanos(self.now - lease.picked_at().0);
        let ended = match came {
            Came::Answer(status) => Ended::Answered { status, first_byte },
            Came::Late | Came::Closed => Ended::Failed,
            Came::Nothing => Ended::Abandoned,
        };
        match came {
            Came::Late => drop(lease.waits_in_vain(lease.picked_at(), Moment(self.now))),
            Came::Nothing => lease.is_left(lease.picked_at(), Moment(self.now)),
            Came::Answer(_) | Came::Closed => {}
        }
        lease.settle(ended, Moment(self.now));
        let second = self.second(request.came);
        match came {
            _ if !matches!(request.kind, Kind::Ordinary) => {
                second.others += u32::from(matches!(came, Came::Answer(200)));
            }
            Came::Answer(200) => second.served += 1,
            Came::Late | Came::Nothing | Came::Closed | Came::Answer(500 | 504) => second.late += 1,
            Came::Answer(_) => second.refused += 1,
        }
    }

    /// Whoever has waited here for too long. A client whose poll is shed comes again.
    fn shed(&mut self) {
        while let Some(&request) = self.waiting.front()
            && self.now - request.came > self.scene.queue.as_nanos() as u64
        {
            self.waiting.pop_front();
            match request.kind {
                Kind::Poll => self.at(50 * MS, Event::PollArrives),
                Kind::Ordinary => self.second(request.came).shed += 1,
                Kind::Other(_) => self.second(request.came).others_shed += 1,
            }
        }
    }

    fn second(&mut self, at: u64) -> &mut Second {
        let second = second_of(at);
        &mut self.seconds[second]
    }
}

/// A second of those, on average.
pub(crate) fn mean(seconds: &[Second], of: fn(&Second) -> u32) -> f64 {
    seconds.iter().map(|second| f64::from(of(second))).sum::<f64>() / seconds.len() as f64
}

pub(crate) const SEEDS: std::ops::Range<u64> = 1..9;

/// What came of each second, by several seeds.
pub(crate) fn runs(scene: Scene) -> impl Iterator<Item = Vec<Second>> {
    SEEDS.map(move |seed| run(scene, seed))
}

/// One of so many kinds, each with its part of the requests and what it takes.
pub(crate) fn one_of(noise: &mut Noise, kinds: &[(f64, f64)]) -> f64 {
    let mut left = noise.next();
    let drawn = kinds.iter().find(|(part, _)| {
        left -= part;
        left < 0.0
    });
    drawn.or(kinds.last()).map_or(0.0, |(_, seconds)| *seconds)
}
