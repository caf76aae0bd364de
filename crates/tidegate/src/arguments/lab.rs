//! What can be typed after `tidegate lab`.

#![allow(clippy::doc_markdown, reason = "these comments are what --help prints")]

use clap::{Args, Subcommand};
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

#[derive(Args, Debug)]
#[command(
    after_help = "Example: tidegate lab run mine.toml --algorithm adaptive --algorithm least_request\n\
                  Ends with 0 when every goal is reached, with 1 when not."
)]
pub(crate) struct LabRun {
    /// Scenario files; docs/lab.md tells how to write one
    #[arg(value_name = "FILE", required_unless_present = "scenarios")]
    pub(crate) files: Vec<PathBuf>,
    /// A built-in scenario, or `all` (may be repeated)
    #[arg(long = "scenario", value_name = "NAME", value_parser = scenario_or_all)]
    pub(crate) scenarios: Vec<String>,
    /// Who is compared, instead of those that the scenario names (may be repeated)
    #[arg(long = "algorithm", value_name = "NAME", value_parser = Contender::parse)]
    pub(crate) algorithms: Vec<Contender>,
    /// The same seed gives the same numbers (repeat for several runs)
    #[arg(long = "seed", value_name = "NUMBER", default_value = "1")]
    pub(crate) seeds: Vec<u64>,
    /// How much time is simulated [default: what the scenario says]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u32>,
    /// Algorithms that run at the same time [default: one for each core]
    #[arg(long, value_name = "COUNT")]
    pub(crate) jobs: Option<usize>,
    /// Print everything that was measured as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Example: tidegate lab show results.json")]
pub(crate) struct LabShow {
    /// What `tidegate lab run --json` printed
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

fn scenario(name: &str) -> Result<String, String> {
    let names = || builtin::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let known = builtin::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(known, _)| (*known).to_owned()).ok_or_else(|| format!("there are {}", names()))
}

fn scenario_or_all(name: &str) -> Result<String, String> {
    if name == "all" { Ok(name.to_owned()) } else { scenario(name) }
}
