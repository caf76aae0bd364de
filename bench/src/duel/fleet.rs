//! The endpoints of one run behind real sockets: one listener each, any number of connections. Knows where a request
//! ends and how much work it asks for; what becomes of it is the endpoint's decision.

use super::course::{Course, Happening, Host};
use super::endpoint::{Endpoint, Job, Manner, Reception, Running, Tally};
use super::token::Token;
use crate::address::{self, Reserved};
use crate::poller::Poller;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A request asks for so many microseconds of work by its path.
pub(super) const WORK_PATH: &str = "/sleep/";
const HEAD_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Fleet {
    seats: Vec<Seat>,
    connections: HashMap<u64, Connection>,
    connected: u64,
}

/// An endpoint and its address, which stays ours while nobody listens on it.
#[derive(Debug)]
struct Seat {
    endpoint: Endpoint,
    address: Reserved,
    listener: Option<TcpListener>,
    /// Connections that had something to say while the endpoint stood still, in this order.
    unheard: BTreeMap<u64, u64>,
    heard: u64,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    seat: usize,
    input: Vec<u8>,
    /// Whether a request is with the endpoint.
    asking: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// A sign of life: answered at once.
    Check,
    /// Nanoseconds.
    Work(u64),
}

/// A job that keeps a slot until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occupation {
    pub(super) seat: usize,
    pub(super) running: Running,
}

/// Jobs that have begun, or are done at another time than it was said: the caller's to remember.
type Begun = Vec<Occupation>;

impl Fleet {
    /// Endpoints that listen, each on an address of its own.
    pub(super) fn listen(course: &Course) -> Result<Self, String> {
        let seat = |(index, host): (u64, &Host)| {
            let endpoint = Endpoint::new(*host, course.seed.wrapping_add(index << 32));
            let address = address::reserve()?;
            let (unheard, heard) = (BTreeMap::new(), 0);
            let mut seat = Seat { endpoint, address, listener: None, unheard, heard };
            seat.listen().map_err(|error| format!("cannot listen on {}: {error}", seat.address.address))?;
            Ok(seat)
        };
        let seats = (0..).zip(&course.hosts).map(seat).collect::<Result<_, String>>()?;
        Ok(Self { seats, connections: HashMap::new(), connected: 0 })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.seats.iter().map(|seat| seat.address.address).collect()
    }

    pub(super) fn watch(&self, poller: &Poller) -> io::Result<()> {
        (0..self.seats.len()).try_for_each(|seat| self.watch_listener(seat, poller))
    }

    fn watch_listener(&self, seat: usize, poller: &Poller) -> io::Result<()> {
        let listener = self.seats[seat].listener.as_ref();
        listener
            .map_or(Ok(()), |listener| poller.watch_listener(listener, Token::Listener(seat as u64).number()))
    }

    pub(super) fn accept(&mut self, seat: usize, poller: &Poller) {
        while let Some(Ok((stream, _))) = self.seats[seat].listener.as_ref().map(TcpListener::accept) {
            // A connection that cannot be watched is closed, which the proxy sees.
            let _ = self.admit(seat, stream, poller);
        }
    }

