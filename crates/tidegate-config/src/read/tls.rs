//! `tls` of a listener. It opens no file.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::matcher::{NoHost, host};
use crate::automatic::{ELSEWHERE, unknown_to_public_authorities};
use crate::check::print_host;
use crate::document::{Node, Value};
use crate::keys::CERTIFICATE;
use crate::problem::Problem;
use crate::tls::ACME_CA;
use crate::walk::{Field, Section, Walk, set};
use crate::{
    Acme, AcmeChallenge, CertificateFiles, ClientAuth, ClientDemand, Holds, Hsts, Internal, Tls, TlsVersion,
};

/// What the list of sites that browsers know to be HTTPS only asks for at least (hstspreload.org).
const HSTS_DEFAULT: Duration = Duration::from_hours(365 * 24);

/// The `tls` of a listener; `None` when it says nothing, or nothing of use.
pub(super) fn tls(walk: &mut Walk, listener: &Section<'_>) -> Option<Tls> {
    let field = listener.field("tls")?;
    if field.text().is_some() {
        field.word(walk)?;
        return Some(Tls { internal: Some(Internal::default()), ..Tls::default() });
    }
    let Some(table) = field.section(walk) else {
        walk.report(field.wrong().help("write `tls = { cert = \"FILE\", key = \"FILE\" }`"));
        return None;
    };
    let mut certificates = Vec::new();
    if table.field("cert").is_some() || table.field("key").is_some() {
        certificates.extend(pair(walk, &table));
    }
    let given = table.field("certificates");
    if let Some(list) = &given {
        for node in list.items(walk) {
            certificates.extend(certificate(walk, list, node));
        }
    }
    let acme = table.field("acme").and_then(|field| acme(walk, &field));
    let internal = table.field("internal").and_then(|field| internal(walk, &field));
    let is_off = |name| table.field(name).is_none_or(|field| field.is_refused());
    if certificates.is_empty()
        && is_off("acme")
        && is_off("internal")
        && given.is_none()
        && table.field("cert").is_none()
        && table.field("key").is_none()
    {
        let title = format!("`{}` has no certificate", table.path);
        walk.report(
            Problem::error(table.span.clone(), title)
                .help("add `cert = \"FILE\"` and `key = \"FILE\"`, or `acme = true`, or `internal = true`"),
        );
    }
    let mut min_version = TlsVersion::default();
    set(&mut min_version, table.field("min_version").and_then(|field| field.word(walk)).map(version));
    let client_auth = client_auth(walk, &table);
    let hsts = table.field("hsts").and_then(|field| hsts(walk, &field));
    Some(Tls { certificates, acme, internal, min_version, client_auth, hsts })
}

/// Hosts that are not given come from the routes, later.
fn acme(walk: &mut Walk, field: &Field<'_>) -> Option<Acme> {
    if let Value::Boolean(on) = field.node.value {
        return on.then(Acme::default);
    }
    let Some(table) = field.section(walk) else { return field.refuse(walk) };
    let mut acme = Acme::default();
    if let Some(field) = table.field("hosts") {
        acme.hosts = hosts(walk, &field, name);
    }
    acme.email = table.text(walk, "email").map(str::to_owned);
    if let Some(ca) = table.field("ca") {
        match ca.text() {
            Some(text) if text.starts_with("https://") => text.clone_into(&mut acme.ca),
            _ => walk.report(ca.wrong()),
        }
    }
    acme.ca_root = file_that_holds(walk, &table, "ca_root", Holds::Roots);
    acme.folder = file(walk, &table, "folder");
    acme.challenge = table.field("challenge").and_then(|field| field.word(walk)).map(challenge);
    acme.dns = super::acme_dns::acme_dns(walk, &table);
    needs_dns(walk, &table, &acme);
    needs_another_authority(walk, &table);
    Some(acme)
}

/// The usual authority would refuse every order for some hosts, for ever.
fn needs_another_authority(walk: &mut Walk, table: &Section<'_>) {
    let is_usual = table.field("ca").is_none_or(|ca| ca.text() == Some(ACME_CA));
    let Some(hosts) = table.field("hosts").filter(|_| is_usual) else { return };
    for node in hosts.one_or_many() {
        let Some(host) = node.value.as_text().and_then(|text| name(text).ok()) else { continue };
        if let Some(why) = unknown_to_public_authorities(&host) {
            let title = format!("Let's Encrypt gives no certificate for {host:?}");
            walk.report(Problem::error(node.span.clone(), title).label(why).help(ELSEWHERE));
        }
    }
}

