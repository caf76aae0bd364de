//! What Tidegate wants to reach, each goal beside what was measured. Knows the goals, measures nothing.

use crate::peers::Subject;
use crate::results::{Results, find};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) measured: f64,
    pub(crate) reached: bool,
}

/// Every goal for which this run has the numbers.
pub(crate) fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (scenario, _) in &results.loads {
        if scenario.name.starts_with("small") {
            let name = scenario.name;
            goals.extend(against(results, name, Subject::Floor).map(|ratio| {
                at_most(&format!("CPU per request against the floor, {name}"), 1.25, 1.0 / ratio, "×")
            }));
            goals.extend([(Subject::Nginx, 1.5), (Subject::Haproxy, 2.0)].into_iter().filter_map(
                |(peer, wanted)| {
                    let ratio = against(results, name, peer)?;
                    Some(at_least(
                        &format!("requests per CPU second against {peer}, {name}"),
                        wanted,
                        ratio,
                        "×",
                    ))
                },
            ));
        }
    }
    goals.extend(
        against(results, "large", Subject::Haproxy)
            .map(|ratio| at_least("1 MiB answers per CPU second against haproxy", 1.0, ratio, "×")),
    );
    let one = |what: &str, limit: f64, measured: Option<f64>, unit: &str| {
        measured.map(|measured| at_most(what, limit, measured, unit))
    };
    goals.extend(one("user instructions per request", 8000.0, results.instructions, ""));
    goals.extend(one("heap allocations per keep-alive request", 0.0, results.allocations, ""));
    let idle = find(&results.idle, Subject::Tidegate).map(|idle| idle.served);
    goals.extend(one("resident memory of an idle connection", 1.0, idle, " KiB"));
    let calls = find(&results.syscalls, Subject::Tidegate).copied();
    goals.extend(one("system calls per request", 6.0, calls, ""));
    goals
}

/// Tidegate's requests per CPU second, divided by a peer's.
fn against(results: &Results, scenario: &str, peer: Subject) -> Option<f64> {
    let own = results.sample(scenario, Subject::Tidegate)?.requests_per_cpu_second();
    let other = results.sample(scenario, peer)?.requests_per_cpu_second();
    (own > 0.0 && other > 0.0).then(|| own / other)
}

fn at_most(what: &str, limit: f64, measured: f64, unit: &str) -> Goal {
    // Measured to a hundredth: less than that is noise, not a failure.
    let reached = measured < limit + 0.005;
    Goal { what: what.to_owned(), wanted: format!("≤ {limit}{unit}"), measured, reached }
}

fn at_least(what: &str, limit: f64, measured: f64, unit: &str) -> Goal {
    let reached = measured > limit - 0.005;
    Goal { what: what.to_owned(), wanted: format!("≥ {limit}{unit}"), measured, reached }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{SCENARIOS, Sample};

    fn results(tidegate_cpu_us: f64) -> Results {
        let sample = |cpu_us| Sample { cpu_us, ..Sample::default() };
        let samples = vec![
            (Subject::Floor, sample(8.0)),
            (Subject::Tidegate, sample(tidegate_cpu_us)),
            (Subject::Nginx, sample(15.0)),
            (Subject::Haproxy, sample(20.0)),
        ];
        Results { loads: vec![(SCENARIOS[1], samples)], ..Results::default() }
    }

    #[test]
    fn ratios_are_taken_the_way_the_goals_are_worded() {
        let reached: Vec<bool> = goals(&results(10.0)).iter().map(|goal| goal.reached).collect();
        assert_eq!(reached, [true, true, true], "10 µs is 1.25 × 8, a 1.5th of 15 and a half of 20");
        let reached: Vec<bool> = goals(&results(12.0)).iter().map(|goal| goal.reached).collect();
        assert_eq!(reached, [false, false, false]);
    }

    #[test]
    fn what_was_not_measured_is_no_goal() {
        assert_eq!(goals(&Results::default()), []);
    }
}
