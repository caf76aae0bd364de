//! The immutable view that requests are served by: built whole by the control plane, swapped whole, never edited.
//!
//! Knows no configuration file: every inheritance and default has been resolved before.

use crate::client_counts::ClientCounts;
use crate::queue::Waiting;
use crate::rate_limit::RateLimit;
use crate::route::RouteTable;
use crate::sticky::Sticky;
use crate::tls::Terminator;
use crate::tls::challenges::Challenges;
use crate::tls::client_hello::ClientHello;
use crate::upstream::Upstream;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tidegate_balance::{Balancer, Priority, RetryBudget, RetryIncome};

pub use tidegate_balance::StatusSet;
pub use tidegate_http::HeadLimits;
pub use tidegate_sys::{Keepalive, Presence};

/// Everything a worker needs to serve requests.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with every publication.
    pub generation: u64,
    pub listeners: Vec<Arc<Listener>>,
    pub routes: RouteTable,
    /// `Action::Forward` points into this list.
    pub clusters: Vec<Arc<Cluster>>,
    pub limits: ProxyLimits,
    /// What authorities are shown.
    pub challenges: Arc<Challenges>,
}

/// A bound address and what it speaks.
#[derive(Debug)]
pub struct Listener {
    /// What makes it the same listener across reloads: the bind address as configured.
    pub key: Arc<str>,
    /// What takes encrypted connections; `None`: they come in the clear.
    pub tls: Option<Arc<Terminator>>,
    /// Requests at once of one client connection that speaks HTTP/2; `None`: none does.
    pub streams_max: Option<u32>,
    /// Sends requests to `https://` and this port; `None`: serves them.
    pub redirect_https: Option<u16>,
    /// A line that answers carry where they are encrypted and endpoints do not say it themselves, or nothing.
    pub strict_transport: Arc<str>,
    /// Where connections go that are passed on as they are; `None`: all are of HTTP.
    pub passage: Option<Passage>,
    /// Connections open at once on this listener, over all workers.
    pub connections_max: usize,
    /// The count that `connections_max` bounds; the same object as in the previous snapshot.
    pub connections: Arc<AtomicUsize>,
    /// Clients whose statements about other clients are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Peers whose connections begin with a header of the PROXY protocol; nobody else's may.
    pub proxy_protocol_from: Vec<IpNet>,
    pub head_limits: HeadLimits,
    /// From the first byte of a head to its end.
    pub head_timeout: Duration,
    /// Between requests, on a connection that the client keeps open.
    pub keep_alive_timeout: Duration,
    /// When a client is taken for gone that does not even acknowledge.
    pub presence: Presence,
}

impl Listener {
    /// Whether connections from there begin with a header of the PROXY protocol.
    pub fn introduces(&self, address: IpAddr) -> bool {
        self.proxy_protocol_from.iter().any(|network| network.contains(&address))
    }

