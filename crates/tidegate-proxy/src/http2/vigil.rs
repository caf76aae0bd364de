//! What a client's connection waits for besides frames, and until when. Does no I/O and reads no clock.
//!
//! ```text
//!            streams                 no pong
//!   busy ──────────→ asks (PING) ─────────────→ over
//!    ↑│ none left         │ pong: busy
//!    │↓                   ↓
//!   warm ─→ idle ─→ leaves (GOAWAY) ─→ over, unless the client still reads
//! ```
//!
//! A stream that begins leads back to busy from everywhere.

use super::PING_INTERVAL;
use crate::timers::after;
use std::time::Duration;
use tidegate_balance::Moment;

/// How long tasks wait for a stream on a connection that has fallen silent.
const WARM: Duration = Duration::from_secs(1);

/// To say goodbye, when all streams have ended; as often again while the client still reads, and says so.
const GOODBYE: Duration = Duration::from_secs(2);
const GOODBYES_MAX: u8 = 15;

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
    },
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

    pub(super) fn awaits_pong(&self) -> bool {
        self.stage == Stage::Asked
    }

    pub(super) fn handle_pong(&mut self) {
        self.stage = Stage::Busy;
    }

    /// At the moment `due`. `ends`: no more streams are taken; `has_heard`: the client has said something since our side ended.
    pub(super) fn handle_due(
        &mut self,
        now: Moment,
        keep_alive: Duration,
        ends: bool,
        has_heard: bool,
    ) -> Due {
        let (due, stage, timeout) = match self.stage {
            Stage::Asked => (Due::End, Stage::Asked, Duration::ZERO),
            Stage::Begins | Stage::Busy => (Due::Ask, Stage::Asked, PING_INTERVAL),
            Stage::Warm if ends => (Due::Dismiss, Stage::Leaves { goodbyes: 0 }, GOODBYE),
            Stage::Warm => (Due::Dismiss, Stage::Idle, keep_alive.saturating_sub(WARM)),
            Stage::Idle if !ends => (Due::Goodbye, Stage::Leaves { goodbyes: 0 }, GOODBYE),
            Stage::Idle if has_heard => (Due::Wait, Stage::Leaves { goodbyes: 1 }, GOODBYE),
            Stage::Leaves { goodbyes } if has_heard && goodbyes < GOODBYES_MAX => {
                (Due::Wait, Stage::Leaves { goodbyes: goodbyes + 1 }, GOODBYE)
            }
            over @ (Stage::Idle | Stage::Leaves { .. }) => (Due::End, over, Duration::ZERO),
        };
        (self.stage, self.due) = (stage, after(now, timeout));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_mins(1);

    fn second(number: u64) -> Moment {
        Moment(number * 1_000_000_000)
    }

    /// At the moment that is due.
    fn next(vigil: &mut Vigil, ends: bool, has_heard: bool) -> (Due, Moment) {
        let now = vigil.due;
        (vigil.handle_due(now, KEEP_ALIVE, ends, has_heard), now)
    }

    #[test]
    fn a_silent_connection_with_streams_is_asked_and_ends_unless_it_answers() {
        let mut vigil = Vigil::new();
        assert!(vigil.handle_streams(true, || second(0)));
        assert!(!vigil.handle_streams(true, || second(1)), "as it was");
        assert_eq!(next(&mut vigil, false, false), (Due::Ask, second(20)));
        assert!(vigil.awaits_pong());
        vigil.handle_pong();
        assert_eq!(next(&mut vigil, false, false), (Due::Ask, second(40)));
        assert_eq!(next(&mut vigil, false, false), (Due::End, second(60)));
    }

    #[test]
    fn one_without_streams_is_let_go_after_a_while_and_stays_while_it_reads() {
        let mut vigil = Vigil::new();
        assert!(vigil.handle_streams(false, || second(0)));
        assert_eq!(next(&mut vigil, false, false), (Due::Dismiss, second(1)));
        assert_eq!(next(&mut vigil, false, false), (Due::Goodbye, second(60)));
        for round in 0..u64::from(GOODBYES_MAX) {
            assert_eq!(next(&mut vigil, true, true), (Due::Wait, second(62 + 2 * round)));
        }
        assert_eq!(next(&mut vigil, true, true).0, Due::End, "not for ever");
    }

    #[test]
    fn a_drain_shortens_the_wait_and_a_stream_leads_back_from_everywhere() {
        let mut vigil = Vigil::new();
        vigil.handle_streams(false, || second(0));
        next(&mut vigil, false, false);
        assert!(vigil.handle_streams(true, || second(5)), "from idle");
        assert!(vigil.handle_streams(false, || second(6)));
        assert_eq!(next(&mut vigil, true, false), (Due::Dismiss, second(7)));
        assert_eq!(next(&mut vigil, true, false), (Due::End, second(9)), "nobody listens");
    }
}
