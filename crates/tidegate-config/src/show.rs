//! A configuration as TOML, with every value written out: what it says reads back as the same configuration.
//!
//! It prints values, never where they came from.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::check::print_host;
use crate::expand::escape;
use crate::units::{print_duration, print_size};
use crate::{
    AcmeDns, Action, Balance, Bind, Bound, Breaker, CertificateFiles, Cluster, Config, Course, DnsThrough,
    Endpoint, EndpointRequests, EndpointTls, Forward, HashKey, HealthCheck, Hedge, HostPattern, Hsts, Limits,
    Listener, Log, LogFormat, LogTarget, Matcher, PassiveHealth, PathMatch, Priority, Probe, RateKey,
    RateLimit, Redirect, RedirectPart, RequestLimit, Retry, Route, RouteLimits, RouteRate, RouteTimeouts,
    Secret, StatusRange, Sticky, Timeouts, Tls, Trust, Workers,
};

impl Config {
    /// The effective configuration as TOML, every default included.
    ///
    /// [`Config::parse`] makes an equal configuration of it. `requests_here` is what `limit.requests = "auto"` comes to where
    /// it is shown.
    pub fn to_toml(&self, requests_here: usize) -> String {
        let mut sheet = Sheet::default();
        root(&mut sheet, self);
        log(&mut sheet, &self.log);
        timeout(&mut sheet, &self.timeout);
        limit(&mut sheet, &self.limit, requests_here);
        self.listeners.iter().for_each(|listener| one_listener(&mut sheet, listener));
        self.routes.iter().for_each(|route| one_route(&mut sheet, route));
        self.clusters.iter().for_each(|cluster| one_cluster(&mut sheet, cluster));
        sheet.text
    }
}

/// Lines of TOML.
#[derive(Debug, Default)]
struct Sheet {
    text: String,
}

impl Sheet {
    fn section(&mut self, header: &str) {
        self.text.push('\n');
        self.text.push_str(header);
        self.text.push('\n');
    }

    fn line(&mut self, key: &str, value: impl fmt::Display) {
        let _ = writeln!(self.text, "{key} = {value}");
    }
}

fn root(sheet: &mut Sheet, config: &Config) {
    match config.workers {
        Workers::Auto => sheet.line("workers", quoted("auto")),
        Workers::Count(count) => sheet.line("workers", count),
    }
    if let Some(zone) = &config.zone {
        sheet.line("zone", quoted(zone));
    }
    sheet.line("rate_limit", config.rate_limit.as_ref().map_or(quoted("off"), rate_limit));
    sheet.line("admin", quoted(&config.admin.as_ref().map_or("off".into(), Bind::to_string)));
}

fn log(sheet: &mut Sheet, log: &Log) {
    sheet.section("[log]");
    let access = match &log.access {
        LogTarget::Off => "off".into(),
        LogTarget::Stdout => "stdout".into(),
        LogTarget::Stderr => "stderr".into(),
        LogTarget::File(path) => path.display().to_string(),
    };
    sheet.line("access", quoted(&access));
    let format = match log.format {
        LogFormat::Json => "json",
        LogFormat::Text => "text",
    };
    sheet.line("format", quoted(format));
}

fn timeout(sheet: &mut Sheet, timeout: &Timeouts) {
    sheet.section("[timeout]");
    sheet.line("head", duration(timeout.head));
    sheet.line("handshake", duration(timeout.handshake));
    sheet.line("keep_alive", duration(timeout.keep_alive));
    sheet.line("upstream_idle", duration(timeout.upstream_idle));
    sheet.line("tcp_keep_alive", duration_or_off(timeout.tcp_keep_alive));
    sheet.line("tcp_unacknowledged", duration_or_off(timeout.tcp_unacknowledged));
    sheet.line("drain", duration(timeout.drain));
    for (key, value) in route_timeout(&timeout.route) {
        sheet.line(key, value);
    }
}

