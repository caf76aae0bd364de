//! The scenarios of the duel: fleets, loads, and what befalls the endpoints. Times are in units of the mean work, so
//! that they compare with simulations at another scale. Knows no proxy.

use super::chance::Chance;
use super::course::{self, Course, Happening, Host, MEAN_WORK, SECOND, Scheduled};
use super::endpoint::Manner;

/// Long enough for every queue to be as long as it gets; whoever learns has seen a few hundred answers by then.
const WARM_UP: u64 = 100 * MEAN_WORK;
/// Long enough for whoever learns to know what there is to know.
const SETTLING: u64 = 1_000 * MEAN_WORK;
/// Of an endpoint that joins: the proxies have long forgotten their own start.
const BEFORE_JOINING: u64 = 11 * SECOND;
/// Requests that a cold endpoint serves until it is warm.
const WARM_AFTER: u64 = 300;
const WARM: Host = Host { slots: 4, warm_after: 0 };

/// What is special about the fleet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    /// Each endpoint is ten times as slow for 100 means of work in every 2 000, both as a mean, whatever the others are.
    Antagonists,
    /// A cold endpoint joins when the warm-up is over.
    Cold,
    /// All endpoints from the end of the warm-up on.
    Everybody(Manner),
    None,
    /// The first endpoint from the end of the warm-up on.
    One(Manner),
    /// Each endpoint stands still for 20 means of work in every 500, as a mean, whatever the others do.
    Stalls,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Slots of the endpoints, repeated until there are enough of them.
    slots: &'static [usize],
    count: usize,
    /// Of the capacity of all endpoints.
    load: f64,
    trouble: Trouble,
    /// Whether the proxies may try again, each as it does.
    pub(super) retries: bool,
    /// How long everybody may learn before it counts.
    warm_up: u64,
    /// How long each round is measured, in seconds: longer where one request in a thousand decides.
    pub(super) seconds: u64,
}

const fn twenty(
    name: &'static str,
    title: &'static str,
    slots: &'static [usize],
    load: f64,
    trouble: Trouble,
) -> Scenario {
    Scenario { name, title, slots, count: 20, load, trouble, retries: true, warm_up: WARM_UP, seconds: 15 }
}

const fn four(name: &'static str, title: &'static str, retries: bool, trouble: Trouble) -> Scenario {
    Scenario {
        name,
        title,
        slots: &[4],
        count: 4,
        load: 0.5,
        trouble,
        retries,
        warm_up: WARM_UP,
        seconds: 15,
    }
}

const fn at_once(status: u16, share: f64) -> Manner {
    Manner::FailsAtOnce { status, share }
}

