//! The process's own numbers, read from /proc when scraped. Knows nothing of what the process does.

use crate::exposition::Seconds;
use crate::families::{
    Family, HEAP_ALLOCATIONS, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME,
};
use std::fs;
use std::time::Duration;

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub open_fds: u64,
    /// `None`: no limit.
    pub max_fds: Option<u64>,
    /// Since the Unix epoch.
    pub started: Duration,
    /// Known in builds made for measuring; `read` leaves it empty.
    pub heap_allocations: Option<u64>,
}

impl Process {
    /// `None` where /proc is not mounted.
    pub fn read() -> Option<Self> {
        Some(Self {
            cpu: cpu_time(),
            resident_bytes: resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)?,
            open_fds: open_descriptors()?,
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            started: started()?,
            heap_allocations: None,
        })
    }

    /// The value of one of the process families, as exposed.
    pub(crate) fn value(&self, family: &Family) -> Option<String> {
        match family.name {
            name if name == PROCESS_CPU.name => Some(Seconds(self.cpu).to_string()),
            name if name == PROCESS_RESIDENT_MEMORY.name => Some(self.resident_bytes.to_string()),
            name if name == PROCESS_OPEN_FDS.name => Some(self.open_fds.to_string()),
            name if name == PROCESS_MAX_FDS.name => self.max_fds.map(|max| max.to_string()),
            name if name == HEAP_ALLOCATIONS.name => self.heap_allocations.map(|count| count.to_string()),
            name if name == PROCESS_START_TIME.name => Some(Seconds(self.started).to_string()),
            _ => None,
        }
    }
}

fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// From the line `VmRSS:     1234 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Since Linux 6.2 the size of the folder is the count, at the price of one stat; before, it is 0 and they are listed.
fn open_descriptors() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        count => Some(count),
    }
}

fn started() -> Option<Duration> {
    let since_boot = start_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let booted = boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(booted + Duration::from_millis(since_boot * 1000 / ticks_per_second))
}

/// Field 22 of /proc/self/stat; field 2, the name in parentheses, may hold spaces and parentheses itself.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn boot_time(stat: &str) -> Option<Duration> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_of_this_very_process_is_plausible() {
        let process = Process::read().unwrap();
        assert!((1 << 16..1 << 40).contains(&process.resident_bytes), "{process:?}");
        assert!(process.open_fds >= 3 && process.max_fds.is_none_or(|max| max >= process.open_fds));
        assert!(process.cpu > Duration::ZERO);
        assert!(process.started > Duration::from_hours(24 * 365 * 50), "after 2020: {process:?}");
    }

    #[test]
    fn a_program_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 1 1 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 987654 1000 10";
        assert_eq!(start_ticks(stat), Some(987_654));
    }

    #[test]
    fn text_that_is_not_of_proc_gives_nothing() {
        assert_eq!(resident_bytes("VmRSS: many kB"), None);
        assert_eq!(start_ticks("1 (x"), None);
        assert_eq!(boot_time("cpu 1 2 3"), None);
    }
}
