//! `duel`: spreads load better than the others, or not. Every contestant gets endpoints of its own, and the same
//! arrivals and work by seed; they take turns, a few at a time, round by round. Knows the order of a duel, leaves
//! endpoints, client, contestants and numbers to their files.

mod agenda;
mod chance;
mod client;
mod contestant;
mod course;
mod endpoint;
mod fleet;
mod goals;
mod lane;
mod options;
mod page;
mod quantiles;
mod scenario;
mod standing;
mod token;

use crate::process::Scratch;
use crate::run::{answer, progress, raise_descriptor_limit};
use contestant::{Contender, Contestant, Task};
use course::MEAN_WORK;
use fleet::WORK_PATH;
use goals::goals;
use lane::{Go, Lane, Outcome};
use options::{Options, ROUNDS, USAGE};
use page::Results;
use scenario::Scenario;
use standing::{Run, Standings};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Requests a second to all contestants that run at a time. One takes about 80 µs of a processor, endpoint, proxy and
/// client together: a third of two cores, so that hardly anybody waits for one.
const RATE_MAX: f64 = 8_000.0;
/// How often some contestants run again, all of them, because the machine was busy.
const ATTEMPTS_MAX: u32 = 4;
/// From the word go to the first request.
const LEAD: Duration = Duration::from_millis(50);

