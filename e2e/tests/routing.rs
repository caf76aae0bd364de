//! Which route a request takes: host, path, method and fields; and what a route may do.

use tidegate_testkit::{Endpoint, Proxy, Reply, Tidegate};

use crate::door::expect_signed;

/// A route that answers with its own name.
fn named(name: &str, matchers: &str) -> String {
    format!("[[route]]\n{matchers}\nanswer = {{ status = 200, body = \"{name}\" }}\n")
}

fn ask(proxy: &Proxy, line: &str, fields: &str) -> Reply {
    let mut client = proxy.client();
    client.send(format!("{line} HTTP/1.1\r\n{fields}\r\n"));
    client.reply()
}

fn taken(proxy: &Proxy, host: &str, path: &str) -> String {
    ask(proxy, &format!("GET {path}"), &format!("Host: {host}\r\n")).text()
}

#[test]
fn the_most_specific_host_wins() {
    let config = [
        named("any", ""),
        named("wild", "host = \"*.example.com\""),
        named("longer", "host = \"*.eu.example.com\""),
        named("exact", "host = \"shop.example.com\""),
    ];
    let proxy = Tidegate::with(config.concat()).start();
    let cases = [
        ("shop.example.com", "exact"),
        ("SHOP.Example.COM", "exact"),
        ("shop.example.com:8080", "exact"),
        ("a.example.com", "wild"),
        ("a.b.example.com", "wild"),
        ("a.eu.example.com", "longer"),
        ("example.com", "any"),
        ("notexample.com", "any"),
        ("other.org", "any"),
    ];
    for (host, route) in cases {
        assert_eq!(taken(&proxy, host, "/"), route, "{host}");
    }
}

