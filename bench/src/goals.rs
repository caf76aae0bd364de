//! What Tidegate wants to reach, each goal beside what was measured. Knows the goals, measures nothing.

use crate::peers::Subject;
use crate::results::{Results, find};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) measured: f64,
    pub(crate) reached: bool,
    /// What the floor itself reaches in this run: no proxy can do better than that.
    pub(crate) attainable: Option<f64>,
}

/// Every goal for which this run has the numbers.
pub(crate) fn goals(results: &Results) -> Vec<Goal> {
    let small =
        results.loads.iter().map(|(scenario, _)| scenario.name).filter(|name| name.starts_with("small"));
    let mut goals: Vec<Goal> = small.flat_map(|scenario| goals_under(results, scenario)).collect();
    let large = ratio(results, "large", Subject::Tidegate, Subject::Haproxy);
    goals
        .extend(large.map(|large| at_least("1 MiB answers per CPU second against haproxy", 1.0, large, "×")));
    let cost = |scenario| results.sample(scenario, Subject::Tidegate).map(|sample| sample.cpu_us);
    if let (Some(tiny), Some(whole)) = (cost("tiny-chunks"), cost("upload")) {
        let what = "CPU for chunks of one byte against as many bytes on the wire in one piece";
        goals.push(at_most(what, 5.0, tiny / whole, "×"));
    }
    let one = |what: &str, limit: f64, measured: Option<f64>, unit: &str| {
        measured.map(|measured| at_most(what, limit, measured, unit))
    };
    goals.extend(results.instructions.iter().map(|(connections, count)| {
        at_most(&format!("user instructions per request, {connections} at once"), 8000.0, *count, "")
    }));
    goals.extend(one("heap allocations per keep-alive request", 0.0, results.allocations, ""));
    let idle = find(&results.idle, Subject::Tidegate).map(|idle| idle.served);
    goals.extend(one("resident memory of an idle connection", 1.0, idle, " KiB"));
    let calls = find(&results.syscalls, Subject::Tidegate).copied();
    goals.extend(one("system calls per request", 6.0, calls, ""));
    goals
}

/// The goals under one load of small answers.
fn goals_under(results: &Results, scenario: &str) -> Vec<Goal> {
    let floor = ratio(results, scenario, Subject::Floor, Subject::Tidegate);
    let floor = floor
        .map(|floor| at_most(&format!("CPU per request against the floor, {scenario}"), 1.25, floor, "×"));
    let peers = [(Subject::Nginx, 1.5), (Subject::Haproxy, 2.0)].into_iter().filter_map(|(peer, wanted)| {
        let what = format!("requests per CPU second against {peer}, {scenario}");
        let goal = at_least(&what, wanted, ratio(results, scenario, Subject::Tidegate, peer)?, "×");
        Some(Goal { attainable: ratio(results, scenario, Subject::Floor, peer), ..goal })
    });
    floor.into_iter().chain(peers).collect()
}

/// The requests per CPU second of one, divided by those of another.
fn ratio(results: &Results, scenario: &str, one: Subject, other: Subject) -> Option<f64> {
    let one = results.sample(scenario, one)?.requests_per_cpu_second();
    let other = results.sample(scenario, other)?.requests_per_cpu_second();
    (one > 0.0 && other > 0.0).then(|| one / other)
}

fn at_most(what: &str, limit: f64, measured: f64, unit: &str) -> Goal {
    // Measured to a hundredth: less than that is noise, not a failure.
    let reached = measured < limit + 0.005;
    Goal { what: what.to_owned(), wanted: format!("≤ {limit}{unit}"), measured, reached, attainable: None }
}

fn at_least(what: &str, limit: f64, measured: f64, unit: &str) -> Goal {
    let reached = measured > limit - 0.005;
    Goal { what: what.to_owned(), wanted: format!("≥ {limit}{unit}"), measured, reached, attainable: None }
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
    fn a_goal_against_a_peer_says_what_the_floor_itself_reaches() {
        let goals = goals(&results(10.0));
        let attainable = goals.iter().map(|goal| goal.attainable.map(|ratio| format!("{ratio:.3}")));
        assert_eq!(
            attainable.collect::<Vec<_>>(),
            [None, Some("1.875".to_owned()), Some("2.500".to_owned())]
        );
    }

    #[test]
    fn what_was_not_measured_is_no_goal() {
        assert_eq!(goals(&Results::default()), []);
    }
}
