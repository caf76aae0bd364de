//! What a load bound by drain time lets a hot key have. Bounds, not exact numbers: each holds with room for seeds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "in tests")]

use tidegate_lab::{Outcome, Progress, Scenario};

/// What hashing and least request make of traffic for so many keys on these endpoints.
fn run(load: f64, keys: u32, endpoints: &str, seed: u64) -> (Outcome, Outcome) {
    let text = format!(
        "name = 'test'\ntitle = 'test'\nalgorithms = ['rendezvous_drain_time', 'least_request']\nwarm_up = '10s'\n\
         lasts = '40s'\nload = {load}\nkeys = {keys}\n[[endpoints]]\ncount = 10\n{endpoints}"
    );
    compare(&text, seed)
}

fn compare(text: &str, seed: u64) -> (Outcome, Outcome) {
    let scenario = Scenario::parse(text).unwrap();
    let outcomes = scenario.compare(seed, 2, &Progress::of(&scenario)).outcomes;
    let [hash, other] = <[Outcome; 2]>::try_from(outcomes).unwrap();
    (hash, other)
}

fn spilled(outcome: &Outcome) -> f64 {
    f64::from(outcome.extra.spilled) / outcome.requests as f64
}

/// One key, for half of what one endpoint of ten can do, and then for one and a half times that.
#[test]
fn a_hot_key_stays_where_it_does_not_wait_and_spills_from_where_it_would() {
    for (slots, spilled_half, spilled_more) in
        [(16, 0.0..0.02, 0.33..0.55), (4, 0.0..0.15, 0.33..0.6), (1, 0.2..0.45, 0.5..0.75)]
    {
        for seed in [121, 122] {
            for (load, expected) in [(0.05, &spilled_half), (0.15, &spilled_more)] {
                let (hash, least) = run(load, 1, &format!("slots = {slots}"), seed);
                let slower = hash.latency_ms.mean / least.latency_ms.mean;
                println!("{slots} slots, {load}: {:.4} spilled, mean {slower:.3} times", spilled(&hash));
                assert!(expected.contains(&spilled(&hash)) && slower < 1.15);
            }
        }
    }
}

#[test]
fn keys_of_an_endpoint_that_fails_are_served_elsewhere() {
    let endpoints = "slots = 4\n[[endpoints]]\nslots = 4\nfails = { part = 1 }";
    for seed in [123, 124] {
        let (hash, least) = run(0.4, 40, endpoints, seed);
        println!("failed: hash {:.5}, least request {:.3}", hash.errors(), least.errors());
        assert!(hash.errors() < 0.001 && least.errors() > 0.3);
    }
}

/// One request in twenty is worth less than a place in the queue that a bound allows anybody.
#[test]
fn keys_of_an_endpoint_that_fails_a_little_are_served_elsewhere_while_somebody_has_room() {
    for seed in [41, 42, 43] {
        let text = "name = 'test'\ntitle = 'test'\nalgorithms = ['rendezvous_drain_time', 'least_request']\nwarm_up = '10s'\n\
             lasts = '40s'\nload = 0.6\nkeys = 1000\n[[endpoints]]\ncount = 9\n[[endpoints]]\nfails = { part = 0.05 }";
        let (hash, least) = compare(text, seed);
        println!("failed: hash {:.5}, least request {:.5}", hash.errors(), least.errors());
        assert!(hash.errors() < 0.05 * least.errors());
    }
}

/// One key, for more than two of three endpoints can do, and a fourth beside them that fails or is ten times as slow: no reason to wait for
/// those that are well. A slow one is used by those keys that belong there, as long as nobody waits.
#[test]
fn one_bad_endpoint_makes_no_key_wait_for_the_others() {
    for seed in [125, 126] {
        for (bad, slower_max) in [("fails = { part = 1 }", 1.2), ("speed = 0.1", 1.6)] {
            let text = format!(
                "name = 'test'\ntitle = 'test'\nalgorithms = ['rendezvous_drain_time', 'adaptive']\nwarm_up = '5s'\n\
                 lasts = '25s'\nrate = 1000\nkeys = 1\n[[endpoints]]\ncount = 3\nslots = 4\n[[endpoints]]\nslots = 4\n{bad}"
            );
            let (hash, adaptive) = compare(&text, seed);
            let slower = hash.latency_ms.mean / adaptive.latency_ms.mean;
            println!("{bad}, seed {seed}: mean {slower:.3} times, {:.4} spilled", spilled(&hash));
            assert!(slower < slower_max && hash.errors() < 0.01);
        }
    }
}

