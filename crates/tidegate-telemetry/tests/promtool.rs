//! What others say of the metrics page: Prometheus's own linter and its OpenMetrics parser, by promtool (Debian:
//! prometheus). Says so when it is not installed.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tidegate_telemetry::Registry;
use tidegate_telemetry::exposition::{Format, render};
use tidegate_telemetry::families::{ALL, Kind};
use tidegate_telemetry::process::Process;

/// Two series of every family but the process's own, with label values that need escaping.
fn everything(format: Format) -> String {
    let registry = Registry::default();
    for family in ALL.iter().filter(|family| !family.name.starts_with("process_")) {
        for value in ["one", "an \"odd\" \\ one\n"] {
            let labels = vec![value; family.labels.len()];
            match family.kind {
                Kind::Counter => registry.counter(0, family, &labels).add(3),
                Kind::Fraction | Kind::Gauge => registry.gauge(family, &labels).set(-1),
                Kind::Histogram => registry.histogram(0, family, &labels).record(Duration::from_millis(5)),
            }
        }
    }
    render(&registry, Process::read().as_ref(), format)
}

/// `None` when promtool is not installed.
fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let started = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: promtool is not installed (Debian: apt-get install prometheus)");
            return None;
        }
        started => started.unwrap(),
    };
    let mut stdin = promtool.stdin.take().unwrap();
    let input = input.to_owned();
    // A thread, so that promtool may answer before it has read everything; and it may end before that, too.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = promtool.wait_with_output().unwrap();
    feeding.join().unwrap();
    Some(output)
}

#[test]
fn promtool_check_metrics_finds_nothing_to_complain_about() {
    let page = everything(Format::Prometheus);
    if let Some(output) = promtool(&["check", "metrics"], &page) {
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{complaints}\n{page}");
    }
}

#[test]
fn promtool_check_metrics_would_complain_about_a_page_that_is_wrong() {
    if let Some(output) = promtool(&["check", "metrics"], "# TYPE a_miles counter\na_miles 1\n") {
        assert!(!output.status.success());
    }
}

/// The import of old samples is the only command of promtool that reads OpenMetrics; it wants a time behind each sample.
fn import(page: &str) -> Option<Output> {
    let timed = page.lines().fold(String::new(), |mut timed, line| {
        let time = if line.starts_with('#') { "" } else { " 1700000000" };
        let _ = writeln!(timed, "{line}{time}");
        timed
    });
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("page");
    std::fs::write(&source, timed).unwrap();
    let blocks = folder.path().join("blocks");
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    promtool(&["tsdb", "create-blocks-from", "openmetrics", &path(&source), &path(&blocks)], "")
}

#[test]
fn prometheus_reads_the_openmetrics_page() {
    if let Some(output) = import(&everything(Format::OpenMetrics)) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn prometheus_would_refuse_an_openmetrics_page_that_is_cut_off() {
    let page = everything(Format::OpenMetrics);
    if let Some(output) = import(page.trim_end_matches("# EOF\n")) {
        assert!(!output.status.success());
    }
}

#[test]
fn every_family_is_on_the_page_once_it_has_series() {
    let page = everything(Format::OpenMetrics);
    for family in ALL {
        let heads = page.lines().filter(|line| line.starts_with(&format!("# TYPE {} ", family.name)));
        assert_eq!(heads.count(), 1, "{}", family.name);
    }
}
