//! What Tidegate's default must reach in each scenario, beside what it did. Knows the goals, measures nothing.

use super::contestant::{OURS, TWO_CHOICES};
use super::standing::{Standing, Standings};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) what: &'static str,
    pub(super) wanted: String,
    /// `None` where there was nothing to measure.
    pub(super) measured: Option<f64>,
    /// Never without a measurement: whoever answers nobody, or never gets warm, has not done well.
    pub(super) reached: bool,
    /// What the balancing is there for: a run in which it does not hold has failed. The others are a report.
    pub(super) must_hold: bool,
}

/// The goals of this scenario, where those who are compared took part.
pub(super) fn goals(standings: &Standings) -> Vec<Goal> {
    let Some(ours) = standings.named(OURS) else { return Vec::new() };
    let reference = standings.reference();
    let against_reference = |what, limit, number: Number| {
        reference.map(|theirs| at_most(what, limit, ratio(number(ours), number(theirs))))
    };
    let p99 = |limit| against_reference("p99 against HAProxy leastconn", limit, |one| above_zero(one.p99));
    let p999 =
        |limit| against_reference("p99.9 against HAProxy leastconn", limit, |one| above_zero(one.p999));
    let errors = |limit| Some(below("client errors, %", limit, errors_percent(ours)));
    let all = match standings.scenario.as_str() {
        "equal" | "equal-settled" => vec![
            p99(1.01),
            standings.named(TWO_CHOICES).map(|theirs| {
                let x99 = ratio(above_zero(ours.x99), above_zero(theirs.x99));
                at_most("x99 against two choices", 0.55, x99)
            }),
            Some(at_most("busiest endpoint over the mean", 1.03, above_zero(ours.busiest_over_mean))),
        ],
        "cores" | "cores-settled" => vec![p99(0.85).map(must_hold)],
        "antagonist" => vec![p999(0.75)],
        "stalls" => vec![p999(0.9)],
        "tenth-of-20" => vec![errors(0.02)],
        "cold" => vec![
            p999(1.0),
            against_reference(
                "time until the cold one is warm, against HAProxy leastconn",
                1.1,
                Standing::warm_after,
            ),
        ],
        "all-fail-tenth" => {
            let fewest = ours.fewest_over_mean();
            vec![Some(at_least("fewest requests to an endpoint over the mean", 0.8, fewest))]
        }
        // An endpoint that looks idle because it fails must not draw the traffic.
        _ if standings.title.ends_with("no retries") => vec![errors(0.5).map(must_hold)],
        _ => Vec::new(),
    };
    all.into_iter().flatten().collect()
}

type Number = fn(&Standing) -> Option<f64>;

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    ours.zip(theirs).map(|(ours, theirs)| ours / theirs)
}

/// A quantile of nothing is 0.
fn above_zero(number: f64) -> Option<f64> {
    (number > 0.0).then_some(number)
}

fn errors_percent(standing: &Standing) -> Option<f64> {
    (standing.requests > 0).then(|| standing.errors_percent())
}

fn must_hold(goal: Goal) -> Goal {
    Goal { must_hold: true, ..goal }
}

fn at_most(what: &'static str, limit: f64, measured: Option<f64>) -> Goal {
    goal(what, format!("≤ {limit}"), measured, |measured| measured <= limit)
}

fn at_least(what: &'static str, limit: f64, measured: Option<f64>) -> Goal {
    goal(what, format!("≥ {limit}"), measured, |measured| measured >= limit)
}

fn below(what: &'static str, limit: f64, measured: Option<f64>) -> Goal {
    goal(what, format!("< {limit}"), measured, |measured| measured < limit)
}

fn goal(what: &'static str, wanted: String, measured: Option<f64>, holds: impl Fn(f64) -> bool) -> Goal {
    Goal { what, wanted, measured, reached: measured.is_some_and(holds), must_hold: false }
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
            p99_of_rounds: vec![p99; 2],
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
        goals(&standings(scenario, title, contestants)).iter().map(|goal| goal.reached).collect()
    }

    fn standings(scenario: &str, title: &str, contestants: Vec<Standing>) -> Standings {
        let (scenario, title) = (scenario.to_owned(), title.to_owned());
        Standings { scenario, title, contestants, ..Standings::default() }
    }

    #[test]
    fn goals_are_reached_or_not() {
        assert_eq!(reached("cores", "", (85.0, 0)), [true]);
        assert_eq!(reached("cores", "", (86.0, 0)), [false]);
        assert_eq!(reached("fails-500", "…, no retries", (1.0, 4)), [true]);
        assert_eq!(reached("fails-500", "…, no retries", (1.0, 5)), [false]);
        assert_eq!(reached("all-fail-tenth", "", (1.0, 100)), [false], "10 of 30 is less than 0.8 of 15");
    }

    #[test]
    fn a_goal_that_cannot_be_measured_is_there_and_not_reached() {
        let warm = |name: &str, seconds: &[f64]| Standing {
            warm_after_seconds: seconds.to_vec(),
            ..standing(name, 99.0, 0)
        };
        for (ours, theirs, expected) in [
            (&[11.0, 11.0][..], &[10.0, 11.0][..], (true, true)),
            (&[13.0, 11.0], &[10.0, 11.0], (true, false)),
            (&[], &[10.0, 11.0], (false, false)),
            (&[2.0], &[10.0, 11.0], (false, false)), // warm in one of two rounds
            (&[11.0, 11.0], &[], (false, false)),
        ] {
            let all = goals(&standings("cold", "", vec![warm(OURS, ours), warm(REFERENCE, theirs)]));
            let found = all.last().map(|goal| (goal.measured.is_some(), goal.reached));
            assert_eq!((all.len(), found), (2, Some(expected)), "{ours:?} {theirs:?}");
        }
        assert_eq!(reached("cores", "", (0.0, 1_000)), [false], "who answers nobody is not quick");
        let alone = standings("cores", "", vec![standing(OURS, 85.0, 0)]);
        assert_eq!(goals(&alone), [], "nobody to compare with took part");
    }

    #[test]
    fn two_goals_must_hold() {
        let of = |scenario, title| {
            goals(&standings(scenario, title, vec![standing(OURS, 1.0, 0), standing(REFERENCE, 1.0, 0)]))
        };
        for (scenario, title, expected) in [
            ("cores", "", true),
            ("cores-settled", "", true),
            ("fails-500", "…, no retries", true),
            ("resets", "…, no retries", true),
            ("tenth-of-20", "…, no retries", false),
            ("all-fail-tenth", "…, no retries", false),
            ("stalls", "", false),
            ("cold", "", false),
        ] {
            let goals = of(scenario, title);
            assert!(!goals.is_empty() && goals.iter().all(|goal| goal.must_hold == expected), "{scenario}");
        }
    }
}
