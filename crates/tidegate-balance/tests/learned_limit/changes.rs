//! How soon the limit finds the room that there is, and what it does when the endpoint changes.

use crate::scene::{Came, Others, SEEDS, Scene, Second, Service, Slots, mean, one_of, run, run_with, runs};
use proptest::prelude::*;
use std::time::Duration;
use tidegate_balance::RequestLimit;

#[test]
fn a_cold_limit_finds_the_room_that_there_is_before_anybody_is_sent_away() {
    let cases: [(&str, f64, Service); 4] = [
        ("1 s", 40.0, |_| 1.0),
        ("3 s", 8.0, |_| 3.0),
        ("300 ms, widely spread", 90.0, |noise| 0.3 * noise.lognormal(1.0)),
        (
            "one of ten takes a hundred times as long",
            60.0,
            |noise| if noise.next() < 0.1 { 2.0 } else { 0.02 },
        ),
    ];
    for (name, rate, service) in cases {
        for seconds in runs(Scene { seconds: 40, ..Scene::new(rate, service) }) {
            let shed: u32 = seconds.iter().map(|second| second.shed).sum();
            assert!(f64::from(shed) < rate, "{name}: {shed} sent away, {seconds:?}");
            assert!(seconds[20..].iter().all(|second| second.shed == 0), "{name}: {seconds:?}");
        }
    }
}

#[test]
fn a_cold_endpoint_with_few_slots_does_not_drown() {
    let cases: [(&str, Slots, Service); 4] = [
        ("2 slots", &[(0, 2)], |_| 0.1),
        ("2 slots, widely spread", &[(0, 2)], |noise| 0.1 * noise.lognormal(1.0)),
        ("4 slots, widely spread", &[(0, 4)], |noise| 0.1 * noise.lognormal(1.0)),
        ("16 slots", &[(0, 16)], |_| 0.1),
    ];
    for (name, slots, service) in cases {
        let count = slots[0].1;
        for seconds in runs(Scene { slots, ..Scene::new(15.0 * count as f64, service) }) {
            let served = mean(&seconds[10..50], |second| second.served);
            assert!(served > 8.0 * count as f64, "{name}: {served} served, {seconds:?}");
            let inside = mean(&seconds[10..], |second| second.inside_most as u32);
            assert!(inside < 2.0 * count as f64 + 8.0, "{name}: {inside} wait inside, {seconds:?}");
            let inside = seconds[10..].iter().map(|second| second.inside_most).max();
            assert!(inside < Some(3 * count + 24), "{name}: {inside:?} wait inside, {seconds:?}");
        }
    }
}

/// After a long time in which hardly anybody has waited, the limit is wide.
#[test]
fn when_far_more_come_than_are_served_the_limit_falls_soon() {
    let uneven: Service = |noise| 0.32 * (0.7 + 0.3 * noise.lognormal(1.0));
    for seconds in runs(Scene { slots: &[(0, 16)], more: (30, 70.0), ..Scene::new(30.0, uneven) }) {
        let inside = mean(&seconds[37..57], |second| second.inside_most as u32);
        assert!(inside < 20.0, "{inside} wait inside, {seconds:?}");
        let served = mean(&seconds[30..50], |second| second.served);
        assert!(served > 45.0, "{served} served of 50, {seconds:?}");
    }
}

#[test]
fn a_load_below_the_capacity_is_served() {
    let cases: [(Slots, Service); 6] = [
        (&[(0, 2)], |_| 0.08),
        (&[(0, 2)], |noise| 0.08 * noise.lognormal(1.0)),
        (&[(0, 4)], |noise| 0.04 + 0.08 * noise.next()),
        (&[(0, 16)], |_| 0.08),
        (&[(0, 16)], |noise| 0.04 + 0.08 * noise.next()),
        (&[(0, 16)], |noise| -0.08 * noise.next().ln()),
    ];
    for (slots, service) in cases {
        let rate = 0.85 * slots[0].1 as f64 / 0.08;
        for seconds in runs(Scene { slots, ..Scene::new(rate, service) }) {
            let shed = mean(&seconds[..55], |second| second.shed);
            assert!(shed < 0.02 * rate, "{slots:?}: {shed} of {rate} sent away, {seconds:?}");
        }
    }
}

