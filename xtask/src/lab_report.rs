//! `cargo xtask lab-report`: every built-in scenario of the laboratory in full, into `bench/results/`. Knows the program's
//! arguments, not what is simulated.

use crate::{measure, workspace};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Used for nothing but reports, so that nothing is ever tuned with them.
const SEEDS: [&str; 2] = ["88001", "88002"];
/// Of no use in a summary, and large.
const DETAILS: [&str; 3] = ["distribution", "endpoints", "timeline"];

/// Fails only when the report could not be made: a goal that is not reached is a result.
pub(crate) fn command() -> ExitCode {
    match report() {
        Ok(page) => {
            println!("{page}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report() -> Result<String, String> {
    let tidegate = measure::tidegate()?;
    let mut run = Command::new(&tidegate);
    run.args(["lab", "run", "--scenario", "all", "--json"]);
    run.args(SEEDS.iter().flat_map(|seed| ["--seed", seed]));
    let mut results: Value = serde_json::from_str(&answer(&mut run)?)
        .map_err(|error| format!("tidegate lab run wrote bad JSON: {error}"))?;
    summarise(&mut results);
    let date = answer(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let stem = workspace::root().join("bench/results").join(format!("{}-lab", date.trim()));
    let (json, page) = (stem.with_extension("json"), stem.with_extension("md"));
    write(&json, &format!("{results:#}\n"))?;
    let commit =
        answer(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(workspace::root()))?;
    let tables = answer(Command::new(&tidegate).args(["lab", "show"]).arg(&json))?;
    let page_text = format!(
        "# The laboratory, {} at {}\n\nMade by `cargo xtask lab-report`; docs/lab.md tells what the columns say.\n\n{tables}",
        date.trim(),
        commit.trim()
    );
    write(&page, &page_text)?;
    Ok(page_text)
}

/// What a command prints. 1 is how the laboratory ends when a goal was missed.
fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{command:?} does not start: {error}"))?;
    if !matches!(output.status.code(), Some(0 | 1)) {
        return Err(format!("{command:?} ended with {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn summarise(results: &mut Value) {
    let comparisons = results.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
    let outcomes = comparisons.iter_mut().filter_map(|comparison| comparison["outcomes"].as_array_mut());
    for outcome in outcomes.flatten().filter_map(Value::as_object_mut) {
        outcome.retain(|key, _| !DETAILS.contains(&key.as_str()));
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_summary_keeps_the_numbers_and_drops_the_details() {
        let mut results =
            json!([{ "seed": 1, "outcomes": [{ "requests": 5, "timeline": {}, "endpoints": [] }] }]);
        summarise(&mut results);
        assert_eq!(results, json!([{ "seed": 1, "outcomes": [{ "requests": 5 }] }]));
    }
}
