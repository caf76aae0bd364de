//! A client's connection: frames in, requests out (RFC 9113 §5, §6). What is sent is in `sending.rs`.
//!
//! ```text
//!   bytes → receive ─→ Begun { slot } → whoever serves it: poll_read, poll_send, end, …, release
//!              │                                   │
//!              └──────────→ outgoing ←─────────────┘ → unsent → handle_sent
//! ```

use crate::budget::Budget;
use crate::fault::{Code, Fault};
use crate::frame::{FrameHeader, HEADER_BYTES, flag, kind};
use crate::hpack::{Decoder, Encoder};
use crate::outgoing::Outgoing;
use crate::request::{Head, HeadText, PseudoFields, TrailerText, Wanted};
use crate::settings::{self, Setting};
use crate::stream::{Body, Sending, Sleeper, Slot, Stream, Streams};
use crate::window::{NARROW_BYTES, ReceiveWindow, SendWindow, WIDE_BYTES, WIDE_STREAM_BYTES};
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// Streams that had to be reset, of one connection, before it ends (CVE-2025-8671).
const STREAM_FAULTS_MAX: u32 = 100;

/// What we let clients keep of their fields in our memory: what RFC 7541 §4.2 begins with.
const TABLE_BYTES: usize = 4096;

/// A field block may be longer than what heads may be when they are decoded, and is refused then; how much, until it is not even
/// that.
const BLOCK_SPARE_BYTES: usize = 32 * 1024;

/// What our pings say.
const ASKS: [u8; 8] = *b"tidegate";
const LEAVES: [u8; 8] = *b"goodbye!";

/// The highest number that a stream can have.
const LAST_STREAM: u32 = i32::MAX as u32;

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

/// The stream is over: reset by the client, or with its connection.
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
enum Width {
    Narrow,
    /// Somebody takes more than that of a body.
    Wanted,
    Wide,
}

#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    /// Frames that have come, but for those of a field block that goes on.
    frames: u64,
    decoder: Decoder,
    block: Option<Block>,
    pseudo: PseudoFields,
    pub budget: Budget,
    stream_faults: u32,
    malformed: u32,
    /// The highest number of a stream so far.
    last_stream: u32,
    pub(crate) streams: Streams,
    window: ReceiveWindow,
    /// Of new streams.
    stream_window_bytes: u32,
    settings_unheard: u32,
    width: Width,
    awaits_pong: bool,
    peer_leaves: bool,
    pub(crate) goodbye: Goodbye,

    pub(crate) encoder: Encoder,
    pub(crate) out: Outgoing,
    pub(crate) send_window: SendWindow,
    /// Of new streams.
    stream_send_window_bytes: u32,
    /// Who waits for room, and who for that and the connection's window, in the order of their turns.
    pub(crate) queued_heads: VecDeque<Slot>,
    pub(crate) queued_bodies: VecDeque<Slot>,
    /// Somebody moves bytes at the moment, or knows that there are some to move.
    is_driven: bool,
    /// Has to be told.
    driver: Sleeper,
}

/// A field block that goes on in the next frame.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends_stream: bool,
    bytes: Vec<u8>,
}

impl Connection {
    /// Behind the preface. Says what we set.
    pub fn new(limits: Limits) -> Self {
        let mut out = Outgoing::default();
        out.put(kind::SETTINGS, 0, 0, &settings::ours(limits.streams_max, limits.head_bytes_max));
        Self {
            limits,
            frames: 0,
            decoder: Decoder::new(TABLE_BYTES),
            block: None,
            pseudo: PseudoFields::default(),
            budget: Budget::new(),
            stream_faults: 0,
            malformed: 0,
            last_stream: 0,
            streams: Streams::default(),
            window: ReceiveWindow::new(NARROW_BYTES),
            stream_window_bytes: NARROW_BYTES,
            settings_unheard: 1,
            width: Width::Narrow,
            awaits_pong: false,
            peer_leaves: false,
            goodbye: Goodbye::NotSaid,
            encoder: Encoder::new(),
            out,
            send_window: SendWindow::new(NARROW_BYTES),
            stream_send_window_bytes: NARROW_BYTES,
            queued_heads: VecDeque::new(),
            queued_bodies: VecDeque::new(),
            driver: Sleeper::default(),
            is_driven: false,
        }
    }

