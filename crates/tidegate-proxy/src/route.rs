//! From a request to the route that serves it: host, then path, then methods and fields; the most specific wins.
//!
//! Knows nothing of what routes do. Hosts are compared without their port and without regard to case; paths are the
//! canonical ones. An exact host is more specific than a wildcard, a longer wildcard than a shorter one, any of them than
//! none; an exact path is more specific than a prefix, a longer prefix than a shorter one; then the route with more
//! further predicates; then the one that comes first. When no path of the most specific host fits, the next host is asked.

use crate::snapshot::Route;
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_http::request::RequestHead;

/// What a request must look like for a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    pub host: HostPattern,
    pub path: PathPattern,
    /// Any of these, as sent; empty: every method.
    pub methods: Vec<String>,
    /// All of these.
    pub fields: Vec<FieldPattern>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostPattern {
    #[default]
    Any,
    /// Lower case, without port.
    Exact(String),
    /// What follows the `*`, with its dot, in lower case: `.example.com`. Stands for one or more labels.
    Suffix(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    Exact(String),
    /// On segment boundaries: `/api` covers `/api` and `/api/x`, `/api/` only what is below it, neither covers `/apix`.
    Prefix(String),
}

impl Default for PathPattern {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPattern {
    /// Lower case.
    pub name: String,
    /// `None`: the field is present.
    pub value: Option<String>,
}

impl Matcher {
    fn specificity(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.fields.len()
    }

    fn accepts(&self, head: &RequestHead, bytes: &[u8]) -> bool {
        let method = head.method_text.of(bytes);
        (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed.as_bytes() == method))
            && self.fields.iter().all(|pattern| pattern.accepts(head, bytes))
    }
}

impl FieldPattern {
    fn accepts(&self, head: &RequestHead, bytes: &[u8]) -> bool {
        head.fields.iter().any(|field| {
            field.name.of(bytes).eq_ignore_ascii_case(self.name.as_bytes())
                && self.value.as_ref().is_none_or(|value| value.as_bytes() == field.value.of(bytes))
        })
    }
}

/// All routes of a snapshot, arranged for finding.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact_hosts: HashMap<Box<[u8]>, PathTable>,
    /// Longest suffix first.
    suffix_hosts: Vec<(Box<[u8]>, PathTable)>,
    any_host: PathTable,
}

/// Longest host name that can match an exact host (RFC 1035 §2.3.4 allows 253).
const HOST_BYTES_MAX: usize = 256;

impl RouteTable {
    /// In file order. A route may come with several matchers: any of them leads to it.
    pub fn new(routes: Vec<(Vec<Matcher>, Arc<Route>)>) -> Self {
        let mut table = Self::default();
        for (index, (matchers, route)) in routes.into_iter().enumerate() {
            for matcher in matchers {
                table.insert(index, matcher);
            }
            table.routes.push(route);
        }
        table.suffix_hosts.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        table
    }

    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    fn insert(&mut self, index: usize, matcher: Matcher) {
        let paths = match &matcher.host {
            HostPattern::Any => &mut self.any_host,
            HostPattern::Exact(host) => self.exact_hosts.entry(host.as_bytes().into()).or_default(),
            HostPattern::Suffix(suffix) => suffix_entry(&mut self.suffix_hosts, suffix.as_bytes()),
        };
        paths.insert(index, matcher);
    }

    /// The position in `routes()` of the route for this request; `path` is the canonical path.
    #[inline]
    pub fn find(&self, head: &RequestHead, bytes: &[u8], path: &[u8]) -> Option<usize> {
        if self.exact_hosts.is_empty() && self.suffix_hosts.is_empty() {
            return self.any_host.find(head, bytes, path);
        }
        self.find_by_host(head, bytes, path)
    }

    fn find_by_host(&self, head: &RequestHead, bytes: &[u8], path: &[u8]) -> Option<usize> {
        let mut room = [0; HOST_BYTES_MAX];
        let host = lower_case(head.host.of(bytes), &mut room);
        let exact = self.exact_hosts.get(host).and_then(|paths| paths.find(head, bytes, path));
        exact
            .or_else(|| {
                let mut fitting = self.suffix_hosts.iter().filter(|(suffix, _)| is_below(host, suffix));
                fitting.find_map(|(_, paths)| paths.find(head, bytes, path))
            })
            .or_else(|| self.any_host.find(head, bytes, path))
    }
}