/// Those that come back first are the quick ones, and a few that take very long make the mean: neither is a wait.
#[test]
fn a_load_whose_requests_take_very_different_times_is_served_as_by_a_number() {
    let cases: [(&str, f64, Service); 5] = [
        ("20 ms, .2 s, 4 s", 0.188, |noise| one_of(noise, &[(0.7, 0.02), (0.27, 0.2), (0.03, 4.0)])),
        ("95 % .1 s, 5 % 3 s", 0.245, |noise| one_of(noise, &[(0.95, 0.1), (0.05, 3.0)])),
        ("90 % 10 ms, 10 % 1 s", 0.109, |noise| one_of(noise, &[(0.9, 0.01), (0.1, 1.0)])),
        ("20 ms to 5 s", 0.205, |noise| one_of(noise, &[(0.6, 0.02), (0.3, 0.15), (0.08, 0.6), (0.02, 5.0)])),
        ("lognormal, 2", 0.1, |noise| 0.1 * (noise.lognormal(1.0).powi(2) / std::f64::consts::E)),
    ];
    let all_slots: [Slots; 3] = [&[(0, 8)], &[(0, 16)], &[(0, 64)]];
    for ((name, takes, service), slots) in cases.iter().flat_map(|case| all_slots.map(|slots| (case, slots)))
    {
        for load in [0.5, 0.7, 0.8, 0.9] {
            let count = slots[0].1;
            let scene = Scene { slots, seconds: 105, ..Scene::new(load * count as f64 / takes, *service) };
            let served = |limit: RequestLimit| {
                let of_each = SEEDS.map(|seed| run_with(limit, scene, seed));
                of_each.fold([0.0; 5], |sums, seconds| {
                    std::array::from_fn(|part| {
                        let part_of = &seconds[20 * part..20 * (part + 1)];
                        sums[part] + part_served(part_of) / SEEDS.count() as f64
                    })
                })
            };
            let number = RequestLimit::Most(u32::try_from(count).unwrap() + 2);
            let (learned, fixed) = (served(RequestLimit::Learned), served(number));
            let is_as_good = learned.iter().zip(fixed).all(|(learned, fixed)| *learned > 0.97 * fixed);
            assert!(is_as_good, "{name}, {slots:?}, {load}: {learned:?}, by a number {fixed:?}");
        }
    }
}

/// Of those who came.
fn part_served(seconds: &[Second]) -> f64 {
    let served = mean(seconds, |second| second.served);
    served / (served + mean(seconds, |second| second.shed))
}

#[test]
fn when_slots_go_the_limit_falls_and_when_they_are_back_it_rises() {
    let slots: Slots = &[(0, 1_000), (20, 1), (60, 1_000)];
    for seconds in runs(Scene { slots, seconds: 100, ..Scene::new(50.0, |_| 0.2) }) {
        let inside = seconds[40..60].iter().map(|second| second.inside_most).max();
        assert!(inside < Some(8), "{inside:?} wait inside, {seconds:?}");
        assert!(seconds[80..].iter().all(|second| second.shed == 0), "{seconds:?}");
    }
}

/// As all who are inside are late then, none of them says by its answer that there are too many.
#[test]
fn where_all_are_given_up_as_late_the_limit_falls_until_they_are_not() {
    let slots: Slots = &[(0, 1_000), (20, 4), (80, 1_000)];
    let attempt = Some(Duration::from_secs(1));
    for seconds in runs(Scene { slots, attempt, seconds: 110, ..Scene::new(50.0, |_| 0.2) }) {
        let served = mean(&seconds[35..75], |second| second.served);
        assert!(served > 16.0, "{served} served of 20, {seconds:?}");
        let late = mean(&seconds[35..75], |second| second.late);
        assert!(late < 1.0, "{late} late, {seconds:?}");
        assert!(seconds[95..109].iter().all(|second| second.shed + second.late == 0), "{seconds:?}");
    }
}

