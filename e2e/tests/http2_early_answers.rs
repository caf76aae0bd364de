//! Answers of HTTP/2 that come before their uploads are complete: they arrive, and what still comes is forgotten within bounds.

use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tidegate_testkit::http2_raw::{self as raw, Fate, Frame, RawHttp2, code, kind};
use tidegate_testkit::{Script, Then};

use crate::door::Door;

const LIMITED: &str = "workers = 1\n[limit]\nbody_bytes = \"10B\"\n";

fn limited() -> Door {
    Door::with(Script::echoes(), LIMITED)
}

fn of_an_endpoint() -> Door {
    let early = Script::new(|visit| {
        visit.write("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
        Then::HangDeaf
    });
    Door::with(early, "")
}

/// A client with so many uploads that have been answered and go on.
fn refused(door: &Door, uploads: u32) -> RawHttp2 {
    let mut client = RawHttp2::connect(door.proxy.address());
    for number in 0..uploads {
        let stream = 2 * number + 1;
        client.send(raw::post(stream, "/", &[("content-length", "100000000")]));
        assert_eq!(client.fate(stream).status(), Some(413));
    }
    client
}

/// What has come until the proxy answers a ping.
fn frames(client: &mut RawHttp2) -> Vec<Frame> {
    client.send(raw::ping(7));
    let mut came = Vec::new();
    loop {
        let frame = client.frame().expect("the connection stands");
        if frame.kind == kind::PING {
            return came;
        }
        came.push(frame);
    }
}

fn number(frame: &Frame) -> u32 {
    frame.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Streams that were reset.
fn resets(came: &[Frame]) -> Vec<(u32, u32)> {
    let resets = came.iter().filter(|frame| frame.kind == kind::RST_STREAM);
    resets.map(|frame| (frame.stream, number(frame))).collect()
}

/// curl 7.88 throws an answer away when a reset comes with it.
#[test]
fn curl_gets_an_answer_that_comes_before_its_upload_is_complete() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for door in [limited(), of_an_endpoint()] {
        let url = format!("http://{}/", door.proxy.address());
        for bytes in [100, 65_536, 1_500_000] {
            file.as_file().set_len(bytes).unwrap();
            for round in 0..20 {
                let mut curl = Command::new("timeout");
                curl.args(["30", "curl", "-s", "--http2-prior-knowledge", "-o", "/dev/null"]);
                curl.args(["-w", "%{http_code} %{exitcode}", &url, "-T"]).arg(file.path());
                let said = String::from_utf8(curl.output().expect("curl is installed").stdout).unwrap();
                assert_eq!(said, "413 0", "{bytes} bytes, round {round}");
            }
        }
    }
}

/// Some look for an answer only when they have sent all.
#[test]
fn an_early_answer_lets_the_whole_upload_come() {
    for door in [limited(), of_an_endpoint()] {
        let mut client = refused(&door, 1);
        let (mut of_all, mut of_stream, mut questions) = (65_535, 65_535, 0);
        for _ in 0..200 {
            while of_all < 10_000 || of_stream < 10_000 {
                questions += 1;
                assert!(questions < 500, "there is no window to send");
                let came = frames(&mut client);
                assert_eq!(resets(&came), []);
                for update in came.iter().filter(|frame| frame.kind == kind::WINDOW_UPDATE) {
                    let window = if update.stream == 0 { &mut of_all } else { &mut of_stream };
                    *window += number(update);
                }
            }
            client.send(raw::data(1, vec![b'x'; 10_000]));
            (of_all, of_stream) = (of_all - 10_000, of_stream - 10_000);
        }
        client.send(raw::last_data(1, "x"));
        assert_eq!(resets(&frames(&mut client)), []);
        client.send(raw::get(3, "/"));
        assert!(matches!(client.fate(3), Fate::Answer { .. }), "the connection is of use");
    }
}

#[test]
fn an_upload_that_was_answered_is_reset_when_it_stands_still_or_does_not_end() {
    let door = limited();
    let canary = door.canary();
    let mut client = refused(&door, 2);
    let (began, mut seen) = (Instant::now(), Vec::new());
    while seen.len() < 2 {
        client.send(raw::data(1, "and so on"));
        let came = resets(&frames(&mut client));
        seen.extend(came.into_iter().map(|(stream, code)| (stream, code, began.elapsed().as_secs())));
        std::thread::sleep(Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_mins(1), "{seen:?}");
    }
    let [(3, code::NO_ERROR, 1..8), (1, code::NO_ERROR, 25..45)] = seen[..] else { panic!("{seen:?}") };
    client.send([raw::data(1, "late"), raw::last_data(3, "late"), raw::get(5, "/")].concat());
    assert_eq!(client.fate(5).status(), Some(200));
    canary.watch(1);
    canary.survives();
}

#[test]
fn a_stream_that_sends_on_behind_its_answer_holds_no_drain_up() {
    let mut door = limited();
    let mut client = refused(&door, 1);
    let mut wire = client.wire().duplicate();
    let (goes_on, ends) = mpsc::channel::<()>();
    let sending = std::thread::spawn(move || {
        let pause = Duration::from_millis(100);
        while wire.write(&raw::data(1, "on")).is_ok()
            && ends.recv_timeout(pause) == Err(RecvTimeoutError::Timeout)
        {}
    });
    let began = Instant::now();
    door.proxy.drain();
    assert_eq!(client.fate(1), Fate::Reset(code::NO_ERROR));
    drop(goes_on);
    sending.join().unwrap();
    client.reset();
    assert!(door.proxy.wait().success());
    assert!(began.elapsed() < Duration::from_secs(12), "it took {:?}", began.elapsed());
}

#[test]
fn only_so_many_connections_may_send_on_for_long_behind_their_answers() {
    let door = limited();
    let mut crowd: Vec<RawHttp2> = Vec::new();
    for _ in 0..257 {
        crowd.push(refused(&door, 1));
        for client in &mut crowd {
            client.send(raw::data(1, "x"));
        }
    }
    door.proxy.wait_for_metric("tidegate_limit_hits_total", &[("limit", "unread_uploads")], 1.0);
    let last = crowd.last_mut().expect("a client");
    last.send(raw::data(1, vec![b'x'; 16_000]).repeat(3));
    let came = frames(last);
    assert!(came.iter().all(|frame| frame.kind != kind::WINDOW_UPDATE || frame.stream == 0), "{came:?}");
    drop(crowd);
    door.serves();
}
