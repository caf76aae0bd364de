//! A running proxy, seen from above: start, reload, stop. Decides nothing about requests.

use crate::chance;
use crate::listening::{Bound, Listening};
use crate::logs::Logs;
use crate::lower::{Lowered, Previous, lower};
use crate::names;
use crate::places::{PlaceError, places};
use crate::signals::Signals;
use crate::voice::Voice;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tidegate_balance::States;
use tidegate_config::{Config, Workers};
use tidegate_proxy::worker::{self, Command, WorkerHandle, WorkerParts};
use tidegate_sys::ListenError;
use tidegate_telemetry::Registry;
use tidegate_telemetry::access_log::OpenError;
use tokio::runtime::Runtime;

/// Threads that resolve names, check health and answer the admin listener.
const CONTROL_THREADS: usize = 2;
/// How often ending workers are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// What workers get, after the order to stop, before they are left behind.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// What a proxy is started with besides its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    pub voice: Voice,
    pub admin: AdminChoice,
}

/// Whether the admin listener must have the address that is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminChoice {
    Exactly,
    /// When it is taken, any free port of the same address does.
    OrAnyPort,
}

/// Why a proxy did not start, or a reload was refused.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running proxy. Dropping it ends it at once; `stop` lets it finish.
#[derive(Debug)]
pub struct Control {
    pub(crate) core: Core,
    pub(crate) signals: Signals,
    pub(crate) runtime: Runtime,
}

impl Control {
    /// Binds everything, starts the workers and serves.
    pub fn start(config: Config, options: Options) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()?;
        let start = async { Ok::<_, StartError>((Signals::new()?, Core::start(config, options).await?)) };
        let (signals, core) = runtime.block_on(start)?;
        Ok(Self { core, signals, runtime })
    }

    /// Puts another configuration in force, whole or not at all.
    pub fn reload(&mut self, config: Config) -> Result<(), StartError> {
        self.runtime.block_on(self.core.reload(config))
    }

    /// Where clients can connect.
    pub fn addresses(&self) -> Vec<String> {
        self.core.listening.iter().map(|listening| listening.address.clone()).collect()
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.core.registry
    }

    /// Finishes what is open, for as long as the configuration allows, and ends.
    pub fn stop(mut self) {
        self.runtime.block_on(self.core.drain(std::future::pending()));
        self.core.end();
    }
}

/// The state of the control plane; lives on its runtime.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) voice: Voice,
    registry: Arc<Registry>,
    states: States,
    current: Previous,
    listening: Vec<Listening>,
    workers: Vec<WorkerHandle>,
    logs: Logs,
}

impl Core {
    async fn start(config: Config, options: Options) -> Result<Self, StartError> {
        let voice = options.voice;
        let registry = Arc::new(Registry::default());
        let count = worker_count(config.workers);
        let places = places(&config.listeners).await?;
        let bound = Bound::all(&places, count)?;
        let logs = Logs::open(&config.log, count, &registry)?;
        let states = States::default();
        let lowered = lower(&config, &bound_places(&places, &bound), &states, None);
        let snapshot = Arc::clone(&lowered.snapshot);
        names::resolve(lowered.unresolved, &voice).await;
        let workers = start_workers(&lowered.snapshot, &registry, &logs)?;
        let mut core = Self {
            voice,
            registry,
            states,
            current: Previous { config: Arc::new(config), snapshot },
            listening: Vec::new(),
            workers,
            logs,
        };
        core.listen(bound)?;
        Ok(core)
    }

    /// Everything that can fail comes first; then the change is made, whole.
    pub(crate) async fn reload(&mut self, config: Config) -> Result<(), StartError> {
        let places = places(&config.listeners).await?;
        let is_new = |key: &Arc<str>| self.listening.iter().all(|listening| listening.key != *key);
        let new: Vec<_> = places.iter().filter(|place| is_new(&place.key)).cloned().collect();
        let bound = Bound::all(&new, self.workers.len())?;
        let logs = self.logs.changed(&config.log, &self.registry)?;

        let kept = places.iter().filter(|place| !is_new(&place.key)).cloned();
        let served: Vec<_> = kept.chain(bound_places(&new, &bound)).collect();
        let Lowered { snapshot, unresolved } = lower(&config, &served, &self.states, Some(&self.current));
        names::resolve(unresolved, &self.voice).await;
        for worker in &self.workers {
            worker.send(Command::Publish(Arc::clone(&snapshot)));
        }
        self.listen(bound)?;
        self.unlisten(|key| served.iter().all(|place| *place.key != *key));
        if let Some(logs) = logs {
            self.take_logs(logs);
        }
        self.current = Previous { config: Arc::new(config), snapshot };
        Ok(())
    }

