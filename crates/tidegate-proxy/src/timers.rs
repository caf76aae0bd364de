//! One alarm per connection, re-armed without touching a timer: most deadlines are moved long before they pass.
//!
//! An alarm is a slot that holds the current deadline. The queue holds at most one live entry per alarm, for a moment at or
//! before that deadline; when it comes up early, it is queued again. So a deadline that only moves later costs a store, and
//! the queue is touched about once per shortest timeout, not once per request. One timer descriptor wakes the worker for
//! the head of the queue; the runtime's own timers would cost every turn of its loop.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tidegate_balance::Moment;
use tidegate_sys::{monotonic_nanos, set_timer, timer_descriptor};
use tokio::net::unix::pipe;

/// The deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Entries of the queue that may have lost their meaning, beyond one for each alarm.
const STALE_MAX: usize = 1024;

/// A moment that never comes.
pub(crate) const NEVER: Moment = Moment(u64::MAX);

/// `timeout` after `start`; `Duration::MAX` is never.
#[inline]
pub(crate) fn after(start: Moment, timeout: Duration) -> Moment {
    let nanos =
        timeout.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(timeout.subsec_nanos()));
    Moment(start.0.saturating_add(nanos))
}

/// Reads the clock. All moments of the data plane are on `CLOCK_MONOTONIC`.
#[inline]
pub fn now() -> Moment {
    Moment(monotonic_nanos())
}

/// All alarms of a worker.
#[derive(Debug)]
pub(crate) struct Timers {
    slots: RefCell<Vec<Rc<Slot>>>,
    queue: RefCell<BinaryHeap<Reverse<(Moment, SlotId)>>>,
    /// Not a pipe, but read like one: the runtime has no other safe way in for a descriptor.
    descriptor: pipe::Receiver,
    /// What the descriptor is set to.
    set_to: Cell<Moment>,
    /// Every wait ends at once: the time to drain is over.
    all_expired: Cell<bool>,
    free: RefCell<Vec<SlotId>>,
}

type SlotId = u32;

#[derive(Debug)]
struct Slot {
    deadline: Cell<Moment>,
    /// The moment of the live entry in the queue.
    queued: Cell<Moment>,
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Timers {
    /// Inside a runtime with I/O.
    pub(crate) fn new() -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            slots: RefCell::default(),
            queue: RefCell::default(),
            descriptor: pipe::Receiver::from_owned_fd_unchecked(timer_descriptor()?)?,
            set_to: Cell::new(NEVER),
            all_expired: Cell::new(false),
            free: RefCell::default(),
        }))
    }

    pub(crate) fn alarm(self: &Rc<Self>) -> Alarm {
        let slot = Rc::new(Slot {
            deadline: Cell::new(NEVER),
            queued: Cell::new(NEVER),
            fired: Cell::new(false),
            waker: RefCell::new(None),
        });
        let mut slots = self.slots.borrow_mut();
        let id = self.free.borrow_mut().pop().unwrap_or(slots.len() as SlotId);
        match slots.get_mut(id as usize) {
            Some(place) => *place = Rc::clone(&slot),
            None => slots.push(Rc::clone(&slot)),
        }
        Alarm { timers: Rc::clone(self), slot, id }
    }

    /// Wakes every task that waits under an alarm, so that it sees that the worker drains.
    pub(crate) fn wake_all(&self) {
        for slot in self.slots.borrow().iter() {
            slot.wake();
        }
    }

    /// Ends every wait, and every later one.
    pub(crate) fn expire_all(&self) {
        self.all_expired.set(true);
        for slot in self.slots.borrow().iter() {
            slot.fired.set(true);
            slot.wake();
        }
    }

    /// Fires alarms as their moments come; runs as long as the worker.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            self.set_to.set(NEVER);
            let next = self.fire_due(now());
            self.wake_at(next);
            if self.descriptor.readable().await.is_err() {
                return; // the runtime is shutting down
            }
            // Takes the news, so that the next wait is for the next; "not yet" is no harm.
            let _ = self.descriptor.try_read(&mut [0; 8]);
        }
    }

    /// Sets the descriptor, unless it is set to an earlier moment.
    fn wake_at(&self, moment: Moment) {
        if moment < self.set_to.get() && set_timer(&self.descriptor, moment.0).is_ok() {
            self.set_to.set(moment);
        }
    }

    /// Fires what is due at `now`; returns the moment of the next entry.
    fn fire_due(&self, now: Moment) -> Moment {
        let mut queue = self.queue.borrow_mut();
        let slots = self.slots.borrow();
        while let Some(&Reverse((moment, id))) = queue.peek() {
            if moment > now {
                return moment;
            }
            queue.pop();
            let Some(slot) = slots.get(id as usize).filter(|slot| slot.queued.get() == moment) else {
                continue; // an earlier entry has taken over, or the alarm is gone
            };
            slot.queued.set(NEVER);
            let deadline = slot.deadline.get();
            if deadline <= now {
                slot.fired.set(true);
                slot.wake();
            } else if deadline != NEVER {
                slot.queued.set(deadline);
                queue.push(Reverse((deadline, id)));
            }
        }
        NEVER
    }

    fn enqueue(&self, moment: Moment, id: SlotId) {
        let mut queue = self.queue.borrow_mut();
        queue.push(Reverse((moment, id)));
        // Entries of alarms that are gone, or that a shorter wait has overtaken, stay until their moment: not too many.
        let slots = self.slots.borrow();
        if queue.len() > 2 * slots.len() + STALE_MAX {
            queue.retain(|&Reverse((moment, id))| {
                slots.get(id as usize).is_some_and(|slot| slot.queued.get() == moment)
            });
        }
        self.wake_at(moment);
    }
}

