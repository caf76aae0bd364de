//! Scenario files: a made-up fleet, its traffic, who is compared, and what must come out. Knows the form; what happens in a
//! run is `simulation`'s.

use crate::again::{Again, Hedge, Retry};
use crate::contender::Contender;
use crate::demand::Demand;
use crate::excerpt::narrowed;
use crate::goal::Goal;
use crate::machine::{Cold, Discipline, Fails, Machine, Positive, Slow, Stalls};
use crate::numbers::Numbers;
use crate::simulation::Plan;
use crate::span::Span;
use crate::traffic::{Kind, Made, Shape, Step, Traffic};
use serde::Deserialize;

/// Endpoints of one scenario; every algorithm looks at each of them, so more would take for ever.
const ENDPOINTS_MAX: usize = 100_000;
/// Endpoints times proxies: each proxy has a state of each endpoint, of about a kilobyte.
const STATES_MAX: usize = 1_000_000;
/// 10 000 hours; longer, and nanoseconds would overflow before all is done.
const LASTS_MAX: Span = Span(36_000_000_000_000_000);
/// More, and too many requests would be on their way at once; round the earth it is a third of a second.
const ROUND_TRIP_MAX: Span = Span(10_000_000_000);
/// A spell costs as much to simulate as a request.
const EVERY_MIN: Span = Span(100_000);
/// Beyond, one request is more work than all others.
const SIGMA_MAX: f64 = 5.0;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// One line that says what it is about.
    pub title: String,
    /// Requests come for so long.
    #[serde(default = "Scenario::default_lasts")]
    pub lasts: Span,
    /// Not measured before.
    #[serde(default = "Scenario::default_warm_up")]
    pub warm_up: Span,
    /// Proxies that send to the same endpoints and know nothing of each other.
    #[serde(default = "one")]
    pub proxies: u32,
    #[serde(default = "Scenario::usual_algorithms")]
    pub algorithms: Vec<Contender>,
    /// How much of what all endpoints can do when they are well.
    pub load: Option<Positive>,
    /// Instead of `load`: requests a second.
    pub rate: Option<Positive>,
    #[serde(default)]
    pub step: Vec<StepForm>,
    #[serde(default = "Scenario::default_work")]
    pub work: Vec<WorkForm>,
    /// Clients that hashing tells apart.
    #[serde(default = "Scenario::default_keys")]
    pub keys: u32,
    /// What `+retry` behind an algorithm's name means.
    #[serde(default)]
    pub retry: Retry,
    /// What `+hedge` means.
    #[serde(default)]
    pub hedge: Hedge,
    pub endpoints: Vec<EndpointsForm>,
    #[serde(default)]
    pub goal: Vec<Goal>,
}

/// Some endpoints that are alike. Numbers in a list are dealt out in turn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointsForm {
    #[serde(default = "one")]
    count: u32,
    #[serde(default = "EndpointsForm::default_slots")]
    slots: Numbers,
    #[serde(default = "EndpointsForm::default_speed")]
    speed: Numbers,
    #[serde(default = "EndpointsForm::default_weight")]
    weight: Numbers,
    #[serde(default)]
    discipline: Discipline,
    #[serde(default)]
    round_trip: Span,
    fails: Option<Fails>,
    slow: Option<Slow>,
    stalls: Option<Stalls>,
    cold: Option<Cold>,
    joins: Option<Span>,
    leaves: Option<Span>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepForm {
    at: Span,
    /// Times the rate that is set.
    times: Positive,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkForm {
    #[serde(default = "WorkForm::default_share")]
    share: Positive,
    mean: Span,
    #[serde(default)]
    shape: Shape,
    #[serde(default = "WorkForm::default_sigma")]
    sigma: f64,
}

/// Why a text is no scenario.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScenarioError {
    /// With the line and the place, as TOML's parser shows them.
    #[error("{}", plain(.0))]
    Form(#[from] toml::de::Error),
    #[error("{0}")]
    Sense(String),
    #[error(
        "it is JSON, and a scenario is TOML; `tidegate lab show` makes a page of what `tidegate lab run --json` printed"
    )]
    Json,
}

