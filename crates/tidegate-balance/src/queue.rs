//! In which order waiting requests get their turn, how long that will take, and who need not wait at all. Knows no
//! endpoint and nothing that sleeps or wakes: whoever waits leaves a handle, and is handed out when it is his turn.
//!
//! Within a priority, first come, first served. Between priorities, by weight: self-clocked fair queueing (Golestani, "A
//! self-clocked fair queueing scheme for broadband applications", INFOCOM 1994). Each waiter gets a tag, the later of the
//! tag served last and that of the one before him in his priority, plus the cost of the priority; the least tag is
//! served. So of 21 turns that all priorities wait for, 16 are high, 4 normal and 1 low, and nobody starves.
//!
//! Whoever joins is told at once when his turn would come too late: the requests ahead of him, times the mean time between
//! recent turns. A queue that nobody was ahead in never turns anybody away: there is nothing to predict from.
//!
//! When as many wait as may, the more urgent one gets the place of the newest of the least urgent, as long as those have more
//! than their part of the places: the same 16, 4 and 1 of 21. So no priority fills the queue for those above it, and none is driven out of it.

use crate::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::Duration;

/// How soon a waiting request gets its turn, compared with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

impl Priority {
    const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// What a turn costs: the inverse of its share.
    const fn cost(self) -> u64 {
        match self {
            Self::High => 1,
            Self::Normal => 4,
            Self::Low => 16,
        }
    }

    /// Whether so many of it are more than its part of all places.
    fn is_beyond_its_part(self, count: usize, places: usize) -> bool {
        let whole: u64 = Self::ALL.iter().map(|priority| Self::Low.cost() / priority.cost()).sum();
        let part = u128::from(Self::Low.cost() / self.cost());
        count as u128 * u128::from(whole) > places as u128 * part
    }
}

/// A place in the queue; good until it is given up by `leave` or `served`. Sorted by whose turn comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    tag: u64,
    priority: Priority,
}

/// Who has joined.
#[derive(Clone, Copy, Debug)]
pub struct Joined<W> {
    pub ticket: Ticket,
    /// The handle of whom he took the place from, who has to be woken: see `is_ousted`.
    pub ousted: Option<W>,
}

/// Why somebody may not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reason: Refusal,
    /// When the last one in the queue is expected to have had his turn; `None` when nothing tells.
    pub wait: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many wait as may.
    Full,
    /// His turn would come later than he can wait.
    TooLate,
}

/// The requests that wait for an endpoint with room.
#[derive(Debug)]
pub struct Queue<W> {
    /// By priority, then by tag.
    lines: [BTreeMap<u64, Waiter<W>>; Priority::ALL.len()],
    /// Those who have lost their place to somebody more urgent and do not know yet.
    ousted: BTreeSet<Ticket>,
    /// How many are called.
    called: usize,
    /// The greatest tag that was served.
    clock: u64,
    turns: Turns,
}

#[derive(Debug)]
struct Waiter<W> {
    handle: W,
    /// He has been told that it is his turn and has not yet said what came of it.
    is_called: bool,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self {
            lines: Default::default(),
            ousted: BTreeSet::new(),
            called: 0,
            clock: 0,
            turns: Turns::default(),
        }
    }
}

impl<W> Queue<W> {
    pub fn len(&self) -> usize {
        self.lines.iter().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(BTreeMap::is_empty)
    }

    /// Takes the last place of a priority. `patience`: how long he can wait; `most`: how many may. Whoever joins an empty
    /// queue is called at once, because room may have come before anybody could see that he waits for it.
    pub fn join(
        &mut self,
        priority: Priority,
        patience: Duration,
        most: usize,
        now: Moment,
        handle: W,
    ) -> Result<Joined<W>, Refused> {
        let is_first = self.is_empty();
        let in_his_way = if self.len() >= most { self.least_urgent(priority, most) } else { None };
        if self.len() >= most && in_his_way.is_none() {
            return Err(Refused { reason: Refusal::Full, wait: self.wait(now) });
        }
        let ticket = self.next_ticket(priority);
        let wait = self.turns.expected(self.ahead(ticket) + 1, now);
        if !is_first && wait.is_some_and(|wait| wait > patience) {
            return Err(Refused { reason: Refusal::TooLate, wait });
        }
        if is_first {
            self.turns.begin(now);
            self.called += 1;
        }
        self.line_mut(priority).insert(ticket.tag, Waiter { handle, is_called: is_first });
        Ok(Joined { ticket, ousted: in_his_way.and_then(|ticket| self.oust(ticket)) })
    }

