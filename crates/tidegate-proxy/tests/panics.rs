//! A mistake in the proxy's own code ends one request, not the worker.
//!
//! The mistake is real: an endpoint whose name is no host, which the configuration would have refused, makes the codec
//! write a head that does not read as it was meant. Debug builds notice that, and panic.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_balance::{Algorithm, Balancer, EndpointId, EndpointState, Priority};
use tidegate_http::HeadLimits;
use tidegate_proxy::Socket;
use tidegate_proxy::route::{Matcher, PathPattern, RouteTable};
use tidegate_proxy::snapshot::{
    Action, Cluster, HashKey, Listener, Policy, Presence, ProxyLimits, RetryPolicy, Route, Snapshot,
    Timeouts, WorkspaceLimits,
};
use tidegate_proxy::upstream::{Address, Upstream};
use tidegate_proxy::worker::{Command, WorkerHandle, WorkerParts, start};
use tidegate_telemetry::{Registry, families};
use tidegate_testkit::{Client, Endpoint, Gone, Script, eventually};

const HEAD_LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 8 * 1024, field_count_max: 100 };

#[test]
fn a_panic_ends_one_request_and_nothing_else() {
    let slow = Endpoint::start(Script::answers_after(Duration::from_millis(200), "x"));
    let world = World::before(&slow);
    let mut others: Vec<Client> = (0..4).map(|_| world.client()).collect();
    for other in &mut others {
        other.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    slow.wait_for_requests(4);

    // The second request of each of these connections.
    for _ in 0..20 {
        let mut unlucky = world.client();
        unlucky.send("GET /missing HTTP/1.1\r\nHost: test\r\n\r\nGET /broken HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(unlucky.reply().status, 404, "what was answered before stands");
        let reply = unlucky.reply();
        assert_eq!((reply.status, reply.cause()), (500, Some("internal_error")));
        assert_eq!(unlucky.rest(), (Vec::new(), Gone::Finished), "nobody knows what to go on with");
    }

    assert_eq!(world.registry.total(&families::REQUEST_PANICS, &[]), 20);
    let told = world.registry.total(&families::FAILURES, &["/broken", "proxy", "connect", "internal_error"]);
    assert_eq!(told, 20, "each has been recorded");
    for other in &mut others {
        assert_eq!(other.reply().text(), "x", "they were under way on the same worker");
        assert_eq!(other.get("/").text(), "x");
    }
    drop(others);
    eventually("nothing is left over", || world.connections.load(Ordering::Relaxed) == 0);
    assert_eq!(world.pending.load(Ordering::Relaxed), 0);
    assert!(world.states.iter().all(|state| state.in_flight() == 0));
    world.end();
}

/// One worker; `/broken` leads to an endpoint whose name is no host, `/missing` nowhere, the rest to a good endpoint.
struct World {
    worker: WorkerHandle,
    address: std::net::SocketAddr,
    registry: Arc<Registry>,
    connections: Arc<AtomicUsize>,
    pending: Arc<AtomicUsize>,
    states: Vec<Arc<EndpointState>>,
}

impl World {
    fn before(endpoint: &Endpoint) -> Self {
        let (connections, pending) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let addresses = [endpoint.address(), "no host at all".to_owned()];
        let (clusters, states) = addresses
            .iter()
            .map(|name| {
                let state = Arc::<EndpointState>::default();
                (Arc::new(cluster(name, endpoint, &state, &pending)), state)
            })
            .unzip();
        let snapshot = Snapshot {
            generation: 1,
            challenges: Arc::default(),
            listeners: vec![Arc::new(listener(&connections))],
            routes: routes(),
            clusters,
            limits: ProxyLimits {
                connections_max: 100,
                connections_per_client: None,
                handshakes_max: 1,
                workspaces: WorkspaceLimits {
                    lent_max: 100,
                    spare_max: 1024,
                    oversized_max: 64,
                    kept_bodies_max: 64,
                    http2_connections_max: 0,
                    wide_windows_max: 1,
                },
            },
        };
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let registry = Arc::<Registry>::default();
        let worker = start(WorkerParts {
            number: 0,
            snapshot: Arc::new(snapshot),
            registry: Arc::clone(&registry),
            access_log: None,
            connections: Arc::default(),
            requests: Arc::default(),
            seed: 1,
        })
        .unwrap();
        worker.send(Command::Listen("main".into(), Socket::Tcp(socket)));
        Self { worker, address, registry, connections, pending, states }
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    fn end(self) {
        self.worker.send(Command::Drain);
        assert!(self.worker.join(), "the worker panicked");
    }
}

fn routes() -> RouteTable {
    let policy = Policy {
        timeouts: Timeouts {
            queue: Duration::from_secs(5),
            connect: Duration::from_secs(3),
            attempt: Duration::MAX,
            first_byte: Duration::from_mins(1),
            body_idle: Duration::from_secs(30),
            total: Duration::MAX,
            tunnel_idle: Duration::from_hours(1),
        },
        body_bytes_max: None,
        body_rate_min: None,
        retry: RetryPolicy { attempts_max: 3, on_connect: true, on_reset: true, ..RetryPolicy::NEVER },
        priority: Priority::default(),
        hedge: None,
        preserve_host: false,
    };
    let answer = Action::Answer { status: 404, content_type: "text/plain".into(), body: Arc::new([]) };
    let routes = [
        ("/", Action::Forward { cluster: 0 }),
        ("/broken", Action::Forward { cluster: 1 }),
        ("/missing", answer),
    ];
    let route = |(path, action): (&str, Action)| {
        let matcher = Matcher { path: PathPattern::Prefix(path.to_owned()), ..Matcher::default() };
        (
            vec![matcher],
            Arc::new(Route { name: path.into(), action, policy: policy.clone(), rate_limit: None }),
        )
    };
    RouteTable::new(routes.into_iter().map(route).collect())
}

fn cluster(
    name: &str,
    endpoint: &Endpoint,
    state: &Arc<EndpointState>,
    pending: &Arc<AtomicUsize>,
) -> Cluster {
    let id = EndpointId { cluster: name.into(), address: name.into() };
    let address = Address::Tcp(endpoint.socket_address());
    let listed = tidegate_balance::Endpoint { id: id.clone(), weight: 1, state: Arc::clone(state) };
    Cluster {
        name: name.into(),
        balancer: Balancer::new(Algorithm::RoundRobin, vec![listed], None),
        upstreams: vec![Arc::new(Upstream::new(id, vec![address], None))],
        http2: false,
        hash_key: HashKey::None,
        sticky: None,
        waiting: Arc::default(),
        queued_requests_max: 100,
        pending_max: 100,
        pending: Arc::clone(pending),
        retry_budget: Arc::default(),
        hedge_budget: Arc::default(),
        idle_connections_max: 100,
        idle_timeout: Duration::from_mins(1),
        presence: Presence::default(),
        head_limits: HEAD_LIMITS,
    }
}

fn listener(connections: &Arc<AtomicUsize>) -> Listener {
    Listener {
        key: "main".into(),
        tls: None,
        redirect_https: None,
        strict_transport: "".into(),
        passage: None,
        streams_max: None,
        connections_max: 100,
        connections: Arc::clone(connections),
        trusted_proxies: vec![],
        proxy_protocol_from: vec![],
        head_limits: HEAD_LIMITS,
        head_timeout: Duration::from_secs(10),
        keep_alive_timeout: Duration::from_mins(1),
        presence: Presence::default(),
    }
}