fn route_timeout(timeout: &RouteTimeouts) -> [(&'static str, String); 7] {
    [
        ("queue", duration(timeout.queue)),
        ("connect", duration(timeout.connect)),
        ("attempt", duration_or_off(timeout.attempt)),
        ("first_byte", duration_or_off(timeout.first_byte)),
        ("body_idle", duration(timeout.body_idle)),
        ("total", duration_or_off(timeout.total)),
        ("tunnel_idle", duration_or_off(timeout.tunnel_idle)),
    ]
}

fn route_limit(limit: &RouteLimits) -> [(&'static str, String); 2] {
    [("body_bytes", size_or_off(limit.body_bytes)), ("body_rate", size_or_off(limit.body_rate))]
}

fn limit(sheet: &mut Sheet, limit: &Limits, requests_here: usize) {
    sheet.section("[limit]");
    sheet.line("head_bytes", quoted(&print_size(limit.head_bytes)));
    sheet.line("field_count", limit.field_count);
    sheet.line("target_bytes", quoted(&print_size(limit.target_bytes)));
    for (key, value) in route_limit(&limit.route) {
        sheet.line(key, value);
    }
    sheet.line("connections", limit.connections);
    match limit.requests {
        RequestLimit::Auto => {
            sheet.line("requests", format_args!("{} # {requests_here} with the memory here", quoted("auto")));
        }
        RequestLimit::Most(most) => sheet.line("requests", most),
    }
    sheet.line("endpoint_requests", endpoint_requests(limit.cluster.endpoint_requests));
    sheet.line("queued_requests", limit.cluster.queued_requests);
    sheet.line("streams", limit.streams);
    sheet.line("connections_per_client", count_or_off(limit.connections_per_client));
    match limit.handshakes {
        None => sheet.line("handshakes", quoted("auto")),
        Some(most) => sheet.line("handshakes", most),
    }
    sheet.line("pending_requests", limit.cluster.pending_requests);
    sheet.line("upstream_idle_connections", limit.cluster.upstream_idle_connections);
    sheet.line("upstream_connections", count_or_off(limit.cluster.upstream_connections));
}

fn one_listener(sheet: &mut Sheet, listener: &Listener) {
    sheet.section("[[listener]]");
    sheet.line("bind", quoted(&listener.bind.to_string()));
    if let Some(tls) = &listener.tls {
        sheet.line("tls", one_tls(tls));
    }
    if let Some(passage) = &listener.passage {
        if !passage.names.is_empty() {
            sheet.line("sni", names(&passage.names));
        }
        if let Some(rest) = &passage.rest {
            sheet.line("tcp", course(rest));
        }
    }
    sheet.line("http2", listener.http2);
    match listener.redirect_https {
        Some(port) => sheet.line("redirect_https", port),
        None => sheet.line("redirect_https", false),
    }
    sheet.line("connections", listener.connections);
    sheet.line(
        "trusted_proxies",
        list(listener.trusted_proxies.iter().map(|network| quoted(&network.to_string()))),
    );
    sheet.line(
        "proxy_protocol_from",
        list(listener.proxy_protocol_from.iter().map(|network| quoted(&network.to_string()))),
    );
}

/// Each name once, with all that belongs to it.
fn names(names: &[(Option<HostPattern>, Course)]) -> String {
    let mut shown: Vec<&Option<HostPattern>> = Vec::new();
    for (name, _) in names {
        if !shown.contains(&name) {
            shown.push(name);
        }
    }
    let entry = |name: &Option<HostPattern>| {
        let courses = names.iter().filter(|(other, _)| other == name).map(|(_, one)| course(one));
        let key = name.as_ref().map_or("*".into(), print_host);
        format!("{} = {}", quoted(&key), list(courses))
    };
    format!("{{ {} }}", shown.into_iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn course(course: &Course) -> String {
    let mut fields = vec![("to", quoted(&course.cluster))];
    if !course.protocols.is_empty() {
        fields.push(("alpn", list(course.protocols.iter().map(|protocol| quoted(protocol)))));
    }
    let timeout = [
        ("queue", duration(course.timeout.queue)),
        ("connect", duration(course.timeout.connect)),
        ("tunnel_idle", duration_or_off(course.timeout.tunnel_idle)),
    ];
    fields.extend([("timeout", table(timeout)), ("retry", retry(&course.retry))]);
    table(fields)
}

fn one_tls(tls: &Tls) -> String {
    let file = |path: &Path| quoted(&path.display().to_string());
    let pair =
        |files: &CertificateFiles| format!("{{ cert = {}, key = {} }}", file(&files.cert), file(&files.key));
    let certificates = list(tls.certificates.iter().map(pair));
    let mut fields = vec![("certificates", certificates), ("min_version", quoted(tls.min_version.word()))];
    if let Some(acme) = &tls.acme {
        let mut keys = vec![("hosts", list(acme.hosts.iter().map(|host| quoted(host))))];
        keys.extend(acme.email.as_ref().map(|email| ("email", quoted(email))));
        keys.push(("ca", quoted(&acme.ca)));
        keys.extend(acme.ca_root.as_ref().map(|path| ("ca_root", file(path))));
        keys.extend(acme.challenge.map(|challenge| ("challenge", quoted(challenge.word()))));
        keys.extend(acme.dns.as_ref().map(|dns| ("dns", acme_dns(dns))));
        keys.extend(acme.folder.as_ref().map(|path| ("folder", file(path))));
        fields.push(("acme", table(keys)));
    }
    if let Some(internal) = &tls.internal {
        let mut keys = vec![("hosts", list(internal.hosts.iter().map(|host| quoted(host))))];
        keys.extend(internal.folder.as_ref().map(|path| ("folder", file(path))));
        fields.push(("internal", table(keys)));
    }
    let hsts = |hsts: Hsts| {
        table([
            ("max_age", duration(hsts.max_age)),
            ("include_subdomains", hsts.include_subdomains.to_string()),
            ("preload", hsts.preload.to_string()),
        ])
    };
    fields.push(("hsts", tls.hsts.map_or("false".into(), hsts)));
    if let Some(clients) = &tls.client_auth {
        fields.push(("client_auth", quoted(clients.demand.word())));
        fields.push(("client_ca", file(&clients.ca)));
        fields.push(("client_crl", list(clients.crls.iter().map(|path| file(path)))));
        fields.push(("client_chain", clients.chain.to_string()));
    }
    table(fields)
}

fn acme_dns(dns: &AcmeDns) -> String {
    let mut keys = match &dns.through {
        DnsThrough::Command(words) => vec![("command", list(words.iter().map(|word| quoted(word))))],
        DnsThrough::Server { address, key } => {
            let key = key.as_ref().map(|path| ("key", quoted(&path.display().to_string())));
            [("server", quoted(address))].into_iter().chain(key).collect()
        }
    };
    keys.push(("resolver", list(dns.resolvers.iter().map(|address| quoted(&address.to_string())))));
    keys.extend([("timeout", duration(dns.timeout)), ("wait", duration(dns.wait))]);
    table(keys)
}

fn one_route(sheet: &mut Sheet, route: &Route) {
    sheet.section("[[route]]");
    sheet.line("name", quoted(&route.name));
    matcher(sheet, &route.matcher);
    match &route.rate_limit {
        RouteRate::Inherited => {}
        RouteRate::Off => sheet.line("rate_limit", quoted("off")),
        RouteRate::Own(own) => sheet.line("rate_limit", rate_limit(own)),
    }
    match &route.action {
        Action::Answer(answer) => {
            let fields = [
                ("status", answer.status.to_string()),
                ("body", quoted(&answer.body)),
                ("content_type", quoted(&answer.content_type)),
            ];
            sheet.line("answer", table(fields));
        }
        Action::Forward(to) => forward(sheet, to),
        Action::Redirect(to) => {
            sheet.line("redirect", table([("to", quoted(&location(to))), ("status", to.status.to_string())]));
        }
    }
}

fn matcher(sheet: &mut Sheet, matcher: &Matcher) {
    if !matcher.hosts.is_empty() {
        sheet.line("host", list(matcher.hosts.iter().map(|host| quoted(&print_host(host)))));
    }
    match &matcher.path {
        PathMatch::Exact(path) => sheet.line("path", table([("exact", quoted(path))])),
        PathMatch::Prefix(path) => sheet.line("path", quoted(path)),
    }
    if !matcher.methods.is_empty() {
        sheet.line("method", list(matcher.methods.iter().map(|method| quoted(method))));
    }
    if !matcher.headers.is_empty() {
        let fields = matcher.headers.iter().map(|header| {
            let value = header.value.as_ref().map_or("true".into(), |value| quoted(value));
            format!("{} = {value}", bare_or_quoted(&header.name))
        });
        sheet.line("header", format!("{{ {} }}", fields.collect::<Vec<_>>().join(", ")));
    }
}

fn forward(sheet: &mut Sheet, forward: &Forward) {
    sheet.line("to", quoted(&forward.cluster));
    sheet.line("preserve_host", forward.preserve_host);
    sheet.line("timeout", table(route_timeout(&forward.timeout)));
    sheet.line("limit", table(route_limit(&forward.limit)));
    sheet.line("retry", retry(&forward.retry));
    let hedge = |hedge: Hedge| table([("percent", hedge.percent.to_string())]);
    sheet.line("hedge", forward.hedge.map_or(quoted("off"), hedge));
    let priority = match forward.priority {
        Priority::High => "high",
        Priority::Low => "low",
        Priority::Normal => "normal",
    };
    sheet.line("priority", quoted(priority));
}

fn retry(retry: &Retry) -> String {
    let on = [("connect", retry.on.connect), ("reset", retry.on.reset), ("timeout", retry.on.timeout)];
    let words = on.into_iter().filter(|(_, on)| *on).map(|(word, _)| quoted(word));
    let grpc = retry.on.grpc.iter().map(|status| quoted(status.word()));
    let budget = retry.budget.map_or(quoted("off"), |budget| {
        table([("percent", budget.percent.to_string()), ("per_second", budget.per_second.to_string())])
    });
    table([
        ("attempts", retry.attempts.to_string()),
        ("on", list(words.chain(grpc).chain(retry.on.statuses.iter().copied().map(status_range)))),
        ("budget", budget),
        ("backoff", duration_or_off(Some(retry.backoff).filter(|backoff| !backoff.is_zero()))),
        ("body_bytes", size_or_off(Some(retry.body_bytes).filter(|bytes| *bytes > 0))),
    ])
}

fn rate_limit(limit: &RateLimit) -> String {
    let requests = quoted(&format!("{}/{}", limit.requests, print_duration(limit.per)));
    let mut fields = vec![("requests", requests), ("burst", limit.burst.to_string())];
    let keys = ("keys", limit.keys.to_string());
    match &limit.key {
        RateKey::All => fields.push(("key", quoted("all"))),
        RateKey::ClientAddress { ipv4_prefix, ipv6_prefix } => fields.extend([
            ("key", quoted("client_address")),
            ("ipv4_prefix", ipv4_prefix.to_string()),
            ("ipv6_prefix", ipv6_prefix.to_string()),
            keys,
        ]),
        RateKey::Header(name) => fields.extend([("key", table([("header", quoted(name))])), keys]),
    }
    table(fields)
}

fn location(redirect: &Redirect) -> String {
    let piece = |part: &RedirectPart| match part {
        RedirectPart::Host => "{host}".into(),
        RedirectPart::Literal(text) => text.replace('{', "{{"),
        RedirectPart::Path => "{path}".into(),
        RedirectPart::Query => "{query}".to_owned(),
    };
    redirect.to.iter().map(piece).collect()
}

fn one_cluster(sheet: &mut Sheet, cluster: &Cluster) {
    sheet.section(&format!("[cluster.{}]", bare_or_quoted(&cluster.name)));
    sheet.line("endpoints", list(cluster.endpoints.iter().map(endpoint)));
    sheet.line("tls", cluster.tls.as_ref().map_or(quoted("off"), endpoint_tls));
    sheet.line("balance", balance(&cluster.balance));
    sheet.line("sticky", cluster.sticky.as_ref().map_or(quoted("off"), sticky));
    sheet.line("health", cluster.health.as_ref().map_or(quoted("off"), health));
    sheet.line("passive", cluster.passive.as_ref().map_or(quoted("off"), passive));
    sheet.line("breaker", cluster.breaker.as_ref().map_or(quoted("off"), breaker));
    sheet.line("failure_statuses", list(cluster.failure_statuses.iter().copied().map(status_range)));
    sheet.line("endpoint_http2", cluster.http2);
    sheet.line("send_proxy_protocol", quoted(if cluster.send_proxy_protocol { "v2" } else { "off" }));
    let limits = [
        ("endpoint_requests", endpoint_requests(cluster.limit.endpoint_requests)),
        ("queued_requests", cluster.limit.queued_requests.to_string()),
        ("pending_requests", cluster.limit.pending_requests.to_string()),
        ("upstream_idle_connections", cluster.limit.upstream_idle_connections.to_string()),
        ("upstream_connections", count_or_off(cluster.limit.upstream_connections)),
    ];
    sheet.line("limit", table(limits));
}

fn endpoint(endpoint: &Endpoint) -> String {
    let address = quoted(&endpoint.address.to_string());
    if *endpoint == Endpoint::new(endpoint.address.clone()) {
        return address;
    }
    let mut fields = vec![("address", address), ("weight", endpoint.weight.to_string())];
    fields.push(("tier", endpoint.tier.to_string()));
    fields.extend(endpoint.zone.as_ref().map(|zone| ("zone", quoted(zone))));
    fields.extend(endpoint.requests.map(|requests| ("requests", requests.to_string())));
    table(fields)
}

fn endpoint_tls(tls: &EndpointTls) -> String {
    let file = |path: &Path| quoted(&path.display().to_string());
    let mut fields = Vec::new();
    if let Trust::File(path) = &tls.trust {
        fields.push(("ca", file(path)));
    }
    fields.extend(tls.server_name.as_ref().map(|name| ("server_name", quoted(&name.to_string()))));
    if let Some(identity) = &tls.identity {
        fields.extend([("cert", file(&identity.cert)), ("key", file(&identity.key))]);
    }
    fields.push(("min_version", quoted(tls.min_version.word())));
    fields.push(("verify", (tls.trust != Trust::Anyone).to_string()));
    table(fields)
}

fn endpoint_requests(requests: EndpointRequests) -> String {
    match requests {
        EndpointRequests::Auto => quoted("auto"),
        EndpointRequests::Most(most) => most.to_string(),
        EndpointRequests::Off => quoted("off"),
    }
}

fn balance(balance: &Balance) -> String {
    let mut fields = vec![("algorithm", quoted(balance.word()))];
    match balance {
        Balance::Adaptive { peers, zone_cost_percent } => {
            fields.push(("peers", peers.to_string()));
            fields.push(("zone_cost_percent", zone_cost_percent.to_string()));
        }
        Balance::First { in_flight_max } => fields.push(("in_flight_max", in_flight_max.to_string())),
        Balance::Maglev(hashing) | Balance::Rendezvous(hashing) => {
            fields.push(("key", hash_key(&hashing.key)));
            fields.extend(bound(hashing.bound));
        }
        Balance::Random { choices } => fields.push(("choices", choices.to_string())),
        Balance::LeastRequest
        | Balance::PeakEwma
        | Balance::Prequal
        | Balance::ReportedLoad
        | Balance::RoundRobin => return quoted(balance.word()),
    }
    table(fields)
}

fn sticky(sticky: &Sticky) -> String {
    let mut fields = vec![("cookie", quoted(&sticky.cookie))];
    match &sticky.secret {
        Secret::Environment(name) => fields.push(("secret_env", quoted(name))),
        Secret::File(path) => fields.push(("secret_file", quoted(&path.display().to_string()))),
        Secret::Made => {}
    }
    fields.extend(bound(sticky.bound));
    fields.push(("forward", sticky.forward.to_string()));
    table(fields)
}

fn bound(bound: Option<Bound>) -> impl Iterator<Item = (&'static str, String)> {
    let percent = ("bound_percent", count_or_off(bound.map(|bound| bound.percent)));
    std::iter::once(percent).chain(bound.map(|bound| ("bound_by", quoted(bound.by.word()))))
}

fn hash_key(key: &HashKey) -> String {
    match key {
        HashKey::ClientAddress => quoted("client_address"),
        HashKey::Cookie(name) => table([("cookie", quoted(name))]),
        HashKey::Header(name) => table([("header", quoted(name))]),
        HashKey::Path => quoted("path"),
    }
}

fn breaker(breaker: &Breaker) -> String {
    table([
        ("failures", count_or_off(breaker.failures)),
        ("margin_percent", count_or_off(breaker.margin_percent)),
        ("requests", breaker.requests.to_string()),
        ("period", duration(breaker.period)),
        ("ejected_percent", breaker.ejected_percent.to_string()),
        ("retry_after", duration(breaker.retry_after)),
        ("retry_after_max", duration(breaker.retry_after_max)),
    ])
}

fn health(check: &HealthCheck) -> String {
    let mut fields = Vec::new();
    match &check.probe {
        Probe::Http { path, host, expect } => {
            fields.push(("type", quoted("http")));
            fields.push(("path", quoted(path)));
            fields.extend(host.as_ref().map(|host| ("host", quoted(host))));
            fields.push(("expect", list(expect.iter().copied().map(status_range))));
        }
        Probe::Grpc { service } => {
            fields.push(("type", quoted("grpc")));
            fields.push(("service", quoted(service)));
        }
        Probe::Tcp => fields.push(("type", quoted("tcp"))),
    }
    fields.push(("interval", duration(check.interval)));
    fields.push(("jitter", duration_or_off(Some(check.jitter).filter(|jitter| !jitter.is_zero()))));
    fields.push(("timeout", duration(check.timeout)));
    fields.push(("rise", check.rise.to_string()));
    fields.push(("fall", check.fall.to_string()));
    table(fields)
}

fn status_range(range: StatusRange) -> String {
    quoted(&format!("{}-{}", range.first, range.last))
}

fn passive(passive: &PassiveHealth) -> String {
    let failures = passive.connect_failures.to_string();
    table([("connect_failures", failures), ("retry_after", duration(passive.retry_after))])
}

fn duration(value: Duration) -> String {
    quoted(&print_duration(value))
}

fn duration_or_off(value: Option<Duration>) -> String {
    value.map_or(quoted("off"), duration)
}

fn size_or_off(value: Option<u64>) -> String {
    quoted(&value.map_or("off".into(), print_size))
}

fn count_or_off(value: Option<u32>) -> String {
    value.map_or(quoted("off"), |count| count.to_string())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn table(fields: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// A key of TOML.
fn bare_or_quoted(key: &str) -> String {
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        && !key.is_empty();
    if bare { key.to_owned() } else { basic_string(key) }
}

/// A text value, of which nothing expands.
fn quoted(text: &str) -> String {
    basic_string(&escape(text))
}

/// A basic string of TOML.
fn basic_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
