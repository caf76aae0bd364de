//! `tidegate lab`: files and arguments in, comparisons out. Knows nothing of what is simulated.

mod progress;
mod replay;

use crate::arguments::{LabArguments, LabCommand, LabList, LabRun, LabShow};
use crate::outcome::Failure;
use crate::terminal;
use std::io::{self, Read as _};
use std::path::Path;
use tidegate_control::Level;
use tidegate_lab::{Comparison, Contender, Progress, Scenario, Span, builtin, html};

/// Instead of a file's name, as everywhere.
const STANDARD: &str = "-";

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
    let width = Contender::catalogue().map(|(name, ..)| name.len()).max().unwrap_or_default();
    let scenarios = builtin::ALL.iter().map(|(name, text)| {
        let title = Scenario::parse(text).map(|scenario| scenario.title).unwrap_or_default();
        format!("  {name:<width$}  {title}")
    });
    let algorithms = Contender::catalogue().map(|(name, what, number)| {
        let number = number.map_or_else(String::new, |number| format!(" ({name}:N: {number})"));
        format!("  {name:<width$}  {what}{number}")
    });
    let lines = ["scenarios".to_owned()].into_iter().chain(scenarios);
    let extras = Contender::extras().map(|(name, what)| format!("  {name:<width$}  {what}"));
    let lines = lines.chain(["\nalgorithms".to_owned()]).chain(algorithms);
    let lines = lines.chain(["\nbehind an algorithm's name".to_owned()]).chain(extras);
    Ok(terminal::print(&lines.collect::<Vec<_>>().join("\n"))?)
}

fn run(arguments: &LabRun) -> Result<(), Failure> {
    check_page(arguments.html.as_deref())?;
    let mut scenarios = Vec::new();
    for (name, text) in texts(arguments)? {
        scenarios.push(scenario(&name, &text, arguments)?);
    }
    let jobs = jobs(arguments.jobs);
    for scenario in &scenarios {
        for warning in [unjudged(scenario), scenario.warning()].into_iter().flatten() {
            terminal::say(Level::Warning, &format!("{}: {warning}", scenario.name));
        }
    }
    let mut comparisons = Vec::new();
    for scenario in &scenarios {
        for &seed in &arguments.seeds {
            let what = format!("{} with seed {seed}", scenario.name);
            let progress = Progress::of(scenario);
            let comparison = progress::watch(&what, &progress, || scenario.compare(seed, jobs, &progress));
            let is_read =
                arguments.json || terminal::print_to_reader(&format!("{}\n", comparison.to_table()))?;
            if !is_read && arguments.html.is_none() {
                return Ok(());
            }
            comparisons.push(comparison);
        }
    }
    tell(&comparisons, arguments.json, arguments.html.as_deref())?;
    if comparisons.iter().all(Comparison::holds) { Ok(()) } else { Err(Failure::GoalMissed) }
}

/// Whoever chooses other algorithms may take goals to be reached that nobody looks at.
fn unjudged(scenario: &Scenario) -> Option<String> {
    let (goals, missing) = scenario.unjudged();
    let names = missing.iter().map(|name| format!("--algorithm {name}")).collect::<Vec<_>>().join(" ");
    (goals > 0).then(|| format!("goals that are not judged without {names}: {goals}"))
}

/// As JSON and as a page, as far as they are wanted.
fn tell(comparisons: &[Comparison], as_json: bool, page: Option<&Path>) -> Result<(), Failure> {
    if as_json {
        let text = serde_json::to_string(comparisons).map_err(std::io::Error::from)?;
        terminal::print(&text)?;
    }
    page.map_or(Ok(()), |page| write(page, &html::page(comparisons)))
}

/// As many runs at the same time as are wanted, or one for each core.
fn jobs(wanted: Option<u32>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or_else(cores, |jobs| jobs as usize)
}

/// The texts of what is to be run, by name.
fn texts(arguments: &LabRun) -> Result<Vec<(String, String)>, Failure> {
    let is_wanted = |name: &str| arguments.scenarios.iter().any(|wanted| wanted == "all" || wanted == name);
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let mut texts: Vec<_> = builtin::ALL.iter().filter(|(name, _)| is_wanted(name)).map(owned).collect();
    for path in &arguments.files {
        let text = read(path).map_err(|failure| no_file_but_a_name(path).unwrap_or(failure))?;
        texts.push((path.display().to_string(), text));
    }
    Ok(texts)
}

/// What stands where a file would, and was meant for an option.
fn no_file_but_a_name(path: &Path) -> Option<Failure> {
    let name = path.to_str().filter(|_| !path.exists())?;
    let option = match builtin::find(name) {
        Ok((known, _)) => format!("--scenario {known}"),
        Err(_) => format!("--algorithm {}", Contender::parse(name).ok()?),
    };
    Some(Failure::NoFileButAName { name: name.to_owned(), option })
}

fn scenario(name: &str, text: &str, arguments: &LabRun) -> Result<Scenario, Failure> {
    let no_scenario = |source| Failure::NoScenario { name: name.to_owned(), source };
    let mut scenario = Scenario::parse(text).map_err(no_scenario)?;
    if let Some(seconds) = arguments.seconds {
        let seconds = seconds.get();
        let no_run = |source| Failure::NoRun { name: name.to_owned(), seconds, source };
        scenario = scenario.lasting(Span(u64::from(seconds) * 1_000_000_000)).map_err(no_run)?;
    }
    if !arguments.algorithms.is_empty() {
        scenario.algorithms.clone_from(&arguments.algorithms);
    }
    Ok(scenario)
}

fn show(arguments: &LabShow) -> Result<(), Failure> {
    check_page(arguments.html.as_deref())?;
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
    String::from_utf8(bytes(path).map_err(unreadable)?).map_err(|error| {
        let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let lines: Vec<&[u8]> = valid.split(|byte| *byte == b'\n').collect();
        let byte = lines.last().map_or(0, |line| line.len()) + 1;
        let what = format!("line {}, byte {byte} is not UTF-8", lines.len());
        unreadable(io::Error::new(io::ErrorKind::InvalidData, what))
    })
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if path != Path::new(STANDARD) {
        return std::fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
}

/// Whether a page can be written there, before anything is run for it.
fn check_page(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let complaint = if path == Path::new(STANDARD) {
        // The table is there already, and a page between its lines would be neither.
        io::Error::new(io::ErrorKind::InvalidInput, "a page goes to a file: write --html page.html")
    } else if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no folder {}", folder.display()))
    } else {
        return Ok(());
    };
    Err(Failure::Unwritable { file: path.display().to_string(), source: complaint })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let unwritable = |source| Failure::Unwritable { file: path.display().to_string(), source };
    std::fs::write(path, text).map_err(unwritable)?;
    terminal::print_error(&format!("{} written", path.display()));
    Ok(())
}