    /// Nothing changes; the operator hears why.
    pub(crate) fn refuse_reload(&self, why: &dyn std::fmt::Display) {
        self.voice.error(why);
        self.voice.error("the configuration was not applied: the one before stays in force");
    }

    fn take_logs(&mut self, logs: Logs) {
        for (worker, end) in self.workers.iter().zip(logs.ends()) {
            worker.send(Command::Log(end));
        }
        std::mem::replace(&mut self.logs, logs).retire();
    }

    pub(crate) fn reopen_logs(&self) {
        match self.logs.reopen() {
            Ok(()) => {}
            Err(error) => self.voice.error(error),
        }
    }

    fn listen(&mut self, bound: Vec<Bound>) -> io::Result<()> {
        for one in bound {
            let listening = one.listening.clone();
            for (worker, socket) in self.workers.iter().zip(one.hand_out(self.workers.len())?) {
                worker.send(Command::Listen(Arc::clone(&listening.key), socket));
            }
            self.listening.push(listening);
        }
        Ok(())
    }

    fn unlisten(&mut self, is_gone: impl Fn(&str) -> bool) {
        for gone in self.listening.extract_if(.., |listening| is_gone(&listening.key)) {
            for worker in &self.workers {
                worker.send(Command::Unlisten(Arc::clone(&gone.key)));
            }
            gone.clean_up();
        }
    }

    /// What is served, and where.
    pub(crate) fn announce(&self) {
        for listening in &self.listening {
            let scheme = if listening.address.starts_with("unix:") { "" } else { "http://" };
            self.voice.note(format_args!("listening on {scheme}{}", listening.address));
        }
        for cluster in &self.current.config.clusters {
            let endpoints: Vec<_> =
                cluster.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
            let balance = crate::lower::algorithm_word(&cluster.balance);
            self.voice.note(format_args!("cluster {} ({balance}): {}", cluster.name, endpoints.join(", ")));
        }
    }

    /// Accepts nothing more and waits for what is open: until it has ended, the configured time is over, or `hurry`.
    pub(crate) async fn drain(&mut self, hurry: impl Future<Output = ()>) {
        for worker in &self.workers {
            worker.send(Command::Drain);
        }
        self.listening.drain(..).for_each(|listening| listening.clean_up());
        let patience = self.current.config.timeout.drain;
        tokio::select! {
            () = self.workers_ended() => return,
            () = tokio::time::sleep(patience) => {
                self.voice.warning(format_args!("not everything was finished within {patience:?}: ending it"));
            }
            () = hurry => {}
        }
        for worker in &self.workers {
            worker.send(Command::Stop);
        }
        let _ = tokio::time::timeout(STOP_PATIENCE, self.workers_ended()).await;
    }

    async fn workers_ended(&self) {
        while !self.workers.iter().all(WorkerHandle::is_finished) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Only when one has gone that nobody told to.
    pub(crate) fn has_lost_a_worker(&self) -> bool {
        self.workers.iter().any(WorkerHandle::is_finished)
    }

    /// Writes the last lines.
    pub(crate) fn end(&mut self) {
        if !self.logs.close() {
            self.voice.warning("the last lines of the access log could not be written");
        }
    }
}

fn worker_count(configured: Workers) -> usize {
    match configured {
        Workers::Auto => tidegate_sys::usable_core_count(),
        Workers::Count(count) => count.get() as usize,
    }
}

/// Those that are bound: a name's address that this machine lacks is not served.
fn bound_places(places: &[crate::places::Place], bound: &[Bound]) -> Vec<crate::places::Place> {
    let is_bound = |key: &Arc<str>| bound.iter().any(|one| one.listening.key == *key);
    places.iter().filter(|place| is_bound(&place.key)).cloned().collect()
}

fn start_workers(
    snapshot: &Arc<tidegate_proxy::snapshot::Snapshot>,
    registry: &Arc<Registry>,
    logs: &Logs,
) -> io::Result<Vec<WorkerHandle>> {
    let connections = Arc::new(AtomicUsize::new(0));
    let start = |(number, access_log)| {
        worker::start(WorkerParts {
            number,
            snapshot: Arc::clone(snapshot),
            registry: Arc::clone(registry),
            access_log,
            connections: Arc::clone(&connections),
            seed: chance::bits(),
        })
    };
    logs.ends().enumerate().map(start).collect()
}
