//! Faults of the network and of the clock: ports that run out, packets that get lost, halves that cannot see each other,
//! days that jump.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use tidegate_testkit::{
    Client, Endpoint, Gate, Load, Loss, Metrics, Proxy, Script, Then, Tidegate, WallClock, apart, eventually,
};

use crate::door::{Door, expect_signed, get, post};

/// An answer to each request, on as many connections as come, by an endpoint at an address of its own.
fn answers_at(address: (&'static str, u16), body: &'static str) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|length| length > 0) {
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
}

#[test]
fn where_a_name_moves_its_kept_connections_are_left() {
    apart("network_faults::where_a_name_moves_its_kept_connections_are_left", |_| {
        answers_at(("127.0.0.2", 8001), "old");
        answers_at(("127.0.0.3", 8001), "new");
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        std::fs::write(&hosts, "127.0.0.2 app.test\n").unwrap();
        let mounted = Command::new("mount").arg("--bind").arg(&hosts).arg("/etc/hosts").status();
        assert!(mounted.unwrap().success());
        let proxy = Tidegate::with("to = \"app.test:8001\"\nworkers = 1\n").start();
        assert_eq!(proxy.get("/").text(), "old");
        std::fs::write(&hosts, "127.0.0.3 app.test\n").unwrap();
        let mut client = proxy.client();
        eventually("the name is looked up again", || client.get("/").text() == "new");
        proxy.wait_for_metric("tidegate_endpoint_connections", &[], 1.0);
    });
}

#[test]
fn without_ports_for_an_endpoint_requests_fail_at_once_and_all_is_well_again_afterwards() {
    apart(
        "network_faults::without_ports_for_an_endpoint_requests_fail_at_once_and_all_is_well_again_afterwards",
        |network| {
            const PORTS: u16 = 8;
            let gate = Gate::default();
            let held = gate.clone();
            let endpoint = Endpoint::start(Script::new(move |visit| {
                if visit.request().target == "/held" {
                    held.pass();
                }
                visit.answer("x")
            }));
            // Checks that find no port either say nothing about the endpoint.
            let config = "[timeout]\nconnect = \"10m\"\n[health]\ntype = \"tcp\"\ninterval = \"50ms\"\nrise = 1\nfall = 1\n";
            let proxy = Tidegate::to(&[&endpoint], config).start();
            let mut admin = Admin::of(&proxy);
            let mut clients: Vec<_> = (0..30).map(|_| proxy.client()).collect();
            network.limit_outgoing_ports(PORTS);
            for client in &mut clients {
                client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
            }
            // Those that find no port are answered while the others still wait.
            let failed =
                |metrics: &Metrics| metrics.sum("tidegate_failures_total", &[("cause", "ports_exhausted")]);
            eventually("the others have failed", || {
                let metrics = admin.metrics();
                failed(&metrics) + metrics.sum("tidegate_endpoint_in_flight", &[]) > 29.5
            });
            let metrics = admin.metrics();
            let refused = failed(&metrics);
            assert!(refused >= f64::from(30 - PORTS), "{refused} were refused");
            assert!(metrics.sum("tidegate_endpoint_up", &[]) > 0.5, "it is not the endpoint's fault");
            gate.open();
            let replies: Vec<_> = clients.iter_mut().map(Client::reply).collect();
            let (well, unwell): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
            assert!(!well.is_empty());
            for reply in unwell {
                assert_eq!((reply.status, reply.cause()), (503, Some("ports_exhausted")));
                expect_signed(reply);
            }
            // The connections that are open now serve as many requests as come, one after another.
            let opened = admin.metrics().sum("tidegate_endpoint_connects_total", &[]);
            for client in &mut clients {
                assert_eq!(client.get("/").text(), "x");
            }
            let metrics = admin.metrics();
            assert!(metrics.sum("tidegate_endpoint_connects_total", &[]) < opened + 0.5);
            assert!(metrics.sum("tidegate_endpoint_up", &[]) > 0.5);
            // And with ports, there are more.
            network.limit_outgoing_ports(1000);
            let more: Vec<_> = (0..30).map(|_| proxy.get("/").status).collect();
            assert!(more.iter().all(|status| *status == 200), "{more:?}");
        },
    );
}

