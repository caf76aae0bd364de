//! What a request must look like: hosts, path, methods, header fields.
//!
//! It does not know what is done with a request that does.

use std::collections::HashSet;

use tidegate_http::path::PathError;

use crate::address::is_host_name;
use crate::document::{Node, Value};
use crate::problem::Problem;
use crate::read::is_table;
use crate::walk::{Field, Section, Walk};
use crate::{HeaderMatch, HostPattern, Matcher, PathMatch};

pub(super) fn matcher(walk: &mut Walk, section: &Section<'_>) -> Matcher {
    Matcher {
        hosts: section.field("host").map(|field| hosts(walk, &field)).unwrap_or_default(),
        path: section.field("path").and_then(|field| path(walk, &field)).unwrap_or_default(),
        methods: section.field("method").map(|field| methods(walk, &field)).unwrap_or_default(),
        headers: section.field("header").map(|field| headers(walk, &field)).unwrap_or_default(),
    }
}

/// The values of a key that, given empty, would match nothing or everything: nobody means that.
fn some_of<'a>(walk: &mut Walk, field: &Field<'a>) -> &'a [Node] {
    let nodes = field.one_or_many();
    if nodes.is_empty() {
        walk.report(
            Problem::error(field.span(), format!("`{}` is empty", field.path)).help("for any, leave it out"),
        );
    }
    nodes
}

fn hosts(walk: &mut Walk, field: &Field<'_>) -> Vec<HostPattern> {
    let (mut hosts, mut seen) = (Vec::new(), HashSet::new());
    for node in some_of(walk, field) {
        let Some(text) = node.value.as_text() else {
            walk.report(field.wrong_at(node));
            continue;
        };
        match host(text) {
            Ok(host) if seen.insert(host.clone()) => hosts.push(host),
            Ok(_) => {
                walk.report(Problem::error(node.span.clone(), format!("the host {text:?} is listed twice")));
            }
            Err((label, help)) => walk.report(field.is_no("host to match", node).label(label).help(help)),
        }
    }
    hosts
}

/// Why a text is no host, and what to do about it.
pub(super) type NoHost = (&'static str, String);

/// In lower case and without the root's dot, as the hosts of requests are compared.
pub(super) fn host(text: &str) -> Result<HostPattern, NoHost> {
    let lower = text.to_ascii_lowercase();
    if let Some((_, rest)) = lower.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or(rest);
        return Err(("this is a URL", format!("write the host alone: {host:?}")));
    }
    if let Some(base) = lower.strip_prefix("*.") {
        let help = "write \"*.example.com\"".to_owned();
        return if is_host_name(base) {
            Ok(HostPattern::Wildcard(without_root(base)))
        } else {
            Err(("no host", help))
        };
    }
    if lower.contains('*') {
        let help =
            "a wildcard stands for whole labels at the front: \"*.example.com\"; for any host leave it out";
        return Err(("the wildcard cannot stand here", help.into()));
    }
    if !lower.is_ascii() {
        return Err(("not ASCII", "write an international name in its ASCII form, `xn--...`".into()));
    }
    if let Ok(host) = lower.parse::<crate::Host>() {
        return Ok(HostPattern::Exact(without_root(&host.to_string())));
    }
    match lower.rsplit_once(':') {
        Some((host, port))
            if host.parse::<crate::Host>().is_ok() && port.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Err(("a host is matched without its port", format!("write {host:?}")))
        }
        _ => Err(("no host name and no IP address", "write a name like \"example.com\"".into())),
    }
}

fn without_root(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

fn path(walk: &mut Walk, field: &Field<'_>) -> Option<PathMatch> {
    if !is_table(field.node) {
        return path_text(walk, field).map(PathMatch::Prefix);
    }
    let section = field.section(walk)?;
    let mut read = |name| section.field(name).map(|field| path_text(walk, &field));
    match (read("exact"), read("prefix")) {
        (Some(exact), None) => exact.map(PathMatch::Exact),
        (None, Some(prefix)) => prefix.map(PathMatch::Prefix),
        _ => {
            let title = format!("`{}` takes exactly one of `exact` and `prefix`", field.path);
            walk.report(Problem::error(section.span, title));
            None
        }
    }
}

fn path_text(walk: &mut Walk, field: &Field<'_>) -> Option<String> {
    let Some(text) = field.text() else { return field.refuse(walk) };
    if let Some(prefix) = plain_part_of_expression(text) {
        let help = format!("a path takes all below it: write {prefix:?}");
        walk.report(field.wrong().label("a path is no regular expression").help(help));
        return None;
    }
    if let Some(front) = text.strip_suffix('*') {
        let front = format!("/{}", front.trim_start_matches('/'));
        let help = format!("a path takes all below it without one: write {front:?}");
        walk.report(field.wrong().label("`*` is no wildcard here").help(help));
        return None;
    }
    let Some(words) = path_problem(text) else {
        return canonical(text).map_err(|error| walk.report(refused(field, error))).ok();
    };
    let mut problem = field.wrong().label(words);
    if let Some(better) = canonical(&format!("/{}", text.trim_start_matches('/'))).ok()
        && better != text
        && !text.contains(['?', '#'])
    {
        problem = problem.help(format!("write {better:?}"));
    }
    walk.report(problem);
    None
}

/// What an expression of other proxies begins with, to its last whole segment: `/api/` of `^/api/.*$`.
fn plain_part_of_expression(text: &str) -> Option<&str> {
    let is_expression = text.starts_with('^') || text.ends_with(".*") || text.ends_with('$');
    let text = text.trim_start_matches('^');
    let plain = text.split(['.', '*', '+', '?', '(', '[', '\\', '|', '$', '{']).next().unwrap_or_default();
    let end = plain.rfind('/')? + 1;
    (is_expression && text.starts_with('/')).then(|| plain.get(..end).unwrap_or_default())
}

/// As the paths of requests are compared: by the function that they go through themselves.
fn canonical(text: &str) -> Result<String, PathError> {
    let mut out = Vec::new();
    let changed = tidegate_http::path::canonical(text.as_bytes(), &mut out)?;
    Ok(if changed { String::from_utf8_lossy(&out).into_owned() } else { text.to_owned() })
}

/// A path that never arrives, because no request may have it.
fn refused(field: &Field<'_>, error: PathError) -> Problem {
    let help = match error {
        PathError::Backslash | PathError::EncodedSlash => {
            "requests with such a path are refused (400), since servers differ in what it is: write `/` for a slash"
        }
        _ => "requests with such a path are refused (400), so no route sees one",
    };
    field.wrong().label(error.to_string()).help(help)
}

/// Why `text` can never equal the canonical path of a request (RFC 3986 §3.3, §5.2.4).
pub(super) fn path_problem(text: &str) -> Option<&'static str> {
    let plain = text.replace("%2e", ".").replace("%2E", ".");
    let segment_is = |name: &str| plain.split('/').any(|segment| segment == name);
    let escapes_fit = text
        .split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()));
    match text {
        _ if !text.starts_with('/') => Some("a path begins with `/`"),
        _ if text.contains(['?', '#']) => Some("a path has no query and no fragment"),
        _ if text.bytes().any(|byte| !byte.is_ascii_graphic()) => {
            Some("a path has visible ASCII only; write other bytes as `%20`")
        }
        _ if !escapes_fit => Some("`%` begins two hexadecimal digits"),
        _ if segment_is(".") || segment_is("..") => {
            Some("`.` and `..` are resolved before paths are matched")
        }
        _ if text.contains("//") => Some("an empty segment"),
        _ => None,
    }
}