fn suffix_entry<'a>(hosts: &'a mut Vec<(Box<[u8]>, PathTable)>, suffix: &[u8]) -> &'a mut PathTable {
    let at = hosts.iter().position(|(known, _)| **known == *suffix).unwrap_or_else(|| {
        hosts.push((suffix.into(), PathTable::default()));
        hosts.len() - 1
    });
    #[allow(clippy::indexing_slicing, reason = "`at` was found or pushed just above")]
    &mut hosts[at].1
}

fn is_below(host: &[u8], suffix: &[u8]) -> bool {
    host.len() > suffix.len() && host.ends_with(suffix)
}

/// Without a trailing dot (`example.com.` is the same host).
fn lower_case<'a>(host: &[u8], room: &'a mut [u8; HOST_BYTES_MAX]) -> &'a [u8] {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let Some(lowered) = room.get_mut(..host.len()) else { return &[] };
    lowered.copy_from_slice(host);
    lowered.make_ascii_lowercase();
    lowered
}

/// The paths of one host.
#[derive(Debug, Default)]
struct PathTable {
    exact: HashMap<Box<[u8]>, Vec<Candidate>>,
    /// All prefixes but the root.
    prefixes: HashMap<Box<[u8]>, Vec<Candidate>>,
    prefix_bytes_max: usize,
    /// The prefix `/`: fits every path, and `*`.
    root: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    route: usize,
    matcher: Matcher,
}

impl PathTable {
    fn insert(&mut self, route: usize, matcher: Matcher) {
        let candidates = match &matcher.path {
            PathPattern::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default(),
            PathPattern::Prefix(prefix) if prefix == "/" => &mut self.root,
            PathPattern::Prefix(prefix) => {
                self.prefix_bytes_max = self.prefix_bytes_max.max(prefix.len());
                self.prefixes.entry(prefix.as_bytes().into()).or_default()
            }
        };
        let at = candidates.partition_point(|earlier| earlier.matcher.specificity() >= matcher.specificity());
        candidates.insert(at, Candidate { route, matcher });
    }

    fn find(&self, head: &RequestHead, bytes: &[u8], path: &[u8]) -> Option<usize> {
        let accepted = |candidates: &Vec<Candidate>| {
            candidates
                .iter()
                .find(|candidate| candidate.matcher.accepts(head, bytes))
                .map(|found| found.route)
        };
        let exact = if self.exact.is_empty() { None } else { self.exact.get(path).and_then(accepted) };
        exact
            .or_else(
                || if self.prefixes.is_empty() { None } else { self.prefixes_of(path).find_map(accepted) },
            )
            .or_else(|| accepted(&self.root))
    }

