//! After how many requests an endpoint ends its connections, where it always does after as many (nginx: `keepalive_requests`, 1 000 if
//! nobody says otherwise).
//!
//! Requests beyond that are given back unread, all that were under way at the time, and a burst could lose the same ones again and again.
//! So where two connections in a row have given some back after as many, the next one gets no more than that until it says goodbye. When its
//! last request has left, the endpoint is asked (PING): an answer without a goodbye before it shows that it was chance, or has changed, and
//! it is forgotten. Goodbyes that lose nothing tell nothing: an endpoint that ends idle or old connections has no such limit.

use std::cell::Cell;

/// What the connections of one pool have seen of that.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// Requests taken by the one that has given others back last.
    last: Cell<u32>,
    /// Requests that each takes; 0: not known, or as many as come.
    usual: Cell<u32>,
}

impl Farewells {
    /// One has said goodbye after so many requests, and given others back.
    pub(super) fn handle_goodbye(&self, taken: u32) {
        if self.last.replace(taken) == taken {
            self.usual.set(taken);
        }
    }

    /// One has got so many, and stays.
    pub(super) fn handle_none(&self, given: u32) {
        if self.are_due(given) {
            self.usual.set(0);
        }
    }

    /// Requests that each connection takes, if that is known.
    pub(super) fn usual(&self) -> Option<u32> {
        Some(self.usual.get()).filter(|usual| *usual > 0)
    }

    /// Whether a connection that was given so many requests is to be given no more.
    pub(super) fn are_due(&self, given: u32) -> bool {
        self.usual().is_some_and(|usual| given >= usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_twice_in_a_row_is_expected_until_it_does_not() {
        let farewells = Farewells::default();
        for taken in [20, 21, 20] {
            farewells.handle_goodbye(taken);
            assert!(!farewells.are_due(1_000), "once is chance");
        }
        farewells.handle_goodbye(20);
        assert!(farewells.are_due(20) && !farewells.are_due(19));
        farewells.handle_none(19);
        farewells.handle_goodbye(7);
        assert!(farewells.are_due(20), "as when an endpoint goes for good");
        farewells.handle_none(20);
        assert!(!farewells.are_due(20));
    }

    #[test]
    fn one_that_takes_nothing_at_all_is_asked_again() {
        let farewells = Farewells::default();
        (0..3).for_each(|_| farewells.handle_goodbye(0));
        assert!(!farewells.are_due(0) && !farewells.are_due(1));
    }
}
