//! Clients that keep asking: a fixed number, each with one request at a time and a pause after it, so that the load is
//! bounded however fast the proxy is.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const CLIENTS: usize = 24;
/// Between an answer and the next request of a client.
const PAUSE: Duration = Duration::from_millis(8);
/// A client gives up on an answer after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// All clients.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Exchanges that ended without an answer.
    broken: AtomicU64,
}

impl Load {
    pub(super) fn start(proxy: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let client = |_| {
            let (shared, proxy) = (Arc::clone(&shared), proxy.to_owned());
            thread::Builder::new().name("client".to_owned()).spawn(move || shared.keep_asking(&proxy))
        };
        let clients = Mutex::new((0..CLIENTS).map(client).collect::<Result<_, _>>()?);
        Ok(Self { shared, clients })
    }

    /// Waits for the requests that are under way.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Relaxed);
        for client in self.clients.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = client.join(); // a client that panicked asks no more either
        }
    }

    pub(super) fn broken(&self) -> u64 {
        self.shared.broken.load(Relaxed)
    }
}

impl Shared {
    fn keep_asking(&self, proxy: &str) {
        let mut connection = None;
        while !self.stop.load(Relaxed) {
            connection = self.ask(connection.take(), proxy);
            thread::sleep(PAUSE);
        }
    }

    /// One exchange; gives the connection back when it can be used again.
    fn ask(&self, connection: Option<BufReader<TcpStream>>, proxy: &str) -> Option<BufReader<TcpStream>> {
        let asked = connection.map_or_else(|| connect(proxy), Ok).and_then(exchange);
        if asked.is_err() {
            self.broken.fetch_add(1, Relaxed);
        }
        asked.ok()
    }
}

fn connect(proxy: &str) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(proxy)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Sends a request and reads the answer, whose length the proxy states.
fn exchange(mut connection: BufReader<TcpStream>) -> io::Result<BufReader<TcpStream>> {
    connection.get_mut().write_all(b"GET /demo HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            None if line.trim_end().is_empty() => break,
            Some(_) | None => {} // another field, or the status line
        }
    }
    io::copy(&mut connection.by_ref().take(length), &mut io::sink())?;
    Ok(connection)
}
