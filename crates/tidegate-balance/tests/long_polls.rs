//! Pages beside requests that wait for long (long polls, most of which hold nothing): what least request does is the least that is asked. In
//! virtual time, through the public interface alone.

mod cluster;
mod noise;
mod virtual_time;

use cluster::endpoints;
use std::collections::VecDeque;
use tidegate_balance::{Algorithm, Balancer};
use virtual_time::VirtualTime;

/// Pages that come sooner are not counted: nothing is known yet.
const FROM: u64 = 10_000_000_000;
const UNTIL: u64 = 180_000_000_000;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

/// Four endpoints, which serve pages in the order in which they come.
#[derive(Clone, Copy)]
struct Setting {
    page_seconds: f64,
    /// The part of all slots that pages take.
    load: f64,
    /// So many clients, each of which asks again at once.
    polls: usize,
    poll_seconds: f64,
    /// The first come within a second from then on.
    poll_from_seconds: f64,
    /// A poll takes up to this part longer or shorter.
    jitter: f64,
    slots: usize,
    /// The part of all pages that the first endpoint never answers, and that hold nothing there.
    hang: f64,
    /// A poll holds a slot for as long as it lasts.
    holds: bool,
}

const USUAL: Setting = Setting {
    page_seconds: 0.05,
    load: 0.5,
    polls: 24,
    poll_seconds: 15.0,
    poll_from_seconds: 2.0,
    jitter: 0.5,
    slots: 2,
    hang: 0.0,
    holds: false,
};
const ENDPOINTS: usize = 4;

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Page,
    PageServed { index: usize, ticket: usize },
    Poll,
    PollAnswered { index: usize, ticket: usize },
}

#[derive(Default)]
struct Server {
    /// Tickets; of polls with how long they take, in seconds.
    queue: VecDeque<(usize, Option<f64>)>,
    at_work: usize,
}

struct World<'a> {
    setting: Setting,
    time: VirtualTime<'a, Event>,
    servers: Vec<Server>,
    seconds: Vec<f64>,
    hung: u32,
}

impl World<'_> {
    fn serve(&mut self, index: usize) {
        while self.servers[index].at_work < self.setting.slots
            && let Some((ticket, poll)) = self.servers[index].queue.pop_front()
        {
            self.servers[index].at_work += 1;
            if let Some(seconds) = poll {
                self.time.plan(seconds, Event::PollAnswered { index, ticket });
            } else {
                let seconds = self.setting.page_seconds * self.time.noise.lognormal(0.5);
                self.time.plan(seconds, Event::PageServed { index, ticket });
            }
        }
    }

    fn happens(&mut self, event: Event) {
        let Setting { page_seconds, load, poll_seconds, jitter, .. } = self.setting;
        match event {
            Event::Page => {
                let gap = page_seconds / (load * (ENDPOINTS * self.setting.slots) as f64);
                let gap = gap * self.time.noise.exponential();
                self.time.plan(gap, Event::Page);
                let (ticket, lease) = self.time.pick(None);
                let index = lease.index();
                if index == 0 && self.time.now > FROM && self.time.noise.next() < self.setting.hang {
                    self.hung += 1;
                    return;
                }
                self.servers[index].queue.push_back((ticket, None));
                self.serve(index);
            }
            Event::PageServed { index, ticket } => {
                let took = self.time.answer(ticket, 200);
                if self.time.now > FROM {
                    self.seconds.push(took.as_secs_f64());
                }
                self.servers[index].at_work -= 1;
                self.serve(index);
            }
            Event::Poll => {
                let (ticket, lease) = self.time.pick(None);
                let index = lease.index();
                let seconds = poll_seconds * (1.0 + jitter * (2.0 * self.time.noise.next() - 1.0));
                if self.setting.holds {
                    self.servers[index].queue.push_back((ticket, Some(seconds)));
                    self.serve(index);
                } else {
                    self.time.plan(seconds, Event::PollAnswered { index, ticket });
                }
            }
            Event::PollAnswered { index, ticket } => {
                self.time.answer(ticket, 200);
                if self.setting.holds {
                    self.servers[index].at_work -= 1;
                    self.serve(index);
                }
                self.time.plan(0.001, Event::Poll);
            }
        }
    }
}

