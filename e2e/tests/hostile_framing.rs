//! Framing of requests that is wrong, ambiguous or meant to smuggle: one test for each row of the list.
//!
//! Each input is delivered whole, one byte at a time and in random splits.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidegate_testkit::{Client, Delivery, Endpoint, Gone, Script, Then, Tidegate, eventually};

use crate::door::{Door, chunked, each, get, post};

/// RFC 9112 §6.1, §6.3, §11.2.
#[test]
fn content_length_with_transfer_encoding_is_refused_in_either_order() {
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    Door::open().refuses(
        &[400],
        &[
            ("length first", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", smuggled)),
            ("coding first", post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", smuggled)),
            ("on a GET", get("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n")),
        ],
    );
}

/// RFC 9112 §6.3, RFC 9110 §8.6.
#[test]
fn content_length_given_twice_is_refused() {
    let lines = [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: 5, 6\r\n",
    ];
    Door::open().refuses(&[400], &each(&lines, |line| post(line, "hello")));
}

/// RFC 9110 §8.6.
#[test]
fn content_length_that_is_not_plain_digits_is_refused() {
    let values =
        ["+5", "-1", "0x5", "1_0", "5 5", "", "18446744073709551616", "\x0b5", "5\x0c", "5.0", "five"];
    let cases = each(&values, |value| post(&format!("Content-Length: {value}\r\n"), "hello"));
    Door::open().refuses(&[400], &cases);
}

/// RFC 9112 §6.1, §7.
#[test]
fn transfer_encodings_other_than_one_plain_chunked_are_refused() {
    let values = [
        "xchunked",
        "chunked, gzip",
        "identity",
        ",chunked",
        "chunked,",
        "chunked;a=b",
        "\x0bchunked",
        "chunked\x0c",
        "\x00chunked",
        "chunked\x00",
        "gzip",
        "",
        "chunked, chunked",
        "\"chunked\"",
        "chunked chunked",
    ];
    let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut cases = each(&values, |value| post(&format!("Transfer-Encoding: {value}\r\n"), body));
    cases.push(("given twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", body)));
    cases.push(("two kinds", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", body)));
    let next_line = [&b"Transfer-Encoding: \x85chunked\r\n"[..], b"\r\n", body.as_bytes()].concat();
    cases.push(("NEL before it", [b"POST / HTTP/1.1\r\nHost: test\r\n".to_vec(), next_line].concat()));
    Door::open().refuses(&[400, 501], &cases);
}

/// RFC 9112 §6.1.
#[test]
fn http_1_0_with_transfer_encoding_is_refused() {
    let input = b"POST / HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec();
    Door::open().refuses(&[400], &[("1.0", input)]);
}

/// RFC 9112 §7.1.
#[test]
fn chunk_sizes_that_are_not_plain_hexadecimal_abort_the_upload() {
    let sizes = ["0x5", "+5", "-5", "5_", "00000000000000005", "", " 5", "\t5", "g", "5 5", "\x005"];
    let cases = each(&sizes, |size| chunked(format!("{size}\r\nhello\r\n0\r\n\r\n")));
    Door::open().aborts(&[400], &cases);
}

/// RFC 9112 §2.2, §7.1.
#[test]
fn chunk_lines_that_do_not_end_in_crlf_abort_the_upload() {
    let bodies = [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\rXhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
    ];
    Door::open().aborts(&[400], &each(&bodies, |body| chunked(body)));
}

/// RFC 9112 §7.1.1.
#[test]
fn malformed_and_oversized_chunk_extensions_abort_the_upload() {
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "b".repeat(64 * 1024));
    let many = format!("1;a={}\r\nx\r\n", "b".repeat(200)).repeat(5_000) + "0\r\n\r\n";
    let malformed = [
        "5;",
        "5;\x00",
        "5;a\rb",
        "5;a\nb",
        "5;a=\x01",
        "5;a=",
        "5;a==b",
        "5;a=b c",
        "5;a=b,c",
        "5;a={}",
        "5;a=\"b\"c",
        "5;a=\"b",
        "5;a=\u{80}",
    ];
    let mut cases = each(&malformed, |line| chunked(format!("{line}\r\nhello\r\n0\r\n\r\n")));
    cases.push(("64 KiB in one", chunked(long)));
    cases.push(("1 MiB over many", chunked(many)));
    Door::open().aborts(&[400, 413], &cases);
}

/// RFC 9112 §7.1.1: the endpoint of these tests takes no extensions, so that it answers shows that none came.
#[test]
fn chunk_extensions_are_not_forwarded() {
    let door = Door::open();
    for delivery in Delivery::all() {
        let input = chunked("5;a=b;c=\"d;e\"\r\nhello\r\n0;last\r\n\r\n");
        let reply = door.deliver(input, delivery).reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, "hello"), "{delivery:?}");
    }
    door.serves();
}

