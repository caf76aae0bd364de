//! The learned limit on requests in flight, on made-up endpoints in virtual time: how soon it finds the room that there is, what it
//! does when the endpoint changes, and what does not mislead it. Through the public interface alone.

mod cluster;
mod noise;

use cluster::endpoints;
use noise::Noise;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, Ended, Lease, LimitReason, Moment, Pick, RequestLimit};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What the endpoint takes for a request, in seconds, by some noise.
type Service = fn(&mut Noise) -> f64;

/// From which second on there are how many slots.
type Slots = &'static [(u64, usize)];

/// An endpoint with slots, which works on for those who have left, and what comes to it.
#[derive(Clone, Copy, Debug)]
struct Scene {
    rate: f64,
    /// From which second on there are how many requests more.
    more: (u64, f64),
    service: Service,
    /// From which second to which it takes so many times as long.
    slower: (u64, u64, f64),
    slots: Slots,
    /// Refuses what it has no slot for.
    refuses: bool,
    /// From which second to which it refuses this part, at any load.
    outage: (u64, u64, f64),
    /// Answers 504 itself after so long, and works on.
    gate: Option<Duration>,
    /// What it says then.
    gate_says: Came,
    /// Answers 500 itself to whoever has waited so long for a slot.
    pool: Option<Duration>,
    /// Given up after so long, by the proxy.
    attempt: Option<Duration>,
    /// Clients leave so long after they came.
    leave: Option<Duration>,
    /// How long a request waits here for an endpoint that is full.
    queue: Duration,
    /// Clients that ask again and again what takes 20 s.
    long_polls: usize,
    /// Those who come beside the ordinary ones.
    others: &'static [Others],
    seconds: u64,
}

/// Others, who come again and again, so many at once.
#[derive(Clone, Copy, Debug)]
struct Others {
    count: usize,
    /// From the first second on.
    every: Duration,
    until: u64,
    service: Service,
    status: u16,
    /// They leave when they have not been answered so long after they were let in.
    leave: Option<Duration>,
    takes_a_slot: bool,
}

impl Others {
    const fn new(count: usize, every: Duration, service: Service) -> Self {
        Self { count, every, until: u64::MAX, service, status: 200, leave: None, takes_a_slot: true }
    }
}

