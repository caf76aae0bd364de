//! A byte stream with deadlines: what both the scripted client and the scripted endpoint read from.
//!
//! Knows lines and counts, not HTTP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::patience::{PATIENCE, eventually};

/// Why no more bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The other side said that it is done.
    Finished,
    /// The other side broke the connection.
    Reset,
    /// Nothing more came, and the connection is still open.
    Silent,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection and the bytes read ahead from it.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    ahead: Vec<u8>,
    /// How much of `ahead` was handed out: moved away only before more is read, or tiny chunks would cost their square.
    taken: usize,
    patience: Duration,
    received: u64,
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self::over(Socket::Tcp(stream))
    }
}

impl From<UnixStream> for Wire {
    fn from(stream: UnixStream) -> Self {
        Self::over(Socket::Unix(stream))
    }
}

impl Wire {
    fn over(socket: Socket) -> Self {
        let wire = Self { socket, ahead: Vec::new(), taken: 0, patience: PATIENCE, received: 0 };
        let _ = wire.set_write_timeout(PATIENCE);
        wire
    }

    /// How long reading may take from here on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// A second handle to the same connection.
    ///
    /// # Panics
    /// When descriptors ran out.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let socket = match &self.socket {
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone().expect("a descriptor is free")),
            Socket::Unix(stream) => Socket::Unix(stream.try_clone().expect("a descriptor is free")),
        };
        Self::over(socket)
    }

    /// All bytes that ever came in.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The bytes that were read but not yet asked for.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead[self.taken..]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.ahead[self.taken..self.taken + count].to_vec();
        self.taken += count;
        taken
    }

    fn take_all(&mut self) -> Vec<u8> {
        self.take(self.ahead().len())
    }

    /// Waits for more bytes.
    pub fn fill(&mut self) -> Result<(), Gone> {
        self.fill_until(Instant::now() + self.patience)
    }

    fn fill_until(&mut self, deadline: Instant) -> Result<(), Gone> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let _ = self.set_read_timeout(left);
        self.ahead.drain(..self.taken);
        self.taken = 0;
        let mut piece = [0; 16 * 1024];
        loop {
            match self.read(&mut piece) {
                Ok(0) => return Err(Gone::Finished),
                Ok(count) => {
                    self.ahead.extend_from_slice(&piece[..count]);
                    self.received += count as u64;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(gone(&error)),
            }
        }
    }

    /// One line without its CRLF. A bare LF ends the test world's patience with it: it stays part of the line.
    pub fn line(&mut self) -> Result<Vec<u8>, Gone> {
        let deadline = Instant::now() + self.patience;
        let mut searched = 0;
        loop {
            if let Some(at) = self.ahead()[searched..].windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(searched + at);
                self.taken += 2;
                return Ok(line);
            }
            searched = self.ahead().len().saturating_sub(1);
            self.fill_until(deadline)?;
        }
    }

    /// Exactly this many bytes.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Gone> {
        let deadline = Instant::now() + self.patience;
        while self.ahead().len() < count {
            self.fill_until(deadline)?;
        }
        Ok(self.take(count))
    }

    /// Whatever comes until the stream ends, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, Gone) {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Err(gone) = self.fill_until(deadline) {
                return (self.take_all(), gone);
            }
        }
    }

    /// What has been read ahead, or the next bytes that come.
    pub fn some(&mut self) -> Result<Vec<u8>, Gone> {
        if self.ahead().is_empty() {
            self.fill()?;
        }
        Ok(self.take_all())
    }

    /// Reads and throws away until the stream ends.
    pub fn discard(&mut self) -> Gone {
        loop {
            self.taken = self.ahead.len();
            if let Err(gone) = self.fill() {
                return gone;
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Sends FIN; what comes back can still be read.
    pub fn finish(&mut self) {
        self.shutdown(Shutdown::Write);
    }

    /// Ends both directions for every handle of this connection.
    pub fn end(&mut self) {
        self.shutdown(Shutdown::Both);
    }

    fn shutdown(&self, how: Shutdown) {
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(how),
            Socket::Unix(stream) => stream.shutdown(how),
        };
    }

    /// Waits until the other side's system has all that was written: a reset would take back what it has not.
    pub fn wait_until_taken(&self) {
        eventually("the other side's system has taken it", || self.untaken_bytes() == 0);
    }

    fn untaken_bytes(&self) -> u64 {
        let Socket::Tcp(stream) = &self.socket else { return 0 };
        let (Ok(here), Ok(there)) = (stream.local_addr(), stream.peer_addr()) else { return 0 };
        // proc_net_tcp(5), of IPv4: number, both ends, state, bytes to be sent:received
        let ends = [here, there].map(|end| format!(":{:04X}", end.port()));
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux tells of its sockets");
        let queue = table.lines().find_map(|line| {
            let words: Vec<_> = line.split_whitespace().take(5).collect();
            let is_it = words.len() == 5 && words[1].ends_with(&ends[0]) && words[2].ends_with(&ends[1]);
            is_it.then(|| words[4].split(':').next().map(|hex| u64::from_str_radix(hex, 16)))
        });
        queue.flatten().map_or(0, |bytes| bytes.expect("a number in hexadecimal"))
    }

    /// Reads a little at a time, about 800 kB a second, for so long.
    pub fn sip(&mut self, time: Duration) -> Result<(), Gone> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.fill()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Breaks the connection: RST instead of FIN once the last handle is dropped.
    pub fn reset(self) {
        if let Socket::Tcp(stream) = &self.socket {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Lets the kernel take only this many bytes ahead of the reader, so that back-pressure is felt at once.
    pub fn shrink_receive_buffer(&self, bytes: usize) {
        if let Socket::Tcp(stream) = &self.socket {
            let _ = socket2::SockRef::from(stream).set_recv_buffer_size(bytes);
        }
    }

    /// How long one write may block.
    pub fn set_write_timeout(&self, patience: Duration) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_write_timeout(Some(patience)),
            Socket::Unix(stream) => stream.set_write_timeout(Some(patience)),
        }
    }

    fn set_read_timeout(&self, patience: Duration) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(Some(patience)),
            Socket::Unix(stream) => stream.set_read_timeout(Some(patience)),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.read(into),
            Socket::Unix(stream) => stream.read(into),
        }
    }
}

fn gone(error: &io::Error) -> Gone {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Gone::Silent,
        _ => Gone::Reset,
    }
}
