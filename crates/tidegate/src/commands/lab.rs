//! `tidegate lab`: files and arguments in, comparisons out. Knows nothing of what is simulated.

mod progress;
mod replay;

use crate::arguments::{LabArguments, LabCommand, LabList, LabRun, LabShow};
use crate::outcome::Failure;
use crate::terminal;
use std::io;
use std::path::Path;
use tidegate_lab::{Comparison, Contender, Progress, Scenario, Span, builtin, html};

pub(crate) fn lab(arguments: &LabArguments) -> Result<(), Failure> {
    match &arguments.command {
        LabCommand::List(arguments) => list(arguments),
        LabCommand::Replay(arguments) => replay::replay(arguments),
        LabCommand::Run(arguments) => run(arguments),
        LabCommand::Show(arguments) => show(arguments),
    }
}

fn list(arguments: &LabList) -> Result<(), Failure> {
    if let Some(text) = arguments.scenario.as_deref().and_then(builtin::text) {
        return Ok(terminal::print(text)?);
    }
    let scenarios = builtin::ALL.iter().map(|(name, text)| {
        let title = Scenario::parse(text).map(|scenario| scenario.title).unwrap_or_default();
        format!("  {name:<15}  {title}")
    });
    let algorithms = Contender::catalogue().map(|(name, what, number)| {
        let number = number.map_or_else(String::new, |number| format!(" ({name}:N: {number})"));
        format!("  {name:<15}  {what}{number}")
    });
    let lines = ["scenarios".to_owned()].into_iter().chain(scenarios);
    let extras = Contender::extras().map(|(name, what)| format!("  {name:<15}  {what}"));
    let lines = lines.chain(["\nalgorithms".to_owned()]).chain(algorithms);
    let lines = lines.chain(["\nbehind an algorithm's name".to_owned()]).chain(extras);
    Ok(terminal::print(&lines.collect::<Vec<_>>().join("\n"))?)
}

fn run(arguments: &LabRun) -> Result<(), Failure> {
    let mut scenarios = Vec::new();
    for (name, text) in texts(arguments)? {
        scenarios.push(scenario(&name, &text, arguments)?);
    }
    let jobs = arguments.jobs.unwrap_or_else(cores);
    let mut comparisons = Vec::new();
    for scenario in &scenarios {
        for &seed in &arguments.seeds {
            let what = format!("{} with seed {seed}", scenario.name);
            let progress = Progress::of(scenario);
            let comparison = progress::watch(&what, &progress, || scenario.compare(seed, jobs, &progress));
            if !arguments.json {
                terminal::print(&format!("{}\n", comparison.to_table()))?;
            }
            comparisons.push(comparison);
        }
    }
    tell(&comparisons, arguments.json, arguments.html.as_deref())?;
    if comparisons.iter().all(Comparison::holds) { Ok(()) } else { Err(Failure::GoalMissed) }
}

/// As JSON and as a page, as far as they are wanted.
fn tell(comparisons: &[Comparison], as_json: bool, page: Option<&Path>) -> Result<(), Failure> {
    if as_json {
        let text = serde_json::to_string(comparisons).map_err(std::io::Error::from)?;
        terminal::print(&text)?;
    }
    page.map_or(Ok(()), |page| write(page, &html::page(comparisons)))
}

/// One run for each.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The texts of what is to be run, by name.
fn texts(arguments: &LabRun) -> Result<Vec<(String, String)>, Failure> {
    let is_wanted = |name: &str| arguments.scenarios.iter().any(|wanted| wanted == "all" || wanted == name);
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let mut texts: Vec<_> = builtin::ALL.iter().filter(|(name, _)| is_wanted(name)).map(owned).collect();
    for path in &arguments.files {
        texts.push((path.display().to_string(), read(path)?));
    }
    Ok(texts)
}

fn scenario(name: &str, text: &str, arguments: &LabRun) -> Result<Scenario, Failure> {
    let no_scenario = |source| Failure::NoScenario { name: name.to_owned(), source };
    let mut scenario = Scenario::parse(text).map_err(no_scenario)?;
    if let Some(seconds) = arguments.seconds {
        scenario = scenario.lasting(Span(u64::from(seconds) * 1_000_000_000)).map_err(no_scenario)?;
    }
    if !arguments.algorithms.is_empty() {
        scenario.algorithms.clone_from(&arguments.algorithms);
    }
    Ok(scenario)
}

fn show(arguments: &LabShow) -> Result<(), Failure> {
    let no_results = |source| Failure::NoResults { name: arguments.file.display().to_string(), source };
    let comparisons: Vec<Comparison> = serde_json::from_str(&read(&arguments.file)?).map_err(no_results)?;
    if let Some(path) = &arguments.html {
        return write(path, &html::page(&comparisons));
    }
    let tables: Vec<String> = comparisons.iter().map(Comparison::to_table).collect();
    Ok(terminal::print(&tables.join("\n"))?)
}

fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |source| Failure::Unreadable { file: path.display().to_string(), source };
    String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|error| {
        let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let lines: Vec<&[u8]> = valid.split(|byte| *byte == b'\n').collect();
        let byte = lines.last().map_or(0, |line| line.len()) + 1;
        let what = format!("line {}, byte {byte} is not UTF-8", lines.len());
        unreadable(io::Error::new(io::ErrorKind::InvalidData, what))
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // The table is there already, and a page between its lines would be neither.
    if path == Path::new("-") {
        let source =
            io::Error::new(io::ErrorKind::InvalidInput, "a page goes to a file: write --html page.html");
        return Err(Failure::Unwritable { file: "-".to_owned(), source });
    }
    let unwritable = |source| Failure::Unwritable { file: path.display().to_string(), source };
    std::fs::write(path, text).map_err(unwritable)?;
    terminal::print_error(&format!("{} written", path.display()));
    Ok(())
}
