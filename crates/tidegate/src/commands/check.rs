//! `tidegate check`: everything that is wrong with a file, at once.

use crate::arguments::CheckArguments;
use crate::files;
use crate::outcome::Failure;
use crate::terminal;
use serde_json::{Value, json};
use tidegate_config::{Severity, Warning};

pub(crate) fn check(arguments: &CheckArguments) -> Result<(), Failure> {
    let path = files::find(arguments.named.as_deref().or(arguments.file.path.as_deref()))?;
    let checked = files::read_closely(&path);
    if arguments.json {
        return as_json(checked.map(|(_, warnings)| warnings));
    }
    let (config, warnings) = checked?;
    for warning in &warnings {
        terminal::print_error(&format!("{}\n", warning.render(terminal::style())));
    }
    let counts = [
        counted(config.listeners.len(), "listener"),
        counted(config.routes.len(), "route"),
        counted(config.clusters.len(), "cluster"),
    ];
    terminal::print(&format!("{}: ok ({})", path.display(), counts.join(", ")))?;
    Ok(())
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// One object: whether it holds, and what was found.
fn as_json(checked: Result<Vec<Warning>, Failure>) -> Result<(), Failure> {
    let (holds, diagnostics) = match checked {
        Ok(warnings) => (true, warnings.iter().map(diagnostic).collect()),
        Err(Failure::Wrong(report)) => (false, report.to_json()),
        Err(other) => return Err(other),
    };
    let answer = json!({ "ok": holds, "diagnostics": diagnostics });
    terminal::print(&format!("{answer:#}"))?;
    if holds { Ok(()) } else { Err(Failure::Said) }
}

fn diagnostic(found: &Warning) -> Value {
    let (line, column) = found.position();
    json!({
        "severity": match found.severity() { Severity::Error => "error", Severity::Warning => "warning" },
        "file": found.file(),
        "line": line,
        "column": column,
        "message": found.title(),
        "label": found.label(),
        "help": found.help(),
    })
}
