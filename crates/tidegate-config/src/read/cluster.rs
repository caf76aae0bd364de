//! Clusters and what belongs to them: endpoints and their health.
//!
//! It does not know which routes use them, nor the algorithms.

use std::collections::HashMap;

use crate::document::{Node, Value};
use crate::keys::{CLUSTER, ENDPOINT};
use crate::problem::{Problem, Span};
use crate::read::balance::balance;
use crate::read::endpoint_tls::{Place, endpoint_tls};
use crate::read::matcher::path_problem;
use crate::read::sticky::sticky;
use crate::read::{Inherited, Placed, cluster_limits, is_table};
use crate::scheme::Written;
use crate::walk::{Field, Section, Walk, set};
use crate::{Address, Balance, Breaker, Cluster, Endpoint, HealthCheck, PassiveHealth, Probe, StatusRange};

const NAME_BYTES_MAX: usize = 64;

/// All of `[cluster.NAME]`, in the order of the file.
pub(super) fn named(walk: &mut Walk, root: &Section<'_>, inherited: &Inherited) -> Vec<Placed<Cluster>> {
    let Some(field) = root.field("cluster") else { return Vec::new() };
    let Value::Table(entries) = &field.node.value else {
        walk.report(field.wrong().help("write `[cluster.NAME]`"));
        return Vec::new();
    };
    let mut clusters = Vec::new();
    for entry in entries {
        if !is_cluster_name(&entry.key) {
            let title = format!("{:?} cannot name a cluster", entry.key);
            let help = "letters, digits, `.`, `_` and `-` make a name, 64 at most";
            walk.report(Problem::error(entry.key_span.clone(), title).help(help));
        }
        let value = cluster(walk, &entry.key, &entry.node, inherited);
        clusters.push(Placed { value, span: entry.key_span.clone() });
    }
    clusters
}

pub(crate) fn is_cluster_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn cluster(walk: &mut Walk, name: &str, node: &Node, inherited: &Inherited) -> Cluster {
    let Some(section) = Section::open(walk, &CLUSTER, &format!("cluster.{name}"), node) else {
        let title = format!("`cluster.{name}` takes a table");
        walk.report(Problem::error(node.span.clone(), title).label(format!("found {}", node.value)));
        return Cluster { name: name.to_owned(), ..inline(Vec::new(), inherited) };
    };
    let mut listed = Listed::default();
    match section.field("endpoints") {
        Some(field) => listed = endpoints(walk, &field),
        None if walk.has_misplaced(&["endpoints"]) => {}
        None => {
            let problem = Problem::error(section.span.clone(), format!("cluster `{name}` has no endpoints"));
            walk.report(problem.help("add `endpoints = [\"127.0.0.1:8001\"]`"));
        }
    }
    let mut cluster = of(walk, Some(&section), &section.span, listed, inherited);
    name.clone_into(&mut cluster.name);
    if let Some(section) = section.section(walk, "limit") {
        cluster_limits(walk, &section, &mut cluster.limit);
    }
    cluster
}

/// The cluster of these endpoints, wherever they are listed: by `[cluster.NAME]`, by a route, or at the top, where no section says
/// more of them than what all inherit. `span` is what to underline when it does not fit together.
pub(super) fn of(
    walk: &mut Walk,
    section: Option<&Section<'_>>,
    span: &Span,
    listed: Listed,
    inherited: &Inherited,
) -> Cluster {
    let tls = endpoint_tls(walk, section, &listed.places);
    let mut cluster = Cluster { tls, ..inline(listed.endpoints, inherited) };
    if let Some(section) = section {
        override_inherited(walk, section, &mut cluster);
    }
    check_protocols(walk, span, &cluster);
    check_zones(walk, span, &cluster, inherited);
    cluster
}

/// The mistakes in what a route says of endpoints that nobody knows.
pub(super) fn of_nobody(walk: &mut Walk, section: &Section<'_>, inherited: &Inherited) {
    of(walk, Some(section), &section.span, Listed::default(), inherited);
}

/// A cluster without a name, as the top of the file wants it.
fn inline(endpoints: Vec<Endpoint>, inherited: &Inherited) -> Cluster {
    Cluster {
        name: String::new(),
        endpoints,
        tls: None,
        balance: inherited.balance.clone(),
        sticky: inherited.sticky.clone(),
        health: inherited.health.clone(),
        passive: inherited.passive.clone(),
        breaker: inherited.breaker.clone(),
        failure_statuses: inherited.failure_statuses.clone(),
        send_proxy_protocol: inherited.send_proxy_protocol,
        http2: inherited.endpoint_http2,
        limit: inherited.limit.cluster.clone(),
    }
}

