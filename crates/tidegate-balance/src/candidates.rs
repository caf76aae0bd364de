//! Who may be picked for one request: the one place that asks health and the endpoints already tried. Knows no
//! algorithm.

use crate::entropy::below;
use crate::{Endpoint, Moment};

/// Whom a look over the endpoints accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standard {
    /// Endpoints that are up, and marked ones whose trial is due.
    Open,
    /// Endpoints out by quickly failing connects alone.
    LastResort,
}

/// The endpoints of a cluster through the eyes of one pick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates<'a> {
    endpoints: &'a [Endpoint],
    tried: &'a [usize],
    now: Moment,
    standard: Standard,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(
        endpoints: &'a [Endpoint],
        tried: &'a [usize],
        now: Moment,
        standard: Standard,
    ) -> Self {
        Self { endpoints, tried, now, standard }
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// The endpoint at this position, when it may be picked.
    pub(crate) fn get(&self, index: usize) -> Option<&'a Endpoint> {
        self.endpoints.get(index).filter(|endpoint| self.accepts(index, endpoint))
    }

    /// All that may be picked, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &'a Endpoint)> {
        self.endpoints.iter().enumerate().filter(|&(index, endpoint)| self.accepts(index, endpoint))
    }

    /// All that may be picked, once each, starting at a random position: whoever is met first wins the ties that an
    /// algorithm leaves, and workers that scan at the same time touch different cache lines.
    pub(crate) fn iter_from_random(&self, random: u64) -> impl Iterator<Item = (usize, &'a Endpoint)> {
        let offset = below(random, self.endpoints.len() as u64) as usize;
        let (before, after) = self.endpoints.split_at(offset);
        let numbered_after =
            after.iter().enumerate().map(move |(index, endpoint)| (index + offset, endpoint));
        numbered_after
            .chain(before.iter().enumerate())
            .filter(|&(index, endpoint)| self.accepts(index, endpoint))
    }

    /// One that may be picked, with a probability in proportion to its weight, in one look over all of them.
    pub(crate) fn by_weight(&self, random: u64) -> Option<usize> {
        let total = self.iter().map(|(_, endpoint)| endpoint.share()).sum();
        let mut left = below(random, total);
        let mut last = None;
        for (index, endpoint) in self.iter() {
            last = Some(index);
            match left.checked_sub(endpoint.share()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        last
    }

    fn accepts(&self, index: usize, endpoint: &Endpoint) -> bool {
        let suits = match self.standard {
            Standard::Open => endpoint.state.is_open(self.now),
            Standard::LastResort => endpoint.state.is_last_resort(),
        };
        suits && !self.tried.contains(&index)
    }
}
