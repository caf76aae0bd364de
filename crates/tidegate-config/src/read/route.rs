//! Routes: what is done with a request that matches.
//!
//! It does not know the other routes; names and overlaps are for [`crate::check`].

use std::collections::BTreeSet;

use crate::document::{Node, Value};
use crate::keys::ROUTE;
use crate::problem::{Problem, Span};
use crate::read::matcher::{is_field_value, matcher};
use crate::read::rate_limit::rate_limit;
use crate::read::{Inherited, Placed, cluster, is_table};
use crate::scheme::Written;
use crate::suggest::did_you_mean;
use crate::walk::{Field, Section, Walk, set};
use crate::{
    Address, Answer, Cluster, GrpcStatus, Hedge, Matcher, Priority, Redirect, RedirectPart, Retry,
    RetryBudget, RetryOn, RouteLimits, RouteRate, RouteTimeouts, StatusRange,
};

const NAME_BYTES_MAX: usize = 128;

/// A route that may still lack a name, and a cluster that does.
#[derive(Debug)]
pub(crate) struct RouteDraft {
    pub(crate) name: Option<Placed<String>>,
    pub(crate) matcher: Matcher,
    /// False when a part of it did not read; then it says nothing about other routes.
    pub(crate) matcher_holds: bool,
    /// `None`: it did not read, and what the route takes is still looked at.
    pub(crate) action: Option<ActionDraft>,
    pub(crate) rate_limit: RouteRate,
    /// What to underline when the route as a whole is meant.
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum ActionDraft {
    Answer(Answer),
    Forward(Box<ForwardDraft>),
    Redirect(Redirect),
}

/// A [`crate::Forward`] whose cluster may still lack a name.
#[derive(Debug)]
pub(crate) struct ForwardDraft {
    pub(crate) target: Target,
    pub(crate) preserve_host: bool,
    pub(crate) timeout: RouteTimeouts,
    pub(crate) limit: RouteLimits,
    pub(crate) retry: Retry,
    pub(crate) priority: Priority,
    pub(crate) hedge: Option<Hedge>,
}

/// Where `to` points.
#[derive(Debug)]
pub(crate) enum Target {
    /// A cluster to be named after the route.
    Inline(Box<Cluster>),
    /// A `[cluster.NAME]` that exists.
    Named(String),
}

/// Each `[[route]]`, then the shorthand `to`.
pub(super) fn routes(
    walk: &mut Walk,
    root: &Section<'_>,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Vec<RouteDraft> {
    let mut routes = Vec::new();
    if let Some(field) = root.field("route") {
        for node in field.items(walk) {
            routes.extend(route(walk, &field, node, inherited, clusters));
        }
    }
    if let Some(field) = root.field("to") {
        let action = target(walk, &field, None, inherited, clusters).map(|target| {
            let timeout = inherited.timeout.route.clone();
            let (limit, retry) = (inherited.limit.route.clone(), inherited.retry.clone());
            let (hedge, priority) = (inherited.hedge, Priority::default());
            let forward =
                ForwardDraft { target, preserve_host: true, timeout, limit, retry, hedge, priority };
            ActionDraft::Forward(Box::new(forward))
        });
        routes.push(RouteDraft {
            name: None,
            matcher: Matcher::default(),
            matcher_holds: true,
            action,
            rate_limit: RouteRate::Inherited,
            span: field.key_span,
        });
    }
    routes
}

fn route(
    walk: &mut Walk,
    field: &Field<'_>,
    node: &Node,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Option<RouteDraft> {
    let Some(section) = Section::open(walk, &ROUTE, "route", node) else {
        walk.report(field.wrong_at(node).help("write `[[route]]`"));
        return None;
    };
    let name = section.field("name").and_then(|field| name(walk, &field));
    let errors = walk.error_count();
    let matcher = matcher(walk, &section);
    let matcher_holds =
        walk.error_count() == errors && !walk.has_misplaced(&["host", "path", "method", "header"]);
    let rate_limit = match rate_limit(walk, &section) {
        Some(Some(limit)) => RouteRate::Own(limit),
        Some(None) => RouteRate::Off,
        None => RouteRate::Inherited,
    };
    let action = action(walk, &section, inherited, clusters);
    Some(RouteDraft { name, matcher, matcher_holds, action, rate_limit, span: section.span })
}

fn name(walk: &mut Walk, field: &Field<'_>) -> Option<Placed<String>> {
    let Some(text) = field.text() else { return field.refuse(walk) };
    if text.trim().is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let label = format!("1 to {NAME_BYTES_MAX} bytes, no control characters");
        walk.report(field.wrong().label(label));
        return None;
    }
    Some(Placed { value: text.to_owned(), span: field.span() })
}

/// Exactly one of the three. Where there are more, the mistakes in each are told all the same.
fn action(
    walk: &mut Walk,
    section: &Section<'_>,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Option<ActionDraft> {
    let given: Vec<Field<'_>> =
        ["to", "answer", "redirect"].into_iter().filter_map(|n| section.field(n)).collect();
    if given.len() != 1 && !(given.is_empty() && walk.has_misplaced(&["to", "answer", "redirect"])) {
        walk.report(not_one_action(section, &given));
    }
    if let [field] = given.as_slice()
        && field.key.name != "to"
    {
        without_upstream(walk, section, field.key.name);
    }
    if given.is_empty() {
        cluster::of_nobody(walk, section, inherited);
        forward_to(walk, section, inherited, None);
    }
    let mut action = None;
    for field in &given {
        action = match field.key.name {
            "to" => forward(walk, section, field, inherited, clusters),
            "answer" => section
                .section(walk, "answer")
                .and_then(|table| answer(walk, &table))
                .map(ActionDraft::Answer),
            _ => section
                .section(walk, "redirect")
                .and_then(|table| redirect(walk, &table))
                .map(ActionDraft::Redirect),
        };
    }
    action
}

fn not_one_action(section: &Section<'_>, given: &[Field<'_>]) -> Problem {
    match given {
        [first, second, ..] => {
            let title =
                format!("a route has one of `{}` and `{}`, not both", first.key.name, second.key.name);
            Problem::error(second.key_span.clone(), title).context(first.key_span.clone(), "the other one")
        }
        _ => Problem::error(section.span.clone(), "this route says nothing about what to do")
            .help("add `to = \"127.0.0.1:8001\"`, or an `answer`, or a `redirect`"),
    }
}