    /// The candidates of each configured prefix of `path`, longest first: `/a/b` is looked up as `/a/b`, `/a/`, `/a`.
    /// Work is bounded by the longest configured prefix, not by the path.
    fn prefixes_of<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a Vec<Candidate>> {
        let longest = self.prefix_bytes_max;
        let whole = (path.len() <= longest).then_some(path);
        let slashes = memchr::memrchr_iter(b'/', path.get(..=longest).unwrap_or(path));
        let cuts = slashes.flat_map(|slash| [path.get(..=slash), path.get(..slash)]);
        whole.into_iter().chain(cuts.flatten()).filter_map(|key| self.prefixes.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Action, Policy, RetryPolicy, Timeouts};
    use std::time::Duration;
    use tidegate_balance::Priority;
    use tidegate_http::{HeadLimits, Progress, request::RequestParser};

    fn route(name: &str) -> Arc<Route> {
        let timeouts = Timeouts {
            queue: Duration::MAX,
            connect: Duration::MAX,
            attempt: Duration::MAX,
            first_byte: Duration::MAX,
            body_idle: Duration::MAX,
            total: Duration::MAX,
            tunnel_idle: Duration::MAX,
        };
        let (retry, priority) = (RetryPolicy::NEVER, Priority::default());
        let policy = Policy {
            timeouts,
            body_bytes_max: None,
            body_rate_min: None,
            retry,
            hedge: None,
            priority,
            preserve_host: true,
        };
        Arc::new(Route {
            name: name.into(),
            action: Action::Forward { cluster: 0 },
            policy,
            rate_limit: None,
        })
    }

    fn matcher(host: HostPattern, path: PathPattern) -> Matcher {
        Matcher { host, path, ..Matcher::default() }
    }

    fn exact(path: &str) -> PathPattern {
        PathPattern::Exact(path.to_owned())
    }

    fn prefix(path: &str) -> PathPattern {
        PathPattern::Prefix(path.to_owned())
    }

    fn table(matchers: Vec<Matcher>) -> RouteTable {
        let named = matchers.into_iter().enumerate();
        RouteTable::new(named.map(|(index, matcher)| (vec![matcher], route(&index.to_string()))).collect())
    }

    fn find(table: &RouteTable, request: &str) -> Option<usize> {
        let bytes = format!("{}\r\n\r\n", request.replace('\n', "\r\n"));
        let limits = HeadLimits { head_bytes_max: 65536, target_bytes_max: 65536, field_count_max: 100 };
        let mut head = RequestHead::default();
        let progress =
            RequestParser::default().parse(bytes.as_bytes(), &limits, &mut head).expect("a valid head");
        assert!(matches!(progress, Progress::Complete { .. }));
        let path = head.path.of(bytes.as_bytes()).to_vec();
        table.find(&head, bytes.as_bytes(), &path)
    }

    #[test]
    fn the_most_specific_host_and_path_win_whatever_the_order() {
        let host = |name: &str| HostPattern::Exact(name.to_owned());
        let below = |suffix: &str| HostPattern::Suffix(suffix.to_owned());
        let table = table(vec![
            matcher(HostPattern::Any, prefix("/")),
            matcher(below(".example.com"), prefix("/")),
            matcher(below(".b.example.com"), prefix("/")),
            matcher(host("a.example.com"), prefix("/api/")),
            matcher(host("a.example.com"), prefix("/api/v2")),
            matcher(host("a.example.com"), exact("/api/v2/status")),
        ]);
        let cases = [
            ("GET / HTTP/1.1\nHost: other", Some(0), "nothing more specific"),
            ("GET / HTTP/1.1\nHost: example.com", Some(0), "the bare domain is not below itself"),
            ("GET / HTTP/1.1\nHost: X.Example.COM:8080", Some(1), "case and port do not matter"),
            ("GET / HTTP/1.1\nHost: x.b.example.com", Some(2), "the longer wildcard"),
            ("GET /api/ HTTP/1.1\nHost: a.example.com", Some(3), "the exact host"),
            ("GET /api/v2 HTTP/1.1\nHost: a.example.com", Some(4), "the longer prefix"),
            ("GET /api/v2/x HTTP/1.1\nHost: a.example.com.", Some(4), "a trailing dot is the same host"),
            ("GET /api/v2x HTTP/1.1\nHost: a.example.com", Some(3), "prefixes end at segments"),
            ("GET /api/v2/status HTTP/1.1\nHost: a.example.com", Some(5), "exact before prefix"),
            ("GET /api HTTP/1.1\nHost: a.example.com", Some(1), "`/api/` does not cover `/api`: next host"),
        ];
        for (request, expected, why) in cases {
            assert_eq!(find(&table, request), expected, "{request}: {why}");
        }
    }

    #[test]
    fn methods_and_fields_are_further_predicates() {
        let with_method = Matcher { methods: vec!["POST".to_owned()], ..Matcher::default() };
        let with_field = Matcher {
            methods: vec!["POST".to_owned()],
            fields: vec![FieldPattern { name: "x-canary".to_owned(), value: Some("1".to_owned()) }],
            ..Matcher::default()
        };
        let table = table(vec![with_method, with_field]);
        assert_eq!(find(&table, "POST / HTTP/1.1\nHost: a"), Some(0));
        assert_eq!(find(&table, "POST / HTTP/1.1\nHost: a\nX-Canary: 1"), Some(1));
        assert_eq!(find(&table, "POST / HTTP/1.1\nHost: a\nX-Canary: 2"), Some(0));
        assert_eq!(find(&table, "GET / HTTP/1.1\nHost: a\nX-Canary: 1"), None);
    }
}
