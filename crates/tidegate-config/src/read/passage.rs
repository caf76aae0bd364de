//! `tcp` and `sni` of a listener: what is passed on as it is, and where.
//!
//! It does not know whether those clusters can take it.

use std::collections::BTreeSet;

use super::matcher::host;
use super::route::{retry, undefined};
use super::{Inherited, is_table};
use crate::document::{Entry, Node, Value};
use crate::keys::COURSE;
use crate::problem::Problem;
use crate::walk::{Field, Section, Walk, set};
use crate::{Address, Course, HostPattern, Passage, RouteTimeouts};

/// RFC 7301 §3.1.
const PROTOCOL_BYTES_MAX: usize = 255;

/// `None`: the listener speaks HTTP alone.
pub(super) fn passage(
    walk: &mut Walk,
    listener: &Section<'_>,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Option<Passage> {
    let (tcp, sni) = (listener.field("tcp"), listener.field("sni"));
    if tcp.is_none() && sni.is_none() {
        return None;
    }
    let reader = Reader { inherited, clusters };
    let rest = tcp.and_then(|field| reader.rest(walk, &field));
    let names = sni.map(|field| reader.names(walk, &field)).unwrap_or_default();
    Some(Passage { names, rest })
}

/// What every course is read with.
struct Reader<'a> {
    inherited: &'a Inherited,
    clusters: &'a BTreeSet<&'a str>,
}

impl Reader<'_> {
    fn rest(&self, walk: &mut Walk, field: &Field<'_>) -> Option<Course> {
        let course = self.course(walk, field, field.node)?;
        if !course.protocols.is_empty() {
            let title = format!("`{}.alpn` has no effect: `tcp` takes every connection", field.path);
            let help = "leave it out, or write `sni = { \"*\" = { … } }`, which is for TLS alone";
            walk.report(Problem::error(field.span(), title).help(help));
        }
        Some(course)
    }

    fn names(&self, walk: &mut Walk, field: &Field<'_>) -> Vec<(Option<HostPattern>, Course)> {
        let Value::Table(entries) = &field.node.value else {
            walk.report(field.wrong().help("write `sni = { \"db.example.com\" = \"db\" }`"));
            return Vec::new();
        };
        if entries.is_empty() {
            let problem = Problem::error(field.span(), format!("`{}` is empty", field.path));
            walk.report(problem.help("leave it out"));
        }
        let mut names = Vec::new();
        for entry in entries {
            let courses = self.courses(walk, field, &entry.node);
            let Some(name) = name(walk, field, entry) else { continue };
            names.extend(courses.into_iter().map(|course| (name.clone(), course)));
        }
        names
    }

    /// One, or several of which the first counts that takes the client's protocols.
    fn courses(&self, walk: &mut Walk, field: &Field<'_>, node: &Node) -> Vec<Course> {
        let nodes = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if nodes.is_empty() {
            walk.report(field.wrong_at(node));
        }
        let mut courses: Vec<Course> = Vec::new();
        for node in nodes {
            let takes_all = courses.iter().any(|course| course.protocols.is_empty());
            courses.extend(self.course(walk, field, node));
            if takes_all {
                let problem = Problem::error(node.span.clone(), "this is never reached");
                walk.report(problem.help("one before it takes whatever the client speaks: put that last"));
            }
        }
        courses
    }

    /// A cluster by its name, or a table.
    fn course(&self, walk: &mut Walk, field: &Field<'_>, node: &Node) -> Option<Course> {
        let inherited = self.inherited;
        let mut course = Course {
            cluster: String::new(),
            protocols: Vec::new(),
            timeout: inherited.timeout.route.clone(),
            retry: inherited.retry.clone(),
        };
        if !is_table(node) {
            course.cluster = self.cluster(walk, field, node)?;
            return Some(course);
        }
        let section = Section::open(walk, &COURSE, &field.path, node)?;
        if let Some(field) = section.field("alpn") {
            course.protocols = protocols(walk, &field);
        }
        if let Some(table) = section.section(walk, "timeout") {
            timeouts(walk, &table, &mut course.timeout);
        }
        set(&mut course.retry, retry(walk, &section, &inherited.retry));
        let Some(to) = section.field("to") else {
            if !walk.has_misplaced(&["to"]) {
                let problem = Problem::error(node.span.clone(), "this leads nowhere");
                walk.report(problem.help("add `to = \"db\"`, the name of a cluster"));
            }
            return None;
        };
        course.cluster = self.cluster(walk, &to, to.node)?;
        Some(course)
    }

    fn cluster(&self, walk: &mut Walk, field: &Field<'_>, node: &Node) -> Option<String> {
        let Some(name) = node.value.as_text() else {
            walk.report(field.wrong_at(node));
            return None;
        };
        if self.clusters.contains(name) {
            return Some(name.to_owned());
        }
        if name.parse::<Address>().is_ok() {
            let problem =
                Problem::error(node.span.clone(), format!("`{}` takes the name of a cluster", field.path));
            let help = format!("define one, as in `[cluster.db]` with `endpoints = [{name:?}]`");
            walk.report(problem.label("this is an address").help(help));
            return None;
        }
        walk.report(undefined(node, name, self.clusters));
        None
    }
}

/// `Some(None)`: `*`, whatever name, or none.
#[allow(clippy::option_option, reason = "the outer one is for what has been reported")]
fn name(walk: &mut Walk, field: &Field<'_>, entry: &Entry) -> Option<Option<HostPattern>> {
    if entry.key == "*" {
        return Some(None);
    }
    match host(&entry.key) {
        Ok(HostPattern::Exact(name))
            if name.parse::<std::net::Ipv4Addr>().is_ok() || name.starts_with('[') =>
        {
            let problem = Problem::error(entry.key_span.clone(), format!("{name:?} is an address"));
            walk.report(problem.help("no client names one when it begins TLS (RFC 6066)"));
            None
        }
        Ok(name) => Some(Some(name)),
        Err((label, help)) => {
            let title = format!("`{}`: {:?} is no host to match", field.path, entry.key);
            walk.report(Problem::error(entry.key_span.clone(), title).label(label).help(help));
            None
        }
    }
}

fn protocols(walk: &mut Walk, field: &Field<'_>) -> Vec<String> {
    let nodes = field.one_or_many();
    if nodes.is_empty() {
        walk.report(field.wrong());
    }
    let mut protocols = Vec::new();
    for node in nodes {
        match node.value.as_text() {
            Some(text) if (1..=PROTOCOL_BYTES_MAX).contains(&text.len()) => protocols.push(text.to_owned()),
            Some(_) => {
                let label = format!("1 to {PROTOCOL_BYTES_MAX} bytes");
                walk.report(field.wrong_at(node).label(label));
            }
            None => walk.report(field.wrong_at(node)),
        }
    }
    protocols
}

fn timeouts(walk: &mut Walk, section: &Section<'_>, timeout: &mut RouteTimeouts) {
    set(&mut timeout.queue, section.duration(walk, "queue"));
    set(&mut timeout.connect, section.duration(walk, "connect"));
    set(&mut timeout.tunnel_idle, section.duration_or_off(walk, "tunnel_idle"));
}