/// Keys that belong to a cluster, and that a route has for endpoints on the spot.
const OF_CLUSTERS: [&str; 9] = [
    "tls",
    "balance",
    "sticky",
    "health",
    "passive",
    "breaker",
    "failure_statuses",
    "send_proxy_protocol",
    "endpoint_http2",
];

/// Keys of the way to a cluster.
const OF_FORWARDING: [&str; 6] = ["retry", "hedge", "timeout", "limit", "preserve_host", "priority"];

/// Keys that only make sense with an upstream must not stand beside a local answer.
fn without_upstream(walk: &mut Walk, section: &Section<'_>, action: &str) {
    for name in OF_CLUSTERS.into_iter().chain(OF_FORWARDING) {
        if let Some(field) = section.field(name) {
            let title = format!("`{name}` has no effect on a route with `{action}`");
            walk.report(Problem::error(field.key_span, title).help("leave it out"));
        }
    }
}

fn forward(
    walk: &mut Walk,
    section: &Section<'_>,
    to: &Field<'_>,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Option<ActionDraft> {
    let target = target(walk, to, Some(section), inherited, clusters);
    match &target {
        Some(Target::Inline(_)) => {}
        Some(Target::Named(name)) => without_inline(walk, section, name),
        None => cluster::of_nobody(walk, section, inherited),
    }
    forward_to(walk, section, inherited, target).map(|forward| ActionDraft::Forward(Box::new(forward)))
}

/// The way to a cluster, whose mistakes are told even if nobody knows which.
fn forward_to(
    walk: &mut Walk,
    section: &Section<'_>,
    inherited: &Inherited,
    target: Option<Target>,
) -> Option<ForwardDraft> {
    let mut timeout = inherited.timeout.route.clone();
    if let Some(table) = section.section(walk, "timeout") {
        timeouts(walk, &table, &mut timeout);
    }
    let mut limit = inherited.limit.route.clone();
    if let Some(table) = section.section(walk, "limit") {
        limits(walk, &table, &mut limit);
    }
    let retry = retry(walk, section, &inherited.retry).unwrap_or_else(|| inherited.retry.clone());
    let hedge = hedge(walk, section).unwrap_or(inherited.hedge);
    let preserve_host = section.boolean(walk, "preserve_host").unwrap_or(true);
    let priority = section.field("priority").and_then(|field| priority(walk, &field)).unwrap_or_default();
    Some(ForwardDraft { target: target?, preserve_host, timeout, limit, retry, hedge, priority })
}