/// `balance`, `sticky`, `health`, `passive`, `breaker` and their like of a cluster or of a route with endpoints on the spot.
fn override_inherited(walk: &mut Walk, section: &Section<'_>, cluster: &mut Cluster) {
    set(&mut cluster.balance, balance(walk, section));
    set(&mut cluster.sticky, sticky(walk, section));
    set(&mut cluster.health, health(walk, section));
    set(&mut cluster.passive, passive(walk, section));
    set(&mut cluster.breaker, breaker(walk, section));
    set(&mut cluster.failure_statuses, failure_statuses(walk, section));
    set(&mut cluster.send_proxy_protocol, send_proxy_protocol(walk, section));
    set(&mut cluster.http2, section.boolean(walk, "endpoint_http2"));
}

/// What is not spoken over HTTP/2, and what over nothing else.
fn check_protocols(walk: &mut Walk, span: &Span, cluster: &Cluster) {
    if !cluster.http2
        && let Some(HealthCheck { probe: Probe::Grpc { .. }, .. }) = &cluster.health
    {
        let title = "checks by gRPC need `endpoint_http2 = true`";
        walk.report(Problem::error(span.clone(), title).help("gRPC is spoken over HTTP/2 alone"));
    }
    if cluster.http2 && cluster.send_proxy_protocol {
        let title = "`endpoint_http2` and `send_proxy_protocol` exclude each other";
        let help =
            "a connection of HTTP/2 carries the requests of many clients: X-Forwarded-For names each of them";
        walk.report(Problem::error(span.clone(), title).help(help));
    }
}

/// Endpoints, and how and where they were written.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) places: Vec<Place>,
}

impl Listed {
    pub(super) fn one(written: Written, span: Span) -> Self {
        Self { endpoints: vec![Endpoint::new(written.address.clone())], places: vec![(written, span)] }
    }
}

/// A list of addresses and tables.
pub(super) fn endpoints(walk: &mut Walk, field: &Field<'_>) -> Listed {
    let items = field.items(walk);
    if items.is_empty() && matches!(field.node.value, Value::List(_)) {
        walk.report(
            Problem::error(field.span(), format!("`{}` is empty", field.path)).help("add an address"),
        );
    }
    let mut listed = Listed::default();
    let mut places = HashMap::new();
    for item in items {
        let Some((endpoint, written)) = endpoint(walk, field, item) else { continue };
        if let Some(first) = places.insert(endpoint.address.clone(), item.span.clone()) {
            let title = format!("`{}` is listed twice", endpoint.address);
            let problem = Problem::error(item.span.clone(), title).context(first, "first listed here");
            walk.report(problem.help("for a larger share give it a `weight`"));
        }
        listed.endpoints.push(endpoint);
        listed.places.push((written, item.span.clone()));
    }
    listed
}

fn endpoint(walk: &mut Walk, field: &Field<'_>, item: &Node) -> Option<(Endpoint, Written)> {
    if !is_table(item) {
        let written = field.parse_at::<Written>(walk, "address", item)?;
        return Some((Endpoint::new(written.address.clone()), written));
    }
    let section = Section::open(walk, &ENDPOINT, &field.path, item)?;
    // Before the address, without which there is no endpoint: mistakes in the others are told all the same.
    let (weight, tier) = (section.integer(walk, "weight"), section.integer(walk, "tier"));
    let (zone, requests) = (zone(walk, &section), section.integer(walk, "requests"));
    let Some(address) = section.field("address") else {
        walk.report(Problem::error(item.span.clone(), "an endpoint needs an `address`"));
        return None;
    };
    let written = address.parse::<Written>(walk, "address")?;
    let mut endpoint = Endpoint { zone, requests, ..Endpoint::new(written.address.clone()) };
    set(&mut endpoint.weight, weight);
    set(&mut endpoint.tier, tier.and_then(|tier| u8::try_from(tier).ok()));
    Some((endpoint, written))
}

/// The `zone` of the proxy or of an endpoint.
pub(super) fn zone(walk: &mut Walk, section: &Section<'_>) -> Option<String> {
    let text = section.text(walk, "zone")?;
    if is_cluster_name(text) {
        return Some(text.to_owned());
    }
    let field = section.field("zone")?;
    walk.report(field.wrong().help("letters, digits, `.`, `_` and `-` make a name, 64 at most"));
    None
}

/// Zones that change nothing are said in vain.
fn check_zones(walk: &mut Walk, span: &Span, cluster: &Cluster, inherited: &Inherited) {
    if cluster.endpoints.iter().all(|endpoint| endpoint.zone.is_none()) {
        return;
    }
    let (title, help) = match &cluster.balance {
        Balance::Adaptive { .. } if inherited.zone.is_some() => return,
        Balance::Adaptive { .. } => (
            "these zones have no effect: nobody knows where the proxy stands".to_owned(),
            "add `zone = \"a\"` at the top, with the proxy's own",
        ),
        other => (
            format!("these zones have no effect with the algorithm {:?}", other.word()),
            "only \"adaptive\" prefers endpoints that are near; a `tier` works with all",
        ),
    };
    walk.report(Problem::warning(span.clone(), title).help(help));
}

