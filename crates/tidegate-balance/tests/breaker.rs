//! The laws of breakers: who is out, for how long, and that never everybody is. Through the public interface alone, in
//! virtual time.

mod cluster;

use cluster::endpoints;
use proptest::prelude::*;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{
    Algorithm, Balancer, Breaker, Ejection, Ended, Health, HeldBack, InForce, Lease, Moment, Phase, Pick,
    StatusSet,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

const BREAKER: Breaker = Breaker {
    failures: 5,
    margin_percent: Some(20),
    requests_min: 20,
    period: Duration::from_secs(2),
    ejected_percent_max: 50,
    out_for: Duration::from_secs(10),
    out_for_max: Duration::from_secs(35),
};

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![
        Algorithm::Adaptive { peers: 1 },
        Algorithm::LeastRequest,
        Algorithm::Maglev { bound: None },
        Algorithm::PeakEwma,
        Algorithm::Prequal,
        Algorithm::Random { choices: 2 },
        Algorithm::Rendezvous { bound: None },
        Algorithm::RoundRobin,
    ])
}

/// A balancer, and what it shares with those of later snapshots.
struct Cluster {
    balancer: Balancer,
    in_force: Arc<InForce>,
}

impl Deref for Cluster {
    type Target = Balancer;

    fn deref(&self) -> &Balancer {
        &self.balancer
    }
}

fn cluster(algorithm: Algorithm, count: usize, breaker: Breaker) -> Cluster {
    cluster_failing(algorithm, count, breaker, StatusSet::failures())
}

fn cluster_failing(algorithm: Algorithm, count: usize, breaker: Breaker, failures: StatusSet) -> Cluster {
    let in_force = Arc::<InForce>::default();
    let balancer = Balancer::new(algorithm, endpoints(&vec![1; count]), None)
        .with_failure_statuses(failures)
        .with_breaker(Some(breaker), Arc::clone(&in_force));
    balancer.come_into_force(Moment(0));
    Cluster { balancer, in_force }
}

fn pick(now: u64, random: u64) -> Pick<'static> {
    Pick { now: Moment(now), random, hash: None, tried: &[] }
}

fn answered(status: u16) -> Ended {
    Ended::Answered { status, first_byte: Duration::from_millis(1) }
}

/// An answer whose head says nothing of how it went; `status` comes at its end.
fn ends_with(balancer: &Balancer, now: u64, status: u16) {
    let mut lease = balancer.pick(&pick(now, 0)).expect("one that is up");
    lease.begun(Phase::Answering, 200, Duration::from_millis(1), Moment(now));
    lease.settle(answered(status), Moment(now + SECOND));
}

