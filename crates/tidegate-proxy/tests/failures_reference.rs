//! docs/failures.md has every word that a failure can have, with its status and blame, and no other.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/failures.md");
const FAILURES: &str = include_str!("../src/failure.rs");
/// Where the words of malformed messages are, and of handshakes that failed.
const PARSERS: [&str; 9] = [
    include_str!("../src/http2/breach.rs"),
    include_str!("../src/http2/misconduct.rs"),
    include_str!("../src/tls/accept.rs"),
    include_str!("../src/tls/originate.rs"),
    include_str!("../../tidegate-http/src/chunked.rs"),
    include_str!("../../tidegate-http/src/path.rs"),
    include_str!("../../tidegate-http/src/proxy_protocol.rs"),
    include_str!("../../tidegate-http/src/request.rs"),
    include_str!("../../tidegate-http/src/response.rs"),
];

/// Blame, status and word of each cause that has a word of its own.
fn facts() -> Vec<(String, String, String)> {
    let causes = FAILURES.split("match self.cause {").last().unwrap();
    let calls = causes.split("facts(").skip(1).map(|call| call.split(')').next().unwrap());
    let own = calls.filter(|call| call.matches('"').count() == 4);
    own.map(|call| {
        let mut parts = call.split(',').map(|part| part.trim().trim_matches('"').to_owned());
        let mut next = || parts.next().unwrap();
        (next().to_lowercase(), next(), next())
    })
    .collect()
}

/// The words of `fn code`.
fn codes() -> BTreeSet<String> {
    let body =
        |source: &'static str| source.split("fn code").nth(1).unwrap().split("\n    }").next().unwrap();
    let arms = PARSERS.into_iter().map(body).flat_map(str::lines).filter_map(|line| line.split_once("=> \""));
    arms.map(|(_, word)| word.trim_end_matches("\",").to_owned()).collect()
}

fn words() -> BTreeSet<String> {
    facts().into_iter().map(|(_, _, word)| word).chain(codes()).collect()
}

#[test]
fn every_word_is_documented() {
    assert!(facts().len() > 20 && codes().len() > 40, "the sources are read");
    let missing: Vec<_> = words().into_iter().filter(|word| !PAGE.contains(&format!("`{word}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_cause_has_the_status_and_blame_that_the_page_says() {
    for (blame, status, word) in facts() {
        let row = format!("| `{word}` | {status} | {blame} |");
        assert!(PAGE.contains(&row), "no row begins with {row}");
    }
}

#[test]
fn the_page_has_no_word_that_nothing_says() {
    let known = words();
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let unknown: Vec<_> = rows.filter(|word| !known.contains(*word)).collect();
    assert_eq!(unknown, [""; 0]);
}