/// The `send_proxy_protocol` of a section; `None` when it says nothing.
pub(super) fn send_proxy_protocol(walk: &mut Walk, section: &Section<'_>) -> Option<bool> {
    let field = section.field("send_proxy_protocol")?;
    if field.is_refused() {
        return Some(false);
    }
    field.word(walk).map(|word| word == "v2")
}

/// The `passive` of a section; `None` when it says nothing.
pub(super) fn passive(walk: &mut Walk, section: &Section<'_>) -> Option<Option<PassiveHealth>> {
    let field = section.field("passive")?;
    if field.is_refused() {
        return Some(None);
    }
    let mut passive = PassiveHealth::default();
    match &field.node.value {
        Value::Boolean(_) => {}
        Value::Table(_) => {
            let table = field.section(walk)?;
            set(&mut passive.connect_failures, table.integer(walk, "connect_failures"));
            set(&mut passive.retry_after, table.duration(walk, "retry_after"));
        }
        _ => return field.refuse(walk),
    }
    Some(Some(passive))
}

/// The `breaker` of a section; `None` when it says nothing.
pub(super) fn breaker(walk: &mut Walk, section: &Section<'_>) -> Option<Option<Breaker>> {
    let field = section.field("breaker")?;
    if field.is_refused() {
        return Some(None);
    }
    match &field.node.value {
        Value::Boolean(_) => Some(Some(Breaker::default())),
        Value::Table(_) => {
            let table = field.section(walk)?;
            Some(Some(breaker_table(walk, &table)))
        }
        _ => field.refuse(walk),
    }
}

fn breaker_table(walk: &mut Walk, table: &Section<'_>) -> Breaker {
    let mut breaker = Breaker::default();
    set(&mut breaker.failures, table.integer_or_off(walk, "failures"));
    set(&mut breaker.margin_percent, table.integer_or_off(walk, "margin_percent"));
    set(&mut breaker.requests, table.integer(walk, "requests"));
    set(&mut breaker.period, table.duration(walk, "period"));
    set(&mut breaker.ejected_percent, table.integer(walk, "ejected_percent"));
    set(&mut breaker.retry_after, table.duration(walk, "retry_after"));
    set(&mut breaker.retry_after_max, table.duration(walk, "retry_after_max"));
    if breaker.retry_after > breaker.retry_after_max {
        let place = table.field("retry_after_max").or_else(|| table.field("retry_after"));
        let span = place.map_or(table.span.clone(), |field| field.span());
        let title = "`retry_after` is longer than `retry_after_max`, up to which it is doubled";
        walk.report(Problem::error(span, title).help("make `retry_after_max` the longer one"));
    }
    if breaker.failures.is_none() && breaker.margin_percent.is_none() {
        let title = "this breaker has nothing to break for";
        let help = "leave `failures` or `margin_percent` on, or write `breaker = \"off\"`";
        walk.report(Problem::error(table.span.clone(), title).help(help));
    }
    breaker
}

/// The `failure_statuses` of a section; `None` when it says nothing.
pub(super) fn failure_statuses(walk: &mut Walk, section: &Section<'_>) -> Option<Vec<StatusRange>> {
    let field = section.field("failure_statuses")?;
    statuses(walk, &field)
}

/// The `health` of a section; `None` when it says nothing.
pub(super) fn health(walk: &mut Walk, section: &Section<'_>) -> Option<Option<HealthCheck>> {
    let field = section.field("health")?;
    if field.is_refused() {
        return Some(None);
    }
    let check = match &field.node.value {
        Value::Boolean(_) => HealthCheck::default(),
        Value::Table(_) => {
            let table = field.section(walk)?;
            health_table(walk, &table)
        }
        Value::Text { text, .. } if text == "tcp" => HealthCheck::default(),
        Value::Text { .. } => {
            HealthCheck { probe: http_probe(health_path(walk, &field)?), ..HealthCheck::default() }
        }
        _ => return field.refuse(walk),
    };
    Some(Some(check))
}

fn http_probe(path: String) -> Probe {
    Probe::Http { path, host: None, expect: vec![StatusRange { first: 200, last: 399 }] }
}

/// The path of a check may have a query.
fn health_path(walk: &mut Walk, field: &Field<'_>) -> Option<String> {
    let Some(text) = field.text() else { return field.refuse(walk) };
    let path = text.split('?').next().unwrap_or(text);
    let query_fits = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match path_problem(path) {
        None if query_fits => return Some(text.to_owned()),
        None => walk.report(field.wrong().label("a query has visible ASCII only, and no `#`")),
        Some(words) => walk.report(field.wrong().label(words)),
    }
    None
}

