//! The monotonic clock as plain nanoseconds, and a descriptor that becomes readable at a moment of it.

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

const NANOS: u64 = 1_000_000_000;

/// Nanoseconds on `CLOCK_MONOTONIC`, whose origin is the start of the machine: comparable between threads.
#[inline]
pub fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * NANOS + now.tv_nsec as u64
}

/// A descriptor that becomes readable, for eight bytes, at the moment given to `set_timer`.
pub fn timer_descriptor() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Sets a moment of `monotonic_nanos`, in place of the one before, fired or not. One that has passed fires at once.
pub fn set_timer(timer: &impl AsFd, nanos: u64) -> io::Result<()> {
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Zero would disarm: the first nanosecond has passed as well.
    let nanos = nanos.max(1);
    let moment = Timespec {
        tv_sec: i64::try_from(nanos / NANOS).unwrap_or(i64::MAX),
        tv_nsec: (nanos % NANOS).cast_signed(),
    };
    let timing = Itimerspec { it_interval: never, it_value: moment };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &timing)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    fn becomes_readable(timer: &OwnedFd, within_millis: i64) -> bool {
        let mut polled = [PollFd::new(timer, PollFlags::IN)];
        let limit = Timespec { tv_sec: 0, tv_nsec: within_millis * 1_000_000 };
        poll(&mut polled, Some(&limit)).unwrap() == 1
    }

    #[test]
    fn a_timer_fires_at_its_moment_and_not_before() {
        let timer = timer_descriptor().unwrap();
        let moment = monotonic_nanos() + 20_000_000;
        set_timer(&timer, moment).unwrap();
        assert!(becomes_readable(&timer, 900));
        assert!(monotonic_nanos() >= moment);
    }

    #[test]
    fn a_timer_that_is_set_again_forgets_the_moment_before() {
        let timer = timer_descriptor().unwrap();
        set_timer(&timer, 0).unwrap();
        assert!(becomes_readable(&timer, 900), "the past fires at once");
        set_timer(&timer, monotonic_nanos() + 60 * NANOS).unwrap();
        assert!(!becomes_readable(&timer, 1));
    }
}
