//! How much one client may have: requests in a while, connections at once.

use tidegate_testkit::{Client, Endpoint, Gone, Proxy, Reply, Script, Tidegate, eventually};

use crate::door::{Door, expect_signed, get, post};

/// Nothing is paid off while a test runs.
const THREE_AN_HOUR: &str = "rate_limit = { requests = \"1/h\", burst = 3 }\n";

fn statuses(client: &mut Client, count: usize) -> Vec<u16> {
    (0..count).map(|_| client.get("/").status).collect()
}

#[test]
fn a_client_over_its_rate_is_told_when_to_come_back_and_others_are_served() {
    let door = Door::with(Script::echoes(), &format!("{THREE_AN_HOUR}[log]\naccess = \"stdout\"\n"));
    let mut client = door.proxy.client();
    assert_eq!(statuses(&mut client, 3), [200; 3]);
    let refused = client.get("/");
    assert_eq!((refused.status, refused.cause()), (429, Some("rate_limited")));
    expect_signed(&refused);
    let seconds: u32 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    assert_eq!(client.get("/").status, 429, "the connection goes on");
    assert_eq!(door.proxy.get("/").status, 429, "another connection is the same client");
    let mut body = door.knock(post("Content-Length: 5\r\n", "hello"));
    assert_eq!(body.reply().status, 429);
    assert_eq!(
        statuses(&mut Client::connect_from("127.0.0.2", door.proxy.address()), 4),
        [200, 200, 200, 429]
    );
    assert_eq!(door.endpoint.request_count(), 6);
    let labels = [("cause", "rate_limited"), ("stage", "policy"), ("blame", "downstream")];
    door.proxy.wait_for_metric("tidegate_failures_total", &labels, 5.0);
    door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "rate_limit")], 5.0);
    door.proxy.output().wait_for_stdout(&[
        "\"cluster\":\"default\",\"endpoint\":null",
        "\"status\":429",
        "\"cause\":\"rate_limited\"",
        "\"attempts\":0",
    ]);
}

/// What is asked on behalf of `client` by a proxy that is trusted.
fn ask_for(through: &mut Client, client: &str) -> Reply {
    through.send(get(&format!("X-Forwarded-For: {client}\r\n")));
    through.reply()
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_rate_and_an_ipv6_network_is_one_client() {
    let door = Door::with(Script::echoes(), &format!("{THREE_AN_HOUR}trusted_proxies = \"127.0.0.1\"\n"));
    let mut through = door.proxy.client();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let statuses = [(); 4].map(|()| ask_for(&mut through, client).status);
        assert_eq!(statuses, [200, 200, 200, 429], "{client}");
    }
    let walk = ["2001:db8::1", "2001:db8::2", "2001:db8::3:0:0:1", "2001:db8::4"];
    assert_eq!(walk.map(|client| ask_for(&mut through, client).status), [200, 200, 200, 429]);
    assert_eq!(ask_for(&mut through, "2001:db8:0:1::1").status, 200, "the next network");
}

/// G5: the table is far too small for the walk, and yet nobody gets more than the rate.
#[test]
fn a_walk_through_many_networks_does_not_make_the_proxy_forget_who_was_over_the_rate() {
    let config =
        "rate_limit = { requests = \"1/h\", burst = 3, keys = 64 }\ntrusted_proxies = \"127.0.0.1\"\n";
    let door = Door::with(Script::echoes(), config);
    let mut through = door.proxy.client();
    let hot = [(); 5].map(|()| ask_for(&mut through, "192.0.2.1").status);
    assert_eq!(hot, [200, 200, 200, 429, 429]);
    let mut served = 0;
    for network in 0..2000 {
        served += usize::from(ask_for(&mut through, &format!("2001:db8:0:{network:x}::1")).status == 200);
        if network % 100 == 0 {
            assert_eq!(ask_for(&mut through, "192.0.2.1").status, 429, "after {network}");
        }
    }
    assert!(served <= 64 * 3, "{served} is more than 64 accounts may take together");
    door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "rate_limit_keys")], 1.0);
}

/// Routes with a limit of their own, with none, and two that share the one at the top.
fn routes(endpoint: &Endpoint) -> String {
    let to = endpoint.address();
    format!(
        "{THREE_AN_HOUR}to = {to:?}\n\
         [[route]]\npath = \"/also\"\nto = {to:?}\n\
         [[route]]\npath = \"/free\"\nto = {to:?}\nrate_limit = \"off\"\n\
         [[route]]\npath = \"/ping\"\nanswer = {{ body = \"pong\" }}\nrate_limit = \"1/h\"\n\
         [[route]]\npath = \"/keyed\"\nto = {to:?}\nrate_limit = {{ requests = \"1/h\", key = {{ header = \"X-Key\" }} }}\n\
         [[route]]\npath = \"/all\"\nto = {to:?}\nrate_limit = {{ requests = \"1/h\", key = \"all\" }}\n"
    )
}

