//! The data plane alone: one worker that forwards everything to the endpoints named on the command line.
//!
//! `minimal 127.0.0.1:8888 127.0.0.1:8001 127.0.0.1:8002`. Knows no configuration file and no health checks.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, Endpoint, EndpointId, Priority};
use tidegate_http::HeadLimits;
use tidegate_proxy::Socket;
use tidegate_proxy::route::{Matcher, RouteTable};
use tidegate_proxy::snapshot::{
    Action, Cluster, HashKey, Listener, Policy, Presence, ProxyLimits, RetryPolicy, Route, Snapshot,
    Timeouts, WorkspaceLimits,
};
use tidegate_proxy::upstream::{Address, Upstream};
use tidegate_proxy::worker::{Command, WorkerParts, start};

const HEAD_LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 8 * 1024, field_count_max: 100 };

fn main() {
    let mut arguments = std::env::args().skip(1);
    let bind = arguments.next().expect("an address to listen on");
    let endpoints: Vec<String> = arguments.collect();
    let socket = std::net::TcpListener::bind(&bind).expect("an address that is free");
    socket.set_nonblocking(true).expect("a socket");
    let worker = start(WorkerParts {
        number: 0,
        snapshot: Arc::new(snapshot(&endpoints)),
        registry: Arc::default(),
        access_log: None,
        connections: Arc::default(),
        requests: Arc::default(),
        seed: 1,
    })
    .expect("a worker");
    worker.send(Command::Listen("main".into(), Socket::Tcp(socket)));
    worker.join();
}

fn snapshot(endpoints: &[String]) -> Snapshot {
    let id = |address: &String| EndpointId { cluster: "app".into(), address: address.as_str().into() };
    let upstream = |address: &String| {
        let tcp = Address::Tcp(address.parse().expect("an address and a port"));
        Arc::new(Upstream::new(id(address), vec![tcp], None))
    };
    let endpoint = |address: &String| Endpoint { id: id(address), weight: 1, state: Arc::default() };
    let cluster = Cluster {
        name: "app".into(),
        balancer: Balancer::new(Algorithm::RoundRobin, endpoints.iter().map(endpoint).collect(), None),
        upstreams: endpoints.iter().map(upstream).collect(),
        http2: false,
        hash_key: HashKey::None,
        sticky: None,
        waiting: Arc::default(),
        queued_requests_max: 1000,
        pending_max: 10_000,
        pending: Arc::default(),
        retry_budget: Arc::default(),
        hedge_budget: Arc::default(),
        idle_connections_max: 1000,
        idle_timeout: Duration::from_mins(1),
        presence: Presence::default(),
        head_limits: HEAD_LIMITS,
    };
    let timeouts = Timeouts {
        queue: Duration::from_secs(5),
        connect: Duration::from_secs(3),
        attempt: Duration::MAX,
        first_byte: Duration::from_mins(1),
        body_idle: Duration::from_secs(30),
        total: Duration::MAX,
        tunnel_idle: Duration::from_hours(1),
    };
    let retry = RetryPolicy { attempts_max: 3, on_connect: true, on_reset: true, ..RetryPolicy::NEVER };
    let priority = Priority::default();
    let policy = Policy {
        timeouts,
        body_bytes_max: None,
        body_rate_min: None,
        retry,
        hedge: None,
        priority,
        preserve_host: true,
    };
    let route =
        Route { name: "all".into(), action: Action::Forward { cluster: 0 }, policy, rate_limit: None };
    let listener = Listener {
        key: "main".into(),
        tls: None,
        redirect_https: None,
        strict_transport: "".into(),
        passage: None,
        streams_max: None,
        connections_max: 100_000,
        connections: Arc::new(AtomicUsize::new(0)),
        trusted_proxies: vec![],
        proxy_protocol_from: vec![],
        head_limits: HEAD_LIMITS,
        head_timeout: Duration::from_secs(10),
        keep_alive_timeout: Duration::from_mins(1),
        presence: Presence::default(),
    };
    Snapshot {
        generation: 1,
        challenges: Arc::default(),
        listeners: vec![Arc::new(listener)],
        routes: RouteTable::new(vec![(vec![Matcher::default()], Arc::new(route))]),
        clusters: vec![Arc::new(cluster)],
        limits: ProxyLimits {
            connections_max: 100_000,
            connections_per_client: None,
            handshakes_max: 1,
            workspaces: WorkspaceLimits {
                lent_max: 100_000,
                spare_max: 1024,
                oversized_max: 64,
                kept_bodies_max: 64,
                http2_connections_max: 0,
                wide_windows_max: 1,
            },
        },
    }
}