/// Where nine tenths of the slots are needed, one key or many, no endpoint idles while others have queues.
#[test]
fn nobody_waits_long_while_another_has_room() {
    let shared = "slots = 8\ndiscipline = 'shared'";
    let fails = "slots = 4\n[[endpoints]]\nslots = 4\nfails = { part = 1 }";
    for seed in [127, 128] {
        for (load, keys, endpoints, spilled_max) in [
            (0.9, 1, "slots = 4", 0.92),
            (0.9, 40, "slots = 4", 0.5),
            (0.8, 1_000, "slots = 4", 0.3),
            (0.65, 1, shared, 0.92),
            (0.82, 1, fails, 1.0),
        ] {
            let (hash, least) = run(load, keys, endpoints, seed);
            let slower = hash.latency_ms.mean / least.latency_ms.mean;
            println!("{load}, {keys} keys: mean {slower:.3} times, {:.4} spilled", spilled(&hash));
            assert!(slower < 1.25 && spilled(&hash) < spilled_max && hash.errors() < 0.001);
        }
    }
}

/// Latencies that are far apart, keys enough, and one small, slow endpoint among large ones: it gets no queue that the others have slots for.
#[test]
fn a_small_slow_endpoint_makes_its_keys_wait_no_longer_than_by_requests() {
    let slow = "[[endpoints]]\nslots = 1\nspeed = 0.25";
    for (load, proxies, sigma, others) in [
        (0.7, 1, 1.5, "count = 3\nslots = 16"),
        (0.5, 1, 1.5, "count = 4\nslots = 8"),
        (0.6, 2, 1.0, "count = 2\nslots = 16\n[[endpoints]]\nslots = 1"),
    ] {
        for seed in [942, 945] {
            let text = format!(
                "name = 'test'\ntitle = 'test'\nalgorithms = ['rendezvous_drain_time', 'rendezvous:125']\nwarm_up = '10s'\n\
                 lasts = '40s'\nload = {load}\nproxies = {proxies}\nkeys = 10000\n[[work]]\nmean = '10ms'\nsigma = {sigma}\n\
                 [[endpoints]]\n{others}\n{slow}"
            );
            let (by_drain_time, by_requests) = compare(&text, seed);
            let (ours, theirs) = (by_drain_time.latency_ms, by_requests.latency_ms);
            println!(
                "{others}, seed {seed}: mean {} of {}, p99.9 {} of {}",
                ours.mean, theirs.mean, ours.p99_9, theirs.p99_9
            );
            assert!(ours.mean < theirs.mean && ours.p99_9 < 1.25 * theirs.p99_9);
        }
    }
}

/// Half of the endpoints have a single slot, and keys for five. How many slots they are believed to have strays over minutes, where the bound
/// holds their load; what it allows must not follow.
#[test]
fn what_a_bound_allows_does_not_grow_over_minutes() {
    for seed in [131, 132] {
        let text = "name = 'test'\ntitle = 'test'\nalgorithms = ['rendezvous_drain_time', 'adaptive']\nwarm_up = '200s'\n\
             lasts = '230s'\nload = 0.6\nkeys = 10000\n[[endpoints]]\ncount = 4\nslots = [16, 1, 1, 16]";
        let (hash, adaptive) = compare(text, seed);
        let slower = hash.latency_ms.mean / adaptive.latency_ms.mean;
        println!("seed {seed}: mean {slower:.3} times, {:.4} spilled", spilled(&hash));
        assert!(slower < 1.4);
    }
}
