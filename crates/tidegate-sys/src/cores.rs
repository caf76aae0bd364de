//! Which cores this process may run on, and pinning a thread to one. Knows nothing of what runs there.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// The numbers of the cores that this thread's affinity mask allows, ascending.
pub fn usable_cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect())
}

/// How many cores are worth a worker each: the affinity mask and the cgroup's CPU quota, at least 1.
pub fn usable_core_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Keeps the calling thread on one core; fails when the core does not exist or is not ours.
pub fn pin_current_thread(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_exactly_one_usable_core() {
        let core = usable_cores().unwrap()[0];
        let seen = std::thread::spawn(move || {
            pin_current_thread(core).unwrap();
            usable_cores().unwrap()
        });
        assert_eq!(seen.join().unwrap(), [core]);
    }

    #[test]
    fn a_core_that_does_not_exist_is_an_error() {
        assert!(pin_current_thread(usize::MAX).is_err());
        assert!(pin_current_thread(CpuSet::MAX_CPU - 1).is_err());
    }

    #[test]
    fn no_more_cores_are_worth_a_worker_than_are_usable() {
        assert!((1..=usable_cores().unwrap().len()).contains(&usable_core_count()));
    }
}
