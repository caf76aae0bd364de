//! `soak`: Tidegate under good and hostile traffic at once, while its endpoints are killed and its configuration is
//! reloaded. Ends with what it cost and what failed. Knows the order of events, not what traffic looks like.

mod beside;
mod good;
mod hostile;

use crate::client::Client;
use crate::peers::{Running, Stage, Subject};
use crate::process::Process;
use crate::run::raise_descriptor_limit;
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str = "\
First each kind of attack alone, with one good client beside it: what it waits for then, and did before. Then good and hostile
traffic at once; an endpoint is killed every three seconds and restarted, the configuration is reloaded every second. Fails when a good idempotent request failed, when a reload was refused, or when memory or descriptors grew.

  --tidegate PATH   the binary (`cargo xtask soak` builds and passes it)
  --for TIME        how long: 30s, 2m (2m); at most 60m";

const RELOAD_EVERY: Duration = Duration::from_secs(1);
const KILL_EVERY: Duration = Duration::from_secs(3);
/// How long a killed endpoint stays away.
const ABSENCE: Duration = Duration::from_millis(400);
/// After the traffic has ended, for what is open to be closed.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// How much the same traffic may hold at the end above what it held when it was warm.
const GROWTH_KIB_MAX: u64 = 8 * 1024;
const GROWTH_DESCRIPTORS_MAX: usize = 64;

/// What the traffic has seen so far. Statistics: their order among each other does not matter, hence relaxed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    over: AtomicBool,
    /// Requests that must never fail: idempotent, with answers that an endpoint sends in one piece.
    good: AtomicU64,
    failed: AtomicU64,
    /// Requests that a killed endpoint may cut: large answers, uploads.
    cuttable: AtomicU64,
    cut: AtomicU64,
    hostile: AtomicU64,
    /// Hostile connections that were not answered or closed in time.
    unanswered: AtomicU64,
}

impl Tally {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the proxy holds.
#[derive(Clone, Copy, Debug)]
struct Holding {
    resident_kib: u64,
    descriptors: usize,
}

#[derive(Debug)]
struct Options {
    tidegate: PathBuf,
    duration: Duration,
}

pub(crate) fn command(words: &[&str]) -> Result<ExitCode, String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = options(words)?;
    raise_descriptor_limit();
    let problems = soak(&options)?;
    for problem in &problems {
        println!("FAILED: {problem}");
    }
    println!("{}", if problems.is_empty() { "the soak passed" } else { "the soak failed" });
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut tidegate = None;
    let mut duration = Duration::from_mins(2);
    for pair in words.chunks(2) {
        match pair {
            ["--tidegate", path] => tidegate = Some(PathBuf::from(path)),
            ["--for", text] => duration = self::duration(text)?,
            _ => return Err(format!("`{}` is no option, or lacks its value\n\n{USAGE}", pair.join(" "))),
        }
    }
    let tidegate = tidegate.ok_or("which binary? --tidegate PATH")?;
    Ok(Options { tidegate, duration })
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(seconds), _) => seconds.parse().ok(),
        (_, Some(minutes)) => minutes.parse::<u64>().ok().and_then(|minutes| minutes.checked_mul(60)),
        _ => None,
    };
    let seconds = seconds.filter(|seconds| (10..=3600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("--for {text}: expected a time from 10s to 60m"))
}

fn soak(options: &Options) -> Result<Vec<String>, String> {
    let stage = Stage::set(Some(options.tidegate.clone()), include_str!("../peers/soak.toml"))?;
    let mut endpoints = [Some(stage.start_endpoint(0)?), Some(stage.start_endpoint(1)?)];
    let mut running = stage.start(Subject::Tidegate)?;
    let lost = beside::measure(running.address);
    let tally = Tally::default();
    let (warm, hot) = std::thread::scope(|scope| {
        good::start(scope, running.address, &tally);
        hostile::start(scope, running.address, &tally);
        let seen = disturb(options.duration, &stage, &mut endpoints, &mut running, &tally);
        tally.over.store(true, Ordering::Relaxed);
        seen
    })?;
    let quiet = settled(&running.process, warm);
    report(&tally, warm, hot, quiet);
    let mut problems = verdict(&tally, warm, hot, &mut running);
    problems.extend(reloads(&running, options.duration).err());
    if lost > 0 {
        problems.push(format!("{lost} requests of the client beside attacks failed"));
    }
    Ok(problems)
}

