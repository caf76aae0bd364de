//! What a client may do to a connection besides asking: frames that move nothing have a budget, and what was begun has to
//! go on (RFC 9113 §10.5). Looks at the bytes as they go by, and says when the connection is to end; ends nothing.

use super::frames::{Begun, Ended, Frames};
use crate::timers::{Alarm, after, now};
use h2::Reason;
use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tidegate_balance::Moment;

/// Frames that move nothing, beyond those that messages are worth: as many, and as many more each second.
const SPARE_FRAMES: i64 = 1000;
const SPARE_FRAMES_PER_SECOND: i64 = 10;

/// What can be saved up by moving something.
const SAVED_FRAMES_MAX: i64 = 10_000;

/// What each request is worth, each piece of a body in either direction, and each KiB of it: of a piece that was sent, a client
/// tells two windows, and some ping as often to measure the path.
const WORTH_OF_REQUEST: i64 = 10;
const WORTH_OF_PIECE: i64 = 4;

/// To hear why, before the connection breaks.
const HEARING: Duration = Duration::from_secs(2);

/// What is looked at while bytes go by; shared with the connection's reader and writer.
#[derive(Debug)]
pub(super) struct Watch {
    received: RefCell<Frames>,
    sent: RefCell<Frames>,
    spare: Cell<i64>,
    replenished: Cell<Moment>,
    /// Why nothing more is read.
    fault: Cell<Option<Fault>>,
    /// The client does not take what it is sent.
    stalled: Cell<bool>,
    /// The client has said something since our side ended.
    heard: Cell<bool>,
    /// Streams that were reset because they are malformed, since that was asked last.
    malformed: Cell<u32>,
    /// Why the client has been told that the connection ends, since that was asked last.
    goodbye: Cell<Option<Reason>>,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Frames that move nothing, too many.
    Flood,
    /// Something was begun that does not go on.
    Late,
    /// Streams that the client took back, or got refused for how it asked, too many.
    TakenBack,
    /// RFC 9113 §4.2.
    WrongSize,
}

impl Fault {
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Flood | Self::Late | Self::TakenBack => Reason::ENHANCE_YOUR_CALM,
            Self::WrongSize => Reason::FRAME_SIZE_ERROR,
        }
    }
}

impl Watch {
    /// Of a connection whose client begins with a preface of so many bytes.
    pub(super) fn new(preface_bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            received: RefCell::new(Frames::behind(preface_bytes)),
            sent: RefCell::default(),
            spare: Cell::new(SPARE_FRAMES),
            replenished: Cell::new(now()),
            fault: Cell::new(None),
            stalled: Cell::new(false),
            heard: Cell::new(false),
            malformed: Cell::new(0),
            goodbye: Cell::new(None),
        })
    }

    /// How many of these bytes may be read: all before the header of a frame that is one too many.
    pub(super) fn receive(&self, bytes: &[u8]) -> usize {
        let mut frames = self.received.borrow_mut();
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            let (length, begun) = frames.step(rest);
            if let Some(fault) = begun.and_then(|begun| self.judge(begun)) {
                self.find(fault);
                return passed;
            }
            passed += length;
        }
        passed
    }

    /// What came of the last attempt to send something.
    pub(super) fn stalls(&self, stalls: bool) {
        self.stalled.set(stalls);
    }

    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.get()
    }

    pub(super) fn hear(&self) {
        self.heard.set(true);
    }

    /// Since it was asked last.
    pub(super) fn has_heard(&self) -> bool {
        self.heard.take()
    }

    pub(super) fn take_malformed(&self) -> u32 {
        self.malformed.take()
    }

    pub(super) fn take_goodbye(&self) -> Option<Reason> {
        self.goodbye.take()
    }

    /// The first fault counts.
    pub(super) fn find(&self, fault: Fault) {
        self.fault.set(self.fault.get().or(Some(fault)));
    }

    pub(super) fn has_fault(&self) -> bool {
        self.fault.get().is_some()
    }

    fn judge(&self, begun: Begun) -> Option<Fault> {
        if begun.has_wrong_size() {
            return Some(Fault::WrongSize);
        }
        if begun.begins_request() {
            self.save(WORTH_OF_REQUEST);
        } else if begun.is_data() && begun.length > 0 {
            self.save(worth(begun.length));
        } else if !begun.moves_message() {
            self.spare.set(self.spare.get() - 1);
        }
        (self.spare.get() < 0 && !self.replenish()).then_some(Fault::Flood)
    }

    /// These bytes have been sent.
    pub(super) fn send(&self, bytes: &[u8]) {
        let mut frames = self.sent.borrow_mut();
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            let (length, begun) = frames.step(rest);
            match frames.take_ended() {
                // Nothing else is reset for that.
                Some(Ended::Stream(code)) if Reason::from(code) == Reason::PROTOCOL_ERROR => {
                    self.malformed.set(self.malformed.get() + 1);
                }
                Some(Ended::Connection(code)) => self.goodbye.set(Some(code.into())),
                _ => {}
            }
            if let Some(begun) = begun.filter(|begun| begun.is_data() && begun.length > 0) {
                self.save(worth(begun.length));
            }
            passed += length;
        }
    }

    pub(super) fn send_vectored(&self, slices: &[IoSlice<'_>], mut length: usize) {
        for slice in slices {
            let sent = slice.len().min(length);
            self.send(slice.get(..sent).unwrap_or_default());
            length -= sent;
        }
    }

    fn save(&self, worth: i64) {
        self.spare.set(self.spare.get().saturating_add(worth).min(SAVED_FRAMES_MAX));
    }

    /// The clock is only looked at by whoever has nothing left.
    fn replenish(&self) -> bool {
        let now = now();
        let seconds = now.0.saturating_sub(self.replenished.get().0) / 1_000_000_000;
        if seconds == 0 {
            return false;
        }
        self.replenished.set(now);
        let more = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SPARE_FRAMES_PER_SECOND);
        self.save(more.min(SPARE_FRAMES));
        true
    }
}

