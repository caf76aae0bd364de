//! What an answer counts as for a breaker that breaks off, takes long, or is not for the endpoint to end. Through the public
//! interface alone, in virtual time.

mod cluster;

use cluster::endpoints;
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{
    Algorithm, Balancer, Breaker, Ejection, Ended, Health, Lease, Moment, Phase, Pick, StatusSet,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

const BREAKER: Breaker = Breaker {
    failures: 3,
    margin_percent: None,
    requests_min: 20,
    period: Duration::from_secs(2),
    ejected_percent_max: 50,
    out_for: Duration::from_secs(10),
    out_for_max: Duration::from_mins(5),
};

fn cluster(algorithm: Algorithm, breaker: Breaker) -> Balancer {
    let balancer = Balancer::new(algorithm, endpoints(&[1, 1, 1]), None)
        .with_failure_statuses(StatusSet::failures())
        .with_breaker(Some(breaker), Arc::default());
    balancer.come_into_force(Moment(0));
    balancer
}

fn pick(balancer: &Balancer, index: usize, now: u64) -> Lease<'_> {
    let tried: Vec<_> = (0..3).filter(|other| *other != index).collect();
    let pick = Pick { now: Moment(now), random: 0, hash: None, tried: &tried };
    balancer.pick(&pick).expect("it may be picked")
}

/// A request to this endpoint whose answer has begun.
fn begun(balancer: &Balancer, index: usize, status: u16, now: u64) -> Lease<'_> {
    let mut lease = pick(balancer, index, now);
    lease.begun(Phase::Answering, status, Duration::from_millis(1), Moment(now));
    lease
}

fn whole(status: u16) -> Ended {
    Ended::Answered { status, first_byte: Duration::from_millis(1) }
}

fn health(balancer: &Balancer, now: u64) -> Health {
    balancer.endpoints()[0].state.health(Moment(now))
}

fn row(balancer: &Balancer) -> u32 {
    balancer.endpoints()[0].state.failures_in_a_row()
}

fn algorithms() -> [Algorithm; 2] {
    [Algorithm::RoundRobin, Algorithm::Adaptive { peers: 1 }]
}

/// The first is out since then, and its trial is due.
fn with_trial_due() -> (Balancer, u64) {
    let balancer = cluster(Algorithm::RoundRobin, BREAKER);
    (0..3).for_each(|_| pick(&balancer, 0, SECOND).settle(whole(503), Moment(SECOND)));
    assert_eq!(health(&balancer, SECOND), Health::DownByFailures);
    let due = balancer.endpoints()[0].state.trial_due().expect("it is out");
    (balancer, due.0)
}

#[test]
fn answers_that_break_off_one_after_the_other_are_failures_in_a_row() {
    for algorithm in algorithms() {
        let balancer = cluster(algorithm, BREAKER);
        for number in 0..3 {
            let now = SECOND + number * MS;
            assert_eq!(row(&balancer), number as u32);
            begun(&balancer, 0, 200, now).settle(Ended::Failed, Moment(now));
        }
        assert_eq!(health(&balancer, 2 * SECOND), Health::DownByFailures, "{algorithm:?}");
    }
}

#[test]
fn answers_that_break_off_are_no_success_of_a_period() {
    let balancer =
        cluster(Algorithm::RoundRobin, Breaker { failures: 0, margin_percent: Some(20), ..BREAKER });
    for step in 0..900 {
        let now = SECOND + step * 5 * MS;
        let index = step as usize % 3;
        if health(&balancer, now) != Health::Up {
            break;
        }
        let ended = if index == 0 { Ended::Failed } else { whole(200) };
        begun(&balancer, index, 200, now).settle(ended, Moment(now));
    }
    let state = &balancer.endpoints()[0].state;
    assert_eq!((state.ejections(Ejection::SuccessRate), state.success_percents()), (1, (0, 100)));
}

