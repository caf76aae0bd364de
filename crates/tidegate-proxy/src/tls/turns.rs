//! Whose handshake begins next: one between two looks at the sockets, and only so many under way at once.
//!
//! To begin costs more than anything else that a client can ask for in one go. Were everybody who has just said hello served
//! before the sockets are looked at again, a crowd of them would keep all others waiting for seconds.
//!
//! ```text
//!   hello ─→ nobody before it, and nobody has just begun ─────────┐
//!         └─ else: waits ─→ first in line, and room, next turn ───┴─→ under way ─→ over, or given up while others wait
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::yield_now;

/// How long one may take once it is under way while others wait: where as many wait as may be under way at once, or fewer.
const PATIENCE_MAX: Duration = Duration::from_secs(1);
/// The least, however many wait: what a slow client needs whose packets are not lost.
pub(super) const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// The handshakes of one worker with clients.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    under_way_max: Cell<usize>,
    under_way: Cell<usize>,
    /// One has begun since the sockets were looked at last.
    has_begun: Cell<bool>,
    line: RefCell<VecDeque<Rc<Ticket>>>,
    /// Something has changed for those in line.
    news: Notify,
}

#[derive(Debug, Default)]
struct Ticket {
    stage: Cell<Stage>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waits,
    /// Counted as under way, and does not know it yet.
    Called,
    Left,
}

/// One that is under way.
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a Turns);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        if self.0.is_waited_for() {
            self.0.news.notify_one();
        }
    }
}

/// Somebody in line, who leaves it when dropped.
struct InLine<'a> {
    turns: &'a Turns,
    ticket: Rc<Ticket>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        match self.ticket.stage.get() {
            Stage::Left => {}
            Stage::Called => drop(UnderWay(self.turns)), // somebody else's turn
            Stage::Waits => {
                let mut line = self.turns.line.borrow_mut();
                // Who gives up has waited longest, as a rule: it is found at once.
                if let Some(at) = line.iter().position(|ticket| Rc::ptr_eq(ticket, &self.ticket)) {
                    line.remove(at);
                }
            }
        }
    }
}

impl Turns {
    /// So many under way at once, from here on.
    pub(crate) fn limit(&self, under_way_max: usize) {
        self.under_way_max.set(under_way_max);
        self.news.notify_one();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.under_way.get() >= self.under_way_max.get()
    }

    fn is_waited_for(&self) -> bool {
        !self.line.borrow().is_empty()
    }

    /// Whether somebody cannot begin before another one is over: more are in line than may begin, one after the other.
    pub(super) fn are_too_few(&self) -> bool {
        self.line.borrow().len() > self.under_way_max.get().saturating_sub(self.under_way.get())
    }

    /// How long one may be under way while they are too few: the more wait, the less, so that the last one waits for seconds at most.
    pub(super) fn patience(&self) -> Duration {
        let crowds = self.line.borrow().len() as f32 / self.under_way_max.get().max(1) as f32;
        PATIENCE_MAX.div_f32(crowds.max(1.0)).max(PATIENCE_MIN)
    }

