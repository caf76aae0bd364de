//! What keeps a client's connection of HTTP/2 going: bytes in and out, new streams, and its end.

use super::downstream::Shared;
use super::guard::Guard;
use super::hearing::Hearing;
use super::link::Taken;
use super::misconduct::{Misconduct, Offence};
use super::serving::{NewStream, hand_out};
use super::stream::Http2Stream;
use super::vigil::{Due, Moved, Vigil};
use super::window::Wide;
use crate::failure::Cause;
use crate::timers::{Alarm, after, now};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tidegate_http2::{Begun, Fault, PREFACE, Progress};

/// To hear why, before the connection breaks.
const HEARING: Duration = Duration::from_secs(2);

/// What a client may still say when our side has ended, mostly about windows.
const FORGETS_BYTES: usize = 256 * 1024;

pub(super) struct Driver {
    shared: Rc<Shared>,
    /// What has come of a frame, or of the preface.
    rest: Vec<u8>,
    has_begun: bool,
    /// The head of the next stream is written here.
    head: Vec<u8>,
    guard: Guard,
    vigil: Vigil,
    wide: Option<Wide>,
    was_refused_wide: bool,
    /// It has been said that no more streams are taken.
    ends: bool,
    last: Option<Last>,
    hearing: Hearing,
    /// Until when a client is listened to that broke the rules.
    last_hearing: Alarm,
}

/// Nothing is served any more.
#[derive(Default)]
struct Last {
    /// Our side has ended.
    has_ended: bool,
    forgotten: usize,
    is_condemned: bool,
}

impl Driver {
    pub(super) fn new(
        shared: Rc<Shared>,
        received: Vec<u8>,
        head_alarm: Alarm,
        head_timeout: Duration,
    ) -> Self {
        let timers = &shared.open.worker.timers;
        let (hearing, last_hearing) = (Hearing::new(timers.alarm()), timers.alarm());
        Self {
            shared,
            rest: received,
            has_begun: false,
            head: Vec::new(),
            guard: Guard::new(head_alarm, head_timeout),
            vigil: Vigil::new(),
            wide: None,
            was_refused_wide: false,
            ends: false,
            last: None,
            hearing,
            last_hearing,
        }
    }

