//! The laws that hold for every algorithm: who may be picked, what is counted, what a reload keeps. Through the public
//! interface alone, in virtual time.

mod cluster;

use cluster::endpoints;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidegate_balance::{
    Algorithm, Balancer, CheckVerdict, Ended, Endpoint, EndpointId, EndpointState, Health, Lease, LoadBound,
    Moment, NoEndpoint, Occasion, PassiveMarking, Pick, Place, States,
};

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![
        Algorithm::Adaptive { peers: 1 },
        Algorithm::First { in_flight_max: 2 },
        Algorithm::LeastRequest,
        Algorithm::Maglev { bound: None },
        Algorithm::Maglev { bound: Some(LoadBound::drain_time(125)) },
        Algorithm::PeakEwma,
        Algorithm::Prequal,
        Algorithm::Random { choices: 1 },
        Algorithm::Random { choices: 2 },
        Algorithm::Rendezvous { bound: None },
        Algorithm::Rendezvous { bound: Some(LoadBound::new(125)) },
        Algorithm::Rendezvous { bound: Some(LoadBound::drain_time(125)) },
        Algorithm::ReportedLoad,
        Algorithm::RoundRobin,
    ])
}

fn cluster(algorithm: Algorithm, weights: &[u32]) -> Balancer {
    Balancer::new(algorithm, endpoints(weights), None)
}

fn pick(now: u64, random: u64, tried: &[usize]) -> Pick<'_> {
    Pick { now: Moment(now), random, hash: None, tried }
}

const MS: u64 = 1_000_000;

fn take_out(balancer: &Balancer, index: usize, how: u8) {
    let state = &balancer.endpoints()[index].state;
    match how % 3 {
        0 => state.mark_check(CheckVerdict::Down),
        1 => state.set_draining(true),
        _ => state.set_resolved(false),
    }
}