/// One connection to the admin listener: each new one would take a port.
struct Admin(Client);

impl Admin {
    fn of(proxy: &Proxy) -> Self {
        Self(Client::connect(proxy.admin_address()))
    }

    fn metrics(&mut self) -> Metrics {
        self.0.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Metrics { text: self.0.reply().text() }
    }
}

/// Ports are counted for each address that they lead to: another endpoint may still be reached.
#[test]
fn a_request_that_finds_no_port_for_one_endpoint_goes_to_another() {
    apart("network_faults::a_request_that_finds_no_port_for_one_endpoint_goes_to_another", |network| {
        let gate = Gate::default();
        let held = gate.clone();
        let narrow = Endpoint::start(Script::new(move |visit| {
            held.pass();
            visit.answer("narrow")
        }));
        let wide = Endpoint::answering("wide");
        let proxy = Tidegate::to(&[&narrow, &wide], "balance = \"round_robin\"\n").start();
        let mut admin = Admin::of(&proxy);
        let mut clients: Vec<_> = (0..16).map(|_| proxy.client()).collect();
        network.limit_outgoing_ports(4);
        for (sent, client) in clients.iter_mut().enumerate() {
            client.send(get(""));
            eventually("it has its place", || {
                let metrics = admin.metrics();
                let answered = metrics.sum("tidegate_requests_total", &[("code", "2xx")]);
                metrics.sum("tidegate_endpoint_in_flight", &[]) + answered > sent as f64 + 0.5
            });
        }
        gate.open();
        let texts: Vec<_> = clients.iter_mut().map(|client| client.reply().text()).collect();
        assert!(texts.iter().all(|text| text == "narrow" || text == "wide"), "{texts:?}");
        assert!(texts.iter().filter(|text| *text == "wide").count() >= 12, "{texts:?}");
    });
}

/// A twentieth of all packets in both directions: slow, but nobody is down and nothing fails.
#[test]
fn lost_packets_fail_no_request_and_no_check() {
    apart("network_faults::lost_packets_fail_no_request_and_no_check", |network| {
        let endpoints: Vec<_> = (0..4).map(|_| Endpoint::answering("x")).collect();
        let proxy = Tidegate::to(&endpoints.iter().collect::<Vec<_>>(), CHECKED).start();
        let load = Load::start(proxy.address(), 8, "/");
        load.wait_for(100);
        network.lose(Loss::Percent(5), &ports(&endpoints));
        load.wait_for(1000);
        network.heal();
        load.wait_for(100);
        load.stop().expect_no_failures();
        assert_eq!(changes(&proxy), (0, 0), "no endpoint was taken for dead");
    });
}

/// Half of the endpoints cannot be reached, nor refuse: requests fail only until the checks have noticed, and each
/// endpoint goes down once and comes back once.
#[test]
fn a_partition_is_noticed_once_and_heals() {
    apart("network_faults::a_partition_is_noticed_once_and_heals", |network| {
        let endpoints: Vec<_> = (0..4).map(|_| Endpoint::answering("x")).collect();
        let proxy = Tidegate::to(&endpoints.iter().collect::<Vec<_>>(), CHECKED_OFTEN).start();
        let up = || proxy.metrics().sum("tidegate_endpoint_up", &[]);
        eventually("all are up", || up() > 3.5);
        let before = Load::start(proxy.address(), CLIENTS, "/");
        before.wait_for(200);
        network.lose(Loss::All, &ports(&endpoints[..2]));
        eventually("half of them are down", || up() < 2.5);
        let during = Load::start(proxy.address(), CLIENTS, "/");
        let report = before.stop();
        // A client that is caught waits as long as two checks that fail; some more for a machine that is busy.
        assert!(report.failed() <= CAUGHT_MAX, "{report:?}");
        assert!(report.answers.keys().all(|status| [200, 504].contains(status)), "{report:?}");
        during.wait_for(1000);
        during.stop().expect_no_failures();
        let metrics = proxy.metrics();
        let requests = metrics.sum("tidegate_request_duration_seconds_count", &[]);
        let attempts = metrics.sum("tidegate_endpoint_attempts_total", &[]);
        // Two more for each of the few that were caught: what `retry.attempts` allows by default.
        assert!(
            attempts <= requests + 2.0 * CAUGHT_MAX as f64,
            "{attempts} attempts for {requests} requests"
        );
        network.heal();
        eventually("all pass their checks again", || {
            proxy.metrics().sum("tidegate_endpoint_health", &[("state", "down_by_check")]) < 0.5
        });
        let counts: Vec<_> = endpoints.iter().map(Endpoint::request_count).collect();
        let after = Load::start(proxy.address(), CLIENTS, "/");
        eventually("all are up again", || up() > 3.5);
        eventually("all serve again", || {
            endpoints.iter().zip(&counts).all(|(endpoint, count)| endpoint.request_count() > count + 20)
        });
        after.stop().expect_no_failures();
        eventually("it is said that they are up", || changes(&proxy).1 >= 2);
        assert_eq!(changes(&proxy), (2, 2), "down once, up once, for each of the two");
    });
}