#[test]
fn a_route_has_a_limit_of_its_own_or_shares_the_one_at_the_top_or_has_none() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::with(routes(&endpoint)).start();
    let ask = |path: &str, fields: &str| {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
        client.reply().status
    };
    assert_eq!(["/", "/also", "/", "/also"].map(|path| ask(path, "")), [200, 200, 200, 429]);
    assert_eq!([(); 5].map(|()| ask("/free", "")), [200; 5]);
    assert_eq!([(); 2].map(|()| ask("/ping", "")), [200, 429]);
    let keys = ["X-Key: a\r\n", "X-Key: a\r\n", "x-key: b\r\n", "", ""];
    assert_eq!(keys.map(|fields| ask("/keyed", fields)), [200, 429, 200, 200, 429]);
    assert_eq!(ask("/all", ""), 200);
    let mut other = Client::connect_from("127.0.0.2", proxy.address());
    assert_eq!(other.get("/all").status, 429);
}

#[test]
fn a_reload_keeps_what_was_counted_unless_the_limit_changes() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::with(routes(&endpoint)).start();
    let spent = |proxy: &Proxy| ["/", "/ping", "/keyed", "/all"].map(|path| proxy.get(path).status);
    for _ in 0..2 {
        proxy.get("/");
    }
    assert_eq!((spent(&proxy), spent(&proxy)), ([200; 4], [429; 4]));
    let reload = |config: &str, count: f64| {
        proxy.reload(config);
        proxy.wait_for_metric("tidegate_config_reloads_total", &[("outcome", "applied")], count);
    };
    reload(&format!("retry = \"off\"\n{}", routes(&endpoint)), 1.0);
    assert_eq!(spent(&proxy), [429; 4]);
    reload(
        &routes(&endpoint).replace("requests = \"1/h\", key = \"all\"", "requests = \"2/h\", key = \"all\""),
        2.0,
    );
    assert_eq!(spent(&proxy), [429, 429, 429, 200], "the one that changed begins anew");
    reload(&routes(&endpoint).replace("burst = 3", "burst = 4"), 3.0);
    assert_eq!(spent(&proxy), [200, 429, 429, 200]);
}

/// Whether the proxy serves this connection, which may already be gone.
fn is_served(client: &mut Client) -> bool {
    client.send(get(""));
    client.try_reply().is_ok_and(|reply| reply.status == 200)
}

/// J2.
#[test]
fn connections_of_one_client_are_limited_and_others_are_none_the_worse() {
    let door = Door::with(Script::echoes(), "[limit]\nconnections_per_client = 3\n");
    let mut kept: Vec<_> = (0..3).map(|_| door.proxy.client()).collect();
    assert!(kept.iter_mut().all(is_served));
    let mut other = Client::connect_from("127.0.0.2", door.proxy.address());
    for _ in 0..200 {
        let Ok(mut refused) = Client::try_connect(door.proxy.address()) else { continue };
        let (answer, gone) = refused.rest();
        assert!(answer.is_empty() && gone != Gone::Silent, "neither served nor refused");
        assert!(is_served(&mut other));
    }
    let labels = [("limit", "client")];
    door.proxy.wait_for_metric("tidegate_listener_connections_refused_total", &labels, 200.0);
    door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "connections_per_client")], 200.0);
    assert!(kept.iter_mut().all(is_served));
    kept.pop();
    eventually("a place that is left is given away", || {
        Client::try_connect(door.proxy.address()).is_ok_and(|mut client| is_served(&mut client))
    });
}

#[test]
fn connections_count_for_the_client_that_a_proxy_in_front_names_and_not_for_the_proxy() {
    let config = "proxy_protocol_from = \"127.0.0.1\"\n[limit]\nconnections_per_client = 2\n";
    let door = Door::with(Script::echoes(), config);
    let open = |source: &str| {
        let mut client = door.proxy.client();
        client.send(format!("PROXY TCP4 {source} 203.0.113.1 1 2\r\n"));
        let served = is_served(&mut client);
        (client, served)
    };
    let one: Vec<_> = (0..3).map(|_| open("192.0.2.1")).collect();
    assert_eq!(one.iter().map(|(_, served)| *served).collect::<Vec<_>>(), [true, true, false]);
    assert!(open("192.0.2.2").1, "another client");
    let mut own: Vec<_> = (0..4).map(|_| door.proxy.client()).collect();
    for client in &mut own {
        client.send("PROXY UNKNOWN\r\n");
        assert!(is_served(client), "the proxy's own are not limited");
    }
    drop(one);
    eventually("room is given back", || open("192.0.2.1").1);
}

#[test]
fn connections_of_trusted_proxies_are_many_clients() {
    let config = "trusted_proxies = \"127.0.0.1\"\n[limit]\nconnections_per_client = 1\n";
    let door = Door::with(Script::echoes(), config);
    let mut proxies: Vec<_> = (0..5).map(|_| door.proxy.client()).collect();
    assert!(proxies.iter_mut().all(is_served));
}
