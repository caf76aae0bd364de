//! Readiness of sockets, edge by edge, over epoll. Knows tokens, not what they stand for.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

const EVENTS_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// A socket that became ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    /// The other side has closed its half, or the connection is broken: read until that shows.
    pub(crate) closing: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Tells of connections that wait to be accepted, again and again until they are.
    pub(crate) fn watch_listener(&self, listener: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, listener, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Tells once of each change; the caller reads and writes until the kernel has no more or takes no more.
    pub(crate) fn watch_stream(&self, stream: impl AsFd, token: u64) -> io::Result<()> {
        let changes = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(token), changes)?)
    }

    /// Waits until something is ready and fills `ready` with it.
    pub(crate) fn wait(&self, events: &mut Vec<Event>, ready: &mut Vec<Ready>) -> io::Result<()> {
        events.clear();
        ready.clear();
        events.reserve(EVENTS_MAX);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let ends = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        ready.extend(events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            Ready { token: data.u64(), closing: flags.intersects(ends) }
        }));
        Ok(())
    }
}