proptest! {
    #[test]
    fn an_endpoint_that_is_out_is_never_picked_while_another_is_up(
        algorithm in any_algorithm(),
        weights in prop::collection::vec(1_u32..5, 2..7),
        out in prop::collection::vec(any::<Option<u8>>(), 7),
        randoms in prop::collection::vec(any::<u64>(), 30),
    ) {
        let balancer = cluster(algorithm, &weights);
        let out = &out[..weights.len()];
        for (index, how) in out.iter().enumerate() {
            if let Some(how) = how {
                take_out(&balancer, index, *how);
            }
        }
        for (now, random) in (1..).zip(randoms) {
            match balancer.pick(&pick(now, random, &[])) {
                Ok(lease) => prop_assert!(out[lease.index()].is_none()),
                Err(why) => {
                    prop_assert_eq!(why, NoEndpoint::AllDown);
                    prop_assert!(out.iter().all(Option::is_some));
                }
            }
        }
    }

    /// Whatever tier it is in, and whatever the client's cookie says.
    #[test]
    fn an_endpoint_that_is_out_is_no_home_and_no_tier(
        algorithm in any_algorithm(),
        tiers in prop::collection::vec(0_u8..3, 2..7),
        out in prop::collection::vec(any::<Option<u8>>(), 7),
        randoms in prop::collection::vec(any::<u64>(), 30),
    ) {
        let places: Vec<_> = tiers.iter().map(|&tier| Place { tier, ..Place::default() }).collect();
        let balancer = cluster(algorithm, &vec![1; tiers.len()]).with_places(&places);
        let out = &out[..tiers.len()];
        for (index, how) in out.iter().enumerate() {
            if let Some(how) = how {
                take_out(&balancer, index, *how);
            }
        }
        for (now, random) in (1..).zip(randoms) {
            let home = random as usize % tiers.len();
            match balancer.pick_again(home, None, &pick(now, random, &[])) {
                Ok(lease) => {
                    prop_assert!(out[lease.index()].is_none());
                    prop_assert!(lease.index() == home || out[home].is_some(), "who is up keeps his client");
                }
                Err(why) => {
                    prop_assert_eq!(why, NoEndpoint::AllDown);
                    prop_assert!(out.iter().all(Option::is_some));
                }
            }
        }
    }

    #[test]
    fn what_was_tried_is_not_picked_again_and_everybody_gets_a_try(
        algorithm in any_algorithm(),
        weights in prop::collection::vec(1_u32..50, 1..7),
        random: u64,
    ) {
        let balancer = cluster(algorithm, &weights);
        let mut tried = Vec::new();
        for _ in &weights {
            let index = balancer.pick(&pick(1, random, &tried)).unwrap().index();
            prop_assert!(!tried.contains(&index));
            tried.push(index);
        }
        prop_assert_eq!(balancer.pick(&pick(1, random, &tried)).unwrap_err(), NoEndpoint::AllTried);
    }

    #[test]
    fn an_endpoint_whose_connects_fail_is_left_alone_but_for_one_trial_a_period(algorithm in any_algorithm()) {
        let passive = PassiveMarking::default();
        let balancer = cluster(algorithm, &[1, 1, 1]);
        let dead = 0;
        let mut tried_it = Vec::new();
        for tick in 0..20_000_u64 {
            let now = tick * MS;
            let lease = balancer.pick(&pick(now, tick.wrapping_mul(0x9e37_79b9_7f4a_7c15), &[])).unwrap();
            let is_marked = tried_it.len() >= passive.failures as usize;
            let is_trial = lease.occasion() == Some(Occasion::Trial);
            prop_assert_eq!(is_trial, lease.index() == dead && is_marked, "and it says so");
            if lease.index() == dead {
                tried_it.push(now);
                lease.settle(Ended::ConnectFailed, Moment(now));
            } else {
                lease.settle(Ended::Answered { status: 200, first_byte: Duration::ZERO }, Moment(now));
            }
        }
        let trials = &tried_it[passive.failures as usize - 1..];
        prop_assert!(trials.windows(2).all(|two| u128::from(two[1] - two[0]) >= passive.out_for.as_nanos()));
        prop_assert!((6..=12).contains(&trials.len()), "{} trials in 20 s", trials.len());
    }

    #[test]
    fn an_endpoint_that_answers_its_trial_is_back(algorithm in any_algorithm()) {
        let balancer = cluster(algorithm, &[1, 1]);
        fail_connects(&balancer, 0, Duration::ZERO);
        let state = &balancer.endpoints()[0].state;
        prop_assert_eq!(state.health(Moment(MS)), Health::DownByConnect);
        let due = state.trial_due().unwrap();
        for tick in 0..400_u64 {
            let now = due.0 + tick * MS;
            let random = tick.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let lease = balancer.pick(&pick(now, random, &[])).unwrap();
            lease.settle(Ended::Answered { status: 200, first_byte: Duration::ZERO }, Moment(now));
        }
        prop_assert_eq!(state.trial_due(), None);
        prop_assert_eq!(state.health(Moment(due.0 + MS)), Health::Up);
    }

    /// Whoever is found after a reload, too.
    #[test]
    fn when_all_are_back_who_was_found_first_is_not_left_alone(algorithm in any_algorithm(), endpoints in 2_usize..40, reload: bool) {
        let before = cluster(algorithm, &vec![1; endpoints]);
        (0..endpoints).for_each(|index| fail_connects(&before, index, Duration::ZERO));
        let ask = |balancer: &Balancer, random: u64| {
            let lease = balancer.pick(&pick(MS, random.wrapping_mul(0x9e37_79b9_7f4a_7c15), &[])).unwrap();
            lease.settle(Ended::Answered { status: 200, first_byte: Duration::ZERO }, Moment(MS));
        };
        ask(&before, 0);
        let after = Balancer::new(algorithm, before.endpoints().to_vec(), Some(&before));
        let balancer = if reload { &after } else { &before };
        (1..1_000).for_each(|random| ask(balancer, random));
        let may_be_picked = |state: &tidegate_balance::EndpointState| state.trial_due().is_none_or(|due| due <= Moment(MS));
        let open = balancer.endpoints().iter().filter(|endpoint| may_be_picked(&endpoint.state)).count();
        // `first` has no use for any but the first.
        let is_enough = 2 * open > endpoints || (open > 2 && matches!(algorithm, Algorithm::First { .. }));
        prop_assert!(is_enough, "{open} of {endpoints}");
    }

    #[test]
    fn when_every_connect_is_refused_each_endpoint_is_tried_and_then_all_are_down(algorithm in any_algorithm()) {
        let balancer = cluster(algorithm, &[1, 2, 3]);
        (0..3).for_each(|index| fail_connects(&balancer, index, Duration::ZERO));
        let mut tried = Vec::new();
        while let Ok(lease) = balancer.pick(&pick(MS, 7, &tried)) {
            prop_assert!(!tried.contains(&lease.index()));
            prop_assert_eq!(lease.occasion(), Some(Occasion::LastResort));
            tried.push(lease.index());
        }
        prop_assert_eq!(tried.len(), 3);
        prop_assert_eq!(balancer.pick(&pick(MS, 7, &tried)).unwrap_err(), NoEndpoint::AllDown);
    }

    #[test]
    fn who_waits_asks_those_alone_who_refused_at_once_one_at_a_time(algorithm in any_algorithm(), random: u64) {
        let balancer = cluster(algorithm, &[1, 1, 1]);
        let refusing = Duration::ZERO;
        fail_connects(&balancer, 1, refusing);
        fail_connects(&balancer, 2, Duration::from_secs(1));
        let ask = |now: Moment| balancer.pick_refusing(&pick(now.0, random, &[]));
        let due = |now| balancer.asks_from().is_some_and(|from| from <= now);
        let mut now = Moment(5_000 * MS);
        for _ in 0..3 {
            let asked = ask(now).expect("it was left alone for long enough");
            prop_assert_eq!((asked.index(), asked.occasion()), (1, Some(Occasion::LastResort)));
            prop_assert!(ask(now).is_none() && !due(now), "it is being asked");
            asked.settle(Ended::ConnectFailed, now);
            prop_assert!(ask(now).is_none() && !due(now), "it has just been asked");
            now = balancer.asks_from().expect("it still refuses");
        }
        let asked = ask(now).expect("another time");
        asked.settle(Ended::Answered { status: 200, first_byte: Duration::ZERO }, now);
        prop_assert!(balancer.is_reachable(1) && balancer.asks_from().is_none());
    }

    #[test]
    fn whoever_was_refused_asks_those_first_who_have_been_left_alone(algorithm in any_algorithm(), random: u64) {
        let balancer = cluster(algorithm, &[1, 1, 1]);
        (0..3).for_each(|index| fail_connects(&balancer, index, Duration::ZERO));
        let now = 5_000 * MS;
        let refused = pick(now, random, &[0]);
        let first = balancer.pick(&refused).expect("nobody has asked it for long");
        let second = balancer.pick(&refused).expect("nor the other");
        prop_assert_ne!(first.index(), second.index());
        prop_assert_eq!(first.occasion(), Some(Occasion::LastResort));
        prop_assert!(!balancer.has_untried_left_alone(&refused), "both are being asked");
        let third = balancer.pick(&refused).expect("a last resort");
        for asked in [first, second, third] {
            asked.settle(Ended::ConnectFailed, Moment(now));
        }
        prop_assert!(!balancer.has_untried_left_alone(&refused), "both have just been asked");
        prop_assert!(balancer.has_untried_left_alone(&pick(now + 2_000 * MS, random, &[0])));
    }

    #[test]
    fn when_every_connect_times_out_nobody_waits_for_it_again(algorithm in any_algorithm()) {
        let balancer = cluster(algorithm, &[1, 2, 3]);
        (0..3).for_each(|index| fail_connects(&balancer, index, Duration::from_secs(1)));
        prop_assert_eq!(balancer.pick(&pick(1_001 * MS, 7, &[])).unwrap_err(), NoEndpoint::AllDown);
    }

    #[test]
    fn whom_connects_have_not_reached_for_some_seconds_is_sought_by_few(algorithm in any_algorithm(), random: u64) {
        let time_out = |balancer: &Balancer| (0..3).for_each(|index| fail_connects(balancer, index, Duration::from_secs(1)));
        let balancer = cluster(algorithm, &[1, 1, 1]);
        time_out(&balancer);
        prop_assert!(!balancer.may_be_cut_off(Moment(1_001 * MS)), "nobody has ever answered");
        let balancer = cluster(algorithm, &[1, 1, 1]);
        let answer = |lease: Lease<'_>, now| lease.settle(Ended::Answered { status: 200, first_byte: Duration::ZERO }, Moment(now));
        let is_sought = |now| balancer.may_be_cut_off(Moment(now));
        answer(balancer.pick(&pick(MS, random, &[])).unwrap(), MS);
        prop_assert!(!is_sought(MS), "all are there");
        time_out(&balancer);
        let now = 1_500 * MS;
        prop_assert_eq!(balancer.pick(&pick(now, random, &[])).unwrap_err(), NoEndpoint::AllDown);
        prop_assert!(is_sought(now) && !is_sought(now + 5_000 * MS));
        let seek = |now| balancer.pick_unreached(&pick(now, random, &[]));
        let asked: Vec<_> = (0..3).map(|_| seek(now).expect("nobody asks it")).collect();
        prop_assert!(seek(now).is_none() && seek(now + 40 * MS).is_none(), "all are being asked");
        prop_assert!(seek(now + 500 * MS).is_some(), "and again by another");
        for lease in asked {
            answer(lease, now + 600 * MS);
        }
        prop_assert!(!is_sought(now + 700 * MS) && seek(now + 700 * MS).is_none());
    }

    /// Checks take it out before a request has found out.
    #[test]
    fn whom_checks_do_not_reach_is_waited_for_as_whom_requests_do_not_reach(algorithm in any_algorithm(), random: u64) {
        let balancer = cluster(algorithm, &[1, 1]);
        let each = |act: &dyn Fn(&EndpointState)| balancer.endpoints().iter().for_each(|endpoint| act(&endpoint.state));
        let miss = |now, verdict| each(&|state| {
            state.missed_by_check(Moment(now));
            state.mark_check(verdict);
        });
        let reach = |passes, verdict| each(&|state| {
            state.mark_check(verdict);
            state.reached_by_check(passes);
        });
        let (up, down) = (CheckVerdict::Up, CheckVerdict::Down);
        let is_sought = |now| balancer.may_be_cut_off(Moment(now));
        miss(MS, down);
        prop_assert!(!is_sought(2 * MS), "nobody has ever answered");
        reach(true, up);
        let answered = balancer.pick(&pick(3 * MS, random, &[])).unwrap();
        answered.settle(Ended::Answered { status: 200, first_byte: Duration::ZERO }, Moment(4 * MS));
        reach(false, down);
        miss(5 * MS, down);
        prop_assert!(!is_sought(6 * MS), "they have said themselves that they are not well");
        reach(true, up);
        miss(7 * MS, down);
        miss(2_000 * MS, down);
        reach(true, down); // one is not enough
        prop_assert!(is_sought(5_000 * MS) && !is_sought(5_007 * MS));
        prop_assert!(balancer.pick_unreached(&pick(9 * MS, random, &[])).is_none(), "and not asked");
        reach(false, down);
        prop_assert!(!is_sought(3_000 * MS), "and now they say that they are not well");
    }

    #[test]
    fn a_client_stays_where_it_was_until_that_is_out_tried_or_full(
        algorithm in any_algorithm(),
        before in 0_usize..3,
        random: u64,
    ) {
        let balancer = cluster(algorithm, &[1, 1, 1]);
        let bound = Some(LoadBound::new(150));
        let again = |tried: &[usize]| balancer.pick_again(before, bound, &pick(1, random, tried)).unwrap().index();
        prop_assert_eq!(again(&[]), before);
        prop_assert_ne!(again(&[before]), before);
        let held: Vec<_> = (0..9).map(|_| balancer.pick_again(before, None, &pick(1, random, &[])).unwrap()).collect();
        prop_assert!(held.iter().all(|lease| lease.index() == before), "no bound");
        let spilled = balancer.pick_again(before, bound, &pick(1, random, &[])).unwrap();
        prop_assert!(spilled.index() != before || !looks_at_load(algorithm), "full");
        drop((held, spilled));
        balancer.endpoints()[before].state.set_draining(true);
        prop_assert_ne!(again(&[]), before);
    }

    #[test]
    fn an_empty_cluster_says_so(algorithm in any_algorithm()) {
        prop_assert_eq!(cluster(algorithm, &[]).pick(&pick(1, 1, &[])).unwrap_err(), NoEndpoint::Empty);
    }
}

