//! HTTP/1.1 as RFC 9110 and RFC 9112 say, on both sides: one test for each promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_testkit::reply::{Framing, Problem};
use tidegate_testkit::{
    Client, Delivery, Endpoint, Gone, Proxy, Reply, Script, Then, Tidegate, Wire, eventually,
};

use crate::door::{Door, chunked, get, post};

/// A proxy before one endpoint that answers each request with these bytes.
fn before(bytes: &str, then: Then) -> Door {
    Door::with(Script::writes(bytes, then), "")
}

#[test]
fn a_client_connection_serves_many_requests() {
    let door = Door::open();
    let mut client = door.proxy.client();
    for number in 0..50 {
        client.send(post("Content-Length: 2\r\n", format!("{number:02}")));
        assert_eq!(client.reply().text(), format!("{number:02}"));
    }
}

#[test]
fn an_endpoint_connection_serves_many_clients() {
    let door = Door::open();
    for _ in 0..20 {
        assert_eq!(door.proxy.get("/").status, 200);
    }
    assert_eq!(door.endpoint.accepted(), 1, "connections were not used again");
}

#[test]
fn a_content_length_body_arrives_whole_in_both_directions() {
    let door = Door::open();
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = door.proxy.client();
    let sending = client.send_aside(post(&format!("Content-Length: {}\r\n", body.len()), &body));
    let reply = client.reply();
    assert!(reply.body == body && reply.framing == Framing::Length);
    assert!(sending.join().unwrap());
}

#[test]
fn a_chunked_request_with_trailers_arrives_whole() {
    let door = Door::open();
    assert_eq!(door.ask(chunked("3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n")).text(), "abcdefg");
    let request = door.endpoint.only_request();
    assert_eq!(request.field("transfer-encoding"), Some("chunked"));
    assert_eq!(request.trailers.first("x-sum"), Some("7"));
}

#[test]
fn a_chunked_answer_with_extensions_and_trailers_arrives_whole() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                  3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n";
    let door = before(answer, Then::KeepAlive);
    for _ in 0..2 {
        let reply = door.proxy.get("/");
        assert_eq!((reply.text().as_str(), reply.framing), ("abcdefg", Framing::Chunked));
        assert_eq!(reply.trailers.first("x-sum"), Some("7"));
    }
    assert_eq!(door.endpoint.accepted(), 1);
}

#[test]
fn a_close_delimited_answer_arrives_whole_and_the_client_connection_lives_on() {
    let door = before("HTTP/1.1 200 OK\r\n\r\nuntil the end", Then::Close);
    let mut client = door.proxy.client();
    for _ in 0..2 {
        let reply = client.get("/");
        assert_eq!((reply.text().as_str(), reply.framing), ("until the end", Framing::Chunked));
    }
}

#[test]
fn bodies_stream_with_back_pressure_and_are_never_held_whole() {
    const LENGTH: usize = 64 << 20;
    let script = Script::new(|visit| {
        visit.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        let piece = vec![b'x'; 1 << 16];
        if (0..LENGTH >> 16).all(|_| visit.write(&piece)) { Then::KeepAlive } else { Then::Close }
    });
    let door = Door::with(script, "");
    let mut client = door.proxy.client();
    client.wire().shrink_receive_buffer(64 * 1024);
    let before = door.proxy.resident_bytes();
    client.send(get(""));
    // Read a little and look: the rest must wait in the endpoint, not in the proxy.
    client.wire().exactly(1 << 20).unwrap();
    assert!(door.proxy.resident_bytes() < before + (8 << 20), "the answer piles up in the proxy");
    let (rest, _) = client.patience(Duration::from_secs(2)).rest();
    assert!(rest.len() > LENGTH - (1 << 20));
}

#[test]
fn an_upload_reaches_the_endpoint_before_it_is_complete() {
    let door = Door::open();
    let mut client = door.knock(post("Content-Length: 10\r\n", "hello"));
    door.endpoint.wait_for_requests(1);
    client.send("world");
    assert_eq!(client.reply().text(), "helloworld");
}

