//! In which order waiting requests get their turn, how long that will take, and who need not wait at all. Knows no
//! endpoint and nothing that sleeps or wakes: whoever waits leaves a handle, and is handed out when it is his turn.
//!
//! Within a priority, first come, first served. Between priorities, by weight: self-clocked fair queueing (Golestani, "A
//! self-clocked fair queueing scheme for broadband applications", INFOCOM 1994). Each line has a tag, that of its next turn; the
//! least is served, and the line's grows by the cost of its priority. A line that nobody waits in has none: whoever begins one anew
//! begins at the tag served last. So of 21 turns that all priorities wait for, 16 are high, 4 normal and 1 low, and nobody starves.
//!
//! Tags belong to turns, not to those who wait: whoever leaves without having had his turn leaves it to the next in his line. If
//! he took it with him, a line would lose shares by its own who give up, which are most where the wait is longest.
//!
//! Whoever joins is told at once when his turn would come too late, by the pace of recent turns (`turns.rs`). A queue that nobody was ahead in never turns anybody away: there is nothing to predict from.
//!
//! When as many wait as may, the more urgent one gets the place of the newest of the least urgent, as long as those have more
//! than their part of the places: the same 16, 4 and 1 of 21. So no priority fills the queue for those above it, and none is driven out of it,
//! but one whose part is less than a place: with 20 places or fewer low may get none while the others fill them.

use crate::Moment;
use crate::turns::Turns;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whose turn is expected too late by no more than this part of what he can wait may wait: what is expected is a mean, and where some requests take very long most waits are
/// shorter. Whoever waits in vain keeps no place that another could use.
const DOUBT: u32 = 2;

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

/// A place in the queue; good until it is given up by `leave` or `served`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    priority: Priority,
    /// How many had joined before: no two have the same.
    number: u64,
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
    lines: Each<Line<W>>,
    /// Those who have lost their place to somebody more urgent and do not know yet.
    ousted: BTreeSet<Ticket>,
    /// How many have ever joined.
    joined: u64,
    /// The greatest tag that was served.
    clock: u64,
    turns: Turns,
}

/// Those who wait, of one priority.
#[derive(Debug)]
struct Line<W> {
    /// By number.
    waiters: BTreeMap<u64, Waiter<W>>,
    /// Of its next turn. Means nothing while nobody waits.
    tag: u64,
    /// How many are called: so many of its turns are under way.
    called: u64,
}

#[derive(Debug)]
struct Waiter<W> {
    handle: W,
    /// He has been told that it is his turn and has not yet said what came of it.
    is_called: bool,
    /// By priority: those of lower numbers have been offered what he was called for last, and had no use for it.
    offered: Each<u64>,
}

/// One for each priority.
#[derive(Clone, Copy, Debug, Default)]
struct Each<T>([T; Priority::ALL.len()]);

impl<T> Each<T> {
    fn of(&self, priority: Priority) -> &T {
        let [high, normal, low] = &self.0;
        match priority {
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Low => low,
        }
    }

    fn of_mut(&mut self, priority: Priority) -> &mut T {
        let [high, normal, low] = &mut self.0;
        match priority {
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Low => low,
        }
    }
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self { waiters: BTreeMap::new(), tag: 0, called: 0 }
    }
}

impl<W> Line<W> {
    fn len(&self) -> usize {
        self.waiters.len()
    }

    /// The first who is not called, of those with no lower number.
    fn uncalled(&self, from: u64) -> Option<u64> {
        let (&number, _) = self.waiters.range(from..).find(|(_, waiter)| !waiter.is_called)?;
        Some(number)
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { lines: Each::default(), ousted: BTreeSet::new(), joined: 0, clock: 0, turns: Turns::default() }
    }
}