    /// Waits for the right to begin.
    pub(super) async fn next(&self) -> UnderWay<'_> {
        if !self.is_full() && !self.has_begun.get() && !self.is_waited_for() {
            self.begin();
            self.news.notify_one();
            return UnderWay(self);
        }
        let in_line = InLine { turns: self, ticket: Rc::default() };
        self.line.borrow_mut().push_back(Rc::clone(&in_line.ticket));
        poll_fn(|cx| {
            in_line.ticket.waker.replace(Some(cx.waker().clone()));
            if in_line.ticket.stage.get() == Stage::Called { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        in_line.ticket.stage.set(Stage::Left);
        UnderWay(self)
    }

    fn begin(&self) {
        self.under_way.set(self.under_way.get() + 1);
        self.has_begun.set(true);
    }

    /// Calls those in line one after the other; runs as long as the worker.
    pub(crate) async fn keep(self: Rc<Self>) {
        loop {
            self.news.notified().await;
            // The runtime looks at the sockets before it comes back to whoever yields.
            yield_now().await;
            while self.call() {
                yield_now().await;
            }
        }
    }

    /// `false`: nobody may begin now.
    fn call(&self) -> bool {
        self.has_begun.set(false);
        let called = if self.is_full() { None } else { self.line.borrow_mut().pop_front() };
        let Some(ticket) = called else { return false };
        self.begin();
        ticket.stage.set(Stage::Called);
        if let Some(waker) = ticket.waker.take() {
            waker.wake();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use tokio::task::{LocalSet, spawn_local};

    /// Runs it beside a keeper of turns, of which so many may be under way.
    fn beside_a_keeper<F: Future<Output = ()>>(under_way_max: usize, body: impl FnOnce(Rc<Turns>) -> F) {
        let turns = Rc::<Turns>::default();
        turns.limit(under_way_max);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = LocalSet::new();
        local.block_on(&runtime, async move {
            let keeper = spawn_local(Rc::clone(&turns).keep());
            body(turns).await;
            keeper.abort();
        });
    }

    async fn a_while() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[test]
    fn only_one_begins_before_the_sockets_are_looked_at_again() {
        beside_a_keeper(10, async |turns| {
            a_while().await;
            let first = turns.next().await;
            let mut second = pin!(turns.next());
            assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
            let second = second.await;
            assert_eq!(turns.under_way.get(), 2);
            drop((first, second));
            assert_eq!(turns.under_way.get(), 0);
        });
    }

    #[test]
    fn those_beyond_the_limit_begin_in_turn_as_others_end() {
        beside_a_keeper(2, async |turns| {
            let order = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = (0..20)
                .map(|number| {
                    let (turns, order) = (Rc::clone(&turns), Rc::clone(&order));
                    spawn_local(async move {
                        let under_way = turns.next().await;
                        assert!(turns.under_way.get() <= 2);
                        order.borrow_mut().push(number);
                        a_while().await;
                        drop(under_way);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*order.borrow(), (0..20).collect::<Vec<_>>());
            assert_eq!((turns.under_way.get(), turns.line.borrow().len()), (0, 0));
        });
    }

    #[test]
    fn who_gives_up_leaves_the_line_called_or_not() {
        beside_a_keeper(1, async |turns| {
            let holder = turns.next().await;
            let [gives_up, is_called] = [(); 2].map(|()| {
                let turns = Rc::clone(&turns);
                spawn_local(async move { drop(turns.next().await) })
            });
            a_while().await;
            assert_eq!(turns.line.borrow().len(), 2);
            gives_up.abort();
            a_while().await;
            assert_eq!(turns.line.borrow().len(), 1);
            drop(holder);
            while turns.is_waited_for() {
                yield_now().await;
            }
            is_called.abort(); // in the same moment in which it is called, or a moment later
            a_while().await;
            assert_eq!((turns.under_way.get(), turns.line.borrow().len()), (0, 0));
            drop(turns.next().await);
        });
    }

    /// Those that are given up in the same moment leave room that nobody has taken yet.
    #[test]
    fn they_are_too_few_for_as_long_as_more_wait_than_there_is_room_for() {
        beside_a_keeper(4, async |turns| {
            let mut under_way = Vec::new();
            for _ in 0..4 {
                under_way.push(turns.next().await);
            }
            let patience = |turns: &Turns| turns.patience().as_millis();
            assert_eq!((turns.are_too_few(), patience(&turns)), (false, 1000));
            let wait = |_| {
                let turns = Rc::clone(&turns);
                spawn_local(async move { drop(turns.next().await) })
            };
            let waiting: Vec<_> = (0..8).map(wait).collect();
            a_while().await;
            assert_eq!((turns.are_too_few(), patience(&turns)), (true, 500));
            under_way.truncate(1);
            assert!(turns.are_too_few(), "eight wait for three places");
            for one in waiting {
                one.await.unwrap();
            }
            assert!(!turns.are_too_few());
        });
    }

    #[test]
    fn a_higher_limit_lets_those_in_line_begin() {
        beside_a_keeper(1, async |turns| {
            let _holder = turns.next().await;
            let mut second = pin!(turns.next());
            assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
            turns.limit(2);
            drop(second.await);
        });
    }
}
