//! Whether a request means this listener, by its `Host`: against pages that rebind their own name to a loopback address.
//!
//! A browser sends the name that its page came from; only names that nobody else can have are accepted.

use std::net::{IpAddr, Ipv6Addr};
use tidegate_config::{Bind, Host};

/// Whether a request with this `Host` may be answered on a listener that was bound like this.
pub(super) fn is_ours(bind: &Bind, host: Option<&str>) -> bool {
    match (bind, host) {
        (Bind::Unix(_), _) => true, // no browser opens a Unix socket
        (Bind::Tcp { .. }, None) => false,
        (Bind::Tcp { host: bound, .. }, Some(asked)) => {
            let name = without_port(asked);
            let is_bound_name = matches!(bound, Some(Host::Name(bound)) if name.eq_ignore_ascii_case(bound));
            is_bound_name || is_address(name) || name.eq_ignore_ascii_case("localhost")
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

/// An address cannot be rebound.
fn is_address(name: &str) -> bool {
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_nobody_can_rebind_are_answered() {
        let loopback: Bind = "127.0.0.1:9901".parse().unwrap();
        let named: Bind = "admin.internal:9901".parse().unwrap();
        let unix: Bind = "unix:/run/admin.sock".parse().unwrap();
        let cases = [
            (&loopback, Some("127.0.0.1:9901"), true, "its address"),
            (&loopback, Some("localhost:9901"), true, "the name of loopback"),
            (&loopback, Some("LocalHost"), true, "in any case, without a port"),
            (&loopback, Some("[::1]:9901"), true, "an IPv6 address"),
            (&loopback, Some("10.1.2.3"), true, "any address: it cannot be rebound"),
            (&loopback, Some("evil.example:9901"), false, "a name that somebody else owns"),
            (&loopback, Some("localhost.evil.example"), false, "a name below another"),
            (&loopback, Some("127.0.0.1.evil.example"), false, "a name that looks like an address"),
            (&loopback, Some("admin.internal"), false, "not the name it was bound by"),
            (&loopback, Some("::1"), false, "an IPv6 address needs its brackets (RFC 3986 §3.2.2)"),
            (&loopback, Some(""), false, "nothing"),
            (&loopback, None, false, "no Host at all"),
            (&named, Some("admin.internal:9901"), true, "the name it was bound by"),
            (&unix, Some("evil.example"), true, "no browser opens a Unix socket"),
            (&unix, None, true, "no browser opens a Unix socket"),
        ];
        for (bind, host, expected, why) in cases {
            assert_eq!(is_ours(bind, host), expected, "{host:?} on {bind}: {why}");
        }
    }
}
