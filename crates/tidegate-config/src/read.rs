//! From sections to values: the whole file, top-down.
//!
//! What comes out is a [`Draft`]: every value read and inherited, names and references not yet looked at as a
//! whole. That is the part of [`crate::check`].

mod acme_dns;
mod balance;
mod cluster;
mod endpoint_tls;
mod listener;
mod matcher;
mod passage;
mod rate_limit;
mod route;
mod sticky;
mod tls;

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use ipnet::IpNet;

use crate::document::{Node, Value};
use crate::keys::ROOT;
use crate::problem::{Problem, Span};
use crate::walk::{Section, Walk, set};
use crate::{
    Balance, Bind, Breaker, Cluster, ClusterLimits, EndpointRequests, HealthCheck, Hedge, Limits, Listener,
    Log, PassiveHealth, RateLimit, RequestLimit, Retry, StatusRange, Sticky, Timeouts, Workers,
};

pub(crate) use route::{ActionDraft, ForwardDraft, RouteDraft, Target};

/// Everything the file says, with the places that later checks point at.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) workers: Workers,
    pub(crate) zone: Option<String>,
    pub(crate) admin: Option<Placed<Bind>>,
    pub(crate) log: Log,
    pub(crate) limit: Limits,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) timeout: Timeouts,
    pub(crate) listeners: Vec<Placed<Listener>>,
    /// A listener of which nothing was said.
    pub(crate) plain: Listener,
    pub(crate) routes: Vec<RouteDraft>,
    pub(crate) clusters: Vec<Placed<Cluster>>,
    /// A listener or a route did not even read: do not complain that there is none.
    pub(crate) incomplete: bool,
}

/// A value and where it was said.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// What the top of the file says for everyone.
#[derive(Debug)]
struct Inherited {
    balance: Balance,
    sticky: Option<Sticky>,
    health: Option<HealthCheck>,
    passive: Option<PassiveHealth>,
    breaker: Option<Breaker>,
    failure_statuses: Vec<StatusRange>,
    retry: Retry,
    hedge: Option<Hedge>,
    trusted_proxies: Vec<IpNet>,
    zone: Option<String>,
    proxy_protocol_from: Vec<IpNet>,
    send_proxy_protocol: bool,
    endpoint_http2: bool,
    limit: Limits,
    timeout: Timeouts,
}

impl Default for Inherited {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            sticky: None,
            health: None,
            passive: Some(PassiveHealth::default()),
            breaker: None,
            failure_statuses: crate::cluster::default_failure_statuses(),
            retry: Retry::default(),
            hedge: None,
            trusted_proxies: Vec::new(),
            zone: None,
            proxy_protocol_from: Vec::new(),
            send_proxy_protocol: false,
            endpoint_http2: false,
            limit: Limits::default(),
            timeout: Timeouts::default(),
        }
    }
}

/// Reads the whole document; `None` when it is no table.
pub(crate) fn read(walk: &mut Walk, node: &Node) -> Option<Draft> {
    let root = Section::open(walk, &ROOT, "", node)?;
    let inherited = inherited(walk, &root);
    let clusters = cluster::named(walk, &root, &inherited);
    let names: BTreeSet<&str> = clusters.iter().map(|cluster| cluster.value.name.as_str()).collect();
    let routes = route::routes(walk, &root, &inherited, &names);
    let (listeners, admin) =
        (listener::listeners(walk, &root, &inherited, &names), listener::admin(walk, &root));
    let given = |name| root.field(name).is_some();
    let incomplete = (listeners.is_empty() && (given("listen") || given("listener")))
        || (routes.is_empty() && (given("to") || given("route")));
    let (workers, log) = (workers(walk, &root), listener::log(walk, &root));
    let rate_limit = rate_limit::rate_limit(walk, &root).flatten();
    let plain = listener::plain(Bind::Tcp { host: None, port: 80 }, &inherited);
    let Inherited { limit, timeout, zone, .. } = inherited;
    Some(Draft {
        workers,
        zone,
        admin,
        log,
        limit,
        rate_limit,
        timeout,
        listeners,
        plain,
        routes,
        clusters,
        incomplete,
    })
}

fn inherited(walk: &mut Walk, root: &Section<'_>) -> Inherited {
    let mut inherited = Inherited::default();
    set(&mut inherited.balance, balance::balance(walk, root));
    set(&mut inherited.sticky, sticky::sticky(walk, root));
    set(&mut inherited.health, cluster::health(walk, root));
    set(&mut inherited.passive, cluster::passive(walk, root));
    set(&mut inherited.breaker, cluster::breaker(walk, root));
    set(&mut inherited.failure_statuses, cluster::failure_statuses(walk, root));
    inherited.zone = cluster::zone(walk, root);
    set(&mut inherited.send_proxy_protocol, cluster::send_proxy_protocol(walk, root));
    set(&mut inherited.endpoint_http2, root.boolean(walk, "endpoint_http2"));
    set(&mut inherited.retry, route::retry(walk, root, &Retry::default()));
    set(&mut inherited.hedge, route::hedge(walk, root));
    set(&mut inherited.trusted_proxies, listener::trusted_proxies(walk, root));
    set(&mut inherited.proxy_protocol_from, listener::proxy_protocol_from(walk, root));
    if let Some(section) = root.section(walk, "limit") {
        limits(walk, &section, &mut inherited.limit);
    }
    if let Some(section) = root.section(walk, "timeout") {
        timeouts(walk, &section, &mut inherited.timeout);
    }
    inherited
}

