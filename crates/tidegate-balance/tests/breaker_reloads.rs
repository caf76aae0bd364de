//! What a reload changes for those that a breaker has taken out, and for requests that began before it. Through the public
//! interface alone, as the control plane uses it, in virtual time.

use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{
    Algorithm, Balancer, Breaker, Ejection, Ended, Endpoint, EndpointId, HeldBack, Lease, Moment, Occasion,
    Pick, States, StatusSet,
};

const SECOND: u64 = 1_000_000_000;
const NOW: Moment = Moment(SECOND);

const BREAKER: Breaker = Breaker {
    failures: 3,
    margin_percent: None,
    requests_min: 20,
    period: Duration::from_secs(2),
    ejected_percent_max: 50,
    out_for: Duration::from_secs(10),
    out_for_max: Duration::from_mins(5),
};

fn listed(statuses: &[u16]) -> StatusSet {
    statuses.iter().copied().collect()
}

/// A configuration with one cluster of so many endpoints comes into force.
fn load(states: &States, count: usize, breaker: impl Into<Option<Breaker>>, failures: StatusSet) -> Balancer {
    load_at(NOW, states, count, breaker, failures)
}

fn load_at(
    now: Moment,
    states: &States,
    count: usize,
    breaker: impl Into<Option<Breaker>>,
    failures: StatusSet,
) -> Balancer {
    let cluster: Arc<str> = "app".into();
    let endpoint = |index| {
        let id = EndpointId { cluster: Arc::clone(&cluster), address: format!("10.0.0.{index}:80").into() };
        Endpoint { state: states.of(&id), id, weight: 1 }
    };
    let balancer = Balancer::new(Algorithm::RoundRobin, (0..count).map(endpoint).collect(), None)
        .with_failure_statuses(failures)
        .with_breaker(breaker.into(), states.in_force(&cluster));
    balancer.come_into_force(now);
    balancer
}

fn pick(balancer: &Balancer, index: usize, now: Moment) -> Lease<'_> {
    let tried: Vec<_> = (0..balancer.endpoints().len()).filter(|other| *other != index).collect();
    balancer.pick(&Pick { now, random: 0, hash: None, tried: &tried }).expect("it may be picked")
}

fn end(lease: Lease<'_>, status: u16, now: Moment) {
    lease.settle(Ended::Answered { status, first_byte: Duration::from_millis(1) }, now);
}

fn end_all(leases: Vec<Lease<'_>>, status: u16) {
    for lease in leases {
        end(lease, status, NOW);
    }
}

fn serve(balancer: &Balancer, index: usize, statuses: &[u16]) {
    serve_at(NOW, balancer, index, statuses);
}

fn serve_at(now: Moment, balancer: &Balancer, index: usize, statuses: &[u16]) {
    for status in statuses {
        end(pick(balancer, index, now), *status, now);
    }
}

/// Whom a breaker has taken out, and when they are tried.
fn out(balancer: &Balancer) -> Vec<(usize, Moment)> {
    let due = |(index, endpoint): (usize, &Endpoint)| Some((index, endpoint.state.trial_due()?));
    balancer.endpoints().iter().enumerate().filter_map(due).collect()
}

#[test]
fn requests_of_before_are_judged_by_what_is_in_force_also_when_their_cluster_was_gone_meanwhile() {
    for (breaker, expected) in [(None, 0), (Some(Breaker { failures: 50, ..BREAKER }), 0), (Some(BREAKER), 1)]
    {
        let states = States::default();
        let first = load(&states, 2, BREAKER, StatusSet::failures());
        let late: Vec<_> = (0..10).map(|_| pick(&first, 0, NOW)).collect();
        // Reloads with other clusters, of which the balancing knows nothing.
        let second = load(&states, 2, breaker, StatusSet::failures());
        end_all(late, 503);
        assert_eq!(out(&second).len(), expected, "{breaker:?}");
    }
}

#[test]
fn requests_that_began_without_a_breaker_are_judged_by_the_one_in_force() {
    let states = States::default();
    let first = load(&states, 2, None, StatusSet::failures());
    let late: Vec<_> = (0..3).map(|_| pick(&first, 0, NOW)).collect();
    let second = load(&states, 2, BREAKER, StatusSet::failures());
    end_all(late, 503);
    assert_eq!(out(&second).len(), 1);
}