impl Slot {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Alarm {
    /// Waits until the moment comes.
    pub(crate) async fn sleep_until(&self, moment: Moment) {
        let _ = self.within(moment, std::future::pending::<()>()).await;
    }
}

/// One task's alarm. Used by one wait at a time.
#[derive(Debug)]
pub(crate) struct Alarm {
    timers: Rc<Timers>,
    slot: Rc<Slot>,
    id: SlotId,
}

impl Alarm {
    /// Waits for `future` until the deadline. Costs nothing when the future is ready at once.
    pub(crate) async fn within<F: Future>(&self, deadline: Moment, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut armed = false;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if !armed {
                armed = true;
                self.arm(deadline, cx);
            }
            if self.fired() { Poll::Ready(Err(Elapsed)) } else { Poll::Pending }
        })
        .await
    }

    /// Sets the deadline of the wait that `cx` belongs to; forgets an earlier firing.
    #[inline]
    pub(crate) fn arm(&self, deadline: Moment, cx: &mut Context<'_>) {
        self.slot.fired.set(self.timers.all_expired.get());
        self.slot.deadline.set(deadline);
        let mut waker = self.slot.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        if deadline < self.slot.queued.get() {
            self.slot.queued.set(deadline);
            self.timers.enqueue(deadline, self.id);
        }
    }

    /// The deadline set last has passed.
    #[inline]
    pub(crate) fn fired(&self) -> bool {
        self.slot.fired.get()
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.slot.queued.set(NEVER);
        self.slot.deadline.set(NEVER);
        self.slot.waker.borrow_mut().take();
        self.timers.free.borrow_mut().push(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn run<F: Future>(test: impl FnOnce(Rc<Timers>) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build_local(tokio::runtime::LocalOptions::default());
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let timers = Timers::new().expect("a timer descriptor");
            tokio::task::spawn_local(Rc::clone(&timers).run());
            test(timers).await
        })
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        run(|timers| async move {
            let alarm = timers.alarm();
            let deadline = after(now(), Duration::from_millis(20));
            assert_eq!(alarm.within(deadline, pending::<()>()).await, Err(Elapsed));
            assert!(now() >= deadline, "not before its time");
        });
    }

    #[test]
    fn a_deadline_that_moved_later_does_not_fire_at_its_old_moment() {
        run(|timers| async move {
            let alarm = timers.alarm();
            let start = now();
            let soon = after(start, Duration::from_millis(10));
            let later = after(start, Duration::from_millis(40));
            let mut soon_wait = Box::pin(alarm.within(soon, pending::<()>()));
            poll_fn(|cx| Poll::Ready(soon_wait.as_mut().poll(cx).is_pending())).await;
            drop(soon_wait);
            assert_eq!(alarm.within(later, pending::<()>()).await, Err(Elapsed));
            assert!(now() >= later);
        });
    }

    #[test]
    fn a_deadline_that_moved_earlier_fires_in_time() {
        run(|timers| async move {
            let alarm = timers.alarm();
            let mut long_wait = Box::pin(alarm.within(after(now(), Duration::from_mins(1)), pending::<()>()));
            poll_fn(|cx| Poll::Ready(long_wait.as_mut().poll(cx).is_pending())).await;
            drop(long_wait);
            tokio::task::yield_now().await;
            let short = after(now(), Duration::from_millis(10));
            assert_eq!(alarm.within(short, pending::<()>()).await, Err(Elapsed));
        });
    }

    #[test]
    fn a_dropped_alarm_leaves_its_place_to_the_next() {
        run(|timers| async move {
            drop(timers.alarm());
            let _alarm = timers.alarm();
            assert_eq!(timers.slots.borrow().len(), 1);
        });
    }

    #[test]
    fn moving_a_deadline_later_does_not_queue_again() {
        run(|timers| async move {
            let alarm = timers.alarm();
            let first = after(now(), Duration::from_mins(1));
            poll_fn(|cx| {
                for step in 0..1000 {
                    alarm.arm(Moment(first.0 + step), cx);
                }
                Poll::Ready(())
            })
            .await;
            assert_eq!(timers.queue.borrow().len(), 1);
        });
    }
}
