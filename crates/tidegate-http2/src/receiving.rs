//! Frames of the other side: what each of them means (RFC 9113 §5, §6).

use crate::connection::{ASKS, Begun, Block, Connection, Goodbye, LAST_STREAM, LEAVES, Progress, STAYS};
use crate::fault::{Code, Fault};
use crate::field::trimmed;
use crate::frame::{FrameHeader, HEADER_BYTES, flag, kind};
use crate::head::request_text::{Head, HeadText};
use crate::head::trailers::TrailerText;
use crate::settings::{self, Setting};
use crate::stream::{Body, Ending, Sending, Stream};

/// A field block may be longer than what heads may be when they are decoded, and is refused then; how much, until it is not even
/// that.
const BLOCK_SPARE_BYTES: usize = 32 * 1024;

/// The same of an answer's, since others depend on the connection.
const ANSWER_SPARE_BYTES: usize = 1024 * 1024;

impl Connection {
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
        if matches!(header.kind, kind::DATA | kind::HEADERS) {
            self.handle_answering();
        }
        match header.kind {
            kind::DATA => self.handle_data(header, payload)?,
            kind::HEADERS => return self.handle_headers(header, payload, text),
            kind::CONTINUATION => return self.handle_continuation(header, payload, text),
            kind::PRIORITY => self.handle_priority(header, payload)?,
            kind::RST_STREAM => self.handle_reset(header.stream, number(payload))?,
            kind::SETTINGS if header.has(flag::ACK) => {
                self.settings_unheard = self.settings_unheard.saturating_sub(1);
            }
            kind::SETTINGS => self.handle_settings(payload)?,
            kind::PING => self.handle_ping(header, payload),
            kind::GOAWAY => {
                self.peer_leaves = true;
                self.handle_goodbye(number(payload) & LAST_STREAM);
            }
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
        let spare = if self.asking.is_some() { ANSWER_SPARE_BYTES } else { BLOCK_SPARE_BYTES };
        if block.bytes.len() > self.limits.head_bytes_max + spare {
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
        if self.asking.is_some() {
            return self.handle_answer(id, ends, block, text).map(|()| None);
        }
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
        self.begun = self.begun.saturating_add(1);
        let (wanted, left, is_too_large) = match head {
            Head::Malformed => return self.find_fault(id, Code::PROTOCOL_ERROR).map(|()| None),
            Head::TooLarge { wanted } => (wanted, None, true),
            Head::Whole { wanted, length } => (wanted, length, false),
        };
        let mut stream = Stream::new(id, wanted, (self.stream_window_bytes, self.stream_send_window_bytes));
        stream.left = left;
        if ends {
            stream.body = Body::Read;
        }
        let slot = self.streams.insert(stream);
        Ok(Some(Begun { slot, wanted: (!is_too_large).then_some(wanted) }))
    }

    pub(crate) fn handle_trailers(
        &mut self,
        id: u32,
        ends: bool,
        block: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        text.clear();
        let is_answer = self.asking.is_some();
        let mut trailers = TrailerText::new(text, self.limits.head_bytes_max);
        self.decoder
            .decode(block, |name, value| trailers.take(name, if is_answer { trimmed(value) } else { value }))
            .map_err(|_| Fault::Compression)?;
        let is_well_formed = trailers.is_well_formed();
        let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.get_mut(slot)) else {
            if self.hearing.remove(id) {
                return if ends { Ok(()) } else { self.find_fault(id, Code::PROTOCOL_ERROR) };
            }
            // Of an answer that was given up it may come however late.
            let is_late = self.streams.was_reset(id) || self.asking.is_some();
            return if is_late { self.ignore() } else { Err(Fault::StreamClosed) };
        };
        if stream.is_reset {
            return self.ignore();
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
            if let Some(forgotten) = self.forget(header, payload.len(), data.len()) {
                return forgotten;
            }
            // It may have been sent before the client heard that the stream is over, or how many there may be.
            let is_late = self.streams.was_reset(id) || self.settings_unheard > 0 || self.asking.is_some();
            return match is_late {
                true if data.is_empty() => self.ignore(),
                true => Ok(()),
                false => self.find_fault(id, Code::STREAM_CLOSED),
            };
        };
        if stream.is_reset {
            self.give_back(payload.len());
            return if data.is_empty() { self.ignore() } else { Ok(()) };
        }
        let ends = header.has(flag::END_STREAM);
        let left = stream.left.map(|left| left.checked_sub(data.len() as u64));
        let error = if stream.body != Body::Open {
            Some(Code::STREAM_CLOSED)
        } else if stream.question.as_ref().is_some_and(|question| !question.is_answered) {
            Some(Code::PROTOCOL_ERROR) // RFC 9113 §8.1: a head comes first
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

    /// Of no use to anybody, and not free.
    pub(crate) fn ignore(&mut self) -> Result<(), Fault> {
        if self.budget.spend() { Ok(()) } else { Err(Fault::Flood) }
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

    fn handle_reset(&mut self, id: u32, code: u32) -> Result<(), Fault> {
        if id > self.last_stream {
            return Err(Fault::Protocol);
        }
        let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.get_mut(slot)) else {
            self.hearing.remove(id);
            return Ok(());
        };
        if stream.question.is_some() && stream.body != Body::Open {
            // RFC 9113 §8.1: all of the answer has come, and the rest of what we say is not wanted.
            stream.sending = Sending::Over;
            stream.writer.wake();
            return Ok(());
        }
        let given_back = stream.question.as_ref().filter(|_| Code(code) == Code::REFUSED_STREAM);
        let ending = given_back.map_or(Ending::Lost, |question| question.given_back());
        self.close(id, ending);
        Ok(())
    }

    fn handle_settings(&mut self, payload: &[u8]) -> Result<(), Fault> {
        for setting in settings::read(payload) {
            match setting? {
                Setting::TableBytes(bytes) => self.encoder.limit_table(bytes as usize),
                Setting::Streams(streams) => {
                    if let Some(asking) = &mut self.asking {
                        asking.streams_max = Some(streams);
                    }
                }
                Setting::Tunnels(takes_tunnels) => {
                    if let Some(asking) = &mut self.asking {
                        asking.takes_tunnels = takes_tunnels;
                    }
                }
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
        } else if payload == STAYS {
            self.handle_stays();
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