/// What the parser calls types of Rust, by what is written in a file.
const KINDS: [(&str, &str); 4] = [
    ("f64", "a number"),
    ("u32", "a whole number, not below 0 and at most 4294967295"),
    ("a sequence", "a list: [ … ]"),
    ("struct ", "a table: { … }"),
];

/// The parser's words, after the line and the place.
fn plain(error: &toml::de::Error) -> String {
    let (whole, message) = (narrowed(&error.to_string()), error.message());
    let Some((found, expected)) = message.rsplit_once("expected ") else { return whole };
    let kind = KINDS
        .iter()
        .find(|(kind, _)| if kind.ends_with(' ') { expected.starts_with(kind) } else { expected == *kind });
    match (kind, whole.rsplit_once(message)) {
        (Some((_, written)), Some((place, rest))) => format!("{place}{found}expected {written}{rest}"),
        _ => whole,
    }
}

impl Scenario {
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        {
            return Err(ScenarioError::Json);
        }
        let scenario: Self = toml::from_str(text)?;
        scenario.complaint().map_or(Ok(scenario), |complaint| Err(ScenarioError::Sense(complaint)))
    }

    /// The run that it describes.
    pub fn plan(&self, seed: u64) -> Plan {
        let machines = self.machines();
        let made = Made {
            rate: self.rate_of(&machines),
            steps: self.steps(),
            kinds: self.kinds(),
            keys: u64::from(self.keys),
        };
        Plan {
            machines,
            proxies: self.proxies as usize,
            traffic: Traffic::Made(made),
            until: self.lasts,
            warm_up: self.warm_up,
            again: self.again(),
            seed,
        }
    }

    /// The same in more or less time: the warm-up stays as it is.
    pub fn lasting(self, lasts: Span) -> Result<Self, ScenarioError> {
        let scenario = Self { lasts, ..self };
        scenario.complaint().map_or(Ok(scenario), |complaint| Err(ScenarioError::Sense(complaint)))
    }

    fn machines(&self) -> Vec<Machine> {
        self.endpoints.iter().flat_map(EndpointsForm::machines).enumerate().map(named).collect()
    }

    fn again(&self) -> Again {
        Again { retry: self.retry.clone(), hedge: self.hedge }
    }

    fn steps(&self) -> Vec<Step> {
        self.step.iter().map(|step| Step { at: step.at, times: step.times.0 }).collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        let kind = |work: &WorkForm| Kind {
            share: work.share.0,
            mean: work.mean,
            shape: work.shape,
            sigma: work.sigma,
        };
        self.work.iter().map(kind).collect()
    }

    fn rate_of(&self, machines: &[Machine]) -> f64 {
        let by_load = self.load.map(|load| load.0 * self.capacity(machines));
        self.rate.map(|rate| rate.0).or(by_load).unwrap_or_default()
    }

    /// Requests a second that all endpoints can serve when they are well.
    fn capacity(&self, machines: &[Machine]) -> f64 {
        machines.iter().map(Machine::capacity).sum::<f64>() / Made::mean_work(&self.kinds())
    }

    fn demand(&self) -> Demand {
        let machines = self.machines();
        Demand::of(self.rate_of(&machines), self.capacity(&machines), &self.steps(), self.lasts)
    }

    /// What each value alone does not show.
    fn complaint(&self) -> Option<String> {
        let endpoints: usize = self.endpoints.iter().map(|form| form.count as usize).sum();
        if endpoints == 0 || endpoints > ENDPOINTS_MAX {
            return Some(format!(
                "{endpoints} endpoints: give `endpoints` a `count` from 1 to {ENDPOINTS_MAX} in all"
            ));
        }
        if endpoints.saturating_mul(self.proxies as usize) > STATES_MAX {
            let proxies = self.proxies;
            return Some(format!(
                "{proxies} proxies with {endpoints} endpoints each: the product may be {STATES_MAX}"
            ));
        }
        if self.lasts > LASTS_MAX {
            return Some(format!("`lasts` may be {} h", LASTS_MAX.seconds() / 3600.0));
        }
        if self.load.is_some() == self.rate.is_some() {
            return Some(
                "how many requests come? Set `load = 0.7` (a part of what all endpoints can do) or \
                         `rate = 500` (requests a second), one of them"
                    .to_owned(),
            );
        }
        if self.warm_up >= self.lasts {
            let (warm_up, lasts) = (self.warm_up.seconds(), self.lasts.seconds());
            return Some(format!(
                "a warm-up of {warm_up} s in a run of {lasts} s: nothing would be measured"
            ));
        }
        if self.proxies == 0 || self.keys == 0 {
            return Some("`proxies` and `keys` are counts from 1 on".to_owned());
        }
        if self.algorithms.is_empty() {
            return Some("`algorithms` is empty: leave it out to compare the usual ones".to_owned());
        }
        if !self.step.is_sorted_by_key(|step| step.at) {
            return Some("the steps must stand in the order of their `at`".to_owned());
        }
        if self.work.is_empty() || self.work.iter().any(|work| work.mean == Span(0)) {
            return Some("`work` needs at least one kind, each with a `mean` above 0".to_owned());
        }
        if !self.work.iter().all(|work| (0.0..=SIGMA_MAX).contains(&work.sigma)) {
            return Some(format!("`sigma` is a number from 0 to {SIGMA_MAX}"));
        }
        let again = self.again().complaint();
        again
            .or_else(|| self.endpoints.iter().find_map(EndpointsForm::complaint))
            .or_else(|| self.goal_complaint())
            .or_else(|| self.demand().complaint())
    }

    /// A goal about somebody who is not in the comparison could never be checked.
    fn goal_complaint(&self) -> Option<String> {
        let names = self.goal.iter().flat_map(Goal::names);
        let missing = names.into_iter().find(|name| self.algorithms.iter().all(|one| one.name != **name));
        missing.map(|name| format!("a goal speaks of `{name}`, which is not among the `algorithms`"))
    }

    fn default_lasts() -> Span {
        Span(60_000_000_000)
    }

    fn default_warm_up() -> Span {
        Span(10_000_000_000)
    }

    fn default_keys() -> u32 {
        10_000
    }

    fn default_work() -> Vec<WorkForm> {
        vec![WorkForm {
            share: WorkForm::default_share(),
            mean: Span(10_000_000),
            shape: Shape::default(),
            sigma: WorkForm::default_sigma(),
        }]
    }

    /// Those that are compared when nobody says whom to compare.
    pub fn usual_algorithms() -> Vec<Contender> {
        let usual = [
            "round_robin",
            "random",
            "least_request",
            "least_time",
            "peak_ewma",
            "prequal",
            "adaptive",
            "oracle",
        ];
        usual.iter().filter_map(|name| Contender::parse(name).ok()).collect()
    }
}

