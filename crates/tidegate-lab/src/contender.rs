//! The algorithms that can be compared, by name: all that Tidegate has, and three for comparison that live here. Knows names
//! and parameters, not how anybody chooses.

use crate::suggest::did_you_mean;
use serde::de::{Deserialize, Deserializer, Error};
use std::fmt;
use tidegate_balance::{Algorithm, LoadBound};

/// One algorithm of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// As it was asked for: `adaptive`, `random:3`, `adaptive+hedge`.
    pub name: String,
    pub(crate) method: Method,
    pub(crate) extras: Extras,
}

/// What it may do beyond one attempt for each request, by the rules of the scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    pub(crate) hedges: bool,
    pub(crate) retries: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Balance(Algorithm),
    LeastRequestLru,
    LeastTime,
    Oracle,
}

/// What a load bound's number means. Less than 100 % of the mean for everybody cannot hold what there is.
const BOUND: &str = "load bound in percent of the mean";
const BOUND_MIN: u32 = 100;

/// More are no more random: whoever draws a thousand has seen nearly all of a cluster, and each costs as much as the first.
const CHOICES: &str = "choices";
const CHOICES_MAX: u32 = 1_000;

/// A name, what its number means (with the default), and what it is.
type Entry = (&'static str, Option<(&'static str, u32)>, fn(u32) -> Method, &'static str);

const ENTRIES: &[Entry] = &[
    (
        "adaptive",
        Some(("proxies that share the endpoints", 1)),
        |peers| Method::Balance(Algorithm::Adaptive { peers }),
        "least drain time, learned from the answers",
    ),
    (
        "consistent_hash",
        None,
        |_| Method::Balance(Algorithm::Rendezvous { bound: None }),
        "rendezvous hashing without a load bound",
    ),
    (
        "first",
        Some(("requests in flight on each", 4)),
        |in_flight_max| Method::Balance(Algorithm::First { in_flight_max }),
        "packs requests onto the first endpoints",
    ),
    (
        "least_request",
        None,
        |_| Method::Balance(Algorithm::LeastRequest),
        "fewest in flight, by exact counts",
    ),
    (
        "least_request_lru",
        None,
        |_| Method::LeastRequestLru,
        "the same with ties to the one picked longest ago, as usual elsewhere; for comparison",
    ),
    (
        "least_time",
        None,
        |_| Method::LeastTime,
        "in flight times mean latency, as others ship it; for comparison",
    ),
    (
        "maglev",
        Some((BOUND, 125)),
        |percent| Method::Balance(Algorithm::Maglev { bound: Some(LoadBound::new(percent)) }),
        "hashing by a table, with a load bound by requests in flight",
    ),
    (
        "maglev_drain_time",
        Some((BOUND, 125)),
        |percent| Method::Balance(Algorithm::Maglev { bound: Some(LoadBound::drain_time(percent)) }),
        "the same with a load bound by drain time",
    ),
    (
        "oracle",
        None,
        |_| Method::Oracle,
        "knows all work that is left everywhere; nobody can; for comparison",
    ),
    (
        "peak_ewma",
        None,
        |_| Method::Balance(Algorithm::PeakEwma),
        "in flight times a latency that rises at once",
    ),
    ("prequal", None, |_| Method::Balance(Algorithm::Prequal), "lowest latency among those that are not hot"),
    (
        "random",
        Some((CHOICES, 2)),
        |choices| Method::Balance(Algorithm::Random { choices }),
        "the better of two random choices",
    ),
    (
        "rendezvous",
        Some((BOUND, 125)),
        |percent| Method::Balance(Algorithm::Rendezvous { bound: Some(LoadBound::new(percent)) }),
        "rendezvous hashing, with a load bound by requests in flight",
    ),
    (
        "rendezvous_drain_time",
        Some((BOUND, 125)),
        |percent| Method::Balance(Algorithm::Rendezvous { bound: Some(LoadBound::drain_time(percent)) }),
        "the same with a load bound by drain time",
    ),
    (
        "reported_load",
        None,
        |_| Method::Balance(Algorithm::ReportedLoad),
        "in proportion to what endpoints say they could serve",
    ),
    ("round_robin", None, |_| Method::Balance(Algorithm::RoundRobin), "in turn"),
];

/// Why a name names no algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownContender {
    #[error("`{name}+{extra}`: write `{name}+hedge`, `{name}+retry`, or `{name}+hedge+retry`")]
    Extra { name: String, extra: String },
    #[error("there is no algorithm `{name}`{}; there are {}", did_you_mean(.name, names().into_iter()), names().join(", "))]
    Name { name: String },
    #[error("`{name}` takes no number: write `{name}` alone")]
    NoNumber { name: String },
    #[error(
        "`{name}` cannot hedge: it learns nothing that would tell a stalled endpoint from a large request"
    )]
    NoHedge { name: String },
    #[error("`{name}:{text}`: a {BOUND} is at least {BOUND_MIN}; write for example `{name}:125`")]
    BelowMean { name: String, text: String },
    #[error("`{name}:{text}`: at most {CHOICES_MAX} {CHOICES} are drawn; write for example `{name}:2`")]
    TooMany { name: String, text: String },
    #[error("`{text}` is no number above 0: write for example `{name}:{default}` ({meaning})")]
    Number { name: String, text: String, meaning: &'static str, default: u32 },
}