#[test]
fn an_answer_reaches_the_client_before_it_is_complete() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        // The rest only once the client said that it saw the beginning, by closing.
        visit.wire().discard();
        Then::Close
    });
    let door = Door::with(script, "");
    let mut client = door.knock(get(""));
    let mut seen = Vec::new();
    while !seen.windows(5).any(|five| five == b"hello") {
        seen.extend(client.wire().some().expect("the first chunk arrives by itself"));
    }
}

#[test]
fn head_answers_keep_their_length_and_have_no_body() {
    let door = Door::with(Script::answers("twelve bytes"), "");
    let mut client = door.proxy.client();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
        let reply = client.reply_to_head();
        assert_eq!((reply.status, reply.field("content-length")), (200, Some("12")));
    }
    assert_eq!(client.get("/").text(), "twelve bytes");
}

#[test]
fn an_answer_to_head_that_says_chunked_has_no_body() {
    let door = before("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Then::KeepAlive);
    let mut client = door.proxy.client();
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.reply_to_head().status, 200);
    }
    assert_eq!(door.endpoint.accepted(), 1);
}

/// RFC 9110 §8.6: an endpoint may insist on a length for methods that usually have a body.
#[test]
fn an_empty_body_keeps_its_length() {
    let door = Door::open();
    assert_eq!(door.ask(post("Content-Length: 0\r\n", "")).status, 200);
    assert_eq!(door.endpoint.only_request().field("content-length"), Some("0"));
}

#[test]
fn answers_204_and_304_have_no_body() {
    let cases = [
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\nETag: \"a\"\r\n\r\n", 304),
    ];
    for (answer, status) in cases {
        let door = before(answer, Then::KeepAlive);
        let mut client = door.proxy.client();
        for _ in 0..3 {
            assert_eq!(client.get("/").status, status);
        }
        assert_eq!(door.endpoint.accepted(), 1, "{status}: the connection was not used again");
    }
}

#[test]
fn expect_100_continue_goes_end_to_end() {
    let script = Script::new(|visit| {
        assert_eq!(visit.request().field("expect"), Some("100-continue"));
        visit.write("HTTP/1.1 100 Continue\r\n\r\n");
        if visit.read_body() { visit.answer("read") } else { Then::Close }
    });
    let door = Door::with(script, "");
    let mut client = door.knock(post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""));
    assert_eq!(client.wire().line().unwrap(), b"HTTP/1.1 100 Continue");
    while !client.wire().line().unwrap().is_empty() {}
    client.send("hello");
    assert_eq!(client.reply().text(), "read");
    assert_eq!(door.endpoint.only_request().body, b"hello");
}

#[test]
fn a_refusal_instead_of_100_continue_reaches_the_client_without_its_body() {
    let door = Door::with(
        Script::new(|visit| {
            visit.write("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            Then::Close
        }),
        "",
    );
    let mut client = door.knock(post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""));
    let reply = client.reply();
    assert_eq!((reply.status, reply.interim.len()), (413, 0));
}

