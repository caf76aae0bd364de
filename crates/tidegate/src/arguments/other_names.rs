//! Options by names that they do not have here, but in another command or elsewhere: whoever types one is told what would do.
//! Knows nothing of what options mean.

use clap::builder::{StyledStr, UnknownArgumentValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command, Error};

/// Commands, the name that is none, and the one that is meant: an option, or where there is none, what to do instead.
const OTHER_NAMES: [(&[&str], &str, &str); 20] = [
    (&["demo"], "algorithm", "--balance"),
    (&["demo"], "duration", "--for"),
    (&["demo"], "port", "--listen"),
    (&["demo"], "seconds", "--for"),
    (&["demo"], "time", "--for"),
    (&["lab", "replay"], "balance", "--algorithm"),
    (&["lab", "replay"], "format", "a log's format is recognised line by line"),
    (&["lab", "replay"], "log", "the log stands by itself: tidegate lab replay access.log"),
    (&["lab", "replay"], "rate", "--times"),
    (&["lab", "replay"], "scenario", "scenarios are run: tidegate lab run --scenario NAME"),
    (&["lab", "replay"], "seconds", "a replay lasts as long as its log: cut the log, as with head"),
    (&["lab", "run"], "balance", "--algorithm"),
    (&["lab", "run"], "duration", "--seconds"),
    (&["lab", "run"], "for", "--seconds"),
    (&["lab", "run"], "time", "--seconds"),
    (&["proxy"], "algorithm", "--balance"),
    (&["proxy"], "backend", "--to"),
    (&["proxy"], "endpoint", "--to"),
    (&["proxy"], "port", "--listen"),
    (&["proxy"], "upstream", "--to"),
];

/// Commands, what may be typed without an option, and the option that it belongs behind.
const BEHIND: [(&str, &str, &str); 3] =
    [("demo", "TIME", "--for"), ("proxy", "ADDRESS", "--to"), ("run", "FILE", "-c")];

/// The program with all these, which no help shows.
pub(super) fn known_to(program: Command) -> Command {
    let program = BEHIND.iter().fold(program, |program, (command, what, option)| {
        program.mut_subcommand(command, |command| command.arg(belongs_behind(what, option)))
    });
    OTHER_NAMES.iter().fold(program, |program, (path, name, meant)| add(program, path, name, meant))
}

/// Without the tip to write `-- --fast`, as if that were the name of a file or an address.
pub(super) fn without_dashes(mut error: Error) -> Error {
    let is_that = |tip: &StyledStr| tip.to_string().contains("as a value, use");
    let tips = error.get(ContextKind::Suggested);
    if matches!(tips, Some(ContextValue::StyledStrs(tips)) if tips.iter().any(is_that)) {
        error.remove(ContextKind::Suggested);
    }
    error
}

fn belongs_behind(what: &'static str, option: &'static str) -> Arg {
    let refuse = move |text: &str| Err::<String, _>(format!("write {option} {text}"));
    Arg::new(what).hide(true).value_parser(refuse)
}

fn add(command: Command, path: &[&'static str], name: &'static str, meant: &'static str) -> Command {
    match path {
        [] => command
            .arg(Arg::new(name).long(name).hide(true).action(ArgAction::SetTrue).value_parser(parser(meant))),
        [next, rest @ ..] => command.mut_subcommand(next, |command| add(command, rest, name, meant)),
    }
}

fn parser(meant: &'static str) -> UnknownArgumentValueParser {
    if meant.starts_with("--") {
        UnknownArgumentValueParser::suggest_arg(meant)
    } else {
        UnknownArgumentValueParser::suggest(StyledStr::from(meant))
    }
}
