//! `cargo xtask test`: the whole suite as a list. Knows the order and the arguments, not what a step finds.

use crate::steps::Steps;
use crate::{packages, python, tidy, workspace};
use std::process::{Command, ExitCode};

pub(crate) fn test() -> ExitCode {
    let mut steps = Steps::default();
    steps.check("packages", || packages::ensure(packages::FOR_TESTS));
    steps.check("packages of Python", python::ensure);
    steps.command("fmt", &mut cargo(&["fmt", "--all", "--check"]));
    steps.command("clippy", &mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    steps.check("tidy", tidy::check);
    steps.command("unit and property tests", &mut cargo(&UNIT));
    steps.command("the binary", &mut cargo(&["build", "--package", "tidegate"]));
    steps.command("e2e tests", &mut e2e());
    steps.command("docs", cargo(&DOC).env("RUSTDOCFLAGS", "-D warnings"));
    steps.summary()
}

const UNIT: [&str; 5] = ["test", "--workspace", "--exclude", "tidegate-e2e", "--no-fail-fast"];
const DOC: [&str; 4] = ["doc", "--workspace", "--no-deps", "--document-private-items"];

/// The tests that hold the generated pages write them instead when `UPDATE_DOCS` is set.
pub(crate) fn regenerate_docs() -> ExitCode {
    let mut steps = Steps::default();
    steps.command("generated docs", cargo(&UNIT).env("UPDATE_DOCS", "1"));
    steps.summary()
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = workspace::cargo();
    command.args(arguments);
    command
}

fn e2e() -> Command {
    let mut command = cargo(&["test", "--package", "tidegate-e2e", "--no-fail-fast"]);
    if let Ok(target) = workspace::target_folder() {
        command.env("TIDEGATE_BIN", target.join("debug/tidegate"));
    }
    command
}
