//! From a checked configuration, and what lived before, to the snapshot that workers serve by.
//!
//! Pure: binds nothing, resolves nothing, starts nothing. What outlives a reload (endpoint states, connection counts,
//! the objects that pools are found by, the rotation of a balancer) is taken over from the previous snapshot.

mod clusters;
mod passage;
mod rates;
mod routes;
mod sticky;

use crate::credentials::Credentials;
use crate::memory::Shares;
use crate::places::Place;
use crate::tls::Stock;
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{EndpointState, States};
use tidegate_config::Config;
use tidegate_proxy::snapshot::{HeadLimits, Keepalive, Listener, PerClient, Presence, ProxyLimits, Snapshot};
use tidegate_proxy::upstream::Upstream;

/// What was in force until now.
#[derive(Clone, Debug)]
pub(crate) struct Previous {
    pub(crate) config: Arc<Config>,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// A snapshot, and what has to be done before it is of use.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Endpoints that are new and go by a host name.
    pub(crate) unresolved: Vec<Named>,
}

/// An endpoint whose addresses come from a host name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) state: Arc<EndpointState>,
}

pub(crate) fn lower(
    config: &Config,
    places: &[Place],
    states: &States,
    credentials: &Credentials,
    certificates: &Stock,
    shares: Shares,
    previous: Option<&Previous>,
) -> Lowered {
    let mut unresolved = Vec::new();
    let clusters = clusters::lower(config, states, credentials, previous, &mut unresolved);
    let snapshot = Snapshot {
        generation: previous.map_or(1, |previous| previous.snapshot.generation + 1),
        listeners: places
            .iter()
            .filter_map(|place| listener(config, place, certificates, previous))
            .map(Arc::new)
            .collect(),
        routes: routes::lower(config, previous),
        clusters,
        limits: limits(config, shares, previous),
        challenges: certificates.challenges(),
    };
    Lowered { snapshot: Arc::new(snapshot), unresolved }
}

/// The snapshot in force, but for what endpoints are spoken TLS with: those for whom that has changed get connections of
/// their own, and nobody else feels it.
pub(crate) fn with_credentials(current: &Previous, states: &States, credentials: &Credentials) -> Lowered {
    let Previous { config, snapshot } = current;
    let mut unresolved = Vec::new();
    let clusters = clusters::lower(config, states, credentials, Some(current), &mut unresolved);
    let snapshot = Snapshot {
        generation: snapshot.generation + 1,
        listeners: snapshot.listeners.clone(),
        routes: routes::lower(config, Some(current)),
        clusters,
        limits: snapshot.limits.clone(),
        challenges: Arc::clone(&snapshot.challenges),
    };
    Lowered { snapshot: Arc::new(snapshot), unresolved }
}

fn listener(
    config: &Config,
    place: &Place,
    certificates: &Stock,
    previous: Option<&Previous>,
) -> Option<Listener> {
    let configured = config.listeners.get(place.listener)?;
    let before = previous
        .and_then(|previous| previous.snapshot.listeners.iter().find(|listener| listener.key == place.key));
    Some(Listener {
        key: Arc::clone(&place.key),
        passage: configured.passage.as_ref().map(|passage| passage::lower(config, passage)),
        tls: certificates.terminator(place.listener),
        redirect_https: configured.redirect_https,
        strict_transport: strict_transport(configured).into(),
        streams_max: configured.http2.then_some(config.limit.streams),
        connections_max: configured.connections as usize,
        connections: before.map(|before| Arc::clone(&before.connections)).unwrap_or_default(),
        trusted_proxies: configured.trusted_proxies.clone(),
        proxy_protocol_from: configured.proxy_protocol_from.clone(),
        head_limits: head_limits(config),
        head_timeout: config.timeout.head,
        keep_alive_timeout: config.timeout.keep_alive,
        presence: presence(config),
    })
}

