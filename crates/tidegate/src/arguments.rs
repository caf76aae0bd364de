//! What can be typed. Each command's help fits a screen and shows an example.

#![allow(clippy::doc_markdown, reason = "these comments are what --help prints")]

mod lab;
mod other_names;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
pub(crate) use lab::{LabArguments, LabCommand, LabList, LabReplay, LabRun, LabShow};
use std::path::PathBuf;
use std::time::Duration;

/// A load-balancing reverse proxy for HTTP
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    after_help = "Example: tidegate proxy --listen :8888 --to localhost:8001 --to localhost:8002"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Those of this process, which ends when they cannot be understood.
    pub(crate) fn read() -> Self {
        let matches =
            other_names::known_to(Self::command()).try_get_matches().map_err(other_names::without_dashes);
        matches.and_then(|matches| Self::from_arg_matches(&matches)).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say everything that is wrong with a configuration file
    Check(CheckArguments),
    /// Show the effective configuration, or its JSON Schema
    Config(ConfigArguments),
    /// Watch the proxy at work: embedded endpoints, load and a live view
    Demo(DemoArguments),
    /// Compare balancing algorithms on made-up fleets, in virtual time
    Lab(LabArguments),
    /// Balance over some endpoints, without a file
    Proxy(ProxyArguments),
    /// Serve as a configuration file says
    Run(RunArguments),
}

const RUN_EXAMPLE: &str = "\
Example: tidegate run -c tidegate.toml
Signals: HUP reads the file again, USR1 reopens the access log,
         TERM, INT and QUIT finish what is open and end; a second one ends at once.";

#[derive(Args, Debug)]
#[command(after_help = RUN_EXAMPLE)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
}

#[derive(Args, Debug)]
pub(crate) struct FileArgument {
    /// The configuration [default: ./tidegate.toml, then /etc/tidegate/tidegate.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "TIDEGATE_CONFIG")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example: tidegate proxy --listen :8888 --to localhost:8001 --to localhost:8002 --health /healthz"
)]
pub(crate) struct ProxyArguments {
    /// Where clients connect: :8888, 127.0.0.1:8888, unix:/run/web.sock (may be repeated)
    #[arg(long, value_name = "ADDRESS", default_value = ":8888")]
    pub(crate) listen: Vec<String>,
    /// An endpoint: localhost:8001, https://app.internal, unix:/run/app.sock (repeat for more)
    #[allow(rustdoc::bare_urls, reason = "what is typed, and what the help shows, has no brackets")]
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub(crate) to: Vec<String>,
    /// How endpoints share the load: least_request, round_robin, hash, … (docs/balancing.md) [default: adaptive]
    #[arg(long, value_name = "ALGORITHM")]
    pub(crate) balance: Option<String>,
    /// Check endpoints: a path to GET, or tcp for a connection alone
    #[arg(long, value_name = "PATH")]
    pub(crate) health: Option<String>,
    /// Threads that serve requests [default: one for each core]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) workers: Option<String>,
    /// Log each request: stdout, stderr or a file
    #[arg(long, value_name = "TARGET")]
    pub(crate) access_log: Option<String>,
    /// Where metrics and health are served, or off [default: 127.0.0.1:9901, or a free port]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Example: tidegate check tidegate.toml\nEnds with 0 when it holds, with 78 when not.")]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// The same without -c, and before it
    #[arg(value_name = "FILE")]
    pub(crate) named: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Example: tidegate config show -c tidegate.toml")]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print the configuration with every default written out
    Show(FileArgument),
}

const DEMO_EXAMPLE: &str = "\
Example: tidegate demo --for 10s
Keys: q quits; a, l, r, 2, e and p switch to another algorithm, as the screen says.
All requests come from one client: with an algorithm that hashes, one endpoint has them all.";

#[derive(Args, Clone, Debug)]
#[command(after_help = DEMO_EXAMPLE)]
pub(crate) struct DemoArguments {
    /// End by itself after this long: 10s, 2m [default: at q or Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) ends_after: Option<Duration>,
    /// Print one JSON object at the end, and nothing before
    #[arg(long)]
    pub(crate) json: bool,
    /// How endpoints share the load at first: least_request, round_robin, random, … [default: adaptive]
    #[arg(long, value_name = "ALGORITHM")]
    pub(crate) balance: Option<String>,
    /// Where the proxy listens [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Threads that serve requests [default: one for each core]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) workers: Option<String>,
    /// Where metrics and health are served, or off [default: 127.0.0.1:9901, or a free port]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<String>,
}

