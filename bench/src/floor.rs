//! The floor: a relay that moves bytes between a client and an endpoint and parses nothing.
//!
//! One thread, edge-triggered epoll, one upstream connection for each client connection, no allocation while bytes
//! flow: the least work for which the kernel moves a request there and an answer back through a second process.
//! Knows no HTTP.

use crate::address;
use crate::poller::{Poller, Ready};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

const LISTENER: u64 = u64::MAX;
/// A megabyte in a third less time than through 64 KiB; more gains nothing.
const CHUNK_BYTES: usize = 256 * 1024;

/// A client connection and its upstream connection; bytes that one has sent and the other has not yet taken.
#[derive(Debug)]
struct Pair {
    streams: [TcpStream; 2],
    /// What came from this side and waits for the other to take it.
    waiting: [Vec<u8>; 2],
    ended: [bool; 2],
}

#[derive(Debug)]
struct Relay {
    poller: Poller,
    listener: TcpListener,
    endpoints: Vec<SocketAddr>,
    turn: usize,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    /// Freed in this round: events of the round may still name them.
    freed: Vec<usize>,
    chunk: Box<[u8]>,
}

pub(crate) fn command(listen: &str, endpoints: &[&str]) -> Result<ExitCode, String> {
    let endpoints = endpoints.iter().map(|text| address::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let listener =
        TcpListener::bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    run(listener, endpoints).map_err(|error| format!("the relay stopped: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn run(listener: TcpListener, endpoints: Vec<SocketAddr>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let poller = Poller::new()?;
    poller.watch_listener(&listener, LISTENER)?;
    let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
    let mut relay = Relay {
        poller,
        listener,
        endpoints,
        turn: 0,
        pairs: Vec::new(),
        free: Vec::new(),
        freed: Vec::new(),
        chunk,
    };
    let (mut events, mut ready) = (Vec::new(), Vec::new());
    loop {
        relay.poller.wait(&mut events, &mut ready)?;
        for one in &ready {
            relay.handle(*one);
        }
        relay.free.append(&mut relay.freed);
    }
}

impl Relay {
    fn handle(&mut self, ready: Ready) {
        if ready.token == LISTENER {
            return self.accept();
        }
        let (index, side) = ((ready.token >> 1) as usize, (ready.token & 1) as usize);
        let Some(Some(pair)) = self.pairs.get_mut(index) else { return };
        // What this side can take now, then what it brings.
        let moved = pair.flush(1 - side).and_then(|()| pair.pump(side, ready.closing, &mut self.chunk));
        if moved.is_err() || pair.is_over() {
            self.pairs[index] = None;
            self.freed.push(index);
        }
    }

    fn accept(&mut self) {
        // Out of descriptors or gone again: the listener stays readable and the next round tries again.
        while let Ok((client, _)) = self.listener.accept() {
            let _ = self.pair_up(client);
        }
    }

    fn pair_up(&mut self, client: TcpStream) -> io::Result<()> {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        let endpoint = self.endpoints[self.turn % self.endpoints.len()];
        self.turn += 1;
        let upstream = connect(endpoint)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let pair = Pair { streams: [client, upstream], waiting: Default::default(), ended: [false; 2] };
        let token = (index as u64) << 1;
        self.poller.watch_stream(&pair.streams[0], token)?;
        self.poller.watch_stream(&pair.streams[1], token | 1)?;
        self.pairs[index] = Some(pair);
        Ok(())
    }
}

/// Starts to connect; writes wait until the connection stands.
fn connect(endpoint: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(endpoint), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&endpoint.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Err(error)
        }
        _ => Ok(socket.into()),
    }
}

impl Pair {
    /// Reads from `side` until the kernel has no more, and passes everything on; stops while the other side is full.
    fn pump(&mut self, side: usize, closing: bool, chunk: &mut [u8]) -> io::Result<()> {
        while self.waiting[side].is_empty() && !self.ended[side] {
            let taken = match self.streams[side].read(chunk) {
                Ok(0) => {
                    self.ended[side] = true;
                    return self.streams[1 - side].shutdown(std::net::Shutdown::Write);
                }
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let sent = accepted(self.streams[1 - side].write(&chunk[..taken]))?;
            self.waiting[side].extend_from_slice(&chunk[sent..taken]);
            // epoll(7): a short read from a stream socket has emptied it; the next bytes are a new edge.
            if taken < chunk.len() && !closing {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends what waits from `side`; when all is gone, reads on, because that edge has passed.
    fn flush(&mut self, side: usize) -> io::Result<()> {
        while !self.waiting[side].is_empty() {
            let sent = accepted(self.streams[1 - side].write(&self.waiting[side]))?;
            if sent == 0 {
                return Ok(());
            }
            self.waiting[side].drain(..sent);
            if self.waiting[side].is_empty() {
                return self.pump(side, true, &mut vec![0; CHUNK_BYTES]);
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.ended == [true, true]
    }
}

/// How much a write took; nothing when the socket is full or not yet connected.
fn accepted(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => Ok(0),
        other => other,
    }
}
