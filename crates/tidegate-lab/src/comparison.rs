//! Runs a scenario by several algorithms, as many at a time as there are cores for it. Knows no algorithm and no form of
//! output.

use crate::contender::Contender;
use crate::goal::Goal;
use crate::outcome::{Comparison, Outcome};
use crate::scenario::Scenario;
use crate::simulation::{Clock, Plan};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How far the runs of a comparison are; for whoever watches from another thread.
#[derive(Debug, Default)]
pub struct Progress {
    clocks: Vec<Clock>,
    until: u64,
}

impl Progress {
    pub fn of(scenario: &Scenario) -> Self {
        Self::new(scenario.algorithms.len(), scenario.lasts.0)
    }

    pub(crate) fn new(runs: usize, until: u64) -> Self {
        Self { clocks: (0..runs).map(|_| Clock::default()).collect(), until }
    }

    /// From 0 to 1.
    pub fn part(&self) -> f64 {
        let done: u64 = self.clocks.iter().map(|clock| clock.load(Relaxed) / self.clocks.len() as u64).sum();
        done as f64 / self.until.max(1) as f64
    }
}

impl Scenario {
    /// How many of its goals nothing will be said of, because they speak of algorithms that do not run, and of which.
    pub fn unjudged(&self) -> (usize, Vec<String>) {
        let runs = |name: &String| self.algorithms.iter().any(|contender| contender.name == *name);
        let goals = self.goal.iter().filter(|goal| !goal.names().all(runs)).count();
        let mut missing: Vec<String> =
            self.goal.iter().flat_map(Goal::names).filter(|name| !runs(name)).cloned().collect();
        missing.sort_unstable();
        missing.dedup();
        (goals, missing)
    }

    /// Every algorithm of the scenario on the same requests. `jobs`: runs at the same time.
    pub fn compare(&self, seed: u64, jobs: usize, progress: &Progress) -> Comparison {
        let plan = self.plan(seed);
        let outcomes = run_all(&plan, &self.algorithms, jobs, progress);
        let verdicts = self.goal.iter().filter_map(|goal| goal.judge(&outcomes)).collect();
        Comparison {
            scenario: self.name.clone(),
            title: self.title.clone(),
            verdicts,
            ..compared(&plan, outcomes)
        }
    }
}

/// A comparison without a name and without goals.
pub(crate) fn compared(plan: &Plan, outcomes: Vec<Outcome>) -> Comparison {
    Comparison {
        scenario: String::new(),
        title: String::new(),
        seed: plan.seed,
        seconds: plan.until.seconds(),
        warm_up_seconds: plan.warm_up.seconds(),
        endpoints: plan.machines.len(),
        slots: plan.machines.iter().map(|machine| u64::from(machine.slots)).sum(),
        at_once: None,
        proxies: plan.proxies,
        outcomes,
        verdicts: Vec::new(),
        assumed: Vec::new(),
        explained: None,
    }
}

pub(crate) fn run_all(
    plan: &Plan,
    contenders: &[Contender],
    jobs: usize,
    progress: &Progress,
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        loop {
            let turn = next.fetch_add(1, Relaxed);
            let (Some(contender), Some(clock)) = (contenders.get(turn), progress.clocks.get(turn)) else {
                return;
            };
            let outcome = plan.run_with_clock(contender, clock);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((turn, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, contenders.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_unstable_by_key(|(turn, _)| *turn);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
