//! A raw client: bytes out exactly as the test says, answers in.
//!
//! Sends anything, however wrong; never repairs, retries or reconnects.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::patience::PATIENCE;
use crate::random::Random;
use crate::reply::{Problem, Reply};
use crate::wire::{Gone, Wire};

/// How an input is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    ByteByByte,
    /// Pieces of random length from this seed.
    Splits(u64),
    Whole,
}

impl Delivery {
    /// The three ways every hostile input is fed.
    pub fn all() -> [Self; 3] {
        [Self::Whole, Self::ByteByByte, Self::Splits(0x7465_6761_7465)]
    }
}

/// After so many pieces the point is made, and the rest goes out without pauses.
const PAUSES: usize = 400;

/// One connection to the proxy.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

impl Client {
    /// # Panics
    /// When nothing accepts there.
    pub fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).unwrap_or_else(|error| panic!("cannot connect to {to}: {error}"))
    }

    pub fn try_connect(to: SocketAddr) -> std::io::Result<Self> {
        TcpStream::connect_timeout(&to, PATIENCE).map(|stream| Self { wire: stream.into() })
    }

    /// Connects from a certain loopback address, to be another client than the rest.
    ///
    /// # Panics
    /// When nothing accepts there.
    pub fn connect_from(from: &str, to: SocketAddr) -> Self {
        let from: SocketAddr = format!("{from}:0").parse().expect("an address");
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a descriptor is free");
        socket.bind(&from.into()).expect("loopback addresses are ours");
        socket.connect_timeout(&to.into(), PATIENCE).unwrap_or_else(|error| panic!("{to}: {error}"));
        Self { wire: TcpStream::from(socket).into() }
    }

    /// Sends what the other side is willing to take. A peer that refused may be gone already: what it said about
    /// it still can be read, so failing to send is no failure of the test; the answer says whether all went out.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write(bytes.as_ref()).is_ok()
    }

    /// Sends in pieces.
    pub fn deliver(&mut self, bytes: &[u8], delivery: Delivery) -> bool {
        match delivery {
            Delivery::Whole => self.send(bytes),
            Delivery::ByteByByte => self.send_pieces(bytes, |_| 1),
            Delivery::Splits(seed) => {
                let mut random = Random::seeded(seed ^ bytes.len() as u64);
                self.send_pieces(bytes, |left| 1 + random.below(left.min(40 + left / 8)))
            }
        }
    }

    fn send_pieces(&mut self, mut bytes: &[u8], mut length: impl FnMut(usize) -> usize) -> bool {
        let mut pauses = PAUSES;
        while !bytes.is_empty() {
            let whole = pauses == 0;
            let (piece, rest) = bytes.split_at(if whole { bytes.len() } else { length(bytes.len()) });
            if !self.send(piece) {
                return false;
            }
            bytes = rest;
            pauses -= usize::from(pauses > 0);
            // Long enough that the other side mostly sees the piece alone, short enough to do it for every case.
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }

    /// Sends from a thread of its own, for answers that come while the body is still on its way.
    pub fn send_aside(&self, bytes: Vec<u8>) -> std::thread::JoinHandle<bool> {
        let mut wire = self.wire.duplicate();
        std::thread::spawn(move || wire.write(&bytes).is_ok())
    }

    /// A plain GET on this connection.
    ///
    /// # Panics
    /// When there is no complete answer.
    pub fn get(&mut self, target: &str) -> Reply {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.reply()
    }

    /// The next answer.
    ///
    /// # Panics
    /// When it does not come, or not whole.
    pub fn reply(&mut self) -> Reply {
        self.try_reply().unwrap_or_else(|problem| panic!("no complete answer: {problem:?}"))
    }

    /// The answer to a HEAD.
    ///
    /// # Panics
    /// When it does not come.
    pub fn reply_to_head(&mut self) -> Reply {
        Reply::read(&mut self.wire, "HEAD")
            .unwrap_or_else(|problem| panic!("no complete answer: {problem:?}"))
    }

    pub fn try_reply(&mut self) -> Result<Reply, Problem> {
        Reply::read(&mut self.wire, "GET")
    }

    /// Everything until the connection ends, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, Gone) {
        self.wire.rest()
    }

    /// Insists that nothing more comes and the connection ends.
    ///
    /// # Panics
    /// When it stays open or says more.
    pub fn expect_closed(&mut self) {
        let (bytes, gone) = self.rest();
        assert!(bytes.is_empty(), "more came: {:?}", String::from_utf8_lossy(&bytes));
        assert_ne!(gone, Gone::Silent, "the connection is still open");
    }

    /// As [`Client::expect_closed`], in good order: with a FIN.
    ///
    /// # Panics
    /// When it stays open, says more, or breaks off.
    pub fn expect_finished(&mut self) {
        assert_eq!(self.rest(), (Vec::new(), Gone::Finished));
    }

    /// Half-close: no more requests, answers welcome.
    pub fn finish(&mut self) {
        self.wire.finish();
    }

    /// Leaves with a RST.
    pub fn reset(self) {
        self.wire.reset();
    }

    /// How long reading may take from here on.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.wire.set_patience(patience);
        self
    }

    /// The stream itself, for tunnels and trickles.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}
