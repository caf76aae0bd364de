//! Cookies that bring a client back to its endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_testkit::{Endpoint, Proxy, Reply, Script, Then, Tidegate, eventually};

use crate::door::get;
use crate::favourite::{HEDGES, Silenced as _};

const SECRET: &str = "sticky = { secret_file = \"sticky.secret\" }";

/// The endpoints in a cluster, with a secret that outlives the proxy.
fn with_secret(endpoints: &[&Endpoint], more: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("sticky.secret");
    std::fs::write(&secret, "nobody can guess this one\n").unwrap();
    let config = more.replace("sticky.secret", secret.to_str().unwrap());
    (folder, format!("listen = \"{{listen}}\"\nto = [{}]\n{config}\n", list(endpoints)))
}

fn list(endpoints: &[&Endpoint]) -> String {
    let list: Vec<_> = endpoints.iter().map(|endpoint| format!("{:?}", endpoint.address())).collect();
    list.join(", ")
}

/// Asks with these cookies.
fn ask(proxy: &Proxy, cookies: &str) -> Reply {
    ask_with(proxy, &format!("Cookie: {cookies}\r\n"))
}

fn ask_with(proxy: &Proxy, fields: &str) -> Reply {
    let mut client = proxy.client();
    client.send(get(fields));
    client.reply()
}

/// `name=value` of the cookie that an answer sets.
fn cookie(reply: &Reply) -> Option<String> {
    Some(reply.field("set-cookie")?.split(';').next().unwrap_or_default().to_owned())
}

fn sets_cookie(reply: &Reply) -> bool {
    reply.field("set-cookie").is_some()
}

/// A new client's cookie.
fn new_cookie(proxy: &Proxy) -> (String, String) {
    let reply = proxy.get("/");
    (reply.text(), cookie(&reply).expect("a new client gets a cookie"))
}

/// A client of the endpoint with that name.
fn client_of(proxy: &Proxy, name: &str) -> String {
    let found = (0..50).map(|_| new_cookie(proxy)).find(|(at, _)| at == name);
    found.unwrap_or_else(|| panic!("nobody got to {name}")).1
}

fn counted(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metrics().sum("tidegate_cluster_sticky_total", &[("outcome", outcome)])
}

fn three() -> [Endpoint; 3] {
    ["a", "b", "c"].map(Endpoint::answering)
}

#[test]
fn a_client_comes_back_and_clients_spread_whatever_the_algorithm() {
    let endpoints = three();
    for balance in ["adaptive", "least_request", "round_robin", "maglev"] {
        let more = format!("sticky = true\nbalance = {balance:?}");
        let proxy = Tidegate::to(&endpoints.each_ref(), &more).start();
        let mut homes = BTreeSet::new();
        for _ in 0..12 {
            let (home, cookie) = new_cookie(&proxy);
            for _ in 0..5 {
                let reply = ask(&proxy, &format!("a=1; {cookie}; b=2"));
                assert_eq!(reply.text(), home, "{balance}");
                assert!(!sets_cookie(&reply), "{balance}: once is enough: {reply:?}");
            }
            homes.insert(home);
        }
        assert!(balance != "round_robin" || homes.len() == 3, "{homes:?}");
    }
}

#[test]
fn the_cookie_says_nothing_and_the_endpoint_does_not_see_it() {
    let endpoint = Endpoint::answering("a");
    let proxy = Tidegate::to(&[&endpoint], "sticky = { cookie = \"own\" }").start();
    let reply = proxy.get("/");
    let line = reply.field("set-cookie").unwrap();
    let (value, attributes) = line.split_once("; ").unwrap();
    let token = value.strip_prefix("own=").unwrap();
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    assert!(reply.field("cache-control").or(reply.field("vary")).is_none(), "{reply:?}");
    ask(&proxy, &format!("x=1; {value}; y=2"));
    assert_eq!(endpoint.last_request().field("cookie"), Some("x=1; y=2"));
    ask(&proxy, value);
    assert_eq!(endpoint.last_request().field("cookie"), None);
    let open = Tidegate::to(&[&endpoint], "sticky = { cookie = \"own\", forward = true }").start();
    ask(&open, value);
    assert_eq!(endpoint.last_request().field("cookie"), Some(value));
}

