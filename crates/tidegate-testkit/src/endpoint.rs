//! A scripted HTTP/1 endpoint that records what reached it.
//!
//! One thread accepts, one thread serves each connection. It reads requests strictly and does with them what its
//! script says, which may be rude.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::patience::{comes_true, eventually};
use crate::port::Port;
use crate::reply::{Fields, Problem, read_chunks, text};
use crate::wire::{Gone, Wire};

/// Under load only this many requests are kept; all are counted.
const RECORDED_MAX: usize = 10_000;

/// What a connection waits for before it looks whether the endpoint still runs.
const IDLE: Duration = Duration::from_mins(2);

/// A request as it reached the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Which of the endpoint's connections brought it, from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Whether the body came to the end that its framing announced.
    pub complete: bool,
}

impl Received {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.first(name)
    }

    /// The head as it was written, for tests that look for bytes that must not be there.
    pub fn head_text(&self) -> String {
        let line = format!("{} {} {}\r\n", self.method, self.target, self.version);
        self.fields.0.iter().fold(line, |text, (name, value)| text + name + ": " + value + "\r\n")
    }
}

/// What becomes of the connection once a script is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Close with FIN.
    Close,
    /// Say nothing more, until the other side or the endpoint ends.
    Hang,
    /// As [`Then::Hang`], and read nothing either.
    HangDeaf,
    KeepAlive,
    /// Break with RST.
    Reset,
}

type OnRequest = dyn Fn(&mut Visit<'_>) -> Then + Send + Sync;
type OnAccept = dyn Fn(&mut Wire) -> Then + Send + Sync;

/// What an endpoint does.
#[derive(Clone)]
pub struct Script(Arc<Act>);

enum Act {
    Accept(Box<OnAccept>),
    Request(Box<OnRequest>),
}

impl std::fmt::Debug for Script {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Script")
    }
}

impl Script {
    /// Called once a request's head was read; the body is read when asked for, or afterwards.
    pub fn new(act: impl Fn(&mut Visit<'_>) -> Then + Send + Sync + 'static) -> Self {
        Self(Arc::new(Act::Request(Box::new(act))))
    }

    /// Called with the bare connection.
    pub fn on_accept(act: impl Fn(&mut Wire) -> Then + Send + Sync + 'static) -> Self {
        Self(Arc::new(Act::Accept(Box::new(act))))
    }

    /// 200 with this body, after the request's body was read.
    pub fn answers(body: &str) -> Self {
        Self::answers_after(Duration::ZERO, body)
    }

    pub fn answers_after(delay: Duration, body: &str) -> Self {
        let body = body.to_owned();
        Self::new(move |visit| {
            if !visit.read_body() {
                return Then::Close;
            }
            std::thread::sleep(delay);
            visit.answer(&body)
        })
    }

    /// 200 with the request's own body.
    pub fn echoes() -> Self {
        Self::new(|visit| {
            if !visit.read_body() {
                return Then::Close;
            }
            let body = visit.request().body.clone();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            visit.write(
                [head.as_bytes(), if visit.request().method == "HEAD" { b"" } else { &body }].concat(),
            );
            Then::KeepAlive
        })
    }

    /// These bytes once the request was read whole.
    pub fn writes(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        let bytes = bytes.into();
        Self::new(move |visit| {
            if !visit.read_body() {
                return Then::Close;
            }
            visit.write(&bytes);
            then
        })
    }

    /// Reads requests and never says a word.
    pub fn is_silent() -> Self {
        Self::writes("", Then::Hang)
    }

    /// Switches protocols when asked to, then sends every byte back; answers 200 otherwise.
    pub fn echoes_in_a_tunnel() -> Self {
        Self::new(|visit| {
            let Some(protocol) = visit.request().field("upgrade").map(str::to_owned) else {
                return visit.answer("no tunnel");
            };
            visit.write(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            ));
            let wire = visit.wire();
            while let Ok(bytes) = wire.some() {
                if wire.write(&bytes).is_err() {
                    break;
                }
            }
            Then::Close
        })
    }
}

/// One request being served.
#[derive(Debug)]
pub struct Visit<'a> {
    wire: &'a mut Wire,
    request: Received,
    record: Record<'a>,
    body_read: bool,
}

impl Visit<'_> {
    pub fn request(&self) -> &Received {
        &self.request
    }

    pub fn wire(&mut self) -> &mut Wire {
        self.wire
    }

    /// Reads the body to its end; false when it did not come whole.
    pub fn read_body(&mut self) -> bool {
        if !self.body_read {
            self.body_read = true;
            let result = self.take_body();
            self.request.complete = result.is_ok();
            self.record.put(&self.request, result.err());
        }
        self.request.complete
    }

    fn take_body(&mut self) -> Result<(), Problem> {
        let fields = &self.request.fields;
        if fields.has("transfer-encoding") {
            let body = &mut self.request.body;
            self.request.trailers = read_chunks(self.wire, &mut |piece| body.extend_from_slice(piece))?;
            return Ok(());
        }
        let length = fields.first("content-length").unwrap_or("0");
        let length: usize = length.parse().map_err(|_| Problem::Malformed(format!("length {length}")))?;
        while self.request.body.len() < length {
            if self.wire.ahead().is_empty() {
                self.wire.fill()?;
            }
            let piece = self.wire.ahead().len().min(length - self.request.body.len());
            self.request.body.extend(self.wire.exactly(piece)?);
        }
        Ok(())
    }

    /// What cannot be written is the other side's business.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write(bytes.as_ref()).is_ok()
    }

    /// 200 with this body, or its head alone for HEAD.
    pub fn answer(&mut self, body: &str) -> Then {
        let shown = if self.request.method == "HEAD" { "" } else { body };
        self.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{shown}", body.len()));
        Then::KeepAlive
    }
}