/// RFC 9112 §7.1.2, RFC 9110 §6.5.
#[test]
fn trailers_never_change_framing_routing_or_identity() {
    let door = Door::open();
    let trailers = "Content-Length: 3\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nAuthorization: Basic eA==\r\n\
                    X-Forwarded-For: 6.6.6.6\r\nCookie: a=b\r\nX-Checksum: 7\r\n";
    let forbidden =
        ["content-length", "transfer-encoding", "host", "authorization", "x-forwarded-for", "cookie"];
    for delivery in Delivery::all() {
        let mut client = door.deliver(chunked(format!("5\r\nhello\r\n0\r\n{trailers}\r\n")), delivery);
        assert_eq!(client.reply().status, 200, "{delivery:?}");
        let request = door.endpoint.last_request();
        for name in forbidden {
            assert!(!request.trailers.has(name), "{delivery:?}: {name} went through: {request:#?}");
        }
        assert_eq!(request.fields.all("host"), ["test"]);
        assert!(!request.fields.has("authorization") && !request.fields.has("cookie"));
        assert_eq!(request.trailers.first("x-checksum"), Some("7"));
        assert_eq!(client.get("/").status, 200, "{delivery:?}: the next request suffers");
    }
}

#[test]
fn too_many_trailers_abort_the_upload() {
    let body = format!("5\r\nhello\r\n0\r\n{}\r\n", "X-Trailer: 1\r\n".repeat(10_000));
    Door::open().aborts(&[400, 431], &[("ten thousand", chunked(body))]);
}

/// RFC 9112 §5.1.
#[test]
fn field_names_with_anything_but_token_characters_are_refused() {
    let lines = [
        "Content-Length : 5",
        "Content Length: 5",
        "X\tY: 5",
        "X\x01: 5",
        "X(: 5",
        ": 5",
        "X\x7f: 5",
        "X\u{e9}: 5",
        "no colon at all",
        "X\x00: 5",
        "\"X\": 5",
        "X\u{212a}: 5",
    ];
    Door::open().refuses(&[400], &each(&lines, |line| post(&format!("{line}\r\n"), "hello")));
}

/// RFC 9112 §5.2.
#[test]
fn folded_fields_are_refused() {
    let lines = [
        "X-A: b\r\n c\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Content-Length:\r\n\t5\r\n",
        "X-A: b\r\n \r\n",
        "X-A: b\r\n Content-Length: 5\r\n",
    ];
    let mut cases = each(&lines, get);
    cases.push(("in Host", b"GET / HTTP/1.1\r\nHost:\r\n test\r\n\r\n".to_vec()));
    Door::open().refuses(&[400], &cases);
}

/// RFC 9112 §2.2, RFC 9110 §5.5.
#[test]
fn bare_cr_bare_lf_and_nul_are_refused() {
    let inputs = [
        "GET / HTTP/1.1\nHost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\n\n",
        "GET / HTTP/1.1\nHost: test\n\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: a\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\rHost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: a\0b\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET / HTTP/1.1\0\r\nHost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: a\x01b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: a\x7fb\r\n\r\n",
    ];
    Door::open().refuses(&[400], &each(&inputs, |input| input.as_bytes().to_vec()));
}

/// RFC 9112 §2.2.
#[test]
fn white_space_before_the_first_field_is_refused() {
    let inputs = [
        "GET / HTTP/1.1\r\n Host: test\r\n\r\n",
        "GET / HTTP/1.1\r\n\t\r\nHost: test\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n",
    ];
    Door::open().refuses(&[400], &each(&inputs, |input| input.as_bytes().to_vec()));
}

/// RFC 9112 §2.2: "a server … SHOULD ignore at least one empty line".
#[test]
fn one_empty_line_before_a_request_is_skipped() {
    let door = Door::open();
    for delivery in Delivery::all() {
        let reply = door.deliver("\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n", delivery).reply();
        assert_eq!(reply.status, 200, "{delivery:?}");
    }
}

