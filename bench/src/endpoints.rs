//! Endpoints that cost as little as possible: prepared answers, one thread, any number of listeners.
//!
//! `GET /small` is 128 bytes, `GET /large` is 1 MiB, `GET /chunked` is 128 bytes in two chunks, a request with a
//! body, by its `Content-Length` or in chunks, is read to its end and answered. Knows just enough HTTP to find where a request ends.

use crate::poller::{Poller, Ready};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

const CHUNK_BYTES: usize = 256 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Tokens below this are listeners.
const LISTENERS_MAX: u64 = 1024;

type Answer = &'static [u8];

#[derive(Debug)]
struct Answers {
    small: Answer,
    large: Answer,
    chunked: Answer,
    received: Answer,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// A head that has not come whole yet.
    input: Vec<u8>,
    upload: Upload,
    /// What of the current answer is still to be sent.
    output: Answer,
}

/// What of a request's body is still to come before the request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    None,
    Bytes(usize),
    /// All until the last chunk; the last bytes seen, in case its mark comes in two pieces. What is sent here holds the mark
    /// nowhere else.
    Chunks([u8; LAST_CHUNK.len()]),
}

const LAST_CHUNK: &[u8; 5] = b"0\r\n\r\n";

#[derive(Debug)]
struct Server {
    poller: Poller,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    freed: Vec<usize>,
    chunk: Box<[u8]>,
    answers: Answers,
}

/// Listens and prints each address on a line of its own, then serves until it is killed.
pub(crate) fn command(addresses: &[&str]) -> Result<ExitCode, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (local, listener) = bound.map_err(|error| format!("cannot listen on {address}: {error}"))?;
        println!("{local}");
        listeners.push(listener);
    }
    run(listeners).map_err(|error| format!("the endpoints stopped: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn run(listeners: Vec<TcpListener>) -> io::Result<()> {
    let mut server = Server::new(listeners)?;
    let (mut events, mut ready) = (Vec::new(), Vec::new());
    loop {
        server.poller.wait(&mut events, &mut ready)?;
        for one in &ready {
            server.handle(*one);
        }
        server.free.append(&mut server.freed);
    }
}

impl Server {
    fn new(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let poller = Poller::new()?;
        for (token, listener) in (0..LISTENERS_MAX).zip(&listeners) {
            listener.set_nonblocking(true)?;
            poller.watch_listener(listener, token)?;
        }
        let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
        let (connections, free, freed) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { poller, listeners, connections, free, freed, chunk, answers: Answers::prepare() })
    }

    fn handle(&mut self, ready: Ready) {
        let Some(index) = ready.token.checked_sub(LISTENERS_MAX) else {
            return self.accept(ready.token as usize);
        };
        let index = index as usize;
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        if connection.advance(ready.closing, &mut self.chunk, &self.answers).is_err() {
            self.connections[index] = None;
            self.freed.push(index);
        }
    }

    fn accept(&mut self, listener: usize) {
        while let Ok((stream, _)) = self.listeners[listener].accept() {
            let _ = self.admit(stream);
        }
    }

    fn admit(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.poller.watch_stream(&stream, LISTENERS_MAX + index as u64)?;
        self.connections[index] =
            Some(Connection { stream, input: Vec::new(), upload: Upload::None, output: &[] });
        Ok(())
    }
}