/// Where one request is kept.
#[derive(Debug)]
struct Record<'a> {
    ledger: &'a Ledger,
    slot: usize,
}

impl Record<'_> {
    fn put(&self, request: &Received, problem: Option<Problem>) {
        let mut books = self.ledger.books();
        if let Some(kept) = books.requests.get_mut(self.slot) {
            kept.clone_from(request);
        }
        if let Some(Problem::Malformed(what)) = problem {
            books.malformed.push(what);
        }
    }
}

/// All that happened to an endpoint.
#[derive(Debug, Default)]
struct Ledger {
    books: Mutex<Books>,
    accepted: AtomicUsize,
    requests: AtomicUsize,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Books {
    requests: Vec<Received>,
    malformed: Vec<String>,
    open: HashMap<usize, Wire>,
    /// Bytes of connections that are over.
    received: u64,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running endpoint; ends with the value.
#[derive(Debug)]
pub struct Endpoint {
    place: Place,
    script: Script,
    ledger: Arc<Ledger>,
    acceptor: Option<JoinHandle<()>>,
    listener: Option<Arc<Listener>>,
}

#[derive(Debug)]
enum Place {
    Tcp(Port),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Endpoint {
    /// A well-behaved endpoint that answers everything with this body.
    pub fn answering(body: &str) -> Self {
        Self::start(Script::answers(body))
    }

    pub fn start(script: Script) -> Self {
        Self::start_at(Place::Tcp(Port::free()), script)
    }

    pub fn start_unix(path: &Path, script: Script) -> Self {
        Self::start_at(Place::Unix(path.to_owned()), script)
    }

    /// An address where nothing listens, to be started later.
    pub fn down(script: Script) -> Self {
        let ledger = Arc::default();
        Self { place: Place::Tcp(Port::free()), script, ledger, acceptor: None, listener: None }
    }

    fn start_at(place: Place, script: Script) -> Self {
        let ledger = Arc::default();
        let mut endpoint = Self { place, script, ledger, acceptor: None, listener: None };
        endpoint.revive();
        endpoint
    }

    /// `127.0.0.1:port`, or `unix:/path`: what the configuration wants.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp(port) => port.address().to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// # Panics
    /// For an endpoint on a Unix socket.
    pub fn socket_address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(port) => port.address(),
            Place::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    /// Listens again at the same address after [`Endpoint::kill`].
    pub fn revive(&mut self) {
        assert!(self.acceptor.is_none(), "the endpoint is up already");
        let listener = Arc::new(self.place.listen());
        self.ledger.stopping.store(false, Ordering::Release);
        let (ledger, script, shared) = (self.ledger.clone(), self.script.clone(), listener.clone());
        self.acceptor = Some(std::thread::spawn(move || accept_all(&shared, &ledger, &script)));
        self.listener = Some(listener);
    }

    /// Behaves differently from the next start on.
    pub fn change(&mut self, script: Script) {
        self.script = script;
    }

    /// Stops listening and ends every connection.
    pub fn kill(&mut self) {
        let (Some(acceptor), Some(listener)) = (self.acceptor.take(), self.listener.take()) else { return };
        self.ledger.stopping.store(true, Ordering::Release);
        listener.wake();
        drop(listener);
        let _ = acceptor.join();
        for wire in self.ledger.books().open.values_mut() {
            wire.end();
        }
        if let Place::Unix(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.ledger.accepted.load(Ordering::Acquire)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.ledger.books().open.len()
    }

    /// Ends every open connection, as an origin with a short idle timeout does.
    pub fn close_connections(&self) {
        for wire in self.ledger.books().open.values_mut() {
            wire.end();
        }
    }

    /// How many request heads came.
    pub fn request_count(&self) -> usize {
        self.ledger.requests.load(Ordering::Acquire)
    }

    /// What came, in the order of the heads.
    pub fn requests(&self) -> Vec<Received> {
        self.ledger.books().requests.clone()
    }

    /// The only request that came.
    ///
    /// # Panics
    /// When there were none or more.
    pub fn only_request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "one request should have come: {requests:#?}");
        requests.remove(0)
    }

    /// The latest request.
    ///
    /// # Panics
    /// When there was none.
    pub fn last_request(&self) -> Received {
        self.requests().pop().expect("a request came")
    }

    /// Bytes that were no HTTP by this strict reader's judgement. A proxy must never send any.
    pub fn malformed(&self) -> Vec<String> {
        self.ledger.books().malformed.clone()
    }

    /// Waits until no connection is open.
    pub fn wait_until_left(&self) {
        eventually("all connections of the endpoint are over", || self.open_connections() == 0);
    }

    /// Waits until this many request heads came.
    pub fn wait_for_requests(&self, count: usize) {
        eventually(&format!("{count} requests came"), || self.request_count() >= count);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.kill();
        // Scripts that sleep may outlive the test; those that read are woken.
        comes_true(Duration::from_millis(50), || self.open_connections() == 0);
    }
}

impl Place {
    fn listen(&self) -> Listener {
        match self {
            Self::Tcp(port) => {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
                socket.set_reuse_address(true).expect("an option");
                // What listened here before may live on for a moment, in a program that was being started then.
                eventually("the reserved port is free", || {
                    socket.bind(&port.address().into()).is_ok() && socket.listen(1024).is_ok()
                });
                Listener::Tcp(socket.into())
            }
            Self::Unix(path) => Listener::Unix(UnixListener::bind(path).expect("the path is free")),
        }
    }
}

impl Listener {
    fn accept(&self) -> Option<Wire> {
        match self {
            Self::Tcp(listener) => listener.accept().ok().map(|(stream, _)| stream.into()),
            Self::Unix(listener) => listener.accept().ok().map(|(stream, _)| stream.into()),
        }
    }

    /// Makes a blocked accept return.
    fn wake(&self) {
        let _ = match self {
            Self::Tcp(listener) => socket2::SockRef::from(listener).shutdown(std::net::Shutdown::Both),
            Self::Unix(listener) => socket2::SockRef::from(listener).shutdown(std::net::Shutdown::Both),
        };
    }
}

fn accept_all(listener: &Listener, ledger: &Arc<Ledger>, script: &Script) {
    while !ledger.stopping.load(Ordering::Acquire) {
        let Some(wire) = listener.accept() else { continue };
        let number = ledger.accepted.fetch_add(1, Ordering::AcqRel);
        ledger.books().open.insert(number, wire.duplicate());
        let (ledger, script) = (ledger.clone(), script.clone());
        std::thread::spawn(move || serve(wire, number, &ledger, &script));
    }
}

fn serve(mut wire: Wire, number: usize, ledger: &Ledger, script: &Script) {
    wire.set_patience(IDLE);
    let then = match &*script.0 {
        Act::Accept(act) => act(&mut wire),
        Act::Request(act) => serve_requests(&mut wire, number, ledger, act),
    };
    match then {
        Then::Hang => drop(wire.discard()),
        Then::HangDeaf => drop(comes_true(IDLE, || ledger.stopping.load(Ordering::Acquire))),
        Then::Close | Then::KeepAlive | Then::Reset => {}
    }
    let mut books = ledger.books();
    books.received += wire.received();
    books.open.remove(&number);
    drop(books);
    if then == Then::Reset {
        wire.reset();
    }
}

fn serve_requests(wire: &mut Wire, number: usize, ledger: &Ledger, act: &OnRequest) -> Then {
    loop {
        let request = match read_head(wire, number) {
            Ok(request) => request,
            Err(problem) => {
                note_leftover(wire, ledger, problem);
                return Then::Close;
            }
        };
        let record = ledger.open_record(&request);
        let mut visit = Visit { wire, request, record, body_read: false };
        let then = act(&mut visit);
        if then != Then::KeepAlive || !visit.read_body() {
            return then;
        }
    }
}

impl Ledger {
    fn open_record(&self, request: &Received) -> Record<'_> {
        let mut books = self.books();
        let slot = books.requests.len();
        if slot < RECORDED_MAX {
            books.requests.push(request.clone());
        }
        self.requests.fetch_add(1, Ordering::AcqRel);
        let slot = if slot < RECORDED_MAX { slot } else { usize::MAX };
        Record { ledger: self, slot }
    }
}

/// A stream that ends between requests is well; one that ends inside a head is not.
fn note_leftover(wire: &Wire, ledger: &Ledger, problem: Problem) {
    let what = match problem {
        Problem::Malformed(what) => what,
        Problem::Gone(Gone::Finished) if !wire.ahead().is_empty() => {
            format!("half a head: {:?}", String::from_utf8_lossy(wire.ahead()))
        }
        _ => return,
    };
    ledger.books().malformed.push(what);
}

fn read_head(wire: &mut Wire, connection: usize) -> Result<Received, Problem> {
    let line = text(&wire.line()?);
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return Err(Problem::Malformed(line)) };
    let (method, target, version) = (method.to_owned(), target.to_owned(), version.to_owned());
    let fields = Fields::read(wire)?;
    Ok(Received { connection, method, target, version, fields, ..Received::default() })
}

/// A plain stream that a test accepted by itself.
impl Endpoint {
    /// Connects to the endpoint directly, past any proxy.
    ///
    /// # Panics
    /// When it is down.
    pub fn visit_directly(&self) -> Wire {
        TcpStream::connect(self.socket_address()).expect("the endpoint is up").into()
    }
}
