//! What is so only where it is for us to ask: a connection to an endpoint, its requests, and the heads of their answers (RFC 9113 §8.1).

use crate::PREFACE;
use crate::budget::Budget;
use crate::connection::{Closed, Connection, LAST_STREAM, Limits, STAYS, Width};
use crate::fault::{Code, Fault};
use crate::frame::kind;
use crate::head::answer_text::{AcceptKey, Head, HeadText};
use crate::head::request_block::{self, AskedTunnel};
use crate::head::request_text::{Tunnel, Wanted};
use crate::settings;
use crate::stream::{Body, Ending, Sending, Slot, Stream};
use crate::window::NARROW_BYTES;

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asks {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// So many requests at once are taken for allowed until the endpoint says how many are.
    pub streams_max: u32,
    /// What may come of an answer before it is read.
    pub window_bytes: u32,
    /// Of one head, fields counted as RFC 9113 §6.5.2 does.
    pub head_bytes_max: usize,
    pub accept_key: AcceptKey,
}

#[derive(Debug)]
pub(crate) struct Asking {
    asks: Asks,
    /// At once, as the endpoint allows; `None`: it has set no limit.
    pub(crate) streams_max: Option<u32>,
    pub(crate) takes_tunnels: bool,
    /// Requests that it took, where its goodbye gave others back.
    taken: Option<u32>,
    /// It was asked whether it stays, has said so, and nobody has been told yet.
    stays: bool,
    /// Something of an answer has come, and nobody has been told yet.
    answers: bool,
}

/// What is asked on a stream, and the heads of what is said to it.
#[derive(Debug, Default)]
pub(crate) struct Question {
    is_head: bool,
    tunnel: Option<AskedTunnel>,
    /// Heads of answers, until they are read.
    pub(crate) heads: Vec<u8>,
    read: usize,
    /// The last head has come: what follows is a body.
    pub(crate) is_answered: bool,
    /// It was sent to an endpoint that had said how much it takes, and was not more than that.
    is_within_limits: bool,
    /// Where its head begins, in all that was ever to leave.
    head_at: u64,
}

impl Question {
    /// Nothing of it has left, when so many bytes of the connection have.
    pub(crate) fn is_unsaid(&self, left: u64) -> bool {
        self.head_at >= left
    }

    /// What it means when the endpoint gives it back unread.
    pub(crate) fn given_back(&self) -> Ending {
        if self.is_within_limits { Ending::Refused } else { Ending::Unseen }
    }

    /// `None`: nothing of a head is left.
    pub(crate) fn take_heads(&mut self, room: &mut [u8]) -> Option<usize> {
        let heads = self.heads.get(self.read..).filter(|heads| !heads.is_empty())?;
        let length = heads.len().min(room.len());
        if let (Some(room), Some(heads)) = (room.get_mut(..length), heads.get(..length)) {
            room.copy_from_slice(heads);
        }
        self.read += length;
        if self.read == self.heads.len() {
            (self.heads, self.read) = (Vec::new(), 0);
        }
        Some(length)
    }
}

impl Connection {
    /// To an endpoint. Says hello, and what we set. No more than `streams_max` requests are to be under way.
    pub fn to_endpoint(asks: Asks, streams_max: u32) -> Self {
        let limits = Limits { streams_max, head_bytes_max: asks.head_bytes_max };
        let mut connection = Self::silent(limits);
        connection.out.put_preface(PREFACE);
        let settings = settings::asking(asks.window_bytes, asks.head_bytes_max);
        connection.out.put(kind::SETTINGS, 0, 0, &settings);
        // Twice as much as all of them together may have, since half of a window may be told late: however many answers are not read,
        // they hold up no other.
        let all = asks.window_bytes.saturating_mul(streams_max).saturating_mul(2);
        let window_bytes = all.clamp(NARROW_BYTES, LAST_STREAM);
        let more = connection.window.widen(window_bytes);
        if more > 0 {
            connection.out.put_window(0, more);
        }
        connection.stream_window_bytes = asks.window_bytes;
        connection.width = Width::Wide;
        connection.budget = Budget::of_endpoint();
        connection.asking = Some(Asking {
            asks,
            streams_max: None,
            takes_tunnels: false,
            taken: None,
            stays: false,
            answers: false,
        });
        connection
    }

    /// The endpoint has said what it sets.
    pub fn is_settled(&self) -> bool {
        self.frames > 0
    }

    /// Requests that it takes at once: without limit where it sets none (RFC 9113 §6.5.2).
    pub fn endpoint_streams_max(&self) -> u32 {
        let unsaid = |asks: &Asks| if self.is_settled() { u32::MAX } else { asks.streams_max };
        self.asking.as_ref().map_or(0, |asking| asking.streams_max.unwrap_or_else(|| unsaid(&asking.asks)))
    }

    /// How many requests the endpoint has taken on this connection: once, when it has said that it takes no more and has given others back that
    /// it does not look at (RFC 9113 §6.8).
    pub fn take_taken(&mut self) -> Option<u32> {
        self.asking.as_mut()?.taken.take()
    }

    /// Requests that were ever sent.
    pub fn begun(&self) -> u32 {
        self.begun
    }

    /// Asks the endpoint to say something behind the goodbye that it may be about to say.
    pub fn ask_whether_it_stays(&mut self) {
        self.out.put(kind::PING, 0, 0, &STAYS);
    }

    pub(crate) fn handle_stays(&mut self) {
        if let Some(asking) = &mut self.asking {
            asking.stays = true;
        }
    }

    /// A head, or a piece of a body.
    pub(crate) fn handle_answering(&mut self) {
        if let Some(asking) = &mut self.asking {
            asking.answers = true;
        }
    }

