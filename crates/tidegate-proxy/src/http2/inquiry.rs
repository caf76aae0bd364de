//! Whether an endpoint that keeps requests waiting is asked if it is there. Does no I/O and reads no clock.

use crate::timers::after;
use std::time::Duration;
use tidegate_balance::Moment;

/// Until an endpoint that says nothing but that it is there is asked again: servers of gRPC bear to be asked twice within five minutes of having
/// been asked while they answer nothing, and end the connection the next time (gRFC A8, gRFC A9).
const REST: Duration = Duration::from_secs(310);

/// But twice in a row sooner, where there are requests that have come since: what they wait for may be gone.
const SOONER_MAX: u8 = 2;

/// What has come since this was looked at last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) anything: bool,
    /// A head of an answer, or a piece of its body.
    pub(super) answers: bool,
    /// Requests that were ever made.
    pub(super) requests: u32,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ask,
    /// Nobody is there.
    End,
    /// Nothing, until there is a request.
    Rest,
    /// Another while.
    Wait,
}

#[derive(Debug, Default)]
pub(super) struct Inquiry {
    awaits_pong: bool,
    /// Since anything of an answer came.
    asked_at: Option<Moment>,
    /// Requests that had been made then.
    requests: u32,
    sooner: u8,
}

impl Inquiry {
    /// Once in a while, as long as there are requests.
    pub(super) fn handle_due(&mut self, is_busy: bool, said: Said, now: Moment) -> Due {
        if said.answers {
            (self.asked_at, self.sooner) = (None, 0);
        }
        let awaited = std::mem::take(&mut self.awaits_pong);
        if !is_busy {
            Due::Rest
        } else if said.anything {
            Due::Wait
        } else if awaited {
            Due::End
        } else if self.asked_at.is_none_or(|asked| now >= after(asked, REST)) {
            self.ask(said, now)
        } else if said.requests != self.requests && self.sooner < SOONER_MAX {
            self.sooner += 1;
            self.ask(said, now)
        } else {
            Due::Wait
        }
    }

    fn ask(&mut self, said: Said, now: Moment) -> Due {
        (self.awaits_pong, self.asked_at, self.requests) = (true, Some(now), said.requests);
        Due::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Said = Said { anything: false, answers: false, requests: 1 };
    const PONG: Said = Said { anything: true, ..NOTHING };
    const ANSWER: Said = Said { anything: true, answers: true, ..NOTHING };
    const INTERVAL: Duration = Duration::from_secs(20);

    #[test]
    fn whoever_says_nothing_is_asked_and_whoever_then_says_nothing_is_gone() {
        let mut inquiry = Inquiry::default();
        assert_eq!(inquiry.handle_due(true, ANSWER, Moment(1)), Due::Wait);
        assert_eq!(inquiry.handle_due(true, NOTHING, Moment(1) + INTERVAL), Due::Ask);
        assert_eq!(inquiry.handle_due(true, NOTHING, Moment(1) + 2 * INTERVAL), Due::End);
        assert_eq!(inquiry.handle_due(false, NOTHING, Moment(1) + 3 * INTERVAL), Due::Rest);
    }

    #[test]
    fn whoever_is_there_and_answers_nothing_is_not_asked_twice_in_five_minutes() {
        let (mut inquiry, mut asked) = (Inquiry::default(), Vec::new());
        for step in 0..60 {
            let now = Moment(1) + step * INTERVAL;
            let said = if asked.last().is_some_and(|last: &Moment| *last + INTERVAL == now) {
                PONG
            } else {
                NOTHING
            };
            match inquiry.handle_due(true, said, now) {
                Due::Ask => asked.push(now),
                due => assert_eq!(due, Due::Wait),
            }
        }
        assert!(
            asked.len() >= 3 && asked.windows(2).all(|pair| pair[1].since(pair[0]) > Duration::from_mins(5))
        );
    }

    /// A quiet stream, whose connection dies behind its first pong; and one of a server that lives, which is asked no more than it takes.
    #[test]
    fn where_requests_have_come_since_it_is_asked_twice_sooner() {
        let at = |step| Moment(1) + step * INTERVAL;
        let with_requests = |said: Said, requests| Said { requests, ..said };
        let mut inquiry = Inquiry::default();
        assert_eq!(inquiry.handle_due(true, NOTHING, at(1)), Due::Ask);
        assert_eq!(inquiry.handle_due(true, PONG, at(2)), Due::Wait);
        assert_eq!(inquiry.handle_due(true, NOTHING, at(3)), Due::Wait);
        assert_eq!(inquiry.handle_due(true, with_requests(NOTHING, 2), at(4)), Due::Ask);
        assert_eq!(inquiry.handle_due(true, with_requests(NOTHING, 2), at(5)), Due::End);

        let (mut inquiry, mut asked) = (Inquiry::default(), 0);
        for step in 1..15 {
            let said = with_requests(if step % 2 == 0 { PONG } else { NOTHING }, step);
            asked += u32::from(inquiry.handle_due(true, said, at(step)) == Due::Ask);
        }
        assert_eq!(asked, 3, "in five minutes");
    }

    #[test]
    fn whoever_has_answered_something_may_be_asked_anew() {
        let mut inquiry = Inquiry::default();
        for step in 0..10 {
            let now = Moment(1) + 3 * step * INTERVAL;
            assert_eq!(inquiry.handle_due(true, NOTHING, now), Due::Ask);
            assert_eq!(inquiry.handle_due(true, PONG, now + INTERVAL), Due::Wait);
            assert_eq!(inquiry.handle_due(true, ANSWER, now + 2 * INTERVAL), Due::Wait);
        }
    }
}