fn health_table(walk: &mut Walk, table: &Section<'_>) -> HealthCheck {
    let mut check = HealthCheck { probe: probe(walk, table), ..HealthCheck::default() };
    set(&mut check.interval, table.duration(walk, "interval"));
    check.jitter = check.interval / 10;
    set(&mut check.jitter, table.duration_or_off(walk, "jitter").map(Option::unwrap_or_default));
    set(&mut check.timeout, table.duration(walk, "timeout"));
    set(&mut check.rise, table.integer(walk, "rise"));
    set(&mut check.fall, table.integer(walk, "fall"));
    if check.timeout > check.interval {
        let title = "this check may still wait when the next one is due";
        let place = table.field("timeout").or_else(|| table.field("interval"));
        let span = place.map_or(table.span.clone(), |field| field.span());
        walk.report(Problem::warning(span, title).help("make `timeout` no longer than `interval`"));
    }
    if check.jitter > check.interval
        && let Some(field) = table.field("jitter")
    {
        let title = "`jitter` is longer than `interval`: checks come at hardly any rhythm";
        walk.report(Problem::warning(field.span(), title));
    }
    check
}

fn probe(walk: &mut Walk, table: &Section<'_>) -> Probe {
    let http_only: Vec<Field<'_>> =
        ["path", "host", "expect"].into_iter().filter_map(|n| table.field(n)).collect();
    let word = table.field("type").and_then(|field| field.word(walk));
    if word == Some("tcp") {
        for field in &http_only {
            let title = format!("`{}` has no effect on a check of type \"tcp\"", field.path);
            walk.report(
                Problem::error(field.key_span.clone(), title).help("leave it out, or set `type = \"http\"`"),
            );
        }
    }
    let service = table.text(walk, "service");
    if word == Some("grpc") {
        for field in &http_only {
            let title = format!("`{}` has no effect on a check of type \"grpc\"", field.path);
            walk.report(Problem::error(field.key_span.clone(), title).help("leave it out"));
        }
        return Probe::Grpc { service: service.unwrap_or_default().to_owned() };
    }
    if let Some(field) = table.field("service") {
        let title = format!("`{}` is for checks of type \"grpc\" alone", field.path);
        walk.report(Problem::error(field.key_span, title).help("add `type = \"grpc\"`"));
    }
    if word == Some("tcp") || (word.is_none() && http_only.is_empty()) {
        return Probe::Tcp;
    }
    let path = table.field("path").and_then(|field| health_path(walk, &field));
    let mut probe = http_probe(path.unwrap_or_else(|| "/".into()));
    if let Probe::Http { host, expect, .. } = &mut probe {
        *host = table.field("host").and_then(|field| probe_host(walk, &field));
        set(expect, table.field("expect").and_then(|field| statuses(walk, &field)));
    }
    probe
}

/// A host, with or without a port.
fn probe_host(walk: &mut Walk, field: &Field<'_>) -> Option<String> {
    let Some(text) = field.text() else { return field.refuse(walk) };
    let fits = text.parse::<crate::Host>().is_ok() || text.parse::<Address>().is_ok_and(|a| !is_unix(&a));
    if fits { Some(text.to_owned()) } else { field.refuse(walk) }
}

fn is_unix(address: &Address) -> bool {
    matches!(address, Address::Unix(_))
}

/// Sorted and joined, so that equal sets are equal.
fn statuses(walk: &mut Walk, field: &Field<'_>) -> Option<Vec<StatusRange>> {
    let nodes = field.one_or_many();
    if nodes.is_empty() {
        return field.refuse(walk);
    }
    Some(joined(nodes.iter().filter_map(|node| status(walk, field, node)).collect()))
}

pub(super) fn joined(mut ranges: Vec<StatusRange>) -> Vec<StatusRange> {
    ranges.sort_unstable();
    let mut joined: Vec<StatusRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.first <= last.last + 1 => last.last = last.last.max(range.last),
            _ => joined.push(range),
        }
    }
    joined
}

pub(super) fn status(walk: &mut Walk, field: &Field<'_>, node: &Node) -> Option<StatusRange> {
    let range = match &node.value {
        Value::Integer(number) => u16::try_from(*number).ok().map(|first| (first, first)),
        Value::Text { text, .. } => status_text(text),
        _ => None,
    };
    match range {
        Some((first, last)) if 100 <= first && first <= last && last <= 599 => {
            Some(StatusRange { first, last })
        }
        _ => {
            walk.report(
                field
                    .is_no("status and no range of them", node)
                    .help("statuses go from 100 to 599: 204, \"200-399\" or [200, 204]"),
            );
            None
        }
    }
}

fn status_text(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}
