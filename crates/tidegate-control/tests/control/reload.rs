//! What a reload changes, what it leaves alone, and what it refuses.

use crate::{World, config, text, to};
use tidegate_testkit::{Client, Endpoint, eventually};

#[test]
fn a_reload_serves_by_the_new_configuration() {
    let (old, new) = (Endpoint::answering("old"), Endpoint::answering("new"));
    let mut world = World::start(&to(&[&old], ""));
    assert_eq!(world.get().text(), "old");
    world.reload(&to(&[&new], "")).unwrap();
    eventually("the new endpoint answers", || world.get().text() == "new");
    assert_eq!(world.control.status().generation, 2);
}

#[test]
fn an_unchanged_listener_keeps_its_connections_and_an_unchanged_endpoint_its_pool() {
    let app = Endpoint::answering("app");
    let mut world = World::start(&to(&[&app], ""));
    let mut client = world.client();
    assert_eq!(client.get("/").text(), "app");
    for attempts in 1..=10 {
        world.reload(&to(&[&app], &format!("retry = {{ attempts = {attempts} }}\n"))).unwrap();
        assert_eq!(client.get("/").text(), "app");
    }
    assert_eq!(app.accepted(), 1, "one connection to the endpoint through all reloads");
}

#[test]
fn listeners_come_and_go() {
    let app = Endpoint::answering("app");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("web.sock");
    let both = to(&[&app], "").replace(
        "\"127.0.0.1:0\"\nadmin",
        &format!("[\"127.0.0.1:0\", \"unix:{}\"]\nadmin", socket.display()),
    );
    let mut world = World::start(&to(&[&app], ""));
    world.reload(&both).unwrap();
    assert_eq!(world.control.status().listeners.len(), 2);
    eventually("the new socket is listened on", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    assert_eq!(world.get().text(), "app", "the other one is untouched");
    assert!(world.heard.has(&format!("listening on unix:{}", socket.display())), "and it is told of");
    world.reload(&to(&[&app], "")).unwrap();
    assert!(!socket.exists(), "its file goes with it");
    assert_eq!(world.get().text(), "app");
}

#[test]
fn a_listener_that_cannot_be_bound_refuses_the_whole_reload() {
    let (old, new) = (Endpoint::answering("old"), Endpoint::answering("new"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::start(&to(&[&old], ""));
    let wanted = to(&[&new], "").replace(
        "\"127.0.0.1:0\"\nadmin",
        &format!("[\"127.0.0.1:0\", \"{}\"]\nadmin", taken.local_addr().unwrap()),
    );
    let error = world.reload(&wanted).unwrap_err();
    assert!(error.to_string().contains("another program already does"), "{error}");
    assert_eq!(world.get().text(), "old");
    assert_eq!(world.control.status().generation, 1);
}

#[test]
fn a_refused_reload_leaves_no_socket_file_behind() {
    let app = Endpoint::answering("app");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("web.sock");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::start(&to(&[&app], ""));
    let wanted = to(&[&app], "").replace(
        "\"127.0.0.1:0\"\nadmin",
        &format!(
            "[\"127.0.0.1:0\", \"unix:{}\", \"{}\"]\nadmin",
            socket.display(),
            taken.local_addr().unwrap()
        ),
    );
    assert!(world.reload(&wanted).is_err());
    assert!(!socket.exists());
    assert_eq!(world.get().text(), "app");
}

#[test]
fn the_admin_listener_moves_and_goes() {
    let app = Endpoint::answering("app");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let mut world = World::start(&to(&[&app], ""));
    let before = world.control.admin_address().unwrap();
    let moved =
        to(&[&app], "").replace("admin = \"127.0.0.1:0\"", &format!("admin = \"unix:{}\"", socket.display()));
    world.reload(&moved).unwrap();
    eventually("the old address is closed", || Client::try_connect(before.parse().unwrap()).is_err());
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    world.reload(&to(&[&app], "").replace("admin = \"127.0.0.1:0\"", "admin = \"off\"")).unwrap();
    assert_eq!(world.control.admin_address(), None);
    assert!(!socket.exists());
}

#[test]
fn another_number_of_workers_waits_for_a_restart_and_says_so() {
    let app = Endpoint::answering("app");
    let mut world = World::start(&to(&[&app], ""));
    world.reload(&to(&[&app], "").replace("workers = 1", "workers = 2")).unwrap();
    assert!(world.heard.has("workers = 2 takes effect at the next start"));
    assert_eq!(world.control.status().workers, 1);
}

#[test]
fn the_access_log_follows_the_configuration() {
    let app = Endpoint::answering("app");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let mut world = World::start(&to(&[&app], ""));
    assert_eq!(world.get().status, 200);
    world.reload(&to(&[&app], &format!("log.access = {:?}\n", file.display().to_string()))).unwrap();
    eventually("a request is logged", || {
        assert_eq!(world.get().status, 200);
        std::fs::read_to_string(&file).is_ok_and(|lines| lines.contains("\"status\":200"))
    });
    let missing = folder.path().join("not/here.log");
    let wanted = to(&[&app], &format!("log.access = {:?}\n", missing.display().to_string()));
    assert!(world.control.reload(config(&wanted)).is_err(), "a log that cannot be opened refuses the reload");
    assert_eq!(world.get().status, 200);
}

#[test]
fn series_of_what_is_gone_are_gone() {
    let (old, new) = (Endpoint::answering("old"), Endpoint::answering("new"));
    let mut world = World::start(&to(&[&old], ""));
    let page = |world: &World| world.admin("/metrics").text();
    assert!(page(&world).contains(&old.address()));
    world.reload(&to(&[&new], "")).unwrap();
    eventually("only the new endpoint is on the page", || {
        let page = page(&world);
        page.contains(&new.address()) && !page.contains(&old.address())
    });
}

#[test]
fn a_name_that_does_not_resolve_does_not_stop_the_start() {
    let app = Endpoint::answering("app");
    let world = World::start(&text(&format!("to = [\"{}\", \"nowhere.invalid:80\"]\n", app.address())));
    for _ in 0..4 {
        assert_eq!(world.get().text(), "app");
    }
    assert_eq!(world.endpoint(1).health, "unresolved");
    assert!(world.heard.has("nowhere.invalid:80 does not resolve"));
}

#[test]
fn a_name_is_resolved_before_the_first_request() {
    let app = Endpoint::answering("app");
    let port = app.socket_address().port();
    let world = World::start(&text(&format!("to = \"localhost:{port}\"\n")));
    assert_eq!(world.get().text(), "app");
    assert!(world.endpoint(0).addresses.contains(&format!("127.0.0.1:{port}")));
}

#[test]
fn an_address_that_is_taken_stops_the_start() {
    let app = Endpoint::answering("app");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for wanted in ["listen = \"127.0.0.1:0\"", "admin = \"127.0.0.1:0\""] {
        let text = to(&[&app], "").replace(wanted, &wanted.replace("127.0.0.1:0", &address.to_string()));
        let error = World::try_start(&text).err().expect("it cannot start");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
