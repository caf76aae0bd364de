//! After how many requests an endpoint ends its connections, where it always does after as many (nginx: `keepalive_requests`, 1 000 if
//! nobody says otherwise).
//!
//! Requests beyond that are given back unread, all that were under way at the time, and a burst could lose the same ones again and again.
//! So where two connections in a row have ended after as many, the next one gets no more than that until it says goodbye. If it has answered
//! all of them and has not, that was chance, or the endpoint has changed its mind, and it is forgotten.

use std::cell::Cell;

/// What the connections of one pool have seen of that.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// Requests taken by the one that has ended last.
    last: Cell<u32>,
    /// Requests that each takes; 0: not known, or as many as come.
    usual: Cell<u32>,
}

impl Farewells {
    /// One has said goodbye after so many requests.
    pub(super) fn handle_goodbye(&self, taken: u32) {
        if self.last.replace(taken) == taken {
            self.usual.set(taken);
        }
    }

    /// One has answered so many, and says nothing.
    pub(super) fn handle_none(&self, answered: u32) {
        if self.are_due(answered) {
            self.usual.set(0);
        }
    }

    /// Whether a connection that was given so many requests is to be given no more.
    pub(super) fn are_due(&self, given: u32) -> bool {
        let usual = self.usual.get();
        usual > 0 && given >= usual
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