fn limits(walk: &mut Walk, section: &Section<'_>, limit: &mut Limits) {
    set(&mut limit.head_bytes, section.size(walk, "head_bytes"));
    set(&mut limit.field_count, section.integer(walk, "field_count"));
    set(&mut limit.target_bytes, section.size(walk, "target_bytes"));
    set(&mut limit.connections, section.integer(walk, "connections"));
    set(&mut limit.streams, section.integer(walk, "streams"));
    set(&mut limit.connections_per_client, section.integer_or_off(walk, "connections_per_client"));
    useful_per_client(walk, section, limit);
    set(&mut limit.handshakes, handshakes(walk, section));
    set(&mut limit.requests, requests(walk, section));
    route::limits(walk, section, &mut limit.route);
    cluster_limits(walk, section, &mut limit.cluster);
    if limit.target_bytes > limit.head_bytes
        && let Some(field) = section.field("target_bytes").or_else(|| section.field("head_bytes"))
    {
        let title = "`target_bytes` is larger than `head_bytes`, which holds it";
        walk.report(Problem::error(field.span(), title).help("make `head_bytes` the larger one"));
    }
}

/// Whoever is stopped by the larger limit first never meets the smaller.
fn useful_per_client(walk: &mut Walk, section: &Section<'_>, limit: &Limits) {
    if limit.connections_per_client > Some(limit.connections)
        && let Some(field) = section.field("connections_per_client")
    {
        let title = format!("`connections_per_client` has no effect: `connections` is {}", limit.connections);
        walk.report(Problem::warning(field.span(), title).help("make it smaller, or leave it out"));
    }
}

fn cluster_limits(walk: &mut Walk, section: &Section<'_>, limit: &mut ClusterLimits) {
    set(&mut limit.endpoint_requests, endpoint_requests(walk, section));
    set(&mut limit.queued_requests, section.integer(walk, "queued_requests"));
    set(&mut limit.pending_requests, section.integer(walk, "pending_requests"));
    set(&mut limit.upstream_idle_connections, section.integer(walk, "upstream_idle_connections"));
    set(&mut limit.upstream_connections, section.integer_or_off(walk, "upstream_connections"));
}

fn requests(walk: &mut Walk, section: &Section<'_>) -> Option<RequestLimit> {
    let field = section.field("requests")?;
    if field.text() == Some("auto") {
        return Some(RequestLimit::Auto);
    }
    field.integer(walk).map(RequestLimit::Most)
}

/// `Some(None)`: as many as keep the workers busy.
fn handshakes(walk: &mut Walk, section: &Section<'_>) -> Option<Option<u32>> {
    let field = section.field("handshakes")?;
    if field.text() == Some("auto") {
        return Some(None);
    }
    field.integer(walk).map(Some)
}

fn endpoint_requests(walk: &mut Walk, section: &Section<'_>) -> Option<EndpointRequests> {
    let field = section.field("endpoint_requests")?;
    match field.text() {
        Some("auto") => Some(EndpointRequests::Auto),
        Some("off") => Some(EndpointRequests::Off),
        _ => field.integer(walk).map(EndpointRequests::Most),
    }
}

fn timeouts(walk: &mut Walk, section: &Section<'_>, timeout: &mut Timeouts) {
    set(&mut timeout.head, section.duration(walk, "head"));
    set(&mut timeout.handshake, section.duration(walk, "handshake"));
    set(&mut timeout.keep_alive, section.duration(walk, "keep_alive"));
    set(&mut timeout.upstream_idle, section.duration(walk, "upstream_idle"));
    set(&mut timeout.tcp_keep_alive, section.duration_or_off(walk, "tcp_keep_alive"));
    set(&mut timeout.tcp_unacknowledged, section.duration_or_off(walk, "tcp_unacknowledged"));
    set(&mut timeout.drain, section.duration(walk, "drain"));
    route::timeouts(walk, section, &mut timeout.route);
}

fn workers(walk: &mut Walk, root: &Section<'_>) -> Workers {
    let Some(field) = root.field("workers") else { return Workers::default() };
    if field.text() == Some("auto") {
        return Workers::Auto;
    }
    field.integer(walk).and_then(NonZeroU32::new).map_or(Workers::Auto, Workers::Count)
}

/// Whether a value is a table: many keys take a short form or a table.
fn is_table(node: &Node) -> bool {
    matches!(node.value, Value::Table(_))
}
