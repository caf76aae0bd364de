//! The options of `duel`. Knows words, measures nothing.

use super::contestant::{CONTESTANTS, Contestant, QUICK, REFERENCE};
use super::scenario::{SCENARIOS, Scenario};
use crate::options::existing;
use std::path::PathBuf;

pub(super) const USAGE: &str = "\
Tidegate, HAProxy and nginx in front of endpoints that sleep, under the same open-loop load, side by side.

  --tidegate PATH     the binary to measure (`cargo xtask duel` builds and passes it)
  --quick             one round of five seconds, fewer contestants, nothing with retries: about five minutes
  --scenario NAME     only this one; may be repeated: equal equal-settled cores cores-settled antagonist stalls
                      tenth-of-20 cold, and with four endpoints fails-500 fails-503 refuses resets fails-tenth fails-late all-fail-tenth,
                      each of these also with -retried behind it
  --contestant NAME   only this one, and `haproxy leastconn`, which ratios are taken to; may be repeated
  --rounds N          each with another seed (2)
  --seconds N         that are measured in each round (15; 30 where one request in a thousand decides)
  --seed N            of the first round (1)
  --json              print the results as JSON instead of tables
  --out FOLDER        where results are kept (bench/results), added to those of the same day and commit;
                      --no-out keeps none

Ends with 1 when something went wrong, and when one of two goals was measured by two rounds or more of the usual length and
does not hold: client errors below 0.5 % where one of four fails, and p99 at most 0.85 times that of HAProxy leastconn with
2, 4, 4 and 8 slots. All other goals are a report.";

/// Of a whole run: one seed alone can miss a goal by chance.
pub(super) const ROUNDS: u64 = 2;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) tidegate: PathBuf,
    pub(super) scenarios: Vec<Scenario>,
    pub(super) contestants: Vec<Contestant>,
    pub(super) rounds: u64,
    pub(super) seed: u64,
    pub(super) json: bool,
    pub(super) out: Option<PathBuf>,
}

/// What was said; what was not is chosen afterwards.
#[derive(Debug, Default)]
struct Said {
    tidegate: Option<PathBuf>,
    quick: bool,
    scenarios: Vec<Scenario>,
    contestants: Vec<Contestant>,
    rounds: Option<u64>,
    seconds: Option<u64>,
    seed: Option<u64>,
    json: bool,
    out: Option<PathBuf>,
    keeps_none: bool,
}

pub(super) fn parse(words: &[&str]) -> Result<Options, String> {
    let mut said = Said::default();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word {
            "--tidegate" => said.tidegate = Some(existing(value()?)?),
            "--quick" => said.quick = true,
            "--scenario" => said.scenarios.push(scenario(value()?)?),
            "--contestant" => said.contestants.push(contestant(value()?)?),
            "--rounds" => said.rounds = Some(number(word, value()?, 1..=20)?),
            "--seconds" => said.seconds = Some(number(word, value()?, 1..=600)?),
            "--seed" => said.seed = Some(number(word, value()?, 0..=u64::from(u32::MAX))?),
            "--json" => said.json = true,
            "--out" => said.out = Some(PathBuf::from(value()?)),
            "--no-out" => said.keeps_none = true,
            _ => return Err(format!("`{word}` is no option\n\n{USAGE}")),
        }
    }
    complete(said)
}

fn complete(said: Said) -> Result<Options, String> {
    let tidegate = said.tidegate.ok_or("there is no tidegate to measure: --tidegate PATH")?;
    let wanted = |one: &Contestant| match said.contestants.as_slice() {
        [] => !said.quick || QUICK.contains(&one.name),
        named => named.contains(one) || one.name == REFERENCE,
    };
    let scenarios: Vec<Scenario> = match said.scenarios {
        named if !named.is_empty() => named,
        _ => SCENARIOS.into_iter().filter(|one| !said.quick || !one.name.ends_with("-retried")).collect(),
    };
    let seconds = said.seconds.or(said.quick.then_some(5));
    let measured = |one: Scenario| seconds.map_or(one, |seconds| one.lasting(seconds));
    let kept = said.out.unwrap_or_else(|| PathBuf::from("bench/results"));
    Ok(Options {
        tidegate,
        scenarios: scenarios.into_iter().map(measured).collect(),
        contestants: CONTESTANTS.into_iter().filter(wanted).collect(),
        rounds: said.rounds.unwrap_or(if said.quick { 1 } else { ROUNDS }),
        seed: said.seed.unwrap_or(1),
        json: said.json,
        out: (!said.keeps_none && !said.quick).then_some(kept),
    })
}

fn scenario(name: &str) -> Result<Scenario, String> {
    let known = || SCENARIOS.map(|scenario| scenario.name).join(", ");
    let found = SCENARIOS.into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| format!("there is no scenario `{name}`: expected one of {}", known()))
}

fn contestant(name: &str) -> Result<Contestant, String> {
    let known = || CONTESTANTS.map(|contestant| format!("`{}`", contestant.name)).join(", ");
    let found = CONTESTANTS.into_iter().find(|contestant| contestant.name == name);
    found.ok_or_else(|| format!("`{name}` does not take part: expected one of {}", known()))
}

fn number(word: &str, value: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number
        .ok_or_else(|| format!("{word} {value}: expected a number from {} to {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::super::contestant::OURS;
    use super::*;

    #[test]
    fn the_reference_is_always_there() {
        let options = parse(&["--tidegate", "/", "--contestant", OURS, "--scenario", "cores"]).unwrap();
        let names: Vec<_> = options.contestants.iter().map(|one| one.name).collect();
        assert_eq!(names, [OURS, REFERENCE]);
        assert_eq!(options.scenarios.len(), 1);
    }

    #[test]
    fn quick_names_are_names_of_contestants() {
        let options = parse(&["--tidegate", "/", "--quick"]).unwrap();
        assert_eq!(options.contestants.len(), QUICK.len());
        assert_eq!(options.out, None, "a first impression is not kept");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (words, expected) in [
            (["--scenario", "tiny"], "antagonist"),
            (["--contestant", "apache"], "nginx best"),
            (["--rounds", "0"], "from 1 to 20"),
            (["--json", "--json"], "--tidegate PATH"),
            (["--fast", ""], "--quick"),
        ] {
            let error = parse(&words).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
