//! Signals, memory and descriptors of a process by its id.
//!
//! Reads `/proc`; knows nothing of what the process does.

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

/// Sends a signal to the process that this test started.
///
/// # Panics
/// When the process is gone.
pub fn signal(id: u32, signal: Signal) {
    kill_process(pid(id), signal).expect("the process is running");
}

/// Sets the soft limit of open descriptors of a running process.
///
/// # Panics
/// When the kernel refuses.
pub fn limit_descriptors(id: u32, soft: u64) {
    let hard = prlimit_of(id).maximum;
    prlimit(Some(pid(id)), Resource::Nofile, Rlimit { current: Some(soft), maximum: hard })
        .expect("the limit can be set");
}

fn prlimit_of(id: u32) -> Rlimit {
    let text = std::fs::read_to_string(format!("/proc/{id}/limits")).expect("the process is running");
    let line = text.lines().find(|line| line.starts_with("Max open files")).expect("a line of limits");
    let mut numbers = line.split_whitespace().skip(3);
    let mut next = || numbers.next().and_then(|word| word.parse().ok());
    Rlimit { current: next(), maximum: next() }
}

/// Resident memory in bytes.
///
/// # Panics
/// When the process is gone.
pub fn resident_bytes(id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process is running");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a line of resident memory");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    kib * 1024
}

/// How many descriptors are open.
///
/// # Panics
/// When the process is gone.
pub fn open_descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).expect("the process is running").count()
}

/// User and system time used so far, in clock ticks (a hundredth of a second).
///
/// # Panics
/// When the process is gone.
pub fn cpu_ticks(id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process is running");
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let numbers: Vec<u64> = after_name.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // `utime` and `stime` are fields 14 and 15 of proc(5); the state letter after the name does not parse.
    numbers[10] + numbers[11]
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id")
}
