//! What is behind an endpoint: slots, speed, and everything that can go wrong with it. Plain description; what happens with
//! it in time is `server`'s.

use crate::span::{About, Span};
use serde::Deserialize;

/// What is behind one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub name: String,
    /// Requests that it works on at full speed at the same time: its cores, its threads.
    pub slots: u32,
    /// 1 is normal; at 2 the same work takes half the time.
    pub speed: f64,
    pub weight: u32,
    pub discipline: Discipline,
    /// What a request and its answer take on the way, both together.
    pub round_trip: Span,
    pub fails: Option<Fails>,
    pub slow: Option<Slow>,
    pub stalls: Option<Stalls>,
    pub cold: Option<Cold>,
    /// Not there before.
    pub joins: Option<Span>,
    /// Not there afterwards: what is open finishes, nothing new comes.
    pub leaves: Option<Span>,
    /// Not there from the one to the other.
    pub away: Vec<(Span, Span)>,
}

/// What happens when more requests come than there are slots.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Discipline {
    /// The others wait in line.
    #[default]
    Fifo,
    /// All share the slots: everybody gets slower.
    Shared,
}

/// Requests that fail, while the window is open.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Fails {
    /// The part of the requests.
    pub part: Part,
    #[serde(default)]
    pub how: Failing,
    /// Until a failure that takes no slot is told.
    #[serde(default = "Fails::default_after")]
    pub after: Span,
    pub from: Option<Span>,
    pub until: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Failing {
    /// Answers 500 at once.
    #[default]
    Fast,
    /// The connect is refused.
    Refused,
    /// Accepts, then resets the connection.
    Reset,
    /// Does all of the work and answers 500.
    Slow,
}

/// Slower than normal: always in the window, or in spells.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// How many times slower.
    pub times: Positive,
    /// From the start of one spell to the start of the next; without it the whole window is one.
    pub every: Option<About>,
    pub lasts: Option<About>,
    pub from: Option<Span>,
    pub until: Option<Span>,
}

/// Stands still for a while, with everything that it has.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Stalls {
    pub every: About,
    pub lasts: About,
}

/// Starts slow, and warms by serving.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Cold {
    /// The speed at first, as a part of the full one.
    pub speed: Part,
    /// Requests until it is warm.
    pub warm_after: u32,
}

/// A number from above 0 to 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(try_from = "f64")]
pub struct Part(pub f64);

/// A number above 0.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(try_from = "f64")]
pub struct Positive(pub f64);

impl Machine {
    /// With this many slots, at normal speed, without fault.
    pub fn sound(name: String, slots: u32) -> Self {
        Self {
            name,
            slots,
            speed: 1.0,
            weight: 1,
            discipline: Discipline::Fifo,
            round_trip: Span(0),
            fails: None,
            slow: None,
            stalls: None,
            cold: None,
            joins: None,
            leaves: None,
            away: Vec::new(),
        }
    }

    /// What a request, or an answer, takes on the way: nanoseconds.
    pub(crate) fn way(&self) -> u64 {
        self.round_trip.0 / 2
    }

    /// Work that it gets done in a second when it is well, in seconds of work.
    pub fn capacity(&self) -> f64 {
        f64::from(self.slots) * self.speed
    }
}

impl Fails {
    fn default_after() -> Span {
        Span(100_000)
    }

    pub(crate) fn is_open(&self, now: u64) -> bool {
        is_within(now, self.from, self.until)
    }
}

/// Whether `now` is within a window whose borders default to always.
pub(crate) fn is_within(now: u64, from: Option<Span>, until: Option<Span>) -> bool {
    from.is_none_or(|from| from.0 <= now) && until.is_none_or(|until| now < until.0)
}

impl TryFrom<f64> for Part {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        let is_part = number > 0.0 && number <= 1.0;
        is_part
            .then_some(Self(number))
            .ok_or_else(|| format!("{number} is no part: write a number above 0 and at most 1"))
    }
}

impl TryFrom<f64> for Positive {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        let is_positive = number > 0.0 && number.is_finite();
        is_positive
            .then_some(Self(number))
            .ok_or_else(|| format!("{number} does not do here: write a number above 0"))
    }
}