    /// Whose place somebody of this priority may take: the newest, of the least urgent that have more than their part. Whoever is
    /// called keeps his.
    fn least_urgent(&self, priority: Priority, most: usize) -> Option<Ticket> {
        let lower = Priority::ALL.into_iter().rev().take_while(|lower| *lower > priority);
        let mut beyond = lower.filter(|lower| lower.is_beyond_its_part(self.line(*lower).len(), most));
        beyond.find_map(|priority| {
            let (&tag, _) = self.line(priority).iter().rev().find(|(_, waiter)| !waiter.is_called)?;
            Some(Ticket { tag, priority })
        })
    }

    fn oust(&mut self, ticket: Ticket) -> Option<W> {
        let waiter = self.line_mut(ticket.priority).remove(&ticket.tag)?;
        self.ousted.insert(ticket);
        Some(waiter.handle)
    }

    /// Whether the holder has lost his place to somebody more urgent.
    pub fn is_ousted(&self, ticket: Ticket) -> bool {
        self.ousted.contains(&ticket)
    }

    /// Until everybody who waits now has had his turn; `None` when nothing tells.
    pub fn wait(&self, now: Moment) -> Option<Duration> {
        self.turns.expected(self.len(), now)
    }

    /// Whose turn it is: the first who is not called yet. He is called then, and his handle is returned.
    pub fn call(&mut self) -> Option<&mut W> {
        let next = self.first_uncalled(None)?;
        self.call_ticket(next)
    }

    /// As `call`, unless somebody is called already: what he cannot use he hands on.
    pub fn call_if_quiet(&mut self) -> Option<&mut W> {
        if self.called == 0 { self.call() } else { None }
    }

    /// As `call`, of those behind this place: its holder cannot use what has come free.
    pub fn call_behind(&mut self, ticket: Ticket) -> Option<&mut W> {
        let next = self.first_uncalled(Some(ticket))?;
        self.call_ticket(next)
    }

    /// Whether the holder has been called; he counts as not called from then on.
    pub fn take_call(&mut self, ticket: Ticket) -> bool {
        let waiter = self.line_mut(ticket.priority).get_mut(&ticket.tag);
        let was_called = waiter.is_some_and(|waiter| std::mem::take(&mut waiter.is_called));
        self.called -= usize::from(was_called);
        was_called
    }

    /// The handle, to be replaced.
    pub fn handle_mut(&mut self, ticket: Ticket) -> Option<&mut W> {
        self.line_mut(ticket.priority).get_mut(&ticket.tag).map(|waiter| &mut waiter.handle)
    }

    /// Of all who wait, in each priority in the order of their turns.
    pub fn handles_mut(&mut self) -> impl Iterator<Item = &mut W> {
        self.lines.iter_mut().flat_map(BTreeMap::values_mut).map(|waiter| &mut waiter.handle)
    }

    /// The holder had his turn. Whether he was called once more since he took the last call: then it is somebody else's.
    pub fn served(&mut self, ticket: Ticket, now: Moment) -> bool {
        self.turns.note(now);
        self.clock = self.clock.max(ticket.tag);
        self.leave(ticket)
    }

