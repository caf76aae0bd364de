//! The goals of the built-in scenarios hold, in shorter runs and with seeds that nothing was tuned with. `cargo xtask
//! lab-report` runs them in full.

#![allow(clippy::unwrap_used, reason = "in tests")]

use std::collections::BTreeSet;
use tidegate_lab::{Comparison, Contender, Progress, Scenario, Span, Verdict, builtin};

/// For nothing but this test: whoever tunes uses others.
const SEEDS: [u64; 2] = [77_001, 77_002];

/// Measured after the warm-up, in seconds.
const MEASURED: u64 = 30;

/// But fewer where a second has five times as many requests, and more where few endpoints or few requests tell.
const OTHERS: [(&str, u64); 4] = [("G9", 60), ("G10", 8), ("G11", 8), ("mixed", 60)];

/// Goals that are not reached, and how many times their bound is needed, so that nobody gets further away from them unseen.
/// docs/lab.md says why; the report says that they do not hold.
const NOT_REACHED: [(&str, &str, f64); 3] = [
    ("G5", "adaptive: p99.9 at most 0.9 × least_request", 1.15),
    ("G5", "adaptive+hedge: p99.9 at most 0.6 × least_request", 1.15),
    ("G9", "adaptive: p99.9 at most 1 × least_request", 1.03),
];

fn scenario(name: &str) -> Scenario {
    let measured = OTHERS.iter().find(|other| other.0 == name).map_or(MEASURED, |other| other.1);
    let mut scenario = builtin::scenario(name).unwrap();
    let lasts = Span(scenario.warm_up.0 + measured * 1_000_000_000);
    let named: BTreeSet<String> = scenario.goal.iter().flat_map(|goal| goal.names().cloned()).collect();
    scenario.algorithms = named.iter().map(|name| Contender::parse(name).unwrap()).collect();
    scenario.lasting(lasts).unwrap()
}

fn missed(comparison: &Comparison) -> Vec<String> {
    let slack = |goal: &str| {
        let known = NOT_REACHED.iter().find(|(name, miss, _)| *name == comparison.scenario && *miss == goal);
        known.map_or(1.0, |(_, _, needed)| *needed)
    };
    let misses = comparison.verdicts.iter().filter(|verdict| over_the_bound(verdict) > slack(&verdict.goal));
    misses
        .map(|verdict| {
            format!("{} with seed {}: {}", comparison.scenario, comparison.seed, verdict.sentence())
        })
        .collect()
}

/// A goal that is renamed or gone must not stay on the list.
#[test]
fn whatever_is_not_reached_is_a_goal() {
    for (name, miss, _) in NOT_REACHED {
        let scenario = builtin::scenario(name).unwrap();
        assert!(scenario.goal.iter().any(|goal| goal.sentence() == miss), "{name}: {miss}");
    }
}

#[test]
fn every_goal_is_reached_with_seeds_that_nothing_was_tuned_with() {
    let mut misses = Vec::new();
    for (name, _) in builtin::ALL {
        let scenario = scenario(name);
        for seed in SEEDS {
            let comparison = scenario.compare(seed, 2, &Progress::of(&scenario));
            assert!(!comparison.verdicts.is_empty(), "{name} has goals");
            for verdict in &comparison.verdicts {
                println!(
                    "{name} {seed}: {:.3} of the bound, {}",
                    over_the_bound(verdict),
                    verdict.sentence()
                );
            }
            misses.extend(missed(&comparison));
        }
    }
    assert!(misses.is_empty(), "{misses:#?}");
}

/// The value as a multiple of its bound; endless when there is none.
fn over_the_bound(verdict: &Verdict) -> f64 {
    verdict.value.zip(verdict.at_most).map_or(f64::INFINITY, |(value, at_most)| value / at_most)
}
