//! User-space instructions and heap allocations per keep-alive request: two runs that differ only in the number of
//! requests, and the difference divided. Free of the noise of a busy machine. Knows callgrind's output and one metric.

use crate::client::{Answer, Client};
use crate::peers::{Stage, Subject};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

const REQUESTS: usize = 2048;
/// The first requests fill pools and caches.
const WARM_REQUESTS: usize = 256;
/// Callgrind writes its file at exit, and a program that drains takes its time.
const FAREWELL_MAX: Duration = Duration::from_secs(30);
/// Counted by a build with the feature `count-allocations`.
const ALLOCATIONS: &str = "tidegate_heap_allocations_total";

/// User-space instructions per request, under callgrind, with so many connections that ask at once.
pub(crate) fn per_request(stage: &Stage, subject: Subject, connections: usize) -> Result<f64, String> {
    let few = total(stage, subject, connections, WARM_REQUESTS + REQUESTS)?;
    let many = total(stage, subject, connections, WARM_REQUESTS + 2 * REQUESTS)?;
    Ok((many - few) / REQUESTS as f64)
}

fn total(stage: &Stage, subject: Subject, connections: usize, requests: usize) -> Result<f64, String> {
    let file = stage.scratch.path("callgrind.out");
    let option = format!("--callgrind-out-file={}", file.display());
    let mut running = stage.start_under(subject, &["valgrind", "--tool=callgrind", &option])?;
    let clients: io::Result<Vec<Client>> =
        (0..connections).map(|_| Client::connect(running.address)).collect();
    repeat(&mut clients.map_err(|error| unreachable(&error))?, requests)?;
    running.process.stop(FAREWELL_MAX);
    let text = std::fs::read_to_string(&file).map_err(|error| format!("callgrind wrote nothing: {error}"))?;
    instructions(&text).ok_or_else(|| "callgrind's output has no total".to_owned())
}

fn instructions(output: &str) -> Option<f64> {
    let line =
        output.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Heap allocations per request, from a build that counts them. What a scrape costs is measured and taken off.
pub(crate) fn allocations_per_request(stage: &mut Stage, counting: PathBuf) -> Result<f64, String> {
    let plain = stage.tidegate.replace(counting);
    let running = stage.start(Subject::Tidegate);
    stage.tidegate = plain;
    let running = running?;
    let mut client = [Client::connect(running.address).map_err(|error| unreachable(&error))?];
    let mut admin = Client::connect(running.admin).map_err(|error| unreachable(&error))?;
    repeat(&mut client, WARM_REQUESTS)?;
    scrape(&mut admin)?;
    let (first, second) = (scrape(&mut admin)?, scrape(&mut admin)?);
    repeat(&mut client, REQUESTS)?;
    let third = scrape(&mut admin)?;
    Ok(((third - second) - (second - first)) / REQUESTS as f64)
}

/// All clients ask, then all read their answers, until there have been so many requests.
fn repeat(clients: &mut [Client], requests: usize) -> Result<(), String> {
    for _ in 0..requests / clients.len() {
        for client in &mut *clients {
            client.ask("/small").map_err(|error| unreachable(&error))?;
        }
        for client in &mut *clients {
            expect_ok(client.answer())?;
        }
    }
    Ok(())
}

fn scrape(admin: &mut Client) -> Result<f64, String> {
    let page = expect_ok(admin.get("/metrics"))?.body;
    let page = String::from_utf8_lossy(&page);
    let value = page.lines().find_map(|line| line.strip_prefix(ALLOCATIONS));
    let value = value.and_then(|value| value.trim().parse().ok());
    value.ok_or_else(|| format!("/metrics has no {ALLOCATIONS}: is this a build with count-allocations?"))
}

fn expect_ok(answer: io::Result<Answer>) -> Result<Answer, String> {
    match answer {
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err(format!("tidegate answers with {}", answer.status)),
        Err(error) => Err(unreachable(&error)),
    }
}

fn unreachable(error: &io::Error) -> String {
    format!("tidegate stopped answering: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_in_callgrinds_output() {
        assert_eq!(instructions("version: 1\nevents: Ir\nsummary: 123456\n"), Some(123_456.0));
        assert_eq!(instructions("fn=(1) main\n+3 4\n\ntotals: 99\n"), Some(99.0));
        assert_eq!(instructions("nothing"), None);
    }
}