impl<W> Queue<W> {
    pub fn len(&self) -> usize {
        self.lines.0.iter().map(Line::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        let wait = self.turns.expected(self.ahead(priority) + 1, now);
        if !is_first && wait.is_some_and(|wait| wait > patience.saturating_add(patience / DOUBT)) {
            return Err(Refused { reason: Refusal::TooLate, wait });
        }
        if is_first {
            self.turns.begin(now);
        }
        let ticket = self.enter(priority, handle);
        if is_first {
            self.call();
        }
        Ok(Joined { ticket, ousted: in_his_way.and_then(|ticket| self.oust(ticket)) })
    }

    /// Takes the place that the holder of a ticket has given up, for a try that came to nothing. There may be one more than may wait for each
    /// who does.
    pub fn rejoin(&mut self, ticket: Ticket, now: Moment, handle: W) {
        let (is_first, tag) = (self.is_empty(), self.tag(ticket.priority));
        if is_first {
            self.turns.begin(now);
        }
        let line = self.line_mut(ticket.priority);
        line.tag = tag;
        line.waiters.insert(ticket.number, Waiter { handle, is_called: false, offered: Each::default() });
        if is_first {
            self.call();
        }
    }

    /// How quickly turns are likely to come where they have not told of late: each so long after the one before.
    pub fn expect_turns(&mut self, gap: Duration, now: Moment) {
        self.turns.expect(gap, now);
    }

    fn enter(&mut self, priority: Priority, handle: W) -> Ticket {
        let (number, tag) = (self.joined, self.tag(priority));
        self.joined += 1;
        let line = self.line_mut(priority);
        line.tag = tag;
        line.waiters.insert(number, Waiter { handle, is_called: false, offered: Each::default() });
        Ticket { priority, number }
    }

    /// Whose place somebody of this priority may take: the newest, of the least urgent that have more than their part. Whoever is
    /// called keeps his.
    fn least_urgent(&self, priority: Priority, most: usize) -> Option<Ticket> {
        let lower = Priority::ALL.into_iter().rev().take_while(|lower| *lower > priority);
        let mut beyond = lower.filter(|lower| lower.is_beyond_its_part(self.line(*lower).len(), most));
        beyond.find_map(|priority| {
            let mut line = self.line(priority).waiters.iter().rev();
            let (&number, _) = line.find(|(_, waiter)| !waiter.is_called)?;
            Some(Ticket { priority, number })
        })
    }

    fn oust(&mut self, ticket: Ticket) -> Option<W> {
        let waiter = self.line_mut(ticket.priority).waiters.remove(&ticket.number)?;
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

    /// Whose turn it is: the first who is not called yet, of the line with the least tag. He is called then, and his handle is
    /// returned.
    pub fn call(&mut self) -> Option<&mut W> {
        self.offer(Each::default(), None)
    }

    /// As `call`, unless somebody is called already: what he cannot use he hands on.
    pub fn call_if_quiet(&mut self) -> Option<&mut W> {
        if self.lines.0.iter().all(|line| line.called == 0) { self.call() } else { None }
    }

    /// The holder was called, and cannot use what has come free. The turn is his line's: calls the next in it, and, when nobody is
    /// left there, whose turn it is of those who have not been offered it.
    pub fn call_behind(&mut self, ticket: Ticket) -> Option<&mut W> {
        let waiter = self.line(ticket.priority).waiters.get(&ticket.number);
        let mut offered = waiter.map(|waiter| waiter.offered).unwrap_or_default();
        *offered.of_mut(ticket.priority) = ticket.number + 1;
        self.offer(offered, Some(ticket.priority))
    }

    /// Whether the holder has been called; he counts as not called from then on.
    pub fn take_call(&mut self, ticket: Ticket) -> bool {
        let line = self.line_mut(ticket.priority);
        let waiter = line.waiters.get_mut(&ticket.number);
        let was_called = waiter.is_some_and(|waiter| std::mem::take(&mut waiter.is_called));
        line.called -= u64::from(was_called);
        was_called
    }

    /// The handle, to be replaced.
    pub fn handle_mut(&mut self, ticket: Ticket) -> Option<&mut W> {
        self.line_mut(ticket.priority).waiters.get_mut(&ticket.number).map(|waiter| &mut waiter.handle)
    }

    /// Of all who wait, in each priority in the order of their turns.
    pub fn handles_mut(&mut self) -> impl Iterator<Item = &mut W> {
        self.lines.0.iter_mut().flat_map(|line| line.waiters.values_mut()).map(|waiter| &mut waiter.handle)
    }

    /// The holder had his line's turn. Whether he was called once more since he took the last call: then it is somebody else's.
    pub fn served(&mut self, ticket: Ticket, now: Moment) -> bool {
        self.turns.note(now);
        let line = self.line_mut(ticket.priority);
        let tag = line.tag;
        line.tag += ticket.priority.cost();
        self.clock = self.clock.max(tag);
        self.leave(ticket)
    }

    /// The holder waits no longer. Whether he had been called: then it is somebody else's turn.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        if self.ousted.remove(&ticket) {
            return false;
        }
        let was_called = self.take_call(ticket);
        self.line_mut(ticket.priority).waiters.remove(&ticket.number);
        was_called
    }

    fn line(&self, priority: Priority) -> &Line<W> {
        self.lines.of(priority)
    }

    fn line_mut(&mut self, priority: Priority) -> &mut Line<W> {
        self.lines.of_mut(priority)
    }

    /// Of the next turn of a priority, or the one of whoever joins it now.
    fn tag(&self, priority: Priority) -> u64 {
        let line = self.line(priority);
        if line.waiters.is_empty() { self.clock + priority.cost() } else { line.tag }
    }

