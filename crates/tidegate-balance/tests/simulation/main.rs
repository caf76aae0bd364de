//! What the policies do to whole fleets, in virtual time. Bounds, not exact numbers: each holds with room for seeds.

mod world;

use tidegate_balance::Algorithm;
use world::{HOST, Host, MS, SECOND, World};

const ADAPTIVE: Algorithm = Algorithm::Adaptive { peers: 1 };
const LEAST: Algorithm = Algorithm::LeastRequest;

#[test]
fn on_an_even_fleet_adaptive_is_as_good_as_least_request() {
    for seed in [11, 12] {
        let run = |algorithm| World::even(algorithm, 20).at_load(0.9).seed(seed).run(30).quantile(0.99);
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}");
        assert!(adaptive <= 1.03 * least);
    }
}

#[test]
fn one_endpoint_of_four_that_fails_fast_gets_next_to_nothing() {
    let mut hosts = vec![HOST; 4];
    hosts[2].failing = |_| 1.0;
    for seed in [21, 22] {
        let run = |algorithm| World::of(algorithm, hosts.clone()).seed(seed).at_load(0.6).run(30).failed();
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("failed: adaptive {adaptive:.5}, least request {least:.3}");
        assert!(adaptive < 0.001);
        assert!(least > 0.3, "the sinkhole that adaptive avoids is there");
    }
}

#[test]
fn one_endpoint_of_twenty_that_fails_every_tenth_request_is_found_out() {
    let mut hosts = vec![HOST; 20];
    hosts[7].failing = |_| 0.1;
    for seed in [25, 26] {
        let run = |algorithm| World::of(algorithm, hosts.clone()).seed(seed).run(30).failed();
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("failed: adaptive {adaptive:.6}, least request {least:.5}");
        assert!(adaptive < 0.0002 && adaptive < least / 10.0);
    }
}

#[test]
fn one_failure_does_not_send_everybody_to_the_other_endpoint() {
    let mut hosts = vec![HOST; 2];
    // A blip of half a millisecond: about one request.
    hosts[0].failing = |now| if (10_000 * MS..10_002 * MS).contains(&now) { 1.0 } else { 0.0 };
    let run = |algorithm| {
        World::of(algorithm, hosts.clone()).run(20).between(10 * SECOND, 15 * SECOND).quantile(0.99)
    };
    let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
    println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}");
    assert!(adaptive <= 1.5 * least);
}

#[test]
fn three_endpoints_of_four_that_fail_fast_do_not_pass_for_normal() {
    let mut hosts = vec![HOST; 4];
    for host in &mut hosts[..3] {
        host.failing = |_| 1.0;
    }
    let failed = World::of(ADAPTIVE, hosts).at_load(0.15).run(30).failed();
    println!("failed: {failed:.5}");
    assert!(failed < 0.01);
}

#[test]
fn an_error_rate_that_all_share_ejects_nobody() {
    for (count, seed) in [(4, 31), (20, 32)] {
        let hosts = vec![Host { failing: |_| 0.1, ..HOST }; count];
        let story = World::of(ADAPTIVE, hosts).seed(seed).run(30);
        let shares: Vec<_> = (0..count).map(|host| story.share(host) * count as f64).collect();
        println!("relative shares {shares:.2?}");
        assert!(shares.iter().all(|share| (0.8..1.2).contains(share)));
        for second in 2..28 {
            let story = story.between(second * SECOND, (second + 2) * SECOND);
            assert!((0..count).all(|host| story.share(host) * count as f64 > 0.2), "at {second} s");
        }
    }
}