pub(crate) fn command(words: &[&str]) -> Result<ExitCode, String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = options::parse(words)?;
    raise_descriptor_limit();
    let mut results = Results::of(answer("date", &["-u", "+%Y-%m-%d"]));
    let mut missed = Vec::new();
    for scenario in &options.scenarios {
        let standings = measure(&options, scenario)?;
        missed.extend(broken_promises(scenario, options.rounds, &standings));
        results.add(standings);
    }
    if options.json {
        println!("{}", results.to_json()?);
    } else {
        println!("{}", results.page());
    }
    let all_well = results.scenarios.iter().all(|scenario| scenario.failures.is_empty());
    if let Some(folder) = &options.out {
        let kept = results.keep(folder)?;
        progress(&format!("kept in {}", kept.display()));
    }
    for promise in &missed {
        progress(promise);
    }
    Ok(if all_well && missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The goals that must hold and do not. A shortened run breaks none: what is lost until an endpoint's trouble is learned is
/// a larger part of a shorter time, and p99 of one seed alone is off by a few percent.
fn broken_promises(scenario: &Scenario, rounds: u64, standings: &Standings) -> Vec<String> {
    if scenario.is_shortened() || rounds < ROUNDS {
        return Vec::new();
    }
    let broken = goals(standings).into_iter().filter(|goal| goal.must_hold && !goal.reached);
    let told = broken.map(|goal| {
        let measured = goal.measured.map_or("not measured".to_owned(), |measured| format!("{measured:.3}"));
        format!("{}: {}, which must be {}, is {measured}", scenario.name, goal.what, goal.wanted)
    });
    told.collect()
}

fn measure(options: &Options, scenario: &Scenario) -> Result<Standings, String> {
    let all: Vec<Contestant> =
        options.contestants.iter().copied().filter(|one| one.takes_part(scenario)).collect();
    let at_once = ((RATE_MAX / scenario.rate()) as usize).clamp(1, all.len());
    let mut runs: BTreeMap<&'static str, Vec<Run>> = BTreeMap::new();
    for round in 0..options.rounds {
        progress(&format!("{}: round {} of {}", scenario.name, round + 1, options.rounds));
        // Nobody is always first, and nobody always beside the same.
        let mut order = all.clone();
        order.rotate_left((round as usize * (at_once + 1)) % all.len());
        for batch in order.chunks(at_once) {
            for (contestant, run) in run_undisturbed(options, scenario, batch, options.seed + round)? {
                runs.entry(contestant.name).or_default().push(run);
            }
        }
    }
    let runs = all.iter().filter_map(|one| Some((one.name, runs.remove(one.name)?)));
    let mut standings = Standings::of(scenario, &runs.collect::<Vec<_>>());
    standings.commit = answer("git", &["rev-parse", "--short", "HEAD"]);
    standings.conditions = format!(
        "{:.0} requests/s to each; {} rounds of {} s after a warm-up of {} s, seeds from {}; {at_once} at a time.",
        scenario.rate(),
        options.rounds,
        scenario.seconds,
        scenario.measured_from() / course::SECOND,
        options.seed,
    );
    Ok(standings)
}

/// Runs some contestants until the machine has left them alone, which shows in endpoints and clients alone and not in
/// how the contestants did.
fn run_undisturbed(
    options: &Options,
    scenario: &Scenario,
    batch: &[Contestant],
    seed: u64,
) -> Result<Vec<(Contestant, Run)>, String> {
    let mut attempt = 1;
    loop {
        let runs = run_beside(options, scenario, batch, seed)?;
        if attempt == ATTEMPTS_MAX || runs.iter().all(|(_, run)| !run.was_late()) {
            return Ok(runs);
        }
        progress("the machine was busy: once more");
        attempt += 1;
    }
}

/// A contestant at work in front of its endpoints.
#[derive(Debug)]
struct Bout {
    contender: Contender,
    go: mpsc::Sender<Go>,
    lane: JoinHandle<Result<Outcome, String>>,
}

/// Runs some contestants at the same time, each in front of endpoints of its own.
fn run_beside(
    options: &Options,
    scenario: &Scenario,
    batch: &[Contestant],
    seed: u64,
) -> Result<Vec<(Contestant, Run)>, String> {
    let scratch = Scratch::create()?;
    let bouts: Vec<Bout> = batch
        .iter()
        .map(|contestant| prepare(options, scenario, *contestant, seed, &scratch))
        .collect::<Result<_, _>>()?;
    let start = Instant::now() + LEAD;
    for bout in &bouts {
        let go = Go { proxy: bout.contender.address, start };
        bout.go
            .send(go)
            .map_err(|_| format!("{}: its endpoints are gone", bout.contender.contestant.name))?;
    }
    let cpu = || -> Vec<u64> { bouts.iter().map(|bout| bout.contender.process.cpu_ns()).collect() };
    sleep_until(start + Duration::from_nanos(scenario.measured_from()));
    let before = cpu();
    if scenario.last_joins_late() {
        bouts.iter().try_for_each(|bout| bout.contender.admit_the_last())?;
    }
    let seconds = Duration::from_secs(scenario.seconds);
    sleep_until(start + Duration::from_nanos(scenario.measured_from()) + seconds);
    let after = cpu();
    let runs = bouts.into_iter().zip(before.into_iter().zip(after)).map(|(bout, (before, after))| {
        let cpu_share = after.saturating_sub(before) as f64 / seconds.as_nanos() as f64;
        Ok((bout.contender.contestant, bout.conclude(scenario, seconds, cpu_share)?))
    });
    runs.collect()
}

/// Endpoints that serve, and the contestant in front of them, which answers.
fn prepare(
    options: &Options,
    scenario: &Scenario,
    contestant: Contestant,
    seed: u64,
    scratch: &Scratch,
) -> Result<Bout, String> {
    let (go, orders) = mpsc::channel();
    let lane = Lane::prepare(scenario.course(seed), orders)?;
    let slots = scenario.hosts().into_iter().map(|host| host.slots);
    let task = Task {
        endpoints: lane.addresses().into_iter().zip(slots).collect(),
        last_joins_late: scenario.last_joins_late(),
        retries: scenario.retries,
        folder: scratch.path(&contestant.name.replace(' ', "-")),
        tidegate: options.tidegate.clone(),
    };
    let lane = std::thread::spawn(move || lane.run());
    // A request like the others: it must not teach that the endpoints are quick.
    let contender = contestant.start(task, &format!("{WORK_PATH}{}", MEAN_WORK / 1_000))?;
    Ok(Bout { contender, go, lane })
}

impl Bout {
    fn conclude(self, scenario: &Scenario, seconds: Duration, cpu_share: f64) -> Result<Run, String> {
        let name = self.contender.contestant.name;
        let outcome =
            self.lane.join().map_err(|_| format!("{name}: its endpoints or its client panicked"))??;
        let complaint = self.contender.check_that_nothing_is_in_flight().err();
        let lane_share = outcome.cpu as f64 / seconds.as_nanos() as f64;
        Ok(Run::of(scenario, outcome, [cpu_share, lane_share], complaint))
    }
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_fails_by_a_goal_that_must_hold_unless_it_was_shortened() {
        let named = |name| scenario::SCENARIOS.into_iter().find(|one| one.name == name).unwrap();
        let told = |scenario: Scenario, rounds| {
            // Nothing was sent.
            let nothing = |name| (name, Vec::new());
            let runs = [nothing(contestant::OURS), nothing(contestant::REFERENCE)];
            broken_promises(&scenario, rounds, &Standings::of(&scenario, &runs))
        };
        let missed = ["fails-500: client errors, %, which must be < 0.5, is not measured"];
        assert_eq!(told(named("fails-500"), 2), missed);
        assert_eq!(told(named("cores"), 2).len(), 1);
        assert_eq!(told(named("fails-500").lasting(60), 3), missed);
        assert!(told(named("fails-500").lasting(5), 2).is_empty() && told(named("cores"), 1).is_empty());
        assert!(told(named("stalls"), 2).is_empty() && told(named("tenth-of-20"), 2).is_empty());
    }
}