fn priority(walk: &mut Walk, field: &Field<'_>) -> Option<Priority> {
    match field.word(walk)? {
        "high" => Some(Priority::High),
        "low" => Some(Priority::Low),
        _ => Some(Priority::Normal),
    }
}

/// What belongs to a named cluster is said there, once.
fn without_inline(walk: &mut Walk, section: &Section<'_>, cluster: &str) {
    for name in OF_CLUSTERS {
        if let Some(field) = section.field(name) {
            let title = format!("`{name}` has no effect here: `to` names a cluster");
            walk.report(
                Problem::error(field.key_span, title).help(format!("move it to `[cluster.{cluster}]`")),
            );
        }
    }
}

/// A cluster's name, an address, or a list. `section` may say how endpoints on the spot are spoken to.
fn target(
    walk: &mut Walk,
    field: &Field<'_>,
    section: Option<&Section<'_>>,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Option<Target> {
    let text = match &field.node.value {
        Value::Text { text, .. } => text,
        Value::List(_) => {
            let listed = cluster::endpoints(walk, field);
            if listed.endpoints.is_empty() {
                return None;
            }
            let cluster = cluster::of(walk, section, &field.span(), listed, inherited);
            return Some(Target::Inline(Box::new(cluster)));
        }
        _ => return field.refuse(walk),
    };
    if clusters.contains(text.as_str()) {
        return Some(Target::Named(text.clone()));
    }
    if cluster::is_cluster_name(text) {
        walk.report(undefined(field.node, text, clusters));
        return None;
    }
    let written = field.parse::<Written>(walk, "address")?;
    let listed = cluster::Listed::one(written, field.span());
    let cluster = cluster::of(walk, section, &field.span(), listed, inherited);
    Some(Target::Inline(Box::new(cluster)))
}

pub(super) fn undefined(node: &Node, name: &str, clusters: &BTreeSet<&str>) -> Problem {
    let problem = Problem::error(node.span.clone(), format!("no cluster is called `{name}`"));
    if let Some(near) = did_you_mean(name, &clusters.iter().copied().collect::<Vec<_>>()) {
        return problem.label("not defined").help(format!("did you mean `{near}`?"));
    }
    let define = format!("define `[cluster.{name}]`");
    match format!("{name}:80").parse::<Address>() {
        Ok(address) if name == "localhost" || name.contains('.') => problem
            .label("not defined")
            .help(format!("for an address add a port, as in \"{address}\"; or {define}")),
        _ => problem.label("not defined").help(define),
    }
}

/// The limits that a route may change.
pub(super) fn limits(walk: &mut Walk, section: &Section<'_>, limit: &mut RouteLimits) {
    set(&mut limit.body_bytes, section.size_or_off(walk, "body_bytes"));
    set(&mut limit.body_rate, section.size_or_off(walk, "body_rate"));
}

/// The stages that a route may change.
pub(super) fn timeouts(walk: &mut Walk, section: &Section<'_>, timeout: &mut RouteTimeouts) {
    set(&mut timeout.queue, section.duration(walk, "queue"));
    set(&mut timeout.connect, section.duration(walk, "connect"));
    set(&mut timeout.attempt, section.duration_or_off(walk, "attempt"));
    set(&mut timeout.first_byte, section.duration_or_off(walk, "first_byte"));
    set(&mut timeout.body_idle, section.duration(walk, "body_idle"));
    set(&mut timeout.total, section.duration_or_off(walk, "total"));
    set(&mut timeout.tunnel_idle, section.duration_or_off(walk, "tunnel_idle"));
    let Some(total) = timeout.total else { return };
    let stages = [
        ("connect", Some(timeout.connect)),
        ("attempt", timeout.attempt),
        ("first_byte", timeout.first_byte),
    ];
    for (name, stage) in stages {
        if stage > Some(total)
            && let Some(field) = section.field(name)
        {
            let title = format!("`{}` has no effect: `total` ends the request first", field.path);
            walk.report(Problem::warning(field.span(), title));
        }
    }
}

