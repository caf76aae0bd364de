//! What must come out of a comparison: one measure of one algorithm below a bound, or below a multiple of another's. Knows
//! outcomes only.

use crate::outcome::{Outcome, Verdict};
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// Who must reach it.
    #[serde(default = "Goal::default_algorithm")]
    algorithm: String,
    measure: Measure,
    at_most: f64,
    /// `at_most` times what this one has.
    times: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Mean,
    P50,
    P90,
    P99,
    #[serde(rename = "p99.9")]
    P999,
    /// The 99th percentile of what a request takes beyond its own work.
    X99,
    /// The part of the requests that fail.
    Errors,
    /// Utilisation of the busiest endpoint over the mean.
    Unevenness,
    /// Seconds from joining until a cold endpoint is warm.
    WarmAfter,
}

impl Goal {
    /// The algorithms that it speaks of.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.algorithm).chain(&self.times)
    }

    pub(crate) fn judge(&self, outcomes: &[Outcome]) -> Option<Verdict> {
        let of = |name: &str| outcomes.iter().find(|outcome| outcome.algorithm == name);
        let value = self.measure.of(of(&self.algorithm)?);
        let at_most = match &self.times {
            None => self.at_most,
            Some(other) => self.at_most * self.measure.of(of(other)?),
        };
        Some(Verdict { goal: self.sentence(), value, at_most, holds: value <= at_most })
    }

    /// `adaptive: p99 at most 0.85 × least_request`
    pub fn sentence(&self) -> String {
        let (who, measure, bound) = (&self.algorithm, self.measure.name(), self.at_most);
        match &self.times {
            None => format!("{who}: {measure} at most {bound}{}", self.measure.unit()),
            Some(other) => format!("{who}: {measure} at most {bound} × {other}"),
        }
    }

    fn default_algorithm() -> String {
        "adaptive".to_owned()
    }
}

impl Measure {
    fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Mean => outcome.latency_ms.mean,
            Self::P50 => outcome.latency_ms.p50,
            Self::P90 => outcome.latency_ms.p90,
            Self::P99 => outcome.latency_ms.p99,
            Self::P999 => outcome.latency_ms.p99_9,
            Self::X99 => outcome.excess_ms.p99,
            Self::Errors => outcome.errors(),
            Self::Unevenness => outcome.utilisation.unevenness(),
            Self::WarmAfter => outcome.warm_after_seconds.unwrap_or(0.0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::X99 => "x99",
            Self::Errors => "errors",
            Self::Unevenness => "busiest/mean",
            Self::WarmAfter => "warm after",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Errors | Self::Unevenness => "",
            Self::WarmAfter => " s",
            _ => " ms",
        }
    }
}