/// Of several algorithms, because each leaves by other ways; from several threads, because each holds and gives back.
#[test]
fn after_a_million_mixed_endings_in_flight_is_exactly_zero() {
    const ALGORITHMS: [Algorithm; 4] = [
        Algorithm::Adaptive { peers: 1 },
        Algorithm::LeastRequest,
        Algorithm::Rendezvous { bound: Some(LoadBound::drain_time(125)) },
        Algorithm::RoundRobin,
    ];
    let endings: u64 = ALGORITHMS.into_iter().map(end_in_all_ways).sum();
    assert!(endings >= 1_000_000, "{endings}");
}

const WORKERS: u64 = 4;

/// How many attempts ended, when everything has been given back.
fn end_in_all_ways(algorithm: Algorithm) -> u64 {
    let places = [0, 0, 0, 1].map(|tier| Place { tier, ..Place::default() });
    let balancer = cluster(algorithm, &[1, 2, 3, 4]).with_places(&places);
    let (clock, endings) = (AtomicU64::new(1), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (balancer, clock, endings) = (&balancer, &clock, &endings);
            scope.spawn(move || {
                endings.fetch_add(worker_with_mixed_endings(balancer, clock, worker), Ordering::Relaxed);
            });
        }
    });
    for endpoint in balancer.endpoints() {
        assert_eq!(endpoint.state.in_flight(), 0, "{algorithm:?}");
        assert_eq!(endpoint.state.streaming(), 0, "{algorithm:?}");
    }
    endings.into_inner()
}

