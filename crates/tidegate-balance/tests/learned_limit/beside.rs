//! What the load has nothing to do with, beside ordinary requests: it does not mislead the limit.

use crate::scene::{Others, Scene, Second, Service, mean, one_of, runs};
use std::time::Duration;

/// More at once than have a place: the others wait behind them in the queue, and are not served meanwhile because of that.
#[test]
fn a_heap_of_broken_pages_does_not_lower_the_limit() {
    const BROKEN: Others = Others { status: 504, ..Others::new(60, Duration::from_secs(2), |_| 0.9) };
    static OTHERS: [[Others; 1]; 2] =
        [[BROKEN], [Others { count: 300, every: Duration::from_secs(10), ..BROKEN }]];
    for others in &OTHERS {
        for seconds in runs(Scene { others, ..Scene::new(20.0, |_| 0.1) }) {
            let shed = mean(&seconds[20..50], |second| second.shed);
            assert!(shed < 2.0, "{others:?}: {shed} of 20 sent away, {seconds:?}");
        }
    }
}

/// Pages that take long, which somebody asks for again and again and does not wait for.
#[test]
fn clients_who_leave_while_others_are_served_keep_nobody_out() {
    const SLOW: Others = Others::new(1, Duration::from_millis(67), |_| 10.0);
    static OTHERS: [[Others; 1]; 4] = [
        [Others { leave: Some(Duration::from_secs(6)), ..SLOW }],
        [Others { leave: Some(Duration::from_secs(2)), every: Duration::from_millis(40), ..SLOW }],
        [Others { leave: Some(Duration::from_millis(150)), every: Duration::from_millis(25), ..SLOW }],
        [Others { leave: Some(Duration::from_secs(3)), every: Duration::from_secs(10), count: 40, ..SLOW }],
    ];
    for others in &OTHERS {
        for seconds in runs(Scene { others, ..Scene::new(12.0, |_| 0.05) }) {
            assert!(seconds[20..].iter().all(|second| second.shed == 0), "{others:?}: {seconds:?}");
        }
    }
}

/// Pages that are broken, which fail after as long as answers take, or longer.
#[test]
fn failures_that_the_load_has_nothing_to_do_with_keep_nobody_out() {
    const BROKEN: Others = Others { status: 500, ..Others::new(1, Duration::from_millis(33), |_| 1.0) };
    static OTHERS: [[Others; 1]; 6] = [
        [BROKEN],
        [Others { service: |_| 0.02, ..BROKEN }],
        [Others { service: |_| 0.04, ..BROKEN }],
        [Others { count: 30, every: Duration::from_millis(500), service: |_| 0.002, ..BROKEN }],
        [Others { count: 30, every: Duration::from_millis(500), service: |_| 0.03, ..BROKEN }],
        [Others { count: 40, every: Duration::from_secs(10), ..BROKEN }],
    ];
    for others in &OTHERS {
        for seconds in runs(Scene { others, ..Scene::new(20.0, |_| 0.02) }) {
            let shed: u32 = seconds.iter().map(|second| second.shed).sum();
            assert!(shed < 20, "{others:?}: {shed} sent away, {seconds:?}");
            assert!(seconds[20..].iter().all(|second| second.shed == 0), "{others:?}: {seconds:?}");
        }
    }
}

#[test]
fn those_that_wait_by_design_do_not_keep_the_others_out() {
    for seconds in runs(Scene { long_polls: 12, ..Scene::new(20.0, |_| 0.02) }) {
        let shed: u32 = seconds.iter().map(|second| second.shed).sum();
        assert!(shed < 20, "{shed} sent away, {seconds:?}");
    }
}

/// Reports that are asked for by a clock, say: latencies go with the load then, and not because of it.
#[test]
fn slow_requests_that_come_together_do_not_keep_the_others_out() {
    static REPORTS: [[Others; 1]; 2] = [
        [Others::new(40, Duration::from_secs(10), |_| 1.0)],
        [Others::new(20, Duration::from_secs(2), |_| 0.5)],
    ];
    let ordinary: [Service; 2] = [|_| 0.02, |noise| 0.02 * noise.lognormal(1.0)];
    for (others, service) in REPORTS.iter().flat_map(|others| ordinary.map(|service| (others, service))) {
        for seconds in runs(Scene { others, seconds: 100, ..Scene::new(20.0, service) }) {
            let shed: u32 = seconds.iter().map(|second| second.shed + second.others_shed).sum();
            assert!(shed < 60, "{others:?}: {shed} sent away, {seconds:?}");
            let later = seconds[50..].iter().map(|second| second.shed + second.others_shed).sum::<u32>();
            assert!(later < 10, "{others:?}: {later} sent away, {seconds:?}");
        }
    }
}

/// Beside pages of which some take long themselves, on few slots: who comes behind them waits inside, as if slots had gone.
#[test]
fn slow_requests_that_fill_all_slots_lower_the_limit_for_a_moment_only() {
    const REPORTS: Others = Others::new(20, Duration::from_secs(15), |_| 2.0);
    static OTHERS: [[Others; 1]; 4] = [
        [Others { count: 15, ..REPORTS }],
        [Others { every: Duration::from_secs(10), service: |_| 1.5, ..REPORTS }],
        [Others { count: 12, every: Duration::from_secs(12), ..REPORTS }],
        [REPORTS],
    ];
    let pages: Service = |noise| one_of(noise, &[(0.8, 0.015), (0.15, 0.08), (0.05, 1.0)]);
    for (others, (rate, most)) in OTHERS.iter().zip([(60.0, 10), (50.0, 10), (70.0, 10), (70.0, 300)]) {
        let scene = Scene { slots: &[(0, 8)], others, seconds: 80, ..Scene::new(rate, pages) };
        let shed =
            |seconds: Vec<Second>| seconds.iter().map(|second| second.shed + second.others_shed).sum::<u32>();
        let shed: Vec<_> = runs(scene).map(shed).collect();
        let mean = shed.iter().sum::<u32>() / shed.len() as u32;
        assert!(mean < most, "{others:?}: {mean} sent away on average: {shed:?}");
    }
}

/// An account that is throttled, a page that is broken: they bring the load that they are refused at.
#[test]
fn refusals_that_the_load_has_nothing_to_do_with_are_no_limit() {
    const THROTTLED: Others =
        Others { status: 429, ..Others::new(30, Duration::from_millis(500), |_| 0.002) };
    static OTHERS: [[Others; 1]; 4] = [
        [THROTTLED],
        [Others { status: 503, ..THROTTLED }],
        [Others { status: 503, count: 10, ..THROTTLED }],
        [Others { status: 503, every: Duration::from_secs(4), ..THROTTLED }],
    ];
    for (others, rate) in OTHERS.iter().flat_map(|others| [(others, 150.0), (others, 600.0)]) {
        for seconds in runs(Scene { others, ..Scene::new(rate, |_| 0.02) }) {
            assert!(seconds.iter().all(|second| second.shed == 0), "{others:?}, {rate}: {seconds:?}");
            let served = mean(&seconds[..59], |second| second.served);
            assert!(served > 0.95 * rate, "{others:?}, {rate}: {served}");
        }
    }
}

#[test]
fn too_many_requests_of_one_client_are_no_limit_for_the_others() {
    static THROTTLED: [Others; 1] =
        [Others { status: 429, ..Others::new(30, Duration::from_millis(500), |_| 0.002) }];
    for seconds in runs(Scene { others: &THROTTLED, ..Scene::new(150.0, |_| 0.02) }) {
        assert!(seconds[10..].iter().all(|second| second.limit >= Some(30)), "{seconds:?}");
    }
}