#[test]
fn the_cookie_is_secure_where_the_client_came_by_https() {
    let endpoint = Endpoint::answering("a");
    for (trusted, is_secure) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let more = format!("sticky = true\ntrusted_proxies = {trusted:?}");
        let proxy = Tidegate::to(&[&endpoint], &more).start();
        let reply = ask_with(&proxy, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n");
        let line = reply.field("set-cookie").unwrap();
        assert_eq!(line.ends_with("; SameSite=Lax; Secure"), is_secure, "{line}");
        let plain = ask_with(&proxy, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n");
        assert!(!plain.field("set-cookie").unwrap().contains("Secure"));
    }
}

#[test]
fn a_cookie_that_nobody_here_made_is_replaced() {
    let endpoints = three();
    let proxy = Tidegate::to(&endpoints.each_ref(), "sticky = true\nbalance = \"least_request\"").start();
    let elsewhere = Tidegate::to(&endpoints.each_ref(), "sticky = true").start();
    let (_, mine) = new_cookie(&proxy);
    let (_, foreign) = new_cookie(&elsewhere);
    let mut tampered = mine.clone();
    let last = if tampered.pop() == Some('0') { '1' } else { '0' };
    tampered.push(last);
    let long = format!("tidegate_default={}", "a".repeat(4000));
    for bad in [&foreign, &tampered, &long, "tidegate_default=", "tidegate_default=127.0.0.1:80"] {
        let reply = ask(&proxy, bad);
        assert_eq!(reply.status, 200, "{bad}");
        let better = cookie(&reply).unwrap_or_else(|| panic!("{bad} is replaced"));
        let home = reply.text();
        assert_eq!(ask(&proxy, &better).text(), home);
    }
    assert!(counted(&proxy, "unknown") > 4.5 && counted(&proxy, "kept") > 4.5);
}

#[test]
fn a_client_whose_endpoint_died_moves_and_stays_where_it_moved() {
    let mut endpoints = three();
    let more = "sticky = true\nbalance = \"round_robin\"\npassive = { retry_after = \"200ms\" }\n[log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&endpoints.each_ref(), more).start();
    let before = client_of(&proxy, "a");
    endpoints[0].kill();
    let reply = ask(&proxy, &before);
    let (moved_to, after) = (reply.text(), cookie(&reply).expect("it gets another cookie"));
    proxy.output().wait_for_stdout(&["\"sticky\":\"moved\",\"sticky_reason\":\"tried\""]);
    assert_ne!(moved_to, "a");
    endpoints[0].revive();
    eventually("the endpoint is back, and those who did not move with it", || {
        ask(&proxy, &before).text() == "a"
    });
    assert_eq!(ask(&proxy, &after).text(), moved_to);
    assert!(counted(&proxy, "moved") > 0.5);
}

#[test]
fn with_a_secret_of_its_own_a_cookie_outlives_the_proxy_and_a_reload() {
    let endpoints = three();
    let (_folder, config) = with_secret(&endpoints.each_ref(), SECRET);
    let mut proxy = Tidegate::with(config).start();
    let clients: Vec<_> = (0..6).map(|_| new_cookie(&proxy)).collect();
    let all_come_back = |proxy: &Proxy| {
        for (home, cookie) in &clients {
            let reply = ask(proxy, cookie);
            assert!(reply.text() == *home && !sets_cookie(&reply), "{home}: {reply:?}");
        }
    };
    proxy.kill();
    proxy.restart();
    all_come_back(&proxy);
    // Another order, and one more endpoint.
    let fourth = Endpoint::answering("d");
    let [a, b, c] = endpoints.each_ref();
    let (_other_folder, config) = with_secret(&[&fourth, c, b, a], SECRET);
    proxy.reload(&config);
    eventually("the fourth serves", || new_cookie(&proxy).0 == "d");
    all_come_back(&proxy);
}

#[test]
fn a_secret_that_was_made_is_said_to_end_with_the_proxy_and_survives_a_reload() {
    let endpoints = three();
    let config = |more: &str| {
        format!("listen = \"{{listen}}\"\nto = [{}]\n{more}sticky = true\n", list(&endpoints.each_ref()))
    };
    let mut proxy = Tidegate::with(config("")).start();
    proxy.output().wait_for_stderr(&["sticky cookies of default do not survive a restart"]);
    let (home, cookie) = new_cookie(&proxy);
    proxy.reload(&config("balance = \"hash\"\n"));
    proxy.wait_for_metric("tidegate_config_reloads_total", &[("outcome", "applied")], 1.0);
    assert_eq!(ask(&proxy, &cookie).text(), home);
    proxy.kill();
    proxy.restart();
    let reply = ask(&proxy, &cookie);
    assert!(sets_cookie(&reply), "{reply:?}");
}

#[test]
fn a_secret_that_cannot_be_had_refuses_the_configuration_and_says_why() {
    let endpoint = Endpoint::answering("a");
    let proxy = Tidegate::to(&[&endpoint], "sticky = true").start();
    let (_, cookie) = new_cookie(&proxy);
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short");
    std::fs::write(&short, "too short").unwrap();
    for (sticky, words) in [
        (format!("{{ secret_file = {short:?} }}"), "has 9 bytes"),
        ("{ secret_file = \"/nowhere/secret\" }".to_owned(), "/nowhere/secret"),
        ("{ secret_env = \"TIDEGATE_E2E_UNSET\" }".to_owned(), "TIDEGATE_E2E_UNSET"),
    ] {
        proxy.reload(&format!("listen = \"{{listen}}\"\nto = {:?}\nsticky = {sticky}\n", endpoint.address()));
        proxy.output().wait_for_stderr(&[words]);
        assert!(!sets_cookie(&ask(&proxy, &cookie)), "what was in force stays");
    }
}

/// Never answers `/slow`.
fn holds_slow(name: &'static str) -> Script {
    Script::new(move |visit| if visit.request().target == "/slow" { Then::Hang } else { visit.answer(name) })
}

#[test]
fn a_client_spills_over_while_its_endpoint_is_busy_and_then_comes_back() {
    let (a, b) = (Endpoint::start(holds_slow("a")), Endpoint::start(holds_slow("b")));
    let sticky = "sticky = { bound_percent = 100, bound_by = \"requests\" }\nbalance = \"least_request\"\n\
                  [log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&[&a, &b], sticky).start();
    let first = proxy.get("/");
    let cookie = cookie(&first).unwrap();
    let home = if a.request_count() == 1 { &a } else { &b };
    let mut busy: Vec<_> = Vec::new();
    for held in 0..2 {
        let mut client = proxy.client();
        client.send(format!("GET /slow HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n"));
        busy.push(client);
        eventually("it is held", || a.request_count() + b.request_count() == 2 + held);
    }
    // One held at home, one spilled: both hold one, so each may hold one more.
    assert_eq!(home.request_count(), 2);
    let back = ask(&proxy, &cookie);
    assert!(home.request_count() == 3 && !sets_cookie(&back), "{back:?}");
    assert!(counted(&proxy, "spilled") > 0.5, "and its cookie stays");
    proxy.output().wait_for_stdout(&["\"sticky\":\"kept\",\"sticky_reason\":null"]);
    for client in busy {
        client.reset();
    }
    proxy
        .output()
        .wait_for_stdout(&["\"path\":\"/slow\"", "\"sticky\":\"spilled\",\"sticky_reason\":\"bound\""]);
}

#[test]
fn a_client_whose_endpoint_has_as_many_requests_as_it_may_have_spills_over() {
    let (a, b) = (Endpoint::start(holds_slow("a")), Endpoint::start(holds_slow("b")));
    let more = "sticky = true\nlimit = { endpoint_requests = 1 }";
    let proxy = Tidegate::to(&[&a, &b], more).start();
    let (home, cookie) = new_cookie(&proxy);
    let mut held = proxy.client();
    held.send(format!("GET /slow HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n"));
    if home == "a" { &a } else { &b }.wait_for_requests(2);
    let reply = ask(&proxy, &cookie);
    assert!(reply.text() != home && !sets_cookie(&reply), "{reply:?}");
    let labels = [("outcome", "spilled"), ("reason", "full")];
    assert!(proxy.metrics().sum("tidegate_cluster_sticky_total", &labels) > 0.5);
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A fleet that is known well, whose favourite has fallen silent.
struct Fleet {
    proxy: Proxy,
    endpoints: [Endpoint; NAMES.len()],
    /// Each endpoint's cookie by its name.
    cookies: BTreeMap<String, String>,
    silent: usize,
}

impl Fleet {
    fn with(sticky: &str) -> Self {
        let answering = |name| Endpoint::start(Script::answers_after(Duration::from_millis(2), name));
        let mut endpoints = NAMES.map(answering);
        let more =
            format!("{sticky}{HEDGES}timeout = {{ first_byte = \"1s\" }}\nlog = {{ access = \"stdout\" }}\n");
        let proxy = Tidegate::to(&endpoints.each_ref(), &more).start();
        let mut cookies = BTreeMap::new();
        for asked in 0..2000 {
            cookies.extend([new_cookie(&proxy)]);
            if asked > 150 && cookies.len() == NAMES.len() {
                break; // the fleet's usual latency is learned
            }
        }
        assert_eq!(cookies.len(), NAMES.len(), "{cookies:?}");
        let silent = (0..NAMES.len()).max_by_key(|index| endpoints[*index].asked()).unwrap();
        endpoints[silent].fall_silent();
        Self { proxy, endpoints, cookies, silent }
    }

    fn cookie_of_silent(&self) -> &str {
        &self.cookies[NAMES[self.silent]]
    }
}

#[test]
fn a_new_client_belongs_to_the_endpoint_that_answered_it_first() {
    let Fleet { proxy, endpoints, cookies, silent } = Fleet::with("sticky = true\n");
    let before = endpoints[silent].asked();
    for _ in 0..2000 {
        let reply = proxy.get("/");
        assert_eq!(cookie(&reply).as_ref(), cookies.get(&reply.text()), "{reply:?}");
        if endpoints[silent].asked() > before {
            break;
        }
    }
    proxy.wait_for_metric("tidegate_cluster_hedges_total", &[("outcome", "won")], 1.0);
}

#[test]
fn a_client_whose_endpoint_is_silent_is_answered_by_another_where_clients_may_spill_over() {
    let fleet = Fleet::with("sticky = { bound_percent = 200, bound_by = \"requests\" }\n");
    let reply = ask(&fleet.proxy, fleet.cookie_of_silent());
    assert!(reply.text() != NAMES[fleet.silent] && !sets_cookie(&reply), "it comes back: {reply:?}");
    fleet.proxy.output().wait_for_stdout(&[
        "\"hedged\":true",
        "\"outcome\":\"won\"",
        "\"sticky\":\"spilled\",\"sticky_reason\":\"hedged\"",
    ]);
    let labels = [("outcome", "spilled"), ("reason", "hedged")];
    fleet.proxy.wait_for_metric("tidegate_cluster_sticky_total", &labels, 1.0);
}

/// What it has there nobody else knows of, and whoever does not would be the first to answer.
#[test]
fn where_nobody_spills_a_client_waits_for_its_own_endpoint() {
    let fleet = Fleet::with("sticky = true\nretry = \"off\"\n");
    let reply = ask(&fleet.proxy, fleet.cookie_of_silent());
    assert_eq!((reply.status, reply.cause()), (504, Some("first_byte_timeout")));
    fleet.proxy.output().wait_for_stdout(&["\"hedged\":false,\"hedge\":null", "\"sticky\":\"kept\""]);
}

/// A page whose parts come from two clusters.
#[test]
fn clusters_of_one_site_leave_each_other_their_cookies() {
    let (ours, theirs) = (["a", "b", "c"].map(Endpoint::answering), ["d", "e", "f"].map(Endpoint::answering));
    let (web, api) = (list(&ours.each_ref()), list(&theirs.each_ref()));
    let named = format!(
        "[[route]]\nto = \"web\"\n[[route]]\npath = \"/api/\"\nto = \"api\"\n\
         [cluster.web]\nendpoints = [{web}]\n[cluster.api]\nendpoints = [{api}]\n"
    );
    let on_the_spot = format!("[[route]]\nto = [{web}]\n[[route]]\npath = \"/api/\"\nto = [{api}]\n");
    for routes in [named, on_the_spot] {
        let top = "listen = \"{listen}\"\nsticky = true\nbalance = \"round_robin\"\n";
        let proxy = Tidegate::with(format!("{top}{routes}")).start();
        let mut jar = BTreeMap::new();
        let mut homes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for target in ["/", "/api/"].into_iter().cycle().take(12) {
            let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let mut client = proxy.client();
            let cookies = cookies.join("; ");
            client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\nCookie: {cookies}\r\n\r\n"));
            let reply = client.reply();
            homes.entry(target).or_default().insert(reply.text());
            let set = cookie(&reply);
            let pair = set.as_deref().and_then(|set| set.split_once('='));
            jar.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        assert!(
            jar.len() == 2 && homes.values().all(|homes| homes.len() == 1),
            "{routes}: {homes:?} {jar:?}"
        );
    }
}

/// RFC 6265 §5.4: one for each path and domain that set it.
#[test]
fn a_second_cookie_of_the_same_name_does_not_hide_the_one_that_counts() {
    let endpoints = three();
    let proxy = Tidegate::to(&endpoints.each_ref(), "sticky = true\nbalance = \"round_robin\"").start();
    let (home, cookie) = new_cookie(&proxy);
    for cookies in [format!("tidegate_default=old; {cookie}"), format!("{cookie}; tidegate_default=old")] {
        for _ in 0..4 {
            let reply = ask(&proxy, &cookies);
            assert!(reply.text() == home && !sets_cookie(&reply), "{cookies}: {reply:?}");
        }
    }
    let reply = ask_with(&proxy, &format!("Cookie: tidegate_default=old\r\nCookie: {cookie}\r\n"));
    assert_eq!(reply.text(), home, "in a field of its own, too");
    assert!(
        sets_cookie(&ask(&proxy, "tidegate_default=old; tidegate_default=older")),
        "none that counts: a new one"
    );
}

#[test]
fn an_endpoint_that_fails_keeps_nobody() {
    let failing =
        Endpoint::start(Script::writes("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", Then::Close));
    let proxy = Tidegate::to(&[&failing], "sticky = true").start();
    let reply = proxy.get("/");
    assert!(reply.status == 500 && !sets_cookie(&reply), "{reply:?}");
}

#[test]
fn a_tunnel_sets_the_cookie_too() {
    let endpoint = Endpoint::start(Script::echoes_in_a_tunnel());
    let proxy = Tidegate::to(&[&endpoint], "sticky = true").start();
    let mut client = proxy.client();
    client.send(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    let reply = client.reply();
    assert!(reply.status == 101 && sets_cookie(&reply), "{reply:?}");
}