#[test]
fn early_hints_are_passed_through() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let door =
        before(&format!("{hints}{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), Then::KeepAlive);
    let reply = door.proxy.get("/");
    let seen: Vec<_> = reply.interim.iter().map(|head| (head.status, head.fields.first("link"))).collect();
    assert_eq!(seen, [(103, Some("</a.css>")), (103, Some("</a.css>"))]);
    assert_eq!(reply.text(), "hi");
}

/// RFC 9110 §15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
#[test]
fn http_1_0_clients_get_no_interim_answers_and_no_chunks() {
    let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let door = before(answer, Then::KeepAlive);
    let mut client = door.knock("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.text().as_str(), reply.framing, reply.interim.len()), ("hi", Framing::Close, 0));
}

#[test]
fn http_1_0_clients_are_closed_unless_they_ask_to_be_kept() {
    let door = Door::open();
    let mut client = door.knock("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    client.expect_closed();
    let mut client = door.proxy.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let reply = client.reply();
        assert!(reply.fields.lists("connection", "keep-alive"), "{reply:?}");
    }
}

#[test]
fn http_1_0_endpoints_are_understood() {
    let door = before("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", Then::Close);
    let mut client = door.proxy.client();
    for _ in 0..3 {
        let reply = client.get("/");
        assert_eq!((reply.version.as_str(), reply.text().as_str()), ("HTTP/1.1", "hi"));
    }
    assert_eq!(door.endpoint.accepted(), 3, "an HTTP/1.0 connection was used again");
}

/// RFC 9110 §7.6.1.
#[test]
fn hop_by_hop_fields_stop_here_in_both_directions() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Secret\r\nX-Secret: 1\r\n\
                  Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Kept: 1\r\n\r\nhi";
    let door = before(answer, Then::KeepAlive);
    let fields = "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
                  TE: gzip, trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Kept: 1\r\n";
    let reply = door.ask(get(fields));
    let request = door.endpoint.only_request();
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!request.fields.has(name), "{name} reached the endpoint");
    }
    assert!(!request.fields.lists("connection", "X-Hop"));
    assert!(!request.head_text().to_lowercase().contains("gzip"), "{}", request.head_text());
    for name in ["x-secret", "keep-alive", "proxy-connection"] {
        assert!(!reply.fields.has(name), "{name} reached the client");
    }
    assert!(request.fields.has("x-kept") && reply.fields.has("x-kept"));
}

/// RFC 9110 §7.6.3.
#[test]
fn via_names_the_proxy_and_extends_what_is_there() {
    let door = Door::open();
    door.ask(get("Via: 1.0 first\r\n"));
    let request = door.endpoint.only_request();
    let via = request.fields.all("via").join(", ");
    assert!(via.starts_with("1.0 first, 1.1 ") && via.contains("tidegate"), "{via}");
}

#[test]
fn forwarding_fields_tell_the_endpoint_about_the_client() {
    let door = Door::open();
    door.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let request = door.endpoint.only_request();
    assert_eq!(request.field("host"), Some("shop.example"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("shop.example"));
    let forwarded = request.field("forwarded").expect("RFC 7239");
    for part in ["for=127.0.0.1", "proto=http", "host=shop.example"] {
        assert!(forwarded.contains(part), "{forwarded}");
    }
}

/// A proxy that trusts loopback addresses of one network, before one endpoint.
fn trusting() -> (Endpoint, Proxy) {
    let endpoint = Endpoint::answering("x");
    let config = format!(
        "workers = 1\n[[listener]]\nbind = \"{{listen}}\"\ntrusted_proxies = [\"127.0.0.64/26\"]\n\
         [[route]]\nto = {:?}\n",
        endpoint.address()
    );
    let proxy = Tidegate::with(config).start();
    (endpoint, proxy)
}

#[test]
fn forwarding_fields_are_believed_from_listed_networks_only() {
    let claims = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: said.example\r\n\
                  Forwarded: for=9.9.9.9;proto=https\r\n";
    let (endpoint, proxy) = trusting();
    for (from, believed) in [("127.0.0.65", true), ("127.0.0.2", false)] {
        let mut client = Client::connect_from(from, proxy.address());
        client.send(get(claims));
        assert_eq!(client.reply().status, 200);
        let request = endpoint.last_request();
        assert_eq!(request.head_text().contains("9.9.9.9"), believed, "{}", request.head_text());
        assert_eq!(request.field("x-forwarded-proto"), Some(if believed { "https" } else { "http" }));
        let chain = request.fields.all("x-forwarded-for").join(", ");
        assert_eq!(chain, if believed { format!("9.9.9.9, {from}") } else { from.to_owned() });
    }
}

/// Whichever of the two families a trusted proxy speaks, the endpoint hears it in both; where they differ, X-Forwarded-For
/// counts. The log names the same client.
#[test]
fn a_client_named_in_one_family_of_forwarding_fields_is_named_in_both() {
    let log = "[log]\naccess = \"stdout\"\n";
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], &format!("trusted_proxies = \"127.0.0.64/26\"\n{log}")).start();
    let forwarded = "Forwarded: for=9.9.9.9;proto=https;host=shop.example\r\n";
    let x_forwarded =
        "X-Forwarded-For: 9.9.9.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";
    for (claims, client_address) in [
        (forwarded.to_owned(), "9.9.9.9"),
        (x_forwarded.to_owned(), "9.9.9.8"),
        (
            format!(
                "{forwarded}X-Forwarded-For: 9.9.9.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
            ),
            "9.9.9.8",
        ),
    ] {
        let mut client = Client::connect_from("127.0.0.65", proxy.address());
        client.send(get(&claims));
        assert_eq!(client.reply().status, 200);
        let request = endpoint.last_request();
        assert_eq!(
            request.fields.all("x-forwarded-for"),
            [format!("{client_address}, 127.0.0.65")],
            "{claims}"
        );
        assert_eq!(request.fields.all("x-forwarded-proto"), ["https"], "{claims}");
        assert_eq!(request.fields.all("x-forwarded-host"), ["shop.example"], "{claims}");
        let [forwarded] = request.fields.all("forwarded")[..] else { panic!("{}", request.head_text()) };
        assert_eq!(forwarded.matches("for=").count(), 2, "{claims}: {forwarded}");
        assert!(forwarded.starts_with(&format!("for={client_address};")), "{claims}: {forwarded}");
        assert!(forwarded.contains("proto=https") && forwarded.contains("host=shop.example"), "{forwarded}");
        proxy.output().wait_for_stdout(&[client_address]);
    }
}

