//! What Tidegate's default must reach in each scenario, beside what it did. Knows the goals, measures nothing.

use super::contestant::{OURS, TWO_CHOICES};
use super::standing::{Standing, Standings};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) what: &'static str,
    pub(super) wanted: String,
    pub(super) measured: f64,
    pub(super) reached: bool,
}

/// The goals of this scenario for which there are numbers.
pub(super) fn goals(standings: &Standings) -> Vec<Goal> {
    let Some(ours) = standings.named(OURS) else { return Vec::new() };
    let to = |name: Option<&Standing>, number: fn(&Standing) -> f64| {
        name.map(number).filter(|other| *other > 0.0).map(|other| number(ours) / other)
    };
    let reference = standings.reference();
    let p99 = |limit| at_most("p99 against HAProxy leastconn", limit, to(reference, |one| one.p99));
    let p999 = |limit| at_most("p99.9 against HAProxy leastconn", limit, to(reference, |one| one.p999));
    let errors = |limit| below("client errors, %", limit, Some(ours.errors_percent()));
    let all = match standings.scenario.as_str() {
        "equal" | "equal-settled" => vec![
            p99(1.01),
            at_most("x99 against two choices", 0.55, to(standings.named(TWO_CHOICES), |one| one.x99)),
            at_most("busiest endpoint over the mean", 1.03, Some(ours.busiest_over_mean)),
        ],
        "cores" | "cores-settled" => vec![p99(0.85)],
        "antagonist" => vec![p999(0.75)],
        "stalls" => vec![p999(0.9)],
        "tenth-of-20" => vec![errors(0.02)],
        "cold" => vec![
            p999(1.0),
            at_most(
                "time until the cold one is warm, against HAProxy leastconn",
                1.1,
                warm_after(ours).zip(reference.and_then(warm_after)).map(|(ours, theirs)| ours / theirs),
            ),
        ],
        "all-fail-tenth" => {
            vec![at_least("fewest requests to an endpoint over the mean", 0.8, ours.fewest_over_mean())]
        }
        _ if standings.title.ends_with("no retries") => vec![errors(0.5)],
        _ => Vec::new(),
    };
    all.into_iter().flatten().collect()
}

/// The mean over the rounds in which it became warm.
pub(super) fn warm_after(standing: &Standing) -> Option<f64> {
    let all = &standing.warm_after_seconds;
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

fn at_most(what: &'static str, limit: f64, measured: Option<f64>) -> Option<Goal> {
    let measured = measured?;
    Some(Goal { what, wanted: format!("≤ {limit}"), measured, reached: measured <= limit })
}

fn at_least(what: &'static str, limit: f64, measured: Option<f64>) -> Option<Goal> {
    let measured = measured?;
    Some(Goal { what, wanted: format!("≥ {limit}"), measured, reached: measured >= limit })
}

fn below(what: &'static str, limit: f64, measured: Option<f64>) -> Option<Goal> {
    let measured = measured?;
    Some(Goal { what, wanted: format!("< {limit}"), measured, reached: measured < limit })
}

#[cfg(test)]
mod tests {
    use super::super::contestant::REFERENCE;
    use super::*;
    use std::collections::BTreeMap;

    fn standing(contestant: &str, p99: f64, failed: usize) -> Standing {
        Standing {
            contestant: contestant.to_owned(),
            requests: 1_000,
            p50: 1.0,
            p99,
            p999: p99,
            x99: p99,
            p99_of_rounds: Vec::new(),
            p999_of_rounds: Vec::new(),
            errors: BTreeMap::from([("500".to_owned(), failed)]),
            sent_again: 0,
            busiest_over_mean: 1.0,
            received: vec![10, 20],
            warm_after_seconds: Vec::new(),
            cpu_share: 0.0,
        }
    }

    fn reached(scenario: &str, title: &str, ours: (f64, usize)) -> Vec<bool> {
        let contestants = vec![standing(OURS, ours.0, ours.1), standing(REFERENCE, 100.0, 600)];
        let (scenario, title) = (scenario.to_owned(), title.to_owned());
        let standings = Standings { scenario, title, contestants, ..Standings::default() };
        goals(&standings).iter().map(|goal| goal.reached).collect()
    }

    #[test]
    fn goals_are_reached_or_not() {
        assert_eq!(reached("cores", "", (85.0, 0)), [true]);
        assert_eq!(reached("cores", "", (86.0, 0)), [false]);
        assert_eq!(reached("fails-500", "…, no retries", (1.0, 4)), [true]);
        assert_eq!(reached("fails-500", "…, no retries", (1.0, 5)), [false]);
        assert_eq!(reached("all-fail-tenth", "", (1.0, 100)), [false], "10 of 30 is less than 0.8 of 15");
        assert_eq!(reached("cold", "", (99.0, 0)), [true], "nobody became warm: only p99.9 is compared");
    }
}
