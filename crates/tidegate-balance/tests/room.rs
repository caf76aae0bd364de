//! The laws of limits on requests in flight: never exceeded, never in the way of a request that fits. Through the public
//! interface alone.

mod cluster;

use cluster::endpoints;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_balance::{
    Algorithm, Balancer, Breaker, CheckVerdict, Ended, Lease, Moment, NoEndpoint, Phase, Pick, RequestLimit,
    RoomWatch,
};

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![
        Algorithm::Adaptive { peers: 1 },
        Algorithm::First { in_flight_max: 2 },
        Algorithm::LeastRequest,
        Algorithm::Maglev { bound: None },
        Algorithm::PeakEwma,
        Algorithm::Prequal,
        Algorithm::Random { choices: 2 },
        Algorithm::Rendezvous { bound: None },
        Algorithm::ReportedLoad,
        Algorithm::RoundRobin,
    ])
}

/// Counts how often it hears that a request has ended.
#[derive(Debug, Default)]
struct Watch(AtomicUsize);

impl RoomWatch for Watch {
    fn freed(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn cluster(algorithm: Algorithm, limits: &[RequestLimit], watch: Option<Arc<dyn RoomWatch>>) -> Balancer {
    Balancer::new(algorithm, endpoints(&vec![1; limits.len()]), None).with_request_limits(limits, watch)
}

fn pick(random: u64, tried: &[usize]) -> Pick<'_> {
    Pick { now: Moment(1), random, hash: None, tried }
}

proptest! {
    #[test]
    fn every_place_is_given_away_and_not_one_more(
        algorithm in any_algorithm(),
        most in prop::collection::vec(1_u32..6, 1..6),
        randoms in prop::collection::vec(any::<u64>(), 30),
    ) {
        let limits: Vec<_> = most.iter().map(|&most| RequestLimit::Most(most)).collect();
        let balancer = cluster(algorithm, &limits, None);
        let places: u32 = most.iter().sum();
        let mut held: Vec<_> = (0..places)
            .map(|round| balancer.pick(&pick(randoms[round as usize % 30], &[])).expect("a place is left"))
            .collect();
        prop_assert!(!balancer.has_room(Moment(1)));
        prop_assert_eq!(balancer.pick(&pick(randoms[0], &[])).unwrap_err(), NoEndpoint::AllFull);
        let freed = held.swap_remove(0).index();
        prop_assert!(balancer.has_room(Moment(1)));
        prop_assert_eq!(balancer.pick(&pick(randoms[1], &[])).expect("one was given back").index(), freed);
    }

    #[test]
    fn nobody_waits_for_an_endpoint_that_he_has_tried_or_that_is_out(algorithm in any_algorithm()) {
        let balancer = cluster(algorithm, &[RequestLimit::Most(1); 3], None);
        let _held: Vec<_> = (0..3).map(|_| balancer.pick(&pick(7, &[])).expect("a place")).collect();
        prop_assert_eq!(balancer.pick(&pick(7, &[0, 1])).unwrap_err(), NoEndpoint::AllFull);
        prop_assert_eq!(balancer.pick(&pick(7, &[0, 1, 2])).unwrap_err(), NoEndpoint::AllTried);
        for endpoint in balancer.endpoints() {
            endpoint.state.mark_check(CheckVerdict::Down);
        }
        prop_assert_eq!(balancer.pick(&pick(7, &[])).unwrap_err(), NoEndpoint::AllDown);
    }

    /// By refused connects, or by failing answers.
    #[test]
    fn whoever_is_out_is_not_asked_while_somebody_is_up_and_full(
        algorithm in any_algorithm(),
        refuses: bool,
        randoms in prop::collection::vec(any::<u64>(), 12),
    ) {
        let breaker = Breaker { failures: 3, ..Breaker::default() };
        let limited = cluster(algorithm, &[RequestLimit::Most(4); 3], None);
        let balancer = limited.with_breaker(Some(breaker), Arc::default());
        balancer.come_into_force(Moment(1));
        let failing = Ended::Answered { status: 503, first_byte: Duration::from_millis(1) };
        let ended = if refuses { Ended::ConnectFailed } else { failing };
        for _ in 0..3 {
            balancer.pick(&pick(7, &[1, 2])).expect("up until then").settle(ended, Moment(1));
        }
        let mut held: Vec<_> = (0..8).map(|round| balancer.pick(&pick(randoms[round], &[])).expect("a place")).collect();
        prop_assert!(held.iter().all(|lease| lease.index() != 0));
        prop_assert_eq!(balancer.pick(&pick(randoms[8], &[])).unwrap_err(), NoEndpoint::AllFull);
        prop_assert_eq!(balancer.pick(&pick(randoms[9], &[1])).unwrap_err(), NoEndpoint::AllFull);
        let again = balancer.pick(&pick(randoms[10], &[1, 2])).expect("nobody else is left").index();
        prop_assert_eq!(again, 0);
        held.clear();
        prop_assert_ne!(balancer.pick(&pick(randoms[11], &[])).expect("there is room").index(), 0);
    }

    #[test]
    fn no_number_of_threads_exceeds_a_limit_and_each_end_is_heard(algorithm in any_algorithm()) {
        let watch = Arc::new(Watch::default());
        let balancer = cluster(algorithm, &[RequestLimit::Most(2); 3], Some(Arc::clone(&watch) as _));
        let (now, most, served) = ([const { AtomicU32::new(0) }; 3], AtomicU32::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (balancer, now, most, served) = (&balancer, &now, &most, &served);
                scope.spawn(move || {
                    for step in 0..2_000_u64 {
                        let random = (step * 4 + thread).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        let Ok(lease) = balancer.pick(&pick(random, &[])) else { continue };
                        let here = &now[lease.index()];
                        most.fetch_max(here.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                        if step % 64 == 0 {
                            std::thread::yield_now();
                        }
                        here.fetch_sub(1, Ordering::Relaxed);
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        prop_assert!(most.into_inner() <= 2);
        prop_assert_eq!(watch.0.load(Ordering::Relaxed), served.into_inner());
        prop_assert!(balancer.endpoints().iter().all(|endpoint| endpoint.state.in_flight() == 0));
    }
}

#[test]
fn what_answers_take_is_known_after_a_reload() {
    let before = cluster(Algorithm::RoundRobin, &[RequestLimit::Most(1)], None);
    let first_byte = Duration::from_millis(100);
    before
        .pick(&pick(7, &[]))
        .expect("a place")
        .settle(Ended::Answered { status: 200, first_byte }, Moment(2));
    let after = Balancer::new(Algorithm::RoundRobin, endpoints(&[1, 1]), Some(&before))
        .with_request_limits(&[RequestLimit::Most(1); 2], None);
    assert_eq!(before.usual_answer_time(), after.usual_answer_time());
    assert!(after.usual_answer_time().is_some());
}

#[test]
fn a_limit_of_one_endpoint_leaves_the_others_unlimited() {
    let balancer = cluster(Algorithm::RoundRobin, &[RequestLimit::Most(1), RequestLimit::None], None);
    let held: Vec<_> = (0..50).map(|round| balancer.pick(&pick(round, &[])).expect("no limit")).collect();
    assert_eq!(held.iter().filter(|lease| lease.index() == 0).count(), 1);
    assert_eq!([0, 1].map(|index| balancer.request_limit(index, Moment(1))), [Some(1), None]);
}

#[test]
fn what_has_begun_to_answer_does_not_count_where_the_limit_is_learned_and_does_where_it_is_given() {
    for (limit, frees) in [(RequestLimit::Learned, true), (RequestLimit::Most(8), false)] {
        let watch = Arc::new(Watch::default());
        let balancer = cluster(Algorithm::LeastRequest, &[limit], Some(Arc::clone(&watch) as _));
        let heard = || watch.0.load(Ordering::Relaxed);
        let mut held: Vec<_> = std::iter::from_fn(|| balancer.pick(&pick(7, &[])).ok()).take(100).collect();
        assert!(held.len() < 100 && balancer.is_full(0, Moment(1)) && !balancer.has_room(Moment(1)));
        let mut streams = held.split_off(1);
        for stream in &mut streams {
            stream.begun(Phase::Answering, 200, Duration::from_millis(1), Moment(2));
            stream.begun(Phase::Answering, 200, Duration::from_millis(1), Moment(2));
        }
        assert_eq!(heard(), if frees { streams.len() } else { 0 }, "{limit:?}");
        assert_eq!(balancer.is_full(0, Moment(1)), !frees, "{limit:?}");
        assert_eq!(balancer.pick(&pick(7, &[])).is_ok(), frees, "{limit:?}");
        drop((held, streams));
        assert_eq!(balancer.endpoints()[0].state.in_flight(), 0);
        assert!(!balancer.is_full(0, Moment(1)) && heard() > 1, "{limit:?}");
    }
}

/// An endpoint with slots, each busy for a while with a request, and a queue before them; it gets as much as may be in
/// flight. Which part of the time the slots are busy, and the most in flight, both once it has been learned. The answer begins when a part
/// of its service is over: 1, at its end.
fn busy_and_most_in_flight(slots: usize, begins: f64, service: impl Fn(f64) -> f64) -> (f64, u32) {
    let balancer = cluster(Algorithm::LeastRequest, &[RequestLimit::Learned], None);
    let mut noise = 7_u64;
    let (mut now, mut work, mut most) = (0_u64, 0, 0);
    // Requests that are being served, by when they will be done, and those that wait inside the endpoint.
    let (mut busy, mut inside) = (Vec::<Served<'_>>::new(), std::collections::VecDeque::new());
    let second = 1_000_000_000;
    while now < 20 * second {
        while let Ok(lease) = balancer.pick(&Pick { now: Moment(now), ..pick(now, &[]) }) {
            inside.push_back(lease);
        }
        if now > 10 * second {
            most = most.max(balancer.endpoints()[0].state.in_flight());
        }
        while busy.len() < slots
            && let Some(lease) = inside.pop_front()
        {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let uniform = ((noise >> 33) as f64 + 0.5) / (1_u64 << 31) as f64;
            let service = Duration::from_secs_f64(service(uniform)).as_nanos() as u64;
            work += if now > 10 * second { service } else { 0 };
            let begins = now + (service as f64 * begins) as u64;
            busy.push(Served { begins: Some(begins), ends: now + service, lease });
        }
        let next =
            (0..busy.len()).min_by_key(|&index| busy[index].next()).expect("the limit is at least one");
        now = busy[next].next();
        let first_byte = Duration::from_nanos(now - busy[next].lease.picked_at().0);
        if busy[next].begins.take().is_some_and(|begins| begins < busy[next].ends) {
            busy[next].lease.begun(Phase::Answering, 200, first_byte, Moment(now));
        } else {
            busy.swap_remove(next).lease.settle(Ended::Answered { status: 200, first_byte }, Moment(now));
        }
    }
    (work as f64 / (slots as u64 * 10 * second) as f64, most)
}

struct Served<'a> {
    begins: Option<u64>,
    ends: u64,
    lease: Lease<'a>,
}

impl Served<'_> {
    fn next(&self) -> u64 {
        self.begins.unwrap_or(self.ends)
    }
}

#[test]
fn a_learned_limit_keeps_the_slots_busy_and_the_queue_inside_short() {
    let spread = |uniform: f64| 0.005 + 0.01 * uniform;
    let exponential = |uniform: f64| -0.01 * uniform.ln();
    let constant = |_| 0.01;
    for slots in [1, 2, 4, 8, 32, 100] {
        // Where services differ so much, a row of long ones looks like fewer slots and one of short ones like more, now and then.
        for ((busy, most), bound) in [
            (busy_and_most_in_flight(slots, 1.0, spread), 3 * slots + 12),
            (busy_and_most_in_flight(slots, 1.0, exponential), 4 * slots + 32),
            (busy_and_most_in_flight(slots, 1.0, constant), 3 * slots + 12),
        ] {
            assert!(busy > 0.92, "{slots} slots are {:.0} % busy", busy * 100.0);
            assert!(most as usize <= bound, "{slots} slots have {most} in flight");
        }
    }
    // Slots that are busy until their answer ends: it is the wait for its beginning that tells.
    for (slots, begins) in [1, 2, 4, 8, 32, 100].into_iter().flat_map(|slots| [(slots, 0.5), (slots, 0.1)]) {
        for (busy, most) in [
            busy_and_most_in_flight(slots, begins, spread),
            busy_and_most_in_flight(slots, begins, exponential),
            busy_and_most_in_flight(slots, begins, constant),
        ] {
            assert!(busy > 0.9, "{slots} slots are {:.0} % busy, begun at {begins}", busy * 100.0);
            assert!(
                most as usize <= 3 * slots + 32,
                "{slots} slots have {most} in flight, begun at {begins}"
            );
        }
    }
}

/// Three endpoints of two places, the first of which answers that part of its requests, in percent, with 500 at once; after some seconds. With the moment.
/// `stay`: until an answer has ended.
fn one_fails(algorithm: Algorithm, percent: u64, stay: Duration) -> (Balancer, Moment) {
    let balancer = cluster(algorithm, &[RequestLimit::Most(2); 3], None);
    let mut now = Moment(1);
    for round in 0..200_u64 {
        let random = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut lease = balancer.pick(&Pick { now, ..pick(random, &[]) }).expect("there is room");
        let fails = lease.index() == 0 && random % 100 < percent;
        let (status, millis) = if fails { (500, 1) } else { (200, 10) };
        let first_byte = Duration::from_millis(millis);
        lease.answered(status, first_byte, now + first_byte);
        let ended = now + stay;
        now = now + Duration::from_millis(5);
        lease.settle(Ended::Answered { status, first_byte }, ended);
    }
    (balancer, now)
}

#[test]
fn whoever_finds_none_but_one_that_fails_waits_as_long_as_failing_costs() {
    let (balancer, now) = one_fails(Algorithm::Adaptive { peers: 1 }, 100, Duration::from_millis(5));
    let ask = |random, tried| balancer.pick(&Pick { now, random, hash: None, tried });
    let failing = |tried| balancer.pick_failing(&Pick { now, ..pick(7, tried) }).map(|lease| lease.index());
    let mut held: Vec<_> = (0..4).map(|random| ask(random, &[]).expect("a place")).collect();
    assert!(held.iter().all(|lease| lease.index() != 0));
    assert_eq!(ask(5, &[]).unwrap_err(), NoEndpoint::AllFull);
    assert!(!balancer.has_room(now) && !balancer.is_full(0, now));
    assert_eq!(ask(6, &[1, 2]).expect("nobody else is left").index(), 0);
    assert_eq!((failing(&[]), failing(&[0])), (Some(0), None), "the others do not fail");
    // Some times as long as an answer takes.
    let wait = balancer.wait_before_failing(now).expect("it has room");
    assert!((20..=80).contains(&wait.as_millis()), "{wait:?}");
    let freed = held.swap_remove(0).index();
    assert_eq!(ask(9, &[]).expect("a place").index(), freed);
    held.extend([0, 0].map(|_| ask(9, &[1, 2]).expect("a place")));
    assert_eq!((balancer.wait_before_failing(now), failing(&[])), (None, None), "it is full");
}

/// Heads that come at once and bodies that take long: a place is taken to the end.
#[test]
fn whoever_waits_for_a_place_waits_as_long_as_places_are_taken() {
    let (balancer, now) = one_fails(Algorithm::Adaptive { peers: 1 }, 100, Duration::from_millis(300));
    let wait = balancer.wait_before_failing(now).expect("it has room");
    assert!((600..=2_400).contains(&wait.as_millis()), "{wait:?}");
}

#[test]
fn whoever_fails_no_more_than_others_is_asked_where_there_is_room() {
    for (algorithm, percent) in [(Algorithm::Adaptive { peers: 1 }, 0), (Algorithm::LeastRequest, 100)] {
        let (balancer, now) = one_fails(algorithm, percent, Duration::from_millis(5));
        assert!(balancer.wait_before_failing(now).is_none());
        let held: Vec<_> = (0..6).map(|random| balancer.pick(&Pick { now, ..pick(random, &[]) })).collect();
        assert!(held.iter().all(Result::is_ok), "{algorithm:?}, {percent} %");
        assert!(balancer.pick_failing(&Pick { now, ..pick(7, &[]) }).is_none());
    }
}

/// So many that a choice looks at some of them only.
#[test]
fn of_many_a_sound_one_with_room_is_found_where_those_that_were_looked_at_fail() {
    let balancer = cluster(Algorithm::Adaptive { peers: 1 }, &[RequestLimit::Most(1); 200], None);
    let others: Vec<usize> = (0..200).filter(|index| index % 2 == 0).collect();
    let mut now = Moment(1);
    for round in 0..4_000_u64 {
        let random = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Half of the requests only go to those that fail, so that all of these are known for it.
        let tried = if round % 2 == 0 { &others[..] } else { &[] };
        let Ok(lease) = balancer.pick(&Pick { now, ..pick(random, tried) }) else { continue };
        let (status, millis) = if lease.index() % 2 == 1 { (500, 1) } else { (200, 10) };
        now = now + Duration::from_millis(1);
        lease.settle(Ended::Answered { status, first_byte: Duration::from_millis(millis) }, now);
    }
    let ask = |random| balancer.pick(&Pick { now, ..pick(random, &[]) });
    let held: Vec<_> = (0..100).map(|random| ask(random).expect("a place")).collect();
    assert!(held.iter().all(|lease| lease.index() % 2 == 0));
    assert_eq!(ask(100).unwrap_err(), NoEndpoint::AllFull);
}