    /// The holder waits no longer. Whether he had been called: then it is somebody else's turn.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        if self.ousted.remove(&ticket) {
            return false;
        }
        let was_called = self.take_call(ticket);
        self.line_mut(ticket.priority).remove(&ticket.tag);
        was_called
    }

    fn line(&self, priority: Priority) -> &BTreeMap<u64, Waiter<W>> {
        let [high, normal, low] = &self.lines;
        match priority {
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Low => low,
        }
    }

    fn line_mut(&mut self, priority: Priority) -> &mut BTreeMap<u64, Waiter<W>> {
        let [high, normal, low] = &mut self.lines;
        match priority {
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Low => low,
        }
    }

    /// Behind those who do not know yet that they are ousted, too: no two have the same.
    fn next_ticket(&self, priority: Priority) -> Ticket {
        let last = self.line(priority).last_key_value().map_or(0, |(&tag, _)| tag);
        let ousted = self.ousted.iter().filter(|ousted| ousted.priority == priority);
        let last = ousted.map(|ousted| ousted.tag).max().unwrap_or(0).max(last);
        Ticket { tag: last.max(self.clock) + priority.cost(), priority }
    }

    /// Those who wait now and are served before this place. Of the other priorities as if their tags had no gaps.
    fn ahead(&self, ticket: Ticket) -> usize {
        let before = |&priority: &Priority| {
            let line = self.line(priority);
            let Some((&first, _)) = line.first_key_value() else { return 0 };
            if priority == ticket.priority {
                return line.len();
            }
            match ticket.tag.checked_sub(first) {
                Some(gap) => line.len().min((gap / priority.cost()) as usize + 1),
                None => 0,
            }
        };
        Priority::ALL.iter().map(before).sum()
    }

    fn first_uncalled(&self, behind: Option<Ticket>) -> Option<Ticket> {
        let first_of = |&priority: &Priority| {
            let from = match behind {
                None => Unbounded,
                Some(behind) if priority <= behind.priority => Excluded(behind.tag),
                Some(behind) => Included(behind.tag),
            };
            let mut line = self.line(priority).range((from, Unbounded));
            let (&tag, _) = line.find(|(_, waiter)| !waiter.is_called)?;
            Some(Ticket { tag, priority })
        };
        Priority::ALL.iter().filter_map(first_of).min()
    }

    fn call_ticket(&mut self, ticket: Ticket) -> Option<&mut W> {
        self.called += 1;
        let waiter = self.line_mut(ticket.priority).get_mut(&ticket.tag)?;
        waiter.is_called = true;
        Some(&mut waiter.handle)
    }
}

/// Turns that the mean is taken over, and how few of them tell anything.
const TURNS_REMEMBERED: f64 = 32.0;
const TURNS_MIN: u32 = 4;
/// After a pause of this long the next wait has little to do with the last.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);

/// How quickly turns came, of late. Measured only while somebody waits: then nothing but the endpoints sets the pace.
#[derive(Debug, Default)]
struct Turns {
    /// The mean time between two turns, in seconds.
    gap: f64,
    count: u32,
    /// The last turn, or the beginning of the wait for it.
    last: Moment,
}

impl Turns {
    /// Somebody begins to wait, and nobody did before.
    fn begin(&mut self, now: Moment) {
        if now.since(self.last) > FORGOTTEN_AFTER {
            self.count = 0;
        }
        self.last = now;
    }

    fn note(&mut self, now: Moment) {
        self.count = self.count.saturating_add(1);
        let gain = 1.0 / f64::from(self.count).min(TURNS_REMEMBERED);
        self.gap += gain * (now.since(self.last).as_secs_f64() - self.gap);
        self.last = now.max(self.last);
    }