/// RFC 6797 §6.1.
fn strict_transport(listener: &tidegate_config::Listener) -> String {
    let Some(hsts) = listener.tls.as_ref().and_then(|tls| tls.hsts) else { return String::new() };
    let more = [("; includeSubDomains", hsts.include_subdomains), ("; preload", hsts.preload)];
    let more: String = more.into_iter().filter_map(|(directive, on)| on.then_some(directive)).collect();
    format!("Strict-Transport-Security: max-age={}{more}\r\n", hsts.max_age.as_secs())
}

fn presence(config: &Config) -> Presence {
    Presence {
        keepalive: config.timeout.tcp_keep_alive.map(Keepalive::within),
        unacknowledged: config.timeout.tcp_unacknowledged,
    }
}

fn limits(config: &Config, shares: Shares, previous: Option<&Previous>) -> ProxyLimits {
    let before = previous.and_then(|previous| previous.snapshot.limits.connections_per_client.as_ref());
    let per_client = |connections_max| PerClient {
        connections_max,
        counts: before.map(|before| Arc::clone(&before.counts)).unwrap_or_default(),
    };
    ProxyLimits {
        connections_max: shares.connections_max,
        connections_per_client: config.limit.connections_per_client.map(per_client),
        handshakes_max: shares.handshakes_max,
        workspaces: shares.workspaces,
    }
}

fn head_limits(config: &Config) -> HeadLimits {
    HeadLimits {
        head_bytes_max: config.limit.head_bytes as usize,
        target_bytes_max: config.limit.target_bytes as usize,
        field_count_max: config.limit.field_count as usize,
    }
}

