//! How a command ends, and the exit code that says so: 0 ok, 1 failure while running, 2 usage (from clap), 78 a
//! configuration that does not hold.

use crate::terminal;
use std::process::ExitCode;
use tidegate_config::Report;
use tidegate_control::{ServeError, StartError};

/// `EX_CONFIG` of sysexits(3).
const CONFIGURATION: u8 = 78;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no configuration file: neither {} exists; name one with -c FILE, or start from the command line: \
             tidegate proxy --help", .tried.join(" nor "))]
    NoFile { tried: Vec<String> },
    /// Said already: the table tells which.
    #[error("not every goal was reached")]
    GoalMissed,
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    #[error("there is no file {name}: write {option}")]
    NoFileButAName { name: String, option: String },
    #[error("{file} cannot be replayed: {source}")]
    NoReplay { file: String, source: tidegate_lab::ReplayError },
    #[error("{name} is not what `tidegate lab run --json` prints: {source}")]
    NoResults { name: String, source: serde_json::Error },
    #[error("{name} cannot be run with --seconds {seconds}: {source}")]
    NoRun { name: String, seconds: u32, source: tidegate_lab::ScenarioError },
    #[error("{name} is no scenario: {source}")]
    NoScenario { name: String, source: tidegate_lab::ScenarioError },
    /// Said already, where it was asked for.
    #[error("the configuration does not hold")]
    Said,
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot read {file}: {source}")]
    Unreadable { file: String, source: std::io::Error },
    #[error("cannot write {file}: {source}")]
    Unwritable { file: String, source: std::io::Error },
    #[error("the configuration does not hold")]
    Wrong(#[from] Report),
}

pub(crate) fn exit_code(ended: Result<(), Failure>) -> ExitCode {
    let Err(failure) = ended else { return ExitCode::SUCCESS };
    match &failure {
        Failure::GoalMissed | Failure::Said => {}
        Failure::Wrong(report) => terminal::print_error(&report.render(terminal::style())),
        other => terminal::say(tidegate_control::Level::Error, &other.to_string()),
    }
    match failure {
        Failure::NoFile { .. }
        | Failure::NoFileButAName { .. }
        | Failure::NoReplay { .. }
        | Failure::NoResults { .. }
        | Failure::NoRun { .. }
        | Failure::NoScenario { .. }
        | Failure::Said
        | Failure::Unreadable { .. }
        | Failure::Wrong(_) => ExitCode::from(CONFIGURATION),
        Failure::GoalMissed
        | Failure::Unwritable { .. }
        | Failure::Output(_)
        | Failure::Serve(_)
        | Failure::Start(_) => ExitCode::FAILURE,
    }
}
