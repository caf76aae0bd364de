//! What a client's connection waits for besides frames, and until when. Does no I/O and reads no clock.
//!
//! ```text
//!            streams, and nothing moves      nothing is heard
//!   busy ───────────────→ asks (PING) ───────────────────────→ over
//!    ↑│ none left            │ pong, or anything else: busy
//!    │↓                      ↓
//!   warm ─→ idle ─→ leaves (GOAWAY) ─→ over, unless the client still reads, and says so
//! ```
//!
//! A stream that begins leads back to busy from everywhere; who says goodbye, or hears one, leaves from warm and idle at once.

use super::PING_INTERVAL;
use crate::timers::after;
use std::time::Duration;
use tidegate_balance::Moment;

/// How long tasks wait for a stream on a connection that has fallen silent.
const WARM: Duration = Duration::from_secs(1);

/// How long an answer to a PING may take: it waits behind all that the kernels on both sides hold of answers, some megabytes, which
/// slow clients take a minute for.
const PONG: Duration = Duration::from_mins(1);

/// To say goodbye, when all streams have ended; as often again while the client still reads, and says so: five minutes in all.
const GOODBYE: Duration = Duration::from_secs(2);
const GOODBYES_MAX: u8 = 150;

/// A client that says nothing may still read what the kernel holds for it: closing over what it says then would be a reset. So
/// many times in a row, but in a drain.
const SILENT_GOODBYES_MAX: u8 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is known yet.
    Begins,
    Busy,
    /// It has been asked whether it is there.
    Asked,
    /// Without streams, and tasks wait for one.
    Warm,
    Idle,
    /// No streams are taken any more, and none is left.
    Leaves {
        goodbyes: u8,
        /// In a row.
        silent: u8,
    },
}

const LEAVES: Stage = Stage::Leaves { goodbyes: 0, silent: 0 };

/// What happened since that was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// The client said something.
    pub(super) heard: bool,
    /// Something was sent.
    pub(super) sent: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Whether the client is there.
    Ask,
    /// Tasks that wait for a stream.
    Dismiss,
    /// Nobody is there, or nobody listens.
    End,
    Goodbye,
    /// Another while.
    Wait,
}

#[derive(Debug)]
pub(super) struct Vigil {
    stage: Stage,
    /// When the next thing is due.
    pub(super) due: Moment,
}

