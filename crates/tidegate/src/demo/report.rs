//! The demo without a live view: a line each second, and at the end a table or JSON.

use super::Stage;
use super::reading::{Counts, Reading, quantile_ms};
use crate::terminal;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// From one line to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the time is over, a signal ends it or nobody reads any more; prints a line each second unless `quiet`.
pub(super) fn progress(stage: &mut Stage, quiet: bool) -> io::Result<()> {
    if !quiet {
        terminal::print(&stage.addresses())?;
    }
    let mut before = stage.read();
    while !stage.is_over() {
        if stage.control.is_told_to_end_within(stage.left().min(INTERVAL)) {
            break;
        }
        let now = stage.read();
        if !quiet {
            let is_read = terminal::print_to_reader(&line(&now, &now.since(&before)))?;
            if !is_read {
                break;
            }
        }
        before = now;
    }
    Ok(())
}

fn line(now: &Reading, added: &Reading) -> String {
    let mut text = format!(
        "{:>4.0}s  {:>6.0} requests/s  p50 {:>8}  p99 {:>8}  errors {:<4}",
        now.at.as_secs_f64(),
        added.per_second(added.requests.requests),
        milliseconds(quantile_ms(&added.requests, 0.5)),
        milliseconds(quantile_ms(&added.requests, 0.99)),
        added.requests.errors,
    );
    for endpoint in &added.endpoints {
        let down = if endpoint.state == "up" { "" } else { " (down)" };
        let rate = added.per_second(endpoint.counts.requests);
        let _ = write!(text, "  {} {rate:.0}/s{down}", endpoint.name);
    }
    text
}

/// `1.2 ms`, or a dash when nothing was measured. From a second on without the tenth, which would need a wider column.
pub(super) fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 1_000.0 => format!("{value:.1} ms"),
        Some(value) => format!("{value:.0} ms"),
    }
}

/// So many digits behind the point: more than what is measured would only hide it.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// What happened from start to end.
#[derive(Debug)]
pub(super) struct Summary {
    reading: Reading,
    /// Exchanges that ended without any answer, as the clients saw them.
    broken: u64,
}

impl Summary {
    pub(super) fn new(reading: &Reading, broken: u64) -> Self {
        Self { reading: reading.clone(), broken }
    }

    pub(super) fn to_text(&self) -> String {
        let all = &self.reading;
        let mut text = format!(
            "\n{:<10} {:>10} {:>12} {:>10} {:>10} {:>8}  state\n",
            "endpoint", "requests", "requests/s", "p50", "p99", "errors"
        );
        for endpoint in &all.endpoints {
            let counts = &endpoint.counts;
            let _ = writeln!(
                text,
                "{:<10} {:>10} {:>12.0} {:>10} {:>10} {:>8}  {}",
                endpoint.name,
                counts.requests,
                all.per_second(counts.requests),
                milliseconds(quantile_ms(counts, 0.5)),
                milliseconds(quantile_ms(counts, 0.99)),
                counts.errors,
                endpoint.state,
            );
        }
        let _ = write!(
            text,
            "\n{} requests in {:.1} s, {:.0}/s: p50 {}, p99 {}; {} answered with 5xx, {} without an answer, {} tried again",
            all.requests.requests,
            all.at.as_secs_f64(),
            all.per_second(all.requests.requests),
            milliseconds(quantile_ms(&all.requests, 0.5)),
            milliseconds(quantile_ms(&all.requests, 0.99)),
            all.requests.errors,
            self.broken,
            all.retries,
        );
        text
    }

    pub(super) fn to_json(&self) -> String {
        let all = &self.reading;
        let rate = |count| rounded(all.per_second(count), 1);
        let quantile = |counts: &Counts, share| quantile_ms(counts, share).map(|time| rounded(time, 3));
        let endpoint = |endpoint: &super::reading::EndpointReading| {
            json!({
                "endpoint": endpoint.name,
                "address": endpoint.address,
                "requests": endpoint.counts.requests,
                "requests_per_second": rate(endpoint.counts.requests),
                "p50_ms": quantile(&endpoint.counts, 0.5),
                "p99_ms": quantile(&endpoint.counts, 0.99),
                "errors": endpoint.counts.errors,
                "state": endpoint.state,
            })
        };
        let summary = json!({
            "seconds": rounded(all.at.as_secs_f64(), 3),
            "requests": all.requests.requests,
            "requests_per_second": rate(all.requests.requests),
            "p50_ms": quantile(&all.requests, 0.5),
            "p99_ms": quantile(&all.requests, 0.99),
            "errors": all.requests.errors,
            "unanswered": self.broken,
            "retries": all.retries,
            "endpoints": all.endpoints.iter().map(endpoint).collect::<Vec<Value>>(),
        });
        summary.to_string()
    }
}
