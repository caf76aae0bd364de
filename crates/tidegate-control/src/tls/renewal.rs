//! When the next certificate is asked for: when the authority suggests (RFC 9773), else at two thirds of the life of the one before.
//! Pure: moments are seconds since the Unix epoch.

use super::age::Validity;
use std::time::Duration;
use tidegate_acme::{Suggestion, renewal_due};

/// The bounds of how often an authority is asked (RFC 9773 §4.3.2: they are ours to choose).
const ASK_AGAIN: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(24));
/// After it gave no answer.
const AFTER_FAILURE: Duration = Duration::from_hours(1);
/// A certificate that has just come is left alone, or an authority that errs, or a clock that is wrong, would use up one after the
/// other. For a tenth of its life, if that is less.
const REST: Duration = Duration::from_hours(1);
/// How often it is looked whether one is due, since a clock may be set: the bounds of a tenth of its life.
const LOOK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// What is planned for one certificate.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    of: Option<Validity>,
    suggested: Option<Suggested>,
    why: Option<String>,
    ask_at: i64,
    came_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suggested {
    window: (i64, i64),
    moment: i64,
}

/// When it is to be renewed, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: i64,
    pub(super) is_suggested: bool,
}

impl Renewal {
    /// Whether it is time to ask the authority when this certificate should be renewed.
    pub(super) fn wants_to_ask(&mut self, validity: Validity, now: i64) -> bool {
        if self.of != Some(validity) {
            let came_at = self.came_at;
            *self = Self { of: Some(validity), came_at, ..Self::default() };
            self.ask_at = self.rests_until();
        }
        now >= self.ask_at
    }

    /// What it said; `None`: it makes no suggestions. `chance` is from 0 to 1.
    pub(super) fn hears(&mut self, said: Option<&Suggestion>, now: i64, chance: f64) {
        let Some(said) = said else {
            (self.suggested, self.ask_at) = (None, now + seconds(ASK_AGAIN.1));
            return;
        };
        if said.end <= said.start {
            return self.hears_nothing(now); // it says nothing that could be meant (RFC 9773 §4.2)
        }
        self.ask_at = now + seconds(said.ask_again.clamp(ASK_AGAIN.0, ASK_AGAIN.1));
        self.why.clone_from(&said.why);
        let window = (said.start, said.end);
        // A moment is chosen once for each window, or whoever asks often would be early every time (RFC 9773 §4.2).
        if self.suggested.is_none_or(|suggested| suggested.window != window) {
            let moment = window.0 + ((window.1 - window.0) as f64 * chance.clamp(0.0, 1.0)) as i64;
            self.suggested = Some(Suggested { window, moment });
        }
    }

    /// What was suggested before still holds.
    pub(super) fn hears_nothing(&mut self, now: i64) {
        self.ask_at = now + seconds(AFTER_FAILURE);
    }

    /// There is a new certificate.
    pub(super) fn comes(&mut self, now: i64) {
        self.came_at = Some(now);
    }

    /// A page where the authority explains itself.
    pub(super) fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    pub(super) fn due(&self, validity: Option<Validity>) -> Due {
        let rests_until = self.rests_until();
        let Some(Validity { not_before, not_after }) = validity else {
            return Due { at: rests_until, is_suggested: false };
        };
        // No suggestion is worth an outage: there has to be time for whatever goes wrong.
        let latest = not_after - (not_after - not_before) / 10;
        match self.suggested {
            Some(suggested) => Due { at: suggested.moment.min(latest).max(rests_until), is_suggested: true },
            None => Due { at: renewal_due(not_before, not_after).max(rests_until), is_suggested: false },
        }
    }

    /// Until when nothing needs to be looked at.
    pub(super) fn looks_again_after(&self) -> Duration {
        let tenth = u64::try_from(self.tenth()).unwrap_or_default();
        Duration::from_secs(tenth).clamp(LOOK.0, LOOK.1)
    }

    fn rests_until(&self) -> i64 {
        let Some(came_at) = self.came_at else { return i64::MIN };
        came_at + seconds(REST).min(self.tenth())
    }

    /// Of its life.
    fn tenth(&self) -> i64 {
        self.of.map_or(i64::MAX, |of| of.not_after - of.not_before) / 10
    }
}

