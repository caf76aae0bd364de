//! How streams and connections end: by faults, resets, goodbyes, or because nobody is there any more.

use crate::asking::Question;
use crate::connection::{ASKS, Connection, Goodbye, LAST_STREAM, LEAVES};
use crate::fault::{Code, Fault};
use crate::frame::kind;
use crate::stream::Ending;

/// Streams that had to be reset, of one connection, before it ends (CVE-2025-8671): so many, and one in so many requests, since a proxy
/// in front may share a connection among many clients.
const STREAM_FAULTS_MAX: u32 = 100;
const REQUESTS_PER_FAULT: u32 = 10;

impl Connection {
    /// The other side has done something on a stream that it must not: the stream is reset.
    pub(crate) fn find_fault(&mut self, id: u32, code: Code) -> Result<(), Fault> {
        self.reset(id, code);
        self.close(id, Ending::Malformed);
        if self.asking.is_some() {
            return self.ignore(); // others, who have done nothing, depend on the connection
        }
        self.malformed += u32::from(code == Code::PROTOCOL_ERROR);
        self.stream_faults += 1;
        let most = STREAM_FAULTS_MAX + self.begun / REQUESTS_PER_FAULT;
        if self.stream_faults > most { Err(Fault::StreamFaults) } else { Ok(()) }
    }

    pub(crate) fn reset(&mut self, id: u32, code: Code) {
        self.out.put_reset(id, code);
        self.streams.note_reset(id);
        self.hearing.remove(id);
    }

    /// Nothing more is read from a stream, or written to it.
    pub(crate) fn close(&mut self, id: u32, ending: Ending) {
        if let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.get_mut(slot)) {
            stream.end(ending);
            let unread = if stream.is_worth_reading() { 0 } else { stream.arrived.clear() };
            self.give_back(unread);
        }
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
        // RFC 9113 §6.8: the last stream "MUST NOT" go up.
        let last_stream = match self.goodbye {
            Goodbye::Broken => return,
            _ if self.asking.is_some() => 0, // those that the other side began, which are none
            Goodbye::Final(last) => last,
            Goodbye::NotSaid | Goodbye::Announced => self.last_stream,
        };
        self.out.put_goodbye(last_stream, code);
        self.end_streams(u64::MAX);
    }

    /// The other side is gone.
    pub fn lose(&mut self) {
        let left = self.out.left();
        self.out.clear();
        self.end_streams(left);
    }

    /// `left`: so many bytes have, or will.
    fn end_streams(&mut self, left: u64) {
        self.goodbye = Goodbye::Broken;
        self.hearing.clear();
        for stream in self.streams.iter_mut() {
            let is_unsaid = |question: &Question| question.is_unsaid(left);
            let is_unseen = stream.is_unsaid() || stream.question.as_deref().is_some_and(is_unsaid);
            stream.end(if is_unseen { Ending::Unseen } else { Ending::Lost });
            if !stream.is_worth_reading() {
                stream.arrived.clear();
            }
        }
    }

    /// Nothing more can come of it.
    pub fn is_over(&self) -> bool {
        let is_last = match self.goodbye {
            Goodbye::Broken => return true,
            Goodbye::Final(_) => true,
            Goodbye::NotSaid | Goodbye::Announced => self.peer_leaves,
        };
        is_last && self.streams.is_empty() && self.hearing.is_empty()
    }
}