#[test]
fn a_probe_of_a_slow_endpoint_says_so_and_nothing_else_goes_there() {
    let balancer = cluster(Algorithm::Adaptive { peers: 1 }, &[1, 1]);
    let mut probes = 0;
    for request in 0..1_200_u64 {
        let lease = balancer.pick(&pick(request * 50 * MS, request, &[])).unwrap();
        let is_slow = lease.index() == 0;
        if request > 100 {
            assert_eq!(lease.occasion(), is_slow.then_some(Occasion::Probe));
            probes += u32::from(is_slow);
        }
        let first_byte = Duration::from_millis(if is_slow { 40 } else { 5 });
        lease.settle(Ended::Answered { status: 200, first_byte }, Moment(request * 50 * MS) + first_byte);
    }
    assert!((1..60).contains(&probes), "{probes} in a minute");
}

/// How many requests of the second and third minute, one each 100 ms, go to the first endpoint, where each connect takes `took` to fail.
fn trials_in_vain(took: Duration, others: usize) -> u32 {
    let balancer = cluster(Algorithm::RoundRobin, &vec![1; 1 + others]);
    let (mut trials, mut failing) = (0, std::collections::VecDeque::new());
    for number in 0..1800 {
        let now = Moment(number * 100 * MS);
        while let Some((lease, due)) = failing.pop_front() {
            if due > now {
                failing.push_front((lease, due));
                break;
            }
            let lease: Lease<'_> = lease;
            lease.settle(Ended::ConnectFailed, due);
        }
        let Ok(lease) = balancer.pick(&pick(now.0, number, &[])) else { continue };
        if lease.index() == 0 {
            trials += u32::from(number >= 600);
            failing.push_back((lease, now + took));
        } else {
            lease.settle(Ended::Answered { status: 200, first_byte: Duration::from_millis(5) }, now);
        }
    }
    trials
}