    /// How the clients of this listener reach us.
    pub fn scheme(&self) -> &'static str {
        match &self.passage {
            Some(passage) if passage.rest.is_some() || self.tls.is_none() => "tcp",
            _ if self.tls.is_some() => "https",
            _ => "http",
        }
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// What becomes of connections that are not of HTTP, or not for us to decrypt. Clusters are positions in
/// `Snapshot::clusters`.
#[derive(Debug)]
pub struct Passage {
    /// By the name in the first message of TLS, in lower case; `*.` before those that are for all names below, `*` alone for
    /// whatever name, or none. Of several the first counts that takes the client. What goes one of these is not decrypted.
    pub names: HashMap<String, Vec<Course>>,
    /// For all others, decrypted where the listener does that; `None`: they are of HTTP if it does, else refused.
    pub rest: Option<Course>,
}

/// One way that connections go.
#[derive(Debug)]
pub struct Course {
    pub cluster: usize,
    /// Only clients that want to speak one of these in TLS; empty: all.
    pub protocols: Vec<Box<[u8]>>,
    pub policy: Policy,
}

impl Course {
    fn takes(&self, hello: &ClientHello) -> bool {
        let is_offered = |wanted: &[u8]| hello.protocols.iter().any(|offered| offered == wanted);
        self.protocols.is_empty() || self.protocols.iter().any(|wanted| is_offered(wanted))
    }
}

impl Passage {
    /// That of its own name, before that of the longest name above it, before that of any.
    pub(crate) fn course_of(&self, hello: &ClientHello) -> Option<&Course> {
        let of = |name: &str| self.names.get(name)?.iter().find(|course| course.takes(hello));
        let mut name = hello.server_name.as_deref().unwrap_or_default();
        let mut found = of(name);
        while let (None, Some((_, above))) = (found, name.split_once('.')) {
            found = of(&format!("*.{above}"));
            name = above;
        }
        found.or_else(|| of("*"))
    }
}

/// Limits of the whole proxy.
#[derive(Clone, Debug)]
pub struct ProxyLimits {
    /// Client connections open at once, over all listeners and workers.
    pub connections_max: usize,
    /// `None`: one client may have all of them.
    pub connections_per_client: Option<PerClient>,
    /// TLS handshakes with clients that a worker has under way at once.
    pub handshakes_max: usize,
    pub workspaces: WorkspaceLimits,
}

/// How much memory clients can make the proxy use.
#[derive(Clone, Copy, Debug)]
pub struct WorkspaceLimits {
    /// Requests in service at once, over all workers: each is lent one.
    pub lent_max: usize,
    /// Idle ones kept by a worker; more are freed when a burst is over. Fewer than requests in flight mean clearing fresh
    /// buffers for some of them; of a kept one only the pages that were used take memory.
    pub spare_max: usize,
    /// How many of a worker may hold more than a usual buffer of what their peers did not take.
    pub oversized_max: usize,
    /// How many of a worker may keep a body for another attempt.
    pub kept_bodies_max: usize,
    /// How many connections of a worker may speak HTTP/2.
    pub http2_connections_max: usize,
    /// How many of those may send much of a body before it is taken.
    pub wide_windows_max: usize,
}

/// How many connections one client may have open at once, over all listeners and workers.
#[derive(Clone, Debug)]
pub struct PerClient {
    pub connections_max: u32,
    /// The counts that it bounds; the same object as in the previous snapshot.
    pub counts: Arc<ClientCounts>,
}

/// What matched, and what to do about it.
#[derive(Debug)]
pub struct Route {
    /// The name in log lines and metric labels.
    pub name: Arc<str>,
    pub action: Action,
    pub policy: Policy,
    /// The same object as in the previous snapshot while it stays the same limit; shared by routes that count together.
    pub rate_limit: Option<Arc<RateLimit>>,
}

#[derive(Debug)]
pub enum Action {
    /// Forward to `Snapshot::clusters[index]`.
    Forward { cluster: usize },
    /// Answer from here.
    Answer { status: u16, content_type: Arc<str>, body: Arc<[u8]> },
    /// Answer with a `Location`.
    Redirect { status: u16, location: Vec<LocationPart> },
}

/// A piece of a redirect's `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationPart {
    /// The host that was asked for, without its port.
    Host,
    Literal(String),
    /// The canonical path.
    Path,
    /// The query with its `?`, or nothing.
    Query,
}

/// What a route demands of its requests.
#[derive(Clone, Debug)]
pub struct Policy {
    pub timeouts: Timeouts,
    /// Refuse longer request bodies with 413; `None`: no limit.
    pub body_bytes_max: Option<u64>,
    /// Bytes a second that a client must send of a request's body while it is waited for; `None`: as slow as it likes.
    pub body_rate_min: Option<u64>,
    pub retry: RetryPolicy,
    /// What pays for second attempts beside a first that waits on a stalled endpoint; `None`: there are none.
    pub hedge: Option<RetryIncome>,
    /// Whose turn it is first when requests wait for an endpoint with room.
    pub priority: Priority,
    /// Send the client's Host on; otherwise the endpoint's own address as configured.
    pub preserve_host: bool,
}

/// When a request is tried again, and with how much of what.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Tries in all, the first included; at least 1.
    pub attempts_max: u32,
    /// After a failed connect.
    pub on_connect: bool,
    /// After a connection that broke before any byte of an answer, where RFC 9110 §9.2.2 allows.
    pub on_reset: bool,
    /// After an answer that did not begin in time, where RFC 9110 §9.2.2 allows.
    pub on_timeout: bool,
    /// After an answer with one of these, where RFC 9110 §9.2.2 allows and somebody else can be asked.
    pub on_status: StatusSet,
    /// After a gRPC call that ended at once with one of these statuses: a bit for each.
    pub on_grpc: u32,
    /// What pays for retries; `None`: nobody counts.
    pub budget: Option<RetryIncome>,
    /// Before the third attempt and, doubled each time, before later ones; by chance between half of it and all.
    pub backoff: Duration,
    /// Of a request body, kept for a second attempt.
    pub body_bytes_max: usize,
}

impl RetryPolicy {
    /// One attempt, whatever comes of it.
    pub const NEVER: Self = Self {
        attempts_max: 1,
        on_connect: false,
        on_reset: false,
        on_timeout: false,
        on_status: StatusSet::EMPTY,
        on_grpc: 0,
        budget: None,
        backoff: Duration::ZERO,
        body_bytes_max: 0,
    };
}

