//! The access log across reloads: opened once, handed to each worker, exchanged when its target changes.

use std::sync::Arc;
use std::time::Duration;
use tidegate_config::{Log, LogFormat, LogTarget};
use tidegate_proxy::worker::AccessLog as WorkerLog;
use tidegate_telemetry::Registry;
use tidegate_telemetry::access_log::{AccessLog, AccessLogHandle, Format, OpenError, Target};

/// How long workers get to take over a new log before the old one is closed.
const HAND_OVER: Duration = Duration::from_secs(1);
/// How long the last lines get to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// The access log in force.
#[derive(Debug)]
pub(crate) struct Logs {
    configured: Log,
    log: AccessLog,
    handles: Vec<Arc<AccessLogHandle>>,
}

impl Logs {
    pub(crate) fn open(
        configured: &Log,
        workers: usize,
        registry: &Arc<Registry>,
    ) -> Result<Self, OpenError> {
        let log = match target(&configured.access) {
            None => AccessLog::default(),
            Some(target) => AccessLog::start(target, AccessLog::BUFFER_BYTES_MAX, registry)?,
        };
        let handles = (0..workers).map(|_| log.handle()).collect();
        Ok(Self { configured: configured.clone(), log, handles })
    }

    /// What each worker writes to, in order; `None`: nothing is logged.
    pub(crate) fn ends(&self) -> impl Iterator<Item = Option<WorkerLog>> {
        let on = self.configured.access != LogTarget::Off;
        let format = format(self.configured.format);
        self.handles.iter().map(move |handle| on.then(|| WorkerLog { handle: Arc::clone(handle), format }))
    }

    /// The log that this configuration asks for, opened; `None`: everything stays as it is.
    pub(crate) fn changed(
        &self,
        configured: &Log,
        registry: &Arc<Registry>,
    ) -> Result<Option<Self>, OpenError> {
        if self.configured == *configured {
            return Ok(None);
        }
        Self::open(configured, self.handles.len(), registry).map(Some)
    }

    /// Closes the log when the workers have had time to leave it.
    pub(crate) fn retire(self) {
        tokio::spawn(async move {
            tokio::time::sleep(HAND_OVER).await;
            tokio::task::spawn_blocking(move || self.log.shutdown(FLUSH));
        });
    }

    pub(crate) fn reopen(&self) -> Result<(), OpenError> {
        self.log.reopen()
    }

    /// Writes what is left. `false`: not everything could be written in time.
    pub(crate) fn close(&self) -> bool {
        self.log.shutdown(FLUSH)
    }
}

fn target(configured: &LogTarget) -> Option<Target> {
    match configured {
        LogTarget::File(path) => Some(Target::File(path.clone())),
        LogTarget::Off => None,
        LogTarget::Stderr => Some(Target::Stderr),
        LogTarget::Stdout => Some(Target::Stdout),
    }
}

fn format(configured: LogFormat) -> Format {
    match configured {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    }
}