/// Nothing else shows that everything below a name is ours.
fn needs_dns(walk: &mut Walk, table: &Section<'_>, acme: &Acme) {
    if table.field("dns").is_some() || walk.has_misplaced(&["dns"]) {
        return;
    }
    let help = "add `dns = { command = [\"FILE\"] }`, or `dns = { server = \"HOST\", key = \"FILE\" }`";
    if acme.challenge == Some(AcmeChallenge::Dns01)
        && let Some(field) = table.field("challenge")
    {
        walk.report(Problem::error(field.span(), "nothing says how records come into the DNS").help(help));
    }
    if let Some(host) = acme.hosts.iter().find(|host| host.starts_with("*."))
        && let Some(field) = table.field("hosts")
    {
        let title = format!("a certificate for {host:?} needs records in the DNS");
        walk.report(Problem::error(field.span(), title).help(help));
    }
}

/// Hosts that are not given come from the routes, later.
fn internal(walk: &mut Walk, field: &Field<'_>) -> Option<Internal> {
    if let Value::Boolean(on) = field.node.value {
        return on.then(Internal::default);
    }
    let Some(table) = field.section(walk) else { return field.refuse(walk) };
    let mut internal = Internal::default();
    if let Some(field) = table.field("hosts") {
        internal.hosts = hosts(walk, &field, any_host);
    }
    internal.folder = file(walk, &table, "folder");
    Some(internal)
}

fn challenge(word: &str) -> AcmeChallenge {
    match word {
        "dns-01" => AcmeChallenge::Dns01,
        "http-01" => AcmeChallenge::Http01,
        _ => AcmeChallenge::TlsAlpn01,
    }
}

/// Each once, as the hosts of routes are written.
fn hosts(walk: &mut Walk, field: &Field<'_>, read: fn(&str) -> Result<String, NoHost>) -> Vec<String> {
    let (mut hosts, mut seen) = (Vec::new(), HashSet::new());
    for node in field.items(walk) {
        let Some(text) = node.value.as_text() else {
            walk.report(field.wrong_at(node));
            continue;
        };
        match read(text) {
            Ok(host) if seen.insert(host.clone()) => hosts.push(host),
            Ok(_) => {} // it has its certificate
            Err((label, help)) => walk.report(field.is_no("host", node).label(label).help(help)),
        }
    }
    if field.one_or_many().is_empty() {
        walk.report(Problem::error(field.span(), format!("`{}` names nobody", field.path)));
    }
    hosts
}

fn name(text: &str) -> Result<String, NoHost> {
    let host = any_host(text)?;
    if host.parse::<IpAddr>().is_ok() {
        return Err(("an address", "write a name, or `*.` and a name, without a port".into()));
    }
    Ok(host)
}

/// A name, `*.` and a name, or an address, which needs no brackets.
fn any_host(text: &str) -> Result<String, NoHost> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let host = print_host(&host(text)?);
    Ok(host.trim_matches(['[', ']']).to_owned())
}

fn hsts(walk: &mut Walk, field: &Field<'_>) -> Option<Hsts> {
    let mut hsts = Hsts { max_age: HSTS_DEFAULT, include_subdomains: false, preload: false };
    match field.node.value {
        Value::Boolean(on) => return on.then_some(hsts),
        Value::Table(_) => {}
        _ => return field.duration(walk).map(|max_age| Hsts { max_age, ..hsts }),
    }
    let table = field.section(walk)?;
    set(&mut hsts.max_age, table.duration(walk, "max_age"));
    set(&mut hsts.include_subdomains, table.boolean(walk, "include_subdomains"));
    set(&mut hsts.preload, table.boolean(walk, "preload"));
    let may_be_listed = hsts.include_subdomains && hsts.max_age >= HSTS_DEFAULT;
    if let Some(preload) = table.field("preload").filter(|_| hsts.preload && !may_be_listed) {
        let title = "no list takes a host that is not HTTPS only for a year at least, and all hosts below it";
        let help = "add `include_subdomains = true`, and leave `max_age` out; or leave `preload` out";
        walk.report(Problem::error(preload.span(), title).help(help));
    }
    Some(hsts)
}

/// Who vouches for clients says that they are asked.
fn client_auth(walk: &mut Walk, table: &Section<'_>) -> Option<ClientAuth> {
    let demand = table.field("client_auth").map(|field| field.word(walk));
    let ca = file(walk, table, "client_ca");
    let crls = table.field("client_crl").map(|field| files(walk, &field)).unwrap_or_default();
    let chain = table.boolean(walk, "client_chain").unwrap_or(false);
    let given = |name| table.field(name);
    if given("client_ca").is_none() && !walk.has_misplaced(&["client_ca"]) {
        let demanded = given("client_auth").filter(|field| !field.is_off());
        if let Some(field) = demanded.or_else(|| given("client_crl")).or_else(|| given("client_chain")) {
            let title = format!("`{}` needs to know who vouches for clients", field.path);
            let help = "add `client_ca = \"FILE\"`";
            walk.report(Problem::error(field.key_span, title).help(help));
        }
        return None;
    }
    let demand = match demand {
        None | Some(Some("required")) => ClientDemand::Required,
        Some(Some("optional")) => ClientDemand::Optional,
        Some(_) => {
            if let Some(field) = given("client_ca") {
                let title = "`client_ca` has no effect while `client_auth` is off";
                walk.report(Problem::warning(field.key_span, title).help("remove one of them"));
            }
            return None;
        }
    };
    let auth = ClientAuth { demand, ca: ca?, crls, chain };
    given("client_ca")?.has_to_hold(walk, Holds::Clients(auth.clone()));
    Some(auth)
}

