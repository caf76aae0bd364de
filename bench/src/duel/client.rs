//! The open-loop client: each request is sent when it is due, on an idle connection or a new one, whatever became of
//! those before. Latency counts from the moment it was due. Knows answers with a `Content-Length`, and ones that end
//! with their connection.

use super::course::{Arrival, SECOND};
use super::fleet::WORK_PATH;
use super::token::Token;
use crate::poller::Poller;
use socket2::{Domain, Socket, Type};
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What a client waits for an answer before it gives up.
pub(super) const PATIENCE: u64 = 10 * SECOND;
/// With this many requests waiting, the next is not sent: the proxy or the endpoints are hopelessly behind.
const CONNECTIONS_MAX: usize = 6_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// An answer below 500.
    Good,
    /// An answer from 500 up: by the proxy or by an endpoint.
    Status(u16),
    /// The connection broke, or could not be made.
    Broken,
    /// Nothing within the patience of a client.
    TimedOut,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) arrival: Arrival,
    /// From the moment it was due; nanoseconds.
    pub(super) latency: u64,
    pub(super) ending: Ending,
    /// Whether it was sent a second time, because its kept connection was closed without an answer.
    pub(super) sent_again: bool,
}

#[derive(Debug)]
pub(super) struct Client {
    proxy: SocketAddr,
    connections: HashMap<u64, Connection>,
    idle: Vec<u64>,
    opened: u64,
    /// Requests in the order they were due, with the connection they went out on.
    sent: VecDeque<(Arrival, u64)>,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// What is still to be sent.
    output: Vec<u8>,
    input: Vec<u8>,
    asked: Option<Asked>,
    /// Whether an answer has come before on this connection: it may be closed at any moment then.
    kept: bool,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    arrival: Arrival,
    again: bool,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Done { status: u16, keeps: bool },
    Pending,
}

impl Client {
    pub(super) fn of(proxy: SocketAddr) -> Self {
        let (connections, idle, sent) = (HashMap::new(), Vec::new(), VecDeque::new());
        Self { proxy, connections, idle, opened: 0, sent, samples: Vec::new() }
    }

    /// Sends a request that is due.
    pub(super) fn ask(&mut self, now: u64, arrival: Arrival, poller: &Poller) {
        let asked = Asked { arrival, again: false };
        while let Some(id) = self.idle.pop() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.ask(asked, self.proxy);
                self.sent.push_back((arrival, id));
                // What fails here shows as an event of the connection.
                let _ = connection.flush();
                return;
            }
        }
        self.ask_anew(now, asked, poller);
    }

    fn ask_anew(&mut self, now: u64, asked: Asked, poller: &Poller) {
        let opened = if self.connections.len() < CONNECTIONS_MAX {
            self.open(poller)
        } else {
            Err(ErrorKind::QuotaExceeded.into())
        };
        let Ok(mut connection) = opened else { return self.settle(now, asked, Ending::Broken) };
        connection.ask(asked, self.proxy);
        self.connections.insert(self.opened, connection);
        self.sent.push_back((asked.arrival, self.opened));
    }

    fn open(&mut self, poller: &Poller) -> io::Result<Connection> {
        let socket =
            Socket::new(Domain::for_address(self.proxy), Type::STREAM.nonblocking().cloexec(), None)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&self.proxy.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let stream = TcpStream::from(socket);
        self.opened += 1;
        poller.watch_stream(&stream, Token::Client(self.opened).number())?;
        Ok(Connection { stream, output: Vec::new(), input: Vec::new(), asked: None, kept: false })
    }

    /// A connection can be written to or read from, or has ended.
    pub(super) fn handle(&mut self, now: u64, id: u64, poller: &Poller) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.advance() {
            Ok(Progress::Pending) => {}
            Ok(Progress::Done { status, keeps }) => {
                let asked = connection.asked.take();
                if keeps {
                    connection.kept = true;
                    self.idle.push(id);
                } else {
                    self.connections.remove(&id);
                }
                let ending = if status < 500 { Ending::Good } else { Ending::Status(status) };
                if let Some(asked) = asked {
                    self.settle(now, asked, ending);
                }
            }
            Err(_) => self.lose(now, id, poller),
        }
    }

    /// A kept connection that ends without a byte of an answer was closed while the request was on its way: it is
    /// sent again on a new one, as every browser does (RFC 9112 §9.3.1), and its time goes on.
    fn lose(&mut self, now: u64, id: u64, poller: &Poller) {
        let Some(lost) = self.connections.remove(&id) else { return };
        let Some(asked) = lost.asked else { return };
        if lost.kept && lost.input.is_empty() {
            self.ask_anew(now, Asked { again: true, ..asked }, poller);
        } else {
            self.settle(now, asked, Ending::Broken);
        }
    }

    /// Gives up on requests that are older than a client's patience.
    pub(super) fn give_up(&mut self, now: u64) {
        while let Some((arrival, id)) = self.sent.front().copied() {
            if arrival.at + PATIENCE > now {
                break;
            }
            self.sent.pop_front();
            let asked = self.connections.get(&id).and_then(|connection| connection.asked);
            if let Some(asked) = asked.filter(|asked| asked.arrival == arrival) {
                self.connections.remove(&id);
                self.settle(now, asked, Ending::TimedOut);
            }
        }
    }

    fn settle(&mut self, now: u64, Asked { arrival, again }: Asked, ending: Ending) {
        let latency = now.saturating_sub(arrival.at);
        self.samples.push(Sample { arrival, latency, ending, sent_again: again });
    }
}

impl Connection {
    fn ask(&mut self, asked: Asked, host: SocketAddr) {
        let microseconds = asked.arrival.work / 1_000;
        let request = format!("GET {WORK_PATH}{microseconds} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.output.extend_from_slice(request.as_bytes());
        self.asked = Some(asked);
    }

    fn advance(&mut self) -> io::Result<Progress> {
        self.flush()?;
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return self.progress(true),
                Ok(taken) => self.input.extend_from_slice(&chunk[..taken]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.progress(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.stream.write(&self.output) {
            Ok(sent) => self.output.drain(..sent),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn progress(&mut self, ended: bool) -> io::Result<Progress> {
        let answer = answer(&self.input, ended);
        match answer {
            Some(Answer { status, bytes, keeps }) if self.asked.is_some() => {
                self.input.drain(..bytes);
                Ok(Progress::Done { status, keeps: keeps && !ended })
            }
            _ if ended => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(Progress::Pending),
        }
    }
}

/// A whole answer at the beginning of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    bytes: usize,
    keeps: bool,
}

fn answer(input: &[u8], ended: bool) -> Option<Answer> {
    let head = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&input[..head]).to_ascii_lowercase();
    let status = text.get(9..12)?.parse().ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length = field("content-length:").and_then(|value| value.parse::<usize>().ok());
    let bytes = match length {
        Some(length) => head + length,
        None if ended => input.len(),
        None => return None,
    };
    let keeps = length.is_some() && field("connection:") != Some("close");
    (input.len() >= bytes).then_some(Answer { status, bytes, keeps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_length_or_with_the_connection() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let (whole, part) = (answer(sized, false), answer(&sized[..sized.len() - 1], false));
        assert_eq!(whole, Some(Answer { status: 200, bytes: sized.len(), keeps: true }));
        assert_eq!(part, None);
        let endless = b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\n<html>";
        assert_eq!(answer(endless, false), None);
        assert_eq!(answer(endless, true), Some(Answer { status: 503, bytes: endless.len(), keeps: false }));
    }
}