    /// Takes the frame at the front of `bytes`, when all of it is there.
    pub fn receive(&mut self, bytes: &[u8], text: &mut Vec<u8>) -> Progress {
        let Some(header) = FrameHeader::read(bytes) else { return Progress::NeedMore };
        if let Some(fault) = self.judge(header) {
            return Progress::Fault(fault);
        }
        let length = HEADER_BYTES + header.length;
        let Some(payload) = bytes.get(HEADER_BYTES..length) else { return Progress::NeedMore };
        if !moves_something(header, payload) && !self.budget.spend() {
            return Progress::Exhausted;
        }
        let begun = match self.handle(header, payload, text) {
            Ok(begun) => begun,
            Err(fault) => return Progress::Fault(fault),
        };
        self.frames += u64::from(self.block.is_none());
        begun.map_or(Progress::Taken(length), |begun| Progress::Begun(length, begun))
    }

    /// What a header alone is enough to know.
    fn judge(&self, header: FrameHeader) -> Option<Fault> {
        if header.has_wrong_size() {
            return Some(Fault::FrameSize);
        }
        let is_first = self.frames == 0 && self.block.is_none();
        let is_settings = header.kind == kind::SETTINGS && !header.has(flag::ACK);
        let goes_on = match &self.block {
            // RFC 9113 §4.3: nothing else may come in between.
            Some(block) => header.kind == kind::CONTINUATION && header.stream == block.stream,
            None => header.kind != kind::CONTINUATION,
        };
        let is_protocol = goes_on
            && !header.has_wrong_stream()
            && header.kind != kind::PUSH_PROMISE
            && (is_settings || !is_first); // RFC 9113 §3.4
        (!is_protocol).then_some(Fault::Protocol)
    }

    fn handle(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        match header.kind {
            kind::DATA => self.handle_data(header, payload)?,
            kind::HEADERS => return self.handle_headers(header, payload, text),
            kind::CONTINUATION => return self.handle_continuation(header, payload, text),
            kind::PRIORITY => self.handle_priority(header, payload)?,
            kind::RST_STREAM => self.handle_reset(header.stream)?,
            kind::SETTINGS if header.has(flag::ACK) => {
                self.settings_unheard = self.settings_unheard.saturating_sub(1);
            }
            kind::SETTINGS => self.handle_settings(payload)?,
            kind::PING => self.handle_ping(header, payload),
            kind::GOAWAY => self.peer_leaves = true,
            kind::WINDOW_UPDATE => self.handle_window(header.stream, number(payload) & LAST_STREAM)?,
            _ => {} // RFC 9113 §5.5: frames of unknown types are ignored
        }
        Ok(None)
    }

    fn handle_headers(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        let fragment = header.unpadded(payload).ok_or(Fault::Protocol)?;
        let priority = if header.has(flag::PRIORITY) { 5 } else { 0 }; // RFC 9113 §5.3.2: it means nothing
        let fragment = fragment.get(priority..).ok_or(Fault::Protocol)?;
        // RFC 9113 §5.1.1: those of clients are odd.
        if header.stream.is_multiple_of(2) {
            return Err(Fault::Protocol);
        }
        let ends_stream = header.has(flag::END_STREAM);
        if header.has(flag::END_HEADERS) {
            return self.handle_block(header.stream, ends_stream, fragment, text);
        }
        self.block = Some(Block { stream: header.stream, ends_stream, bytes: fragment.to_vec() });
        Ok(None)
    }