/// RFC 7239 §4: no parameter twice in an element. What two readers would read differently is believed and passed on by nobody.
#[test]
fn a_forwarded_that_says_two_things_at_once_is_not_believed() {
    let (endpoint, proxy) = trusting();
    for claims in
        ["for=3.3.3.3;for=4.4.4.4", "for=3.3.3.3;proto=https;For=4.4.4.4", "for=3.3.3.3;host=a;host=b"]
    {
        let mut client = Client::connect_from("127.0.0.65", proxy.address());
        client.send(get(&format!("Forwarded: {claims}\r\n")));
        assert_eq!(client.reply().status, 200);
        let request = endpoint.last_request();
        assert_eq!(request.fields.all("x-forwarded-for"), ["127.0.0.65"], "{claims}");
        assert_eq!(request.fields.all("forwarded"), ["for=127.0.0.65;host=test;proto=http"], "{claims}");
    }
}

/// A proxy whose socket is for both families names IPv4 clients so.
#[test]
fn an_ipv4_client_in_ipv6_spelling_is_the_ipv4_client() {
    let log = "[log]\naccess = \"stdout\"\n";
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], &format!("trusted_proxies = \"127.0.0.64/26\"\n{log}")).start();
    let in_x_forwarded = "X-Forwarded-For: ::ffff:8.8.8.8\r\n";
    for (claims, client_address) in
        [(in_x_forwarded, "8.8.8.8"), ("Forwarded: for=\"[::ffff:8.8.8.9]:80\"\r\n", "8.8.8.9")]
    {
        let mut client = Client::connect_from("127.0.0.65", proxy.address());
        client.send(get(claims));
        assert_eq!(client.reply().status, 200);
        let request = endpoint.last_request();
        let other = if claims == in_x_forwarded { "forwarded" } else { "x-forwarded-for" };
        let told = request.fields.all(other).join(", ");
        assert!(told.trim_start_matches("for=").starts_with(client_address), "{claims}: {told}");
        proxy.output().wait_for_stdout(&[&format!("\"client\":\"{client_address}\"")]);
    }
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let door = Door::with(Script::echoes_in_a_tunnel(), "");
    let fields =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n";
    let mut client = door.knock(get(fields));
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("upgrade")), (101, Some("websocket")));
    assert!(reply.fields.lists("connection", "upgrade"));
    for size in [1, 100, 100_000] {
        let bytes = vec![b'x'; size];
        let sending = client.send_aside(bytes.clone());
        assert!(client.wire().exactly(size) == Ok(bytes));
        sending.join().unwrap();
    }
    assert!(door.endpoint.only_request().fields.has("sec-websocket-key"));
}

