//! Which of many things happens next. Knows moments and positions, not what happens.
//!
//! A winner tree (Knuth, TAOCP 3, 5.4.1): every thing has exactly one next moment, which changes often. Changing one costs a
//! walk from a leaf to the root, without stale entries.

pub(crate) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Agenda {
    moments: Vec<u64>,
    /// `winners[1]` is the root; the children of `n` are `2n` and `2n + 1`, and leaves follow the inner nodes.
    winners: Vec<u32>,
    leaves: usize,
}

impl Agenda {
    pub(crate) fn new(things: usize) -> Self {
        let leaves = things.next_power_of_two().max(2);
        let mut agenda = Self { moments: vec![NEVER; leaves], winners: vec![0; leaves], leaves };
        for node in (1..leaves).rev() {
            agenda.winners[node] = agenda.child(2 * node);
        }
        agenda
    }

    pub(crate) fn set(&mut self, thing: usize, moment: u64) {
        if self.moments[thing] == moment {
            return;
        }
        self.moments[thing] = moment;
        let mut node = (self.leaves + thing) >> 1;
        while node >= 1 {
            let (left, right) = (self.child(2 * node), self.child(2 * node + 1));
            let is_left = self.moments[left as usize] <= self.moments[right as usize];
            self.winners[node] = if is_left { left } else { right };
            node >>= 1;
        }
    }

    /// The soonest moment and whose it is; the lower position when several share it.
    pub(crate) fn next(&self) -> (u64, usize) {
        let thing = self.winners[1] as usize;
        (self.moments[thing], thing)
    }

    fn child(&self, node: usize) -> u32 {
        if node >= self.leaves { (node - self.leaves) as u32 } else { self.winners[node] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_soonest_is_always_next() {
        for things in [1, 2, 3, 20, 33] {
            let mut agenda = Agenda::new(things);
            let mut moments = vec![NEVER; things];
            let mut random = Random::new(things as u64);
            assert_eq!(agenda.next().0, NEVER);
            for _ in 0..500 {
                let thing = random.below(things as u64) as usize;
                moments[thing] = random.below(100);
                agenda.set(thing, moments[thing]);
                let soonest = moments.iter().min().copied().unwrap();
                let position = moments.iter().position(|&moment| moment == soonest).unwrap();
                assert_eq!(agenda.next(), (soonest, position));
            }
        }
    }
}
