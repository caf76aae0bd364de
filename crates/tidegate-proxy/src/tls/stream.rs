//! A session on a socket, read and written like a socket.
//!
//! What a record is decrypted from or encrypted into is lent by the worker, so that it stays in the cache; a connection
//! holds bytes of its own only while a record, or a write, is half done.

use super::Terminator;
use super::agreed::{self, Agreed, HTTP2};
use super::certificates::{Certificate, take_chosen};
use super::client_cert;
use super::sealed::Sealed;
use super::session::{Plain, Reached, Role, Room, Session, Want};
use crate::transport::Transport;
use rustls::{Error, HandshakeKind};
use std::cell::{OnceCell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Encrypted bytes taken from the kernel at a time.
const READ_BYTES: usize = 64 * 1024;

/// Plain bytes encrypted at a time: four records, which leave in one system call.
const WRITE_BYTES: usize = 64 * 1024;

/// Encrypted bytes that may wait for the rest of a message: more than any handshake message that the library takes.
const HELD_BYTES_MAX: usize = 128 * 1024;

/// Room that the connections of a worker take turns with.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    incoming: RefCell<Vec<u8>>,
    gathered: RefCell<Vec<u8>>,
    sealed: RefCell<Sealed>,
}

#[derive(Debug)]
pub(crate) struct TlsStream {
    transport: Transport,
    scratch: Rc<Scratch>,
    state: RefCell<State>,
    /// What the client asked for.
    server_name: OnceCell<Box<str>>,
    /// What endpoints are told of the certificate that the client has shown.
    client_cert: OnceCell<Box<[u8]>>,
    /// Once a client's handshake is over.
    agreed: OnceCell<Rc<Agreed>>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: nothing is encrypted yet.
    session: Option<Box<Session>>,
    /// Arrived, and not consumed: the beginning of a record or of a handshake message.
    incoming: Vec<u8>,
    /// Encrypted and not sent.
    sealed: Sealed,
    /// Plain bytes in `sealed` that the caller does not know to be taken.
    accepted: usize,
    /// Nothing can be decrypted any more.
    broken: bool,
    /// The peer ended the connection in the middle of the handshake.
    gone: bool,
    /// What the client is shown, until the handshake is over.
    chosen: Option<Arc<Certificate>>,
}

impl TlsStream {
    /// A connection that is still in the clear.
    pub(crate) fn new(transport: Transport, scratch: Rc<Scratch>) -> Self {
        Self {
            transport,
            scratch,
            state: RefCell::default(),
            server_name: OnceCell::new(),
            client_cert: OnceCell::new(),
            agreed: OnceCell::new(),
        }
    }

    /// Encrypted from here on; `received` has been read from the socket already.
    pub(super) fn begin(&self, role: Role, server_name: Option<String>, received: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.session = Some(Box::new(Session::new(role)));
        state.incoming.extend_from_slice(received);
        if let Some(name) = server_name {
            let _ = self.server_name.set(name.into()); // a connection begins once
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.state.borrow().session.is_some()
    }

    /// The name that the client asked for, in lower case.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.get().map(|name| &**name)
    }

