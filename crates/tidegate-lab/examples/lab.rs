//! `cargo run --profile quick -p tidegate-lab --example lab -- G2 7 adaptive least_request`: one built-in scenario or a file, a
//! seed, and the algorithms, with the speed of the simulation. For people who work on the algorithms.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its terminal")]
#![allow(clippy::disallowed_methods, reason = "the speed of the simulation is what it measures")]

use std::process::ExitCode;
use std::time::Instant;
use tidegate_lab::{Contender, Progress, Scenario, builtin};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("which scenario? A name such as G2, or a file")?;
    let seed =
        arguments.next().map_or(Ok(1), |text| text.parse()).map_err(|error| format!("seed: {error}"))?;
    let text = match builtin::text(&name) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(&name).map_err(|error| format!("{name}: {error}"))?,
    };
    let mut scenario = Scenario::parse(&text).map_err(|error| error.to_string())?;
    let chosen: Result<Vec<_>, _> = arguments.map(|name| Contender::parse(&name)).collect();
    let chosen = chosen.map_err(|error| error.to_string())?;
    if !chosen.is_empty() {
        scenario.algorithms = chosen;
    }
    let start = Instant::now();
    let comparison = scenario.compare(seed, 1, &Progress::of(&scenario));
    let seconds = start.elapsed().as_secs_f64();
    let requests: u64 =
        comparison.outcomes.iter().map(|outcome| outcome.timeline.requests.iter().sum::<u64>()).sum();
    println!("{}", comparison.to_table());
    println!(
        "{requests} requests in {seconds:.2} s: {:.2} million a second",
        requests as f64 / seconds / 1e6
    );
    Ok(comparison.holds())
}
