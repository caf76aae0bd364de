//! The file as a whole: is there something to do, do listeners collide, can every route be reached?
//!
//! It turns a [`Draft`] into a [`Config`]; it does not know the text.

use std::collections::BTreeSet;

use crate::problem::Problem;
use crate::read::{ActionDraft, Draft, Placed, RouteDraft, Target};
use crate::walk::Walk;
use crate::{
    Action, Bind, Cluster, Config, Forward, HeaderMatch, HostPattern, Listener, Matcher, PathMatch, Route,
};

/// Checks and completes. What comes out only counts when nothing was reported as an error.
pub(crate) fn check(walk: &mut Walk, draft: Draft) -> Config {
    something_to_do(walk, &draft);
    listeners_apart(walk, &draft.listeners, draft.admin.as_ref());
    names_apart(walk, &draft.routes);
    routes_reachable(walk, &draft.routes);
    clusters_used(walk, &draft);
    complete(draft)
}

fn something_to_do(walk: &mut Walk, draft: &Draft) {
    if draft.incomplete {
        return;
    }
    if draft.listeners.is_empty() {
        let span = draft.routes.first().map_or(0..0, |route| route.span.clone());
        let problem = Problem::error(span, "nothing listens").help("add `listen = \":8080\"` at the top");
        walk.report(problem);
    }
    if draft.routes.is_empty() {
        let span = draft.listeners.first().map_or(0..0, |listener| listener.span.clone());
        let problem = Problem::error(span, "there is nothing to do with a request");
        walk.report(problem.help("add `to = \"127.0.0.1:8001\"` at the top, or a `[[route]]`"));
    }
}

fn listeners_apart(walk: &mut Walk, listeners: &[Placed<Listener>], admin: Option<&Placed<Bind>>) {
    for (index, listener) in listeners.iter().enumerate() {
        let bind = &listener.value.bind;
        if let Some(first) = listeners.iter().take(index).find(|first| first.value.bind.collides(bind)) {
            let title = format!("`{bind}` is taken by another listener, `{}`", first.value.bind);
            let problem = Problem::error(listener.span.clone(), title);
            walk.report(problem.context(first.span.clone(), "first bound here").help("keep one of them"));
        }
        if let Some(admin) = admin.filter(|admin| admin.value.collides(bind)) {
            let title = format!("`{bind}` is taken by the admin listener, `{}`", admin.value);
            let mut problem = Problem::error(listener.span.clone(), title);
            if !admin.span.is_empty() {
                problem = problem.context(admin.span.clone(), "bound here");
            }
            walk.report(problem.help("move one of them; `admin = \"off\"` switches it off"));
        }
    }
}

fn names_apart(walk: &mut Walk, routes: &[RouteDraft]) {
    let names: Vec<&Placed<String>> = routes.iter().filter_map(|route| route.name.as_ref()).collect();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = names.iter().take(index).find(|first| first.value == name.value) {
            let title = format!("two routes are called {:?}", name.value);
            walk.report(
                Problem::error(name.span.clone(), title).context(first.span.clone(), "first used here"),
            );
        }
    }
}

/// A route is unreachable when each of its hosts is taken by earlier routes that match all it matches.
fn routes_reachable(walk: &mut Walk, routes: &[RouteDraft]) {
    for (index, route) in routes.iter().enumerate() {
        let hosts = hosts_of(&route.matcher);
        let takers: Vec<Option<&RouteDraft>> = hosts
            .iter()
            .map(|host| {
                routes.iter().take(index).find(|earlier| takes_all(&earlier.matcher, *host, &route.matcher))
            })
            .collect();
        let Some(taker) = takers.iter().find_map(|taker| *taker) else { continue };
        let place = route.span.clone();
        let problem = if takers.iter().all(Option::is_some) {
            Problem::error(place, "this route is never reached")
                .help("put the one with more conditions first, or remove one of them")
        } else {
            let host =
                hosts.iter().zip(&takers).find(|(_, taker)| taker.is_some()).and_then(|(host, _)| *host);
            let host = host.map(|host| print_host(host)).unwrap_or_default();
            Problem::warning(place, format!("this route is never reached for the host \"{host}\""))
        };
        walk.report(problem.context(taker.span.clone(), "this earlier one takes every such request"));
    }
}

/// `None` stands for any host.
fn hosts_of(matcher: &Matcher) -> Vec<Option<&HostPattern>> {
    if matcher.hosts.is_empty() { vec![None] } else { matcher.hosts.iter().map(Some).collect() }
}

