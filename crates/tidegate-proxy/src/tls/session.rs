//! One connection's keys and where its handshake stands: encrypted bytes in, plain bytes out, and back. Does no I/O, and
//! keeps no buffer of its own while nothing is half done.

use super::sealed::Sealed;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, Error};
use std::ops::Deref;

/// What one record adds to the bytes in it, at most (RFC 5246 §6.2.3, RFC 8446 §5.2).
const RECORD_OVERHEAD: usize = 64;

/// Plain bytes in one record, at most.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Which end of the connection is ours.
pub(super) enum Role {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Deref for Role {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

/// What a caller gave for plain bytes.
pub(super) struct Room<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl<'a> Room<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, filled: 0 }
    }

    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Takes what fits; says how much that was.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let left = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let length = bytes.len().min(left.len());
        if let (Some(to), Some(from)) = (left.get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
        }
        self.filled += length;
        length
    }
}

/// Plain bytes that found no place in the caller's room, and wait to be read.
#[derive(Debug, Default)]
pub(super) struct Plain {
    waiting: Vec<u8>,
    read: usize,
    /// The peer has said that it sends nothing more.
    pub(super) ended: bool,
}

impl Plain {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Moves what waits into `room`.
    pub(super) fn take(&mut self, room: &mut [u8]) -> usize {
        let waiting = self.waiting.get(self.read..).unwrap_or_default();
        let length = waiting.len().min(room.len());
        if let (Some(from), Some(to)) = (waiting.get(..length), room.get_mut(..length)) {
            to.copy_from_slice(from);
        }
        self.read += length;
        if self.read == self.waiting.len() {
            *self = Self { ended: self.ended, ..Self::default() }; // an idle connection holds no buffer
        }
        length
    }

    fn put(&mut self, bytes: &[u8], room: &mut Room<'_>) {
        let taken = if self.waiting.is_empty() { room.take(bytes) } else { 0 };
        self.waiting.extend_from_slice(bytes.get(taken..).unwrap_or_default());
    }
}

/// What to do when the session may send.
pub(super) enum Want<'a> {
    Nothing,
    Encrypt(&'a [u8]),
    /// Say that nothing more is sent.
    End,
}

/// How far a session got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The handshake goes on when the peer has said more.
    NeedsMore,
    /// Handshake done: what was wanted was done.
    Traffic,
    /// Both sides have said that they send nothing more.
    Closed,
}

/// One step of a session.
enum Step {
    Again,
    Reached(Reached),
}

pub(super) struct Session {
    role: Role,
    pub(super) plain: Plain,
    /// Positions that the library keeps may point anywhere now: it is not asked again.
    failed: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("plain", &self.plain).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(role: Role) -> Self {
        Self { role, plain: Plain::default(), failed: false }
    }

    pub(super) fn state(&self) -> &CommonState {
        &self.role
    }

    /// Works through `incoming`: all that arrived and was not consumed, as the last run left it, for the library keeps
    /// positions in it. Plain bytes go to `room`, encrypted ones behind `sealed`, which after an error holds the alert that
    /// tells the peer. Says how much of `incoming` is done with.
    pub(super) fn run(
        &mut self,
        incoming: &mut [u8],
        room: &mut Room<'_>,
        want: &Want<'_>,
        sealed: &mut Sealed,
    ) -> Result<(Reached, usize), Error> {
        if self.failed {
            return Err(Error::General("the session has failed".into()));
        }
        let mut consumed = 0;
        loop {
            let input = incoming.get_mut(consumed..).unwrap_or_default();
            let (discard, step) = self.step(input, room, want, sealed);
            consumed += discard;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Reached(reached)) => return Ok((reached, consumed)),
                Err(error) => {
                    self.failed = true;
                    self.alert(incoming.get_mut(consumed..).unwrap_or_default(), sealed);
                    return Err(error);
                }
            }
        }
    }

    /// What was queued before the error, and then the alert. No further than that: what arrived would fail again.
    fn alert(&mut self, mut incoming: &mut [u8], sealed: &mut Sealed) {
        while self.role.wants_write() {
            let (discard, step) = self.step(incoming, &mut Room::new(&mut []), &Want::Nothing, sealed);
            if !matches!(step, Ok(Step::Again)) {
                return;
            }
            incoming = incoming.get_mut(discard..).unwrap_or_default();
        }
    }

    fn step(
        &mut self,
        incoming: &mut [u8],
        room: &mut Room<'_>,
        want: &Want<'_>,
        sealed: &mut Sealed,
    ) -> (usize, Result<Step, Error>) {
        let plain = &mut self.plain;
        match &mut self.role {
            Role::Client(client) => step(client.process_tls_records(incoming), plain, room, want, sealed),
            Role::Server(server) => step(server.process_tls_records(incoming), plain, room, want, sealed),
        }
    }
}

fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plain: &mut Plain,
    room: &mut Room<'_>,
    want: &Want<'_>,
    sealed: &mut Sealed,
) -> (usize, Result<Step, Error>) {
    let mut discard = status.discard;
    let step = match status.state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Err(error)) => break Err(error),
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.put(record.payload, room);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                // Said to be enough; there is nothing to be done if it is not.
                let _ = sealed.write(size.required_size, |room| data.encode(room));
            }
            Ok(Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            transmit.done(); // it is ours to send now
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Reached(Reached::NeedsMore)),
        Ok(ConnectionState::WriteTraffic(traffic)) => {
            send(traffic, want, sealed).map(|()| Step::Reached(Reached::Traffic))
        }
        Ok(ConnectionState::PeerClosed) => {
            plain.ended = true;
            Ok(Step::Again)
        }
        Ok(ConnectionState::Closed) => Ok(Step::Reached(Reached::Closed)),
        Ok(_) => Err(Error::General("a state that nobody asked for".into())), // such as early data, which is off
    };
    (discard, step)
}

fn send<D>(mut traffic: WriteTraffic<'_, D>, want: &Want<'_>, sealed: &mut Sealed) -> Result<(), Error> {
    let written = match want {
        Want::Nothing => Ok(()),
        Want::Encrypt(bytes) => {
            let room = bytes.len() + bytes.len().div_ceil(RECORD_BYTES_MAX) * RECORD_OVERHEAD;
            sealed.write(room, |room| traffic.encrypt(bytes, room))
        }
        Want::End => sealed.write(RECORD_OVERHEAD, |room| traffic.queue_close_notify(room)),
    };
    written.map_err(|error| match error {
        EncryptError::EncryptExhausted => Error::EncryptError,
        EncryptError::InsufficientSize(_) => Error::General("no room for a record".into()),
    })
}
