//! `cargo xtask …`: what a developer runs. Knows the commands and their order, nothing of what Tidegate does.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its terminal")]
#![allow(clippy::disallowed_methods, reason = "steps are timed with the clock of the machine they run on")]

mod lab_report;
mod measure;
mod packages;
mod python;
mod steps;
mod suite;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test        install what the tests need, then fmt, clippy, tidy, unit, property, e2e, docs
cargo xtask tidy        the rules of the house that no compiler checks
cargo xtask docs        write the generated reference pages again
cargo xtask bench       Tidegate beside nginx, HAProxy and the floor (--help lists the options)
cargo xtask front       HTTP/2 and TLS with clients, beside nginx, HAProxy and nghttpx (--help)
cargo xtask duel        how well Tidegate, HAProxy and nginx spread the same load (--help)
cargo xtask lab-report  every scenario of the laboratory in full, into bench/results/
cargo xtask soak        two minutes of good and hostile traffic with kills and reloads (--help)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => suite::test(),
        ["tidy"] => tidy::command(),
        ["docs"] => suite::regenerate_docs(),
        ["bench", options @ ..] => measure::bench(options),
        ["front", options @ ..] => measure::front(options),
        ["duel", options @ ..] => measure::duel(options),
        ["lab-report"] => lab_report::command(),
        ["soak", options @ ..] => measure::soak(options),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("error: there is no `cargo xtask {}`\n\n{USAGE}", words.join(" "));
            ExitCode::from(2)
        }
    }
}
