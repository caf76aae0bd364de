//! Paths that try to be two paths at once, and fields that claim to be someone.

use tidegate_testkit::{Delivery, Endpoint, Tidegate};

use crate::door::{Door, each, get};

/// RFC 3986 §5.2.4, §6.2.2: what is matched is what is forwarded.
#[test]
fn the_endpoint_sees_the_canonical_path_and_the_query_untouched() {
    let cases = [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E/b", "/a/b"),
        ("/%61%62c", "/abc"),
        ("/%7euser", "/~user"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a?b=/../c&d=%2e%2e%2f", "/a?b=/../c&d=%2e%2e%2f"),
        ("/?", "/?"),
        ("/%2561", "/%2561"),
        ("/a;v=1/b", "/a;v=1/b"),
    ];
    let door = Door::open();
    for (sent, seen) in cases {
        for delivery in Delivery::all() {
            let reply = door.deliver(format!("GET {sent} HTTP/1.1\r\nHost: test\r\n\r\n"), delivery).reply();
            assert_eq!(reply.status, 200, "{sent}: {:?}", reply.cause());
            assert_eq!(door.endpoint.last_request().target, seen, "{sent}, {delivery:?}");
        }
    }
}

#[test]
fn ambiguous_paths_are_refused() {
    let paths = [
        "/a/..;/b",
        "/a/..;x=y/b",
        "/a%2fb",
        "/a%2Fb",
        "/a\\b",
        "/a%5cb",
        "/a%00b",
        "/%c0%ae%c0%ae/",
        "/%c0%af",
        "/%e0%80%af",
        "/%",
        "/%2",
        "/%zz",
        "/..",
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/a/../../b",
        "/.%2e/x",
    ];
    let cases = each(&paths, |path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes());
    Door::open().declines(&[400], &cases);
}

/// A route that guards `/admin` cannot be walked around by spelling it differently.
#[test]
fn spelling_a_path_differently_does_not_reach_another_route() {
    let open = Endpoint::answering("open");
    let config = format!(
        "[[route]]\npath = \"/admin\"\nanswer = {{ status = 403, body = \"guarded\" }}\n[[route]]\nto = {:?}\n",
        open.address()
    );
    let proxy = Tidegate::with(config).start();
    for path in [
        "/admin",
        "/admin/x",
        "/./admin",
        "/a/../admin",
        "/%61dmin",
        "/a/%2e%2e/admin/x",
        "/admin/.",
        "/admin?x",
    ] {
        assert_eq!(proxy.get(path).status, 403, "{path}");
    }
    for path in ["/administrator", "/ADMIN", "/x/admin", "/admin/../x"] {
        assert_eq!(proxy.get(path).text(), "open", "{path}");
    }
    // Empty segments are segments (RFC 3986 §3.3): whatever is made of them, the guard and the endpoint agree.
    for path in ["//admin", "/a/..//admin"] {
        let reply = proxy.get(path);
        let agreed = reply.status == 403 || reply.status == 400 || open.last_request().target == "//admin";
        assert!(agreed, "{path}: {reply:?}, the endpoint saw {}", open.last_request().target);
    }
}

/// RFC 7239 §8.1.
#[test]
fn fields_that_claim_an_identity_are_rebuilt_whatever_their_spelling() {
    let claims = [
        "X-Forwarded-For: 6.6.6.6",
        "x-forwarded-for: 6.6.6.6",
        "X_Forwarded_For: 6.6.6.6",
        "X-Forwarded_For: 6.6.6.6",
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "X_Real_IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Forwarded-Proto: 6.6.6.6",
        "X_Forwarded_Proto: 6.6.6.6",
        "X-Forwarded-Host: 6.6.6.6",
        "X_FORWARDED_HOST: 6.6.6.6",
        "X-Forwarded-Port: 6.6.6.6",
    ];
    let door = Door::open();
    for claim in claims {
        for delivery in Delivery::all() {
            let reply = door.deliver(get(&format!("{claim}\r\n")), delivery).reply();
            assert_eq!(reply.status, 200, "{claim}, {delivery:?}");
            let request = door.endpoint.last_request();
            assert!(
                !request.head_text().contains("6.6.6.6"),
                "{claim} was believed: {}",
                request.head_text()
            );
            assert_eq!(request.fields.all("x-forwarded-for"), ["127.0.0.1"], "{claim}");
            assert_eq!(request.fields.all("x-forwarded-proto"), ["http"], "{claim}");
        }
    }
}

#[test]
fn underscores_cannot_stand_in_for_hyphens_in_framing_and_routing_fields() {
    let door = Door::open();
    door.ask(get("Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Custom_Name: kept\r\n"));
    let request = door.endpoint.only_request();
    assert!(!request.fields.has("content_length") && !request.fields.has("transfer_encoding"));
    assert_eq!(request.field("x_custom_name"), Some("kept"));
}

#[test]
fn whatever_else_an_untrusted_client_says_was_forwarded_is_dropped() {
    let door = Door::open();
    let mut client = door.proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /admin\r\nX_Forwarded_Ssl: on\r\nX-Forwarded-Ssl: on\r\n\r\n",
    );
    client.reply();
    let request = door.endpoint.only_request();
    for name in ["x-forwarded-prefix", "x_forwarded_ssl", "x-forwarded-ssl"] {
        assert_eq!(request.field(name), None, "{name}");
    }
}