fn mixed(step: u64) -> u64 {
    step.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn out(balancer: &Balancer, now: u64) -> Vec<usize> {
    let is_out = |index: &usize| {
        let health = balancer.endpoints()[*index].state.health(Moment(now));
        matches!(health, Health::DownByFailures | Health::DownBySuccessRate)
    };
    (0..balancer.endpoints().len()).filter(is_out).collect()
}

/// A request each millisecond; `fails` says whether it does, by endpoint and number.
fn serve(
    balancer: &Balancer,
    from: u64,
    requests: u64,
    fails: impl Fn(usize, u64) -> bool,
) -> Vec<(u64, usize)> {
    (0..requests)
        .map(|step| {
            let now = from + step * MS;
            let lease = balancer.pick(&pick(now, mixed(step))).expect("somebody is up");
            let index = lease.index();
            lease.settle(answered(if fails(index, step) { 503 } else { 200 }), Moment(now));
            (now, index)
        })
        .collect()
}

/// It is out for that already, and would stay out for longer than it refuses.
#[test]
fn who_refuses_those_that_wait_is_not_taken_out_by_its_breaker_for_that() {
    let balancer = cluster(Algorithm::LeastRequest, 2, Breaker { failures: 8, ..BREAKER });
    let state = &balancer.endpoints()[0].state;
    for step in 0..3 {
        let refused = balancer.pick(&Pick { tried: &[1], ..pick(step, 0) }).expect("it is up");
        refused.settle(Ended::ConnectFailed, Moment(step));
    }
    for now in (1..20).map(|step| step * 2 * SECOND) {
        let asked = balancer.pick_refusing(&pick(now, 0)).expect("it is marked");
        asked.settle(Ended::ConnectFailed, Moment(now));
    }
    assert_eq!((state.failures_in_a_row(), state.ejections(Ejection::Failures)), (3, 0));
}

const QUICK: Breaker =
    Breaker { failures: 3, margin_percent: None, out_for: Duration::from_millis(500), ..BREAKER };

/// Three of which the first is out by its failures; when its trial is due.
fn with_one_tried_quickly() -> (Cluster, u64) {
    let balancer = cluster(Algorithm::RoundRobin, 3, QUICK);
    serve(&balancer, SECOND, 20, |index, _| index == 0);
    let due = balancer.endpoints()[0].state.trial_due().expect("it is out").0;
    (balancer, due)
}

/// Asks each ten milliseconds until the first is tried.
fn next_trial(balancer: &Balancer, from: u64, until: u64) -> Option<(u64, Lease<'_>)> {
    (from..until).step_by(10 * MS as usize).find_map(|now| {
        let lease = balancer.pick(&pick(now, 0)).expect("two are up");
        (lease.index() == 0).then_some((now, lease))
    })
}

#[test]
fn while_a_trial_is_under_way_there_is_no_other_and_its_failure_doubles_the_wait_once() {
    let (balancer, due) = with_one_tried_quickly();
    let (tried, trial) = next_trial(&balancer, due, due + SECOND).expect("it is due");
    let failed = tried + 3 * SECOND;
    assert!(next_trial(&balancer, tried, failed).is_none(), "the first one has not ended");
    let state = &balancer.endpoints()[0].state;
    assert!(state.is_on_trial());
    trial.settle(Ended::Failed, Moment(failed));
    assert!(!state.is_on_trial());
    let (again, trial) = next_trial(&balancer, failed, failed + 10 * SECOND).expect("it is due again");
    assert_eq!(again, failed + SECOND);
    trial.settle(answered(200), Moment(again));
    assert!(out(&balancer, again).is_empty());
}

#[test]
fn a_trial_of_which_nothing_comes_keeps_its_endpoint_out_for_no_longer_than_a_few_seconds() {
    let (balancer, due) = with_one_tried_quickly();
    let (mut trials, mut from) = (Vec::new(), due);
    for seconds in [0, 10, 10, 10, 10, 16, 32] {
        let (now, trial) = next_trial(&balancer, from, from + 60 * SECOND).expect("it is due");
        assert_eq!((now - from) / SECOND, seconds, "after {} trials", trials.len());
        from = now;
        trials.push(trial);
    }
    // What others were let in for has failed already.
    trials.remove(0).settle(Ended::Failed, Moment(from));
    assert_eq!(balancer.endpoints()[0].state.trial_due(), Some(Moment(from + 35 * SECOND)));
    trials.remove(0).settle(answered(200), Moment(from));
    assert!(out(&balancer, from).is_empty(), "it was a long poll");
    drop(trials);
    assert!(out(&balancer, from).is_empty());
}

#[test]
fn a_trial_whose_client_leaves_is_as_good_as_none() {
    let (balancer, due) = with_one_tried_quickly();
    let (tried, trial) = next_trial(&balancer, due, due + SECOND).expect("it is due");
    trial.settle(Ended::Abandoned, Moment(tried + 100 * MS));
    let (again, _trial) = next_trial(&balancer, tried, tried + SECOND).expect("another one is let in");
    assert_eq!(again, tried + 500 * MS);
}

proptest! {
    #[test]
    fn failures_in_a_row_take_an_endpoint_out_until_a_trial_succeeds(algorithm in any_algorithm()) {
        let balancer = cluster(algorithm, 3, Breaker { margin_percent: None, ..BREAKER });
        let served = serve(&balancer, SECOND, 9_000, |index, _| index == 0);
        let on_it: Vec<_> = served.iter().filter(|(_, index)| *index == 0).collect();
        prop_assert!(on_it.len() <= 5, "{} requests", on_it.len());
        if on_it.len() < 5 {
            return Ok(()); // `adaptive` and its like leave it alone without a breaker
        }
        let state = &balancer.endpoints()[0].state;
        prop_assert_eq!(state.health(Moment(on_it[4].0)), Health::DownByFailures);
        prop_assert_eq!(state.ejections(Ejection::Failures), 1);
        let due = state.trial_due().expect("it is out");
        prop_assert_eq!(due, Moment(on_it[4].0) + BREAKER.out_for);
        serve(&balancer, due.0, 3_000, |_, _| false);
        prop_assert_eq!(state.health(due), Health::Up);
        prop_assert_eq!(state.trial_due(), None);
    }

    #[test]
    fn a_trial_that_fails_doubles_the_wait_up_to_a_most(algorithm in any_algorithm()) {
        let balancer = cluster(algorithm, 3, Breaker { margin_percent: None, ..BREAKER });
        let served = serve(&balancer, SECOND, 200_000, |index, _| index == 0);
        let times: Vec<_> = served.iter().filter(|(_, index)| *index == 0).map(|(now, _)| *now).collect();
        let gaps: Vec<_> = times.windows(2).map(|two| (two[1] - two[0]) / SECOND).filter(|gap| *gap >= 5).collect();
        let trials_wait = [10, 20, 35, 35];
        let is_so = gaps.iter().zip(trials_wait).all(|(gap, expected)| gap.abs_diff(expected) <= 8);
        prop_assert!(times.len() < 5 || algorithm_learns(algorithm) || is_so, "{gaps:?}");
    }

    #[test]
    fn one_whose_success_rate_is_far_below_the_median_is_out(algorithm in any_algorithm(), noise: u64) {
        let balancer = cluster(algorithm, 4, Breaker { failures: 0, ..BREAKER });
        let half = |step: u64| mixed(step ^ noise) >> 63 == 0;
        serve(&balancer, SECOND, 5_000, |index, step| index == 1 && half(step));
        let state = &balancer.endpoints()[1].state;
        if !algorithm_learns(algorithm) {
            prop_assert_eq!(state.health(Moment(6 * SECOND)), Health::DownBySuccessRate);
            let (succeeded, elsewhere) = state.success_percents();
            prop_assert!((30..=70).contains(&succeeded) && elsewhere == 100);
        }
        prop_assert!(out(&balancer, 6 * SECOND).iter().all(|&index| index == 1));
    }

    #[test]
    fn when_all_fail_alike_nobody_is_out_by_the_success_rate(
        algorithm in any_algorithm(),
        percent in 1_u64..=100,
        noise: u64,
    ) {
        let balancer = cluster(algorithm, 5, Breaker { failures: 0, ..BREAKER });
        serve(&balancer, SECOND, 10_000, |_, step| mixed(step ^ noise) % 100 < percent);
        // An algorithm that avoids failures stops measuring an endpoint that has had bad luck: chance may take some out, within
        // the part that may be out.
        let most = if algorithm_learns(algorithm) { 5 * BREAKER.ejected_percent_max as usize / 100 } else { 0 };
        let out = out(&balancer, 11 * SECOND);
        prop_assert!(out.len() <= most, "{out:?}");
    }

    #[test]
    fn the_last_one_is_never_taken_out_and_no_more_than_a_part(
        algorithm in any_algorithm(),
        count in 1_usize..7,
        percent in 0_u32..=100,
    ) {
        let balancer = cluster(algorithm, count, Breaker { ejected_percent_max: percent, ..BREAKER });
        serve(&balancer, SECOND, 5_000, |_, _| true);
        let out = out(&balancer, 6 * SECOND).len();
        prop_assert!(out < count);
        prop_assert!(out <= 1 || out * 100 <= percent as usize * count, "{out} of {count}");
    }

    #[test]
    fn whoever_is_out_is_not_picked_while_another_is_up_and_is_when_nobody_is(algorithm in any_algorithm()) {
        let balancer = cluster(algorithm, 2, BREAKER);
        for _ in 0..5 {
            let lease = balancer.pick(&Pick { tried: &[1], ..pick(SECOND, 7) }).expect("it is up");
            lease.settle(answered(500), Moment(SECOND));
        }
        prop_assert_eq!(out(&balancer, SECOND), vec![0]);
        let served = serve(&balancer, SECOND, 5_000, |_, _| false);
        prop_assert!(served.iter().all(|(_, index)| *index == 1));
        balancer.endpoints()[1].state.set_draining(true);
        prop_assert_eq!(balancer.pick(&pick(2 * SECOND, 7)).expect("better than nobody").index(), 0);
    }
}

/// Out by failures in a row: the first; then the second cannot be.
#[test]
fn whoever_is_held_back_is_known_and_counted_once_for_a_row_of_failures() {
    let breaker = Breaker { margin_percent: None, ejected_percent_max: 30, ..BREAKER };
    let balancer = cluster(Algorithm::RoundRobin, 3, breaker);
    let state = |index: usize| &balancer.endpoints()[index].state;
    let serve = |index: usize, status| {
        let tried: Vec<usize> = (0..3).filter(|other| *other != index).collect();
        let lease = balancer.pick(&Pick { tried: &tried, ..pick(SECOND, 7) }).expect("it is up");
        lease.settle(answered(status), Moment(SECOND));
    };
    let held = |index| {
        let times = HeldBack::ALL.map(|why| state(index).times_held_back(Ejection::Failures, why));
        (balancer.held_back(index, Ejection::Failures, Moment(SECOND)), times)
    };
    (0..5).for_each(|_| serve(0, 500));
    assert_eq!((out(&balancer, SECOND), held(0)), (vec![0], (None, [0, 0])));
    (0..9).for_each(|_| serve(1, 500));
    assert_eq!((out(&balancer, SECOND), held(1)), (vec![0], (Some(HeldBack::Share), [0, 1])));
    serve(1, 200);
    assert_eq!(held(1), (None, [0, 1]));
    state(2).set_draining(true);
    (0..9).for_each(|_| serve(1, 500));
    assert_eq!(held(1), (Some(HeldBack::LastUp), [1, 1]));
    state(2).set_draining(false);
    serve(1, 500);
    assert_eq!(held(1).0, Some(HeldBack::Share), "the present reason, not the first one");
}

#[test]
fn what_was_before_a_pause_takes_nobody_out() {
    for (pause, expected) in [(0, 1), (40 * SECOND, 0)] {
        let balancer = cluster(Algorithm::RoundRobin, 4, Breaker { failures: 0, ..BREAKER });
        let begins = 2_100 * MS; // of the second period
        serve(&balancer, 0, 2_100, |_, _| false);
        serve(&balancer, begins, 1_900, |index, step| index == 0 && step % 8 < 4);
        let again = begins + 1_900 * MS + pause;
        serve(&balancer, again, 200, |_, _| false);
        assert_eq!(out(&balancer, again + 200 * MS).len(), expected, "{pause}");
    }
}

/// Requests come in bursts that are shorter than a period, and all is quiet in between.
#[test]
fn who_fails_in_bursts_is_judged_when_the_period_is_over() {
    let balancer = cluster(Algorithm::RoundRobin, 4, Breaker { failures: 0, ..BREAKER });
    let burst = |from: u64| {
        serve(&balancer, from, 1_000, |index, step| index == 0 && step % 8 < 4);
        (from / SECOND..from / SECOND + 26).for_each(|second| balancer.judge_if_due(Moment(second * SECOND)));
    };
    burst(SECOND);
    burst(30 * SECOND);
    assert_eq!(out(&balancer, 34 * SECOND), [0]);
}

/// Two of three fail half of all; one of them is taken out, and the other is held back.
fn with_one_held_back() -> Cluster {
    let breaker = Breaker { failures: 0, ejected_percent_max: 30, ..BREAKER };
    let balancer = cluster(Algorithm::RoundRobin, 4, breaker);
    for step in 0..600_u64 {
        let lease = balancer.pick(&pick(step * 10 * MS, 0)).expect("most are up");
        let status = if lease.index() > 1 && step % 8 < 4 { 500 } else { 200 };
        lease.settle(answered(status), Moment(step * 10 * MS));
    }
    balancer
}

fn held_back(balancer: &Balancer, reason: Ejection, now: u64) -> Vec<usize> {
    (0..balancer.endpoints().len())
        .filter(|index| balancer.held_back(*index, reason, Moment(now)).is_some())
        .collect()
}

#[test]
fn whoever_was_hardly_asked_in_a_period_is_held_back_no_more() {
    let balancer = with_one_held_back();
    let held = held_back(&balancer, Ejection::SuccessRate, 6 * SECOND);
    assert_eq!((held.len(), out(&balancer, 6 * SECOND).len()), (1, 1));
    assert_eq!(held_back(&balancer, Ejection::SuccessRate, 20 * SECOND), [0; 0], "nobody has asked since");
    // Only one is asked from now on: nothing to compare it with, either.
    let tried: Vec<_> = (1..4).collect();
    for step in 600..1_000_u64 {
        let lease = balancer.pick(&Pick { tried: &tried, ..pick(step * 10 * MS, 0) }).expect("it is up");
        lease.settle(answered(200), Moment(step * 10 * MS));
    }
    assert_eq!(held_back(&balancer, Ejection::SuccessRate, 10 * SECOND), [0; 0]);
}

fn reloaded(before: &Cluster, breaker: Option<Breaker>) -> Cluster {
    reloaded_at(before, breaker, SECOND)
}

fn reloaded_at(before: &Cluster, breaker: Option<Breaker>, now: u64) -> Cluster {
    let after = made_after(before, breaker);
    after.come_into_force(Moment(now));
    after
}

fn made_after(before: &Cluster, breaker: Option<Breaker>) -> Cluster {
    let in_force = Arc::clone(&before.in_force);
    let balancer = Balancer::new(Algorithm::RoundRobin, before.endpoints().to_vec(), Some(before))
        .with_breaker(breaker, Arc::clone(&in_force));
    Cluster { balancer, in_force }
}

#[test]
fn only_whom_the_present_configuration_would_take_out_is_held_back() {
    let held = |breaker| {
        let after = reloaded_at(&with_one_held_back(), Some(breaker), 6 * SECOND);
        held_back(&after, Ejection::SuccessRate, 6 * SECOND).len()
    };
    let same = Breaker { failures: 0, ejected_percent_max: 30, ..BREAKER };
    for (breaker, expected, why) in [
        (same, 1, "nothing has changed"),
        (Breaker { margin_percent: None, ..same }, 0, "nobody compares"),
        (Breaker { margin_percent: Some(90), ..same }, 0, "so much worse it is not"),
        (Breaker { requests_min: 10_000, ..same }, 0, "so many results there were not"),
        (Breaker { ejected_percent_max: 100, ..same }, 0, "the next period may take it out"),
    ] {
        assert_eq!(held(breaker), expected, "{why}");
    }

    let one = cluster(Algorithm::RoundRobin, 1, BREAKER);
    fail(&one, 5);
    for (failures, expected) in [(5, 1), (3, 1), (0, 0), (6, 0), (50, 0)] {
        let after = reloaded(&one, Some(Breaker { failures, ..BREAKER }));
        assert_eq!(held_back(&after, Ejection::Failures, SECOND).len(), expected, "{failures} failures");
    }
    assert_eq!(held_back(&reloaded(&one, None), Ejection::Failures, SECOND), [0; 0]);
}

/// Requests one after the other, of a single endpoint.
fn fail(one: &Balancer, times: u32) {
    for _ in 0..times {
        one.pick(&pick(SECOND, 0)).expect("the last one").settle(answered(500), Moment(SECOND));
    }
}

#[test]
fn requests_that_end_after_a_reload_hold_nobody_back_by_the_rules_of_before() {
    let before = cluster(Algorithm::RoundRobin, 1, BREAKER);
    fail(&before, 4);
    let late = before.pick(&pick(SECOND, 0)).expect("the last one");
    let after = reloaded(&before, Some(Breaker { failures: 50, ..BREAKER }));
    late.settle(answered(500), Moment(SECOND));
    for balancer in [&before, &after] {
        assert_eq!(held_back(balancer, Ejection::Failures, SECOND), [0; 0]);
    }
    fail(&after, 45);
    assert_eq!(held_back(&after, Ejection::Failures, SECOND), [0], "the row goes on");
}

/// Four endpoints of which the first is out, after five failures in a row.
fn with_one_out() -> Cluster {
    let balancer =
        cluster(Algorithm::RoundRobin, 4, Breaker { out_for_max: 40 * BREAKER.out_for, ..BREAKER });
    (0..5).for_each(|_| fail_first(&balancer));
    assert_eq!(out(&balancer, SECOND), [0]);
    balancer
}

fn fail_first(balancer: &Balancer) {
    let lease = balancer.pick(&Pick { tried: &[1, 2, 3], ..pick(SECOND, 0) }).expect("it is up");
    lease.settle(answered(500), Moment(SECOND));
}

#[test]
fn a_reload_brings_back_whom_its_thresholds_would_not_have_taken_out() {
    let same = Breaker { out_for_max: 40 * BREAKER.out_for, ..BREAKER };
    for (breaker, expected, why) in [
        (Some(same), 1, "nothing has changed"),
        (Some(Breaker { failures: 3, ..same }), 1, "it would be out all the more"),
        (Some(Breaker { margin_percent: None, ..same }), 1, "that was not the reason"),
        (Some(Breaker { failures: 6, ..same }), 0, "five are too few"),
        (Some(Breaker { failures: 0, ..same }), 0, "however many"),
        (None, 0, "there is no breaker"),
    ] {
        let after = reloaded(&with_one_out(), breaker);
        assert_eq!(out(&after, SECOND).len(), expected, "{why}");
    }
}

#[test]
fn a_reload_that_lets_wait_less_brings_the_trial_nearer_and_another_does_not() {
    let before = with_one_out();
    let same = Breaker { out_for_max: 40 * BREAKER.out_for, ..BREAKER };
    let due = |balancer: &Balancer| balancer.endpoints()[0].state.trial_due();
    let at_first = due(&before);
    assert_eq!(due(&reloaded_at(&before, Some(same), 2 * SECOND)), at_first);
    let sooner = Breaker { out_for: BREAKER.out_for / 10, ..same };
    let after = reloaded_at(&before, Some(sooner), 2 * SECOND);
    assert_eq!(due(&after), Some(Moment(2 * SECOND) + BREAKER.out_for / 10));
    assert_eq!(out(&after, 2 * SECOND), [0], "it is not up for that");
}

/// What it waited by the thresholds of before is not doubled.
#[test]
fn whoever_comes_back_with_a_reload_is_taken_out_for_the_first_time_after_it() {
    let short = Breaker { failures: 6, out_for: BREAKER.out_for / 10, ..BREAKER };
    for is_off_between in [false, true] {
        let mut after = with_one_out();
        if is_off_between {
            after = reloaded_at(&after, None, 2 * SECOND);
        }
        after = reloaded_at(&after, Some(short), 2 * SECOND);
        let others: Vec<_> = (1..after.endpoints().len()).collect();
        for _ in 0..6 {
            let lease = after.pick(&Pick { tried: &others, ..pick(2 * SECOND, 0) }).expect("it is up");
            lease.settle(answered(500), Moment(2 * SECOND));
        }
        assert_eq!(out(&after, 2 * SECOND), [0], "off between: {is_off_between}");
        let due = after.endpoints()[0].state.trial_due();
        assert_eq!(due, Some(Moment(2 * SECOND) + short.out_for), "off between: {is_off_between}");
    }
}

#[test]
fn whoever_is_out_by_its_success_rate_stays_so_over_a_reload_that_changes_nothing() {
    let before = with_one_held_back();
    let same = Breaker { failures: 0, ejected_percent_max: 30, ..BREAKER };
    let gone = out(&before, 6 * SECOND);
    assert_eq!(gone.len(), 1);
    // Two periods later nothing is known but why it went.
    for step in 600..1_400_u64 {
        let pick = Pick { tried: &gone, ..pick(step * 10 * MS, 0) };
        let lease = before.pick(&pick).expect("somebody is up");
        lease.settle(answered(200), Moment(step * 10 * MS));
    }
    let now = 14 * SECOND;
    let is_broken = |balancer: &Balancer| {
        balancer.endpoints().iter().filter(|endpoint| endpoint.state.waiting_for_trial().is_some()).count()
    };
    assert_eq!(is_broken(&before), 1);
    assert_eq!(is_broken(&reloaded_at(&before, Some(same), now)), 1);
    assert_eq!(is_broken(&reloaded_at(&before, Some(Breaker { margin_percent: None, ..same }), now)), 0);
}

#[test]
fn requests_of_before_a_reload_take_nobody_out_by_thresholds_that_are_gone() {
    for breaker in [None, Some(Breaker { failures: 50, margin_percent: None, ..BREAKER })] {
        let before = cluster(Algorithm::RoundRobin, 4, BREAKER);
        let late: Vec<_> = (0..6)
            .map(|_| before.pick(&Pick { tried: &[1, 2, 3], ..pick(SECOND, 0) }).expect("it is up"))
            .collect();
        let after = reloaded(&before, breaker);
        for lease in late {
            lease.settle(answered(500), Moment(SECOND));
        }
        assert_eq!(out(&after, SECOND), [0; 0], "{breaker:?}");
    }
}

#[test]
fn what_is_made_and_never_comes_into_force_changes_nothing() {
    let balancer = with_one_out();
    let never = made_after(&balancer, None);
    assert_eq!(out(&never, SECOND), [0]);
    let tried = [0, 2, 3];
    for _ in 0..5 {
        let lease = balancer.pick(&Pick { tried: &tried, ..pick(SECOND, 0) }).expect("it is up");
        lease.settle(answered(500), Moment(SECOND));
    }
    assert_eq!(out(&balancer, SECOND), [0, 1], "the thresholds of before count");
}

#[test]
fn what_was_seen_before_a_breaker_was_switched_off_is_forgotten() {
    let before = cluster(Algorithm::RoundRobin, 1, BREAKER);
    fail(&before, 7);
    let off = reloaded(&before, None);
    let on = reloaded(&off, Some(BREAKER));
    assert_eq!(held_back(&on, Ejection::Failures, SECOND), [0; 0]);
    fail(&on, 5);
    assert_eq!(held_back(&on, Ejection::Failures, SECOND), [0]);
}

fn algorithm_learns(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Adaptive { .. } | Algorithm::Prequal | Algorithm::PeakEwma)
}

