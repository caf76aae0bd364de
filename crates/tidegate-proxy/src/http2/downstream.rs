//! One HTTP/2 client connection: what all of its streams have in common, and how it begins.

use super::driver::Driver;
use super::link::Link;
use super::misconduct::Misconduct;
use super::serving::Desk;
use crate::client::ClientAddress;
use crate::downstream::{Connection, Parts};
use crate::failure::{Cause, Failure, Stage};
use crate::listener::{ListenerState, Open};
use crate::record::{Incident, record_incident};
use crate::timers::now;
use crate::tls::Agreed;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use tidegate_balance::Moment;
use tidegate_http2::{self as http2, Code, Limits};

/// Streams that a client takes back before they are answered (CVE-2023-44487), or that are reset for how it asked: so
/// many, and half of all, are too many.
const TAKEN_BACK_MAX: u32 = 100;

/// What the streams of a connection have in common.
pub(crate) struct Shared {
    pub(super) address: ClientAddress,
    pub(super) local: Option<SocketAddr>,
    pub(super) server_name: Option<Box<str>>,
    pub(super) client_cert: Box<[u8]>,
    pub(super) is_encrypted: bool,
    pub(super) agreed: Option<Rc<Agreed>>,
    pub(super) listener: Rc<ListenerState>,
    pub(super) open: Open,
    began: Moment,

    pub(super) link: Link,

    /// Tasks that wait for a stream to serve: they cost more to make than a stream takes.
    pub(super) waiting: RefCell<Vec<Rc<Desk>>>,
    /// The connection has ended: nobody needs to wait.
    pub(super) is_over: Cell<bool>,
    /// Memory for heads that are yet to come.
    pub(super) spare_heads: RefCell<Vec<Vec<u8>>>,

    /// All streams that there have been, and those that the client took back before they were answered.
    pub(super) begun: Cell<u32>,
    taken_back: Cell<u32>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

/// For whoever begins one connection too many: from SETTINGS and GOAWAY (RFC 9113 §6.8) it knows that none of its streams was
/// looked at.
pub(crate) fn refusal() -> Vec<u8> {
    let mut connection = http2::Connection::new(Limits { streams_max: 0, head_bytes_max: 0 });
    connection.break_off(Code::ENHANCE_YOUR_CALM);
    connection.unsent().to_vec()
}

/// The life of a connection that speaks HTTP/2. `received` has been read from it already.
pub(crate) async fn serve(connection: Box<Connection>, received: Vec<u8>) {
    let Parts { open, listener, stream, client, alarm } = connection.into_parts();
    let current = listener.current();
    let limits = Limits {
        streams_max: current.streams_max.unwrap_or(1),
        head_bytes_max: current.head_limits.head_bytes_max,
    };
    let shared = Rc::new(Shared {
        address: ClientAddress::new(&client),
        local: stream.local_address(),
        server_name: stream.server_name().map(Into::into),
        client_cert: stream.client_cert().into(),
        is_encrypted: stream.is_encrypted(),
        agreed: stream.agreed().map(Rc::clone),
        listener,
        open,
        began: now(),
        link: Link::new(http2::Connection::new(limits), stream),
        waiting: RefCell::default(),
        is_over: Cell::new(false),
        spare_heads: RefCell::default(),
        begun: Cell::new(0),
        taken_back: Cell::new(0),
    });
    let head_alarm = shared.open.worker.timers.alarm();
    Driver::new(shared, received, head_alarm, current.head_timeout).run(&alarm).await;
}

impl Shared {
    /// Those who wait for a stream go home.
    pub(super) fn dismiss(&self) {
        self.spare_heads.take();
        for desk in self.waiting.take() {
            desk.close();
        }
    }

    /// What went wrong with all of the connection, or with a stream before it was a request.
    pub(super) fn tell(&self, cause: Cause) {
        let incident = Incident {
            worker: &self.open.worker,
            listener: &self.listener.current(),
            address: &self.address,
            protocol: Some("HTTP/2"),
            agreed: self.agreed.as_deref(),
            server_name: self.server_name.as_deref(),
            began: self.began,
            failure: Failure::new(Stage::Head, cause),
        };
        record_incident(&incident);
    }

    pub(super) fn tell_of(&self, misconduct: Misconduct) {
        self.tell(Cause::Http2(misconduct));
    }

    /// A stream that should not have been begun.
    pub(super) fn take_back(&self) {
        self.taken_back.set(self.taken_back.get().saturating_add(1));
        if self.has_taken_back_too_many() {
            self.link.connection.borrow_mut().wake_driver();
        }
    }

    pub(super) fn has_taken_back_too_many(&self) -> bool {
        let taken_back = self.taken_back.get();
        taken_back >= TAKEN_BACK_MAX && taken_back > self.begun.get() / 2
    }
}
