//! When a connection leaves its slot to other workers, who want it. Requests share a connection, and where they overlap it never comes to rest
//! by itself: without this, the clients of a worker that has no slot could wait for ever.

use std::time::Duration;

/// Whoever has got a slot makes requests for so long, whoever wants it.
const TURN: Duration = Duration::from_millis(100);

/// Then it makes none, so that those under way can end; but for no longer than this, since some take hours.
const PATIENCE: Duration = Duration::from_secs(1);

/// And tries again.
const ROUND: Duration = Duration::from_secs(10);

/// Whether others should have the slot that has been held for so long, where they want it.
pub(super) fn is_their_turn(held: Duration) -> bool {
    let in_round = Duration::from_nanos((held.as_nanos() % ROUND.as_nanos()) as u64);
    (TURN..TURN + PATIENCE).contains(&in_round)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_followed_by_a_pause_that_ends() {
        let at = |millis| is_their_turn(Duration::from_millis(millis));
        assert_eq!([0, 99, 100, 1_099, 1_100, 9_999].map(at), [false, false, true, true, false, false]);
        assert_eq!([10_000, 10_100, 11_100, 3_600_100].map(at), [false, true, false, true]);
    }
}
