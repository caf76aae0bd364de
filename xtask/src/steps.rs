//! Runs steps one after another, each bounded in time, goes on after a failure, and sums up at the end.
//! Knows how cargo reports tests; knows no particular step.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// No step takes longer than this, not even a first build on two slow cores.
const STEP_TIME_MAX: Duration = Duration::from_mins(25);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

#[derive(Debug)]
struct Done {
    name: &'static str,
    tally: Tally,
    complaint: Option<String>,
    took: Duration,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
}

impl Steps {
    /// A step that runs a command; what the command counts as tests is counted as tests.
    pub(crate) fn command(&mut self, name: &'static str, command: &mut Command) {
        self.step(name, || supervise(command));
    }

    /// A step of our own: it passes or says why not.
    pub(crate) fn check(&mut self, name: &'static str, check: impl FnOnce() -> Result<(), String>) {
        self.step(name, || (Tally::default(), check().err()));
    }

    fn step(&mut self, name: &'static str, run: impl FnOnce() -> (Tally, Option<String>)) {
        println!("── {name}");
        let start = Instant::now();
        let (tally, complaint) = run();
        let took = start.elapsed();
        let done = Done { name, tally: settled(tally, complaint.is_some()), complaint, took };
        println!("{}", line(&done));
        self.done.push(done);
    }

    /// The closing lines; success only when nothing failed.
    pub(crate) fn summary(self) -> ExitCode {
        println!("── summary");
        for done in &self.done {
            println!("{}", line(done));
        }
        let total = self.done.iter().fold(Tally::default(), |sum, done| Tally {
            passed: sum.passed + done.tally.passed,
            failed: sum.failed + done.tally.failed,
            ignored: sum.ignored + done.tally.ignored,
        });
        if total.ignored > 0 {
            println!("{} ignored", total.ignored);
        }
        println!("{} passed, {} failed", total.passed, total.failed);
        if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A step that counts no tests is one check; a step that failed without a failed test (it did not build) is one failure.
fn settled(mut tally: Tally, complained: bool) -> Tally {
    if complained {
        tally.failed = tally.failed.max(1);
    } else if tally == Tally::default() {
        tally.passed = 1;
    }
    tally
}

fn line(done: &Done) -> String {
    let seconds = done.took.as_secs_f64();
    let Tally { passed, failed, .. } = done.tally;
    match &done.complaint {
        None => format!("ok      {:<24} {passed:>5} passed  {seconds:>6.1} s", done.name),
        Some(why) => format!("FAILED  {:<24} {failed:>5} failed  {seconds:>6.1} s  {why}", done.name),
    }
}

/// Runs the command with its output passed on as it comes; its complaint is how it ended, if not well.
fn supervise(command: &mut Command) -> (Tally, Option<String>) {
    let mut child = match command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => return (Tally::default(), Some(format!("{command:?} does not start: {error}"))),
    };
    let (sender, tally) = mpsc::channel();
    let output = child.stdout.take();
    std::thread::spawn(move || sender.send(output.map(pass_on).unwrap_or_default()));
    let complaint = match wait(&mut child, STEP_TIME_MAX) {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("it ended with {status}")),
        Err(error) => Some(error),
    };
    // A grandchild that outlives the command may hold the pipe open: what it still says is not waited for.
    (tally.recv_timeout(Duration::from_secs(5)).unwrap_or_default(), complaint)
}

fn pass_on(output: impl std::io::Read) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        count(&line, &mut tally);
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    tally
}

/// Counts a line of the test harness: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(line: &str, tally: &mut Tally) {
    let Some(result) = line.strip_prefix("test result: ") else { return };
    let number = |word: &str| -> u64 {
        let clause = result.split([';', '.']).find_map(|clause| clause.trim().strip_suffix(word));
        clause.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    };
    tally.passed += number("passed");
    tally.failed += number("failed");
    tally.ignored += number("ignored");
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) => {
                kill_family(child.id());
                let _ = child.wait();
                return Err(format!("it took longer than {} s and was killed", limit.as_secs()));
            }
            Err(error) => return Err(format!("it cannot be waited for: {error}")),
        }
    }
}

/// Kills a process and everything that descends from it, each by its id.
fn kill_family(pid: u32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    for child in children.split_whitespace().filter_map(|word| word.parse().ok()) {
        kill_family(child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_several_test_binaries_add_up() {
        let mut tally = Tally::default();
        count("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out", &mut tally);
        count("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured", &mut tally);
        count("test some::name ... ok", &mut tally);
        assert_eq!(tally, Tally { passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_command_that_fails_without_a_failed_test_still_counts_as_a_failure() {
        let (tally, complaint) = supervise(Command::new("sh").args(["-c", "exit 3"]));
        assert_eq!(settled(tally, complaint.is_some()).failed, 1);
    }

    #[test]
    fn a_check_that_passes_counts_once() {
        assert_eq!(settled(Tally::default(), false).passed, 1);
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let mut child = Command::new("sh").args(["-c", "sleep 600 & wait"]).spawn().unwrap();
        let ended = wait(&mut child, Duration::from_millis(200));
        assert!(ended.unwrap_err().contains("was killed"));
    }
}