#[test]
fn requests_of_before_take_nobody_out_who_is_the_last_one_now() {
    let states = States::default();
    let first = load(&states, 2, BREAKER, StatusSet::failures());
    let late: Vec<_> = (0..3).map(|_| pick(&first, 0, NOW)).collect();
    let second = load(&states, 1, BREAKER, StatusSet::failures());
    end_all(late, 503);
    assert_eq!(out(&second), []);
    assert_eq!(second.held_back(0, Ejection::Failures, NOW), Some(HeldBack::LastUp));
}

#[test]
fn requests_of_before_fail_by_the_statuses_in_force() {
    for (status, expected) in [(503, 0), (404, 1)] {
        let states = States::default();
        let first = load(&states, 2, BREAKER, listed(&[503]));
        let late: Vec<_> = (0..3).map(|_| pick(&first, 0, NOW)).collect();
        let second = load(&states, 2, BREAKER, listed(&[404]));
        end_all(late, status);
        assert_eq!(out(&second).len(), expected, "{status}");
    }
}

#[test]
fn whoever_is_out_for_statuses_that_are_no_failures_any_more_comes_back() {
    let later = NOW + Duration::from_secs(4);
    let due = NOW + BREAKER.out_for;
    for (statuses, list, expected, why) in [
        ([503, 503, 503], listed(&[500, 503, 404]), Some(due), "they still are"),
        ([503, 503, 503], listed(&[500]), None, "nothing is left of it"),
        ([500, 503, 503], listed(&[500]), Some(later), "a part is: it is tried at once"),
    ] {
        let states = States::default();
        let before = load(&states, 2, BREAKER, listed(&[500, 503]));
        serve(&before, 0, &statuses);
        assert_eq!(out(&before), [(0, due)]);
        let after = load_at(later, &states, 2, BREAKER, list);
        assert_eq!(out(&after).first().map(|(_, due)| *due), expected, "{why}");
    }
    let states = States::default();
    let before = load(&states, 2, BREAKER, listed(&[503]));
    for _ in 0..3 {
        pick(&before, 0, NOW).settle(Ended::Failed, NOW);
    }
    assert_eq!(out(&load_at(later, &states, 2, BREAKER, listed(&[]))), [(0, due)], "no answer is no status");
}

#[test]
fn only_the_reload_that_takes_a_status_off_the_list_ends_the_wait() {
    let states = States::default();
    let both = load(&states, 2, BREAKER, listed(&[500, 503]));
    serve(&both, 0, &[500, 503, 503]);
    let first = load(&states, 2, BREAKER, listed(&[500]));
    assert_eq!(out(&first), [(0, NOW)]);
    end(pick(&first, 0, NOW), 500, NOW);
    let waits = out(&first);
    assert_eq!(waits, [(0, NOW + 2 * BREAKER.out_for)]);
    let same = load(&states, 2, BREAKER, listed(&[500]));
    assert_eq!(out(&same), waits, "nothing has changed");
    let longer = load(&states, 2, BREAKER, listed(&[500, 404]));
    assert_eq!(out(&longer), waits, "none was taken off");
    assert_eq!(out(&load(&states, 2, BREAKER, listed(&[500]))), waits, "none that it is out for");
}

#[test]
fn failures_in_a_row_that_are_none_any_more_do_not_count_on() {
    let states = States::default();
    let before = load(&states, 2, BREAKER, listed(&[500, 503]));
    serve(&before, 0, &[503, 503]);
    let after = load(&states, 2, BREAKER, listed(&[500]));
    serve(&after, 0, &[500, 500]);
    assert_eq!(out(&after), []);
    serve(&after, 0, &[500]);
    assert_eq!(out(&after).len(), 1);
}

/// Half of what the first of three answers is 503, for two periods.
fn one_behind(states: &States) -> Balancer {
    let breaker = Breaker { failures: 0, margin_percent: Some(20), ..BREAKER };
    let balancer = load(states, 3, breaker, listed(&[500, 503]));
    for step in 0..500_u64 {
        let now = Moment(SECOND + step * 10_000_000);
        let lease = balancer.pick(&Pick { now, random: 0, hash: None, tried: &[] }).expect("most are up");
        let fails = lease.index() == 0 && step % 2 == 0;
        end(lease, if fails { 503 } else { 200 }, now);
    }
    assert_eq!(out(&balancer).len(), 1, "by its success rate");
    balancer
}

