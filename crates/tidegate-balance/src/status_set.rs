//! A set of statuses. Knows nothing of what they mean.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A set of statuses from 100 to 599.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusSet([u64; 8]);

impl StatusSet {
    pub const EMPTY: Self = Self([0; 8]);

    /// Those that say the endpoint could not do its work; other statuses are the application's to give.
    pub fn failures() -> Self {
        [500, 502, 503, 504].into_iter().collect()
    }

    #[inline]
    pub fn contains(&self, status: u16) -> bool {
        let (word, bit) = Self::place(status);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    pub fn insert(&mut self, status: u16) {
        let (word, bit) = Self::place(status);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    pub(crate) fn is_disjoint(&self, other: &StatusSet) -> bool {
        self.0.iter().zip(other.0).all(|(here, there)| here & there == 0)
    }

    pub(crate) fn is_subset(&self, other: &StatusSet) -> bool {
        self.0.iter().zip(other.0).all(|(here, there)| here & !there == 0)
    }

    pub(crate) fn and(&self, other: &StatusSet) -> StatusSet {
        let mut both = *self;
        both.0.iter_mut().zip(other.0).for_each(|(here, there)| *here &= there);
        both
    }

    fn place(status: u16) -> (usize, u64) {
        let position = usize::from(status.wrapping_sub(100));
        (position / 64, 1 << (position % 64))
    }
}

impl FromIterator<u16> for StatusSet {
    fn from_iter<I: IntoIterator<Item = u16>>(statuses: I) -> Self {
        let mut set = Self::default();
        statuses.into_iter().for_each(|status| set.insert(status));
        set
    }
}

/// A set of statuses that several threads put some in. `Relaxed`: each status is a fact by itself.
#[derive(Debug, Default)]
pub(crate) struct SharedStatusSet([AtomicU64; 8]);

impl SharedStatusSet {
    pub(crate) fn insert(&self, status: u16) {
        let (word, bit) = StatusSet::place(status);
        if let Some(word) = self.0.get(word) {
            word.fetch_or(bit, Relaxed);
        }
    }

    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    pub(crate) fn load(&self) -> StatusSet {
        StatusSet(self.0.each_ref().map(|word| word.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_statuses_holds_what_was_put_in_and_nothing_else() {
        let set: StatusSet = [100, 502, 504, 599].into_iter().collect();
        let found: Vec<u16> = (0..=u16::MAX).filter(|&status| set.contains(status)).collect();
        assert_eq!(found, [100, 502, 504, 599]);
        assert!(StatusSet::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn a_shared_set_holds_the_same_until_it_is_cleared() {
        let shared = SharedStatusSet::default();
        shared.insert(502);
        shared.insert(600);
        let (both, listed) = ([502, 600].into_iter().collect(), StatusSet::failures());
        assert_eq!(shared.load(), both);
        assert!(!both.is_subset(&listed) && !both.is_disjoint(&listed));
        assert_eq!(both.and(&listed), [502].into_iter().collect());
        shared.clear();
        assert!(shared.load().is_empty());
    }
}
