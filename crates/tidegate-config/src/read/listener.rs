//! Listeners, the admin listener, and the log.
//!
//! It does not know whether two of them collide.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net};

use crate::document::{Node, Value};
use crate::keys::LISTENER;
use crate::problem::Problem;
use crate::read::passage::passage;
use crate::read::tls::tls;
use crate::read::{Inherited, Placed, is_table};
use crate::walk::{Field, Section, Walk, set};
use crate::{Bind, Holds, Listener, Log, LogFormat, LogTarget};

/// Where the admin listener binds when nothing is said.
const ADMIN_PORT: u16 = 9901;

/// `listen`, then each `[[listener]]`.
pub(super) fn listeners(
    walk: &mut Walk,
    root: &Section<'_>,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Vec<Placed<Listener>> {
    let mut listeners = Vec::new();
    if let Some(field) = root.field("listen") {
        let nodes = field.one_or_many();
        if nodes.is_empty() {
            walk.report(
                Problem::error(field.span(), "`listen` is empty").help("add an address like \":8080\""),
            );
        }
        for node in nodes {
            if let Some(bind) = field.parse_at::<Bind>(walk, "address", node) {
                listeners.push(Placed { value: plain(bind, inherited), span: node.span.clone() });
            }
        }
    }
    if let Some(field) = root.field("listener") {
        for node in field.items(walk) {
            listeners.extend(listener(walk, &field, node, inherited, clusters));
        }
    }
    listeners
}

pub(super) fn plain(bind: Bind, inherited: &Inherited) -> Listener {
    Listener {
        bind,
        tls: None,
        redirect_https: None,
        passage: None,
        http2: true,
        connections: inherited.limit.connections,
        trusted_proxies: inherited.trusted_proxies.clone(),
        proxy_protocol_from: inherited.proxy_protocol_from.clone(),
    }
}

fn listener(
    walk: &mut Walk,
    field: &Field<'_>,
    node: &Node,
    inherited: &Inherited,
    clusters: &BTreeSet<&str>,
) -> Option<Placed<Listener>> {
    let Some(section) = Section::open(walk, &LISTENER, "listener", node) else {
        walk.report(field.wrong_at(node).help("write `[[listener]]`"));
        return None;
    };
    let trusted_proxies = trusted_proxies(walk, &section);
    let proxy_protocol_from = proxy_protocol_from(walk, &section);
    let connections = connections(walk, &section, inherited.limit.connections);
    let tls = tls(walk, &section);
    let passage = passage(walk, &section, inherited, clusters);
    let http2 = section.boolean(walk, "http2");
    let redirect_https = redirect_https(walk, &section);
    let Some(bind) = section.field("bind") else {
        if walk.has_misplaced(&["bind"]) {
            return None;
        }
        walk.report(
            Problem::error(section.span, "this listener has no address").help("add `bind = \":8080\"`"),
        );
        return None;
    };
    let mut listener = plain(bind.parse(walk, "address")?, inherited);
    set(&mut listener.trusted_proxies, trusted_proxies);
    set(&mut listener.proxy_protocol_from, proxy_protocol_from);
    set(&mut listener.connections, connections);
    (listener.tls, listener.redirect_https) = (tls, redirect_https);
    listener.passage = passage;
    set(&mut listener.http2, http2);
    Some(Placed { value: listener, span: bind.span() })
}

/// The port where the same is served by HTTPS.
fn redirect_https(walk: &mut Walk, section: &Section<'_>) -> Option<u16> {
    let field = section.field("redirect_https")?;
    let port = match field.node.value {
        Value::Boolean(false) => None,
        Value::Boolean(true) => Some(443),
        _ => field.integer(walk).and_then(|port| u16::try_from(port).ok()),
    };
    if port.is_some() && section.field("tls").is_some() {
        let title = "this listener speaks HTTPS already";
        let help = "give the plain one, such as `bind = \":80\"`, a `[[listener]]` of its own";
        walk.report(Problem::error(field.key_span, title).help(help));
    }
    port
}

/// Never more than the whole proxy takes.
fn connections(walk: &mut Walk, section: &Section<'_>, total: u32) -> Option<u32> {
    let field = section.field("connections")?;
    let connections = field.integer(walk)?;
    if connections > total {
        let title =
            format!("this listener never holds {connections} connections: the whole proxy takes {total}");
        walk.report(
            Problem::warning(field.span(), title).help("raise `connections` in `[limit]`, or lower this one"),
        );
    }
    Some(connections.min(total))
}

/// The `trusted_proxies` of a section; `None` when it says nothing.
pub(super) fn trusted_proxies(walk: &mut Walk, section: &Section<'_>) -> Option<Vec<IpNet>> {
    let field = section.field("trusted_proxies")?;
    Some(networks(walk, &field, "every client is trusted here: anyone can claim any address"))
}

