//! One thread: its listeners, its pools, its view; start, swap, drain. Shares nothing with other workers but `Arc`s and
//! atomics, and reads the clock for everything that runs on it.

use crate::listener::{ListenerState, Socket, accept};
use crate::metrics::{Resolver, WorkerMetrics};
use crate::record::LineWriter;
use crate::snapshot::Snapshot;
use crate::timers::{Timers, after, now};
use crate::tls::{Scratch, Turns};
use crate::view::{View, Views};
use crate::workspace::Workspaces;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate_telemetry::access_log::Format;
use tidegate_telemetry::{AccessLogHandle, Registry};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

/// How often pools are looked through for connections that have ended.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long requests get to say goodbye after the deadline to drain.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the control plane can ask of a worker.
#[derive(Debug)]
pub enum Command {
    /// Serve every later request by this snapshot.
    Publish(Arc<Snapshot>),
    /// Accept on this socket, for the listener of this key in the snapshot published last.
    Listen(Arc<str>, Socket),
    /// Accept no more on the listener of this key; its connections stay.
    Unlisten(Arc<str>),
    /// Write the access log here from now on; `None`: no access log.
    Log(Option<AccessLog>),
    /// Accept nothing more, close idle connections, finish the rest, then end.
    Drain,
    /// The time to drain is over: end what is still open, then end.
    Stop,
}

/// One worker's end of the access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    pub handle: Arc<AccessLogHandle>,
    pub format: Format,
}

/// What a worker is started with.
#[derive(Debug)]
pub struct WorkerParts {
    /// Counts from 0; the writer of its metrics.
    pub number: usize,
    pub snapshot: Arc<Snapshot>,
    pub registry: Arc<Registry>,
    pub access_log: Option<AccessLog>,
    /// Client connections open at once, over all workers.
    pub connections: Arc<AtomicUsize>,
    /// Requests in service at once, over all workers.
    pub requests: Arc<AtomicUsize>,
    /// Where this worker's random numbers start.
    pub seed: u64,
}

/// The control plane's end of a worker.
#[derive(Debug)]
pub struct WorkerHandle {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl WorkerHandle {
    /// Does nothing when the worker has ended.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the worker to end. `false`: it panicked.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// Starts the worker's thread; it serves as soon as it is told to listen.
pub fn start(parts: WorkerParts) -> io::Result<WorkerHandle> {
    let (commands, orders) = mpsc::unbounded_channel();
    let mut builder = Builder::new_current_thread();
    builder.enable_io();
    let name = format!("worker-{}", parts.number);
    let (started, starting) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let built = builder.build_local(LocalOptions::default()).and_then(|runtime| {
            let worker = runtime.block_on(async { Worker::new(parts) })?;
            Ok((runtime, worker))
        });
        match built {
            Ok((runtime, worker)) => {
                drop(started.send(Ok(())));
                runtime.block_on(worker.run(orders));
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    starting.recv().map_err(io::Error::other)??;
    Ok(WorkerHandle { commands, thread })
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) timers: Rc<Timers>,
    pub(crate) workspaces: Workspaces,
    pub(crate) tls_scratch: Rc<Scratch>,
    /// With clients.
    pub(crate) handshakes: Rc<Turns>,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) access_log: RefCell<Option<LineWriter>>,
    /// Of all workers.
    pub(crate) connections_total: Arc<AtomicUsize>,
    resolver: Resolver,
    view: RefCell<Rc<View>>,
    listeners: RefCell<HashMap<Arc<str>, Listening>>,
    /// Of this worker.
    connections: Cell<usize>,
    /// Connections between two requests that stay ready to serve.
    pub(crate) warm: Cell<usize>,
    /// Those that are waited for without a place for their requests.
    pub(crate) unclear: Cell<usize>,
    /// Those that still send what has been answered already.
    pub(crate) heard_out: Cell<usize>,
    pub(crate) http2_connections: Cell<usize>,
    /// Held by each connection to an endpoint that ends behind what it takes last.
    pub(crate) last_words: Rc<()>,
    /// Those of them whose clients may send much before it is taken.
    pub(crate) wide_windows: Cell<usize>,
    connection_ended: Notify,
    stage: Cell<Life>,
    random: Cell<u64>,
}

/// A listener that this worker accepts on.
#[derive(Debug)]
struct Listening {
    state: Rc<ListenerState>,
    task: AbortHandle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    Draining,
    Stopping,
}

impl Worker {
    fn new(parts: WorkerParts) -> io::Result<Rc<Self>> {
        let resolver = Resolver { registry: parts.registry, worker: parts.number };
        let handshakes = Rc::<Turns>::default();
        handshakes.limit(parts.snapshot.limits.handshakes_max);
        Ok(Rc::new(Self {
            timers: Timers::new()?,
            workspaces: Workspaces::new(parts.requests, parts.snapshot.limits.workspaces),
            tls_scratch: Rc::default(),
            handshakes,
            metrics: WorkerMetrics::new(resolver.clone()),
            access_log: RefCell::new(parts.access_log.map(LineWriter::new)),
            connections_total: parts.connections,
            view: RefCell::new(Rc::new(View::new(parts.snapshot, None, &resolver))),
            resolver,
            listeners: RefCell::default(),
            connections: Cell::new(0),
            warm: Cell::new(0),
            unclear: Cell::new(0),
            heard_out: Cell::new(0),
            http2_connections: Cell::new(0),
            last_words: Rc::default(),
            wide_windows: Cell::new(0),
            connection_ended: Notify::new(),
            stage: Cell::new(Life::Serving),
            random: Cell::new(parts.seed),
        }))
    }

