//! How many requests an endpoint takes that refuses by itself what is too much (503). Knows no latencies.
//!
//! Endpoints refuse for other reasons, too: a page that is broken, an account that is blocked, and such requests may come in heaps. What tells
//! is a number of requests up to which hardly anybody is refused, and beyond which hardly anybody is served. That is the ceiling; and as who is
//! too many today need not be so tomorrow, it is raised again and again, whoever is refused meanwhile, unless the same is seen once more.
//! Where as many are refused below it as ever, it was none: it is given up, and for some time no other is believed.

use crate::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// The last answers, which are compared.
const WINDOW: usize = 128;
/// So many of them at least were served, and so many refused.
const EACH_MIN: usize = 4;
/// For one answer that is on the wrong side of a ceiling, so many refusals are on the right one.
const RIGHT_FOR_WRONG: usize = 4;
/// And for one below it that is refused, or one beyond it that is served, so many are served below it: where most are refused, hardly any
/// answer is on the wrong side of a ceiling of next to nothing.
const SERVED_FOR_WRONG: usize = 3;
/// Answers before one more is tried, at first and at most: twice as many each time that it was too many.
const WAIT_FIRST: u32 = 128;
const WAIT_MOST: u32 = 1024;
/// And, of as many as may be, before still more are tried, when it was not: twice as many each time.
const WAIT_AGAIN: u32 = 32;
/// Of the answers to requests up to a ceiling, where so many were refused, so many times as many were served, or it is none.
const BELOW_MIN: usize = 16;
const SERVED_BELOW: usize = 3;
/// Refusals that say nothing of another ceiling after one that was none, at first and at most: twice as many each time.
const DOUBT_FIRST: u32 = 512;
const DOUBT_MOST: u32 = 8192;
/// Where answers are few, this time will do.
const WAIT_LONG: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Refusals {
    /// Since the ceiling was last found too high. Empty until somebody is refused.
    answers: VecDeque<Answer>,
    ceiling: f32,
    /// By how much it is raised next.
    raise: f32,
    /// Answers that count since it was moved, at which moment that was, and how many it takes before it is raised; `wait` after it has
    /// proved too high.
    since: u32,
    moved: Moment,
    wanted: u32,
    wait: u32,
    /// One of them at least was asked for when there were as many as may be.
    was_reached: bool,
    /// Refusals that are ignored from now on, and how many are when the next ceiling proves to be none.
    ignored: u32,
    doubt: u32,
}

/// What was in flight when it was asked for, itself included.
#[derive(Clone, Copy, Debug)]
struct Answer {
    load: u32,
    is_refusal: bool,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            answers: VecDeque::new(),
            ceiling: f32::INFINITY,
            raise: 1.0,
            since: 0,
            moved: Moment::default(),
            wanted: WAIT_FIRST,
            wait: WAIT_FIRST,
            was_reached: false,
            ignored: 0,
            doubt: DOUBT_FIRST,
        }
    }
}

impl Refusals {
    /// Another ceiling, when it is time to try one.
    pub(crate) fn served(&mut self, load: u32, now: Moment) -> Option<f32> {
        if !self.answers.is_empty() || self.ceiling.is_finite() {
            self.note(Answer { load, is_refusal: false });
        }
        self.raise(load, now)
    }

    /// Another ceiling, when it is known to be too high, or when it is time to try one.
    pub(crate) fn refused(&mut self, load: u32, now: Moment) -> Option<f32> {
        self.note(Answer { load, is_refusal: true });
        let Some(ceiling) = ceiling_of(&self.answers) else {
            return if self.is_none() { Some(self.give_up(now)) } else { self.raise(load, now) };
        };
        let ceiling = (ceiling as f32).min(self.ceiling);
        let was_tried_again = self.ceiling.is_finite() && self.raise <= 2.0;
        if was_tried_again {
            self.doubt = DOUBT_FIRST;
        }
        self.wait = if was_tried_again { (2 * self.wait).min(WAIT_MOST) } else { WAIT_FIRST };
        self.raise = 1.0;
        self.answers.clear();
        Some(self.move_to(ceiling, self.wait, now))
    }

    fn raise(&mut self, load: u32, now: Moment) -> Option<f32> {
        if self.ceiling.is_infinite() {
            return None;
        }
        let reaches = load as f32 >= self.ceiling;
        let is_tried = self.raise > 1.0;
        self.since += u32::from(reaches || !is_tried);
        self.was_reached |= reaches;
        let is_time = self.since >= self.wanted || now.since(self.moved) >= WAIT_LONG;
        if !is_time || !self.was_reached {
            return None;
        }
        let higher = self.ceiling + self.raise;
        self.raise *= 2.0;
        Some(self.move_to(higher, WAIT_AGAIN, now))
    }

    /// Whether many are refused, of late, who are not too many: that is for something else.
    fn is_none(&self) -> bool {
        let below = || self.answers.iter().filter(|answer| answer.load as f32 <= self.ceiling);
        let refused = below().filter(|answer| answer.is_refusal).count();
        self.ceiling.is_finite() && refused >= BELOW_MIN && below().count() - refused < SERVED_BELOW * refused
    }

    fn give_up(&mut self, now: Moment) -> f32 {
        self.answers.clear();
        self.ignored = self.doubt;
        self.doubt = (2 * self.doubt).min(DOUBT_MOST);
        self.move_to(f32::INFINITY, WAIT_FIRST, now)
    }

    fn move_to(&mut self, ceiling: f32, wanted: u32, now: Moment) -> f32 {
        (self.ceiling, self.moved) = (ceiling, now);
        (self.since, self.wanted, self.was_reached) = (0, wanted, false);
        ceiling
    }