/// Whether `earlier` matches whatever `later` matches on `host`, at the same place in the order of routes.
fn takes_all(earlier: &Matcher, host: Option<&HostPattern>, later: &Matcher) -> bool {
    let same_host = hosts_of(earlier).contains(&host);
    let all_methods = earlier.methods.is_empty()
        || (!later.methods.is_empty() && later.methods.iter().all(|method| earlier.methods.contains(method)));
    let demanded = |header: &HeaderMatch| {
        later
            .headers
            .iter()
            .any(|other| other.name == header.name && (header.value.is_none() || header.value == other.value))
    };
    same_host && earlier.path == later.path && all_methods && earlier.headers.iter().all(demanded)
}

fn clusters_used(walk: &mut Walk, draft: &Draft) {
    let used = |name: &str| {
        draft.routes.iter().any(|route| {
            matches!(&route.action, ActionDraft::Forward { target: Target::Named(target), .. } if target == name)
        })
    };
    for cluster in draft.clusters.iter().filter(|cluster| !used(&cluster.value.name)) {
        let title = format!("no route leads to the cluster `{}`", cluster.value.name);
        let help = format!("use it, as in `to = {:?}`, or remove it", cluster.value.name);
        walk.report(Problem::warning(cluster.span.clone(), title).help(help));
    }
}

/// Gives names to routes and to inline endpoints.
fn complete(draft: Draft) -> Config {
    let mut clusters: Vec<Cluster> = draft.clusters.into_iter().map(|cluster| cluster.value).collect();
    let mut cluster_names: BTreeSet<String> = clusters.iter().map(|cluster| cluster.name.clone()).collect();
    let given = draft.routes.iter().filter_map(|route| route.name.as_ref());
    let mut route_names: BTreeSet<String> = given.map(|name| name.value.clone()).collect();
    let mut routes = Vec::new();
    for route in draft.routes {
        let name = match route.name {
            Some(name) => name.value,
            None => unused(&mut route_names, &route_name(&route.matcher)),
        };
        let action = match route.action {
            ActionDraft::Answer(answer) => Action::Answer(answer),
            ActionDraft::Redirect(redirect) => Action::Redirect(redirect),
            ActionDraft::Forward { target, preserve_host, timeout, limit, retry } => {
                let cluster = match target {
                    Target::Named(name) => name,
                    Target::Inline(inline) => {
                        let name = unused(&mut cluster_names, &cluster_name(&name));
                        clusters.push(Cluster { name: name.clone(), ..inline });
                        name
                    }
                };
                Action::Forward(Forward { cluster, preserve_host, timeout, limit, retry })
            }
        };
        routes.push(Route { name, matcher: route.matcher, action });
    }
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    Config {
        workers: draft.workers,
        admin: draft.admin.map(|admin| admin.value),
        log: draft.log,
        limit: draft.limit,
        timeout: draft.timeout,
        listeners: draft.listeners.into_iter().map(|listener| listener.value).collect(),
        routes,
        clusters,
    }
}

/// `name`, or `name-2` and so on when that is taken.
fn unused(taken: &mut BTreeSet<String>, name: &str) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}

/// `GET example.com/api/`; "default" for the route that takes everything.
fn route_name(matcher: &Matcher) -> String {
    if *matcher == Matcher::default() {
        return "default".into();
    }
    let mut words = Vec::new();
    if !matcher.methods.is_empty() {
        words.push(matcher.methods.join(","));
    }
    let hosts: Vec<String> = matcher.hosts.iter().map(print_host).collect();
    let path = match &matcher.path {
        PathMatch::Exact(path) => format!("={path}"),
        PathMatch::Prefix(path) => path.clone(),
    };
    words.push(format!("{}{path}", hosts.join(",")));
    words.extend(matcher.headers.iter().map(|header| match &header.value {
        Some(value) => format!("{}={value}", header.name),
        None => header.name.clone(),
    }));
    shortened(&words.join(" "), 120)
}

/// A route's name in the letters of a cluster's.
fn cluster_name(route: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let words: Vec<&str> = route.split(|c: char| !allowed(c)).filter(|word| !word.is_empty()).collect();
    let name = shortened(&words.join("-"), 60);
    if name.is_empty() { "default".into() } else { name }
}

fn shortened(text: &str, bytes: usize) -> String {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text).trim_end().to_owned()
}

/// As a file has it.
pub(crate) fn print_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(base) => format!("*.{base}"),
    }
}