fn files(walk: &mut Walk, field: &Field<'_>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for node in field.one_or_many() {
        match node.value.as_text().and_then(path) {
            Some(path) => files.push(path),
            None => walk.report(field.wrong_at(node)),
        }
    }
    files
}

fn certificate(walk: &mut Walk, list: &Field<'_>, node: &Node) -> Option<CertificateFiles> {
    let Some(section) = Section::open(walk, &CERTIFICATE, &list.path, node) else {
        walk.report(list.wrong_at(node));
        return None;
    };
    pair(walk, &section)
}

/// Neither is of use without the other.
fn pair(walk: &mut Walk, section: &Section<'_>) -> Option<CertificateFiles> {
    let given = |name| section.field(name).is_some();
    for (name, other) in [("cert", "key"), ("key", "cert")] {
        if !given(name) && !walk.has_misplaced(&[name]) {
            let title = format!("`{}` has no `{name}`", section.path);
            let help = format!("add `{name} = \"FILE\"` beside `{other}`");
            walk.report(Problem::error(section.span.clone(), title).help(help));
        }
    }
    certificate_of(walk, section)
}

/// Looked into before anything starts.
pub(super) fn certificate_of(walk: &mut Walk, section: &Section<'_>) -> Option<CertificateFiles> {
    let (cert, key) = (file(walk, section, "cert"), file(walk, section, "key"));
    let files = CertificateFiles { cert: cert?, key: key? };
    section.field("cert")?.has_to_hold(walk, Holds::Certificate(files.clone()));
    Some(files)
}

pub(super) fn file(walk: &mut Walk, section: &Section<'_>, name: &'static str) -> Option<PathBuf> {
    let field = section.field(name)?;
    let text = section.text(walk, name)?;
    path(text).or_else(|| field.refuse(walk))
}

/// The same, looked into before anything starts.
pub(super) fn file_that_holds(
    walk: &mut Walk,
    section: &Section<'_>,
    name: &'static str,
    holds: fn(PathBuf) -> Holds,
) -> Option<PathBuf> {
    let path = file(walk, section, name)?;
    section.field(name)?.has_to_hold(walk, holds(path.clone()));
    Some(path)
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| text.into())
}

pub(super) fn version(word: &str) -> TlsVersion {
    if word == "1.3" { TlsVersion::Tls13 } else { TlsVersion::Tls12 }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn hosts_of_certificates_are_held_as_those_of_routes() {
        let hosts = |tls: &str| {
            let text = format!("to = \"h:1\"\n[[listener]]\nbind = \":443\"\ntls = {{ {tls} }}\n");
            let (config, _) =
                Config::parse("test.toml", &text, &|_| None).map_err(|report| report.to_string())?;
            let tls = config.listeners.into_iter().find_map(|listener| listener.tls).unwrap_or_default();
            let acme = tls.acme.map(|acme| acme.hosts);
            Ok(acme.or(tls.internal.map(|internal| internal.hosts)).unwrap_or_default())
        };
        let held =
            |tls: &str| hosts(tls).map_err(|error: String| panic!("{tls}: {error}")).unwrap_or_default();
        let acme = "acme = { hosts = [\"A.example.com.\", \"a.example.com\", \"*.example.com.\"], dns = { command = [\"hook\"] } }";
        assert_eq!(held(acme), ["a.example.com", "*.example.com"]);
        let internal =
            "internal = { hosts = [\"a.test.\", \"*.a.test\", \"::1\", \"[::0:1]\", \"10.0.0.1\"] }";
        assert_eq!(held(internal), ["a.test", "*.a.test", "::1", "10.0.0.1"]);
        for (wrong, words) in [
            ("10.0.0.1", "an address"),
            ("[::1]", "an address"),
            ("a.example.com:443", "without its port"),
            ("https://a.example.com/", "this is a URL"),
            ("a..example.com", "no host name"),
        ] {
            let said = hosts(&format!("acme = {{ hosts = [\"{wrong}\"] }}")).unwrap_err();
            assert!(said.contains(words), "{wrong}: {said}");
        }
    }
}