impl Contender {
    /// `name`, or `name:number` where the algorithm has a parameter; `+hedge` and `+retry` behind that.
    pub fn parse(text: &str) -> Result<Self, UnknownContender> {
        let mut words = text.split('+');
        let algorithm = words.next().unwrap_or_default();
        let method = Method::parse(algorithm)?;
        let mut extras = Extras::default();
        for word in words {
            let (name, extra) = (algorithm.to_owned(), word.to_owned());
            match word {
                "hedge" if !method.can_hedge() => return Err(UnknownContender::NoHedge { name }),
                "hedge" => extras.hedges = true,
                "retry" => extras.retries = true,
                _ => return Err(UnknownContender::Extra { name, extra }),
            }
        }
        Ok(Self { name: text.to_owned(), method, extras })
    }

    /// The same with `+retry`.
    pub(crate) fn retrying(self) -> Self {
        if self.extras.retries {
            return self;
        }
        Self { name: self.name + "+retry", extras: Extras { retries: true, ..self.extras }, ..self }
    }

    /// Each name with what it does, and what its number means.
    pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static str, Option<&'static str>)> {
        ENTRIES.iter().map(|&(name, parameter, _, what)| (name, what, parameter.map(|(meaning, _)| meaning)))
    }

    /// Whether a request costs it as many looks as there are endpoints: by the score of each one, or by the mean of all.
    pub(crate) fn looks_at_all(&self) -> bool {
        match self.method {
            Method::LeastRequestLru | Method::LeastTime | Method::Oracle => true,
            Method::Balance(algorithm) => matches!(
                algorithm,
                Algorithm::LeastRequest
                    | Algorithm::Maglev { bound: Some(_) }
                    | Algorithm::Rendezvous { .. }
                    | Algorithm::ReportedLoad
            ),
        }
    }

    /// What may stand behind a name, and what it does.
    pub fn extras() -> impl Iterator<Item = (&'static str, &'static str)> {
        [
            ("+hedge", "a second attempt beside one that waits on a stalled endpoint"),
            ("+retry", "another endpoint after a failure, as far as the budget goes"),
        ]
        .into_iter()
    }
}

impl Method {
    fn parse(text: &str) -> Result<Self, UnknownContender> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let entry = ENTRIES.iter().find(|entry| entry.0 == name);
        let Some(&(_, parameter, method, _)) = entry else {
            return Err(UnknownContender::Name { name: name.to_owned() });
        };
        let number = match (parameter, number) {
            (None, Some(_)) => return Err(UnknownContender::NoNumber { name: name.to_owned() }),
            (None, None) => 0,
            (Some((_, default)), None) => default,
            (Some((meaning, default)), Some(text)) => {
                let (name, text) = (name.to_owned(), text.to_owned());
                match text.parse().ok().filter(|&number| number > 0) {
                    None => return Err(UnknownContender::Number { name, text, meaning, default }),
                    Some(number) if meaning == BOUND && number < BOUND_MIN => {
                        return Err(UnknownContender::BelowMean { name, text });
                    }
                    Some(number) if meaning == CHOICES && number > CHOICES_MAX => {
                        return Err(UnknownContender::TooMany { name, text });
                    }
                    Some(number) => number,
                }
            }
        };
        Ok(method(number))
    }

    /// As in the proxy, where only `adaptive` may.
    fn can_hedge(self) -> bool {
        matches!(self, Self::Balance(Algorithm::Adaptive { .. }))
    }
}

fn names() -> Vec<&'static str> {
    ENTRIES.iter().map(|entry| entry.0).collect()
}

impl fmt::Display for Contender {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Contender {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_catalogue_parses_with_and_without_its_number() {
        for (name, _, number) in Contender::catalogue() {
            assert_eq!(Contender::parse(name).unwrap().name, name);
            assert_eq!(Contender::parse(&format!("{name}:300")).is_ok(), number.is_some(), "{name}");
        }
    }

    #[test]
    fn extras_stand_behind_the_name_in_any_order() {
        let extras = |text| Contender::parse(text).unwrap().extras;
        assert_eq!(extras("adaptive:3+hedge"), Extras { hedges: true, retries: false });
        assert_eq!(extras("adaptive+retry+hedge"), Extras { hedges: true, retries: true });
        assert_eq!(extras("oracle+retry"), Extras { hedges: false, retries: true });
    }

    #[test]
    fn mistakes_say_what_would_do() {
        for (text, expected) in [
            ("least_requests", "did you mean `least_request`?"),
            ("xyz", "there are adaptive"),
            ("oracle:2", "takes no number"),
            ("random:0", "write for example `random:2` (choices)"),
            ("random:1000000000", "at most 1000 choices are drawn; write for example `random:2`"),
            ("rendezvous:50", "is at least 100; write for example `rendezvous:125`"),
            ("maglev_drain_time:99", "is at least 100"),
            ("round_robin+hedge", "cannot hedge"),
            ("adaptive+hegde", "write `adaptive+hedge`"),
        ] {
            let said = Contender::parse(text).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