/// No FIN, no RST, no more acknowledgements: what is known is that nothing moves any more.
#[test]
fn a_client_that_vanishes_without_a_word_frees_the_endpoint() {
    apart("network_faults::a_client_that_vanishes_without_a_word_frees_the_endpoint", |network| {
        let script = Script::new(|visit| {
            if visit.request().method == "POST" {
                return if visit.read_body() { visit.answer("x") } else { Then::Close };
            }
            if visit.request().target == "/" {
                return visit.answer("x");
            }
            visit.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let piece = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
            while visit.write(&piece) {}
            Then::Close
        });
        let door = Door::with(script, "[timeout]\nbody_idle = \"1s\"\n");
        let mut downloading = door.knock("GET /endless HTTP/1.1\r\nHost: test\r\n\r\n");
        downloading.wire().exactly(1000).unwrap();
        let _uploading = door.knock(post("Content-Length: 1000000\r\n", "x"));
        door.endpoint.wait_for_requests(2);
        network.lose(Loss::All, &[door.proxy.address().port()]);
        door.endpoint.wait_until_left();
        for cause in ["client_stalled", "body_stalled"] {
            door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", cause)], 1.0);
        }
        network.heal();
        door.serves();
    });
}

/// A tunnel in which nothing moves looks the same whether the client is there or not, until TCP asks; and one in which something
/// is sent to a client that has gone looks well until the kernel has tried for a quarter of an hour.
#[test]
fn a_tunnel_whose_client_vanishes_ends_long_before_it_has_been_idle() {
    apart("network_faults::a_tunnel_whose_client_vanishes_ends_long_before_it_has_been_idle", |network| {
        for (setting, speaks) in [("tcp_keep_alive = \"2s\"", false), ("tcp_unacknowledged = \"1s\"", true)] {
            let gate = Gate::default();
            let held = gate.clone();
            let script = Script::new(move |visit| {
                if visit.request().field("upgrade").is_none() {
                    return visit.answer("x");
                }
                visit.write(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
                );
                held.pass();
                if speaks {
                    visit.write("ping");
                }
                while visit.wire().some().is_ok() {}
                Then::Close
            });
            let door = Door::with(script, &format!("[timeout]\n{setting}\n"));
            let mut tunnel = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
            assert_eq!(tunnel.reply().status, 101);
            network.lose(Loss::All, &[door.proxy.address().port()]);
            gate.open();
            door.endpoint.wait_until_left();
            door.proxy.wait_for_metric("tidegate_failures_total", &[("cause", "tunnel_client_gone")], 1.0);
            network.heal();
            door.serves();
        }
    });
}

/// And the same the other way round.
#[test]
fn a_tunnel_whose_endpoint_vanishes_is_cut_for_the_client() {
    apart("network_faults::a_tunnel_whose_endpoint_vanishes_is_cut_for_the_client", |network| {
        let door = Door::with(Script::echoes_in_a_tunnel(), "[timeout]\ntcp_keep_alive = \"2s\"\n");
        let mut tunnel = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
        assert_eq!(tunnel.reply().status, 101);
        network.lose(Loss::All, &[door.endpoint.socket_address().port()]);
        tunnel.expect_closed();
        network.heal();
        door.serves();
    });
}

