//! Whether an endpoint has said what it allows: the first frame of its connection is SETTINGS (RFC 9113 §3.4), and until that
//! has been read there is nothing to go by. Knows nothing of what is in it.

use std::cell::{Cell, RefCell};
use tokio::sync::Notify;

/// Shared by those who read a connection, move its frames, and want to know.
#[derive(Debug, Default)]
pub(super) struct Settled {
    first: RefCell<FirstFrame>,
    has_come: Cell<bool>,
    told: Notify,
}

/// What has come of it.
#[derive(Debug, Default)]
struct FirstFrame {
    /// The first three bytes, which say how long the payload is (RFC 9113 §4.1).
    length: usize,
    bytes: usize,
}

/// What each frame begins with.
const HEADER_BYTES: usize = 9;

impl FirstFrame {
    fn is_whole_with(&mut self, bytes: &[u8]) -> bool {
        let of_length = bytes.iter().take(3_usize.saturating_sub(self.bytes));
        self.length = of_length.fold(self.length, |length, byte| length << 8 | usize::from(*byte));
        self.bytes += bytes.len();
        self.bytes >= HEADER_BYTES + self.length
    }
}

impl Settled {
    /// Bytes that go to the library, which has understood them when it has nothing more to do at the time.
    pub(super) fn receive(&self, bytes: &[u8]) {
        if self.has_come.get() {
            return;
        }
        self.has_come.set(self.first.borrow_mut().is_whole_with(bytes));
    }

    pub(super) fn has_come(&self) -> bool {
        self.has_come.get()
    }

    /// Wakes those who wait, whatever came of it.
    pub(super) fn tell(&self) {
        self.told.notify_waiters();
    }

    /// Until `tell` is called.
    pub(super) async fn be_told(&self) {
        self.told.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_come_when_all_of_the_first_frame_has() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1];
        let settled = Settled::default();
        for byte in settings {
            assert!(!settled.has_come());
            settled.receive(&[byte]);
        }
        assert!(settled.has_come());
        let at_once = Settled::default();
        at_once.receive(&[&settings[..], &[0, 0]].concat());
        assert!(at_once.has_come());
    }
}
