//! A set of statuses. Knows nothing of what they mean.

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
}
