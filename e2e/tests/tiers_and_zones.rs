//! Endpoints that come after others, and endpoints that are far away.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_testkit::{Endpoint, Load, Proxy, Script, Then, Tidegate, eventually};

/// A list of endpoints, each with these further keys.
fn list(endpoints: &[(&Endpoint, &str)]) -> String {
    let listed = endpoints.iter().map(|(endpoint, keys)| {
        let address = endpoint.address();
        format!("{{ address = {address:?}, {keys} }}")
    });
    format!("[{}]", listed.collect::<Vec<_>>().join(", "))
}

fn shares(proxy: &Proxy, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(proxy.get("/").text()).or_default() += 1;
    }
    shares
}

fn only(proxy: &Proxy, name: &str) -> bool {
    shares(proxy, 20).keys().eq([name])
}

#[test]
fn a_later_tier_serves_while_the_first_is_down_and_no_longer() {
    for balance in ["adaptive", "round_robin", "hash"] {
        let (mut first, mut second) = (Endpoint::answering("first"), Endpoint::answering("second"));
        let third = Endpoint::answering("third");
        let endpoints = list(&[(&third, "tier = 2"), (&first, "tier = 0"), (&second, "tier = 1")]);
        let passive = "passive = { retry_after = \"200ms\" }";
        let proxy = Tidegate::with(format!("to = {endpoints}\nbalance = {balance:?}\n{passive}\n")).start();
        assert!(only(&proxy, "first"), "{balance}");
        first.kill();
        eventually("the second tier serves", || only(&proxy, "second"));
        second.kill();
        eventually("the third tier serves", || only(&proxy, "third"));
        second.revive();
        eventually("the second tier is back", || only(&proxy, "second"));
        first.revive();
        eventually("the first tier is back", || only(&proxy, "first"));
    }
}

/// Whose first attempt failed is served by the other one of its tier, and spares by nobody.
#[test]
fn a_request_is_tried_again_in_its_tier() {
    for balance in ["adaptive", "round_robin", "least_request"] {
        let broken = Endpoint::start(Script::new(|_| Then::Close));
        let (sound, spare) = (Endpoint::answering("sound"), Endpoint::answering("spare"));
        let endpoints = list(&[(&broken, "tier = 0"), (&sound, "tier = 0"), (&spare, "tier = 1")]);
        let proxy = Tidegate::with(format!("to = {endpoints}\nbalance = {balance:?}\n")).start();
        assert_eq!(shares(&proxy, 8), BTreeMap::from([("sound".to_owned(), 8)]), "{balance}");
        assert_ne!(broken.request_count(), 0, "{balance}");
    }
}

#[test]
fn a_tier_that_lost_half_gives_three_tenths_away() {
    let (mut a, b, spare) =
        (Endpoint::answering("a"), Endpoint::answering("b"), Endpoint::answering("spare"));
    let endpoints = list(&[(&a, "tier = 0"), (&b, "tier = 0"), (&spare, "tier = 1")]);
    // Marked for as long as the test takes.
    let passive = "passive = { connect_failures = 1, retry_after = \"10m\" }";
    let proxy = Tidegate::with(format!("to = {endpoints}\n{passive}\n")).start();
    assert!(!shares(&proxy, 40).contains_key("spare"));
    a.kill();
    eventually("it is marked", || {
        let _ = proxy.get("/");
        proxy.metrics().sum("tidegate_endpoint_up", &[]) < 2.5
    });
    let spare = shares(&proxy, 400)["spare"];
    // 120 expected; six standard deviations are 55.
    assert!((65..=175).contains(&spare), "{spare} of 400");
}

/// The cost is so high that no luck of a busy machine makes up for it.
const FAR: &str = "balance = { algorithm = \"adaptive\", zone_cost_percent = 2000 }";

#[test]
fn an_endpoint_in_the_proxys_own_zone_comes_first() {
    let (a, b) = (Endpoint::answering("a"), Endpoint::answering("b"));
    let endpoints = list(&[(&a, "zone = \"west\""), (&b, "zone = \"east\"")]);
    for (zone, near) in [("west", "a"), ("east", "b")] {
        let proxy = Tidegate::with(format!("to = {endpoints}\n{FAR}\nzone = {zone:?}\n")).start();
        assert!(only(&proxy, near), "{zone}");
    }
}

#[test]
fn a_far_endpoint_helps_when_the_near_one_is_busy() {
    let near = Endpoint::start(Script::answers_after(Duration::from_millis(100), "near"));
    let far = Endpoint::start(Script::answers_after(Duration::from_millis(100), "far"));
    let endpoints = list(&[(&near, "zone = \"west\""), (&far, "zone = \"east\"")]);
    let proxy = Tidegate::with(format!("to = {endpoints}\nzone = \"west\"\n")).start();
    let load = Load::start(proxy.address(), 8, "/");
    load.wait_for(80);
    let report = load.stop();
    report.expect_no_failures();
    assert!(report.bodies["far"] > 10 && report.bodies["near"] > report.bodies["far"], "{report:?}");
}

#[test]
fn status_and_metrics_say_where_an_endpoint_stands_also_after_a_reload() {
    let (a, b) = (Endpoint::answering("a"), Endpoint::answering("b"));
    let config = |zone: &str, tier: u32| {
        let endpoints = list(&[(&a, &format!("zone = {zone:?}")), (&b, &format!("tier = {tier}"))]);
        format!("listen = \"{{listen}}\"\nzone = \"west\"\nto = {endpoints}\n")
    };
    let proxy = Tidegate::with(config("west", 1)).start();
    let stands = |tier: &str, zone: &str| {
        proxy.metrics().sum("tidegate_endpoint_info", &[("tier", tier), ("zone", zone)]) > 0.5
    };
    eventually("both are said", || stands("0", "west") && stands("1", ""));
    let status = proxy.admin("/status").text();
    assert!(status.contains("\"tier\":1") && status.contains("\"zone\":\"west\""), "{status}");
    proxy.reload(&config("east", 2));
    eventually("what holds is said", || stands("0", "east") && stands("2", ""));
    eventually("what held before is not", || !stands("0", "west") && !stands("1", ""));
}
