//! The whole configuration, checked and complete: what the control plane lowers into a snapshot.
//!
//! Plain values only. It does not know the text it came from.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::{Bind, Cluster, ClusterLimits, Passage, RateLimit, Route, RouteLimits, RouteTimeouts, Tls};

/// Everything Tidegate was told, with every default filled in.
///
/// Holds: at least one listener; route names and cluster names are unique; every [`crate::Forward`] names a
/// cluster in `clusters`; no two listeners (the admin listener among them) bind the same address; no route is
/// unreachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many worker threads serve requests.
    pub workers: Workers,
    /// Where the proxy stands, as endpoints are told to; `None`: nobody knows.
    pub zone: Option<String>,
    /// Where `/metrics`, `/livez` and `/readyz` are served; `None` when switched off.
    pub admin: Option<Bind>,
    /// What is logged, and where to.
    pub log: Log,
    /// Limits of the whole proxy, and of what happens before a route is known.
    pub limit: Limits,
    /// How often somebody may ask, on all routes together that inherit it; `None`: any number of times.
    pub rate_limit: Option<RateLimit>,
    /// Timeouts of the whole proxy, and of what happens before a route is known.
    pub timeout: Timeouts,
    /// Where clients connect, in the order of the file.
    pub listeners: Vec<Listener>,
    /// What to do with a request, in the order of the file; the shorthand `to` comes last.
    pub routes: Vec<Route>,
    /// Sorted by name; inline endpoints have become clusters named after their route.
    pub clusters: Vec<Cluster>,
}

impl Config {
    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        let index = self.clusters.binary_search_by(|cluster| cluster.name.as_str().cmp(name)).ok()?;
        self.clusters.get(index)
    }
}

/// How many worker threads serve requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// One for each core the process may run on.
    #[default]
    Auto,
    /// Exactly this many.
    Count(NonZeroU32),
}

/// A bound address and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address to bind.
    pub bind: Bind,
    /// How it speaks TLS; `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Sends every request to `https://` and this port instead; `None`: serves them.
    pub redirect_https: Option<u16>,
    /// What is passed on as it is; `None`: nothing.
    pub passage: Option<Passage>,
    /// HTTP/2 is spoken with clients that want it, besides HTTP/1.1.
    pub http2: bool,
    /// Open client connections on this listener, at most; never above [`Limits::connections`].
    pub connections: u32,
    /// Peers whose `Forwarded` and `X-Forwarded-*` fields are believed; anyone else's are replaced.
    pub trusted_proxies: Vec<IpNet>,
    /// Peers whose connections begin with a header of the PROXY protocol; nobody else's may.
    pub proxy_protocol_from: Vec<IpNet>,
}

impl Listener {
    /// Whether it serves requests, besides what it passes on or alone.
    pub fn speaks_http(&self) -> bool {
        self.passage.as_ref().is_none_or(|passage| passage.rest.is_none() && self.tls.is_some())
    }
}

/// What is logged, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Where one line per finished request goes.
    pub access: LogTarget,
    /// How that line looks.
    pub format: LogFormat,
}

/// Where log lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    Off,
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

/// How an access log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line for human eyes.
    Text,
}

/// Limits of the whole proxy. Each answers or closes when it is reached, and counts that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request head, request line and all fields together; also a response head.
    pub head_bytes: u64,
    /// Field lines of one head.
    pub field_count: u32,
    /// The request target alone.
    pub target_bytes: u64,
    /// Open client connections, all listeners together.
    pub connections: u32,
    /// Requests at once of one client connection that speaks HTTP/2.
    pub streams: u32,
    /// Open connections of one client, all listeners together; `None`: as many as of all clients.
    pub connections_per_client: Option<u32>,
    /// TLS handshakes with clients under way at once, over all workers; `None`: as many as keep them busy.
    pub handshakes: Option<u32>,
    /// Requests in service, all listeners together.
    pub requests: RequestLimit,
    /// What routes inherit.
    pub route: RouteLimits,
    /// What clusters inherit.
    pub cluster: ClusterLimits,
}

/// How many requests may be in service at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLimit {
    /// As many as the memory is enough for.
    Auto,
    /// At least 1.
    Most(u32),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            field_count: 100,
            target_bytes: 8 * 1024,
            connections: 10_000,
            streams: 100,
            connections_per_client: None,
            handshakes: None,
            requests: RequestLimit::Auto,
            route: RouteLimits::default(),
            cluster: ClusterLimits::default(),
        }
    }
}

/// Timeouts of the whole proxy. Every wait has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole request head, from its first byte (or from accept) to the empty line.
    pub head: Duration,
    /// A TLS handshake with a client, from the connection on.
    pub handshake: Duration,
    /// A client connection between two requests.
    pub keep_alive: Duration,
    /// A connection to an endpoint that waits to be used again.
    pub upstream_idle: Duration,
    /// A peer, of either side, that does not answer whether it is still there; `None`: it is not asked.
    pub tcp_keep_alive: Option<Duration>,
    /// A peer that acknowledges nothing, or takes nothing, of what was sent; `None`: what the kernel does by itself.
    pub tcp_unacknowledged: Option<Duration>,
    /// Open requests and tunnels after the order to stop; then they are cut.
    pub drain: Duration,
    /// What routes inherit, and what answers without a route use.
    pub route: RouteTimeouts,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            keep_alive: Duration::from_mins(1),
            upstream_idle: Duration::from_mins(1),
            tcp_keep_alive: Some(Duration::from_mins(2)),
            tcp_unacknowledged: None,
            drain: Duration::from_secs(30),
            route: RouteTimeouts::default(),
        }
    }
}