fn worth(length: u32) -> i64 {
    WORTH_OF_PIECE + i64::from(length / 1024)
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Say why, and end.
    End(Fault),
    /// There has been time enough to hear why.
    Over,
}

/// Who looks at what was watched, whenever the connection is driven.
#[derive(Debug)]
pub(super) struct Guard {
    watch: Rc<Watch>,
    alarm: Alarm,
    head_timeout: Duration,
    /// What has been begun, and until when it is waited for.
    unfinished: Option<(u64, Moment)>,
    is_condemned: bool,
}

impl Guard {
    pub(super) fn new(watch: Rc<Watch>, alarm: Alarm, head_timeout: Duration) -> Self {
        Self { watch, alarm, head_timeout, unfinished: None, is_condemned: false }
    }

    /// Ready when something has to be done.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        if self.is_condemned {
            return if self.alarm.fired() { Poll::Ready(Verdict::Over) } else { Poll::Pending };
        }
        self.await_rest(cx);
        let is_late = self.alarm.fired() && self.unfinished.is_some_and(|(_, deadline)| deadline <= now());
        let Some(fault) = self.watch.fault.get().or(is_late.then_some(Fault::Late)) else {
            return Poll::Pending;
        };
        self.is_condemned = true;
        self.alarm.arm(after(now(), HEARING), cx);
        Poll::Ready(Verdict::End(fault))
    }

    fn await_rest(&mut self, cx: &mut Context<'_>) {
        let unfinished = self.watch.received.borrow().unfinished();
        if unfinished == self.unfinished.map(|(known, _)| known) {
            return;
        }
        self.unfinished = unfinished.map(|this| (this, after(now(), self.head_timeout)));
        if let Some((_, deadline)) = self.unfinished {
            self.alarm.arm(deadline, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 1], payload].concat()
    }

    const DATA: u8 = 0;
    const WINDOW_UPDATE: u8 = 8;

    #[test]
    fn a_flood_is_cut_before_the_frame_that_is_one_too_many() {
        let watch = Watch::new(0);
        let update = frame(WINDOW_UPDATE, &[0, 0, 0, 1]);
        let flood = update.repeat(SPARE_FRAMES as usize);
        assert_eq!(watch.receive(&flood), flood.len());
        assert!(!watch.has_fault());
        assert_eq!(watch.receive(&update), 0);
        assert_eq!(watch.fault.get(), Some(Fault::Flood));
    }

    #[test]
    fn what_is_sent_and_received_of_bodies_is_worth_some_frames() {
        let watch = Watch::new(0);
        let update = frame(WINDOW_UPDATE, &[0, 0, 0, 1]);
        for _ in 0..SPARE_FRAMES {
            watch.send(&frame(DATA, b"a little"));
            watch.receive(&frame(DATA, b"a little"));
            assert_eq!(watch.receive(&update.repeat(8)), 8 * update.len());
        }
        assert_eq!(watch.spare.get(), SPARE_FRAMES);
    }
}