/// Timeouts go by a clock that never jumps; only what people read goes by the one on the wall.
#[test]
fn a_jump_of_the_clock_changes_the_date_and_nothing_else() {
    let gate = Gate::default();
    let held = gate.clone();
    let endpoint = Endpoint::start(Script::new(move |visit| {
        if visit.request().target == "/held" {
            held.pass();
        }
        visit.answer("x")
    }));
    let clock = WallClock::new();
    let config = "[timeout]\nhead = \"1s\"\nkeep_alive = \"1h\"\ntotal = \"1h\"\nfirst_byte = \"1h\"\n\
         [log]\naccess = \"stdout\"\n[health]\ntype = \"tcp\"\ninterval = \"50ms\"\nrise = 1\nfall = 1\n";
    let proxy = Tidegate::to(&[&endpoint], config).clock(&clock).start();
    let (mut idle, mut held) = (proxy.client(), proxy.client());
    let today = idle.get("/").field("date").unwrap_or_default().to_owned();
    held.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
    endpoint.wait_for_requests(2);
    let load = Load::start(proxy.address(), 2, "/");
    for jump in ["+400d", "-1h", "+400d"] {
        load.wait_for(50);
        clock.jump(jump);
        load.wait_for(50);
        assert_eq!(idle.get("/").text(), "x", "{jump}: an idle connection was closed");
        let mut slow = proxy.client();
        slow.send("GET / HT");
        assert_eq!(slow.reply().cause(), Some("head_timeout"), "{jump}: a timeout still comes, in its time");
    }
    load.stop().expect_no_failures();
    let year = |date: &str| date.split(' ').nth(3).and_then(|word| word.parse().ok()).unwrap_or(0);
    // The library in between may take a moment to look at its file.
    eventually("the date has jumped, too", || {
        year(idle.get("/").field("date").unwrap_or_default()) > year(&today)
    });
    gate.open();
    assert_eq!(held.reply().text(), "x");
    let line = proxy.output().wait_for_stdout(&["/held"]);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let total = line["total_ms"].as_f64().unwrap();
    assert!((0.0..3_600_000.0).contains(&total), "{line}");
    assert_eq!(changes(&proxy), (0, 0), "no endpoint was taken for dead");
}

/// What is lost once is sent again by the kernel after a second: a check may take that long twice.
const CHECKED: &str = "balance = \"round_robin\"\n[timeout]\nconnect = \"4s\"\nfirst_byte = \"5s\"\n\
     [health]\ntype = \"tcp\"\ninterval = \"200ms\"\ntimeout = \"2500ms\"\nrise = 2\nfall = 2\njitter = \"off\"\n";

/// Clients of the partition, and how many of their requests it may catch before the checks have noticed.
const CLIENTS: usize = 8;
const CAUGHT_MAX: u64 = 5 * CLIENTS as u64;

const CHECKED_OFTEN: &str = "balance = \"round_robin\"\n[timeout]\nconnect = \"1s\"\nfirst_byte = \"1s\"\n\
     [health]\ntype = \"tcp\"\ninterval = \"100ms\"\ntimeout = \"500ms\"\nrise = 2\nfall = 2\njitter = \"off\"\n";

fn ports(endpoints: &[Endpoint]) -> Vec<u16> {
    endpoints.iter().map(|endpoint| endpoint.socket_address().port()).collect()
}

/// How often endpoints went down, and how often they came back, by what the program said. Down for one more reason is
/// no other time.
fn changes(proxy: &Proxy) -> (usize, usize) {
    let said = proxy.output().stderr();
    let changes = said.iter().filter_map(|line| {
        let (endpoint, rest) = line.split_once("endpoint ")?.1.split_once(" of cluster")?;
        (rest.contains(" is down: ") || rest.contains(" is up again"))
            .then(|| (endpoint, rest.contains(" is up again")))
    });
    let mut now = BTreeMap::new();
    let mut counts = (0, 0);
    for (endpoint, is_up) in changes {
        if now.insert(endpoint, is_up) != Some(is_up) {
            *(if is_up { &mut counts.1 } else { &mut counts.0 }) += 1;
        }
    }
    counts
}