/// `500ms`, `10s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("`{text}` is no time: write it like 500ms, 10s, 2m or 1h");
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => return Err(wrong()),
    };
    Ok(unit * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        other_names::known_to(Arguments::command()).debug_assert();
    }

    #[test]
    fn every_help_fits_a_screen_and_shows_an_example() {
        let mut program = other_names::known_to(Arguments::command());
        program.build();
        for command in program.get_subcommands_mut().filter(|command| command.get_name() != "help") {
            fits_a_screen_and_shows_an_example(command);
            if command.get_name() == "lab" {
                let commands = command.get_subcommands_mut().filter(|command| command.get_name() != "help");
                commands.for_each(fits_a_screen_and_shows_an_example);
            }
        }
    }

    fn fits_a_screen_and_shows_an_example(command: &mut clap::Command) {
        let help = command.render_help().to_string();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.contains("Example: tidegate"), "{help}");
    }

    /// What is said of such arguments.
    fn said(arguments: &[&str]) -> String {
        let program = other_names::known_to(Arguments::command());
        let arguments = ["tidegate"].into_iter().chain(arguments.iter().copied());
        let matches = program.try_get_matches_from(arguments);
        matches.map_or_else(|error| other_names::without_dashes(error).to_string(), |_| "nothing".to_owned())
    }

    #[test]
    fn nobody_is_told_to_pass_an_unknown_option_behind_two_dashes() {
        for arguments in [&["run", "--fast"][..], &["demo", "--fast"], &["lab", "run", "x", "--fast"]] {
            let said = said(arguments);
            assert!(said.contains("unexpected argument '--fast' found\n\nUsage: "), "{said}");
        }
    }

    #[test]
    fn likely_mistakes_are_told_what_would_do() {
        for (arguments, expected) in [
            (&["demo", "--algorithm", "random"][..], "unexpected argument '--algorithm' found"),
            (&["demo", "--algorithm"], "similar argument exists: '--balance'"),
            (&["demo", "--duration", "10s"], "similar argument exists: '--for'"),
            (&["demo", "10s"], "write --for 10s"),
            (&["proxy", "localhost:8001"], "write --to localhost:8001"),
            (&["run", "my.toml"], "write -c my.toml"),
            (&["demo", "--workers", "-1"], "nothing"), // the configuration says what is wrong with it
            (&["proxy", "--port", "80", "--to", "a:1"], "similar argument exists: '--listen'"),
            (&["lab", "run"], "<FILE|--scenario <NAME>>"),
            (&["lab", "run", "--scenario", "G99"], "there is no scenario `G99`"),
            (&["lab", "run", "--scenario", "shared"], "did you mean `G2-shared`?"),
            (&["lab", "run", "--scenario", "ALL"], "nothing"),
            (&["lab", "run", "x", "--balance", "adaptive"], "similar argument exists: '--algorithm'"),
            (&["lab", "run", "x", "--for", "10s"], "similar argument exists: '--seconds'"),
            (&["lab", "run", "x", "--seconds", "10s"], "write a whole number from 1 on, such as 60"),
            (&["lab", "run", "x", "--seconds", "-1"], "write a whole number from 1 on, such as 60"),
            (&["lab", "run", "x", "--seed", "one"], "write a whole number, such as 1"),
            (&["lab", "run", "x", "--algorithm", "hash"], "did you mean `consistent_hash`?"),
            (&["lab", "run", "x", "--algorithm", "ADAPTIVE"], "did you mean `adaptive`?"),
            (&["lab", "run", "x", "--algorithm", "adaptive,least_request"], "nothing"),
            (&["lab", "replay", "x", "--seconds", "3"], "a replay lasts as long as its log"),
            (&["lab", "replay", "x", "--format", "nginx"], "recognised line by line"),
            (&["lab", "replay", "x", "--scenario", "G2"], "tidegate lab run --scenario"),
            (&["lab", "replay", "x", "--slots", "3.5"], "write a whole number from 1 to 100000"),
        ] {
            let said = said(arguments);
            assert!(said.contains(expected), "{arguments:?}: {said}");
        }
    }

    #[test]
    fn times_carry_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "10", "s", "1.5s", "10 s", "-1s", "99999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