    fn handle_continuation(
        &mut self,
        header: FrameHeader,
        fragment: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        let Some(mut block) = self.block.take() else { return Err(Fault::Protocol) };
        block.bytes.extend_from_slice(fragment);
        if block.bytes.len() > self.limits.head_bytes_max + BLOCK_SPARE_BYTES {
            return Err(Fault::Unending);
        }
        if header.has(flag::END_HEADERS) {
            return self.handle_block(block.stream, block.ends_stream, &block.bytes, text);
        }
        self.block = Some(block);
        Ok(None)
    }

    fn handle_block(
        &mut self,
        id: u32,
        ends: bool,
        block: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<Option<Begun>, Fault> {
        if id <= self.last_stream {
            return self.handle_trailers(id, ends, block, text).map(|()| None);
        }
        self.last_stream = id;
        let mut head = HeadText::new(text, &mut self.pseudo, self.limits.head_bytes_max);
        self.decoder.decode(block, |name, value| head.take(name, value)).map_err(|_| Fault::Compression)?;
        let head = head.end(!ends);
        let is_too_late = matches!(self.goodbye, Goodbye::Final(last) if id > last);
        if is_too_late || self.streams.len() >= self.limits.streams_max as usize {
            self.reset(id, Code::REFUSED_STREAM);
            // RFC 9113 §8.7: it may be tried again; but nothing was moved by it.
            return if self.budget.spend() { Ok(None) } else { Err(Fault::Flood) };
        }
        self.budget.earn_request();
        let (wanted, left) = match head {
            Head::Malformed => return self.find_fault(id, Code::PROTOCOL_ERROR).map(|()| None),
            Head::TooLarge => (None, None),
            Head::Whole { wanted, length } => (Some(wanted), length),
        };
        let slot = self.streams.insert(Stream {
            id,
            wanted: wanted.unwrap_or_default(),
            is_reset: false,
            body: if ends { Body::Read } else { Body::Open },
            left,
            arrived: crate::arrived::Arrived::default(),
            window: ReceiveWindow::new(self.stream_window_bytes),
            taken: 0,
            trailers: Vec::new(),
            reader: Sleeper::default(),
            sending: Sending::Head,
            send_window: SendWindow::new(self.stream_send_window_bytes),
            writer: Sleeper::default(),
            is_queued: false,
        });
        Ok(Some(Begun { slot, wanted }))
    }

    fn handle_trailers(
        &mut self,
        id: u32,
        ends: bool,
        block: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        text.clear();
        let mut trailers = TrailerText::new(text, self.limits.head_bytes_max);
        self.decoder
            .decode(block, |name, value| trailers.take(name, value))
            .map_err(|_| Fault::Compression)?;
        let is_well_formed = trailers.is_well_formed();
        let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.get_mut(slot)) else {
            return if self.streams.was_reset(id) { Ok(()) } else { Err(Fault::StreamClosed) };
        };
        if stream.is_reset {
            return Ok(());
        }
        if stream.body != Body::Open {
            return self.find_fault(id, Code::STREAM_CLOSED);
        }
        // RFC 9113 §8.1: trailers end the message; and it is as long as it said.
        if !ends || !is_well_formed || stream.left.is_some_and(|left| left > 0) {
            return self.find_fault(id, Code::PROTOCOL_ERROR);
        }
        stream.trailers.extend_from_slice(text);
        stream.end_body();
        stream.reader.wake();
        Ok(())
    }

