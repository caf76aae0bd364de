//! What is due when, and a timer descriptor that wakes the poller for the first of it. Knows no events by name.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Agenda<Event> {
    origin: Instant,
    entries: BinaryHeap<Reverse<Entry<Event>>>,
    entered: u64,
    timer: OwnedFd,
    /// What the timer is set to.
    armed: Option<u64>,
    /// By how much the events so far were late, in nanoseconds.
    lateness: Vec<u64>,
}

#[derive(Debug)]
struct Entry<Event> {
    at: u64,
    /// Of two that are due at once, the one that was entered first comes first.
    order: u64,
    event: Event,
}

impl<Event> Agenda<Event> {
    /// Times are nanoseconds from `origin`.
    pub(super) fn from(origin: Instant) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let (entries, lateness) = (BinaryHeap::new(), Vec::new());
        Ok(Self { origin, entries, entered: 0, timer, armed: None, lateness })
    }

    pub(super) fn timer(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    pub(super) fn now(&self) -> u64 {
        self.since_origin(Instant::now())
    }

    pub(super) fn since_origin(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.origin).as_nanos() as u64
    }

    pub(super) fn enter(&mut self, at: u64, event: Event) {
        self.entered += 1;
        self.entries.push(Reverse(Entry { at, order: self.entered, event }));
    }

    /// The next event that is due, with the moment it was due at.
    pub(super) fn due(&mut self) -> Option<(u64, Event)> {
        let now = self.now();
        self.entries.peek().filter(|Reverse(first)| first.at <= now)?;
        let Reverse(Entry { at, event, .. }) = self.entries.pop()?;
        self.lateness.push(now - at);
        Some((at, event))
    }

    /// Sets the timer to the first entry; to be called before each wait.
    pub(super) fn arm(&mut self) -> io::Result<()> {
        let first = self.entries.peek().map(|Reverse(first)| first.at);
        if first == self.armed {
            return Ok(());
        }
        // A time of zero disarms the timer.
        let left =
            first.map_or(Duration::ZERO, |at| Duration::from_nanos(at.saturating_sub(self.now()).max(1)));
        let value =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed = first;
        Ok(())
    }

    /// The timer has gone off: it must be set again.
    pub(super) fn rang(&mut self) {
        let mut expirations = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut expirations);
        self.armed = None;
    }

    pub(super) fn forget_lateness(&mut self) {
        self.lateness.clear();
    }

    pub(super) fn take_lateness(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.lateness)
    }
}

impl<Event> PartialEq for Entry<Event> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<Event> Eq for Entry<Event> {}

impl<Event> PartialOrd for Entry<Event> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Event> Ord for Entry<Event> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_they_are_due_and_not_before() {
        let mut agenda = Agenda::from(Instant::now()).unwrap();
        let later = agenda.now() + Duration::from_hours(1).as_nanos() as u64;
        for (at, event) in [(3, "third"), (later, "later"), (1, "first"), (1, "second")] {
            agenda.enter(at, event);
        }
        let due: Vec<_> = std::iter::from_fn(|| agenda.due()).collect();
        assert_eq!(due, [(1, "first"), (1, "second"), (3, "third")]);
        assert_eq!(agenda.take_lateness().len(), 3);
    }
}
