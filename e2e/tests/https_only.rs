//! Clients that are to come by HTTPS are sent there, and told to remember it.

use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Endpoint, Port, Script, Then, Tidegate, Wire};

#[test]
fn a_plain_listener_sends_every_request_to_https_but_for_challenges() {
    let endpoint = Endpoint::answering("hello");
    let other = Port::free();
    let proxy = Tidegate::with(format!(
        "to = \"{}\"\n[[listener]]\nbind = \"{{listen}}\"\nredirect_https = true\n\
         [[listener]]\nbind = \"{}\"\nredirect_https = 8443\n",
        endpoint.address(),
        other.address()
    ))
    .start();
    let ask = |to, method: &str, target: &str, host: &str| {
        let mut client = tidegate_testkit::Client::connect(to);
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
        client.reply()
    };
    for (to, method, target, host, expected) in [
        (proxy.address(), "GET", "/a/../b?c=d", "app.test", "https://app.test/b?c=d"),
        (proxy.address(), "POST", "/", "app.test:8080", "https://app.test/"),
        (
            proxy.address(),
            "GET",
            "/.well-known/acme-challenge",
            "app.test",
            "https://app.test/.well-known/acme-challenge",
        ),
        (proxy.address(), "GET", "//evil.test/", "app.test", "https://app.test/evil.test/"),
        (other.address(), "GET", "/x", "[::1]:80", "https://[::1]:8443/x"),
        (other.address(), "OPTIONS", "*", "app.test", "https://app.test:8443/"),
        (other.address(), "OPTIONS", "http://app.test?a", "app.test", "https://app.test:8443/?a"),
        (other.address(), "OPTIONS", "/x", "app.test", "https://app.test:8443/x"),
    ] {
        let reply = ask(to, method, target, host);
        assert_eq!(
            (reply.status, reply.field("location")),
            (308, Some(expected)),
            "{method} {target} {host}"
        );
    }
    let mut nameless = proxy.client();
    nameless.send("POST /login HTTP/1.0\r\nContent-Length: 6\r\n\r\nsecret");
    assert_eq!(nameless.reply().status, 400, "nobody knows where to");
    assert_eq!(endpoint.request_count(), 0);
    let challenge = ask(proxy.address(), "GET", "/.well-known/acme-challenge/token", "app.test");
    assert_eq!((challenge.status, &*challenge.text()), (200, "hello"));
}

#[test]
fn browsers_may_be_told_about_all_hosts_below_and_to_ship_it() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let keys = authority.issue("app", &["app.test"]).keys();
    for (more, expected) in [
        ("true", "max-age=31536000"),
        ("{ max_age = '1h', include_subdomains = true }", "max-age=3600; includesubdomains"),
        ("{ include_subdomains = true, preload = true }", "max-age=31536000; includesubdomains; preload"),
    ] {
        let listener = format!("[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {keys}, hsts = {more} }}\n");
        let proxy = Tidegate::with(format!("to = \"{}\"\n{listener}", endpoint.address())).start();
        let mut connection = authority.client().connect(proxy.address(), "app.test").unwrap();
        let (_, head, _) = connection.get("app.test", "/").unwrap(); // in lower case
        assert!(head.contains(&format!("strict-transport-security: {expected}\r\n")), "{head}");
    }
}

#[test]
fn browsers_are_told_to_come_by_https_in_every_answer_that_is_encrypted_and_in_no_other() {
    let authority = Authority::new();
    let endpoint = Endpoint::answering("hello");
    let own = Endpoint::start(Script::on_accept(|wire: &mut Wire| {
        while wire.line().is_ok_and(|line| !line.is_empty()) {}
        let _ = wire
            .write(b"HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nContent-Length: 0\r\n\r\n");
        Then::Close
    }));
    let keys = authority.issue("app", &["app.test"]).keys();
    let plain = Port::free();
    let proxy = Tidegate::with(format!(
        "[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {keys}, hsts = \"30d\" }}\n[[listener]]\nbind = \"{}\"\n\
         [[route]]\npath = \"/own\"\nto = \"{}\"\n[[route]]\npath = \"/a\"\nto = \"{}\"\n",
        plain.address(),
        own.address(),
        endpoint.address()
    ))
    .start();
    let mut connection = authority.client().connect(proxy.address(), "app.test").unwrap();
    for (target, status, expected) in
        [("/a", 200, "max-age=2592000"), ("/own", 200, "max-age=1"), ("/none", 404, "max-age=2592000")]
    {
        let (found, head, _) = connection.get("app.test", target).unwrap();
        let lines: Vec<_> = head
            .lines()
            .filter_map(|line| {
                line.to_lowercase().strip_prefix("strict-transport-security: ").map(str::to_owned)
            })
            .collect();
        assert_eq!((found, lines), (status, vec![expected.to_owned()]), "{target}");
    }
    let reply = tidegate_testkit::Client::connect(plain.address()).get("/a");
    assert_eq!((reply.status, reply.field("strict-transport-security")), (200, None));
}