/// How long pages take as a mean, in seconds, and how many are never answered.
fn played(setting: Setting, algorithm: Algorithm, seed: u64) -> (f64, u32) {
    let balancer = Balancer::new(algorithm, endpoints(&[1; ENDPOINTS]), None);
    let mut world = World {
        setting,
        time: VirtualTime::new(&balancer, seed),
        servers: (0..ENDPOINTS).map(|_| Server::default()).collect(),
        seconds: Vec::new(),
        hung: 0,
    };
    world.time.plan(0.0, Event::Page);
    for _ in 0..setting.polls {
        let second = setting.poll_from_seconds + world.time.noise.next();
        world.time.plan(second, Event::Poll);
    }
    while let Some(event) = world.time.next(UNTIL) {
        world.happens(event);
    }
    (world.seconds.iter().sum::<f64>() / world.seconds.len() as f64, world.hung)
}

/// Of least request's mean: as a mean of some seeds, and at the worst.
fn assert_as_least_request(name: &str, setting: Setting, ratio_max: f64, worst_max: f64) {
    let ratio_of = |seed| {
        let adaptive = played(setting, Algorithm::Adaptive { peers: 1 }, seed).0;
        adaptive / played(setting, Algorithm::LeastRequest, seed).0
    };
    let ratios: Vec<f64> = SEEDS.map(ratio_of).collect();
    let ratio = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    assert!(ratio < ratio_max && worst < worst_max, "{name}: {ratios:.3?}");
}

#[test]
fn pages_are_answered_as_soon_as_with_least_request_beside_long_polls() {
    for (name, setting) in [
        ("polls of 15 s", USUAL),
        ("polls of 3 s", Setting { poll_seconds: 3.0, ..USUAL }),
        ("polls of a minute", Setting { poll_seconds: 60.0, ..USUAL }),
        ("little load", Setting { load: 0.25, ..USUAL }),
        ("much load", Setting { load: 0.8, ..USUAL }),
        ("slow pages", Setting { page_seconds: 0.5, poll_seconds: 30.0, ..USUAL }),
        ("quick pages", Setting { page_seconds: 0.005, load: 0.3, ..USUAL }),
        ("200 polls", Setting { polls: 200, ..USUAL }),
        ("ten slots", Setting { polls: 100, slots: 10, load: 0.7, ..USUAL }),
    ] {
        assert_as_least_request(name, setting, 1.1, 1.25);
    }
}

/// As when a broadcast ends them all, and all clients come back at once. For as long as nobody knows that they are polls, whoever has many of them seems to
/// serve many at once, and is given more.
#[test]
fn polls_that_end_and_begin_together_lie_evenly_and_make_no_queue_that_lasts() {
    let together = Setting { jitter: 0.0, ..USUAL };
    for (name, setting) in [
        ("24 polls", together),
        ("24 polls, much load", Setting { load: 0.8, ..together }),
        ("200 polls", Setting { polls: 200, ..together }),
        ("200 polls, much load", Setting { polls: 200, load: 0.8, ..together }),
        ("24 polls of endpoints that are known", Setting { poll_from_seconds: 20.0, ..together }),
        (
            "60 polls of endpoints that are known",
            Setting { page_seconds: 0.2, load: 0.3, polls: 60, poll_from_seconds: 20.0, ..together },
        ),
        ("slow pages", Setting { page_seconds: 0.2, load: 0.6, polls: 60, poll_seconds: 10.0, ..together }),
        (
            "pages nearly as slow as polls",
            Setting { page_seconds: 0.5, load: 0.6, polls: 50, poll_seconds: 6.0, ..together },
        ),
    ] {
        assert_as_least_request(name, setting, 1.15, 1.35);
    }
}

/// As reports do, or polls where each has a worker of its own.
#[test]
fn pages_go_where_fewer_slots_are_held() {
    for (name, slots, polls, load) in [
        ("half of few", 2, 4, 0.3),
        ("half of some", 4, 8, 0.3),
        ("most of many", 8, 20, 0.25),
        ("nearly all", 16, 50, 0.15),
        ("a part of many", 16, 20, 0.6),
    ] {
        let setting = Setting { slots, polls, load, holds: true, ..USUAL };
        assert_as_least_request(name, setting, 1.1, 1.25);
    }
}

/// They wait for far longer than is usual, as polls do, but at one endpoint only.
#[test]
fn an_endpoint_where_one_route_hangs_is_fed_no_more_than_with_least_request() {
    for (slots, load, polls) in [(2, 0.5, 0), (16, 0.6, 0), (4, 0.3, 0), (4, 0.5, 24)] {
        let setting = Setting { slots, load, polls, hang: 0.1, ..USUAL };
        let hung = |algorithm: Algorithm| SEEDS.map(|seed| played(setting, algorithm, seed).1).sum::<u32>();
        let (adaptive, least) = (hung(Algorithm::Adaptive { peers: 1 }), hung(Algorithm::LeastRequest));
        assert!(
            f64::from(adaptive) < 1.5 * f64::from(least),
            "{slots} slots, {load}: {adaptive} and {least}"
        );
    }
}
