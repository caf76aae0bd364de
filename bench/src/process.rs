//! A program that is measured: pinned to a core, looked at through /proc, stopped by its id whatever happens.
//! Knows nothing of what the program does.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to end after it was asked to.
const FAREWELL_MAX: Duration = Duration::from_secs(3);

/// Where a program runs: what is measured on one core, what loads it on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// Wherever the scheduler likes: when nobody needs much of a core.
    Any,
    Loading,
    Measured,
}

impl Core {
    /// As `taskset` takes it.
    fn list(self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match self {
            Self::Any => format!("0-{}", cores - 1),
            Self::Loading => 1.min(cores - 1).to_string(),
            Self::Measured => "0".to_owned(),
        }
    }
}

/// The command, pinned, and ended by the kernel should we die first.
pub(crate) fn pinned(core: Core, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c", &core.list()]).arg(program);
    command
}

/// A running program and its children.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command; what it says goes to `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Result<Self, String> {
        let file = File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let child = command.stdin(Stdio::null()).stderr(file).spawn();
        let child = child.map_err(|error| format!("{command:?} does not start: {error}"))?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its id and those of everything that descends from it.
    pub(crate) fn family(&self) -> Vec<u32> {
        family(self.pid())
    }

    pub(crate) fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Why it is no longer running; nothing while it runs.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        Some(format!("it ended with {status}, saying: {}", said.trim()))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Asks it to end, waits, and kills what is left of it and its descendants.
    pub(crate) fn stop(&mut self, patience: Duration) {
        let family = self.family();
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
        }
        let _ = self.child.wait();
        for descendant in family.into_iter().skip(1) {
            send(descendant, Signal::KILL);
        }
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// CPU time of all its threads and children so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.family().into_iter().map(cpu_ns).sum()
    }

    /// The same in ticks, in the program and in the kernel: how it divides.
    pub(crate) fn cpu_ticks(&self) -> (u64, u64) {
        let each = self.family().into_iter().map(cpu_ticks);
        each.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        self.family().into_iter().map(resident_kib).sum()
    }

    pub(crate) fn descriptors(&self) -> usize {
        self.family().into_iter().map(descriptors).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop(FAREWELL_MAX);
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The process and everything that descends from it.
fn family(pid: u32) -> Vec<u32> {
    let mut members = vec![pid];
    let mut next = 0;
    while let Some(member) = members.get(next).copied() {
        for task in entries(&format!("/proc/{member}/task")) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            members.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
        next += 1;
    }
    members
}

/// What the scheduler has counted, thread by thread: far finer than the ticks of `/proc/PID/stat`.
fn cpu_ns(pid: u32) -> u64 {
    let first_number = |task: PathBuf| -> Option<u64> {
        fs::read_to_string(task.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    entries(&format!("/proc/{pid}/task")).into_iter().filter_map(first_number).sum()
}

/// Ticks of a hundredth of a second: in the program, and in the kernel for it.
fn cpu_ticks(pid: u32) -> (u64, u64) {
    let of_thread = |task: PathBuf| -> Option<(u64, u64)> {
        let stat = fs::read_to_string(task.join("stat")).ok()?;
        let mut behind_name = stat.rsplit(')').next()?.split_whitespace().skip(11);
        Some((behind_name.next()?.parse().ok()?, behind_name.next()?.parse().ok()?))
    };
    let threads = entries(&format!("/proc/{pid}/task")).into_iter().filter_map(of_thread);
    threads.fold((0, 0), |all, thread| (all.0 + thread.0, all.1 + thread.1))
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn descriptors(pid: u32) -> usize {
    entries(&format!("/proc/{pid}/fd")).len()
}

fn entries(folder: &str) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// A folder for one run, removed at its end.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub(crate) fn create() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("tidegate-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file and says where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_with_its_children_and_is_gone_after_drop() {
        let scratch = Scratch::create().unwrap();
        let process =
            Process::start(Command::new("sh").args(["-c", "sleep 60 & wait"]), scratch.path("log")).unwrap();
        let pid = process.pid();
        while family(pid).len() < 2 {
            std::thread::yield_now();
        }
        let members = family(pid);
        assert!(process.resident_kib() > 0);
        drop(process);
        // Killing is done when the kernel gets to it; a survivor ends by itself after a minute, and fails the test.
        let deadline = Instant::now() + Duration::from_secs(30);
        while members.iter().any(|member| resident_kib(*member) > 0) {
            assert!(Instant::now() < deadline, "one of {members:?} outlived its parent");
            std::thread::yield_now();
        }
    }
}