/// The `retry` of a section; `None` when it says nothing.
pub(super) fn retry(walk: &mut Walk, section: &Section<'_>, inherited: &Retry) -> Option<Retry> {
    let field = section.field("retry")?;
    if field.is_refused() {
        return Some(Retry { attempts: 1, ..inherited.clone() });
    }
    match &field.node.value {
        Value::Boolean(_) => Some(Retry::default()),
        Value::Table(_) => {
            let table = field.section(walk)?;
            let mut retry = inherited.clone();
            set(&mut retry.attempts, table.integer(walk, "attempts"));
            set(&mut retry.on, table.field("on").map(|on| retry_on(walk, &on)));
            let budget = retry_budget(walk, &table, retry.budget);
            set(&mut retry.budget, budget);
            set(&mut retry.backoff, table.duration_or_off(walk, "backoff").map(Option::unwrap_or_default));
            set(&mut retry.body_bytes, table.size_or_off(walk, "body_bytes").map(Option::unwrap_or_default));
            warn_of_no_effect(walk, &table, &retry);
            Some(retry)
        }
        _ => field.refuse(walk),
    }
}

/// The `hedge` of a section; `None` when it says nothing.
pub(super) fn hedge(walk: &mut Walk, section: &Section<'_>) -> Option<Option<Hedge>> {
    let field = section.field("hedge")?;
    if field.is_refused() {
        return Some(None);
    }
    let mut hedge = Hedge::default();
    match &field.node.value {
        Value::Boolean(_) => {}
        Value::Table(_) => {
            let table = field.section(walk)?;
            set(&mut hedge.percent, table.integer(walk, "percent"));
        }
        _ => return field.refuse(walk),
    }
    Some(Some(hedge))
}

/// Words and statuses, mixed.
fn retry_on(walk: &mut Walk, field: &Field<'_>) -> RetryOn {
    let mut on =
        RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new(), grpc: Vec::new() };
    for node in field.items(walk) {
        let looks_like_status = match &node.value {
            Value::Text { text, .. } => text.starts_with(|first: char| first.is_ascii_digit()),
            _ => true,
        };
        if looks_like_status {
            on.statuses
                .extend(cluster::status(walk, field, node).filter(|range| fails(walk, field, node, *range)));
            continue;
        }
        match field.word_at(walk, node) {
            Some("connect") => on.connect = true,
            Some("reset") => on.reset = true,
            Some("timeout") => on.timeout = true,
            Some(word) if word.starts_with("grpc_") => {
                on.grpc.extend(GrpcStatus::ALL.into_iter().find(|status| status.word() == word));
            }
            _ => {}
        }
    }
    on.statuses = cluster::joined(on.statuses);
    on.grpc.sort_unstable();
    on.grpc.dedup();
    on
}

/// An answer below 400 is a success.
fn fails(walk: &mut Walk, field: &Field<'_>, node: &Node, range: StatusRange) -> bool {
    if range.first < 400 {
        let help = "only answers from 400 to 599 say that another endpoint may do better";
        walk.report(field.is_no("failure of an endpoint", node).help(help));
    }
    range.first >= 400
}

fn retry_budget(
    walk: &mut Walk,
    table: &Section<'_>,
    inherited: Option<RetryBudget>,
) -> Option<Option<RetryBudget>> {
    let field = table.field("budget")?;
    if field.is_refused() {
        return Some(None);
    }
    if !is_table(field.node) {
        return field.refuse(walk);
    }
    let section = field.section(walk)?;
    let mut budget = inherited.unwrap_or_default();
    set(&mut budget.percent, section.integer(walk, "percent"));
    set(&mut budget.per_second, section.integer(walk, "per_second"));
    Some(Some(budget))
}

/// A single try leaves the other keys nothing to say.
fn warn_of_no_effect(walk: &mut Walk, table: &Section<'_>, retry: &Retry) {
    if retry.attempts > 1 {
        return;
    }
    for name in ["on", "budget", "backoff", "body_bytes"] {
        if let Some(field) = table.field(name) {
            let title = format!("`{}` has no effect: with one attempt nothing is tried again", field.path);
            walk.report(Problem::warning(field.span(), title));
        }
    }
}