/// RFC 9112 §3.2, RFC 9110 §7.2.
#[test]
fn a_host_that_is_missing_repeated_or_malformed_is_refused() {
    let lines = [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: user@a\r\n",
        "Host: a/b\r\n",
        "Host: a,b\r\n",
        "Host: a:port\r\n",
        "Host: a:99999\r\n",
        "Host: a:80:80\r\n",
        "Host: [::1\r\n",
        "Host: a b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: \r\n",
        "Host: :80\r\n",
        "Host: a\\b\r\n",
    ];
    let cases = each(&lines, |lines| format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes());
    Door::open().refuses(&[400], &cases);
}

/// RFC 9112 §3.2.2.
#[test]
fn an_absolute_target_wins_over_host() {
    let door = Door::open();
    for delivery in Delivery::all() {
        let input = "GET http://real.example/a?b HTTP/1.1\r\nHost: fake.example\r\n\r\n";
        assert_eq!(door.deliver(input, delivery).reply().status, 200, "{delivery:?}");
        let request = door.endpoint.last_request();
        assert_eq!(request.target, "/a?b");
        assert_eq!(request.fields.all("host"), ["real.example"]);
        assert!(!request.head_text().contains("fake.example"), "{}", request.head_text());
    }
}

/// RFC 9112 §3.2.
#[test]
fn targets_that_are_no_targets_are_refused() {
    let lines = [
        "GET * HTTP/1.1",
        "GET test:80 HTTP/1.1",
        "GET test HTTP/1.1",
        "GET /#fragment HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\t HTTP/1.1",
        "GET ftp://test/ HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://user@test/ HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "POST * HTTP/1.1",
        "GET",
        "GET /",
        "",
    ];
    let mut cases = each(&lines, |line| format!("{line}\r\nHost: test\r\n\r\n").into_bytes());
    cases.pop(); // an empty line before a request is no request
    Door::open().refuses(&[400], &cases);
}

/// RFC 9110 §9.3.6, §9.3.8.
#[test]
fn connect_and_trace_never_reach_an_endpoint() {
    let door = Door::open();
    let connect = "CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n".into();
    let trace: Vec<u8> = "TRACE / HTTP/1.1\r\nHost: test\r\nCookie: secret=1\r\n\r\n".into();
    assert!(!door.ask(&trace).text().contains("secret"));
    door.declines(&[405, 501], &[("CONNECT", connect)]);
    door.declines(&[405], &[("TRACE", trace)]);
}

/// RFC 9112 §2.3, RFC 9113 §3.4.
#[test]
fn versions_other_than_1_0_and_1_1_are_refused() {
    let versions = [
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/9.9",
        "http/1.1",
        "HTTP/1.1 ",
        "HTTP/1",
        "HTTP/01.1",
        "HTTP/1.1x",
        "",
        "HTTP/1.10",
        "HTP/1.1",
    ];
    let cases = each(&versions, |version| format!("GET / {version}\r\nHost: test\r\n\r\n").into_bytes());
    Door::open().refuses(&[400, 505], &cases);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let without = "[[listener]]\nbind = \"{listen}\"\nhttp2 = false\n";
    Door::with(Script::echoes(), without).refuses(&[400], &[("HTTP/2 preface", preface)]);
}

/// RFC 9112 §9.3.2.
#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let door = Door::open();
    let canary = door.canary();
    let request = |number: usize| post("Content-Length: 4\r\n", format!("{number:04}"));
    let mut client = door.proxy.client();
    let sending = client.send_aside((0..1000).flat_map(request).collect());
    for number in 0..1000 {
        assert_eq!(client.reply().text(), format!("{number:04}"));
    }
    assert!(sending.join().unwrap());
    canary.watch(1);
    canary.survives();
}

#[test]
fn a_bad_request_in_a_pipeline_is_refused_and_the_rest_dropped() {
    let door = Door::open();
    let good = get("");
    let bad = get("Content-Length: +5\r\n");
    for delivery in Delivery::all() {
        let before = door.endpoint.request_count();
        let input = [good.clone(), good.clone(), bad.clone(), good.clone()].concat();
        let mut client = door.deliver(input, delivery);
        let statuses = [client.reply().status, client.reply().status, client.reply().status];
        assert_eq!(statuses, [200, 200, 400], "{delivery:?}");
        client.expect_closed();
        assert_eq!(door.endpoint.request_count(), before + 2, "{delivery:?}");
    }
}

/// RFC 9112 §9.6.
#[test]
fn nothing_is_served_after_connection_close() {
    let door = Door::open();
    for delivery in Delivery::all() {
        let before = door.endpoint.request_count();
        let mut client = door.deliver([get("Connection: close\r\n"), get("")].concat(), delivery);
        let reply = client.reply();
        assert_eq!((reply.status, reply.closes()), (200, true), "{delivery:?}");
        client.expect_closed();
        assert_eq!(door.endpoint.request_count(), before + 1, "{delivery:?}");
    }
}