#[test]
fn whoever_is_out_by_a_success_rate_of_other_statuses_is_tried_at_once() {
    let breaker = Breaker { failures: 0, margin_percent: Some(20), ..BREAKER };
    let later = Moment(6 * SECOND);
    for (list, is_due) in [(&[500, 503][..], false), (&[500, 503, 404], false), (&[500], true)] {
        let states = States::default();
        let before = one_behind(&states);
        let after = load_at(later, &states, 3, breaker, listed(list));
        assert_eq!(out(&after).first().map(|(_, due)| *due <= later), Some(is_due), "{list:?}");
        if is_due {
            let trial = pick(&after, 0, later);
            assert_eq!(trial.occasion(), Some(Occasion::Trial));
            end(trial, 503, later);
            assert_eq!(out(&after), []);
        }
        drop(before);
    }
}

#[test]
fn no_more_are_out_than_a_lower_limit_allows_and_those_tried_first_are_back() {
    let four = Breaker { ejected_percent_max: 100, ..BREAKER };
    for (percent, count, expected) in
        [(100, 4, &[1, 2, 3][..]), (50, 4, &[2, 3]), (49, 4, &[3]), (0, 4, &[3]), (75, 6, &[1, 2, 3])]
    {
        let states = States::default();
        let before = load(&states, 4, four, StatusSet::failures());
        for index in 1..4 {
            let now = NOW + Duration::from_secs(index as u64);
            serve_at(now, &before, index, &[503; 3]);
        }
        let now = Moment(5 * SECOND);
        let lower = Breaker { ejected_percent_max: percent, ..four };
        let after = load_at(now, &states, count, lower, StatusSet::failures());
        let still: Vec<_> = out(&after).into_iter().map(|(index, _)| index).collect();
        assert_eq!(still, expected, "{percent} % of {count}");
        if percent == 49 {
            let held = after.held_back(1, Ejection::Failures, now);
            assert_eq!(held, Some(HeldBack::Share), "it is up, and says why it need not be");
        }
    }
}

#[test]
fn a_trial_of_an_earlier_time_out_decides_nothing() {
    for status in [200, 503] {
        let states = States::default();
        let first = load(&states, 2, BREAKER, StatusSet::failures());
        serve(&first, 0, &[503; 3]);
        let due = NOW + BREAKER.out_for;
        let trial = pick(&first, 0, due);
        assert_eq!(trial.occasion(), Some(Occasion::Trial));
        load_at(due, &states, 2, None, StatusSet::failures());
        let again = load_at(due, &states, 2, BREAKER, StatusSet::failures());
        serve_at(due, &again, 0, &[503; 3]);
        let since = out(&again);
        assert_eq!(since.len(), 1);
        end(trial, status, due + Duration::from_secs(1));
        assert_eq!(out(&again), since, "{status}");
    }
}

#[test]
fn trials_for_want_of_anybody_else_end_the_wait_or_leave_it_as_it_is() {
    let states = States::default();
    let balancer = load(&states, 2, BREAKER, StatusSet::failures());
    serve(&balancer, 0, &[503; 3]);
    let at_first = out(&balancer);
    balancer.endpoints()[1].state.set_draining(true);
    for _ in 0..5 {
        let forced = pick(&balancer, 0, NOW);
        assert_eq!(forced.occasion(), Some(Occasion::LastResort));
        end(forced, 503, NOW);
        assert_eq!(out(&balancer), at_first);
    }
    let mut due = NOW + BREAKER.out_for;
    for _ in 0..5 {
        end(pick(&balancer, 0, due), 503, due);
        assert_eq!(out(&balancer), [(0, due + BREAKER.out_for)], "not doubled");
        due = due + BREAKER.out_for;
    }
    balancer.endpoints()[1].state.set_draining(false);
    end(pick(&balancer, 0, due), 503, due);
    assert_eq!(out(&balancer), [(0, due + 2 * BREAKER.out_for)], "somebody else was there");
    balancer.endpoints()[1].state.set_draining(true);
    end(pick(&balancer, 0, due), 200, due);
    assert_eq!(out(&balancer), []);
}

const COMPARES: Breaker = Breaker { failures: 0, margin_percent: Some(20), ..BREAKER };

/// A hundred requests a second, of which the first endpoint fails all that it gets.
fn serve_for(balancer: &Balancer, from: Moment, seconds: u64) -> Moment {
    let steps = seconds * 100;
    let at = |step| from + Duration::from_millis(10 * step);
    for step in 0..steps {
        let picked = balancer.pick(&Pick { now: at(step), random: step, hash: None, tried: &[] });
        let lease = picked.expect("somebody is up");
        let status = if lease.index() == 0 { 503 } else { 200 };
        end(lease, status, at(step));
    }
    at(steps)
}