#[test]
fn an_endpoint_ten_times_slower_gets_less_than_a_tenth_of_a_share() {
    let mut hosts = vec![HOST; 10];
    hosts[3].slowness = |_| 10.0;
    for seed in [41, 42] {
        let run = |algorithm| {
            World::of(algorithm, hosts.clone()).seed(seed).run(40).between(10 * SECOND, 40 * SECOND)
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!(
            "share {:.4} against {:.4}, p99 {:.1} against {:.1} ms",
            adaptive.share(3),
            least.share(3),
            adaptive.quantile(0.99),
            least.quantile(0.99)
        );
        assert!(adaptive.share(3) < 0.01);
        assert!(adaptive.quantile(0.99) < least.quantile(0.99));
    }
}

#[test]
fn an_endpoint_that_was_slow_for_a_while_gets_its_full_share_back() {
    let mut hosts = vec![HOST; 5];
    hosts[1].slowness = |now| if (10 * SECOND..15 * SECOND).contains(&now) { 10.0 } else { 1.0 };
    for seed in [51, 52] {
        let story = World::of(ADAPTIVE, hosts.clone()).seed(seed).run(30);
        let share = |from, to| story.between(from * SECOND, to * SECOND).share(1);
        println!("before {:.3}, while {:.3}, after {:.3}", share(5, 10), share(11, 15), share(18, 30));
        assert!(share(11, 15) < 0.06);
        assert!(share(18, 30) > 0.18);
    }
}

#[test]
fn an_endpoint_that_stops_failing_is_used_again() {
    let mut hosts = vec![HOST; 4];
    hosts[0].failing = |now| if now < 10 * SECOND { 1.0 } else { 0.0 };
    let story = World::of(ADAPTIVE, hosts).at_load(0.6).run(40);
    let share = story.between(25 * SECOND, 40 * SECOND).share(0);
    println!("share {share:.3}");
    assert!(share > 0.23);
}

#[test]
fn an_endpoint_that_stalls_is_left_before_it_answers_again() {
    let mut hosts = vec![HOST; 10];
    // What arrives within one second takes what is left of it, and more.
    hosts[4].slowness = |now| if (10 * SECOND..11 * SECOND).contains(&now) { 100.0 } else { 1.0 };
    for seed in [61, 62] {
        let run = |algorithm| {
            World::of(algorithm, hosts.clone()).seed(seed).run(15).between(10 * SECOND, 11 * SECOND).share(4)
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("share while stalled: adaptive {adaptive:.4}, least request {least:.4}");
        assert!(adaptive < 0.01 && adaptive <= least);
    }
}

/// Every host of twenty is slow for one second in twenty, each at a time of its own.
fn with_antagonists(slowness: fn(u64) -> f64) -> Vec<Host> {
    (0..20).map(|index| Host { slowness, ahead: index * 7_300 * MS, ..HOST }).collect()
}

#[test]
fn slow_spells_that_wander_through_the_fleet_are_avoided() {
    let hosts = with_antagonists(|now| if now % (20 * SECOND) < SECOND { 10.0 } else { 1.0 });
    for seed in [91, 92] {
        let run = |algorithm| {
            let story =
                World::of(algorithm, hosts.clone()).seed(seed).run(60).between(10 * SECOND, 60 * SECOND);
            (story.quantile(0.99), story.quantile(0.999))
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!(
            "p99, p99.9 ms: adaptive {adaptive:.0?}, least request {least:.0?}, ratio {:.3}",
            adaptive.1 / least.1
        );
        assert!(adaptive.1 <= 0.85 * least.1);
    }
}

#[test]
fn different_numbers_of_cores_are_learned_without_weights() {
    let hosts: Vec<_> = [2, 4, 4, 8].iter().cycle().take(20).map(|&slots| Host { slots, ..HOST }).collect();
    for seed in [71, 72] {
        let run = |algorithm| {
            let story = World::of(algorithm, hosts.clone()).at_load(0.9).seed(seed).run(60);
            story.between(20 * SECOND, 60 * SECOND).quantile(0.99)
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}, ratio {:.3}", adaptive / least);
        assert!(adaptive <= 0.9 * least);
    }
}

#[test]
fn weights_that_tell_the_cores_are_not_counted_twice() {
    let slots = [2, 4, 4, 8];
    let hosts: Vec<_> = slots.iter().cycle().take(20).map(|&slots| Host { slots, ..HOST }).collect();
    let weights: Vec<_> = slots.iter().cycle().take(20).copied().collect();
    let run = |algorithm| {
        let world = World { weights: weights.clone(), ..World::of(algorithm, hosts.clone()).at_load(0.9) };
        world.run(60).between(20 * SECOND, 60 * SECOND).quantile(0.99)
    };
    let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
    println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}");
    assert!(adaptive <= 1.05 * least);
}

#[test]
fn latencies_of_all_sizes_degrade_to_least_request_and_not_below() {
    for seed in [81, 82] {
        let run = |algorithm| {
            let world = World { sigma: 2.0, ..World::even(algorithm, 10).seed(seed) };
            world.run(40).quantile(0.99)
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}");
        assert!(adaptive <= 1.05 * least);
    }
}

#[test]
fn routes_of_a_millisecond_and_of_a_second_on_one_cluster_are_no_reason_to_crowd_together() {
    for seed in [85, 86] {
        let run = |algorithm| {
            let world = World { slow_route: 0.01, ..World::even(algorithm, 20).at_load(0.63).seed(seed) };
            let story = world.run(60);
            (story.mean(), story.quantile(0.98))
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("mean and p98 ms: adaptive {adaptive:.2?}, least request {least:.2?}");
        assert!(adaptive.0 <= 1.25 * least.0);
        assert!(adaptive.1 <= 2.0 * least.1);
    }
}

#[test]
fn different_speeds_are_learned_without_weights() {
    let slowness: [fn(u64) -> f64; 5] = [|_| 2.0, |_| 1.4, |_| 1.0, |_| 0.7, |_| 0.5];
    let hosts: Vec<_> = slowness.iter().cycle().take(20).map(|&slowness| Host { slowness, ..HOST }).collect();
    // The mean of the five speeds is 1.17.
    for seed in [95, 96] {
        let run = |algorithm| {
            let world = World::of(algorithm, hosts.clone()).at_load(0.7 * 1.17).seed(seed);
            world.run(50).between(20 * SECOND, 50 * SECOND).quantile(0.99)
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}, ratio {:.3}", adaptive / least);
        assert!(adaptive <= 0.85 * least);
    }
}

#[test]
fn a_cold_endpoint_that_joins_warms_as_soon_as_with_least_request() {
    let mut hosts = vec![HOST; 20];
    hosts[3] = Host { warm_after: 1_000, joins_at: 12 * SECOND, ..HOST };
    for seed in [101, 102] {
        let run = |algorithm| {
            let story =
                World::of(algorithm, hosts.clone()).seed(seed).run(30).between(12 * SECOND, 30 * SECOND);
            (story.quantile(0.999), story.picked_times(3, 1_000).map_or(f64::INFINITY, |at| at - 12.0))
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("p99.9 ms, warm after s: adaptive {adaptive:.1?}, least request {least:.1?}");
        assert!(adaptive.0 <= 1.05 * least.0);
        assert!(adaptive.1 <= 1.1 * least.1);
    }
}

#[test]
fn proxies_that_know_nothing_of_each_other_learn_what_they_cannot_see() {
    let uneven: Vec<_> = [2, 4, 4, 8].iter().cycle().take(40).map(|&slots| Host { slots, ..HOST }).collect();
    for (hosts, ratio_max) in [(uneven, 0.8), (vec![HOST; 40], 1.0)] {
        let run = |algorithm| {
            let world = World { proxies: 8, ..World::of(algorithm, hosts.clone()).at_load(0.9) };
            world.run(20).between(10 * SECOND, 20 * SECOND).quantile(0.99)
        };
        let (adaptive, least) = (run(Algorithm::Adaptive { peers: 8 }), run(LEAST));
        println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}, ratio {:.2}", adaptive / least);
        assert!(adaptive <= ratio_max * least);
    }
}

#[test]
fn one_request_a_second_for_each_endpoint_is_enough_to_leave_the_slow_one() {
    let mut hosts = vec![HOST; 10];
    hosts[3].slowness = |_| 10.0;
    let run = |algorithm| {
        let world = World { rate: 10.0, ..World::of(algorithm, hosts.clone()) };
        world.run(600).share(3)
    };
    let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
    println!("share: adaptive {adaptive:.4}, least request {least:.4}");
    assert!(adaptive < 0.03);
}

#[test]
fn a_load_that_rises_tenfold_at_once_is_met_as_by_least_request() {
    for seed in [111, 112] {
        let run = |algorithm| {
            let surge = |now| if now < 10 * SECOND { 0.1 } else { 1.0 };
            let world = World { surge, ..World::even(algorithm, 20).at_load(0.9).seed(seed) };
            world.run(15).between(10 * SECOND, 15 * SECOND).quantile(0.99)
        };
        let (adaptive, least) = (run(ADAPTIVE), run(LEAST));
        println!("p99 ms: adaptive {adaptive:.1}, least request {least:.1}");
        assert!(adaptive <= 1.05 * least);
    }
}