    /// Those who wait now and are served before somebody who joins this priority.
    fn ahead(&self, priority: Priority) -> usize {
        let tag = self.tag(priority) + self.line(priority).len() as u64 * priority.cost();
        let before = |&other: &Priority| {
            let line = self.line(other);
            let turns = match tag.checked_sub(line.tag) {
                _ if other == priority => return line.len(),
                None => 0,
                Some(gap) if other < priority => gap / other.cost() + 1,
                Some(gap) => gap.div_ceil(other.cost()),
            };
            line.len().min(turns as usize)
        };
        Priority::ALL.iter().map(before).sum()
    }

    /// Calls somebody whom that has not been offered to: of this line, if there is one, or of the line whose turn it is.
    fn offer(&mut self, mut offered: Each<u64>, line: Option<Priority>) -> Option<&mut W> {
        let next = |priority: Priority| {
            let number = self.line(priority).uncalled(*offered.of(priority))?;
            Some(Ticket { priority, number })
        };
        let in_line =
            || Priority::ALL.into_iter().filter_map(next).min_by_key(|next| self.turn(next.priority));
        let Ticket { priority, number } = line.and_then(next).or_else(in_line)?;
        *offered.of_mut(priority) = number + 1;
        let line = self.line_mut(priority);
        line.called += 1;
        let waiter = line.waiters.get_mut(&number)?;
        (waiter.is_called, waiter.offered) = (true, offered);
        Some(&mut waiter.handle)
    }