    fn handle_data(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Fault> {
        let id = header.stream;
        // RFC 9113 §6.9.1: all of the payload counts, whatever becomes of it.
        if !self.window.take(payload.len()) {
            return Err(Fault::FlowControl);
        }
        let data = header.unpadded(payload).ok_or(Fault::Protocol)?;
        if id > self.last_stream {
            return Err(Fault::Protocol);
        }
        let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.get_mut(slot)) else {
            self.give_back(payload.len());
            return if self.streams.was_reset(id) {
                Ok(())
            } else {
                self.find_fault(id, Code::STREAM_CLOSED)
            };
        };
        if stream.is_reset {
            self.give_back(payload.len());
            return Ok(());
        }
        let ends = header.has(flag::END_STREAM);
        let left = stream.left.map(|left| left.checked_sub(data.len() as u64));
        let error = if stream.body != Body::Open {
            Some(Code::STREAM_CLOSED)
        } else if !stream.window.take(payload.len()) {
            Some(Code::FLOW_CONTROL_ERROR)
        } else {
            // RFC 9113 §8.1.1: the message is as long as it said.
            let fits = left.is_none_or(|left| left.is_some_and(|left| left == 0 || !ends));
            (!fits).then_some(Code::PROTOCOL_ERROR)
        };
        if let Some(code) = error {
            self.give_back(payload.len());
            return self.find_fault(id, code);
        }
        stream.left = left.flatten();
        stream.arrived.put(data);
        if ends {
            stream.end_body();
        }
        stream.reader.wake();
        let padding = payload.len() - data.len();
        if padding > 0 {
            let told = stream.window.give_back(padding).filter(|_| !ends);
            if let Some(more) = told {
                self.out.put_window(id, more);
            }
            self.give_back(padding);
        }
        if !data.is_empty() {
            self.budget.earn_piece(data.len());
        }
        Ok(())
    }

    fn handle_priority(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Fault> {
        let code = match payload.len() {
            5 if number(payload) & LAST_STREAM == header.stream => Code::PROTOCOL_ERROR, // RFC 7540 §5.3.1
            5 => return Ok(()),
            _ => Code::FRAME_SIZE_ERROR,
        };
        let is_served = self.streams.find(header.stream).is_some();
        if is_served { self.find_fault(header.stream, code) } else { Ok(()) }
    }

    fn handle_reset(&mut self, id: u32) -> Result<(), Fault> {
        if id > self.last_stream {
            return Err(Fault::Protocol);
        }
        self.close(id);
        Ok(())
    }

    fn handle_settings(&mut self, payload: &[u8]) -> Result<(), Fault> {
        for setting in settings::read(payload) {
            match setting? {
                Setting::TableBytes(bytes) => self.encoder.limit_table(bytes as usize),
                Setting::WindowBytes(bytes) => {
                    let change = i64::from(bytes) - i64::from(self.stream_send_window_bytes);
                    self.stream_send_window_bytes = bytes;
                    for stream in self.streams.iter_mut() {
                        stream.send_window.change(change).map_err(|_| Fault::FlowControl)?;
                        if change > 0 {
                            stream.writer.wake();
                        }
                    }
                }
            }
        }
        self.out.put(kind::SETTINGS, flag::ACK, 0, b"");
        Ok(())
    }

    fn handle_ping(&mut self, header: FrameHeader, payload: &[u8]) {
        if !header.has(flag::ACK) {
            self.out.put(kind::PING, flag::ACK, 0, payload);
        } else if payload == ASKS {
            self.awaits_pong = false;
        } else if payload == LEAVES && self.goodbye == Goodbye::Announced {
            self.goodbye = Goodbye::Final(self.last_stream);
            self.out.put_goodbye(self.last_stream, Code::NO_ERROR);
        }
    }

    fn handle_window(&mut self, id: u32, more: u32) -> Result<(), Fault> {
        if id == 0 {
            if more == 0 {
                return Err(Fault::Protocol);
            }
            self.send_window.change(i64::from(more)).map_err(|_| Fault::FlowControl)?;
            self.pass_on();
            return Ok(());
        }
        if id > self.last_stream {
            return Err(Fault::Protocol);
        }
        let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.get_mut(slot)) else {
            return Ok(()); // RFC 9113 §5.1: it may have been on its way
        };
        if stream.is_reset {
            return Ok(());
        }
        if more == 0 {
            return self.find_fault(id, Code::PROTOCOL_ERROR);
        }
        if stream.send_window.change(i64::from(more)).is_err() {
            return self.find_fault(id, Code::FLOW_CONTROL_ERROR);
        }
        stream.writer.wake();
        Ok(())
    }

