//! The program: arguments in, exit code out. Decides nothing about requests.

#![forbid(unsafe_code)]

mod arguments; // what can be typed
mod commands; // what each command does
mod demo; // the show
mod files; // where the configuration is
mod outcome; // exit codes
mod terminal; // colour, and lines for the operator

use arguments::{Arguments, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let ended = match Arguments::read().command {
        Command::Check(arguments) => commands::check::check(&arguments),
        Command::Config(arguments) => commands::config::config(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Lab(arguments) => commands::lab::lab(&arguments),
        Command::Proxy(arguments) => commands::run::proxy(&arguments),
        Command::Run(arguments) => commands::run::run(&arguments),
    };
    outcome::exit_code(ended)
}