/// In a snapshot "no limit" is the longest time there is.
fn or_forever(limit: Option<Duration>) -> Duration {
    limit.unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::shares;
    use crate::places::{Spot, places};
    use crate::secrets::{MadeSecret, Secrets};
    use crate::tls::Originations;
    use std::sync::atomic::Ordering::Relaxed;
    use tidegate_balance::{CheckVerdict, Ended, Health, Moment, Pick};
    use tidegate_proxy::snapshot::{Action, Cluster, HashKey, LocationPart};
    use tidegate_proxy::upstream::Address;

    fn config(text: &str) -> Config {
        match Config::parse("test", text, &|_| None) {
            Ok((config, _)) => config,
            Err(report) => panic!("{report}"),
        }
    }

    fn plenty(config: &Config) -> Shares {
        shares(config, 1, None)
    }

    /// Lowers one configuration after the other, as reloads do.
    #[derive(Default)]
    struct Reloads {
        states: States,
        current: Option<Previous>,
    }

    impl Reloads {
        fn apply(&mut self, text: &str) -> Lowered {
            let config = config(text);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let places = runtime.block_on(places(&config.listeners)).unwrap();
            let secrets = Secrets::read(&config, &MadeSecret::new().unwrap()).unwrap();
            let credentials = Credentials { secrets, originations: Originations::default() };
            let lowered = lower(
                &config,
                &places,
                &self.states,
                &credentials,
                &Stock::default(),
                plenty(&config),
                self.current.as_ref(),
            );
            let snapshot = Arc::clone(&lowered.snapshot);
            self.current = Some(Previous { config: Arc::new(config), snapshot });
            lowered
        }
    }

    fn once(text: &str) -> Lowered {
        Reloads::default().apply(text)
    }

    fn only(lowered: &Lowered) -> &Cluster {
        &lowered.snapshot.clusters[0]
    }

    const TWO: &str = "listen = \":8080\"\nto = [\"10.0.0.1:80\", \"10.0.0.2:80\"]\n";

    #[test]
    fn what_a_reload_does_not_touch_stays_the_same_object() {
        let mut reloads = Reloads::default();
        let before = reloads.apply(TWO);
        only(&before).balancer.endpoints()[1].state.mark_check(CheckVerdict::Down);
        before.snapshot.listeners[0].connections.store(3, Relaxed);
        only(&before).pending.store(2, Relaxed);

        let after = reloads.apply(&TWO.replace("10.0.0.1:80", "10.0.0.9:80"));
        let (old, new) = (only(&before), only(&after));
        assert!(Arc::ptr_eq(&old.upstreams[1], &new.upstreams[1]), "pools are found by it");
        assert!(!Arc::ptr_eq(&old.upstreams[0], &new.upstreams[0]), "another endpoint");
        assert_eq!(new.balancer.endpoints()[1].state.health(Moment(0)), Health::DownByCheck);
        assert_eq!(new.balancer.endpoints()[0].state.health(Moment(0)), Health::Up);
        assert_eq!(after.snapshot.listeners[0].connections.load(Relaxed), 3);
        assert_eq!(new.pending.load(Relaxed), 2);
        assert_eq!((before.snapshot.generation, after.snapshot.generation), (1, 2));
    }

    #[test]
    fn the_rotation_goes_on_where_it_was() {
        let text = format!("{TWO}balance = \"round_robin\"\n");
        let mut reloads = Reloads::default();
        let mut picked = Vec::new();
        for _ in 0..6 {
            let lowered = reloads.apply(&text);
            let pick = Pick { now: Moment(1), random: 0, hash: None, tried: &[] };
            picked.push(only(&lowered).balancer.pick(&pick).unwrap().index());
        }
        assert!(picked.windows(2).all(|two| two[0] != two[1]), "{picked:?}");
    }

    #[test]
    fn another_connection_limit_is_another_upstream_with_the_same_state_and_addresses() {
        let mut reloads = Reloads::default();
        let text = "listen = \":8080\"\nto = \"app.example:80\"\n";
        let before = reloads.apply(text);
        assert_eq!(before.unresolved.len(), 1);
        let found = vec![Address::Tcp("10.0.0.1:80".parse().unwrap())];
        only(&before).upstreams[0].addresses.store(Arc::new(found.clone()));

        let after = reloads.apply(&format!("{text}limit.upstream_connections = 5\n"));
        let (old, new) = (only(&before), only(&after));
        assert!(!Arc::ptr_eq(&old.upstreams[0], &new.upstreams[0]));
        assert!(Arc::ptr_eq(&old.balancer.endpoints()[0].state, &new.balancer.endpoints()[0].state));
        assert_eq!(**new.upstreams[0].addresses.load(), found, "known until the next look-up");
        assert_eq!(after.unresolved.len(), 1, "a name is looked up for each object");
        assert!(reloads.apply(&format!("{text}limit.upstream_connections = 5\n")).unresolved.is_empty());
    }

    #[test]
    fn only_names_need_resolving() {
        let lowered = once(
            "listen = \":8080\"\nto = [\"10.0.0.1:80\", \"[::1]:81\", \"unix:/run/app.sock\", \"localhost:82\"]\n",
        );
        let addresses: Vec<_> =
            only(&lowered).upstreams.iter().map(|upstream| upstream.addresses.load().to_vec()).collect();
        assert_eq!(addresses[0], [Address::Tcp("10.0.0.1:80".parse().unwrap())]);
        assert_eq!(addresses[1], [Address::Tcp("[::1]:81".parse().unwrap())]);
        assert_eq!(addresses[2], [Address::Unix("/run/app.sock".into())]);
        assert_eq!(addresses[3], []);
        let names: Vec<_> = lowered.unresolved.iter().map(|named| (&*named.name, named.port)).collect();
        assert_eq!(names, [("localhost", 82)]);
    }

    #[test]
    fn every_algorithm_gets_the_key_it_hashes() {
        for (balance, expected) in [
            ("\"adaptive\"", HashKey::None),
            ("\"least_request\"", HashKey::None),
            ("\"round_robin\"", HashKey::None),
            ("\"random\"", HashKey::None),
            ("\"hash\"", HashKey::ClientAddress),
            ("\"maglev\"", HashKey::ClientAddress),
            ("{ algorithm = \"hash\", key = \"path\" }", HashKey::Path),
            ("{ algorithm = \"hash\", key = { header = \"X-User\" } }", HashKey::Header("x-user".into())),
            ("{ algorithm = \"hash\", key = { cookie = \"Sid\" } }", HashKey::Cookie("Sid".into())),
        ] {
            let lowered = once(&format!("{TWO}balance = {balance}\n"));
            assert_eq!(only(&lowered).hash_key, expected, "{balance}");
        }
    }

    #[test]
    fn passive_marking_follows_the_configuration() {
        for (passive, failures, expected) in [
            ("{ connect_failures = 2 }", 1, Health::Up),
            ("{ connect_failures = 2 }", 2, Health::DownByConnect),
            ("\"off\"", 1000, Health::Up),
        ] {
            let lowered = once(&format!("listen = \":8080\"\nto = \"10.0.0.1:80\"\npassive = {passive}\n"));
            let balancer = &only(&lowered).balancer;
            for _ in 0..failures {
                let pick = Pick { now: Moment(1), random: 0, hash: None, tried: &[] };
                balancer.pick(&pick).unwrap().settle(Ended::ConnectFailed, Moment(1));
            }
            assert_eq!(balancer.endpoints()[0].state.health(Moment(1)), expected, "{passive}, {failures}");
        }
    }

    #[test]
    fn no_limit_on_time_is_the_longest_time() {
        let lowered = once(&format!("{TWO}timeout = {{ first_byte = \"off\", connect = \"7s\" }}\n"));
        let timeouts = lowered.snapshot.routes.routes()[0].policy.timeouts;
        assert_eq!((timeouts.first_byte, timeouts.total), (Duration::MAX, Duration::MAX));
        assert_eq!(timeouts.connect, Duration::from_secs(7));
    }

    #[test]
    fn routes_lead_to_their_own_cluster_answer_or_redirect() {
        let lowered = once(
            "listen = \":8080\"\n\
             [[route]]\npath = \"/b/\"\nto = \"b\"\n\
             [[route]]\npath = \"/old/\"\nredirect = { to = \"https://{host}/new{path}{query}\", status = 302 }\n\
             [[route]]\npath = \"/ping\"\nanswer = { body = \"pong\" }\n\
             [[route]]\npath = \"/a/\"\nto = \"a\"\n\
             [cluster.a]\nendpoints = [\"10.0.0.1:80\"]\n[cluster.b]\nendpoints = [\"10.0.0.2:80\"]\n",
        );
        let actions: Vec<_> = lowered.snapshot.routes.routes().iter().map(|route| &route.action).collect();
        let cluster = |action: &Action| match action {
            Action::Forward { cluster } => lowered.snapshot.clusters[*cluster].name.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!((cluster(actions[0]), cluster(actions[3])), ("b".to_owned(), "a".to_owned()));
        let Action::Redirect { status: 302, location } = actions[1] else { panic!("{:?}", actions[1]) };
        let literal = |text: &str| LocationPart::Literal(text.to_owned());
        let parts = [
            literal("https://"),
            LocationPart::Host,
            literal("/new"),
            LocationPart::Path,
            LocationPart::Query,
        ];
        assert_eq!(location[..], parts);
        assert!(matches!(actions[2], Action::Answer { status: 200, body, .. } if **body == *b"pong"));
    }

    #[test]
    fn a_listener_by_name_becomes_one_for_each_of_its_addresses() {
        let lowered = once("listen = [\"localhost:8080\", \":0\", \":0\"]\nto = \"10.0.0.1:80\"\n");
        let keys: Vec<_> = lowered.snapshot.listeners.iter().map(|listener| &*listener.key).collect();
        assert!(keys.contains(&"127.0.0.1:8080"), "{keys:?}");
        assert!(keys.ends_with(&[":0", ":0 #2"]), "{keys:?}");
    }

    #[test]
    fn the_same_address_twice_is_refused_with_its_name() {
        let config = config("listen = [\"localhost:8080\", \"127.0.0.1:8080\"]\nto = \"10.0.0.1:80\"\n");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(places(&config.listeners)).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:8080 is already"), "{error}");
        let any = runtime.block_on(crate::places::spots(&":80".parse().unwrap())).unwrap();
        assert_eq!(any, [Spot::Tcp("[::]:80".parse().unwrap())]);
    }
}
