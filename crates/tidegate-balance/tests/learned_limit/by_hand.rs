//! Request by request: what is evidence, and what the limit says of itself.

use crate::cluster::endpoints;
use crate::scene::{MS, SECOND};
use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, Ended, Lease, LimitReason, Moment, Pick, RequestLimit};

/// One endpoint whose limit is learned.
fn learner() -> Balancer {
    Balancer::new(Algorithm::LeastRequest, endpoints(&[1]), None)
        .with_request_limits(&[RequestLimit::Learned], None)
}

fn pick(balancer: &Balancer, now: Moment) -> Lease<'_> {
    balancer.pick(&Pick { now, random: 7, hash: None, tried: &[] }).expect("there is room")
}

fn answer(lease: Lease<'_>, now: Moment) {
    let first_byte = Duration::from_nanos(now.0 - lease.picked_at().0);
    lease.settle(Ended::Answered { status: 200, first_byte }, now);
}

fn give_up(mut lease: Lease<'_>, now: Moment) {
    lease.waits_in_vain(lease.picked_at(), now);
    lease.settle(Ended::Failed, now);
}

/// A timeout that is too short for any load.
#[test]
fn those_who_are_given_up_sooner_than_answers_come_are_no_evidence() {
    let balancer = learner();
    for now in (0..1_000).map(|step| Moment(step * 30 * MS)) {
        let answered = pick(&balancer, now);
        for given_up in [pick(&balancer, now), pick(&balancer, now), pick(&balancer, now)] {
            give_up(given_up, now + Duration::from_millis(1));
        }
        answer(answered, now + Duration::from_millis(20));
    }
    assert!(balancer.request_limit(0, Moment(0)) >= Some(6));
}

#[test]
fn those_who_are_given_up_before_anything_is_known_do_not_end_the_start() {
    for millis in [0, 10] {
        let balancer = learner();
        let mut now = Moment(SECOND);
        for _ in 0..20 {
            let given_up: Vec<_> = (0..8).map(|_| pick(&balancer, now)).collect();
            now = now + Duration::from_millis(millis);
            for lease in given_up {
                give_up(lease, now);
            }
        }
        let answered: Vec<_> = (0..8).map(|_| pick(&balancer, now)).collect();
        now = now + Duration::from_secs(1);
        for lease in answered {
            answer(lease, now);
        }
        assert!(balancer.request_limit(0, now) >= Some(12), "twice as many, or three quarters of that");
    }
}

#[test]
fn eight_at_once_that_two_slots_serve_are_halved() {
    let balancer = learner();
    let start = Moment(SECOND);
    let held: Vec<_> = (0..8).map(|_| pick(&balancer, start)).collect();
    for (served, lease) in (0..).zip(held) {
        answer(lease, start + Duration::from_millis(100 * (served / 2 + 1)));
    }
    let limit = balancer.request_limit(0, start + Duration::from_millis(400));
    assert!((Some(3)..=Some(6)).contains(&limit), "four, or a little less or more: {limit:?}");
    let reason = balancer.limit_reason(0, start + Duration::from_millis(400));
    assert_eq!(reason, Some(LimitReason::Descent));
}

/// As many as there may be, each of which ends so after 100 ms.
fn round(balancer: &Balancer, now: &mut Moment, end: impl Fn(usize, Lease<'_>, Moment)) {
    let pick = Pick { now: *now, random: 7, hash: None, tried: &[] };
    let held: Vec<_> = std::iter::from_fn(|| balancer.pick(&pick).ok()).take(64).collect();
    *now = *now + Duration::from_millis(100);
    for (before, lease) in held.into_iter().enumerate() {
        end(before, lease, *now);
    }
}

#[test]
fn it_says_why_it_is_as_high_as_it_is() {
    let balancer = learner();
    let mut now = Moment(1_000 * SECOND);
    let says = |now| (balancer.limit_reason(0, now), balancer.request_limit(0, now));
    assert_eq!(says(now), (Some(LimitReason::Start), Some(8)), "however long there has been nothing to hear");
    let waiting: Vec<_> = (0..8).map(|_| pick(&balancer, now)).collect();
    now = now + Duration::from_secs(1);
    assert_eq!(says(now).0, Some(LimitReason::Silence));
    for lease in waiting {
        answer(lease, now);
    }
    for _ in 0..40 {
        round(&balancer, &mut now, |before, lease, now| {
            let status = if before < 8 { 200 } else { 503 };
            let first_byte = now.since(lease.picked_at());
            lease.settle(Ended::Answered { status, first_byte }, now);
        });
    }
    assert_eq!(says(now), (Some(LimitReason::Refusals), Some(8)));
    for _ in 0..40 {
        now = now + Duration::from_secs(1);
        round(&balancer, &mut now, |_, mut lease, now| {
            lease.is_left(Moment(lease.picked_at().0 - SECOND), now);
            lease.settle(Ended::Abandoned, now);
        });
    }
    assert_eq!(says(now).0, Some(LimitReason::Recovery));
}
