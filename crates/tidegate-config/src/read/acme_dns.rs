//! `dns` of `tls.acme`: how records come into the DNS. It runs nothing and opens no file.

use std::net::{IpAddr, SocketAddr};

use super::tls::file_that_holds;
use crate::document::Node;
use crate::problem::Problem;
use crate::tls::{DNS_TIMEOUT, DNS_WAIT};
use crate::walk::{Field, Section, Walk, set};
use crate::{AcmeDns, Address, DnsThrough, Holds};

/// What the DNS is served on.
const PORT: u16 = 53;

pub(super) fn acme_dns(walk: &mut Walk, acme: &Section<'_>) -> Option<AcmeDns> {
    let table = acme.section(walk, "dns")?;
    let (mut timeout, mut wait) = (DNS_TIMEOUT, DNS_WAIT);
    set(&mut timeout, table.duration(walk, "timeout"));
    set(&mut wait, table.duration(walk, "wait"));
    let resolvers = table.field("resolver").map(|field| resolvers(walk, &field)).unwrap_or_default();
    let through = through(walk, &table)?;
    Some(AcmeDns { through, resolvers, timeout, wait })
}

fn through(walk: &mut Walk, table: &Section<'_>) -> Option<DnsThrough> {
    let key = file_that_holds(walk, table, "key", Holds::UpdateKey);
    match (table.field("command"), table.field("server")) {
        (Some(command), Some(server)) => {
            let title = format!("`{}` goes by a command or by a server, not by both", table.path);
            walk.report(Problem::error(server.key_span, title).context(command.key_span, "the command"));
            None
        }
        (Some(command), None) => {
            if let Some(key) = table.field("key") {
                let title = "`key` has no effect beside `command`: the command signs as it likes";
                walk.report(Problem::warning(key.key_span, title).help("remove it"));
            }
            words(walk, &command).map(DnsThrough::Command)
        }
        (None, Some(server)) => {
            let address = host_and_port(walk, &server)?;
            if table.field("key").is_none() && !walk.has_misplaced(&["key"]) {
                let title = "updates of the zone are not signed: anybody near may be allowed the same";
                walk.report(Problem::warning(server.span(), title).help("add `key = \"FILE\"`"));
            }
            Some(DnsThrough::Server { address, key })
        }
        (None, None) => {
            if !walk.has_misplaced(&["command", "server"]) {
                let title = format!("`{}` does not say who changes the zone", table.path);
                let help = "add `command = [\"FILE\"]`, or `server = \"HOST\"` and `key = \"FILE\"`";
                walk.report(Problem::error(table.span.clone(), title).help(help));
            }
            None
        }
    }
}

/// A program, which is not empty, and any arguments.
fn words(walk: &mut Walk, field: &Field<'_>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for node in field.items(walk) {
        match node.value.as_text().filter(|text| !text.contains('\0')) {
            Some(text) => words.push(text.to_owned()),
            None => walk.report(field.wrong_at(node)),
        }
    }
    if words.first().is_none_or(String::is_empty) {
        walk.report(Problem::error(field.span(), format!("`{}` names no program", field.path)));
        return None;
    }
    Some(words)
}

fn host_and_port(walk: &mut Walk, field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::from((ip, PORT)).to_string());
    let with_port = bare.unwrap_or_else(|_| {
        let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { text.to_owned() } else { format!("{text}:{PORT}") }
    });
    match with_port.parse() {
        Ok(Address::Tcp { .. }) => Some(with_port),
        _ => field.refuse(walk),
    }
}

fn resolvers(walk: &mut Walk, field: &Field<'_>) -> Vec<SocketAddr> {
    let mut resolvers = Vec::new();
    for node in field.one_or_many() {
        match node.value.as_text().and_then(resolver) {
            Some(address) => resolvers.push(address),
            None => walk.report(refused(field, node)),
        }
    }
    resolvers
}

fn refused(field: &Field<'_>, node: &Node) -> Problem {
    field
        .is_no("address", node)
        .help("write an address like \"10.0.0.53\", or one with a port like \"[::1]:5353\"")
}

fn resolver(text: &str) -> Option<SocketAddr> {
    text.parse::<IpAddr>().map(|ip| (ip, PORT).into()).or_else(|_| text.parse()).ok()
}
