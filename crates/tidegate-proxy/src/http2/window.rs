//! How much of its requests' bodies a client may send before an endpoint takes them. Little, until one does; and then only as
//! many connections of a worker may send much as the memory is enough for.

use super::io::Io;
use crate::worker::Worker;
use bytes::Bytes;
use std::rc::Rc;

/// Of one stream, and of all of a connection, to begin with: what RFC 9113 §6.9.2 has. Less of a connection cannot be said.
pub const NARROW_BYTES: u32 = 65_535;

/// The same once an endpoint has taken that much of a body: over 80 ms enough for 25 Mbit/s of one upload, and 100 of several.
const WIDE_STREAM_BYTES: u32 = 256 * 1024;
pub const WIDE_BYTES: u32 = 1024 * 1024;

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Window {
    place: Option<Place>,
    /// The client has been told.
    is_wide: bool,
    was_refused: bool,
}

/// One of the connections that may send much.
#[derive(Debug)]
pub(super) struct Place(Rc<Worker>);

impl Place {
    fn of(worker: &Rc<Worker>) -> Option<Self> {
        let taken = worker.wide_windows.get();
        (taken < worker.workspaces.limits().wide_windows_max).then(|| {
            worker.wide_windows.set(taken + 1);
            Self(Rc::clone(worker))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.wide_windows.set(self.0.wide_windows.get() - 1);
    }
}

impl Window {
    /// An endpoint takes what the client sends: from now on, and for as long as it is connected, it may send more at a time.
    /// `false`: that is still to be done.
    pub(super) fn widen(
        &mut self,
        connection: &mut h2::server::Connection<Io, Bytes>,
        worker: &Rc<Worker>,
    ) -> bool {
        self.place = self.place.take().or_else(|| Place::of(worker));
        if self.place.is_none() {
            if !std::mem::replace(&mut self.was_refused, true) {
                worker.metrics.limit("http2_windows");
            }
            return true; // the next piece that is taken asks again
        }
        // Not before the client has understood what it was told at the beginning.
        if !self.is_wide && connection.set_initial_window_size(WIDE_STREAM_BYTES).is_ok() {
            connection.set_target_window_size(WIDE_BYTES);
            self.is_wide = true;
        }
        self.is_wide
    }
}