pub(super) const SCENARIOS: [Scenario; 22] = [
    twenty("equal", "20 equal endpoints, 90 % load", &[4], 0.9, Trouble::None),
    Scenario {
        warm_up: SETTLING,
        ..twenty("equal-settled", "20 equal endpoints, 90 % load, after 50 s", &[4], 0.9, Trouble::None)
    },
    twenty("cores", "Slots 2/4/4/8 without weights, 90 % load", &[2, 4, 4, 8], 0.9, Trouble::None),
    Scenario {
        warm_up: SETTLING,
        ..twenty("cores-settled", "Slots 2/4/4/8, 90 % load, after 50 s", &[2, 4, 4, 8], 0.9, Trouble::None)
    },
    Scenario {
        seconds: 45,
        ..twenty(
            "antagonist",
            "Each 10 × slow for about 5 s in 100, 70 % load",
            &[4],
            0.7,
            Trouble::Antagonists,
        )
    },
    Scenario {
        seconds: 45,
        ..twenty("stalls", "Each stands still for 1 s in about 25, 70 % load", &[4], 0.7, Trouble::Stalls)
    },
    Scenario {
        retries: false,
        seconds: 30,
        ..twenty(
            "tenth-of-20",
            "1 of 20 fails every tenth at once, 70 % load, no retries",
            &[4],
            0.7,
            Trouble::One(at_once(500, 0.1)),
        )
    },
    Scenario {
        warm_up: BEFORE_JOINING,
        seconds: 30,
        ..twenty("cold", "A cold endpoint joins 19 others, 70 % load", &[4], 0.7, Trouble::Cold)
    },
    four("fails-500", "1 of 4 answers 500 at once, no retries", false, Trouble::One(at_once(500, 1.0))),
    four("fails-503", "1 of 4 answers 503 at once, no retries", false, Trouble::One(at_once(503, 1.0))),
    four("refuses", "1 of 4 refuses connections, no retries", false, Trouble::One(Manner::Refuses)),
    four("resets", "1 of 4 accepts and resets, no retries", false, Trouble::One(Manner::Resets)),
    four(
        "fails-tenth",
        "1 of 4 fails every tenth at once, no retries",
        false,
        Trouble::One(at_once(500, 0.1)),
    ),
    four(
        "fails-late",
        "1 of 4 answers 500 after its time, no retries",
        false,
        Trouble::One(Manner::FailsLate { status: 500 }),
    ),
    four(
        "all-fail-tenth",
        "All 4 fail every tenth, no retries",
        false,
        Trouble::Everybody(at_once(500, 0.1)),
    ),
    four("fails-500-retried", "1 of 4 answers 500 at once", true, Trouble::One(at_once(500, 1.0))),
    four("fails-503-retried", "1 of 4 answers 503 at once", true, Trouble::One(at_once(503, 1.0))),
    four("refuses-retried", "1 of 4 refuses connections", true, Trouble::One(Manner::Refuses)),
    four("resets-retried", "1 of 4 accepts and resets", true, Trouble::One(Manner::Resets)),
    four("fails-tenth-retried", "1 of 4 fails every tenth at once", true, Trouble::One(at_once(500, 0.1))),
    four(
        "fails-late-retried",
        "1 of 4 answers 500 after its time",
        true,
        Trouble::One(Manner::FailsLate { status: 500 }),
    ),
    four("all-fail-tenth-retried", "All 4 fail every tenth", true, Trouble::Everybody(at_once(500, 0.1))),
];

impl Scenario {
    /// The same, measured for so long.
    pub(super) fn lasting(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }

    /// Whether it is measured for less than its goals are meant for.
    pub(super) fn is_shortened(&self) -> bool {
        SCENARIOS.iter().any(|whole| whole.name == self.name && self.seconds < whole.seconds)
    }

    /// Requests a second.
    pub(super) fn rate(&self) -> f64 {
        let slots: usize = self.hosts().iter().map(|host| host.slots).sum();
        self.load * slots as f64 * SECOND as f64 / MEAN_WORK as f64
    }

    /// Whether the last endpoint is made known to the proxies only when the warm-up is over.
    pub(super) fn last_joins_late(&self) -> bool {
        self.trouble == Trouble::Cold
    }

    pub(super) fn somebody_fails(&self) -> bool {
        matches!(self.trouble, Trouble::Everybody(_) | Trouble::One(_))
    }

    /// The endpoint that is unlike the others, if requests reach it.
    pub(super) fn odd(&self) -> Option<usize> {
        match self.trouble {
            Trouble::One(manner) => (manner != Manner::Refuses).then_some(0),
            Trouble::Cold => Some(self.count - 1),
            Trouble::Antagonists | Trouble::Everybody(_) | Trouble::None | Trouble::Stalls => None,
        }
    }

    pub(super) fn hosts(&self) -> Vec<Host> {
        let slots = self.slots.iter().cycle().take(self.count);
        let mut hosts: Vec<Host> = slots.map(|&slots| Host { slots, ..WARM }).collect();
        if let (Trouble::Cold, Some(last)) = (self.trouble, hosts.last_mut()) {
            last.warm_after = WARM_AFTER;
        }
        hosts
    }

    /// When it begins to count.
    pub(super) fn measured_from(&self) -> u64 {
        self.warm_up
    }

