//! How much may be sent before the other side says more (RFC 9113 §5.2). Windows may be negative (§6.9.2). Knows no frames.

/// What we allow to begin with, of one stream and of all of a connection: what RFC 9113 §6.9.2 has. Less of a connection cannot
/// be said.
pub const NARROW_BYTES: u32 = 65_535;

/// The same once somebody has taken that much of a body: over 80 ms enough for 25 Mbit/s of one upload, and 100 of several.
pub(crate) const WIDE_STREAM_BYTES: u32 = 256 * 1024;
pub const WIDE_BYTES: u32 = 1024 * 1024;

const MOST: i64 = i32::MAX as i64;

/// No frame is as long as that.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(MOST)
}

/// What the other side lets us send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendWindow(i64);

/// A window may not hold more than 2^31 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflows;

impl SendWindow {
    pub(crate) fn new(bytes: u32) -> Self {
        Self(i64::from(bytes))
    }

    #[inline]
    pub(crate) fn open(self) -> usize {
        self.0.max(0) as usize
    }

    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) {
        self.0 -= signed(bytes);
    }

    pub(crate) fn change(&mut self, by: i64) -> Result<(), Overflows> {
        let changed = self.0 + by;
        if changed > MOST {
            return Err(Overflows);
        }
        self.0 = changed;
        Ok(())
    }
}

/// What we let the other side send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceiveWindow {
    /// What it may still send, as far as it has been told.
    open: i64,
    /// What could be told in addition.
    spare: u32,
    /// What it may have under way at once.
    size: u32,
}

impl ReceiveWindow {
    pub(crate) fn new(size: u32) -> Self {
        Self { open: i64::from(size), spare: 0, size }
    }

    /// So much has come; `false`: more than was allowed.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        self.open -= signed(bytes);
        self.open >= 0
    }

    /// So much of what came has been dealt with. What the other side is to be told, as soon as it is worth a frame.
    #[inline]
    pub(crate) fn give_back(&mut self, bytes: usize) -> Option<u32> {
        self.owe(bytes);
        if self.spare < self.size / 2 {
            return None;
        }
        let told = std::mem::take(&mut self.spare);
        self.open += i64::from(told);
        Some(told)
    }

    /// The same, but nothing is told of it now.
    pub(crate) fn owe(&mut self, bytes: usize) {
        self.spare += bytes as u32;
    }

    /// The other side knows (as of streams), or is told (as of the connection) that it may send more at once. By how much.
    pub(crate) fn widen(&mut self, size: u32) -> u32 {
        let more = size.saturating_sub(self.size);
        self.open += i64::from(more);
        self.size += more;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_to_send_may_be_negative_and_not_overflow() {
        let mut window = SendWindow::new(10);
        window.take(10);
        window.change(-5).unwrap();
        assert_eq!(window.open(), 0);
        window.change(6).unwrap();
        assert_eq!(window.open(), 1);
        assert_eq!(window.change(MOST), Err(Overflows));
        assert_eq!(window.open(), 1);
        window.change(MOST - 1).unwrap();
    }

    proptest! {
        /// Whoever sends what it is told it may never sends too much, never more than the size is under way, and all that is dealt
        /// with comes back but for less than half.
        #[test]
        fn what_is_allowed_is_never_more_than_the_size(steps in prop::collection::vec((0usize..70_000, 0usize..70_000), 1..50)) {
            let size = NARROW_BYTES;
            let mut window = ReceiveWindow::new(size);
            let (mut allowed, mut under_way) = (size as usize, 0);
            for (sends, deals) in steps {
                let sends = sends.min(allowed);
                (allowed, under_way) = (allowed - sends, under_way + sends);
                prop_assert!(window.take(sends));
                let deals = deals.min(under_way);
                under_way -= deals;
                allowed += window.give_back(deals).unwrap_or(0) as usize;
                prop_assert!(allowed + under_way <= size as usize);
                prop_assert!(allowed + under_way + (size as usize) / 2 >= size as usize);
            }
            prop_assert!(!window.take(allowed + 1));
        }
    }
}
