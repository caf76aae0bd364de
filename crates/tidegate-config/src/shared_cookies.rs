//! Whether two clusters of one site are given the same sticky cookie: a client keeps one of a name, that of the cluster that set it last.
//!
//! It knows which routes a request for a host may come to, and nothing of what is in the cookie.

use std::collections::{HashMap, HashSet};

use crate::problem::{Problem, Span};
use crate::walk::Walk;
use crate::{Action, Cluster, Config, HostPattern, Matcher, PathMatch, Route};

/// Hosts that requests are for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Hosts<'c> {
    Any,
    /// `*.example.com`, as `example.com`.
    Below(&'c str),
    Exact(&'c str),
}

impl<'c> Hosts<'c> {
    fn of(matcher: &'c Matcher) -> Vec<Self> {
        let of = |host: &'c HostPattern| match host {
            HostPattern::Exact(name) => Self::Exact(name),
            HostPattern::Wildcard(base) => Self::Below(base),
        };
        if matcher.hosts.is_empty() { vec![Self::Any] } else { matcher.hosts.iter().map(of).collect() }
    }

    /// Whose routes are asked next when none of these fits.
    fn wider(self) -> Option<Self> {
        match self {
            Self::Any => None,
            Self::Below(name) | Self::Exact(name) => {
                Some(name.split_once('.').map_or(Self::Any, |(_, base)| Self::Below(base)))
            }
        }
    }
}

/// A route to a cluster with a sticky cookie, and what to underline when it is meant.
#[derive(Clone, Copy)]
struct Sticking<'c> {
    route: &'c Route,
    cluster: &'c str,
    cookie: &'c str,
    span: &'c Span,
}

/// Tells of each cookie once. `spans` are those of the routes.
pub(crate) fn told(walk: &mut Walk, config: &Config, spans: &[Span]) {
    let sticking = sticking(config, spans);
    // By host and its wildcards, or ten thousand routes would take a minute.
    let mut first: HashMap<(&str, Hosts<'_>), &Sticking<'_>> = HashMap::new();
    for one in &sticking {
        for hosts in Hosts::of(&one.route.matcher) {
            first.entry((one.cookie, hosts)).or_insert(one);
        }
    }
    let taken = taken(config);
    let mut told = HashSet::new();
    for one in &sticking {
        let other = Hosts::of(&one.route.matcher).into_iter().find_map(|hosts| {
            let others = asked(hosts, &taken).filter_map(|hosts| first.get(&(one.cookie, hosts)));
            others.copied().find(|other| other.cluster != one.cluster)
        });
        if let Some(other) = other.filter(|_| told.insert(one.cookie)) {
            walk.report(problem(one, other));
        }
    }
}

fn sticking<'c>(config: &'c Config, spans: &'c [Span]) -> Vec<Sticking<'c>> {
    let clusters: HashMap<&str, &Cluster> =
        config.clusters.iter().map(|cluster| (cluster.name.as_str(), cluster)).collect();
    let sticking = |(route, span): (&'c Route, &'c Span)| {
        let Action::Forward(forward) = &route.action else { return None };
        let cluster = clusters.get(forward.cluster.as_str())?;
        let cookie = &cluster.sticky.as_ref()?.cookie;
        Some(Sticking { route, cluster: &cluster.name, cookie, span })
    };
    config.routes.iter().zip(spans).filter_map(sticking).collect()
}

/// Hosts of which every request finds a route of theirs, and comes to no other.
fn taken(config: &Config) -> HashSet<Hosts<'_>> {
    let takes_all = |matcher: &Matcher| {
        matcher.path == PathMatch::default() && matcher.methods.is_empty() && matcher.headers.is_empty()
    };
    let matchers = config.routes.iter().map(|route| &route.matcher);
    matchers.filter(|matcher| takes_all(matcher)).flat_map(Hosts::of).collect()
}

/// Whose routes a request for these hosts may come to, in the order in which they are asked.
fn asked<'c>(hosts: Hosts<'c>, taken: &HashSet<Hosts<'c>>) -> impl Iterator<Item = Hosts<'c>> {
    std::iter::successors(Some(hosts), |hosts| if taken.contains(hosts) { None } else { hosts.wider() })
}

fn problem(one: &Sticking<'_>, other: &Sticking<'_>) -> Problem {
    let (first, second) = if one.span.start < other.span.start { (one, other) } else { (other, one) };
    let title = format!("two clusters of one site share the sticky cookie `{}`", one.cookie);
    Problem::warning(second.span.clone(), title)
        .label("a client of both loses its endpoint each time")
        .context(first.span.clone(), "this route leads to the other cluster")
        .help("leave `cookie` out, and each cluster has its own; or give them different ones")
}
