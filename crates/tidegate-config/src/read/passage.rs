//! `tcp` and `sni` of a listener: what is passed on as it is, and where.
//!
//! It does not know whether those clusters can take it.

use std::collections::BTreeSet;

use super::matcher::host;
use super::route::undefined;
use crate::document::{Node, Value};
use crate::problem::Problem;
use crate::walk::{Field, Section, Walk};
use crate::{Address, HostPattern, Passage};

/// `None`: the listener speaks HTTP alone.
pub(super) fn passage(walk: &mut Walk, listener: &Section<'_>, clusters: &BTreeSet<&str>) -> Option<Passage> {
    let (tcp, sni) = (listener.field("tcp"), listener.field("sni"));
    if tcp.is_none() && sni.is_none() {
        return None;
    }
    let rest = tcp.and_then(|field| cluster(walk, &field, field.node, clusters));
    let names = sni.map(|field| names(walk, &field, clusters)).unwrap_or_default();
    Some(Passage { names, rest })
}

fn names(walk: &mut Walk, field: &Field<'_>, clusters: &BTreeSet<&str>) -> Vec<(HostPattern, String)> {
    let Value::Table(entries) = &field.node.value else {
        walk.report(field.wrong().help("write `sni = { \"db.example.com\" = \"db\" }`"));
        return Vec::new();
    };
    if entries.is_empty() {
        walk.report(Problem::error(field.span(), format!("`{}` is empty", field.path)).help("leave it out"));
    }
    let mut names = Vec::new();
    for entry in entries {
        let cluster = cluster(walk, field, &entry.node, clusters);
        match host(&entry.key) {
            Ok(HostPattern::Exact(name))
                if name.parse::<std::net::Ipv4Addr>().is_ok() || name.starts_with('[') =>
            {
                let problem = Problem::error(entry.key_span.clone(), format!("{name:?} is an address"));
                walk.report(problem.help("no client names one when it begins TLS (RFC 6066)"));
            }
            Ok(name) => names.extend(cluster.map(|cluster| (name, cluster))),
            Err((label, help)) => {
                let title = format!("`{}`: {:?} is no host to match", field.path, entry.key);
                walk.report(Problem::error(entry.key_span.clone(), title).label(label).help(help));
            }
        }
    }
    names
}

fn cluster(walk: &mut Walk, field: &Field<'_>, node: &Node, clusters: &BTreeSet<&str>) -> Option<String> {
    let Some(name) = node.value.as_text() else {
        walk.report(field.wrong_at(node));
        return None;
    };
    if clusters.contains(name) {
        return Some(name.to_owned());
    }
    if name.parse::<Address>().is_ok() {
        let problem =
            Problem::error(node.span.clone(), format!("`{}` takes the name of a cluster", field.path));
        let help = format!("define one, as in `[cluster.db]` with `endpoints = [{name:?}]`");
        walk.report(problem.label("this is an address").help(help));
        return None;
    }
    walk.report(undefined(node, name, clusters));
    None
}
