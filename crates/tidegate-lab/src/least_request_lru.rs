//! Least request whose ties go to whoever was picked longest ago, as it is usually built. Here to compare with: Tidegate's own gives ties to whoever
//! has had nothing to do for longest, which is better where several proxies send to the same endpoints.

#[derive(Debug)]
pub(crate) struct LeastRequestLru {
    endpoints: Vec<Seen>,
    picks: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    weight: f64,
    in_flight: u32,
    /// Which pick the last one was.
    picked: u64,
    is_open: bool,
}

impl LeastRequestLru {
    pub(crate) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let seen = |weight| Seen { weight: f64::from(weight), in_flight: 0, picked: 0, is_open: true };
        Self { endpoints: weights.map(seen).collect(), picks: 0 }
    }

    pub(crate) fn set_open(&mut self, endpoint: usize, is_open: bool) {
        self.endpoints[endpoint].is_open = is_open;
    }

    pub(crate) fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        let is_open = |index: &usize| self.endpoints[*index].is_open && !tried.contains(index);
        let open = (0..self.endpoints.len()).filter(is_open);
        let load = |index: usize| f64::from(self.endpoints[index].in_flight) / self.endpoints[index].weight;
        let best = open.min_by(|&a, &b| {
            load(a).total_cmp(&load(b)).then_with(|| self.endpoints[a].picked.cmp(&self.endpoints[b].picked))
        })?;
        self.picks += 1;
        self.endpoints[best].in_flight += 1;
        self.endpoints[best].picked = self.picks;
        Some(best)
    }

    pub(crate) fn settle(&mut self, endpoint: usize) {
        self.endpoints[endpoint].in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_fewest_wins_and_of_these_who_was_picked_longest_ago() {
        let mut policy = LeastRequestLru::new([1, 1, 2].into_iter());
        let picks: Vec<_> = (0..4).map(|_| policy.pick(&[]).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 2], "the third has half of one for its weight");
        policy.settle(1);
        policy.settle(0);
        assert_eq!(policy.pick(&[]), Some(0), "done later, and picked longer ago");
        assert_eq!(policy.pick(&[1]), Some(2), "1 was tried, and two are one for its weight");
        policy.set_open(1, false);
        policy.set_open(0, false);
        assert_eq!(policy.pick(&[2]), None);
    }
}