/// A tunnel to another HTTP would bypass every route and limit.
#[test]
fn an_upgrade_to_http_2_is_never_offered_to_an_endpoint() {
    let door = Door::with(Script::echoes_in_a_tunnel(), "");
    for protocols in ["h2c", "H2C", "h2c,, h2c-16", "h2c/1"] {
        let fields =
            format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocols}\r\nHTTP2-Settings: AAA\r\n");
        assert_eq!(door.ask(get(&fields)).status, 200, "{protocols}");
        let request = door.endpoint.last_request();
        assert!(!request.fields.has("upgrade") && !request.fields.has("http2-settings"), "{request:#?}");
    }
}

#[test]
fn of_several_offers_the_others_than_http_2_are_kept() {
    let door = Door::with(Script::echoes_in_a_tunnel(), "");
    for protocols in ["websocket, h2c", "h2c,websocket", " h2c , h2c,\twebsocket ,x"] {
        let fields =
            format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocols}\r\nHTTP2-Settings: AAA\r\n");
        assert_eq!(door.ask(get(&fields)).status, 101, "{protocols}");
        assert_eq!(door.endpoint.last_request().field("upgrade"), Some("websocket"));
    }
}

/// RFC 9112 §9.3.2 and §9.6: whoever has sent all that it wants to ask may end its side.
#[test]
fn requests_that_came_before_a_fin_are_all_answered() {
    let door = Door::with(Script::answers_after(Duration::from_millis(150), "late"), "");
    for delivery in Delivery::all() {
        let mut client = door.proxy.client();
        client.deliver(&[get(""), post("Content-Length: 2\r\n", "hi"), get("")].concat(), delivery);
        client.finish();
        for _ in 0..3 {
            assert_eq!(client.reply().text(), "late", "{delivery:?}");
        }
        client.expect_closed();
        let mut client = door.proxy.client();
        client.deliver(&[get(""), b"GET / HT".to_vec()].concat(), delivery);
        client.finish();
        assert_eq!(client.reply().text(), "late", "{delivery:?}");
        client.expect_closed();
    }
    // What was answered before is not lost with the rest of a request that never comes.
    let large = Door::with(Script::answers(&"x".repeat(3_000_000)), "");
    for half in
        ["G", "GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf"]
    {
        let mut client = large.proxy.client();
        client.send([get(""), half.into()].concat());
        client.finish();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(client.reply().body.len(), 3_000_000, "{half:?}");
        client.expect_finished();
    }
    let fixed = Tidegate::with("[[route]]\nanswer = { body = \"fixed\" }\n").start();
    let mut client = fixed.client();
    client.send(get("").repeat(3));
    client.finish();
    for _ in 0..3 {
        assert_eq!(client.reply().text(), "fixed");
    }
    client.expect_closed();
}

#[test]
fn bytes_that_follow_an_upgrade_request_at_once_go_through_the_tunnel() {
    let door = Door::with(Script::echoes_in_a_tunnel(), "");
    let mut client = door.knock(
        get("Connection: Upgrade\r\nUpgrade: echo\r\n").iter().chain(b"early").copied().collect::<Vec<_>>(),
    );
    assert_eq!(client.reply().status, 101);
    assert_eq!(client.wire().exactly(5), Ok(b"early".to_vec()));
}

#[test]
fn a_flood_in_one_direction_of_a_tunnel_does_not_hold_the_other_up() {
    // Takes whatever comes, and says one word as soon as something came.
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        visit.wire().exactly(1).unwrap();
        visit.write("word");
        visit.wire().discard();
        Then::Close
    });
    let door = Door::with(script, "");
    let mut client = door.knock(get("Connection: Upgrade\r\nUpgrade: x\r\n"));
    assert_eq!(client.reply().status, 101);
    let heard = Arc::new(AtomicBool::new(false));
    let (mut writer, stop) = (client.wire().duplicate(), heard.clone());
    let flood = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        let goes_on = || !stop.load(Ordering::Acquire);
        (0..4096).take_while(|_| goes_on() && writer.write(&piece).is_ok()).count()
    });
    assert_eq!(client.wire().exactly(4), Ok(b"word".to_vec()));
    heard.store(true, Ordering::Release);
    let mib = flood.join().unwrap();
    assert!(mib < 1024, "{mib} MiB went up before a word came down");
}