fn seconds(duration: Duration) -> i64 {
    duration.as_secs().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Validity = Validity { not_before: 0, not_after: 900_000 };

    fn suggestion(start: i64, end: i64, ask_again: u64) -> Suggestion {
        Suggestion { start, end, ask_again: Duration::from_secs(ask_again), why: None }
    }

    fn asked(now: i64) -> Renewal {
        let mut renewal = Renewal::default();
        assert!(renewal.wants_to_ask(LIFE, now));
        renewal
    }

    #[test]
    fn where_nothing_is_suggested_it_is_two_thirds_of_the_life() {
        let mut renewal = asked(0);
        renewal.hears(None, 0, 0.5);
        assert_eq!(renewal.due(Some(LIFE)), Due { at: 600_000, is_suggested: false });
        assert!(!renewal.wants_to_ask(LIFE, 86_399) && renewal.wants_to_ask(LIFE, 86_400));
    }

    #[test]
    fn a_moment_of_the_window_is_chosen_once_and_again_for_another_window() {
        let mut renewal = asked(0);
        renewal.hears(Some(&suggestion(1000, 2000, 21_600)), 0, 0.25);
        assert_eq!(renewal.due(Some(LIFE)), Due { at: 1250, is_suggested: true });
        renewal.hears(Some(&suggestion(1000, 2000, 21_600)), 10, 0.9);
        assert_eq!(renewal.due(Some(LIFE)).at, 1250);
        renewal.hears_nothing(20);
        assert_eq!(renewal.due(Some(LIFE)).at, 1250, "it holds until something else is said");
        renewal.hears(Some(&suggestion(-2000, -1000, 21_600)), 30, 0.5);
        assert_eq!(renewal.due(Some(LIFE)).at, -1500, "all certificates of the authority are to go at once");
        renewal.hears(Some(&suggestion(2_000_000, 3_000_000, 21_600)), 40, 0.5);
        assert_eq!(renewal.due(Some(LIFE)).at, 810_000, "never so late that nothing may go wrong");
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_as_good_as_no_answer() {
        for end in [1000, 999, -5] {
            let mut renewal = asked(0);
            renewal.hears(Some(&suggestion(1000, end, 21_600)), 0, 0.5);
            assert_eq!(renewal.due(Some(LIFE)), Due { at: 600_000, is_suggested: false });
            let again = seconds(AFTER_FAILURE);
            assert!(!renewal.wants_to_ask(LIFE, again - 1) && renewal.wants_to_ask(LIFE, again));
        }
    }

    #[test]
    fn the_authority_is_asked_as_often_as_it_says_within_reason() {
        for (said, expected) in [(0, 60), (7200, 7200), (10_000_000, 86_400)] {
            let mut renewal = asked(0);
            renewal.hears(Some(&suggestion(0, 1, said)), 0, 0.5);
            assert!(
                !renewal.wants_to_ask(LIFE, expected - 1) && renewal.wants_to_ask(LIFE, expected),
                "{said}"
            );
        }
    }

    #[test]
    fn a_new_certificate_is_left_alone_for_a_while_whatever_was_said_of_the_one_before() {
        let mut renewal = asked(0);
        renewal.hears(Some(&suggestion(-2000, -1000, 60)), 0, 0.5);
        renewal.comes(100);
        let next = Validity { not_before: 100, not_after: 900_100 };
        assert!(!renewal.wants_to_ask(next, 3699));
        assert_eq!(renewal.due(Some(next)), Due { at: 600_100, is_suggested: false });
        assert!(renewal.wants_to_ask(next, 3700));
    }

    #[test]
    fn a_clock_that_is_wrong_does_not_use_up_certificates() {
        let mut renewal = asked(2_000_000);
        assert!(renewal.due(Some(LIFE)).at < 2_000_000, "it has run out");
        renewal.comes(2_000_000);
        assert_eq!(renewal.due(Some(LIFE)).at, 2_003_600, "and so has the next one, as far as that goes");
        assert_eq!(renewal.due(None).at, 2_003_600, "or it cannot be read");
        let mut short = Renewal::default();
        let life = Validity { not_before: 0, not_after: 600 };
        short.comes(0);
        assert!(!short.wants_to_ask(life, 59) && short.wants_to_ask(life, 60));
        assert_eq!(short.due(Some(life)).at, 400, "short lives are renewed in time all the same");
    }

    #[test]
    fn the_shorter_the_life_the_more_often_it_is_looked_at() {
        for (life, expected) in [(7_776_000, 60), (600, 60), (60, 6), (5, 2), (-10, 2)] {
            let mut renewal = Renewal::default();
            renewal.wants_to_ask(Validity { not_before: 0, not_after: life }, 0);
            assert_eq!(renewal.looks_again_after().as_secs(), expected, "{life}");
        }
        assert_eq!(Renewal::default().looks_again_after().as_secs(), 60);
    }
}
