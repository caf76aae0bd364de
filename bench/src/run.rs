//! One comparison from start to end: the loads in interleaved rounds, then what is counted per request and per
//! connection, then the report. Knows the order, leaves each measurement to its file.

use crate::options::{self, Options, USAGE};
use crate::peers::{Running, Stage, Subject, version};
use crate::results::Results;
use crate::scenario::{SCENARIOS, Sample, Scenario};
use crate::wrk::Wrk;
use crate::{idle, instructions, report, syscalls};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The load under which system calls are counted.
const COUNTED: Scenario = SCENARIOS[1];
const WARM_SECONDS: u64 = 1;

pub(crate) fn command(words: &[&str]) -> Result<ExitCode, String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = options::parse(words)?;
    raise_descriptor_limit();
    let results = measure(&options)?;
    let page = report::markdown(&results);
    if options.json {
        println!("{:#}", results.to_json());
    } else {
        println!("{page}");
    }
    if let Some(folder) = &options.out {
        write(folder, &results, &page)?;
    }
    Ok(if results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(options: &Options) -> Result<Results, String> {
    let mut stage = Stage::set(options.tidegate.clone(), include_str!("../peers/tidegate.toml"))?;
    let _serving = stage.start_endpoints()?;
    let wrk = Wrk::prepare(&stage.scratch)?;
    let mut results = Results { method: method(options), ..Results::default() };
    results.date = answer("date", &["-u", "+%Y-%m-%d"]);
    results.commit = answer("git", &["rev-parse", "--short", "HEAD"]);
    results.load[0] = load_average();
    compare(options, &stage, &wrk, &mut results)?;
    if options.extras {
        count(options, &mut stage, &wrk, &mut results);
    }
    results.load[1] = load_average();
    let peers = [Subject::Nginx, Subject::Haproxy].into_iter().filter(|peer| options.subjects.contains(peer));
    results.versions = peers.filter_map(|peer| Some((peer, version(peer)?))).collect();
    Ok(results)
}

/// All subjects run throughout; they take turns, so that whatever else happens on the machine happens to all.
fn compare(options: &Options, stage: &Stage, wrk: &Wrk, results: &mut Results) -> Result<(), String> {
    let running: Vec<Running> =
        options.subjects.iter().map(|subject| stage.start(*subject)).collect::<Result<_, _>>()?;
    for scenario in &options.scenarios {
        let mut rounds: Vec<Vec<Sample>> = vec![Vec::new(); running.len()];
        for (one, _) in running.iter().zip(&rounds) {
            wrk.load(scenario, one, WARM_SECONDS)?;
        }
        for round in 1..=options.rounds {
            progress(&format!("{}: round {round} of {}", scenario.title, options.rounds));
            for (one, samples) in running.iter().zip(&mut rounds) {
                samples.push(wrk.measure(scenario, one, options.seconds)?);
            }
        }
        let medians =
            running.iter().zip(&rounds).map(|(one, samples)| (one.subject, Sample::median(samples)));
        results.loads.push((*scenario, medians.collect()));
    }
    Ok(())
}

/// What does not depend on how busy the machine is. A failure here leaves the rest standing.
fn count(options: &Options, stage: &mut Stage, wrk: &Wrk, results: &mut Results) {
    for subject in options.subjects.iter().copied() {
        progress(&format!("{subject}: system calls, idle connections"));
        let calls = stage
            .start(subject)
            .and_then(|running| syscalls::per_request(wrk, &COUNTED, &running, &stage.scratch));
        let calls = results.keep(calls);
        results.syscalls.extend(calls.map(|calls| (subject, calls)));
        let idle = results.keep(idle::measure(stage, subject));
        results.idle.extend(idle.map(|idle| (subject, idle)));
    }
    if options.subjects.contains(&Subject::Tidegate) {
        progress("tidegate: instructions and allocations per request");
        for connections in [1, 64] {
            let count = results.keep(instructions::per_request(stage, Subject::Tidegate, connections));
            results.instructions.extend(count.map(|count| (connections, count)));
        }
    }
    if let Some(counting) = &options.counting {
        results.allocations = results.keep(instructions::allocations_per_request(stage, counting.clone()));
    }
}

fn method(options: &Options) -> String {
    format!(
        "One worker each, pinned to core 0; wrk (one thread) and two endpoints on core 1; loopback. Median of {} \
         rounds of {} s, all subjects taking turns in each round. CPU is user and system time of the subject's \
         processes over the round, from /proc, divided by the answers.",
        options.rounds, options.seconds
    )
}

pub(crate) fn progress(text: &str) {
    eprintln!("· {text}");
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

pub(crate) fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// Thousands of connections need as many descriptors; the subjects inherit the limit.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn write(folder: &Path, results: &Results, page: &str) -> Result<(), String> {
    let failed = |error| format!("cannot keep the results in {}: {error}", folder.display());
    let stem = format!("{}-{}", results.date, results.commit);
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(folder.join(format!("{stem}.md")), page).map_err(failed)?;
    fs::write(folder.join(format!("{stem}.json")), format!("{:#}\n", results.to_json())).map_err(failed)?;
    progress(&format!("kept in {}", folder.join(stem).display()));
    Ok(())
}
