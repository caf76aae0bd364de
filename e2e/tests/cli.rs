//! The command line: what it prints, and how it ends.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tidegate_testkit::Endpoint;
use tidegate_testkit::proxy::program;

fn tidegate(arguments: &[&str]) -> Output {
    tidegate_in(Path::new("/"), arguments)
}

fn tidegate_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with this configuration in it.
fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tidegate.toml"), config).unwrap();
    folder
}

const GOOD: &str = "listen = \":8888\"\nto = [\"localhost:8001\", \"localhost:8002\"]\n";
const BAD: &str = "listne = \":8888\"\nto = [\"localhost:8001\", 7]\n[timeout]\nhead = \"10 parsecs\"\n";

#[test]
fn help_and_version_are_printed_and_end_well() {
    for arguments in [vec!["--help"], vec!["proxy", "--help"], vec!["run", "--help"], vec!["check", "--help"]]
    {
        let output = tidegate(&arguments);
        assert_eq!(output.status.code(), Some(0));
        let lines = stdout(&output).lines().count();
        assert!((3..=60).contains(&lines), "{arguments:?}: {lines} lines do not fit a screen");
    }
    assert!(stdout(&tidegate(&["--version"])).starts_with("tidegate "));
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [&["fly"][..], &["run", "--fast"], &["proxy", "--listen"], &["proxy", "--listen", ":1"]]
    {
        let output = tidegate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn a_good_file_passes_the_check() {
    let folder = folder(GOOD);
    for arguments in [&["check"][..], &["check", "tidegate.toml"], &["check", "-c", "tidegate.toml"]] {
        let output = tidegate_in(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_bad_file_fails_the_check_with_78_and_all_its_errors() {
    let folder = folder(BAD);
    for arguments in [&["check", "tidegate.toml"][..], &["run", "-c", "tidegate.toml"]] {
        let output = tidegate_in(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
        let says = stderr(&output) + &stdout(&output);
        for words in ["tidegate.toml:1", "listne", "listen", "tidegate.toml:2", "parsecs"] {
            assert!(says.contains(words), "{words:?} is missing in:\n{says}");
        }
        assert!(!says.contains('\u{1b}'), "colours without a terminal");
    }
}

#[test]
fn a_missing_file_says_which() {
    for arguments in [&["check", "nowhere.toml"][..], &["run", "-c", "nowhere.toml"]] {
        let output = tidegate(arguments);
        assert!(matches!(output.status.code(), Some(1 | 78)), "{:?}", output.status);
        assert!(stderr(&output).contains("nowhere.toml"), "{}", stderr(&output));
    }
}

#[test]
fn what_config_show_prints_is_a_configuration_that_means_the_same() {
    let first = folder(GOOD);
    let shown = tidegate_in(first.path(), &["config", "show"]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    let text = stdout(&shown);
    assert!(text.contains("localhost:8001") && text.contains("keep_alive"), "{text}");
    let second = folder(&text);
    let again = tidegate_in(second.path(), &["config", "show"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(stdout(&again), text);
}

#[test]
fn hosts_of_certificates_are_those_that_an_authority_can_vouch_for() {
    let listener = "[[listener]]\nbind = ':443'\ntls = { acme = { hosts = ['A.example.com.'] } }\n";
    let dotted = folder(&format!("to = 'h:1'\n{listener}"));
    let shown = tidegate_in(dotted.path(), &["config", "show"]);
    assert!(stdout(&shown).contains("\"a.example.com\""), "{}{}", stdout(&shown), stderr(&shown));
    let named = folder(&format!("to = 'h:1'\n{}", listener.replace("A.example.com.", "app.internal")));
    let checked = tidegate_in(named.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(78));
    assert!(stderr(&checked).contains("names below `.internal`"), "{}", stderr(&checked));
    let routed = folder("[[route]]\nhost = ['a.example.com', 'my_app.example.com']\nto = 'h:1'\n");
    let checked = tidegate_in(routed.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stderr(&checked).contains("no certificate for \"my_app.example.com\""), "{}", stderr(&checked));
}

#[test]
fn config_show_needs_no_file_that_is_named_and_check_does() {
    let folder = folder(
        "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.acme]\nhosts = ['a.example.com']\nca_root = 'nowhere.pem'\n\
         dns = { server = 'ns.test', key = 'nowhere.key' }\n\
         [[listener]]\nbind = ':444'\ntls = { cert = 'no.pem', key = 'no.key', client_ca = 'nobody.pem' }\n\
         [[route]]\nhost = 'c.test'\nto = 'c'\n[cluster.c]\nendpoints = ['h:2']\n\
         tls = { ca = 'noca.pem', cert = 'nocert.pem', key = 'nokey.pem' }\n",
    );
    let shown = tidegate_in(folder.path(), &["config", "show"]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    assert!(stdout(&shown).contains("nowhere.pem"), "{}", stdout(&shown));
    let checked = tidegate_in(folder.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(78));
    let says = stderr(&checked) + &stdout(&checked);
    for named in [
        "listener.tls.acme.ca_root",
        "listener.tls.acme.dns.key",
        "listener.tls.cert",
        "listener.tls.client_ca",
        "cluster.c.tls.ca",
        "cluster.c.tls.cert",
    ] {
        assert!(says.contains(&format!("`{named}` cannot be used")), "{named}: {says}");
    }
    let started = tidegate_in(folder.path(), &["run"]);
    assert_eq!(started.status.code(), Some(78), "{}", stderr(&started));
}

#[test]
fn the_schema_is_json_and_names_the_keys() {
    let output = tidegate(&["config", "schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["listen", "to", "listener", "route", "cluster", "timeout", "limit", "log", "admin"] {
        assert!(schema["properties"].get(key).is_some(), "{key} is missing");
    }
}

#[test]
fn a_port_in_use_is_a_clear_failure() {
    let endpoint = Endpoint::answering("x");
    let output = tidegate(&["proxy", "--listen", &endpoint.address(), "--to", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&endpoint.address()), "{}", stderr(&output));
}

#[test]
fn the_demo_ends_by_itself_and_tells_facts_as_json() {
    let output = tidegate(&["demo", "--for", "2s", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let last = text.lines().rfind(|line| !line.is_empty()).expect("it prints something");
    let whole = serde_json::from_str::<serde_json::Value>(&text);
    assert!(whole.is_ok() || serde_json::from_str::<serde_json::Value>(last).is_ok(), "{text}");
}

#[test]
fn the_demo_prints_a_summary_without_a_terminal() {
    let output = tidegate(&["demo", "--for", "2s"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("p50") && text.contains("p99"), "{text}");
    assert!(!text.contains('\u{1b}'), "control sequences without a terminal");
}