#[test]
fn a_failing_head_counts_at_once_and_its_request_once() {
    for algorithm in algorithms() {
        let balancer = cluster(algorithm, Breaker { failures: 9, ..BREAKER });
        for (ended, number) in [(Ended::Failed, 1), (whole(503), 2), (Ended::Abandoned, 3)] {
            let lease = begun(&balancer, 0, 503, SECOND);
            assert_eq!(row(&balancer), number, "{algorithm:?}");
            lease.settle(ended, Moment(2 * SECOND));
            assert_eq!(row(&balancer), number, "{algorithm:?}");
        }
    }
}

#[test]
fn a_trial_is_over_when_its_answer_is() {
    for (ended, expected) in [(whole(200), Health::Up), (Ended::Failed, Health::DownByFailures)] {
        let (balancer, due) = with_trial_due();
        let trial = begun(&balancer, 0, 200, due);
        assert_eq!(health(&balancer, due + 1), Health::DownByFailures, "its answer has only begun");
        trial.settle(ended, Moment(due + SECOND));
        assert_eq!(health(&balancer, due + SECOND), expected);
    }
}

#[test]
fn a_trial_whose_answer_goes_on_for_long_brings_its_endpoint_back() {
    let (balancer, due) = with_trial_due();
    let mut trial = begun(&balancer, 0, 200, due);
    trial.goes_on(Moment(due + SECOND));
    assert_eq!(health(&balancer, due + SECOND), Health::DownByFailures, "that is not long");
    trial.goes_on(Moment(due + 6 * SECOND));
    assert_eq!(health(&balancer, due + 6 * SECOND), Health::Up);
    assert!(!trial.may_become_long(), "it is");
    // It has a result all the same.
    trial.settle(Ended::Failed, Moment(due + 60 * SECOND));
    assert_eq!((health(&balancer, due + 60 * SECOND), row(&balancer)), (Health::Up, 1));
}

#[test]
fn another_trial_is_made_where_the_first_one_hangs_in_its_answer() {
    let (balancer, due) = with_trial_due();
    let hangs = begun(&balancer, 0, 200, due);
    let later = due + 2 * BREAKER.out_for.as_nanos() as u64;
    begun(&balancer, 0, 200, later).settle(whole(200), Moment(later));
    assert_eq!(health(&balancer, later), Health::Up);
    drop(hangs);
}

#[test]
fn a_long_answer_ends_a_row_of_failures_before_it_is_complete() {
    let balancer = cluster(Algorithm::RoundRobin, BREAKER);
    let mut stream = begun(&balancer, 0, 200, SECOND);
    (0..2).for_each(|_| pick(&balancer, 0, SECOND).settle(whole(503), Moment(SECOND)));
    stream.goes_on(Moment(7 * SECOND));
    assert_eq!(row(&balancer), 0);
    (0..2).for_each(|_| pick(&balancer, 0, SECOND).settle(whole(503), Moment(8 * SECOND)));
    stream.goes_on(Moment(9 * SECOND));
    assert_eq!(row(&balancer), 2, "it says so once");
}

#[test]
fn a_tunnel_is_a_success_when_it_opens() {
    let (balancer, due) = with_trial_due();
    let mut tunnel = pick(&balancer, 0, due);
    tunnel.answered(101, Duration::from_millis(1), Moment(due));
    assert_eq!(health(&balancer, due), Health::Up);
    tunnel.settle(whole(101), Moment(due + 3_600 * SECOND));
}

#[test]
fn nobody_looks_at_the_clock_for_long_answers_where_there_is_no_breaker() {
    let balancer =
        Balancer::new(Algorithm::RoundRobin, endpoints(&[1, 1, 1]), None).with_breaker(None, Arc::default());
    assert!(!begun(&balancer, 0, 200, SECOND).may_become_long());
    assert!(!begun(&cluster(Algorithm::RoundRobin, BREAKER), 0, 503, SECOND).may_become_long());
    assert!(begun(&cluster(Algorithm::RoundRobin, BREAKER), 0, 200, SECOND).may_become_long());
}
