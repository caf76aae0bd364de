//! One keep-alive connection that sends a request and reads the answer, again and again. Blocking, every wait bounded.
//! Knows answers with a `Content-Length` and chunked ones without trailers, which is what the endpoints send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Slow enough for a program under callgrind.
const WAIT_MAX: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Client {
    host: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        Ok(Self { host: address, stream, buffer: Vec::new() })
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.ask(path)?;
        self.answer()
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn ask(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes())
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let (host, length) = (self.host, body.len());
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        self.answer()
    }

    /// Reads the answer to what was asked.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        self.buffer.clear();
        let head_bytes = self.read_until(|buffer| find(buffer, b"\r\n\r\n").map(|at| at + 4))?;
        let head = String::from_utf8_lossy(&self.buffer[..head_bytes]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let end = match length(&head) {
            Some(length) => self
                .read_until(|buffer| (buffer.len() >= head_bytes + length).then_some(head_bytes + length))?,
            None if head.contains("transfer-encoding: chunked") => self.read_until(|buffer| {
                find(&buffer[head_bytes..], b"0\r\n\r\n").map(|at| head_bytes + at + 5)
            })?,
            None => head_bytes,
        };
        Ok(Answer { status, body: self.buffer[head_bytes..end].to_vec() })
    }

    fn read_until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(end) = found(&self.buffer) {
                return Ok(end);
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                taken => self.buffer.extend_from_slice(&chunk[..taken]),
            }
        }
    }
}

fn find(buffer: &[u8], wanted: &[u8]) -> Option<usize> {
    buffer.windows(wanted.len()).position(|window| window == wanted)
}

fn length(head: &str) -> Option<usize> {
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    value.trim().parse().ok()
}
