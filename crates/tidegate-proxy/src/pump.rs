//! One direction of an exchange: a head, then a body, from one stream through a buffer to another.
//!
//! Back-pressure is the shape of the loop: nothing is read while something is still to be written. Knows framing, not
//! meaning; the same code carries requests up and answers down.

use crate::buffer::Buffer;
use crate::stream::Stream;
use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, ready};
use tidegate_http::BodyLength;
use tidegate_http::chunked::{CHUNK_PREFIX, ChunkError, ChunkedDecoder, frame};
use tidegate_http::websocket::Frames;

/// Bodies up to this many bytes are copied behind the head and leave in one plain write: cheaper than gathering.
const COPY_BYTES_MAX: usize = 4096;

/// Room for heads, with a small body behind them, that stays with a pump that waits for its next request.
const ROOM_KEPT_BYTES: usize = 4 * COPY_BYTES_MAX;

/// What one connection may move before others of its worker have a turn: about a third of a millisecond.
pub(crate) const TURN_BYTES: u64 = 1024 * 1024;

/// Why a pump stopped.
#[derive(Debug)]
pub(crate) enum PumpError {
    Chunk(ChunkError),
    SinkBroken(ErrorKind),
    SourceBroken,
    /// The source ended before its body did.
    SourceEnded,
    /// More body than `body_bytes_max`, come or announced.
    TooLarge,
}

/// Which side the pump waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Side {
    #[default]
    Source,
    Sink,
}

#[derive(Debug, Default)]
enum Source {
    #[default]
    Ended,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Reused from request to request, so that its vectors keep their room.
#[derive(Debug, Default)]
pub(crate) struct Pump {
    /// The head, written before anything else.
    pub(crate) lead: Vec<u8>,
    /// Body bytes taken from the source, framing not counted.
    pub(crate) body_bytes: u64,
    /// Bytes accepted by the sink.
    pub(crate) sent_bytes: u64,
    /// Counts every step forward: unchanged means nothing moved.
    pub(crate) steps: u64,
    pub(crate) waits_for: Side,
    source: Source,
    decoder: ChunkedDecoder,
    sink_is_chunked: bool,
    /// The sink has to be told where the message ends, and has not been.
    owes_end: bool,
    body_bytes_max: u64,
    lead_sent: usize,
    prefix: [u8; CHUNK_PREFIX],
    prefix_sent: usize,
    /// Decoded bytes at the front of the buffer, ready to leave.
    data: usize,
    /// Framing bytes behind the data that are done with.
    spent: usize,
    /// What follows the data: the end of a chunk, the end of the body, trailers.
    tail: Vec<u8>,
    tail_sent: usize,
    trailers: Vec<u8>,
    record: Record,
    /// Of a WebSocket, which is what passes.
    frames: Option<Frames>,
}

/// What has been taken of a body, in case it must be sent once more.
#[derive(Debug, Default)]
struct Record {
    /// Decoded, without framing.
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Pump {
    /// Prepares for one message whose head is written to `lead` by the caller. `sink` is how the body is framed where it
    /// goes: only `Chunked` adds framing.
    pub(crate) fn start(&mut self, source: BodyLength, sink: BodyLength, body_bytes_max: u64) {
        self.source = match source {
            BodyLength::None => Source::Ended,
            BodyLength::Length(length) => Source::Length(length),
            BodyLength::Chunked => Source::Chunked,
            BodyLength::UntilClose => Source::UntilClose,
        };
        if matches!(self.source, Source::Chunked) {
            self.decoder = ChunkedDecoder::default();
        }
        self.sink_is_chunked = sink == BodyLength::Chunked;
        self.owes_end = false;
        self.body_bytes_max = body_bytes_max;
        self.trailers.clear();
        self.body_bytes = 0;
        self.record.bytes_max = 0;
        self.frames = None;
        self.forget_output();
    }

    /// Whether the sink is told where the message ends, and what trailers it has.
    pub(crate) fn ends_message(&mut self, is_told: bool) {
        self.owes_end = is_told;
    }

    /// What follows are the frames of a WebSocket.
    pub(crate) fn watch_frames(&mut self) {
        self.frames = Some(Frames::default());
    }

    /// Whether the source has closed its side of a WebSocket, as far as that has been taken from it.
    pub(crate) fn has_closed(&self) -> bool {
        self.frames.as_ref().is_some_and(Frames::has_closed)
    }

    /// Keeps up to this many bytes of the body, so that it can be sent once more.
    pub(crate) fn record(&mut self, bytes_max: usize) {
        self.record.bytes.clear();
        self.record.bytes_max = bytes_max;
    }

    /// Whether all that was taken of the body is at hand.
    pub(crate) fn can_rewind(&self) -> bool {
        self.body_bytes == self.recorded()
    }

    /// Back to before the first byte was sent; `false`: what was taken of the body is gone. The caller writes a head to
    /// `lead`, then calls `replay`. What the source still has to say stays where it is.
    pub(crate) fn rewind(&mut self, buffer: &mut Buffer) -> bool {
        let rewinds = self.can_rewind();
        if rewinds {
            buffer.consume(self.data + self.spent);
            self.forget_output();
        }
        rewinds
    }

    /// Puts what was taken of the body before behind the head in `lead`.
    pub(crate) fn replay(&mut self) {
        let length = self.recorded();
        if length == 0 && !self.source_ended() {
            return;
        }
        if self.sink_is_chunked && length > 0 {
            let mut prefix = [0; CHUNK_PREFIX];
            let start = frame(&mut prefix, length as usize);
            self.lead.extend_from_slice(prefix.get(start..).unwrap_or_default());
        }
        self.lead.extend_from_slice(&self.record.bytes);
        if self.sink_is_chunked {
            if length > 0 {
                self.lead.extend_from_slice(b"\r\n");
            }
            self.end_chunks_if_ended();
            self.lead.append(&mut self.tail);
        }
    }

    fn recorded(&self) -> u64 {
        if self.record.bytes_max == 0 { 0 } else { self.record.bytes.len() as u64 }
    }

    fn forget_output(&mut self) {
        self.lead.clear();
        self.tail.clear();
        (self.lead_sent, self.tail_sent, self.prefix_sent) = (0, 0, CHUNK_PREFIX);
        (self.data, self.spent, self.sent_bytes) = (0, 0, 0);
    }

    /// Everything has been read and written.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.source, Source::Ended) && !self.has_output()
    }