    async fn run(self: Rc<Self>, mut orders: mpsc::UnboundedReceiver<Command>) {
        tokio::task::spawn_local(Rc::clone(&self.timers).run());
        tokio::task::spawn_local(Rc::clone(&self).sweep());
        tokio::task::spawn_local(Rc::clone(&self.handshakes).keep());
        while let Some(command) = orders.recv().await {
            match command {
                Command::Publish(snapshot) => self.publish(snapshot),
                Command::Listen(key, socket) => self.listen(key, socket),
                Command::Unlisten(key) => self.unlisten(&key),
                Command::Log(log) => *self.access_log.borrow_mut() = log.map(LineWriter::new),
                Command::Drain => break,
                Command::Stop => return self.stop().await,
            }
        }
        self.drain();
        tokio::select! {
            () = self.last_connection_ended() => {}
            () = stop_ordered(&mut orders) => self.stop().await,
        }
    }

    fn publish(&self, snapshot: Arc<Snapshot>) {
        let previous = Rc::clone(&self.view.borrow());
        self.workspaces.limit(snapshot.limits.workspaces);
        self.handshakes.limit(snapshot.limits.handshakes_max);
        *self.view.borrow_mut() = Rc::new(View::new(snapshot, Some(&previous), &self.resolver));
        let view = self.view();
        previous.retire_all_but(&view);
        previous.wake_the_waiting();
        for (key, listening) in self.listeners.borrow().iter() {
            if let Some(listener) = view.snapshot.listeners.iter().find(|listener| listener.key == *key) {
                listening.state.update(Arc::clone(listener));
            }
        }
    }

    fn listen(self: &Rc<Self>, key: Arc<str>, socket: Socket) {
        let view = self.view();
        let Some(listener) = view.snapshot.listeners.iter().find(|listener| listener.key == key) else {
            return;
        };
        let state = Rc::new(ListenerState::new(Arc::clone(listener), &self.resolver));
        let task =
            tokio::task::spawn_local(accept(Rc::clone(self), Rc::clone(&state), socket)).abort_handle();
        self.listeners.borrow_mut().insert(key, Listening { state, task });
    }

    fn unlisten(&self, key: &str) {
        if let Some(listening) = self.listeners.borrow_mut().remove(key) {
            listening.state.close();
        }
    }

    fn drain(&self) {
        self.stage.set(Life::Draining);
        for (_, listening) in self.listeners.borrow_mut().drain() {
            listening.state.close();
        }
        self.timers.wake_all();
    }

    /// Ends every wait, so that each open request fails with its cause and is recorded.
    async fn stop(&self) {
        self.stage.set(Life::Stopping);
        for (_, listening) in self.listeners.borrow_mut().drain() {
            listening.task.abort();
        }
        self.timers.expire_all();
        // This worker's own alarms have all expired: the goodbye is timed by others.
        let Ok(timers) = Timers::new() else { return };
        tokio::task::spawn_local(Rc::clone(&timers).run());
        let _ = timers.alarm().within(after(now(), GOODBYE), self.last_connection_ended()).await;
    }

    async fn last_connection_ended(&self) {
        // A connection that was accepted while closing the listener is counted before this runs again.
        tokio::task::yield_now().await;
        while self.connections.get() > 0 {
            self.connection_ended.notified().await;
        }
    }

    async fn sweep(self: Rc<Self>) {
        let alarm = self.timers.alarm();
        while !self.is_stopping() {
            alarm.sleep_until(after(now(), SWEEP_INTERVAL)).await;
            self.view().sweep(now());
        }
    }

    #[inline]
    pub(crate) fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// What a request that begins now is served by.
    #[inline]
    pub(crate) fn views(&self) -> Views {
        Views::of(self.view())
    }

    /// Counts up with every publication that has reached this worker.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.view.borrow().snapshot.generation
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stage.get() != Life::Serving
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stage.get() == Life::Stopping
    }

    /// Uniform bits: splitmix64, one addition and two multiplications.
    #[inline]
    pub(crate) fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn connection_began(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    pub(crate) fn connection_ended(&self) {
        self.connections.set(self.connections.get() - 1);
        self.connection_ended.notify_one();
    }
}

async fn stop_ordered(orders: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = orders.recv().await {
        if matches!(command, Command::Stop) {
            return;
        }
    }
}