fn methods(walk: &mut Walk, field: &Field<'_>) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    for node in some_of(walk, field) {
        match node.value.as_text() {
            // Methods are tokens and case-sensitive (RFC 9110 §9.1); all registered ones are upper case.
            Some(text) if is_field_name(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                methods.push(text.to_owned());
            }
            Some(text) if is_field_name(text) => {
                let help = format!("methods are upper case: write {:?}", text.to_ascii_uppercase());
                walk.report(field.is_no("method", node).help(help));
            }
            _ => walk.report(field.is_no("method", node)),
        }
    }
    methods.sort_unstable();
    methods.dedup();
    methods
}

fn headers(walk: &mut Walk, field: &Field<'_>) -> Vec<HeaderMatch> {
    let mut headers: Vec<HeaderMatch> = Vec::new();
    let Value::Table(entries) = &field.node.value else { return field.refuse(walk).unwrap_or_default() };
    for entry in entries {
        let name = entry.key.to_ascii_lowercase();
        if !is_field_name(&name) {
            let title = format!("{:?} is no name of a header field", entry.key);
            walk.report(Problem::error(entry.key_span.clone(), title));
        } else if headers.iter().any(|header| header.name == name) {
            let title = format!("the header field `{name}` is given twice");
            walk.report(
                Problem::error(entry.key_span.clone(), title).help("upper and lower case are the same here"),
            );
        } else if let Some(value) = header_value(walk, field, &entry.node) {
            headers.push(HeaderMatch { name, value });
        }
    }
    headers.sort_unstable();
    headers
}

fn header_value(walk: &mut Walk, field: &Field<'_>, node: &Node) -> Option<Option<String>> {
    match &node.value {
        Value::Boolean(true) => Some(None),
        Value::Text { text, .. } if is_field_value(text) => Some(Some(text.clone())),
        Value::Text { .. } => {
            walk.report(
                field.wrong_at(node).label("a value has no control characters and no space at its ends"),
            );
            None
        }
        _ => {
            walk.report(field.wrong_at(node).help("write a value in quotes, or `true` for any value"));
            None
        }
    }
}

/// A token (RFC 9110 §5.6.2).
pub(super) fn is_field_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110 §5.5: no control characters but tab, and no white space around it.
pub(super) fn is_field_value(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || !c.is_control()) && text.trim_matches([' ', '\t']) == text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::print_host;

    #[test]
    fn expressions_of_other_proxies_are_told_from_paths() {
        let plain = |text| plain_part_of_expression(text);
        for (text, prefix) in
            [("^/api/.*$", "/api/"), ("/api/.*", "/api/"), ("^/(a|b)/c$", "/"), ("^/users/[0-9]+", "/users/")]
        {
            assert_eq!(plain(text), Some(prefix), "{text}");
        }
        assert_eq!(["/api/", "/a.b", "api", "/api/*", "/a+b", "^api$"].map(plain), [None; 6]);
    }

    #[test]
    fn a_host_is_held_without_the_dot_of_the_root() {
        for (text, expected) in [
            ("A.Example.com.", Some("a.example.com")),
            ("*.example.com.", Some("*.example.com")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("example.com..", None),
            (".", None),
        ] {
            assert_eq!(host(text).ok().map(|host| print_host(&host)).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_path_is_held_as_requests_have_it() {
        let cases = [
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/a|b", Ok("/a%7Cb")),
            ("/t{id}", Ok("/t%7Bid%7D")),
            ("/u%7e/secret%2e", Ok("/u~/secret.")),
            ("/e%3d", Ok("/e%3D")),
            ("/api/", Ok("/api/")),
            ("/p%2Fq", Err(PathError::EncodedSlash)),
            ("/..;/a", Err(PathError::DotSegmentParameters)),
            ("/%c0%ae", Err(PathError::OverlongUtf8)),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected.map(str::to_owned), "{text}");
        }
    }
}
