//! How long a client is heard out whose streams are answered before they are complete, as one of HTTP/1.1 is (`parting.rs`). What is
//! forgotten and how, is the codec's.

use crate::parting::{HeardOut, SILENCE, UPLOAD};
use crate::timers::{Alarm, after, now};
use crate::worker::Worker;
use std::rc::Rc;
use std::task::Context;
use tidegate_balance::Moment;
use tidegate_http2::Connection;

/// A round is over when so much time has passed in which a client may be silent. What begins amid a round has the rest of it as well.
const ROUNDS_MAX: u8 = (UPLOAD.as_secs() / SILENCE.as_secs()) as u8 + 1;

/// Whoever drains has waited for requests, and the answers to these are out.
const ROUNDS_MAX_IN_A_DRAIN: u8 = 2;

#[derive(Debug)]
pub(super) struct Hearing {
    alarm: Alarm,
    /// When the round is over, while anybody is heard out.
    due: Option<Moment>,
    /// Among those who may send for long.
    place: Option<HeardOut>,
}

impl Hearing {
    pub(super) fn new(alarm: Alarm) -> Self {
        Self { alarm, due: None, place: None }
    }

    /// To be told of the connection whenever something may have moved.
    pub(super) fn go_on(&mut self, worker: &Rc<Worker>, connection: &mut Connection, cx: &mut Context<'_>) {
        if self.due.is_some() && self.alarm.fired() && self.due <= Some(now()) {
            connection.end_round(if worker.is_draining() { ROUNDS_MAX_IN_A_DRAIN } else { ROUNDS_MAX });
            self.begin_round(cx);
        }
        if !connection.hears_out() {
            (self.due, self.place) = (None, None);
        } else if self.due.is_none() {
            self.place = HeardOut::of(worker);
            connection.hear_on(self.place.is_some());
            self.begin_round(cx);
        }
    }

    fn begin_round(&mut self, cx: &mut Context<'_>) {
        let due = after(now(), SILENCE);
        self.due = Some(due);
        self.alarm.arm(due, cx);
    }
}