#[test]
fn who_lets_requests_wait_for_nothing_is_tried_ever_more_seldom_while_others_are_up() {
    let slow = Duration::from_millis(1500);
    let (refuses, silent, alone) =
        (trials_in_vain(Duration::from_millis(1), 1), trials_in_vain(slow, 1), trials_in_vain(slow, 0));
    assert!((48..=60).contains(&refuses), "each two seconds or a little more: {refuses}");
    assert!((3..=4).contains(&silent), "each 32 seconds and what one takes: {silent}");
    assert!(alone >= 30, "there is nobody else to ask: {alone}");
}

/// Whether it would leave an endpoint that holds all requests.
fn looks_at_load(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Adaptive { .. } | Algorithm::First { .. } | Algorithm::LeastRequest)
}

/// Fails enough connects that the endpoint is marked; each took `took`.
fn fail_connects(balancer: &Balancer, index: usize, took: Duration) {
    let others: Vec<_> = (0..balancer.endpoints().len()).filter(|&other| other != index).collect();
    for _ in 0..PassiveMarking::default().failures {
        let lease = balancer.pick(&pick(0, 0, &others)).expect("up until it is marked");
        lease.settle(Ended::ConnectFailed, Moment(0) + took);
    }
}

/// Answered, failed, refused, timed out, aborted, streamed and tried again, with some held all the time.
fn worker_with_mixed_endings(balancer: &Balancer, clock: &AtomicU64, worker: u64) -> u64 {
    let mut held = std::collections::VecDeque::new();
    let mut endings = 0;
    for step in 0..70_000_u64 {
        let now = clock.fetch_add(1_000, Ordering::Relaxed);
        let random = (step * WORKERS + worker).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let before = random as usize % 4;
        held.extend(match random >> 62 {
            0 => balancer.pick_again(before, Some(LoadBound::new(150)), &pick(now, random, &[])),
            1 => balancer.pick(&pick(now, random, &[before])),
            _ => balancer.pick(&pick(now, random, &[])),
        });
        if held.len() < (worker + 1) as usize * 3 {
            continue;
        }
        let Some(lease) = held.pop_front() else { continue };
        end(lease, random >> 40 & 7, Moment(now));
        endings += 1;
    }
    endings + held.len() as u64
}