    /// The tag of the first turn of a line that nobody is called for; of equal ones the more urgent comes first.
    fn turn(&self, priority: Priority) -> (u64, Priority) {
        let line = self.line(priority);
        (line.tag + line.called * priority.cost(), priority)
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

    /// What happens next: somebody joins, somebody leaves, somebody has his turn.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join(Priority),
        Leave(usize),
        Turn,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any_priority().prop_map(Step::Join),
            any::<usize>().prop_map(Step::Leave),
            Just(Step::Turn),
        ]
    }

    /// Those who wait, and how many turns of each priority there were since somebody was last kept away.
    #[derive(Default)]
    struct Crowd {
        queue: Queue<usize>,
        waiting: Vec<(usize, Ticket)>,
        joined: usize,
        turns: Each<u64>,
    }

    impl Crowd {
        fn join(&mut self, priority: Priority) {
            let ticket = join(&mut self.queue, priority, self.joined);
            self.queue.take_call(ticket); // there is no room yet
            self.waiting.push((self.joined, ticket));
            self.joined += 1;
        }

        /// As the proxy does it: whoever leaves with a call hands it on.
        fn leave(&mut self, place: usize) {
            let (_, ticket) = self.waiting.swap_remove(place);
            if self.queue.leave(ticket) {
                self.queue.call();
            }
        }

        fn empty_all_but(&mut self, busy: &[Priority]) {
            while let Some(place) =
                self.waiting.iter().position(|(_, ticket)| !busy.contains(&ticket.priority))
            {
                self.leave(place);
            }
            for priority in busy {
                self.join(*priority);
            }
            self.turns = Each::default();
        }

        fn take(&mut self, step: Step, busy: &[Priority]) {
            match step {
                Step::Join(priority) if busy.contains(&priority) => self.join(priority),
                Step::Join(_) => {}
                Step::Leave(which) => {
                    let place = which % self.waiting.len();
                    self.join(self.waiting[place].1.priority); // somebody always waits
                    self.leave(place);
                }
                Step::Turn => self.turn(),
            }
        }

        fn turn(&mut self) {
            let called = |queue: &Queue<usize>| {
                let mut all = queue.lines.0.iter().flat_map(|line| line.waiters.values());
                all.find(|waiter| waiter.is_called).map(|waiter| waiter.handle)
            };
            if called(&self.queue).is_none() {
                self.queue.call();
            }
            let number = called(&self.queue).expect("somebody waits");
            let place = self.waiting.iter().position(|(waiting, _)| *waiting == number).expect("he waits");
            let priority = self.waiting[place].1.priority;
            self.join(priority);
            let (_, ticket) = self.waiting.swap_remove(place);
            self.queue.take_call(ticket);
            assert!(!self.queue.served(ticket, Moment(0)));
            *self.turns.of_mut(priority) += 1;
        }
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
            before in prop::collection::vec((any_priority(), any::<bool>()), 0..60),
            priority in any_priority(),
            gap in 1_u64..100,
        ) {
            let mut queue = Queue::default();
            for turn in 0..8 {
                let begins = Moment(turn * gap * MS);
                let ticket = queue.join(Priority::High, LONG, 9, begins, 0).expect("room").ticket;
                queue.served(ticket, begins + Duration::from_millis(gap));
            }
            let now = Moment(8 * gap * MS);
            let mut join = |priority, number| queue.join(priority, LONG, 100, now, number).expect("room").ticket;
            let mut tickets: Vec<_> =
                before.iter().enumerate().map(|(number, &(priority, _))| join(priority, number)).collect();
            for (&ticket, _) in tickets.iter().zip(&before).filter(|(_, (_, leaves))| *leaves) {
                queue.leave(ticket);
            }
            let predicted = queue.turns.expected(queue.ahead(priority) + 1, now).expect("eight turns tell");
            tickets.push(queue.join(priority, LONG, 100, now, before.len()).expect("room").ticket);
            queue.take_call(tickets[before.len()]);
            let turns = drain(&mut queue, &tickets).iter().position(|&number| number == before.len());
            let came = gap * (turns.expect("he was served") as u64 + 1);
            prop_assert_eq!((predicted.as_secs_f64() * 1e3).round() as u64, came);
        }

        /// Golestani's bound: no two lines in which somebody always waits ever differ by more than a turn of each.
        #[test]
        fn turns_are_shared_by_weight_whoever_leaves_and_whoever_was_away(
            phases in prop::collection::vec(
                (prop::collection::vec(any_priority(), 1..4), prop::collection::vec(any_step(), 1..200)), 1..6),
        ) {
            let mut crowd = Crowd::default();
            for (busy, steps) in phases {
                crowd.empty_all_but(&busy);
                for step in steps {
                    crowd.take(step, &busy);
                    for (one, other) in busy.iter().flat_map(|one| busy.iter().map(move |other| (*one, *other))) {
                        let had = |priority| crowd.turns.of(priority) * priority.cost();
                        prop_assert!(
                            had(one).abs_diff(had(other)) <= one.cost() + other.cost(),
                            "{:?} of {:?}", crowd.turns, busy
                        );
                    }
                }
            }
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
                let really = |line: &Line<usize>| line.waiters.values().filter(|waiter| waiter.is_called).count();
                prop_assert_eq!(called, queue.lines.0.iter().map(really).sum::<usize>());
                prop_assert!(queue.lines.0.iter().all(|line| line.called == really(line) as u64));
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
    fn whoever_leaves_leaves_his_turn_to_the_next_in_his_line() {
        let mut queue = Queue::default();
        let low = join(&mut queue, Priority::Low, 0);
        let mut tickets = vec![low];
        tickets.extend((1..10).map(|number| join(&mut queue, Priority::Low, number)));
        tickets.extend((10..50).map(|number| join(&mut queue, Priority::High, number)));
        for gone in &tickets[..9] {
            queue.leave(*gone);
        }
        let place = drain(&mut queue, &tickets).iter().position(|&number| number == 9);
        assert_eq!(place, Some(16), "after sixteen of the others, as if nobody had been ahead");
    }

    #[test]
    fn turns_that_are_under_way_count() {
        let mut queue = Queue::default();
        let tickets: Vec<_> =
            (0..63).map(|number| join(&mut queue, Priority::ALL[number % 3], number)).collect();
        queue.take_call(tickets[0]);
        let called: Vec<_> = (0..21).filter_map(|_| queue.call().copied()).collect();
        let of = |priority| called.iter().filter(|&&number| number % 3 == priority).count();
        assert_eq!([of(0), of(1), of(2)], [16, 4, 1], "{called:?}");
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

    #[test]
    fn whoever_comes_back_has_the_place_that_he_had() {
        let mut queue = Queue::default();
        let tickets: Vec<_> = (0..4).map(|number| join(&mut queue, Priority::Normal, number)).collect();
        queue.leave(tickets[1]);
        queue.served(tickets[2], Moment(0));
        queue.rejoin(tickets[2], Moment(0), 2);
        queue.rejoin(tickets[1], Moment(0), 1);
        assert_eq!(drain(&mut queue, &tickets), [0, 1, 2, 3]);
        queue.rejoin(tickets[3], Moment(0), 3);
        assert!(queue.take_call(tickets[3]), "nobody else is there who could be called");
    }

    #[test]
    fn what_nobody_of_a_line_can_use_is_offered_to_all_others_and_to_whoever_joins_meanwhile() {
        let mut queue = Queue::default();
        let priorities = [Priority::Low, Priority::Normal, Priority::High, Priority::Normal, Priority::High];
        let mut tickets: Vec<_> = priorities
            .iter()
            .enumerate()
            .map(|(number, &priority)| join(&mut queue, priority, number))
            .collect();
        queue.take_call(tickets[0]);
        let mut offered = vec![*queue.call().expect("somebody waits")];
        while let Some(&number) = offered.last() {
            queue.take_call(tickets[number]);
            if offered.len() == 4 {
                tickets.push(join(&mut queue, Priority::High, tickets.len()));
            }
            offered.extend(queue.call_behind(tickets[number]).copied());
            if offered.last() == Some(&number) {
                break;
            }
        }
        assert_eq!(offered, [2, 4, 1, 3, 5, 0]);
    }
}
