//! One stream (RFC 9113 §5.1), and all that a connection has. A stream is in here from its head, or the intention to send one, until
//! whoever serves or asks lets go of it, whatever the other side has done to it meanwhile: so the limit on streams counts what is being
//! served.

use crate::arrived::Arrived;
use crate::asking::Question;
use crate::head::request_text::Wanted;
use crate::window::{ReceiveWindow, SendWindow};
use std::collections::VecDeque;
use std::task::{Context, Waker};

/// Streams that we have reset, of which more may be on its way: that is forgotten, and no fault. So many times as many as may be
/// served at once, and never fewer than so many.
const RESET_TIMES: usize = 4;
const RESET_MIN: usize = 256;

/// Which stream, as long as it is being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// How a stream ended before its message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was reset, or its connection is gone.
    Lost,
    /// What came on it is malformed (RFC 9113 §8.1.1): we have reset it.
    Malformed,
    /// The head of its answer is longer than is read: we have reset it.
    TooLarge,
    /// The other side declined it, though it was within its limits, without looking at it: somebody else may be asked (RFC 9113 §8.7).
    Refused,
    /// It was never sent, or came to one who says goodbye, or before that had said how much it takes: it may be tried again there.
    Unseen,
}

#[derive(Debug)]
pub(crate) struct Stream {
    /// 0: its head has not been sent.
    pub(crate) id: u32,
    pub(crate) wanted: Wanted,
    /// What we ask, where it is for us to ask.
    pub(crate) question: Option<Box<Question>>,
    /// It has been reset, by either side, or its connection is broken.
    pub(crate) is_reset: bool,
    /// How, then.
    pub(crate) ending: Ending,

    pub(crate) body: Body,
    /// So much of it is to come, if its head said how much there is.
    pub(crate) left: Option<u64>,
    pub(crate) arrived: Arrived,
    pub(crate) window: ReceiveWindow,
    /// Bytes that have been read.
    pub(crate) taken: u64,
    pub(crate) trailers: Vec<u8>,
    pub(crate) reader: Sleeper,

    pub(crate) sending: Sending,
    pub(crate) send_window: SendWindow,
    pub(crate) writer: Sleeper,
    /// Waits for its turn to write.
    pub(crate) is_queued: bool,
}

/// Where the body that is received stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Open,
    /// Over, and the reader has to be told.
    Over,
    /// Nothing more is read but a reset.
    Read,
}

/// Where the message that is sent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// No final head has been written.
    Head,
    /// So much is left, if the head said how much there is.
    Body(Option<u64>),
    Over,
}

/// Somebody who waits.
#[derive(Debug, Default)]
pub(crate) struct Sleeper(Option<Waker>);

impl Sleeper {
    #[inline]
    pub(crate) fn sleep(&mut self, cx: &Context<'_>) {
        if !self.0.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.0 = Some(cx.waker().clone());
        }
    }

    #[inline]
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl Stream {
    /// Of which nothing has been received yet, and nothing sent. `windows`: what the other side may send of it, and we.
    pub(crate) fn new(id: u32, wanted: Wanted, windows: (u32, u32)) -> Self {
        Self {
            id,
            wanted,
            question: None,
            is_reset: false,
            ending: Ending::Lost,
            body: Body::Open,
            left: None,
            arrived: Arrived::default(),
            window: ReceiveWindow::new(windows.0),
            taken: 0,
            trailers: Vec::new(),
            reader: Sleeper::default(),
            sending: Sending::Head,
            send_window: SendWindow::new(windows.1),
            writer: Sleeper::default(),
            is_queued: false,
        }
    }

    /// Nothing of it has been sent.
    pub(crate) fn is_unsaid(&self) -> bool {
        self.id == 0
    }

    /// Nothing more is read from it, or written to it.
    pub(crate) fn end(&mut self, ending: Ending) {
        if !self.is_reset {
            (self.is_reset, self.ending) = (true, ending);
        }
        self.wake();
    }

    pub(crate) fn wake(&mut self) {
        self.reader.wake();
        self.writer.wake();
    }

    /// Though it broke off: what has come of an answer, or out of a tunnel. A request that is taken back is not.
    pub(crate) fn is_worth_reading(&self) -> bool {
        self.question.is_some() || self.wanted.tunnel.is_some()
    }

    /// All of the message has come.
    pub(crate) fn end_body(&mut self) {
        self.body = if self.wanted.is_unmeasured { Body::Over } else { Body::Read };
    }

    /// Whether a read would not wait.
    pub(crate) fn is_readable(&self) -> bool {
        let has_head = self.question.as_ref().is_some_and(|question| !question.heads.is_empty());
        self.is_reset || has_head || !self.arrived.is_empty() || self.body == Body::Over
    }
}

#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Vec<Option<Stream>>,
    free: Vec<u32>,
    /// Numbers go up (RFC 9113 §5.1.1), so whatever is new comes last.
    by_id: Vec<(u32, Slot)>,
    /// In the order of their resets.
    reset: VecDeque<u32>,
    reset_max: usize,
}

impl Streams {
    pub(crate) fn new(streams_max: u32) -> Self {
        let reset_max = (streams_max as usize).saturating_mul(RESET_TIMES).max(RESET_MIN);
        Self { reset_max, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of a stream with a higher number than all before, or none yet.
    pub(crate) fn insert(&mut self, stream: Stream) -> Slot {
        let id = stream.id;
        let slot = Slot(self.free.pop().unwrap_or(self.slots.len() as u32));
        match self.slots.get_mut(slot.0 as usize) {
            Some(place) => *place = Some(stream),
            None => self.slots.push(Some(stream)),
        }
        if id > 0 {
            self.by_id.push((id, slot));
        }
        slot
    }

    /// It gets a higher number than all before.
    pub(crate) fn number(&mut self, slot: Slot, id: u32) {
        if let Some(stream) = self.get_mut(slot) {
            stream.id = id;
            self.by_id.push((id, slot));
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Stream> {
        let stream = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.free.push(slot.0);
        if let Ok(place) = self.by_id.binary_search_by_key(&stream.id, |(id, _)| *id) {
            self.by_id.remove(place);
        }
        Some(stream)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Stream> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Stream> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(crate) fn find(&self, id: u32) -> Option<Slot> {
        let place = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.by_id.get(place).map(|(_, slot)| *slot)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().flatten()
    }

    pub(crate) fn note_reset(&mut self, id: u32) {
        if self.reset.len() >= self.reset_max {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    pub(crate) fn was_reset(&self, id: u32) -> bool {
        self.reset.contains(&id)
    }

    /// Gives memory back that is not needed at the time.
    pub(crate) fn trim(&mut self) {
        if self.is_empty() {
            let (mut reset, reset_max) = (std::mem::take(&mut self.reset), self.reset_max);
            reset.shrink_to_fit();
            *self = Self { reset, reset_max, ..Self::default() };
        }
    }
}
