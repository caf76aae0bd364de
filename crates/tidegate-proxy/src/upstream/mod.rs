//! The side of the service: where endpoints are, connections to them, and the pools that keep those. Chooses nothing.

mod connect;
mod introduce;
mod pool;
mod shelf;
mod slots;

pub(crate) use connect::{Connection, Dial, connect, connect_untimed};
pub(crate) use introduce::{Carries, introduce, introduction};
pub(crate) use pool::EndpointPool;
pub(crate) use slots::Slot;
pub use slots::Slots;

use crate::failure::{Blame, Cause, Failure, Stage};
use crate::tls::Originator;
use arc_swap::{ArcSwap, ArcSwapOption};
use shelf::Shelves;
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use tidegate_balance::EndpointId;
use tidegate_http::proxy_protocol::LOCAL;

/// Where one endpoint is, and what all workers share about the connections to it. The same object across snapshots as
/// long as the endpoint keeps its id.
#[derive(Debug)]
pub struct Upstream {
    pub id: EndpointId,
    /// What the name resolved to, in the order to try; empty while it has not resolved.
    pub addresses: ArcSwap<Vec<Address>>,
    /// The `Host` for endpoints that want their own name: as configured, without a `unix:` path, and without the port of
    /// https where that is spoken.
    pub authority: Arc<str>,
    /// Connections of all workers that are open now, idle ones included.
    pub open: Arc<AtomicUsize>,
    /// Idle connections in the pools of all workers.
    pub idle: AtomicUsize,
    /// Those of them that any worker may take, by who keeps them.
    shelves: Shelves,
    /// How often `addresses` have become others.
    moves: AtomicUsize,
    /// Position in `addresses` that connected last.
    pub preferred: AtomicUsize,
    /// How the last connect failed that did, if it was not for our own want of anything.
    connect_failure: ArcSwapOption<Failure>,
    /// One for each connection that may be in use, over all workers; `None`: as many as are needed.
    pub slots: Option<Slots>,
    /// Connections begin with a header of the PROXY protocol that names the client, and carry nobody else's requests.
    pub introduces_clients: bool,
    /// How connections are encrypted; `None`: they are not.
    pub tls: Option<Originator>,
    /// HTTP/2 is spoken, many requests on a connection; otherwise HTTP/1.1.
    pub http2: bool,
    pub(crate) asks_for_bodies: AsksForBodies,
}

impl Upstream {
    /// `connections_max`: connections in use at once, over all workers; idle ones do not count.
    pub fn new(id: EndpointId, addresses: Vec<Address>, connections_max: Option<usize>) -> Self {
        let authority =
            if id.address.starts_with("unix:") { Arc::from("localhost") } else { Arc::clone(&id.address) };
        Self {
            id,
            addresses: ArcSwap::from_pointee(addresses),
            authority,
            open: Arc::default(),
            idle: AtomicUsize::new(0),
            shelves: Shelves::default(),
            moves: AtomicUsize::new(0),
            preferred: AtomicUsize::new(0),
            connect_failure: ArcSwapOption::empty(),
            slots: connections_max.map(Slots::new),
            introduces_clients: false,
            tls: None,
            http2: false,
            asks_for_bodies: AsksForBodies::default(),
        }
    }

    pub(crate) fn connect_failed(&self, cause: Cause) {
        let failure = Failure::new(Stage::Connect, cause);
        if failure.blame() == Blame::Upstream && self.connect_failure.load().as_deref() != Some(&failure) {
            self.connect_failure.store(Some(Arc::new(failure)));
        }
    }

    /// Why the last connect failed that did, in the word of logs and metrics.
    pub fn connect_failure(&self) -> Option<&'static str> {
        self.connect_failure.load().as_deref().map(Failure::word)
    }

    /// What a connection has to begin with that carries no client's requests, such as a health check.
    pub fn begins_our_own(&self) -> &'static [u8] {
        if self.introduces_clients { LOCAL } else { b"" }
    }

    /// It is elsewhere now, and may be another server: connections to addresses that are not among these make no more requests.
    pub fn move_to(&self, addresses: Vec<Address>) {
        self.addresses.store(Arc::new(addresses));
        self.moves.fetch_add(1, Release); // whoever sees it sees those addresses
        self.asks_for_bodies.learn(false);
    }

    pub(crate) fn moves(&self) -> usize {
        self.moves.load(Acquire)
    }

    #[must_use]
    pub fn speaking_http2(self, http2: bool) -> Self {
        Self { http2, ..self }
    }

    #[must_use]
    pub fn introducing_clients(self, introduces_clients: bool) -> Self {
        Self { introduces_clients, ..self }
    }

    #[must_use]
    pub fn encrypted(mut self, tls: Option<Originator>) -> Self {
        if tls.is_some()
            && let Some(host) = self.authority.strip_suffix(":443")
        {
            self.authority = host.into();
        }
        self.tls = tls;
        self
    }
}

/// Whether the endpoint asks clients for their bodies that wait for that: it did so last. RFC 9110 §10.1.1 has all servers say 100
/// (Continue) or answer at once, but not all know it: clients wait for those in vain, and send their bodies after a while.
#[derive(Debug, Default)]
pub(crate) struct AsksForBodies(AtomicBool);

impl AsksForBodies {
    pub(crate) fn is_known(&self) -> bool {
        self.0.load(Relaxed) // a fact of its own, ordering nothing
    }

    pub(crate) fn learn(&self, asks: bool) {
        if self.is_known() != asks {
            self.0.store(asks, Relaxed);
        }
    }
}

/// Where a connection leads.
#[derive(Debug)]
pub(crate) struct Dialled {
    to: Address,
    /// So many moves have left its endpoint there.
    moves: Cell<usize>,
}

impl Dialled {
    pub(crate) fn new(to: Address, moves: usize) -> Self {
        Self { to, moves: Cell::new(moves) }
    }

    /// Whether the endpoint is still there.
    pub(crate) fn holds(&self, upstream: &Upstream) -> bool {
        let moves = upstream.moves();
        let holds = moves == self.moves.get() || upstream.addresses.load().contains(&self.to);
        if holds {
            self.moves.set(moves);
        }
        holds
    }
}

/// Something that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_elsewhere_may_be_another_server() {
        let id = EndpointId { cluster: "app".into(), address: "app:80".into() };
        let upstream = Upstream::new(id, Vec::new(), None);
        assert!(!upstream.asks_for_bodies.is_known(), "it has not done so yet");
        upstream.asks_for_bodies.learn(true);
        assert!(upstream.asks_for_bodies.is_known());
        upstream.move_to(vec![Address::Tcp("10.0.0.1:80".parse().unwrap())]);
        assert!(!upstream.asks_for_bodies.is_known());
    }

    #[test]
    fn a_connection_is_of_use_as_long_as_the_endpoint_has_its_address() {
        let id = EndpointId { cluster: "app".into(), address: "app:80".into() };
        let [here, there] = ["10.0.0.1:80", "10.0.0.2:80"].map(|at| Address::Tcp(at.parse().unwrap()));
        let upstream = Upstream::new(id, vec![here.clone()], None);
        let dialled = Dialled::new(here.clone(), upstream.moves());
        assert!(dialled.holds(&upstream));
        upstream.move_to(vec![there.clone(), here]);
        assert!(dialled.holds(&upstream), "it has another one besides");
        upstream.move_to(vec![there]);
        assert!(!dialled.holds(&upstream));
    }
}
