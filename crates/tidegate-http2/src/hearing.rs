//! Streams whose answers are out before their requests are complete (RFC 9113 §8.1): what still comes is forgotten. A reset with `NO_ERROR` says that it
//! is not wanted, but clients that find both at once may throw the answer away with it (curl 7.88). So it is said to those only who do not stop by
//! themselves. They are not served any more, and none of what they send is kept. Knows no clock: whoever does says when a round is over.

use crate::connection::Connection;
use crate::fault::{Code, Fault};
use crate::frame::{FrameHeader, flag};
use crate::window::ReceiveWindow;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// In the order of their answers.
    streams: VecDeque<HeardOut>,
    /// Clients may send more than their windows let them when the answer left.
    goes_on: bool,
}

#[derive(Debug)]
struct HeardOut {
    id: u32,
    window: ReceiveWindow,
    /// In this round.
    has_spoken: bool,
    rounds: u8,
}

impl Hearing {
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let place = self.streams.iter().position(|stream| stream.id == id);
        place.and_then(|place| self.streams.remove(place)).is_some()
    }

    pub(crate) fn widen(&mut self, size: u32) {
        for stream in &mut self.streams {
            stream.window.widen(size);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.streams = VecDeque::new();
    }

    /// Gives memory back that is not needed at the time.
    pub(crate) fn trim(&mut self) {
        self.streams.shrink_to_fit();
    }
}

impl HeardOut {
    /// What the client is to be told, where it may go on.
    fn give_back(&mut self, bytes: usize, goes_on: bool) -> Option<u32> {
        if goes_on {
            return self.window.give_back(bytes);
        }
        self.window.owe(bytes);
        None
    }
}

impl Connection {
    /// Anybody is heard out. Time has to be told them in rounds, then.
    pub fn hears_out(&self) -> bool {
        !self.hearing.is_empty()
    }

    /// From its answer on. `unread`: so much of what came nobody reads any more.
    pub(crate) fn hear_out(&mut self, id: u32, window: ReceiveWindow, unread: usize) {
        // It counts among those that a client may have open (RFC 9113 §5.1.2), so an honest one never has more.
        if self.hearing.streams.len() >= self.limits.streams_max as usize
            && let Some(first) = self.hearing.streams.front()
        {
            self.reset(first.id, Code::NO_ERROR);
        }
        let mut stream = HeardOut { id, window, has_spoken: true, rounds: 0 };
        let told = stream.give_back(unread, self.hearing.goes_on);
        self.hearing.streams.push_back(stream);
        self.tell_more(id, told);
        self.wake_driver();
    }

    fn tell_more(&mut self, id: u32, more: Option<u32>) {
        if let Some(more) = more {
            self.out.put_window(id, more);
        }
    }

    /// `goes_on`: those who are heard out may send more than their windows let them when their answers left.
    pub fn hear_on(&mut self, goes_on: bool) {
        self.hearing.goes_on = goes_on;
        if goes_on {
            for stream in &mut self.hearing.streams {
                if let Some(more) = stream.window.give_back(0) {
                    self.out.put_window(stream.id, more);
                }
            }
        }
    }

    /// A round is over: who has said nothing in it, or been heard for so many, is told that nothing more is wanted.
    pub fn end_round(&mut self, rounds_max: u8) {
        let mut over = Vec::new();
        for stream in &mut self.hearing.streams {
            stream.rounds = stream.rounds.saturating_add(1);
            if !std::mem::take(&mut stream.has_spoken) || stream.rounds >= rounds_max {
                over.push(stream.id);
            }
        }
        for id in over {
            self.reset(id, Code::NO_ERROR);
        }
    }

    /// A piece of a body whose stream is not served. `None`: nor is it heard out.
    pub(crate) fn forget(
        &mut self,
        header: FrameHeader,
        payload: usize,
        data: usize,
    ) -> Option<Result<(), Fault>> {
        let (id, goes_on) = (header.stream, self.hearing.goes_on);
        let stream = self.hearing.streams.iter_mut().find(|stream| stream.id == id)?;
        if !stream.window.take(payload) {
            return Some(self.find_fault(id, Code::FLOW_CONTROL_ERROR));
        }
        if header.has(flag::END_STREAM) {
            self.hearing.remove(id);
            return Some(Ok(()));
        }
        if data == 0 {
            return Some(self.ignore());
        }
        stream.has_spoken = true;
        let told = stream.give_back(payload, goes_on);
        self.tell_more(id, told);
        self.budget.earn_piece(data);
        Some(Ok(()))
    }
}