#[test]
fn what_counts_as_a_failure_is_said_once() {
    let statuses: StatusSet = [404].into_iter().collect();
    let balancer = cluster_failing(Algorithm::RoundRobin, 2, BREAKER, statuses);
    let fail = |status| {
        for _ in 0..5 {
            let lease = balancer.pick(&Pick { tried: &[1], ..pick(SECOND, 7) }).expect("it is up");
            lease.settle(answered(status), Moment(SECOND));
        }
        out(&balancer, SECOND)
    };
    assert_eq!(fail(500), Vec::<usize>::new());
    assert_eq!(fail(404), [0]);
}

#[test]
fn results_of_before_neither_end_nor_prolong_the_wait() {
    let balancer = cluster(Algorithm::RoundRobin, 2, BREAKER);
    let at_first = |_| balancer.pick(&Pick { tried: &[1], ..pick(SECOND, 7) }).expect("it is up");
    let mut held: Vec<_> = (0..7).map(at_first).collect();
    held.drain(..5).for_each(|lease| lease.settle(answered(500), Moment(SECOND)));
    let due = balancer.endpoints()[0].state.trial_due();
    held.pop().into_iter().for_each(|lease| lease.settle(answered(200), Moment(2 * SECOND)));
    held.pop().into_iter().for_each(|lease| lease.settle(answered(500), Moment(2 * SECOND)));
    assert_eq!(out(&balancer, 2 * SECOND), [0]);
    assert_eq!(balancer.endpoints()[0].state.trial_due(), due);
}