impl Scene {
    fn new(rate: f64, service: Service) -> Self {
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
struct Second {
    served: u32,
    shed: u32,
    late: u32,
    refused: u32,
    others: u32,
    others_shed: u32,
    limit: Option<u32>,
    inside_most: usize,
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
enum Came {
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

fn run(scene: Scene, seed: u64) -> Vec<Second> {
    run_with(RequestLimit::Learned, scene, seed)
}

fn run_with(limit: RequestLimit, scene: Scene, seed: u64) -> Vec<Second> {
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
fn mean(seconds: &[Second], of: fn(&Second) -> u32) -> f64 {
    seconds.iter().map(|second| f64::from(of(second))).sum::<f64>() / seconds.len() as f64
}

const SEEDS: std::ops::Range<u64> = 1..9;

/// What came of each second, by several seeds.
fn runs(scene: Scene) -> impl Iterator<Item = Vec<Second>> {
    SEEDS.map(move |seed| run(scene, seed))
}

#[test]
fn a_cold_limit_finds_the_room_that_there_is_before_anybody_is_sent_away() {
    let cases: [(&str, f64, Service); 4] = [
        ("1 s", 40.0, |_| 1.0),
        ("3 s", 8.0, |_| 3.0),
        ("300 ms, widely spread", 90.0, |noise| 0.3 * noise.lognormal(1.0)),
        (
            "one of ten takes a hundred times as long",
            60.0,
            |noise| if noise.next() < 0.1 { 2.0 } else { 0.02 },
        ),
    ];
    for (name, rate, service) in cases {
        for seconds in runs(Scene { seconds: 40, ..Scene::new(rate, service) }) {
            let shed: u32 = seconds.iter().map(|second| second.shed).sum();
            assert!(f64::from(shed) < rate, "{name}: {shed} sent away, {seconds:?}");
            assert!(seconds[20..].iter().all(|second| second.shed == 0), "{name}: {seconds:?}");
        }
    }
}

#[test]
fn a_cold_endpoint_with_few_slots_does_not_drown() {
    let cases: [(&str, Slots, Service); 4] = [
        ("2 slots", &[(0, 2)], |_| 0.1),
        ("2 slots, widely spread", &[(0, 2)], |noise| 0.1 * noise.lognormal(1.0)),
        ("4 slots, widely spread", &[(0, 4)], |noise| 0.1 * noise.lognormal(1.0)),
        ("16 slots", &[(0, 16)], |_| 0.1),
    ];
    for (name, slots, service) in cases {
        let count = slots[0].1;
        for seconds in runs(Scene { slots, ..Scene::new(15.0 * count as f64, service) }) {
            let served = mean(&seconds[10..50], |second| second.served);
            assert!(served > 8.0 * count as f64, "{name}: {served} served, {seconds:?}");
            let inside = mean(&seconds[10..], |second| second.inside_most as u32);
            assert!(inside < 2.0 * count as f64 + 8.0, "{name}: {inside} wait inside, {seconds:?}");
            let inside = seconds[10..].iter().map(|second| second.inside_most).max();
            assert!(inside < Some(3 * count + 24), "{name}: {inside:?} wait inside, {seconds:?}");
        }
    }
}

/// After a long time in which hardly anybody has waited, the limit is wide.
#[test]
fn when_far_more_come_than_are_served_the_limit_falls_soon() {
    let uneven: Service = |noise| 0.32 * (0.7 + 0.3 * noise.lognormal(1.0));
    for seconds in runs(Scene { slots: &[(0, 16)], more: (30, 70.0), ..Scene::new(30.0, uneven) }) {
        let inside = mean(&seconds[37..57], |second| second.inside_most as u32);
        assert!(inside < 20.0, "{inside} wait inside, {seconds:?}");
        let served = mean(&seconds[30..50], |second| second.served);
        assert!(served > 45.0, "{served} served of 50, {seconds:?}");
    }
}

#[test]
fn a_load_below_the_capacity_is_served() {
    let cases: [(Slots, Service); 6] = [
        (&[(0, 2)], |_| 0.08),
        (&[(0, 2)], |noise| 0.08 * noise.lognormal(1.0)),
        (&[(0, 4)], |noise| 0.04 + 0.08 * noise.next()),
        (&[(0, 16)], |_| 0.08),
        (&[(0, 16)], |noise| 0.04 + 0.08 * noise.next()),
        (&[(0, 16)], |noise| -0.08 * noise.next().ln()),
    ];
    for (slots, service) in cases {
        let rate = 0.85 * slots[0].1 as f64 / 0.08;
        for seconds in runs(Scene { slots, ..Scene::new(rate, service) }) {
            let shed = mean(&seconds[..55], |second| second.shed);
            assert!(shed < 0.02 * rate, "{slots:?}: {shed} of {rate} sent away, {seconds:?}");
        }
    }
}

/// One of so many kinds, each with its part of the requests and what it takes.
fn one_of(noise: &mut Noise, kinds: &[(f64, f64)]) -> f64 {
    let mut left = noise.next();
    let drawn = kinds.iter().find(|(part, _)| {
        left -= part;
        left < 0.0
    });
    drawn.or(kinds.last()).map_or(0.0, |(_, seconds)| *seconds)
}

/// Those that come back first are the quick ones, and a few that take very long make the mean: neither is a wait.
#[test]
fn a_load_whose_requests_take_very_different_times_is_served_as_by_a_number() {
    let cases: [(&str, f64, Service); 5] = [
        ("20 ms, .2 s, 4 s", 0.188, |noise| one_of(noise, &[(0.7, 0.02), (0.27, 0.2), (0.03, 4.0)])),
        ("95 % .1 s, 5 % 3 s", 0.245, |noise| one_of(noise, &[(0.95, 0.1), (0.05, 3.0)])),
        ("90 % 10 ms, 10 % 1 s", 0.109, |noise| one_of(noise, &[(0.9, 0.01), (0.1, 1.0)])),
        ("20 ms to 5 s", 0.205, |noise| one_of(noise, &[(0.6, 0.02), (0.3, 0.15), (0.08, 0.6), (0.02, 5.0)])),
        ("lognormal, 2", 0.1, |noise| 0.1 * (noise.lognormal(1.0).powi(2) / std::f64::consts::E)),
    ];
    let all_slots: [Slots; 3] = [&[(0, 8)], &[(0, 16)], &[(0, 64)]];
    for ((name, takes, service), slots) in cases.iter().flat_map(|case| all_slots.map(|slots| (case, slots)))
    {
        for load in [0.5, 0.7, 0.8, 0.9] {
            let count = slots[0].1;
            let scene = Scene { slots, seconds: 105, ..Scene::new(load * count as f64 / takes, *service) };
            let served = |limit: RequestLimit| {
                let of_each = SEEDS.map(|seed| run_with(limit, scene, seed));
                of_each.fold([0.0; 5], |sums, seconds| {
                    std::array::from_fn(|part| {
                        let part_of = &seconds[20 * part..20 * (part + 1)];
                        sums[part] + part_served(part_of) / SEEDS.count() as f64
                    })
                })
            };
            let number = RequestLimit::Most(u32::try_from(count).unwrap() + 2);
            let (learned, fixed) = (served(RequestLimit::Learned), served(number));
            let is_as_good = learned.iter().zip(fixed).all(|(learned, fixed)| *learned > 0.97 * fixed);
            assert!(is_as_good, "{name}, {slots:?}, {load}: {learned:?}, by a number {fixed:?}");
        }
    }
}

/// Of those who came.
fn part_served(seconds: &[Second]) -> f64 {
    let served = mean(seconds, |second| second.served);
    served / (served + mean(seconds, |second| second.shed))
}

#[test]
fn when_slots_go_the_limit_falls_and_when_they_are_back_it_rises() {
    let slots: Slots = &[(0, 1_000), (20, 1), (60, 1_000)];
    for seconds in runs(Scene { slots, seconds: 100, ..Scene::new(50.0, |_| 0.2) }) {
        let inside = seconds[40..60].iter().map(|second| second.inside_most).max();
        assert!(inside < Some(8), "{inside:?} wait inside, {seconds:?}");
        assert!(seconds[80..].iter().all(|second| second.shed == 0), "{seconds:?}");
    }
}

/// As all who are inside are late then, none of them says by its answer that there are too many.
#[test]
fn where_all_are_given_up_as_late_the_limit_falls_until_they_are_not() {
    let slots: Slots = &[(0, 1_000), (20, 4), (80, 1_000)];
    let attempt = Some(Duration::from_secs(1));
    for seconds in runs(Scene { slots, attempt, seconds: 110, ..Scene::new(50.0, |_| 0.2) }) {
        let served = mean(&seconds[35..75], |second| second.served);
        assert!(served > 16.0, "{served} served of 20, {seconds:?}");
        let late = mean(&seconds[35..75], |second| second.late);
        assert!(late < 1.0, "{late} late, {seconds:?}");
        assert!(seconds[95..109].iter().all(|second| second.shed + second.late == 0), "{seconds:?}");
    }
}

/// A front with a timeout of its own, before an application that works on: as all who are inside are late, it serves none.
#[test]
fn where_the_endpoint_gives_all_up_by_itself_the_limit_falls_until_it_does_not() {
    let gate = Some(Duration::from_secs(1));
    let uneven: Service = |noise| 0.32 * (0.7 + 0.3 * noise.lognormal(1.0));
    let slots_go = Scene { slots: &[(0, 1_000), (12, 4)], gate, ..Scene::new(50.0, |_| 0.2) };
    let more_come = Scene { slots: &[(0, 16)], gate, more: (12, 70.0), ..Scene::new(30.0, uneven) };
    let closes = Scene { gate_says: Came::Closed, ..slots_go };
    let refuses = Scene { gate_says: Came::Answer(503), ..slots_go };
    for (scene, capacity) in [(slots_go, 20.0), (more_come, 50.0), (closes, 20.0), (refuses, 20.0)] {
        for seconds in runs(scene) {
            let served = mean(&seconds[30..50], |second| second.served);
            assert!(served > 0.8 * capacity, "{served} served of {capacity}, {seconds:?}");
            let late = mean(&seconds[30..50], |second| second.late);
            assert!(late < 1.0, "{late} late, {seconds:?}");
        }
    }
}

#[test]
fn where_all_clients_leave_unanswered_the_limit_falls_until_they_do_not() {
    let (leave, queue) = (Some(Duration::from_secs(1)), Duration::from_millis(300));
    let slots: Slots = &[(0, 1_000), (12, 4), (50, 1_000)];
    let scene = Scene { slots, leave, queue, seconds: 80, ..Scene::new(50.0, |_| 0.2) };
    for seconds in runs(scene) {
        let served = mean(&seconds[35..50], |second| second.served);
        assert!(served > 16.0, "{served} served of 20, {seconds:?}");
        let left = mean(&seconds[35..50], |second| second.late);
        assert!(left < 1.0, "{left} left, {seconds:?}");
        assert!(mean(&seconds[70..78], |second| second.served) > 45.0, "{seconds:?}");
    }
}

/// A page from a cache, say: that it is answered says nothing of those that wait.
#[test]
fn where_only_what_takes_no_slot_is_served_the_limit_falls_until_others_are() {
    static CACHED: [Others; 1] =
        [Others { takes_a_slot: false, ..Others::new(1, Duration::from_millis(200), |_| 0.003) }];
    let second = Some(Duration::from_secs(1));
    let slots: Slots = &[(0, 1_000), (12, 4)];
    let scene = Scene { slots, others: &CACHED, seconds: 100, ..Scene::new(50.0, |_| 0.2) };
    let gated = Scene { gate: second, ..scene };
    let left = Scene { leave: second, queue: Duration::from_millis(300), ..scene };
    for (name, scene) in [("gated", gated), ("left", left)] {
        for seconds in runs(scene) {
            let served = mean(&seconds[60..95], |second| second.served);
            assert!(served > 17.0, "{name}: {served} served of 20, {seconds:?}");
        }
    }
}

/// Whoever waits for a slot at all is late, and those who are in time say little by how late they are.
#[test]
fn where_the_time_is_hardly_longer_than_answers_take_the_limit_falls_too() {
    let gate = Some(Duration::from_secs(1));
    let even: Service = |noise| 0.7 * (0.9 + 0.1 * noise.lognormal(1.0));
    let more_come = Scene { slots: &[(0, 16)], gate, more: (20, 40.0), ..Scene::new(15.0, even) };
    let slots_go = Scene { slots: &[(0, 1_000), (12, 8)], gate, ..Scene::new(50.0, |_| 0.5) };
    for (scene, capacity, part) in [(more_come, 23.0, 0.4), (slots_go, 16.0, 0.8)] {
        for seconds in runs(Scene { seconds: 100, ..scene }) {
            let served = mean(&seconds[60..95], |second| second.served);
            assert!(served > part * capacity, "{served} served of {capacity}, {seconds:?}");
        }
    }
}

#[test]
fn an_endpoint_that_hung_is_soon_asked_for_as_much_as_before() {
    let slots: Slots = &[(0, 1_000), (12, 0), (52, 1_000)];
    let scene = Scene { slots, seconds: 100, ..Scene::new(40.0, |_| 1.0) };
    let (two, three) = (Some(Duration::from_secs(2)), Some(Duration::from_secs(3)));
    let left = Scene { leave: two, queue: Duration::from_millis(300), ..scene };
    for scene in [left, Scene { attempt: three, ..scene }, Scene { gate: three, ..scene }] {
        for seconds in runs(scene) {
            let served = mean(&seconds[70..95], |second| second.served);
            assert!(served > 34.0, "{served} served of 40, {seconds:?}");
        }
    }
}

/// More at once than have a place: the others wait behind them in the queue, and are not served meanwhile because of that.
#[test]
fn a_heap_of_broken_pages_does_not_lower_the_limit() {
    const BROKEN: Others = Others { status: 504, ..Others::new(60, Duration::from_secs(2), |_| 0.9) };
    static OTHERS: [[Others; 1]; 2] =
        [[BROKEN], [Others { count: 300, every: Duration::from_secs(10), ..BROKEN }]];
    for others in &OTHERS {
        for seconds in runs(Scene { others, ..Scene::new(20.0, |_| 0.1) }) {
            let shed = mean(&seconds[20..50], |second| second.shed);
            assert!(shed < 2.0, "{others:?}: {shed} of 20 sent away, {seconds:?}");
        }
    }
}

/// Pages that take long, which somebody asks for again and again and does not wait for.
#[test]
fn clients_who_leave_while_others_are_served_keep_nobody_out() {
    const SLOW: Others = Others::new(1, Duration::from_millis(67), |_| 10.0);
    static OTHERS: [[Others; 1]; 4] = [
        [Others { leave: Some(Duration::from_secs(6)), ..SLOW }],
        [Others { leave: Some(Duration::from_secs(2)), every: Duration::from_millis(40), ..SLOW }],
        [Others { leave: Some(Duration::from_millis(150)), every: Duration::from_millis(25), ..SLOW }],
        [Others { leave: Some(Duration::from_secs(3)), every: Duration::from_secs(10), count: 40, ..SLOW }],
    ];
    for others in &OTHERS {
        for seconds in runs(Scene { others, ..Scene::new(12.0, |_| 0.05) }) {
            assert!(seconds[20..].iter().all(|second| second.shed == 0), "{others:?}: {seconds:?}");
        }
    }
}

/// Pages that are broken, which fail after as long as answers take, or longer.
#[test]
fn failures_that_the_load_has_nothing_to_do_with_keep_nobody_out() {
    const BROKEN: Others = Others { status: 500, ..Others::new(1, Duration::from_millis(33), |_| 1.0) };
    static OTHERS: [[Others; 1]; 6] = [
        [BROKEN],
        [Others { service: |_| 0.02, ..BROKEN }],
        [Others { service: |_| 0.04, ..BROKEN }],
        [Others { count: 30, every: Duration::from_millis(500), service: |_| 0.002, ..BROKEN }],
        [Others { count: 30, every: Duration::from_millis(500), service: |_| 0.03, ..BROKEN }],
        [Others { count: 40, every: Duration::from_secs(10), ..BROKEN }],
    ];
    for others in &OTHERS {
        for seconds in runs(Scene { others, ..Scene::new(20.0, |_| 0.02) }) {
            let shed: u32 = seconds.iter().map(|second| second.shed).sum();
            assert!(shed < 20, "{others:?}: {shed} sent away, {seconds:?}");
            assert!(seconds[20..].iter().all(|second| second.shed == 0), "{others:?}: {seconds:?}");
        }
    }
}

#[test]
fn those_that_wait_by_design_do_not_keep_the_others_out() {
    for seconds in runs(Scene { long_polls: 12, ..Scene::new(20.0, |_| 0.02) }) {
        let shed: u32 = seconds.iter().map(|second| second.shed).sum();
        assert!(shed < 20, "{shed} sent away, {seconds:?}");
    }
}

/// Reports that are asked for by a clock, say: latencies go with the load then, and not because of it.
#[test]
fn slow_requests_that_come_together_do_not_keep_the_others_out() {
    static REPORTS: [[Others; 1]; 2] = [
        [Others::new(40, Duration::from_secs(10), |_| 1.0)],
        [Others::new(20, Duration::from_secs(2), |_| 0.5)],
    ];
    let ordinary: [Service; 2] = [|_| 0.02, |noise| 0.02 * noise.lognormal(1.0)];
    for (others, service) in REPORTS.iter().flat_map(|others| ordinary.map(|service| (others, service))) {
        for seconds in runs(Scene { others, seconds: 100, ..Scene::new(20.0, service) }) {
            let shed: u32 = seconds.iter().map(|second| second.shed + second.others_shed).sum();
            assert!(shed < 60, "{others:?}: {shed} sent away, {seconds:?}");
            let later = seconds[50..].iter().map(|second| second.shed + second.others_shed).sum::<u32>();
            assert!(later < 10, "{others:?}: {later} sent away, {seconds:?}");
        }
    }
}

/// Beside pages of which some take long themselves, on few slots: who comes behind them waits inside, as if slots had gone.
#[test]
fn slow_requests_that_fill_all_slots_lower_the_limit_for_a_moment_only() {
    const REPORTS: Others = Others::new(20, Duration::from_secs(15), |_| 2.0);
    static OTHERS: [[Others; 1]; 4] = [
        [Others { count: 15, ..REPORTS }],
        [Others { every: Duration::from_secs(10), service: |_| 1.5, ..REPORTS }],
        [Others { count: 12, every: Duration::from_secs(12), ..REPORTS }],
        [REPORTS],
    ];
    let pages: Service = |noise| one_of(noise, &[(0.8, 0.015), (0.15, 0.08), (0.05, 1.0)]);
    for (others, (rate, most)) in OTHERS.iter().zip([(60.0, 10), (50.0, 10), (70.0, 10), (70.0, 300)]) {
        let scene = Scene { slots: &[(0, 8)], others, seconds: 80, ..Scene::new(rate, pages) };
        let shed =
            |seconds: Vec<Second>| seconds.iter().map(|second| second.shed + second.others_shed).sum::<u32>();
        let shed: Vec<_> = runs(scene).map(shed).collect();
        let mean = shed.iter().sum::<u32>() / shed.len() as u32;
        assert!(mean < most, "{others:?}: {mean} sent away on average: {shed:?}");
    }
}

/// By itself, as with a database that does: fewer do not help.
#[test]
fn an_endpoint_that_takes_ten_times_as_long_is_soon_asked_for_as_much_as_before() {
    let scene = Scene { slower: (15, 40, 10.0), ..Scene::new(40.0, |_| 0.1) };
    for seconds in runs(scene) {
        let shed: u32 = seconds.iter().map(|second| second.shed).sum();
        assert!(shed < 100, "{shed} sent away, {seconds:?}");
    }
}

#[test]
fn an_endpoint_that_refuses_is_asked_for_what_it_takes() {
    for rate in [36.0, 60.0] {
        for seconds in runs(Scene { slots: &[(0, 4)], refuses: true, ..Scene::new(rate, |_| 0.1) }) {
            let refused = mean(&seconds[10..50], |second| second.refused);
            assert!(refused < 1.0, "{refused} of {rate} refused, {seconds:?}");
            let served = mean(&seconds[10..50], |second| second.served);
            assert!(served > 0.9 * rate.min(40.0), "{served} of {rate} served, {seconds:?}");
        }
    }
}

#[test]
fn an_endpoint_that_takes_more_than_it_did_is_asked_for_more() {
    let slots: Slots = &[(0, 4), (30, 40)];
    for seconds in runs(Scene { slots, refuses: true, seconds: 150, ..Scene::new(60.0, |_| 0.1) }) {
        let served = mean(&seconds[140..149], |second| second.served);
        assert!(served > 50.0, "{served} served of 60, {seconds:?}");
    }
}

#[test]
fn an_outage_of_part_of_the_requests_leaves_no_limit_behind() {
    let scene = Scene { outage: (8, 18, 0.8), seconds: 50, ..Scene::new(30.0, |_| 1.0) };
    for seed in 1..150 {
        let seconds = run(scene, seed);
        let served = mean(&seconds[28..45], |second| second.served);
        assert!(served > 24.0, "seed {seed}: {served} served of 30, {seconds:?}");
    }
}

/// An account that is throttled, a page that is broken: they bring the load that they are refused at.
#[test]
fn refusals_that_the_load_has_nothing_to_do_with_are_no_limit() {
    const THROTTLED: Others =
        Others { status: 429, ..Others::new(30, Duration::from_millis(500), |_| 0.002) };
    static OTHERS: [[Others; 1]; 4] = [
        [THROTTLED],
        [Others { status: 503, ..THROTTLED }],
        [Others { status: 503, count: 10, ..THROTTLED }],
        [Others { status: 503, every: Duration::from_secs(4), ..THROTTLED }],
    ];
    for (others, rate) in OTHERS.iter().flat_map(|others| [(others, 150.0), (others, 600.0)]) {
        for seconds in runs(Scene { others, ..Scene::new(rate, |_| 0.02) }) {
            assert!(seconds.iter().all(|second| second.shed == 0), "{others:?}, {rate}: {seconds:?}");
            let served = mean(&seconds[..59], |second| second.served);
            assert!(served > 0.95 * rate, "{others:?}, {rate}: {served}");
        }
    }
}

#[test]
fn too_many_requests_of_one_client_are_no_limit_for_the_others() {
    static THROTTLED: [Others; 1] =
        [Others { status: 429, ..Others::new(30, Duration::from_millis(500), |_| 0.002) }];
    for seconds in runs(Scene { others: &THROTTLED, ..Scene::new(150.0, |_| 0.02) }) {
        assert!(seconds[10..].iter().all(|second| second.limit >= Some(30)), "{seconds:?}");
    }
}

/// One endpoint whose limit is learned.
fn learner() -> Balancer {
    Balancer::new(Algorithm::LeastRequest, endpoints(&[1]), None)
        .with_request_limits(&[RequestLimit::Learned], None)
}

fn pick(balancer: &Balancer, now: Moment) -> Lease<'_> {
    balancer.pick(&Pick { now, random: 7, hash: None, tried: &[] }).expect("there is room")
}

fn answer(lease: Lease<'_>, now: Moment) {
    let first_byte = Duration::from_nanos(now.0 - lease.picked_at().0);
    lease.settle(Ended::Answered { status: 200, first_byte }, now);
}

fn give_up(mut lease: Lease<'_>, now: Moment) {
    lease.waits_in_vain(lease.picked_at(), now);
    lease.settle(Ended::Failed, now);
}

/// A timeout that is too short for any load.
#[test]
fn those_who_are_given_up_sooner_than_answers_come_are_no_evidence() {
    let balancer = learner();
    for now in (0..1_000).map(|step| Moment(step * 30 * MS)) {
        let answered = pick(&balancer, now);
        for given_up in [pick(&balancer, now), pick(&balancer, now), pick(&balancer, now)] {
            give_up(given_up, now + Duration::from_millis(1));
        }
        answer(answered, now + Duration::from_millis(20));
    }
    assert!(balancer.request_limit(0, Moment(0)) >= Some(6));
}

#[test]
fn those_who_are_given_up_before_anything_is_known_do_not_end_the_start() {
    for millis in [0, 10] {
        let balancer = learner();
        let mut now = Moment(SECOND);
        for _ in 0..20 {
            let given_up: Vec<_> = (0..8).map(|_| pick(&balancer, now)).collect();
            now = now + Duration::from_millis(millis);
            for lease in given_up {
                give_up(lease, now);
            }
        }
        let answered: Vec<_> = (0..8).map(|_| pick(&balancer, now)).collect();
        now = now + Duration::from_secs(1);
        for lease in answered {
            answer(lease, now);
        }
        assert!(balancer.request_limit(0, now) >= Some(12), "twice as many, or three quarters of that");
    }
}

#[test]
fn eight_at_once_that_two_slots_serve_are_halved() {
    let balancer = learner();
    let start = Moment(SECOND);
    let held: Vec<_> = (0..8).map(|_| pick(&balancer, start)).collect();
    for (served, lease) in (0..).zip(held) {
        answer(lease, start + Duration::from_millis(100 * (served / 2 + 1)));
    }
    let limit = balancer.request_limit(0, start + Duration::from_millis(400));
    assert!((Some(3)..=Some(6)).contains(&limit), "four, or a little less or more: {limit:?}");
    let reason = balancer.limit_reason(0, start + Duration::from_millis(400));
    assert_eq!(reason, Some(LimitReason::Descent));
}

/// As many as there may be, each of which ends so after 100 ms.
fn round(balancer: &Balancer, now: &mut Moment, end: impl Fn(usize, Lease<'_>, Moment)) {
    let pick = Pick { now: *now, random: 7, hash: None, tried: &[] };
    let held: Vec<_> = std::iter::from_fn(|| balancer.pick(&pick).ok()).take(64).collect();
    *now = *now + Duration::from_millis(100);
    for (before, lease) in held.into_iter().enumerate() {
        end(before, lease, *now);
    }
}

#[test]
fn it_says_why_it_is_as_high_as_it_is() {
    let balancer = learner();
    let mut now = Moment(1_000 * SECOND);
    let says = |now| (balancer.limit_reason(0, now), balancer.request_limit(0, now));
    assert_eq!(says(now), (Some(LimitReason::Start), Some(8)), "however long there has been nothing to hear");
    let waiting: Vec<_> = (0..8).map(|_| pick(&balancer, now)).collect();
    now = now + Duration::from_secs(1);
    assert_eq!(says(now).0, Some(LimitReason::Silence));
    for lease in waiting {
        answer(lease, now);
    }
    for _ in 0..40 {
        round(&balancer, &mut now, |before, lease, now| {
            let status = if before < 8 { 200 } else { 503 };
            let first_byte = now.since(lease.picked_at());
            lease.settle(Ended::Answered { status, first_byte }, now);
        });
    }
    assert_eq!(says(now), (Some(LimitReason::Refusals), Some(8)));
    for _ in 0..40 {
        now = now + Duration::from_secs(1);
        round(&balancer, &mut now, |_, mut lease, now| {
            lease.is_left(Moment(lease.picked_at().0 - SECOND), now);
            lease.settle(Ended::Abandoned, now);
        });
    }
    assert_eq!(says(now).0, Some(LimitReason::Recovery));
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let services: [Service; 4] = [
        |_| 0.05,
        |noise| 0.05 * noise.lognormal(1.0),
        |noise| if noise.next() < 0.1 { 1.0 } else { 0.01 },
        |noise| -0.1 * noise.next().ln(),
    ];
    let slots: [Slots; 4] =
        [&[(0, 1), (20, 99)], &[(0, 99), (5, 1), (20, 99)], &[(0, 3), (10, 30), (20, 99)], &[(0, 99)]];
    let attempt = prop::option::of((400_u64..3_000).prop_map(Duration::from_millis));
    let kinds = (prop::sample::select(services.to_vec()), prop::sample::select(slots.to_vec()));
    (kinds, 1.0..200.0, any::<bool>(), attempt, 0_usize..10).prop_map(
        |((service, slots), rate, refuses, attempt, long_polls)| Scene {
            slots,
            refuses,
            attempt,
            long_polls: if refuses { 0 } else { long_polls },
            seconds: 140,
            ..Scene::new(rate, service)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_somebody_is_served(scene in any_scene(), seed: u64) {
        let seconds = run(scene, seed);
        let asked = mean(&seconds[120..130], |s| s.served + s.shed + s.late + s.refused);
        let served = mean(&seconds[120..130], |second| second.served);
        prop_assert!(served > 0.3 * asked, "{served} of {asked}: {seconds:?}");
    }
}