/// Every reload was applied; signals that come while one is under way may become one.
fn reloads(running: &Running, duration: Duration) -> Result<(), String> {
    let page = Client::connect(running.admin).and_then(|mut admin| admin.get("/metrics"));
    let page = page.map_err(|error| format!("the admin listener does not answer: {error}"))?.body;
    let page = String::from_utf8_lossy(&page);
    let count = |outcome: &str| -> u64 {
        let series = format!("tidegate_config_reloads_total{{outcome=\"{outcome}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)?.trim().parse().ok()).unwrap_or(0)
    };
    let (applied, refused) = (count("applied"), count("refused"));
    println!("reloads applied: {applied}, refused: {refused}");
    let enough = applied >= duration.as_secs() / 2 && refused == 0;
    if enough { Ok(()) } else { Err(format!("{applied} reloads were applied, {refused} refused")) }
}

/// Kills, restarts and reloads until time is up; what was held when warm, and at the end of the traffic.
fn disturb(
    duration: Duration,
    stage: &Stage,
    endpoints: &mut [Option<Process>; 2],
    running: &mut Running,
    tally: &Tally,
) -> Result<(Holding, Holding), String> {
    let start = Instant::now();
    let warm_after = (duration / 4).min(Duration::from_secs(20));
    let (mut reload, mut kill, mut revive) = (start + RELOAD_EVERY, start + KILL_EVERY, None);
    let (mut victim, mut warm) = (0, None);
    while start.elapsed() < duration && running.process.ended().is_none() {
        let now = Instant::now();
        if now >= reload {
            running.process.signal(Signal::HUP);
            reload += RELOAD_EVERY;
        }
        if now >= kill {
            // SIGKILL: the kernel resets its connections, whatever was on them.
            if let Some(endpoint) = endpoints[victim].take() {
                endpoint.kill();
            }
            (revive, kill) = (Some(now + ABSENCE), kill + KILL_EVERY);
        }
        if revive.is_some_and(|due| now >= due) {
            endpoints[victim] = Some(stage.start_endpoint(victim)?);
            (victim, revive) = (1 - victim, None);
        }
        if warm.is_none() && start.elapsed() >= warm_after {
            warm = Some(holding(&running.process));
            println!("warm: {} requests that must not fail so far", tally.good.load(Ordering::Relaxed));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let hot = holding(&running.process);
    Ok((warm.unwrap_or(hot), hot))
}

fn holding(process: &Process) -> Holding {
    Holding { resident_kib: process.resident_kib(), descriptors: process.descriptors() }
}

/// What is held after the traffic, once no more is let go of.
fn settled(process: &Process, warm: Holding) -> Holding {
    let deadline = Instant::now() + SETTLE_MAX;
    let mut quiet = holding(process);
    while quiet.descriptors >= warm.descriptors && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        quiet = holding(process);
    }
    quiet
}

fn report(tally: &Tally, warm: Holding, hot: Holding, quiet: Holding) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!("                      warm   at the end   traffic over");
    println!(
        "resident KiB    {:>10}   {:>10}   {:>12}",
        warm.resident_kib, hot.resident_kib, quiet.resident_kib
    );
    println!(
        "descriptors     {:>10}   {:>10}   {:>12}",
        warm.descriptors, hot.descriptors, quiet.descriptors
    );
    println!("requests that must not fail: {}, failed: {}", read(&tally.good), read(&tally.failed));
    println!("requests that a kill may cut: {}, cut: {}", read(&tally.cuttable), read(&tally.cut));
    println!(
        "hostile connections: {}, neither answered nor closed: {}",
        read(&tally.hostile),
        read(&tally.unanswered)
    );
}

fn verdict(tally: &Tally, warm: Holding, hot: Holding, running: &mut Running) -> Vec<String> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut problems = Vec::new();
    let mut expect = |holds: bool, problem: String| {
        if !holds {
            problems.push(problem);
        }
    };
    expect(read(&tally.good) > 0, "no good request was answered".to_owned());
    expect(read(&tally.failed) == 0, format!("{} good idempotent requests failed", read(&tally.failed)));
    expect(read(&tally.hostile) > 0, "no hostile connection was made".to_owned());
    let unanswered = read(&tally.unanswered);
    expect(unanswered == 0, format!("{unanswered} hostile connections were neither answered nor closed"));
    let grown = hot.resident_kib.saturating_sub(warm.resident_kib);
    expect(grown <= GROWTH_KIB_MAX, format!("memory grew by {grown} KiB, more than {GROWTH_KIB_MAX}"));
    let grown = hot.descriptors.saturating_sub(warm.descriptors);
    let bound = GROWTH_DESCRIPTORS_MAX;
    expect(grown <= bound, format!("{grown} more descriptors are open, more than {bound}"));
    problems.extend(running.process.ended().map(|why| format!("tidegate is gone: {why}")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_is_bounded_in_time() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["0s", "2h", "61m", "99999999999999999999m", "soon"] {
            assert!(duration(wrong).unwrap_err().contains("from 10s to 60m"), "{wrong}");
        }
    }
}
