//! The file as a whole: is there something to do, do listeners collide, can every route be reached?
//!
//! It turns a [`Draft`] into a [`Config`]; it does not know the text.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::automatic::{authorities_apart, listen_for_public_hosts, name_hosts};
use crate::problem::Problem;
use crate::read::{ActionDraft, Draft, ForwardDraft, Placed, RouteDraft, Target};
use crate::shared_cookies;
use crate::walk::Walk;
use crate::{
    Action, Balance, Bind, Cluster, Config, Course, Forward, HeaderMatch, HostPattern, Listener, Matcher,
    Passage, PathMatch, Route, Sticky,
};

/// Checks and completes. What comes out only counts when nothing was reported as an error.
pub(crate) fn check(walk: &mut Walk, mut draft: Draft) -> Config {
    listen_for_public_hosts(&mut draft);
    name_hosts(walk, &mut draft);
    something_to_do(walk, &draft);
    listeners_apart(walk, &draft.listeners, draft.admin.as_ref());
    authorities_apart(walk, &draft.listeners);
    names_apart(walk, &draft.routes);
    routes_reachable(walk, &draft.routes);
    passages_fit(walk, &draft);
    if walk.error_count() == 0 {
        clusters_used(walk, &draft);
        let clusters =
            draft.clusters.iter().map(|placed| (placed.value.name.as_str(), &placed.value)).collect();
        hedges_can_happen(walk, &draft.routes, &clusters);
    }
    let spans: Vec<_> = draft.routes.iter().map(|route| route.span.clone()).collect();
    let config = complete(draft);
    if walk.error_count() == 0 {
        shared_cookies::told(walk, &config, &spans);
    }
    config
}

fn something_to_do(walk: &mut Walk, draft: &Draft) {
    if draft.incomplete {
        return;
    }
    let no_listener = draft.listeners.is_empty() && !walk.has_misplaced(&["listen", "listener"]);
    let speaks_http = draft.listeners.is_empty() || draft.listeners.iter().any(|one| one.value.speaks_http());
    let no_route = speaks_http && draft.routes.is_empty() && !walk.has_misplaced(&["to", "route"]);
    let problem = match (no_listener, no_route) {
        (false, false) => return,
        (true, true) => Problem::error(0..0, "nothing says where to listen and where requests go")
            .help("add `listen = \":8080\"` and `to = \"127.0.0.1:8001\"`"),
        (true, false) => {
            let span = draft.routes.first().map_or(0..0, |route| route.span.clone());
            Problem::error(span, "nothing listens").help("add `listen = \":8080\"` at the top")
        }
        (false, true) => {
            let span = draft.listeners.first().map_or(0..0, |listener| listener.span.clone());
            Problem::error(span, "there is nothing to do with a request")
                .help("add `to = \"127.0.0.1:8001\"` at the top, or a `[[route]]`")
        }
    };
    walk.report(problem);
}

/// Only what `adaptive` learns tells a stalled endpoint from a large request.
fn hedges_can_happen(walk: &mut Walk, routes: &[RouteDraft], clusters: &HashMap<&str, &Cluster>) {
    for route in routes {
        let Some(ActionDraft::Forward(forward)) = &route.action else { continue };
        let cluster = cluster_of(forward, clusters);
        let learns = cluster.is_none_or(|cluster| matches!(cluster.balance, Balance::Adaptive { .. }));
        if forward.hedge.is_some() && !learns {
            let title = "`hedge` has no effect here: its cluster does not balance by `adaptive`";
            let help = "set `balance = \"adaptive\"`, or `hedge = \"off\"` for this route";
            walk.report(Problem::warning(route.span.clone(), title).help(help));
        }
    }
}

