//! The end: what is open is finished, nothing new is accepted, and whoever asks is told.

use crate::{World, ask, config, to};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tidegate_control::{AdminChoice, Control, Options};
use tidegate_testkit::{Client, Endpoint, Script, Then, eventually};

/// Answers when it is told to.
fn patient(go: &Arc<AtomicBool>) -> Script {
    let go = Arc::clone(go);
    Script::new(move |visit| {
        while !go.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        Then::KeepAlive
    })
}

#[test]
fn an_open_request_is_finished_while_new_connections_are_refused() {
    let go = Arc::new(AtomicBool::new(false));
    let app = Endpoint::start(patient(&go));
    let world = World::start(&to(&[&app], ""));
    let (address, admin) = (world.address(0), world.control.admin_address().unwrap());
    let mut client = world.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is under way", || world.endpoint(0).in_flight == 1);

    let ending = std::thread::spawn(move || world.control.stop());
    eventually("it says that it drains", || {
        let ready = ask(&admin, "/readyz");
        ready.status == 503 && ready.text().contains("draining")
    });
    eventually("nobody new is let in", || Client::try_connect(address.parse().unwrap()).is_err());
    assert!(!ending.is_finished());
    go.store(true, Relaxed);
    assert_eq!(client.reply().text(), "done");
    ending.join().unwrap();
}

#[test]
fn what_does_not_end_in_time_is_ended() {
    let app = Endpoint::start(Script::is_silent());
    let world = World::start(&to(&[&app], "timeout = { drain = \"50ms\" }\n"));
    let mut client = world.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is under way", || world.endpoint(0).in_flight == 1);
    let heard = world.heard.clone();
    world.control.stop();
    assert!(heard.has("not everything was finished within 50ms"));
    client.rest(); // an answer or a closed connection, but an end
}

#[test]
fn the_last_lines_of_the_access_log_are_written() {
    let app = Endpoint::answering("app");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let text = to(&[&app], &format!("log.access = {:?}\n", file.display().to_string()));
    let world = World::start(&text);
    for _ in 0..20 {
        assert_eq!(world.get().status, 200);
    }
    world.control.stop();
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 20);
}

#[test]
fn an_ad_hoc_proxy_finds_another_port_for_its_admin_listener() {
    let app = Endpoint::answering("app");
    let first = World::start(&to(&[&app], ""));
    let taken = first.control.admin_address().unwrap();
    let text = to(&[&app], "").replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{taken}\""));
    let options = Options { voice: first.heard.voice(), admin: AdminChoice::OrAnyPort };
    let second = Control::start(config(&text), options).unwrap();
    assert_ne!(second.admin_address(), Some(taken));
    assert!(second.admin_address().is_some());
}