    pub(super) fn course(&self, seed: u64) -> Course {
        let measured_from = self.measured_from();
        let ends = measured_from + self.seconds * SECOND;
        Course {
            seed,
            arrivals: course::arrivals(seed, self.rate(), ends),
            hosts: self.hosts(),
            scheduled: self.scheduled(seed, measured_from, ends),
            measured_from,
            ends,
        }
    }

    fn scheduled(&self, seed: u64, from: u64, ends: u64) -> Vec<Scheduled> {
        let turn = |endpoint, manner| Scheduled { at: from, endpoint, happening: Happening::Turn(manner) };
        let each =
            |spells: Spells| (0..self.count).flat_map(|endpoint| spells.of(endpoint, seed, ends)).collect();
        match self.trouble {
            Trouble::None | Trouble::Cold => Vec::new(),
            Trouble::One(manner) => vec![turn(0, manner)],
            Trouble::Everybody(manner) => (0..self.count).map(|endpoint| turn(endpoint, manner)).collect(),
            Trouble::Antagonists => each(ANTAGONISTS),
            Trouble::Stalls => each(STALLS),
        }
    }
}

/// Times of trouble that come by chance.
#[derive(Clone, Copy, Debug)]
struct Spells {
    begin: Happening,
    end: Happening,
    /// From the beginning of one to that of the next, as a mean.
    every: u64,
    lasts: Length,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    /// Exponentially distributed, with this mean.
    About(u64),
    Exactly(u64),
}

const ANTAGONISTS: Spells = Spells {
    begin: Happening::Slow(10.0),
    end: Happening::Slow(1.0),
    every: 2_000 * MEAN_WORK,
    lasts: Length::About(100 * MEAN_WORK),
};

const STALLS: Spells = Spells {
    begin: Happening::Pause,
    end: Happening::Resume,
    every: 500 * MEAN_WORK,
    lasts: Length::Exactly(20 * MEAN_WORK),
};

impl Spells {
    /// Those of one endpoint that begin before the end of the course.
    fn of(self, endpoint: usize, seed: u64, ends: u64) -> Vec<Scheduled> {
        let mut chance = Chance::from_seed(seed.wrapping_add((endpoint as u64 + 1) << 32));
        let (Length::About(mean) | Length::Exactly(mean)) = self.lasts;
        let gap = self.every.saturating_sub(mean) as f64;
        let mut spells = Vec::new();
        let mut at = chance.exponential(gap) as u64;
        while at < ends {
            let lasts = match self.lasts {
                Length::About(mean) => chance.exponential(mean as f64) as u64,
                Length::Exactly(length) => length,
            };
            spells.push(Scheduled { at, endpoint, happening: self.begin });
            spells.push(Scheduled { at: at + lasts, endpoint, happening: self.end });
            at += lasts + chance.exponential(gap) as u64;
        }
        spells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Scenario {
        SCENARIOS.into_iter().find(|scenario| scenario.name == name).unwrap()
    }

    #[test]
    fn the_rate_is_the_load_times_what_the_slots_can_do() {
        assert!((named("equal").rate() - 1_440.0).abs() < 1e-6);
        assert!((named("cores").rate() - 1_620.0).abs() < 1e-6);
        assert!((named("fails-500").rate() - 160.0).abs() < 1e-6);
    }

    #[test]
    fn every_spell_ends_before_the_endpoints_next_and_they_take_the_time_that_was_said() {
        let ends = 10_000 * SECOND;
        let spells = STALLS.of(3, 1, ends);
        assert!(spells.is_sorted_by_key(|one| one.at));
        for pair in spells.chunks(2) {
            assert_eq!((pair[0].happening, pair[1].happening), (Happening::Pause, Happening::Resume));
            assert_eq!(pair[0].at + SECOND, pair[1].at);
        }
        assert!((370..430).contains(&(spells.len() / 2)), "{} in 10 000 s, one in 25 s", spells.len() / 2);
        assert_ne!(spells[0].at, STALLS.of(4, 1, ends)[0].at);
    }

    #[test]
    fn names_are_different() {
        for (index, one) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[index + 1..].iter().all(|other| other.name != one.name), "{}", one.name);
        }
    }
}