    fn note(&mut self, answer: Answer) {
        if self.ignored > 0 {
            self.ignored -= 1;
            return;
        }
        if self.answers.len() == WINDOW {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
    }
}

/// The number that parts those who are served from those who are refused best, if it does so well enough.
fn ceiling_of(answers: &VecDeque<Answer>) -> Option<u32> {
    let refused = answers.iter().filter(|answer| answer.is_refusal).count();
    if refused < EACH_MIN || answers.len() - refused < EACH_MIN {
        return None;
    }
    let mut by_load: Vec<_> = answers.iter().copied().collect();
    by_load.sort_unstable_by_key(|answer| answer.load);
    let mut below = Below { served: 0, refused: 0 };
    let mut best: Option<(usize, u32, Below)> = None;
    for alike in by_load.chunk_by(|one, other| one.load == other.load) {
        let load = alike.first().map_or(0, |answer| answer.load);
        let wrong = answers.len() - refused - below.served + below.refused;
        // Nor is that one which nobody has been served below.
        if below.served >= EACH_MIN && best.is_none_or(|(least, ..)| wrong < least) {
            best = Some((wrong, load.saturating_sub(1), below));
        }
        let refused = alike.iter().filter(|answer| answer.is_refusal).count();
        below.refused += refused;
        below.served += alike.len() - refused;
    }
    let (wrong, ceiling, below) = best?;
    let served_beyond = answers.len() - refused - below.served;
    let is_told = wrong * RIGHT_FOR_WRONG <= refused
        && below.refused.max(served_beyond) * SERVED_FOR_WRONG <= below.served;
    is_told.then_some(ceiling.max(1))
}

/// What became of the requests up to a number.
#[derive(Clone, Copy)]
struct Below {
    served: usize,
    refused: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(of: &[(u32, usize, usize)]) -> VecDeque<Answer> {
        let alike = |&(load, served, refused): &(u32, usize, usize)| {
            let answer = move |is_refusal| Answer { load, is_refusal };
            (0..served).map(move |_| answer(false)).chain((0..refused).map(move |_| answer(true)))
        };
        of.iter().flat_map(alike).collect()
    }

    #[test]
    fn a_ceiling_parts_those_who_are_served_from_those_who_are_refused() {
        for (of, ceiling, why) in [
            (&[(3, 9, 0), (4, 9, 0), (5, 0, 9)][..], Some(4), "plain"),
            (
                &[(3, 9, 0), (4, 9, 1), (5, 0, 6), (9, 1, 6)],
                Some(4),
                "a slot that was not free yet, one that was",
            ),
            (&[(3, 9, 0), (4, 9, 0), (5, 0, 3)], None, "too few"),
            (&[(3, 9, 4), (4, 9, 4), (5, 9, 4)], None, "at any load"),
            (&[(3, 9, 0), (8, 9, 9)], None, "as many are served there"),
            (&[(7, 1, 9), (8, 0, 9), (9, 1, 9), (10, 1, 9), (11, 1, 9)], None, "an outage at any load"),
            (
                &[(4, 4, 0), (5, 0, 9), (6, 4, 30), (7, 4, 30), (8, 4, 20), (9, 3, 13)],
                None,
                "an outage in which the first few were lucky",
            ),
            (&[(1, 9, 0), (2, 0, 2), (3, 0, 2), (4, 0, 2)], Some(1), "one at a time"),
        ] {
            assert_eq!(ceiling_of(&answers(of)), ceiling, "{why}");
        }
    }

    /// Pages that are broken come thirty at a time, others one by one: that looks like a ceiling once, and not below it.
    #[test]
    fn a_ceiling_below_which_as_many_are_refused_is_none() {
        let mut refusals = Refusals::default();
        let (mut ceiling, mut seconds_held) = (f32::INFINITY, 0);
        for second in 0..200 {
            for load in [1, 2, 3] {
                ceiling = refusals.served(load, Moment(0)).unwrap_or(ceiling);
            }
            for load in 4..34 {
                // Somebody waits for each place.
                let load = load.min(ceiling.min(1e6) as u32);
                ceiling = refusals.refused(load, Moment(0)).unwrap_or(ceiling);
            }
            seconds_held += u32::from(second >= 20 && ceiling < 30.0);
        }
        assert!(seconds_held < 20, "for {seconds_held} seconds");
    }

    /// A page that is broken, whose requests come in heaps: as many as may be are in flight then.
    #[test]
    fn a_ceiling_is_raised_whoever_is_refused_meanwhile() {
        let mut refusals = Refusals::default();
        let mut ceiling = f32::INFINITY;
        for load in [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 5, 6] {
            let moved =
                if load > 4 { refusals.refused(load, Moment(0)) } else { refusals.served(load, Moment(0)) };
            ceiling = moved.unwrap_or(ceiling);
        }
        assert!(ceiling.is_infinite(), "who was served before anybody was refused is not known");
        for load in [4, 5, 4, 5, 4, 5, 4, 5] {
            let moved =
                if load > 4 { refusals.refused(load, Moment(0)) } else { refusals.served(load, Moment(0)) };
            ceiling = moved.unwrap_or(ceiling);
        }
        assert!((4.0..5.0).contains(&ceiling), "{ceiling}");
        for answer in 0..20_000_u32 {
            let load = ceiling as u32;
            let moved = match answer % 30 {
                0..3 => refusals.refused(load, Moment(0)),
                _ => refusals.served(load, Moment(0)),
            };
            ceiling = moved.unwrap_or(ceiling);
        }
        assert!(ceiling > 100.0, "{ceiling}");
    }
}