#[test]
fn the_longest_path_wins_and_an_exact_one_before_it() {
    let config = [
        named("root", ""),
        named("api", "path = \"/api\""),
        named("users", "path = \"/api/users/\""),
        named("exact", "path = { exact = \"/api/users/me\" }"),
    ];
    let proxy = Tidegate::with(config.concat()).start();
    let cases = [
        ("/", "root"),
        ("/apix", "root"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/x", "api"),
        ("/api/users", "api"),
        ("/api/users/", "users"),
        ("/api/users/7", "users"),
        ("/api/users/me", "exact"),
        ("/api/users/me?x=1", "exact"),
        ("/api/users/me/x", "users"),
    ];
    for (path, route) in cases {
        assert_eq!(taken(&proxy, "test", path), route, "{path}");
    }
}

#[test]
fn a_path_is_one_path_however_a_route_or_a_request_spells_it() {
    let route = |path: &str| named(path, &format!("path = {path:?}"));
    let exact = named("exact", "path = { exact = \"/e%3d\" }");
    let paths = ["/caf%c3%a9", "/a|b", "/t{id}", "/u%7e", "/secret%2e"];
    let config = paths.map(route).concat() + &exact + &named("root", "");
    let proxy = Tidegate::with(config).start();
    let cases = [
        ("/caf%c3%a9", "/caf%c3%a9"),
        ("/caf%C3%A9/x", "/caf%c3%a9"),
        ("/a%7cb", "/a|b"),
        ("/t%7Bid%7D", "/t{id}"),
        ("/u~", "/u%7e"),
        ("/u%7E/x", "/u%7e"),
        ("/secret.", "/secret%2e"),
        ("/secret%2E", "/secret%2e"),
        ("/e%3D", "exact"),
        ("/e%3d/x", "root"),
    ];
    for (path, route) in cases {
        assert_eq!(taken(&proxy, "a", path), route, "{path}");
    }
}

#[test]
fn methods_and_fields_are_further_conditions() {
    let config = [
        named("post", "path = \"/a\"\nmethod = [\"POST\", \"PUT\"]"),
        named("beta", "path = \"/a\"\nheader = { x-channel = \"beta\" }"),
        named("rest", "path = \"/a\""),
    ];
    let proxy = Tidegate::with(config.concat()).start();
    assert_eq!(ask(&proxy, "POST /a", "Host: test\r\nContent-Length: 0\r\n").text(), "post");
    assert_eq!(ask(&proxy, "GET /a", "Host: test\r\nX-Channel: beta\r\n").text(), "beta");
    assert_eq!(ask(&proxy, "GET /a", "Host: test\r\nX-Channel: stable\r\n").text(), "rest");
    assert_eq!(ask(&proxy, "DELETE /a", "Host: test\r\n").text(), "rest");
}

#[test]
fn what_no_route_takes_is_404_with_a_cause() {
    let proxy = Tidegate::with(named("only", "host = \"a.example\"")).start();
    let reply = ask(&proxy, "GET /", "Host: b.example\r\n");
    assert_eq!((reply.status, reply.cause()), (404, Some("no_route")));
    expect_signed(&reply);
    assert!(!reply.closes());
}

#[test]
fn routes_lead_to_named_clusters_and_to_endpoints_of_their_own() {
    let (app, api) = (Endpoint::answering("app"), Endpoint::answering("api"));
    let config = format!(
        "[[route]]\npath = \"/api\"\nto = {:?}\n[[route]]\nto = \"app\"\n[cluster.app]\nendpoints = [{:?}]\n",
        api.address(),
        app.address()
    );
    let proxy = Tidegate::with(config).start();
    assert_eq!((proxy.get("/x").text(), proxy.get("/api/x").text()), ("app".into(), "api".into()));
}

#[test]
fn a_redirect_keeps_host_path_and_query() {
    let config = "[[route]]\nredirect = { to = \"https://{host}{path}{query}\", status = 308 }\n";
    let proxy = Tidegate::with(config).start();
    let reply = ask(&proxy, "GET /a%20b?c=d", "Host: shop.example:80\r\n");
    assert_eq!((reply.status, reply.field("location")), (308, Some("https://shop.example/a%20b?c=d")));
}

/// HTTP/1.0 knows requests without one.
#[test]
fn a_redirect_to_the_clients_host_needs_one() {
    let redirect = |path, to| format!("[[route]]\npath = {path:?}\nredirect = {{ to = {to:?} }}\n");
    let config = redirect("/same", "https://{host}{path}") + &redirect("/other", "https://b.example{path}");
    let proxy = Tidegate::with(config).start();
    let ask = |path| {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        client.reply()
    };
    let reply = ask("/same");
    assert_eq!((reply.status, reply.cause()), (400, Some("host_missing")));
    assert_eq!(ask("/other").field("location"), Some("https://b.example/other"));
}

#[test]
fn an_answer_that_has_no_body_has_no_type_and_no_length() {
    let proxy = Tidegate::with("[[route]]\nanswer = { status = 204 }\n").start();
    let reply = proxy.get("/");
    assert_eq!(reply.status, 204);
    assert_eq!((reply.field("content-type"), reply.field("content-length")), (None, None));
}

/// The location is text from the client: it must stay one line of one field.
#[test]
fn a_redirect_cannot_be_used_to_add_fields() {
    let config = "[[route]]\nredirect = { to = \"https://{host}{path}{query}\", status = 302 }\n";
    let proxy = Tidegate::with(config).start();
    let reply = ask(&proxy, "GET /%0d%0aSet-Cookie:%20evil=1", "Host: test\r\n");
    assert!(!reply.fields.has("set-cookie"), "{reply:?}");
}

#[test]
fn a_fixed_answer_has_its_status_type_and_body_and_none_for_head() {
    let config = "[[route]]\nanswer = { status = 410, body = \"gone\", content_type = \"text/x-note\" }\n";
    let proxy = Tidegate::with(config).start();
    let reply = proxy.get("/");
    assert_eq!((reply.status, reply.text().as_str()), (410, "gone"));
    assert_eq!(reply.field("content-type"), Some("text/x-note"));
    let mut client = proxy.client();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.reply_to_head().field("content-length"), Some("4"));
    assert_eq!(client.get("/").status, 410);
}

/// The body of a request that is answered here must not become the next request.
#[test]
fn a_fixed_answer_to_a_request_with_a_body_does_not_desynchronise() {
    let proxy = Tidegate::with(named("here", "")).start();
    let mut client = proxy.client();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{smuggled}",
        smuggled.len()
    ));
    let reply = client.reply();
    assert_eq!(reply.text(), "here");
    if reply.closes() {
        client.expect_closed();
    } else {
        assert_eq!(client.get("/").text(), "here");
        client.finish();
        client.expect_closed();
    }
}

#[test]
fn the_host_can_be_the_endpoints_own() {
    let app = Endpoint::answering("app");
    let config = format!("[[route]]\npreserve_host = false\nto = {:?}\n", app.address());
    let proxy = Tidegate::with(config).start();
    ask(&proxy, "GET /", "Host: shop.example\r\n");
    let request = app.only_request();
    assert_eq!(request.fields.all("host"), [app.address().as_str()]);
    assert_eq!(request.field("x-forwarded-host"), Some("shop.example"));
}
