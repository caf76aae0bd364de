//! `tidegate lab replay`: an access log in, a comparison out. Knows no format of logs.

use super::{STANDARD, check_page, jobs, progress, tell};
use crate::arguments::LabReplay;
use crate::outcome::Failure;
use crate::terminal;
use std::fs::File;
use std::io::{self, BufReader, Read};
use tidegate_control::Level;
use tidegate_lab::{AccessLog, Comparison, Progress, ReplayOptions};

/// Bytes of the log that are read at once.
const READ_BYTES: usize = 1 << 20;

pub(super) fn replay(arguments: &LabReplay) -> Result<(), Failure> {
    check_page(arguments.html.as_deref())?;
    let file = arguments.file.display().to_string();
    let no_replay = |source| Failure::NoReplay { file: file.clone(), source };
    let log = read(arguments, &file)?;
    let log = match &arguments.cluster {
        Some(cluster) => log.of_cluster(cluster).map_err(no_replay)?,
        None => log,
    };
    warn_of_failures(&log);
    let options = options(arguments, &log);
    if let Some(warning) = log.warning(&options) {
        terminal::say(Level::Warning, &warning);
    }
    let progress = Progress::of_replay(&log, &options);
    let replayed = progress::watch(&file, &progress, || log.replay(&options, &progress));
    let comparison = replayed.map_err(no_replay)?;
    let name =
        arguments.file.file_name().map_or_else(|| file.clone(), |name| name.to_string_lossy().into_owned());
    let comparison = Comparison { scenario: name, title: title(arguments), ..comparison };
    if !arguments.json {
        terminal::print(comparison.to_table().trim_end())?;
    }
    tell(&[comparison], arguments.json, arguments.html.as_deref())
}

fn read(arguments: &LabReplay, file: &str) -> Result<AccessLog, Failure> {
    let unreadable = |source| Failure::Unreadable { file: file.to_owned(), source };
    let opened: Box<dyn Read> = match file {
        STANDARD => Box::new(io::stdin()),
        _ => Box::new(File::open(&arguments.file).map_err(unreadable)?),
    };
    let log = AccessLog::read(BufReader::with_capacity(READ_BYTES, opened)).map_err(unreadable)?;
    if log.requests() > 0
        && let Some((line, flaw)) = &log.first_bad
    {
        let (bad, lines, column, expected) = (log.bad, log.lines, flaw.column, &flaw.expected);
        let rest = format!("the first is line {line}, column {column}: expected {expected}");
        terminal::say(
            Level::Warning,
            &format!("{bad} of {lines} lines could not be read and are left out; {rest}"),
        );
    }
    Ok(log)
}

fn warn_of_failures(log: &AccessLog) {
    match log.failures_of_nobody() {
        0 => {}
        failed => terminal::say(
            Level::Warning,
            &format!(
                "{failed} of {} requests failed, and the log does not say on which endpoint: nobody fails in the replay",
                log.requests()
            ),
        ),
    }
}

fn options(arguments: &LabReplay, log: &AccessLog) -> ReplayOptions {
    let asked = &arguments.algorithms;
    ReplayOptions {
        contenders: if asked.is_empty() { log.usual_contenders() } else { asked.clone() },
        slots: arguments.slots,
        endpoints: arguments.endpoints,
        restarts: arguments.restarts,
        weights: arguments.weights.clone(),
        times: arguments.times,
        seed: arguments.seed,
        jobs: jobs(arguments.jobs),
    }
}

fn title(arguments: &LabReplay) -> String {
    let whose = arguments.cluster.as_ref().map_or(String::new(), |cluster| format!(" of {cluster}"));
    match arguments.times {
        1.0 => format!("recorded traffic{whose} by other algorithms"),
        times => format!("recorded traffic{whose}, {times} times as dense, by other algorithms"),
    }
}
