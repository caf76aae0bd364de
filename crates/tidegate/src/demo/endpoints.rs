//! Small HTTP servers on loopback that behave, dawdle or fail. They read heads of requests without bodies, no more.

use super::clock;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Some answers are 500; now and then it closes its port for a while.
    Flaky,
    /// Takes its time.
    Slow,
    /// Answers within a few milliseconds.
    Steady,
}

/// How long the flaky one serves and then refuses, in turn.
const MOODS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));
/// One in so many answers of the flaky one is a 500.
const FAILS_ONE_IN: u64 = 12;
/// A request head that is longer is none.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How often a closed or quiet port is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A server that runs until the program ends.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: &'static str,
    pub(super) address: String,
}

#[derive(Debug)]
struct Server {
    name: &'static str,
    temper: Temper,
    refuses: AtomicBool,
    random: AtomicU64,
}

impl Endpoint {
    pub(super) fn start(name: &'static str, temper: Temper) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let seed = AtomicU64::new(u64::from(address.port()));
        let server = Arc::new(Server { name, temper, refuses: AtomicBool::new(false), random: seed });
        thread::Builder::new().name(name.to_owned()).spawn(move || server.run(listener, address))?;
        Ok(Self { name, address: address.to_string() })
    }
}

impl Server {
    fn run(self: Arc<Self>, listener: TcpListener, address: SocketAddr) {
        let mut listener = Some(listener);
        loop {
            if let Some(open) = &listener {
                self.accept_for(open, MOODS.0);
            }
            if self.temper == Temper::Flaky {
                self.refuses.store(true, Relaxed);
                drop(listener.take());
                thread::sleep(MOODS.1);
                self.refuses.store(false, Relaxed);
            }
            listener = listener.or_else(|| TcpListener::bind(address).ok());
        }
    }

    fn accept_for(self: &Arc<Self>, listener: &TcpListener, time: Duration) {
        let until = clock() + time;
        if listener.set_nonblocking(true).is_err() {
            return thread::sleep(time);
        }
        while clock() < until {
            match listener.accept() {
                Ok((stream, _)) => self.serve_in_background(stream),
                Err(_) => thread::sleep(LOOK_INTERVAL),
            }
        }
    }

    fn serve_in_background(self: &Arc<Self>, stream: TcpStream) {
        let server = Arc::clone(self);
        // A connection that cannot be served is dropped, and the proxy sees it closed.
        let _ = thread::Builder::new().name(self.name.to_owned()).spawn(move || server.serve(stream));
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let mut received = Vec::new();
        while read_head(&mut stream, &mut received)? && !self.refuses.load(Relaxed) {
            thread::sleep(self.thinking_time());
            let status = if self.fails() { "500 Internal Server Error" } else { "200 OK" };
            let body = format!("hello from {}\n", self.name);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes())?;
        }
        Ok(())
    }

    fn thinking_time(&self) -> Duration {
        let (least, spread) = if self.temper == Temper::Slow { (40_000, 60_000) } else { (500, 3_000) };
        Duration::from_micros(least + self.random() % spread)
    }

    fn fails(&self) -> bool {
        self.temper == Temper::Flaky && self.random().is_multiple_of(FAILS_ONE_IN)
    }

    /// The next of a fixed sequence, well mixed (splitmix64).
    fn random(&self) -> u64 {
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Takes one head off the front of what is received; `false` when the connection has ended.
fn read_head(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            received.drain(..end + 4);
            return Ok(true);
        }
        let count = stream.read(&mut piece)?;
        if count == 0 || received.len() > HEAD_BYTES_MAX {
            return Ok(false);
        }
        received.extend_from_slice(&piece[..count]);
    }
}
