//! What holds for every run, whatever the fleet and whoever chooses.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tidegate_lab::{Comparison, Contender, Outcome, Progress, Quantiles, Scenario};

/// Everything that can go wrong at once, for a short time.
const TROUBLE: &str = "
    name = 'trouble'
    title = 'everything that can go wrong'
    lasts = '6s'
    warm_up = '1s'
    load = 0.8
    proxies = 2
    step = [{ at = '2s', times = 0.2 }, { at = '3s', times = 1.1 }]
    work = [{ share = 9, mean = '5ms' }, { share = 1, mean = '100ms', shape = 'exponential' }]
    [[endpoints]]
    count = 4
    slots = [2, 4]
    stalls = { lasts = '100ms', every = '~1s' }
    [[endpoints]]
    count = 2
    discipline = 'shared'
    round_trip = '20ms'
    slow = { times = 5, lasts = '~200ms', every = '~1s' }
    fails = { part = 0.3, how = 'reset', until = '3s' }
    [[endpoints]]
    fails = { part = 1, how = 'refused', from = '2s', until = '4s' }
    [[endpoints]]
    cold = { speed = 0.2, warm_after = 100 }
    joins = '2s'
    leaves = '5s'
";

fn compare(text: &str, seed: u64, jobs: usize) -> Comparison {
    let mut scenario = Scenario::parse(text).unwrap();
    let extras =
        ["adaptive+hedge", "adaptive+hedge+retry", "least_time+retry", "oracle+retry", "random+retry"];
    let names = Contender::catalogue().map(|(name, _, _)| name).chain(extras);
    scenario.algorithms = names.map(|name| Contender::parse(name).unwrap()).collect();
    scenario.compare(seed, jobs, &Progress::of(&scenario))
}

#[test]
fn the_same_seed_gives_the_same_numbers_however_many_run_at_a_time() {
    assert_eq!(compare(TROUBLE, 3, 1), compare(TROUBLE, 3, 4));
    assert_ne!(compare(TROUBLE, 3, 1), compare(TROUBLE, 4, 1));
}

#[test]
fn every_request_is_counted_once_by_every_algorithm() {
    let comparison = compare(TROUBLE, 5, 1);
    let all: Vec<Vec<u64>> =
        comparison.outcomes.iter().map(|outcome| outcome.timeline.requests.clone()).collect();
    assert!(all.windows(2).all(|two| two[0] == two[1]), "all see the same arrivals");
    for outcome in &comparison.outcomes {
        let by_endpoint: u64 = outcome.endpoints.iter().map(|endpoint| endpoint.requests).sum();
        let failed: u64 = outcome.endpoints.iter().map(|endpoint| endpoint.failed).sum();
        assert_eq!((by_endpoint, failed), (outcome.requests, outcome.failed), "{}", outcome.algorithm);
    }
}

#[test]
fn nobody_is_sent_to_an_endpoint_before_it_joins_or_after_it_left() {
    for outcome in compare(TROUBLE, 6, 1).outcomes {
        let load = &outcome.timeline.load[7].values;
        let step = outcome.timeline.step_seconds;
        let at = |index: usize| index as f64 * step;
        let out = load.iter().enumerate().filter(|(index, _)| at(index + 1) <= 2.0 || at(*index) >= 5.0);
        assert!(
            out.clone().count() > 50 && out.clone().all(|(_, load)| *load == 0.0),
            "{}",
            outcome.algorithm
        );
    }
}

#[test]
fn one_slot_with_exponential_work_waits_as_queueing_theory_says() {
    let text = "name = 'queue'\ntitle = 'one slot'\nlasts = '2000s'\nload = 0.5\n\
                work = [{ mean = '10ms', shape = 'exponential' }]\n[[endpoints]]\nslots = 1\n";
    // M/M/1: the mean time in the system is 1/(1 − ρ) service times, whoever chooses.
    for outcome in compare(text, 7, 1).outcomes {
        assert!(
            (outcome.latency_ms.mean - 20.0).abs() < 0.6,
            "{}: {:?}",
            outcome.algorithm,
            outcome.latency_ms
        );
        assert!((outcome.utilisation.mean - 0.5).abs() < 0.01);
    }
}

#[test]
fn ten_thousand_endpoints_work() {
    let text = "name = 'many'\ntitle = 'many'\nlasts = '1s'\nwarm_up = '100ms'\nload = 0.01\n\
                algorithms = ['round_robin', 'random', 'least_request', 'adaptive']\n[[endpoints]]\ncount = 10000\n";
    let scenario = Scenario::parse(text).unwrap();
    let comparison = scenario.compare(1, 1, &Progress::of(&scenario));
    assert!(comparison.outcomes.iter().all(|outcome| outcome.requests > 30_000 && outcome.failed == 0));
}