/// A front with a timeout of its own, before an application that works on: as all who are inside are late, it serves none.
#[test]
fn where_the_endpoint_gives_all_up_by_itself_the_limit_falls_until_it_does_not() {
    let gate = Some(Duration::from_secs(1));
    let uneven: Service = |noise| 0.32 * (0.7 + 0.3 * noise.lognormal(1.0));
    let slots_go = Scene { slots: &[(0, 1_000), (12, 4)], gate, ..Scene::new(50.0, |_| 0.2) };
    let more_come = Scene { slots: &[(0, 16)], gate, more: (12, 70.0), ..Scene::new(30.0, uneven) };
    let closes = Scene { gate_says: Came::Closed, ..slots_go };
    let refuses = Scene { gate_says: Came::Answer(503), ..slots_go };
    for (scene, capacity) in [(slots_go, 20.0), (more_come, 50.0), (closes, 20.0), (refuses, 20.0)] {
        for seconds in runs(scene) {
            let served = mean(&seconds[30..50], |second| second.served);
            assert!(served > 0.8 * capacity, "{served} served of {capacity}, {seconds:?}");
            let late = mean(&seconds[30..50], |second| second.late);
            assert!(late < 1.0, "{late} late, {seconds:?}");
        }
    }
}

#[test]
fn where_all_clients_leave_unanswered_the_limit_falls_until_they_do_not() {
    let (leave, queue) = (Some(Duration::from_secs(1)), Duration::from_millis(300));
    let slots: Slots = &[(0, 1_000), (12, 4), (50, 1_000)];
    let scene = Scene { slots, leave, queue, seconds: 80, ..Scene::new(50.0, |_| 0.2) };
    for seconds in runs(scene) {
        let served = mean(&seconds[35..50], |second| second.served);
        assert!(served > 16.0, "{served} served of 20, {seconds:?}");
        let left = mean(&seconds[35..50], |second| second.late);
        assert!(left < 1.0, "{left} left, {seconds:?}");
        assert!(mean(&seconds[70..78], |second| second.served) > 45.0, "{seconds:?}");
    }
}

/// A page from a cache, say: that it is answered says nothing of those that wait.
#[test]
fn where_only_what_takes_no_slot_is_served_the_limit_falls_until_others_are() {
    static CACHED: [Others; 1] =
        [Others { takes_a_slot: false, ..Others::new(1, Duration::from_millis(200), |_| 0.003) }];
    let second = Some(Duration::from_secs(1));
    let slots: Slots = &[(0, 1_000), (12, 4)];
    let scene = Scene { slots, others: &CACHED, seconds: 100, ..Scene::new(50.0, |_| 0.2) };
    let gated = Scene { gate: second, ..scene };
    let left = Scene { leave: second, queue: Duration::from_millis(300), ..scene };
    for (name, scene) in [("gated", gated), ("left", left)] {
        for seconds in runs(scene) {
            let served = mean(&seconds[60..95], |second| second.served);
            assert!(served > 17.0, "{name}: {served} served of 20, {seconds:?}");
        }
    }
}

/// Whoever waits for a slot at all is late, and those who are in time say little by how late they are.
#[test]
fn where_the_time_is_hardly_longer_than_answers_take_the_limit_falls_too() {
    let gate = Some(Duration::from_secs(1));
    let even: Service = |noise| 0.7 * (0.9 + 0.1 * noise.lognormal(1.0));
    let more_come = Scene { slots: &[(0, 16)], gate, more: (20, 40.0), ..Scene::new(15.0, even) };
    let slots_go = Scene { slots: &[(0, 1_000), (12, 8)], gate, ..Scene::new(50.0, |_| 0.5) };
    for (scene, capacity, part) in [(more_come, 23.0, 0.4), (slots_go, 16.0, 0.8)] {
        for seconds in runs(Scene { seconds: 100, ..scene }) {
            let served = mean(&seconds[60..95], |second| second.served);
            assert!(served > part * capacity, "{served} served of {capacity}, {seconds:?}");
        }
    }
}

