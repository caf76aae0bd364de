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
            None => Some(self.at_most),
            Some(other) => self.measure.of(of(other)?).map(|theirs| self.at_most * theirs),
        };
        // Never is no better than never.
        let holds = value.zip(at_most).is_some_and(|(value, at_most)| value.is_finite() && value <= at_most);
        Some(Verdict { goal: self.sentence(), value, at_most, holds })
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
    /// `None`: there was nothing to measure. That is not 0, which every bound allows.
    fn of(self, outcome: &Outcome) -> Option<f64> {
        let latency = outcome.has_latency().then_some(&outcome.latency_ms);
        match self {
            Self::Mean => latency.map(|latency| latency.mean),
            Self::P50 => latency.map(|latency| latency.p50),
            Self::P90 => latency.map(|latency| latency.p90),
            Self::P99 => latency.map(|latency| latency.p99),
            Self::P999 => latency.map(|latency| latency.p99_9),
            Self::X99 => latency.map(|_| outcome.excess_ms.p99),
            Self::Errors => (outcome.requests > 0).then(|| outcome.errors()),
            Self::Unevenness => (outcome.utilisation.mean > 0.0).then(|| outcome.utilisation.unevenness()),
            Self::WarmAfter => outcome.warm_after_seconds,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Quantiles, Utilisation};

    const ALL: [Measure; 9] = [
        Measure::Mean,
        Measure::P50,
        Measure::P90,
        Measure::P99,
        Measure::P999,
        Measure::X99,
        Measure::Errors,
        Measure::Unevenness,
        Measure::WarmAfter,
    ];

    fn judged(measure: Measure, times: Option<&str>, outcomes: &[Outcome]) -> Verdict {
        let times = times.map(str::to_owned);
        let goal = Goal { algorithm: Goal::default_algorithm(), measure, at_most: 1.0, times };
        goal.judge(outcomes).unwrap()
    }

    #[test]
    fn what_never_ends_reaches_no_goal() {
        let latency_ms = Quantiles { p99: f64::INFINITY, ..Quantiles::default() };
        let never =
            Outcome { algorithm: "adaptive".to_owned(), requests: 9, latency_ms, ..Outcome::default() };
        let other = Outcome { algorithm: "other".to_owned(), ..never.clone() };
        let good = Outcome { latency_ms: Quantiles { p99: 5.0, ..Quantiles::default() }, ..never.clone() };
        assert!(judged(Measure::P99, Some("other"), &[good.clone(), other.clone()]).holds);
        assert!(!judged(Measure::P99, Some("other"), &[never.clone(), other.clone()]).holds);
        assert!(!judged(Measure::P99, None, std::slice::from_ref(&never)).holds);
        for (verdict, said, written) in [
            (
                judged(Measure::P99, Some("other"), &[never.clone(), other.clone()]),
                "(never, and neither what it is compared with)",
                r#""value":"never","at_most":"never""#,
            ),
            (
                judged(Measure::P99, None, std::slice::from_ref(&never)),
                "(never, against 1.000)",
                r#""value":"never","at_most":1.0"#,
            ),
            (
                judged(Measure::P99, Some("other"), &[good, other]),
                "(5.000, against never)",
                r#""value":5.0,"at_most":"never""#,
            ),
        ] {
            assert!(verdict.sentence().ends_with(said), "{}", verdict.sentence());
            let text = serde_json::to_string(&verdict).unwrap();
            assert!(text.contains(written), "{text}");
            assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict, "{text}");
        }
        let before = r#"{"goal":"x","value":1.7976931348623157e308,"at_most":1.0,"holds":false}"#;
        assert!(
            serde_json::from_str::<Verdict>(before).unwrap().sentence().ends_with("(never, against 1.000)")
        );
    }

    #[test]
    fn no_goal_holds_where_nothing_was_measured() {
        let nothing = Outcome { algorithm: "adaptive".to_owned(), ..Outcome::default() };
        let nothing_succeeded = Outcome { requests: 9, failed: 9, ..nothing.clone() };
        let something = Outcome {
            requests: 9,
            latency_ms: Quantiles { p99: 0.5, ..Quantiles::default() },
            utilisation: Utilisation { mean: 0.5, busiest: 0.5, idlest: 0.5 },
            warm_after_seconds: Some(0.5),
            ..nothing.clone()
        };
        for measure in ALL {
            let verdict = judged(measure, None, std::slice::from_ref(&nothing));
            assert!(!verdict.holds && verdict.value.is_none(), "{measure:?}");
            assert!(verdict.sentence().ends_with("(nothing was measured)"), "{}", verdict.sentence());
            assert!(judged(measure, None, std::slice::from_ref(&something)).holds, "{measure:?}");
            let other = Outcome { algorithm: "other".to_owned(), ..nothing.clone() };
            let verdict = judged(measure, Some("other"), &[something.clone(), other]);
            assert!(!verdict.holds && verdict.at_most.is_none(), "{measure:?}");
            assert!(
                verdict.sentence().ends_with(", and nothing was measured to compare it with)"),
                "{verdict:?}"
            );
        }
        let verdict = judged(Measure::P99, None, std::slice::from_ref(&nothing_succeeded));
        assert!(!verdict.holds && verdict.value.is_none());
        assert_eq!(judged(Measure::Errors, None, &[nothing_succeeded]).value, Some(1.0));
    }
}
