//! How requests spread over endpoints, seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tidegate_testkit::{Client, Endpoint, Load, Proxy, Reply, Script, Then, Tidegate, Wire, eventually};

fn endpoints(names: &[&str]) -> Vec<Endpoint> {
    names.iter().map(|name| Endpoint::answering(name)).collect()
}

/// A cluster of these endpoints with these weights.
fn cluster(endpoints: &[Endpoint], weights: &[u32], balance: &str) -> Tidegate {
    let list: Vec<_> = endpoints
        .iter()
        .zip(weights)
        .map(|(endpoint, weight)| format!("{{ address = {:?}, weight = {weight} }}", endpoint.address()))
        .collect();
    Tidegate::with(format!(
        "[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{}]\nbalance = {balance}\n",
        list.join(", ")
    ))
}

fn shares(proxy: &Proxy, requests: usize) -> BTreeMap<String, usize> {
    let mut client = proxy.client();
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(client.get("/").text()).or_default() += 1;
    }
    shares
}

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn round_robin_is_exact_by_weight() {
    let endpoints = endpoints(&["a", "b", "c"]);
    let proxy = cluster(&endpoints, &[5, 2, 1], "\"round_robin\"").start();
    assert_eq!(shares(&proxy, 80), counts(&[("a", 50), ("b", 20), ("c", 10)]));
}

#[test]
fn round_robin_is_smooth() {
    let endpoints = endpoints(&["a", "b"]);
    let proxy = cluster(&endpoints, &[3, 1], "\"round_robin\"").start();
    let mut client = proxy.client();
    let order: String = (0..16).map(|_| client.get("/").text()).collect();
    assert!(!order.contains("aaaa") && !order.contains("bb"), "{order}");
}

#[test]
fn least_request_gives_way_to_the_idle() {
    let slow = Endpoint::start(Script::answers_after(Duration::from_millis(300), "slow"));
    let fast = Endpoint::answering("fast");
    let endpoints = [slow, fast];
    let proxy = cluster(&endpoints, &[1, 1], "\"least_request\"").start();
    let load = Load::start(proxy.address(), 4, "/");
    load.wait_for(400);
    let report = load.stop();
    report.expect_no_failures();
    assert!(report.bodies["fast"] > 20 * report.bodies.get("slow").copied().unwrap_or(0), "{report:?}");
}

/// In flight means in flight in the whole proxy, not in one worker.
#[test]
fn in_flight_counts_are_shared_by_all_workers_and_return_to_zero() {
    let held: Vec<_> =
        (0..4).map(|_| Endpoint::start(Script::answers_after(Duration::from_millis(700), "x"))).collect();
    let list: Vec<_> = held.iter().map(|endpoint| format!("{:?}", endpoint.address())).collect();
    let config = format!(
        "workers = 2\n[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{}]\nbalance = \"least_request\"\n",
        list.join(", ")
    );
    let proxy = Tidegate::with(config).start();
    // One after the other, so that each pick sees what the ones before it hold.
    let mut clients: Vec<Client> = Vec::new();
    for sent in 1..=8 {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        clients.push(client);
        eventually("it arrived", || held.iter().map(Endpoint::request_count).sum::<usize>() == sent);
    }
    let each: Vec<_> = held.iter().map(Endpoint::request_count).collect();
    assert_eq!(each, [2, 2, 2, 2]);
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
    eventually("nothing is in flight", || {
        let metrics = proxy.metrics();
        metrics.has("tidegate_endpoint_in_flight") && metrics.sum("tidegate_endpoint_in_flight", &[]) < 0.5
    });
}