fn end(mut lease: Lease<'_>, how: u64, now: Moment) {
    let answered = |status, micros| Ended::Answered { status, first_byte: Duration::from_micros(micros) };
    match how {
        0 => lease.settle(Ended::Abandoned, now),
        1 => lease.settle(Ended::ConnectFailed, now),
        2 => lease.settle(Ended::Failed, now),
        3 => drop(lease),
        4 => lease.settle(answered(503, 5), now),
        5 | 6 => {
            lease.answered(200, Duration::from_micros(400), now);
            // Streaming, to its end or not.
            if how == 5 { lease.settle(answered(200, 400), now) } else { drop(lease) }
        }
        _ => lease.settle(answered(200, 500), now),
    }
}

#[test]
fn a_reload_finds_health_and_counts_again() {
    let states = States::default();
    let endpoints = || -> Vec<Endpoint> {
        ["a:1", "b:1"]
            .map(|address| {
                let id = EndpointId { cluster: "app".into(), address: address.into() };
                Endpoint { weight: 1, state: states.of(&id), id }
            })
            .into()
    };
    let before = Balancer::new(Algorithm::RoundRobin, endpoints(), None);
    before.endpoints()[0].state.mark_check(CheckVerdict::Down);
    let open = before.pick(&pick(1, 1, &[])).unwrap();
    let after = Balancer::new(Algorithm::LeastRequest, endpoints(), Some(&before));
    assert_eq!(after.endpoints()[0].state.health(Moment(1)), Health::DownByCheck);
    assert_eq!(after.endpoints()[1].state.in_flight(), 1);
    open.settle(Ended::Abandoned, Moment(2));
    assert_eq!(after.endpoints()[1].state.in_flight(), 0);
}
