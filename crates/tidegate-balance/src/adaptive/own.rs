//! How much of the request that is to be placed counts by what it costs there. Knows no single endpoint.
//!
//! All of it where nobody else comes. But whoever waits at a fast endpoint makes all behind wait, so a slow one that is free is worth using the
//! sooner, the busier the others are (Lin and Kumar, "Optimal control of a queueing system with two heterogeneous servers", IEEE TAC 29(8), 1984): about as
//! much counts as is free of all slots. Other proxies' requests wait there as well, so where slots cannot be told nothing is taken to be free.

use crate::float::AtomicF32;

/// The most, and what it is where weights are equal.
const MOST: f32 = 0.75;
/// The least, and what it is where slots cannot be told.
const LEAST: f32 = 0.25;
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

    /// `free`: the part of all slots that is; `part`: of all endpoints that say so.
    pub(super) fn follow(&self, free: f32, part: f32) {
        self.0.follow(free.clamp(LEAST, MOST), GAIN * part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busier_all_are_the_less_counts_by_what_it_costs_there() {
        for (free, expected) in [(1.0, MOST), (0.5, 0.5), (0.1, LEAST), (-6.0, LEAST)] {
            let own = Own::default();
            (0..200).for_each(|_| own.follow(free, 1.0));
            assert!((own.get() - expected).abs() < 0.01, "{free}: {}", own.get());
        }
    }
}
