//! What retries and second attempts do to whole fleets, and what they cost.

#![allow(clippy::unwrap_used, reason = "in tests")]

use tidegate_lab::{Outcome, Progress, Scenario};

/// Fifteen seconds at 70 % load, after as long to learn.
fn run(algorithms: &str, settings: &str, endpoints: &str) -> Vec<Outcome> {
    let text = format!(
        "name = 'test'\ntitle = 'test'\nlasts = '30s'\nwarm_up = '15s'\nload = 0.7\nalgorithms = {algorithms}\n\
         {settings}\n[[endpoints]]\n{endpoints}"
    );
    let scenario = Scenario::parse(&text).unwrap();
    scenario.compare(3, 2, &Progress::of(&scenario)).outcomes
}

fn part(count: u32, outcome: &Outcome) -> f64 {
    f64::from(count) / outcome.requests as f64
}

#[test]
fn retries_hide_an_endpoint_that_fails_now_and_then_however_it_fails() {
    for how in ["fast", "slow", "refused", "reset"] {
        let endpoints = format!("count = 9\n[[endpoints]]\nfails = {{ part = 0.2, how = '{how}' }}");
        let outcomes = run("['round_robin', 'round_robin+retry']", "", &endpoints);
        let [without, with] = &outcomes[..] else { panic!("two") };
        assert!((0.01..0.03).contains(&without.errors()), "{how}: {}", without.errors());
        assert_eq!((with.failed, without.extra.retries), (0, 0), "{how}");
        assert!((0.01..0.03).contains(&part(with.extra.retries, with)), "{how}: {:?}", with.extra);
    }
}

#[test]
fn where_all_fail_retries_add_no_more_than_their_budget() {
    let settings = "retry = { percent = 10, per_second = 0, backoff = '1ms' }";
    let outcomes = run("['round_robin+retry']", settings, "count = 10\nfails = { part = 1 }");
    let retries = part(outcomes[0].extra.retries, &outcomes[0]);
    assert!((0.08..0.13).contains(&retries) && outcomes[0].errors() >= 1.0, "{retries}");
    // The first one after a lost connection is free.
    let outcomes = run("['round_robin+retry']", settings, "count = 10\nfails = { part = 1, how = 'reset' }");
    let retries = part(outcomes[0].extra.retries, &outcomes[0]);
    assert!((1.0..1.13).contains(&retries) && outcomes[0].errors() >= 1.0, "{retries}");
}

#[test]
fn only_what_the_scenario_names_is_tried_again_and_as_often_as_it_says() {
    let endpoints = "count = 5\n[[endpoints]]\ncount = 5\nfails = { part = 1, how = 'reset' }";
    let free = "percent = 100, per_second = 1000, backoff = '1ms'";
    let errors = |settings: &str| run("['random:1+retry']", settings, endpoints)[0].errors();
    assert!(errors(&format!("retry = {{ on = ['connect', 'status'], {free} }}")) > 0.3);
    // Two of ten distinct ones: 5/10 · 4/9.
    let two = errors(&format!("retry = {{ attempts = 2, on = ['reset'], {free} }}"));
    assert!(two < 0.23, "{two}");
    assert!(errors(&format!("retry = {{ attempts = 10, {free} }}")) < two / 4.0);
}

#[test]
fn a_request_on_an_endpoint_that_stops_is_answered_by_another_one() {
    let endpoints = "count = 20\nstalls = { lasts = '200ms', every = '~5s' }";
    let outcomes = run("['adaptive', 'adaptive+hedge']", "", endpoints);
    let [without, with] = &outcomes[..] else { panic!("two") };
    assert!(with.latency_ms.p99_9 < 0.75 * without.latency_ms.p99_9, "{:?}", with.latency_ms);
    let (hedged, won) = (part(with.extra.hedges, with), part(with.extra.hedges_won, with));
    assert!(hedged < 0.022 && won > 0.3 * hedged, "{:?}", with.extra);
    assert!(with.extra.hedges_unpaid < with.extra.hedges);
}

#[test]
fn where_nobody_stalls_hardly_anything_is_sent_twice_however_late_it_is() {
    let outcomes = run("['adaptive', 'adaptive+hedge']", "", "count = 10");
    let [without, with] = &outcomes[..] else { panic!("two") };
    let hedged = part(with.extra.hedges, with);
    assert!(hedged < 0.006, "of the tenth that is late: {hedged}");
    assert!(with.latency_ms.mean < 1.02 * without.latency_ms.mean);
    assert!(with.latency_ms.p99 < 1.03 * without.latency_ms.p99);
}

#[test]
fn what_the_budget_does_not_pay_for_is_not_sent() {
    let endpoints = "count = 10\nslow = { times = 50, lasts = '1s', every = '~3s' }";
    let hedged = |percent: u32| {
        let outcomes = run("['adaptive+hedge']", &format!("hedge = {{ percent = {percent} }}"), endpoints);
        (part(outcomes[0].extra.hedges, &outcomes[0]), outcomes[0].extra.hedges_unpaid)
    };
    let ((little, refused), (much, _)) = (hedged(1), hedged(100));
    assert!(little < 0.013 && refused > 0 && much > 1.5 * little, "{little} {refused} {much}");
}
