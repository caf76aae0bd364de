//! The options of `run`: how long, what, and where the results go. Knows words, measures nothing.

use crate::peers::Subject;
use crate::scenario::{SCENARIOS, Scenario};
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Measures the floor, Tidegate, nginx and HAProxy side by side and prints how they compare.

  --tidegate PATH            the binary to measure (`cargo xtask bench` builds and passes it)
  --tidegate-counting PATH   the same with the feature count-allocations
  --quick                    two rounds of one second, fewer extras: a first impression in under three minutes
  --scenario NAME            only this load; may be repeated: small-1 small-64 small-512 large upload
  --subject NAME             only this one; may be repeated: floor tidegate nginx haproxy
  --rounds N --seconds N     rounds per load (3), seconds per round and subject (3)
  --loads-only               no system calls, idle memory, instructions or allocations
  --json                     print the results as JSON instead of tables
  --out FOLDER               where results are kept (bench/results); --no-out keeps none";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) tidegate: Option<PathBuf>,
    pub(crate) counting: Option<PathBuf>,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) rounds: u64,
    pub(crate) seconds: u64,
    pub(crate) extras: bool,
    pub(crate) json: bool,
    pub(crate) out: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tidegate: None,
            counting: None,
            scenarios: Vec::new(),
            subjects: Vec::new(),
            rounds: 3,
            seconds: 3,
            extras: true,
            json: false,
            out: Some(PathBuf::from("bench/results")),
        }
    }
}

/// The options, with everything chosen that was not named.
pub(crate) fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word {
            "--tidegate" => options.tidegate = Some(existing(value()?)?),
            "--tidegate-counting" => options.counting = Some(existing(value()?)?),
            "--quick" => (options.rounds, options.seconds) = (2, 1),
            "--scenario" => options.scenarios.push(scenario(value()?)?),
            "--subject" => options.subjects.push(subject(value()?)?),
            "--rounds" => options.rounds = count(word, value()?)?,
            "--seconds" => options.seconds = count(word, value()?)?,
            "--loads-only" => options.extras = false,
            "--json" => options.json = true,
            "--out" => options.out = Some(PathBuf::from(value()?)),
            "--no-out" => options.out = None,
            _ => return Err(format!("`{word}` is no option\n\n{USAGE}")),
        }
    }
    Ok(complete(options))
}

fn complete(mut options: Options) -> Options {
    if options.scenarios.is_empty() {
        options.scenarios = SCENARIOS.to_vec();
    }
    if options.subjects.is_empty() {
        options.subjects = Subject::ALL.to_vec();
    }
    if options.tidegate.is_none() {
        options.subjects.retain(|subject| *subject != Subject::Tidegate);
    }
    options
}

pub(crate) fn existing(path: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))
}

fn scenario(name: &str) -> Result<Scenario, String> {
    let known = || SCENARIOS.map(|scenario| scenario.name).join(", ");
    let found = SCENARIOS.into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| format!("there is no load `{name}`: expected one of {}", known()))
}

fn subject(name: &str) -> Result<Subject, String> {
    let known = || Subject::ALL.map(Subject::name).join(", ");
    Subject::by_name(name).ok_or_else(|| format!("`{name}` is not compared: expected one of {}", known()))
}

fn count(word: &str, value: &str) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| (1..=60).contains(number));
    number.ok_or_else(|| format!("{word} {value}: expected a number from 1 to 60"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_binary_tidegate_is_left_out() {
        let options = parse(&["--quick"]).unwrap();
        assert_eq!(options.subjects, [Subject::Floor, Subject::Nginx, Subject::Haproxy]);
        assert_eq!((options.rounds, options.seconds), (2, 1));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (words, expected) in [
            (["--scenario", "tiny"], "small-64"),
            (["--subject", "apache"], "haproxy"),
            (["--rounds", "0"], "from 1 to 60"),
            (["--tidegate", "/nowhere/at/all"], "No such file"),
            (["--fast", ""], "--quick"),
        ] {
            let error = parse(&words).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
