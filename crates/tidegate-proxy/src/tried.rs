//! Which endpoints of its cluster a request has been to, by their positions.

/// So many are remembered; then the first are forgotten.
pub(crate) const REMEMBERED: usize = 8;

/// First those on which it failed, behind them those that refused its connection; the last one first of both.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    positions: [usize; REMEMBERED],
    count: usize,
    /// On how many of them it failed.
    failed: usize,
}

impl Tried {
    pub(crate) fn all(&self) -> &[usize] {
        self.positions.get(..self.count).unwrap_or_default()
    }

    /// Who refused it has lost nothing by it, and may be asked again.
    pub(crate) fn without_refusals(&self) -> &[usize] {
        self.positions.get(..self.failed).unwrap_or_default()
    }

    pub(crate) fn failed(&mut self, endpoint: usize) {
        self.insert(0, endpoint);
        self.failed = (self.failed + 1).min(REMEMBERED);
    }

    pub(crate) fn refused(&mut self, endpoint: usize) {
        self.failed = self.failed.min(REMEMBERED - 1);
        self.insert(self.failed, endpoint);
    }

    pub(crate) fn forget_refusals(&mut self) {
        self.count = self.failed;
    }

    /// Before those that stand at `place` and behind it, of which the last falls off where there is no room.
    fn insert(&mut self, place: usize, endpoint: usize) {
        let moved = self.count.min(REMEMBERED - 1);
        self.positions.copy_within(place..moved, place + 1);
        if let Some(position) = self.positions.get_mut(place) {
            *position = endpoint;
        }
        self.count = moved + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_last_ones_are_remembered(endings in prop::collection::vec(any::<bool>(), 1..40)) {
            let mut tried = Tried::default();
            for (endpoint, &failed) in endings.iter().enumerate() {
                if failed { tried.failed(endpoint) } else { tried.refused(endpoint) }
                prop_assert!(tried.all().contains(&endpoint));
                prop_assert_eq!(tried.all().len(), (endpoint + 1).min(REMEMBERED));
                let failures = tried.all().iter().filter(|&&other| endings[other]);
                prop_assert!(failures.eq(tried.without_refusals()), "{:?}", tried);
                let mut only_failed = tried;
                only_failed.forget_refusals();
                prop_assert_eq!(only_failed.all(), tried.without_refusals());
            }
        }
    }
}
