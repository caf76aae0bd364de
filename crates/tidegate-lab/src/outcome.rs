//! What came out of a run: plain numbers that can be written as JSON and read again. Knows not how they came about.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One scenario with one seed, by several algorithms.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Comparison {
    pub scenario: String,
    pub title: String,
    pub seed: u64,
    /// Simulated, with the warm-up, which nothing is measured in.
    pub seconds: f64,
    pub warm_up_seconds: f64,
    pub endpoints: usize,
    pub slots: u64,
    /// Where some of a replay's endpoints join or leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<AtOnce>,
    pub proxies: usize,
    pub outcomes: Vec<Outcome>,
    pub verdicts: Vec<Verdict>,
    /// What a replay was told of the endpoints by its log, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    /// And how far that is to be believed. `None` where nothing was replayed, or no answer is there to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
}

/// How many there are at a time: the least and the most.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct AtOnce {
    pub endpoints: (u64, u64),
    pub slots: (u64, u64),
}

/// How well what a log tells of its endpoints explains the log.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Explained {
    /// Of the answers of the log.
    pub log_ms: Quantiles,
    /// The same with the log's own choices on the endpoints that it was replayed on.
    pub model_ms: Quantiles,
    /// The part of the answers that waited for a slot, or shared one.
    pub waited: f64,
    /// How many times as much work they were as the others at the same endpoint. Nobody knew so when they were sent, so that it is 1 where
    /// the waiting is told rightly. `None`: there were too few of the ones or the others.
    pub waited_work: Option<f64>,
    /// What chance alone may be off in that, one standard deviation.
    pub waited_work_doubt: Option<f64>,
    /// The part of the answers that came sooner than the slots allow.
    pub too_soon: f64,
}

/// What one algorithm made of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Outcome {
    pub algorithm: String,
    /// That came after the warm-up.
    pub requests: u64,
    /// Failed, as the client sees it.
    pub failed: u64,
    /// Of the requests, those that were not answered when the run was over, which is long after the last one came.
    #[serde(default)]
    pub unanswered: u64,
    #[serde(default, skip_serializing_if = "ExtraAttempts::is_none")]
    pub extra: ExtraAttempts,
    /// Of requests that did not fail, from arrival to answer; those that were not answered took longer than all others.
    pub latency_ms: Quantiles,
    /// The same without the time that the request's own work takes at normal speed.
    pub excess_ms: Quantiles,
    pub utilisation: Utilisation,
    /// When the last endpoint that started cold had served enough to be warm, in seconds from its joining.
    /// `None`: none started cold. Infinite, and null in JSON: one never got warm.
    #[serde(default, deserialize_with = "or_never_if_any", skip_serializing_if = "Option::is_none")]
    pub warm_after_seconds: Option<f64>,
    #[serde(default)]
    pub endpoints: Vec<EndpointOutcome>,
    #[serde(default)]
    pub timeline: Timeline,
    /// Rising: the part of the requests that took at most so long.
    #[serde(default)]
    pub distribution: Vec<Point>,
}

/// Attempts beyond the first, and attempts elsewhere.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct ExtraAttempts {
    /// After one that failed.
    pub retries: u32,
    /// Beside one that kept the request waiting.
    pub hedges: u32,
    /// Those that were first to answer.
    pub hedges_won: u32,
    /// Those that the budget did not pay for, and which were not made.
    pub hedges_unpaid: u32,
    /// Of all, those that a hash sent elsewhere than where their key belongs, because that one had enough to do.
    #[serde(default)]
    pub spilled: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Quantiles {
    #[serde(deserialize_with = "or_never")]
    pub mean: f64,
    #[serde(deserialize_with = "or_never")]
    pub p50: f64,
    #[serde(deserialize_with = "or_never")]
    pub p90: f64,
    #[serde(deserialize_with = "or_never")]
    pub p99: f64,
    #[serde(deserialize_with = "or_never")]
    pub p99_9: f64,
    #[serde(deserialize_with = "or_never")]
    pub max: f64,
}

