//! Routes: each host of a route becomes a matcher of its own, each inherited value a value.

use super::rates::Rates;
use super::{Previous, or_forever};
use std::sync::Arc;
use tidegate_balance::{Priority, RetryIncome};
use tidegate_config::{
    Action as ConfiguredAction, Config, Forward, HostPattern as Host, Matcher as ConfiguredMatcher,
    PathMatch, Priority as ConfiguredPriority, RedirectPart, Retry, RetryBudget, Route as ConfiguredRoute,
    RouteTimeouts,
};
use tidegate_proxy::route::{FieldPattern, HostPattern, Matcher, PathPattern, RouteTable};
use tidegate_proxy::snapshot::{Action, LocationPart, Policy, RetryPolicy, Route, Timeouts};

pub(super) fn lower(config: &Config, previous: Option<&Previous>) -> RouteTable {
    let mut rates = Rates::new(config, previous);
    let mut route = |configured: &ConfiguredRoute| {
        let route = Route {
            name: configured.name.as_str().into(),
            action: action(config, &configured.action),
            policy: policy(config, &configured.action),
            rate_limit: rates.of(configured),
        };
        (matchers(&configured.matcher), Arc::new(route))
    };
    RouteTable::new(config.routes.iter().map(&mut route).collect())
}

fn matchers(configured: &ConfiguredMatcher) -> Vec<Matcher> {
    let field =
        |name: &String, value: &Option<String>| FieldPattern { name: name.clone(), value: value.clone() };
    let with_host = |host| Matcher {
        host,
        path: match &configured.path {
            PathMatch::Exact(path) => PathPattern::Exact(path.clone()),
            PathMatch::Prefix(path) => PathPattern::Prefix(path.clone()),
        },
        methods: configured.methods.clone(),
        fields: configured.headers.iter().map(|header| field(&header.name, &header.value)).collect(),
    };
    if configured.hosts.is_empty() {
        return vec![with_host(HostPattern::Any)];
    }
    configured.hosts.iter().map(|configured| with_host(host(configured))).collect()
}

fn host(configured: &Host) -> HostPattern {
    match configured {
        Host::Exact(host) => HostPattern::Exact(host.clone()),
        Host::Wildcard(domain) => HostPattern::Suffix(format!(".{domain}")),
    }
}

fn action(config: &Config, configured: &ConfiguredAction) -> Action {
    match configured {
        ConfiguredAction::Answer(answer) => Action::Answer {
            status: answer.status,
            content_type: answer.content_type.as_str().into(),
            body: answer.body.as_bytes().into(),
        },
        // A checked configuration names clusters that are there; a position behind the list would be answered with 503.
        ConfiguredAction::Forward(forward) => {
            let position = config.clusters.iter().position(|cluster| cluster.name == forward.cluster);
            Action::Forward { cluster: position.unwrap_or(usize::MAX) }
        }
        ConfiguredAction::Redirect(redirect) => Action::Redirect {
            status: redirect.status,
            location: redirect.to.iter().map(location_part).collect(),
        },
    }
}

fn location_part(part: &RedirectPart) -> LocationPart {
    match part {
        RedirectPart::Host => LocationPart::Host,
        RedirectPart::Literal(text) => LocationPart::Literal(text.clone()),
        RedirectPart::Path => LocationPart::Path,
        RedirectPart::Query => LocationPart::Query,
    }
}

fn policy(config: &Config, action: &ConfiguredAction) -> Policy {
    match action {
        ConfiguredAction::Forward(forward) => forwarding(forward),
        ConfiguredAction::Answer(_) | ConfiguredAction::Redirect(_) => Policy {
            timeouts: timeouts(&config.timeout.route),
            body_bytes_max: config.limit.route.body_bytes,
            body_rate_min: config.limit.route.body_rate,
            retry: RetryPolicy::NEVER,
            hedge: None,
            preserve_host: true,
            priority: Priority::default(),
        },
    }
}

fn forwarding(forward: &Forward) -> Policy {
    Policy {
        timeouts: timeouts(&forward.timeout),
        body_bytes_max: forward.limit.body_bytes,
        body_rate_min: forward.limit.body_rate,
        retry: retry(&forward.retry),
        hedge: forward.hedge.map(|hedge| RetryIncome::for_hedges(hedge.percent)),
        preserve_host: forward.preserve_host,
        priority: match forward.priority {
            ConfiguredPriority::High => Priority::High,
            ConfiguredPriority::Low => Priority::Low,
            ConfiguredPriority::Normal => Priority::Normal,
        },
    }
}

pub(super) fn retry(configured: &Retry) -> RetryPolicy {
    let income = |budget: RetryBudget| RetryIncome { percent: budget.percent, per_second: budget.per_second };
    RetryPolicy {
        attempts_max: configured.attempts.max(1),
        on_connect: configured.on.connect,
        on_reset: configured.on.reset,
        on_timeout: configured.on.timeout,
        on_status: configured.on.statuses.iter().flat_map(|range| range.first..=range.last).collect(),
        on_grpc: configured.on.grpc.iter().fold(0, |bits, status| bits | (1 << status.code())),
        budget: configured.budget.map(income),
        backoff: configured.backoff,
        body_bytes_max: usize::try_from(configured.body_bytes).unwrap_or(usize::MAX),
    }
}

pub(super) fn timeouts(configured: &RouteTimeouts) -> Timeouts {
    Timeouts {
        queue: configured.queue,
        connect: configured.connect,
        attempt: or_forever(configured.attempt),
        first_byte: or_forever(configured.first_byte),
        body_idle: configured.body_idle,
        total: or_forever(configured.total),
        tunnel_idle: or_forever(configured.tunnel_idle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_of_a_route_is_a_matcher_of_its_own() {
        let configured = ConfiguredMatcher {
            hosts: vec![Host::Exact("a.example".into()), Host::Wildcard("b.example".into())],
            path: PathMatch::Exact("/x".into()),
            methods: vec!["GET".into()],
            headers: Vec::new(),
        };
        let matchers = matchers(&configured);
        let hosts: Vec<_> = matchers.iter().map(|matcher| matcher.host.clone()).collect();
        let expected =
            [HostPattern::Exact("a.example".to_owned()), HostPattern::Suffix(".b.example".to_owned())];
        assert_eq!(hosts, expected);
        let same = |matcher: &Matcher| {
            matcher.path == PathPattern::Exact("/x".to_owned()) && matcher.methods == ["GET"]
        };
        assert!(matchers.iter().all(same));
    }

    #[test]
    fn a_route_without_hosts_takes_any() {
        let matchers = matchers(&ConfiguredMatcher::default());
        assert_eq!(matchers, [Matcher::default()]);
    }
}
