//! A well-behaved client beside an attack: it must not feel anything of it, and the proxy's memory must come back.
//!
//! Knows how often it asked and what it got. How long that took is for `cargo xtask soak` to say, which has the machine
//! for itself.

use std::time::Duration;

use tidegate_testkit::process::resident_bytes;
use tidegate_testkit::{Endpoint, Load, Proxy, eventually};

/// How much one attacking connection may cost at its worst, and how much all together may leave behind.
const ATTACKER_BYTES_MAX: u64 = 16 << 20;

/// How often the canary is to be served before and after an attack.
const SIGNS_OF_LIFE: u64 = 5;

/// A route of its own to an endpoint of its own, so that nobody counts its requests with others.
pub(crate) fn route_to(endpoint: &Endpoint) -> String {
    format!("\n[[route]]\npath = {{ exact = \"{PATH}\" }}\nto = {:?}\n", endpoint.address())
}

const PATH: &str = "/canary";

pub(crate) struct Canary {
    load: Load,
    proxy: u32,
    resident_before: u64,
}

impl Canary {
    /// Served already when this returns.
    pub(crate) fn before(proxy: &Proxy) -> Self {
        let load = Load::paced(proxy.address(), 1, PATH, Duration::from_millis(2));
        load.wait_for(SIGNS_OF_LIFE);
        Self { load, proxy: proxy.id(), resident_before: resident_bytes(proxy.id()) }
    }

    /// At the height of an attack by so many connections.
    pub(crate) fn watch(&self, attackers: u64) {
        let grown = resident_bytes(self.proxy).saturating_sub(self.resident_before);
        assert!(grown < ATTACKER_BYTES_MAX * attackers, "{grown} bytes for {attackers} connections");
    }

    /// After it: no request of the canary failed, it is still served, and the memory is back.
    pub(crate) fn survives(self) {
        let (proxy, bound) = (self.proxy, self.resident_before + ATTACKER_BYTES_MAX);
        self.load.wait_for(SIGNS_OF_LIFE);
        self.load.stop().expect_no_failures();
        eventually("the memory is back", || resident_bytes(proxy) < bound);
    }
}