fn or_never_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    or_never(from).map(Some)
}

/// What never ends is infinite here and null in JSON, which has no infinity.
fn or_never<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::INFINITY))
}

fn each_or_never<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let read: Vec<Option<f64>> = Vec::deserialize(from)?;
    Ok(read.into_iter().map(|value| value.unwrap_or(f64::INFINITY)).collect())
}

/// Where null says that nothing was measured, what never was is a word.
const NEVER: &str = "never";

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum NumberOrWord {
    Number(f64),
    Word(String),
}

fn number_or_never<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    match Option::deserialize(from)? {
        None => Ok(None),
        Some(NumberOrWord::Number(value)) => Ok(Some(value)),
        Some(NumberOrWord::Word(word)) if word == NEVER => Ok(Some(f64::INFINITY)),
        Some(NumberOrWord::Word(word)) => {
            Err(D::Error::custom(format!("`{word}` is neither a number nor `{NEVER}`")))
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "what serde calls")]
fn write_number_or_never<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    let or_word = |value: f64| {
        if value.is_finite() { NumberOrWord::Number(value) } else { NumberOrWord::Word(NEVER.to_owned()) }
    };
    value.map(or_word).serialize(to)
}

/// Parts of the slots in use, over the time after the warm-up.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Utilisation {
    pub mean: f64,
    pub busiest: f64,
    pub idlest: f64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct EndpointOutcome {
    pub name: String,
    pub requests: u64,
    pub failed: u64,
    pub utilisation: f64,
}

/// How it went over time, in steps of equal length.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Timeline {
    pub step_seconds: f64,
    pub requests: Vec<u64>,
    pub failed: Vec<u64>,
    #[serde(deserialize_with = "each_or_never")]
    pub p99_ms: Vec<f64>,
    /// Requests a second for each slot, by endpoint; with many endpoints, quantiles over them.
    pub load: Vec<Series>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Series {
    pub name: String,
    pub values: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Point {
    pub part: f64,
    #[serde(deserialize_with = "or_never")]
    pub ms: f64,
}

/// Whether one goal was reached.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Verdict {
    /// As a sentence: `adaptive: p99 at most 0.85 × least_request`.
    pub goal: String,
    /// `None`: there was nothing to measure, and so the goal does not hold. Infinite, and `"never"` in JSON: it never was.
    #[serde(default, deserialize_with = "number_or_never", serialize_with = "write_number_or_never")]
    pub value: Option<f64>,
    /// `None`: there was nothing to measure of the one that it is compared with. Infinite: it never was there.
    #[serde(default, deserialize_with = "number_or_never", serialize_with = "write_number_or_never")]
    pub at_most: Option<f64>,
    pub holds: bool,
}

impl Comparison {
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.holds)
    }

    pub fn outcome(&self, algorithm: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.algorithm == algorithm)
    }
}

/// Stands where an algorithm's name would, for what a log itself says.
pub(crate) const RECORDED: &str = "(the log)";

impl Outcome {
    pub(crate) fn is_recorded(&self) -> bool {
        self.algorithm == RECORDED
    }

    /// Whether not every request failed.
    pub(crate) fn has_latency(&self) -> bool {
        self.failed < self.requests
    }

    /// The part of the requests that failed.
    pub fn errors(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }

    /// The part of the requests that went to this endpoint.
    pub fn share(&self, endpoint: usize) -> f64 {
        self.endpoints.get(endpoint).map_or(0.0, |one| one.requests as f64 / self.requests.max(1) as f64)
    }
}

impl ExtraAttempts {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.retries += more.retries;
        self.hedges += more.hedges;
        self.hedges_won += more.hedges_won;
        self.hedges_unpaid += more.hedges_unpaid;
        self.spilled += more.spilled;
    }
}

impl Utilisation {
    /// Busiest over mean: 1 when all are equally busy.
    pub fn unevenness(&self) -> f64 {
        if self.mean > 0.0 { self.busiest / self.mean } else { 1.0 }
    }
}