    /// Whether anything of an answer has come since this was asked last.
    pub fn take_answering(&mut self) -> bool {
        self.asking.as_mut().is_some_and(|asking| std::mem::take(&mut asking.answers))
    }

    /// Whether it has answered that, since this was asked last.
    pub fn take_stays(&mut self) -> bool {
        self.asking.as_mut().is_some_and(|asking| std::mem::take(&mut asking.stays))
    }

    /// Whether it takes tunnels (RFC 8441 §3).
    pub fn takes_tunnels(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.takes_tunnels)
    }

    /// Whether it takes any more requests.
    pub fn takes_more(&self) -> bool {
        !self.peer_leaves && !self.is_over() && self.last_stream < LAST_STREAM - 2
    }

    /// A stream, which begins when the head of a request is sent on it.
    pub fn open(&mut self) -> Slot {
        let wanted = Wanted { is_unmeasured: true, ..Wanted::default() };
        let mut stream = Stream::new(0, wanted, (self.stream_window_bytes, self.stream_send_window_bytes));
        stream.question = Some(Box::default());
        if !self.takes_more() {
            stream.end(Ending::Unseen);
        }
        self.streams.insert(stream)
    }

    /// How a stream ended before its message did.
    pub fn ending(&self, slot: Slot) -> Ending {
        self.streams.get(slot).map_or(Ending::Lost, |stream| stream.ending)
    }

    /// Numbers the stream and sends the head at the front of `text`. Says how many bytes it took.
    pub(crate) fn send_question(&mut self, slot: Slot, text: &[u8]) -> Result<usize, Closed> {
        let Some(asking) = &self.asking else { return Err(Closed) };
        let id = if self.last_stream == 0 { 1 } else { self.last_stream + 2 };
        if id > LAST_STREAM {
            if let Some(stream) = self.streams.get_mut(slot) {
                stream.end(Ending::Unseen);
            }
            return Err(Closed);
        }
        let head_at = self.out.position();
        let encoder = &mut self.encoder;
        let asked = self.out.put_block(
            id,
            |out| request_block::write_head(text, asking.asks.scheme.as_bytes(), encoder, out),
            |asked| !asked.has_body && asked.tunnel.is_none(),
        );
        let Some(asked) = asked else {
            // Not from a whole head. The encoder may remember what the other side never gets.
            self.break_off(Code::INTERNAL_ERROR);
            return Err(Closed);
        };
        let is_within_limits =
            self.is_settled() && self.streams.len() <= self.endpoint_streams_max() as usize;
        self.last_stream = id;
        self.begun = self.begun.saturating_add(1);
        self.budget.earn_request();
        self.streams.number(slot, id);
        let Some(stream) = self.streams.get_mut(slot) else { return Err(Closed) };
        stream.sending = match (asked.has_body, asked.tunnel.is_some()) {
            (false, false) => Sending::Over,
            (_, true) => Sending::Body(None),
            (true, false) => Sending::Body(asked.content_length),
        };
        stream.wanted.is_head = asked.is_head;
        stream.wanted.tunnel = asked.tunnel.as_ref().map(|_| Tunnel::Other);
        if let Some(question) = &mut stream.question {
            (question.is_head, question.tunnel) = (asked.is_head, asked.tunnel);
            question.is_within_limits = is_within_limits;
            question.head_at = head_at;
        }
        Ok(asked.length)
    }

    /// A field block of the endpoint: the head of an answer, or what comes behind one.
    pub(crate) fn handle_answer(
        &mut self,
        id: u32,
        ends: bool,
        block: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if id > self.last_stream {
            return Err(Fault::Protocol);
        }
        let (Some(slot), Some(asking)) = (self.streams.find(id), &self.asking) else {
            return self.handle_trailers(id, ends, block, text);
        };
        let Some(stream) = self.streams.get_mut(slot).filter(|stream| !stream.is_reset) else {
            return self.handle_trailers(id, ends, block, text);
        };
        let Some(question) = stream.question.as_deref_mut().filter(|question| !question.is_answered) else {
            return self.handle_trailers(id, ends, block, text);
        };
        // However many interim heads come: nobody keeps more than is read of one.
        let left = self.limits.head_bytes_max.saturating_sub(question.heads.len());
        let mut head = HeadText::new(&mut question.heads, left, question.tunnel.as_ref());
        self.decoder.decode(block, |name, value| head.take(name, value)).map_err(|_| Fault::Compression)?;
        match head.end(!ends, question.is_head, asking.asks.accept_key) {
            Head::Malformed => return self.find_fault(id, Code::PROTOCOL_ERROR),
            Head::TooLarge => {
                self.reset(id, Code::CANCEL);
                self.close(id, Ending::TooLarge);
                return self.ignore();
            }
            Head::Interim => {}
            Head::Final { left, opens_tunnel } => {
                question.is_answered = true;
                stream.left = left;
                if !opens_tunnel {
                    stream.wanted.tunnel = None;
                }
                if ends {
                    stream.end_body();
                }
            }
        }
        stream.reader.wake();
        Ok(())
    }

    /// Streams with higher numbers have not been looked at, and never will be (RFC 9113 §6.8).
    pub(crate) fn handle_goodbye(&mut self, last_stream: u32) {
        let Some(asking) = &mut self.asking else { return };
        if last_stream < self.last_stream {
            asking.taken = Some(last_stream.div_ceil(2)); // ours are the odd ones
        }
        for stream in self.streams.iter_mut() {
            if stream.is_unsaid() || (stream.id > last_stream && stream.body == Body::Open) {
                stream.end(Ending::Unseen);
            }
        }
    }
}