    /// RFC 9113 §3.2.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.protocol() == Some(HTTP2)
    }

    /// What both sides have agreed to speak (RFC 7301).
    pub(crate) fn protocol(&self) -> Option<&'static [u8]> {
        let state = self.state.borrow();
        agreed::protocol(state.session.as_ref()?.state())
    }

    /// Complete lines, or nothing.
    pub(crate) fn client_cert(&self) -> &[u8] {
        self.client_cert.get().map_or(b"", |lines| lines)
    }

    /// What was agreed on with a client.
    pub(crate) fn agreed(&self) -> Option<&Rc<Agreed>> {
        self.agreed.get()
    }

    /// To be done when the handshake is.
    pub(super) fn learn_client(&self, terminator: &Terminator) {
        let chosen = self.state.borrow_mut().chosen.take();
        let state = self.state.borrow();
        let Some(session) = state.session.as_ref().map(|session| session.state()) else { return };
        let shown = match chosen {
            // Who comes back with a ticket is shown nothing now.
            Some(chosen) if session.handshake_kind() != Some(HandshakeKind::Resumed) => [chosen].into(),
            _ => terminator.certificates.candidates(self.server_name()),
        };
        if let Some(agreed) = Agreed::of(session, shown) {
            let _ = self.agreed.set(agreed.into()); // once
        }
        if let Some(shown) = session.peer_certificates() {
            let _ = self.client_cert.set(client_cert::lines(shown, terminator.tells_client_chain).into()); // once
        }
    }

    pub(crate) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.state.borrow().session.as_ref()?.state().handshake_kind()
    }

    /// Whether the peer ended the connection during the handshake.
    pub(super) fn is_gone(&self) -> bool {
        self.state.borrow().gone
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// For a peer that cannot be spoken to in any other way. What the kernel does not take at once is lost.
    pub(crate) fn answer_in_the_clear(&self, answer: &[u8]) {
        let _ = self.transport.try_write(answer);
    }

    /// Ready when both sides have their keys. An alert has been sent when it fails, as far as that was possible at once.
    pub(super) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let state = &mut *self.state.borrow_mut();
        loop {
            let reached = state.handshake();
            state.chosen = take_chosen().or(state.chosen.take());
            let flushed = state.poll_flush(cx, &self.transport);
            match (reached?, flushed) {
                (_, Poll::Ready(Err(_))) | (Reached::Closed, _) => return Poll::Ready(Err(state.is_left())),
                (Reached::Traffic, Poll::Pending) => return Poll::Pending,
                (Reached::Traffic, Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
                (Reached::NeedsMore, _) => {}
            }
            if ready!(self.poll_receive(cx, &mut state.incoming)).is_err() {
                return Poll::Ready(Err(state.is_left()));
            }
            if state.incoming.len() > HELD_BYTES_MAX {
                return Poll::Ready(Err(Error::General("handshake too long".into())));
            }
        }
    }

    /// Reads from the socket itself, behind what is in `received`.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, received: &mut Vec<u8>) -> Poll<io::Result<()>> {
        let mut room = self.scratch.incoming.borrow_mut();
        if room.len() < READ_BYTES {
            room.resize(READ_BYTES, 0);
        }
        match ready!(self.transport.poll_read(cx, &mut room))? {
            0 => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
            length => {
                received.extend_from_slice(room.get(..length).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_read(room) {
                Poll::Ready(read) => return Poll::Ready(read),
                Poll::Pending => ready!(self.transport.poll_readable(cx)),
            }
        }
    }

    pub(crate) fn try_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        if state.session.is_none() {
            return self.transport.try_read(room);
        }
        loop {
            if let Some(known) = state.read_known(room) {
                return Poll::Ready(known);
            }
            let read = ready!(self.fetch(&mut state, room));
            match read {
                Ok(0) => {} // control messages, or less than a record
                read => return Poll::Ready(read),
            }
        }
    }

    /// Reads from the socket once and decrypts what is whole.
    fn fetch(&self, state: &mut State, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut bytes = self.scratch.incoming.borrow_mut();
        let held = state.incoming.len();
        if bytes.len() < HELD_BYTES_MAX + READ_BYTES {
            bytes.resize(HELD_BYTES_MAX + READ_BYTES, 0);
        }
        if let Some(front) = bytes.get_mut(..held) {
            front.copy_from_slice(&state.incoming);
        }
        let behind = bytes.get_mut(held..held + READ_BYTES).unwrap_or_default();
        let length = match ready!(self.transport.try_read(behind)) {
            Ok(length) if length > 0 => length,
            // RFC 8446 §6.1: an end that nobody announced may have been cut by somebody else.
            Ok(_) => {
                state.broken = true;
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            Err(error) => {
                state.broken = true;
                return Poll::Ready(Err(error));
            }
        };
        let arrived = bytes.get_mut(..held + length).unwrap_or_default();
        Poll::Ready(state.decrypt(arrived, room).inspect_err(|_| state.send_at_once(&self.transport)))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        if state.session.is_none() {
            return self.transport.poll_write(cx, bytes);
        }
        if state.accepted == 0 {
            let part = bytes.get(..bytes.len().min(WRITE_BYTES)).unwrap_or_default();
            let mut sealed = self.scratch.sealed.borrow_mut();
            if let Err(error) = state.encrypt(part, &mut sealed) {
                return Poll::Ready(Err(error));
            }
            let sealed = sealed.bytes();
            let sent = match self.transport.poll_write(cx, sealed) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => 0,
            };
            if sent == sealed.len() {
                return Poll::Ready(Ok(part.len()));
            }
            state.sealed.append(sealed.get(sent..).unwrap_or_default());
            state.accepted = part.len();
        }
        ready!(state.poll_flush(cx, &self.transport))?;
        Poll::Ready(Ok(std::mem::take(&mut state.accepted)))
    }

    /// As one: what a head and its body are made of shares a record.
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.is_encrypted() {
            return self.transport.poll_write_vectored(cx, slices);
        }
        let mut gathered = self.scratch.gathered.borrow_mut();
        gathered.clear();
        for slice in slices {
            let part = slice.len().min(WRITE_BYTES - gathered.len());
            gathered.extend_from_slice(slice.get(..part).unwrap_or_default());
        }
        self.poll_write(cx, &gathered)
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.borrow().has_news() { Poll::Ready(()) } else { self.transport.poll_readable(cx) }
    }

    /// Whether the peer has said anything that a read would return; what only concerns the session is worked through.
    pub(crate) fn is_readable(&self) -> bool {
        let mut state = self.state.borrow_mut();
        while !state.has_news() {
            if !self.transport.is_readable() {
                return false;
            }
            if state.session.is_none() || self.fetch(&mut state, &mut []).is_pending() {
                return state.session.is_none();
            }
        }
        true
    }

    /// Says that nothing more is sent, then ends our side.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.get_mut();
        state.end();
        ready!(state.poll_flush(cx, &self.transport))?;
        self.transport.poll_shutdown(cx)
    }

    pub(crate) fn reset_on_close(&mut self) {
        self.state.get_mut().broken = true; // so that nothing looks like an orderly end
        self.transport.reset_on_close();
    }
}