/// An endpoint whose heads come twenty times as soon serves bodies no faster. Events say nothing for most of the time.
#[test]
fn answers_that_go_on_are_spread_by_number_however_soon_they_begin() {
    let begins_after = |delay: u64| {
        Endpoint::start(Script::new(move |visit| {
            std::thread::sleep(Duration::from_millis(delay));
            let content_type = match visit.request().target.as_str() {
                "/page" => return visit.answer("page"),
                "/events" => "text/event-stream",
                _ => "video/mp4",
            };
            visit.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
            ));
            Then::Hang
        }))
    };
    let begun = |path: &str| {
        let endpoints = [begins_after(1), begins_after(20)];
        let proxy = cluster(&endpoints, &[1, 1], "\"adaptive\"").start();
        let load = Load::start(proxy.address(), 2, "/page");
        load.wait_for(500);
        load.stop().expect_no_failures();
        let pages = endpoints[1].request_count();
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = proxy.client();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
            assert_eq!(client.reply_to_head().status, 200);
            clients.push(client);
        }
        endpoints[1].request_count() - pages
    };
    assert!((3..=5).contains(&begun("/film")));
    assert!(begun("/events") <= 2);
}

#[test]
fn two_random_choices_use_every_endpoint() {
    let endpoints = endpoints(&["a", "b", "c", "d"]);
    let proxy = cluster(&endpoints, &[1, 1, 1, 1], "{ algorithm = \"random\", choices = 2 }").start();
    let shares = shares(&proxy, 400);
    assert!(shares.len() == 4 && shares.values().all(|share| (50..200).contains(share)), "{shares:?}");
}

/// Which endpoint answers these fields.
fn answered_by(proxy: &Proxy, path: &str, fields: &str) -> String {
    let mut client = proxy.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    client.reply().text()
}

#[test]
fn a_hash_keeps_a_key_with_its_endpoint_and_spreads_keys() {
    let endpoints = endpoints(&["a", "b", "c"]);
    let cases = [
        ("{ algorithm = \"hash\", key = { header = \"x-user\" } }", "X-User: user-{}\r\n", "/"),
        (
            "{ algorithm = \"hash\", key = { cookie = \"session\" } }",
            "Cookie: other=1; session=user-{}\r\n",
            "/",
        ),
        ("{ algorithm = \"hash\", key = \"path\" }", "", "/user-{}?ignored"),
    ];
    for (balance, fields, path) in cases {
        let proxy = cluster(&endpoints, &[1, 1, 1], balance).start();
        let mut shares = BTreeMap::<String, usize>::new();
        for user in 0..60 {
            let (fields, path) =
                (fields.replace("{}", &user.to_string()), path.replace("{}", &user.to_string()));
            let first = answered_by(&proxy, &path, &fields);
            assert_eq!(answered_by(&proxy, &path, &fields), first, "{balance} {user}");
            *shares.entry(first).or_default() += 1;
        }
        assert!(shares.len() == 3 && shares.values().all(|share| *share >= 6), "{balance}: {shares:?}");
    }
}