#[test]
fn an_endpoint_that_hung_is_soon_asked_for_as_much_as_before() {
    let slots: Slots = &[(0, 1_000), (12, 0), (52, 1_000)];
    let scene = Scene { slots, seconds: 100, ..Scene::new(40.0, |_| 1.0) };
    let (two, three) = (Some(Duration::from_secs(2)), Some(Duration::from_secs(3)));
    let left = Scene { leave: two, queue: Duration::from_millis(300), ..scene };
    for scene in [left, Scene { attempt: three, ..scene }, Scene { gate: three, ..scene }] {
        for seconds in runs(scene) {
            let served = mean(&seconds[70..95], |second| second.served);
            assert!(served > 34.0, "{served} served of 40, {seconds:?}");
        }
    }
}

/// By itself, as with a database that does: fewer do not help.
#[test]
fn an_endpoint_that_takes_ten_times_as_long_is_soon_asked_for_as_much_as_before() {
    let scene = Scene { slower: (15, 40, 10.0), ..Scene::new(40.0, |_| 0.1) };
    for seconds in runs(scene) {
        let shed: u32 = seconds.iter().map(|second| second.shed).sum();
        assert!(shed < 100, "{shed} sent away, {seconds:?}");
    }
}

#[test]
fn an_endpoint_that_refuses_is_asked_for_what_it_takes() {
    for rate in [36.0, 60.0] {
        for seconds in runs(Scene { slots: &[(0, 4)], refuses: true, ..Scene::new(rate, |_| 0.1) }) {
            let refused = mean(&seconds[10..50], |second| second.refused);
            assert!(refused < 1.0, "{refused} of {rate} refused, {seconds:?}");
            let served = mean(&seconds[10..50], |second| second.served);
            assert!(served > 0.9 * rate.min(40.0), "{served} of {rate} served, {seconds:?}");
        }
    }
}

#[test]
fn an_endpoint_that_takes_more_than_it_did_is_asked_for_more() {
    let slots: Slots = &[(0, 4), (30, 40)];
    for seconds in runs(Scene { slots, refuses: true, seconds: 150, ..Scene::new(60.0, |_| 0.1) }) {
        let served = mean(&seconds[140..149], |second| second.served);
        assert!(served > 50.0, "{served} served of 60, {seconds:?}");
    }
}

#[test]
fn an_outage_of_part_of_the_requests_leaves_no_limit_behind() {
    let scene = Scene { outage: (8, 18, 0.8), seconds: 50, ..Scene::new(30.0, |_| 1.0) };
    for seed in 1..150 {
        let seconds = run(scene, seed);
        let served = mean(&seconds[28..45], |second| second.served);
        assert!(served > 24.0, "seed {seed}: {served} served of 30, {seconds:?}");
    }
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let services: [Service; 4] = [
        |_| 0.05,
        |noise| 0.05 * noise.lognormal(1.0),
        |noise| if noise.next() < 0.1 { 1.0 } else { 0.01 },
        |noise| -0.1 * noise.next().ln(),
    ];
    let slots: [Slots; 4] =
        [&[(0, 1), (20, 99)], &[(0, 99), (5, 1), (20, 99)], &[(0, 3), (10, 30), (20, 99)], &[(0, 99)]];
    let attempt = prop::option::of((400_u64..3_000).prop_map(Duration::from_millis));
    let kinds = (prop::sample::select(services.to_vec()), prop::sample::select(slots.to_vec()));
    (kinds, 1.0..200.0, any::<bool>(), attempt, 0_usize..10).prop_map(
        |((service, slots), rate, refuses, attempt, long_polls)| Scene {
            slots,
            refuses,
            attempt,
            long_polls: if refuses { 0 } else { long_polls },
            seconds: 140,
            ..Scene::new(rate, service)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_somebody_is_served(scene in any_scene(), seed: u64) {
        let seconds = run(scene, seed);
        let asked = mean(&seconds[120..130], |s| s.served + s.shed + s.late + s.refused);
        let served = mean(&seconds[120..130], |second| second.served);
        prop_assert!(served > 0.3 * asked, "{served} of {asked}: {seconds:?}");
    }
}