/// However much goes on elsewhere: spells of one endpoint come for ever, and the other one stands still for good.
#[test]
fn a_run_ends_though_an_endpoint_stands_still_for_good_and_what_it_has_is_slower_than_all_else() {
    let comparison = compare(
        "
        name = 'stands still'
        title = 'one stops for good, the other one again and again'
        lasts = '4s'
        warm_up = '1s'
        rate = 100
        [[endpoints]]
        slow = { times = 1e8, from = '2s' }
        [[endpoints]]
        stalls = { lasts = '5ms', every = '~100ms' }
        ",
        1,
        1,
    );
    for outcome in &comparison.outcomes {
        let (name, latency) = (&outcome.algorithm, &outcome.latency_ms);
        let by_endpoint: u64 = outcome.endpoints.iter().map(|endpoint| endpoint.requests).sum();
        assert_eq!(by_endpoint, outcome.requests, "{name}");
        let (all, unanswered) = (outcome.requests as f64, outcome.unanswered as f64);
        assert_eq!(latency.max.is_infinite(), unanswered > 0.0, "{name}");
        let is_among_them = (all - 1.0) * 0.99 >= all - unanswered;
        assert_eq!(latency.p99.is_infinite(), is_among_them, "{name}: {unanswered} of {all}");
        let is_told = outcome.distribution.last().is_some_and(|point| point.ms.is_infinite());
        assert!(is_told || latency.p99.is_finite(), "{name}: the curve goes as far");
    }
    let robin = comparison.outcome("round_robin").unwrap();
    assert!((80..=120).contains(&robin.unanswered), "half of those of two seconds: {}", robin.unanswered);
    let text = serde_json::to_string(&comparison).unwrap();
    assert!(text.contains("\"p99\":null"));
    let read: Comparison = serde_json::from_str(&text).unwrap();
    for (read, outcome) in read.outcomes.iter().zip(&comparison.outcomes) {
        let never = |outcome: &Outcome| {
            let points = outcome.distribution.iter().filter(|point| point.ms.is_infinite()).count();
            let steps = outcome.timeline.p99_ms.iter().filter(|p99| p99.is_infinite()).count();
            (outcome.latency_ms.p99.is_infinite(), outcome.excess_ms.mean.is_infinite(), points, steps)
        };
        assert_eq!(never(read), never(outcome), "null is read as never");
    }
    assert!(comparison.to_table().contains("never"));
    let page = tidegate_lab::html::page(&[comparison]);
    assert!(!page.contains("inf") && !page.contains("NaN"), "a picture has no place for them");
}

#[test]
fn requests_that_would_never_be_answered_are_counted_among_all() {
    let comparison = compare(
        "
        name = 'stands still'
        title = 'the only endpoint stops for good'
        lasts = '4s'
        warm_up = '1s'
        rate = 100
        [[endpoints]]
        slow = { times = 1e15, from = '3s' }
        ",
        1,
        1,
    );
    for outcome in &comparison.outcomes {
        assert!((50..=150).contains(&outcome.unanswered), "{}: {}", outcome.algorithm, outcome.unanswered);
        assert!((250..=350).contains(&outcome.requests), "{}: {}", outcome.algorithm, outcome.requests);
    }
}

#[test]
fn whoever_never_got_warm_is_null_in_json_and_read_back_as_never() {
    let text = "
        name = 'cold'
        title = 'never warm'
        lasts = '3s'
        warm_up = '1s'
        load = 0.5
        [[endpoints]]
        cold = { speed = 0.5, warm_after = 1000000 }
    ";
    let mut scenario = Scenario::parse(text).unwrap();
    scenario.algorithms = vec![Contender::parse("round_robin").unwrap()];
    let comparison = scenario.compare(1, 1, &Progress::of(&scenario));
    let json = serde_json::to_string(&comparison).unwrap();
    assert!(json.contains(r#""warm_after_seconds":null"#), "{json}");
    let read: Comparison = serde_json::from_str(&json).unwrap();
    assert_eq!(read.outcomes[0].warm_after_seconds, Some(f64::INFINITY));
    let none =
        compare("name = 'a'\ntitle = 'b'\nlasts = '3s'\nwarm_up = '1s'\nload = 0.5\n[[endpoints]]", 1, 1);
    assert!(!serde_json::to_string(&none).unwrap().contains("warm_after_seconds"));
}

#[test]
fn the_way_there_and_back_is_no_work_and_takes_no_slot() {
    // Two slots would be too few for 100 requests a second, were they taken for 80 ms each.
    let text = "
        name = 'far'
        title = 'far away'
        lasts = '20s'
        warm_up = '1s'
        rate = 100
        work = [{ mean = '10ms', shape = 'constant' }]
        [[endpoints]]
        slots = 2
        round_trip = '70ms'
    ";
    for outcome in &compare(text, 1, 1).outcomes {
        let Quantiles { p50, mean, .. } = outcome.latency_ms;
        assert!((80.0..82.0).contains(&p50) && mean < 84.0, "{}: {p50}, {mean}", outcome.algorithm);
        let utilisation = outcome.utilisation.mean;
        assert!((0.45..0.55).contains(&utilisation), "{}: {utilisation}", outcome.algorithm);
    }
}