impl Drop for TlsStream {
    /// RFC 8446 §6.1: whoever closes says so, if it can be said without waiting.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if !state.broken {
            state.end();
            state.send_at_once(&self.transport);
        }
    }
}

impl State {
    fn handshake(&mut self) -> Result<Reached, Error> {
        let Some(session) = &mut self.session else { return Ok(Reached::Traffic) };
        match session.run(&mut self.incoming, &mut Room::new(&mut []), &Want::Nothing, &mut self.sealed) {
            Ok((reached, consumed)) => {
                self.incoming.drain(..consumed);
                if self.incoming.is_empty() {
                    self.incoming = Vec::new(); // an idle connection holds no buffer
                }
                Ok(reached)
            }
            Err(error) => {
                self.broken = true;
                Err(error)
            }
        }
    }

    /// The peer has gone before the handshake was over.
    fn is_left(&mut self) -> Error {
        (self.broken, self.gone) = (true, true);
        Error::General("the peer is gone".into())
    }

    /// What a read returns without looking at the socket.
    fn read_known(&mut self, room: &mut [u8]) -> Option<io::Result<usize>> {
        let broken = self.broken;
        let plain: &mut Plain = &mut self.session.as_mut()?.plain;
        if !plain.is_empty() {
            return Some(Ok(plain.take(room)));
        }
        if plain.ended {
            return Some(Ok(0));
        }
        broken.then(|| Err(ErrorKind::ConnectionAborted.into()))
    }

    fn has_news(&self) -> bool {
        let plain = self.session.as_ref().map(|session| &session.plain);
        self.broken || plain.is_some_and(|plain| !plain.is_empty() || plain.ended)
    }

    /// Decrypts `arrived` into `room`; the rest of what is plain waits, and so does the beginning of a record.
    fn decrypt(&mut self, arrived: &mut [u8], room: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return Ok(0) };
        let mut room = Room::new(room);
        match session.run(arrived, &mut room, &Want::Nothing, &mut self.sealed) {
            Ok((_, consumed)) => {
                let rest = arrived.get(consumed..).unwrap_or_default();
                self.incoming.clear();
                if rest.is_empty() {
                    self.incoming = Vec::new(); // an idle connection holds no buffer
                } else if rest.len() > HELD_BYTES_MAX {
                    return Err(self.fails(Error::General("message too long".into())));
                } else {
                    self.incoming.extend_from_slice(rest);
                }
                Ok(room.filled())
            }
            Err(error) => Err(self.fails(error)),
        }
    }

    fn fails(&mut self, error: Error) -> io::Error {
        self.broken = true;
        io::Error::new(ErrorKind::InvalidData, error)
    }

    /// Puts what waits, then `bytes` encrypted, into `sealed`.
    fn encrypt(&mut self, bytes: &[u8], sealed: &mut Sealed) -> io::Result<()> {
        sealed.clear();
        if self.session.is_none() {
            return Ok(());
        }
        sealed.append(std::mem::take(&mut self.sealed).bytes());
        match self.say(&Want::Encrypt(bytes), sealed) {
            Ok(Reached::Traffic) => Ok(()),
            Ok(_) => Err(ErrorKind::NotConnected.into()),
            Err(error) => Err(self.fails(error)),
        }
    }

    /// Behind everything that was written.
    fn end(&mut self) {
        let mut sealed = std::mem::take(&mut self.sealed);
        if !self.broken && self.say(&Want::End, &mut sealed).is_err() {
            self.broken = true;
        }
        self.sealed = sealed;
    }

    /// Does what is wanted, with the beginning of a message at hand that may have arrived.
    fn say(&mut self, want: &Want<'_>, sealed: &mut Sealed) -> Result<Reached, Error> {
        let Some(session) = &mut self.session else { return Ok(Reached::NeedsMore) };
        let (reached, consumed) = session.run(&mut self.incoming, &mut Room::new(&mut []), want, sealed)?;
        self.incoming.drain(..consumed);
        Ok(reached)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, transport: &Transport) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let sent = ready!(transport.poll_write(cx, self.sealed.bytes()))?;
            self.sealed.sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// As much as the kernel takes now.
    fn send_at_once(&mut self, transport: &Transport) {
        if !self.sealed.is_empty() {
            let sealed = std::mem::take(&mut self.sealed);
            let _ = transport.try_write(sealed.bytes()); // the peer may be gone, or not listening
        }
    }
}