impl Connection {
    /// Sends, reads and answers until the kernel has no more or takes no more; an error ends the connection.
    fn advance(&mut self, closing: bool, chunk: &mut [u8], answers: &Answers) -> io::Result<()> {
        let mut drained = false;
        while self.flush()? {
            if let Some(answer) = self.next_answer(answers)? {
                self.output = answer;
                continue;
            }
            if drained && !closing {
                return Ok(());
            }
            match self.stream.read(chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(taken) => {
                    drained = taken < chunk.len();
                    self.take(&chunk[..taken]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether everything is sent.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            match self.stream.write(self.output) {
                Ok(sent) => self.output = &self.output[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.upload {
            Upload::Bytes(left) => {
                let body = bytes.len().min(*left);
                *left -= body;
                self.input.extend_from_slice(&bytes[body..]);
            }
            Upload::Chunks(seen) => {
                let tail = [&*seen, &bytes[bytes.len().saturating_sub(seen.len())..]].concat();
                seen.copy_from_slice(&tail[tail.len() - LAST_CHUNK.len()..]);
            }
            Upload::None => self.input.extend_from_slice(bytes),
        }
    }

    fn next_answer(&mut self, answers: &Answers) -> io::Result<Option<Answer>> {
        if self.upload.is_complete() {
            self.upload = Upload::None;
            return Ok(Some(answers.received));
        }
        if self.upload != Upload::None {
            return Ok(None);
        }
        let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") else {
            let bounded = self.input.len() <= HEAD_BYTES_MAX;
            return if bounded { Ok(None) } else { Err(ErrorKind::InvalidData.into()) };
        };
        let answer = answer(&self.input[..end + 2], answers);
        if answer.is_none() {
            self.upload = Upload::announced(&self.input[..end + 2]);
        }
        let after = self.input.split_off(end + 4);
        self.input.clear();
        self.take(&after);
        match answer {
            None if self.upload.is_complete() => self.next_answer(answers),
            None => Ok(None),
            answer => Ok(answer),
        }
    }
}

impl Upload {
    fn announced(head: &[u8]) -> Self {
        match field(head, b"content-length:") {
            Some(length) => Self::Bytes(length.trim().parse().unwrap_or(0)),
            None if field(head, b"transfer-encoding:").is_some() => Self::Chunks(*b"-----"),
            None => Self::Bytes(0),
        }
    }

    fn is_complete(self) -> bool {
        matches!(self, Self::Bytes(0)) || self == Self::Chunks(*LAST_CHUNK)
    }
}

/// The prepared answer to a head without a body; none when a body follows.
fn answer(head: &[u8], answers: &Answers) -> Option<Answer> {
    match head {
        [b'G', b'E', b'T', b' ', b'/', b'l', ..] => Some(answers.large),
        [b'G', b'E', b'T', b' ', b'/', b'c', ..] => Some(answers.chunked),
        [b'G', b'E', b'T', ..] => Some(answers.small),
        _ => None,
    }
}

fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (first, rest) = line.split_at_checked(name.len())?;
        first.eq_ignore_ascii_case(name).then_some(rest)
    });
    value.and_then(|value| std::str::from_utf8(value).ok())
}

impl Answers {
    fn prepare() -> Self {
        let small = [b'x'; 128];
        let sized = |body: &[u8]| prepared(&format!("Content-Length: {}", body.len()), body);
        let (first, second) = small.split_at(64);
        let chunks = [b"40\r\n".as_slice(), first, b"\r\n40\r\n", second, b"\r\n0\r\n\r\n"].concat();
        Self {
            small: sized(&small),
            large: sized(&vec![b'x'; 1024 * 1024]),
            chunked: prepared("Transfer-Encoding: chunked", &chunks),
            received: sized(b"ok"),
        }
    }
}

/// An answer as a real service sends it; lives as long as the process.
fn prepared(framing: &str, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n{framing}\r\n\
         Cache-Control: no-store\r\n\r\n"
    );
    Box::leak([head.as_bytes(), body].concat().into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_answer_is_about_250_bytes() {
        let bytes = Answers::prepare().small.len();
        assert!((240..=270).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_framing_is_found_however_its_name_is_written() {
        let announced = |fields: &str| Upload::announced(format!("POST / HTTP/1.1\r\n{fields}").as_bytes());
        assert_eq!(announced("Host: a\r\ncontent-length: 12\r\n"), Upload::Bytes(12));
        assert_eq!(announced("Content-Length:7\r\n"), Upload::Bytes(7));
        assert_eq!(announced("Transfer-Encoding: chunked\r\n"), Upload::Chunks(*b"-----"));
        assert_eq!(announced(""), Upload::Bytes(0));
    }
}
