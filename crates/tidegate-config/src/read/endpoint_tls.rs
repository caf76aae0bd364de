//! Whether and how endpoints are spoken TLS with: by `tls`, or by `https://` before their addresses.
//!
//! It opens no file.

use super::tls::{certificate_of, file_that_holds, version};
use crate::document::Value;
use crate::problem::{Problem, Span};
use crate::scheme::{Scheme, Written};
use crate::walk::{Field, Section, Walk, set};
use crate::{Address, CertificateFiles, EndpointTls, Holds, Host, Trust};

/// An endpoint's address, and where it was said.
pub(super) type Place = (Written, Span);

/// What holds for all endpoints of a cluster; `None`: they are spoken to in the clear.
pub(super) fn endpoint_tls(
    walk: &mut Walk,
    section: Option<&Section<'_>>,
    places: &[Place],
) -> Option<EndpointTls> {
    let field = section.and_then(|section| section.field("tls"));
    let tls = match &field {
        None => by_schemes(walk, places),
        Some(field) if field.is_refused() => {
            contradictions(walk, places, Scheme::Https, field, "is switched off");
            None
        }
        Some(field) => {
            contradictions(walk, places, Scheme::Http, field, "is on");
            given(walk, field)
        }
    };
    if let Some(tls) = &tls {
        nameless(walk, tls, places);
    }
    tls
}

/// All of them, or none.
fn by_schemes(walk: &mut Walk, places: &[Place]) -> Option<EndpointTls> {
    let is_https = |place: &&Place| place.0.scheme == Some(Scheme::Https);
    let (_, https) = places.iter().find(is_https)?;
    if let Some((_, clear)) = places.iter().find(|place| !is_https(place)) {
        let problem =
            Problem::error(clear.clone(), "endpoints of one cluster are all spoken TLS with, or none");
        walk.report(
            problem
                .context(https.clone(), "this one is")
                .help("write `https://` before each, or make it two clusters"),
        );
    }
    Some(EndpointTls::default())
}

fn contradictions(walk: &mut Walk, places: &[Place], wrong: Scheme, field: &Field<'_>, state: &str) {
    for (_, span) in places.iter().filter(|(written, _)| written.scheme == Some(wrong)) {
        let problem =
            Problem::error(span.clone(), format!("this says otherwise than `{}`, which {state}", field.path));
        walk.report(problem.context(field.span(), "here").help("leave one of them out"));
    }
}

/// A path is no name that a certificate could be for.
fn nameless(walk: &mut Walk, tls: &EndpointTls, places: &[Place]) {
    if tls.server_name.is_some() || tls.trust == Trust::Anyone {
        return;
    }
    for (written, span) in places {
        if matches!(written.address, Address::Unix(_)) {
            let problem =
                Problem::error(span.clone(), "nobody knows which name this endpoint's certificate is for");
            walk.report(problem.help("add `tls = { server_name = \"app.internal\" }`"));
        }
    }
}

fn given(walk: &mut Walk, field: &Field<'_>) -> Option<EndpointTls> {
    match &field.node.value {
        Value::Boolean(_) => Some(EndpointTls::default()),
        Value::Table(_) => {
            let table = field.section(walk)?;
            Some(table_of(walk, &table))
        }
        _ => field.refuse(walk),
    }
}

fn table_of(walk: &mut Walk, table: &Section<'_>) -> EndpointTls {
    let mut tls = EndpointTls { trust: trust(walk, table), ..EndpointTls::default() };
    tls.server_name = table.field("server_name").and_then(|field| field.parse::<Host>(walk, "host"));
    tls.identity = identity(walk, table);
    set(&mut tls.min_version, table.field("min_version").and_then(|field| field.word(walk)).map(version));
    tls
}

fn trust(walk: &mut Walk, table: &Section<'_>) -> Trust {
    let authorities = file_that_holds(walk, table, "ca", Holds::Roots).map_or(Trust::System, Trust::File);
    let Some(field) = table.field("verify") else { return authorities };
    if table.boolean(walk, "verify") != Some(false) {
        return authorities;
    }
    if let Some(ca) = table.field("ca") {
        let problem =
            Problem::error(ca.key_span, format!("`{}` has no effect: nothing is verified", ca.path));
        walk.report(problem.context(field.span(), "by this").help("leave `verify` out"));
    } else {
        let title = format!("`{} = false`: whoever answers for these endpoints is believed", field.path);
        let help = "with the authority that signed their certificates, `ca = \"FILE\"`, they can be verified";
        walk.report(Problem::warning(field.span(), title).help(help));
    }
    Trust::Anyone
}

/// Both, or neither.
fn identity(walk: &mut Walk, table: &Section<'_>) -> Option<CertificateFiles> {
    for (name, other) in [("cert", "key"), ("key", "cert")] {
        if let (Some(given), None) = (table.field(name), table.field(other))
            && !walk.has_misplaced(&[other])
        {
            let problem =
                Problem::error(given.key_span, format!("`{}` is of no use without `{other}`", given.path));
            walk.report(problem.help(format!("add `{other} = \"FILE\"`")));
        }
    }
    certificate_of(walk, table)
}