/// The `proxy_protocol_from` of a section; `None` when it says nothing.
pub(super) fn proxy_protocol_from(walk: &mut Walk, section: &Section<'_>) -> Option<Vec<IpNet>> {
    let field = section.field("proxy_protocol_from")?;
    Some(networks(walk, &field, "every client may introduce itself here: anyone can claim any address"))
}

fn networks(walk: &mut Walk, field: &Field<'_>, all: &'static str) -> Vec<IpNet> {
    let mut networks: Vec<IpNet> =
        field.one_or_many().iter().filter_map(|node| network(walk, field, node, all)).collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

/// A network; a single address is one too. `all` is what it means when every address is in it.
fn network(walk: &mut Walk, field: &Field<'_>, node: &Node, all: &'static str) -> Option<IpNet> {
    let Some(text) = node.value.as_text() else {
        walk.report(field.wrong_at(node));
        return None;
    };
    let network = match (text.parse::<IpNet>(), text.parse::<std::net::IpAddr>()) {
        (Ok(network), _) => as_ipv4(network),
        (_, Ok(address)) => IpNet::from(address.to_canonical()),
        _ => {
            walk.report(field.is_no("network", node).help("write the first address and the length of the prefix, such as \"10.0.0.0/8\" or \"fd00::/8\"",
            ));
            return None;
        }
    };
    if network.prefix_len() == 0 {
        walk.report(
            Problem::warning(node.span.clone(), all).help("list only the proxies in front of this one"),
        );
    }
    if network.trunc() != network {
        let title = format!("`{network}` has bits beyond its prefix");
        walk.report(
            Problem::warning(node.span.clone(), title).help(format!("taken as \"{}\"", network.trunc())),
        );
    }
    Some(network.trunc())
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: peers are looked for by their IPv4 addresses.
fn as_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let address = mapped.addr().to_ipv4_mapped();
    let ipv4 = address.zip(mapped.prefix_len().checked_sub(96));
    ipv4.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

/// The admin listener; `None` when it is switched off.
pub(super) fn admin(walk: &mut Walk, root: &Section<'_>) -> Option<Placed<Bind>> {
    let default =
        Bind::Tcp { host: Some(crate::Host::Ip(std::net::Ipv4Addr::LOCALHOST.into())), port: ADMIN_PORT };
    let default = Some(Placed { value: default, span: 0..0 });
    let Some(field) = root.field("admin") else { return default };
    if !is_table(field.node) {
        return admin_bind(walk, &field);
    }
    let Some(bind) = field.section(walk).and_then(|table| table.field("bind")) else { return default };
    admin_bind(walk, &bind)
}

fn admin_bind(walk: &mut Walk, field: &Field<'_>) -> Option<Placed<Bind>> {
    if field.is_off() {
        return None;
    }
    let bind: Bind = field.parse(walk, "address")?;
    if !bind.is_loopback() {
        let title = "the admin listener can be reached from other machines";
        let help = "it asks for no password: bind it to 127.0.0.1 or a Unix socket";
        walk.report(Problem::warning(field.span(), title).help(help));
    }
    Some(Placed { value: bind, span: field.span() })
}

pub(super) fn log(walk: &mut Walk, root: &Section<'_>) -> Log {
    let mut log = Log::default();
    let Some(section) = root.section(walk, "log") else { return log };
    set(&mut log.access, section.field("access").and_then(|field| target(walk, &field)));
    if let Some(field) = section.field("format") {
        set(&mut log.format, field.word(walk).map(format));
        if log.access == LogTarget::Off {
            let title = "`log.format` has no effect while there is no access log";
            walk.report(Problem::warning(field.key_span, title).help("add `access = \"stdout\"`"));
        }
    }
    log
}

fn format(word: &str) -> LogFormat {
    if word == "text" { LogFormat::Text } else { LogFormat::Json }
}

fn target(walk: &mut Walk, field: &Field<'_>) -> Option<LogTarget> {
    match &field.node.value {
        Value::Text { text, .. } if text == "off" => Some(LogTarget::Off),
        Value::Text { text, .. } if text == "stdout" => Some(LogTarget::Stdout),
        Value::Text { text, .. } if text == "stderr" => Some(LogTarget::Stderr),
        Value::Text { text, .. } if text.contains('/') && !text.contains('\0') => {
            field.has_to_hold(walk, Holds::Lines(text.into()));
            Some(LogTarget::File(text.into()))
        }
        // A bare word is more likely a mistyped one than a file in whatever folder this starts in.
        Value::Text { .. } => {
            field.word(walk);
            None
        }
        _ => field.refuse(walk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_networks_are_those_of_ipv4() {
        for (written, meant) in [
            ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
            ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("::ffff:0.0.0.0/95", "::ffff:0.0.0.0/95"),
            ("fd00::/8", "fd00::/8"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            let network: IpNet = written.parse().unwrap();
            assert_eq!(as_ipv4(network), meant.parse::<IpNet>().unwrap(), "{written}");
        }
    }
}