#[test]
fn a_hash_of_the_client_address_keeps_a_client_with_its_endpoint() {
    let endpoints = endpoints(&["a", "b", "c"]);
    let proxy = cluster(&endpoints, &[1, 1, 1], "{ algorithm = \"hash\", key = \"client_address\" }").start();
    let ask = |from: &str| Client::connect_from(from, proxy.address()).get("/").text();
    let mut seen = BTreeSet::new();
    for last in 1..30 {
        let from = format!("127.0.1.{last}");
        let first = ask(&from);
        assert_eq!(ask(&from), first, "{from}");
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn whose_key_is_empty_or_missing_is_served_by_anybody() {
    let endpoints = endpoints(&["a", "b", "c"]);
    for (key, fields) in [
        ("{ header = \"x-user\" }", ["", "X-User:\r\n", "X-User:  \r\n"]),
        ("{ cookie = \"session\" }", ["", "Cookie: session=\r\n", "Cookie: a=1; session= ; b=2\r\n"]),
    ] {
        let balance = format!("{{ algorithm = \"rendezvous\", key = {key} }}");
        let proxy = cluster(&endpoints, &[1, 1, 1], &balance).start();
        for fields in fields {
            let seen: BTreeSet<_> = (0..60).map(|_| answered_by(&proxy, "/", fields)).collect();
            assert_eq!(seen.len(), 3, "{key} {fields:?}: {seen:?}");
        }
    }
}

#[test]
fn a_client_without_an_address_is_served_by_anybody() {
    let endpoints = endpoints(&["a", "b", "c"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("front.sock");
    let config = format!(
        "listen = [\"{{listen}}\", \"unix:{}\"]\nto = \"app\"\n[cluster.app]\nendpoints = [{}]\n\
         balance = {{ algorithm = \"rendezvous\", key = \"client_address\" }}\n",
        path.display(),
        endpoints.iter().map(|endpoint| format!("{:?}", endpoint.address())).collect::<Vec<_>>().join(", ")
    );
    let _proxy = Tidegate::with(config).start();
    let mut wire = Wire::from(UnixStream::connect(&path).unwrap());
    let ask = |_| {
        wire.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        Reply::read(&mut wire, "GET").unwrap().text()
    };
    let seen: BTreeSet<_> = (0..60).map(ask).collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn a_hash_moves_only_the_keys_of_an_endpoint_that_goes() {
    let mut endpoints = endpoints(&["a", "b", "c"]);
    let proxy =
        cluster(&endpoints, &[1, 1, 1], "{ algorithm = \"hash\", key = { header = \"x-user\" } }").start();
    let ask = |user: u32| answered_by(&proxy, "/", &format!("X-User: user-{user}\r\n"));
    let before: Vec<_> = (0..60).map(ask).collect();
    endpoints[0].kill();
    for (user, name) in before.iter().enumerate() {
        let now = ask(user as u32);
        assert!(if name == "a" { now != "a" } else { now == *name }, "user {user}: {name} became {now}");
    }
    endpoints[0].revive();
    eventually("the keys are back", || (0..60).map(ask).collect::<Vec<_>>() == before);
}

#[test]
fn what_a_hash_does_not_send_home_is_counted_and_logged_with_the_reason() {
    for (more, reason) in [
        (", bound_percent = 100, bound_by = \"requests\" }", "bound"),
        (" }\nlimit = { endpoint_requests = 1 }", "full"),
    ] {
        let holds_slow = |name: &'static str| {
            Script::new(
                move |visit| if visit.request().target == "/slow" { Then::Hang } else { visit.answer(name) },
            )
        };
        let (a, b) = (Endpoint::start(holds_slow("a")), Endpoint::start(holds_slow("b")));
        let more = format!(
            "balance = {{ algorithm = \"hash\", key = {{ header = \"x-user\" }}{more}\n[log]\naccess = \"stdout\"\n"
        );
        let proxy = Tidegate::to(&[&a, &b], &more).start();
        let spilled = || proxy.metrics().sum("tidegate_cluster_hash_spills_total", &[("reason", reason)]);
        let home = answered_by(&proxy, "/", "X-User: one\r\n");
        assert!(spilled() < 0.5);
        let mut held = proxy.client();
        held.send("GET /slow HTTP/1.1\r\nHost: test\r\nX-User: one\r\n\r\n");
        if home == "a" { &a } else { &b }.wait_for_requests(2);
        assert_ne!(answered_by(&proxy, "/spilled", "X-User: one\r\n"), home, "{reason}");
        assert!((spilled() - 1.0).abs() < 0.5, "{reason}");
        proxy.output().wait_for_stdout(&["\"path\":\"/spilled\"", &format!("\"hash_spilled\":\"{reason}\"")]);
    }
}

#[test]
fn the_status_says_how_many_requests_a_bound_by_drain_time_lets_stay() {
    let endpoints = endpoints(&["a", "b"]);
    let more = "balance = { algorithm = \"hash\", bound_percent = 125 }\n";
    let proxy = Tidegate::to(&endpoints.iter().collect::<Vec<_>>(), more).start();
    let status = || proxy.admin("/status").text().replace(' ', "");
    assert_eq!(status().matches("\"unhurried\":null").count(), 2);
    proxy.get("/");
    eventually("one has answered, and the other has not", || {
        let status = status();
        status.contains("\"unhurried\":1") && status.contains("\"unhurried\":null")
    });
}

#[test]
fn a_request_that_is_a_last_resort_or_a_trial_is_counted_and_logged_as_one() {
    let mut endpoints = endpoints(&["a", "b"]);
    let more = "balance = \"round_robin\"\npassive = { retry_after = \"1s\" }\nretry.attempts = 1\n[log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&endpoints.iter().collect::<Vec<_>>(), more).start();
    let picked_as =
        |reason| proxy.metrics().sum("tidegate_cluster_exceptional_picks_total", &[("reason", reason)]);
    let up = || proxy.metrics().sum("tidegate_endpoint_up", &[]);
    proxy.get("/");
    assert!(picked_as("trial") + picked_as("last_resort") < 0.5, "the usual way");
    endpoints[0].kill();
    eventually("it is taken out", || {
        proxy.get("/marked");
        up() < 1.5
    });
    endpoints[0].revive();
    eventually("its time is over", || {
        proxy.get("/due");
        picked_as("trial") > 0.5
    });
    proxy.output().wait_for_stdout(&["\"path\":\"/due\"", "\"picked_as\":\"trial\""]);
    endpoints.iter_mut().for_each(Endpoint::kill);
    eventually("all are taken out, and asked all the same", || {
        proxy.get("/down");
        picked_as("last_resort") > 0.5
    });
    proxy.output().wait_for_stdout(&["\"path\":\"/down\"", "\"picked_as\":\"last_resort\""]);
}

/// The algorithms and what they cannot do without.
const ALGORITHMS: [&str; 14] = [
    "\"adaptive\"",
    "{ algorithm = \"adaptive\", peers = 3 }",
    "{ algorithm = \"first\", in_flight_max = 5 }",
    "\"hash\"",
    "\"least_request\"",
    "\"maglev\"",
    "{ algorithm = \"maglev\", bound_percent = 125 }",
    "\"peak_ewma\"",
    "\"prequal\"",
    "\"random\"",
    "{ algorithm = \"rendezvous\", bound_percent = 125, bound_by = \"requests\" }",
    "{ algorithm = \"rendezvous\", bound_percent = 125 }",
    "\"reported_load\"",
    "\"round_robin\"",
];

#[test]
fn every_algorithm_serves_and_does_without_an_endpoint_that_is_gone() {
    for balance in ALGORITHMS {
        let mut endpoints = endpoints(&["a", "b", "c"]);
        let proxy = cluster(&endpoints, &[1, 2, 1], balance).start();
        let load = Load::start(proxy.address(), 4, "/");
        load.wait_for(100);
        endpoints[1].kill();
        load.wait_for(300);
        let report = load.stop();
        report.expect_no_failures();
        assert!(report.total() >= 300, "{balance}: {report:?}");
        eventually("nothing is in flight", || proxy.metrics().sum("tidegate_endpoint_in_flight", &[]) < 0.5);
    }
}

#[test]
fn first_leaves_the_last_idle_while_the_first_has_room() {
    let endpoints = endpoints(&["a", "b"]);
    let proxy = cluster(&endpoints, &[1, 1], "{ algorithm = \"first\", in_flight_max = 2 }").start();
    assert_eq!(shares(&proxy, 50), counts(&[("a", 50)]));
}

#[test]
fn without_a_word_about_it_the_balance_is_adaptive() {
    let endpoints = endpoints(&["a"]);
    let proxy = Tidegate::with(format!("to = {:?}\n", endpoints[0].address())).start();
    proxy.output().wait_for_stderr(&["cluster default (adaptive)"]);
}