impl EndpointsForm {
    fn machines(&self) -> impl Iterator<Item = Machine> + '_ {
        (0..self.count as usize).map(|turn| Machine {
            speed: self.speed.at(turn),
            weight: self.weight.at(turn) as u32,
            discipline: self.discipline,
            round_trip: self.round_trip,
            fails: self.fails,
            slow: self.slow,
            stalls: self.stalls,
            cold: self.cold,
            joins: self.joins,
            leaves: self.leaves,
            ..Machine::sound(String::new(), self.slots.at(turn) as u32)
        })
    }

    fn complaint(&self) -> Option<String> {
        if !self.slots.are_counts() || !self.weight.are_counts() {
            return Some("`slots` and `weight` are whole numbers from 1 to 1000000".to_owned());
        }
        if self.slow.is_some_and(|slow| slow.every.is_some() != slow.lasts.is_some()) {
            return Some(
                "`slow` has spells when both `every` and `lasts` are set, and is one spell when neither is"
                    .to_owned(),
            );
        }
        if self.round_trip > ROUND_TRIP_MAX {
            return Some(format!("`round_trip` may be {} s", ROUND_TRIP_MAX.seconds()));
        }
        self.window_complaint().or_else(|| self.spell_complaint())
    }

    /// What ends before it begins.
    fn window_complaint(&self) -> Option<String> {
        if let Some((joins, leaves)) = self.joins.zip(self.leaves).filter(|(joins, leaves)| leaves <= joins) {
            let (joins, leaves) = (joins.seconds(), leaves.seconds());
            return Some(format!(
                "an endpoint `leaves` after {leaves} s and `joins` after {joins} s: it is there from `joins` to `leaves`. Let \
                 it leave later; for one that comes back write two tables, the first with `leaves`, the second with `joins`"
            ));
        }
        let fails = self.fails.map(|fails| ("fails", fails.from, fails.until));
        let slow = self.slow.map(|slow| ("slow", slow.from, slow.until));
        let is_empty = |from: Option<Span>, until: Option<Span>| {
            until.is_some_and(|until| until <= from.unwrap_or_default())
        };
        let empty = fails.into_iter().chain(slow).find(|(_, from, until)| is_empty(*from, *until));
        empty.map(|(what, ..)| format!("`{what}` must have its `until` behind its `from`"))
    }

    fn spell_complaint(&self) -> Option<String> {
        let stalls = self.stalls.map(|stalls| stalls.every);
        let slow = self.slow.and_then(|slow| slow.every);
        let is_dense = stalls.into_iter().chain(slow).any(|every| every.mean < EVERY_MIN);
        let least = EVERY_MIN.seconds() * 1e3;
        is_dense
            .then(|| format!("`every` is {least}ms at least: spells that are closer are one slower speed"))
    }

    fn default_slots() -> Numbers {
        Numbers::one(4.0)
    }

    fn default_speed() -> Numbers {
        Numbers::one(1.0)
    }

    fn default_weight() -> Numbers {
        Numbers::one(1.0)
    }
}