/// RFC 9110 §7.6.1.
#[test]
fn connection_cannot_nominate_framing_and_identity_fields_away() {
    let door = Door::open();
    let fields = "Connection: close, Content-Length, Host, X-Forwarded-For, Authorization, X-Hop\r\nContent-Length: 5\r\n\
                  Authorization: Basic eA==\r\nX-Hop: 1\r\n";
    for delivery in Delivery::all() {
        assert_eq!(door.deliver(post(fields, "hello"), delivery).reply().text(), "hello", "{delivery:?}");
        let request = door.endpoint.last_request();
        assert_eq!(request.body, b"hello");
        assert_eq!(request.fields.all("host"), ["test"]);
        assert!(request.fields.has("authorization") && request.fields.has("x-forwarded-for"));
        assert!(!request.fields.has("x-hop"), "a nominated field went through");
    }
}

/// RFC 9110 §7.8, RFC 9112 §6.3.
#[test]
fn bytes_after_an_upgrade_request_wait_for_the_101() {
    let door = Door::open();
    let smuggled = "GET /next HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    for delivery in Delivery::all() {
        let input = [get("Connection: Upgrade\r\nUpgrade: x\r\n"), smuggled.into()].concat();
        let mut client = door.deliver(input, delivery);
        assert_eq!(client.reply().status, 200, "{delivery:?}");
        // What follows is a request of its own, or nothing: never bytes that bypass the proxy's reading of it.
        let (_, gone) = client.patience(Duration::from_millis(300)).rest();
        assert!(matches!(gone, Gone::Silent | Gone::Finished), "{delivery:?}");
    }
    for request in door.endpoint.requests() {
        assert!(request.fields.has("via"), "bytes bypassed the proxy: {request:#?}");
        assert!(!request.head_text().contains("6.6.6.6"), "{request:#?}");
    }
}

#[test]
fn an_upgrade_request_with_a_body_is_forwarded_with_exactly_that_body() {
    let door = Door::open();
    let fields = "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n";
    for delivery in Delivery::all() {
        let reply = door.deliver([post(fields, "hello"), b"SMUGGLED".to_vec()].concat(), delivery).reply();
        assert!(reply.status == 200 || reply.status == 400, "{delivery:?}: {reply:?}");
    }
    assert!(door.endpoint.requests().iter().all(|request| request.body == b"hello"));
    door.serves();
}

/// RFC 9110 §10.1.1.
#[test]
fn a_client_that_expects_100_and_sends_no_body_is_not_waited_for_forever() {
    let script = Script::new(|visit| {
        visit.write("HTTP/1.1 100 Continue\r\n\r\n");
        if visit.read_body() { visit.answer("read") } else { Then::Close }
    });
    let door = Door::with(script, "[timeout]\nbody_idle = \"200ms\"\n");
    let mut client = door.knock(post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""));
    let reply = client.reply();
    assert_eq!((reply.status, reply.interim.len()), (408, 1));
    client.expect_closed();
}

#[test]
fn an_unknown_expectation_does_not_desynchronise() {
    let door = Door::open();
    for delivery in Delivery::all() {
        let mut client = door.deliver(post("Expect: x\r\nContent-Length: 5\r\n", "hello"), delivery);
        let reply = client.reply();
        assert!(matches!(reply.status, 200 | 417), "{delivery:?}: {reply:?}");
        if !reply.closes() {
            assert_eq!(client.get("/").status, 200, "{delivery:?}");
        }
    }
    let length_and_coding = "Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    door.refuses(&[400], &[("a length and a coding", post(length_and_coding, ""))]);
}

/// RFC 9112 §9.3, §9.6.
#[test]
fn an_early_answer_to_a_huge_upload_is_delivered_and_draining_is_bounded() {
    let script = Script::new(|visit| {
        if visit.request().method == "GET" {
            return visit.answer("fine");
        }
        visit.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        Then::Hang
    });
    let door = Door::with(script, "[timeout]\nbody_idle = \"500ms\"\n");
    let canary = door.canary();
    let mut client = door.knock(post("Content-Length: 1073741824\r\n", ""));
    let began = Instant::now();
    let uploading = trickle(&mut client);
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (403, "no"));
    client.expect_finished(); // at once: our side has said its last word
    uploading.join().unwrap();
    let heard = began.elapsed().as_secs();
    assert!((25..40).contains(&heard), "what came after the answer was read for {heard} s");
    canary.watch(1);
    canary.survives();
    door.serves();
    let connections: Vec<_> = door.endpoint.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 2);
    assert_ne!(connections[0], connections[1], "a connection with half a request on it was used again");
}