fn answer(walk: &mut Walk, section: &Section<'_>) -> Option<Answer> {
    let status = section.integer(walk, "status").unwrap_or(200);
    let status = u16::try_from(status).ok()?;
    let body = section.text(walk, "body").unwrap_or_default().to_owned();
    let has_no_body = matches!(status, 204 | 205 | 304); // RFC 9110 §15.3.5, §15.3.6, §15.4.5
    if has_no_body
        && !body.is_empty()
        && let Some(field) = section.field("body")
    {
        let title = format!("an answer with status {status} has no body");
        walk.report(Problem::error(field.span(), title).help("leave `body` out, or choose another status"));
    }
    if has_no_body && let Some(field) = section.field("content_type") {
        let title = format!("`{}` has no effect: an answer with status {status} has no body", field.path);
        walk.report(Problem::error(field.key_span, title).help("leave it out, or choose another status"));
    }
    let mut content_type = "text/plain; charset=utf-8".to_owned();
    if let Some(field) = section.field("content_type") {
        match field.text() {
            Some(text) if is_field_value(text) && text.contains('/') => text.clone_into(&mut content_type),
            _ => walk.report(field.wrong()),
        }
    }
    Some(Answer { status, body, content_type })
}

fn redirect(walk: &mut Walk, section: &Section<'_>) -> Option<Redirect> {
    let status = section.field("status").and_then(|field| redirect_status(walk, &field));
    let Some(field) = section.field("to") else {
        let problem = Problem::error(section.span.clone(), "this redirect goes nowhere");
        walk.report(problem.help("add `to = \"https://{host}{path}{query}\"`"));
        return None;
    };
    let Some(text) = field.text() else { return field.refuse(walk) };
    match location(text) {
        Ok(to) => Some(Redirect { to, status: status.unwrap_or(308) }),
        Err((label, help)) => {
            walk.report(field.wrong().label(label).help(help));
            None
        }
    }
}

fn redirect_status(walk: &mut Walk, field: &Field<'_>) -> Option<u16> {
    let status = match &field.node.value {
        Value::Integer(number) => u16::try_from(*number).ok(),
        _ => return field.refuse(walk),
    };
    if let Some(status @ (301 | 302 | 303 | 307 | 308)) = status {
        return Some(status);
    }
    let title = format!("`{}` takes 301, 302, 303, 307 or 308", field.path);
    let problem = Problem::error(field.span(), title).label(format!("found {}", field.node.value));
    walk.report(problem.help("308 and 307 keep the method; 308 and 301 are for good"));
    None
}

type LocationError = (&'static str, String);

/// `https://example.com{path}` in pieces; `{{` is a plain `{`.
fn location(text: &str) -> Result<Vec<RedirectPart>, LocationError> {
    let parts = pieces(text)?;
    if !["http://", "https://", "/"].iter().any(|start| text.starts_with(start)) {
        return Err((
            "it begins with no scheme and no `/`",
            "write \"https://example.com{path}{query}\"".into(),
        ));
    }
    if ["//", "/{path}", "/{host}"].iter().any(|start| text.starts_with(start)) {
        // `//evil.example` names a host (RFC 3986 §4.2), and the client chooses what `{path}` is.
        return Err(("it may lead to any host", "write \"https://{host}{path}{query}\"".into()));
    }
    if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(("a URL has visible ASCII only", "write other bytes as `%20`".into()));
    }
    Ok(parts)
}

fn pieces(text: &str) -> Result<Vec<RedirectPart>, LocationError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            literal.push('{');
            rest = after;
            continue;
        }
        let (name, after) =
            after.split_once('}').ok_or(("`{` is never closed", "for a plain `{` write `{{`".to_owned()))?;
        if !literal.is_empty() {
            parts.push(RedirectPart::Literal(std::mem::take(&mut literal)));
        }
        parts.push(placeholder(name)?);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(RedirectPart::Literal(literal));
    }
    Ok(parts)
}

fn placeholder(name: &str) -> Result<RedirectPart, LocationError> {
    match name {
        "host" => Ok(RedirectPart::Host),
        "path" => Ok(RedirectPart::Path),
        "query" => Ok(RedirectPart::Query),
        _ => {
            let near = did_you_mean(name, &["host", "path", "query"]);
            let help = near.map(|near| format!("did you mean `{{{near}}}`?"));
            let known = "known are `{host}`, `{path}` and `{query}`; for a plain `{` write `{{`";
            Err(("a placeholder that nothing knows", help.unwrap_or_else(|| known.into())))
        }
    }
}
