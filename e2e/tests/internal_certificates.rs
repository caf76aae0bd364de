//! Certificates made here: for whoever develops something that wants HTTPS.

use std::path::Path;
use tidegate_testkit::clock::WallClock;
use tidegate_testkit::tls::TlsClient;
use tidegate_testkit::{Endpoint, Proxy, Tidegate, eventually};

fn https(endpoint: &Endpoint, folder: &Path) -> String {
    format!(
        "[[route]]\nhost = [\"app.test\", \"*.app.test\"]\nto = \"{}\"\n[[listener]]\nbind = \"{{listen}}\"\n\
         tls = {{ internal = {{ folder = '{}' }} }}\n",
        endpoint.address(),
        folder.display(),
    )
}

/// A browser that was told to believe the root.
fn told(folder: &Path) -> TlsClient {
    TlsClient::trusting_pem(&std::fs::read(folder.join("root.pem")).unwrap())
}

fn leaf(client: &TlsClient, proxy: &Proxy) -> Vec<u8> {
    client.forgetful().connect(proxy.address(), "app.test").unwrap().leaf()
}

#[test]
fn whoever_believes_the_root_is_served_for_all_hosts_and_this_machine_over_restarts() {
    let (scratch, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::answering("hello"));
    let folder = scratch.path().join("internal");
    let mut proxy = Tidegate::with(https(&endpoint, &folder)).start();
    proxy.output().wait_for_stderr(&["once they are told to believe", "root.pem"]);
    let client = told(&folder);
    for name in ["app.test", "a.app.test", "localhost", "127.0.0.1", "::1"] {
        let mut connection = client.connect(proxy.address(), name).unwrap();
        let expected = if name.ends_with("test") { 200 } else { 404 }; // no route is for this machine
        let host = if name == "::1" { "[::1]" } else { name };
        assert_eq!(connection.get(host, "/").unwrap().0, expected, "{name}");
    }
    assert!(client.connect(proxy.address(), "other.test").is_err());
    let mut connection = client.connect(proxy.address(), "localhost").unwrap();
    for (host, expected) in [("[::1]", 404), ("[0:0::0:1]:8443", 404), ("127.0.0.1", 404), ("[::2]", 421)] {
        assert_eq!(connection.get(host, "/").unwrap().0, expected, "{host}, of who asked for localhost");
    }

    let first = leaf(&client, &proxy);
    proxy.kill();
    proxy.restart();
    assert_eq!(leaf(&client, &proxy), first, "the same after a restart");
    proxy.reload(&https(&endpoint, &folder).replace("\"*.app.test\"", "\"new.test\""));
    eventually("a new host has one that leads to the same root", || {
        client.connect(proxy.address(), "new.test").is_ok()
    });
}

#[test]
fn another_one_is_made_before_the_first_ends() {
    let (scratch, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::answering("hello"));
    let folder = scratch.path().join("internal");
    let clock = WallClock::new();
    clock.jump("-61d");
    let proxy = Tidegate::with(https(&endpoint, &folder)).clock(&clock).start();
    let client = told(&folder);
    let first = leaf(&client, &proxy);
    clock.jump("+0");
    eventually("another one is shown when a third of its life is left", || leaf(&client, &proxy) != first);
    proxy.wait_for_metric("tidegate_tls_certificate_reads_total", &[("outcome", "replaced")], 1.0);
}

#[test]
fn where_nothing_can_be_kept_the_root_lasts_as_long_as_the_process_and_is_warned_of() {
    let (scratch, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::answering("hello"));
    let file = scratch.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = https(&endpoint, &file.join("internal"));
    let proxy = Tidegate::with(&config).start();
    proxy.output().wait_for_stderr(&["the root of the internal certificates ends with this process"]);
    let anybody = tidegate_testkit::tls::Authority::new();
    let refused = anybody.client().connect(proxy.address(), "app.test").unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "there is one, of an unknown root: {refused}");
}

#[test]
fn a_word_is_enough() {
    let endpoint = Endpoint::answering("hello");
    let config =
        format!("to = \"{}\"\n[[listener]]\nbind = \"{{listen}}\"\ntls = \"internal\"\n", endpoint.address());
    let state = tempfile::tempdir().unwrap();
    let proxy = Tidegate::with(config).keeping(state.path()).start();
    let client = told(&state.path().join("internal"));
    let mut connection = client.connect(proxy.address(), "localhost").unwrap();
    assert_eq!(connection.get("localhost", "/").unwrap().0, 200);
}