/// Sends on, a little at a time, until that fails.
fn trickle(client: &mut Client) -> JoinHandle<()> {
    let mut wire = client.wire().duplicate();
    std::thread::spawn(move || {
        while wire.write(b"and so on").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    })
}

const UPLOAD_BYTES: usize = 20_000_000;

/// Many clients look for the answer only when all is sent, and one that cannot send on gives up without a look.
#[test]
fn an_early_answer_is_there_for_a_client_that_looks_for_it_behind_its_whole_upload() {
    let early = Script::new(|visit| {
        visit.write("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
        Then::HangDeaf
    });
    let of_the_endpoint = Door::with(early, "");
    let our_own = Door::with(Script::echoes(), "[limit]\nbody_bytes = \"1MiB\"\n");
    let upload = post(&format!("Content-Length: {UPLOAD_BYTES}\r\n"), vec![b'x'; UPLOAD_BYTES]);
    for door in [of_the_endpoint, our_own] {
        for round in 0..20 {
            let mut client = door.proxy.client();
            assert!(client.send(&upload), "round {round}: the upload broke off");
            let reply = client.reply();
            assert_eq!(reply.status, 413, "round {round}");
            // Unless the endpoint's system has taken all before its answer came: then it was not early.
            if reply.closes() {
                client.expect_finished();
            }
        }
    }
}

#[test]
fn a_client_that_sends_on_behind_its_answer_holds_no_drain_up() {
    let mut door = Door::with(Script::echoes(), "[limit]\nbody_bytes = \"1KiB\"\n");
    let mut client = door.knock(post("Content-Length: 1073741824\r\n", ""));
    let uploading = trickle(&mut client);
    assert_eq!(client.reply().status, 413);
    let began = Instant::now();
    door.proxy.drain();
    assert!(door.proxy.wait().success());
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    uploading.join().unwrap();
}

#[test]
fn only_so_many_clients_may_send_on_for_long_behind_their_answers() {
    let door = Door::with(Script::echoes(), "workers = 1\n[limit]\nbody_bytes = \"1KiB\"\n");
    let descriptors = door.proxy.open_descriptors();
    let refused = || {
        let mut client = door.knock(post("Content-Length: 1073741824\r\n", ""));
        assert_eq!(client.reply().status, 413);
        client
    };
    let mut first = refused();
    let longest = trickle(&mut first);
    let mut crowd: Vec<Client> = Vec::new();
    for _ in 0..256 {
        crowd.push(refused());
        for client in &mut crowd {
            client.send("x");
        }
    }
    door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "unread_uploads")], 1.0);
    // Who sends nothing is let go all the same, and its place is the next one's.
    eventually("those that are silent are let go", || door.proxy.open_descriptors() <= descriptors + 1);
    assert!(!longest.is_finished(), "one that sends on was cut off");
    drop((first, crowd));
    door.serves();
}

/// RFC 9110 §9.3.1.
#[test]
fn a_body_on_any_method_is_never_taken_for_the_next_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    let door = Door::open();
    for method in ["GET", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH", "BREW"] {
        for delivery in Delivery::all() {
            let before = door.endpoint.request_count();
            let length = smuggled.len();
            let input =
                format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{smuggled}");
            let mut client = door.deliver(input, delivery);
            let reply = if method == "HEAD" { client.reply_to_head() } else { client.reply() };
            if reply.status == 200 {
                assert_eq!(door.endpoint.last_request().body, smuggled.as_bytes(), "{method}");
                assert_eq!(door.endpoint.request_count(), before + 1, "{method}, {delivery:?}");
            } else {
                assert_eq!((reply.status, door.endpoint.request_count()), (400, before), "{method}");
            }
        }
    }
    door.serves();
    assert!(door.endpoint.requests().iter().all(|request| request.target == "/"));
}

/// What is refused must be readable although more of it is on its way: an answer, not a reset.
#[test]
fn a_refusal_is_readable_although_the_client_keeps_sending() {
    let endpoint = Endpoint::answering("x");
    let proxy = Tidegate::to(&[&endpoint], "").start();
    for _ in 0..20 {
        let mut client = proxy.client();
        let sending =
            client.send_aside([post("Content-Length: +5\r\n", ""), vec![b'x'; 256 * 1024]].concat());
        assert_eq!(client.reply().status, 400);
        client.expect_closed();
        sending.join().unwrap();
    }
    assert_eq!(endpoint.request_count(), 0);
}