fn cluster_of<'d>(forward: &'d ForwardDraft, clusters: &HashMap<&str, &'d Cluster>) -> Option<&'d Cluster> {
    match &forward.target {
        Target::Inline(cluster) => Some(cluster),
        Target::Named(name) => clusters.get(name.as_str()).copied(),
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
    let mut seen: HashMap<&str, &Placed<String>> = HashMap::new();
    for name in routes.iter().filter_map(|route| route.name.as_ref()) {
        match seen.entry(&name.value) {
            Entry::Occupied(first) => {
                let title = format!("two routes are called {:?}", name.value);
                let problem = Problem::error(name.span.clone(), title);
                walk.report(problem.context(first.get().span.clone(), "first used here"));
            }
            Entry::Vacant(place) => {
                place.insert(name);
            }
        }
    }
}

/// A route is unreachable when each of its hosts is taken by earlier routes that match all it matches.
fn routes_reachable(walk: &mut Walk, routes: &[RouteDraft]) {
    // Only routes with the same host and path compete: by these, or ten thousand routes would take a minute.
    let mut earlier: HashMap<(Option<&HostPattern>, &PathMatch), Vec<&RouteDraft>> = HashMap::new();
    for route in routes.iter().filter(|route| route.matcher_holds) {
        let mut takers = Vec::new();
        for host in hosts_of(&route.matcher) {
            let rivals = earlier.entry((host, &route.matcher.path)).or_default();
            takers
                .push((host, rivals.iter().find(|rival| takes_all(&rival.matcher, &route.matcher)).copied()));
            rivals.push(route);
        }
        if let Some(problem) = unreachable(route, &takers) {
            walk.report(problem);
        }
    }
}

fn unreachable(
    route: &RouteDraft,
    takers: &[(Option<&HostPattern>, Option<&RouteDraft>)],
) -> Option<Problem> {
    let (host, taker) = takers.iter().find_map(|(host, taker)| taker.map(|taker| (host, taker)))?;
    let problem = if takers.iter().all(|(_, taker)| taker.is_some()) {
        Problem::error(route.span.clone(), "this route is never reached").help(if is_same(route, taker) {
            "both take the same requests: remove one of them, or tell them apart by `method` or `header`"
        } else {
            "put the narrower one first, or remove one of them"
        })
    } else {
        let host = host.map(print_host).unwrap_or_default();
        Problem::warning(route.span.clone(), format!("this route is never reached for the host {host:?}"))
    };
    Some(problem.context(taker.span.clone(), "this earlier one takes every such request"))
}

/// Whether `later`, which `earlier` leaves nothing to, would leave nothing to `earlier` if it stood first.
fn is_same(later: &RouteDraft, earlier: &RouteDraft) -> bool {
    let hosts = hosts_of(&later.matcher);
    takes_all(&later.matcher, &earlier.matcher)
        && hosts_of(&earlier.matcher).iter().all(|host| hosts.contains(host))
}

/// `None` stands for any host.
fn hosts_of(matcher: &Matcher) -> Vec<Option<&HostPattern>> {
    if matcher.hosts.is_empty() { vec![None] } else { matcher.hosts.iter().map(Some).collect() }
}

/// Whether `earlier` is asked first and matches whatever `later` matches, host and path being the same. A route with more
/// conditions is asked first wherever it stands.
fn takes_all(earlier: &Matcher, later: &Matcher) -> bool {
    let all_methods = earlier.methods.is_empty()
        || (!later.methods.is_empty() && later.methods.iter().all(|method| earlier.methods.contains(method)));
    let demanded = |header: &HeaderMatch| {
        let fits = |other: &HeaderMatch| header.value.is_none() || header.value == other.value;
        later.headers.iter().any(|other| other.name == header.name && fits(other))
    };
    conditions(earlier) == conditions(later) && all_methods && earlier.headers.iter().all(demanded)
}

fn conditions(matcher: &Matcher) -> usize {
    usize::from(!matcher.methods.is_empty()) + matcher.headers.len()
}

/// What is passed on without being decrypted is not to be encrypted once more, and goes over connections of its own.
fn passages_fit(walk: &mut Walk, draft: &Draft) {
    let cluster = |name: &String| draft.clusters.iter().find(|cluster| cluster.value.name == *name);
    for listener in &draft.listeners {
        let Some(passage) = &listener.value.passage else { continue };
        for (host, course) in &passage.names {
            let name = &course.cluster;
            if cluster(name).is_some_and(|cluster| cluster.value.tls.is_some()) {
                let host = host.as_ref().map_or("*".into(), print_host);
                let title = format!(
                    "what asks for {host:?} is encrypted already, and the cluster `{name}` does it again"
                );
                let help =
                    "`sni` passes connections on as they are: use a cluster without `tls` and `https://`";
                walk.report(Problem::error(listener.span.clone(), title).help(help));
            }
        }
        let takes_all =
            |(host, course): &(Option<HostPattern>, Course)| host.is_none() && course.protocols.is_empty();
        if listener.value.tls.is_some() && passage.names.iter().any(takes_all) {
            let title =
                "`tls` of this listener is never used: `*` in `sni` takes every client that begins TLS";
            let help = "say which names `sni` is for, or which `alpn`, as in `\"*\" = { to = \"db\", alpn = \"postgresql\" }`; or leave `tls` out";
            walk.report(Problem::warning(listener.span.clone(), title).help(help));
        }
        if let Some(name) = passage.clusters().find(|name| cluster(name).is_some_and(|one| one.value.http2)) {
            let title = format!(
                "the cluster `{name}` takes requests of HTTP/2, and this listener passes connections on"
            );
            let help = "use a cluster without `endpoint_http2`: whoever connects may speak it all the same";
            walk.report(Problem::error(listener.span.clone(), title).help(help));
        }
    }
}

fn clusters_used(walk: &mut Walk, draft: &Draft) {
    let target = |route: &RouteDraft| match &route.action {
        Some(ActionDraft::Forward(forward)) => match &forward.target {
            Target::Named(name) => Some(name.clone()),
            Target::Inline(_) => None,
        },
        _ => None,
    };
    let passed = draft.listeners.iter().filter_map(|listener| listener.value.passage.as_ref());
    let mut used: BTreeSet<String> = draft.routes.iter().filter_map(target).collect();
    used.extend(passed.flat_map(Passage::clusters).cloned());
    for cluster in draft.clusters.iter().filter(|cluster| !used.contains(&cluster.value.name)) {
        let title = format!("no route leads to the cluster `{}`", cluster.value.name);
        let help = format!("use it, as in `to = {:?}`, or remove it", cluster.value.name);
        walk.report(Problem::warning(cluster.span.clone(), title).help(help));
    }
}

fn complete(draft: Draft) -> Config {
    let (routes, clusters) =
        name_all(draft.routes, draft.clusters.into_iter().map(|cluster| cluster.value).collect());
    Config {
        workers: draft.workers,
        zone: draft.zone,
        admin: draft.admin.map(|admin| admin.value),
        log: draft.log,
        limit: draft.limit,
        rate_limit: draft.rate_limit,
        timeout: draft.timeout,
        listeners: draft.listeners.into_iter().map(|listener| listener.value).collect(),
        routes,
        clusters,
    }
}

/// Gives names to routes and to endpoints on the spot, which become clusters; sorts the clusters.
fn name_all(drafts: Vec<RouteDraft>, mut clusters: Vec<Cluster>) -> (Vec<Route>, Vec<Cluster>) {
    let mut cluster_names = Names::given(clusters.iter().map(|cluster| &cluster.name));
    let given = drafts.iter().filter_map(|route| route.name.as_ref());
    let mut route_names = Names::given(given.map(|name| &name.value));
    let mut routes = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let Some(action) = draft.action else { continue }; // why was told, and nothing comes of the rest
        let name = match draft.name {
            Some(name) => name.value,
            None => route_names.unused(&route_name(&draft.matcher)),
        };
        let action = match action {
            ActionDraft::Answer(answer) => Action::Answer(answer),
            ActionDraft::Forward(forward) => {
                let ForwardDraft { target, preserve_host, timeout, limit, retry, hedge, priority } = *forward;
                let cluster = match target {
                    Target::Inline(inline) => {
                        let name = cluster_names.unused(&cluster_name(&name));
                        clusters.push(Cluster { name: name.clone(), ..*inline });
                        name
                    }
                    Target::Named(name) => name,
                };
                Action::Forward(Forward { cluster, preserve_host, timeout, limit, retry, hedge, priority })
            }
            ActionDraft::Redirect(redirect) => Action::Redirect(redirect),
        };
        routes.push(Route { name, matcher: draft.matcher, action, rate_limit: draft.rate_limit });
    }
    clusters.iter_mut().for_each(name_cookie);
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    (routes, clusters)
}

fn name_cookie(cluster: &mut Cluster) {
    if let Some(sticky) = cluster.sticky.as_mut().filter(|sticky| sticky.cookie.is_empty()) {
        sticky.cookie = Sticky::cookie_of(&cluster.name);
    }
}

/// Names that are taken, and how far those alike are numbered.
struct Names {
    taken: HashSet<String>,
    numbers: HashMap<String, usize>,
}

impl Names {
    fn given<'n>(names: impl Iterator<Item = &'n String>) -> Self {
        Self { taken: names.cloned().collect(), numbers: HashMap::new() }
    }

    /// `name`, or `name-2` and so on when that is taken.
    fn unused(&mut self, name: &str) -> String {
        if self.taken.insert(name.to_owned()) {
            return name.to_owned();
        }
        let number = self.numbers.entry(name.to_owned()).or_insert(1);
        loop {
            *number += 1;
            let candidate = format!("{name}-{number}");
            if self.taken.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
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