/// `Duration::MAX` means none.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For an endpoint with room, when all are full.
    pub queue: Duration,
    /// To establish one connection to an endpoint.
    pub connect: Duration,
    /// From the pick of an endpoint to its answer's head.
    pub attempt: Duration,
    /// From the end of the request to the answer's head.
    pub first_byte: Duration,
    /// Without a byte of a body, in either direction.
    pub body_idle: Duration,
    /// From the head of the request to the end of the answer, retries included.
    pub total: Duration,
    /// Without a byte in either direction of a tunnel.
    pub tunnel_idle: Duration,
}

/// A named set of interchangeable endpoints.
#[derive(Debug)]
pub struct Cluster {
    pub name: Arc<str>,
    pub balancer: Balancer,
    /// Where to connect; `upstreams[i]` belongs to `balancer.endpoints()[i]`.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Endpoints are spoken HTTP/2 with, many requests on a connection; otherwise HTTP/1.1.
    pub http2: bool,
    /// What affinity is computed from, for algorithms that use a hash.
    pub hash_key: HashKey,
    /// The cookie that brings clients back, whatever the algorithm.
    pub sticky: Option<Sticky>,
    /// Requests that wait for an endpoint with room; the same object as in the previous snapshot.
    pub waiting: Arc<Waiting>,
    /// How many may, over all workers.
    pub queued_requests_max: usize,
    /// Requests that wait for a connection to an endpoint at once, over all workers.
    pub pending_max: usize,
    /// The count that `pending_max` bounds; the same object as in the previous snapshot.
    pub pending: Arc<AtomicUsize>,
    /// What retries are paid from; the same object as in the previous snapshot.
    pub retry_budget: Arc<RetryBudget>,
    /// What second attempts beside a first are paid from; the same object as in the previous snapshot.
    pub hedge_budget: Arc<RetryBudget>,
    /// Idle connections kept per endpoint, over all workers.
    pub idle_connections_max: usize,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// When an endpoint is taken for gone that does not even acknowledge.
    pub presence: Presence,
    /// What the endpoints' heads may cost.
    pub head_limits: HeadLimits,
}

impl Cluster {
    /// Whether it is the same one, of whatever snapshot.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.waiting, &other.waiting)
    }
}

/// The part of a request that consistent hashing is done on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    ClientAddress,
    /// The value of this cookie.
    Cookie(Arc<str>),
    /// The value of this field, by lower-case name.
    Header(Arc<str>),
    /// For algorithms that do not hash.
    None,
    /// The canonical path without the query.
    Path,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_a_wildcard_the_longest_of_those_before_others_and_each_by_its_protocols() {
        let timeouts = Timeouts {
            queue: Duration::ZERO,
            connect: Duration::ZERO,
            attempt: Duration::ZERO,
            first_byte: Duration::ZERO,
            body_idle: Duration::ZERO,
            total: Duration::ZERO,
            tunnel_idle: Duration::ZERO,
        };
        let policy = || Policy {
            timeouts,
            body_bytes_max: None,
            body_rate_min: None,
            retry: RetryPolicy::NEVER,
            hedge: None,
            priority: Priority::default(),
            preserve_host: true,
        };
        let course = |(cluster, protocol): &(usize, &str)| Course {
            cluster: *cluster,
            protocols: Some(*protocol)
                .filter(|protocol| !protocol.is_empty())
                .map(|one| one.as_bytes().into())
                .into_iter()
                .collect(),
            policy: policy(),
        };
        let names = [
            ("a.b.c", vec![(0, "")]),
            ("*.b.c", vec![(1, "imap"), (2, "")]),
            ("*.c", vec![(3, "imap"), (4, "pop3")]),
            ("c", vec![(5, "")]),
            ("*", vec![(6, "pop3")]),
        ];
        let names = names.map(|(name, courses)| (name.to_owned(), courses.iter().map(course).collect()));
        let passage = Passage { names: names.into(), rest: None };
        for (name, protocols, expected) in [
            ("a.b.c", vec!["pop3"], Some(0)),
            ("x.b.c", vec![], Some(2)),
            ("x.b.c", vec!["smtp", "imap"], Some(1)),
            ("x.y.b.c", vec!["imap"], Some(1)),
            ("b.c", vec!["pop3"], Some(4)),
            ("b.c", vec!["smtp"], None),
            ("c", vec![], Some(5)),
            ("d", vec!["pop3"], Some(6)),
            ("", vec!["pop3"], Some(6)),
            ("", vec![], None),
        ] {
            let hello = ClientHello {
                server_name: Some(name.to_owned()).filter(|name| !name.is_empty()),
                protocols: protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
            };
            let found = passage.course_of(&hello).map(|course| course.cluster);
            assert_eq!(found, expected, "{name} {protocols:?}");
        }
    }
}