#[test]
fn a_tunnel_passes_the_end_of_either_side_on() {
    let door = Door::with(Script::echoes_in_a_tunnel(), "");
    let mut client = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    assert_eq!(client.reply().status, 101);
    client.send("last words");
    client.finish();
    assert_eq!(client.rest(), (b"last words".to_vec(), Gone::Finished));
    door.endpoint.wait_until_left();

    let mut client = door.knock(get("Connection: Upgrade\r\nUpgrade: echo\r\n"));
    assert_eq!(client.reply().status, 101);
    door.endpoint.close_connections();
    client.expect_closed();
}

#[test]
fn an_answer_that_comes_before_the_body_was_sent_is_delivered() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
        Then::Hang
    });
    let door = Door::with(script, "");
    let mut client = door.knock(post("Content-Length: 1000000\r\n", "a little of it"));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (401, "no"));
}

/// RFC 9112 §9.6: a half-closed client still gets its answer.
#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let door = Door::with(Script::answers_after(Duration::from_millis(50), "late"), "");
    let mut client = door.knock(get(""));
    client.finish();
    assert_eq!(client.reply().text(), "late");
    client.expect_closed();
}

#[test]
fn absolute_and_asterisk_targets_are_forwarded_in_their_right_form() {
    let door = Door::open();
    door.ask("GET http://test HTTP/1.1\r\nHost: test\r\n\r\n");
    door.ask("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
    door.ask("OPTIONS http://test HTTP/1.1\r\nHost: test\r\n\r\n");
    door.ask("OPTIONS http://test?a HTTP/1.1\r\nHost: test\r\n\r\n");
    let targets: Vec<_> = door.endpoint.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets, ["/", "*", "*", "/?a"]);
}

#[test]
fn a_unix_socket_is_an_endpoint_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start_unix(&folder.path().join("app.sock"), Script::answers("unix"));
    let proxy = Tidegate::to(&[&endpoint], "").start();
    for _ in 0..5 {
        assert_eq!(proxy.get("/").text(), "unix");
    }
    assert_eq!(endpoint.accepted(), 1);
}

#[test]
fn a_unix_socket_that_takes_no_more_connections_refuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let address = socket2::SockAddr::unix(&path).unwrap();
    let socket = || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let full = socket();
    full.bind(&address).unwrap();
    full.listen(0).unwrap();
    let _waiting: Vec<_> = std::iter::repeat_with(|| {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        client.connect(&address).map(|()| client)
    })
    .map_while(Result::ok)
    .collect();
    let good = Endpoint::answering("good");
    let config = format!(
        "to = [\"unix:{0}\", \"{1}\"]\nbalance = \"round_robin\"\n[[route]]\npath = \"/alone\"\nto = \"unix:{0}\"\n",
        path.display(),
        good.address()
    );
    let proxy = Tidegate::with(config).start();
    for _ in 0..5 {
        assert_eq!(proxy.get("/").text(), "good");
    }
    let alone = proxy.get("/alone");
    assert_eq!((alone.status, alone.cause()), (503, Some("connect_refused")));
    proxy.wait_for_metric(
        "tidegate_endpoint_attempts_failed_total",
        &[("cause", "connect_refused"), ("cluster", "default")],
        1.0,
    );
}

