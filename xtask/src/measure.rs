//! `cargo xtask bench`, `duel` and `soak`: builds what is measured and hands over to the runner in `bench/`.
//! Knows which builds exist, not what is measured.

use crate::{packages, workspace};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

pub(crate) fn bench(options: &[&str]) -> ExitCode {
    exit(run_bench(options))
}

pub(crate) fn duel(options: &[&str]) -> ExitCode {
    exit(run_duel(options))
}

pub(crate) fn soak(options: &[&str]) -> ExitCode {
    exit(run_soak(options))
}

fn exit(outcome: Result<u8, String>) -> ExitCode {
    outcome.map_or_else(
        |error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        },
        ExitCode::from,
    )
}

fn run_bench(options: &[&str]) -> Result<u8, String> {
    let runner = runner()?;
    if asks_for_help(options) {
        return hand_over(Command::new(runner).arg("run").args(options));
    }
    packages::ensure(packages::FOR_MEASURING)?;
    let mut command = Command::new(runner);
    command.arg("run");
    if !options.contains(&"--tidegate") {
        command.arg("--tidegate").arg(tidegate()?);
        command.arg("--tidegate-counting").arg(tidegate_counting()?);
    }
    let compared = hand_over(command.args(options).current_dir(workspace::root()))?;
    if !options.is_empty() {
        return Ok(compared); // somebody who wants something in particular
    }
    Ok(compared.max(run_with_tidegate("front", &[])?))
}

/// HTTP/2 and TLS with clients alone.
pub(crate) fn front(options: &[&str]) -> ExitCode {
    let ready = if asks_for_help(options) { Ok(()) } else { packages::ensure(packages::FOR_MEASURING) };
    exit(ready.and_then(|()| run_with_tidegate("front", options)))
}

fn run_duel(options: &[&str]) -> Result<u8, String> {
    if !asks_for_help(options) {
        packages::ensure(packages::FOR_THE_DUEL)?;
    }
    run_with_tidegate("duel", options)
}

fn run_soak(options: &[&str]) -> Result<u8, String> {
    run_with_tidegate("soak", options)
}

fn run_with_tidegate(what: &str, options: &[&str]) -> Result<u8, String> {
    let mut command = Command::new(runner()?);
    command.arg(what);
    if !options.contains(&"--tidegate") && !asks_for_help(options) {
        command.arg("--tidegate").arg(tidegate()?);
    }
    hand_over(command.args(options).current_dir(workspace::root()))
}

fn asks_for_help(options: &[&str]) -> bool {
    options.iter().any(|option| matches!(*option, "--help" | "-h"))
}

fn runner() -> Result<PathBuf, String> {
    build(&["--package", "tidegate-bench"])?;
    Ok(release()?.join("tidegate-bench"))
}

pub(crate) fn tidegate() -> Result<PathBuf, String> {
    build(&["--package", "tidegate"])?;
    set_aside(&release()?.join("tidegate"), "tidegate")
}

/// The same program with an allocator that counts, under another name: both are measured in one run.
fn tidegate_counting() -> Result<PathBuf, String> {
    build(&["--package", "tidegate", "--features", "count-allocations"])?;
    set_aside(&release()?.join("tidegate"), "tidegate-counting")
}

fn release() -> Result<PathBuf, String> {
    Ok(workspace::target_folder()?.join("release"))
}

fn build(arguments: &[&str]) -> Result<(), String> {
    let status = workspace::cargo().args(["build", "--quiet", "--release"]).args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("cargo build --release {} failed", arguments.join(" "))),
    }
}

/// Copies a build to where a later build does not overwrite it.
fn set_aside(binary: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = workspace::target_folder()?.join("measured");
    let copy = folder.join(name);
    let copied = std::fs::create_dir_all(&folder).and_then(|()| std::fs::copy(binary, &copy));
    copied
        .map_err(|error| format!("{} cannot be copied to {}: {error}", binary.display(), copy.display()))?;
    Ok(copy)
}

fn hand_over(command: &mut Command) -> Result<u8, String> {
    let status = command.status().map_err(|error| format!("{command:?} does not start: {error}"))?;
    Ok(status.code().map_or(1, |code| code as u8))
}