    /// What came behind the body, as lines.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Gives back the memory of bodies that were kept.
    pub(crate) fn trim(&mut self) {
        for room in [&mut self.lead, &mut self.record.bytes] {
            if room.capacity() > ROOM_KEPT_BYTES {
                *room = Vec::new();
            }
        }
    }

    /// The message has been taken from the source to its end, so that what follows it there is another one.
    pub(crate) fn is_taken(&self) -> bool {
        self.source_ended() && self.data == 0
    }

    /// The end of the message has been seen; some of it may still be in the buffer.
    fn source_ended(&self) -> bool {
        matches!(self.source, Source::Ended)
    }

    /// Moves until the message is through, neither side can go on, or it is somebody else's turn.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        buffer: &mut Buffer,
        to: &Stream,
    ) -> Poll<Result<(), PumpError>> {
        let turn_ends = self.sent_bytes.saturating_add(TURN_BYTES);
        loop {
            ready!(self.poll_drain(cx, buffer, to))?;
            if self.source_ended() {
                return Poll::Ready(Ok(()));
            }
            if self.sent_bytes >= turn_ends {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.waits_for = Side::Source;
            ready!(self.poll_fill(cx, from, buffer))?;
        }
    }

    /// Moves on what the buffer holds, without reading.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        to: &Stream,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            if self.data == 0 && self.tail.is_empty() && !self.source_ended() {
                self.load(buffer)?;
            }
            if !self.has_output() {
                return Poll::Ready(Ok(()));
            }
            self.waits_for = Side::Sink;
            ready!(self.poll_flush(cx, buffer, to))?;
        }
    }

    /// Writes what is queued, without reading.
    pub(crate) fn poll_flush_all(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        to: &Stream,
    ) -> Poll<Result<(), PumpError>> {
        while self.has_output() {
            ready!(self.poll_flush(cx, buffer, to))?;
        }
        Poll::Ready(Ok(()))
    }

    fn has_output(&self) -> bool {
        self.has_bytes() || (self.owes_end && self.source_ended())
    }

    fn has_bytes(&self) -> bool {
        self.lead_sent < self.lead.len() || self.data > 0 || self.tail_sent < self.tail.len()
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        buffer: &mut Buffer,
    ) -> Poll<Result<(), PumpError>> {
        let room = buffer.room();
        if room.is_empty() {
            return Poll::Ready(Err(PumpError::SourceBroken));
        }
        match ready!(from.poll_read(cx, room)) {
            Ok(0) => {
                self.handle_end(from)?;
            }
            Ok(length) => buffer.filled(length),
            Err(_) => return Poll::Ready(Err(PumpError::SourceBroken)),
        }
        self.steps += 1;
        Poll::Ready(Ok(()))
    }

    fn handle_end(&mut self, from: &Stream) -> Result<(), PumpError> {
        if !matches!(self.source, Source::UntilClose) {
            return Err(PumpError::SourceEnded);
        }
        self.source = Source::Ended;
        from.take_trailers(&mut self.trailers);
        self.frame_output();
        Ok(())
    }

    /// Takes what the buffer holds of the body and frames it for the sink.
    fn load(&mut self, buffer: &mut Buffer) -> Result<(), PumpError> {
        let held = buffer.readable().len();
        if held == 0 {
            return Ok(());
        }
        match &mut self.source {
            Source::Ended => {}
            Source::Length(remaining) => {
                self.data = usize::try_from(*remaining).map_or(held, |remaining| remaining.min(held));
                *remaining -= self.data as u64;
                if *remaining == 0 {
                    self.source = Source::Ended;
                }
            }
            Source::Chunked => {
                let decoded = self
                    .decoder
                    .decode(buffer.readable_mut(), &mut self.trailers)
                    .map_err(PumpError::Chunk)?;
                self.data = decoded.data;
                self.spent = decoded.consumed - decoded.data;
                if decoded.done {
                    self.source = Source::Ended;
                }
            }
            Source::UntilClose => self.data = held,
        }
        self.body_bytes += self.data as u64;
        if self.body_bytes.saturating_add(self.announced()) > self.body_bytes_max {
            return Err(PumpError::TooLarge);
        }
        let data = buffer.readable().get(..self.data).unwrap_or_default();
        self.record.keep(data);
        if let Some(frames) = &mut self.frames {
            frames.see(data);
        }
        if self.data == 0 {
            buffer.consume(std::mem::take(&mut self.spent));
        }
        self.frame_output();
        self.copy_small(buffer);
        Ok(())
    }

    /// What the source has said that it will send, at the least. Other bodies than chunked ones have said so in their head.
    fn announced(&self) -> u64 {
        if matches!(self.source, Source::Chunked) { self.decoder.announced() } else { 0 }
    }

    fn frame_output(&mut self) {
        if !self.sink_is_chunked {
            return;
        }
        self.tail.clear();
        self.tail_sent = 0;
        if self.data > 0 {
            self.prefix_sent = frame(&mut self.prefix, self.data);
            self.tail.extend_from_slice(b"\r\n");
        }
        self.end_chunks_if_ended();
    }

    fn end_chunks_if_ended(&mut self) {
        if self.source_ended() {
            self.tail.extend_from_slice(b"0\r\n");
            self.tail.extend_from_slice(&self.trailers);
            self.tail.extend_from_slice(b"\r\n");
        }
    }

    /// Puts a short body behind the head that has not left yet.
    fn copy_small(&mut self, buffer: &mut Buffer) {
        if self.lead_sent < self.lead.len() && self.data <= COPY_BYTES_MAX {
            self.lead.extend_from_slice(self.prefix.get(self.prefix_sent..).unwrap_or_default());
            self.lead.extend_from_slice(buffer.readable().get(..self.data).unwrap_or_default());
            self.lead.extend_from_slice(self.tail.get(self.tail_sent..).unwrap_or_default());
            buffer.consume(self.data + self.spent);
            self.tail.clear();
            (self.data, self.spent, self.tail_sent, self.prefix_sent) = (0, 0, 0, CHUNK_PREFIX);
        }
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        to: &Stream,
    ) -> Poll<Result<(), PumpError>> {
        if !self.has_bytes() {
            self.owes_end = false;
            self.steps += 1;
            return Poll::Ready(
                to.end_message(&self.trailers).map_err(|error| PumpError::SinkBroken(error.kind())),
            );
        }
        let sent = match ready!(self.poll_send(cx, buffer, to)) {
            Ok(0) => return Poll::Ready(Err(PumpError::SinkBroken(ErrorKind::WriteZero))),
            Err(error) => return Poll::Ready(Err(PumpError::SinkBroken(error.kind()))),
            Ok(sent) => sent,
        };
        self.steps += 1;
        self.sent_bytes += sent as u64;
        self.handle_sent(sent, buffer);
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_send(&self, cx: &mut Context<'_>, buffer: &Buffer, to: &Stream) -> Poll<io::Result<usize>> {
        let lead = self.lead.get(self.lead_sent..).unwrap_or_default();
        if self.data == 0 && self.tail.is_empty() {
            return to.poll_write(cx, lead);
        }
        let prefix = self.prefix.get(self.prefix_sent..).unwrap_or_default();
        let data = buffer.readable().get(..self.data).unwrap_or_default();
        let tail = self.tail.get(self.tail_sent..).unwrap_or_default();
        if lead.is_empty() && prefix.is_empty() && tail.is_empty() {
            return to.poll_write(cx, data);
        }
        to.poll_write_vectored(cx, &[lead, prefix, data, tail].map(IoSlice::new))
    }

    #[inline]
    fn handle_sent(&mut self, sent: usize, buffer: &mut Buffer) {
        if self.data == 0 && self.tail.is_empty() {
            self.lead_sent += sent; // the usual: a head, and what was copied behind it
        } else {
            self.divide_sent(sent, buffer);
        }
    }

    fn divide_sent(&mut self, mut sent: usize, buffer: &mut Buffer) {
        let mut part = |left: usize| {
            let taken = sent.min(left);
            sent -= taken;
            taken
        };
        self.lead_sent += part(self.lead.len() - self.lead_sent);
        self.prefix_sent += part(CHUNK_PREFIX - self.prefix_sent);
        let data = part(self.data);
        self.tail_sent += part(self.tail.len() - self.tail_sent);
        self.data -= data;
        buffer.consume(data);
        if self.data == 0 {
            buffer.consume(std::mem::take(&mut self.spent));
        }
        if self.tail_sent == self.tail.len() {
            self.tail.clear();
            self.tail_sent = 0;
        }
    }
}

impl Record {
    /// Keeps more of the body, or forgets all of it when that is more than may be kept.
    fn keep(&mut self, bytes: &[u8]) {
        if self.bytes_max == 0 {
            return;
        }
        if self.bytes.len() + bytes.len() <= self.bytes_max {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes.clear();
            self.bytes_max = 0;
        }
    }
}