#[test]
fn a_listener_may_be_a_unix_socket() {
    let endpoint = Endpoint::answering("x");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("front.sock");
    let listeners = format!("listen = [\"{{listen}}\", \"unix:{}\"]\n", path.display());
    let _proxy = Tidegate::with(format!("{listeners}to = {:?}\n", endpoint.address())).start();
    let mut wire = Wire::from(std::os::unix::net::UnixStream::connect(&path).unwrap());
    for _ in 0..2 {
        wire.write(&get("X-Forwarded-For: 6.6.6.6\r\n")).unwrap();
        assert_eq!(Reply::read(&mut wire, "GET").unwrap().text(), "x");
    }
    assert!(!endpoint.last_request().head_text().contains("6.6.6.6"));
}

#[test]
fn clients_on_ipv6_are_named_as_such_and_those_on_ipv4_as_such() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // a machine without IPv6
    }
    let endpoint = Endpoint::answering("x");
    let port = tidegate_testkit::Port::free();
    let listeners = format!("listen = [\"{{listen}}\", \":{}\"]\n", port.number());
    let _proxy = Tidegate::with(format!("{listeners}to = {:?}\n", endpoint.address())).start();
    for (host, client, forwarded) in
        [("::1", "::1", "for=\"[::1]\""), ("127.0.0.1", "127.0.0.1", "for=127.0.0.1")]
    {
        let address = std::net::SocketAddr::new(host.parse().unwrap(), port.number());
        assert_eq!(Client::connect(address).get("/").text(), "x");
        let request = endpoint.last_request();
        assert_eq!(request.field("x-forwarded-for"), Some(client));
        assert!(request.field("forwarded").unwrap().contains(forwarded), "{request:#?}");
    }
}

#[test]
fn end_to_end_fields_pass_unchanged_in_both_directions() {
    let answer = "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\
                  ETag: W/\"x\"\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: teapot\r\n\r\nhi";
    let door = before(answer, Then::KeepAlive);
    let reply = door.ask(get("Accept: a\r\naccept: b\r\nCookie: c=d; e=f\r\nX-Empty:\r\n"));
    assert_eq!((reply.status, reply.reason.as_str()), (418, "I'm a teapot"));
    assert_eq!(reply.fields.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!((reply.field("server"), reply.field("etag")), (Some("teapot"), Some("W/\"x\"")));
    let request = door.endpoint.only_request();
    assert_eq!(request.fields.all("accept"), ["a", "b"]);
    assert_eq!((request.field("cookie"), request.field("x-empty")), (Some("c=d; e=f"), Some("")));
}

/// A FIN alone may be a half-close, whose answer is still wanted.
#[test]
fn a_client_that_breaks_off_ends_its_request_at_the_endpoint() {
    let door = Door::with(Script::is_silent(), "");
    let client = door.knock(get(""));
    door.endpoint.wait_for_requests(1);
    client.reset();
    eventually("the endpoint's connection is over", || door.endpoint.open_connections() == 0);
}

#[test]
fn a_truncated_upload_is_not_completed_for_the_endpoint() {
    let door = Door::open();
    for input in [post("Content-Length: 10\r\n", "hello"), chunked("5\r\nhello\r\n")] {
        let mut client = door.knock(input);
        client.finish();
        match client.try_reply() {
            Ok(reply) => assert_eq!(reply.status, 400),
            Err(problem) => assert!(matches!(problem, Problem::Gone(_)), "{problem:?}"),
        }
    }
    door.endpoint.wait_until_left();
    assert!(door.endpoint.requests().iter().all(|request| !request.complete));
}

#[test]
fn an_options_request_is_forwarded_as_often_as_it_allows() {
    let door = Door::open();
    let mut client = door.proxy.client();
    client.send("OPTIONS http://a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 10\r\n\r\n");
    client.reply();
    let request = door.endpoint.only_request();
    assert_eq!(
        (request.target.as_str(), request.field("max-forwards")),
        ("*", Some("09")),
        "RFC 9112 §3.2.4"
    );
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.status, 200);
    assert!(reply.field("allow").is_some());
    assert_eq!(door.endpoint.request_count(), 1, "the second one ended here");
}

#[test]
fn an_answer_without_a_date_gets_one() {
    let door =
        Door::with(Script::writes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::KeepAlive), "");
    assert!(door.proxy.get("/").field("date").is_some(), "RFC 9110 §6.6.1");
}
