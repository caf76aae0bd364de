//! What streams say to the other side (RFC 9113 §5.2, §8.1), in turns: whoever finds no room, or no window of the connection, waits in a
//! queue, and whoever writes, or lets go, wakes the next.

use crate::connection::{Closed, Connection, Goodbye};
use crate::fault::Code;
use crate::frame::{PAYLOAD_BYTES_MAX, flag, kind};
use crate::head::answer_block::{self, Answer};
use crate::head::trailers::write_trailers;
use crate::stream::{Body, Sending, Slot, Stream};
use std::collections::VecDeque;
use std::task::{Context, Poll};

impl Connection {
    /// Takes the beginning of `bytes`, which are an answer, or a request, as HTTP/1.1 has it, without framing: a head comes in one piece. Says how many
    /// bytes it took.
    pub fn poll_send(&mut self, slot: Slot, cx: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Closed>> {
        let sent = self.poll_send_in_turn(slot, cx, bytes);
        if sent.is_ready() {
            self.wake_driver();
            if self.streams.get_mut(slot).is_some_and(|stream| std::mem::take(&mut stream.is_queued)) {
                self.unqueue(slot); // it has not waited for its turn: whoever is in a queue will write when woken
            }
        }
        self.pass_on();
        sent
    }

    fn poll_send_in_turn(
        &mut self,
        slot: Slot,
        cx: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Closed>> {
        let room = self.out.room();
        let Some(stream) = self.streams.get_mut(slot).filter(|stream| !stream.is_reset) else {
            return Poll::Ready(Err(Closed));
        };
        let left = match stream.sending {
            Sending::Head if room > 0 && self.asking.is_some() => {
                return Poll::Ready(self.send_question(slot, bytes));
            }
            Sending::Head if room > 0 => return Poll::Ready(self.send_head(slot, bytes)),
            Sending::Head => None,
            Sending::Body(Some(0)) | Sending::Over => return Poll::Ready(Err(Closed)),
            Sending::Body(left) => left,
        };
        let wanted = left.map_or(bytes.len(), |left| {
            usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
        });
        let shared = room.min(self.send_window.open());
        let length = wanted.min(PAYLOAD_BYTES_MAX).min(shared).min(stream.send_window.open());
        if length == 0 {
            stream.writer.sleep(cx);
            let awaits_head = stream.sending == Sending::Head;
            if (shared == 0 || awaits_head) && !std::mem::replace(&mut stream.is_queued, true) {
                self.queue_of(awaits_head).push_back(slot);
            }
            return Poll::Pending;
        }
        stream.sending = Sending::Body(left.map(|left| left - length as u64));
        stream.send_window.take(length);
        self.send_window.take(length);
        self.out.put(kind::DATA, 0, stream.id, bytes.get(..length).unwrap_or_default());
        self.budget.earn_piece(length);
        Poll::Ready(Ok(length))
    }

    fn send_head(&mut self, slot: Slot, text: &[u8]) -> Result<usize, Closed> {
        let Some(stream) = self.streams.get_mut(slot) else { return Err(Closed) };
        let (wanted, encoder) = (stream.wanted, &mut self.encoder);
        let is_final = |answer: &Answer| answer.status >= 200;
        // Behind a length of 0 there may be trailers, so whoever writes says when it ends.
        let is_over =
            |answer: &Answer| is_final(answer) && (wanted.is_head || matches!(answer.status, 204 | 304));
        let answer = self.out.put_block(
            stream.id,
            |out| answer_block::write_head(text, wanted.tunnel.is_some(), encoder, out),
            is_over,
        );
        let Some(answer) = answer else {
            // Not from a whole head. The encoder may remember what the other side never gets.
            self.break_off(Code::INTERNAL_ERROR);
            return Err(Closed);
        };
        if is_final(&answer) {
            stream.sending =
                if is_over(&answer) { Sending::Over } else { Sending::Body(answer.content_length) };
            // To be told apart when the stream breaks off.
            stream.wanted.tunnel = wanted.tunnel.filter(|_| answer.status < 300);
        }
        Ok(answer.length)
    }

    /// The message is complete, but for these trailers: lines as HTTP/1.1 has them.
    pub fn end(&mut self, slot: Slot, trailers: &[u8]) -> Result<(), Closed> {
        let Some(stream) = self.streams.get_mut(slot).filter(|stream| !stream.is_reset) else {
            return Err(Closed);
        };
        let Sending::Body(_) = stream.sending else { return Ok(()) };
        stream.sending = Sending::Over;
        if trailers.is_empty() {
            if !self.out.end_last(stream.id) {
                self.out.put(kind::DATA, flag::END_STREAM, stream.id, b"");
            }
        } else {
            let encoder = &mut self.encoder;
            let write = |out: &mut Vec<u8>| {
                write_trailers(trailers, encoder, out);
                Some(())
            };
            self.out.put_block(stream.id, write, |()| true);
        }
        self.wake_driver();
        Ok(())
    }

    /// Ends a message early with trailers that say so. `false`: its end is not open, since more of it was said to come.
    pub fn end_early(&mut self, slot: Slot, trailers: &[u8]) -> bool {
        let is_open =
            |stream: &Stream| !stream.is_reset && matches!(stream.sending, Sending::Body(None | Some(0)));
        self.streams.get(slot).is_some_and(is_open) && self.end(slot, trailers).is_ok()
    }

    /// Breaks an answer off, so that what the client got so far is not taken for the whole. RFC 8441 §5: of a tunnel, "the `RST_STREAM`
    /// frame with the CANCEL error code" is what the RST of TCP is.
    pub fn abort(&mut self, slot: Slot) {
        let Some(stream) = self.streams.get(slot) else { return };
        let is_tunnel = stream.wanted.tunnel.is_some() && stream.sending != Sending::Head;
        self.end_with(slot, if is_tunnel { Code::CANCEL } else { Code::INTERNAL_ERROR });
    }

    /// The same where nothing was done about the request, though an answer may have been begun: it may be tried again (RFC 9113
    /// §8.7).
    pub fn refuse(&mut self, slot: Slot) {
        self.end_with(slot, Code::REFUSED_STREAM);
    }

    fn end_with(&mut self, slot: Slot, code: Code) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let id = stream.id;
        if !stream.is_reset && stream.sending != Sending::Over {
            stream.is_reset = true;
            self.reset(id, code);
            self.wake_driver();
        }
    }

    /// Nobody serves the stream any more.
    pub fn release(&mut self, slot: Slot) {
        if self.streams.get(slot).is_some_and(|stream| stream.sending == Sending::Body(Some(0))) {
            let _ = self.end(slot, b""); // all that was said to come has been written
        }
        let Some(mut stream) = self.streams.remove(slot) else { return };
        if stream.is_queued {
            self.unqueue(slot);
        }
        let unread = stream.arrived.clear();
        self.give_back(unread);
        let code = match stream.sending {
            _ if stream.is_reset || stream.is_unsaid() => None,
            // The answer is not wanted; but where all of it has come, its end may come when it likes.
            Sending::Over if stream.question.is_some() => {
                (stream.body == Body::Open && stream.left != Some(0)).then_some(Code::CANCEL)
            }
            Sending::Head | Sending::Body(_) => Some(Code::CANCEL),
            Sending::Over if stream.body != Body::Open => None,
            // Of a tunnel a reset tells that what is said into it goes nowhere (RFC 9113 §8.1).
            Sending::Over if stream.wanted.tunnel.is_some() => Some(Code::NO_ERROR),
            Sending::Over => {
                if self.goodbye != Goodbye::Broken {
                    self.hear_out(stream.id, stream.window, unread);
                }
                None
            }
        };
        if let Some(code) = code.filter(|_| self.goodbye != Goodbye::Broken) {
            self.reset(stream.id, code);
        }
        self.pass_on();
        if !self.out.is_empty() || self.streams.is_empty() {
            self.wake_driver();
        }
    }

    fn unqueue(&mut self, slot: Slot) {
        for queue in [&mut self.queued_heads, &mut self.queued_bodies] {
            queue.retain(|queued| *queued != slot);
        }
    }

    fn queue_of(&mut self, awaits_head: bool) -> &mut VecDeque<Slot> {
        if awaits_head { &mut self.queued_heads } else { &mut self.queued_bodies }
    }

    /// Whoever is next in a queue may write, if there is anything that it could: heads take no window.
    #[inline]
    pub(crate) fn pass_on(&mut self) {
        if self.queued_heads.is_empty() && self.queued_bodies.is_empty() || self.is_full() {
            return;
        }
        let next = match self.queued_heads.pop_front() {
            None if self.send_window.open() > 0 => self.queued_bodies.pop_front(),
            next => next,
        };
        if let Some(stream) = next.and_then(|slot| self.streams.get_mut(slot)) {
            stream.is_queued = false;
            stream.writer.wake();
        }
    }

    /// What is to leave now.
    pub fn unsent(&self) -> &[u8] {
        self.out.unsent()
    }

    /// There is no room for more of any answer.
    pub fn is_full(&self) -> bool {
        self.out.room() == 0
    }

    /// `false`: so much waits for the client that nothing more is to be read before some has left; whoever moves the bytes is woken then.
    pub fn may_read(&mut self) -> bool {
        self.driver.stopped_reading = !self.out.may_read();
        !self.driver.stopped_reading
    }

    /// So many bytes have left.
    pub fn handle_sent(&mut self, length: usize) {
        self.out.handle_sent(length);
        self.pass_on();
        if self.driver.stopped_reading && self.out.may_read() {
            self.driver.stopped_reading = false;
            self.driver.sleeper.wake(); // even when it moves bytes at the moment: it does not look again otherwise
        }
    }
}