impl WorkForm {
    fn default_share() -> Positive {
        Positive(1.0)
    }

    fn default_sigma() -> f64 {
        1.0
    }
}

/// `e1 (2 slots)`, so that a reader sees who is who.
fn named((index, machine): (usize, Machine)) -> Machine {
    let speed =
        if (machine.speed - 1.0).abs() < 1e-9 { String::new() } else { format!(", {}×", machine.speed) };
    let slots = machine.slots;
    Machine { name: format!("e{} ({slots} slots{speed})", index + 1), ..machine }
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "name = 'a'\ntitle = 'b'\nload = 0.7\n[[endpoints]]\ncount = 3\nslots = [2, 4]\n";

    #[test]
    fn json_is_told_from_a_scenario() {
        for (text, is_json) in
            [("[{\"scenario\": 1}]", true), (" {}", true), ("[[endpoints]]\nslots = 2\n", false)]
        {
            let found = matches!(Scenario::parse(text), Err(ScenarioError::Json));
            assert_eq!(found, is_json, "{text}");
        }
    }

    #[test]
    fn a_list_is_dealt_out_in_turn() {
        let plan = Scenario::parse(SOUND).unwrap().plan(1);
        let slots: Vec<_> = plan.machines.iter().map(|machine| machine.slots).collect();
        assert_eq!(slots, [2, 4, 2]);
        let Traffic::Made(made) = plan.traffic else { panic!("made up") };
        assert!((made.rate - 0.7 * 8.0 / 0.010).abs() < 1e-6);
    }

    #[test]
    fn every_mistake_says_what_would_do() {
        for (text, expected) in [
            (SOUND.replace("load", "laod"), "unknown field `laod`, expected one of"),
            (SOUND.replace("load = 0.7", ""), "Set `load = 0.7`"),
            (SOUND.replace("load = 0.7", "load = 0.7\nrate = 5"), "one of them"),
            (SOUND.replace("load = 0.7", "load = -1"), "write a number above 0"),
            (SOUND.replace("[2, 4]", "[2, 0.5]"), "whole numbers from 1"),
            (SOUND.replace("[2, 4]", "'two'"), "a number, or a list of numbers"),
            (SOUND.replace("load = 0.7", "load = 'half'"), "string \"half\", expected a number"),
            (format!("proxies = -1\n{SOUND}"), "integer `-1`, expected a whole number"),
            (format!("algorithms = 'adaptive'\n{SOUND}"), "expected a list: [ … ]"),
            (format!("{SOUND}cold = 3\n"), "integer `3`, expected a table: { … }"),
            (SOUND.replace("count = 3", "count = 0"), "0 endpoints"),
            (format!("warm_up = '2m'\n{SOUND}"), "nothing would be measured"),
            (format!("lasts = '5'\n{SOUND}"), "`5` is no time"),
            (format!("algorithms = ['leastconn']\n{SOUND}"), "there is no algorithm `leastconn`"),
            (format!("hedge = {{ percent = 0 }}\n{SOUND}"), "a `percent` from 1 to 100"),
            (format!("retry = {{ attempts = 1 }}\n{SOUND}"), "`attempts` from 2 to 10"),
            (format!("retry = {{ on = ['500'] }}\n{SOUND}"), "unknown variant `500`, expected one of"),
            (format!("{SOUND}slow = {{ times = 10, every = '5s' }}\n"), "both `every` and `lasts`"),
            (SOUND.replace("load = 0.7", "rate = 1e12"), "requests would come: at most 1e9"),
            (SOUND.replace("load = 0.7", "load = 1e4"), "requests would wait at once"),
            (format!("lasts = '99999999h'\n{SOUND}"), "`lasts` may be 10000 h"),
            (format!("proxies = 1000000\n{SOUND}"), "the product may be 1000000"),
            (format!("work = [{{ mean = '1ms', sigma = 1e9 }}]\n{SOUND}"), "`sigma` is a number from 0 to 5"),
            (format!("{SOUND}joins = '20s'\nleaves = '10s'\n"), "`leaves` after 10 s and `joins` after 20 s"),
            (
                format!("{SOUND}fails = {{ part = 1, from = '5s', until = '5s' }}\n"),
                "`fails` must have its `until`",
            ),
            (format!("{SOUND}round_trip = '11s'\n"), "`round_trip` may be 10 s"),
            (format!("{SOUND}stalls = {{ every = '1us', lasts = '1us' }}\n"), "`every` is 0.1ms at least"),
            (format!("{SOUND}fails = {{ part = 2 }}\n"), "above 0 and at most 1"),
            (
                format!("{SOUND}[[goal]]\nmeasure = 'p99'\nat_most = 5\nalgorithm = 'first'\n"),
                "not among the `algorithms`",
            ),
            (
                format!("{SOUND}[[goal]]\nmeasure = 'p98'\nat_most = 5\n"),
                "unknown variant `p98`, expected one of",
            ),
        ] {
            let said = Scenario::parse(&text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}\n{said}");
        }
    }

    /// The page shows every key with its default: it is read as a file, and what it shows holds without it.
    #[test]
    fn the_documentation_shows_the_defaults() {
        let page = include_str!("../../../docs/lab.md");
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let shown = Scenario::parse(rest.split("```").next().unwrap()).unwrap();
        let least = "name = 'a'\ntitle = 'b'\nload = 0.7\n[[endpoints]]\n";
        let defaults = Scenario::parse(least).unwrap();
        let own = |scenario: &Scenario| {
            let Scenario { lasts, warm_up, proxies, algorithms, work, keys, retry, hedge, .. } =
                scenario.clone();
            let names: Vec<_> = algorithms.into_iter().map(|one| one.name).collect();
            format!("{lasts:?} {warm_up:?} {proxies} {names:?} {work:?} {keys} {retry:?} {hedge:?}")
        };
        assert_eq!(own(&shown), own(&defaults));
        let endpoints = |scenario: &Scenario| {
            let EndpointsForm { count, slots, speed, weight, discipline, .. } = scenario.endpoints[0].clone();
            format!("{count} {slots:?} {speed:?} {weight:?} {discipline:?}")
        };
        assert_eq!(endpoints(&shown), endpoints(&defaults));
        let fails = shown.endpoints[0].fails.unwrap();
        let plain: Fails = toml::from_str("part = 0.1").unwrap();
        assert_eq!((fails.how, fails.after), (plain.how, plain.after));
        let goal: Goal = toml::from_str("measure = 'p99'\nat_most = 0.85").unwrap();
        assert_eq!(goal.names().next(), shown.goal[0].names().next());
    }

    #[test]
    fn a_mistake_of_form_shows_its_line() {
        let said = Scenario::parse(&SOUND.replace("count", "cuont")).unwrap_err().to_string();
        assert!(said.contains("line 5, column 1") && said.contains("cuont = 3"), "{said}");
    }
}