#[test]
fn another_period_counts_from_the_reload_on() {
    for (before, after, judged_within) in [(600, 2, 3), (2, 4, 5)] {
        let states = States::default();
        let first = Breaker { period: Duration::from_secs(before), requests_min: 2_000, ..COMPARES };
        let second = Breaker { period: Duration::from_secs(after), requests_min: 20, ..COMPARES };
        let old = load(&states, 3, first, StatusSet::failures());
        let now = serve_for(&old, NOW, 1);
        let new = load_at(now, &states, 3, second, StatusSet::failures());
        let now = serve_for(&new, now, after - 1);
        assert_eq!(out(&new), [], "{before} s to {after}: the period is not over");
        serve_for(&new, now, judged_within - (after - 1));
        assert_eq!(out(&new).len(), 1, "{before} s to {after}");
    }
}

#[test]
fn a_reload_that_leaves_the_period_as_it_is_does_not_begin_another() {
    let states = States::default();
    let mut now = NOW;
    let mut loaded = Vec::new();
    for ejected_percent_max in 50..55 {
        let same = Breaker { ejected_percent_max, ..COMPARES };
        let balancer = load_at(now, &states, 3, same, StatusSet::failures());
        now = serve_for(&balancer, now, 1);
        loaded.push(balancer);
    }
    let after = load_at(now, &states, 3, COMPARES, StatusSet::failures());
    assert_eq!(out(&after).len(), 1);
}

#[test]
fn what_was_counted_while_nobody_compared_is_no_result_of_a_period() {
    let states = States::default();
    let first = load(&states, 3, COMPARES, StatusSet::failures());
    let now = serve_for(&first, NOW, 1);
    let indifferent = Breaker { margin_percent: None, ..COMPARES };
    let before = load_at(now, &states, 3, indifferent, StatusSet::failures());
    let now = serve_for(&before, now, 9);
    let after = load_at(now, &states, 3, COMPARES, StatusSet::failures());
    for step in 0..600 {
        let now = now + Duration::from_millis(10 * step as u64);
        end(pick(&after, step % 3, now), 200, now);
    }
    assert_eq!(out(&after), []);
    assert_eq!(after.endpoints()[0].state.ejections(Ejection::SuccessRate), 0);
}

#[test]
fn reloads_while_an_endpoint_is_out_of_the_file_count_for_it_as_well() {
    let due = NOW + BREAKER.out_for;
    let sooner = Breaker { out_for: BREAKER.out_for / 10, ..BREAKER };
    let both = listed(&[500, 503]);
    for (breaker, failures, expected, why) in [
        (Some(BREAKER), both, Some(due), "nothing changes"),
        (None, both, None, "there is no breaker for a while"),
        (Some(Breaker { failures: 9, ..BREAKER }), both, None, "three are too few for a while"),
        (Some(BREAKER), listed(&[500]), None, "it is no failure for a while"),
        (Some(sooner), both, Some(NOW + sooner.out_for), "nobody waits for so long"),
    ] {
        let states = States::default();
        let before = load(&states, 3, BREAKER, both);
        serve(&before, 2, &[503; 3]);
        let away = load(&states, 2, BREAKER, both);
        let changed = load(&states, 2, breaker, failures);
        let changed_back = load(&states, 2, BREAKER, both);
        let back = load(&states, 3, BREAKER, both);
        assert_eq!(out(&back).first().map(|(_, due)| *due), expected, "{why}");
        drop([before, away, changed, changed_back]);
    }
}

#[test]
fn a_reload_that_shortens_the_wait_sends_no_second_trial_beside_one_that_is_under_way() {
    let states = States::default();
    let before = load(&states, 2, BREAKER, StatusSet::failures());
    serve(&before, 0, &[503; 3]);
    let due = NOW + BREAKER.out_for;
    let trial = pick(&before, 0, due);
    assert_eq!(trial.occasion(), Some(Occasion::Trial));
    let shorter = Breaker { out_for: Duration::from_millis(300), ..BREAKER };
    let now = due + Duration::from_secs(1);
    let after = load_at(now, &states, 2, shorter, StatusSet::failures());
    assert_eq!(out(&after), [(0, due + Duration::from_secs(10))], "a trial has ten seconds");
    end(trial, 503, now);
    assert!(out(&after)[0].1 <= now + Duration::from_millis(600), "{:?}", out(&after));
}