    /// Until so many turns have come. A turn that is overdue counts for as long as it has been waited for: the maximum
    /// likelihood of the mean, when the last observation is cut off.
    fn expected(&self, turns: usize, now: Moment) -> Option<Duration> {
        if self.count < TURNS_MIN {
            return None;
        }
        let overdue = now.since(self.last).as_secs_f64() / f64::from(self.count).min(TURNS_REMEMBERED);
        Some(Duration::try_from_secs_f64((self.gap + overdue) * turns as f64).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: Duration = Duration::from_hours(1);
    const MS: u64 = 1_000_000;

    fn join(queue: &mut Queue<usize>, priority: Priority, number: usize) -> Ticket {
        queue.join(priority, LONG, usize::MAX, Moment(0), number).expect("room").ticket
    }

    /// Gives everybody his turn; in which order.
    fn drain(queue: &mut Queue<usize>, tickets: &[Ticket]) -> Vec<usize> {
        if let Some(&first) = tickets.first() {
            queue.take_call(first);
        }
        let mut order = Vec::new();
        while let Some(&mut number) = queue.call() {
            order.push(number);
            queue.served(tickets[number], Moment(0));
        }
        order
    }

    fn any_priority() -> impl Strategy<Value = Priority> {
        prop::sample::select(Priority::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn within_a_priority_first_come_is_first_served(priorities in prop::collection::vec(any_priority(), 1..80)) {
            let mut queue = Queue::default();
            let tickets: Vec<_> =
                priorities.iter().enumerate().map(|(number, &priority)| join(&mut queue, priority, number)).collect();
            let order = drain(&mut queue, &tickets);
            prop_assert_eq!(order.len(), priorities.len());
            for priority in Priority::ALL {
                let of_it: Vec<_> = order.iter().filter(|&&number| priorities[number] == priority).collect();
                prop_assert!(of_it.is_sorted(), "{order:?} of {priorities:?}");
            }
        }

        #[test]
        fn a_low_one_is_served_within_sixteen_turns_of_his_place_whatever_keeps_coming(ahead in 0_usize..5) {
            let mut queue = Queue::default();
            let mut tickets: Vec<_> = (0..20).map(|number| join(&mut queue, Priority::High, number)).collect();
            tickets.extend((20..=20 + ahead).map(|number| join(&mut queue, Priority::Low, number)));
            queue.take_call(tickets[0]);
            for turn in 0.. {
                let number = *queue.call().expect("somebody waits");
                if number == 20 + ahead {
                    break;
                }
                prop_assert!(turn < 17 * (ahead + 1), "starved");
                queue.served(tickets[number], Moment(0));
                tickets.push(join(&mut queue, Priority::High, tickets.len()));
            }
        }

        #[test]
        fn the_turn_comes_when_it_was_predicted(
            before in prop::collection::vec(any_priority(), 0..60),
            gap in 1_u64..100,
        ) {
            let mut queue = Queue::default();
            let first = join(&mut queue, Priority::Normal, 0);
            for turn in 1..=8 {
                queue.join(Priority::High, LONG, 9, Moment(0), 0).expect("room");
                let next = *queue.call().expect("somebody waits");
                prop_assert_eq!(next, 0);
                let served = queue.lines[0].first_key_value().map(|(&tag, _)| Ticket { tag, priority: Priority::High });
                queue.served(served.expect("it is there"), Moment(turn * gap * MS));
            }
            queue.leave(first);
            let now = Moment(8 * gap * MS);
            let mut tickets: Vec<_> = (before.iter().enumerate())
                .map(|(number, &priority)| queue.join(priority, LONG, 100, now, number).expect("room").ticket)
                .collect();
            let last = queue.next_ticket(Priority::Normal);
            let predicted = queue.turns.expected(queue.ahead(last) + 1, now).expect("eight turns tell");
            tickets.push(queue.join(Priority::Normal, LONG, 100, now, before.len()).expect("room").ticket);
            let turns = drain(&mut queue, &tickets).iter().position(|&number| number == before.len());
            let came = Duration::from_millis(gap * (turns.expect("he was served") as u64 + 1));
            prop_assert!(predicted.abs_diff(came) <= Duration::from_millis(gap) * 2, "{predicted:?} {came:?}");
        }

        /// And whoever lost his place is known, is nobody else, and had been called by nobody.
        #[test]
        fn never_do_more_wait_than_may_and_no_priority_is_driven_below_its_part(
            steps in prop::collection::vec((any_priority(), any::<bool>(), any::<usize>()), 1..200),
            most in 1_usize..40,
        ) {
            let mut queue = Queue::default();
            let mut holders: Vec<(Ticket, usize)> = Vec::new();
            for (number, (priority, leaves, which)) in steps.into_iter().enumerate() {
                if leaves && !holders.is_empty() {
                    let (ticket, _) = holders.swap_remove(which % holders.len());
                    if queue.leave(ticket) {
                        queue.call();
                    }
                    continue;
                }
                let before = Priority::ALL.map(|priority| queue.line(priority).len());
                match queue.join(priority, LONG, most, Moment(0), number) {
                    Ok(joined) => {
                        prop_assert!(holders.iter().all(|(ticket, _)| *ticket != joined.ticket), "a place of his own");
                        if let Some(ousted) = joined.ousted {
                            let (ticket, _) = *holders.iter().find(|(_, number)| *number == ousted).expect("he waited");
                            prop_assert!(queue.is_ousted(ticket) && !queue.take_call(ticket) && ticket.priority > priority);
                            let count = before[ticket.priority as usize];
                            let part = most as f64 * [16.0, 4.0, 1.0][ticket.priority as usize] / 21.0;
                            prop_assert!(count as f64 > part - 1e-9, "{} of {}", count, most);
                        }
                        holders.push((joined.ticket, number));
                    }
                    Err(refused) => prop_assert!(refused.reason == Refusal::Full && queue.len() == most),
                }
                prop_assert!(queue.len() <= most);
                let really = holders.iter().filter(|(ticket, _)| !queue.is_ousted(*ticket)).count();
                prop_assert_eq!(queue.len(), really);
            }
            for (ticket, _) in holders {
                queue.leave(ticket);
            }
            prop_assert!(queue.is_empty() && queue.ousted.is_empty(), "no trace is left");
        }

        #[test]
        fn a_call_is_never_lost(steps in prop::collection::vec((0_u8..4, any_priority(), any::<usize>()), 1..200)) {
            // As the proxy uses it: whoever leaves with a call hands it on. Then somebody is called, or nobody waits.
            let mut queue = Queue::default();
            let mut waiting: Vec<Ticket> = Vec::new();
            let mut called = 0_usize;
            for (step, priority, which) in steps {
                match step {
                    0 => {
                        called += usize::from(queue.is_empty());
                        waiting.push(join(&mut queue, priority, 0));
                    }
                    1 => called += usize::from(queue.call().is_some()),
                    _ if waiting.is_empty() => {}
                    2 => {
                        let ticket = waiting.swap_remove(which % waiting.len());
                        if queue.leave(ticket) && queue.call().is_none() {
                            called -= 1;
                        }
                    }
                    _ => called -= usize::from(queue.take_call(waiting[which % waiting.len()])),
                }
                let really = queue.lines.iter().flat_map(BTreeMap::values).filter(|waiter| waiter.is_called).count();
                prop_assert_eq!((called, queue.called), (really, really));
                prop_assert_eq!(queue.len(), waiting.len());
            }
        }
    }

    #[test]
    fn turns_are_shared_sixteen_to_four_to_one() {
        let mut queue = Queue::default();
        let tickets: Vec<_> =
            (0..2100).map(|number| join(&mut queue, Priority::ALL[number % 3], number)).collect();
        let order = drain(&mut queue, &tickets);
        let among_first = |priority| order[..420].iter().filter(|&&number| number % 3 == priority).count();
        assert!(among_first(0).abs_diff(320) <= 2, "{}", among_first(0));
        assert!(among_first(1).abs_diff(80) <= 2, "{}", among_first(1));
        assert!(among_first(2).abs_diff(20) <= 2, "{}", among_first(2));
    }

    #[test]
    fn no_more_of_a_kind_wait_than_may() {
        let mut queue = Queue::default();
        for _ in 0..3 {
            queue.join(Priority::Normal, LONG, 3, Moment(0), ()).expect("room");
        }
        let refused = queue.join(Priority::Normal, LONG, 3, Moment(0), ()).expect_err("full");
        assert_eq!(refused, Refused { reason: Refusal::Full, wait: None });
        assert_eq!(
            Queue::default().join(Priority::High, LONG, 0, Moment(0), ()).map(|_| ()).unwrap_err(),
            refused
        );
    }

    #[test]
    fn low_ones_do_not_fill_the_queue_for_high_ones_and_are_not_driven_out_of_it() {
        let mut queue = Queue::default();
        let join =
            |queue: &mut Queue<usize>, priority, number| queue.join(priority, LONG, 42, Moment(0), number);
        let lows: Vec<_> =
            (0..42).map(|number| join(&mut queue, Priority::Low, number).expect("room").ticket).collect();
        assert!(join(&mut queue, Priority::Low, 0).is_err(), "his own kind");
        for high in 0..40 {
            let joined = join(&mut queue, Priority::High, 100).expect("a low one goes");
            assert_eq!(joined.ousted, Some(41 - high), "the newest");
        }
        assert_eq!(join(&mut queue, Priority::High, 100).expect_err("full").reason, Refusal::Full);
        let ousted: Vec<_> = lows.iter().map(|ticket| queue.is_ousted(*ticket)).collect();
        assert_eq!(ousted.iter().filter(|is_ousted| !**is_ousted).count(), 2, "one of 21 places");
        assert!(!ousted[0] && !ousted[1], "the first who came");
    }

    #[test]
    fn whose_turn_would_come_too_late_is_told_at_once_unless_he_is_the_first() {
        let mut queue = Queue::default();
        let mut now = Moment(0);
        let mut tickets: Vec<_> = (0..10).map(|number| join(&mut queue, Priority::Normal, number)).collect();
        for ticket in tickets.drain(..5) {
            now = now + Duration::from_millis(100);
            queue.served(ticket, now);
        }
        let short = Duration::from_millis(300);
        let refused = queue.join(Priority::Normal, short, 100, now, 0).expect_err("five are ahead");
        assert_eq!(refused.reason, Refusal::TooLate);
        assert_eq!(refused.wait.map(|wait| wait.as_millis()), Some(600));
        assert!(tickets.into_iter().all(|ticket| !queue.served(ticket, now)), "nobody was called");
        assert!(queue.join(Priority::Normal, Duration::ZERO, 100, now, 0).is_ok(), "nobody is ahead");
    }

    #[test]
    fn when_turns_stop_coming_the_prediction_grows() {
        let mut turns = Turns::default();
        (1..=10).for_each(|turn| turns.note(Moment(turn * 10 * MS)));
        let soon = turns.expected(10, Moment(100 * MS)).expect("it is known");
        let later = turns.expected(10, Moment(5_100 * MS)).expect("it is known");
        assert_eq!(soon.as_millis(), 100);
        assert_eq!(later.as_millis(), 5_100, "ten turns in 5.1 s, and ten more to go");
    }

    #[test]
    fn whoever_joins_an_empty_queue_is_called_at_once() {
        let mut queue = Queue::default();
        let first = join(&mut queue, Priority::Normal, 1);
        let second = join(&mut queue, Priority::Normal, 2);
        assert!(queue.take_call(first) && !queue.take_call(first) && !queue.take_call(second));
    }

    #[test]
    fn whoever_cannot_use_what_came_free_hands_it_on_to_those_behind_him() {
        let mut queue = Queue::default();
        let first = join(&mut queue, Priority::Normal, 1);
        let second = join(&mut queue, Priority::Normal, 2);
        queue.take_call(first);
        assert_eq!(queue.call_behind(first).copied(), Some(2));
        assert_eq!(queue.call_behind(second), None);
        assert_eq!(queue.call_if_quiet(), None, "the second has not answered yet");
        queue.take_call(second);
        assert_eq!(queue.call_if_quiet().copied(), Some(1));
    }
}
