//! A fleet that is known well, whose favourite falls silent: whoever waits on it is answered by another one.
//!
//! Knows no protocol; what is left over afterwards is for each test to look at.

use tidegate_testkit::http2::Http2Endpoint;
use tidegate_testkit::{Endpoint, Proxy, Script, eventually};

/// Balances so that there is a favourite, and asks somebody else when it is silent.
pub(crate) const HEDGES: &str = "balance = \"adaptive\"\nhedge = { percent = 50 }\n";

pub(crate) trait Silenced {
    /// How many requests it has seen.
    fn asked(&self) -> usize;
    /// From here on it answers nothing.
    fn fall_silent(&mut self);
}

impl Silenced for Endpoint {
    fn asked(&self) -> usize {
        self.request_count()
    }

    fn fall_silent(&mut self) {
        self.kill();
        self.change(Script::is_silent());
        self.revive();
    }
}

impl Silenced for Http2Endpoint {
    fn asked(&self) -> usize {
        self.requests().len()
    }

    fn fall_silent(&mut self) {
        Self::fall_silent(self);
    }
}

/// Every request is answered long before any timeout. Returns the position of the one that fell silent, and how many it
/// had answered.
pub(crate) fn falls_silent(proxy: &Proxy, endpoints: &mut [impl Silenced]) -> (usize, usize) {
    let mut client = proxy.client();
    for _ in 0..150 {
        assert_eq!(client.get("/").status, 200); // the fleet's usual latency is learned
    }
    let favourite = (0..endpoints.len()).max_by_key(|index| endpoints[*index].asked()).unwrap();
    endpoints[favourite].fall_silent();
    let before = endpoints[favourite].asked();
    // Whoever is not the cheapest any more, by chance, is asked all the same when nothing was heard of him for two seconds.
    eventually("somebody else has answered what it was asked", || {
        for _ in 0..50 {
            assert_eq!(client.get("/").status, 200, "long before any timeout");
        }
        proxy.metrics().sum("tidegate_cluster_hedges_total", &[("outcome", "won")]) > 0.5
    });
    (favourite, before)
}
