//! The workers, told all at once. Knows their commands, not when to give them.

use crate::chance;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tidegate_proxy::snapshot::Snapshot;
use tidegate_proxy::worker::{self, AccessLog, Command, WorkerHandle, WorkerParts};
use tidegate_telemetry::Registry;

/// How often ending workers are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// What workers get, after the order to stop, before they are left behind.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Fleet {
    workers: Vec<WorkerHandle>,
}

impl Fleet {
    /// One worker for each end of the access log.
    pub(crate) fn start(
        snapshot: &Arc<Snapshot>,
        registry: &Arc<Registry>,
        logs: impl Iterator<Item = Option<AccessLog>>,
        requests: &Arc<AtomicUsize>,
    ) -> io::Result<Self> {
        let connections = Arc::new(AtomicUsize::new(0));
        let start = |(number, access_log)| {
            worker::start(WorkerParts {
                number,
                snapshot: Arc::clone(snapshot),
                registry: Arc::clone(registry),
                access_log,
                connections: Arc::clone(&connections),
                requests: Arc::clone(requests),
                seed: chance::bits(),
            })
        };
        Ok(Self { workers: logs.enumerate().map(start).collect::<Result<_, _>>()? })
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn tell(&self, command: impl Fn() -> Command) {
        self.tell_each(std::iter::repeat_with(command));
    }

    /// The first command to the first worker, and so on.
    pub(crate) fn tell_each(&self, commands: impl Iterator<Item = Command>) {
        for (worker, command) in self.workers.iter().zip(commands) {
            worker.send(command);
        }
    }

    /// Ends what is still open.
    pub(crate) async fn stop(&self) {
        self.tell(|| Command::Stop);
        let _ = tokio::time::timeout(STOP_PATIENCE, self.ended()).await; // whoever hangs is left behind
    }

    pub(crate) async fn ended(&self) {
        while !self.workers.iter().all(WorkerHandle::is_finished) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    pub(crate) fn has_lost_one(&self) -> bool {
        self.workers.iter().any(WorkerHandle::is_finished)
    }
}