impl Vigil {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Begins, due: Moment(0) }
    }

    /// To be told of the streams whenever they may have changed. `true`: something else is due from here on.
    pub(super) fn handle_streams(&mut self, are_any: bool, now: impl FnOnce() -> Moment) -> bool {
        let was_busy = matches!(self.stage, Stage::Busy | Stage::Asked);
        if self.stage != Stage::Begins && was_busy == are_any {
            return false;
        }
        let (stage, timeout) = if are_any { (Stage::Busy, PING_INTERVAL) } else { (Stage::Warm, WARM) };
        (self.stage, self.due) = (stage, after(now(), timeout));
        true
    }

    /// No more streams are taken: to be told whenever that is so. `true`: something else is due from here on.
    pub(super) fn handle_goodbye(&mut self, now: impl FnOnce() -> Moment) -> bool {
        let waits = matches!(self.stage, Stage::Warm | Stage::Idle);
        if waits {
            (self.stage, self.due) = (LEAVES, after(now(), GOODBYE));
        }
        waits
    }

    pub(super) fn awaits_pong(&self) -> bool {
        self.stage == Stage::Asked
    }

    pub(super) fn handle_pong(&mut self) {
        self.stage = Stage::Busy;
    }

    /// At the moment `due`.
    pub(super) fn handle_due(
        &mut self,
        now: Moment,
        keep_alive: Duration,
        moved: Moved,
        drains: bool,
    ) -> Due {
        let (due, stage, timeout) = match self.stage {
            Stage::Asked if !moved.heard => (Due::End, Stage::Asked, Duration::ZERO),
            Stage::Busy if !moved.heard && !moved.sent => (Due::Ask, Stage::Asked, PONG),
            Stage::Begins | Stage::Busy | Stage::Asked => (Due::Dismiss, Stage::Busy, PING_INTERVAL),
            Stage::Warm => (Due::Dismiss, Stage::Idle, keep_alive.saturating_sub(WARM)),
            Stage::Idle => (Due::Goodbye, LEAVES, GOODBYE),
            Stage::Leaves { goodbyes, silent } => {
                let silent = if moved.heard { 0 } else { silent + 1 };
                let silent_max = if drains { 1 } else { SILENT_GOODBYES_MAX };
                let is_over = silent >= silent_max || goodbyes >= GOODBYES_MAX;
                let due = if is_over { Due::End } else { Due::Wait };
                (due, Stage::Leaves { goodbyes: goodbyes.saturating_add(1), silent }, GOODBYE)
            }
        };
        (self.stage, self.due) = (stage, after(now, timeout));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_mins(1);

    const NOTHING: Moved = Moved { heard: false, sent: false };
    const HEARD: Moved = Moved { heard: true, sent: false };
    const SENT: Moved = Moved { heard: false, sent: true };

    fn second(number: u64) -> Moment {
        Moment(number * 1_000_000_000)
    }

    /// At the moment that is due.
    fn next(vigil: &mut Vigil, moved: Moved, drains: bool) -> (Due, Moment) {
        let now = vigil.due;
        (vigil.handle_due(now, KEEP_ALIVE, moved, drains), now)
    }

    #[test]
    fn a_silent_connection_with_streams_is_asked_and_ends_unless_it_answers() {
        let mut vigil = Vigil::new();
        assert!(vigil.handle_streams(true, || second(0)));
        assert!(!vigil.handle_streams(true, || second(1)), "as it was");
        assert_eq!(next(&mut vigil, NOTHING, false), (Due::Ask, second(20)));
        assert!(vigil.awaits_pong());
        vigil.handle_pong();
        assert_eq!(next(&mut vigil, NOTHING, false), (Due::Ask, second(80)));
        assert_eq!(next(&mut vigil, NOTHING, false), (Due::End, second(140)));
    }

    #[test]
    fn one_on_which_something_moves_is_not_asked_and_whatever_it_says_is_an_answer() {
        let mut vigil = Vigil::new();
        vigil.handle_streams(true, || second(0));
        assert_eq!(next(&mut vigil, SENT, false), (Due::Dismiss, second(20)));
        assert_eq!(next(&mut vigil, HEARD, false), (Due::Dismiss, second(40)));
        assert_eq!(next(&mut vigil, NOTHING, false), (Due::Ask, second(60)));
        assert_eq!(next(&mut vigil, HEARD, false), (Due::Dismiss, second(120)));
        assert_eq!(next(&mut vigil, NOTHING, false), (Due::Ask, second(140)));
        assert_eq!(next(&mut vigil, SENT, false), (Due::End, second(200)), "the question itself");
    }

    #[test]
    fn one_without_streams_is_let_go_after_a_while_and_stays_while_it_reads() {
        let mut vigil = Vigil::new();
        assert!(vigil.handle_streams(false, || second(0)));
        assert_eq!(next(&mut vigil, NOTHING, false), (Due::Dismiss, second(1)));
        assert_eq!(next(&mut vigil, NOTHING, false), (Due::Goodbye, second(60)));
        for round in 0..u64::from(GOODBYES_MAX) {
            assert_eq!(next(&mut vigil, HEARD, false), (Due::Wait, second(62 + 2 * round)));
        }
        assert_eq!(next(&mut vigil, HEARD, false).0, Due::End, "not for ever");
    }

    #[test]
    fn one_that_says_nothing_more_may_read_for_a_while_but_not_in_a_drain() {
        for (drains, rounds) in [(false, SILENT_GOODBYES_MAX), (true, 1)] {
            let mut vigil = Vigil::new();
            vigil.handle_streams(false, || second(0));
            next(&mut vigil, NOTHING, false);
            assert!(vigil.handle_goodbye(|| second(10)), "from idle");
            assert!(!vigil.handle_goodbye(|| second(11)), "as it was");
            for _ in 1..rounds {
                assert_eq!(next(&mut vigil, NOTHING, drains).0, Due::Wait);
            }
            assert_eq!(next(&mut vigil, NOTHING, drains), (Due::End, second(10 + 2 * u64::from(rounds))));
        }
    }

    #[test]
    fn a_stream_leads_back_from_everywhere() {
        let mut vigil = Vigil::new();
        vigil.handle_streams(false, || second(0));
        next(&mut vigil, NOTHING, false);
        assert!(vigil.handle_streams(true, || second(5)), "from idle");
        assert!(vigil.handle_streams(false, || second(6)));
        assert!(vigil.handle_goodbye(|| second(7)), "from warm");
        assert!(vigil.handle_streams(true, || second(8)), "from a goodbye");
    }
}