#[test]
fn a_breaker_that_is_switched_off_lets_go_of_whom_it_took_out() {
    let before = cluster(Algorithm::RoundRobin, 2, BREAKER);
    for _ in 0..5 {
        let lease = before.pick(&Pick { tried: &[1], ..pick(SECOND, 7) }).expect("it is up");
        lease.settle(answered(500), Moment(SECOND));
    }
    let after = Balancer::new(Algorithm::RoundRobin, before.endpoints().to_vec(), Some(&before));
    let due = after.endpoints()[0].state.trial_due().expect("it is out");
    let lease = after.pick(&Pick { tried: &[1], ..pick(due.0, 7) }).expect("a trial is due");
    lease.settle(answered(500), due);
    assert_eq!(after.endpoints()[0].state.trial_due(), None);
}

#[test]
fn an_answer_that_says_at_its_end_how_it_went_counts_then_and_once() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::Adaptive { peers: 1 }] {
        let balancer = cluster(algorithm, 1, BREAKER);
        let state = &balancer.endpoints()[0].state;
        for number in 1..=3 {
            ends_with(&balancer, number * SECOND, 503);
            assert_eq!(state.failures_in_a_row(), number as u32, "{algorithm:?}");
        }
        ends_with(&balancer, 4 * SECOND, 200);
        assert_eq!(state.failures_in_a_row(), 0, "{algorithm:?}");
        let mut said_at_once = balancer.pick(&pick(5 * SECOND, 0)).unwrap();
        said_at_once.answered(503, Duration::from_millis(1), Moment(5 * SECOND));
        assert_eq!(state.failures_in_a_row(), 1, "{algorithm:?}");
        said_at_once.settle(answered(503), Moment(6 * SECOND));
        assert_eq!(state.failures_in_a_row(), 1, "{algorithm:?}");
    }
}
