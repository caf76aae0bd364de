//! Spells that come and go: a machine that is slow or stands still for a while, again and again. Knows when, not what it
//! does to anybody.

use crate::agenda::NEVER;
use crate::machine::{Machine, Slow, Stalls};
use crate::random::Random;
use crate::span::About;

/// One kind of spell of one machine, as time goes by.
#[derive(Clone, Debug)]
pub(crate) struct Spell {
    /// Every start and every length; `None` for one spell that fills the window.
    rhythm: Option<(About, About)>,
    /// The speed while it lasts, as a part of the normal one.
    speed: f64,
    until: u64,
    random: Random,
    is_on: bool,
    changes_at: u64,
    started_at: u64,
}

impl Spell {
    pub(crate) fn of(machine: &Machine, seed: u64, position: usize) -> Vec<Spell> {
        let random = |kind: u64| Random::of(seed ^ kind, position as u64);
        let slow = machine.slow.as_ref().map(|slow| Self::slow(slow, random(1 << 60)));
        let stalls = machine.stalls.as_ref().map(|stalls| Self::stalls(stalls, random(2 << 60)));
        slow.into_iter().chain(stalls).collect()
    }

    fn slow(slow: &Slow, random: Random) -> Self {
        let from = slow.from.map_or(0, |from| from.0);
        let until = slow.until.map_or(NEVER, |until| until.0);
        let rhythm = slow.every.zip(slow.lasts);
        Self::new(rhythm, 1.0 / slow.times.0, (from, until), random)
    }

    fn stalls(stalls: &Stalls, random: Random) -> Self {
        Self::new(Some((stalls.every, stalls.lasts)), 0.0, (0, NEVER), random)
    }

    fn new(rhythm: Option<(About, About)>, speed: f64, window: (u64, u64), mut random: Random) -> Self {
        let (from, until) = window;
        // The first comes anywhere in the first interval, so that machines do not stall in step.
        let wait = rhythm.map_or(0.0, |(every, _)| every.mean.0 as f64 * random.unit());
        let changes_at = from.saturating_add(wait as u64);
        Self { rhythm, speed, until, random, is_on: false, changes_at, started_at: changes_at }
    }

    /// The factor on the machine's speed now.
    pub(crate) fn speed(&self) -> f64 {
        if self.is_on { self.speed } else { 1.0 }
    }

    pub(crate) fn changes_at(&self) -> u64 {
        self.changes_at
    }

    /// To be called at `changes_at`.
    pub(crate) fn change(&mut self) {
        let now = self.changes_at;
        if self.is_on {
            self.is_on = false;
            self.changes_at = self.next_start(now);
        } else if now < self.until {
            self.is_on = true;
            self.started_at = now;
            let lasts = self.rhythm.map_or(NEVER, |(_, lasts)| lasts.draw(&mut self.random).max(1));
            self.changes_at = now.saturating_add(lasts).min(self.until);
        } else {
            self.changes_at = NEVER;
        }
    }

    fn next_start(&mut self, now: u64) -> u64 {
        let Some((every, _)) = self.rhythm else { return NEVER };
        self.started_at.saturating_add(every.draw(&mut self.random)).max(now + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Positive;
    use crate::span::Span;

    const SECOND: u64 = 1_000_000_000;

    /// The part of `seconds` that the spell was on.
    fn part_on(mut spell: Spell, seconds: u64) -> f64 {
        let (mut on, mut since) = (0, 0);
        while spell.changes_at() < seconds * SECOND {
            let (was_on, now) = (spell.is_on, spell.changes_at());
            spell.change();
            on += if was_on { now - since } else { 0 };
            since = now;
        }
        on as f64 / (seconds * SECOND) as f64
    }

    #[test]
    fn spells_take_their_part_of_the_time() {
        for is_random in [false, true] {
            let about = |seconds: u64| About { mean: Span(seconds * SECOND), is_random };
            let slow = Slow {
                times: Positive(10.0),
                every: Some(about(20)),
                lasts: Some(about(1)),
                from: None,
                until: None,
            };
            let part = part_on(Spell::slow(&slow, Random::new(4)), 40_000);
            assert!((0.045..0.056).contains(&part), "{part}");
        }
    }

    #[test]
    fn without_a_rhythm_the_window_is_the_spell() {
        let slow = Slow {
            times: Positive(10.0),
            every: None,
            lasts: None,
            from: Some(Span(10 * SECOND)),
            until: Some(Span(15 * SECOND)),
        };
        let mut spell = Spell::slow(&slow, Random::new(4));
        assert_eq!(spell.changes_at(), 10 * SECOND);
        spell.change();
        assert!((spell.speed() - 0.1).abs() < 1e-9);
        assert_eq!(spell.changes_at(), 15 * SECOND);
        spell.change();
        assert!((spell.speed() - 1.0).abs() < 1e-9);
        assert_eq!(spell.changes_at(), NEVER);
    }
}