    /// The client has done something on a stream that it must not: the stream is reset.
    fn find_fault(&mut self, id: u32, code: Code) -> Result<(), Fault> {
        self.reset(id, code);
        self.close(id);
        self.malformed += u32::from(code == Code::PROTOCOL_ERROR);
        self.stream_faults += 1;
        if self.stream_faults > STREAM_FAULTS_MAX { Err(Fault::StreamFaults) } else { Ok(()) }
    }

    pub(crate) fn reset(&mut self, id: u32, code: Code) {
        self.out.put_reset(id, code);
        self.streams.note_reset(id);
    }

    /// Nothing more is read from a stream, or written to it.
    fn close(&mut self, id: u32) {
        if let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.get_mut(slot)) {
            stream.is_reset = true;
            stream.wake();
            let unread = stream.arrived.clear();
            self.give_back(unread);
        }
    }

    /// So much of what came need not be kept any more.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        if let Some(more) = self.window.give_back(bytes) {
            self.out.put_window(0, more);
        }
    }

    /// Reads what has come of a body; `Ok(0)` is its end, which those are told whose length was not.
    pub fn poll_read(
        &mut self,
        slot: Slot,
        cx: &Context<'_>,
        room: &mut [u8],
    ) -> Poll<Result<usize, Closed>> {
        let read = self.try_read(slot, room);
        if read.is_pending()
            && let Some(stream) = self.streams.get_mut(slot)
        {
            stream.reader.sleep(cx);
        }
        read
    }

    /// The same, but wakes nobody when there is something to read later.
    pub fn try_read(&mut self, slot: Slot, room: &mut [u8]) -> Poll<Result<usize, Closed>> {
        let Some(stream) = self.streams.get_mut(slot).filter(|stream| !stream.is_reset) else {
            return Poll::Ready(Err(Closed));
        };
        if stream.arrived.is_empty() {
            if stream.body != Body::Over {
                return Poll::Pending;
            }
            stream.body = Body::Read;
            return Poll::Ready(Ok(0));
        }
        let length = stream.arrived.take(room);
        stream.taken += length as u64;
        if self.width == Width::Narrow && stream.taken > u64::from(NARROW_BYTES) {
            self.width = Width::Wanted;
        }
        let more = stream.window.give_back(length).filter(|_| stream.body == Body::Open);
        let id = stream.id;
        if let Some(more) = more {
            self.out.put_window(id, more);
        }
        self.give_back(length);
        if self.wants_wide() || !self.out.is_empty() {
            self.wake_driver();
        }
        Poll::Ready(Ok(length))
    }

    pub fn poll_readable(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(slot) {
            Some(stream) if !stream.is_readable() => {
                stream.reader.sleep(cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    pub fn is_readable(&self, slot: Slot) -> bool {
        self.streams.get(slot).is_none_or(Stream::is_readable)
    }

    /// It has been reset, by either side, or its connection is broken.
    pub fn is_closed(&self, slot: Slot) -> bool {
        self.streams.get(slot).is_none_or(|stream| stream.is_reset)
    }

    /// What came behind the body, as lines.
    pub fn take_trailers(&mut self, slot: Slot) -> Vec<u8> {
        self.streams.get_mut(slot).map(|stream| std::mem::take(&mut stream.trailers)).unwrap_or_default()
    }

    /// Somebody takes more of a body than clients may send at once to begin with.
    pub fn wants_wide(&self) -> bool {
        self.width == Width::Wanted
    }

    /// This client gets no more than that; the next piece that is taken asks again.
    pub fn stay_narrow(&mut self) {
        self.width = Width::Narrow;
    }

    /// From now on the client may send more at a time, on all of its streams. `false`: not before it has understood what it was
    /// told at the beginning.
    pub fn widen(&mut self) -> bool {
        if self.settings_unheard > 0 {
            return false;
        }
        (self.width, self.settings_unheard) = (Width::Wide, 1);
        self.out.put(kind::SETTINGS, 0, 0, &settings::window(WIDE_STREAM_BYTES));
        self.stream_window_bytes = WIDE_STREAM_BYTES;
        for stream in self.streams.iter_mut() {
            stream.window.widen(WIDE_STREAM_BYTES);
        }
        let more = self.window.widen(WIDE_BYTES);
        self.out.put_window(0, more);
        true
    }

    /// Something that has to go on soon, by a number of its own: the beginning, a frame or a field block. `rest` is what came of a frame
    /// that is not whole. Data may take its time, since whoever reads it has a patience of its own.
    pub fn unfinished(&self, rest: &[u8]) -> Option<u64> {
        let is_data = rest.get(3) == Some(&kind::DATA);
        let is_amid = self.frames == 0 || self.block.is_some() || (!rest.is_empty() && !is_data);
        is_amid.then_some(self.frames)
    }

    /// Streams that were reset because they are malformed, since that was asked last.
    pub fn take_malformed(&mut self) -> u32 {
        std::mem::take(&mut self.malformed)
    }

    /// Asks the client whether it is there.
    pub fn ask(&mut self) {
        self.awaits_pong = true;
        self.out.put(kind::PING, 0, 0, &ASKS);
    }

    pub fn awaits_pong(&self) -> bool {
        self.awaits_pong
    }

    /// Takes no more streams but for those that are on their way (RFC 9113 §6.8).
    pub fn say_goodbye(&mut self) {
        if self.goodbye == Goodbye::NotSaid {
            self.goodbye = Goodbye::Announced;
            self.out.put_goodbye(LAST_STREAM, Code::NO_ERROR);
            self.out.put(kind::PING, 0, 0, &LEAVES);
        }
    }

    /// Says why nothing goes on, and ends all streams.
    pub fn break_off(&mut self, code: Code) {
        if self.goodbye != Goodbye::Broken {
            self.out.put_goodbye(self.last_stream, code);
            self.end_streams();
        }
    }

    /// The client is gone.
    pub fn lose(&mut self) {
        self.out.clear();
        self.end_streams();
    }

    fn end_streams(&mut self) {
        self.goodbye = Goodbye::Broken;
        for stream in self.streams.iter_mut() {
            stream.is_reset = true;
            stream.arrived.clear();
            stream.wake();
        }
    }

    /// Nothing more can come of it.
    pub fn is_over(&self) -> bool {
        let is_last = match self.goodbye {
            Goodbye::Broken => return true,
            Goodbye::Final(_) => true,
            Goodbye::NotSaid | Goodbye::Announced => self.peer_leaves,
        };
        is_last && self.streams.is_empty()
    }

    /// Requests that are being served.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Gives memory back that is not needed while nothing is served.
    pub fn trim(&mut self) {
        self.out.trim();
        self.streams.trim();
        self.pseudo = PseudoFields::default();
        self.queued_heads = VecDeque::new();
        self.queued_bodies = VecDeque::new();
    }

    /// Whoever moves the bytes does so now, until `rest`; need not be woken.
    pub fn drive(&mut self, cx: &Context<'_>) {
        self.driver.sleep(cx);
        self.is_driven = true;
    }

    pub fn rest(&mut self) {
        self.is_driven = false;
    }

    /// There is something to move.
    #[inline]
    pub fn wake_driver(&mut self) {
        if !std::mem::replace(&mut self.is_driven, true) {
            self.driver.wake();
        }
    }
}

/// Whether a frame says something of a message, if only that it is over.
fn moves_something(header: FrameHeader, payload: &[u8]) -> bool {
    match header.kind {
        kind::HEADERS => true,
        kind::DATA => {
            header.has(flag::END_STREAM) || header.unpadded(payload).is_none_or(|data| !data.is_empty())
        }
        _ => false,
    }
}

fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
