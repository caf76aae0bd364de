//! System calls per request, counted by strace in two passes of different length: what connecting costs cancels out.
//! Knows strace's table.

use crate::peers::Running;
use crate::process::{Process, Scratch};
use crate::scenario::Scenario;
use crate::wrk::Wrk;
use std::process::Command;
use std::time::Duration;

/// strace detaches and writes its table when it is told to end.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

/// On a busy machine the longer pass may get too little done to be subtracted from: it is tried again.
const TRIES: u32 = 3;

pub(crate) fn per_request(
    wrk: &Wrk,
    scenario: &Scenario,
    running: &Running,
    scratch: &Scratch,
) -> Result<f64, String> {
    for _ in 0..TRIES {
        let (calls_short, requests_short) = pass(wrk, scenario, running, scratch, 1)?;
        let (calls_long, requests_long) = pass(wrk, scenario, running, scratch, 3)?;
        if requests_long > 1.5 * requests_short {
            return Ok((calls_long - calls_short) / (requests_long - requests_short));
        }
    }
    Err(format!("{} answered too little under strace to count", running.subject))
}

fn pass(
    wrk: &Wrk,
    scenario: &Scenario,
    running: &Running,
    scratch: &Scratch,
    seconds: u64,
) -> Result<(f64, f64), String> {
    let table = scratch.path("strace.txt");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "strace", "-c", "-f", "-o"]).arg(&table);
    for pid in running.process.family() {
        command.args(["-p", &pid.to_string()]);
    }
    let mut strace = Process::start(&mut command, scratch.path("strace.log"))?;
    std::thread::sleep(Duration::from_millis(300));
    if let Some(why) = strace.ended() {
        return Err(format!("strace cannot watch {}: {why}", running.subject));
    }
    let report = wrk.load(scenario, running, seconds)?;
    strace.stop(FAREWELL_MAX);
    let text = std::fs::read_to_string(&table).map_err(|error| format!("strace wrote no table: {error}"))?;
    Ok((total(&text).ok_or("strace's table has no total")?, report.requests))
}

fn total(table: &str) -> Option<f64> {
    let line = table.lines().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_calls_is_the_fourth_column() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n \
                     60.00    0.000060           1        60           write\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.000100           1       100         2 total\n";
        assert_eq!(total(table), Some(100.0));
    }
}
