//! Frames that move nothing: how many may come (RFC 9113 §10.5). Knows no clock.

/// Beyond those that messages are worth.
const SPARE_FRAMES: i64 = 1000;

/// What can be saved up by moving something.
const SAVED_FRAMES_MAX: i64 = 10_000;

/// What each request is worth, each piece of a body in either direction, and each KiB of it: of a piece that was sent, a client
/// tells two windows, and some ping as often to measure the path.
const WORTH_OF_REQUEST: i64 = 10;
const WORTH_OF_PIECE: i64 = 4;

/// Endpoints have been chosen by whoever runs us, and many clients depend on a connection to one: so many times as much.
const TRUST: i64 = 16;

#[derive(Debug)]
pub struct Budget {
    spare: i64,
    trust: i64,
}

impl Budget {
    /// Of a client.
    pub(crate) fn new() -> Self {
        Self { spare: SPARE_FRAMES, trust: 1 }
    }

    pub(crate) fn of_endpoint() -> Self {
        Self { spare: SPARE_FRAMES * TRUST, trust: TRUST }
    }

    #[inline]
    pub(crate) fn earn_request(&mut self) {
        self.save(WORTH_OF_REQUEST);
    }

    /// A piece of so many bytes has been sent or received.
    #[inline]
    pub(crate) fn earn_piece(&mut self, length: usize) {
        self.save(WORTH_OF_PIECE + i64::try_from(length / 1024).unwrap_or(SAVED_FRAMES_MAX));
    }

    fn save(&mut self, frames: i64) {
        let most = SAVED_FRAMES_MAX * self.trust;
        if self.spare < most {
            self.spare = (self.spare + frames.min(SAVED_FRAMES_MAX) * self.trust).min(most);
        }
    }

    /// `false`: there is nothing left, and nothing has been spent.
    #[inline]
    pub(crate) fn spend(&mut self) -> bool {
        let may = self.spare > 0;
        self.spare -= i64::from(may);
        may
    }

    /// Time has passed that is worth so many frames; nobody saves more of it than there is to begin with.
    pub fn replenish(&mut self, frames: u64) {
        let frames = i64::try_from(frames).unwrap_or(SPARE_FRAMES).min(SPARE_FRAMES);
        let most = SPARE_FRAMES * self.trust;
        self.spare = self.spare.max(self.spare.saturating_add(frames * self.trust).min(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_has_to_be_earned() {
        let mut budget = Budget::new();
        let spends = |budget: &mut Budget| (0..100_000).take_while(|_| budget.spend()).count();
        assert_eq!(spends(&mut budget), 1000);
        budget.earn_request();
        budget.earn_piece(2048);
        assert_eq!(spends(&mut budget), 10 + 4 + 2);
        budget.replenish(7);
        assert_eq!(spends(&mut budget), 7);
        budget.replenish(u64::MAX);
        assert_eq!(spends(&mut budget), 1000);
        (0..100_000).for_each(|_| budget.earn_request());
        budget.replenish(u64::MAX);
        assert_eq!(spends(&mut budget), 10_000);
    }
}
