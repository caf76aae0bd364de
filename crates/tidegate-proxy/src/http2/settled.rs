//! Whether an endpoint has said what it allows: the first frame of its connection is SETTINGS (RFC 9113 §3.4), and until that
//! has been read there is nothing to go by. Knows nothing of what is in it.

use super::frames::Frames;
use std::cell::{Cell, RefCell};
use tokio::sync::Notify;

/// Shared by those who read a connection, move its frames, and want to know.
#[derive(Debug, Default)]
pub(super) struct Settled {
    frames: RefCell<Frames>,
    has_come: Cell<bool>,
    told: Notify,
}

impl Settled {
    /// Bytes that go to the library, which has understood them when it has nothing more to do at the time.
    pub(super) fn receive(&self, mut bytes: &[u8]) {
        if self.has_come.get() {
            return;
        }
        let mut frames = self.frames.borrow_mut();
        while !bytes.is_empty() && !frames.is_beyond_first() {
            let (length, _) = frames.step(bytes);
            bytes = bytes.get(length..).unwrap_or_default();
        }
        self.has_come.set(frames.is_beyond_first());
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
