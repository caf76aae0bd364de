//! When an endpoint last failed more than it used to, and whether others did in the same moment: then it was not the endpoint. Pure
//! arithmetic; knows no rate and no price.

use crate::Moment;
use std::time::Duration;

/// Who goes on failing for longer is to blame himself, however many others do.
const MOMENT_MAX: Duration = Duration::from_secs(2);
/// Whoever has failed this recently when the fleet is looked at has failed in the same moment.
const SAME_MOMENT: Duration = Duration::from_millis(300);

/// From when until when an endpoint failed in a way that nothing before explained.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spell {
    pub(crate) began: Moment,
    pub(crate) last: Moment,
}

impl Spell {
    /// `offences`: the failures before this one that are on the record and nothing explains.
    pub(super) fn failed(&mut self, offences: f32, now: Moment) {
        if offences < 1.0 {
            self.began = now;
        }
        self.last = now;
    }

    /// Whether it has begun just now, and is not over.
    pub(super) fn is_of_this_moment(self, now: Moment) -> bool {
        self.is_short() && self.has_just_failed(now)
    }

    /// For whatever reason.
    pub(super) fn has_just_failed(self, now: Moment) -> bool {
        self.last.0 != 0 && now.since(self.last) < SAME_MOMENT
    }

    /// Whether it was no longer than a moment, in which many were seen to fail.
    pub(super) fn is_shared(self, shared_at: Moment) -> bool {
        self.is_short() && shared_at >= self.began && self.last < shared_at + SAME_MOMENT
    }

    fn is_short(self) -> bool {
        self.last.since(self.began) < MOMENT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment(1) + Duration::from_millis(milliseconds)
    }

    /// Failures at these times, none of which anything explains.
    fn failing(at_milliseconds: &[u64]) -> Spell {
        let mut spell = Spell::default();
        for (before, milliseconds) in at_milliseconds.iter().enumerate() {
            spell.failed(before as f32, at(*milliseconds));
        }
        spell
    }

    #[test]
    fn failing_in_the_moment_in_which_many_did_is_shared_and_before_it_or_on_and_on_is_not() {
        let spell = failing(&[100, 150, 240]);
        assert!(spell.is_of_this_moment(at(300)) && !spell.is_of_this_moment(at(600)));
        assert!(spell.is_shared(at(200)) && spell.is_shared(at(300)));
        assert!(!spell.is_shared(at(50)), "it began later");
        assert!(!failing(&[100, 900]).is_shared(at(200)), "it failed again when the moment was over");
        assert!(!failing(&[100, 2_500]).is_shared(at(2_400)), "it goes on failing");
        assert!(!Spell::default().is_of_this_moment(at(100)), "it never failed");
    }
}