    pub(super) async fn run(mut self, alarm: &Alarm) {
        self.take_received();
        poll_fn(|cx| self.poll(cx, alarm)).await;
        self.shared.link.connection.borrow_mut().lose(); // whoever still serves a stream
        self.shared.is_over.set(true);
        self.shared.dismiss();
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<()> {
        if self.last.is_none() {
            self.move_frames(cx);
        }
        if self.shared.link.is_gone.get() || self.poll_last(cx).is_ready() {
            return Poll::Ready(());
        }
        let worker = &self.shared.open.worker;
        let is_busy = self.shared.link.connection.borrow().stream_count() > 0;
        let has_changed = self.vigil.handle_streams(is_busy, now);
        let leaves = self.ends && self.vigil.handle_goodbye(now);
        if leaves {
            self.shared.dismiss();
        }
        if has_changed || leaves {
            alarm.arm(self.vigil.due, cx);
        }
        if self.vigil.awaits_pong() && !self.shared.link.connection.borrow().awaits_pong() {
            self.vigil.handle_pong();
        }
        if !alarm.fired() {
            return Poll::Pending;
        }
        if worker.is_stopping() && !is_busy {
            return Poll::Ready(());
        }
        self.poll_due(cx, alarm)
    }

    fn move_frames(&mut self, cx: &mut Context<'_>) {
        self.shared.link.drive(cx);
        if self.shared.has_taken_back_too_many() {
            self.break_off(Offence::TakenBack);
        }
        self.receive(cx);
        self.tell_of_malformed();
        self.widen();
        let unfinished = self.shared.link.connection.borrow().unfinished(&self.rest);
        if self.last.is_none() && self.guard.is_late(unfinished, cx) {
            self.break_off(Offence::Late);
        }
        if self.shared.open.worker.is_draining() && !self.ends {
            self.say_goodbye();
        }
        self.hearing.go_on(&self.shared.open.worker, &mut self.shared.link.connection.borrow_mut(), cx);
        self.shared.link.flush(cx);
        let mut connection = self.shared.link.connection.borrow_mut();
        if connection.is_over() && self.last.is_none() {
            self.ends = true;
            self.last = Some(Last::default());
        }
        connection.rest();
    }

    fn receive(&mut self, cx: &mut Context<'_>) {
        if self.last.is_none() {
            let (shared, mut rest) = (Rc::clone(&self.shared), std::mem::take(&mut self.rest));
            shared.link.receive(cx, &shared.open.worker.workspaces, &mut rest, |bytes| {
                let length = self.take_frames(bytes);
                Taken { length, goes_on: self.last.is_none() }
            });
            self.rest = rest;
        }
    }

    /// What was read before it was known what the connection speaks.
    fn take_received(&mut self) {
        let received = std::mem::take(&mut self.rest);
        let taken = self.take_frames(&received);
        self.rest = received.get(taken..).unwrap_or_default().to_vec();
    }

    /// Takes whole frames; says how many bytes those were.
    fn take_frames(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        if !self.has_begun {
            let compared = bytes.len().min(PREFACE.len());
            if bytes.get(..compared) != PREFACE.get(..compared) {
                self.break_off(Offence::Fault(Fault::Protocol));
                return 0;
            }
            if compared < PREFACE.len() {
                return 0;
            }
            (self.has_begun, taken) = (true, compared);
        }
        loop {
            let bytes = bytes.get(taken..).unwrap_or_default();
            let progress = self.shared.link.connection.borrow_mut().receive(bytes, &mut self.head);
            match progress {
                Progress::NeedMore => return taken,
                Progress::Taken(length) => taken += length,
                Progress::Begun(length, begun) => {
                    taken += length;
                    self.begin(begun);
                }
                Progress::Exhausted => {
                    let replenished =
                        self.guard.spare.replenish(&mut self.shared.link.connection.borrow_mut().budget);
                    if !replenished {
                        self.break_off(Offence::Fault(Fault::Flood));
                        return taken;
                    }
                }
                Progress::Fault(fault) => {
                    self.break_off(Offence::Fault(fault));
                    return taken;
                }
            }
        }
    }

    fn begin(&mut self, Begun { slot, wanted }: Begun) {
        let spare = self.shared.spare_heads.borrow_mut().pop().unwrap_or_default();
        let head = std::mem::replace(&mut self.head, spare);
        let stream = Http2Stream::new(Rc::clone(&self.shared), slot);
        hand_out(&self.shared, NewStream { stream, wanted, head });
    }

    /// Streams that the codec had to reset.
    fn tell_of_malformed(&self) {
        let malformed = self.shared.link.connection.borrow_mut().take_malformed();
        (0..malformed).for_each(|_| self.shared.tell_of(Misconduct::StreamMalformed));
    }

    /// An endpoint takes what the client sends: from now on, and for as long as it is connected, it may send more at a time.
    fn widen(&mut self) {
        let mut connection = self.shared.link.connection.borrow_mut();
        if !connection.wants_wide() {
            return;
        }
        let worker = &self.shared.open.worker;
        self.wide = self.wide.take().or_else(|| Wide::of(worker));
        if self.wide.is_some() {
            connection.widen(); // or as soon as the client has understood what it was told at the beginning
        } else {
            connection.stay_narrow();
            if !std::mem::replace(&mut self.was_refused_wide, true) {
                worker.metrics.limit("http2_windows");
            }
        }
    }

    fn say_goodbye(&mut self) {
        self.ends = true;
        self.shared.link.connection.borrow_mut().say_goodbye();
    }

    fn break_off(&mut self, offence: Offence) {
        if let Some(limit) = offence.limit() {
            self.shared.open.worker.metrics.limit(limit);
        }
        self.shared.tell(offence.misconduct().map_or(Cause::HeadTimeout, Cause::Http2));
        self.shared.link.connection.borrow_mut().break_off(offence.code());
        self.ends = true;
        self.last = Some(Last { is_condemned: true, ..Last::default() });
    }

    /// Closing over what a client says would be a reset, and lose what it has not read yet (RFC 9112 §9.6): so our side ends first, and
    /// what still comes is forgotten. Ready when it has ended as well.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(last) = &mut self.last else { return Poll::Pending };
        if std::mem::take(&mut last.is_condemned) {
            self.last_hearing.arm(after(now(), HEARING), cx);
        } else if self.last_hearing.fired() {
            return Poll::Ready(());
        }
        self.shared.link.flush(cx);
        if self.shared.link.is_gone.get() {
            return Poll::Ready(());
        }
        let has_left = self.shared.link.connection.borrow().unsent().is_empty();
        if has_left && !last.has_ended {
            let ended = ready!(self.shared.link.poll_shutdown(cx));
            last.has_ended = true;
            if ended.is_err() {
                return Poll::Ready(());
            }
        }
        let mut room = [0; 1024];
        while last.forgotten < FORGETS_BYTES {
            let read = ready!(self.shared.link.poll_hear(cx, &mut room));
            let Ok(length @ 1..) = read else { return Poll::Ready(()) };
            last.forgotten += length;
            self.shared.link.has_heard.set(true);
        }
        Poll::Ready(())
    }

    /// The alarm has fired.
    fn poll_due(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<()> {
        let now = now();
        if self.vigil.due > now {
            alarm.arm(self.vigil.due, cx);
            return Poll::Pending;
        }
        let keep_alive = self.shared.listener.current().keep_alive_timeout;
        let moved =
            Moved { heard: self.shared.link.has_heard.take(), sent: self.shared.link.has_sent.take() };
        let drains = self.shared.open.worker.is_draining();
        let due = self.vigil.handle_due(now, keep_alive, moved, drains);
        alarm.arm(self.vigil.due, cx);
        match due {
            Due::Ask => {
                self.trim();
                self.shared.link.connection.borrow_mut().ask();
            }
            Due::Dismiss => {
                self.trim();
                return Poll::Pending;
            }
            Due::End => return Poll::Ready(()),
            Due::Goodbye => self.say_goodbye(),
            Due::Wait => return Poll::Pending,
        }
        // What has just been said has to leave.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives back what is not needed at the time.
    fn trim(&mut self) {
        self.shared.dismiss();
        self.shared.link.connection.borrow_mut().trim();
        self.rest.shrink_to_fit();
        self.head = Vec::new();
    }
}
