//! What can be typed after `tidegate lab`.

#![allow(clippy::doc_markdown, reason = "these comments are what --help prints")]

use clap::{ArgGroup, Args, Subcommand};
use std::num::NonZeroU32;
use std::path::PathBuf;
use tidegate_lab::{Contender, builtin};

#[derive(Args, Debug)]
#[command(after_help = "Example: tidegate lab run --scenario G2")]
pub(crate) struct LabArguments {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Name the built-in scenarios and the algorithms, or print one scenario's file
    List(LabList),
    /// Replay an access log: what would each algorithm have made of this traffic?
    Replay(LabReplay),
    /// Run scenarios with several algorithms and compare
    Run(LabRun),
    /// Show results that `run --json` wrote
    Show(LabShow),
}

#[derive(Args, Debug)]
#[command(after_help = "Example: tidegate lab list G2 > mine.toml")]
pub(crate) struct LabList {
    /// A built-in scenario: prints its file, to start your own from
    #[arg(value_name = "SCENARIO", value_parser = scenario)]
    pub(crate) scenario: Option<String>,
}

const RUN_EXAMPLE: &str = "\
Example: tidegate lab run mine.toml --algorithm adaptive --algorithm least_request
tidegate lab list names the built-in scenarios and the algorithms.
Ends with 0 when every goal is reached, with 1 when not.";

#[derive(Args, Debug)]
#[command(after_help = RUN_EXAMPLE, group = ArgGroup::new("what").args(["files", "scenarios"]).required(true).multiple(true))]
pub(crate) struct LabRun {
    /// Scenario files, or - for standard input; docs/lab.md tells how to write one
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A built-in scenario, or `all` (may be repeated)
    #[arg(long = "scenario", value_name = "NAME", value_delimiter = ',', value_parser = scenario_or_all)]
    pub(crate) scenarios: Vec<String>,
    /// Who is compared, instead of those that the scenario names (may be repeated)
    #[arg(long = "algorithm", value_name = "NAME", value_delimiter = ',', value_parser = Contender::parse)]
    pub(crate) algorithms: Vec<Contender>,
    /// The same seed gives the same numbers (repeat for several runs)
    #[arg(long = "seed", value_name = "NUMBER", default_value = "1", value_delimiter = ',', value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seeds: Vec<u64>,
    /// How much time is simulated, the warm-up included [default: what the scenario says]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) seconds: Option<NonZeroU32>,
    /// Algorithms that run at the same time [default: one for each core]
    #[arg(long, value_name = "COUNT", value_parser = count, allow_negative_numbers = true)]
    pub(crate) jobs: Option<u32>,
    /// Print everything that was measured as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page with plots, which needs nothing else to be looked at
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

const REPLAY_EXAMPLE: &str = "\
Example: tidegate lab replay access.log --html replay.html
Reads Tidegate's JSON log, nginx's combined format with $request_time $upstream_response_time
$upstream_addr and $msec behind it, and HAProxy's HTTP format. nginx names no cluster: log one upstream.";

#[derive(Args, Debug)]
#[command(after_help = REPLAY_EXAMPLE)]
pub(crate) struct LabReplay {
    /// The log; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Who is compared, of those that lab list names [default: the usual eight] (may be repeated)
    #[arg(long = "algorithm", value_name = "NAME", value_delimiter = ',', value_parser = Contender::parse)]
    pub(crate) algorithms: Vec<Contender>,
    /// The cluster that is replayed, where the log names several
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Requests that each endpoint serves at once at full speed [default: told from the log]
    #[arg(long, value_name = "COUNT", value_parser = count, allow_negative_numbers = true)]
    pub(crate) slots: Option<u32>,
    /// How many endpoints there are, when the log does not name them
    #[arg(long, value_name = "COUNT", value_parser = count, allow_negative_numbers = true)]
    pub(crate) endpoints: Option<u32>,
    /// Endpoints that were not asked for a while after a failure restarted, and were not left out by the proxy
    #[arg(long)]
    pub(crate) restarts: bool,
    /// Weights of endpoints by their names in the log, 1 of those not named [default: told from the log] (may be repeated)
    #[arg(long = "weight", value_name = "NAME=NUMBER", value_delimiter = ',', value_parser = weight)]
    pub(crate) weights: Vec<(String, u32)>,
    /// The same requests so many times as densely: 1.5 for half as much again
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) times: f64,
    /// The same seed gives the same numbers
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Algorithms that run at the same time [default: one for each core]
    #[arg(long, value_name = "COUNT", value_parser = count, allow_negative_numbers = true)]
    pub(crate) jobs: Option<u32>,
    /// Print everything that was measured as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page with plots, which needs nothing else to be looked at
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "Example: tidegate lab show results.json --html results.html")]
pub(crate) struct LabShow {
    /// What `tidegate lab run --json` printed; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write a page with plots instead of printing tables
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Names may hold `=`, numbers do not.
fn weight(text: &str) -> Result<(String, u32), String> {
    let parts = text.trim().rsplit_once('=').filter(|(name, _)| !name.is_empty());
    let parsed = parts.and_then(|(name, number)| Some((name.to_owned(), count(number).ok()?)));
    parsed.ok_or_else(|| {
        format!("a weight is NAME=NUMBER, with a number from 1 to {COUNT_MAX}, as in 10.0.0.1:8001=3")
    })
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| format!("`{text}` does not do: write a number above 0, such as 1.5"))
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` does not do: write a whole number, such as 1"))
}

fn seconds(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("`{text}` does not do: write a whole number from 1 on, such as 60"))
}

/// More of anything here is a slip of the finger.
const COUNT_MAX: u32 = 100_000;

fn count(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=COUNT_MAX).contains(number));
    number.ok_or_else(|| format!("`{text}` does not do: write a whole number from 1 to {COUNT_MAX}"))
}

fn scenario(name: &str) -> Result<String, builtin::UnknownScenario> {
    builtin::find(name).map(|(known, _)| known.to_owned())
}

fn scenario_or_all(name: &str) -> Result<String, builtin::UnknownScenario> {
    if name.eq_ignore_ascii_case("all") { Ok("all".to_owned()) } else { scenario(name) }
}
