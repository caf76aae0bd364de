//! A connection: frames in, frames out, and streams of which each carries a request and its answer (RFC 9113). Here is what it consists
//! of; what it does is in `receiving.rs`, `reading.rs`, `sending.rs` and `ending.rs`, and what is so only where it is for us to ask
//! in `asking.rs`.
//!
//! ```text
//!   bytes → receive ─→ Begun { slot } → whoever serves it: poll_read, poll_send, end, …, release
//!              │       (or we ask: open) ──────────┐
//!              └──────────→ outgoing ←─────────────┘ → unsent → handle_sent
//! ```

use crate::asking::Asking;
use crate::budget::Budget;
use crate::fault::Fault;
use crate::frame::kind;
use crate::head::request_text::{PseudoFields, Wanted};
use crate::hearing::Hearing;
use crate::hpack::{Decoder, Encoder};
use crate::outgoing::Outgoing;

use crate::settings;
use crate::stream::{Sleeper, Slot, Streams};
use crate::window::{NARROW_BYTES, ReceiveWindow, SendWindow};
use std::collections::VecDeque;
use std::task::Context;

/// What we let others keep of their fields in our memory: what RFC 7541 §4.2 begins with.
const TABLE_BYTES: usize = 4096;

/// What our pings say.
pub(crate) const ASKS: [u8; 8] = *b"tidegate";
pub(crate) const LEAVES: [u8; 8] = *b"goodbye!";
pub(crate) const STAYS: [u8; 8] = *b"goodbye?";

/// The highest number that a stream can have.
pub(crate) const LAST_STREAM: u32 = i32::MAX as u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Served at once.
    pub streams_max: u32,
    /// Of one head, fields counted as RFC 9113 §6.5.2 does.
    pub head_bytes_max: usize,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub slot: Slot,
    /// `None`: its head is longer than may be; there is no text.
    pub wanted: Option<Wanted>,
}

/// What came of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No frame is whole.
    NeedMore,
    /// So many bytes have been taken.
    Taken(usize),
    /// The same, and a request has begun: its head is in `text`, as HTTP/1.1 has it, without the empty line.
    Begun(usize, Begun),
    /// The next frame moves nothing, and is one too many, unless the budget is replenished. Nothing has been taken.
    Exhausted,
    /// The connection has to end. Nothing has been taken.
    Fault(Fault),
}

/// The stream is over: reset by the other side, or with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// How far a goodbye has come (RFC 9113 §6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goodbye {
    NotSaid,
    /// Said, without a last stream: some may be on their way.
    Announced,
    /// The client has heard; from here on none is taken with a higher number than this.
    Final(u32),
    /// The connection is broken.
    Broken,
}

/// How much the client may send before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Narrow,
    /// Somebody takes more than that of a body.
    Wanted,
    Wide,
}

#[derive(Debug)]
pub struct Connection {
    pub(crate) limits: Limits,
    /// `None`: it is for us to answer.
    pub(crate) asking: Option<Asking>,
    /// Frames that have come, but for those of a field block that goes on.
    pub(crate) frames: u64,
    pub(crate) decoder: Decoder,
    pub(crate) block: Option<Block>,
    pub(crate) pseudo: PseudoFields,
    pub budget: Budget,
    pub(crate) stream_faults: u32,
    /// Requests so far.
    pub(crate) begun: u32,
    pub(crate) malformed: u32,
    /// The highest number of a stream so far.
    pub(crate) last_stream: u32,
    pub(crate) streams: Streams,
    pub(crate) hearing: Hearing,
    pub(crate) window: ReceiveWindow,
    /// Of new streams.
    pub(crate) stream_window_bytes: u32,
    pub(crate) settings_unheard: u32,
    pub(crate) width: Width,
    pub(crate) awaits_pong: bool,
    pub(crate) peer_leaves: bool,
    pub(crate) goodbye: Goodbye,

    pub(crate) encoder: Encoder,
    pub(crate) out: Outgoing,
    pub(crate) send_window: SendWindow,
    /// Of new streams.
    pub(crate) stream_send_window_bytes: u32,
    /// Who waits for room, and who for that and the connection's window, in the order of their turns.
    pub(crate) queued_heads: VecDeque<Slot>,
    pub(crate) queued_bodies: VecDeque<Slot>,
    pub(crate) driver: Driver,
}

/// Whoever moves the bytes.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) sleeper: Sleeper,
    /// It moves bytes at the moment, or knows that there are some to move.
    pub(crate) is_awake: bool,
    /// It reads nothing until some of what waits has left.
    pub(crate) stopped_reading: bool,
}

/// A field block that goes on in the next frame.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) stream: u32,
    pub(crate) ends_stream: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Connection {
    /// With a client, behind its preface. Says what we set.
    pub fn new(limits: Limits) -> Self {
        let mut connection = Self::silent(limits);
        connection.out.put(kind::SETTINGS, 0, 0, &settings::ours(limits.streams_max, limits.head_bytes_max));
        connection
    }

    pub(crate) fn silent(limits: Limits) -> Self {
        Self {
            limits,
            asking: None,
            frames: 0,
            decoder: Decoder::new(TABLE_BYTES),
            block: None,
            pseudo: PseudoFields::default(),
            budget: Budget::new(),
            stream_faults: 0,
            begun: 0,
            malformed: 0,
            last_stream: 0,
            streams: Streams::new(limits.streams_max),
            hearing: Hearing::default(),
            window: ReceiveWindow::new(NARROW_BYTES),
            stream_window_bytes: NARROW_BYTES,
            settings_unheard: 1,
            width: Width::Narrow,
            awaits_pong: false,
            peer_leaves: false,
            goodbye: Goodbye::NotSaid,
            encoder: Encoder::new(),
            out: Outgoing::default(),
            send_window: SendWindow::new(NARROW_BYTES),
            stream_send_window_bytes: NARROW_BYTES,
            queued_heads: VecDeque::new(),
            queued_bodies: VecDeque::new(),
            driver: Driver::default(),
        }
    }

    /// Something that has to go on soon, by a number of its own: the beginning, a frame or a field block. `rest` is what came of a frame
    /// that is not whole. Data may take its time, since whoever reads it has a patience of its own.
    pub fn unfinished(&self, rest: &[u8]) -> Option<u64> {
        let is_of_frame = rest.get(3).is_some_and(|kind| *kind != kind::DATA);
        let is_amid = self.frames == 0 || self.block.is_some() || is_of_frame;
        is_amid.then_some(self.frames)
    }

    /// Requests that are being served, or asked.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Gives memory back that is not needed at the time.
    pub fn trim(&mut self) {
        self.out.trim();
        self.streams.trim();
        self.hearing.trim();
        self.pseudo = PseudoFields::default();
        self.queued_heads.shrink_to_fit();
        self.queued_bodies.shrink_to_fit();
    }

    /// Whoever moves the bytes does so now, until `rest`; need not be woken.
    pub fn drive(&mut self, cx: &Context<'_>) {
        self.driver.sleeper.sleep(cx);
        self.driver.is_awake = true;
    }

    pub fn rest(&mut self) {
        self.driver.is_awake = false;
    }

    /// There is something to move.
    #[inline]
    pub fn wake_driver(&mut self) {
        if !std::mem::replace(&mut self.driver.is_awake, true) {
            self.driver.sleeper.wake();
        }
    }
}
