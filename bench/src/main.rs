//! What Tidegate is measured with: the floor, endpoints, the runner that compares, the duel, the soak.
//! Knows Tidegate only as a program with a configuration file.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its terminal")]
#![allow(clippy::disallowed_methods, reason = "measuring means reading the clock")]

mod address;
mod client;
mod duel;
mod endpoints;
mod floor;
mod front;
mod goals;
mod idle;
mod instructions;
mod options;
mod peers;
mod poller;
mod process;
mod report;
mod results;
mod run;
mod scenario;
mod soak;
mod syscalls;
mod wrk;

use std::process::ExitCode;

const USAGE: &str = "\
tidegate-bench run …                                        measure and compare; --help lists the options
tidegate-bench front …                                      HTTP/2 and TLS with clients; --help
tidegate-bench duel …                                       how well load is spread; --help
tidegate-bench soak …                                       good and hostile traffic for a while; --help
tidegate-bench floor LISTEN ENDPOINT…                       relay bytes and parse nothing
tidegate-bench endpoints LISTEN…                            answer with prepared bytes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["run", options @ ..] => run::command(options),
        ["front", options @ ..] => front::command(options),
        ["duel", options @ ..] => duel::command(options),
        ["soak", options @ ..] => soak::command(options),
        ["floor", listen, endpoints @ ..] if !endpoints.is_empty() => floor::command(listen, endpoints),
        ["endpoints", listeners @ ..] if !listeners.is_empty() => endpoints::command(listeners),
        _ => Err(format!("these arguments are not understood\n\n{USAGE}")),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