    fn admit(&mut self, seat: usize, stream: TcpStream, poller: &Poller) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.connected += 1;
        poller.watch_stream(&stream, Token::Endpoint(self.connected).number())?;
        let connection = Connection { stream, seat, input: Vec::new(), asking: false };
        self.connections.insert(self.connected, connection);
        Ok(())
    }

    /// Something came on a connection, or its other side has gone.
    pub(super) fn hear(&mut self, now: u64, id: u64) -> Begun {
        let Some(connection) = self.connections.get_mut(&id) else { return Begun::new() };
        let seat = &mut self.seats[connection.seat];
        if seat.endpoint.is_paused() {
            seat.heard += 1;
            seat.unheard.insert(seat.heard, id);
            return Begun::new();
        }
        if connection.read().is_err() {
            seat.endpoint.abandon(id);
            self.connections.remove(&id);
            return Begun::new();
        }
        self.serve(now, id)
    }

    /// Takes requests from what was read until one has to wait, or there is none.
    fn serve(&mut self, now: u64, id: u64) -> Begun {
        while let Some(connection) = self.connections.get_mut(&id) {
            let Some(request) = connection.next_request() else { break };
            let Request::Work(work) = request else {
                connection.answer(200);
                continue;
            };
            let seat = connection.seat;
            match self.seats[seat].endpoint.receive(now, Job { connection: id, work }) {
                Reception::AnswersAtOnce(status) => connection.answer(status),
                Reception::Resets => self.reset(id),
                Reception::Starts(running) => {
                    connection.asking = true;
                    return vec![Occupation { seat, running }];
                }
                Reception::Waits => connection.asking = true,
            }
        }
        Begun::new()
    }

    /// The time of a job in a slot is over.
    pub(super) fn finish(&mut self, now: u64, done: Occupation) -> Begun {
        let id = done.running.job.connection;
        let seat = &mut self.seats[done.seat];
        let Some(finished) = seat.endpoint.finish(now, id, done.running.ends) else { return Begun::new() };
        let next = finished.next.map(|running| Occupation { seat: done.seat, running });
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.asking = false;
            connection.answer(finished.status);
        }
        let also = self.serve(now, id);
        next.into_iter().chain(also).collect()
    }

    pub(super) fn handle(
        &mut self,
        now: u64,
        seat: usize,
        what: Happening,
        poller: &Poller,
    ) -> io::Result<Begun> {
        let one = &mut self.seats[seat];
        match what {
            Happening::Measure => one.endpoint.count_anew(),
            Happening::Pause => one.endpoint.pause(now),
            Happening::Slow(times) => one.endpoint.slow(times),
            Happening::Resume => return Ok(self.resume(now, seat)),
            Happening::Turn(manner) => self.turn(seat, manner, poller)?,
        }
        Ok(Begun::new())
    }

    fn resume(&mut self, now: u64, seat: usize) -> Begun {
        let one = &mut self.seats[seat];
        let put_off = one.endpoint.resume(now).iter().map(|running| Occupation { seat, running: *running });
        let mut begun: Begun = put_off.collect();
        for id in std::mem::take(&mut one.unheard).into_values() {
            begun.extend(self.hear(now, id));
        }
        begun
    }

    fn turn(&mut self, seat: usize, manner: Manner, poller: &Poller) -> io::Result<()> {
        let one = &mut self.seats[seat];
        one.endpoint.turn(manner);
        if manner == Manner::Refuses {
            one.listener = None;
            self.connections.retain(|_, connection| connection.seat != seat);
        } else if one.listener.is_none() {
            one.listen()?;
            self.watch_listener(seat, poller)?;
        }
        Ok(())
    }

    /// Closes with a reset, as the kernel does for a process that died with unread bytes.
    fn reset(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            let _ = socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        }
    }

    pub(super) fn is_warm(&self) -> bool {
        self.seats.iter().all(|seat| seat.endpoint.is_warm())
    }

    /// For each endpoint how many slots it has, and what it did.
    pub(super) fn tallies(&self) -> Vec<(usize, Tally)> {
        self.seats.iter().map(|seat| (seat.endpoint.slots(), seat.endpoint.tally())).collect()
    }
}

impl Seat {
    fn listen(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address.address)?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }
}

impl Connection {
    /// Reads what there is; an error is also the end of the connection.
    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(taken) => self.input.extend_from_slice(&chunk[..taken]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.input.len() > HEAD_BYTES_MAX { Err(ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    /// The next request that has come whole, unless the last one has not been answered yet.
    fn next_request(&mut self) -> Option<Request> {
        if self.asking {
            return None;
        }
        let end = self.input.windows(4).position(|four| four == b"\r\n\r\n")?;
        let request = request(&self.input[..end]);
        self.input.drain(..end + 4);
        Some(request)
    }

    /// An answer is small and a connection has one at a time: the kernel takes it whole, or the proxy has gone.
    fn answer(&mut self, status: u16) {
        let reason = if status == 200 { "OK" } else { "Failed" };
        let answer =
            format!("HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
        let _ = self.stream.write_all(answer.as_bytes());
    }
}

fn request(head: &[u8]) -> Request {
    let path = std::str::from_utf8(head).ok().and_then(|head| head.split(' ').nth(1));
    let microseconds =
        path.and_then(|path| path.strip_prefix(WORK_PATH)).and_then(|work| work.parse::<u64>().ok());
    microseconds.map_or(Request::Check, |microseconds| Request::Work(microseconds * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_how_much_work_it_is() {
        assert_eq!(request(b"GET /sleep/1500 HTTP/1.1\r\nHost: a"), Request::Work(1_500_000));
        assert_eq!(request(b"GET /health HTTP/1.1\r\nHost: a"), Request::Check);
        assert_eq!(request(b"GET /sleep/soon HTTP/1.1"), Request::Check);
    }
}
