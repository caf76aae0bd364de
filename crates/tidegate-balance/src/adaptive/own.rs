//! How much of the request that is to be placed counts by what it costs there. Knows no single endpoint.
//!
//! All of it where nobody else comes. But whoever waits at a fast endpoint makes all behind wait, so a slow one that is free is worth using the
//! sooner, the busier the others are (Lin and Kumar, "Optimal control of a queueing system with two heterogeneous servers", IEEE TAC 29(8), 1984): about as
//! much counts as is free of all slots. And other proxies' requests wait there as well: where so few of one's own are in flight that slots cannot be told,
//! most of what is there may be theirs.

use crate::float::AtomicF32;

/// The most, and what it is where weights are equal.
const MOST: f32 = 0.75;
/// The least, and what it is where slots cannot be told.
const LEAST: f32 = 0.25;
/// Slots of a typical endpoint, as far as they have been seen, from which on they tell how busy all are.
const TELLING_SLOTS: f32 = 3.0;
/// How fast it follows, each time that all are looked at.
const GAIN: f32 = 0.1;

#[derive(Debug)]
pub(super) struct Own(AtomicF32);

impl Default for Own {
    fn default() -> Self {
        Self(AtomicF32::new(MOST))
    }
}

impl Own {
    #[inline]
    pub(super) fn get(&self) -> f32 {
        self.0.get()
    }

    /// Weights have become equal.
    pub(super) fn start_anew(&self) {
        self.0.set(MOST);
    }

    /// `slots`: what a typical endpoint has been seen to serve at once; `busy`: the part of all slots that are taken; `part`: of all endpoints
    /// that say so.
    pub(super) fn follow(&self, slots: f32, busy: f32, part: f32) {
        let wanted = if slots < TELLING_SLOTS { LEAST } else { (1.0 - busy).clamp(LEAST, MOST) };
        self.0.follow(wanted, GAIN * part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busier_all_are_the_less_counts_by_what_it_costs_there() {
        for (slots, busy, expected) in
            [(4.0, 0.0, MOST), (4.0, 0.5, 0.5), (4.0, 0.9, LEAST), (4.0, 7.0, LEAST), (1.0, 0.1, LEAST)]
        {
            let own = Own::default();
            (0..200).for_each(|_| own.follow(slots, busy, 1.0));
            assert!((own.get() - expected).abs() < 0.01, "{slots} slots, {busy}: {}", own.get());
        }
    }
}
